"""The sandbox's clock: real or virtual time that can be moved forward.

Token lives, rate windows and idempotency keys are all measured with it, so a test can pass a day
without waiting for it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Clock:
    """Aware UTC time, running from now or from a start, or standing still until it is moved."""

    def __init__(self, start: datetime | None = None, *, running: bool = True) -> None:
        self._start = start or datetime.now(UTC)
        self._running = running
        self._began = time.monotonic()
        self._offset = 0.0

    def now(self) -> datetime:
        """Return the current time of the sandbox."""
        elapsed = time.monotonic() - self._began if self._running else 0.0
        return self._start + timedelta(seconds=elapsed + self._offset)

    def epoch_ms(self) -> int:
        """Return the current time in milliseconds since 1970."""
        return (self.now() - _EPOCH) // _MILLISECOND

    def advance(self, seconds: float) -> None:
        """Move forward; what was issued before must never become fresh again, so never back."""
        if seconds < 0:
            raise ValueError(f"the clock only moves forward, not by {seconds} seconds")
        self._offset += seconds

    def reset(self) -> None:
        """Forget all moves."""
        self._offset = 0.0
