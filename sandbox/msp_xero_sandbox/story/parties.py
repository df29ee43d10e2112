"""Customers on both sides: Xero contacts, and ServiceDesk Plus accounts with sites and requesters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.story import names
from msp_xero_sandbox.story.books import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from random import Random

    from msp_xero_sandbox.story.desk import Desk

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Company:
    """A customer as each side knows it; an empty name means that side does not."""

    contact_name: str
    account_name: str
    city: str
    domain: str
    status: str = "ACTIVE"
    is_customer: bool = True
    is_supplier: bool = False
    label: str = ""


_ARCHIVED = Company(
    "Harbour Print", "Harbour Print", "Auckland", "harbourprint.example", "ARCHIVED", label="contact_archived"
)
_MERGED = Company(
    "Tahi Plumbing", "Tahi Plumbing", "Hamilton", "tahi.example", "ARCHIVED", label="contact_merged"
)
_WINNER = Company("Tahi Plumbing & Gas Limited", "", "Hamilton", "tahi.example", label="contact_merged_into")
_BRAND_NEW = (
    Company(
        "Hīnau Web Studio",
        "Hīnau Web Studio",
        "Wellington",
        "hinau.example",
        is_customer=False,
        label="contact_new",
    ),
    Company(
        "Pāua Jewellery", "", "Kaikōura", "paua.example", is_customer=False, label="contact_new_unmatched"
    ),
)


def companies(*, small: bool) -> list[Company]:
    """Return the customers of the told story: most match by name, some nearly, some not at all."""
    exact, near, missing = (4, 3, 1) if small else (26, 6, 3)
    contact_only, suppliers = (1, 1) if small else (4, 4)
    return [
        *(Company(name, name, city, domain) for name, city, domain in names.EXACT[:exact]),
        *(Company(*row, label=f"account_name_nearly_{n}") for n, row in enumerate(names.NEAR[:near], 1)),
        *(
            Company("", name, city, domain, label="account_without_contact")
            for name, city, domain in names.ACCOUNT_ONLY[:missing]
        ),
        *(
            Company(name, "", city, domain, label="contact_without_account")
            for name, city, domain in names.CONTACT_ONLY[:contact_only]
        ),
        *(
            Company(name, "", city, domain, is_customer=False, is_supplier=True)
            for name, city, domain in names.SUPPLIERS[:suppliers]
        ),
        _ARCHIVED,
        _WINNER,
        _MERGED,
        *_BRAND_NEW,
    ]


def many_companies(count: int) -> list[Company]:
    """Return ``count`` customers that match by exact name."""
    return [
        Company(name, name, "Auckland", f"c{n}.example")
        for n, name in zip(range(count), _company_names(), strict=False)
    ]


def _company_names() -> Iterator[str]:
    for second in names.COMPANY_SECOND:
        for first in names.COMPANY_FIRST:
            yield f"{first} {second} Limited"


def write_contacts(rng: Random, now: datetime, customers: list[Company]) -> list[Row]:
    """Return the Xero contacts of the companies that have one."""
    rows = [_contact(rng, now, company, n) for n, company in enumerate(customers) if company.contact_name]
    by_name = {row["Name"]: row for row in rows}
    if _WINNER.contact_name in by_name:
        by_name[_MERGED.contact_name]["MergedToContactID"] = by_name[_WINNER.contact_name]["ContactID"]
    return rows


def _contact(rng: Random, now: datetime, company: Company, number: int) -> Row:
    sparse = number % 7 == 3
    phones = [
        {
            "PhoneType": "DEFAULT",
            "PhoneNumber": f"{rng.randrange(2000000, 9999999)}",
            "PhoneAreaCode": "04",
            "PhoneCountryCode": "64",
        },
        {"PhoneType": "DDI"},
        {"PhoneType": "FAX"}
        if number % 3
        else {"PhoneType": "FAX", "PhoneNumber": "5550199", "PhoneAreaCode": "09"},
        {"PhoneType": "MOBILE"},
    ]
    street = {"AddressType": "STREET"}
    postal = {
        "AddressType": "POBOX",
        "AddressLine1": f"PO Box {rng.randrange(100, 9999)}",
        "City": company.city,
        "Region": "",
        "PostalCode": f"{rng.randrange(600, 9900):04d}",
        "Country": "New Zealand",
        "AttentionTo": "Accounts Payable",
    }
    if not sparse:
        street |= {
            "AddressLine1": f"{rng.randrange(1, 250)} {rng.choice(names.STREETS)}",
            "City": company.city,
            "PostalCode": postal["PostalCode"],
            "Country": "New Zealand",
        }
    # The slots are fixed but their order is not (xero-api §5).
    addresses = [street, postal] if number % 2 else [postal, street]
    rng.shuffle(phones)
    first = rng.choice(names.FIRST_NAMES)
    row: Row = {
        "ContactID": uuid4(rng),
        "ContactStatus": company.status,
        "Name": company.contact_name,
        "FirstName": first,
        "LastName": rng.choice(names.LAST_NAMES),
        "EmailAddress": "" if sparse else f"accounts@{company.domain}",
        "BankAccountDetails": "",
        "Addresses": addresses,
        "Phones": phones,
        "UpdatedDateUTC": now - timedelta(days=rng.randrange(2, 300), seconds=rng.randrange(86400)),
        "ContactGroups": [],
        "IsSupplier": company.is_supplier,
        "IsCustomer": company.is_customer,
        "ContactPersons": [],
        "HasAttachments": False,
        "HasValidationErrors": False,
    }
    if number % 4 == 0:
        row |= {"TaxNumber": f"{rng.randrange(10, 130)}-{rng.randrange(100, 999)}-{rng.randrange(100, 999)}"}
    if number % 5 == 0:
        row |= {"AccountNumber": f"C{number:04d}", "Website": f"https://www.{company.domain}"}
    return row


def write_accounts(desk: Desk, customers: list[Company]) -> list[Row]:
    """Add the ServiceDesk Plus accounts of the companies that have one, with sites and requesters."""
    accounts = []
    for number, company in enumerate(customers):
        if not company.account_name:
            continue
        accounts.append(_account(desk, company, number))
    return accounts


def add_own_account(desk: Desk) -> Row:
    """Add the provider's own account: a customer with ``is_msp`` in the cloud edition (sdp-msp-api §5.2)."""
    own = Company("", names.MSP_NAME, "Wellington", "kowhai.example")
    row = _account(desk, own, 0)
    row["is_msp"] = True
    return desk.label("own_account", "accounts", row)


def _account(desk: Desk, company: Company, number: int) -> Row:
    rng = desk.rng
    filled = number % 3 == 0
    row = desk.add(
        "accounts",
        name=company.account_name,
        description=None,
        emailid=f"office@{company.domain}" if filled else None,
        landline=f"+64 4 {rng.randrange(2000000, 9999999)}" if filled else None,
        fax=None,
        weburl=f"https://www.{company.domain}" if filled else None,
        doornumber=str(rng.randrange(1, 200)) if filled else None,
        street=rng.choice(names.STREETS) if filled else None,
        landmark=None,
        city=company.city if filled else None,
        state=None,
        postalcode=None,
        country="New Zealand" if filled else None,
        industry=names.INDUSTRIES[number % len(names.INDUSTRIES)],
        account_manager_id=desk.rows["technicians"][number % len(desk.rows["technicians"])]["id"],
        inactive=False,
        login_url=f"{company.domain.split('.')[0]}.desk.kowhai.example",
        is_msp=False,
        udf_fields={},
    )
    site = desk.add("sites", name=f"{company.city} office", account_id=row["id"])
    if number % 4 == 0:
        desk.add("sites", name="Warehouse", account_id=row["id"])
    row["default_site_id"] = site["id"]
    row["people"] = [_requester(desk, company, row, site)["id"] for _ in range(1 + number % 3)]
    if company.label:
        desk.label(company.label, "accounts", row)
    return row


def _requester(desk: Desk, company: Company, account: Row, site: Row) -> Row:
    first, last = desk.rng.choice(names.FIRST_NAMES), desk.rng.choice(names.LAST_NAMES)
    return desk.add(
        "requesters",
        name=f"{first} {last}",
        email_id=f"{first}@{company.domain}".casefold().replace(" ", ""),
        account_id=account["id"],
        site_id=site["id"],
    )
