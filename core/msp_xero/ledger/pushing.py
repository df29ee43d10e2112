"""What pushing reads from and writes to the ledger: every step is committed before the next call."""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import case, func, select, update

from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.models import AccountLink, Invoice, InvoiceLine, PushBatch, Worklog
from msp_xero.ledger.planning import move_worklogs, new_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from decimal import Decimal

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Fence, Ledger

UNSETTLED = ("sending", "unknown", "conflict")
"""States of an invoice whose outcome has to be looked up before anything else is done with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """One batch as it will be sent: exact bytes, key, and its invoices' ids by number.

    The key is of the last sending, see :func:`mark_sending`. ``attempts`` counts the calls with it that
    Xero may have processed.
    """

    batch_id: int
    idempotency_key: str
    body: bytes
    attempts: int
    invoice_ids: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPart:
    """Some invoices of a batch as a batch of their own, with its exact bytes."""

    invoice_ids: Sequence[int]
    body: bytes


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


def planned_batches(ledger: Ledger, *, without: Collection[int] = ()) -> list[int]:
    """Return the ids of the batches that wait to be sent, oldest first.

    Args:
        ledger: the open ledger.
        without: ids of invoices whose batches are left out.
    """
    left_out = select(Invoice.batch_id).where(Invoice.id.in_(without), Invoice.batch_id.is_not(None))
    with ledger.read() as session:
        return list(
            session.scalars(
                select(PushBatch.id)
                .where(
                    PushBatch.connection_id == ledger.connection_id,
                    PushBatch.state == "planned",
                    PushBatch.id.not_in(left_out),
                )
                .order_by(PushBatch.id)
            )
        )


def load_batch(ledger: Ledger, batch_id: int) -> StoredBatch:
    """Read one batch with its exact bytes."""
    with ledger.read() as session:
        batch = session.get_one(PushBatch, batch_id)
        invoices = session.execute(
            select(Invoice.number, Invoice.id).where(Invoice.batch_id == batch_id)
        ).all()
        return StoredBatch(
            batch_id=batch.id,
            idempotency_key=batch.idempotency_key,
            body=zlib.decompress(batch.body),
            attempts=batch.attempts,
            invoice_ids={row.number: row.id for row in invoices},
        )


def mark_sending(ledger: Ledger, fence: Fence, batch_id: int) -> str:
    """Commit that a batch is about to leave, before its first byte does; return the key to send it under.

    The key is new at each sending and no other ledger can have it. Two copies of a ledger hold the same
    batches: under the same key Xero would give the second one the first one's answer, and it would take
    the other's invoices for what it has sent itself.
    """
    with ledger.write(fence) as session:
        batch = session.get_one(PushBatch, batch_id)
        batch.state, batch.attempts, batch.sent_at = "sending", batch.attempts + 1, ledger.clock.now()
        batch.idempotency_key = new_key(session, ledger)
        _move_batch(session, ledger, batch_id, "sending", ("planned",))
        return batch.idempotency_key


def note_day_limit(ledger: Ledger, fence: Fence, reason: str) -> None:
    """Say on the invoices that wait to be sent why they wait."""
    with ledger.write(fence) as session:
        session.execute(
            update(Invoice)
            .where(Invoice.connection_id == ledger.connection_id, Invoice.state == "planned")
            .values(reason_code="DAY_LIMIT", reason=reason)
        )


def mark_not_sent(ledger: Ledger, fence: Fence, batch_id: int) -> None:
    """Take ``sending`` back: it is certain that nothing of the batch was processed."""
    with ledger.write(fence) as session:
        batch = session.get_one(PushBatch, batch_id)
        batch.state, batch.attempts = "planned", batch.attempts - 1
        _move_batch(session, ledger, batch_id, "planned", ("sending",))


def mark_interrupted(ledger: Ledger, fence: Fence) -> int:
    """Turn what a dead run left ``sending`` into ``unknown``; return how many invoices."""
    with ledger.write(fence) as session:
        batches = session.scalars(
            select(PushBatch).where(
                PushBatch.connection_id == ledger.connection_id, PushBatch.state == "sending"
            )
        ).all()
        for batch in batches:
            batch.state = "unknown"
        return sum(_move_batch(session, ledger, batch.id, "unknown", ("sending",)) for batch in batches)


def mark_doubtful(ledger: Ledger, fence: Fence, markers: Iterable[str]) -> None:
    """Have invoices looked up that count as planned although Xero shows one with their marker.

    The ledger is then an older copy of itself, and everything that it has planned may have been sent
    since: all of it is looked up. What a person has deleted by then does not show its marker here.
    """
    with ledger.write(fence) as session:
        seen = session.scalar(
            select(func.count()).where(
                Invoice.connection_id == ledger.connection_id,
                Invoice.state == "planned",
                Invoice.marker.in_(list(markers)),
            )
        )
        planned = select(PushBatch).where(
            PushBatch.connection_id == ledger.connection_id, PushBatch.state == "planned"
        )
        for batch in session.scalars(planned).all() if seen else ():
            batch.state = "unknown"
            _move_batch(session, ledger, batch.id, "unknown", ("planned",))


def _move_batch(session: Session, ledger: Ledger, batch_id: int, state: str, only: Sequence[str]) -> int:
    ids = session.scalars(
        select(Invoice.id).where(Invoice.batch_id == batch_id, Invoice.state.in_(only))
    ).all()
    values = {"state": state, "reason_code": None, "reason": None}
    session.execute(update(Invoice).where(Invoice.id.in_(ids)).values(values))
    record(session, ledger, [Change("invoice", invoice_id, state) for invoice_id in ids])
    return len(ids)


def never_sent(ledger: Ledger) -> set[int]:
    """Return the ids of invoices that are looked up although this ledger never sent them.

    Xero showed one of their batch: another ledger sent it, be it a newer copy of this one.
    """
    with ledger.read() as session:
        return set(
            session.scalars(
                select(Invoice.id)
                .join(PushBatch, PushBatch.id == Invoice.batch_id)
                .where(
                    Invoice.connection_id == ledger.connection_id,
                    Invoice.state == "unknown",
                    PushBatch.attempts == 0,
                )
            )
        )


def note_unresolved(ledger: Ledger, fence: Fence, invoice_id: int, reason: str) -> None:
    """Say on an invoice of unknown outcome why it could not be looked up."""
    with ledger.write(fence) as session:
        session.execute(
            update(Invoice)
            .where(Invoice.id == invoice_id, Invoice.state == "unknown")
            .values(reason_code=None, reason=reason)
        )


def accounts_of(ledger: Ledger, invoice_ids: Collection[int]) -> set[str]:
    """Return the accounts that these invoices bill."""
    with ledger.read() as session:
        return set(session.scalars(select(Invoice.account_id).where(Invoice.id.in_(invoice_ids))))


def numbers_of(ledger: Ledger, invoice_ids: Collection[int]) -> list[str]:
    """Return the numbers of these invoices, oldest first."""
    with ledger.read() as session:
        chosen = select(Invoice.number).where(Invoice.id.in_(invoice_ids))
        return list(session.scalars(chosen.order_by(Invoice.id)))


def unsettled_invoices(ledger: Ledger) -> list[Invoice]:
    """Return the invoices whose outcome has to be looked up, oldest first."""
    with ledger.read() as session:
        return list(
            session.scalars(
                select(Invoice)
                .where(Invoice.connection_id == ledger.connection_id, Invoice.state.in_(UNSETTLED))
                .order_by(Invoice.id)
            )
        )


def worklog_keys(ledger: Ledger, invoice_id: int) -> set[tuple[str, str]]:
    """Return ``(module, worklog id)`` of every line of an invoice."""
    with ledger.read() as session:
        rows = session.execute(
            select(Worklog.module, Worklog.worklog_id)
            .join(InvoiceLine, InvoiceLine.worklog_row == Worklog.id)
            .where(InvoiceLine.invoice_id == invoice_id)
        )
        return {(module, worklog_id) for module, worklog_id in rows}


class Waiting(NamedTuple):
    """A worklog that waits to be billed: its text, and the contact that its account is linked to."""

    module: str
    worklog_id: str
    revision: int
    description: str | None
    contact_id: str | None


def waiting_worklogs(ledger: Ledger, ids: Iterable[str]) -> list[Waiting]:
    """Return those of these worklog ids that are on no invoice that stands, of whatever module."""
    link = (
        (AccountLink.account_id == Worklog.account_id)
        & (AccountLink.connection_id == Worklog.connection_id)
        & (AccountLink.generation == ledger.generation)
    )
    with ledger.read() as session:
        rows = session.execute(
            select(
                Worklog.module,
                Worklog.worklog_id,
                Worklog.revision,
                Worklog.description,
                AccountLink.contact_id,
            )
            .outerjoin(AccountLink, link)
            .where(
                Worklog.connection_id == ledger.connection_id,
                Worklog.state.in_(("open", "held", "planned")),
                Worklog.worklog_id.in_(list(ids)),
            )
        )
        return [Waiting(*row) for row in rows]


def note_unanswered(ledger: Ledger, fence: Fence, invoice_ids: Iterable[int], reason: str) -> None:
    """Say on invoices that wait to be sent again that no answer ever comes for them."""
    with ledger.write(fence) as session:
        session.execute(
            update(Invoice)
            .where(Invoice.id.in_(list(invoice_ids)), Invoice.state == "planned")
            .values(reason_code=None, reason=reason)
        )


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
        _close_batches(session, ledger)


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
    rows = session.scalars(
        select(InvoiceLine.worklog_row).where(
            InvoiceLine.invoice_id.in_(invoice_ids), InvoiceLine.live.is_(True)
        )
    ).all()
    free_worklogs(session, rows)
    return rows


def free_worklogs(session: Session, rows: Sequence[int]) -> None:
    """Take worklogs off the invoices that they are on; see :func:`give_back`."""
    session.execute(
        update(InvoiceLine)
        .where(InvoiceLine.worklog_row.in_(rows), InvoiceLine.live.is_(True))
        .values(live=False)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(Worklog)
        .where(Worklog.id.in_(rows))
        .values(
            source=func.coalesce(Worklog.newest, Worklog.source),
            # A digest that matches nothing: the next delivery brings the terms up to date.
            line_digest=case((Worklog.newest.is_not(None), ""), else_=Worklog.line_digest),
            decision=case((Worklog.newest.is_not(None), "hold"), else_=Worklog.decision),
            newest=None,
            changed=None,
            changed_at=None,
        )
        .execution_options(synchronize_session=False)
    )


def _set_state(session: Session, invoice_id: int, state: str, code: str | None, reason: str | None) -> None:
    session.execute(
        update(Invoice).where(Invoice.id == invoice_id).values(state=state, reason_code=code, reason=reason)
    )


def _close_batches(session: Session, ledger: Ledger) -> None:
    """Bring batches in line with their invoices: unknown while one is, else done."""
    open_batches = session.scalars(
        select(PushBatch).where(
            PushBatch.connection_id == ledger.connection_id, PushBatch.state.in_(("sending", "unknown"))
        )
    ).all()
    for batch in open_batches:
        states = set(session.scalars(select(Invoice.state).where(Invoice.batch_id == batch.id)))
        if "sending" in states:
            continue
        batch.state = "unknown" if states & {"unknown", "conflict"} else "done"
        batch.settled_at = ledger.clock.now() if batch.state == "done" else None


def plan_again(
    ledger: Ledger,
    fence: Fence,
    invoice_ids: Sequence[int],
    *,
    body: bytes,
    attempts: int,
) -> int:
    """Store invoices that are proven missing as a new batch with the same numbers; return its id.

    ``attempts`` goes on counting from the batch they were in.
    """
    part = BatchPart(invoice_ids=invoice_ids, body=body)
    with ledger.write(fence) as session:
        batch_id = _store_part(session, ledger, part, attempts)
        again = {"state": "planned"}
        record(session, ledger, [Change("invoice", i, "planned_again", again) for i in invoice_ids])
        session.flush()
        _close_batches(session, ledger)
        return batch_id


def split_batch(ledger: Ledger, fence: Fence, batch: StoredBatch, parts: Sequence[BatchPart]) -> list[int]:
    """Store a batch of which Xero has processed nothing as smaller ones; return their ids.

    All in one transaction: bytes that name an invoice of another batch too must never be sent.
    """
    with ledger.write(fence) as session:
        old = session.get_one(PushBatch, batch.batch_id)
        if old.state == "sending":
            _move_batch(session, ledger, batch.batch_id, "planned", ("sending",))
        ids = [_store_part(session, ledger, part, batch.attempts) for part in parts]
        session.delete(old)
        return ids


def _store_part(session: Session, ledger: Ledger, part: BatchPart, attempts: int) -> int:
    batch = PushBatch(
        connection_id=ledger.connection_id,
        idempotency_key=new_key(session, ledger),
        body=zlib.compress(part.body, level=1),
        body_digest=sha256(part.body).hexdigest(),
        attempts=attempts,
        created_at=ledger.clock.now(),
    )
    session.add(batch)
    session.flush()
    session.execute(
        update(Invoice)
        .where(Invoice.id.in_(part.invoice_ids))
        .values(state="planned", batch_id=batch.id, reason_code=None, reason=None)
    )
    return batch.id
