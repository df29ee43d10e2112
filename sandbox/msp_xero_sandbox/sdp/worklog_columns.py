"""The members of a worklog in the three dialects (sdp-msp-api §3.2, §3.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp.columns import ABSENT, Column, Entity, constant, flag, person, plain, time_of
from msp_xero_sandbox.sdp.reading import CLOUD, LEGACY, NEW, money, short_money

if TYPE_CHECKING:
    from msp_xero_sandbox.sdp.reading import Reader
    from msp_xero_sandbox.sdp.store import Row


def _cost(name: str, member: str) -> Column:
    def read(reader: Reader, row: Row) -> Any:
        hidden = row.get("costs") if member != "other_cost" else None
        if reader.costs == "off" or hidden == "absent":
            return ABSENT
        if reader.costs == "null" or hidden == "null":
            return None
        if reader.dialect != CLOUD:
            return money(row[member])
        text = short_money(row[member])
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


def worklogs(dialect: str) -> Entity:
    """Return what a worklog is in the dialect."""
    new, cloud = dialect == NEW, dialect == CLOUD
    legacy = dialect == LEGACY
    columns = [
        plain("id", sorts=True),
        *([] if cloud else [_parent_of_worklog(name) for name in ("request", "problem", "change", "task")]),
        person("technician" if legacy else "owner", "owner_id"),
        Column(
            "type" if new else "worklog_type",
            lambda reader, row: reader.named("worklog_types", row["type_id"]),
        ),
        plain("description"),
        _duration("total_time_spent" if legacy else "time_spent"),
        time_of("start_time", sorts=True),
        time_of("end_time", sorts=True),
        replace(
            time_of("recorded_time" if cloud else "created_time", "created_time", sorts=True),
            name_from="legacy_created" if legacy else None,
        ),
        person("created_by", "created_by_id"),
        flag("inc_nonOperationalHours" if legacy else "include_nonoperational_hours"),
        _cost("owner_cost" if new else "tech_charge", "owner_cost"),
        _cost("other_cost" if new else "other_charge", "other_cost"),
        _cost("total_cost" if new else "total_charge", "total_cost"),
    ]
    if not cloud:
        columns += [
            flag("is_billable"),
            Column("accountcontract", lambda reader, row: reader.named("contracts", row.get("contract_id"))),
            # The real key of the hours on an hour-based contract is not known (§3.3).
            Column("billing_hours", _billing_hours),
        ]
    if new:
        columns += [
            constant("template", {"id": "1", "name": "Default Template"}),
            Column("udf_fields", _custom_fields),
        ]
    return Entity("worklogs", "worklogs", "worklog", tuple(columns))
