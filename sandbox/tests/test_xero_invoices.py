from __future__ import annotations

from decimal import Decimal

import pytest

ZERO_ID = "00000000-0000-0000-0000-000000000000"


def refused(xero, books, *args, **changes):
    """Return what is said about an invoice that must not be created."""
    reply = xero.put(books.invoice(*args, **changes))
    assert reply.status == 400, reply.body
    assert reply.json["ErrorNumber"] == 10
    return books.messages(reply.json)


def test_created_invoice_is_shown_as_recorded(xero, books):
    reply = xero.put(books.invoice("SDP-1", Status="AUTHORISED", LineAmountTypes="Exclusive"))
    body = reply.json
    assert list(body)[:4] == ["Id", "Status", "ProviderName", "DateTimeUTC"]
    assert body["DateTimeUTC"] == "/Date(1795338000000)/"
    row = body["Invoices"][0]
    assert (row["SubTotal"], row["TotalTax"], row["Total"], row["AmountDue"]) == (
        Decimal(21),
        Decimal("3.15"),
        Decimal("24.15"),
        Decimal("24.15"),
    )
    assert row["DateString"] == "2026-11-20T00:00:00"
    assert row["Date"] == "/Date(1795132800000+0000)/"
    assert row["UpdatedDateUTCString"] == "2026-11-22T09:00:00Z"
    assert row["Contact"]["IsCustomer"] is True
    assert row["HasErrors"] is False
    assert "StatusAttributeString" not in row
    assert row["LineItems"][0]["ValidationErrors"] == []
    assert row["CurrencyCode"] == "NZD"


def test_default_date_is_today_where_the_organisation_is(xero, books):
    assert xero.created("SDP-1", Date="")["DateString"] == "2026-11-22T00:00:00"
    xero.clock.advance(2 * 3600)
    xero.sign_in()
    assert xero.created("SDP-2", Date="")["DateString"] == "2026-11-23T00:00:00", (
        "midnight has passed in Auckland"
    )


@pytest.mark.parametrize(
    "date", ["2026-11-05", "/Date(1793836800000+0000)/", "/Date(1793836800000)/", "2026-11-05T00:00:00"]
)
def test_dates_are_read_in_all_their_forms(xero, date):
    assert xero.created(Date=date)["DateString"] == "2026-11-05T00:00:00"


def test_a_bare_object_and_other_casing_are_accepted(xero, books):
    lines = [{"description": "x", "quantity": "2", "unitamount": "10.5", "accountcode": "200"}]
    bare = {"type": "ACCREC", "contact": {"contactid": books.ADA}, "lineitems": lines}
    assert xero.call("PUT", "/Invoices", bare).json["Invoices"][0]["Total"] == Decimal("24.15")


@pytest.mark.parametrize(("query", "price", "total"), [("", "0.16", "0.32"), ("unitdp=4", "0.1648", "0.33")])
def test_unit_price_places_are_decided_before_the_line_is_computed(xero, books, query, price, total):
    row = books.line(UnitAmount=0.1648, TaxType="NONE")
    shown = xero.put(books.invoice(LineItems=[row]), query=query).json["Invoices"][0]
    assert shown["LineItems"][0]["UnitAmount"] == Decimal(price)
    assert shown["Total"] == Decimal(total)


def test_reading_without_unitdp_shows_two_places_of_four(xero, books):
    row = xero.created(LineItems=[books.line(UnitAmount=0.1648)])
    for query, price in (("", "0.16"), ("?unitdp=4", "0.1648")):
        shown = xero.get(f"/Invoices/{row['InvoiceID']}{query}").json["Invoices"][0]
        assert shown["LineItems"][0]["UnitAmount"] == Decimal(price)
        assert shown["Total"] == row["Total"]


def test_item_supplies_what_is_not_sent_and_explicit_values_win(xero, books):
    bare = {"ItemCode": "REM-1", "Quantity": 1}
    row = xero.created(LineItems=[bare])["LineItems"][0]
    assert (row["UnitAmount"], row["AccountCode"], row["TaxType"]) == (Decimal("128.1950"), "200", "OUTPUT2")
    assert row["Description"] == "Remote support, per hour"
    assert row["Item"]["Code"] == row["ItemCode"] == "REM-1"
    row = xero.created(LineItems=[{**bare, "UnitAmount": 99, "TaxType": "NONE"}])["LineItems"][0]
    assert (row["UnitAmount"], row["TaxAmount"]) == (Decimal(99), Decimal(0))


def test_automatic_numbers_skip_those_in_use(xero):
    xero.created("INV-0002")
    assert [xero.created()["InvoiceNumber"] for _ in range(2)] == ["INV-0001", "INV-0003"]


def test_put_refuses_a_number_that_is_taken_in_any_case(xero, books):
    xero.created("SDP-1")
    assert refused(xero, books, "sdp-1") == ["Invoice # must be unique."]
    xero.switch(number_case_sensitive="on")
    assert xero.created("sdp-1")["InvoiceNumber"] == "sdp-1"
    assert refused(xero, books, "OLD-1") == ["Invoice # must be unique."], (
        "a person's invoice holds its number too"
    )


def test_voided_keeps_its_number_and_deleted_frees_it(xero, books):
    draft, approved = xero.created("SDP-1"), xero.created("SDP-2", Status="AUTHORISED")
    xero.post({"InvoiceID": draft["InvoiceID"], "Status": "DELETED"})
    xero.post({"InvoiceID": approved["InvoiceID"], "Status": "VOIDED"})
    assert xero.created("SDP-1")["InvoiceID"] != draft["InvoiceID"]
    assert refused(xero, books, "SDP-2") == ["Invoice # must be unique."]
    again = xero.post(books.invoice("SDP-2"))
    assert books.messages(again.json) == ["Invoice not of valid status for modification"]


def test_two_of_one_call_cannot_share_a_number(xero, books):
    both = (books.invoice("SDP-1"), books.invoice("SDP-1"))
    assert xero.put(*both).status == 400
    assert xero.get("/Invoices?InvoiceNumbers=SDP-1").json["Invoices"] == []
    shown = xero.put(*both, query="summarizeErrors=false").json["Invoices"]
    assert [row["StatusAttributeString"] for row in shown] == ["OK", "ERROR"]


def test_post_changes_what_carries_the_number(xero, books):
    row = xero.created("SDP-1")
    changed = xero.post(books.invoice("SDP-1", Reference="changed", LineItems=[books.line(Quantity=3)])).json[
        "Invoices"
    ][0]
    assert changed["InvoiceID"] == row["InvoiceID"]
    assert (changed["Reference"], changed["SubTotal"]) == ("changed", Decimal("31.50"))


def test_update_keeps_listed_lines_and_deletes_the_others(xero, books):
    row = xero.created("SDP-1", LineItems=[books.line(), books.line(Description="second")])
    kept = row["LineItems"][1]["LineItemID"]
    lines = [books.line(LineItemID=kept), books.line(Description="new")]
    changed = xero.call("POST", "/Invoices/SDP-1", {"LineItems": lines}).json["Invoices"][0]
    ids = [each["LineItemID"] for each in changed["LineItems"]]
    assert ids[0] == kept
    assert len({*ids, row["LineItems"][0]["LineItemID"]}) == 3


def test_one_bad_element_refuses_the_whole_call(xero, books):
    reply = xero.put(books.invoice("SDP-1"), books.invoice("OLD-1"))
    assert reply.status == 400
    assert reply.json["Type"] == "ValidationException"
    (element,) = reply.json["Elements"]
    assert (element["InvoiceID"], element["InvoiceNumber"], element["HasErrors"]) == (ZERO_ID, "OLD-1", True)
    assert "StatusAttributeString" not in element
    assert xero.get("/Invoices?InvoiceNumbers=SDP-1").json["Invoices"] == []


@pytest.mark.parametrize("spelling", ["summarizeErrors", "SummarizeErrors", "SUMMARIZEERRORS"])
def test_each_element_on_its_own(xero, books, spelling):
    elements = (
        books.invoice("SDP-1"),
        books.invoice("OLD-1", Status="AUTHORISED"),
        books.invoice("SDP-2", SentToContact=True),
    )
    reply = xero.put(*elements, query=f"{spelling}=false")
    assert reply.status == 200
    good, bad, warned = reply.json["Invoices"]
    assert good["StatusAttributeString"] == "OK"
    assert bad["StatusAttributeString"] == "ERROR"
    assert (bad["InvoiceID"], bad["HasErrors"], bad["Status"]) == (ZERO_ID, True, "AUTHORISED")
    assert bad["ValidationErrors"] == [{"Message": "Invoice # must be unique."}]
    assert warned["StatusAttributeString"] == "WARNING"
    assert warned["Warnings"] == [{"Message": "Only AUTHORISED invoices may have SentToContact updated."}]
    assert xero.get("/Invoices?InvoiceNumbers=SDP-1,SDP-2").json["Invoices"][1]["SentToContact"] is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Contact": ""}, "The Contact must contain at least 1 of the following elements"),
        (
            {"Contact": {"ContactID": "dddddddd-0000-4000-a000-000000000000"}},
            "The Contact must contain at least 1",
        ),
        ({"CurrencyCode": "EUR"}, "Organisation is not subscribed to currency EUR"),
        ({"InvoiceNumber": "x" * 256}, "InvoiceNumber"),
        ({"InvoiceNumber": "é"}, "printable ASCII"),
        ({"Reference": "x" * 256}, "Reference"),
        ({"Url": "somewhere"}, "Url"),
        ({"Url": "https://example.com/xero"}, "Url"),
        ({"BrandingThemeID": "00000000-0000-4000-a000-000000000021"}, "BrandingThemeID"),
        ({"LineItems": []}, "line item"),
        ({"Status": "PAID"}, "Invoice not of valid status for modification"),
    ],
)
def test_refused_heads(xero, books, changes, message):
    assert any(message in text for text in refused(xero, books, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"AccountCode": "999"}, "Account code '999' is not a valid code for this document."),
        ({"AccountCode": "090"}, "Account code '090' is not a valid code for this document."),
        ({"AccountCode": "820"}, "Account code '820' is not a valid code for this document."),
        ({"AccountCode": "290"}, "Account code '290' has been archived, or deleted."),
        ({"TaxType": "INPUT2"}, "The TaxType code 'INPUT2' cannot be used with account code '200'."),
        ({"TaxType": "GST on Income"}, "The TaxType code GST on Income does not exist"),
        ({"TaxType": "TAX001"}, "The TaxType code TAX001 does not exist"),
        ({"ItemCode": "GONE"}, "Item code 'GONE' is not valid"),
        ({"Description": "x" * 4001}, "Description"),
        ({"Description": "😀" * 2001}, "Description"),
        ({"Description": ""}, "Description"),
        ({"LineAmount": 20.99}, "The line total 20.99 does not match the expected line total 21.00"),
        ({"UnitAmount": 9_999_999_999, "Quantity": 2}, "line amount"),
        ({"DiscountRate": 101}, "Discount must not be greater than the line total."),
        ({"DiscountAmount": 21.01}, "Discount must not be greater than the line total."),
        ({"Tracking": [{"Name": "Region", "Option": "Moon"}]}, "tracking"),
        ({"Quantity": -1}, "total"),
    ],
)
def test_refused_lines(xero, books, changes, message):
    assert any(
        message in text for text in refused(xero, books, LineItems=[books.line(), books.line(**changes)][-1:])
    )


def test_rounding_account_is_the_system_account_that_lines_may_use(xero, books):
    assert xero.created(LineItems=[books.line(AccountCode="860", TaxType="NONE")])["Status"] == "DRAFT"


def test_messages_on_lines_stand_where_the_switch_says(xero, books):
    xero.switch(line_errors_at="line")
    bad = books.invoice("SDP-1", LineItems=[books.line(), books.line(AccountCode="999")])
    element = xero.put(bad).json["Elements"][0]
    assert element["ValidationErrors"] == []
    assert [len(each["ValidationErrors"]) for each in element["LineItems"]] == [0, 1]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"LineAmountTypes": "NO_TAX"}, "NO_TAX"),
        ({"Status": "READY"}, "READY"),
        ({"Date": "tomorrow"}, "tomorrow"),
        ({"LineItems": [{"Description": "x", "Quantity": True}]}, "Quantity"),
        ({"LineItems": [{"Description": "x", "Quantity": "two"}]}, "two"),
        ({"LineItems": ["text"]}, "LineItems"),
    ],
)
def test_unreadable_values_are_error_14(xero, books, changes, path):
    reply = xero.put(books.invoice(**changes), query="summarizeErrors=false")
    assert (reply.status, reply.json["ErrorNumber"], reply.json["Type"]) == (
        400,
        14,
        "PostDataInvalidException",
    )
    assert path in reply.json["Message"] or path == "Quantity"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"Invoices":7}', b'{"Invoices":[7]}'])
def test_unreadable_bodies_are_error_14(xero, body):
    reply = xero.call("PUT", "/Invoices", body)
    assert (reply.status, reply.json["ErrorNumber"]) == (400, 14)


def test_forms_are_not_accepted(xero):
    assert (
        xero.call("PUT", "/Invoices", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}).status
        == 415
    )


def test_drafts_may_lack_codes_and_approved_ones_may_not(xero, books):
    bare = {"Description": "x", "Quantity": 1, "UnitAmount": 5}
    assert "AccountCode" not in xero.created(LineItems=[bare])["LineItems"][0]
    assert refused(xero, books, Status="AUTHORISED", LineItems=[bare]) == [
        "Account code or ID must be specified"
    ]
    no_sales_account = {**bare, "ItemCode": "BARE"}
    assert xero.created(LineItems=[no_sales_account])["Status"] == "DRAFT"
    assert "Account code or ID" in refused(xero, books, Status="SUBMITTED", LineItems=[no_sales_account])[0]


def test_draft_without_codes_cannot_be_approved_later(xero, books):
    row = xero.created("SDP-1", LineItems=[{"Description": "x", "Quantity": 1, "UnitAmount": 5}])
    reply = xero.post({"InvoiceID": row["InvoiceID"], "Status": "AUTHORISED"})
    assert books.messages(reply.json) == ["Account code or ID must be specified"]


def test_a_line_may_be_only_text(xero, books):
    row = xero.created(LineItems=[books.line(), {"Description": "Ticket 17"}])
    assert row["Total"] == Decimal("24.15")
    assert "AccountCode" not in row["LineItems"][1]


def test_unknown_account_on_a_draft_can_be_dropped_with_a_warning(xero, books):
    xero.switch(unknown_account_on_draft="removed")
    row = xero.created(LineItems=[books.line(AccountCode="999")])
    assert "AccountCode" not in row["LineItems"][0]
    assert "has been removed" in row["Warnings"][0]["Message"]


def test_archived_contact_is_refused_with_the_text_and_at_the_place_of_the_switches(xero, books):
    xero.switch(archived_text="No way", archived_at="contact")
    element = xero.put(books.invoice("SDP-1", Contact={"ContactID": books.OLD})).json["Elements"][0]
    assert element["Contact"]["ValidationErrors"] == [{"Message": "No way"}]
    assert element["ValidationErrors"] == []


def test_missing_contact_and_contact_by_name(xero, books):
    bad = books.invoice("SDP-1")
    del bad["Contact"]
    assert books.messages(xero.put(bad).json) == ["A Contact must be specified for this type of transaction"]
    assert xero.created(Contact={"Name": "ada limited"})["Contact"]["ContactID"] == books.ADA
    made = [xero.created(Contact={"Name": "Brand New"})["Contact"] for _ in range(2)]
    assert made[0]["ContactID"] == made[1]["ContactID"]


def test_members_beside_the_contact_id_change_the_contact(xero, books):
    xero.created(Contact={"ContactID": books.ADA, "Name": "Ada Renamed"})
    assert xero.get(f"/Contacts/{books.ADA}").json["Contacts"][0]["Name"] == "Ada Renamed"


@pytest.mark.parametrize("name", ["PeriodLockDate", "EndOfYearLockDate"])
def test_lock_dates_refuse_their_own_day_and_before(xero, books, name):
    row = xero.created("SDP-0", Date="2026-10-31")
    xero.app.change_row({"kind": "organisation", "action": "edit", "values": {name: "2026-10-31"}})
    assert "/Date(" in xero.get("/Organisation").json["Organisations"][0][name]
    (message,) = refused(xero, books, Date="2026-10-31")
    assert message.endswith("lock date, currently set at 31 October 2026")
    assert xero.created("SDP-1", Date="2026-11-01")["Status"] == "DRAFT"
    assert xero.post({"InvoiceID": row["InvoiceID"], "Status": "DELETED"}).status == 400
    xero.switch(lock_dates_on_drafts="off")
    assert xero.created("SDP-2", Date="2026-10-31")["Status"] == "DRAFT"
    assert refused(xero, books, Date="2026-10-31", Status="AUTHORISED") == [message]


STEPS = {
    "DRAFT": {"DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"},
    "SUBMITTED": {"SUBMITTED", "AUTHORISED", "DRAFT", "DELETED"},
    "AUTHORISED": {"AUTHORISED", "VOIDED"},
    "VOIDED": set(),
    "DELETED": set(),
}


@pytest.mark.parametrize("before", STEPS)
@pytest.mark.parametrize("after", STEPS)
def test_status_machine(xero, books, before, after):
    first = {"VOIDED": "AUTHORISED", "DELETED": "DRAFT"}.get(before, before)
    key = xero.created("SDP-1", Status=first)["InvoiceID"]
    if first != before:
        assert xero.post({"InvoiceID": key, "Status": before}).status == 200
    reply = xero.post({"InvoiceID": key, "Status": after}, query="summarizeErrors=false")
    row = reply.json["Invoices"][0]
    assert row["Status"] == after, "a refused element echoes what was sent"
    if after in STEPS[before]:
        assert row["StatusAttributeString"] == "OK"
    else:
        assert row["ValidationErrors"] == [{"Message": "Invoice not of valid status for modification"}]
        assert row["InvoiceID"] == key


def test_money_applied_keeps_an_invoice_from_most_changes(xero, books):
    key = xero.created("SDP-1", Status="AUTHORISED")["InvoiceID"]
    paid = xero.app.change_row({"kind": "invoice", "action": "pay", "id": key, "values": {"Amount": "4.15"}})
    assert (paid["AmountPaid"], paid["AmountDue"], paid["Status"]) == (
        Decimal("4.15"),
        Decimal(20),
        "AUTHORISED",
    )
    void = xero.post({"InvoiceID": key, "Status": "VOIDED"})
    assert "VOIDED cannot be applied" in books.messages(void.json)[0]
    for changes in ({"Date": "2026-11-21"}, {"LineItems": [books.line(Quantity=5)]}):
        refused_edit = xero.post({"InvoiceID": key, **changes})
        assert "cannot be edited as it has a payment" in books.messages(refused_edit.json)[0]
    assert xero.post({"InvoiceID": key, "Reference": "fine"}).status == 200
    rest = xero.app.change_row({"kind": "invoice", "action": "pay", "id": key})
    assert (rest["Status"], rest["AmountDue"]) == ("PAID", Decimal(0))
    assert xero.post({"InvoiceID": key, "DueDate": "2026-12-31"}).json["Invoices"][0]["Status"] == "PAID"


def test_approvals_a_month_can_be_limited(xero, books):
    xero.switch(approve_limit="2")
    months = [("SDP-1", "2026-11-01"), ("SDP-2", "2026-11-30"), ("SDP-3", "2026-12-01")]
    shown = xero.put(*(books.invoice(number, Date=day, Status="AUTHORISED") for number, day in months))
    assert shown.status == 200
    assert refused(xero, books, Status="AUTHORISED") == [
        "You have reached the limit of invoices you can approve"
    ]
    assert xero.created("SDP-4")["Status"] == "DRAFT"


def test_tracking_is_stored_with_its_ids(xero, books):
    row = xero.created(LineItems=[books.line(Tracking=[{"Name": "Region", "Option": "North"}])])
    assert row["LineItems"][0]["Tracking"][0]["TrackingOptionID"] == books.guid(31)
    xero.switch(tracking_unknown="ignore")
    row = xero.created(LineItems=[books.line(Tracking=[{"Name": "Region", "Option": "Moon"}])])
    assert row["LineItems"][0]["Tracking"] == []


def test_other_switches_of_invoices(xero, books):
    xero.switch(
        supplied_total="reject", quantity_places="error", zero_lines_lose_codes="on", customer_on_draft="off"
    )
    assert refused(xero, books, Total=1) == ["The invoice total does not equal the sum of the lines."]
    assert "Quantity" in refused(xero, books, LineItems=[books.line(Quantity=1.00001)])[0]
    row = xero.created(LineItems=[books.line(UnitAmount=0)], Contact={"ContactID": books.BOB})
    assert not {"AccountCode", "TaxType"} & row["LineItems"][0].keys()
    assert row["Contact"]["IsCustomer"] is False
    assert xero.created(Contact={"ContactID": books.BOB}, Status="SUBMITTED")["Contact"]["IsCustomer"] is True


def test_foreign_currency_gets_a_rate(xero):
    assert xero.created(CurrencyCode="USD")["CurrencyRate"] == Decimal("0.9")
    assert xero.created(CurrencyCode="USD", CurrencyRate=0.7)["CurrencyRate"] == Decimal("0.7")


def test_email_is_for_approved_ones(xero):
    key, draft = xero.created("SDP-1", Status="AUTHORISED")["InvoiceID"], xero.created("SDP-2")["InvoiceID"]
    xero.switch(email_day_limit="1")
    assert xero.call("POST", f"/Invoices/{draft}/Email").status == 400
    sent = xero.call("POST", f"/Invoices/{key}/Email")
    assert (sent.status, sent.body) == (204, b"")
    assert xero.call("POST", f"/Invoices/{key}/Email").status == 400
    assert xero.get(f"/Invoices/{key}").json["Invoices"][0]["SentToContact"] is True


def test_history_notes_are_added_every_time(xero):
    key = xero.created("SDP-1")["InvoiceID"]
    note = {"HistoryRecords": [{"Details": "billed by msp-xero"}]}
    for _ in range(2):
        added = xero.call("PUT", f"/Invoices/{key}/History", note).json["HistoryRecords"][0]
        assert (added["Details"], added["ValidationErrors"]) == ("billed by msp-xero", [])
    rows = xero.get(f"/Invoices/{key}/History").json["HistoryRecords"]
    assert [row["Changes"] for row in rows] == ["Created", "Note", "Note"]
    assert (
        xero.call("PUT", f"/Invoices/{key}/History", {"HistoryRecords": [{"Details": "x" * 2501}]}).status
        == 400
    )


def test_online_address_pdf_and_unknown_ids(xero):
    key = xero.created("SDP-1", Status="AUTHORISED")["InvoiceID"]
    assert (
        xero.get(f"/Invoices/{key}/OnlineInvoice")
        .json["OnlineInvoices"][0]["OnlineInvoiceUrl"]
        .startswith("https://")
    )
    assert xero.get("/Invoices/SDP-1", Accept="application/pdf").body.startswith(b"%PDF")
    for path in ("/Invoices/nothing", "/Nowhere", "/Invoices/SDP-1/Nowhere"):
        missing = xero.get(path)
        assert (missing.status, missing.body, missing.headers["content-type"]) == (404, b"", "text/html")
    assert xero.post({"InvoiceID": "nothing", "Status": "DELETED"}).status == 404


def test_a_client_that_forgets_accept_gets_xml(xero):
    for accept in ("*/*", "", "application/xml"):
        reply = xero.get("/Organisation", Accept=accept)
        assert reply.headers["content-type"].startswith("text/xml")
        assert reply.body.startswith(b"<Response>")
    assert b"<ApiException>" in xero.get("/Invoices?where=x", Accept="*/*").body


def test_large_batches_are_quick(xero, books):
    # 100,000 lines in 20 calls must stay far below ten seconds; one call of 5,000 shows it.
    before = xero.clock.now()
    lines = [books.line(Description=f"Ticket {n}", ItemCode="REM-1") for n in range(100)]
    rows = xero.put(*(books.invoice(f"SDP-{n}", LineItems=lines) for n in range(50))).json["Invoices"]
    assert sum(row["SubTotal"] for row in rows) == Decimal("105000.00")
    assert xero.clock.now() == before
