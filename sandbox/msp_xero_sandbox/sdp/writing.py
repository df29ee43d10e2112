"""Checks on what callers send: types, lengths, references, times (sdp-msp-api §2, §7)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msp_xero_sandbox.sdp.store import Row, Store

_MOST_MONEY = Decimal(10**12)
_MOST_MINUTES = 10**7
_TIME_DIGITS = 14


def text_or_none(name: str, value: Any, limit: int | None = None) -> str | None:
    """Return a text, which may be null."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refusal(4021, field=name, text=f"{name} is a text.")
    if limit is not None and len(value) > limit:
        raise Refusal(4021, field=name, text=f"{name} has at most {limit} characters.")
    return value


def flag_or_none(name: str, value: Any) -> bool | None:
    """Return a truth value; the texts are accepted as well."""
    if value is None or isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise Refusal(4021, field=name, text=f"{name} is true or false.")


def amount(name: str, value: Any) -> Decimal:
    """Return an amount of 0 or more; empty is 0, and it may come as ``{"value": …}``."""
    if isinstance(value, dict):
        value = value.get("value")
    if value in (None, ""):
        return Decimal("0.00")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Refusal(4021, field=name, text=f"{name} is a number.") from None
    if not number.is_finite() or not 0 <= number <= _MOST_MONEY:
        raise Refusal(4021, field=name, text=f"{name} is 0 or more, and not absurd.")
    return number.quantize(Decimal("0.01"))


def moment_or_none(name: str, value: Any) -> int | None:
    """Return a time in epoch milliseconds, given as ``{"value": …}``."""
    if value is None:
        return None
    if not isinstance(value, dict) or "value" not in value:
        raise Refusal(4021, field=name, text=f'{name} is {{"value": milliseconds}}.')
    if value["value"] is None:
        return None
    text = str(value["value"])
    if not (text.isascii() and text.isdecimal() and len(text) <= _TIME_DIGITS):
        raise Refusal(4021, field=name, text=f"{name} is not a time in milliseconds.")
    return int(text)


def minutes_of(name: str, value: Any) -> int:
    """Return a duration given as hours and minutes, as numbers or padded texts."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        value = {"value": value}
    if not isinstance(value, dict):
        raise Refusal(4021, field=name, text=f"{name} has hours and minutes.")
    try:
        if "hours" in value or "minutes" in value:
            minutes = int(value.get("hours") or 0) * 60 + int(value.get("minutes") or 0)
        else:
            minutes = int(value.get("value") or 0) // 60_000
    except (TypeError, ValueError):
        raise Refusal(4021, field=name, text=f"{name} is not a duration.") from None
    if not 0 <= minutes <= _MOST_MINUTES:
        raise Refusal(4021, field=name, text=f"{name} is 0 or more, and not absurd.")
    return minutes


def reference(name: str, value: Any, rows: Iterable[Row]) -> str | None:
    """Return the id of the row that a reference names by id, e-mail address or name; 4001 when none does."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Refusal(4021, field=name, text=f"{name} has an id or a name.")
    for member in ("id", "email_id", "name"):
        if value.get(member) is None:
            continue
        wanted = str(value[member])
        for row in rows:
            if str(row.get(member)) == wanted:
                return str(row["id"])
        raise Refusal(4001, field=name)
    return None


def people(store: Store) -> list[Row]:
    """Everybody who can own time: technicians, and requesters on project tasks."""
    return [*store["technicians"].rows.values(), *store["requesters"].rows.values()]
