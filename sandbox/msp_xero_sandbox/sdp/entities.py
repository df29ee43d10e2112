"""Which members each kind of row has on the wire, in each dialect (sdp-msp-api §4-6)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp.columns import (
    Column,
    Entity,
    account_of,
    changed,
    constant,
    flag,
    person,
    plain,
    priority_of,
    site_of,
    status_of,
    time_of,
)
from msp_xero_sandbox.sdp.reading import CLOUD, LEGACY
from msp_xero_sandbox.sdp.worklog_columns import worklogs

if TYPE_CHECKING:
    from msp_xero_sandbox.sdp.reading import Reader
    from msp_xero_sandbox.sdp.store import Row


def _requests(dialect: str) -> Entity:
    columns = (
        plain("id", sorts=True),
        plain("display_id"),
        plain("subject", "title", sorts=True),
        plain("description"),
        account_of(dialect),
        site_of(),
        person("requester", "requester_id"),
        person("technician", "technician_id"),
        status_of(),
        priority_of(),
        time_of("created_time", sorts=True),
        changed(),
        time_of("due_by_time", sorts=True),
        time_of("completed_time"),
        time_of("resolved_time", "completed_time"),
        time_of("deleted_time"),
        constant("template", {"id": "1", "name": "Default Request"}),
        constant("group", None),
        constant("has_draft", value=False),
        constant("cancel_flag_comments", None),
        constant("is_service_request", value=False),
        constant("cancellation_requested", value=False),
        constant("has_notes", value=False),
        constant("unreplied_count", 0),
        flag("is_trashed"),
    )
    # What a recorded default list row has (§4).
    default = (
        "requester", "template", "created_time", "has_draft", "cancel_flag_comments", "display_id",
        "subject", "technician", "due_by_time", "is_service_request", "cancellation_requested",
        "has_notes", "id", "status", "group",
    )  # fmt: skip
    return Entity("requests", "requests", "request", columns, default, newest_first=True)


def _problems(dialect: str) -> Entity:
    columns = (
        plain("id", sorts=True),
        plain("display_id", "id"),
        plain("title", sorts=True),
        plain("description"),
        account_of(dialect),
        site_of(),
        person("reported_by", "requester_id"),
        person("technician", "technician_id"),
        status_of(),
        priority_of(),
        time_of("reported_time", "created_time", sorts=True),
        time_of("created_time", sorts=True),
        changed(),
        time_of("due_by_time", sorts=True),
        time_of("closed_time", "completed_time", sorts=True),
    )
    default = (
        "id",
        "display_id",
        "title",
        "technician",
        "status",
        "priority",
        "reported_time",
        "due_by_time",
    )
    return Entity("problems", "problems", "problem", columns, default, newest_first=True)


def _changes(dialect: str) -> Entity:
    columns = (
        plain("id", sorts=True),
        plain("display_id", "id"),
        plain("title", sorts=True),
        plain("description"),
        account_of(dialect),
        site_of(),
        person("change_requester", "requester_id"),
        person("change_owner", "technician_id"),
        status_of(),
        priority_of(),
        Column("stage", lambda *_: {"id": "2", "name": "Implementation"}, sorts_by="status"),
        time_of("created_time", sorts=True),
        changed(),
        time_of("completed_time", sorts=True),
        time_of("scheduled_start_time", "created_time", sorts=True),
        time_of("scheduled_end_time", "due_by_time", sorts=True),
    )
    default = (
        "id",
        "display_id",
        "title",
        "change_owner",
        "status",
        "stage",
        "created_time",
        "scheduled_end_time",
    )
    return Entity("changes", "changes", "change", columns, default, newest_first=True)


def _projects(dialect: str) -> Entity:
    old = dialect == LEGACY
    columns = (
        plain("id", sorts=True),
        plain("project_code" if old else "code", "code"),
        plain("title", sorts=True),
        plain("description"),
        account_of(dialect),
        site_of(),
        person("requested_by" if old else "requester", "requester_id"),
        person("owner", "technician_id"),
        status_of(),
        priority_of(),
        constant("project_type" if old else "type", None),
        time_of("created_time", sorts=True),
        changed(),
        time_of("scheduled_start_time", "created_time"),
        time_of("scheduled_end_time", "due_by_time", sorts=True),
        time_of("actual_end_time", "completed_time"),
        time_of("projected_on" if old else "projected_end_time", "due_by_time"),
    )
    default = ("id", "title", "description", "owner", "status", "scheduled_end_time")
    return Entity("projects", "projects", "project", columns, default, newest_first=True)


def _milestones(_: str) -> Entity:
    columns = (
        plain("id", sorts=True),
        plain("title", sorts=True),
        time_of("created_time", sorts=True),
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
    columns = (
        plain("id", sorts=True),
        plain("title", sorts=True),
        plain("description"),
        account_of(dialect),
        site_of(),
        person("owner", "owner_id"),
        status_of(),
        constant("task_type" if old else "type", None),
        *(_parent_of_task(name) for name in ("request", "problem", "change", "project", "milestone")),
        time_of("created_date" if old else "created_time", "created_time", sorts=True),
        changed(),
        time_of("scheduled_start_time", "created_time"),
        time_of("scheduled_end_time", sorts=True),
        *([] if old else [time_of("due_by_time", "scheduled_end_time"), time_of("actual_end_time")]),
        constant("percentage_completion", "0"),
    )
    default = (
        "id",
        "title",
        "owner",
        "status",
        "scheduled_end_time",
        "created_date" if old else "created_time",
    )
    return Entity("tasks", "tasks", "task", columns, default, newest_first=True)


def _worklog_types(_: str) -> Entity:
    columns = (
        plain("id", sorts=True),
        plain("name", sorts=True),
        plain("description"),
        plain("color"),
        flag("inactive"),
    )
    return Entity("worklog_types", "worklog_types", "worklog_type", columns)


ACCOUNT_TEXTS = (
    "name", "description", "industry", "country", "city", "doornumber", "street", "landmark", "state",
    "postalcode", "landline", "fax", "emailid", "weburl",
)  # fmt: skip


# Names of the custom fields that the installation's administrator defined; accounts.py has their types.
ACCOUNT_CUSTOM_FIELDS = (
    "udf_sline_101", "udf_sline_102", "udf_mline_103", "udf_double_104", "udf_date_105",
    "udf_sline_106",
)  # fmt: skip


def _account_custom_fields(_: Reader, row: Row) -> Any:
    return dict.fromkeys(ACCOUNT_CUSTOM_FIELDS) | (row.get("udf_fields") or {})


def _accounts(dialect: str) -> Entity:
    columns: tuple[Column, ...] = (
        plain("id", sorts=True),
        *(plain(name, sorts=name == "name") for name in ACCOUNT_TEXTS),
        person("account_manager", "account_manager_id"),
        Column("default_site", lambda reader, row: reader.named("sites", row["default_site_id"])),
        flag("inactive"),
        Column("udf_fields", _account_custom_fields, name_from="account_udf_container"),
    )
    if dialect == CLOUD:
        columns += (plain("domain", "login_url"), flag("is_msp"))
        return Entity("accounts", "customers", "customer", columns)
    columns += (Column("login_url", lambda _, row: row.get("login_url"), name_from="login_url_field"),)
    return Entity("accounts", "accounts", "account", columns)


def _sites(dialect: str) -> Entity:
    key = "customer" if dialect == CLOUD else "account"
    account = Column(key, lambda reader, row: reader.account(row["account_id"]))
    return Entity("sites", "sites", "site", (plain("id", sorts=True), plain("name", sorts=True), account))


_BUILDERS = {
    "requests": _requests,
    "problems": _problems,
    "changes": _changes,
    "projects": _projects,
    "milestones": _milestones,
    "tasks": _tasks,
    "worklogs": worklogs,
    "worklog_types": _worklog_types,
    "accounts": _accounts,
    "sites": _sites,
}


@cache
def entity(kind: str, dialect: str) -> Entity:
    """Return the kind of row in the dialect."""
    return _BUILDERS[kind](dialect)
