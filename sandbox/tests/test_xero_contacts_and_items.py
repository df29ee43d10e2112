from __future__ import annotations

from decimal import Decimal
from urllib.parse import quote

import pytest


def names(reply):
    return sorted(row["Name"] for row in reply.json["Contacts"])


def write(xero, method, *elements, query="", kind="Contacts"):
    return xero.call(method, f"/{kind}?{query}", {kind: list(elements)})


def test_archived_contacts_are_hidden_unless_asked_for(xero):
    assert names(xero.get("/Contacts")) == ["Ada Limited", "Bób & Söhne"]
    assert "Old Limited" in names(xero.get("/Contacts?includeArchived=true"))


def test_fixed_slots_are_always_there(xero, books):
    row = xero.get(f"/Contacts/{books.ADA}").json["Contacts"][0]
    assert {each["AddressType"] for each in row["Addresses"]} == {"POBOX", "STREET"}
    assert {each["PhoneType"] for each in row["Phones"]} == {"DDI", "DEFAULT", "FAX", "MOBILE"}


def test_details_are_shown_paged_and_single_only(xero, books):
    assert "ContactPersons" not in xero.get("/Contacts").json["Contacts"][0]
    assert "ContactPersons" in xero.get("/Contacts?page=1").json["Contacts"][0]
    assert "ContactPersons" in xero.get(f"/Contacts/{books.ADA}").json["Contacts"][0]


def test_three_pages(xero):
    for n in range(5):
        xero.app.change_row({"kind": "contact", "action": "add", "values": {"Name": f"C {n}"}})
    pages = [xero.get(f"/Contacts?page={n}&pageSize=3&order=Name").json for n in (1, 2, 3, 4)]
    assert [len(page["Contacts"]) for page in pages] == [3, 3, 1, 0]
    assert pages[0]["pagination"] == {"page": 1, "pageSize": 3, "pageCount": 3, "itemCount": 7}


@pytest.mark.parametrize("name", ["Bób & Söhne", "BOB & SOHNE", "bób & sohne"])
def test_names_are_found_without_case_and_accents(xero, name):
    where = quote(f'Name=="{name}"')
    assert names(xero.get(f"/Contacts?where={where}")) == ["Bób & Söhne"]


def test_search_and_ids(xero, books):
    assert names(xero.get("/Contacts?searchTerm=ADA@EX")) == ["Ada Limited"]
    assert names(xero.get(f"/Contacts?IDs={books.BOB},{books.OLD}")) == ["Bób & Söhne"]


def test_put_creates_and_refuses_a_name_in_use(xero):
    made = write(xero, "PUT", {"Name": "New", "EmailAddress": "n@example.com"}).json["Contacts"][0]
    assert (made["ContactStatus"], made["IsCustomer"], made["IsSupplier"]) == ("ACTIVE", False, False)
    refused = write(xero, "PUT", {"Name": "Fresh"}, {"Name": "NEW"})
    assert refused.status == 400
    (element,) = refused.json["Elements"]
    assert element["HasValidationErrors"] is True
    assert "StatusAttributeString" not in element
    assert element["ValidationErrors"][0]["Message"].startswith("The contact name NEW is already assigned")
    assert "Fresh" not in names(xero.get("/Contacts"))


def test_name_of_an_archived_contact_is_free(xero):
    assert write(xero, "PUT", {"Name": "Old Limited"}).status == 200


def test_post_changes_what_is_sent_and_leaves_the_rest(xero, books):
    phones = [{"PhoneType": "DEFAULT", "PhoneNumber": "123"}]
    row = write(xero, "POST", {"ContactID": books.ADA, "Phones": phones}).json["Contacts"][0]
    assert row["EmailAddress"] == "ada@example.com"
    assert [each.get("PhoneNumber") for each in row["Phones"] if each["PhoneType"] == "DEFAULT"] == ["123"]


def test_archived_contacts_cannot_be_changed_through_the_api(xero, books):
    for status in ("ARCHIVED", "ACTIVE"):
        refused = write(xero, "POST", {"ContactID": books.OLD, "ContactStatus": status})
        assert books.messages(refused.json)[0].startswith(
            "The specified contact details matched an archived contact."
        )
    xero.switch(unarchive="accept")
    assert write(xero, "POST", {"ContactID": books.OLD, "ContactStatus": "ACTIVE"}).status == 200


def test_archiving_works_and_moves_the_change_time(xero, books):
    xero.clock.advance(60)
    assert write(xero, "POST", {"ContactID": books.ADA, "ContactStatus": "ARCHIVED"}).status == 200
    since = {"If_Modified_Since": "2026-11-22T09:00:30"}
    assert names(xero.get("/Contacts", **since)) == []
    assert names(xero.get("/Contacts?includeArchived=true", **since)) == ["Ada Limited"]


def test_becoming_a_customer_does_not_move_the_change_time(xero):
    xero.clock.advance(60)
    xero.created("SDP-1")
    assert names(xero.get("/Contacts?where=IsCustomer==true")) == ["Ada Limited"]
    assert names(xero.get("/Contacts", If_Modified_Since="2026-11-22T09:00:30")) == []


def test_unknown_contact_id_refuses_the_whole_request(xero, books):
    assert (
        write(xero, "POST", {"ContactID": books.guid(77), "Name": "x"}, query="summarizeErrors=false").status
        == 404
    )
    assert xero.get("/Contacts/nothing").status == 404


def test_contact_number_finds_and_is_unique(xero, books):
    write(xero, "POST", {"ContactID": books.ADA, "ContactNumber": "A-1"})
    assert xero.get("/Contacts/A-1").json["Contacts"][0]["ContactID"] == books.ADA
    assert write(xero, "PUT", {"Name": "Other", "ContactNumber": "A-1"}).status == 400


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"EmailAddress": "nobody"}, "Email address must be valid."),
        ({"Name": "x" * 256}, "Name"),
        ({"Name": ""}, "at least 1"),
    ],
)
def test_refused_contacts(xero, books, values, message):
    shown = write(xero, "PUT", {"Name": "Fine", **values}, query="summarizeErrors=false").json["Contacts"][0]
    assert (shown["StatusAttributeString"], shown["HasValidationErrors"]) == ("ERROR", True)
    assert message in shown["ValidationErrors"][0]["Message"]


def test_refused_calls_can_show_all_elements(xero):
    xero.switch(elements_echo="all")
    assert len(write(xero, "PUT", {"Name": "Fine"}, {"Name": ""}).json["Elements"]) == 2


def test_merged_contact_points_to_the_winner_and_its_invoices_move(xero, books):
    key = xero.created("SDP-1")["InvoiceID"]
    xero.app.change_row(
        {"kind": "contact", "action": "merge", "id": books.ADA, "values": {"into": books.BOB}}
    )
    loser = xero.get(f"/Contacts/{books.ADA}").json["Contacts"][0]
    assert (loser["ContactStatus"], loser["MergedToContactID"]) == ("ARCHIVED", books.BOB)
    assert xero.get(f"/Invoices/{key}").json["Invoices"][0]["Contact"]["ContactID"] == books.BOB


def test_items_are_not_paged_and_prices_have_the_places_asked_for(xero):
    body = xero.get("/Items?page=1&pageSize=1").json
    assert "pagination" not in body
    assert [row["Code"] for row in body["Items"]] == ["REM-1", "BARE"]
    assert body["Items"][0]["SalesDetails"]["UnitPrice"] == Decimal("128.20")
    assert xero.get("/Items/REM-1?unitdp=4").json["Items"][0]["SalesDetails"]["UnitPrice"] == Decimal(
        "128.1950"
    )
    assert [row["Code"] for row in xero.get('/Items?where=Code=="BARE"').json["Items"]] == ["BARE"]


def test_items_are_created_renamed_and_deleted(xero, books):
    made = write(xero, "PUT", {"Code": "NEW", "SalesDetails": {"UnitPrice": 9.999}}, kind="Items").json[
        "Items"
    ][0]
    assert made["UpdatedDateUTC"] == "/Date(1795338000000)/"
    assert made["SalesDetails"]["UnitPrice"] == Decimal("10.00")
    twice = write(xero, "PUT", {"Code": "new"}, kind="Items")
    assert books.messages(twice.json) == ["Price List Item with Code ''new'' already exists"]
    renamed = xero.call("POST", f"/Items/{made['ItemID']}", {"Code": "NEWER"}).json["Items"][0]
    assert renamed["ItemID"] == made["ItemID"]
    assert xero.get("/Items/NEW").status == 404
    assert (
        write(xero, "POST", {"Code": "NEWER", "Name": "named"}, kind="Items").json["Items"][0]["ItemID"]
        == made["ItemID"]
    )
    assert xero.call("DELETE", f"/Items/{made['ItemID']}").status == 204
    assert xero.call("DELETE", f"/Items/{made['ItemID']}").status == 404
    assert "NEWER" not in [row["Code"] for row in xero.get("/Items").json["Items"]]


@pytest.mark.parametrize(
    "values",
    [
        {"Code": "x" * 31},
        {"Name": "x" * 51},
        {"SalesDetails": {"AccountCode": "999"}},
        {"SalesDetails": {"TaxType": "X"}},
    ],
)
def test_refused_items(xero, values):
    assert write(xero, "PUT", {"Code": "NEW", **values}, kind="Items").status == 400


def test_at_most_500_items_a_call(xero):
    assert write(xero, "PUT", *({"Code": f"I{n}"} for n in range(501)), kind="Items").status == 400


def test_reference_lists(xero, books):
    assert xero.get("/Organisation").json["Organisations"][0]["ShortCode"] == "!small"
    assert xero.get("/Organisation/Actions").json["Actions"][0]["Status"] == "ALLOWED"
    where = quote('Status=="ACTIVE" AND Class=="REVENUE"')
    active = xero.get(f"/Accounts?where={where}").json["Accounts"]
    assert [row["Code"] for row in active] == ["200"]
    assert xero.get(f"/Accounts/{books.guid(200)}").json["Accounts"][0]["Code"] == "200"
    assert "DELETED" in [row["Status"] for row in xero.get("/TaxRates").json["TaxRates"]]
    assert xero.get("/BrandingThemes").json["BrandingThemes"][0]["SortOrder"] == 0
    assert xero.get("/TrackingCategories").json["TrackingCategories"][0]["Options"][0]["Name"] == "North"
    assert [row["Code"] for row in xero.get("/Currencies").json["Currencies"]] == ["NZD", "USD"]
    assert len(xero.get("/Users").json["Users"]) == 1
    for path in ("/Accounts/nothing", "/Organisation/Nowhere", "/Users/1"):
        assert xero.get(path).status == 404


CHANGES = [
    ({"kind": "contact", "action": "add", "values": {"Name": "Added"}}, "Name", "Added"),
    (
        {"kind": "contact", "action": "edit", "id": "Ada Limited", "values": {"Name": "Edited"}},
        "Name",
        "Edited",
    ),
    ({"kind": "contact", "action": "archive", "id": "Ada Limited"}, "ContactStatus", "ARCHIVED"),
    ({"kind": "item", "action": "add", "values": {"Code": "ADDED"}}, "Code", "ADDED"),
    ({"kind": "item", "action": "edit", "id": "REM-1", "values": {"Code": "REM-2"}}, "Code", "REM-2"),
    ({"kind": "item", "action": "delete", "id": "REM-1"}, "Code", "REM-1"),
    (
        {"kind": "invoice", "action": "edit", "id": "OLD-1", "values": {"Reference": "by hand"}},
        "Reference",
        "by hand",
    ),
    (
        {"kind": "invoice", "action": "edit", "id": "OLD-1", "values": {"InvoiceNumber": "OLD-2"}},
        "InvoiceNumber",
        "OLD-2",
    ),
    ({"kind": "invoice", "action": "void", "id": "OLD-1"}, "Status", "VOIDED"),
    ({"kind": "invoice", "action": "delete", "id": "OLD-1"}, "Status", "DELETED"),
    ({"kind": "invoice", "action": "pay", "id": "OLD-1"}, "Status", "PAID"),
    ({"kind": "organisation", "action": "edit", "values": {"Timezone": "UTC"}}, "Timezone", "UTC"),
    ({"kind": "account", "action": "archive", "id": "200"}, "Status", "ARCHIVED"),
    ({"kind": "account", "action": "edit", "id": "200", "values": {"Name": "Fees"}}, "Name", "Fees"),
    ({"kind": "tax_rate", "action": "delete", "id": "OUTPUT2"}, "Status", "DELETED"),
]


@pytest.mark.parametrize(("change", "name", "value"), CHANGES)
def test_changes_that_people_make(xero, change, name, value):
    assert xero.app.change_row(change)[name] == value


def test_people_add_and_change_invoices(xero, books):
    values = books.invoice("MINE", Status="PAID")
    row = xero.app.change_row({"kind": "invoice", "action": "add", "values": values})
    assert (row["Total"], row["Status"], row["AmountDue"]) == (Decimal("24.15"), "PAID", Decimal(0))
    lines = [books.line(Quantity=4)]
    row = xero.app.change_row(
        {"kind": "invoice", "action": "edit", "id": "OLD-1", "values": {"LineItems": lines}}
    )
    assert row["Total"] == Decimal("48.30")
    assert xero.get("/Invoices/OLD-1/History").json["HistoryRecords"][-1]["User"] == "Billing Person"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "contact", "action": "delete", "id": "Ada Limited"},
        {"kind": "contact", "action": "archive", "id": "Nobody"},
        {"kind": "contact", "action": "merge", "id": "Ada Limited", "values": {"into": "Ada Limited"}},
        {"kind": "item", "action": "delete", "id": "NONE"},
        {"kind": "item", "action": "add"},
        {"kind": "invoice", "action": "void", "id": "NONE"},
        {"kind": "invoice", "action": "pay", "id": "OLD-1", "values": {"Amount": "999"}},
        {"kind": "invoice", "action": "edit", "id": "OLD-1", "values": {"Nonsense": 1}},
        {"kind": "account", "action": "archive", "id": "999"},
        {"kind": "account", "action": "edit", "id": "200", "values": {"Code": "201"}},
        {"kind": "tax_rate", "action": "delete", "id": "NOTHING"},
        {},
    ],
)
def test_changes_that_cannot_be_made(xero, change):
    with pytest.raises(ValueError, match=r"\w"):
        xero.app.change_row(change)


def test_reset_returns_to_the_told_rows(xero):
    before = xero.app.dump()
    xero.created("SDP-1")
    xero.app.change_row({"kind": "contact", "action": "archive", "id": "Ada Limited"})
    xero.app.change_row({"kind": "account", "action": "archive", "id": "200"})
    xero.app.reset()
    assert xero.app.dump() == before
    assert xero.get("/Organisation").status == 401, "tokens are gone"
