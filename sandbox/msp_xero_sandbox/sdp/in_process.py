"""Calls the local ServiceDesk Plus MSP without sockets, as tests and simulations do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from msp_xero_sandbox.wire import Answer, Call, decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from msp_xero_sandbox.wire import App

NEW_FORMAT = {"accept": "application/vnd.manageengine.sdp.v3+json"}
ADMINISTRATOR = {"authtoken": "sandbox-authtoken"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with its JSON read; ``body`` is empty when it is not JSON."""

    answer: Answer
    body: dict[str, Any]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.answer.status

    @property
    def code(self) -> int:
        """The specific status code, wherever it stands."""
        status = self.body["response_status"]
        if isinstance(status, list):
            status = status[0]
        messages = status.get("messages") or [{}]
        return int(messages[0].get("status_code", status["status_code"]))

    @property
    def message(self) -> dict[str, Any]:
        """The first message of a failure."""
        message: dict[str, Any] = self.body["response_status"]["messages"][0]
        return message


class InProcessClient:
    """One caller of the API: its headers and its base path."""

    def __init__(self, app: App, headers: Mapping[str, str] | None = None, base: str = "/api/v3") -> None:
        self._app = app
        self._headers = dict({**ADMINISTRATOR, **NEW_FORMAT} if headers is None else headers)
        self._base = base

    def call(self, method: str, path: str, asked: Mapping[str, Any] | None = None) -> Reply:
        """Send one call with its input_data in the place where the API reads it."""
        headers, query, body = dict(self._headers), {}, b""
        if asked is not None:
            text = encode_json(asked).decode()
            if method in {"GET", "DELETE"}:
                query = {"input_data": text}
            else:
                headers["content-type"] = "application/x-www-form-urlencoded"
                body = urlencode({"input_data": text}).encode()
        call = Call(method=method, path=f"{self._base}/{path}", query=query, headers=headers, body=body)
        answer = self._app.handle(call)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return Reply(answer, decode_json(answer.body) if is_json else {})

    def get(self, path: str, **asked: Any) -> Reply:
        """Read one row, or a list with input_data members given by name."""
        return self.call("GET", path, asked or None)

    def list(self, path: str, **list_info: Any) -> Reply:
        """Read one page of a list."""
        return self.call("GET", path, {"list_info": {"row_count": 100, **list_info}})

    def rows(self, path: str, **list_info: Any) -> Iterator[dict[str, Any]]:
        """Read all rows of a list, page by page."""
        key, start = path.rsplit("/", 1)[-1], 1
        while True:
            body = self.list(path, start_index=start, **list_info).body
            yield from body[key]
            if not body["list_info"]["has_more_rows"]:
                return
            start += len(body[key])
