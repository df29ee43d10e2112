"""Xero's JSON as plain values: exact decimals, aware instants, canonical bytes.

Money never passes through a binary float: numbers with a fraction are decoded to ``Decimal`` and
encoded back digit for digit (xero-api §0 point 8).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Milliseconds since the epoch, UTC; the offset behind them is decoration (xero-api §4.8).
_MS_DATE = re.compile(r"/Date\((-?\d{1,18})(?:[+-]\d{4})?\)/")

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")


def decode(raw: bytes) -> Any:
    """Decode JSON; numbers with a fraction become ``Decimal``.

    Raises:
        ValueError: ``raw`` is not complete, valid JSON in UTF-8.
    """
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The cause is not chained into the text: it may quote the body.
        raise ValueError("not valid JSON") from error


def canonical(payload: Any) -> bytes:
    """Encode ``payload`` to the one byte string that stands for it.

    Keys are sorted and decimals are written plainly with all their digits, so the bytes can be stored and
    sent again unchanged: Xero compares repeated requests under one Idempotency-Key (xero-api §3).

    Raises:
        TypeError: a binary float, which has already lost the exact amount.
        ValueError: a NaN or infinite decimal, or text that is not valid Unicode.
    """
    return _ENCODER.encode(_plain(payload))


def _plain(value: Any) -> Any:
    """Return ``value`` with exponent-free decimals; refuse what JSON or money cannot hold."""
    if isinstance(value, float):
        raise TypeError("money and quantities must be Decimal or int, not float")
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is not a number that JSON can hold")
        return msgspec.Raw(format(value, "f").encode())
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(member) for member in value]
    return value


def is_ms_date(text: str) -> bool:
    """Tell whether ``text`` is a ``/Date(1439434356790+0000)/`` value."""
    return _MS_DATE.fullmatch(text) is not None


def parse_instant(text: str) -> datetime:
    """Parse any of Xero's forms of an instant to aware UTC.

    ``/Date(ms)/``, ``/Date(ms+0000)/``, ``2026-09-14T09:29:59Z`` and the same without a zone, which
    means UTC (xero-api §4.8).

    Raises:
        ValueError: ``text`` has none of these forms, or lies outside the years 1 to 9999.
    """
    match = _MS_DATE.fullmatch(text)
    if match is None:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return EPOCH + timedelta(milliseconds=int(match[1]))
    except OverflowError as error:
        raise ValueError(f"{text} is outside the calendar") from error


def parse_day(text: str) -> date:
    """Parse a calendar date: Xero writes those as midnight UTC (xero-api §4.8).

    Raises:
        ValueError: ``text`` is not one of the forms of :func:`parse_instant`, nor ``YYYY-MM-DD``.
    """
    return parse_instant(text).date()


def utc_text(moment: datetime) -> str:
    """Return ``moment`` as UTC ISO-8601 with six decimals, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def modified_since(moment: datetime) -> str:
    """Return the ``If-Modified-Since`` value: UTC, whole seconds rounded down, no zone (xero-api §4.8)."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()
