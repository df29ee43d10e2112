"""The rules that an invoice must pass, each as a function from values to a message or none.

Source: xero-api §4.2, §4.4, §4.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero_sandbox.xero.contacts import IDENTIFY_TEXT
from msp_xero_sandbox.xero.dates import read_date, spoken_date
from msp_xero_sandbox.xero.rows import ACCREC

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from msp_xero_sandbox.xero.rows import Invoice, Row, Rows

NOT_MODIFIABLE = "Invoice not of valid status for modification"
NUMBER_TAKEN = "Invoice # must be unique."
HAS_PAYMENTS = "This document cannot be edited as it has a payment or credit note allocated to it."
VOID_WITH_PAYMENTS = (
    "The status VOIDED cannot be applied to the invoice "
    "because it has payments or credit notes allocated to it."
)
STATUSES = ("DRAFT", "SUBMITTED", "AUTHORISED", "PAID", "VOIDED", "DELETED")
APPROVED = frozenset({"SUBMITTED", "AUTHORISED"})
GONE = frozenset({"VOIDED", "DELETED"})
_STEPS = {
    "DRAFT": {"DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"},
    "SUBMITTED": {"SUBMITTED", "AUTHORISED", "DRAFT", "DELETED"},
    "AUTHORISED": {"AUTHORISED", "VOIDED"},
    "PAID": {"PAID"},
    "VOIDED": set[str](),
    "DELETED": set[str](),
}
# What may still change once money was applied (xero-api §4.4).
_EDITABLE_WHEN_PAID = frozenset(
    {
        "InvoiceID",
        "Type",
        "Reference",
        "DueDate",
        "DueDateString",
        "InvoiceNumber",
        "BrandingThemeID",
        "Contact",
        "Url",
        "LineItems",
        "SentToContact",
    }
)


def first_status(status: str) -> str | None:
    """Say why an invoice cannot be created with a status."""
    return None if status in {"DRAFT", *APPROVED} else NOT_MODIFIABLE


def step(invoice: Invoice, status: str) -> str | None:
    """Say why an invoice cannot take a status."""
    if status == "VOIDED" and invoice.payments:
        return VOID_WITH_PAYMENTS
    return None if status in _STEPS[invoice.status] else NOT_MODIFIABLE


def edit_when_paid(invoice: Invoice, members: Iterable[str]) -> str | None:
    """Say why members of a (part-)paid invoice cannot change."""
    return HAS_PAYMENTS if invoice.payments and not set(members) <= _EDITABLE_WHEN_PAID else None


def lock(organisation: Row, day: date) -> str | None:
    """Say which lock keeps a document from a date; the lock's own date is locked too (xero-api §7)."""
    for name, words in (
        ("PeriodLockDate", "period lock date"),
        ("EndOfYearLockDate", "end of year lock date"),
    ):
        if (value := organisation.get(name)) and day <= (locked := read_date(value)):
            return f"The document date cannot be before the {words}, currently set at {spoken_date(locked)}"
    return None


def number(text: str) -> str | None:
    """Say what is wrong with an invoice number."""
    if len(text) > 255:
        return "The InvoiceNumber field must not be longer than 255 characters."
    return (
        None
        if text.isascii() and text.isprintable()
        else "The InvoiceNumber must be printable ASCII characters."
    )


def reference(text: str) -> str | None:
    """Say what is wrong with a reference."""
    return "The Reference field must not be longer than 255 characters." if len(text) > 255 else None


def url(text: str) -> str | None:
    """Say what is wrong with the address of the source document."""
    if not text.lower().startswith(("http://", "https://")):
        return "Url must be a valid absolute URL."
    return "Url must not contain 'xero'." if "xero" in text.lower() else None


def contact(given: object, rows: Rows) -> tuple[Row | None, str | None]:
    """Find the contact that a document names.

    Returns:
        The contact, if there is one, and what is wrong. Neither means: it will be created by its name.
    """
    if given is None:
        return None, "A Contact must be specified for this type of transaction"
    if not isinstance(given, dict):
        return None, IDENTIFY_TEXT
    if contact_id := given.get("ContactID"):
        found = rows.contacts.get(str(contact_id).lower())
        return found, None if found is not None else IDENTIFY_TEXT
    if contact_number := given.get("ContactNumber"):
        found = rows.contact_by_number(str(contact_number))
        if found is not None:
            return found, None
    name = given.get("Name")
    if not name:
        return None, IDENTIFY_TEXT
    named = rows.contacts_named(str(name))
    return (named[0] if named else None), None


def approvals(rows: Rows, day: date) -> int:
    """Count the approved sales invoices in the month of a date, as entry plans do (xero-api §4.6)."""
    return sum(
        1
        for invoice in rows.invoices.values()
        if invoice.type == ACCREC
        and invoice.status in {"AUTHORISED", "PAID"}
        and (invoice.day.year, invoice.day.month) == (day.year, day.month)
    )
