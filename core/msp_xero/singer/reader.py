"""Reading Singer messages as bytes, so that a bad line is named by its number and not quoted."""

from __future__ import annotations

import sys
from collections import Counter
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerReader
from typing_extensions import override

from msp_xero.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_SHAPES: dict[str, dict[str, type]] = {
    "RECORD": {"stream": str, "record": dict},
    "SCHEMA": {"stream": str, "schema": dict},
    "STATE": {"value": dict},
}


class LineReader(GenericSingerReader[bytes]):
    """Reads messages line by line; numbers with a fraction are Decimal.

    Raises:
        InputError: a line is not UTF-8, not JSON, or not a Singer message; names the line's number.
    """

    line_number = 0

    @property
    @override
    def default_input(self) -> IO[bytes]:
        return sys.stdin.buffer

    @override
    def process_lines(
        self, file_input: IO[bytes] | None, callbacks: dict[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        counts: Counter[str] = Counter()
        for line in file_input or self.default_input:
            self.line_number += 1
            if not line.strip():
                continue
            message = self.deserialize_json(line)
            kind = message["type"]
            callback = callbacks.get(kind)
            if callback is None:
                raise InputError(f"input line {self.line_number}: messages of type {kind} are not supported")
            callback(message)
            counts[kind] += 1
        return counts

    @override
    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        try:
            message = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"input line {self.line_number} is not JSON in UTF-8; nothing after it was read. "
                "Run again; if it stays, look at what the tap writes"
            ) from error
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise InputError(f"input line {self.line_number} is not a Singer message: it has no type")
        shape = _SHAPES.get(message["type"], {})
        wrong = [name for name, kind in shape.items() if not isinstance(message.get(name), kind)]
        if wrong:
            raise InputError(
                f"input line {self.line_number}: this {message['type']} message has no usable "
                + " and ".join(wrong)
            )
        return cast("dict[str, Any]", message)
