"""Worklog types over the API (sdp-msp-api §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp import writing
from msp_xero_sandbox.sdp.errors import Refusal

if TYPE_CHECKING:
    from msp_xero_sandbox.sdp.store import Row, Store

_NAME_LIMIT = 100
_DESCRIPTION_LIMIT = 4000


def apply(store: Store, old: Row | None, given: Any) -> Row:
    """Return a worklog type with what a caller sent.

    Raises:
        Refusal: The name is missing, taken or too long, or a member is unknown.
    """
    if not isinstance(given, dict):
        raise Refusal(4012, fields=["worklog_type"])
    row: Row = dict(old) if old is not None else {"description": None, "inactive": False}
    for name, value in given.items():
        match name:
            case "name":
                row["name"] = writing.text_or_none(name, value, _NAME_LIMIT)
            case "description":
                row["description"] = writing.text_or_none(name, value, _DESCRIPTION_LIMIT)
            case "color":
                row["color"] = writing.text_or_none(name, value, 20)
            case "inactive":
                row["inactive"] = bool(writing.flag_or_none(name, value))
            case _:
                raise Refusal(4014 if name == "id" else 4001, field=name)
    if not (row.get("name") or "").strip():
        raise Refusal(4012, fields=["name"])
    for other in store["worklog_types"].rows.values():
        if other["id"] != row.get("id") and other["name"].casefold() == row["name"].casefold():
            raise Refusal(4008, field="name")
    return row


def check_unused(store: Store, type_id: str) -> None:
    """Refuse to delete a type that worklogs have (4005)."""
    if any(row["type_id"] == type_id for row in store["worklogs"].rows.values()):
        raise Refusal(4005)
