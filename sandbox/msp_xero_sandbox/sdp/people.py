"""What people do in the product, as the control API asks for it.

A change is ``{"kind", "action", "id", "values", "module"?}``:

================================== ==========================================================================
kind                               actions
================================== ==========================================================================
worklog                            add (``values.parent`` = a path such as ``requests/1001`` or
                                   ``projects/51/tasks/2001``), edit, delete, move (``values.parent``)
request problem change project     add, edit, delete, and for requests trash, restore, archive
task milestone                     add (``values.parent`` = a path, or none for a general task), edit, delete
account worklog_type technician    add, edit, delete; worklog_type also inactivate
requester
site contract
================================== ==========================================================================

``values`` are members of the rows (see ``store``); ``account``, ``type``, ``owner``, ``site`` and
``requester`` may name a row by id or by name. ``module`` says which of several worklogs with one id is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp import worklogs
from msp_xero_sandbox.sdp.entities import ACCOUNT_TEXTS
from msp_xero_sandbox.sdp.reading import CLOSED_STATUSES
from msp_xero_sandbox.sdp.store import PLURAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msp_xero_sandbox.sdp.store import Row, Store
    from msp_xero_sandbox.sdp.switches import Switches

_REFERENCES = {
    "account": ("account_id", ("accounts",)),
    "type": ("type_id", ("worklog_types",)),
    "owner": ("owner_id", ("technicians", "requesters")),
    "site": ("site_id", ("sites",)),
    "requester": ("requester_id", ("requesters",)),
    "contract": ("contract_id", ("contracts",)),
}
_TICKETS = frozenset({"request", "problem", "change", "project", "task"})
_FLAGS: dict[str, Row] = {
    "trash": {"is_trashed": True},
    "restore": {"is_trashed": False, "is_archived": False},
    "archive": {"is_archived": True},
    "inactivate": {"inactive": True},
}
_ACTIONS = {
    "worklog": {"add", "edit", "delete", "move"},
    "request": {"add", "edit", "delete", "trash", "restore", "archive"},
    "worklog_type": {"add", "edit", "delete", "inactivate"},
}
_STARTS: dict[str, Row] = {
    "worklog": {
        "type_id": None,
        "description": None,
        "minutes": 0,
        "start_time": None,
        "end_time": None,
        "is_billable": True,
        "other_cost": None,
    },
    "ticket": {
        "title": "",
        "description": None,
        "account_id": None,
        "site_id": None,
        "requester_id": None,
        "technician_id": None,
        "status": "Open",
        "priority": "Normal",
        "due_by_time": None,
        "completed_time": None,
    },
    "task": {
        "title": "",
        "account_id": None,
        "site_id": None,
        "owner_id": None,
        "status": "Open",
        "scheduled_end_time": None,
    },
    "milestone": {"title": ""},
    "account": {"inactive": False, "is_msp": False, "udf_fields": {}, "login_url": None},
    "worklog_type": {"description": None, "inactive": False},
    "technician": {"email_id": None, "cost_per_hour": "0.00"},
    "requester": {"email_id": None, "account_id": None, "site_id": None},
    "site": {"account_id": None},
    "contract": {"account_id": None, "contract_type": "Hour Based"},
}


# Members that a row can have beside those it starts with.
_MORE: dict[str, frozenset[str]] = {
    "worklog": frozenset(
        {
            "owner_id", "created_by_id", "created_time", "contract_id", "billing_minutes", "costs",
            "include_nonoperational_hours", "udf_fields", "parent_kind", "parent_id",
        }
    ),
    "ticket": frozenset(
        {"display_id", "code", "created_time", "last_updated_time", "is_trashed", "is_archived"}
    ),
    # A person types when a task really ended, also long afterwards (§4).
    "task": frozenset(
        {"created_time", "last_updated_time", "actual_end_time", "parent_kind", "parent_id"}
    ),
    "milestone": frozenset({"created_time", "parent_kind", "parent_id"}),
    "account": frozenset({*ACCOUNT_TEXTS, "account_manager_id", "default_site_id"}),
}  # fmt: skip


class People:
    """Carries out changes at one moment."""

    def __init__(self, store: Store, switches: Switches, now: int) -> None:
        self._store = store
        self._switches = switches
        self._now = now

    def change(self, change: Mapping[str, Any]) -> Row:
        """Carry out one change and return the row as it is (or was, when it is deleted).

        Raises:
            ValueError: The change is not possible; says why.
        """
        kind, action = str(change.get("kind")), str(change.get("action"))
        if kind not in PLURAL:
            raise ValueError(f"sdp has no kind {kind!r}; it has {', '.join(PLURAL)}")
        actions = _ACTIONS.get(kind, {"add", "edit", "delete"})
        if action not in actions:
            raise ValueError(f"a {kind} has the actions {', '.join(sorted(actions))}, not {action!r}")
        values = self._resolved(kind, dict(change.get("values") or {}))
        if action == "add":
            return self._add(kind, values)
        key, row = self._find(kind, str(change.get("id")), change.get("module"))
        if action == "delete":
            self._bump(kind, row)
            return self._store.remove(PLURAL[kind], key)
        if action == "move":
            if "parent_kind" not in values:
                raise ValueError("values.parent says where a worklog moves, such as requests/1001")
            row = self._store.move_worklog(key, values["parent_kind"], values["parent_id"])
            self._bump(kind, row)
            return row
        return self._edit(kind, row, values | _FLAGS.get(action, {}))

    def _add(self, kind: str, values: Row) -> Row:
        start = _STARTS.get(kind, _STARTS["ticket"])
        table = self._store[PLURAL[kind]]
        row: Row = {"id": table.next_id(), **start, "created_time": self._now, **values}
        if kind in _TICKETS:
            row = {"last_updated_time": self._now, **row}
            row.setdefault("display_id" if kind != "project" else "code", row["id"])
        match kind:
            case "worklog":
                row = self._new_worklog(row)
            case "task":
                row.setdefault("parent_kind", "general")
                row.setdefault("parent_id", None)
            case "milestone" if row.get("parent_kind") != "project":
                raise ValueError("a milestone has a parent such as projects/51")
            case "account":
                site_id = self._store["sites"].next_id()
                self._store.put(
                    "sites", {"id": site_id, "name": "Common Site", "account_id": row["id"]}, now=self._now
                )
                row["default_site_id"] = site_id
        if kind in _TICKETS and kind != "task":
            row = self._with_site(row)
        self._store.put(PLURAL[kind], row, now=self._now)
        self._bump(kind, row)
        return row

    def _new_worklog(self, row: Row) -> Row:
        if "parent_kind" not in row:
            raise ValueError("a worklog has a parent such as requests/1001")
        row.setdefault("owner_id", next(iter(self._store["technicians"].rows)))
        row.setdefault("created_by_id", row["owner_id"])
        return worklogs.priced(self._store, row)

    def _edit(self, kind: str, row: Row, values: Row) -> Row:
        changed = row | values
        if kind == "worklog":
            changed = worklogs.priced(self._store, changed)
        if kind in _TICKETS:
            if "account_id" in values and kind != "task":
                # A ticket that goes to another customer leaves the old one's site and requester behind.
                changed = self._with_site(
                    changed | {"site_id": values.get("site_id"), "requester_id": values.get("requester_id")}
                )
            if "status" in values and "completed_time" in row:
                changed["completed_time"] = self._now if values["status"] in CLOSED_STATUSES else None
            changed["last_updated_time"] = values.get("last_updated_time", self._now)
        row = self._store.put(PLURAL[kind], changed)
        self._bump(kind, row)
        return row

    def _with_site(self, row: Row) -> Row:
        account = self._store.get("accounts", row["account_id"])
        if account is None or row.get("site_id"):
            return row
        return row | {"site_id": account["default_site_id"]}

    def _bump(self, kind: str, row: Row) -> None:
        if kind in {"worklog", "task"} and self._switches.is_on("bump_parent"):
            self._store.touch(row, self._now)

    def _find(self, kind: str, row_id: str, module: Any) -> tuple[str, Row]:
        table = self._store[PLURAL[kind]]
        for key in (row_id, f"{module}/{row_id}"):
            if key in table.rows:
                return key, table.rows[key]
        for key, row in table.rows.items():
            if kind == "worklog" and row["id"] == row_id and module is None:
                return key, row
        raise ValueError(f"there is no {kind} {row_id!r}")

    def _resolved(self, kind: str, values: Row) -> Row:
        """Return values with names and paths turned into ids."""
        if "id" in values:
            raise ValueError("ids are given by the product")
        if "parent" in values:
            values |= self._parent(kind, str(values.pop("parent")))
        if kind == "request" and "subject" in values:
            values["title"] = values.pop("subject")
        for name, (member, kinds) in _REFERENCES.items():
            if name in values:
                values[member] = self._named(name, kinds, values.pop(name))
        like = kind if kind in _STARTS else "ticket"
        known = {"name", *_STARTS[like], *_MORE.get(like, ())}
        for name in values:
            if name not in known:
                raise ValueError(f"a {kind} has no member {name!r}; it has {', '.join(sorted(known))}")
        return values

    def _parent(self, kind: str, path: str) -> Row:
        parts = path.strip("/").split("/")
        if (
            len(parts) < 2
            or parts[-2] not in PLURAL.values()
            or self._store.get(parts[-2], parts[-1]) is None
        ):
            raise ValueError(f"{kind}: there is no parent {path!r}; it is a path such as requests/1001")
        return {"parent_kind": parts[-2][:-1], "parent_id": parts[-1]}

    def _named(self, name: str, kinds: tuple[str, ...], wanted: Any) -> str | None:
        if wanted is None:
            return None
        for kind in kinds:
            for row in self._store[kind].rows.values():
                if str(wanted) in {row["id"], row["name"]}:
                    return str(row["id"])
        raise ValueError(f"there is no {name} {wanted!r}")
