"""Paths that no documentation confirms: what a run learns about them (sdp-msp-api §3.1, §4)."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Final

from msp_xero.errors import Missing, Rejected, RemoteError
from msp_xero.sdp.envelope import UNKNOWN_VALUE

if TYPE_CHECKING:
    from collections.abc import Iterable

logger: Final = logging.getLogger("tap_msp_sdp")

UNCONFIRMED: Final = frozenset(
    {"GET tasks/{id}/worklogs", "GET problems/{id}/tasks", "GET problems/{id}/tasks/{id}/worklogs"}
)
"""All of them serve time of the module ``tasks``."""


class UnconfirmedPaths:
    """Remembers which of them answer and which are not there; called from several threads.

    One that is not there for one ticket and answers for another is no path that is missing: the time
    of the first one is asked for again by the next run.
    """

    def __init__(self) -> None:
        self._answering: set[str] = set()
        self._left_out: dict[str, str] = {}  # name -> whose it was, of the walk that runs
        self._told: set[str] = set()
        self._lock = Lock()

    def begin_walk(self) -> None:
        """Forget what was left out so far: it was judged at the end of its own walk."""
        self._left_out.clear()

    @property
    def has_left_out(self) -> bool:
        """Whether something was left out in this walk, and nobody knows yet whether that is right."""
        return bool(self._left_out)

    def has_answered(self, name: str) -> None:
        """Remember that a path answers.

        Args:
            name: method and path with ids replaced, as :func:`~msp_xero.sdp.calls.endpoint` gives it.
        """
        if name in UNCONFIRMED:
            with self._lock:
                self._answering.add(name)

    def have_answered(self, names: Iterable[str]) -> None:
        """Take in what answered in earlier runs.

        A run that asks a path for one ticket only would take its refusal for that of all.
        """
        with self._lock:
            self._answering.update(names)

    def that_answered(self) -> list[str]:
        """Return the names of those that ever answered, in this run or before."""
        with self._lock:
            return sorted(self._answering)

    def answers(self, name: str) -> bool:
        """Tell whether a path has ever answered, in this run or before."""
        return name in self._answering

    def leaves_out(self, name: str) -> bool:
        """Tell whether a path was left out in this walk."""
        return name in self._left_out

    def refuses(self, name: str) -> bool:
        """Tell whether a path was refused for an owner that is there."""
        return name in self._left_out or name in self._told

    def leave_out(self, name: str, refusal: RemoteError, owner: str, *, for_all: bool) -> None:
        """Go on without a path that this installation may not have.

        Args:
            name: as for :meth:`has_answered`.
            refusal: what was answered, although the owner is there.
            owner: what it was asked for, such as ``problems/45``.
            for_all: False where the path may serve some owners only.

        Raises:
            RemoteError: the refusal, where it does not mean that there is no such path.
        """
        if name not in UNCONFIRMED or not _means_no_path(refusal):
            raise refusal
        with self._lock:
            if for_all:
                self._left_out.setdefault(name, owner)
            else:
                self._tell(name, "does not serve every task: worklogs there are not read")

    def is_in_doubt(self) -> bool:
        """Tell people, at the end of a walk, what was left out, and return whether it may be there."""
        doubtful = self._left_out.keys() & self._answering
        for name in sorted(doubtful):
            logger.warning(
                "%s answers for others, or did before, and not for %s: "
                "time there is missing, the next run asks again",
                name,
                self._left_out[name],
            )
        for name in sorted(self._left_out.keys() - doubtful):
            self._tell(name, "does not exist on this installation: worklogs there are not read")
        return bool(doubtful)

    def _tell(self, name: str, what: str) -> None:
        if name not in self._told:
            self._told.add(name)
            logger.warning("%s %s", name, what)


def _means_no_path(refusal: RemoteError) -> bool:
    return isinstance(refusal, Missing) or (isinstance(refusal, Rejected) and UNKNOWN_VALUE in refusal.codes)
