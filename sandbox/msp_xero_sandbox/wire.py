"""One HTTP call and its answer as plain values, and JSON that keeps money exact.

Both simulated systems are synchronous functions from :class:`Call` to :class:`Answer`. The
sockets are put around them in ``server.py``, so the same behaviour can be driven in-process.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as a simulated system sees it.

    ``path`` is percent-decoded and has no query; ``query`` keeps the last value of a repeated
    name; ``headers`` has lower-case names. ``in_flight`` counts the calls that the system is
    serving right now, this one included (0 = nobody counts).
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    in_flight: int = 0


def make_call(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Call:
    """Build the call that a client would put on the wire for an address (absolute or a path)."""
    parts = urlsplit(url)
    return Call(
        method=method.upper(),
        path=unquote(parts.path) or "/",
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        raw_query=parts.query,
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
    )


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

    def dump(self, kinds: Iterable[str] | None = None) -> dict[str, Any]:
        """Return rows by kind, of all kinds or of some, as JSON-ready values."""

    def change_row(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a person would do in the product: add, edit or delete one row; return the row."""

    def set_switch(self, name: str, value: str) -> None:
        """Set one behaviour that is uncertain in the documentation; ValueError names bad ones."""

    def fault_answer(self, kind: str, fault: Mapping[str, Any]) -> Answer:
        """Answer as this system words a fault, with the effect that the fault really has.

        ``kind`` is one of rate_minute, rate_day, rate_concurrent, token_expired, revoked. ``fault``
        holds the parameters of the fault as posted, and under ``call`` the :class:`Call` it hits.
        """

    def hide_fresh(self, seconds: float) -> None:
        """Leave rows younger than that out of lists, as a lagging index does; 0 shows all."""


@runtime_checkable
class KeepsAnswers(Protocol):
    """A system that replays answers (idempotency keys), and has words of its own for errors."""

    def keep_answer(self, call: Call, answer: Answer) -> None:
        """Remember this answer as the outcome of the call."""

    def error_answer(self, status: int) -> Answer:
        """Answer with the body that this system sends with an unexpected status."""


_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=decimal.Decimal)


def encode_json(value: Any) -> bytes:
    """Encode to JSON, Decimals as exact JSON numbers."""
    return _ENCODER.encode(value)


def decode_json(raw: bytes) -> Any:
    """Decode JSON, numbers with a fraction as Decimal; ValueError when it is not JSON."""
    try:
        return _DECODER.decode(raw)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
