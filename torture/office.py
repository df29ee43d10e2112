"""The small MSP that every simulated month begins with: four customers, three kinds of work, no history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

Row = dict[str, Any]

START: Final = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
_SET_UP: Final = START - timedelta(days=90)
_SET_UP_MS: Final = round(_SET_UP.timestamp() * 1000)

ACCOUNTS: Final = ("301", "302", "303", "304")
"""SDP accounts; the last one has no contact in Xero."""
TYPES: Final = ("1", "2", "3", "4")
"""SDP worklog types; the last one has no item in Xero."""
TECHNICIANS: Final = ("7", "8")
NAMES: Final = ("Ōtaki Dental", "Harbour Freight Ltd", "Smith & Sons", "Kea Kindergarten")
ORGANISATIONS: Final = ("Kōwhai Managed IT", "Rata Holdings")
"""Xero organisations that may be billed, one after the other; their rows have the same names, other ids."""
MODULES: Final = ("requests", "projects", "tasks")
"""Modules that are read; problems and changes are walked as requests are."""

KINDS: Final = (
    ("Remote support", "REM-1", "128.1950"),
    ("On-site support", "ONS-1", "145.0000"),
    ("Travel", "TRV-1", "65.3333"),
)


def contacts_of(organisation: int) -> tuple[str, ...]:
    """Return Xero contacts: those of the first three accounts, and two that no account is linked to."""
    return tuple(f"c{organisation}000000-0000-4000-a000-00000000000{n}" for n in range(1, 6))


def xero_rows(organisation: int = 0) -> dict[str, list[Row]]:
    """Return the rows of a Xero organisation, with two invoices that a person wrote."""
    contacts = contacts_of(organisation)
    items = tuple(f"1{organisation}000000-0000-4000-a000-00000000000{n}" for n in range(1, 4))
    return {
        "organisation": [
            {
                "OrganisationID": f"0a000000-0000-4000-a000-00000000000{1 + organisation}",
                "Name": ORGANISATIONS[organisation],
                "BaseCurrency": "NZD",
                "CountryCode": "NZ",
                "Timezone": "NEWZEALANDSTANDARDTIME",
                "ShortCode": f"!kWh4{organisation}",
                "OrganisationStatus": "ACTIVE",
            }
        ],
        "accounts": [
            _account("200", "Sales", "REVENUE", "OUTPUT2"),
            _account("260", "Travel", "REVENUE", "OUTPUT2"),
        ],
        "tax_rates": [_tax_rate("OUTPUT2", "15.0"), _tax_rate("ZERORATEDOUTPUT", "0.0")],
        "items": [
            {
                "ItemID": item_id,
                "Code": code,
                "Name": name,
                "Description": name,
                "UpdatedDateUTC": _SET_UP,
                "PurchaseDetails": {},
                "SalesDetails": {"UnitPrice": Decimal(price), "AccountCode": "200", "TaxType": "OUTPUT2"},
                "IsTrackedAsInventory": False,
                "IsSold": True,
                "IsPurchased": False,
            }
            for item_id, (name, code, price) in zip(items, KINDS, strict=True)
        ],
        "contacts": [
            {
                "ContactID": contact_id,
                "ContactStatus": "ACTIVE",
                "Name": name,
                "UpdatedDateUTC": _SET_UP,
                "IsCustomer": True,
                "IsSupplier": False,
            }
            for contact_id, name in zip(contacts, (*NAMES[:3], "Old Mill Café", "Tūī Travel"), strict=True)
        ],
        "currencies": [{"Code": "NZD", "Description": "New Zealand Dollar"}],
        "invoices": [
            {
                "InvoiceNumber": f"INV-000{number}",
                "Reference": f"PO {number}",
                "Contact": {"ContactID": contacts[number]},
                "Date": _SET_UP.date(),
                "Status": "AUTHORISED",
                "LineItems": [
                    {"Description": "Laptop", "Quantity": Decimal(1), "UnitAmount": Decimal("1899.50")}
                ],
                "UpdatedDateUTC": _SET_UP,
            }
            for number in (1, 2)
        ],
    }


def sdp_rows() -> dict[str, list[Row]]:
    """Return the rows of ServiceDesk Plus MSP: customers, technicians, one open ticket each, no worklog."""
    return {
        "accounts": [
            {
                "id": key,
                "name": name,
                "inactive": False,
                "is_msp": False,
                "udf_fields": {},
                "default_site_id": f"6{key}",
            }
            for key, name in zip(ACCOUNTS, NAMES, strict=True)
        ],
        "sites": [{"id": f"6{key}", "name": "Common Site", "account_id": key} for key in ACCOUNTS],
        "technicians": [
            {"id": key, "name": name, "email_id": None, "cost_per_hour": Decimal("80.00")}
            for key, name in zip(TECHNICIANS, ("Howard", "Aroha"), strict=True)
        ],
        "worklog_types": [
            {"id": key, "name": name, "description": None, "inactive": False}
            for key, name in zip(TYPES, (*(kind[0] for kind in KINDS), "Goodwill"), strict=True)
        ],
        "requests": [_ticket(f"100{n}", key, "display_id") for n, key in enumerate(ACCOUNTS, 1)],
        "projects": [_ticket("51", ACCOUNTS[0], "code")],
        "tasks": [
            {
                "id": "2001",
                "parent_kind": "project",
                "parent_id": "51",
                "title": "Roll-out",
                "account_id": None,
                "site_id": None,
                "owner_id": TECHNICIANS[0],
                "status": "Open",
                "created_time": _SET_UP_MS,
                "last_updated_time": _SET_UP_MS,
                "scheduled_end_time": None,
            }
        ],
    }


def _ticket(key: str, account_id: str, number: str) -> Row:
    return {
        "id": key,
        number: key,
        "title": f"Ticket {key}",
        "description": None,
        "account_id": account_id,
        "site_id": f"6{account_id}",
        "requester_id": None,
        "technician_id": TECHNICIANS[0],
        "status": "Open",
        "priority": "Normal",
        "created_time": _SET_UP_MS,
        "last_updated_time": _SET_UP_MS,
        "due_by_time": None,
        "completed_time": None,
    }


def _account(code: str, name: str, kind: str, tax_type: str) -> Row:
    return {
        "AccountID": f"acc00000-0000-4000-a000-000000000{code}",
        "Code": code,
        "Name": name,
        "Status": "ACTIVE",
        "Type": kind,
        "Class": "REVENUE",
        "TaxType": tax_type,
        "UpdatedDateUTC": _SET_UP,
    }


def _tax_rate(tax_type: str, percent: str) -> Row:
    rate = Decimal(percent)
    return {
        "Name": tax_type,
        "TaxType": tax_type,
        "Status": "ACTIVE",
        "CanApplyToRevenue": True,
        "DisplayTaxRate": rate,
        "EffectiveRate": rate,
        "TaxComponents": [{"Name": "GST", "Rate": rate, "IsCompound": False, "IsNonRecoverable": False}],
    }
