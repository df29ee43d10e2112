"""What planning reads from and writes to the ledger, all within one transaction."""

from __future__ import annotations

import secrets
import zlib
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Integer,
    String,
    and_,
    bindparam,
    cast,
    exists,
    insert,
    literal,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased

from msp_xero.ledger.account_names import newest_names
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.models import (
    AccountLink,
    Event,
    Invoice,
    InvoiceLine,
    PushBatch,
    Worklog,
    WorklogTypeLink,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime
    from decimal import Decimal

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class BillableLine:
    """A worklog that the transform steps found billable and that is on no invoice yet."""

    id: int
    worklog_id: str
    module: str
    revision: int
    type_id: str | None
    type_name: str | None
    work_date: date | None
    minutes: int
    description: str | None
    quantity: Decimal | None
    unit_price: Decimal | None
    amount: Decimal | None
    state: str
    reason_code: str | None
    reason: str | None
    money: Decimal | None
    given_anew: str | None = None


@dataclass(frozen=True, slots=True)
class HeldLine:
    """A hold that planning decided. ``money`` is what is at stake without tax, None when unknown."""

    row_id: int
    code: str
    reason: str
    money: Decimal | None


# Built once, as are the other statements of every planning: building one takes as long as asking it.
_IS_BILLABLE = (
    Worklog.connection_id == bindparam("connection"),
    Worklog.state.in_(("open", "held")),
    Worklog.decision == "bill",
)
_BILLABLE_ACCOUNTS = newest_names(*_IS_BILLABLE)
_BILLABLE_LINES = (
    select(*(getattr(Worklog, name) for name in BillableLine.__slots__))
    .where(*_IS_BILLABLE)
    .order_by(Worklog.work_date, Worklog.id)
)
_ACCOUNT_LINKS = select(AccountLink).where(
    AccountLink.connection_id == bindparam("connection"),
    AccountLink.generation == bindparam("generation"),
    AccountLink.account_id.is_not(None),
)
_IGNORED_CONTACTS = select(AccountLink.contact_id).where(
    AccountLink.connection_id == bindparam("connection"),
    AccountLink.generation == bindparam("generation"),
    AccountLink.state == "ignored",
)
_TYPE_LINKS = (
    select(WorklogTypeLink)
    .where(
        WorklogTypeLink.connection_id == bindparam("connection"),
        WorklogTypeLink.generation == bindparam("generation"),
        WorklogTypeLink.state != "ignored",
        or_(
            WorklogTypeLink.choice.is_(None),
            not_(and_(WorklogTypeLink.choice == "list", WorklogTypeLink.type_id.is_(None))),
        ),
    )
    .order_by(WorklogTypeLink.id)
)


def billable_accounts(session: Session, ledger: Ledger) -> list[tuple[str | None, str]]:
    """Return ``(account id, newest name)`` of all accounts with billable lines, by name."""
    rows = session.execute(_BILLABLE_ACCOUNTS, {"connection": ledger.connection_id})
    return sorted(
        ((row[0], row[1] or "") for row in rows), key=lambda pair: (pair[1].casefold(), pair[0] or "")
    )


def billable_lines(session: Session, ledger: Ledger, account_id: str | None) -> list[BillableLine]:
    """Return an account's billable lines in the order of the work."""
    names = BillableLine.__slots__
    of_account = _BILLABLE_LINES.where(Worklog.account_id == account_id)
    rows = session.execute(of_account, {"connection": ledger.connection_id})
    return [BillableLine(**dict(zip(names, row, strict=True))) for row in rows]


def lines_on(session: Session, invoice_id: int) -> list[tuple[BillableLine, Decimal]]:
    """Return the lines of a planned invoice in its order, each with the tax that was planned."""
    names = BillableLine.__slots__
    rows = session.execute(
        select(*(getattr(Worklog, name) for name in names), InvoiceLine.tax)
        .join(InvoiceLine, InvoiceLine.worklog_row == Worklog.id)
        .where(InvoiceLine.invoice_id == invoice_id, InvoiceLine.live.is_(True))
        .order_by(InvoiceLine.position)
    )
    return [(BillableLine(**dict(zip(names, row[:-1], strict=True))), row[-1]) for row in rows]


def account_links(session: Session, ledger: Ledger) -> dict[str, AccountLink]:
    """Return the links by account id."""
    rows = session.scalars(
        _ACCOUNT_LINKS, {"connection": ledger.connection_id, "generation": ledger.generation}
    )
    return {row.account_id: row for row in rows if row.account_id is not None}


def ignored_contacts(session: Session, ledger: Ledger) -> set[str]:
    """Return the ids of the contacts that a person wants no account for."""
    return set(
        session.scalars(
            _IGNORED_CONTACTS, {"connection": ledger.connection_id, "generation": ledger.generation}
        )
    )


def type_links(session: Session, ledger: Ledger) -> Iterator[WorklogTypeLink]:
    """Yield the links of items and worklog types that are not ignored, oldest first.

    An item whose link a person took away is left out as well: nothing is billed as it by its name either.
    """
    yield from session.scalars(
        _TYPE_LINKS, {"connection": ledger.connection_id, "generation": ledger.generation}
    )


_SAY_NOTHING_AGAINST_IT = ("NUMBER_CONFLICT", "PERIOD_LOCKED", "CURRENCY_NOT_ENABLED")
"""Refusals whose cause the next planning sees for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedInvoice:
    """An invoice that Xero refused, and what of it still waits.

    ``blamed`` holds the worklogs (their rows) that the refusal held and that were on no invoice since,
    each with the tax of its line then. ``by_line``: Xero blamed single lines, and the others went on.
    """

    id: int
    number: str
    account_id: str
    contact_name: str | None
    reason: str
    batch_id: int
    line_count: int
    by_line: bool
    planned_at: datetime
    blamed: dict[int, Decimal]


def refused_invoices(session: Session, ledger: Ledger, *, since: datetime) -> list[RefusedInvoice]:
    """Return the invoices that Xero refused for what they say, and of which worklogs still wait.

    A number that somebody else had, a date that was locked and a currency that was not there say nothing
    against the invoice: those are left out.
    """
    rows = session.scalars(
        select(Invoice)
        .where(
            Invoice.connection_id == ledger.connection_id,
            # What another organisation refused says nothing about this one.
            Invoice.generation == ledger.generation,
            Invoice.state == "rejected",
            # Not later than now: a time from a clock that was wrong would hold it for as long.
            Invoice.settled_at.between(since, ledger.clock.now()),
            Invoice.reason_code.not_in(_SAY_NOTHING_AGAINST_IT),
        )
        .order_by(Invoice.id)
    ).all()
    found = []
    for row in rows:
        lines = _lines_of(session, row.id)
        held = _held_by(session, ledger, row.id, list(lines))
        blamed = {line: tax for line, (tax, newest) in lines.items() if newest and line in held}
        if blamed and row.batch_id is not None:
            found.append(
                RefusedInvoice(
                    id=row.id,
                    number=row.number,
                    account_id=row.account_id,
                    contact_name=row.contact_name,
                    reason=row.reason or "",
                    batch_id=row.batch_id,
                    line_count=row.line_count,
                    by_line=len(held) < row.line_count,
                    planned_at=row.planned_at,
                    blamed=blamed,
                )
            )
    return found


def _lines_of(session: Session, invoice_id: int) -> dict[int, tuple[Decimal, bool]]:
    """Return ``(tax, whether the worklog was on no invoice since)`` of an invoice's lines, by worklog."""
    later = aliased(InvoiceLine)
    moved_on = exists().where(later.worklog_row == InvoiceLine.worklog_row, later.id > InvoiceLine.id)
    rows = session.execute(
        select(InvoiceLine.worklog_row, InvoiceLine.tax, moved_on).where(InvoiceLine.invoice_id == invoice_id)
    )
    return {worklog: (tax, not gone) for worklog, tax, gone in rows}


def _held_by(session: Session, ledger: Ledger, invoice_id: int, rows: Sequence[int]) -> set[int]:
    """Return which of these worklogs the refusal of an invoice held: the audit log says it."""
    events = session.execute(
        select(Event.entity_id, Event.data).where(
            Event.connection_id == ledger.connection_id,
            Event.entity == "worklog",
            Event.entity_id.in_(rows),
            Event.action == "held",
        )
    )
    return {entity_id for entity_id, data in events if (data or {}).get("invoice") == invoice_id}


def batch_bytes(session: Session, batch_id: int) -> bytes:
    """Return the exact bytes of a batch."""
    return zlib.decompress(session.get_one(PushBatch, batch_id).body)


def hold_lines(session: Session, ledger: Ledger, held: Sequence[HeldLine], *, run_id: int | None) -> None:
    """Put lines on hold, each with its reason and the money at stake."""
    if not held:
        return
    session.connection().execute(
        update(Worklog)
        .where(Worklog.id == bindparam("row_id"))
        .values(
            state="held",
            reason_code=bindparam("code"),
            reason=bindparam("sentence"),
            money=bindparam("at_stake", type_=Worklog.__table__.c.money.type),
        ),
        [
            {"row_id": line.row_id, "code": line.code, "sentence": line.reason, "at_stake": line.money}
            for line in held
        ],
    )
    changes = [Change("worklog", line.row_id, "held", {"reason_code": line.code}) for line in held]
    record(session, ledger, changes, run_id=run_id)


def free_lines(session: Session, ledger: Ledger, rows: Sequence[int], *, run_id: int | None) -> None:
    """Take these rows of worklogs off their hold: nothing keeps them any more."""
    if not rows:
        return
    session.connection().execute(
        update(Worklog)
        .where(Worklog.id == bindparam("row_id"))
        .values(state="open", reason_code=None, reason=None),
        [{"row_id": row} for row in rows],
    )
    record(session, ledger, [Change("worklog", row, "open") for row in rows], run_id=run_id)


def take_number(session: Session, ledger: Ledger) -> int:
    """Take the next invoice number; none is ever handed out twice."""
    row = ledger.connection(session)
    taken = row.next_number
    row.next_number = taken + 1
    return taken


def new_key(session: Session, ledger: Ledger) -> str:
    """Return an ``Idempotency-Key`` that nobody ever had; it may be of 128 characters (xero-api §3).

    It names the organisation because it is unclear what else a key is bound to.
    """
    organisation_id = ledger.connection(session).organisation_id or "unknown"
    return f"msp-xero-{organisation_id}-{secrets.token_hex(16)}"


def save_batch(  # noqa: PLR0913 - a stored batch has these parts
    session: Session,
    ledger: Ledger,
    *,
    body: bytes,
    invoices: Sequence[dict[str, Any]],
    lines: Sequence[Sequence[dict[str, Any]]],
    run_id: int | None,
) -> int:
    """Store one batch with its exact bytes, its invoices and their lines; return its id.

    Args:
        session: the planning transaction.
        ledger: the open ledger.
        body: the bytes that will be sent, and sent again unchanged.
        invoices: columns of each invoice.
        lines: columns of each invoice's lines, in the order of ``invoices``.
        run_id: for the audit log.
    """
    now = ledger.clock.now()
    batch = PushBatch(
        connection_id=ledger.connection_id,
        idempotency_key=new_key(session, ledger),
        body=zlib.compress(body, level=1),
        body_digest=sha256(body).hexdigest(),
        created_at=now,
    )
    session.add(batch)
    session.flush()
    common = {
        "connection_id": ledger.connection_id,
        "generation": ledger.generation,
        "batch_id": batch.id,
        "planned_at": now,
    }
    ids = session.scalars(
        insert(Invoice).returning(Invoice.id, sort_by_parameter_order=True),
        [{**invoice, **common} for invoice in invoices],
    ).all()
    session.execute(
        insert(InvoiceLine),
        [
            {**line, "invoice_id": invoice_id, "position": position}
            for invoice_id, rows in zip(ids, lines, strict=True)
            for position, line in enumerate(rows, start=1)
        ],
    )
    move_worklogs(session, ledger, ids, "planned", run_id=run_id)
    changes = [
        Change("invoice", invoice_id, "planned", {"number": invoice["number"]})
        for invoice_id, invoice in zip(ids, invoices, strict=True)
    ]
    record(session, ledger, changes, run_id=run_id)
    return batch.id


_LINE = InvoiceLine.__table__.alias()
_MOVE = (
    update(Worklog)
    .where(
        Worklog.id.in_(
            select(_LINE.c.worklog_row).where(
                _LINE.c.invoice_id.in_(bindparam("invoices", expanding=True)), _LINE.c.live.is_(True)
            )
        )
    )
    .values(
        state=bindparam("to"),
        reason_code=None,
        reason=None,
        money=select(InvoiceLine.amount)
        .where(InvoiceLine.worklog_row == Worklog.id, InvoiceLine.live.is_(True))
        .scalar_subquery(),
    )
)
_TELL_OF_MOVE = insert(Event).from_select(
    ["connection_id", "at", "actor", "run_id", "entity", "entity_id", "action", "data"],
    select(
        bindparam("connection", type_=Integer),
        bindparam("now", type_=Event.__table__.c.at.type),
        bindparam("by", type_=String),
        bindparam("run", type_=Integer),
        literal("worklog"),
        _LINE.c.worklog_row,
        bindparam("to", type_=String),
        literal('{"invoice":').concat(cast(_LINE.c.invoice_id, String)).concat("}"),
    )
    .where(_LINE.c.invoice_id.in_(bindparam("invoices", expanding=True)), _LINE.c.live.is_(True))
    .order_by(_LINE.c.id),
)


def move_worklogs(
    session: Session, ledger: Ledger, invoice_ids: Sequence[int], state: str, *, run_id: int | None
) -> None:
    """Move the worklogs of these invoices' live lines to ``planned`` or ``invoiced``, with their events.

    Set-based: a batch can hold thousands of worklogs.
    """
    session.flush()
    connection, invoices = session.connection(), list(invoice_ids)
    connection.execute(_MOVE, {"invoices": invoices, "to": state})
    told = {
        "connection": ledger.connection_id,
        "now": ledger.clock.now(),
        "by": ledger.actor,
        "run": run_id,
        "to": state,
    }
    connection.execute(_TELL_OF_MOVE, {"invoices": invoices, **told})
