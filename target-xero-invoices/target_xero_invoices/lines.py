"""One ``invoice_lines`` record as a line of the ledger: bad values put it on hold, never lose it."""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from msp_xero.billing.document import worklog_marker, worklog_of
from msp_xero.ledger.lines import Line, moment_of_creation
from msp_xero.ledger.types import encode_exact

_MOST = Decimal("9999999999.99")
"""Xero's largest line amount (xero-api §4.2)."""

_LONGEST_KEY = 64
_LONGEST_MODULE = 20
_LONGEST_CODE = 40
_LONGEST_INTEGER = 18
_DECISIONS = ("bill", "hold", "exclude")


def line_from_record(record: dict[str, Any]) -> Line:
    """Read a record that has its key.

    Returns:
        The line; on hold with ``INVALID_RECORD`` and the violations when a value is not what the
        stream promises.
    """
    reader = _Reader(record)
    source = record.get("source")
    source = source if isinstance(source, dict) and source else _stand_in(record)
    line: dict[str, Any] = {
        "worklog_id": reader.key("worklog_id", _LONGEST_KEY),
        "module": reader.key("module", _LONGEST_MODULE),
        "decision": reader.choice("decision", _DECISIONS),
        "reason_code": reader.short("reason_code", _LONGEST_CODE),
        "reason": reader.text("reason"),
        "source": source,
        "minutes": reader.minutes(source),
        "parent_id": _short(source.get("parent_id")),
        "parent_display_id": _short(source.get("parent_display_id")),
        "parent_title": _text(source.get("parent_title")),
        "account_id": reader.short("account_id", _LONGEST_KEY),
        "account_name": reader.text("account_name"),
        "technician_id": _short(source.get("technician_id")),
        "technician_name": _text(source.get("technician_name")),
        "type_id": reader.short("worklog_type_id", _LONGEST_KEY),
        "type_name": reader.text("worklog_type_name"),
        "work_date": reader.day("work_date"),
        "created_time": moment_of_creation(source),
        "is_billable": source.get("is_billable") if isinstance(source.get("is_billable"), bool) else None,
        "description": reader.text("description"),
        "quantity": reader.decimal("quantity", 4),
        "unit_price": reader.decimal("unit_price", 4),
        "amount": reader.decimal("amount", 2),
    }
    if line["decision"] == "bill" and line["account_id"] is None:
        line |= {
            "decision": "hold",
            "reason_code": "ACCOUNT_UNRESOLVED",
            "reason": "The worklog's ticket belongs to no account.",
        }
    if line["decision"] == "bill" and record.get("quantity") is None and record.get("amount") is None:
        reader.problems.append("neither quantity nor amount tells how much to bill")
    if line["decision"] != "bill" and not line["reason_code"]:
        reader.problems.append("a line that is not billed needs a reason_code")
    key = (line["module"], line["worklog_id"])
    if worklog_of(worklog_marker(*key)) != key:
        # The marker on the invoice line could not be read back, so a lost ledger could not be rebuilt.
        reader.problems.append("module and worklog_id are not a plain word and an id without spaces")
    if reader.problems:
        line |= {"decision": "hold", "reason_code": "INVALID_RECORD", "reason": "; ".join(reader.problems)}
    return Line(**line)


def _stand_in(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a later delivery is compared with where another tap's line has no worklog record."""
    return {
        "minutes": record.get("minutes"),
        "account_id": record.get("account_id"),
        "type_name": record.get("worklog_type_name"),
        "description": record.get("description"),
        "total_cost": record.get("amount"),
    }


class _Reader:
    """Reads members of one record and notes what is wrong with them, without quoting values."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        value = self.record.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            return _clean(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_LONGEST_INTEGER:
            return str(value)
        self.problems.append(f"{name} is not text")
        return None

    def short(self, name: str, longest: int) -> str | None:
        value = self.text(name)
        if value is None or len(value) <= longest:
            return value or None
        self.problems.append(f"{name} is longer than {longest} characters")
        return value[:longest]

    def key(self, name: str, longest: int) -> str:
        """Read a member of the key: a bad one is cut, and its digest keeps it apart from all others."""
        value = self.record[name]
        if isinstance(value, str) and 0 < len(value) <= longest and "\x00" not in value:
            return value
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_LONGEST_INTEGER:
            return str(value)
        self.problems.append(f"{name} is not an id of up to {longest} characters")
        digest = hashlib.sha256(encode_exact(value).encode()).hexdigest()[:12]
        text = _clean(value) if isinstance(value, str) else type(value).__name__
        return f"{text[: longest - 13]}~{digest}"

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.record.get(name)
        if value in allowed:
            return str(value)
        self.problems.append(f"{name} is none of {', '.join(allowed)}")
        return "hold"

    def minutes(self, source: dict[str, Any]) -> int:
        value = self.record.get("minutes", source.get("minutes", 0))
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6:
            return value
        if value is not None:
            self.problems.append("minutes is not a whole number from 0 to 999999")
        return 0

    def day(self, name: str) -> date | None:
        value = self.record.get(name)
        if value is None:
            return None
        try:
            return date.fromisoformat(value)
        except (TypeError, ValueError):
            self.problems.append(f"{name} is not a date like 2026-11-22")
            return None

    def decimal(self, name: str, places: int) -> Decimal | None:
        value = self.record.get(name)
        if value is None:
            return None
        number = _finite(value)
        if number is None or number.copy_abs() > _MOST:
            self.problems.append(f"{name} is not an amount that Xero can hold")
            return None
        exact = number.quantize(Decimal(1).scaleb(-places))
        if exact != number:
            self.problems.append(f"{name} has more than {places} decimals")
            return None
        return exact


def _finite(value: Any) -> Decimal | None:
    """Read a number, None when it is not one; binary floats are refused, they are not exact."""
    if isinstance(value, (bool, float)) or not isinstance(value, (int, str, Decimal)):
        return None
    if isinstance(value, str) and (not value.isascii() or "_" in value):
        return None  # only Python reads that as a number
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _clean(value: str) -> str:
    """Drop NUL, which PostgreSQL cannot store and nobody can read."""
    return value.replace("\x00", "")


def _text(value: Any) -> str | None:
    return None if value is None else _clean(str(value))


def _short(value: Any) -> str | None:
    text = _text(value)
    return text[:_LONGEST_KEY] if text else None
