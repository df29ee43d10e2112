"""How values are written for people: hours, money, times, and texts that others wrote."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date, datetime

NOTHING = "\N{EN DASH}"
_CENT = Decimal("0.01")
# Besides controls: marks that turn the direction of text around, which can disguise what a line says.
_DISGUISES = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


def hours(minutes: int) -> str:
    """Write minutes as ``h:mm``."""
    sign = "-" if minutes < 0 else ""
    return f"{sign}{abs(minutes) // 60}:{abs(minutes) % 60:02}"


def money(amount: Decimal | None, currency: str | None = None) -> str:
    """Write an amount with its currency, to the cent unless it has more decimals."""
    if amount is None:
        return NOTHING
    return f"{currency} {plain_amount(amount):,}" if currency else f"{plain_amount(amount):,}"


def in_currency(amount: Decimal | None, currencies: Collection[str | None]) -> str:
    """Write a sum; of amounts in several currencies there is none."""
    if amount is not None and len(currencies) > 1:
        return "several currencies"
    return money(amount, next(iter(currencies), None))


def worth(amount: Decimal, currency: str | None, *, count: int, unpriced: int) -> str:
    """Write what ``count`` worklogs are worth, of which ``unpriced`` have no price yet."""
    return worth_in(amount, (currency,), count=count, unpriced=unpriced)


def worth_in(amount: Decimal, currencies: Collection[str | None], *, count: int, unpriced: int) -> str:
    """Write the same of worklogs that are billed in these currencies."""
    if not unpriced:
        return in_currency(amount, currencies)
    if unpriced == count:
        return "no price yet"
    return f"{in_currency(amount, currencies)} and {unpriced:,} without a price"


def plain_amount(amount: Decimal) -> Decimal:
    """Drop the zeros behind the cents."""
    cents = amount.quantize(_CENT)
    return cents if cents == amount else amount.normalize()


def number(value: int) -> str:
    """Write a count."""
    return f"{value:,}"


def moment(at: datetime | None) -> str:
    """Write an instant in the local zone of the reader."""
    return f"{at.astimezone():%Y-%m-%d %H:%M %Z}" if at else NOTHING


def day(value: date | None) -> str:
    """Write a calendar date."""
    return value.isoformat() if value else NOTHING


def text(value: object) -> str:
    """Write a text that somebody else wrote on one line, without what would steer a terminal."""
    if value is None or value == "":
        return NOTHING
    return " ".join(printable(str(value)).split())


def printable(value: str) -> str:
    """Replace control characters, except ends of lines, by a visible mark."""
    if value.isprintable():
        return value
    return "".join(
        letter
        if letter in "\n\t" or not (unicodedata.category(letter) == "Cc" or letter in _DISGUISES)
        else "\N{REPLACEMENT CHARACTER}"
        for letter in value.replace("\r\n", "\n")
    )


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def counted(counts: Mapping[str, Any] | None) -> str:
    """Write a run's counts as ``3 created, 12 unchanged``; nothing for zeros."""
    known = dict(counts or {})
    currency, total, minutes = known.pop("currency", None), known.pop("total", None), known.pop("minutes", 0)
    totals = known.pop("totals", None) or ({currency: total} if total else {})
    held = known.pop("held", 0)
    known["held"] = sum(held.values()) if isinstance(held, dict) else held
    parts = [
        f"{value:,} {(name.removesuffix('s') if value == 1 else name).replace('_', ' ')}"
        for name, value in known.items()
        if isinstance(value, int) and not isinstance(value, bool) and value
    ]
    if minutes:
        parts.append(f"{hours(minutes)} hours")
    parts += [money(total, currency) for currency, total in totals.items()]
    return ", ".join(parts)
