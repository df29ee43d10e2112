"""Reading and writing Singer messages: fast, exact in every digit, and silent about contents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msp_xero.edges.mending import mended
from msp_xero.errors import InputError
from msp_xero.singer.reader import LineReader
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import Message
from typing_extensions import override

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
            strict = mended(raw)
            if strict is None:
                raise
            return super().deserialize_json(strict)
        except RecursionError:
            raise self.error("is nested too deeply") from None

    def error(self, problem: str) -> InputError:
        """Return the error for the current line; it says where, and nothing of what stands there."""
        return InputError(f"input line {self.line_number} {problem}")


@dataclass(slots=True)
class Unchanged(Message):
    """A message that leaves as it came, with all its members in their own form."""

    message: dict[str, Any]

    @override
    def to_dict(self) -> dict[str, Any]:
        return self.message
