"""Starting a connection over with another organisation, in one transaction.

Links belong to a generation, and so do invoices. What is billed stays billed, because it is on an
invoice, of whichever generation; what is not billed goes to the organisation of the new one.
:mod:`msp_xero.ledger.survey` tells beforehand what that would do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from msp_xero.errors import LedgerError
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.decisions import BY_PERSON
from msp_xero.ledger.models import Invoice, InvoiceLine, PastGeneration, PushBatch, Worklog
from msp_xero.ledger.outcomes import Standing, put_back
from msp_xero.ledger.planning import move_worklogs
from msp_xero.ledger.survey import (
    Organisation,
    last_lines,
    never_sent,
    organisation_of,
    refuse_not_compared,
    refuse_present,
    refuse_under_way,
    released_from,
    surveyed,
    under_way,
)
from msp_xero.ledger.withdrawing import free, withdraw

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date, datetime

    from sqlalchemy.orm import Session

    from msp_xero.ledger.models import BillingConnection
    from msp_xero.ledger.store import Fence, Ledger
    from msp_xero.ledger.survey import Survey

WITHDRAWN: Final = "It was planned and never sent: its connection was started over with another organisation."
COUNTED: Final = "Nobody could ask the organisation any more: it counts as billed because a person said so."


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """A generation of a connection; ``ended_at`` is None for the present one."""

    generation: int
    organisation: Organisation
    ended_at: datetime | None = None


def start_over(  # noqa: PLR0913 - what a person decided, one by one
    ledger: Ledger,
    fence: Fence,
    organisation: Organisation,
    *,
    expected: Survey,
    count_as_billed: Collection[str] = (),
    not_compared: bool = False,
    run_id: int | None = None,
) -> int:
    """Tie a connection to another organisation: a new generation, all of it or nothing.

    Args:
        ledger: the open ledger; it works in the new generation from then on.
        fence: proof of the settle lock.
        organisation: the new one.
        expected: what a person was shown; it has to be so still.
        count_as_billed: numbers of invoices under way whose worklogs count as billed, on a person's word.
        not_compared: do it although the ledger has not been compared with the present organisation lately,
            or the last look there stopped.
        run_id: for the audit log.

    Returns:
        The new generation.

    Raises:
        LedgerError: something is under way, the organisation is the present one, or what the person was
            shown has changed meanwhile.
    """
    with ledger.write(fence) as session:
        row = ledger.connection(session)
        found = surveyed(session, ledger, expected.rebill_from, expected.going_to)
        refuse_under_way(found, count_as_billed)
        refuse_present(found, organisation)
        if not not_compared:
            refuse_not_compared(found, ledger.clock.now())
        if found != expected:
            raise LedgerError(
                "the ledger has changed since it was looked at, so nothing was done; look again"
            )
        planned = session.scalars(select(Invoice.id).where(never_sent(ledger)).order_by(Invoice.id)).all()
        released = withdraw(session, ledger, planned, WITHDRAWN, run_id=run_id)
        if found.rebill_from is not None:
            released += _release(session, ledger, found.rebill_from, run_id)
        _count_as_billed(session, ledger, run_id)
        put_back = _put_back(session, ledger, organisation, run_id)
        session.add(
            PastGeneration(
                connection_id=ledger.connection_id,
                generation=row.generation,
                organisation_id=row.organisation_id,
                organisation_name=row.organisation_name,
                short_code=row.short_code,
                base_currency=row.base_currency,
                ended_at=ledger.clock.now(),
            )
        )
        _begin(row, organisation)
        data: dict[str, Any] = {
            "generation": row.generation,
            "organisation": organisation.organisation_id,
            "instead_of": found.organisation.organisation_id,
            "released": released,
            "put_back": put_back,
            "rebill_from": found.rebill_from.isoformat() if found.rebill_from else None,
            "counted_as_billed": list(found.under_way),
            "compared_at": found.compared_at.isoformat() if found.compared_at else None,
            "not_compared": not_compared,
        }
        record(session, ledger, [Change("connection", row.id, "started_over", data)], run_id=run_id)
        generation = row.generation
    ledger.generation = generation
    return generation


def eras(ledger: Ledger) -> list[Era]:
    """Return the generations of the connection with their organisations, the present one last."""
    with ledger.read() as session:
        past = session.scalars(
            select(PastGeneration)
            .where(PastGeneration.connection_id == ledger.connection_id)
            .order_by(PastGeneration.generation)
        ).all()
        now = ledger.connection(session)
        found = [
            Era(generation=one.generation, organisation=organisation_of(one), ended_at=one.ended_at)
            for one in past
        ]
        return [*found, Era(generation=now.generation, organisation=organisation_of(now))]


def _begin(row: BillingConnection, organisation: Organisation) -> None:
    """Let the new generation begin as a new connection does, but for its numbers and what SDP delivered."""
    row.generation += 1
    row.organisation_id, row.organisation_name = organisation.organisation_id, organisation.name
    row.short_code, row.base_currency = organisation.short_code, organisation.base_currency
    row.accounts_synced_at = row.worklog_types_synced_at = row.invoices_refreshed_at = None
    row.day_calls_remaining = row.day_calls_seen_at = row.contacts_read_to = row.look_stopped_at = None


def _release(session: Session, ledger: Ledger, day: date, run_id: int | None) -> int:
    """Take worklogs off the present organisation's invoices, which stay as they are. Return how many."""
    rows = session.scalars(
        select(Worklog.id)
        .where(
            Worklog.connection_id == ledger.connection_id,
            Worklog.state == "invoiced",
            released_from(ledger, day),
        )
        .order_by(Worklog.id)
    ).all()
    free(session, ledger, rows, "released", run_id=run_id)
    return len(rows)


def _count_as_billed(session: Session, ledger: Ledger, run_id: int | None) -> None:
    """Let the invoices under way count as billed: all that are left of them, because a person named them."""
    ids = session.scalars(select(Invoice.id).where(under_way(ledger)).order_by(Invoice.id)).all()
    if not ids:
        return
    batches = session.scalars(select(Invoice.batch_id).where(Invoice.id.in_(ids)).distinct()).all()
    now = ledger.clock.now()
    session.execute(
        update(Invoice)
        .where(Invoice.id.in_(ids))
        .values(state="created", reason_code=None, reason=COUNTED, settled_at=now)
    )
    session.execute(update(PushBatch).where(PushBatch.id.in_(batches)).values(state="done", settled_at=now))
    counted = [Change("invoice", one, "counted_as_billed", {"state": "created"}) for one in ids]
    record(session, ledger, counted, run_id=run_id)
    move_worklogs(session, ledger, ids, "invoiced", run_id=run_id)


def _put_back(session: Session, ledger: Ledger, organisation: Organisation, run_id: int | None) -> int:
    """Put worklogs back on the new organisation's own invoices of an earlier time, which stand there.

    They were taken off to be billed elsewhere. Wherever they are not billed now, billing them here would
    be the second time. What a person has excluded since stays excluded, or it would be billed once that
    invoice is released; included again, it is found on the invoice by the next look. Return how many.
    """
    if organisation.organisation_id is None:
        return 0
    last = last_lines(ledger, organisation.organisation_id).subquery()
    found = session.execute(
        select(Worklog.id, last.c.line_id, InvoiceLine.invoice_id)
        .join(last, last.c.worklog_row == Worklog.id)
        .join(InvoiceLine, InvoiceLine.id == last.c.line_id)
        .where(
            Worklog.connection_id == ledger.connection_id,
            Worklog.state.in_(("open", "held", "excluded")),
            Worklog.reason_code.is_distinct_from(BY_PERSON),
        )
        .order_by(Worklog.id)
    ).all()
    put_back(session, ledger, [Standing(*one) for one in found], run_id=run_id)
    return len(found)
