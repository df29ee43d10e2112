"""Reading and writing Singer messages: fast, exact in every digit, and silent about contents."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from msp_xero.errors import InputError
from msp_xero.singer.reader import LineReader
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import Message
from typing_extensions import override

_encode = msgspec.json.Encoder(decimal_format="number").encode
_SURROGATES = re.compile("[\ud800-\udfff]")

ExactWriter = MsgSpecWriter
"""Writes a Decimal with the digits that it has."""


class MendingReader(LineReader):
    """Reads also what strict JSON forbids but some taps write: half characters, NaN, other encodings.

    One badly encoded text must not keep all other worklogs from being billed.
    """

    @override
    def deserialize_json(self, line: bytes | str) -> dict[str, Any]:
        raw = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
        try:
            return super().deserialize_json(raw)
        except InputError:
            mended = _mend(raw)
            if mended is None:
                raise
            return super().deserialize_json(mended)
        except RecursionError:
            raise self.error("is nested too deeply") from None

    def error(self, problem: str) -> InputError:
        """Return the error for the current line; it says where, and nothing of what stands there."""
        return InputError(f"input line {self.line_number} {problem}")


def _mend(raw: bytes) -> bytes | None:
    """Return a line as strict JSON, or None if it is no JSON at all."""
    try:
        value = json.loads(raw.decode("utf-8", "replace"), parse_float=Decimal, parse_constant=str)
        return _encode(_without_surrogates(value))
    except (ValueError, RecursionError):
        return None


def _without_surrogates(value: Any) -> Any:
    """Replace half characters, which no UTF-8 can carry."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(element) for name, element in value.items()}
    return value


@dataclass(slots=True)
class Unchanged(Message):
    """A message that leaves as it came, with all its members in their own form."""

    message: dict[str, Any]

    @override
    def to_dict(self) -> dict[str, Any]:
        return self.message
