"""What invoices of strangers bill, as the last looks told: a worklog that comes later may be on one.

An invoice that msp-xero made and this ledger does not know is told by its lines. They are compared with what
waits when the invoice is seen; what is delivered only afterwards is compared with this memory. It outlasts a
starting over: in the organisation that was left nobody looks any more.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import aliased

from msp_xero.ledger.models import (
    BillingConnection,
    ForeignLine,
    Invoice,
    InvoiceLine,
    LineToldApart,
    PastGeneration,
    Worklog,
)
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Fence, Ledger

WAITING: Final = ("open", "held", "planned")

Line: TypeAlias = tuple[str, str, str]
"""A line that names a worklog: Xero's id of its invoice, the worklog's module, the digest of its text."""


UNREADABLE: Final = hashlib.sha256(b"").hexdigest()
"""The digest of a line that an earlier look saw and that names nothing any more: no worklog has this text."""


class Told(NamedTuple):
    """A worklog on a line in Xero that is not this ledger's.

    ``digest`` is the SHA-256 of the line's text; ``is_ours``: the invoice is of this connection, from
    before it started over, or a person put the line on it; ``is_tried``: its marker was tried with the
    numbers of this connection, and is none of them.
    """

    invoice_id: str
    number: str
    contact_id: str | None
    module: str
    worklog_id: str
    digest: str
    is_ours: bool
    is_tried: bool = False

    @property
    def line(self) -> Line:
        """What makes it this line, among those that name its id, as long as nobody changes its text."""
        return self.invoice_id, self.module, self.digest


_TOLD_FIELDS = [getattr(ForeignLine, name) for name in Told._fields]


def retell(ledger: Ledger, fence: Fence, invoice_ids: Collection[str], told: Iterable[Told]) -> None:
    """Replace what is remembered of these invoices by what was just told of them, all of it or nothing.

    Of one that is gone nothing is told any more. One that was known to be of this connection, from before it
    started over, stays so. Left alone is what :mod:`msp_xero.ledger.second_look` awaits.
    """
    mine = _mine(ledger)
    with ledger.read() as session:
        rows = session.execute(select(ForeignLine.invoice_id, ForeignLine.is_ours).where(*mine).distinct())
        known = rows.tuples().all()
    stale = sorted({one for one, _ in known}.intersection(invoice_ids))
    ours = {one for one, is_ours in known if is_ours}
    common = {"connection_id": ledger.connection_id, "generation": ledger.generation}
    anew = [
        {**common, **one._asdict(), "is_ours": one.is_ours or one.invoice_id in ours}
        for one in dict.fromkeys(told)
    ]
    if not (stale or anew):
        return
    with ledger.write(fence) as session:
        for some in lots(stale):
            of_these = ForeignLine.invoice_id.in_(some)
            session.execute(delete(ForeignLine).where(*mine, ForeignLine.contact_id.is_not(None), of_these))
        if anew:
            session.execute(insert(ForeignLine), anew)


def tell_apart(session: Session, worklog_row: int, lines: Collection[Line]) -> None:
    """Record that a worklog is other work than these lines bill, of which that was not said before."""
    names = ("worklog_row", "invoice_id", "module", "digest")
    rows = [dict(zip(names, (worklog_row, *line), strict=True)) for line in sorted(lines)]
    session.execute(insert(LineToldApart), rows)


def told_apart_from(session: Session, worklog_rows: Collection[int]) -> dict[int, set[Line]]:
    """Return the lines that a person has told apart from these worklogs, by worklog."""
    found = dict[int, set[Line]]()
    for some in lots(sorted(worklog_rows)):
        words = session.scalars(select(LineToldApart).where(LineToldApart.worklog_row.in_(some)))
        for word in words:
            line = word.invoice_id, word.module, word.digest
            found.setdefault(word.worklog_row, set()).add(line)
    return found


def told_apart_from_billed(ledger: Ledger, invoice_id: int) -> set[Line]:
    """Return the lines that a person has told apart from worklogs on this invoice of ours."""
    with ledger.read() as session:
        billed = session.scalars(
            select(InvoiceLine.worklog_row).where(InvoiceLine.invoice_id == invoice_id)
        ).all()
        return set[Line]().union(*told_apart_from(session, billed).values())


def note_tried(ledger: Ledger, fence: Fence, invoice_ids: Sequence[str]) -> None:
    """Remember that the markers of these invoices are none of this connection."""
    if not invoice_ids:
        return
    with ledger.write(fence) as session:
        for some in lots(invoice_ids):
            session.execute(
                update(ForeignLine)
                .where(*_mine(ledger), ForeignLine.invoice_id.in_(some))
                .values(is_tried=True)
            )


def told_of(ledger: Ledger, invoice_ids: Collection[str]) -> dict[str, list[Told]]:
    """Return all that is remembered of these invoices, by invoice."""
    found = defaultdict[str, list[Told]](list)
    with ledger.read() as session:
        for some in lots(sorted(invoice_ids)):
            query = select(*_TOLD_FIELDS).where(*_mine(ledger), ForeignLine.invoice_id.in_(some))
            for row in session.execute(query):
                line = Told(*row)
                found[line.invoice_id].append(line)
    return found


def keys_of(ledger: Ledger, invoice_ids: Collection[str]) -> dict[str, set[tuple[str, str]]]:
    """Return ``(module, worklog id)`` of all lines that are remembered of these invoices, by invoice."""
    return {
        invoice_id: {(line.module, line.worklog_id) for line in lines}
        for invoice_id, lines in told_of(ledger, invoice_ids).items()
    }


def remembered_of(ledger: Ledger, invoice_ids: Sequence[int]) -> set[str]:
    """Return Xero's ids of remembered invoices with a worklog of one of these invoices of ours."""
    found = set[str]()
    with ledger.read() as session:
        for some in lots(invoice_ids):
            query = (
                select(ForeignLine.invoice_id)
                .join(
                    Worklog,
                    (Worklog.connection_id == ForeignLine.connection_id)
                    & (Worklog.module == ForeignLine.module)
                    & (Worklog.worklog_id == ForeignLine.worklog_id),
                )
                .join(InvoiceLine, InvoiceLine.worklog_row == Worklog.id)
                .where(*_mine(ledger), InvoiceLine.invoice_id.in_(some))
                .distinct()
            )
            found.update(session.scalars(query))
    return found


# Built once: every run asks them several times, most of them in vain.
_BILLED = aliased(Worklog)
_IS_OURS = (
    select(InvoiceLine.id)
    .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
    .join(_BILLED, _BILLED.id == InvoiceLine.worklog_row)
    .where(
        Invoice.connection_id == ForeignLine.connection_id,
        Invoice.generation == bindparam("generation"),
        Invoice.xero_id == ForeignLine.invoice_id,
        _BILLED.worklog_id == ForeignLine.worklog_id,
        _BILLED.module == ForeignLine.module,
    )
    .exists()
)
_TOLD = (
    select(*_TOLD_FIELDS)
    .join(
        Worklog,
        (Worklog.connection_id == ForeignLine.connection_id) & (Worklog.worklog_id == ForeignLine.worklog_id),
    )
    .where(
        ForeignLine.connection_id == bindparam("connection"),
        Worklog.state.in_(bindparam("states", expanding=True)),
    )
    .distinct()
    .order_by(ForeignLine.invoice_id, ForeignLine.worklog_id)
)
_TOLD_HERE = _TOLD.where(ForeignLine.generation == bindparam("generation"), ~_IS_OURS)
_PRESENT = select(BillingConnection.organisation_id).where(BillingConnection.id == bindparam("connection"))
_TOLD_WHERE_IT_LEFT = _TOLD.where(
    ForeignLine.generation.in_(
        select(PastGeneration.generation).where(
            PastGeneration.connection_id == bindparam("connection"),
            PastGeneration.organisation_id.is_distinct_from(_PRESENT.scalar_subquery()),
        )
    ),
    ForeignLine.invoice_id.not_in(
        select(Invoice.xero_id).where(
            Invoice.connection_id == bindparam("connection"), Invoice.xero_id.is_not(None)
        )
    ),
)


def told_of_what_waits(ledger: Ledger, states: Collection[str] = WAITING) -> list[Told]:
    """Return what is remembered of ids under which something waits, but for lines that this ledger has.

    An invoice can be remembered from before it was known as ours.
    """
    return _told(ledger, _TOLD_HERE, states)


def told_where_it_left(ledger: Ledger, states: Collection[str] = WAITING) -> list[Told]:
    """Return the same of organisations that the connection has left."""
    if ledger.generation == 1:
        return []
    return _told(ledger, _TOLD_WHERE_IT_LEFT, states)


def _told(ledger: Ledger, query: Select[tuple[Any, ...]], states: Collection[str]) -> list[Told]:
    named = {"connection": ledger.connection_id, "generation": ledger.generation, "states": list(states)}
    with ledger.read() as session:
        return [Told(*row) for row in session.execute(query, named)]


def _mine(ledger: Ledger) -> tuple[ColumnElement[bool], ...]:
    """Of whatever generation: an invoice is told by its id, and stands in one organisation."""
    return (ForeignLine.connection_id == ledger.connection_id,)
