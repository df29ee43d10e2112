"""Invoice arithmetic, exact in decimals (xero-api §4.3)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

ZERO = Decimal("0.00")
_CENT = Decimal("0.01")
_FOUR_PLACES = Decimal("0.0001")
_HUNDRED = Decimal(100)
_STEPS = {2: _CENT, 4: _FOUR_PLACES}

EXCLUSIVE, INCLUSIVE, NO_TAX = "Exclusive", "Inclusive", "NoTax"
LINE_AMOUNT_TYPES = (EXCLUSIVE, INCLUSIVE, NO_TAX)


class Totals(NamedTuple):
    """What Xero computes for a document."""

    sub_total: Decimal
    total_tax: Decimal
    total: Decimal


NO_TOTALS = Totals(ZERO, ZERO, ZERO)


def round2(value: Decimal) -> Decimal:
    """Round money half up: 2.165 becomes 2.17."""
    return value.quantize(_CENT, ROUND_HALF_UP)


def round4(value: Decimal) -> Decimal:
    """Round a quantity half up to the four places that Xero stores."""
    return value.quantize(_FOUR_PLACES, ROUND_HALF_UP)


def unit_price(value: Decimal, places: int) -> Decimal:
    """Round a unit price to the places that ``unitdp`` asks for, before anything is computed."""
    return value.quantize(_STEPS[places], ROUND_HALF_UP)


def line_amount(quantity: Decimal, price: Decimal, discount_rate: Decimal | None = None) -> Decimal:
    """Return quantity times price less the discount, to the cent."""
    if discount_rate is None:
        return (quantity * price).quantize(_CENT, ROUND_HALF_UP)
    return round2(quantity * price * (_HUNDRED - discount_rate) / _HUNDRED)


def line_tax(amount: Decimal, rate_percent: Decimal, line_amount_types: str) -> Decimal:
    """Return the tax of one line, rounded for the line."""
    if line_amount_types == NO_TAX or not rate_percent:
        return ZERO
    if line_amount_types == INCLUSIVE:
        return amount - round2(amount * _HUNDRED / (_HUNDRED + rate_percent))
    return (amount * rate_percent / _HUNDRED).quantize(_CENT, ROUND_HALF_UP)


def totals(lines: Iterable[tuple[Decimal, Decimal]], line_amount_types: str) -> Totals:
    """Sum lines of (amount, tax): the tax is rounded per line and then summed."""
    amounts = taxes = ZERO
    for amount, tax in lines:
        amounts += amount
        taxes += tax
    sub_total = amounts - taxes if line_amount_types == INCLUSIVE else amounts
    return Totals(sub_total, taxes, sub_total + taxes)
