"""The three worklog dialects as one record, and the value forms that SDP uses.

On-premises builds answer in a legacy or a new format, the cloud in a third one; the member's name
tells them apart (sdp-msp-api §3.2). Numbers come as text, sometimes zero-padded, sometimes inside
``{"value": …}``; times as epoch milliseconds. Parsing is tolerant and never guesses: what cannot be
read becomes None and its raw value stays in ``extra``.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple, TypedDict

Row = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - formatted by hand, always UTC
_LAST_MS: Final = 253_402_300_799_999  # 9999-12-31
_MS_A_MINUTE: Final = 60_000
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_CLOCK: Final = re.compile(r"(\d+):(\d{1,2})(?::\d{1,2})?")


class Worklog(TypedDict):
    """A worklog without its parent. Times ISO UTC with milliseconds; costs None where not visible."""

    worklog_id: str | None
    technician_id: str | None
    technician_name: str | None
    technician_email: str | None
    type_id: str | None
    type_name: str | None
    description: str | None
    minutes: int | None
    start_time: str | None
    end_time: str | None
    created_time: str | None
    created_by: str | None
    technician_cost: Decimal | None
    other_cost: Decimal | None
    total_cost: Decimal | None
    is_billable: bool | None
    contract_id: str | None
    contract_name: str | None
    udf_fields: Row
    extra: Row


class Reference(NamedTuple):
    """Id and name of a row that another row points to."""

    id: str | None
    name: str | None


NOTHING: Final = Reference(None, None)

# meaning -> names, on-premises new first, then cloud and legacy
_NAMES: Final = {
    "technician": ("owner", "technician"),
    "type": ("type", "worklog_type"),
    "time_spent": ("time_spent", "total_time_spent"),
    "created_time": ("created_time", "recorded_time"),
    "technician_cost": ("owner_cost", "tech_charge"),
    "other_cost": ("other_cost", "other_charge"),
    "total_cost": ("total_cost", "total_charge"),
    "contract": ("accountcontract",),
}
_OPERATIONAL: Final = {"inc_nonOperationalHours": "include_nonoperational_hours"}
# The parent is given by the path that was asked; the row repeats it in some dialects.
_PARENTS: Final = ("request", "problem", "change", "release", "project", "milestone", "task")
_PLAIN: Final = ("id", "description", "start_time", "end_time", "created_by", "is_billable", "udf_fields")
_KNOWN: Final = frozenset([*(name for names in _NAMES.values() for name in names), *_PARENTS, *_PLAIN])


def read_worklog(row: Row) -> Worklog:
    """Return one worklog row of any dialect in the one form.

    Example:
        ``{"id": "301", "time_spent": {"hours": "01", "minutes": "30"}, "tech_charge": {"value": "120"}}``
        gives ``minutes`` 90 and ``technician_cost`` Decimal("120"); the absent total stays None.
    """
    extra = {_OPERATIONAL.get(name, name): value for name, value in row.items() if name not in _KNOWN}
    technician = _first(row, "technician")
    technician_id, technician_name = reference(technician)
    type_id, type_name = reference(_first(row, "type"))
    contract_id, contract_name = reference(_first(row, "contract"))
    author = reference(row.get("created_by"))
    udf = row.get("udf_fields")
    return {
        "worklog_id": text(row.get("id")),
        "technician_id": technician_id,
        "technician_name": technician_name,
        "technician_email": text(technician.get("email_id")) if isinstance(technician, dict) else None,
        "type_id": type_id,
        "type_name": type_name,
        "description": text(row.get("description")),
        "minutes": _duration(row, extra),
        "start_time": _time(row, "start_time", extra),
        "end_time": _time(row, "end_time", extra),
        "created_time": _time(row, _named(row, "created_time"), extra),
        "created_by": author.name or author.id,
        "technician_cost": _money(row, "technician_cost", extra),
        "other_cost": _money(row, "other_cost", extra),
        "total_cost": _money(row, "total_cost", extra),
        "is_billable": _mark(row, "is_billable", extra),
        "contract_id": contract_id,
        "contract_name": contract_name,
        "udf_fields": udf if isinstance(udf, dict) else {},
        "extra": extra,
    }


def minutes(raw: object) -> int | None:
    """Return a duration in whole minutes, or None where it cannot be read; one half of it is no duration.

    Args:
        raw: ``{hours, minutes}`` as text or numbers, zero-padded or not, optionally with ``value``
            in milliseconds; ``{value}`` alone; milliseconds alone; or ``H:MM``.

    A number alone is one of milliseconds only where they make whole minutes: nobody has recorded
    all shapes (sdp-msp-api §3.2), 90 may as well be minutes and 5400 seconds. No time beside a value
    that is one has two readings of which one bills nothing, and is not read either.
    """
    if isinstance(raw, dict):
        halves = [raw.get("hours"), raw.get("minutes")]
        told = [half for half in halves if half not in (None, "")]
        if told and all(whole(half) is not None for half in told):
            hours, rest = (whole(half) or 0 for half in halves)
            total = hours * 60 + rest
            is_told_twice = raw.get("value") not in (None, "")
            return None if total == 0 and is_told_twice and whole(raw["value"]) != 0 else total
        raw = raw.get("value")
    if isinstance(raw, str) and (match := _CLOCK.fullmatch(raw.strip())):
        return int(match[1]) * 60 + int(match[2])
    milliseconds = whole(raw)
    return None if milliseconds is None or milliseconds % _MS_A_MINUTE else milliseconds // _MS_A_MINUTE


def whole(raw: object) -> int | None:
    """Return a whole number from a number or its text; None for anything else or a fraction."""
    number = decimal(raw)
    if number is None or number != number.to_integral_value():
        return None
    return int(number)


def decimal(raw: object) -> Decimal | None:
    """Return an exact decimal from text, a number or ``{"value": …}``; None when it is none of them."""
    if isinstance(raw, dict):
        raw = raw.get("value")
    if isinstance(raw, bool) or not isinstance(raw, (str, int, Decimal)):
        return None
    if isinstance(raw, str) and (not raw.isascii() or "_" in raw):
        return None
    try:
        number = Decimal(raw.strip() if isinstance(raw, str) else raw)
    except InvalidOperation:
        return None
    # An exponent beyond any money or time would make integers of thousands of digits.
    return number if number.is_finite() and -20 <= number.adjusted() <= 20 else None


def epoch_ms(raw: object) -> int | None:
    """Return epoch milliseconds from ``{"value": "…"}``, text or a number; None where not set (0, -1)."""
    value = raw.get("value") if isinstance(raw, dict) else raw
    if isinstance(value, str) and value.isdigit() and value.isascii():
        number: int | None = int(value) if len(value) <= 15 else None
    else:
        number = whole(value)
    return number if number is not None and 0 < number <= _LAST_MS else None


def iso_utc(milliseconds: int) -> str:
    """Return ``2025-11-24T09:00:00.000Z`` for epoch milliseconds; text order is time order."""
    return f"{(_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec='milliseconds')}Z"


def time_of(raw: object) -> str | None:
    """Return a time or a date-only value as ISO UTC with milliseconds; None where not set or unreadable.

    Only ``value`` is read: ``display_value`` depends on the user's personal settings.
    """
    milliseconds = epoch_ms(raw)
    if milliseconds is not None:
        return iso_utc(milliseconds)
    value = raw.get("value") if isinstance(raw, dict) else raw
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return f"{datetime.fromisoformat(value).isoformat(timespec='milliseconds')}Z"
        except ValueError:
            return None
    return None


def reference(raw: object) -> Reference:
    """Return id and name of a reference that is an object, a bare name or null."""
    if isinstance(raw, dict):
        return Reference(text(raw.get("id")), text(raw.get("name")))
    return Reference(None, text(raw))


def boolean(raw: object) -> bool | None:
    """Return a truth value from a boolean or its text; None where unknown."""
    if isinstance(raw, bool):
        return raw
    return {"true": True, "false": False}.get(raw.lower()) if isinstance(raw, str) else None


def text(raw: object) -> str | None:
    """Return text as it is and numbers as text; None for empty text, objects and null."""
    if isinstance(raw, str):
        return raw or None
    if isinstance(raw, (int, Decimal)) and not isinstance(raw, bool):
        return str(raw)
    return None


def _named(row: Row, meaning: str) -> str:
    """Return the name that this row's dialect has for a meaning; the first one that is set wins."""
    names = _NAMES[meaning]
    return next((name for name in names if row.get(name) is not None), names[0])


def _first(row: Row, meaning: str) -> Any:
    return row.get(_named(row, meaning))


def _duration(row: Row, extra: Row) -> int | None:
    raw = _first(row, "time_spent")
    result = minutes(raw)
    milliseconds = whole(raw.get("value")) if isinstance(raw, dict) else None
    if result is None:
        disputed = raw is not None
    else:
        disputed = milliseconds is not None and milliseconds != result * _MS_A_MINUTE
    if disputed:  # hours and minutes are what people see; the other reading is kept beside them
        extra["time_spent"] = raw
    return result


def _time(row: Row, name: str, extra: Row) -> str | None:
    raw = row.get(name)
    if raw is None:
        return None
    result = time_of(raw)
    if result is None and (raw.get("value") if isinstance(raw, dict) else raw) not in (
        None,
        "",
        "0",
        "-1",
        0,
        -1,
    ):
        extra[name] = raw
    return result


def _mark(row: Row, name: str, extra: Row) -> bool | None:
    raw = row.get(name)
    result = boolean(raw)
    if result is None and raw not in (None, ""):
        extra[name] = raw
    return result


def _money(row: Row, meaning: str, extra: Row) -> Decimal | None:
    """Return a cost; one that is absent or empty is not visible to this key, which is not zero."""
    name = _named(row, meaning)
    raw = row.get(name)
    if raw is None:
        return None
    result = decimal(raw)
    if result is None and (raw.get("value") if isinstance(raw, dict) else raw) not in (None, ""):
        extra[name] = raw
    return result
