"""Faults: what can go wrong between a client and a system, as a plan and as plain values.

A :class:`Faulty` stands in front of one system. It logs the call, lets the plan choose a fault and
returns an :class:`Outcome`, which says what the client gets to see; ``server.py`` turns that into
socket behaviour, and a simulation in one process reads the values directly.
"""

from __future__ import annotations

import random
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from msp_xero_sandbox.wire import Answer, App, Call, KeepsAnswers, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from msp_xero_sandbox.calls import CallLog, Record
    from msp_xero_sandbox.clock import Clock

# Every kind with the parameters it takes beside match, nth and times.
KINDS: dict[str, frozenset[str]] = {
    "reset_before": frozenset(),
    "reset_after_commit": frozenset(),
    "timeout_after_commit": frozenset({"seconds"}),
    "status": frozenset({"status", "body", "headers", "commit", "cached"}),
    "truncate": frozenset({"keep"}),
    "slow": frozenset({"seconds", "commit"}),
    "rate_minute": frozenset({"retry_after"}),
    "rate_day": frozenset({"retry_after"}),
    "rate_concurrent": frozenset({"retry_after"}),
    "token_expired": frozenset(),
    "revoked": frozenset(),
    "html": frozenset({"status", "body", "commit"}),
    "echo": frozenset({"status"}),
    "hide_fresh": frozenset({"seconds"}),
    "duplicate_delivery": frozenset(),
}
_WORDED_BY_THE_SYSTEM = frozenset({"rate_minute", "rate_day", "rate_concurrent", "token_expired", "revoked"})
# Headers that a client reads, or would like to log.
_ECHOED_IN = ("www-authenticate", "x-rate-limit-problem", "xero-correlation-id", "x-request-id", "x-echo")
_LOGIN_PAGE = (
    b"<!DOCTYPE html><html><head><title>Log in</title></head>"
    b"<body><form action='/login' method='post'>Please log in.</form></body></html>"
)

Ending = Literal["answer", "reset", "silence", "cut"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of one call, as the client sees it.

    ``answer``: the answer arrives after ``delay`` seconds. ``reset``: the connection is reset.
    ``silence``: nothing comes for ``delay`` seconds, then a reset. ``cut``: only ``sent_bytes`` of
    the answer's body come, then the connection closes. With ``later`` the system has not seen the
    call yet: it is to be called when the delay is over, even if the client has left by then.
    """

    ending: Ending
    answer: Answer | None = None
    delay: float = 0.0
    sent_bytes: int = 0
    later: Callable[[], Answer] | None = None
    fault: str | None = None

    def settled(self) -> Answer:
        """Return the answer when the delay is over."""
        if self.later is not None:
            return self.later()
        assert self.answer is not None, "a reset or a silence has no answer"
        return self.answer


@dataclass(slots=True, kw_only=True)
class Fault:
    """One entry of the plan, and how often its match was met since it was posted."""

    kind: str
    method: str | None = None
    prefix: str = ""
    regex: re.Pattern[str] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    contains: bytes = b""
    nth: int | None = None
    times: int | None = None
    params: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    applied: int = 0

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> Fault:
        """Read one posted entry.

        Args:
            entry: ``kind``, and optionally ``match`` (method, path prefix, regex, query, contains),
                ``nth`` (1-based), ``times``, and the parameters of the kind.

        Returns:
            The fault, not met yet.

        Raises:
            ValueError: The entry has an unknown kind, member or value.
        """
        kind = entry.get("kind")
        if kind not in KINDS:
            raise ValueError(f"unknown fault kind {kind!r}; known are {', '.join(KINDS)}")
        params = {
            name: value for name, value in entry.items() if name not in {"kind", "match", "nth", "times"}
        }
        if unknown := params.keys() - KINDS[kind]:
            raise ValueError(f"fault {kind} does not take {', '.join(sorted(unknown))}")
        match = entry.get("match") or {}
        if unknown := match.keys() - {"method", "path", "regex", "query", "contains"}:
            raise ValueError(f"match does not take {', '.join(sorted(unknown))}")
        nth = entry.get("nth")
        if nth is not None and (not isinstance(nth, int) or nth < 1):
            raise ValueError(f"nth counts from 1, not {nth!r}")
        return cls(
            kind=kind,
            method=match["method"].upper() if match.get("method") else None,
            prefix=match.get("path", ""),
            regex=_pattern(match["regex"]) if match.get("regex") else None,
            query=match.get("query", {}),
            contains=match.get("contains", "").encode(),
            nth=nth,
            times=entry.get("times", 1 if nth else None),
            params=params,
        )

    def matches(self, call: Call) -> bool:
        """Tell whether the call is one of those the fault is meant for."""
        return (
            (self.method is None or self.method == call.method)
            and call.path.startswith(self.prefix)
            and (self.regex is None or self.regex.search(call.path) is not None)
            and all(call.query.get(name) == value for name, value in self.query.items())
            and self.contains in call.body
        )

    def is_due(self) -> bool:
        """Tell whether the match that was just counted is one the fault applies to."""
        first = self.nth or 1
        return self.seen >= first and (self.times is None or self.seen < first + self.times)

    def shown(self) -> dict[str, Any]:
        """Return the entry as JSON-ready values."""
        match: dict[str, Any] = {"path": self.prefix}
        if self.method:
            match["method"] = self.method
        if self.regex:
            match["regex"] = self.regex.pattern
        if self.query:
            match["query"] = dict(self.query)
        if self.contains:
            match["contains"] = self.contains.decode()
        counts = {"nth": self.nth, "times": self.times, "seen": self.seen, "applied": self.applied}
        return {"kind": self.kind, "match": match, **counts, **self.params}


class Faulty:
    """One system behind an unreliable network."""

    def __init__(
        self,
        app: App,
        clock: Clock,
        log: CallLog,
        *,
        latency: tuple[float, float] = (0.0, 0.0),
        seed: int = 0,
    ) -> None:
        self.app = app
        self.log = log
        self.in_flight = 0
        self._clock = clock
        self._latency = latency
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - repeatable delays, not secrets
        self._faults: list[Fault] = []
        self._revoked: Fault | None = None
        self._lock = threading.RLock()

    def add_faults(self, entries: list[Mapping[str, Any]]) -> None:
        """Add to the plan; nothing is added when one entry is wrong."""
        faults = [Fault.parse(entry) for entry in entries]
        with self._lock:
            self._faults.extend(faults)

    def clear_faults(self) -> None:
        """Empty the plan, and end what a fault left behind."""
        with self._lock:
            self._faults.clear()
            self._revoked = None

    def shown_faults(self) -> list[dict[str, Any]]:
        """Return the plan as JSON-ready values."""
        return [fault.shown() for fault in self._faults]

    def reset(self) -> None:
        """Return to the start: no faults, no calls, the first rows, the same delays again."""
        with self._lock:
            self.clear_faults()
            self.log.clear()
            self._random.seed(self._seed)
            self.app.reset()

    def serve(self, call: Call) -> Outcome:
        """Log one call and decide its outcome; the system commits here unless a fault says no."""
        with self._lock:
            record = self.log.add(call, self._clock.now())
            low, high = self._latency
            delay = self._random.uniform(low, high) if high else 0.0
            fault = self._revoked or self._due(call)
            if fault is None:
                answer = self.app.handle(call)
                self.log.answered(record, answer)
                return Outcome(ending="answer", answer=answer, delay=delay)
            fault.applied += 1
            record.fault = fault.kind
            return self._outcome(call, fault, record, delay)

    def _due(self, call: Call) -> Fault | None:
        due = None
        for fault in self._faults:
            if fault.matches(call):
                # Every fault counts every call that it matches, also when an earlier one applies.
                fault.seen += 1
                if due is None and fault.is_due():
                    due = fault
        return due

    def _outcome(self, call: Call, fault: Fault, record: Record, delay: float) -> Outcome:
        kind, seconds = fault.kind, float(fault.params.get("seconds", 0))
        if kind == "reset_before":
            return Outcome(ending="reset", delay=delay, fault=kind)
        if kind == "slow" and fault.params.get("commit", "before") == "after":
            return Outcome(
                ending="answer",
                delay=delay + seconds,
                later=lambda: self._late(call, record),
                fault=kind,
            )
        answer = self._answer(call, fault)
        if kind == "reset_after_commit":
            return Outcome(ending="reset", delay=delay, fault=kind)
        if kind == "timeout_after_commit":
            return Outcome(ending="silence", delay=seconds or 3600.0, fault=kind)
        self.log.answered(record, answer)
        if kind == "truncate":
            sent = int(len(answer.body) * float(fault.params.get("keep", 0.5)))
            return Outcome(ending="cut", answer=answer, delay=delay, sent_bytes=sent, fault=kind)
        extra = seconds if kind == "slow" else 0.0
        return Outcome(ending="answer", answer=answer, delay=delay + extra, fault=kind)

    def _late(self, call: Call, record: Record) -> Answer:
        with self._lock:
            answer = self.app.handle(call)
            self.log.answered(record, answer)
            return answer

    def _answer(self, call: Call, fault: Fault) -> Answer:
        if fault.kind in _WORDED_BY_THE_SYSTEM:
            if fault.kind == "revoked":
                # Access stays revoked for every later call until the faults are cleared.
                self._revoked = fault
            return self.app.fault_answer(fault.kind, {**fault.params, "call": call})
        if fault.kind in {"status", "html"}:
            if fault.params.get("commit", False):
                self.app.handle(call)
            return self._made_up(call, fault)
        if fault.kind == "echo":
            return _echo(call, int(fault.params.get("status", 400)))
        if fault.kind == "hide_fresh":
            self.app.hide_fresh(float(fault.params.get("seconds", 60)))
            try:
                return self.app.handle(call)
            finally:
                self.app.hide_fresh(0)
        if fault.kind == "duplicate_delivery":
            self.app.handle(call)
        return self.app.handle(call)

    def _made_up(self, call: Call, fault: Fault) -> Answer:
        params = fault.params
        if fault.kind == "html":
            body = params.get("body", _LOGIN_PAGE)
            headers = {"content-type": "text/html; charset=utf-8"}
            return Answer(
                status=int(params.get("status", 200)),
                headers=headers,
                body=body.encode() if isinstance(body, str) else body,
            )
        status = int(params.get("status", 500))
        answer = _worded(self.app, status, params)
        # Xero replays an internal error under the same Idempotency-Key (xero-api §3); an error of
        # a gateway in front of it never reaches that store.
        if params.get("cached", status == 500) and isinstance(self.app, KeepsAnswers):
            self.app.keep_answer(call, answer)
        return answer


def _echo(call: Call, status: int) -> Answer:
    """Answer as a debugging proxy does: with what it was sent, credentials included, wherever it fits."""
    names = ("authorization", "authtoken", "technician_key")
    who = next((call.headers[name] for name in names if name in call.headers), "nobody")
    sent = {"headers": dict(call.headers), "body": call.body.decode("utf-8", "replace")}
    return Answer(
        status=status,
        headers={"content-type": "application/json; charset=utf-8"} | dict.fromkeys(_ECHOED_IN, who),
        body=encode_json({"Message": f"refused for {who}", "Detail": who, "request": sent}),
    )


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error


def _worded(app: App, status: int, params: Mapping[str, Any]) -> Answer:
    body = params.get("body")
    if body is None:
        answer = app.error_answer(status) if isinstance(app, KeepsAnswers) else Answer(status=status)
        return Answer(
            status=status, headers={**answer.headers, **params.get("headers", {})}, body=answer.body
        )
    is_text = isinstance(body, str)
    headers = {"content-type": "text/plain; charset=utf-8" if is_text else "application/json; charset=utf-8"}
    headers.update({name.lower(): value for name, value in params.get("headers", {}).items()})
    return Answer(status=status, headers=headers, body=body.encode() if is_text else encode_json(body))
