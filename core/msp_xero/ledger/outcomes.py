"""What became of invoices that were sent: each outcome is stored on its own, and lets its worklogs go on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, case, func, or_, select, update

from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.models import Invoice, InvoiceLine, PushBatch, Worklog
from msp_xero.ledger.planning import move_worklogs
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from decimal import Decimal

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Fence, Ledger


@dataclass(frozen=True, slots=True)
class Created:
    """An invoice that is in Xero. ``note`` says what differs from what was sent, if anything."""

    invoice_id: int
    xero_id: str
    status: str
    total: Decimal | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class LineFault:
    """Why Xero refused one line: a stable code, and its own words."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An invoice that is proven not to be in Xero, and why.

    ``lines`` says it by ``(module, worklog id)`` where Xero blamed single lines: the other worklogs are
    free to be planned again. Empty: the whole invoice is to blame, or it is not known which line.
    """

    invoice_id: int
    code: str
    reason: str
    lines: Mapping[tuple[str, str], LineFault] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What became of invoices that were sent or looked up."""

    created: list[Created] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    conflicts: list[Refused] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take over what another call brought about."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(other, name))


def record_outcome(ledger: Ledger, fence: Fence, outcome: Outcome, *, run_id: int | None = None) -> None:
    """Store what became of invoices, each by its own outcome, in one transaction.

    Created: its worklogs are invoiced. Refused: its lines are void and its worklogs held with
    Xero's words. Unknown and conflict: its worklogs stay planned until the truth is known.
    """
    with ledger.write(fence) as session:
        if outcome.created:
            _record_created(session, ledger, outcome.created, run_id)
        for refused in outcome.refused:
            _record_refused(session, ledger, refused, run_id)
        for conflict in outcome.conflicts:
            if session.get_one(Invoice, conflict.invoice_id).state == "conflict":
                continue  # as it was: the history tells what happened, not how often somebody looked
            _set_state(session, conflict.invoice_id, "conflict", conflict.code, conflict.reason)
            data = {"reason_code": conflict.code}
            record(session, ledger, [Change("invoice", conflict.invoice_id, "conflict", data)], run_id=run_id)
        for invoice_id in outcome.unknown:
            _set_state(session, invoice_id, "unknown", None, None)
            record(session, ledger, [Change("invoice", invoice_id, "unknown")], run_id=run_id)
        session.flush()
        close_batches(session, ledger)


def _record_created(session: Session, ledger: Ledger, created: Sequence[Created], run_id: int | None) -> None:
    for result in created:
        invoice = session.get_one(Invoice, result.invoice_id)
        invoice.state = live_state(result.status)
        invoice.xero_id, invoice.xero_status, invoice.xero_total = result.xero_id, result.status, result.total
        invoice.reason_code, invoice.reason = None, result.note
        invoice.settled_at = ledger.clock.now()
    move_worklogs(session, ledger, [result.invoice_id for result in created], "invoiced", run_id=run_id)
    changes = [
        Change(
            "invoice",
            r.invoice_id,
            "created",
            {"xero_id": r.xero_id, "status": r.status, "state": live_state(r.status)},
        )
        for r in created
    ]
    record(session, ledger, changes, run_id=run_id)


def live_state(xero_status: str) -> str:
    """Return our state of an invoice that exists in Xero with this status."""
    return {"PAID": "paid", "VOIDED": "voided", "DELETED": "deleted"}.get(xero_status, "created")


def _record_refused(session: Session, ledger: Ledger, refused: Refused, run_id: int | None) -> None:
    _set_state(session, refused.invoice_id, "rejected", refused.code, refused.reason)
    invoice = session.get_one(Invoice, refused.invoice_id)
    invoice.settled_at = ledger.clock.now()
    rows = give_back(session, [refused.invoice_id])
    given_back = session.execute(
        select(Worklog.id, Worklog.module, Worklog.worklog_id, Worklog.decision).where(Worklog.id.in_(rows))
    ).all()
    whole = LineFault(refused.code, refused.reason)
    by_fault = defaultdict[LineFault | None, list[int]](list)
    for row in given_back:
        fault = refused.lines.get((row.module, row.worklog_id)) if refused.lines else whole
        if fault is None and row.decision != "bill":
            fault = whole  # its terms changed meanwhile: it cannot be planned before it is delivered again
        by_fault[fault].append(row.id)
    changes = [
        change for fault, ids in by_fault.items() for change in _give_a_place(session, ids, refused, fault)
    ]
    changes.append(Change("invoice", refused.invoice_id, "rejected", {"reason_code": refused.code}))
    record(session, ledger, changes, run_id=run_id)


def _give_a_place(
    session: Session, rows: Sequence[int], refused: Refused, fault: LineFault | None
) -> Iterator[Change]:
    """Hold the worklogs of a refused invoice that Xero blames; the others wait to be planned again."""
    state, code, reason = ("held", fault.code, fault.reason) if fault else ("open", None, None)
    session.execute(
        update(Worklog)
        .where(Worklog.id.in_(rows))
        .values(state=state, reason_code=code, reason=reason)
        .execution_options(synchronize_session=False)
    )
    data = {"invoice": refused.invoice_id, **({"reason_code": code} if code else {})}
    yield from (Change("worklog", row, state, data) for row in rows)


def give_back(session: Session, invoice_ids: Sequence[int]) -> Sequence[int]:
    """End the lines of invoices that do not stand; return their worklogs' rows.

    The newest copy of a worklog counts from now on. Its terms are still those of the copy that was
    billed, so it waits until it is delivered again, as every run of the job does.
    """
    rows = billed_by(session, invoice_ids)
    free_worklogs(session, rows)
    return rows


def billed_by(session: Session, invoice_ids: Sequence[int]) -> Sequence[int]:
    """Return the rows of the worklogs that are on these invoices, in the order of their lines."""
    return session.scalars(
        select(InvoiceLine.worklog_row)
        .where(InvoiceLine.invoice_id.in_(invoice_ids), InvoiceLine.live.is_(True))
        .order_by(InvoiceLine.id)
    ).all()


def _end_lines(session: Session, rows: Sequence[int]) -> None:
    session.execute(
        update(InvoiceLine)
        .where(InvoiceLine.worklog_row.in_(rows), InvoiceLine.live.is_(True))
        .values(live=False)
        .execution_options(synchronize_session=False)
    )


def free_worklogs(session: Session, rows: Sequence[int]) -> None:
    """Take worklogs off the invoices that they are on; see :func:`give_back`.

    One that was found on its invoice while a step held it or a rule excluded it waits for its next
    delivery too: that alone knows why.
    """
    _end_lines(session, rows)
    stale = or_(Worklog.newest.is_not(None), Worklog.decision != "bill")
    session.execute(
        update(Worklog)
        .where(Worklog.id.in_(rows))
        .values(
            source=func.coalesce(Worklog.newest, Worklog.source),
            # A digest that matches nothing: the next delivery brings the terms up to date.
            line_digest=case((stale, ""), else_=Worklog.line_digest),
            decision=case((stale, "hold"), else_=Worklog.decision),
            newest=None,
            changed=None,
            changed_at=None,
        )
        .execution_options(synchronize_session=False)
    )


class Standing(NamedTuple):
    """A line of an invoice that stands, off which its worklog was taken or on which it was found twice."""

    row: int
    line_id: int
    invoice_id: int


def put_back(
    session: Session, ledger: Ledger, found: Sequence[Standing], *, run_id: int | None = None
) -> None:
    """Let worklogs count as billed by these lines, and by no other."""
    for some in lots(found):
        _end_lines(session, [one.row for one in some])
        session.execute(
            update(InvoiceLine)
            .where(InvoiceLine.id.in_([one.line_id for one in some]))
            .values(live=True)
            .execution_options(synchronize_session=False)
        )
        billed = select(InvoiceLine.amount).where(
            InvoiceLine.worklog_row == Worklog.id, InvoiceLine.live.is_(True)
        )
        session.execute(
            update(Worklog)
            .where(Worklog.id.in_([one.row for one in some]))
            .values(
                state="invoiced",
                reason_code=None,
                reason=None,
                excluded_by=None,
                money=billed.scalar_subquery(),
            )
            .execution_options(synchronize_session=False)
        )
        changes = [
            Change("worklog", one.row, "put_back", {"state": "invoiced", "invoice": one.invoice_id})
            for one in some
        ]
        record(session, ledger, changes, run_id=run_id)


def _set_state(session: Session, invoice_id: int, state: str, code: str | None, reason: str | None) -> None:
    session.execute(
        update(Invoice).where(Invoice.id == invoice_id).values(state=state, reason_code=code, reason=reason)
    )


_OPEN_BATCHES = select(PushBatch).where(
    PushBatch.connection_id == bindparam("connection"), PushBatch.state.in_(("sending", "unknown"))
)
_STATES_IN = select(Invoice.state).where(Invoice.batch_id == bindparam("batch"))


def close_batches(session: Session, ledger: Ledger) -> None:
    """Bring batches in line with their invoices: unknown while one is, else done."""
    for batch in session.scalars(_OPEN_BATCHES, {"connection": ledger.connection_id}).all():
        states = set(session.scalars(_STATES_IN, {"batch": batch.id}))
        if "sending" in states:
            continue
        batch.state = "unknown" if states & {"unknown", "conflict"} else "done"
        batch.settled_at = ledger.clock.now() if batch.state == "done" else None
