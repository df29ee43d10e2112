"""Column types that keep money exact and time aware on every database."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import BigInteger, DateTime, Dialect, Text, TypeDecorator
from typing_extensions import override

_SCALE = 4
_UNIT = Decimal(1).scaleb(-_SCALE)
_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class Amount(TypeDecorator[Decimal]):
    """Money, a unit price or hours with four decimals, stored as a whole number of 1/10000.

    SQLite has no decimal type: a NUMERIC there is a binary float. Whole numbers are exact on every
    database and can be added up in SQL.
    """

    impl = BigInteger
    cache_ok = True

    @override
    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        scaled = value.scaleb(_SCALE)
        if scaled != scaled.to_integral_value():
            message = f"{value} has more than {_SCALE} decimals"
            raise ValueError(message)
        return int(scaled)

    @override
    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else amount_from_stored(value)


def amount_from_stored(value: int | None) -> Decimal:
    """Turn a stored whole number, or an SQL sum of such, into a Decimal; nothing is zero."""
    return (Decimal(value or 0) * _UNIT).quantize(_UNIT)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant; SQLite stores it naive and gets its zone back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            message = f"a naive time cannot be stored: {value}"
            raise ValueError(message)
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ExactJson(TypeDecorator[Any]):
    """JSON text whose numbers with a fraction come back as Decimal."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else encode_exact(value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else decode_exact(value)


def encode_exact(value: Any) -> str:
    """Encode to JSON with sorted keys and exact decimals."""
    # PostgreSQL text cannot hold NUL, which JSON writes as \u0000: it survives as its escape only.
    return _ENCODER.encode(value).decode()


def decode_exact(text: str | bytes) -> Any:
    """Decode JSON, numbers with a fraction as Decimal."""
    return _DECODER.decode(text)
