"""First step: compare a worklog record with the contract of the ``worklogs`` stream."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from msp_xero_transforms.plain_text import tidy
from msp_xero_transforms.settings import MODULES
from msp_xero_transforms.steps.line import Line, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_MINUTES = 999_999
MAX_MONEY = Decimal("9999999999.99")  # the largest line total that Xero takes
MAX_ID_LENGTH = 64
_MAX_REASON_LENGTH = 1_000
_YEARS = range(1990, 2200)


class Violation(ValueError):
    """What is wrong with one member, as the end of a sentence that starts with its name."""


def read_worklog(record: dict[str, Any], *, key: tuple[str, str], origin: Origin) -> Line:
    """Start a line from a record; one that breaks the contract is held and never billed.

    Args:
        record: the worklog as it came; it is carried along unchanged.
        key: its module and id, see :func:`worklog_key`.
        origin: where it came from.
    """
    worklog, violations = _check(record)
    if record.get("minutes") is None:
        violations.append("minutes is missing")
    if key[0] not in MODULES.values():
        violations.append(f"module must be one of {', '.join(MODULES.values())}")
    line = Line(
        worklog=worklog,
        source=record,
        origin=origin,
        module=key[0],
        worklog_id=key[1],
        account_id=worklog["account_id"],
        account_name=worklog["account_name"],
        worklog_type_id=worklog["type_id"],
        worklog_type_name=worklog["type_name"],
        minutes=worklog["minutes"] or 0,
        is_billable=worklog["is_billable"],
    )
    if violations:
        reason = f"The worklog record is malformed: {'; '.join(violations)}."
        return line.hold("INVALID_RECORD", reason[:_MAX_REASON_LENGTH]).having(violated=True)
    return line


def worklog_key(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the module and id of a worklog, or None when it cannot be told which worklog it is."""
    module, worklog_id = record.get("module"), record.get("worklog_id")
    if isinstance(worklog_id, int) and not isinstance(worklog_id, bool):
        worklog_id = str(worklog_id)
    if not (_is_key(module, 20) and _is_key(worklog_id, MAX_ID_LENGTH)):
        return None
    return str(module), str(worklog_id)


def _is_key(value: object, longest: int) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip()) and len(value) <= longest


def decimal_of(value: object) -> Decimal:
    """Read an amount: a number, or the text of one.

    Raises:
        Violation: if it is neither, or is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise Violation("must be a number")
    if isinstance(value, str) and (not value.isascii() or "_" in value):
        raise Violation("must be a number")  # only Python reads that as one
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise Violation("must be a number") from None
    # copy_abs, because arithmetic on a number of a billion digits overflows.
    if not number.is_finite() or number.copy_abs() > MAX_MONEY:
        raise Violation(f"must be a number from -{MAX_MONEY} to {MAX_MONEY}")
    return number


def _identifier(value: object) -> str | None:
    if not isinstance(value, str):
        raise Violation("must be a text")
    if len(value) > MAX_ID_LENGTH or not value.isprintable():
        raise Violation(f"must be a text of at most {MAX_ID_LENGTH} printable characters")
    return value.strip() or None


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        raise Violation("must be a text")
    return (value if value.isprintable() else tidy(value).replace("\n", " ")).strip() or None


def _long_text(value: object) -> str:
    if not isinstance(value, str):
        raise Violation("must be a text")
    return value


def _instant(value: object) -> datetime:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None or instant.year not in _YEARS:
        raise Violation("must be a time with its offset, such as 2026-03-31T09:30:00Z")
    return instant


def _minutes(value: object) -> int:
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    # Looked at before it is computed with: the remainder of a huge number is an error.
    if not is_number or not Decimal(value).is_finite() or not 0 <= value <= MAX_MINUTES or value % 1:  # type: ignore[arg-type,operator]
        raise Violation(f"must be a whole number from 0 to {MAX_MINUTES}")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Violation("must be true or false")
    return value


def _members(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Violation("must be an object")
    return value


CHECKS: dict[str, Callable[[Any], Any]] = {
    "parent_module": _identifier,
    "parent_id": _identifier,
    "parent_display_id": _identifier,
    "parent_title": _text,
    "parent_status": _text,
    "parent_updated_time": _instant,
    "parent_changed_time": _instant,
    "task_id": _identifier,
    "task_title": _text,
    "account_id": _identifier,
    "account_name": _text,
    "site_name": _text,
    "technician_id": _identifier,
    "technician_name": _text,
    "technician_email": _text,
    "type_id": _identifier,
    "type_name": _text,
    "description": _long_text,
    "minutes": _minutes,
    "start_time": _instant,
    "end_time": _instant,
    "created_time": _instant,
    "created_by": _text,
    "technician_cost": decimal_of,
    "other_cost": decimal_of,
    "total_cost": decimal_of,
    "is_billable": _flag,
    "contract_id": _identifier,
    "contract_name": _text,
    "udf_fields": _members,
    "extra": _members,
}
"""Members of a worklog record beside its key; each may be absent or null, except ``minutes``."""


def _check(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the members that keep the contract, and sentences about those that do not."""
    worklog: dict[str, Any] = {}
    violations: list[str] = []
    for name, check in CHECKS.items():
        value = record.get(name)
        if value is not None:
            try:
                value = check(value)
            except Violation as violation:
                violations.append(f"{name} {violation}")
                value = None
        worklog[name] = value
    return worklog, violations
