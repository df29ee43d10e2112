"""The control total of one run: what left the tap, by module."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from msp_xero.edges.clock import Clock


class Tally:
    """Counts the worklogs of one run and knows whether the run saw everything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.run_id = uuid4().hex
        self.started_at = clock.now()
        self.finished_at: datetime | None = None
        self._worklogs: dict[str, int] = {}
        self._minutes: dict[str, int] = {}
        self._since: dict[str, dict[str, str | None]] = {}
        self._seen: set[bytes] = set()

    def begin(self, modules: Sequence[str], since: Mapping[str, Mapping[str, str | None]]) -> None:
        """Start at zero.

        Args:
            modules: those that will be walked, as records name them.
            since: the bookmark that each module starts from, by walk, both as the state names them;
                None where a walk starts at the beginning.
        """
        self._since = {module: dict(walks) for module, walks in since.items()}
        self._worklogs = dict.fromkeys(modules, 0)
        self._minutes = dict.fromkeys(modules, 0)

    def is_new(self, record: dict[str, Any]) -> bool:
        """Tell whether this worklog was not emitted in this run yet.

        Whether ids are unique is unverified, so time of creation and technician count too. Only a
        digest is kept: a run over millions of worklogs stays small.
        """
        identity = [record[name] for name in ("module", "worklog_id", "created_time", "technician_id")]
        digest = blake2b(repr(identity).encode(), digest_size=12).digest()
        if digest in self._seen:
            return False
        self._seen.add(digest)
        return True

    def count(self, record: dict[str, Any]) -> None:
        """Count a worklog that was emitted."""
        module = record["module"]
        self._worklogs[module] = self._worklogs.get(module, 0) + 1
        self._minutes[module] = self._minutes.get(module, 0) + (record["minutes"] or 0)

    def complete(self) -> None:
        """All modules were walked to their end without an error."""
        self.finished_at = self._clock.now()

    def record(self) -> dict[str, Any] | None:
        """Return the trailer, or None when the run did not see everything."""
        if self.finished_at is None:
            return None
        return {
            "run_id": self.run_id,
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "worklogs": dict(self._worklogs),
            "minutes": dict(self._minutes),
            "since": self._since,
        }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
