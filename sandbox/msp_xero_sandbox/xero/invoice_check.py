"""Checks one submitted invoice, member by member, filling the invoice it will become (xero-api §4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.xero import invoice_rules as rules
from msp_xero_sandbox.xero.answers import post_data_invalid
from msp_xero_sandbox.xero.arithmetic import LINE_AMOUNT_TYPES, NO_TAX, round2, totals
from msp_xero_sandbox.xero.codes import Codes, Usage
from msp_xero_sandbox.xero.contacts import apply, new_contact
from msp_xero_sandbox.xero.dates import read_date
from msp_xero_sandbox.xero.invoice_views import invoice_view
from msp_xero_sandbox.xero.lines import LineReader
from msp_xero_sandbox.xero.numbers import read_number
from msp_xero_sandbox.xero.rows import ACCREC

if TYPE_CHECKING:
    from datetime import date

    from msp_xero_sandbox.xero.batch import Draft
    from msp_xero_sandbox.xero.request import Request
    from msp_xero_sandbox.xero.rows import Invoice, Row
    from msp_xero_sandbox.xero.state import State

_FOREIGN_RATE = "0.900000"


@dataclass(slots=True)
class WriteCall:
    """One write call: what it stands on, and what its earlier elements take from the later ones."""

    state: State
    request: Request
    codes: Codes = field(init=False)
    claimed: set[str] = field(default_factory=set)
    approved: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.codes = Codes(self.state)

    def save(self, invoice: Invoice, change: str) -> Row:
        """Put an invoice on record and return what is shown of it."""
        rows = self.state.rows
        invoice.history.append(
            {"Changes": change, "Details": "", "DateUTC": self.request.now, "User": "System Generated"}
        )
        rows.put_invoice(invoice)
        return invoice_view(invoice, rows, self.request.places)


@dataclass(slots=True)
class Check:
    """Checks one element, member by member, while filling the invoice it will become."""

    call: WriteCall
    draft: Draft
    element: Row
    invoice: Invoice
    existing: Invoice | None

    def run(self) -> Draft:
        """Check everything, and leave a draft that can be saved or says why not."""
        self._contact()
        self._number()
        self._dates()
        self._texts()
        self._money()
        self._lines()
        self._approval()
        self._sent()
        if not self.draft.is_bad and self.invoice.type == ACCREC and self.invoice.number:
            self.call.claimed.add(self.invoice.number.lower())
        self.draft.commit = self._commit
        return self.draft

    def _say(self, message: str | None) -> None:
        if message:
            self.draft.errors.append(message)

    def _contact(self) -> None:
        given = self.element.get("Contact")
        if given is None and self.existing is not None:
            return
        state = self.call.state
        found, message = rules.contact(given, state.rows)
        self._say(message)
        if found is None:
            return
        self.invoice.contact_id = found["ContactID"]
        if found["ContactStatus"] != "ACTIVE" and (
            self.existing is None or self.existing.contact_id != found["ContactID"]
        ):
            at_contact = state.switches.archived_at == "contact"
            (self.draft.contact_errors if at_contact else self.draft.errors).append(
                state.switches.archived_text
            )

    def _number(self) -> None:
        text = self.element.get("InvoiceNumber")
        if not text:
            return
        self.invoice.number = text = str(text)
        self._say(rules.number(text))
        if self.invoice.type != ACCREC:
            return
        state = self.call.state
        case_sensitive = state.switches.number_case_sensitive
        holder = state.rows.number_holder(text, case_sensitive=case_sensitive)
        is_taken = holder is not None and (
            self.existing is None or holder.invoice_id != self.existing.invoice_id
        )
        if is_taken or (self.existing is None and text.lower() in self.call.claimed):
            self._say(rules.NUMBER_TAKEN)

    def _dates(self) -> None:
        invoice = self.invoice
        invoice.day = self._date("Date", "DateString") or invoice.day
        invoice.due_date = self._date("DueDate", "DueDateString") or invoice.due_date
        invoice.expected_payment_date = self._date("ExpectedPaymentDate") or invoice.expected_payment_date
        if invoice.due_date is None and invoice.status in rules.APPROVED:
            invoice.due_date = invoice.day
        if invoice.status in rules.APPROVED or self.call.state.switches.lock_dates_on_drafts:
            days = {invoice.day} if self.existing is None else {invoice.day, self.existing.day}
            self._say(rules.lock(self.call.state.rows.organisation, min(days)))

    def _date(self, *names: str) -> date | None:
        for name in names:
            value = self.element.get(name)
            if value:
                try:
                    return read_date(value)
                except ValueError:
                    raise post_data_invalid(
                        f"Error converting value \"{value}\" to type 'System.DateTime'. Path '{name}'."
                    ) from None
        return None

    def _texts(self) -> None:
        element, invoice = self.element, self.invoice
        if (reference := element.get("Reference")) is not None:
            invoice.reference = str(reference)
            self._say(rules.reference(invoice.reference))
        if address := element.get("Url"):
            invoice.url = str(address)
            self._say(rules.url(invoice.url))
        if theme := element.get("BrandingThemeID"):
            invoice.branding_theme_id = str(theme)
            if str(theme) not in self.call.state.rows.branding_themes:
                self._say(f"The BrandingThemeID {theme} does not exist.")

    def _money(self) -> None:
        element, invoice, rows = self.element, self.invoice, self.call.state.rows
        if types := element.get("LineAmountTypes"):
            if types not in LINE_AMOUNT_TYPES:
                raise post_data_invalid(
                    f"Error converting value \"{types}\" to type 'LineAmountTypes'. Path 'LineAmountTypes'."
                )
            invoice.line_amount_types = str(types)
        if code := element.get("CurrencyCode"):
            invoice.currency_code = str(code)
            if code not in rows.currencies:
                self._say(f"Organisation is not subscribed to currency {code}")
        if (rate := element.get("CurrencyRate")) is not None:
            invoice.currency_rate = read_number(rate, "CurrencyRate")
        elif self.existing is None and invoice.currency_code != rows.organisation["BaseCurrency"]:
            # Xero takes the day's rate; the sandbox's day never changes.
            invoice.currency_rate = read_number(_FOREIGN_RATE, "CurrencyRate")

    def _lines(self) -> None:
        submitted = self.element.get("LineItems")
        if submitted is None and self.existing is not None:
            if "LineAmountTypes" not in self.element and not self._becomes_approved():
                return
            submitted = [_resubmitted(line) for line in self.existing.lines]
        if not submitted:
            self._say("At least one line item must be specified.")
            return
        self._read_lines(submitted)
        if (
            self.existing is not None
            and self.existing.payments
            and self.invoice.totals != self.existing.totals
        ):
            self._say(rules.HAS_PAYMENTS)
        if self.invoice.totals.total < 0 and self.call.state.switches.negative_total == "error":
            self._say("The document total must not be less than zero.")
        self._supplied_totals()

    def _becomes_approved(self) -> bool:
        return (
            self.existing is not None
            and self.existing.status == "DRAFT"
            and self.invoice.status in rules.APPROVED
        )

    def _read_lines(self, submitted: list[Row]) -> None:
        invoice, draft, state = self.invoice, self.draft, self.call.state
        errors: dict[int, list[str]] = {}
        reader = LineReader(
            state=state,
            codes=self.call.codes,
            usage=Usage(
                needs_codes=invoice.status in rules.APPROVED, is_taxed=invoice.line_amount_types != NO_TAX
            ),
            line_amount_types=invoice.line_amount_types,
            # Lines that are only repeated from the record keep the places they have.
            places=self.call.request.places if "LineItems" in self.element else 4,
            errors=errors,
            warnings=draft.warnings,
        )
        known = (
            frozenset(line["LineItemID"] for line in self.existing.lines)
            if self.existing
            else frozenset[str]()
        )
        invoice.lines = [reader.read(number, line, known) for number, line in enumerate(submitted)]
        invoice.totals = totals(
            ((line["LineAmount"], line["TaxAmount"]) for line in invoice.lines), invoice.line_amount_types
        )
        if errors and state.switches.line_errors_at == "line" and "LineItems" in self.element:
            draft.line_errors |= errors
        else:
            # Hundreds of lines with one wrong code have one thing to say.
            draft.errors += dict.fromkeys(message for messages in errors.values() for message in messages)

    def _supplied_totals(self) -> None:
        if self.call.state.switches.supplied_total != "reject":
            return
        for name, computed in zip(("SubTotal", "TotalTax", "Total"), self.invoice.totals, strict=True):
            given = self.element.get(name)
            if given is not None and round2(read_number(given, name)) != computed:
                self._say("The invoice total does not equal the sum of the lines.")
                return

    def _approval(self) -> None:
        limit = self.call.state.switches.approve_limit
        was = self.existing.status if self.existing is not None else None
        if limit is None or self.invoice.status != "AUTHORISED" or was == "AUTHORISED":
            return
        # In a call that is all or nothing, earlier elements are not on record yet.
        month = f"{self.invoice.day:%Y-%m}"
        pending = self.call.approved[month] if self.call.request.summarize_errors else 0
        if rules.approvals(self.call.state.rows, self.invoice.day) + pending >= limit:
            self._say("You have reached the limit of invoices you can approve")
        else:
            self.call.approved[month] += 1

    def _sent(self) -> None:
        if "SentToContact" not in self.element:
            return
        if self.invoice.status == "AUTHORISED":
            self.invoice.sent_to_contact = bool(self.element["SentToContact"])
        elif self.element["SentToContact"]:
            self.draft.warnings.append("Only AUTHORISED invoices may have SentToContact updated.")

    def _commit(self) -> Row:
        invoice, rows, call = self.invoice, self.call.state.rows, self.call
        self._save_contact()
        if self.existing is None:
            invoice.invoice_id = rows.ids.new()
            if invoice.type == ACCREC:
                invoice.number = invoice.number or rows.next_number()
            rows.written[invoice.invoice_id] = call.request.now
        if invoice.type == ACCREC and (invoice.status != "DRAFT" or call.state.switches.customer_on_draft):
            # Becoming a customer does not touch the contact's change time (xero-api §4.8).
            rows.contacts[invoice.contact_id]["IsCustomer"] = True
        if self.existing is None:
            return call.save(invoice, "Created" if invoice.status == "DRAFT" else "Approved")
        return call.save(invoice, "Approved" if self._becomes_approved() else "Updated")

    def _save_contact(self) -> None:
        given: dict[str, Any] = self.element.get("Contact") or {}
        rows, now = self.call.state.rows, self.call.request.now
        if not self.invoice.contact_id:
            # An earlier element of the call may have created the contact by now.
            named = rows.contacts_named(given["Name"])
            self.invoice.contact_id = (named[0] if named else new_contact(rows, given, now))["ContactID"]
        elif given.keys() - {"ContactID"} and given.get("ContactID"):
            # Whatever is sent beside the id changes the contact, and its people are replaced (xero-api §4.2).
            row = apply(rows.contacts[self.invoice.contact_id], {"ContactPersons": [], **given})
            rows.put_contact({**row, "UpdatedDateUTC": now})


def _resubmitted(line: Row) -> Row:
    """Return a stored line as a client would send it to have it computed again."""
    kept = {name: value for name, value in line.items() if name not in {"TaxAmount", "LineAmount", "Item"}}
    if "UnitAmount" not in kept:
        return {"LineItemID": line["LineItemID"], "Description": line["Description"]}
    return kept
