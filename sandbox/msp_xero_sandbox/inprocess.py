"""The sandbox without sockets: a transport for a ``requests`` session, and a clock that only moves.

Faults that a socket shows as a reset, a timeout or a cut body are raised here as the errors that
``requests`` raises for them. A call that the system commits late is committed when the clock gets
there, whatever the client has done since.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from msp_xero_sandbox.wire import Call

if TYPE_CHECKING:
    from datetime import datetime

    from msp_xero_sandbox.clock import Clock
    from msp_xero_sandbox.faults import Faulty, Outcome
    from msp_xero_sandbox.wire import Answer


class MovingClock:
    """Time for the client under test: waiting moves the sandbox's clock and takes no time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._start = clock.now()

    def now(self) -> datetime:
        """Return the sandbox's time."""
        return self.clock.now()

    def monotonic(self) -> float:
        """Return seconds since this clock was made."""
        return (self.clock.now() - self._start).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.clock.advance(max(seconds, 0.0))


class InProcessAdapter(BaseAdapter):
    """Serves one system to a session; mount it for the system's address."""

    def __init__(self, faulty: Faulty, clock: Clock) -> None:
        super().__init__()
        self._faulty = faulty
        self._clock = clock
        self._late: list[tuple[datetime, Outcome]] = []
        self.committed_late = 0
        """How many calls were committed when the client had given up waiting for them."""

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, *, timeout: Any = None, **_options: Any
    ) -> requests.Response:
        """Answer one request, or raise what a socket would have made requests raise."""
        self.commit_late_calls()
        outcome = self._faulty.serve(_call(request))
        if outcome.ending == "reset":
            raise requests.ConnectionError("Connection reset by peer", request=request)
        patience = float(timeout[1] if isinstance(timeout, tuple) else timeout or 3600.0)
        if outcome.delay > patience:
            if outcome.later is not None:
                due = self._clock.now() + timedelta(seconds=outcome.delay)
                self._late.append((due, outcome))
            self._clock.advance(patience)
            raise requests.ReadTimeout("Read timed out.", request=request)
        self._clock.advance(outcome.delay)
        if outcome.ending == "silence":
            raise requests.ConnectionError("Connection reset by peer", request=request)
        answer = outcome.settled()
        if outcome.ending == "cut":
            raise requests.exceptions.ChunkedEncodingError(
                "Connection broken: IncompleteRead", request=request
            )
        return _response(request, answer)

    def next_due(self) -> datetime | None:
        """Return when the next late call is committed, if there is one."""
        return min((due for due, _ in self._late), default=None)

    def commit_late_calls(self) -> None:
        """Commit the calls whose time has come, in the order of their times."""
        now = self._clock.now()
        due = sorted((late for late in self._late if late[0] <= now), key=lambda late: late[0])
        self._late = [late for late in self._late if late[0] > now]
        self.committed_late += len(due)
        for _, outcome in due:
            outcome.settled()

    def close(self) -> None:
        """Nothing is held open."""


def _call(request: requests.PreparedRequest) -> Call:
    parts = urlsplit(str(request.url))
    body = request.body or b""
    return Call(
        method=str(request.method),
        path=unquote(parts.path),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        raw_query=parts.query,
        headers={name.lower(): str(value) for name, value in request.headers.items()},
        body=body.encode() if isinstance(body, str) else bytes(body),
    )


def _response(request: requests.PreparedRequest, answer: Answer) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers = CaseInsensitiveDict(answer.headers)
    response._content = answer.body  # noqa: SLF001 - requests offers no other way to build one
    response.encoding = "utf-8"
    response.request = request
    response.url = str(request.url)
    return response
