"""What people do in Xero's own pages: add, edit, archive, merge, void, pay; without the API's rules."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.xero import contacts, foreign, items, reference
from msp_xero_sandbox.xero.dates import read_date
from msp_xero_sandbox.xero.invoice_views import invoice_view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from msp_xero_sandbox.xero.rows import Invoice, Row
    from msp_xero_sandbox.xero.state import State

_EDITABLE = {"Reference": "reference", "InvoiceNumber": "number", "Status": "status", "Url": "url"}
_EDITABLE_DATES = {"Date": "day", "DueDate": "due_date"}


class People:
    """Carries out the changes of ``POST /_sandbox/rows``."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._actions: dict[tuple[str, str], Callable[[str, Row, datetime], Row]] = {
            ("contact", "add"): self._add_contact,
            ("contact", "edit"): self._edit_contact,
            ("contact", "archive"): self._archive_contact,
            ("contact", "merge"): self._merge_contact,
            ("item", "add"): self._add_item,
            ("item", "edit"): self._edit_item,
            ("item", "delete"): self._delete_item,
            ("invoice", "add"): self._add_invoice,
            ("invoice", "edit"): self._edit_invoice,
            ("invoice", "void"): self._void_invoice,
            ("invoice", "delete"): self._delete_invoice,
            ("invoice", "pay"): self._pay_invoice,
            ("organisation", "edit"): self._edit_organisation,
            ("account", "edit"): self._edit_account,
            ("account", "archive"): self._archive_account,
            ("tax_rate", "edit"): self._edit_tax_rate,
            ("tax_rate", "delete"): self._delete_tax_rate,
        }

    def change(self, change: Mapping[str, Any], now: datetime) -> Row:
        """Carry out one change and return the row as the API shows it.

        Raises:
            ValueError: There is no such change or no such row.
        """
        kind, action = str(change.get("kind")), str(change.get("action"))
        act = self._actions.get((kind, action))
        if act is None:
            known = ", ".join(f"{each} {verb}" for each, verb in self._actions)
            raise ValueError(f"nobody can {action} a {kind} in Xero here; possible: {known}")
        return act(str(change.get("id", "")), dict(change.get("values") or {}), now)

    # Contacts; a contact that was used can never be deleted, only archived

    def _contact(self, key: str) -> Row:
        row = self._state.rows.contact(key) or next(iter(self._state.rows.contacts_named(key)), None)
        if row is None:
            raise ValueError(f"there is no contact {key!r}")
        return row

    def _put_contact(self, row: Row, now: datetime) -> Row:
        changed = contacts.complete({**row, "UpdatedDateUTC": now})
        self._state.rows.put_contact(changed)
        return contacts.contact_view(changed)

    def _add_contact(self, _key: str, values: Row, now: datetime) -> Row:
        return self._put_contact({"ContactID": self._state.rows.ids.new(), **values}, now)

    def _edit_contact(self, key: str, values: Row, now: datetime) -> Row:
        return self._put_contact({**self._contact(key), **values}, now)

    def _archive_contact(self, key: str, _values: Row, now: datetime) -> Row:
        return self._put_contact({**self._contact(key), "ContactStatus": "ARCHIVED"}, now)

    def _merge_contact(self, key: str, values: Row, now: datetime) -> Row:
        loser, winner = self._contact(key), self._contact(str(values.get("into", "")))
        if loser["ContactID"] == winner["ContactID"]:
            raise ValueError("a contact cannot be merged into itself")
        for invoice in self._state.rows.invoices.values():
            if invoice.contact_id == loser["ContactID"]:
                invoice.contact_id, invoice.updated = winner["ContactID"], now
                winner["IsCustomer"] = True
        merged = {"ContactStatus": "ARCHIVED", "MergedToContactID": winner["ContactID"]}
        return self._put_contact({**loser, **merged}, now)

    # Items

    def _item(self, key: str) -> Row:
        row = self._state.rows.item(key)
        if row is None:
            raise ValueError(f"there is no item {key!r}")
        return row

    def _put_item(self, row: Row, now: datetime) -> Row:
        changed = items.complete({**row, "UpdatedDateUTC": now})
        self._state.rows.put_item(changed)
        return items.item_view(changed, 4)

    def _add_item(self, _key: str, values: Row, now: datetime) -> Row:
        if not values.get("Code"):
            raise ValueError("an item needs a Code")
        return self._put_item({"ItemID": self._state.rows.ids.new(), **values}, now)

    def _edit_item(self, key: str, values: Row, now: datetime) -> Row:
        return self._put_item({**self._item(key), **values}, now)

    def _delete_item(self, key: str, _values: Row, _now: datetime) -> Row:
        row = self._item(key)
        self._state.rows.delete_item(row)
        return items.item_view(row, 4)

    # Invoices

    def _invoice(self, key: str) -> Invoice:
        invoice = self._state.rows.invoice(key)
        if invoice is None:
            raise ValueError(f"there is no invoice {key!r}")
        return invoice

    def _shown(self, invoice: Invoice) -> Row:
        return invoice_view(invoice, self._state.rows, 4)

    def _add_invoice(self, _key: str, values: Row, now: datetime) -> Row:
        invoice = foreign.foreign_invoice(self._state, values, now)
        self._state.rows.put_invoice(invoice)
        return self._shown(invoice)

    def _edit_invoice(self, key: str, values: Row, now: datetime) -> Row:
        invoice = self._invoice(key)
        fields: Row = {_EDITABLE[name]: values[name] for name in _EDITABLE.keys() & values.keys()}
        fields |= {
            _EDITABLE_DATES[name]: read_date(values[name]) for name in _EDITABLE_DATES.keys() & values.keys()
        }
        if contact := values.get("Contact"):
            fields["contact_id"] = self._contact(str(contact["ContactID"]))["ContactID"]
        known = {*_EDITABLE, *_EDITABLE_DATES, "Contact", "LineItems"}
        if unknown := values.keys() - known:
            raise ValueError(f"an invoice has no {', '.join(sorted(unknown))} to edit here")
        changed = replace(invoice, updated=now, **fields)
        if "LineItems" in values:
            foreign.reprice(self._state, changed, values["LineItems"])
        return self._put_invoice(changed, "Updated", now)

    def _put_invoice(self, invoice: Invoice, what: str, now: datetime) -> Row:
        invoice.history.append({"Changes": what, "Details": "", "DateUTC": now, "User": "Billing Person"})
        self._state.rows.put_invoice(invoice)
        return self._shown(invoice)

    def _void_invoice(self, key: str, _values: Row, now: datetime) -> Row:
        return self._put_invoice(replace(self._invoice(key), status="VOIDED", updated=now), "Voided", now)

    def _delete_invoice(self, key: str, _values: Row, now: datetime) -> Row:
        return self._put_invoice(replace(self._invoice(key), status="DELETED", updated=now), "Deleted", now)

    def _pay_invoice(self, key: str, values: Row, now: datetime) -> Row:
        invoice = replace(self._invoice(key), updated=now)
        foreign.pay(self._state, invoice, Decimal(values.get("Amount", invoice.amount_due)), now)
        return self._put_invoice(invoice, "Paid", now)

    # What is set up once

    def _edit_organisation(self, _key: str, values: Row, _now: datetime) -> Row:
        for name in ("PeriodLockDate", "EndOfYearLockDate"):
            if values.get(name):
                values[name] = read_date(values[name])
        self._state.rows.organisation.update(values)
        return reference.shown(self._state.rows.organisation)

    def _account(self, key: str) -> Row:
        row = self._state.rows.account(key) or self._state.rows.account_by_id(key)
        if row is None:
            raise ValueError(f"there is no account {key!r}")
        return row

    def _edit_account(self, key: str, values: Row, now: datetime) -> Row:
        row = self._account(key)
        if {"Code", "AccountID"} & values.keys():
            raise ValueError("the code of an account cannot be changed here")
        row.update(values, UpdatedDateUTC=now)
        return reference.shown(row)

    def _archive_account(self, key: str, _values: Row, now: datetime) -> Row:
        return self._edit_account(key, {"Status": "ARCHIVED"}, now)

    def _edit_tax_rate(self, key: str, values: Row, _now: datetime) -> Row:
        row = self._state.rows.tax_rates.get(key)
        if row is None:
            raise ValueError(f"there is no tax rate {key!r}")
        row.update(values)
        return reference.shown(row)

    def _delete_tax_rate(self, key: str, _values: Row, now: datetime) -> Row:
        return self._edit_tax_rate(key, {"Status": "DELETED"}, now)
