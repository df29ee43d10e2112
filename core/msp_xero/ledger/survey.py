"""What starting a connection over with another organisation would do, as a person is shown it first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, exists, false, func, or_, select

from msp_xero.errors import LedgerError
from msp_xero.ledger.decisions import BY_PERSON, GONE_IN_XERO
from msp_xero.ledger.models import (
    AccountLink,
    Invoice,
    InvoiceLine,
    PastGeneration,
    PushBatch,
    Worklog,
    WorklogTypeLink,
)
from msp_xero.ledger.pushing import UNSETTLED
from msp_xero.ledger.rows import Total
from msp_xero.ledger.type_choices import ignored_types
from msp_xero.ledger.types import amount_from_stored

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from msp_xero.ledger.models import BillingConnection
    from msp_xero.ledger.store import Ledger

COMPARED_WITHIN: Final = timedelta(days=1)
"""How old a ledger's last look at its organisation may be; an older copy does not know what came after."""


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
    ones stay billed because no day of work is known of them, ``voided`` ones because their invoice was
    voided or deleted, which is for a person to release. ``split`` are the numbers of invoices of which
    only some lines would be billed again. ``waiting`` ones go to the new organisation, of which
    ``withdrawn`` are on invoices that were planned and never sent. ``excluded`` ones stay as they are.

    ``back`` are of all these the ones that the organisation ``going_to`` was billed before, on invoices
    that stand: they count as billed there again, and in no other figure but ``billed`` and ``earlier``. What
    a person has excluded is none of them.
    ``back_changed`` are the ids of those that have another quantity by now than on their invoice.

    ``under_way`` are the first numbers of invoices that keep it from starting over, ``at_stake`` their
    worklogs. ``compared_at`` is when the ledger last learned what the present organisation has, None
    when never; ``known_from`` is when the connection started over with it, None for the first one.
    ``stopped_at`` is when the last look there began, if it did not end well: it found what the ledger
    cannot explain, was cut off, or was a rebuild that left invoices out.
    """

    connection: str
    generation: int
    organisation: Organisation
    rebill_from: date | None
    going_to: str | None
    billed: Total
    invoices: int
    earlier: Total
    again: Total
    undated: int
    voided: Total
    split: tuple[str, ...]
    waiting: Total
    withdrawn: Total
    excluded: Total
    back: Total
    back_changed: tuple[str, ...]
    accounts: Links
    worklog_types: Links
    ignored_types: tuple[str, ...]
    next_number: int
    under_way: tuple[str, ...]
    at_stake: Total
    compared_at: datetime | None
    known_from: datetime | None
    stopped_at: datetime | None


def survey(ledger: Ledger, *, rebill_from: date | None = None, going_to: str | None = None) -> Survey:
    """Return what starting over would do, and do nothing.

    Args:
        ledger: the open ledger.
        rebill_from: bill again what the present organisation was billed for work from this day on.
        going_to: the id of the new organisation, once it is known.
    """
    with ledger.read() as session:
        return surveyed(session, ledger, rebill_from, going_to)


def refuse_under_way(found: Survey, counted: Collection[str] = ()) -> None:
    """Raise LedgerError while it is not known what the present organisation has.

    Args:
        found: the survey.
        counted: numbers of invoices under way that count as billed, because a person says so.
    """
    old = found.organisation.name or "the present organisation"
    named = {number.casefold() for number in counted}
    known = {number.casefold() for number in found.under_way}
    if strange := sorted(number for number in counted if number.casefold() not in known):
        raise LedgerError(
            f"{strange[0]} is not under way, so it cannot be counted as billed; `msp-xero invoices show "
            f"{strange[0]}` tells what it is"
        )
    left = [number for number in found.under_way if number.casefold() not in named]
    if not left:
        return
    first, more = left[0], len(left) - 1
    which = f"{first} and {more:,} more are" if more else f"{first} is"
    raise LedgerError(
        f"{which} under way: it is not certain yet whether {old} has them. With the credentials of {old} run "
        "`msp-xero reconcile`, then `msp-xero invoices push` if it plans something again, and "
        "`msp-xero invoices list` for what is left; then start over. Only if "
        f"{old} cannot be reached any more, `--count-as-billed {first}` counts its worklogs as billed there"
    )


def refuse_not_compared(found: Survey, now: datetime) -> None:
    """Raise LedgerError when the ledger has not learned for a day what the present organisation has."""
    old = found.organisation.name or "the present organisation"
    if found.stopped_at is not None:
        raise LedgerError(
            f"the last look at {old}, {found.stopped_at:%Y-%m-%d %H:%M} UTC, stopped, so what waits may be "
            f"billed there already. With the credentials of {old} run `msp-xero reconcile`, do what it says, "
            "then start over. Only if it cannot be reached any more: exclude what may be billed there, and "
            "add --not-compared"
        )
    # A first organisation that was never looked at may have been billed by a ledger that was lost.
    since = found.compared_at or found.known_from
    if since is not None and timedelta(0) <= now - since <= COMPARED_WITHIN:
        return
    last = f"has not been compared with {old}"
    if found.compared_at:
        last += f" since {found.compared_at:%Y-%m-%d %H:%M} UTC"
    raise LedgerError(
        f"this ledger {last}: if it is an older copy, what {old} was billed since would be billed again. "
        f"With the credentials of {old} run `msp-xero reconcile`, then start over. Only if {old} cannot be "
        "reached any more and this is the newest copy, add --not-compared"
    )


def refuse_present(found: Survey, organisation: Organisation) -> None:
    """Raise LedgerError when the credentials still lead to the organisation that is billed already."""
    if organisation.organisation_id == found.organisation.organisation_id:
        raise LedgerError(
            f"these credentials lead to {organisation.name}, which connection {found.connection} bills "
            "already: there is nothing to start over. Put in the credentials of the other organisation first"
        )


def surveyed(session: Session, ledger: Ledger, rebill_from: date | None, going_to: str | None) -> Survey:
    """Return what :func:`survey` does, within a transaction."""
    row = ledger.connection(session)
    here, present = Worklog.connection_id == ledger.connection_id, on(Invoice.generation == row.generation)
    billed = and_(here, Worklog.state == "invoiced")
    withdrawn = and_(here, Worklog.state == "planned", on(never_sent(ledger)))
    waiting = and_(here, Worklog.state.in_(("open", "held")))
    excluded = and_(here, Worklog.state == "excluded")
    again = false() if rebill_from is None else and_(billed, released_from(ledger, rebill_from))
    stands = billed_before(ledger, going_to)
    by_person = Worklog.reason_code == BY_PERSON
    back = and_(or_(withdrawn, waiting, and_(excluded, ~by_person), again), stands)
    gone_before = _total(session, withdrawn, ~stands)
    return Survey(
        connection=row.name,
        generation=row.generation,
        organisation=organisation_of(row),
        rebill_from=rebill_from,
        going_to=going_to,
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
        again=_total(session, again, ~stands),
        undated=0
        if rebill_from is None
        else _total(session, billed, present, Worklog.work_date.is_(None)).count,
        voided=_total(
            session, billed, on(and_(Invoice.generation == row.generation, Invoice.state.in_(GONE_IN_XERO)))
        ),
        split=() if rebill_from is None else _split(session, ledger, rebill_from),
        waiting=_total(session, waiting, ~stands) + gone_before,
        withdrawn=gone_before,
        excluded=_total(session, excluded, or_(by_person, ~stands)),
        back=_total(session, back),
        back_changed=_changed_since(session, ledger, back, going_to),
        accounts=_links(session, ledger, AccountLink, AccountLink.account_id.is_not(None)),
        worklog_types=_links(session, ledger, WorklogTypeLink, WorklogTypeLink.type_id.is_not(None)),
        ignored_types=tuple(sorted(ignored_types(session, ledger).values())),
        next_number=row.next_number,
        under_way=tuple(
            session.scalars(select(Invoice.number).where(under_way(ledger)).order_by(Invoice.id))
        ),
        at_stake=_total(session, here, on(under_way(ledger))),
        compared_at=row.invoices_refreshed_at,
        known_from=_known_from(session, row),
        stopped_at=row.look_stopped_at,
    )


def organisation_of(row: BillingConnection | PastGeneration) -> Organisation:
    """Return the organisation that a row names."""
    return Organisation(
        organisation_id=row.organisation_id,
        name=row.organisation_name,
        short_code=row.short_code,
        base_currency=row.base_currency,
    )


def on(invoices: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a worklog is on one of these invoices."""
    return exists().where(
        InvoiceLine.worklog_row == Worklog.id,
        InvoiceLine.live.is_(True),
        InvoiceLine.invoice_id == Invoice.id,
        invoices,
    )


def released_from(ledger: Ledger, day: date) -> ColumnElement[bool]:
    """Whether a billed worklog is to be billed again: work from this day on, on an invoice that stands."""
    return and_(Worklog.work_date >= day, on(_standing(ledger)))


def never_sent(ledger: Ledger) -> ColumnElement[bool]:
    """Whether an invoice was planned and no byte of it was sent."""
    batch = exists().where(PushBatch.id == Invoice.batch_id, PushBatch.attempts > 0)
    return and_(Invoice.connection_id == ledger.connection_id, Invoice.state == "planned", ~batch)


def under_way(ledger: Ledger) -> ColumnElement[bool]:
    """Whether Xero may have an invoice, or may still get it."""
    is_ours = Invoice.connection_id == ledger.connection_id
    was_sent = exists().where(PushBatch.id == Invoice.batch_id, PushBatch.attempts > 0)
    return and_(is_ours, or_(Invoice.state.in_(UNSETTLED), and_(Invoice.state == "planned", was_sent)))


def billed_before(ledger: Ledger, organisation_id: str | None) -> ColumnElement[bool]:
    """Whether a worklog was taken off an invoice that stands in an organisation of an earlier time."""
    if organisation_id is None:
        return false()
    return exists().where(
        InvoiceLine.worklog_row == Worklog.id,
        InvoiceLine.live.is_(False),
        InvoiceLine.invoice_id == Invoice.id,
        stands_there(ledger, organisation_id),
    )


def generations_in(ledger: Ledger, organisation_id: str) -> Select[tuple[int]]:
    """Select the earlier generations of the connection that billed into an organisation."""
    return select(PastGeneration.generation).where(
        PastGeneration.connection_id == ledger.connection_id,
        PastGeneration.organisation_id == organisation_id,
    )


def life_begun_at(ledger: Ledger) -> datetime:
    """Return when the connection last started over; if it never did, when the ledger began."""
    with ledger.read() as session:
        ended = session.scalar(
            select(func.max(PastGeneration.ended_at)).where(
                PastGeneration.connection_id == ledger.connection_id
            )
        )
    return ended or ledger.begun_at


def stands_there(ledger: Ledger, organisation_id: str) -> ColumnElement[bool]:
    """Whether an invoice stands in an organisation that was billed at an earlier time.

    Lines of one that stands were taken off it by a move, or a rebuild found their worklog on two invoices.
    """
    return and_(
        Invoice.connection_id == ledger.connection_id,
        Invoice.generation.in_(generations_in(ledger, organisation_id)),
        Invoice.state.in_(("created", "paid")),
    )


def _standing(ledger: Ledger) -> ColumnElement[bool]:
    return and_(Invoice.generation == ledger.generation, Invoice.state.not_in(GONE_IN_XERO))


def _split(session: Session, ledger: Ledger, day: date) -> tuple[str, ...]:
    """Return the numbers of invoices of which only some lines would be billed again."""

    def has(which: ColumnElement[bool]) -> ColumnElement[bool]:
        return exists().where(
            InvoiceLine.invoice_id == Invoice.id,
            InvoiceLine.live.is_(True),
            InvoiceLine.worklog_row == Worklog.id,
            Worklog.state == "invoiced",
            which,
        )

    mine = and_(Invoice.connection_id == ledger.connection_id, _standing(ledger))
    stays = or_(Worklog.work_date < day, Worklog.work_date.is_(None))
    chosen = select(Invoice.number).where(mine, has(Worklog.work_date >= day), has(stays))
    return tuple(session.scalars(chosen.order_by(Invoice.id)))


def _changed_since(
    session: Session, ledger: Ledger, back: ColumnElement[bool], going_to: str | None
) -> tuple[str, ...]:
    if going_to is None:
        return ()
    last = last_lines(ledger, going_to).subquery()
    chosen = (
        select(Worklog.worklog_id)
        .join(last, last.c.worklog_row == Worklog.id)
        .join(InvoiceLine, InvoiceLine.id == last.c.line_id)
        .where(back, InvoiceLine.quantity != Worklog.quantity)
    )
    return tuple(session.scalars(chosen.order_by(Worklog.id)))


def last_lines(ledger: Ledger, organisation_id: str) -> Any:
    """Select the last line, by worklog, that a move took off an invoice that stands in an organisation."""
    return (
        select(InvoiceLine.worklog_row, func.max(InvoiceLine.id).label("line_id"))
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(InvoiceLine.live.is_(False), stands_there(ledger, organisation_id))
        .group_by(InvoiceLine.worklog_row)
    )


def _known_from(session: Session, row: BillingConnection) -> datetime | None:
    return session.scalar(
        select(PastGeneration.ended_at)
        .where(PastGeneration.connection_id == row.id)
        .order_by(PastGeneration.generation.desc())
        .limit(1)
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
        by_person=count(is_linked, model.choice == "link"),
        ignored=count(model.state == "ignored"),
    )
