"""Reading Singer messages as bytes, so that a bad line is named by its number and not quoted."""

from __future__ import annotations

import re
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

_DEEPEST = 100
"""Levels of nesting that every later step can still handle, on any stack that it stands on."""

_A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_SHAPES: dict[str, dict[str, type]] = {
    "RECORD": {"stream": str, "record": dict},
    "SCHEMA": {"stream": str, "schema": dict},
    "STATE": {"value": dict},
}


def shown(name: str) -> str:
    """Return a name for an error line: in words where it is no plain name and could be a customer's text."""
    return name if _A_NAME.fullmatch(name) else "(no plain name)"


class LineReader(GenericSingerReader[bytes]):
    """Reads messages line by line; numbers with a fraction are Decimal.

    Raises:
        InputError: a line is not UTF-8, not JSON, or not a Singer message; names the line's number.
    """

    line_number = 0
    line_bytes = 0
    on_failure: Callable[[Exception], None] = staticmethod(lambda _error: None)
    """Told when reading or handling a line ends with an error."""

    @property
    @override
    def default_input(self) -> IO[bytes]:
        return sys.stdin.buffer

    @override
    def process_lines(
        self, file_input: IO[bytes] | None, callbacks: dict[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        try:
            return self._process_lines(file_input or self.default_input, callbacks)
        except Exception as error:
            self.on_failure(error)
            raise

    def _process_lines(
        self, source: IO[bytes], callbacks: dict[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        counts: Counter[str] = Counter()
        # A file of --input is opened as text: its bytes are read, so that a bad one has its line.
        for line in getattr(source, "buffer", source):
            self.line_number += 1
            self.line_bytes = len(line)
            if not line.strip():
                continue
            message = self._read(line)
            kind = message["type"]
            callback = callbacks.get(kind)
            if callback is None:
                raise InputError(
                    f"input line {self.line_number}: messages of type {shown(kind)} are not supported"
                )
            callback(message)
            counts[kind] += 1
        return counts

    def _read(self, line: bytes) -> dict[str, Any]:
        try:
            return self.deserialize_json(line)
        except ArithmeticError as error:
            raise InputError(
                f"input line {self.line_number} has a number that is too large to be read; "
                "nothing after it was read"
            ) from error

    @override
    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        try:
            message = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InputError(
                f"input line {self.line_number} is not JSON in UTF-8; nothing after it was read. "
                "Run again; if it stays, look at what the tap writes"
            ) from error
        except RecursionError:
            raise self._too_deep() from None
        if _is_too_deep(line, message):
            raise self._too_deep()
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

    def _too_deep(self) -> InputError:
        return InputError(
            f"input line {self.line_number} is nested too deeply, in more than {_DEEPEST} levels; "
            "nothing after it was read"
        )


def _is_too_deep(line: bytes | str, message: Any) -> bool:
    """Tell whether a message has too many levels; nearly all are told by their few brackets."""
    openings = (
        line.count("{") + line.count("[") if isinstance(line, str) else line.count(b"{") + line.count(b"[")
    )
    if openings <= _DEEPEST:
        return False
    level = [message]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
