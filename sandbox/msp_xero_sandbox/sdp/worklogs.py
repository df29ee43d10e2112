"""Adding and editing worklogs over the API, in the names of each dialect (sdp-msp-api §3.2)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp import writing
from msp_xero_sandbox.sdp.errors import Refusal
from msp_xero_sandbox.sdp.reading import CLOUD, LEGACY, NEW

if TYPE_CHECKING:
    from msp_xero_sandbox.sdp.store import Row, Store
    from msp_xero_sandbox.sdp.switches import Switches

_SAME_EVERYWHERE = {
    "description": "description",
    "start_time": "start_time",
    "end_time": "end_time",
    "is_billable": "is_billable",
    "accountcontract": "contract",
    "mark_first_response": "ignored",
}
_NAMES = {
    NEW: _SAME_EVERYWHERE
    | {
        "owner": "owner",
        "type": "type",
        "time_spent": "duration",
        "include_nonoperational_hours": "nonoperational",
        "other_cost": "other_cost",
        "add_time_for_linked_requests": "ignored",
        "template": "ignored",
        "udf_fields": "udf_fields",
    },
    LEGACY: _SAME_EVERYWHERE
    | {
        "technician": "owner",
        "worklog_type": "type",
        "total_time_spent": "duration",
        "inc_nonOperationalHours": "nonoperational",
        "other_charge": "other_cost",
        "add_time_linked_requests": "ignored",
        "request": "parent",
        "problem": "parent",
        "change": "parent",
        "task": "parent",
    },
    CLOUD: _SAME_EVERYWHERE
    | {
        "owner": "owner",
        "worklog_type": "type",
        "time_spent": "duration",
        "include_nonoperational_hours": "nonoperational",
        "other_charge": "other_cost",
        "recorded_time": "created",
    },
}
# What a worklog shows but a caller may not set.
_READ_ONLY = frozenset(
    {
        "id", "created_time", "created_by", "owner_cost", "total_cost", "tech_charge", "total_charge",
        "request", "problem", "change", "task",
    }
)  # fmt: skip
_MINUTE_MS = 60_000


def name_of_owner(dialect: str) -> str:
    """What the worker of a worklog is called."""
    return "technician" if dialect == LEGACY else "owner"


def apply(store: Store, switches: Switches, dialect: str, old: Row, given: Any) -> Row:
    """Return a worklog with what a caller sent; ``old`` is the stored row, or what an added one starts from.

    Raises:
        Refusal: A member is unknown, read-only, missing or wrong.
    """
    if not isinstance(given, dict):
        raise Refusal(4012, fields=["worklog"])
    names = _NAMES[dialect]
    row = dict(old)
    wire_name = {meaning: name for name, meaning in names.items()}
    for name, value in given.items():
        if name not in names:
            raise Refusal(4014 if name in _READ_ONLY else 4001, field=name)
        _set(store, row, names[name], name, value)
    if row.get("owner_id") is None:
        raise Refusal(4012, fields=[name_of_owner(dialect)])
    start, end = row.get("start_time"), row.get("end_time")
    if start is not None and end is not None and end < start:
        raise Refusal(4016, field="end_time")
    if row.get("minutes") is None:
        if dialect != CLOUD and (start is None or end is None):
            raise Refusal(4012, fields=[wire_name["duration"]])
        row["minutes"] = 0 if start is None or end is None else (end - start) // _MINUTE_MS
    if row["minutes"] == 0 and switches["zero_minutes"] == "deny":
        raise Refusal(4001, field=wire_name["duration"], text="A worklog has at least one minute.")
    return priced(store, row)


def priced(store: Store, row: Row) -> Row:
    """Return a worklog with the costs that its owner's rate and its minutes give."""
    owner = store.get("technicians", row["owner_id"])
    rate = Decimal(str(owner["cost_per_hour"])) if owner else Decimal(0)
    owner_cost = (rate * row["minutes"] / 60).quantize(Decimal("0.01"), ROUND_HALF_UP)
    other_cost = Decimal(str(row.get("other_cost") or "0.00"))
    return row | {"owner_cost": owner_cost, "other_cost": other_cost, "total_cost": owner_cost + other_cost}


def _set(store: Store, row: Row, meaning: str, name: str, value: Any) -> None:  # noqa: C901, PLR0912 - a flat table
    match meaning:
        case "owner":
            row["owner_id"] = writing.reference(name, value, writing.people(store))
        case "type":
            row["type_id"] = _type(store, name, value)
        case "duration":
            row["minutes"] = writing.minutes_of(name, value)
        case "start_time" | "end_time":
            row[meaning] = writing.moment_or_none(name, value)
        case "created":
            row["created_time"] = writing.moment_or_none(name, value) or row["created_time"]
        case "description":
            row["description"] = writing.text_or_none(name, value)
        case "nonoperational":
            row["include_nonoperational_hours"] = bool(writing.flag_or_none(name, value))
        case "is_billable":
            row["is_billable"] = writing.flag_or_none(name, value)
        case "other_cost":
            row["other_cost"] = writing.amount(name, value)
        case "contract":
            row["contract_id"] = writing.reference(name, value, store["contracts"].rows.values())
        case "udf_fields":
            if not isinstance(value, dict):
                raise Refusal(4021, field=name)
            row["udf_fields"] = {**(row.get("udf_fields") or {}), **value}
        case "parent":
            # Only the legacy dialect moves a worklog by its body (§3.2).
            row["parent_kind"] = name
            row["parent_id"] = writing.reference(name, value, store[f"{name}s"].rows.values())


def _type(store: Store, name: str, value: Any) -> str | None:
    type_id = writing.reference(name, value, store["worklog_types"].rows.values())
    row = store.get("worklog_types", type_id)
    if row is not None and row["inactive"]:
        raise Refusal(4001, field=name, text="The worklog type is not in use.")
    return type_id
