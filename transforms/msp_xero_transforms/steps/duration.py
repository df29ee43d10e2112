"""Duration: minutes become hours with four decimals, as Xero keeps quantities."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msp_xero_transforms.rules import Rules
    from msp_xero_transforms.steps.line import Line

_FOUR_PLACES = Decimal("0.0001")
_MINUTES_AN_HOUR = Decimal(60)


def hours(minutes: int) -> Decimal:
    """Return minutes as hours, rounded half up to four decimals."""
    return (minutes / _MINUTES_AN_HOUR).quantize(_FOUR_PLACES, ROUND_HALF_UP)


def duration(line: Line, rules: Rules) -> Line:
    """Set the quantity in hours; without time there is nothing that a price per hour could bill."""
    line = line.having(quantity=hours(line.minutes))
    if line.minutes == 0 and rules.rate_source == "item_price":
        return line.exclude("The worklog has no time, so there is nothing to bill at an hourly price.")
    return line
