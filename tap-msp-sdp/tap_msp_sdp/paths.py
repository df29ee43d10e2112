"""Paths that no documentation confirms: what a run learns about them (sdp-msp-api §3.1, §4)."""

from __future__ import annotations

import logging
from threading import Lock
from typing import Final

from msp_xero.errors import Missing, Rejected, RemoteError, Unavailable
from msp_xero.sdp.envelope import SYSTEM, UNKNOWN_VALUE

logger: Final = logging.getLogger("tap_msp_sdp")

UNCONFIRMED: Final = frozenset(
    {"GET tasks/{id}/worklogs", "GET problems/{id}/tasks", "GET problems/{id}/tasks/{id}/worklogs"}
)


class UnconfirmedPaths:
    """Remembers which of them answer and which are not there; called from several threads.

    One that is not there for one ticket and answers for another is no path that is missing: the time
    of the first one would be lost.

    Attributes:
        is_in_doubt: one was left out since this was last set to False, so that the bookmark of what
            was left out must not move before it is sure that the path answers for nobody.
    """

    def __init__(self) -> None:
        self.is_in_doubt = False
        self._answering: set[str] = set()
        self._absent: set[str] = set()
        self._told: set[str] = set()
        self._lock = Lock()

    def has_answered(self, name: str) -> None:
        """Remember that a path answers.

        Args:
            name: method and path with ids replaced, as :func:`~msp_xero.sdp.calls.endpoint` gives it.

        Raises:
            Unavailable: it was left out for others in this run.
        """
        if name not in UNCONFIRMED or name in self._answering:
            return
        with self._lock:
            self._answering.add(name)
            if name in self._absent:
                raise Unavailable(
                    "the path was answered as if it did not exist, and now it does",
                    system=SYSTEM,
                    address=name,
                    advice="The next run reads all of it again",
                )

    def leave_out(self, name: str, refusal: RemoteError, *, for_all: bool) -> None:
        """Go on without a path that this installation does not have, and tell that once.

        Args:
            name: as for :meth:`has_answered`.
            refusal: what was answered, although the owner is there.
            for_all: False where the path may serve some owners only.

        Raises:
            RemoteError: the refusal, where it does not mean that there is no such path.
        """
        if name not in UNCONFIRMED or not _means_no_path(refusal):
            raise refusal
        with self._lock:
            if for_all:
                if name in self._answering:
                    raise refusal
                self._absent.add(name)
                self.is_in_doubt = True
            if name not in self._told:
                self._told.add(name)
                lack = "does not exist on this installation" if for_all else "does not serve every task"
                logger.warning("%s %s: worklogs there are not read", name, lack)


def _means_no_path(refusal: RemoteError) -> bool:
    return isinstance(refusal, Missing) or (isinstance(refusal, Rejected) and UNKNOWN_VALUE in refusal.codes)
