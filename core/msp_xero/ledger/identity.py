"""Which worklog of the ledger a delivered line is a copy of, and whether it is the newest copy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from msp_xero.errors import LedgerError
from msp_xero.ledger.bookmarks import moment
from msp_xero.ledger.lines import Line, moment_of_creation
from msp_xero.ledger.types import encode_exact
from msp_xero.reasons import explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

SETTLED = ("planned", "invoiced")
"""States of a worklog whose terms are those that are billed."""

_TICKET = ("parent_module", "parent_id")
_IN_DOUBT = "ID_ON_INVOICE"


class _Identity(NamedTuple):
    """What of a worklog, besides its id, tells which one it is."""

    module: str
    created_time: str | None
    technician_id: str | None


@dataclass(slots=True)
class Known:
    """What the ledger knows of a worklog, as far as staging needs it."""

    id: int
    worklog_id: str
    ordinal: int
    module: str
    created_time: str | None
    technician_id: str | None
    state: str
    reason_code: str | None
    line_digest: str
    changed: dict[str, Any] | None
    newest: dict[str, Any] | None = None
    rebuilt: bool = False
    told_apart: bool = False
    given_anew: str | None = None
    unsent: bool = False
    """It is on an invoice that was planned and never sent, so that it can still be taken back."""
    pending: dict[str, Any] | None = None
    """The insert of this very batch that the row is still to come from."""

    def identities(self) -> Iterator[_Identity]:
        """Yield what tells which worklog it is: as it is stored, and as its newest copy tells."""
        yield _Identity(self.module, self.created_time, self.technician_id)
        if self.newest:
            technician = self.newest.get("technician_id")
            yield _Identity(
                str(self.newest.get("module")),
                moment_of_creation(self.newest),
                None if technician is None else str(technician),
            )


def same_worklog(candidates: Iterable[Known], line: Line) -> Known | None:
    """Find the stored worklog that a delivered line is a copy of, among those of its id.

    Equal id, creation time and technician is the same worklog, wherever it was moved to. Equal id
    within one module is the same worklog, edited. Equal id and creation time alone is the same one,
    moved and given to another technician: no two are created in the same moment under one id. All
    else are two worklogs that share an id, also two of different modules without a creation time:
    nothing says that they are one, and to take them for one would lose one.

    Where several fit, the best evidence counts, and of equal ones what is billed already.
    """
    fitting = [row for row in candidates if _evidence(row, line)]
    return max(fitting, key=lambda row: (_evidence(row, line), row.state in SETTLED), default=None)


def _evidence(row: Known, line: Line) -> int:
    """Return how much speaks for a line of the same id being this worklog; 0: nothing does."""
    stored, *moved = (_evidence_of(one, row, line) for one in row.identities())
    # Where it was moved to there may be another one of its id, made at another moment.
    same_moment = 3 if line.source.get("created_time") is not None else 1
    return max(stored, *(evidence for evidence in moved if evidence >= same_moment), 0)


def _evidence_of(known: _Identity, row: Known, line: Line) -> int:
    in_module = known.module == line.module
    in_moment = known.created_time == line.created_time and (in_module or line.created_time is not None)
    if in_moment and (in_module or known.technician_id == line.technician_id):
        return 5 + (known.technician_id == line.technician_id)
    if in_module and known.created_time is None and row.state in SETTLED:
        return 4  # rebuilt and not met since: its creation time is not known
    if in_moment and line.source.get("created_time") is not None:
        return 3  # one of the same module, created at another moment or not known since when, is another one
    # Where no creation time is told the start of the work stands in for it, and that is edited.
    return 2 if in_module else int(in_moment)


def held_if_in_doubt(line: Line, row: Known | None, same_id: Iterable[Known]) -> Line:
    """Hold a line that may be a billed worklog of another module, moved since the ledger was rebuilt.

    Once the billed one is delivered in its own module, or a person has told the two apart, this is another
    worklog: the next delivery finds no doubt any more, and every run delivers what is not billed.
    """
    is_known = row is not None and (row.told_apart or row.state in SETTLED)
    if line.decision != "bill" or is_known:
        return line
    if not any(other is not row and _may_be_billed_as(other, line) for other in same_id):
        return line
    return replace(line, decision="hold", reason_code=_IN_DOUBT, reason=explain(_IN_DOUBT).sentence)


def _may_be_billed_as(other: Known, line: Line) -> bool:
    """Tell whether a line may be a worklog that is billed, or excluded, under another module."""
    if other.rebuilt:
        return other.state not in ("open", "held")
    same_moment = line.created_time is not None and other.created_time == line.created_time
    return same_moment and other.state in SETTLED


def that_waits(
    same_id: list[Known], line: Line, digest: str, sources: Mapping[int, dict[str, Any]]
) -> Known | None:
    """Find what a line of this ledger's own was made of; None when that was stored anew or sent since.

    Raises:
        LedgerError: it was made of another ledger, or of another connection's worklogs.
    """
    if not same_id:
        raise LedgerError(
            f"worklog {line.worklog_id}, which the mapper took from what waits, is not in this ledger: the "
            "mapper and target-xero-invoices have to have the same ledger_url and the same connection. "
            "Nothing was billed"
        )
    made_of = encode_exact(line.source)

    def is_it(row: Known) -> bool:
        if row.pending is not None or (row.state in SETTLED and not row.unsent):
            return False
        if row.newest is not None:
            return encode_exact(row.newest) == made_of
        return row.line_digest == digest or encode_exact(sources.get(row.id)) == made_of

    return next(filter(is_it, same_id), None)


def is_older(line: Line, row: Known, sources: Mapping[int, dict[str, Any]], now: datetime) -> bool:
    """Tell whether a line was read of its ticket before what is stored: another run was faster.

    Only a time of change tells: that a ticket was closed is taken back when it is opened again. A stored
    moment in the future is not believed: it must not hide what comes until then.
    """
    stored = row.newest or (row.pending["source"] if row.pending else sources.get(row.id))
    if not stored or any(stored.get(name) != line.source.get(name) for name in _TICKET):
        return False
    read, known = (moment(one.get("parent_changed_time")) for one in (line.source, stored))
    return read is not None and known is not None and read < known <= now
