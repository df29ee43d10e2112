"""Creating and changing invoices: what a submitted element names, and what it may become (xero-api §4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msp_xero_sandbox.xero import invoice_rules as rules
from msp_xero_sandbox.xero.answers import not_found, post_data_invalid
from msp_xero_sandbox.xero.batch import Draft
from msp_xero_sandbox.xero.contacts import SPELL as SPELL_CONTACT
from msp_xero_sandbox.xero.dates import local_today
from msp_xero_sandbox.xero.invoice_check import Check, WriteCall
from msp_xero_sandbox.xero.lines import SPELL as SPELL_LINE
from msp_xero_sandbox.xero.request import canonical_names
from msp_xero_sandbox.xero.rows import ACCPAY, ACCREC, Invoice, Row

_HEAD = canonical_names(
    "InvoiceID",
    "InvoiceNumber",
    "Type",
    "Contact",
    "LineItems",
    "Date",
    "DateString",
    "DueDate",
    "DueDateString",
    "LineAmountTypes",
    "Reference",
    "Status",
    "CurrencyCode",
    "CurrencyRate",
    "BrandingThemeID",
    "Url",
    "SentToContact",
    "SubTotal",
    "TotalTax",
    "Total",
    "ExpectedPaymentDate",
    "PlannedPaymentDate",
)


def spell(element: Row) -> Row:
    """Spell an invoice's keys as Xero does, and those of its contact and lines."""
    spelt: Row = _HEAD(element)
    contact, lines = spelt.get("Contact"), spelt.get("LineItems")
    if isinstance(contact, dict):
        spelt = {**spelt, "Contact": SPELL_CONTACT(contact)}
    if isinstance(lines, list):
        if not all(isinstance(line, dict) for line in lines):
            raise post_data_invalid("Error converting value to type 'LineItem'. Path 'LineItems'.")
        spelt = {**spelt, "LineItems": [SPELL_LINE(line) for line in lines]}
    return spelt


@dataclass(slots=True)
class InvoiceWriter:
    """Makes the drafts of one write call; they see the numbers that earlier ones claim."""

    call: WriteCall

    def make(self, element: Row) -> Draft:
        """Check one element: PUT creates, POST changes what it names and creates the rest."""
        existing = self._match(element) if self.call.request.call.method == "POST" else None
        draft = Draft(element=element)
        if existing is None:
            invoice = self._blank(element, draft)
        else:
            status = _status(element, existing.status)
            if message := rules.step(existing, status) or rules.edit_when_paid(
                existing, element.keys() - {"Status"}
            ):
                draft.errors.append(message)
                return draft
            invoice = replace(existing, status=status, updated=self.call.request.now)
            if status in rules.GONE:
                self._end(draft, existing, invoice)
                return draft
        return Check(self.call, draft, element, invoice, existing).run()

    def _match(self, element: Row) -> Invoice | None:
        rows = self.call.state.rows
        if invoice_id := element.get("InvoiceID"):
            found = rows.invoices.get(str(invoice_id).lower())
            if found is None:
                raise not_found()
            return found
        text = element.get("InvoiceNumber")
        if not text or element.get("Type", ACCREC) != ACCREC:
            return None
        return rows.number_holder(str(text), case_sensitive=self.call.state.switches.number_case_sensitive)

    def _blank(self, element: Row, draft: Draft) -> Invoice:
        kind = element.get("Type")
        if kind not in {ACCREC, ACCPAY}:
            if kind is not None:
                raise post_data_invalid(
                    f"Error converting value \"{kind}\" to type 'InvoiceType'. Path 'Type'."
                )
            draft.errors.append("Type is a mandatory field.")
        status = _status(element, "DRAFT")
        if message := rules.first_status(status):
            draft.errors.append(message)
        organisation, now = self.call.state.rows.organisation, self.call.request.now
        return Invoice(
            invoice_id="",
            type=kind or ACCREC,
            number="",
            contact_id="",
            day=local_today(now, organisation.get("Timezone", "UTC")),
            due_date=None,
            status=status,
            line_amount_types="Exclusive",
            currency_code=organisation["BaseCurrency"],
            updated=now,
            created=now,
            branding_theme_id=self._default_theme(),
            client_id=self.call.request.client_id,
        )

    def _default_theme(self) -> str | None:
        themes = self.call.state.rows.branding_themes.values()
        first = min(themes, key=lambda theme: theme.get("SortOrder", 0), default=None)
        return first["BrandingThemeID"] if first else None

    def _end(self, draft: Draft, existing: Invoice, invoice: Invoice) -> None:
        """Delete or void: nothing else of the element counts, only the lock dates do."""
        if message := rules.lock(self.call.state.rows.organisation, existing.day):
            draft.errors.append(message)

        def commit() -> Row:
            return self.call.save(invoice, "Deleted" if invoice.status == "DELETED" else "Voided")

        draft.commit = commit


def _status(element: Row, default: str) -> str:
    status = element.get("Status") or default
    if status not in rules.STATUSES:
        raise post_data_invalid(
            f"Error converting value \"{status}\" to type 'InvoiceStatus'. Path 'Status'."
        )
    return str(status)
