"""Invoices as the API shows them (xero-api §4.5, §4.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.xero.arithmetic import ZERO, unit_price
from msp_xero_sandbox.xero.contacts import contact_view
from msp_xero_sandbox.xero.dates import date_string, utc_string, wire_date, wire_time

if TYPE_CHECKING:
    from msp_xero_sandbox.xero.rows import Invoice, Row, Rows


def invoice_view(invoice: Invoice, rows: Rows, places: int, *, whole_contact: bool = True) -> Row:
    """Return an invoice with its lines."""
    view = invoice_head(invoice)
    contact = rows.contacts[invoice.contact_id]
    view["Contact"] = contact_view(contact) if whole_contact else _contact_summary(contact)
    view["LineItems"] = [line_view(line, places) for line in invoice.lines]
    view["HasAttachments"] = False
    view["Payments"] = [dict(payment) for payment in invoice.payments]
    return view


def invoice_summary(invoice: Invoice, rows: Rows, *, with_empty_lines: bool) -> Row:
    """Return an invoice without lines: as unpaged lists show it, or as ``summaryOnly`` does."""
    view = invoice_head(invoice)
    view["Contact"] = _contact_summary(rows.contacts[invoice.contact_id])
    if with_empty_lines:
        view["LineItems"] = []
        view["HasAttachments"] = False
    return view


def line_view(line: Row, places: int) -> Row:
    """Return a line with its unit price to the places asked for; four are stored."""
    price = line.get("UnitAmount")
    if places == 4 or price is None:
        return line
    return {**line, "UnitAmount": unit_price(price, places)}


def _contact_summary(contact: Row) -> Row:
    return {
        "ContactID": contact["ContactID"],
        "Name": contact["Name"],
        "Addresses": [],
        "Phones": [],
        "ContactGroups": [],
        "ContactPersons": [],
        "HasValidationErrors": False,
    }


def invoice_head(invoice: Invoice) -> Row:
    """Return everything of an invoice but its contact, lines and payments."""
    view: dict[str, Any] = {
        "Type": invoice.type,
        "InvoiceID": invoice.invoice_id,
        "InvoiceNumber": invoice.number,
        "Reference": invoice.reference,
        "Prepayments": [],
        "Overpayments": [],
        "CreditNotes": [],
        "AmountDue": invoice.amount_due,
        "AmountPaid": invoice.amount_paid,
        "AmountCredited": ZERO,
        "SentToContact": invoice.sent_to_contact,
        "CurrencyRate": invoice.currency_rate,
        "IsDiscounted": any("DiscountRate" in line or "DiscountAmount" in line for line in invoice.lines),
        "HasErrors": False,
        "InvoicePaymentServices": [],
        "UpdatedDateUTCString": utc_string(invoice.updated),
        "DateString": date_string(invoice.day),
        "Date": wire_date(invoice.day),
        "BrandingThemeID": invoice.branding_theme_id,
        "Status": invoice.status,
        "LineAmountTypes": invoice.line_amount_types,
        "SubTotal": invoice.totals.sub_total,
        "TotalTax": invoice.totals.total_tax,
        "Total": invoice.totals.total,
        "UpdatedDateUTC": wire_time(invoice.updated),
        "CurrencyCode": invoice.currency_code,
        "Url": invoice.url,
    }
    if invoice.due_date is not None:
        view["DueDateString"] = date_string(invoice.due_date)
        view["DueDate"] = wire_date(invoice.due_date)
    if invoice.expected_payment_date is not None:
        view["ExpectedPaymentDate"] = wire_date(invoice.expected_payment_date)
    return {name: value for name, value in view.items() if value is not None}
