"""One HTTP call and its answer as plain values, and JSON that keeps money exact.

Both simulated systems are synchronous functions from :class:`Call` to :class:`Answer`. The
sockets are put around them in ``server.py``, so the same behaviour can be driven in-process.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as a simulated system sees it.

    ``path`` is percent-decoded and has no query; ``query`` and ``form`` keep the last value of a
    repeated name; ``headers`` has lower-case names.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response of a simulated system."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class App(Protocol):
    """A simulated system: serves calls, and can be looked into and changed by the control API."""

    name: str

    def handle(self, call: Call) -> Answer:
        """Answer one call, committing whatever the real system would commit."""

    def reset(self) -> None:
        """Return to the data the sandbox was started with."""

    def dump(self) -> dict[str, Any]:
        """Return every row by kind, as JSON-ready values."""

    def change_row(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a person would do in the product: add, edit or delete one row; return the row."""

    def set_switch(self, name: str, value: str) -> None:
        """Set one behaviour that is uncertain in the documentation; ValueError names bad ones."""


_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=decimal.Decimal)


def encode_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON-ready value
    """Encode to JSON, Decimals as exact JSON numbers."""
    return _ENCODER.encode(value)


def decode_json(raw: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Decode JSON, numbers with a fraction as Decimal; ValueError when it is not JSON."""
    try:
        return _DECODER.decode(raw)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
