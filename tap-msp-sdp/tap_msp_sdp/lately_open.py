"""Which parents were open lately, where nothing tells since when one is closed.

Of projects and tasks only an end is told that a person types, often afterwards. One that was open at the
last run was closed since, whatever end it has; of what was not seen open the end is believed, or all that
were ever closed would have to be read on every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_msp_sdp.parents import Parent


OPEN: Final = "open"


class LatelyOpen:
    """What is remembered of earlier runs, and what this one sees.

    Args:
        remembered: ids of what was ``open`` at the last run, and of what was closed by the day of the first
            run that saw it closed (``2026-11-27``). Of an id with several days the one counts for which it is
            read longest.
        unknown_since_ms: None where nothing is missing there. Else all that is not there is read once more
            that ended since then, such as a ``start_date``.
    """

    def __init__(
        self, remembered: Iterable[tuple[str, Sequence[str]]], unknown_since_ms: int | None = None
    ) -> None:
        self._unknown_since_ms = unknown_since_ms
        # The last one of an id wins: a later day, and open at the very end.
        self._closed_on = {identity: day for day, ids in sorted(remembered) for identity in ids}
        self._open: list[str] = []

    def is_long_closed(self, parent: Parent, since_ms: int) -> bool:
        """Tell whether a parent was closed before a time, although no time of closing is told."""
        if parent.id in self._closed_on or parent.ended_ms is None:
            return False
        latest = since_ms if self._unknown_since_ms is None else min(since_ms, self._unknown_since_ms)
        # A new one may be closed before any run sees it open, with whatever end.
        return max(parent.created_ms or 0, parent.ended_ms) < latest

    def see(self, parent: Parent) -> None:
        """Take in a parent that this run lists; where a time of closing is told nothing has to be remembered.

        Whether its row tells an end is no matter: an open one need not have any yet.
        """
        if parent.is_open and parent.module.ended:
            self._open.append(parent.id)

    def to_remember(self, today: str, first_day: str = "") -> dict[str, list[str]]:
        """Return what the next run has to know.

        Args:
            today: the day of this run.
            first_day: what was closed on an earlier one is closed for long; empty where nothing is yet.
        """
        closed_on = {identity: today if day == OPEN else day for identity, day in self._closed_on.items()}
        by_day: dict[str, list[str]] = {}
        for identity, day in sorted((closed_on | dict.fromkeys(self._open, OPEN)).items()):
            if day == OPEN or day >= first_day:
                by_day.setdefault(day, []).append(identity)
        return by_day
