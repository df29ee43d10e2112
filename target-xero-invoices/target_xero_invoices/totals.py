"""The control total: does what arrived agree with what the tap says it sent?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from msp_xero.errors import InputError
from msp_xero.ledger.staging import Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msp_xero.ledger.staging import Line


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
            InputError: the trailer did not come, or its totals differ from what was stored.
        """
        if self.extraction is None:
            raise InputError(
                "the extraction did not complete: its control total never arrived. What came is stored and "
                "nothing was billed; the next complete run bills it. For lines of a tap that sends no "
                "control total, set require_trailer to false"
            )
        for name, counted in (("worklogs", self.worklogs), ("minutes", self.minutes)):
            sent = self._sent(name)
            if sent != {module: count for module, count in counted.items() if count}:
                raise InputError(
                    f"the extraction does not agree: the tap sent {name} {sent}, {dict(counted)} arrived. "
                    "Nothing was billed. Run again with --full-refresh"
                )

    def _sent(self, name: str) -> dict[str, int]:
        told = (self.extraction or {}).get(name) or {}
        if not isinstance(told, dict) or not all(type(count) is int for count in told.values()):
            raise InputError(
                f"the control total of the extraction has no usable {name}. What came is stored and "
                "nothing was billed; look at what the tap writes"
            )
        return {module: count for module, count in told.items() if count}


def _delivered_minutes(line: Line) -> int:
    """Return the minutes as the tap counted them, also those that the line cannot have and is held for."""
    delivered = line.source.get("minutes")
    return delivered if type(delivered) is int else line.minutes
