"""The rows of one simulated installation, found by id, by parent and in order.

A row is a dict of the sandbox's own shape, JSON-ready but for Decimal money: ids are strings, times
epoch milliseconds; ``*_id`` members name other rows. **Rows are never changed in place**: an edit puts
a new dict in their place, so that the rows the sandbox was started with stay as they were for a reset.

================================== ==========================================================================
kind                               members beside ``id``
================================== ==========================================================================
accounts                           name, address members, login_url, default_site_id, is_msp, inactive,
                                   udf_fields
sites, requesters, technicians,    name, account_id, email_id, cost_per_hour …
contracts
worklog_types                      name, description, inactive
requests, problems, changes,       display_id or code, title, account_id, site_id, requester_id, status,
projects                           created_time, last_updated_time … ; requests: is_trashed, is_archived
milestones, tasks                  parent_kind (request … milestone, general), parent_id, title, status
worklogs                           parent_kind (request, problem, change, task), parent_id, owner_id,
                                   type_id, minutes, start_time, end_time, created_time, costs, is_billable …
awkward                            label, kind, id: rows that are awkward on purpose, by name
================================== ==========================================================================
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Row = dict[str, Any]
# Nothing before something, then by value, ties by number.
SortKey = tuple[int, Any, int, str]

TABLES = (
    "accounts", "sites", "requesters", "technicians", "contracts", "worklog_types", "requests",
    "problems", "changes", "projects", "milestones", "tasks", "worklogs", "awkward",
)  # fmt: skip
PLURAL = {
    "account": "accounts",
    "site": "sites",
    "requester": "requesters",
    "technician": "technicians",
    "contract": "contracts",
    "worklog_type": "worklog_types",
    "request": "requests",
    "problem": "problems",
    "change": "changes",
    "project": "projects",
    "milestone": "milestones",
    "task": "tasks",
    "worklog": "worklogs",
}


class Table:
    """Rows of one kind, with sorted views that follow every change."""

    def __init__(self, rows: Iterable[tuple[str, Row]]) -> None:
        self.rows: dict[str, Row] = dict(rows)
        self._views: dict[str, list[SortKey]] = {}
        self._last_number: int | None = None

    def next_id(self) -> str:
        """Return an id that no row has or had."""
        if self._last_number is None:
            self._last_number = max((int(row["id"]) for row in self.rows.values()), default=0)
        self._last_number += 1
        return str(self._last_number)

    def put(self, key: str, row: Row) -> None:
        """Add a row or put it in the place of the one with its key."""
        old = self.rows.get(key)
        self.rows[key] = row
        for member, view in self._views.items():
            if old is not None and is_listed(old):
                _discard(view, sort_key(old, member, key))
            if is_listed(row):
                insort(view, sort_key(row, member, key))

    def remove(self, key: str) -> Row:
        """Take a row out for good."""
        row = self.rows.pop(key)
        if is_listed(row):
            for member, view in self._views.items():
                _discard(view, sort_key(row, member, key))
        return row

    def view(self, member: str) -> list[SortKey]:
        """Return the keys of all listed rows in the order of a member; kept, not built anew."""
        view = self._views.get(member)
        if view is None:
            view = sorted(sort_key(row, member, key) for key, row in self.rows.items() if is_listed(row))
            self._views[member] = view
        return view


def is_listed(row: Row) -> bool:
    """Whether lists show a row: trashed and archived ones are left out (sdp-msp-api §4)."""
    return not (row.get("is_trashed") or row.get("is_archived"))


def sort_key(row: Row, member: str, key: str) -> SortKey:
    """Return what a row sorts by."""
    number = int(row["id"])
    if member == "id":
        return (1, number, number, key)
    value = row.get(member)
    if value is None:
        return (0, 0, number, key)
    return (1, value.casefold() if isinstance(value, str) else value, number, key)


def _discard(view: list[SortKey], key: SortKey) -> None:
    place = bisect_left(view, key)
    if place < len(view) and view[place] == key:
        del view[place]


class Store:
    """All tables of one installation, and how their rows hang together."""

    def __init__(self, rows: Mapping[str, Iterable[Row]], *, ids_per_module: bool = False) -> None:
        self._ids_per_module = ids_per_module
        self.tables = {
            kind: Table((row["id"], row) for row in rows.get(kind, ()))
            for kind in TABLES
            if kind not in {"worklogs", "awkward"}
        }
        self.awkward = [dict(row) for row in rows.get("awkward", ())]
        worklogs = [_undumped(row) for row in rows.get("worklogs", ())]
        if ids_per_module:
            worklogs = self._renumbered(worklogs)
        self.tables["worklogs"] = Table(
            (self.worklog_key(self.module_of(row), row["id"]), row) for row in worklogs
        )
        self._children: dict[tuple[str, str, str | None], list[str]] = {}
        for kind in ("milestones", "tasks", "worklogs"):
            for key, row in self.tables[kind].rows.items():
                self._children.setdefault(_place(kind, row), []).append(key)
        # When rows were added while running: lists can lag behind writes (see SdpApp.hide_fresh).
        self.born: dict[tuple[str, str], int] = {}

    # -- reading

    def __getitem__(self, kind: str) -> Table:
        return self.tables[kind]

    def get(self, kind: str, row_id: str | None) -> Row | None:
        """Return a row by id, if it is there."""
        return None if row_id is None else self.tables[kind].rows.get(row_id)

    def children(self, kind: str, parent_kind: str, parent_id: str | None) -> list[tuple[str, Row]]:
        """Return the milestones, tasks or worklogs of a parent with their keys, oldest first."""
        rows = self.tables[kind].rows
        return [(key, rows[key]) for key in self._children.get((kind, parent_kind, parent_id), ())]

    def worklog_key(self, module: str, worklog_id: str) -> str:
        """Return the key of a worklog in its table: its id, or with its module when ids overlap."""
        return f"{module}/{worklog_id}" if self._ids_per_module else worklog_id

    def module_of(self, worklog: Row) -> str:
        """Return request, problem, change, project or task, as a bill groups worklogs."""
        if worklog["parent_kind"] != "task":
            return str(worklog["parent_kind"])
        task = self.get("tasks", worklog["parent_id"])
        return "project" if task and task["parent_kind"] in {"project", "milestone"} else "task"

    def parent_of(self, row: Row) -> tuple[str, Row] | None:
        """Return the kind and row that a worklog, task or milestone hangs on."""
        kind = row.get("parent_kind") or ("project" if "parent_id" in row else "")
        parent = self.get(PLURAL[kind], row["parent_id"]) if kind and kind != "general" else None
        return None if parent is None else (kind, parent)

    def account_of(self, row: Row) -> str | None:
        """Return whose work a row is: its own account, its site's, its requester's, or its parent's."""
        if row.get("account_id"):
            return str(row["account_id"])
        for kind, member in (("sites", "site_id"), ("requesters", "requester_id")):
            holder = self.get(kind, row.get(member))
            if holder is not None and holder["account_id"]:
                return str(holder["account_id"])
        above = self.parent_of(row)
        return None if above is None else self.account_of(above[1])

    # -- writing

    def put(self, kind: str, row: Row, *, now: int | None = None) -> Row:
        """Add a row, or put it in the place of the one with its id; ``now`` marks it as new."""
        key = self._key(kind, row)
        old = self.tables[kind].rows.get(key)
        if kind in {"milestones", "tasks", "worklogs"}:
            if old is not None and _place(kind, old) != _place(kind, row):
                self._children[_place(kind, old)].remove(key)
            if old is None or _place(kind, old) != _place(kind, row):
                self._children.setdefault(_place(kind, row), []).append(key)
        self.tables[kind].put(key, row)
        if old is None and now is not None:
            self.born[kind, key] = now
        if kind == "tasks" and self._ids_per_module:
            # A task that moved takes its worklogs to another module, where their ids may be taken.
            for worklog_key, worklog in self.children("worklogs", "task", key):
                if self._key("worklogs", worklog) != worklog_key:
                    self._put_under_new_key(worklog_key, dict(worklog))
        return row

    def remove(self, kind: str, key: str) -> Row:
        """Take a row out, with everything that hangs on it."""
        row = self.tables[kind].remove(key)
        if kind in {"milestones", "tasks", "worklogs"}:
            self._children[_place(kind, row)].remove(key)
        if kind != "worklogs":
            singular = kind[:-1]
            for child_kind in ("worklogs", "tasks", "milestones"):
                for child, _ in list(self.children(child_kind, singular, row["id"])):
                    self.remove(child_kind, child)
        return row

    def move_worklog(self, key: str, parent_kind: str, parent_id: str) -> Row:
        """Hang a worklog on another parent; it keeps its id unless that is taken there."""
        old = self.tables["worklogs"].rows[key]
        row = old | {"parent_kind": parent_kind, "parent_id": parent_id}
        if self._key("worklogs", row) != key:
            return self._put_under_new_key(key, row)
        return self.put("worklogs", row)

    def touch(self, row: Row, now: int) -> None:
        """Move the change time of everything above a row."""
        above = self.parent_of(row)
        while above is not None:
            kind, parent = above
            if "last_updated_time" in parent:
                self.put(PLURAL[kind], parent | {"last_updated_time": now})
            above = self.parent_of(parent)

    def dump(self, kinds: Iterable[str]) -> Iterator[tuple[str, list[Row]]]:
        """Yield rows by kind; worklogs with the module and account that they belong to."""
        for kind in kinds:
            if kind == "awkward":
                yield kind, self.awkward
            elif kind == "worklogs":
                rows = self.tables[kind].rows.values()
                yield (
                    kind,
                    [
                        row | {"module": self.module_of(row), "account_id": self.account_of(row)}
                        for row in rows
                    ],
                )
            else:
                yield kind, list(self.tables[kind].rows.values())

    def _put_under_new_key(self, old_key: str, worklog: Row) -> Row:
        self.remove("worklogs", old_key)
        if self._key("worklogs", worklog) in self.tables["worklogs"].rows:
            worklog["id"] = self.tables["worklogs"].next_id()
        return self.put("worklogs", worklog)

    def _key(self, kind: str, row: Row) -> str:
        return self.worklog_key(self.module_of(row), row["id"]) if kind == "worklogs" else row["id"]

    def _renumbered(self, worklogs: list[Row]) -> list[Row]:
        """Number the worklogs of each module from 1, so that their ids overlap."""
        counts: dict[str, int] = {}
        new_ids: dict[str, tuple[str, str]] = {}
        rows = []
        for row in worklogs:
            module = self.module_of(row)
            counts[module] = counts.get(module, 0) + 1
            new_ids[row["id"]] = (module, str(counts[module]))
            rows.append(row | {"id": str(counts[module])})
        for label in self.awkward:
            if label["kind"] == "worklogs":
                label["module"], label["id"] = new_ids[label["id"]]
        return rows


def _undumped(worklog: Row) -> Row:
    """Leave out what a dump says beside the row, when a dump is loaded again."""
    if "module" not in worklog:
        return worklog
    return {name: value for name, value in worklog.items() if name not in {"module", "account_id"}}


def _place(kind: str, row: Row) -> tuple[str, str, str | None]:
    return (kind, row.get("parent_kind") or "project", row["parent_id"])
