"""What an earlier settle planned and never sent: taken back where it would not be planned so today.

A person stops a push because it is wrong, corrects what was wrong and runs again: what has not left must
not go out as it was. What was sent before keeps its bytes, whatever the answer was (decision 0044), until a
person gives up what Xero never answers for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, func, select

from msp_xero.billing.document import DraftLine, heading, line_item, marked_reference, markers_in
from msp_xero.billing.draft import Drafter
from msp_xero.billing.plan import is_own_number
from msp_xero.billing.preflight import Hold, invoice_hold
from msp_xero.billing.reconcile import is_of_an_earlier_life, look_up
from msp_xero.billing.strangers import is_gone
from msp_xero.ledger import planning
from msp_xero.ledger.lines import is_of_sdp
from msp_xero.ledger.models import Event, Invoice, InvoiceLine, PushBatch, Worklog
from msp_xero.ledger.withdrawing import withdraw
from msp_xero.xero import wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from msp_xero.billing.reference import Reference
    from msp_xero.billing.settings import BillingSettings
    from msp_xero.ledger import Fence, Ledger
    from msp_xero.xero.client import XeroClient

OLDEST: Final = timedelta(days=7)
"""An invoice that waited longer than this gets a new date; a day's limit alone carries over a day or two."""

OUTDATED: Final = "It was planned and never sent, and would not be planned so any more."
_QUIET: Final = timedelta(hours=1)
"""So long after its last call an invoice that Xero does not have is not on its way any more."""
_NAME_AND_DATES: Final = frozenset({"InvoiceNumber", "Date", "DueDate"})
_IS_CHANGED: Final = Worklog.newest.is_not(None) | Worklog.changed.is_not(None)


class Planned(NamedTuple):
    """An invoice that waits to be sent for the first time."""

    id: int
    batch_id: int
    number: str
    marker: str
    account_id: str
    account_name: str
    invoice_date: date
    due_date: date
    planned_at: datetime


def accounts_planned(session: Session, ledger: Ledger) -> set[str]:
    """Return the accounts of the invoices that wait to be sent for the first time."""
    return {one.account_id for one in _never_sent(session, ledger)}


def find_outdated(ledger: Ledger, reference: Reference, settings: BillingSettings) -> list[Planned]:
    """Find what was planned and never sent, and would not be planned so now.

    All but its number and its dates would have to be the same, to the tax and the text; a worklog on it
    was not changed, and it is dated less than a week off. If not, the whole call is outdated. A call with a
    line of another tap that was changed is left as it is: only that tap could deliver it again.

    Args:
        ledger: the open ledger.
        reference: Xero's reference data, with the contacts of :func:`accounts_planned`.
        settings: how to bill.
    """
    with ledger.read() as session:
        planned = _never_sent(session, ledger)
        if not planned:
            return []
        changed, fixed = _changed(session, ledger)
        kept = {one.batch_id for one in planned if one.id in fixed}
        now = _Now(session, ledger, reference, settings)
        outdated: set[int] = set()
        for one in planned:
            if one.batch_id in kept or one.batch_id in outdated:
                continue
            if one.id in changed or not now.would_plan(one):
                outdated.add(one.batch_id)
    return [one for one in planned if one.batch_id in outdated]


class _Now:
    """What would be planned now of worklogs that are on an invoice which was never sent."""

    def __init__(
        self, session: Session, ledger: Ledger, reference: Reference, settings: BillingSettings
    ) -> None:
        self._session = session
        self._reference = reference
        self._settings = settings
        self._drafter = Drafter(session, ledger, reference, settings)
        self._batch_id: int | None = None
        self._elements: dict[str, dict[str, Any]] = {}

    def would_plan(self, one: Planned) -> bool:
        """Tell whether an invoice would be planned as it is, but for its number and its dates."""
        settings, reference = self._settings, self._reference
        if (
            abs(self._drafter.date - one.invoice_date) > OLDEST
            or (one.due_date - one.invoice_date).days != settings.due_days
            or not is_own_number(settings.number_prefix, one.number)
            or invoice_hold(reference, one.invoice_date)
        ):
            return False
        contact = self._drafter.contact(one.account_id)
        lines = planning.lines_on(self._session, one.id)
        if contact is None or isinstance(contact, Hold) or len(lines) > settings.max_lines_per_invoice:
            return False
        drafts = [(self._drafter.line(line), tax) for line, tax in lines]
        sold = [draft for draft, tax in drafts if isinstance(draft, DraftLine) and draft.terms.tax == tax]
        if len(sold) < len(lines):
            return False
        text = self._drafter.reference_text(
            one.number, one.account_name, contact, sold, dated=one.invoice_date
        )
        element = self._element(one)
        status, kind = settings.invoice_status, settings.line_amount_types
        return wire.canonical(
            {
                **heading(contact.contact_id, reference, status=status, line_amount_types=kind),
                "Reference": marked_reference(text, one.marker),
                "LineItems": [line_item(line, reference.tracking) for line in sold],
            }
        ) == wire.canonical({name: element[name] for name in element.keys() - _NAME_AND_DATES})

    def _element(self, one: Planned) -> dict[str, Any]:
        """Return the invoice as it is stored; the bytes of one call are kept."""
        if self._batch_id != one.batch_id:
            stored = wire.decode(planning.batch_bytes(self._session, one.batch_id))["Invoices"]
            self._batch_id = one.batch_id
            self._elements = {element["InvoiceNumber"]: element for element in stored}
        return self._elements[one.number]


def planned_with(ledger: Ledger, row: int) -> list[Planned]:
    """Return the call of a worklog, if it was planned and never sent: all of its invoices.

    None where another line of it was changed by another tap: only that tap could deliver it again.
    """
    with ledger.read() as session:
        planned = _never_sent(session, ledger)
        its = set(session.scalars(_on_invoices(ledger).where(Worklog.id == row)))
        _, fixed = _changed(session, ledger, but=row)
    batches = {one.batch_id for one in planned if one.id in its}
    batches -= {one.batch_id for one in planned if one.id in fixed}
    return [one for one in planned if one.batch_id in batches]


def unanswered_with(ledger: Ledger, row: int) -> list[int]:
    """Return the invoices of a worklog's call, if Xero never answered for it and was proven not to have it.

    None if that was sent within the hour, and may still arrive.
    """
    its = select(Invoice.batch_id).join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
    with ledger.read() as session:
        invoices = session.scalars(
            select(Invoice.id)
            .join(PushBatch, PushBatch.id == Invoice.batch_id)
            .where(
                Invoice.batch_id.in_(its.where(InvoiceLine.worklog_row == row, InvoiceLine.live.is_(True))),
                Invoice.state == "planned",
                PushBatch.state == "planned",
                PushBatch.attempts > 0,
            )
            .order_by(Invoice.id)
        ).all()
        sent_at = session.scalar(
            select(func.max(Event.at)).where(
                Event.connection_id == ledger.connection_id,
                Event.entity == "invoice",
                Event.entity_id.in_(invoices),
                Event.action == "sending",
            )
        )
    is_quiet = sent_at is None or ledger.clock.now() - sent_at >= _QUIET
    return list(invoices) if is_quiet else []


def sent_by_another(ledger: Ledger, client: XeroClient, planned: Sequence[Planned]) -> set[str]:
    """Return the markers of those whose number Xero has: this ledger is an older copy, a newer one sent them.

    What stands has the number in any case; what a person has voided or deleted since is told by its marker,
    unless that was before this ledger began.
    """
    holders = look_up(client, [one.number for one in planned])

    def tells(one: Planned, row: Mapping[str, Any]) -> bool:
        is_ours = one.marker in markers_in(row.get("Reference"))
        return not is_gone(row) or (is_ours and not is_of_an_earlier_life(ledger, one.planned_at, row))

    return {
        one.marker
        for one in planned
        if any(tells(one, row) for row in holders.get(one.number.casefold(), ()))
    }


def take_back(
    ledger: Ledger, fence: Fence, invoice_ids: Sequence[int], reason: str, *, run_id: int | None = None
) -> int:
    """Take planned invoices back; return how many worklogs wait again."""
    with ledger.write(fence) as session:
        return withdraw(session, ledger, invoice_ids, reason, run_id=run_id)


_NEVER_SENT = (
    select(*(getattr(Invoice, name) for name in Planned._fields))
    .join(PushBatch, PushBatch.id == Invoice.batch_id)
    .where(
        Invoice.connection_id == bindparam("connection"),
        Invoice.state == "planned",
        PushBatch.state == "planned",
        PushBatch.attempts == 0,
    )
    .order_by(Invoice.id)
)


def _never_sent(session: Session, ledger: Ledger) -> list[Planned]:
    return [Planned(*row) for row in session.execute(_NEVER_SENT, {"connection": ledger.connection_id})]


def _changed(session: Session, ledger: Ledger, *, but: int | None = None) -> tuple[set[int], set[int]]:
    """Return the invoices with a worklog that was changed, and those on which another tap changed one.

    ``but``: leave this worklog out.
    """
    columns = (Worklog.module, Worklog.worklog_id, Worklog.source)
    rows = session.execute(_on_invoices(ledger).add_columns(*columns).where(_IS_CHANGED, Worklog.id != but))
    found = [(invoice_id, is_of_sdp(*worklog)) for invoice_id, *worklog in rows]
    return {one for one, _ in found}, {one for one, is_ours in found if not is_ours}


def _on_invoices(ledger: Ledger) -> Select[tuple[int]]:
    return (
        select(InvoiceLine.invoice_id)
        .join(Worklog, Worklog.id == InvoiceLine.worklog_row)
        .where(
            Worklog.connection_id == ledger.connection_id,
            Worklog.state == "planned",
            InvoiceLine.live.is_(True),
        )
    )
