"""Looking over a session's shoulder: every call and its answer are shown to whoever asked to see them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from typing_extensions import override

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call and what came of it, as it was on the wire. It holds secrets: never show it as it is.

    Attributes:
        method: the HTTP method.
        url: the address with its query.
        request_headers: what was sent, credentials included.
        request_body: what was sent, None for nothing.
        status: None when no answer came; ``error`` then names what happened instead.
        headers: of the answer; looked up without regard to case.
        body: the whole answer.
        seconds: from the call to the end of its answer.
        error: name of the failure of the connection, empty for an answer.
    """

    method: str
    url: str
    request_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    request_body: bytes | None = field(default=None, repr=False)
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    error: str = ""


Watch: TypeAlias = Callable[[Exchange], None]


class WatchedAdapter(BaseAdapter):
    """Sends through another adapter and shows each exchange."""

    def __init__(self, inner: BaseAdapter, watch: Watch) -> None:
        super().__init__()
        self._inner = inner
        self._watch = watch

    @override
    def send(self, request: PreparedRequest, **options: Any) -> Response:  # type: ignore[override]
        """Send a request, and show it with its answer before the caller gets that."""
        started = time.monotonic()
        body = request.body
        sent = Exchange(
            method=str(request.method),
            url=str(request.url),
            request_headers=CaseInsensitiveDict(request.headers),
            request_body=body.encode() if isinstance(body, str) else body,
        )
        try:
            response = self._inner.send(request, **options)
            content = response.content or b""
        except requests.RequestException as error:
            spent = time.monotonic() - started
            self._watch(replace(sent, error=type(error).__name__, seconds=spent))
            raise
        spent = time.monotonic() - started
        self._watch(
            replace(sent, status=response.status_code, headers=response.headers, body=content, seconds=spent)
        )
        return response

    @override
    def close(self) -> None:
        """Close the connections of the adapter beneath."""
        self._inner.close()


def watched(session: Session, watch: Watch | None) -> Session:
    """Return the session, its calls shown to ``watch`` from now on if that is given."""
    if watch is not None:
        for prefix, adapter in list(session.adapters.items()):
            session.mount(prefix, WatchedAdapter(adapter, watch))
    return session
