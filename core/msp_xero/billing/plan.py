"""Planning: choose what can be billed, group it into invoices, store the batches. Nothing is sent here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msp_xero.billing import preflight
from msp_xero.billing.arithmetic import ZERO
from msp_xero.billing.document import (
    Draft,
    DraftLine,
    draft_totals,
    invoice_marker,
    marked_reference,
    payload,
)
from msp_xero.billing.draft import Drafter
from msp_xero.billing.preflight import Hold
from msp_xero.billing.refused import Refusals
from msp_xero.ledger import planning
from msp_xero.xero import wire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from decimal import Decimal

    from sqlalchemy.orm import Session

    from msp_xero.billing.reference import Contact, Reference
    from msp_xero.billing.settings import BillingSettings
    from msp_xero.ledger import Ledger
    from msp_xero.ledger.planning import BillableLine, HeldLine

MAX_BATCH_BYTES = 3_000_000
"""Xero refuses requests over 3.5 MB (xero-api §2)."""

MAX_BATCH_LINES = 5_000
_NUMBER_DIGITS = 5
_LINE_OVERHEAD = 500
"""Most bytes of a line beside its description and tracking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedInvoice:
    """One invoice of a plan, for people: minutes, and money in the invoice's currency."""

    number: str
    account_name: str
    contact_name: str
    currency: str
    lines: int
    minutes: int
    subtotal: Decimal
    tax: Decimal
    total: Decimal


@dataclass(slots=True)
class HeldSum:
    """Lines on hold for one reason: how many, minutes, money at stake; of ``unpriced`` it is not known."""

    lines: int = 0
    minutes: int = 0
    money: Decimal = ZERO
    unpriced: int = 0


@dataclass(slots=True)
class Plan:
    """What one planning decided."""

    invoices: list[PlannedInvoice] = field(default_factory=list)
    held: dict[str, HeldSum] = field(default_factory=dict)
    batches: int = 0
    currency: str = ""


def invoice_number(prefix: str, sequence: int) -> str:
    """Return an invoice number, for example SDP-00042."""
    return f"{prefix}{sequence:0{_NUMBER_DIGITS}d}"


def is_own_number(prefix: str, number: str) -> bool:
    """Tell whether a number looks like one of ours; Xero compares numbers without regard to case."""
    return re.fullmatch(re.escape(prefix) + r"\d{5,}", number, re.IGNORECASE) is not None


def plan(  # noqa: PLR0913 - a planning needs all of these
    session: Session,
    ledger: Ledger,
    reference: Reference,
    settings: BillingSettings,
    *,
    store: bool = True,
    accounts: Collection[str] | None = None,
    retry_refused: bool = False,
    run_id: int | None = None,
) -> Plan:
    """Plan all billable lines within the caller's transaction.

    Lines of a linked account whose pre-flight passes become invoices in stored batches; the others
    are held, each with its reason. Those whose contact or item was linked after ``reference`` was read stay
    as they are: nobody knows yet, and the next run asks.

    Args:
        session: the caller's transaction.
        ledger: the open ledger.
        reference: Xero's reference data.
        settings: how to bill.
        store: False stores only the holds; the invoices are what would be made.
        accounts: ids of the accounts to plan; None is all.
        retry_refused: True plans also what would only repeat a refusal of the last day.
        run_id: for the audit log.
    """
    planner = _Planner(session, ledger, reference, settings, run_id)
    planner.store = store
    if not retry_refused:
        planner.refusals = Refusals(session, ledger, reference, settings)
    return planner.run(accounts)


class _Planner:
    """One planning: walks the accounts, fills batches, keeps one account's lines in memory at a time."""

    def __init__(
        self,
        session: Session,
        ledger: Ledger,
        reference: Reference,
        settings: BillingSettings,
        run_id: int | None,
    ) -> None:
        self.session = session
        self.ledger = ledger
        self.reference = reference
        self.settings = settings
        self.run_id = run_id
        self.drafter = Drafter(session, ledger, reference, settings)
        self.store = True
        self.refusals: Refusals | None = None
        self.plan = Plan(currency=reference.currency)
        self.batch = _Batch()

    def run(self, accounts: Collection[str] | None = None) -> Plan:
        hold_all = preflight.invoice_hold(self.reference, self.drafter.date)
        for account_id, account_name in planning.billable_accounts(self.session, self.ledger):
            if accounts is not None and account_id not in accounts:
                continue
            lines = planning.billable_lines(self.session, self.ledger, account_id)
            if account_id is None:
                self._hold([(line, preflight.NO_ACCOUNT) for line in lines])
                continue
            contact = hold_all or self.drafter.contact(account_id)
            if contact is None:
                self._leave(lines)
            elif isinstance(contact, Hold):
                # What would only seem to be this account's says so first: nobody is to link it for that.
                self._hold(
                    [(line, preflight.GIVEN_ANEW.get(line.given_anew or "", contact)) for line in lines]
                )
            else:
                self._bill(account_id, account_name, contact, lines)
        self._flush()
        return self.plan

    def _bill(self, account_id: str, account_name: str, contact: Contact, lines: list[BillableLine]) -> None:
        ready: dict[int, tuple[BillableLine, DraftLine]] = {}
        held: list[tuple[BillableLine, Hold]] = []
        for line in lines:
            drafted = self.drafter.line(line)
            if drafted is None:
                self._leave([line])
            elif isinstance(drafted, Hold):
                held.append((line, drafted))
            else:
                ready[line.id] = (line, drafted)
        self._hold(held)
        if self.refusals is not None:
            for row in self.refusals.repeats(account_id, contact, ready):
                line, _ = ready.pop(row)
                self._count_held(line, line.reason_code or "REJECTED_BY_XERO", line.money)
        if not self.store:
            # Nothing keeps them any more, so a run that only looks must not show them as held either.
            free = [line.id for line, _ in ready.values() if line.state == "held"]
            planning.free_lines(self.session, self.ledger, free, run_id=self.run_id)
        drafts = [draft for _, draft in ready.values()]
        overhead = _LINE_OVERHEAD + len(wire.canonical(self.reference.tracking))
        for lines_of_one in split_lines(drafts, self.settings.max_lines_per_invoice, overhead):
            self._add(self._draft(account_id, account_name, contact, lines_of_one))

    def _draft(
        self, account_id: str, account_name: str, contact: Contact, lines: Sequence[DraftLine]
    ) -> Draft:
        number = invoice_number(self.settings.number_prefix, self._next_number())
        marker = invoice_marker(number, lines)
        text = self.drafter.reference_text(number, account_name, contact, lines, dated=self.drafter.date)
        return Draft(
            number=number,
            account_id=account_id,
            account_name=account_name,
            contact=contact,
            invoice_date=self.drafter.date,
            due_date=self.drafter.date + timedelta(days=self.settings.due_days),
            reference=marked_reference(text, marker),
            marker=marker,
            totals=draft_totals(lines, self.settings.line_amount_types),
            minutes=sum(line.minutes for line in lines),
            lines=list(lines),
        )

    def _next_number(self) -> int:
        if self.store:
            return planning.take_number(self.session, self.ledger)
        return self.ledger.connection(self.session).next_number + len(self.plan.invoices)

    def _leave(self, lines: Sequence[BillableLine]) -> None:
        """Leave lines that cannot be judged yet where they are, on a hold of before too."""
        for line in lines:
            if line.reason_code is not None:
                self._count_held(line, line.reason_code, line.money)

    def _hold(self, held: Sequence[tuple[BillableLine, Hold]]) -> None:
        changed: list[HeldLine] = []
        for line, hold in held:
            money = self.drafter.at_stake(line)
            self._count_held(line, hold.code, money)
            known = (line.state, line.reason_code, line.reason, line.money)
            if known != ("held", hold.code, hold.reason, money):
                changed.append(planning.HeldLine(line.id, hold.code, hold.reason, money))
        planning.hold_lines(self.session, self.ledger, changed, run_id=self.run_id)

    def _count_held(self, line: BillableLine, code: str, money: Decimal | None) -> None:
        total = self.plan.held.setdefault(code, HeldSum())
        total.lines += 1
        total.minutes += line.minutes
        total.money += money or ZERO
        total.unpriced += money is None

    def _add(self, draft: Draft) -> None:
        if self.store:
            self._add_to_batch(draft)
        self.plan.invoices.append(
            PlannedInvoice(
                number=draft.number,
                account_name=draft.account_name,
                contact_name=draft.contact.name,
                currency=self.reference.currency,
                lines=len(draft.lines),
                minutes=draft.minutes,
                subtotal=draft.totals.subtotal,
                tax=draft.totals.tax,
                total=draft.totals.total,
            )
        )

    def _add_to_batch(self, draft: Draft) -> None:
        element = wire.canonical(
            payload(
                draft,
                self.reference,
                status=self.settings.invoice_status,
                line_amount_types=self.settings.line_amount_types,
            )
        )
        if self.batch.is_full_with(draft, element, self.settings.batch_size):
            self._flush()
        self.batch.add(draft, element)

    def _flush(self) -> None:
        if not self.batch.drafts:
            return
        body = batch_body(self.batch.elements)
        planning.save_batch(
            self.session,
            self.ledger,
            body=body,
            invoices=[self._invoice_columns(draft) for draft in self.batch.drafts],
            lines=[list(_line_columns(draft)) for draft in self.batch.drafts],
            run_id=self.run_id,
        )
        self.plan.batches += 1
        self.batch = _Batch()

    def _invoice_columns(self, draft: Draft) -> dict[str, Any]:
        return {
            "number": draft.number,
            "account_id": draft.account_id,
            "account_name": draft.account_name,
            "contact_id": draft.contact.contact_id,
            "contact_name": draft.contact.name,
            "currency": self.reference.currency,
            "invoice_date": draft.invoice_date,
            "due_date": draft.due_date,
            "reference": draft.reference,
            "marker": draft.marker,
            "wanted_status": self.settings.invoice_status,
            "line_amount_types": self.settings.line_amount_types,
            "subtotal": draft.totals.subtotal,
            "total_tax": draft.totals.tax,
            "total": draft.totals.total,
            "line_count": len(draft.lines),
            "minutes": draft.minutes,
            "state": "planned",
        }


def split_lines(
    lines: Sequence[DraftLine], most: int, overhead: int = _LINE_OVERHEAD
) -> Iterator[Sequence[DraftLine]]:
    """Share out lines to invoices that have no more than ``most`` and fit into one call each."""
    start, size = 0, 0
    for index, line in enumerate(lines):
        length = overhead + len(wire.canonical(line.description))
        if index > start and (index - start >= most or size + length > MAX_BATCH_BYTES):
            yield lines[start:index]
            start, size = index, 0
        size += length
    if lines:
        yield lines[start:]


def _line_columns(draft: Draft) -> Iterator[dict[str, Any]]:
    for line in draft.lines:
        yield {
            "worklog_row": line.worklog_row,
            "revision": line.revision,
            "live": True,
            "description": line.description,
            "quantity": line.terms.quantity,
            "unit_price": line.terms.unit_price,
            "amount": line.terms.amount,
            "tax": line.terms.tax,
            "item_code": line.terms.item_code,
            "account_code": line.terms.account_code,
            "tax_type": line.terms.tax_type,
        }


def batch_body(elements: Sequence[bytes]) -> bytes:
    """Return the exact bytes of one ``PUT /Invoices``."""
    return b'{"Invoices":[' + b",".join(elements) + b"]}"


class _Batch:
    """The invoices of one call while they are collected."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.elements: list[bytes] = []
        self.bytes = 0
        self.lines = 0

    def is_full_with(self, draft: Draft, element: bytes, batch_size: int) -> bool:
        """Tell whether the draft belongs into the next batch."""
        return bool(self.drafts) and (
            len(self.drafts) >= batch_size
            or self.bytes + len(element) > MAX_BATCH_BYTES
            or self.lines + len(draft.lines) > MAX_BATCH_LINES
        )

    def add(self, draft: Draft, element: bytes) -> None:
        """Take one more invoice."""
        self.drafts.append(draft)
        self.elements.append(element)
        self.bytes += len(element) + 1
        self.lines += len(draft.lines)
