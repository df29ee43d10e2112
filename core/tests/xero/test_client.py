from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msp_xero.errors import (
    AccessRefused,
    DayLimitReached,
    Missing,
    Rejected,
    SettingError,
    Throttled,
    Unavailable,
)
from msp_xero.xero import KeyConflict, XeroSettings
from msp_xero.xero.attempts import ATTEMPTS
from msp_xero.xero.auth import connection_name
from msp_xero.xero.tokens import Token, TokenStore

TENANT = "70784a63-d24b-46a9-a4db-0e70a274b056"
OTHER = "11111111-d24b-46a9-a4db-0e70a274b056"
BODY = b'{"Invoices":[{"InvoiceNumber":"SDP-1"}]}'
DONE = {"Invoices": [{"InvoiceNumber": "SDP-1", "StatusAttributeString": "OK", "Total": 24.15}]}
EXPIRED = {
    "Title": "Unauthorized",
    "Status": 401,
    "Detail": "TokenExpired: token expired at 09/24/2021 08:23:47",
}


def put(client):
    return client.put_invoices(BODY, idempotency_key="key-1")


def test_a_read_asks_for_json_with_a_bearer_and_no_tenant(client, xero, reply):
    xero.on("GET Items", reply(b'{"Items":[{"SalesDetails":{"UnitPrice":128.1950}}]}'))
    (item,) = client.items()
    assert str(item["SalesDetails"]["UnitPrice"]) == "128.1950"
    (call,) = xero.calls("GET", "Items")
    assert call.path == "/api.xro/2.0/Items"
    assert call.headers["accept"] == "application/json"
    assert call.headers["authorization"] == "Bearer access-1"
    assert "xero-tenant-id" not in call.headers
    assert call.query == {"unitdp": "4"}
    assert client.calls == {"POST /connect/token": 1, "GET /Items": 1}


def test_the_tenant_is_sent_when_it_is_set(connect, xero, reply):
    xero.on("GET Organisation", reply({"Organisations": [{"OrganisationID": TENANT}]}))
    assert connect(tenant_id=TENANT).organisation() == {"OrganisationID": TENANT}
    assert xero.calls("GET", "Organisation")[0].headers["xero-tenant-id"] == TENANT


@pytest.mark.parametrize(
    ("method", "name", "rows"),
    [
        ("accounts", "Accounts", "Accounts"),
        ("tax_rates", "TaxRates", "TaxRates"),
        ("branding_themes", "BrandingThemes", "BrandingThemes"),
        ("tracking_categories", "TrackingCategories", "TrackingCategories"),
        ("currencies", "Currencies", "Currencies"),
        ("items", "Items", "Items"),
    ],
)
@pytest.mark.parametrize("body", [{}, {"…": None}, {"…": []}, {"…": [{"Name": "a"}, None]}])
def test_lists_survive_missing_parts(client, xero, reply, method, name, rows, body):
    body = {rows if key == "…" else key: value for key, value in body.items()}
    xero.on(f"GET {name}", reply(body))
    assert getattr(client, method)() == [row for row in body.get(rows) or [] if row]


def test_an_answer_without_an_organisation_is_unusable(client, xero, reply):
    xero.on("GET Organisation", reply({"Organisations": []}))
    with pytest.raises(Unavailable, match="without an organisation"):
        client.organisation()


def test_not_modified_is_an_empty_list(client, xero, raw):
    xero.on("GET Items", raw(304, b""))
    assert client.items(if_modified_since=datetime(2026, 11, 12, 1, 2, 3, 4, tzinfo=UTC)) == []
    assert xero.calls("GET", "Items")[0].headers["if-modified-since"] == "2026-11-12T01:02:03"


def test_contacts_walk_all_pages_with_archived_ones(client, xero, reply):
    def page(seen):
        number = int(seen.query["page"])
        rows = [{"ContactID": f"c{number}{n}", "ContactStatus": ["ACTIVE", "ARCHIVED"][n]} for n in range(2)]
        return reply({"pagination": {"page": number, "pageCount": 3, "itemCount": 6}, "Contacts": rows})

    xero.on("GET Contacts", page)
    assert [row["ContactID"] for row in client.contacts(page_size=2)] == [
        "c10",
        "c11",
        "c20",
        "c21",
        "c30",
        "c31",
    ]
    assert [row["ContactID"] for row in client.contacts(include_archived=False)] == ["c10", "c20", "c30"]
    assert xero.calls("GET", "Contacts")[0].query == {
        "includeArchived": "true",
        "order": "ContactID ASC",
        "pageSize": "2",
        "page": "1",
    }
    assert all(call.query["includeArchived"] == "true" for call in xero.calls("GET", "Contacts"))


def test_ids_and_numbers_are_asked_for_in_forties_without_repeats(client, xero, reply):
    def found(seen):
        asked = (seen.query.get("InvoiceNumbers") or seen.query.get("IDs")).split(",")
        return reply({"Invoices": [{"InvoiceID": name, "UpdatedDateUTC": "/Date(1)/"} for name in asked]})

    xero.on(
        "GET Invoices",
        found,
    )
    numbers = [f"SDP-{n}" for n in range(85)]
    assert len(list(client.invoices(numbers=[*numbers, "SDP-1"]))) == 85
    sizes = [len(call.query["InvoiceNumbers"].split(",")) for call in xero.calls("GET", "Invoices")]
    assert set(sizes) == {40, 5}
    assert list(client.invoices(ids=[])) == []
    assert list(client.invoices(statuses=[])) == []


def test_questions_that_cannot_be_asked_are_refused(client, xero):
    with pytest.raises(ValueError, match="not by both"):
        list(client.invoices(numbers=["a"], ids=["b"]))
    with pytest.raises(ValueError, match="comma"):
        list(client.invoices(numbers=["a,b"]))
    assert xero.seen == []


def test_invoice_filters_reach_xero(client, xero, reply):
    xero.on("GET Invoices", reply({"pagination": {"pageCount": 0, "itemCount": 0}, "Invoices": []}))
    since = datetime(2026, 11, 12, tzinfo=UTC)
    filters = {
        "statuses": ["DRAFT", "PAID"],
        "summary_only": True,
        "where": 'Type=="ACCREC"',
        "search_term": "SDP-",
    }
    assert list(client.invoices(if_modified_since=since, **filters)) == []
    (call,) = xero.calls("GET", "Invoices")
    assert call.query == {
        "order": "UpdatedDateUTC ASC",
        "pageSize": "1000",
        "page": "1",
        "unitdp": "4",
        "Statuses": "DRAFT,PAID",
        "summaryOnly": "true",
        "where": 'Type=="ACCREC"',
        "searchTerm": "SDP-",
    }
    assert call.headers["if-modified-since"] == "2026-11-12T00:00:00"


def test_an_invoice_write_is_a_put_of_the_exact_bytes(client, xero, reply):
    xero.on("PUT Invoices", reply(DONE))
    assert put(client) == [{**DONE["Invoices"][0], "Total": Decimal("24.15")}]
    (call,) = xero.calls("PUT", "Invoices")
    assert call.body == BODY
    assert call.query == {"summarizeErrors": "false", "unitdp": "4"}
    assert call.headers["idempotency-key"] == "key-1"
    assert call.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("key", ["", "k" * 129])
def test_a_key_that_xero_refuses_is_not_sent(client, xero, key):
    with pytest.raises(ValueError, match="128"):
        client.put_invoices(BODY, idempotency_key=key)
    assert xero.seen == []


def troubles(raw):
    return {
        "500": raw(500, b'{"Title":"An error occurred"}'),
        "503": raw(503, b"The Organisation is offline"),
        "html": raw(200, b"<html>login</html>"),
        "list": raw(200, b"[]"),
        "cut": raw(200, b'{"Invoices":[{"InvoiceNumber":"SDP-1"}]}', how="cut"),
        "half": raw(200, b'{"Invoices":[{"Invo'),
        "reset": raw(how="reset"),
        "redirect": raw(302, b"", {"Location": "/login"}),
    }


TROUBLES = ["500", "503", "html", "list", "cut", "half", "reset", "redirect"]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_read_is_tried_again_after(client, xero, reply, raw, clock, trouble):
    xero.on("GET Invoices", troubles(raw)[trouble], troubles(raw)[trouble], reply({"Invoices": []}))
    assert list(client.invoices()) == []
    assert len(xero.calls("GET", "Invoices")) == 3
    assert len(clock.slept) == 2


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_read_ends_after_five_attempts_of(client, xero, raw, clock, trouble):
    xero.on("GET Accounts", troubles(raw)[trouble])
    with pytest.raises(Unavailable) as caught:
        client.accounts()
    assert caught.value.address == f"GET {xero.url}/api.xro/2.0/Accounts"
    assert caught.value.sent
    assert len(xero.calls("GET", "Accounts")) == ATTEMPTS
    assert sum(clock.slept) < 40


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_write_is_never_sent_twice_after(client, xero, raw, trouble):
    xero.on("PUT Invoices", troubles(raw)[trouble])
    with pytest.raises(Unavailable) as caught:
        put(client)
    assert caught.value.sent
    assert len(xero.calls("PUT", "Invoices")) == 1


@pytest.mark.parametrize("body", [{}, {"Invoices": None}, {"Invoices": [None]}, {"Invoices": {"a": 1}}])
def test_a_write_that_is_not_told_what_became_of_it_has_an_unknown_outcome(client, xero, reply, body):
    xero.on("PUT Invoices", reply(body))
    with pytest.raises(Unavailable, match="without saying what became"):
        put(client)
    assert len(xero.calls("PUT", "Invoices")) == 1


def test_a_timeout_is_an_unknown_outcome_of_a_write(connect, xero, raw, reply):
    client = connect(timeout_seconds=0.3)
    xero.on("PUT Invoices", raw(how="hang"))
    with pytest.raises(Unavailable, match=r"did not answer within 0\.3 seconds") as caught:
        put(client)
    assert caught.value.sent
    assert len(xero.calls("PUT", "Invoices")) == 1
    xero.on("GET Items", raw(how="hang"), reply({}))
    assert client.items() == []


def test_a_write_that_gets_no_token_is_known_not_to_be_done(client, xero, raw):
    xero.on("POST token", raw(503, b""))
    with pytest.raises(Unavailable) as caught:
        put(client)
    assert not caught.value.sent
    assert client.calls == {"POST /connect/token": ATTEMPTS}


def test_a_refused_connection_is_tried_again_even_for_a_write(connect, xero, clock):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = connect(api_url=f"http://127.0.0.1:{closed.getsockname()[1]}/api.xro/2.0")
        with pytest.raises(Unavailable, match="cannot be reached") as caught:
            put(client)
    assert not caught.value.sent
    assert client.calls["PUT /Invoices"] == ATTEMPTS


def test_an_expired_token_is_renewed_once_also_for_a_write(client, xero, reply):
    xero.on("PUT Invoices", reply(EXPIRED, 401), reply(DONE))
    assert put(client)
    assert [call.headers["authorization"] for call in xero.calls("PUT", "Invoices")] == [
        "Bearer access-1",
        "Bearer access-2",
    ]
    assert len({call.body for call in xero.calls("PUT", "Invoices")}) == 1


def test_a_fresh_token_that_is_refused_too_ends_the_call(client, xero, reply):
    xero.on("GET Items", reply(EXPIRED, 401))
    with pytest.raises(AccessRefused):
        client.items()
    assert len(xero.calls("GET", "Items")) == 2


@pytest.mark.parametrize("call", ["GET Items", "PUT Invoices"])
def test_a_minute_limit_is_waited_for_because_nothing_was_processed(client, xero, reply, raw, clock, call):
    breach = raw(
        429, b"", {"X-Rate-Limit-Problem": "minute", "Retry-After": "26", "X-MinLimit-Remaining": "0"}
    )
    xero.on(call, breach, breach, reply(DONE))
    assert client.items() == [] if call == "GET Items" else put(client)
    assert [seconds for seconds in clock.slept if seconds] == [26, 26]


def test_too_many_at_once_backs_off_shortly(client, xero, reply, raw, clock):
    xero.on("GET Items", raw(429, b"", {"X-Rate-Limit-Problem": "Concurrent"}), reply({"Items": []}))
    assert client.items() == []
    (pause,) = clock.slept
    assert 0.25 <= pause <= 2


def test_a_limit_that_never_ends_is_an_error(client, xero, raw):
    xero.on("GET Items", raw(429, b"", {"X-Rate-Limit-Problem": "minute", "Retry-After": "60"}))
    with pytest.raises(Throttled):
        client.items()
    assert len(xero.calls("GET", "Items")) == ATTEMPTS


def test_the_day_limit_stops_at_once_and_makes_no_more_calls(client, xero, raw, clock):
    xero.on("GET Items", raw(429, b"", {"X-Rate-Limit-Problem": "day", "Retry-After": "73451"}))
    for _ in range(3):
        with pytest.raises(DayLimitReached) as caught:
            client.items()
        assert f"{caught.value.resume_at:%d %H:%M}" == "23 05:24"
    with pytest.raises(DayLimitReached):
        put(client)
    assert len(xero.calls("GET", "Items")) == 1
    assert clock.slept == []


def test_the_reserve_stops_before_the_limit(client, xero, reply):
    xero.on("GET Items", reply({"Items": []}, **{"X-DayLimit-Remaining": "100"}))
    client.items()
    with pytest.raises(DayLimitReached, match="day_call_reserve"):
        client.items()
    assert client.budget.day_left == 100


def test_errors_that_trying_again_cannot_cure_are_not_tried_again(client, xero, reply, raw):
    for answer, kind in [
        (reply({"ErrorNumber": 10, "Message": "no"}, 400), Rejected),
        (reply({"Message": "Idempotency Key: key-1 is used with a different request."}, 400), KeyConflict),
        (reply({"Detail": "AuthorizationUnsuccessful"}, 401), AccessRefused),
        (reply({"Detail": "AuthenticationUnsuccessful"}, 403), AccessRefused),
        (raw(404, b"", {"Content-Type": "text/html"}), Missing),
    ]:
        xero.seen.clear()
        xero.on("PUT Invoices", answer)
        with pytest.raises(kind):
            put(client)
        assert len(xero.calls("PUT", "Invoices")) == 1


def test_addresses_and_logs_hold_no_query_no_secret_and_no_body(client, xero, reply, raw, caplog):
    caplog.set_level("DEBUG", "msp_xero")
    xero.on("GET Invoices", raw(how="reset"), reply({"Message": "Mr Smith"}, 500))
    with pytest.raises(Unavailable) as caught:
        list(client.invoices(where='Contact.Name=="Mr Smith"'))
    told = f"{caught.value} {caught.value!r} {caught.value.__cause__} {caplog.text}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for secret in ("Smith", "access-1", "the-secret", "THE-CLIENT"):
        assert secret not in told


def test_xeros_words_are_in_the_error_but_not_in_the_log(client, xero, reply, caplog):
    caplog.set_level("DEBUG", "msp_xero")
    xero.on(
        "PUT Invoices",
        reply({"ErrorNumber": 10, "Message": "The contact name Mr Smith is already used"}, 400),
    )
    with pytest.raises(Rejected, match="Mr Smith"):
        put(client)
    assert "PUT /Invoices: 400, Rejected" in caplog.text
    assert "Smith" not in caplog.text


def login(xero, reply, *tenants):
    xero.on("POST token", lambda _: xero.issue(refresh_token="r"))
    rows = [
        {"id": "x", "tenantId": tenant, "tenantType": kind, "tenantName": name}
        for tenant, kind, name in tenants
    ]
    xero.on("GET connections", reply(rows))
    xero.on("GET Items", reply({"Items": []}))


@pytest.fixture
def user(connect, clock, config):
    settings = XeroSettings.from_config({**config, "grant": "authorization_code"})
    store = TokenStore(settings.token_store)
    with store.locked():
        token = Token(access_token="old", issued_at=clock.now(), expires_at=clock.now(), refresh_token="r")
        store.save(connection_name(settings), token)
    return lambda **more: connect(grant="authorization_code", **more)


def test_a_login_with_one_organisation_needs_no_tenant_id(user, xero, reply):
    login(xero, reply, (TENANT, "ORGANISATION", "Demo"), (OTHER, "PRACTICE", "Accountants"))
    client = user()
    client.items()
    client.items()
    assert {call.headers["xero-tenant-id"] for call in xero.calls("GET", "Items")} == {TENANT}
    assert "xero-tenant-id" not in xero.calls("GET", "connections")[0].headers
    assert client.calls["GET /connections"] == 1


def test_a_login_with_several_organisations_must_choose(user, xero, reply):
    login(xero, reply, (TENANT, "ORGANISATION", "Demo"), (OTHER, "ORGANISATION", "Books of others"))
    with pytest.raises(SettingError, match=r"reaches 2 organisations.*Books of others.*Demo") as caught:
        user().items()
    assert caught.value.setting == "tenant_id"
    user(tenant_id=OTHER).items()
    assert xero.calls("GET", "Items")[0].headers["xero-tenant-id"] == OTHER


def test_a_login_without_organisation_says_so(user, xero, reply):
    login(xero, reply)
    with pytest.raises(SettingError, match="no organisation"):
        user().items()


def test_threads_share_a_client(client, xero, reply):
    xero.on("GET Items", reply({"Items": []}))
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: client.items(), range(50)))
    assert client.calls == {"POST /connect/token": 1, "GET /Items": 50}
