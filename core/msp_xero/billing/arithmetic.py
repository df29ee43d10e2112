"""Xero's arithmetic, to the cent (xero-api §4.3). All values are Decimal."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CENT = Decimal("0.01")
TEN_THOUSANDTH = Decimal("0.0001")
ZERO = Decimal("0.00")


def to_cents(value: Decimal) -> Decimal:
    """Round half up to two decimals, as Xero does with line amounts and taxes."""
    return value.quantize(CENT, rounding=ROUND_HALF_UP)


def line_amount(quantity: Decimal, unit_price: Decimal) -> Decimal:
    """Return quantity times price; the price is rounded to four decimals first (``unitdp=4``)."""
    return to_cents(quantity * unit_price.quantize(TEN_THOUSANDTH, rounding=ROUND_HALF_UP))


def line_tax(amount: Decimal, rate: Decimal, line_amount_types: str) -> Decimal:
    """Return the tax of one line.

    Args:
        amount: the line amount.
        rate: percent, for example 15.
        line_amount_types: ``Exclusive``, ``Inclusive`` or ``NoTax``.
    """
    if line_amount_types == "NoTax":
        return ZERO
    if line_amount_types == "Inclusive":
        return amount - to_cents(amount / (1 + rate / 100))
    return to_cents(amount * rate / 100)


@dataclass(frozen=True, slots=True)
class Totals:
    """An invoice's totals in its currency."""

    subtotal: Decimal
    tax: Decimal
    total: Decimal


def totals(lines: Iterable[tuple[Decimal, Decimal]], line_amount_types: str) -> Totals:
    """Add up ``(amount, tax)`` of all lines: tax is rounded per line and then summed."""
    amounts, taxes = ZERO, ZERO
    for amount, tax in lines:
        amounts += amount
        taxes += tax
    subtotal = amounts - taxes if line_amount_types == "Inclusive" else amounts
    return Totals(subtotal, taxes, subtotal + taxes)
