"""The v3 API for one caller: which path does what (sdp-msp-api §3.1, §4-6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp import accounts, worklog_types, worklogs
from msp_xero_sandbox.sdp.columns import render
from msp_xero_sandbox.sdp.entities import entity
from msp_xero_sandbox.sdp.errors import Refusal, success, success_list
from msp_xero_sandbox.sdp.listing import Listing
from msp_xero_sandbox.sdp.reading import CLOUD, LEGACY, NEW
from msp_xero_sandbox.sdp.store import PLURAL
from msp_xero_sandbox.sdp.switches import MODULES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from msp_xero_sandbox.sdp.reading import Reader
    from msp_xero_sandbox.sdp.store import Row
    from msp_xero_sandbox.wire import Answer

# What can hang under what.
_HAS_WORKLOGS = frozenset({"request", "problem", "change", "task"})
_HAS_TASKS = frozenset({"request", "problem", "change", "project", "milestone"})
_ASKED = dict[str, Any]


class Api:
    """Serves the calls of one caller in one dialect."""

    def __init__(self, reader: Reader, now: int, hidden_since: int | None) -> None:
        self._reader = reader
        self._store = reader.store
        self._switches = reader.switches
        self._now = now
        # Lists leave out what was added after this moment: they lag behind writes.
        self._hidden_since = hidden_since

    def serve(self, method: str, segments: Sequence[str], asked: _ASKED) -> Answer:
        """Answer a call to a path below ``/api/v3``."""
        if not segments:
            raise Refusal(4007)
        first, *rest = segments
        if first in MODULES:
            return self._module(method, first, rest, asked)
        if first == ("customers" if self._reader.dialect == CLOUD else "accounts"):
            return self._accounts(method, rest, asked)
        if first == "worklog_types" and self._switches.is_on("worklog_types_path"):
            return self._worklog_types(method, rest, asked)
        if first == "sites":
            return self._plain_rows(method, "sites", rest, asked)
        if first == "worklogs" and not rest and self._switches.is_on("worklogs_list"):
            _only(method, "GET")
            return self._list_table("worklogs", asked)
        if first == "worklog" and not rest and self._reader.dialect == LEGACY and method == "POST":
            return self._add_worklog(None, asked)
        raise Refusal(4007)

    # -- requests, problems, changes, projects, tasks and what hangs under them

    def _module(self, method: str, plural: str, rest: list[str], asked: _ASKED) -> Answer:
        if not rest:
            _only(method, "GET")
            return self._list_table(plural, asked)
        row = self._visible(plural, rest[0])
        kind = plural[:-1]
        if kind == "task" and rest[1:2] == ["worklogs"]:
            serves = self._switches["task_worklogs"]
            if serves == "off" or (serves == "general" and row["parent_kind"] != "general"):
                raise Refusal(4007)
        return self._under(method, kind, row, rest[1:], asked)

    def _under(self, method: str, kind: str, row: Row, rest: list[str], asked: _ASKED) -> Answer:
        match rest:
            case []:
                _only(method, "GET")
                return self._one(PLURAL[kind], row, asked)
            case ["worklogs", *more] if kind in _HAS_WORKLOGS:
                return self._worklogs(method, kind, row, more, asked)
            case ["tasks", *more] if kind in _HAS_TASKS:
                return self._child(method, "task", self._tasks_of(kind, row), more, asked)
            case ["milestones", *more] if kind == "project":
                milestones = self._store.children("milestones", "project", row["id"])
                return self._child(method, "milestone", milestones, more, asked)
        raise Refusal(4007)

    def _tasks_of(self, kind: str, row: Row) -> list[tuple[str, Row]]:
        found = self._store.children("tasks", kind, row["id"])
        if kind == "project" and self._switches["project_tasks"] == "all":
            for milestone_id, _ in self._store.children("milestones", "project", row["id"]):
                found = found + self._store.children("tasks", "milestone", milestone_id)
        return found

    def _child(
        self, method: str, kind: str, rows: list[tuple[str, Row]], rest: list[str], asked: _ASKED
    ) -> Answer:
        if not rest:
            _only(method, "GET")
            return self._list_rows(PLURAL[kind], rows, asked)
        for key, row in rows:
            if key == rest[0]:
                return self._under(method, kind, row, rest[1:], asked)
        raise Refusal(4007)

    # -- worklogs

    def _worklogs(self, method: str, kind: str, parent: Row, rest: list[str], asked: _ASKED) -> Answer:
        rows = self._store.children("worklogs", kind, parent["id"])
        dialect = self._reader.dialect
        if not rest:
            if method == "POST":
                return self._add_worklog({"parent_kind": kind, "parent_id": parent["id"]}, asked)
            _only(method, "GET")
            info = asked.get("list_info")
            searches = isinstance(info, dict) and "search_criteria" in info
            if searches and not self._switches.is_on("worklog_search"):
                raise Refusal(4001, field="search_criteria")
            return self._list_rows("worklogs", rows, asked)
        if len(rest) > 1:
            raise Refusal(4007)
        if rest[0] == "_metainfo":
            return success({"metainfo": {"entity": "worklog", "fields": self._worklog_fields()}})
        if rest[0] == ("type" if dialect == NEW else "worklog_type"):
            return self._allowed_types(rest[0], asked)
        for key, row in rows:
            if row["id"] == rest[0]:
                return self._one_worklog(method, key, row, asked)
        raise Refusal(4007)

    def _one_worklog(self, method: str, key: str, row: Row, asked: _ASKED) -> Answer:
        if method == "PUT":
            changed = worklogs.apply(
                self._store, self._switches, self._reader.dialect, row, asked.get("worklog")
            )
            if (changed["parent_kind"], changed["parent_id"]) != (row["parent_kind"], row["parent_id"]):
                moved = self._store.move_worklog(key, changed["parent_kind"], changed["parent_id"])
                changed = changed | {"id": moved["id"]}
            row = self._store.put("worklogs", changed)
            self._bump(row)
        elif method == "DELETE":
            self._bump(row)
            self._store.remove("worklogs", key)
            return success({})
        else:
            _only(method, "GET")
        return self._one("worklogs", row, asked)

    def _add_worklog(self, parent: Row | None, asked: _ASKED) -> Answer:
        start: Row = {
            "id": "0",
            "created_time": self._now,
            "owner_id": None,
            "created_by_id": self._own_id(),
            "type_id": None,
            "description": None,
            "minutes": None,
            "start_time": None,
            "end_time": None,
            "other_cost": None,
            "is_billable": True,
            **(parent or {}),
        }
        row = worklogs.apply(self._store, self._switches, self._reader.dialect, start, asked.get("worklog"))
        if not row.get("parent_kind"):
            raise Refusal(4012, fields=["request"])
        row["id"] = self._store["worklogs"].next_id()
        self._store.put("worklogs", row, now=self._now)
        self._bump(row)
        return self._one("worklogs", row, {}, status=int(self._switches["created_status"]))

    def _allowed_types(self, key: str, asked: _ASKED) -> Answer:
        rows = [
            (type_id, row)
            for type_id, row in self._types(asked)
            if not row["inactive"] or _inactive_too(asked)
        ]
        page = Listing(self._reader, entity("worklog_types", self._reader.dialect), asked).of_rows(rows)
        return success_list(key, page.rows, page.list_info)

    def _worklog_fields(self) -> dict[str, Any]:
        mandatory = {worklogs.name_of_owner(self._reader.dialect)}
        names = entity("worklogs", self._reader.dialect).available(self._reader)
        return {
            name: {"type": "string", "display_name": name, "mandatory": name in mandatory} for name in names
        }

    def _bump(self, worklog: Row) -> None:
        if self._switches.is_on("bump_parent"):
            self._store.touch(worklog, self._now)

    # -- accounts, worklog types, sites

    def _accounts(self, method: str, rest: list[str], asked: _ASKED) -> Answer:
        dialect = self._reader.dialect
        singular = entity("accounts", dialect).singular
        if rest == ["_metainfo"]:
            _only(method, "GET")
            return success({"metainfo": accounts.metainfo(self._switches, dialect)})
        if method in {"POST", "PUT"} and self._reader.limited:
            raise Refusal(4002)
        if not rest and method == "POST":
            row = accounts.apply(self._store, self._switches, dialect, None, asked.get(singular))
            row["id"] = self._store["accounts"].next_id()
            site_id = self._store["sites"].next_id()
            self._store.put("sites", {"id": site_id, **accounts.new_site(row)}, now=self._now)
            self._store.put("accounts", row | {"default_site_id": site_id}, now=self._now)
            status = int(self._switches["created_status"])
            return self._one("accounts", self._store["accounts"].rows[row["id"]], {}, status=status)
        if len(rest) == 1 and method == "PUT":
            old = self._visible("accounts", rest[0])
            row = accounts.apply(self._store, self._switches, dialect, old, asked.get(singular))
            return self._one("accounts", self._store.put("accounts", row), {})
        return self._plain_rows(method, "accounts", rest, asked)

    def _worklog_types(self, method: str, rest: list[str], asked: _ASKED) -> Answer:
        if method in {"POST", "PUT", "DELETE"} and (
            self._reader.limited or not self._switches.is_on("worklog_types_write")
        ):
            raise Refusal(4002)
        table = self._store["worklog_types"]
        if method == "POST" and not rest:
            row = worklog_types.apply(self._store, None, asked.get("worklog_type"))
            row["id"] = table.next_id()
            self._store.put("worklog_types", row, now=self._now)
            return self._one("worklog_types", row, {}, status=int(self._switches["created_status"]))
        if method == "PUT" and len(rest) == 1:
            row = worklog_types.apply(
                self._store, self._visible("worklog_types", rest[0]), asked.get("worklog_type")
            )
            return self._one("worklog_types", self._store.put("worklog_types", row), {})
        if method == "DELETE" and len(rest) == 1:
            row = self._visible("worklog_types", rest[0])
            worklog_types.check_unused(self._store, row["id"])
            self._store.remove("worklog_types", row["id"])
            return success({})
        if not rest and method == "GET":
            return self._list_rows("worklog_types", self._types(asked), asked)
        return self._plain_rows(method, "worklog_types", rest, asked)

    def _types(self, asked: _ASKED) -> list[tuple[str, Row]]:
        shows_all = self._switches["inactive_types"] == "listed" or _inactive_too(asked)
        return [
            pair for pair in self._store["worklog_types"].rows.items() if shows_all or not pair[1]["inactive"]
        ]

    def _plain_rows(self, method: str, kind: str, rest: list[str], asked: _ASKED) -> Answer:
        _only(method, "GET")
        if not rest:
            return self._list_table(kind, asked)
        if len(rest) > 1:
            raise Refusal(4007)
        return self._one(kind, self._visible(kind, rest[0]), asked)

    # -- answers

    def _one(self, kind: str, row: Row, asked: _ASKED, *, status: int = 200) -> Answer:
        shape = entity(kind, self._reader.dialect)
        columns = shape.available(self._reader)
        wanted = asked.get("fields_required")
        shown = [
            column
            for name, column in columns.items()
            if not isinstance(wanted, list) or name in ("id", *wanted)
        ]
        return success({shape.singular: render(self._reader, row, shown)}, status)

    def _list_table(self, kind: str, asked: _ASKED) -> Answer:
        admits = self._admits(kind)
        if kind == "tasks":
            shows = self._switches["tasks_list"]
            if shows == "off":
                raise Refusal(4007)
            if shows == "general_only":
                inner = admits or (lambda _key, _row: True)
                admits = lambda key, row: row["parent_kind"] == "general" and inner(key, row)  # noqa: E731
        shape = entity(kind, self._reader.dialect)
        page = Listing(self._reader, shape, asked).of_table(self._store[kind], admits)
        return success_list(shape.plural, page.rows, page.list_info)

    def _list_rows(self, kind: str, rows: list[tuple[str, Row]], asked: _ASKED) -> Answer:
        admits = self._admits(kind)
        if admits is not None:
            rows = [(key, row) for key, row in rows if admits(key, row)]
        shape = entity(kind, self._reader.dialect)
        page = Listing(self._reader, shape, asked).of_rows(rows)
        return success_list(shape.plural, page.rows, page.list_info)

    def _admits(self, kind: str) -> Callable[[str, Row], bool] | None:
        """Return what leaves out rows in a list, or None when nothing is left out."""
        since, born, limited = (
            self._hidden_since,
            self._store.born,
            self._reader.limited and kind != "worklog_types",
        )
        if since is None and not limited:
            return None

        def admits(key: str, row: Row) -> bool:
            if since is not None and born.get((kind, key), since) > since:
                return False
            return not limited or self._reader.may_see(row)

        return admits

    def _visible(self, kind: str, row_id: str) -> Row:
        row = self._store.get(kind, row_id)
        gone = row is None or (row.get("is_archived") and self._switches["archived_requests"] == "gone")
        if row is None or gone or (kind != "worklog_types" and not self._reader.may_see(row)):
            raise Refusal(4007)
        return row

    def _own_id(self) -> str | None:
        return next(iter(self._store["technicians"].rows), None)


def _inactive_too(asked: _ASKED) -> bool:
    return asked.get("include_inactive_value") in (True, "true")


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise Refusal(4002, text=f"{method} is not served here.")
