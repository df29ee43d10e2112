"""Xero's rows in the shape that a stream's schema promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero.errors import InputError
from msp_xero.xero import wire

if TYPE_CHECKING:
    from collections.abc import Mapping


def shape(value: Any, schema: Mapping[str, Any], *, name: str) -> Any:
    """Return ``value`` with the members that ``schema`` declares and its dates in ISO-8601.

    Xero's own names stay, and so do exact decimals. Instants get UTC and six decimals, so that their text
    order is their time order; calendar dates lose the midnight that Xero gives them (xero-api §4.8). What is
    not declared is left out: twins such as ``DateString``, validation fields, and members that Xero adds.

    Args:
        value: a decoded JSON value.
        schema: the JSON schema of it.
        name: what the value is called, for the error.

    Raises:
        InputError: a date that is none.
    """
    if isinstance(value, dict):
        members = schema.get("properties", {})
        return {
            key: shape(member, members[key], name=f"{name}.{key}")
            for key, member in value.items()
            if key in members
        }
    if isinstance(value, list):
        return [shape(member, schema.get("items", {}), name=name) for member in value]
    form = schema.get("format")
    if isinstance(value, str) and form in {"date", "date-time"}:
        return _date(value, form, name)
    return value


def _date(text: str, form: str, name: str) -> str | None:
    if not text:
        return None
    try:
        return wire.parse_day(text).isoformat() if form == "date" else wire.utc_text(wire.parse_instant(text))
    except ValueError:
        raise InputError(f"Xero sent a date in {name} that is not a date") from None
