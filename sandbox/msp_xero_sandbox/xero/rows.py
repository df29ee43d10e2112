"""The rows of the local Xero, indexed by everything they are looked up by.

Contacts, items and reference rows are kept as wire-shaped dictionaries with real times and
Decimals; an invoice is an object, because most of what it shows is computed.
"""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.xero.arithmetic import NO_TOTALS, ZERO, Totals
from msp_xero_sandbox.xero.dates import read_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

Row = dict[str, Any]
ZERO_ID = "00000000-0000-0000-0000-000000000000"
ACCREC, ACCPAY = "ACCREC", "ACCPAY"


@dataclass(slots=True, kw_only=True, eq=False)
class Invoice:
    """One sales invoice or bill. ``lines`` are wire-shaped, with unit prices to four places."""

    invoice_id: str
    type: str
    number: str
    contact_id: str
    day: date
    due_date: date | None
    status: str
    line_amount_types: str
    currency_code: str
    updated: datetime
    created: datetime
    reference: str = ""
    currency_rate: Decimal = Decimal("1.0")
    branding_theme_id: str | None = None
    url: str | None = None
    sent_to_contact: bool = False
    expected_payment_date: date | None = None
    lines: list[Row] = field(default_factory=list)
    totals: Totals = NO_TOTALS
    payments: list[Row] = field(default_factory=list)
    client_id: str = ""
    history: list[Row] = field(default_factory=list)

    @property
    def amount_paid(self) -> Decimal:
        """Return the money that was applied so far."""
        return sum((payment["Amount"] for payment in self.payments), ZERO)

    @property
    def amount_due(self) -> Decimal:
        """Return what is still owed; nothing on a document that no longer counts."""
        return ZERO if self.status in {"VOIDED", "DELETED"} else self.totals.total - self.amount_paid


@lru_cache(maxsize=1 << 17)
def fold(text: str) -> str:
    """Return the text as Xero's name look-ups compare it: without case and accents (xero-api §5)."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in plain if not unicodedata.combining(char))


class Ids:
    """Random-looking GUIDs, the same for the same seed and order of writes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable ids, not secrets

    def new(self) -> str:
        """Return the next GUID, shaped as version 4."""
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


class Rows:
    """Everything that one organisation holds."""

    def __init__(self, told: Mapping[str, Iterable[Mapping[str, Any]]], now: datetime, seed: int) -> None:
        self.ids = Ids(seed)
        self.organisation: Row = _copied(next(iter(told.get("organisation", ())), {}))
        self.organisation.setdefault("OrganisationID", self.ids.new())
        self.organisation.setdefault("Name", "Sandbox Organisation")
        self.organisation.setdefault("BaseCurrency", "NZD")
        self.accounts = self._by_id(told, "accounts", "AccountID", now)
        self.tax_rates: dict[str, Row] = {row["TaxType"]: _copied(row) for row in told.get("tax_rates", ())}
        self.branding_themes = self._by_id(told, "branding_themes", "BrandingThemeID", now)
        self.tracking_categories = self._by_id(told, "tracking_categories", "TrackingCategoryID", now)
        self.currencies: dict[str, Row] = {row["Code"]: _copied(row) for row in told.get("currencies", ())}
        base = self.organisation["BaseCurrency"]
        self.currencies.setdefault(base, {"Code": base, "Description": base})
        self.items = self._by_id(told, "items", "ItemID", now)
        self.contacts = self._by_id(told, "contacts", "ContactID", now)
        self.invoices: dict[str, Invoice] = {}
        # When a row was written through the API: lists may lag behind (xero-api §4.7).
        self.written: dict[str, datetime] = {}
        self._accounts_by_code = {row["Code"]: row for row in self.accounts.values() if row.get("Code")}
        self._items_by_code = {fold(row["Code"]): row for row in self.items.values()}
        self._contact_ids_by_name: dict[str, list[str]] = {}
        self._contacts_by_number: dict[str, Row] = {}
        for row in self.contacts.values():
            self._index_contact(row)
        self._invoices_by_number: dict[str, list[Invoice]] = {}
        self._next_number = 1

    def _by_id(self, told: Mapping[str, Any], kind: str, id_name: str, now: datetime) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for row in told.get(kind, ()):
            copied = _copied(row)
            copied.setdefault(id_name, self.ids.new())
            if kind in {"accounts", "items", "contacts"}:
                copied["UpdatedDateUTC"] = read_time(copied.get("UpdatedDateUTC") or now)
            found[copied[id_name]] = copied
        return found

    # Reference rows

    def account(self, code: str) -> Row | None:
        """Return the account with that code."""
        return self._accounts_by_code.get(code)

    def account_by_id(self, account_id: str) -> Row | None:
        """Return the account with that id."""
        return self.accounts.get(account_id.lower())

    # Items

    def item(self, id_or_code: str) -> Row | None:
        """Return an item by its id or its code."""
        return self.items.get(id_or_code.lower()) or self._items_by_code.get(fold(id_or_code))

    def item_by_code(self, code: str) -> Row | None:
        """Return an item by its code."""
        return self._items_by_code.get(fold(code))

    def put_item(self, row: Row) -> None:
        """Add an item, or put a changed one (possibly with another code) in its place."""
        old = self.items.get(row["ItemID"])
        if old is not None:
            del self._items_by_code[fold(old["Code"])]
        self.items[row["ItemID"]] = row
        self._items_by_code[fold(row["Code"])] = row

    def delete_item(self, row: Row) -> None:
        """Delete an item; it leaves no trace (xero-api §6)."""
        del self.items[row["ItemID"]]
        del self._items_by_code[fold(row["Code"])]

    # Contacts

    def contact(self, id_or_number: str) -> Row | None:
        """Return a contact by its id or its number."""
        return self.contacts.get(id_or_number.lower()) or self._contacts_by_number.get(id_or_number)

    def contact_by_number(self, number: str) -> Row | None:
        """Return the contact with that ContactNumber."""
        return self._contacts_by_number.get(number)

    def contacts_named(self, name: str) -> list[Row]:
        """Return the contacts of that name, active ones first."""
        rows = [
            self.contacts[contact_id] for contact_id in self._contact_ids_by_name.get(name.casefold(), ())
        ]
        return sorted(rows, key=lambda row: row["ContactStatus"] != "ACTIVE")

    def put_contact(self, row: Row) -> None:
        """Add a contact, or put a changed one in its place."""
        old = self.contacts.get(row["ContactID"])
        if old is not None:
            self._contact_ids_by_name[old["Name"].casefold()].remove(old["ContactID"])
            self._contacts_by_number.pop(old.get("ContactNumber") or "", None)
        self.contacts[row["ContactID"]] = row
        self._index_contact(row)

    def _index_contact(self, row: Row) -> None:
        row.setdefault("ContactStatus", "ACTIVE")
        self._contact_ids_by_name.setdefault(row["Name"].casefold(), []).append(row["ContactID"])
        if row.get("ContactNumber"):
            self._contacts_by_number[row["ContactNumber"]] = row

    # Invoices

    def invoice(self, id_or_number: str) -> Invoice | None:
        """Return an invoice by its id or its number."""
        found = self.invoices.get(id_or_number.lower())
        if found is None and (numbered := self.invoices_numbered(id_or_number)):
            found = numbered[-1]
        return found

    def invoices_numbered(self, number: str) -> list[Invoice]:
        """Return all sales invoices that carry the number, without regard to case."""
        return self._invoices_by_number.get(number.lower(), [])

    def number_holder(self, number: str, *, case_sensitive: bool) -> Invoice | None:
        """Return the sales invoice that holds the number; a deleted one frees it (xero-api §4.2)."""
        for invoice in self.invoices_numbered(number):
            if invoice.status != "DELETED" and (not case_sensitive or invoice.number == number):
                return invoice
        return None

    def put_invoice(self, invoice: Invoice) -> None:
        """Add an invoice, or put a changed one in its place."""
        old = self.invoices.get(invoice.invoice_id)
        if old is not None and old.type == ACCREC:
            self._invoices_by_number[old.number.lower()].remove(old)
        self.invoices[invoice.invoice_id] = invoice
        if invoice.type == ACCREC:
            self._invoices_by_number.setdefault(invoice.number.lower(), []).append(invoice)

    def next_number(self) -> str:
        """Return the next automatic invoice number that is free."""
        while True:
            number = f"INV-{self._next_number:04d}"
            self._next_number += 1
            if not self.invoices_numbered(number):
                return number


def _copied(value: Any) -> Any:
    """Copy a told row, so that a reset finds it untouched."""
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
