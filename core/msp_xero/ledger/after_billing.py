"""What differs from what was billed: pure functions of a worklog's record and terms, as billed and as now."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msp_xero.ledger.lines import Line

BILLED_FIELDS = (
    "minutes",
    "account_id",
    "type_name",
    "technician_id",
    "description",
    "start_time",
    "total_cost",
    "is_billable",
)
"""Members of a worklog record whose later change is worth a person's attention."""

BILLED_TERMS = (
    "decision",
    "account_id",
    "type_id",
    "type_name",
    "work_date",
    "minutes",
    "description",
    "quantity",
    "unit_price",
    "amount",
)
"""Columns of a line whose later change counts where nobody here can read the record it was made of."""

_MAY_HOLD_COSTS = ("extra", "udf_fields")
"""Members of a worklog record in which the mapper looks for what is billed beside the charge."""

_CENT = Decimal("0.01")

_OF_THE_TICKET = ("parent_updated_time", "parent_changed_time", "parent_status")
"""Members of a worklog record that say nothing about what is billed."""


def differences(billed: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{field: [as billed, as it is now]}`` for the members whose change matters."""
    return {
        name: [billed.get(name), source.get(name)]
        for name in BILLED_FIELDS
        if billed.get(name) != source.get(name)
    }


def differing_terms(
    was: Mapping[str, Any], line: Line, billed: Mapping[str, Any], *, is_ours: bool
) -> dict[str, Any]:
    """Return what a line says otherwise than when it was billed, in the form of :func:`differences`.

    Of a record of ServiceDesk Plus its members tell it, and a changed rule of the mapper is no change of the
    worklog. Only the costs that the mapper adds to the charge are in none of those members.

    Args:
        was: the :data:`BILLED_TERMS` of the worklog's row, as billed.
        line: as it is now.
        billed: the record that was billed.
        is_ours: whether the line's record is one of ServiceDesk Plus.
    """
    now = line.terms()
    names: tuple[str, ...] = BILLED_TERMS
    if is_ours:
        has_other_costs = any(billed.get(name) != line.source.get(name) for name in _MAY_HOLD_COSTS)
        is_charged = was["amount"] is not None and now["amount"] is not None
        names = ("amount",) if has_other_costs and is_charged else ()
    return {name: [_told(was[name]), _told(now[name])] for name in names if was[name] != now[name]}


def _told(value: Any) -> Any:
    """Return a term as a person reads it, and as it can be stored: money with its cents."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal) and value == value.quantize(_CENT):
        return value.quantize(_CENT)
    return value


def of_the_worklog(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says of the worklog itself, without what its ticket went through."""
    return {name: value for name, value in record.items() if name not in _OF_THE_TICKET}
