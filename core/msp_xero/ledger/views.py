"""Lists and sums for people: read-only answers of the ledger as plain values.

Sums are computed by the database; lists are walked by key, so that each costs the same whether the
ledger holds a hundred worklogs or a million. Minutes are whole numbers, money is ``Decimal``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, case, func, or_, select

from msp_xero.ledger.decisions import GONE_IN_XERO, has_number
from msp_xero.ledger.lines import is_of_sdp
from msp_xero.ledger.link_staging import ACCOUNT, WORKLOG_TYPE
from msp_xero.ledger.merges import ACTIVE
from msp_xero.ledger.models import (
    WORKLOG_MODULES,
    AccountLink,
    BillingConnection,
    Event,
    Invoice,
    InvoiceLine,
    PastGeneration,
    PushBatch,
    SdpEntry,
    Worklog,
    WorklogTypeLink,
)
from msp_xero.ledger.rows import (
    ZERO,
    ConnectionView,
    Happening,
    InvoiceDetail,
    InvoiceRow,
    InvoiceTotal,
    LineRow,
    Total,
    WorklogDetail,
    WorklogFilter,
    WorklogRow,
    WorklogTotal,
    read_label,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

_BATCH = 1000
_UNSETTLED = ("sending", "unknown", "conflict")


def connection_view(ledger: Ledger) -> ConnectionView:
    """Return the connection as last seen."""
    columns = [getattr(BillingConnection, name) for name in ConnectionView.__slots__]
    with ledger.read() as session:
        return ConnectionView(
            *session.execute(select(*columns).where(BillingConnection.id == ledger.connection_id)).one()
        )


def worklog_totals(
    ledger: Ledger, *, decision: str | None = None, accounts: Collection[str] | None = None
) -> list[WorklogTotal]:
    """Return the sums of every state and reason; together they are everything that was delivered.

    Args:
        ledger: the open ledger.
        decision: only worklogs for which the transform steps decided this (``bill``, ``hold``, ``exclude``).
        accounts: only worklogs of these SDP accounts, by their ids; None is all.
    """
    conditions = [Worklog.connection_id == ledger.connection_id]
    if decision is not None:
        conditions.append(Worklog.decision == decision)
    if accounts is not None:
        conditions.append(Worklog.account_id.in_(accounts))
    statement = (
        _sums(Worklog.state, Worklog.reason_code)
        .where(*conditions)
        .group_by(Worklog.state, Worklog.reason_code)
        .order_by(Worklog.state, func.count().desc(), Worklog.reason_code)
    )
    with ledger.read() as session:
        return [WorklogTotal(state, code, _total(sums)) for state, code, *sums in session.execute(statement)]


def accounts_with_worklogs(ledger: Ledger) -> list[tuple[str, str | None]]:
    """Return ``(account id, name)`` of every SDP account that worklogs were delivered of.

    One that was renamed is there once for each name that its worklogs tell. The name that ServiceDesk Plus
    listed last, or that it was linked under, stands before those.
    """
    told = (
        select(Worklog.account_id, Worklog.account_name)
        .where(Worklog.connection_id == ledger.connection_id, Worklog.account_id.is_not(None))
        .distinct()
        .order_by(Worklog.account_id, Worklog.account_name.desc())
    )
    listed = select(SdpEntry.sdp_id, SdpEntry.name).where(
        SdpEntry.connection_id == ledger.connection_id, SdpEntry.kind == ACCOUNT
    )
    linked = select(AccountLink.account_id, AccountLink.account_name).where(
        AccountLink.connection_id == ledger.connection_id,
        AccountLink.generation == ledger.generation,
        AccountLink.account_id.is_not(None),
    )
    with ledger.read() as session:
        names = [(str(one), name) for one, name in session.execute(told)]
        known = {one: name for query in (linked, listed) for one, name in session.execute(query) if name}
    current = {one: known[one] for one, _ in names if one in known}
    return [*current.items(), *names]


def sum_worklogs(ledger: Ledger, wanted: WorklogFilter) -> Total:
    """Return the sum of the worklogs that pass a filter."""
    with ledger.read() as session:
        return _total(session.execute(_sums().where(*conditions_of(ledger, wanted))).one())


def currencies_of(ledger: Ledger, wanted: WorklogFilter) -> set[str | None]:
    """Return the currencies of the invoices that the worklogs which pass a filter are on; None: on none."""
    statement = (
        select(Invoice.currency)
        .select_from(Worklog)
        .outerjoin(InvoiceLine, and_(InvoiceLine.worklog_row == Worklog.id, InvoiceLine.live))
        .outerjoin(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(*conditions_of(ledger, wanted))
        .distinct()
    )
    with ledger.read() as session:
        return set(session.scalars(statement))


def count_changed_after_billing(ledger: Ledger) -> int:
    """Return how many billed worklogs differ from what was billed."""
    return sum_worklogs(ledger, WorklogFilter(changed=True)).count


def count_on_gone_invoices(ledger: Ledger) -> int:
    """Return how many worklogs count as billed though their invoice was voided or deleted in Xero."""
    statement = (
        select(func.count())
        .select_from(InvoiceLine)
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(
            Invoice.connection_id == ledger.connection_id,
            Invoice.state.in_(GONE_IN_XERO),
            InvoiceLine.live.is_(True),
        )
    )
    with ledger.read() as session:
        return session.scalar(statement) or 0


def count_shared_ids(ledger: Ledger) -> int:
    """Return how many worklogs share their id with another, different one."""
    with ledger.read() as session:
        statement = select(func.count()).where(
            Worklog.connection_id == ledger.connection_id, Worklog.ordinal > 0
        )
        return session.scalar(statement) or 0


def count_accounts_waiting(ledger: Ledger) -> int:
    """Return how many accounts have worklogs that the next run may bill."""
    with ledger.read() as session:
        statement = select(func.count(Worklog.account_id.distinct())).where(
            Worklog.connection_id == ledger.connection_id, Worklog.state.in_(("open", "held"))
        )
        return session.scalar(statement) or 0


def shared_ids(ledger: Ledger) -> set[str]:
    """Return the ids that several worklogs have."""
    with ledger.read() as session:
        statement = select(Worklog.worklog_id).where(
            Worklog.connection_id == ledger.connection_id, Worklog.ordinal > 0
        )
        return set(session.scalars(statement))


def list_worklogs(
    ledger: Ledger, wanted: WorklogFilter, *, after: int = 0, limit: int = _BATCH
) -> list[WorklogRow]:
    """Return a page of worklogs in the order of their first delivery.

    Args:
        ledger: the open ledger.
        wanted: the filter.
        after: ``row`` of the last worklog of the page before.
        limit: most rows to return.
    """
    statement = (
        _worklog_rows(ledger)
        .where(*conditions_of(ledger, wanted), Worklog.id > after)
        .order_by(Worklog.id)
        .limit(limit)
    )
    with ledger.read() as session:
        return [WorklogRow(**row) for row in session.execute(statement).mappings()]


def every_worklog(ledger: Ledger, wanted: WorklogFilter) -> Iterator[WorklogRow]:
    """Yield all worklogs that pass a filter, a page in memory at a time."""
    after = 0
    while page := list_worklogs(ledger, wanted, after=after):
        yield from page
        after = page[-1].row


def find_worklogs(ledger: Ledger, label: str) -> list[WorklogRow]:
    """Return the worklogs that a person may mean: one, none, or several that share an id.

    Args:
        ledger: the open ledger.
        label: the worklog's id in SDP; with ``#2`` behind it the second one of that id.
    """
    worklog_id, ordinal = read_label(label)
    conditions = [Worklog.connection_id == ledger.connection_id, Worklog.worklog_id == worklog_id]
    if ordinal is not None:
        conditions.append(Worklog.ordinal == ordinal)
    with ledger.read() as session:
        statement = _worklog_rows(ledger).where(*conditions).order_by(Worklog.ordinal)
        return [WorklogRow(**row) for row in session.execute(statement).mappings()]


def worklog_detail(ledger: Ledger, found: WorklogRow) -> WorklogDetail:
    """Return everything about a worklog: terms, invoice lines, history."""
    with ledger.read() as session:
        columns = ["description", "decision", "unit_price", "revision", "first_seen_at", "last_seen_at"]
        more = session.execute(
            select(*(getattr(Worklog, name) for name in columns)).where(Worklog.id == found.row)
        ).mappings()
        # Of a rebuilt one there is no record: its module tells.
        source, type_id, rebuilt = session.execute(
            select(Worklog.source, Worklog.type_id, Worklog.rebuilt).where(Worklog.id == found.row)
        ).one()
        return WorklogDetail(
            worklog=found,
            of_sdp=found.module in WORKLOG_MODULES
            if rebuilt
            else is_of_sdp(found.module, found.worklog_id, source),
            contact_name=_billable_contact(session, ledger, found.account_id),
            item_name=_billable_item(session, ledger, type_id),
            **more.one(),
            lines=_lines(session, InvoiceLine.worklog_row == found.row),
            history=_history(session, ledger, "worklog", found.row),
        )


def _billable_contact(session: Session, ledger: Ledger, account_id: str | None) -> str | None:
    """Return the name of the contact that an account is billed to, as the links stand now."""
    # One that was merged is billed to the contact that survived.
    goes_on = or_(AccountLink.contact_status == ACTIVE, AccountLink.merged_to_contact_id.is_not(None))
    return session.scalar(
        select(AccountLink.contact_name).where(
            AccountLink.connection_id == ledger.connection_id,
            AccountLink.generation == ledger.generation,
            AccountLink.account_id == account_id,
            AccountLink.state == "linked",
            goes_on,
        )
    )


def _billable_item(session: Session, ledger: Ledger, type_id: str | None) -> str | None:
    """Return the name of the item that a worklog type is billed as, as the links stand now."""
    if type_id is None:
        return None
    return session.scalar(
        select(WorklogTypeLink.name).where(
            WorklogTypeLink.connection_id == ledger.connection_id,
            WorklogTypeLink.generation == ledger.generation,
            WorklogTypeLink.type_id == type_id,
            WorklogTypeLink.gone_at.is_(None),
            WorklogTypeLink.is_sold,
        )
    )


def invoice_totals(ledger: Ledger) -> list[InvoiceTotal]:
    """Return the sums of every state and currency."""
    money = [func.sum(column) for column in (Invoice.subtotal, Invoice.total_tax, Invoice.total)]
    statement = (
        select(Invoice.state, Invoice.currency, func.count(), *money)
        .where(Invoice.connection_id == ledger.connection_id)
        .group_by(Invoice.state, Invoice.currency)
        .order_by(Invoice.state, Invoice.currency)
    )
    with ledger.read() as session:
        return [InvoiceTotal(*row) for row in session.execute(statement)]


def list_invoices(
    ledger: Ledger, *, states: tuple[str, ...] = (), before: int | None = None, limit: int = _BATCH
) -> list[InvoiceRow]:
    """Return a page of invoices, the newest first.

    Args:
        ledger: the open ledger.
        states: only these; all when empty.
        before: ``row`` of the last invoice of the page before.
        limit: most rows to return.
    """
    conditions: list[ColumnElement[bool]] = [Invoice.state.in_(states)] if states else []
    if before is not None:
        conditions.append(Invoice.id < before)
    return _newest_invoices(ledger, conditions, limit)


def unsettled_invoices(ledger: Ledger, *, limit: int = _BATCH) -> list[InvoiceRow]:
    """Return the invoices of unknown outcome, of a number that is taken, or that no answer comes for."""
    unanswered = and_(Invoice.state == "planned", Invoice.reason.is_not(None), Invoice.reason_code.is_(None))
    return _newest_invoices(ledger, [or_(Invoice.state.in_(_UNSETTLED), unanswered)], limit)


def differing_invoices(ledger: Ledger, *, limit: int = _BATCH) -> list[InvoiceRow]:
    """Return the invoices that stood in Xero in another way than they were sent, when that was first seen."""
    differs = or_(Invoice.reason.is_not(None), Invoice.xero_total != Invoice.total)
    # One that only counts as billed, on a person's word, was never seen.
    stands = (Invoice.state.in_(("created", "paid")), Invoice.xero_id.is_not(None))
    return _newest_invoices(ledger, [*stands, differs], limit)


def _newest_invoices(
    ledger: Ledger, conditions: Sequence[ColumnElement[bool]], limit: int
) -> list[InvoiceRow]:
    statement = (
        _invoice_rows()
        .where(Invoice.connection_id == ledger.connection_id, *conditions)
        .order_by(Invoice.id.desc())
        .limit(limit)
    )
    with ledger.read() as session:
        return [InvoiceRow(**row) for row in session.execute(statement).mappings()]


def invoice_detail(ledger: Ledger, number: str) -> InvoiceDetail | None:
    """Return an invoice with its lines and worklogs, or None when there is none of that number."""
    statement = _invoice_rows().where(
        Invoice.connection_id == ledger.connection_id, has_number(number.strip())
    )
    with ledger.read() as session:
        found = session.execute(statement).mappings().first()
        if found is None:
            return None
        invoice = InvoiceRow(**found)
        short_code = session.scalar(
            _in_its_generation(select(_of_its_generation("short_code")).select_from(Invoice)).where(
                Invoice.id == invoice.row
            )
        )
        lines = _lines(session, InvoiceLine.invoice_id == invoice.row)
        history = _history(session, ledger, "invoice", invoice.row)
    return InvoiceDetail(invoice, xero_link(short_code, invoice.xero_id), lines, history)


def xero_link(short_code: str | None, invoice_id: str | None) -> str | None:
    """Return the address that opens an invoice in Xero, whichever organisation the reader was in last."""
    if not (short_code and invoice_id):
        return None
    return (
        f"https://go.xero.com/organisationlogin/default.aspx?shortcode={short_code}"
        f"&redirecturl=/AccountsReceivable/Edit.aspx?InvoiceID={invoice_id}"
    )


def _sums(*group: ColumnElement[Any] | Any) -> Select[Any]:
    return select(
        *group,
        func.count(),
        func.sum(Worklog.minutes),
        func.sum(Worklog.money),
        func.count() - func.count(Worklog.money),
    ).select_from(Worklog)


def _total(sums: Any) -> Total:
    count, minutes, money, unpriced = sums
    return Total(count, int(minutes or 0), ZERO if money is None else money, unpriced)


def conditions_of(ledger: Ledger, wanted: WorklogFilter) -> list[ColumnElement[bool]]:
    """Return a filter as conditions on the worklogs of the connection."""
    conditions = [Worklog.connection_id == ledger.connection_id]
    if wanted.states:
        conditions.append(Worklog.state.in_(wanted.states))
    if wanted.reason_code is not None:
        conditions.append(Worklog.reason_code == wanted.reason_code)
    if wanted.account_id is not None:
        conditions.append(Worklog.account_id == wanted.account_id)
    if wanted.since is not None:
        conditions.append(Worklog.work_date >= wanted.since)
    if wanted.before is not None:
        conditions.append(Worklog.work_date < wanted.before)
    if wanted.changed:
        conditions.append(Worklog.changed.is_not(None))
    return conditions


def _worklog_rows(ledger: Ledger) -> Select[Any]:
    others = {
        "row": Worklog.id,
        "account_name": _account_name(ledger),
        "type_name": _type_name(ledger),
        "invoice_number": Invoice.number,
        "currency": Invoice.currency,
    }
    own = [getattr(Worklog, name) for name in WorklogRow.__slots__ if name not in others]
    return (
        select(*own, *(column.label(name) for name, column in others.items()))
        .select_from(Worklog)
        .outerjoin(InvoiceLine, and_(InvoiceLine.worklog_row == Worklog.id, InvoiceLine.live))
        .outerjoin(Invoice, Invoice.id == InvoiceLine.invoice_id)
    )


def _account_name(ledger: Ledger) -> ColumnElement[str | None]:
    linked = select(AccountLink.account_name).where(
        AccountLink.connection_id == ledger.connection_id,
        AccountLink.generation == ledger.generation,
        AccountLink.account_id == Worklog.account_id,
    )
    listed = _listed_name(ledger, ACCOUNT, Worklog.account_id)
    return func.coalesce(func.nullif(Worklog.account_name, ""), listed, linked.scalar_subquery())


def _type_name(ledger: Ledger) -> ColumnElement[str | None]:
    linked = select(WorklogTypeLink.type_name).where(
        WorklogTypeLink.connection_id == ledger.connection_id,
        WorklogTypeLink.generation == ledger.generation,
        WorklogTypeLink.type_id == Worklog.type_id,
    )
    listed = _listed_name(ledger, WORKLOG_TYPE, Worklog.type_id)
    return func.coalesce(func.nullif(Worklog.type_name, ""), listed, linked.scalar_subquery())


def _listed_name(ledger: Ledger, kind: str, sdp_id: Any) -> ColumnElement[str | None]:
    listed = select(SdpEntry.name).where(
        SdpEntry.connection_id == ledger.connection_id, SdpEntry.kind == kind, SdpEntry.sdp_id == sdp_id
    )
    return listed.scalar_subquery()


def _invoice_rows() -> Select[Any]:
    of_batch = ("sent_at", "attempts")
    others = ("row", "organisation", *of_batch)
    own = [getattr(Invoice, name) for name in InvoiceRow.__slots__ if name not in others]
    sending = [getattr(PushBatch, name) for name in of_batch]
    organisation = _of_its_generation("organisation_name").label("organisation")
    rows = select(Invoice.id.label("row"), *own, *sending, organisation).select_from(Invoice)
    return _in_its_generation(rows.outerjoin(PushBatch, PushBatch.id == Invoice.batch_id))


def _in_its_generation(invoices: Select[Any]) -> Select[Any]:
    """Join what is known of the generation that an invoice was made in."""
    return invoices.join(BillingConnection, BillingConnection.id == Invoice.connection_id).outerjoin(
        PastGeneration,
        and_(
            PastGeneration.connection_id == Invoice.connection_id,
            PastGeneration.generation == Invoice.generation,
        ),
    )


def _of_its_generation(column: str) -> ColumnElement[Any]:
    now, then = getattr(BillingConnection, column), getattr(PastGeneration, column)
    return case((PastGeneration.id.is_(None), now), else_=then)


def _lines(session: Session, condition: ColumnElement[bool]) -> list[LineRow]:
    of_line = (
        "position live revision description quantity unit_price amount tax item_code account_code tax_type"
    )
    of_worklog = "worklog_id ordinal module parent_display_id technician_name work_date minutes"
    statement = (
        select(
            Invoice.number.label("invoice_number"),
            Invoice.state.label("invoice_state"),
            _of_its_generation("organisation_name").label("organisation"),
            *(getattr(InvoiceLine, name) for name in of_line.split()),
            *(getattr(Worklog, name) for name in of_worklog.split()),
        )
        .select_from(InvoiceLine)
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .join(Worklog, Worklog.id == InvoiceLine.worklog_row)
        .where(condition)
        .order_by(InvoiceLine.invoice_id, InvoiceLine.position)
    )
    statement = _in_its_generation(statement)
    return [LineRow(**row) for row in session.execute(statement).mappings()]


def _history(session: Session, ledger: Ledger, entity: str, entity_id: int) -> list[Happening]:
    columns = [getattr(Event, name) for name in Happening.__slots__ if name != "invoice_number"]
    statement = (
        select(*columns)
        .where(
            Event.connection_id == ledger.connection_id, Event.entity == entity, Event.entity_id == entity_id
        )
        .order_by(Event.id)
    )
    found = [Happening(*row) for row in session.execute(statement)]
    meant = [(one.data or {}).get("invoice") for one in found]
    query = select(Invoice.id, Invoice.number).where(
        Invoice.connection_id == ledger.connection_id, Invoice.id.in_({one for one in meant if one})
    )
    numbers: dict[Any, str] = dict(session.execute(query).tuples().all())
    return [replace(one, invoice_number=numbers.get(of)) for one, of in zip(found, meant, strict=True)]
