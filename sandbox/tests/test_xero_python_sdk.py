"""Xero's own SDK drives the sandbox: what it can read and write, any client can."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("xero_python", reason="xero-python is not installed")
from xero_python.accounting import (
    AccountingApi,
    Contact,
    Contacts,
    HistoryRecord,
    HistoryRecords,
    Invoice,
    Invoices,
    Item,
    Items,
    LineItem,
    RequestEmpty,
)
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration
from xero_python.api_client.oauth2 import OAuth2Token
from xero_python.exceptions import AccountingBadRequestException, HTTPStatusException

TENANT = ""


@pytest.fixture
def api(live):
    # The SDK's addresses of the token endpoint are fixed, so the token is fetched for it.
    granted = live.session.post(
        f"{live.url}/connect/token",
        auth=("sandbox-client", "sandbox-secret"),
        data={"grant_type": "client_credentials"},
        timeout=10,
    ).json()
    token = {**granted, "scope": granted["scope"].split(), "expires_at": 4_000_000_000}
    client = ApiClient(
        Configuration(oauth2_token=OAuth2Token(client_id="sandbox-client", client_secret="sandbox-secret")),
        oauth2_token_getter=lambda: token,
        oauth2_token_saver=lambda _token: None,
    )
    yield AccountingApi(client, base_url=f"{live.url}/api.xro/2.0")
    client.rest_client.pool_manager.clear()
    pool = getattr(client, "pool", None)
    if pool is not None:
        pool.close()
        pool.join()


def new_invoice(books: Any, number: str, **changes: Any) -> Invoice:
    values = {
        "type": "ACCREC",
        "contact": Contact(contact_id=books.ADA),
        "invoice_number": number,
        "date": date(2026, 11, 20),
        "line_items": [LineItem(description="Work", quantity=1.5, unit_amount=128.195, account_code="200")],
    }
    return Invoice(**{**values, **changes})


def create(api: AccountingApi, *invoices: Invoice, **options: Any) -> list[Invoice]:
    return api.create_invoices(TENANT, Invoices(invoices=list(invoices)), unitdp=4, **options).invoices


def test_reads_reference_data(api):
    organisation = api.get_organisations(TENANT).organisations[0]
    assert (organisation.name, organisation.base_currency.name) == ("Small Books", "NZD")
    assert {account.code for account in api.get_accounts(TENANT).accounts} >= {"200", "300"}
    assert api.get_tax_rates(TENANT).tax_rates[0].effective_rate == 15.0
    assert api.get_branding_themes(TENANT).branding_themes[0].name == "Standard"
    assert api.get_tracking_categories(TENANT).tracking_categories[0].options[0].name == "North"


def test_writes_contacts_and_items(api):
    contact = api.create_contacts(TENANT, Contacts(contacts=[Contact(name="New Limited")])).contacts[0]
    assert api.get_contact(TENANT, contact.contact_id).contacts[0].contact_status == "ACTIVE"
    assert {each.name for each in api.get_contacts(TENANT, page=1, include_archived=True).contacts} >= {
        "Old Limited"
    }
    item = api.create_items(TENANT, Items(items=[Item(code="NEW", name="New")])).items[0]
    assert api.get_item(TENANT, item.item_id).items[0].code == "NEW"
    api.delete_item(TENANT, item.item_id)
    assert "NEW" not in {each.code for each in api.get_items(TENANT).items}


def test_creates_reads_and_voids_an_invoice(api, books):
    (made,) = create(api, new_invoice(books, "SDP-1", status="AUTHORISED"), idempotency_key="k")
    assert Decimal(str(made.total)) == Decimal("221.13")
    assert made.date == date(2026, 11, 20)
    (again,) = create(api, new_invoice(books, "SDP-1", status="AUTHORISED"), idempotency_key="k")
    assert again.invoice_id == made.invoice_id
    read = api.get_invoice(TENANT, made.invoice_id, unitdp=4).invoices[0]
    assert Decimal(str(read.line_items[0].unit_amount)) == Decimal("128.195")
    voided = api.update_invoice(TENANT, made.invoice_id, Invoices(invoices=[Invoice(status="VOIDED")]))
    assert voided.invoices[0].status == "VOIDED"


def test_walks_three_pages(api, books):
    create(api, *(new_invoice(books, f"SDP-{n}") for n in range(5)))
    pages = [api.get_invoices(TENANT, page=page, page_size=2, order="InvoiceNumber") for page in (1, 2, 3, 4)]
    assert [[each.invoice_number for each in page.invoices] for page in pages] == [
        ["OLD-1", "SDP-0"],
        ["SDP-1", "SDP-2"],
        ["SDP-3", "SDP-4"],
        [],
    ]
    assert (pages[0].pagination.page_count, pages[0].pagination.item_count) == (3, 6)
    found = api.get_invoices(TENANT, invoice_numbers=["SDP-2", "SDP-4"], page=1).invoices
    assert sorted(each.invoice_number for each in found) == ["SDP-2", "SDP-4"]


def test_400_is_the_sdks_bad_request(api, books):
    with pytest.raises(AccountingBadRequestException) as refused:
        create(api, new_invoice(books, "OLD-1"))
    assert refused.value.error_data["ErrorNumber"] == 10
    assert refused.value.error_data["Elements"][0]["ValidationErrors"] == [
        {"Message": "Invoice # must be unique."}
    ]


def test_partial_success_is_read_element_by_element(api, books):
    good, bad = create(api, new_invoice(books, "SDP-1"), new_invoice(books, "OLD-1"), summarize_errors=False)
    assert (good.status_attribute_string, bad.status_attribute_string) == ("OK", "ERROR")
    assert bad.validation_errors[0].message == "Invoice # must be unique."


def test_429_is_an_error_of_its_own(api, live):
    # Without Retry-After: the SDK's urllib3 would sleep for as long as that header says, and then retry.
    live.control("POST", "faults", {"kind": "rate_concurrent"})
    with pytest.raises(HTTPStatusException) as refused:
        api.get_organisations(TENANT)
    assert refused.value.status == 429


def test_history_and_email(api, books):
    (made,) = create(api, new_invoice(books, "SDP-1", status="AUTHORISED"))
    notes = HistoryRecords(history_records=[HistoryRecord(details="billed")])
    assert api.create_invoice_history(TENANT, made.invoice_id, notes).history_records[0].details == "billed"
    api.email_invoice(TENANT, made.invoice_id, RequestEmpty())
    assert api.get_invoice(TENANT, made.invoice_id).invoices[0].sent_to_contact is True
