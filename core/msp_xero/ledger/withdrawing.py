"""Taking back what is planned and not in Xero: its worklogs wait again, and its number is not used again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select, tuple_, update

from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.decisions import wait_again
from msp_xero.ledger.models import Invoice, InvoiceLine, PushBatch, Worklog
from msp_xero.ledger.outcomes import billed_by, free_worklogs
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Fence, Ledger

BILLED_ELSEWHERE: Final = (
    "It was planned, and is not in Xero: another invoice there bills some of its worklogs."
)


def withdraw(
    session: Session, ledger: Ledger, ids: Sequence[int], reason: str, *, run_id: int | None = None
) -> int:
    """Take back planned invoices with their batches. Return how many worklogs wait again."""
    worklogs, now = 0, ledger.clock.now()
    for some in lots(ids):
        batches = session.scalars(select(Invoice.batch_id).where(Invoice.id.in_(some)).distinct()).all()
        rows = billed_by(session, some)
        session.execute(
            update(Invoice)
            .where(Invoice.id.in_(some))
            .values(state="rejected", reason_code=None, reason=reason, settled_at=now)
        )
        done = update(PushBatch).where(PushBatch.id.in_(batches)).values(state="done", settled_at=now)
        session.execute(done)
        changes = [Change("invoice", one, "withdrawn", {"state": "rejected"}) for one in some]
        record(session, ledger, changes, run_id=run_id)
        free(session, ledger, rows, "withdrawn", run_id=run_id)
        worklogs += len(rows)
    return worklogs


def free(
    session: Session, ledger: Ledger, rows: Sequence[int], action: str, *, run_id: int | None = None
) -> None:
    """Take worklogs off the invoices that they are on, to be billed again."""
    for some in lots(rows):
        live = select(InvoiceLine.worklog_row, InvoiceLine.invoice_id).where(
            InvoiceLine.worklog_row.in_(some), InvoiceLine.live.is_(True)
        )
        taken_off = dict(session.execute(live).tuples().all())
        free_worklogs(session, some)
        changes = [
            Change("worklog", row, action, {"invoice": taken_off.get(row), "state": state})
            for row, state in wait_again(session, some)
        ]
        record(session, ledger, changes, run_id=run_id)


def withdraw_billed(
    ledger: Ledger,
    fence: Fence,
    worklogs: Collection[tuple[str, str]],
    *,
    run_id: int | None = None,
) -> None:
    """Take back what is planned for these worklogs, with all of its batch: an invoice in Xero bills them.

    A person can exclude them then. What Xero was proven not to have is taken back too: should its first call
    arrive late, its marker tells (:func:`msp_xero.billing.strangers.unexplained`).

    Args:
        ledger: the open ledger.
        fence: proof of the settle lock.
        worklogs: ``(module, worklog id)`` of each.
        run_id: for the audit log.
    """
    with ledger.write(fence) as session:
        batches = {
            batch_id
            for some in lots(worklogs)
            for batch_id in session.scalars(
                select(Invoice.batch_id)
                .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
                .join(Worklog, Worklog.id == InvoiceLine.worklog_row)
                .where(
                    Invoice.connection_id == ledger.connection_id,
                    Invoice.state == "planned",
                    InvoiceLine.live.is_(True),
                    tuple_(Worklog.module, Worklog.worklog_id).in_(some),
                )
            )
            if batch_id is not None
        }
        for some in lots(sorted(batches)):
            query = select(Invoice.id).where(Invoice.batch_id.in_(some), Invoice.state == "planned")
            ids = session.scalars(query.order_by(Invoice.id)).all()
            withdraw(session, ledger, ids, BILLED_ELSEWHERE, run_id=run_id)
