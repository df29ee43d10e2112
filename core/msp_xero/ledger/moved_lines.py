"""Lines that people put on our invoices in Xero: they name worklogs that are billed elsewhere, or not yet.

A person puts two drafts of one customer together: the lines of one go onto the other, marks included, and the
first one is deleted. What its worklogs are on then is one of our own invoices, which nobody would look into.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, bindparam, exists, func, insert, select, update

from msp_xero.ledger.foreign import told_apart_from
from msp_xero.ledger.models import (
    WORKLOG_STATES,
    ForeignLine,
    Invoice,
    InvoiceLine,
    Worklog,
)
from msp_xero.ledger.outcomes import Standing
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

_TERMS = (
    "revision", "description", "quantity", "unit_price", "amount", "tax",
    "item_code", "account_code", "tax_type",
)  # fmt: skip


class Moved(NamedTuple):
    """A worklog that counts as billed by another invoice of ours from now on, and the number of that one."""

    standing: Standing
    number: str


# Built once: every look asks them.
_WAITS_AGAIN = (
    select(Worklog.id)
    .where(
        Worklog.connection_id == bindparam("connection"),
        Worklog.state.in_([state for state in WORKLOG_STATES if state != "invoiced"]),
        exists().where(InvoiceLine.worklog_row == Worklog.id, InvoiceLine.live.is_(False)),
    )
    .limit(1)
)
_BILLS_WHAT_IS_GONE = (
    select(Invoice.id)
    .where(
        Invoice.connection_id == bindparam("connection"),
        Invoice.state.in_(("voided", "deleted")),
        exists().where(InvoiceLine.invoice_id == Invoice.id, InvoiceLine.live.is_(True)),
    )
    .limit(1)
)


def may_be_moved(ledger: Ledger) -> bool:
    """Tell whether a worklog was on an invoice that it is not billed by any more, or that is gone in Xero.

    Only such a line can be on another invoice of ours without being billed twice there already.
    """
    here = {"connection": ledger.connection_id}
    with ledger.read() as session:
        return any(session.scalar(query, here) is not None for query in (_BILLS_WHAT_IS_GONE, _WAITS_AGAIN))


def texts_sent(ledger: Ledger, xero_ids: Collection[str]) -> dict[str, list[str]]:
    """Return the texts of the lines that this ledger has of its invoices, by Xero's id."""
    found = defaultdict[str, list[str]](list)
    with ledger.read() as session:
        for some in lots(xero_ids):
            rows = session.execute(
                select(Invoice.xero_id, InvoiceLine.description)
                .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
                .where(Invoice.connection_id == ledger.connection_id, Invoice.xero_id.in_(some))
            )
            for xero_id, description in rows.tuples():
                found[str(xero_id)].append(description)
    return found


def on_record_ever(ledger: Ledger, xero_ids: Collection[str]) -> set[str]:
    """Return those of these invoices that are this ledger's, also from before it started over."""
    found = set[str]()
    with ledger.read() as session:
        for some in lots(xero_ids):
            query = select(Invoice.xero_id).where(
                Invoice.connection_id == ledger.connection_id, Invoice.xero_id.in_(some)
            )
            found.update(map(str, session.scalars(query)))
    return found


def remembered_among(ledger: Ledger, xero_ids: Collection[str]) -> set[str]:
    """Return those of these invoices of which lines are remembered."""
    found = set[str]()
    with ledger.read() as session:
        for some in lots(xero_ids):
            query = select(ForeignLine.invoice_id).where(
                ForeignLine.connection_id == ledger.connection_id, ForeignLine.invoice_id.in_(some)
            )
            found.update(session.scalars(query))
    return found


def first_planned(
    ledger: Ledger, *, xero_ids: Collection[str], markers: Collection[str], numbers: Collection[str]
) -> datetime | None:
    """Return when the first of our invoices was planned that has one of these ids, markers or numbers.

    The answer to one can have been lost, so that its id is not known yet.
    """
    wanted = (
        (Invoice.xero_id, xero_ids),
        (Invoice.marker, markers),
        (func.lower(Invoice.number), [number.lower() for number in numbers]),
    )
    found: list[datetime] = []
    with ledger.read() as session:
        for column, values in wanted:
            for some in lots(values):
                query = select(func.min(Invoice.planned_at)).where(
                    Invoice.connection_id == ledger.connection_id, column.in_(some)
                )
                if (planned_at := session.scalar(query)) is not None:
                    found.append(planned_at)
    return min(found, default=None)


def follow(session: Session, ledger: Ledger, released: Invoice, rows: Collection[int]) -> list[Moved]:
    """Give worklogs of an invoice that is gone a line on that one of ours onto which a person put theirs.

    The line has the terms that were sent, as have all lines of this ledger, and does not count yet.

    Args:
        session: of the transaction.
        ledger: the open ledger.
        released: the invoice that is gone; the other one stands in its organisation or in the present one.
        rows: the worklogs.
    """
    seen = _seen_on_others(session, ledger, released, rows)
    sent = session.scalars(
        select(InvoiceLine)
        .where(InvoiceLine.invoice_id == released.id, InvoiceLine.worklog_row.in_(seen))
        .order_by(InvoiceLine.position)
    )
    # A rebuild finds two where a person has split a line; one is enough, and no more can count.
    first = {line.worklog_row: line for line in reversed(sent.all())}
    return [_line_on(session, *seen[row], line) for row, line in first.items()]


def _seen_on_others(
    session: Session, ledger: Ledger, released: Invoice, rows: Collection[int]
) -> dict[int, tuple[int, str]]:
    """Return id and number of the first invoice of ours that stands and was seen with a worklog, by worklog.

    A line is the worklog's by module and id, which stay as billed; its text may have been changed.
    """
    apart = told_apart_from(session, rows)
    query = (
        select(
            InvoiceLine.worklog_row,
            ForeignLine.module,
            ForeignLine.digest,
            Invoice.id,
            Invoice.number,
            Invoice.xero_id,
        )
        .join(Worklog, Worklog.id == InvoiceLine.worklog_row)
        .join(
            ForeignLine,
            and_(
                ForeignLine.connection_id == Worklog.connection_id,
                ForeignLine.worklog_id == Worklog.worklog_id,
                ForeignLine.module == Worklog.module,
            ),
        )
        .join(
            Invoice,
            and_(
                Invoice.connection_id == ForeignLine.connection_id, Invoice.xero_id == ForeignLine.invoice_id
            ),
        )
        .where(
            InvoiceLine.invoice_id == released.id,
            Invoice.generation.in_((ledger.generation, released.generation)),
            Invoice.state.in_(("created", "paid")),
        )
        .order_by(Invoice.id)
    )
    found = dict[int, tuple[int, str]]()
    for some in lots(sorted(rows)):
        for one in session.execute(query.where(InvoiceLine.worklog_row.in_(some))):
            if (one.xero_id, one.module, one.digest) not in apart.get(one.worklog_row, ()):
                found.setdefault(one.worklog_row, (one.id, one.number))
    return found


def _line_on(session: Session, invoice_id: int, number: str, line: InvoiceLine) -> Moved:
    last = session.scalar(select(func.max(InvoiceLine.position)).where(InvoiceLine.invoice_id == invoice_id))
    values = {name: getattr(line, name) for name in ("worklog_row", *_TERMS)}
    line_id = session.scalar(
        insert(InvoiceLine)
        .values(invoice_id=invoice_id, position=(last or 0) + 1, live=False, **values)
        .returning(InvoiceLine.id)
    )
    more = update(Invoice).where(Invoice.id == invoice_id).values(line_count=Invoice.line_count + 1)
    session.execute(more)
    return Moved(Standing(line.worklog_row, int(line_id or 0), invoice_id), number)
