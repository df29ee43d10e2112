"""The client against the sandbox's Xero, on real sockets: what a write leaves behind in every failure."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from decimal import Decimal
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from msp_xero.errors import AccessRefused, DayLimitReached, Missing, Rejected, Unavailable
from msp_xero.xero import KeyConflict, XeroSettings, messages_in
from msp_xero.xero.auth import XeroAuth, connection_name
from msp_xero.xero.tokens import Token, TokenStore
from msp_xero.xero.wire import canonical

READY = re.compile(r"ready xero=(\S+) sdp=\S+")
PUT = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}


@pytest.fixture(scope="module")
def url():
    process = subprocess.Popen(
        [sys.executable, "-m", "msp_xero_sandbox.cli", "--xero-port", "0", "--sdp-port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    found = next(filter(None, map(READY.search, process.stdout)))
    yield found[1]
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def control(url, session):
    def call(method, path, body=None):
        answer = session.request(method, f"{url}/_sandbox/{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    call("POST", "reset")
    call("POST", "set", {"minute_limit": "none"})
    return call


@pytest.fixture
def config(url, control, tmp_path):
    return {
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "api_url": f"{url}/api.xro/2.0",
        "identity_url": url,
        "token_store": str(tmp_path / "token.json"),
        "timeout_seconds": 20,
    }


@pytest.fixture
def invoice(client):
    contact = next(row for row in client.contacts() if row["ContactStatus"] == "ACTIVE")

    def make(number, price="128.1950"):
        line = {
            "Description": "Work",
            "Quantity": Decimal("1.7500"),
            "UnitAmount": Decimal(price),
            "AccountCode": "200",
            "TaxType": "OUTPUT2",
        }
        return {
            "Type": "ACCREC",
            "Contact": {"ContactID": contact["ContactID"]},
            "InvoiceNumber": number,
            "Date": "2026-11-20",
            "DueDate": "2026-12-20",
            "LineItems": [line],
        }

    return make


@pytest.fixture
def put(client, invoice):
    def send(*numbers, key="key-1", **changes):
        body = canonical({"Invoices": [{**invoice(number), **changes} for number in numbers]})
        return client.put_invoices(body, idempotency_key=key)

    return send


def numbers(client, *wanted):
    return [row["InvoiceNumber"] for row in client.invoices(numbers=wanted)]


def test_an_invoice_is_created_with_four_decimals_and_exact_totals(client, put):
    (created,) = put("SDP-1")
    assert created["StatusAttributeString"] == "OK"
    (found,) = client.invoices(numbers=["SDP-1"])
    assert found["InvoiceID"] == created["InvoiceID"]
    assert str(found["LineItems"][0]["UnitAmount"]) == "128.1950"
    assert (found["SubTotal"], found["Total"]) == (Decimal("224.34"), Decimal("257.99"))
    assert [row["InvoiceID"] for row in client.invoices(ids=[found["InvoiceID"]])] == [found["InvoiceID"]]
    assert [row["InvoiceNumber"] for row in client.invoices(search_term="sdp-1", summary_only=True)] == [
        "SDP-1"
    ]
    assert list(client.invoices(numbers=["SDP-1"], statuses=["PAID"])) == []


def test_good_and_bad_invoices_of_one_call_are_told_apart(client, put):
    put("SDP-1")
    elements = {row["InvoiceNumber"]: row for row in put("SDP-1", "SDP-2", key="key-2")}
    assert elements["SDP-2"]["StatusAttributeString"] == "OK"
    assert elements["SDP-1"]["StatusAttributeString"] == "ERROR"
    assert messages_in(elements["SDP-1"]) == ["Invoice # must be unique."]


@pytest.mark.parametrize(
    ("fault", "committed"),
    [
        ({"kind": "reset_before"}, False),
        ({"kind": "reset_after_commit"}, True),
        ({"kind": "truncate"}, True),
        ({"kind": "html", "status": 200, "commit": True}, True),
        ({"kind": "status", "status": 500, "commit": True}, True),
        ({"kind": "status", "status": 500, "commit": False}, False),
        ({"kind": "status", "status": 502, "body": "<html>Bad Gateway</html>"}, False),
        ({"kind": "status", "status": 503, "body": "The Organisation is offline"}, False),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else str(value),
)
def test_a_write_without_a_usable_answer_is_unknown_and_a_look_up_tells(
    client, control, put, fault, committed
):
    control("POST", "faults", [{"match": PUT, "nth": 1, **fault}])
    with pytest.raises(Unavailable) as caught:
        put("SDP-1")
    assert caught.value.sent
    assert client.calls["PUT /Invoices"] == 1
    assert numbers(client, "SDP-1") == (["SDP-1"] if committed else [])


def test_a_late_commit_is_seen_by_the_second_look(connect, control, invoice):
    control("POST", "faults", [{"kind": "timeout_after_commit", "match": PUT, "nth": 1, "seconds": 5}])
    client = connect(timeout_seconds=0.5)
    with pytest.raises(Unavailable, match="did not answer"):
        client.put_invoices(canonical({"Invoices": [invoice("SDP-1")]}), idempotency_key="key-1")
    assert numbers(client, "SDP-1") == ["SDP-1"]


def test_the_same_key_and_bytes_within_six_minutes_create_one_invoice(client, put):
    assert put("SDP-1")[0]["InvoiceID"] == put("SDP-1")[0]["InvoiceID"]
    assert numbers(client, "SDP-1") == ["SDP-1"]


@pytest.mark.parametrize("shape", ["message", "elements"])
def test_one_key_for_two_requests_is_a_conflict(client, control, put, shape):
    control("POST", "set", {"key_conflict_shape": shape})
    put("SDP-1")
    with pytest.raises(KeyConflict):
        put("SDP-2")
    assert numbers(client, "SDP-2") == []


def test_a_malformed_document_is_rejected_with_xeros_words(put):
    with pytest.raises(Rejected) as caught:
        put("SDP-1", LineAmountTypes="NO_TAX")
    assert caught.value.codes == [14]
    assert "NO_TAX" in caught.value.messages[0]


@pytest.mark.parametrize(("kind", "most"), [("rate_minute", 60), ("rate_concurrent", 2)])
def test_a_limit_delays_a_write_and_nothing_is_sent_twice(client, control, put, clock, kind, most):
    control("POST", "faults", [{"kind": kind, "match": PUT, "nth": 1}])
    put("SDP-1")
    assert 0 < sum(clock.slept) <= most + 1
    assert numbers(client, "SDP-1") == ["SDP-1"]


@pytest.mark.parametrize("case", ["lower", "title"])
def test_the_limit_of_the_day_stops_everything(client, control, put, case):
    control("POST", "set", {"rate_problem_case": case})
    control("POST", "faults", [{"kind": "rate_day", "match": PUT, "nth": 1, "retry_after": 73451}])
    with pytest.raises(DayLimitReached) as caught:
        put("SDP-1")
    assert caught.value.resume_at is not None
    with pytest.raises(DayLimitReached):
        client.organisation()


@pytest.mark.parametrize("window", ["fixed", "rolling"])
def test_no_limit_that_xero_counts_is_ever_broken(client, control, clock, monkeypatch, window):
    control("POST", "set", {"minute_limit": "20", "rate_window": window})
    sleep = clock.sleep

    def sleep_both(seconds):
        sleep(seconds)
        control("POST", "clock", {"advance_seconds": seconds})

    monkeypatch.setattr(clock, "sleep", sleep_both)
    for _ in range(50):
        client.organisation()
    assert not [call for call in control("GET", "calls") if call["status"] == 429]
    assert 60 < sum(clock.slept) < 180


def test_an_expired_token_is_renewed_in_the_middle_of_a_write(client, control, put):
    control("POST", "faults", [{"kind": "token_expired", "match": PUT, "nth": 1}])
    assert put("SDP-1")[0]["StatusAttributeString"] == "OK"


@pytest.mark.parametrize("spelling", ["insufficient_scope", "insufficent_scope"])
def test_a_missing_scope_is_named(connect, control, put, spelling):
    control("POST", "set", {"insufficient_scope": spelling})
    client = connect(scopes="accounting.contacts.read accounting.settings.read")
    assert client.organisation()
    with pytest.raises(AccessRefused, match=r"accounting\.invoices "):
        client.put_invoices(b"{}", idempotency_key="k")


def test_a_scope_that_was_not_granted_fails_at_the_token(connect):
    with pytest.raises(AccessRefused, match="leave scopes out"):
        connect(scopes="accounting.invoices payroll.employees").organisation()


def test_an_unknown_address_is_missing(client):
    with pytest.raises(Missing):
        client.get("Invoices/00000000-0000-4000-a000-00000000dead")


def log_in(url, config):
    """Do what a person does in the browser, and what msp-xero login does with the answer."""
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    redirect = "http://localhost:8765/callback"
    asked = requests.get(
        f"{url}/identity/connect/authorize",
        params={
            "response_type": "code",
            "client_id": "sandbox-pkce",
            "redirect_uri": redirect,
            "scope": "offline_access accounting.invoices accounting.contacts.read accounting.settings.read",
            "state": "s",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        },
        allow_redirects=False,
        timeout=30,
    )
    (code,) = parse_qs(urlsplit(asked.headers["Location"]).query)["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect,
        "code_verifier": verifier,
    }
    answer = requests.post(f"{url}/connect/token", data={**form, "client_id": "sandbox-pkce"}, timeout=30)
    return json.loads(answer.content)["refresh_token"]


def test_a_login_is_refreshed_rotated_and_reaches_its_organisation(url, config, connect, clock, session):
    chosen = {"client_id": "sandbox-pkce", "client_secret": None, "grant": "authorization_code"}
    settings = XeroSettings.from_config({**config, **chosen})
    store, name = TokenStore(settings.token_store), connection_name(settings)
    refresh = log_in(url, config)
    with store.locked():
        start = Token(
            access_token="none", issued_at=clock.now(), expires_at=clock.now(), refresh_token=refresh
        )
        store.save(name, start)
    assert connect(**chosen).organisation()["Name"]
    rotated = store.load(name)
    assert rotated.refresh_token not in {None, refresh}
    assert rotated.previous_refresh_token == refresh
    again = XeroAuth(settings, session=session, clock=clock).access_token(refused=rotated.access_token)
    assert again == store.load(name).access_token != rotated.access_token
