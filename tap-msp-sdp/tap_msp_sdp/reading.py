"""From one parent to its worklog records: its own, and those of its tasks."""

from __future__ import annotations

import logging
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from msp_xero.errors import Missing, NoAddress, Rejected, Unavailable
from msp_xero.sdp.calls import endpoint
from msp_xero.sdp.dialects import iso_utc, read_worklog, text
from msp_xero.sdp.envelope import SYSTEM

from tap_msp_sdp.modules import CONTAINERS, MODULES, PARENTS_OF_TASKS
from tap_msp_sdp.parents import Accounts, Parent, parents_of_task, read_parent, read_single
from tap_msp_sdp.paths import UNCONFIRMED, UnconfirmedPaths

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from msp_xero.sdp import SdpClient

logger: Final = logging.getLogger("tap_msp_sdp")

Row = dict[str, Any]
Record = dict[str, Any]

_REMEMBERED_PARENTS: Final = 500


class _ServedBelow(Exception):
    """The time of a task is served below what it belongs to only; ``task`` is as its own row says."""

    def __init__(self, task: Parent) -> None:
        super().__init__(task.path)
        self.task = task


class _Gone(Exception):
    """What should have rows below it is not there, in ServiceDesk Plus' own words."""


class Reader:
    """Reads one parent after the other; called from several threads.

    Attributes:
        paths: what was learnt about paths that an installation may not have.

    Args:
        client: the connection.
        started_at: ISO UTC, stands in for a parent's time of change where none is known at all.
        tasks_from_parents: False when the global task list finds the tasks of all parents.
    """

    def __init__(self, client: SdpClient, *, started_at: str, tasks_from_parents: bool) -> None:
        self._client = client
        self._accounts = Accounts(client)
        self._started_at = started_at
        self._tasks_from_parents = tasks_from_parents
        self.paths = UnconfirmedPaths()
        self._containers: OrderedDict[str, Parent] = OrderedDict()
        self._relisted: dict[str, Parent] = {}  # tasks by path
        self._tells_containers: bool | None = None  # whether that list does, None before it was read
        self._relisting = Lock()
        self._lock = Lock()

    def read(self, parent: Parent, wanted: Collection[str]) -> list[Record]:
        """Return the records of a parent for the wanted modules.

        Raises:
            RemoteError: something could not be read; a row that is deleted meanwhile is no error.
        """
        match parent.module.name:
            case "projects":
                return self._project(parent)
            case "tasks":
                return self._listed_task(parent, wanted)
        records: list[Record] = []
        if parent.module.name in wanted:
            rows = self._children(self._client.worklogs, parent.path, "worklogs", parent.module.singular)
            records += self._records(parent, rows, parent.module.singular)
        if "tasks" in wanted and self._tasks_from_parents:
            for task in self._children(self._client.tasks, parent.path, "tasks", parent.module.singular):
                records += self._task_records(parent, f"{parent.path}/tasks", task, "task")
        return records

    def _project(self, project: Parent) -> list[Record]:
        """Read milestones' tasks first: a project's list may hold them too, without their path."""
        records: list[Record] = []
        done: set[str] = set()
        groups = [f"{project.path}/tasks"]
        owners = {groups[0]: (project.path, "project")}
        for row in self._children(self._client.milestones, project.path, "milestones", "project"):
            owner = f"{project.path}/milestones/{_segment(row)}"
            groups.insert(-1, f"{owner}/tasks")
            owners[f"{owner}/tasks"] = (owner, "milestone")
        for group in groups:
            owner, key = owners[group]
            for task in self._children(self._client.tasks, owner, "tasks", key):
                identity = str(task.get("id"))
                if identity not in done:
                    done.add(identity)
                    records += self._task_records(project, group, task, "project")
        return records

    def _task_records(self, parent: Parent, group: str, task: Row, module: str) -> list[Record]:
        rows = self._children(self._client.worklogs, f"{group}/{_segment(task)}", "worklogs", "task")
        return self._records(parent, rows, module, task=task)

    def _listed_task(self, task: Parent, wanted: Collection[str]) -> list[Record]:
        """Read a task of the global list: a general one, or with global discovery any other too."""
        if not self._tasks_from_parents:
            return self._task_of_anything(task, wanted)
        if task.belongs_to:
            return []  # the walk over what it belongs to has it
        try:
            rows = self._children(self._client.worklogs, task.path, "worklogs", "task")
        except _ServedBelow:
            return []
        if rows and task.belongs_to is None:
            # This list does not name parents. The single row may, or the worklogs; then the parent's
            # own walk has the task, and counts it under the right account. Without that row the task is as
            # it was listed: its path may be missing, and what was read counts if it was deleted since then.
            task = self._own_row(task) or task
            named = task.belongs_to is None and any(parents_of_task(row) for row in rows)
            if task.belongs_to or named:
                return []
        return self._general_task(task, rows)

    def _task_of_anything(self, task: Parent, wanted: Collection[str]) -> list[Record]:
        """Read a task of a list that has to name the parents.

        Raises:
            Unavailable: neither the list nor the task's own row names them, so that it cannot be told
                where its time is and whose it is.
        """
        if _names_its_container(task):
            return self._task_of_known_container(task, wanted)
        own = self._own_row(task)
        if own is None and self._listed_again(task.path, anew=True) is None:
            return []
        return self._task_of_known_container(own or task, wanted)

    def _task_of_known_container(self, task: Parent, wanted: Collection[str]) -> list[Record]:
        if not _names_its_container(task):
            raise self._tells_no_container(task)
        if task.belongs_to:
            return self._contained_task(task, wanted)
        if "tasks" not in wanted:
            return []
        try:
            rows = self._children(self._client.worklogs, task.path, "worklogs", "task")
        except _ServedBelow as elsewhere:
            return self._task_of_known_container(elsewhere.task, wanted)
        return self._general_task(task, rows)

    def _tells_no_container(self, task: Parent) -> Unavailable:
        return Unavailable(
            "a task does not tell what it belongs to",
            system=SYSTEM,
            address=f"GET {self._client.settings.api_url}{task.path}",
            advice="Set task_discovery: parents",
        )

    def _general_task(self, task: Parent, rows: list[Row]) -> list[Record]:
        return self._records(task, rows, "task", task={"id": task.id, "title": task.title})

    def _own_row(self, task: Parent) -> Parent | None:
        """Return a task from its own row, None where it or that path is not there."""
        try:
            return read_single(self._client, task.module, task.path)
        except Missing:
            return None

    def _contained_task(self, task: Parent, wanted: Collection[str]) -> list[Record]:
        ids = task.belongs_to or {}
        kind = next(name for name in CONTAINERS if name in ids)
        if ("projects" if kind == "project" else "tasks") not in wanted:
            return []
        owner = f"{kind}s/{quote(ids[kind], safe='')}"
        group = f"{owner}/milestones/{quote(ids['milestone'], safe='')}" if "milestone" in ids else owner
        try:
            rows = self._present_children(
                self._client.worklogs, f"{group}/tasks/{quote(task.id, safe='')}", "worklogs", "task"
            )
        except _Gone:
            return self._task_that_is_not_there(task, owner, kind, wanted)
        if not rows:
            return []
        container = self._container(owner, f"{kind}s")
        row = {"id": task.id, "title": task.title}
        return self._records(container, rows, "project" if kind == "project" else "task", task=row)

    def _task_that_is_not_there(
        self, task: Parent, owner: str, kind: str, wanted: Collection[str]
    ) -> list[Record]:
        """Read a task that is not where it was said to be: elsewhere, if its own row says so.

        A list need not name the milestone, and below the project alone its task may be unknown.

        Raises:
            Unavailable: task and container are there, but not the one below the other.
        """
        own = self._own_row(task)
        if own is not None and own.belongs_to and own.belongs_to != task.belongs_to:
            return self._task_of_known_container(own, wanted)
        if self._owner(owner, kind) is None:
            return []
        if own is None and self._listed_again(task.path, anew=True) is None:
            return []
        raise self._tells_no_container(task)

    def _container(self, path: str, module: str) -> Parent:
        """Return what contains a task; many tasks of one container cost one call."""
        with self._lock:
            if path in self._containers:
                self._containers.move_to_end(path)
                return self._containers[path]
        parent = read_single(self._client, MODULES[module], path)
        with self._lock:
            self._containers[path] = parent
            if len(self._containers) > _REMEMBERED_PARENTS:
                self._containers.popitem(last=False)
        return parent

    def _children(self, read: Callable[[str], list[Row]], owner: str, what: str, key: str) -> list[Row]:
        """Return the rows below an owner, none when the owner is gone meanwhile.

        Raises:
            _ServedBelow: the time of a task of the global list is served below its parent only.
        """
        try:
            return self._present_children(read, owner, what, key)
        except _Gone:
            return []

    def _present_children(
        self, read: Callable[[str], list[Row]], owner: str, what: str, key: str
    ) -> list[Row]:
        """Return the rows below an owner.

        A refusal can mean a deleted row or a path that this installation does not have: the owner
        itself is asked. A missing path that the documentation confirms is an error; one that it
        does not is left out.

        Raises:
            _Gone: the owner is not there.
            _ServedBelow: the time of a task of the global list is served below its parent only.
        """
        name = endpoint("GET", f"{owner}/{what}")
        try:
            rows = read(owner)
        except (Missing, Rejected) as refusal:
            if key == "task" and name in UNCONFIRMED:
                task = self._unconfirmed_task(owner)
            elif self._owner(owner, key) is None:
                raise _Gone from refusal
            else:
                task = None
            if task is None or not owner.startswith("tasks/"):
                self.paths.leave_out(name, refusal, owner, for_all=True)
            elif task.belongs_to:
                raise _ServedBelow(task) from refusal
            else:
                for_all = task.belongs_to is not None or self._list_tells_containers()
                self.paths.leave_out(name, refusal, owner, for_all=for_all)
            return []
        self.paths.has_answered(name)
        return rows

    def _unconfirmed_task(self, path: str) -> Parent | None:
        """Return a task whose path need not exist: from its own row, or from the list that named it.

        None where that list cannot be had either: nobody tells whether the task is there.

        Raises:
            _Gone: it is in neither.
        """
        try:
            return read_single(self._client, MODULES["tasks"], path)
        except Missing as error:
            group, _, identity = path.rpartition("/")
            if group == "tasks":
                # Where the path answers a refusal is rare, and the task may be gone. Where it was refused for
                # one that is there, another one changes nothing.
                name = endpoint("GET", f"{path}/worklogs")
                anew = self.paths.answers(name) and not self.paths.refuses(name)
                task = self._listed_again(path, anew=anew)
            else:
                rows = self._present_children(
                    self._client.tasks, group.removesuffix("/tasks"), "tasks", "problem"
                )
                if self.paths.leaves_out(endpoint("GET", group)):
                    return None
                found = (row for row in rows if _segment(row) == identity)
                task = next((read_parent(MODULES["tasks"], row) for row in found), None)
            if task is None:
                raise _Gone from error
            return task

    def _listed_again(self, path: str, *, anew: bool) -> Parent | None:
        """Return a task as the list of all tasks has it: that a row is gone may be said of a path, too.

        Args:
            path: of the task.
            anew: whether that is asked of the list as it is now, even if it had the task when it was last
                read again: the task may be gone since then.
        """
        with self._relisting:
            if anew or path not in self._relisted:
                self._relist()
            task = self._relisted.get(path)
        if task is None:
            logger.info("%s was deleted meanwhile", endpoint("GET", path))
        return task

    def _list_tells_containers(self) -> bool:
        """Tell whether the list says of any task what it belongs to, be it nothing.

        Then one of which no row says anything belongs to nothing: empty members are left out there.
        """
        with self._relisting:
            if self._tells_containers is None:
                self._relist()
            return bool(self._tells_containers)

    def _relist(self) -> None:
        rows = self._client.list_rows("tasks", "tasks", fields=("id", "title", *PARENTS_OF_TASKS))
        tasks = [read_parent(MODULES["tasks"], row) for row in rows]
        self._relisted = {task.path: task for task in tasks}
        self._tells_containers = any(task.belongs_to is not None for task in tasks)

    def _owner(self, path: str, key: str) -> Row | None:
        """Return the row whose children were refused, None when it is deleted."""
        try:
            return self._client.read_row(path, key)
        except NoAddress as error:
            raise error.as_no_answer() from error  # no word of SDP's about this row
        except Missing:
            logger.info("%s was deleted meanwhile", endpoint("GET", path))
            return None

    def _records(self, parent: Parent, rows: list[Row], module: str, task: Row | None = None) -> list[Record]:
        if not rows:
            return []
        return list(self._rendered(self._accounts.complete(parent), rows, module, task or {}))

    def _rendered(self, parent: Parent, rows: list[Row], module: str, task: Row) -> Iterator[Record]:
        account = self._accounts.of(parent)
        moved = parent.updated_ms if parent.updated_ms is not None else parent.latest_ms
        context = {
            "module": module,
            "parent_module": parent.module.singular,
            "parent_id": parent.id,
            "parent_path": parent.path,
            "parent_display_id": parent.display_id,
            "parent_title": parent.title,
            "parent_status": parent.status,
            "parent_updated_time": self._started_at if moved is None else iso_utc(moved),
            "parent_changed_time": None if parent.updated_ms is None else iso_utc(parent.updated_ms),
            "task_id": text(task.get("id")),
            "task_title": text(task.get("title")),
            "account_id": account.id,
            "account_name": account.name,
            "site_name": parent.site_name,
        }
        for row in rows:
            worklog = read_worklog(row)
            if parent.is_msp:
                worklog["extra"]["is_msp"] = True
            yield {**context, **worklog}


def _names_its_container(task: Parent) -> bool:
    """Tell whether a task says what it belongs to; its milestone alone does not tell the project."""
    return task.belongs_to is not None and (
        not task.belongs_to or any(name in task.belongs_to for name in CONTAINERS)
    )


def _segment(row: Row) -> str:
    return quote(str(row.get("id")), safe="")
