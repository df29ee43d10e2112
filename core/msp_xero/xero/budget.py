"""The call budget of one organisation: five at once, sixty a minute, and what the day has left.

The limits are per app and organisation (xero-api §2), so other processes spend from the same budget;
the headers of every answer tell how much is really left and correct our own count.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from pyrate_limiter import InMemoryBucket, Rate, RateItem

from msp_xero.errors import DayLimitReached, Throttled
from msp_xero.xero.errors import SYSTEM, remaining

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from msp_xero.edges.clock import Clock

CONCURRENT_CALLS = 5
MINUTE = 60.0

# A minute's limit is over after a minute; a few seconds are added for clocks that differ.
LONGEST_WAIT = 70.0
_OTHERS = "others"

# The day's window starts at a different time for every organisation (xero-api §2), so after a while it is
# worth one call to find out whether it has begun anew. Matters to runs that follow each other closely, and to
# a program that stays up, like the console: at most one such call an hour is made from the reserve.
DAY_NEWS_SECONDS = 3600.0


class CallBudget:
    """Hands out the right to make one call, and waits when there is none; safe for threads.

    pyrate-limiter keeps the minute's window. Its bucket takes the time with each item, so it works with our
    clock; its ``Limiter`` is left out because that sleeps on the machine's clock.

    Args:
        clock: measures the windows and does the waiting.
        max_calls_per_minute: calls in any 60 seconds.
        day_call_reserve: calls of the day that are left to others.
        patience: seconds that a pause may have which Xero asks for, or which calls of others make needed; a
            longer one is an error.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_calls_per_minute: int = 60,
        day_call_reserve: int = 100,
        patience: float = LONGEST_WAIT,
    ) -> None:
        self._clock = clock
        self.reserve = day_call_reserve
        self._patience = min(patience, LONGEST_WAIT)
        self._limit = max_calls_per_minute
        self._minute = InMemoryBucket([Rate(max_calls_per_minute, int(MINUTE * 1000))])
        self._slots = threading.BoundedSemaphore(CONCURRENT_CALLS)
        self._lock = threading.Lock()
        self._paused_until = 0.0
        self._day_left: int | None = None
        self._day_told_at = 0.0
        self._day_over: DayLimitReached | None = None

    @property
    def day_left(self) -> int | None:
        """Calls that the day has left for everybody; None before the first answer.

        As last told by Xero, less the calls made since then.
        """
        return self._day_left

    @property
    def day_news_age(self) -> float:
        """Seconds since Xero told what the day has left."""
        return self._clock.monotonic() - self._day_told_at

    def recall(self, day_left: int, age: float) -> None:
        """Begin with what an earlier run was told, so that a used-up day costs no call at all.

        Args:
            day_left: calls that the day had left.
            age: seconds since then; news older than an hour is no news.
        """
        if 0 <= age < DAY_NEWS_SECONDS:
            with self._lock:
                self._day_left, self._day_told_at = day_left, self._clock.monotonic() - age

    @contextlib.contextmanager
    def call(self, address: str) -> Iterator[None]:
        """Wait for the right to make one call, and hold one of the five places while it runs.

        Args:
            address: the call, for the error.

        Raises:
            DayLimitReached: the day's calls are used up, or only the reserve is left.
            Throttled: Xero asked for a pause that is too long to wait for.
        """
        with self._slots:
            while (wait := self._take_turn(address)) > 0:
                self._clock.sleep(wait)
            yield

    def learn(self, headers: Mapping[str, str]) -> None:
        """Correct the count with what an answer says is left in the minute and in the day."""
        minute_left = remaining(headers, "X-MinLimit-Remaining")
        day_left = remaining(headers, "X-DayLimit-Remaining")
        with self._lock:
            if day_left is not None:
                self._learn_day(day_left)
            if minute_left is not None:
                self._spend_down_to(minute_left)

    def pause(self, seconds: float) -> None:
        """Hold back all calls for ``seconds``: Xero told when its minute ends, and then a full one begins."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)
            self._minute.flush()

    def stop_for_the_day(self, error: DayLimitReached) -> None:
        """Refuse further calls: Xero said that the day's limit is reached."""
        with self._lock:
            self._day_over = error
            self._day_left = 0
            self._day_told_at = self._clock.monotonic()

    def _learn_day(self, told: int) -> None:
        """Believe a lower count than ours, as others call too, and a much higher one: a day that began anew.

        A slightly higher one only leaves out calls that are still under way. Believing it would let the calls
        that run side by side into the reserve.
        """
        ours = self._day_left
        if ours is None or told < ours or told > ours + CONCURRENT_CALLS:
            self._day_left = told
        self._day_told_at = self._clock.monotonic()

    def _take_turn(self, address: str) -> float:
        """Take one call from the budget and return 0, or return the seconds to wait before asking again."""
        with self._lock:
            self._check_day(address)
            now = self._clock.monotonic()
            if now < self._paused_until:
                return self._bounded(self._paused_until - now, address)
            moment = int(now * 1000)
            self._minute.leak(moment)
            item = RateItem("call", moment)
            if self._minute.put(item):
                if self._day_left is not None:
                    self._day_left -= 1
                return 0.0
            wait = self._minute.waiting(item)
            assert isinstance(wait, int)
            seconds = max(wait, 1) / 1000
            spent_by_others = any(one.name == _OTHERS for one in self._minute.items)
            return self._bounded(seconds, address) if spent_by_others else seconds

    def _check_day(self, address: str) -> None:
        if self._day_left is None or self._day_left > self.reserve:
            return
        if self.day_news_age >= DAY_NEWS_SECONDS and not self._day_is_over():
            self._day_left, self._day_over = None, None
            return
        resume_at = self._day_over.resume_at if self._day_over else None
        advice = (
            ""
            if self._day_over
            else f"day_call_reserve keeps the last {self.reserve} calls for others. Xero's day of 24 hours "
            "begins anew by itself; the next run goes on where this one stopped"
        )
        raise DayLimitReached(system=SYSTEM, address=address, resume_at=resume_at, advice=advice)

    def _day_is_over(self) -> bool:
        """Tell whether Xero named a time that has not come yet."""
        resume_at = self._day_over.resume_at if self._day_over else None
        return resume_at is not None and self._clock.now() < resume_at

    def _spend_down_to(self, minute_left: int) -> None:
        """Make our count of the minute agree with a lower one of Xero's: others spend from it too."""
        moment = int(self._clock.monotonic() * 1000)
        self._minute.leak(moment)
        for _ in range(self._limit - self._minute.count() - minute_left):
            self._minute.put(RateItem(_OTHERS, moment))

    def _bounded(self, wait: float, address: str) -> float:
        if wait > self._patience:
            raise Throttled("no call is made for now", system=SYSTEM, address=address, retry_after=wait)
        return wait
