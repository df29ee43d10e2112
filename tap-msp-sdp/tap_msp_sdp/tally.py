"""The control total of one run: what left the tap, by module."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from tap_msp_sdp.modules import MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from msp_xero.edges.clock import Clock


_IDENTITY: Final = ("module", "worklog_id", "created_time", "technician_id")
_OF_THE_TICKET: Final = ("parent_status", "parent_updated_time", "parent_changed_time")
"""Members that say nothing about the worklog itself."""
_MODULES: Final = tuple(module.singular for module in MODULES.values())
_HAS_ACCOUNT: Final = b"+"  # behind the digest of what was emitted
_NO_ACCOUNT: Final = b"-"


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
        self._seen: dict[bytes, bytes] = {}

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
        """Tell whether this worklog was not emitted in this run yet, or differs from what was.

        A ticket that is changed while the run goes on is read again. Whether ids are unique is unverified,
        so time of creation and technician count too. Only digests are kept: a run over millions of
        worklogs stays small.
        """
        worklog = _digest([record[name] for name in _IDENTITY])
        content = _digest([value for name, value in record.items() if name not in _OF_THE_TICKET])
        content += _HAS_ACCOUNT if _has_account(record) else _NO_ACCOUNT
        if self._seen.get(worklog) == content:
            return False
        self._seen[worklog] = content
        return True

    def has_lost_its_account(self, record: dict[str, Any]) -> bool:
        """Tell whether a worklog without an account was emitted in this run with one, in whatever module."""
        if _has_account(record) or record["created_time"] is None:
            return False
        copies = (_digest([{**record, "module": name}[part] for part in _IDENTITY]) for name in _MODULES)
        return any(self._seen.get(copy, _NO_ACCOUNT).endswith(_HAS_ACCOUNT) for copy in copies)

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


def _has_account(record: dict[str, Any]) -> bool:
    return record["account_id"] is not None or record["account_name"] is not None


def _digest(values: list[Any]) -> bytes:
    return blake2b(repr(values).encode(), digest_size=12).digest()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
