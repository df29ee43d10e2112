"""The call log: what reached a system, without secrets, for tests that count and inspect calls."""

from __future__ import annotations

import itertools
import re
from collections import Counter, deque
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from msp_xero_sandbox.wire import Answer, Call

MASK = "***"
_SECRET_HEADERS = frozenset({"authorization", "authtoken", "technician_key", "cookie", "proxy-authorization"})
_SECRET_NAMES = frozenset(
    {
        "access_token",
        "authtoken",
        "client_secret",
        "code",
        "code_verifier",
        "refresh_token",
        "technician_key",
        "token",
    }
)
_SECRET_PATH = re.compile(r"/(token|revocation|revoke|authorize)\b", re.IGNORECASE)
_ID_SEGMENT = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+|[A-Za-z]+-[A-Za-z0-9-]*\d+", re.IGNORECASE
)
# Long simulations make millions of calls; what is looked at is recent.
_KEPT = 200_000


class Record(msgspec.Struct, kw_only=True, omit_defaults=False):
    """One call as it is shown by the control API; ``status`` is null when no answer was given."""

    n: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body_sha256: str
    body_size: int
    time: str
    status: int | None = None
    fault: str | None = None
    request_body: str | None = None
    response_body: str | None = None


def _masked(values: Mapping[str, str], secret: frozenset[str]) -> dict[str, str]:
    return {name: MASK if name.lower() in secret else value for name, value in values.items()}


def route(path: str) -> str:
    """Return the path with the ids in it replaced, so that calls of one kind count together."""
    return "/".join("{id}" if _ID_SEGMENT.fullmatch(part) else part for part in path.split("/"))


class CallLog:
    """The calls of one system, numbered from 1 since the start or the last reset."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=_KEPT)
        self._count = 0
        self._taken = 0
        self.record_bodies = False

    def add(self, call: Call, now: datetime) -> Record:
        """Log a call as it arrives."""
        self._count += 1
        record = Record(
            n=self._count,
            method=call.method,
            path=call.path,
            query=_masked(call.query, _SECRET_NAMES),
            headers=_masked(call.headers, _SECRET_HEADERS),
            body_sha256=sha256(call.body).hexdigest(),
            body_size=len(call.body),
            time=now.isoformat(timespec="milliseconds"),
        )
        if self.record_bodies:
            record.request_body = self._shown(call.path, call.body)
        self._records.append(record)
        return record

    def answered(self, record: Record, answer: Answer) -> None:
        """Complete a record with what the client is given."""
        record.status = answer.status
        if self.record_bodies:
            record.response_body = self._shown(record.path, answer.body)

    @staticmethod
    def _shown(path: str, body: bytes) -> str:
        return MASK if _SECRET_PATH.search(path) else body.decode("utf-8", "replace")

    def clear(self) -> None:
        """Forget all calls and number from 1 again."""
        self._records.clear()
        self._count = self._taken = 0

    def since(self, n: int = 0, *, bodies: bool = False) -> list[dict[str, Any]]:
        """Return the calls after number ``n``, as JSON-ready values."""
        rows: list[dict[str, Any]] = [msgspec.to_builtins(record) for record in self._records if record.n > n]
        if not bodies:
            for row in rows:
                del row["request_body"], row["response_body"]
        return rows

    def __len__(self) -> int:
        """Return how many calls there were."""
        return self._count

    def writes(self) -> int:
        """Return how many of the calls that are kept were meant to change something."""
        return sum(record.method != "GET" and not record.path.endswith("/token") for record in self._records)

    def fresh(self) -> list[Record]:
        """Return the calls since this was last asked, oldest first; for a simulation that makes many."""
        taken, self._taken = self._taken, self._count
        new = list(itertools.islice(reversed(self._records), self._count - taken))
        return new[::-1]

    def summary(self) -> dict[str, int]:
        """Return the number of calls by method and route."""
        return dict(
            sorted(Counter(f"{record.method} {route(record.path)}" for record in self._records).items())
        )
