"""Which members each kind of row has on the wire, in each dialect (sdp-msp-api §3.2, §4, §5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp import reading
from msp_xero_sandbox.sdp.reading import CLOUD, LEGACY, NEW, Reader, money, priority, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from msp_xero_sandbox.sdp.store import Row

# Read by a column whose member is not there at all, which is not the same as null.
ABSENT = object()
Read = "Callable[[Reader, Row], Any]"


@dataclass(frozen=True, slots=True)
class Column:
    """One member: how its value is read, whether it is a time, and which row member sorts it."""

    name: str
    read: Callable[[Reader, Row], Any]
    is_time: bool = False
    sorts_by: str | None = None
    # The switch that lists the modules that have this member.
    switch: str | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of row in one dialect."""

    kind: str
    plural: str
    singular: str
    columns: dict[str, Column]
    default_names: tuple[str, ...] | None = None
    newest_first: bool = False
    aliases: dict[str, str] = field(default_factory=dict)

    def available(self, reader: Reader) -> dict[str, Column]:
        """The columns that this installation has for this caller."""
        switches = reader.switches
        return {
            name: column
            for name, column in self.columns.items()
            if column.switch is None or self.kind in switches.modules(column.switch)
        }


def render(reader: Reader, row: Row, columns: list[Column]) -> dict[str, Any]:
    """Return the wanted members of a row."""
    shown = {}
    for column in columns:
        value = column.read(reader, row)
        if value is not ABSENT:
            shown[column.name] = reading.moment(value) if column.is_time else value
    return shown


def _plain(name: str, member: str = "", *, sorts: bool = False) -> Column:
    member = member or name
    return Column(name, lambda _, row: row.get(member), sorts_by=member if sorts else None)


def _time(name: str, member: str = "", *, sorts: bool = False, switch: str | None = None) -> Column:
    member = member or name
    return Column(name, lambda _, row: row.get(member), is_time=True, sorts_by=member if sorts else None, switch=switch)


def _flag(name: str, member: str = "", *, default: bool = False) -> Column:
    member = member or name
    return Column(name, lambda _, row: row.get(member, default))


def _constant(name: str, value: Any) -> Column:
    return Column(name, lambda *_: value)


def _status() -> Column:
    return Column("status", lambda _, row: status(row["status"]), sorts_by="status")


def _priority() -> Column:
    return Column("priority", lambda _, row: priority(row["priority"]), sorts_by="priority")


def _person(name: str, member: str) -> Column:
    return Column(name, lambda reader, row: reader.person(row.get(member)))


def _account(dialect: str) -> Column:
    name = "customer" if dialect == CLOUD else "account"
    return Column(name, lambda reader, row: reader.account(row.get("account_id")), switch="account_on")


def _site() -> Column:
    return Column("site", lambda reader, row: reader.site(row.get("site_id")))


def _changed() -> Column:
    return _time("last_updated_time", sorts=True, switch="last_updated_on")


def _by_name(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


def _requests(dialect: str) -> Entity:
    columns = _by_name(
        _plain("id", sorts=True),
        _plain("display_id"),
        _plain("subject", "title", sorts=True),
        _plain("description"),
        _account(dialect),
        _site(),
        _person("requester", "requester_id"),
        _person("technician", "technician_id"),
        _status(),
        _priority(),
        _time("created_time", sorts=True),
        _changed(),
        _time("due_by_time", sorts=True),
        _time("completed_time"),
        _time("resolved_time", "completed_time"),
        _time("deleted_time"),
        _constant("template", {"id": "1", "name": "Default Request"}),
        _constant("group", None),
        _constant("has_draft", value=False),
        _constant("cancel_flag_comments", None),
        _constant("is_service_request", value=False),
        _constant("cancellation_requested", value=False),
        _constant("has_notes", value=False),
        _constant("unreplied_count", 0),
        _flag("is_trashed"),
    )
    # What a recorded default list row has (§4).
    default = (
        "requester", "template", "created_time", "has_draft", "cancel_flag_comments", "display_id", "subject",
        "technician", "due_by_time", "is_service_request", "cancellation_requested", "has_notes", "id", "status", "group",
    )  # fmt: skip
    return Entity("requests", "requests", "request", columns, default, newest_first=True)


def _problems(dialect: str) -> Entity:
    columns = _by_name(
        _plain("id", sorts=True),
        _plain("display_id", "id"),
        _plain("title", sorts=True),
        _plain("description"),
        _account(dialect),
        _site(),
        _person("reported_by", "requester_id"),
        _person("technician", "technician_id"),
        _status(),
        _priority(),
        _time("reported_time", "created_time", sorts=True),
        _time("created_time", sorts=True),
        _changed(),
        _time("due_by_time", sorts=True),
        _time("closed_time", "completed_time", sorts=True),
    )
    default = ("id", "display_id", "title", "technician", "status", "priority", "reported_time", "due_by_time")
    return Entity("problems", "problems", "problem", columns, default, newest_first=True)


def _changes(dialect: str) -> Entity:
    columns = _by_name(
        _plain("id", sorts=True),
        _plain("display_id", "id"),
        _plain("title", sorts=True),
        _plain("description"),
        _account(dialect),
        _site(),
        _person("change_requester", "requester_id"),
        _person("change_owner", "technician_id"),
        _status(),
        _priority(),
        Column("stage", lambda *_: {"id": "2", "name": "Implementation"}, sorts_by="status"),
        _time("created_time", sorts=True),
        _changed(),
        _time("completed_time", sorts=True),
        _time("scheduled_start_time", "created_time", sorts=True),
        _time("scheduled_end_time", "due_by_time", sorts=True),
    )
    default = ("id", "display_id", "title", "change_owner", "status", "stage", "created_time", "scheduled_end_time")
    return Entity("changes", "changes", "change", columns, default, newest_first=True)


def _projects(dialect: str) -> Entity:
    old = dialect == LEGACY
    columns = _by_name(
        _plain("id", sorts=True),
        _plain("project_code" if old else "code", "code"),
        _plain("title", sorts=True),
        _plain("description"),
        _account(dialect),
        _site(),
        _person("requested_by" if old else "requester", "requester_id"),
        _person("owner", "technician_id"),
        _status(),
        _priority(),
        _constant("project_type" if old else "type", None),
        _time("created_time", sorts=True),
        _changed(),
        _time("scheduled_start_time", "created_time"),
        _time("scheduled_end_time", "due_by_time", sorts=True),
        _time("actual_end_time", "completed_time"),
        _time("projected_on" if old else "projected_end_time", "due_by_time"),
    )
    default = ("id", "title", "description", "owner", "status", "scheduled_end_time")
    return Entity("projects", "projects", "project", columns, default, newest_first=True)


def _milestones(_: str) -> Entity:
    columns = _by_name(
        _plain("id", sorts=True),
        _plain("title", sorts=True),
        _time("created_time", sorts=True),
        Column("project", lambda reader, row: reader.named("projects", row["parent_id"], "title")),
    )
    return Entity("milestones", "milestones", "milestone", columns)


def _parent_of_task(name: str) -> Column:
    def read(reader: Reader, row: Row) -> Any:
        above: Row | None = row
        if name == "project" and row["parent_kind"] == "milestone":
            above = reader.store.get("milestones", row["parent_id"])
        elif row["parent_kind"] != name:
            return None
        return above and reader.named(f"{name}s", above["parent_id"], "title")

    return Column(name, read)


def _tasks(dialect: str) -> Entity:
    old = dialect == LEGACY
    columns = _by_name(
        _plain("id", sorts=True),
        _plain("title", sorts=True),
        _plain("description"),
        _account(dialect),
        _site(),
        _person("owner", "owner_id"),
        _status(),
        _constant("task_type" if old else "type", None),
        *(_parent_of_task(name) for name in ("request", "problem", "change", "project", "milestone")),
        _time("created_date" if old else "created_time", "created_time", sorts=True),
        _changed(),
        _time("scheduled_start_time", "created_time"),
        _time("scheduled_end_time", sorts=True),
        *([] if old else [_time("due_by_time", "scheduled_end_time")]),
        _constant("percentage_completion", "0"),
    )
    default = ("id", "title", "owner", "status", "scheduled_end_time", "created_date" if old else "created_time")
    return Entity("tasks", "tasks", "task", columns, default, newest_first=True)


def _worklog_types(_: str) -> Entity:
    columns = _by_name(
        _plain("id", sorts=True), _plain("name", sorts=True), _plain("description"), _plain("color"), _flag("inactive")
    )
    return Entity("worklog_types", "worklog_types", "worklog_type", columns)


ACCOUNT_TEXTS = (
    "name", "description", "industry", "country", "city", "doornumber", "street", "landmark", "state", "postalcode",
    "landline", "fax", "emailid", "weburl",
)  # fmt: skip


def _accounts(dialect: str) -> Entity:
    # The name of the custom-fields container and of the login URL are switches, see accounts.py.
    columns = _by_name(
        _plain("id", sorts=True),
        *(_plain(name, sorts=name == "name") for name in ACCOUNT_TEXTS),
        _person("account_manager", "account_manager_id"),
        Column("default_site", lambda reader, row: reader.named("sites", row["default_site_id"])),
        _flag("inactive"),
    )
    if dialect == CLOUD:
        columns |= _by_name(_plain("domain", "login_url"), _flag("is_msp"))
        return Entity("accounts", "customers", "customer", columns)
    return Entity("accounts", "accounts", "account", columns)


def _sites(dialect: str) -> Entity:
    key = "customer" if dialect == CLOUD else "account"
    account = Column(key, lambda reader, row: reader.account(row["account_id"]))
    return Entity("sites", "sites", "site", _by_name(_plain("id", sorts=True), _plain("name", sorts=True), account))


def _cost(name: str, member: str) -> Column:
    def read(reader: Reader, row: Row) -> Any:
        hidden = row.get("costs") if member != "other_cost" else None
        if reader.costs == "off" or hidden == "absent":
            return ABSENT
        if reader.costs == "null" or hidden == "null":
            return None
        if reader.dialect != CLOUD:
            return money(row[member])
        text = reading.short_money(row[member])
        return {"value": text} if reader.switches["cost_shape"] == "object" else text

    return Column(name, read)


def _duration(name: str) -> Column:
    def read(reader: Reader, row: Row) -> Any:
        minutes = row["minutes"]
        if reader.dialect == LEGACY and reader.switches["legacy_time_spent"] == "milliseconds":
            return str(minutes * 60_000)
        hours, rest = divmod(minutes, 60)
        if reader.dialect == CLOUD:
            return {"hours": f"{hours:02d}", "minutes": f"{rest:02d}", "value": str(minutes * 60_000)}
        return {"hours": str(hours), "minutes": str(rest), "value": str(minutes * 60_000)}

    return Column(name, read)


def _parent_of_worklog(name: str) -> Column:
    def read(reader: Reader, row: Row) -> Any:
        return reader.named(f"{name}s", row["parent_id"], "title") if row["parent_kind"] == name else ABSENT

    return Column(name, read)


def _billing_hours(_: Reader, row: Row) -> Any:
    minutes = row.get("billing_minutes")
    return ABSENT if minutes is None else {"hours": str(minutes // 60), "minutes": str(minutes % 60)}


def _custom_fields(_: Reader, row: Row) -> Any:
    return row.get("udf_fields") or {}


def _worklogs(dialect: str) -> Entity:
    new, cloud = dialect == NEW, dialect == CLOUD
    legacy = dialect == LEGACY
    columns = [
        _plain("id", sorts=True),
        *([] if cloud else [_parent_of_worklog(name) for name in ("request", "problem", "change", "task")]),
        _person("technician" if legacy else "owner", "owner_id"),
        Column("type" if new else "worklog_type", lambda reader, row: reader.named("worklog_types", row["type_id"])),
        _plain("description"),
        _duration("total_time_spent" if legacy else "time_spent"),
        _time("start_time", sorts=True),
        _time("end_time", sorts=True),
        _time("recorded_time" if cloud else "created_time", "created_time", sorts=True),
        _person("created_by", "created_by_id"),
        _flag("inc_nonOperationalHours" if legacy else "include_nonoperational_hours"),
        _cost("owner_cost" if new else "tech_charge", "owner_cost"),
        _cost("other_cost" if new else "other_charge", "other_cost"),
        _cost("total_cost" if new else "total_charge", "total_cost"),
    ]
    if not cloud:
        columns += [
            _flag("is_billable"),
            Column("accountcontract", lambda reader, row: reader.named("contracts", row.get("contract_id"))),
            # The real key of the hours on an hour-based contract is not known (§3.3).
            Column("billing_hours", _billing_hours),
        ]
    if new:
        columns += [
            _constant("template", {"id": "1", "name": "Default Template"}),
            Column("udf_fields", _custom_fields),
        ]
    return Entity("worklogs", "worklogs", "worklog", _by_name(*columns))


_BUILDERS = {
    "requests": _requests,
    "problems": _problems,
    "changes": _changes,
    "projects": _projects,
    "milestones": _milestones,
    "tasks": _tasks,
    "worklogs": _worklogs,
    "worklog_types": _worklog_types,
    "accounts": _accounts,
    "sites": _sites,
}


@cache
def entity(kind: str, dialect: str) -> Entity:
    """Return the kind of row in the dialect."""
    return _BUILDERS[kind](dialect)
