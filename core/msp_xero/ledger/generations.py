"""Starting a connection over with another organisation: what that would do, and doing it in one transaction.

Links belong to a generation, and so do invoices. What is billed stays billed, because it is on an
invoice, of whichever generation; what is not billed goes to the organisation of the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date  # noqa: TC003 - a dataclass's annotations are looked at by the console
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, exists, func, or_, select, update

from msp_xero.errors import LedgerError
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.decisions import GONE_IN_XERO, wait_again
from msp_xero.ledger.models import (
    AccountLink,
    BillingConnection,
    Invoice,
    InvoiceLine,
    PastGeneration,
    PushBatch,
    Worklog,
    WorklogTypeLink,
)
from msp_xero.ledger.pushing import UNSETTLED, free_worklogs
from msp_xero.ledger.rows import Total
from msp_xero.ledger.types import amount_from_stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Fence, Ledger

WITHDRAWN: Final = "It was planned and never sent: its connection was started over with another organisation."
_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """One organisation, as a connection remembers it."""

    organisation_id: str | None
    name: str | None
    short_code: str | None = None
    base_currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Links of one kind: all of them, those that a person made, and what a person chose to ignore."""

    linked: int
    by_person: int
    ignored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What starting over would do.

    ``billed`` worklogs are on invoices of the present organisation, ``earlier`` ones of those before.
    ``again`` are those of ``billed`` that would be billed again because of ``rebill_from``; ``undated``
    ones stay billed because no day of work is known of them. ``waiting`` ones go to the new
    organisation, of which ``withdrawn`` are on invoices that were planned and never sent. ``excluded``
    ones stay as they are. ``under_way`` are the first numbers of invoices that keep it from starting
    over.
    """

    connection: str
    generation: int
    organisation: Organisation
    rebill_from: date | None
    billed: Total
    invoices: int
    earlier: Total
    again: Total
    undated: int
    waiting: Total
    withdrawn: Total
    excluded: Total
    accounts: Links
    worklog_types: Links
    next_number: int
    under_way: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """A generation of a connection; ``ended_at`` is None for the present one."""

    generation: int
    organisation: Organisation
    ended_at: datetime | None = None


def survey(ledger: Ledger, *, rebill_from: date | None = None) -> Survey:
    """Return what starting over would do, and do nothing."""
    with ledger.read() as session:
        return _survey(session, ledger, rebill_from)


def refuse_under_way(found: Survey) -> None:
    """Raise LedgerError while it is not known what the present organisation has."""
    if not found.under_way:
        return
    first, more = found.under_way[0], len(found.under_way) - 1
    which = f"{first} and {more:,} more are" if more else f"{first} is"
    old = found.organisation.name or "the present organisation"
    raise LedgerError(
        f"{which} under way: it is not certain yet whether {old} has them. With the credentials of {old} run "
        "`msp-xero reconcile`, then `msp-xero invoices push` if it plans something again, and "
        "`msp-xero invoices list` for what is left; then start over"
    )


def start_over(
    ledger: Ledger,
    fence: Fence,
    organisation: Organisation,
    *,
    expected: Survey,
    run_id: int | None = None,
) -> int:
    """Tie a connection to another organisation: a new generation, all of it or nothing.

    Args:
        ledger: the open ledger; it works in the new generation from then on.
        fence: proof of the settle lock.
        organisation: the new one.
        expected: what a person was shown; it has to be so still.
        run_id: for the audit log.

    Returns:
        The new generation.

    Raises:
        LedgerError: something is under way, the organisation is the present one, or what the person was
            shown has changed meanwhile.
    """
    with ledger.write(fence) as session:
        row = ledger.connection(session)
        found = _survey(session, ledger, expected.rebill_from)
        refuse_under_way(found)
        refuse_present(found, organisation)
        if found != expected:
            raise LedgerError(
                "the ledger has changed since it was looked at, so nothing was done; look again"
            )
        released = _withdraw(session, ledger, run_id)
        if found.rebill_from is not None:
            released += _release(session, ledger, found.rebill_from, run_id)
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
            "rebill_from": found.rebill_from.isoformat() if found.rebill_from else None,
        }
        record(session, ledger, [Change("connection", row.id, "started_over", data)], run_id=run_id)
        generation = row.generation
    ledger.generation = generation
    return generation


def refuse_present(found: Survey, organisation: Organisation) -> None:
    """Raise LedgerError when the credentials still lead to the organisation that is billed already."""
    if organisation.organisation_id == found.organisation.organisation_id:
        raise LedgerError(
            f"these credentials lead to {organisation.name}, which connection {found.connection} bills "
            "already: there is nothing to start over. Put in the credentials of the other organisation first"
        )


def eras(ledger: Ledger) -> list[Era]:
    """Return the generations of the connection with their organisations, the present one last."""
    names = ("organisation_id", "organisation_name", "short_code", "base_currency")
    with ledger.read() as session:
        past = session.scalars(
            select(PastGeneration)
            .where(PastGeneration.connection_id == ledger.connection_id)
            .order_by(PastGeneration.generation)
        ).all()
        now = ledger.connection(session)
        found = [
            Era(
                generation=one.generation,
                organisation=_organisation(*(getattr(one, name) for name in names)),
                ended_at=one.ended_at,
            )
            for one in past
        ]
        present = _organisation(*(getattr(now, name) for name in names))
        return [*found, Era(generation=now.generation, organisation=present)]


def _organisation(
    organisation_id: str | None, name: str | None, short_code: str | None, currency: str | None
) -> Organisation:
    return Organisation(
        organisation_id=organisation_id, name=name, short_code=short_code, base_currency=currency
    )


def _begin(row: BillingConnection, organisation: Organisation) -> None:
    """Let the new generation begin as a new connection does, but for its numbers and what SDP delivered."""
    row.generation += 1
    row.organisation_id, row.organisation_name = organisation.organisation_id, organisation.name
    row.short_code, row.base_currency = organisation.short_code, organisation.base_currency
    row.accounts_synced_at = row.worklog_types_synced_at = row.invoices_refreshed_at = None
    row.day_calls_remaining = row.day_calls_seen_at = row.contacts_read_to = None


def _survey(session: Session, ledger: Ledger, rebill_from: date | None) -> Survey:
    row = ledger.connection(session)
    here, present = Worklog.connection_id == ledger.connection_id, _billed_in(row.generation)
    billed = and_(here, Worklog.state == "invoiced")
    never_sent = _never_sent(ledger)
    withdrawn = _total(session, here, Worklog.state == "planned", _on(never_sent))
    return Survey(
        connection=row.name,
        generation=row.generation,
        organisation=_organisation(
            row.organisation_id, row.organisation_name, row.short_code, row.base_currency
        ),
        rebill_from=rebill_from,
        billed=_total(session, billed, present),
        invoices=session.scalar(
            select(func.count())
            .select_from(Invoice)
            .where(
                Invoice.connection_id == ledger.connection_id,
                Invoice.generation == row.generation,
                Invoice.xero_id.is_not(None),
            )
        )
        or 0,
        earlier=_total(session, billed, ~present),
        again=Total()
        if rebill_from is None
        else _total(session, billed, _stands_in(row.generation), _since(rebill_from)),
        undated=0
        if rebill_from is None
        else _total(session, billed, present, Worklog.work_date.is_(None)).count,
        waiting=_total(session, here, Worklog.state.in_(("open", "held"))) + withdrawn,
        withdrawn=withdrawn,
        excluded=_total(session, here, Worklog.state == "excluded"),
        accounts=_links(session, ledger, AccountLink, AccountLink.account_id.is_not(None)),
        worklog_types=_links(session, ledger, WorklogTypeLink, WorklogTypeLink.type_id.is_not(None)),
        next_number=row.next_number,
        under_way=tuple(session.scalars(_under_way(ledger))),
    )


def _total(session: Session, *conditions: ColumnElement[bool]) -> Total:
    count, minutes, money, priced = session.execute(
        select(
            func.count(), func.sum(Worklog.minutes), func.sum(Worklog.money), func.count(Worklog.money)
        ).where(*conditions)
    ).one()
    return Total(count, int(minutes or 0), money or amount_from_stored(0), count - priced)


def _links(session: Session, ledger: Ledger, model: Any, is_linked: ColumnElement[bool]) -> Links:
    mine = (model.connection_id == ledger.connection_id, model.generation == ledger.generation)

    def count(*conditions: ColumnElement[bool]) -> int:
        return session.scalar(select(func.count()).select_from(model).where(*mine, *conditions)) or 0

    return Links(
        linked=count(is_linked),
        by_person=count(is_linked, model.how == "person"),
        ignored=count(model.state == "ignored"),
    )


def _billed_in(generation: int) -> ColumnElement[bool]:
    return _on(Invoice.generation == generation)


def _stands_in(generation: int) -> ColumnElement[bool]:
    """Whether a worklog is on an invoice that stands; one that was voided and not released is written off."""
    return _on(and_(Invoice.generation == generation, Invoice.state.not_in(GONE_IN_XERO)))


def _on(invoices: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a worklog is on one of these invoices."""
    return exists().where(
        InvoiceLine.worklog_row == Worklog.id,
        InvoiceLine.live.is_(True),
        InvoiceLine.invoice_id == Invoice.id,
        invoices,
    )


def _since(day: date) -> ColumnElement[bool]:
    return Worklog.work_date >= day


def _never_sent(ledger: Ledger) -> ColumnElement[bool]:
    batch = exists().where(PushBatch.id == Invoice.batch_id, PushBatch.attempts > 0)
    return and_(Invoice.connection_id == ledger.connection_id, Invoice.state == "planned", ~batch)


def _under_way(ledger: Ledger) -> Any:
    """Select the numbers of invoices that Xero may have, or may still get."""
    is_ours = Invoice.connection_id == ledger.connection_id
    was_sent = exists().where(PushBatch.id == Invoice.batch_id, PushBatch.attempts > 0)
    is_open = or_(Invoice.state.in_(UNSETTLED), and_(Invoice.state == "planned", was_sent))
    return select(Invoice.number).where(is_ours, is_open).order_by(Invoice.id)


def _withdraw(session: Session, ledger: Ledger, run_id: int | None) -> int:
    """Take back what was planned and never sent; its numbers are not used again. Return how many worklogs."""
    ids = session.scalars(select(Invoice.id).where(_never_sent(ledger)).order_by(Invoice.id)).all()
    batches = session.scalars(select(Invoice.batch_id).where(Invoice.id.in_(ids)).distinct()).all()
    rows = session.scalars(
        select(InvoiceLine.worklog_row)
        .where(InvoiceLine.invoice_id.in_(ids), InvoiceLine.live.is_(True))
        .order_by(InvoiceLine.id)
    ).all()
    now = ledger.clock.now()
    session.execute(
        update(Invoice)
        .where(Invoice.id.in_(ids))
        .values(state="rejected", reason_code=None, reason=WITHDRAWN, settled_at=now)
    )
    session.execute(update(PushBatch).where(PushBatch.id.in_(batches)).values(state="done", settled_at=now))
    withdrawn = [Change("invoice", one, "withdrawn", {"state": "rejected"}) for one in ids]
    record(session, ledger, withdrawn, run_id=run_id)
    _free(session, ledger, rows, "withdrawn", run_id)
    return len(rows)


def _release(session: Session, ledger: Ledger, day: date, run_id: int | None) -> int:
    """Take worklogs off the present organisation's invoices, which stay as they are. Return how many."""
    rows = session.scalars(
        select(Worklog.id)
        .where(
            Worklog.connection_id == ledger.connection_id,
            Worklog.state == "invoiced",
            _stands_in(ledger.generation),
            _since(day),
        )
        .order_by(Worklog.id)
    ).all()
    _free(session, ledger, rows, "released", run_id)
    return len(rows)


def _free(session: Session, ledger: Ledger, rows: Sequence[int], action: str, run_id: int | None) -> None:
    for some in _lots(rows):
        free_worklogs(session, some)
        changes = [
            Change("worklog", row, action, {"state": state}) for row, state in wait_again(session, some)
        ]
        record(session, ledger, changes, run_id=run_id)


def _lots(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    return (rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE))
