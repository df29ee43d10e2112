"""What pushing reads from and writes to the ledger: every step is committed before the next call."""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, func, select, update

from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.foreign import WAITING, told_apart_from
from msp_xero.ledger.models import AccountLink, Invoice, InvoiceLine, PushBatch, Worklog
from msp_xero.ledger.outcomes import close_batches
from msp_xero.ledger.planning import new_key
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.orm import Session

    from msp_xero.ledger.foreign import Line
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


# Built once: every run asks these, most of them in vain.
_PLANNED_BATCHES = (
    select(PushBatch.id)
    .where(PushBatch.connection_id == bindparam("connection"), PushBatch.state == "planned")
    .order_by(PushBatch.id)
)
_SENDING_BATCHES = select(PushBatch).where(
    PushBatch.connection_id == bindparam("connection"), PushBatch.state == "sending"
)
_IN_BATCH = select(Invoice.id).where(
    Invoice.batch_id == bindparam("batch"), Invoice.state.in_(bindparam("states", expanding=True))
)
_NEVER_SENT = (
    select(Invoice.id)
    .join(PushBatch, PushBatch.id == Invoice.batch_id)
    .where(
        Invoice.connection_id == bindparam("connection"),
        Invoice.state == "unknown",
        PushBatch.attempts == 0,
    )
)
_UNSETTLED = (
    select(Invoice)
    .where(Invoice.connection_id == bindparam("connection"), Invoice.state.in_(UNSETTLED))
    .order_by(Invoice.id)
)


def planned_batches(ledger: Ledger, *, without: Collection[int] = ()) -> list[int]:
    """Return the ids of the batches that wait to be sent, oldest first.

    Args:
        ledger: the open ledger.
        without: ids of invoices whose batches are left out.
    """
    waiting = _PLANNED_BATCHES
    if without:
        left_out = select(Invoice.batch_id).where(Invoice.id.in_(without), Invoice.batch_id.is_not(None))
        waiting = waiting.where(PushBatch.id.not_in(left_out))
    with ledger.read() as session:
        return list(session.scalars(waiting, {"connection": ledger.connection_id}))


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
        batches = session.scalars(_SENDING_BATCHES, {"connection": ledger.connection_id}).all()
        for batch in batches:
            batch.state = "unknown"
        return sum(_move_batch(session, ledger, batch.id, "unknown", ("sending",)) for batch in batches)


def mark_doubtful(ledger: Ledger, fence: Fence, markers: Collection[str]) -> None:
    """Have invoices looked up that count as planned although Xero shows one with their marker.

    The ledger is then an older copy of itself, and everything that it has planned may have been sent
    since: all of it is looked up. What a person has deleted by then does not show its marker here.
    """
    if not markers:
        return
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
        _doubt(session, ledger, session.scalars(planned).all() if seen else ())


def doubt(ledger: Ledger, fence: Fence, invoice_ids: Collection[int]) -> None:
    """Have planned invoices looked up again, with all of their batches, before anything else is done."""
    of_them = select(Invoice.batch_id).where(Invoice.id.in_(invoice_ids))
    with ledger.write(fence) as session:
        planned = select(PushBatch).where(PushBatch.id.in_(of_them), PushBatch.state == "planned")
        _doubt(session, ledger, session.scalars(planned).all())


def _doubt(session: Session, ledger: Ledger, batches: Iterable[PushBatch]) -> None:
    for batch in batches:
        batch.state = "unknown"
        _move_batch(session, ledger, batch.id, "unknown", ("planned",))


def _move_batch(session: Session, ledger: Ledger, batch_id: int, state: str, only: Sequence[str]) -> int:
    ids = session.scalars(_IN_BATCH, {"batch": batch_id, "states": list(only)}).all()
    values = {"state": state, "reason_code": None, "reason": None}
    session.execute(update(Invoice).where(Invoice.id.in_(ids)).values(values))
    record(session, ledger, [Change("invoice", invoice_id, state) for invoice_id in ids])
    return len(ids)


def never_sent(ledger: Ledger) -> set[int]:
    """Return the ids of invoices that are looked up although this ledger never sent them.

    Xero showed one of their batch: another ledger sent it, be it a newer copy of this one.
    """
    with ledger.read() as session:
        return set(session.scalars(_NEVER_SENT, {"connection": ledger.connection_id}))


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
        return list(session.scalars(_UNSETTLED, {"connection": ledger.connection_id}))


def sent_and_unsettled(ledger: Ledger) -> list[Invoice]:
    """Return those of the unsettled invoices that this ledger has sent itself.

    What it never sent and Xero has is another ledger's, and adopting it here would hide that.
    """
    other = never_sent(ledger)
    return [invoice for invoice in unsettled_invoices(ledger) if invoice.id not in other]


def worklog_keys(ledger: Ledger, invoice_id: int) -> set[tuple[str, str]]:
    """Return ``(module, worklog id)`` of every line of an invoice."""
    with ledger.read() as session:
        rows = session.execute(
            select(Worklog.module, Worklog.worklog_id)
            .join(InvoiceLine, InvoiceLine.worklog_row == Worklog.id)
            .where(InvoiceLine.invoice_id == invoice_id)
        )
        return {(module, worklog_id) for module, worklog_id in rows}


def on_record(ledger: Ledger, xero_ids: Collection[str]) -> set[str]:
    """Return those of these ids of Xero that are invoices of this ledger, sent since it last started over."""
    found = set[str]()
    with ledger.read() as session:
        for some in lots(xero_ids):
            query = select(Invoice.xero_id).where(
                Invoice.connection_id == ledger.connection_id,
                Invoice.generation == ledger.generation,
                Invoice.xero_id.in_(some),
            )
            found.update(map(str, session.scalars(query)))
    return found


def unsettled_keys(ledger: Ledger) -> list[set[tuple[str, str]]]:
    """Return ``(module, worklog id)`` of every line of each invoice whose outcome has to be looked up."""
    keys = defaultdict[int, set[tuple[str, str]]](set)
    with ledger.read() as session:
        rows = session.execute(
            select(Invoice.id, Worklog.module, Worklog.worklog_id)
            .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
            .join(Worklog, Worklog.id == InvoiceLine.worklog_row)
            .where(Invoice.connection_id == ledger.connection_id, Invoice.state.in_(UNSETTLED))
        )
        for invoice_id, module, worklog_id in rows:
            keys[invoice_id].add((module, worklog_id))
    return list(keys.values())


class Waiting(NamedTuple):
    """A worklog that waits to be billed: its text, and the contacts that its account may be billed to.

    These are the contact that the account is linked to and those that it was merged into since; in
    organisations that the connection has left too. ``apart`` are the lines of invoices that are not this
    ledger's of which a person said that they bill other work.
    """

    row: int
    module: str
    worklog_id: str
    revision: int
    description: str | None
    contact_ids: frozenset[str]
    apart: frozenset[Line]


def waiting_worklogs(ledger: Ledger, ids: Iterable[str], states: Collection[str] = WAITING) -> list[Waiting]:
    """Return those of these worklog ids that are on no invoice that stands, of whatever module."""
    link = (AccountLink.account_id == Worklog.account_id) & (
        AccountLink.connection_id == Worklog.connection_id
    )
    query = (
        select(
            Worklog.id,
            Worklog.module,
            Worklog.worklog_id,
            Worklog.revision,
            Worklog.description,
            AccountLink.contact_id,
        )
        .outerjoin(AccountLink, link)
        .where(
            Worklog.connection_id == ledger.connection_id,
            Worklog.state.in_(states),
        )
    )
    with ledger.read() as session:
        rows = [
            row for some in lots(ids) for row in session.execute(query.where(Worklog.worklog_id.in_(some)))
        ]
        merged = session.execute(
            select(AccountLink.contact_id, AccountLink.merged_to_contact_id).where(
                AccountLink.connection_id == ledger.connection_id,
                AccountLink.merged_to_contact_id.is_not(None),
            )
        )
        merges = dict(merged.tuples().all())
        apart = told_apart_from(session, [row.id for row in rows])
        return [
            Waiting(
                row=row.id,
                module=row.module,
                worklog_id=row.worklog_id,
                revision=row.revision,
                description=row.description,
                contact_ids=frozenset(_merged(row.contact_id, merges)),
                apart=frozenset(apart.get(row.id, ())),
            )
            for row in rows
        ]


def _merged(contact_id: str | None, merges: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a contact, and those that it was merged into, one into the other."""
    seen: set[str] = set()
    while contact_id is not None and contact_id not in seen:
        seen.add(contact_id)
        yield contact_id
        contact_id = merges.get(contact_id)


def note_unanswered(ledger: Ledger, fence: Fence, invoice_ids: Iterable[int], reason: str) -> None:
    """Say on invoices that wait to be sent again that no answer ever comes for them."""
    with ledger.write(fence) as session:
        session.execute(
            update(Invoice)
            .where(Invoice.id.in_(list(invoice_ids)), Invoice.state == "planned")
            .values(reason_code=None, reason=reason)
        )


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
        close_batches(session, ledger)
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
