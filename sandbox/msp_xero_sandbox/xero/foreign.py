"""Invoices that did not come through the API: those the story tells, and those a person adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.xero.arithmetic import NO_TAX, round2, totals
from msp_xero_sandbox.xero.codes import Codes, Usage
from msp_xero_sandbox.xero.dates import date_string, read_date, read_time, wire_date
from msp_xero_sandbox.xero.lines import LineReader
from msp_xero_sandbox.xero.rows import ACCREC, Invoice, Row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from msp_xero_sandbox.xero.state import State


def foreign_invoice(state: State, row: Mapping[str, Any], now: datetime) -> Invoice:
    """Return an invoice of a told row; codes that Xero would refuse today may well be on old invoices."""
    rows = state.rows
    contact = rows.contact(row["Contact"]["ContactID"])
    if contact is None:
        raise ValueError(f"there is no contact {row['Contact']['ContactID']}")
    day = read_date(row.get("Date") or now)
    updated = read_time(row.get("UpdatedDateUTC") or now)
    invoice = Invoice(
        invoice_id=row.get("InvoiceID") or rows.ids.new(),
        type=row.get("Type", ACCREC),
        number=row.get("InvoiceNumber") or rows.next_number(),
        contact_id=contact["ContactID"],
        day=day,
        due_date=read_date(row["DueDate"]) if row.get("DueDate") else day,
        status=row.get("Status", "AUTHORISED"),
        line_amount_types=row.get("LineAmountTypes", "Exclusive"),
        currency_code=row.get("CurrencyCode") or rows.organisation["BaseCurrency"],
        updated=updated,
        created=updated,
        reference=row.get("Reference") or "",
        url=row.get("Url"),
    )
    reprice(state, invoice, row.get("LineItems") or [])
    if invoice.status == "PAID":
        pay(state, invoice, invoice.totals.total, updated)
    invoice.history.append(
        {"Changes": "Created", "Details": "", "DateUTC": updated, "User": "Billing Person"}
    )
    return invoice


def reprice(state: State, invoice: Invoice, lines: list[Row]) -> None:
    """Give an invoice other lines and compute its totals."""
    reader = LineReader(
        state=state,
        codes=Codes(state),
        usage=Usage(needs_codes=False, is_taxed=invoice.line_amount_types != NO_TAX),
        line_amount_types=invoice.line_amount_types,
        places=4,
        errors={},
        warnings=[],
    )
    known = frozenset(line["LineItemID"] for line in lines if line.get("LineItemID"))
    invoice.lines = [reader.read(number, line, known) for number, line in enumerate(lines)]
    invoice.totals = totals(
        ((line["LineAmount"], line["TaxAmount"]) for line in invoice.lines), invoice.line_amount_types
    )


def pay(state: State, invoice: Invoice, amount: Decimal, now: datetime) -> None:
    """Apply money to an invoice; it is paid when nothing is due."""
    amount = round2(amount)
    # An invoice that the story tells as paid is told so before its payment exists.
    due = invoice.totals.total - invoice.amount_paid
    if invoice.status not in {"AUTHORISED", "PAID"} or not 0 <= amount <= due:
        raise ValueError(f"{amount} cannot be applied to an invoice that is {invoice.status} with {due} due")
    day = now.date()
    payment = {
        "PaymentID": state.rows.ids.new(),
        "Date": wire_date(day),
        "DateString": date_string(day),
        "Amount": amount,
        "CurrencyRate": invoice.currency_rate,
        "HasAccount": False,
        "HasValidationErrors": False,
    }
    invoice.payments = [*invoice.payments, payment]
    if not invoice.amount_due:
        invoice.status = "PAID"
