"""One API request as the resources see it: who calls, what is asked, and in which words to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.wire import decode_json
from msp_xero_sandbox.xero.answers import ApiError, post_data_invalid
from msp_xero_sandbox.xero.dates import read_modified_since

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from msp_xero_sandbox.wire import Call
    from msp_xero_sandbox.xero.rows import Row

_TRUE, _FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


def wants_json(call: Call) -> bool:
    """Tell whether the client asked for JSON; anything else, even ``*/*``, gets XML (xero-api §4.1)."""
    return "json" in call.headers.get("accept", "").lower()


@dataclass(frozen=True, slots=True)
class Request:
    """A call that has passed authentication and limits."""

    call: Call
    client_id: str
    path: tuple[str, ...]
    now: datetime
    params: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        # Names of parameters are read without regard to case (xero-api §4.1).
        object.__setattr__(self, "params", {name.lower(): value for name, value in self.call.query.items()})

    @property
    def places(self) -> int:
        """Return the decimals of unit prices: 4 when ``unitdp=4``, else 2."""
        return 4 if self.params.get("unitdp") == "4" else 2

    @property
    def summarize_errors(self) -> bool:
        """Tell whether one bad element refuses the whole call, as it does unless told not to."""
        return self.params.get("summarizeerrors", "true").lower() not in _FALSE

    def flag(self, name: str) -> bool:
        """Read a yes-or-no parameter."""
        return self.params.get(name, "").lower() in _TRUE

    def values(self, name: str) -> list[str] | None:
        """Read a comma list; None when the parameter is not there or is empty."""
        text = self.params.get(name)
        return [part.strip() for part in text.split(",") if part.strip()] if text else None

    def modified_since(self) -> datetime | None:
        """Read If-Modified-Since."""
        text = self.call.headers.get("if-modified-since")
        return read_modified_since(text) if text else None

    def elements(self, name: str, canonical: Callable[[Row], Row]) -> list[Row]:
        """Read the submitted objects: under their plural name, as a bare list, or one bare object.

        Raises:
            ApiError: The body is not JSON, or not of that shape.
        """
        if "json" not in self.call.headers.get("content-type", "").lower():
            raise ApiError(415, {"Title": "Unsupported Media Type", "Status": 415})
        try:
            body = decode_json(self.call.body)
        except ValueError as error:
            raise post_data_invalid(f"The request body is not valid JSON: {error}") from error
        if isinstance(body, dict):
            inner = next((value for key, value in body.items() if key.lower() == name.lower()), None)
            body = [body] if inner is None else inner
        if not isinstance(body, list) or not all(isinstance(each, dict) for each in body):
            raise post_data_invalid(f"Error converting value to type {name}. Path '{name}'.")
        if not body:
            raise post_data_invalid(f"No {name} were provided.")
        return [canonical(each) for each in body]


def canonical_names(*names: str) -> Callable[[Any], Any]:
    """Return a function that spells keys as Xero does; input casing is lenient (xero-api §4.1)."""
    known = frozenset(names)
    by_fold = {name.lower(): name for name in names}

    def spell(row: Any) -> Any:
        if not isinstance(row, dict) or row.keys() <= known:
            return row
        return {by_fold.get(key.lower(), key): value for key, value in row.items()}

    return spell
