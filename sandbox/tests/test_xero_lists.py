from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import pytest

MANY = 250


def numbers(reply):
    assert reply.status == 200, reply.body
    return [row["InvoiceNumber"] for row in reply.json["Invoices"]]


def where(xero, text, **headers):
    return xero.get(f"/Invoices?where={quote(text)}", **headers)


@pytest.fixture
def many(xero, books):
    xero.put(*(books.invoice(f"SDP-{n:03d}", Reference=f"ref {n % 2}") for n in range(MANY)))
    return xero


def test_three_pages_and_one_past_the_end(many):
    seen = []
    for page in (1, 2, 3, 4):
        reply = many.get(f"/Invoices?page={page}&order=InvoiceNumber")
        body = reply.json
        assert list(body).index("pagination") < list(body).index("Invoices")
        assert body["pagination"] == {"page": page, "pageSize": 100, "pageCount": 3, "itemCount": MANY + 1}
        seen.append(numbers(reply))
    assert [len(each) for each in seen] == [100, 100, 51, 0]
    assert len({number for each in seen for number in each}) == MANY + 1


@pytest.mark.parametrize(("asked", "size"), [("7", 7), ("5000", 1000), ("0", 1), ("many", 100)])
def test_page_size_is_clamped(many, asked, size):
    assert many.get(f"/Invoices?page=1&pageSize={asked}").json["pagination"]["pageSize"] == size


def test_unpaged_lists_have_no_lines_and_no_pagination(many):
    body = many.get("/Invoices").json
    assert "pagination" not in body
    assert all(row["LineItems"] == [] for row in body["Invoices"])
    assert many.get("/Invoices?page=1").json["Invoices"][0]["LineItems"] != []


def test_statuses_and_summary_force_paging(many):
    assert "pagination" in many.get("/Invoices?Statuses=DRAFT").json
    body = many.get("/Invoices?summaryOnly=true").json
    assert "pagination" in body
    assert not {"LineItems", "Payments", "HasAttachments"} & body["Invoices"][0].keys()


def test_lists_by_ids_numbers_contacts_and_text(many, books):
    key = many.get("/Invoices/SDP-001").json["Invoices"][0]["InvoiceID"]
    assert numbers(many.get(f"/Invoices?IDs={key},{books.guid(9)}")) == ["SDP-001"]
    assert sorted(numbers(many.get("/Invoices?InvoiceNumbers=SDP-001,sdp-002,none&page=1"))) == [
        "SDP-001",
        "SDP-002",
    ]
    assert numbers(many.get(f"/Invoices?ContactIDs={books.BOB}")) == []
    assert numbers(many.get("/Invoices?Statuses=AUTHORISED")) == ["OLD-1"]
    assert (
        numbers(many.get("/Invoices?searchTerm=sdp-00&pageSize=20&page=1&order=InvoiceNumber"))[0]
        == "SDP-000"
    )
    assert "OLD-1" not in numbers(many.get("/Invoices?createdByMyApp=true"))


def test_default_order_is_by_change_so_rows_move_while_a_list_is_walked(many, books):
    many.clock.advance(60)
    first = numbers(many.get("/Invoices?page=1"))
    many.post({"InvoiceNumber": first[0], "Type": "ACCREC", "Reference": "touched"})
    assert first[0] not in numbers(many.get("/Invoices?page=1"))
    assert numbers(many.get("/Invoices?page=3"))[-1] == first[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Type=="ACCREC" AND Status=="AUTHORISED"', ["OLD-1"]),
        ('Type="ACCREC"&&Status = "authorised"', ["OLD-1"]),
        ("Date<DateTime(2026,11,01)", ["OLD-1"]),
        ('Date >= DateTime(2026, 10, 01) and Date <= DateTime.Parse("2026-10-01")', ["OLD-1"]),
        ('InvoiceNumber=="SDP-007"', ["SDP-007"]),
        ('Contact.Name=="ADA LIMITED" AND AmountDue>100', ["OLD-1"]),
        ("AmountDue==115.00m", ["OLD-1"]),
        ("AmountPaid>0", []),
        ("Reference==null", ["OLD-1"]),
        ('Reference!=null AND Reference=="ref 1" AND InvoiceNumber=="SDP-001"', ["SDP-001"]),
        ("SentToContact==true", []),
        ('InvoiceNumber=="a \\"quoted\\" one"', []),
    ],
)
def test_where(many, text, expected):
    assert numbers(where(many, text)) == expected


def test_where_by_id(many, books):
    assert len(numbers(where(many, f'Contact.ContactID==guid("{books.ADA}")'))) == MANY + 1
    key = many.get("/Invoices/SDP-003").json["Invoices"][0]["InvoiceID"]
    assert numbers(where(many, f'InvoiceId==Guid("{key.upper()}")')) == ["SDP-003"]


@pytest.mark.parametrize(
    "text",
    [
        "Status",
        'Status=="DRAFT" OR Status=="PAID"',
        'Nonsense=="x"',
        'Date=="2026-01-01"',
        "Date>=DateTime(2026,13,01)",
        'Reference.Contains("x")',
        'Contact.ContactID=="x"',
        'Status=="DRAFT" AND',
        "Reference>null",
        "SentToContact>true",
        'Status=="DRAFT" extra',
    ],
)
def test_what_where_cannot_say_is_a_query_parse_exception(many, text):
    reply = where(many, text)
    assert (reply.status, reply.json["ErrorNumber"], reply.json["Type"]) == (400, 16, "QueryParseException")


def test_bad_order_is_a_query_parse_exception(xero):
    assert xero.get("/Invoices?order=Nonsense").json["ErrorNumber"] == 16
    assert xero.get("/Invoices?order=Date+SIDEWAYS").json["ErrorNumber"] == 16


def test_order_by_several_names(many):
    shown = numbers(many.get("/Invoices?page=1&order=Date%20DESC,InvoiceNumber%20DESC"))
    assert shown[:2] == ["SDP-249", "SDP-248"]


def test_null_members_may_need_a_guard(many):
    many.switch(null_guard="on")
    assert where(many, 'Reference=="ref 1"').status == 400
    assert where(many, 'Reference!=null && Reference=="ref 1"').status == 200


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-22T09:00:30",
        "2026-11-22T09:00:30Z",
        "Sun, 22 Nov 2026 09:00:30 GMT",
        "2026-11-22T22:00:30+13:00",
    ],
)
def test_modified_since_in_all_its_forms(xero, stamp):
    xero.clock.advance(60)
    xero.created("SDP-1")
    assert numbers(xero.get("/Invoices", If_Modified_Since=stamp)) == ["SDP-1"]
    assert len(numbers(xero.get("/Invoices", If_Modified_Since="nonsense"))) == 2


def test_nothing_new_is_an_empty_list_or_304(xero):
    later = datetime(2027, 1, 1, tzinfo=UTC).isoformat()
    assert numbers(xero.get("/Invoices", If_Modified_Since=later)) == []
    xero.switch(not_modified="304")
    reply = xero.get("/Invoices", If_Modified_Since=later)
    assert (reply.status, reply.body) == (304, b"")


def test_lists_can_lag_behind_writes_while_single_reads_do_not(xero):
    xero.switch(lists_lag_seconds="5")
    key = xero.created("SDP-1")["InvoiceID"]
    for path in ("/Invoices?InvoiceNumbers=SDP-1&page=1", f"/Invoices?IDs={key}"):
        assert numbers(xero.get(path)) == []
    assert xero.get(f"/Invoices/{key}").status == 200
    xero.clock.advance(5)
    assert numbers(xero.get("/Invoices?InvoiceNumbers=SDP-1&page=1")) == ["SDP-1"]
