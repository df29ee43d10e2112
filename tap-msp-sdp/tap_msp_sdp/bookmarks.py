"""One bookmark a module, kept in the Singer state of the stream ``worklogs``.

The module ``tasks`` is found by several walks (requests, problems, changes, the general list), each
at its own place. Its bookmark holds them under ``positions``; ``replication_key_value`` is the
earliest of them, and setting it back by hand sets all of them back.

Where a walk cannot ask by time of change, its place is the time that it began, by the clock of this
machine. The state says so (``by_own_clock``), because ServiceDesk Plus may have another time. Beside
it stands, by walk, what was open lately (:class:`~tap_msp_sdp.lately_open.LatelyOpen`). The module
``tasks`` also has the names of those unconfirmed paths that ever answered (``paths_that_answered``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

REPLICATION_KEY: Final = "parent_updated_time"
_VALUE: Final = "replication_key_value"
_POSITIONS: Final = "positions"
_BY_OWN_CLOCK: Final = "by_own_clock"
_LATELY_OPEN: Final = "lately_open"
_ANSWERED: Final = "paths_that_answered"


class Bookmarks:
    """Reads and moves the bookmarks. Values are ISO UTC with fixed precision, compared as text.

    Args:
        state_of: returns the writable state of a module.
        walks_of: the walks that each module needs.
    """

    def __init__(
        self, state_of: Callable[[str], dict[str, Any]], walks_of: Mapping[str, Sequence[str]]
    ) -> None:
        self._state_of = state_of
        self._walks_of = walks_of

    def get(self, module: str, walk: str) -> str | None:
        """Return where a walk stands for a module, None when it never began.

        One that takes over from others begins anew, whatever its name: it knows nothing of what they left.
        """
        state = self._state_of(module)
        value: str | None = state.get(_VALUE)
        positions: dict[str, str] | None = state.get(_POSITIONS)
        if positions is None:
            return value if self._walks_of[module] == [walk] == [module] else None
        if positions.keys() - {*self._walks_of[module]}:
            return None
        position = positions.get(walk)
        if position is None or value is None:
            return position
        return min(position, value) if value < min(positions.values()) else position

    def is_by_own_clock(self, module: str, walk: str) -> bool:
        """Tell whether a walk stands at a time of this machine's clock, and not of ServiceDesk Plus'."""
        return walk in self._state_of(module).get(_BY_OWN_CLOCK, ())

    def advance(self, module: str, walk: str, value: str, *, by_own_clock: bool = False) -> None:
        """Move a bookmark forward; from a time of this machine's clock, which may have been wrong, also back.

        Args:
            module: whose bookmark it is.
            walk: which of its walks.
            value: ISO UTC, where it stands now.
            by_own_clock: the value is a time of this machine's clock.
        """
        before = self.get(module, walk)
        if before is not None and value <= before and not self.is_by_own_clock(module, walk):
            return
        state = self._state_of(module)
        self._note_clock(state, walk, by_own_clock=by_own_clock)
        state["replication_key"] = REPLICATION_KEY
        walks = self._walks_of[module]
        if walks == [walk] == [module]:
            state[_VALUE] = value
            state.pop(_POSITIONS, None)
            return
        positions = {name: at for name in walks if (at := self.get(module, name)) is not None}
        positions[walk] = value
        state[_POSITIONS] = positions
        if len(positions) == len(walks):
            state[_VALUE] = min(positions.values())

    def lately_open(self, module: str, walk: str) -> dict[str, list[str]]:
        """Return what a walk saw open lately, as LatelyOpen keeps it, whether or not that is all."""
        days: dict[str, list[str]] = self._told_open(module, walk).get("ids", {})
        return days

    def knows_open(self, module: str, walk: str, discovery: str) -> bool:
        """Tell whether that is all that was open where the bookmark stands.

        It is not after the bookmark was set back by hand, or of another way to discover tasks.
        """
        told, at = self._told_open(module, walk), self.get(module, walk)
        until = told.get("at")
        return at is not None and until is not None and until <= at and told.get("discovery") == discovery

    def remember_open(self, module: str, walk: str, days: dict[str, list[str]], discovery: str) -> None:
        """Keep what a walk saw open lately for its next run.

        Args:
            module: whose bookmark it is, moved already.
            walk: which of its walks.
            days: as LatelyOpen keeps it.
            discovery: the setting ``task_discovery``, which decides which tasks are seen.
        """
        self._tell_open(module, walk, {"at": self.get(module, walk), "discovery": discovery, "ids": days})

    def add_open(self, module: str, walk: str, days: dict[str, list[str]]) -> None:
        """Keep it where the bookmark waits: whether that is all is as it was before.

        Args:
            module: whose bookmark it is.
            walk: which of its walks.
            days: as LatelyOpen keeps it, with all that was kept before.
        """
        self._tell_open(module, walk, {**self._told_open(module, walk), "ids": days})

    def forget_open(self, module: str, walk: str) -> None:
        """Keep nothing of what a walk saw open."""
        state = self._state_of(module)
        if others := {name: told for name, told in state.pop(_LATELY_OPEN, {}).items() if name != walk}:
            state[_LATELY_OPEN] = others

    def _told_open(self, module: str, walk: str) -> dict[str, Any]:
        told: dict[str, Any] = self._state_of(module).get(_LATELY_OPEN, {}).get(walk, {})
        return told

    def _tell_open(self, module: str, walk: str, told: dict[str, Any]) -> None:
        state = self._state_of(module)
        state[_LATELY_OPEN] = {**state.get(_LATELY_OPEN, {}), walk: told}

    def paths_that_answered(self) -> list[str]:
        """Return the names of unconfirmed paths that answered in earlier runs."""
        names: list[str] = self._state_of("tasks").get(_ANSWERED, [])
        return names

    def remember_answered(self, names: list[str]) -> None:
        """Keep the names of unconfirmed paths that ever answered; all of them serve ``tasks``."""
        if names:
            self._state_of("tasks")[_ANSWERED] = names

    def _note_clock(self, state: dict[str, Any], walk: str, *, by_own_clock: bool) -> None:
        walks = {*state.pop(_BY_OWN_CLOCK, ())} - {walk}
        walks |= {walk} if by_own_clock else set()
        if walks:
            state[_BY_OWN_CLOCK] = sorted(walks)
