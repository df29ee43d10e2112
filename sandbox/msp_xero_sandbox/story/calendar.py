"""Working days in New Zealand as epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from random import Random

NEW_ZEALAND = ZoneInfo("Pacific/Auckland")
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def epoch_ms(moment: datetime) -> int:
    """Return an aware moment as epoch milliseconds, without passing through a float."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


class Calendar:
    """The months of work before ``now``, as New Zealand office days."""

    def __init__(self, now: datetime, days: int = 90) -> None:
        self.now = now
        self.now_ms = epoch_ms(now)
        self.today = now.astimezone(NEW_ZEALAND).date()
        span = [self.today - timedelta(days=offset) for offset in range(days, 0, -1)]
        self.workdays = [day for day in span if day.weekday() < 5]
        self._mornings = [self.local(day, 0) for day in self.workdays]

    @staticmethod
    def local(day: date, hour: int, minute: int = 0) -> int:
        """Return a New Zealand wall-clock time as epoch milliseconds."""
        return epoch_ms(datetime.combine(day, time(hour, minute), NEW_ZEALAND))

    def office_moment(self, rng: Random) -> int:
        """Return a quarter hour between 8:00 and 17:45 on one of the working days."""
        morning = self._mornings[int(rng.random() * len(self._mornings))]
        return morning + 8 * HOUR + int(rng.random() * 40) * 15 * MINUTE

    def next_office_moment(self, after: int, rng: Random) -> int:
        """Return about the same time of day, up to three days after another moment, but before now."""
        later = after + int(rng.random() * 4) * DAY + int(rng.random() * 8) * 15 * MINUTE
        return min(later, self.now_ms - 2 * HOUR)

    @property
    def last_month_end(self) -> date:
        """The last day of the previous month in New Zealand."""
        return self.today.replace(day=1) - timedelta(days=1)
