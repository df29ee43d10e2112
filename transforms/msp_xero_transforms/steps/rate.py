"""Rate: the item's price, or the charge that ServiceDesk Plus computed."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from msp_xero_transforms.steps.contract import Violation, decimal_of

if TYPE_CHECKING:
    from msp_xero_transforms.rules import Rules
    from msp_xero_transforms.steps.line import Line

_CHARGE = {"total_cost", "total_charge"}  # sdp-msp-api: its names; the tap keeps what it cannot read in extra
_CENT = Decimal("0.01")
_FOUR_PLACES = Decimal("0.0001")
_ONE = Decimal("1.0000")


def rate(line: Line, rules: Rules) -> Line:
    """Set price and amount; both stay None when the price of the Xero item decides."""
    if rules.rate_source == "item_price":
        return line
    charge = line.worklog["total_cost"]
    if charge is None and (unreadable := (line.worklog["extra"] or {}).keys() & _CHARGE):
        named = " and ".join(sorted(unreadable))
        return line.hold("INVALID_RECORD", f"The worklog's {named} is there, and is no number.")
    if charge is None:
        return line.hold(
            "CHARGE_NOT_VISIBLE",
            "The worklog's total cost is not visible to the ServiceDesk Plus user of the tap.",
        )
    if rules.additional_cost_path:
        try:
            charge += additional_cost(line.worklog, rules.additional_cost_path)
        except Violation as violation:
            path = ".".join(rules.additional_cost_path)
            return line.hold("INVALID_RECORD", f"The additional cost at {path} {violation}.")
    return _charge(line, charge)


def _charge(line: Line, charge: Decimal) -> Line:
    # Adding zero turns a negative zero, left over from rounding, into a plain one.
    amount = charge.quantize(_CENT, ROUND_HALF_UP) + Decimal(0)
    line = _priced(line, amount)
    if amount < 0:
        return line.hold("NEGATIVE_AMOUNT", "The worklog's charge is negative, and invoice lines are not.")
    if amount == 0 and line.minutes == 0:
        return line.exclude("The worklog has neither time nor a charge, so there is nothing to bill.")
    return line


def _priced(line: Line, amount: Decimal) -> Line:
    """Split an amount into hours and price where that is exact, else bill it as one piece.

    Xero multiplies quantity and price again; only an exact product is sure to give the amount.
    """
    if line.quantity:
        unit_price = (amount / line.quantity).quantize(_FOUR_PLACES, ROUND_HALF_UP)
        if unit_price * line.quantity == amount:
            return line.having(unit_price=unit_price, amount=amount)
    return line.having(quantity=_ONE, unit_price=amount, amount=amount, lump_sum=True)


def additional_cost(worklog: dict[str, Any], path: tuple[str, ...]) -> Decimal:
    """Add up what stands at a path; a worklog without it has no additional cost.

    Raises:
        Violation: if there is something that is not an amount.
    """
    return _total(worklog, path)


def _total(value: Any, path: tuple[str, ...]) -> Decimal:
    if value is None or value == "":
        return Decimal(0)
    if isinstance(value, list):
        return sum((_total(element, path) for element in value), Decimal(0))
    if path:
        if not isinstance(value, dict):
            raise Violation("is not where the setting additional_cost_field says")
        return _total(value.get(path[0]), path[1:])
    # Some builds send money as an object with currency and exchange rate beside the value.
    return decimal_of(value.get("value") if isinstance(value, dict) else value)
