"""Rate limits by app and tenant, with the headers that tell what is left (xero-api §2)."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import TYPE_CHECKING

from msp_xero_sandbox.wire import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from msp_xero_sandbox.xero.switches import Switches

_MINUTE, _DAY = 60.0, 86_400.0
# Shown while a limit is switched off, so that clients which read the headers go on.
_PLENTY = 1_000_000


class Window:
    """The calls of one window of time; it starts with a first call, or slides."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls: deque[float] = deque()
        self._count = 0
        self._began: float | None = None

    def used(self, now: float, *, rolling: bool) -> int:
        """Return the calls that count at this moment."""
        if rolling:
            while self._calls and self._calls[0] <= now - self._seconds:
                self._calls.popleft()
            return len(self._calls)
        return 0 if self._is_over(now) else self._count

    def add(self, now: float, *, rolling: bool) -> None:
        """Count one call."""
        if rolling:
            self._calls.append(now)
        elif self._is_over(now):
            self._began, self._count = now, 1
        else:
            self._count += 1

    def frees_in(self, now: float, *, rolling: bool) -> int:
        """Return the whole seconds after which a full window takes a call again."""
        start = (self._calls[0] if self._calls else None) if rolling else self._began
        # A limit of zero is full before anything was counted.
        return max(1, ceil((now if start is None else start) + self._seconds - now))

    def _is_over(self, now: float) -> bool:
        return self._began is None or now >= self._began + self._seconds


class Limits:
    """The windows of every app and tenant."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._minutes: dict[tuple[str, str], Window] = {}
        self._days: dict[tuple[str, str], Window] = {}
        self._app_minutes: dict[str, Window] = {}

    def pass_or_refuse(self, client_id: str, tenant: str, now: datetime, in_flight: int) -> Answer | None:
        """Count a call that may pass; return the 429 for one that may not, which is not counted."""
        switches, moment = self._switches, now.timestamp()
        if switches.concurrent_limit is not None and in_flight > switches.concurrent_limit:
            return self.refusal("concurrent", client_id, tenant, now)
        checks = (
            ("day", self._day(client_id, tenant), switches.day_limit),
            ("minute", self._minute(client_id, tenant), switches.minute_limit),
            ("appminute", self._app_minute(client_id), switches.app_minute_limit),
        )
        rolling = switches.rate_window == "rolling"
        for problem, window, limit in checks:
            if limit is not None and window.used(moment, rolling=rolling) >= limit:
                wait = window.frees_in(moment, rolling=rolling)
                return self.refusal(problem, client_id, tenant, now, retry_after=wait)
        for _, window, _ in checks:
            window.add(moment, rolling=rolling)
        return None

    def headers(self, client_id: str, tenant: str, now: datetime) -> dict[str, str]:
        """Return the headers that every tenant answer carries."""
        switches, moment = self._switches, now.timestamp()
        rolling = switches.rate_window == "rolling"

        def left(window: Window, limit: int | None) -> str:
            return str(_PLENTY if limit is None else max(0, limit - window.used(moment, rolling=rolling)))

        return {
            "x-daylimit-remaining": left(self._day(client_id, tenant), switches.day_limit),
            "x-minlimit-remaining": left(self._minute(client_id, tenant), switches.minute_limit),
            "x-appminlimit-remaining": left(self._app_minute(client_id), switches.app_minute_limit),
        }

    def refusal(
        self, problem: str, client_id: str, tenant: str, now: datetime, retry_after: float | None = None
    ) -> Answer:
        """Return the 429 of a problem: no body, no content type, and the remaining budget."""
        headers = self.headers(client_id, tenant, now)
        headers |= _emptied(problem)
        headers["x-rate-limit-problem"] = (
            problem.title() if self._switches.rate_problem_case == "title" else problem
        )
        if retry_after is not None:
            headers["retry-after"] = str(ceil(retry_after))
        return Answer(status=429, headers=headers)

    def _minute(self, client_id: str, tenant: str) -> Window:
        return self._minutes.setdefault((client_id, tenant), Window(_MINUTE))

    def _day(self, client_id: str, tenant: str) -> Window:
        return self._days.setdefault((client_id, tenant), Window(_DAY))

    def _app_minute(self, client_id: str) -> Window:
        return self._app_minutes.setdefault(client_id, Window(_MINUTE))


def _emptied(problem: str) -> Mapping[str, str]:
    """Return the budget header that is at zero for a problem, also when a fault makes it up."""
    names = {
        "minute": "x-minlimit-remaining",
        "day": "x-daylimit-remaining",
        "appminute": "x-appminlimit-remaining",
    }
    return {names[problem]: "0"} if problem in names else {}
