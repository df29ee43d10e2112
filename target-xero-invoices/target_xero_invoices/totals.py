"""The control total: does what arrived agree with what the tap says it sent?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from msp_xero.errors import InputError
from msp_xero.ledger.bookmarks import Starts, moment
from msp_xero.ledger.staging import Staged
from msp_xero.singer.reader import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from msp_xero.ledger.lines import Line


class RecordsLost(InputError):
    """Less, more or other records arrived than the tap says it sent."""


class ControlTotal:
    """Counts what is stored and compares it with the ``extraction`` record at the end of the input."""

    def __init__(self) -> None:
        self.extraction: dict[str, Any] | None = None
        self.staged = Staged()
        self.judged_anew = 0
        self.worklogs: Counter[str] = Counter()
        self.minutes: Counter[str] = Counter()

    def add(self, lines: Sequence[Line], staged: Staged, *, from_ledger: bool) -> None:
        """Count stored lines; what the mapper took from the ledger was not delivered, only judged anew."""
        if from_ledger:
            self.judged_anew += len(lines)
            return
        self.staged.add(staged)
        for line in lines:
            self.worklogs[line.module] += 1
            self.minutes[line.module] += _delivered_minutes(line)

    def counts(self) -> dict[str, int]:
        """Return what was stored, for the record of runs."""
        return {name: getattr(self.staged, name) for name in Staged.__slots__}

    def sentence(self) -> str:
        """Say what was stored in one line."""
        staged = self.staged
        text = (
            f"stored {staged.new:,} new worklogs, {staged.updated:,} updated, "
            f"{staged.unchanged:,} unchanged, {staged.changed_after_billing:,} changed after billing"
        )
        if self.judged_anew:
            text += f"; judged {self.judged_anew:,} waiting ones anew"
        if staged.shared_ids:
            text += f"; {staged.shared_ids} share their id with another worklog and are kept apart"
        return text

    def check(self) -> None:
        """Refuse to bill an extraction that broke off or lost records on its way.

        Raises:
            InputError: the trailer did not come.
            RecordsLost: its totals differ from what was stored.
        """
        if self.extraction is None:
            raise InputError(
                "the extraction did not complete: its control total never arrived. The tap's own error above "
                "says why. What came is stored and nothing was billed; the next complete run bills it. "
                "(Lines of another tap, one that never sends a control total, need a target with "
                "require_trailer: false of its own)"
            )
        for name, counted in (("worklogs", self.worklogs), ("minutes", self.minutes)):
            sent = self._sent(name)
            if sent != {module: count for module, count in counted.items() if count}:
                raise RecordsLost(
                    f"the extraction does not agree: the tap sent {name} {_shown(sent)}, "
                    f"{_shown(counted)} arrived. Nothing was billed. If stream_maps or flattening of the tap "
                    "change its records, take them away before this target; else records were lost on their "
                    "way. Run again with --full-refresh"
                )
        if self.since is None and self._told("since") is not None:
            raise self._unusable("since")

    @property
    def since(self) -> Starts | None:
        """From which bookmarks the extraction went on; None where it does not tell, or nothing usable."""
        starts: Starts = {}
        try:
            for module, walks in self._told("since").items():
                starts |= {(module, walk): _bookmark(at) for walk, at in walks.items()}
        except (AttributeError, ValueError):
            return None
        return starts

    def _told(self, name: str) -> Any:
        return (self.extraction or {}).get(name)

    def _sent(self, name: str) -> dict[str, int]:
        told = self._told(name) or {}
        if not isinstance(told, dict) or not all(type(count) is int for count in told.values()):
            raise self._unusable(name)
        return {module: count for module, count in told.items() if count}

    @staticmethod
    def _unusable(name: str) -> InputError:
        return InputError(
            f"the control total of the extraction has no usable {name}. What came is stored and "
            "nothing was billed; look at what the tap writes"
        )


def _shown(counts: Mapping[str, int]) -> str:
    """Return the first counts by module; a name that is none could be anything."""
    return ", ".join(f"{shown(module)}: {counts[module]}" for module in sorted(counts)[:10]) or "none"


def _bookmark(told: object) -> datetime | None:
    """Read a bookmark of the control total; null is the very beginning."""
    at = moment(told)
    if at is None and told is not None:
        raise ValueError
    return at


def _delivered_minutes(line: Line) -> int:
    """Return the minutes as the tap counted them, also those that the line cannot have and is held for."""
    delivered = line.source.get("minutes")
    return delivered if type(delivered) is int else line.minutes
