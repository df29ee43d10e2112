from __future__ import annotations

from pathlib import Path

import pytest
from msp_xero_sandbox.faults import KINDS
from msp_xero_sandbox.xero.switches import Switches


def test_calls_are_logged_without_secrets(live, books):
    live.put(books.invoice("SDP-1"), headers={"Idempotency-Key": "k", "Cookie": "session=1"})
    token, write = live.control("GET", "calls")
    assert (token["n"], token["path"], token["headers"]["authorization"]) == (1, "/connect/token", "***")
    assert write["n"] == 2
    assert (write["method"], write["path"], write["query"]) == (
        "PUT",
        "/api.xro/2.0/Invoices",
        {"unitdp": "4"},
    )
    assert (write["headers"]["authorization"], write["headers"]["cookie"]) == ("***", "***")
    assert write["headers"]["idempotency-key"] == "k"
    assert (write["status"], write["fault"]) == (200, None)
    assert len(write["body_sha256"]) == 64
    assert write["body_size"] > 100
    assert "request_body" not in write
    assert [call["n"] for call in live.control("GET", "calls?since=1")] == [2]


def test_summary_counts_by_route(live):
    for path in (
        "/Items",
        "/Items",
        "/Contacts/aaaaaaaa-0000-4000-a000-000000000000",
        "/Invoices/SDP-000017",
    ):
        live.call("GET", path)
    assert live.control("GET", "calls?summary=1") == {
        "GET /api.xro/2.0/Contacts/{id}": 1,
        "GET /api.xro/2.0/Invoices/{id}": 1,
        "GET /api.xro/2.0/Items": 2,
        "POST /connect/token": 1,
    }


def test_bodies_are_recorded_when_asked_for_and_never_those_with_tokens(live, books):
    live.control("POST", "set", {"record_bodies": True})
    live.session.post(f"{live.url}/connect/token", data={"client_secret": "s3cret"}, timeout=10)
    live.put(books.invoice("SDP-1"))
    token, write = live.control("GET", "calls?bodies=1&since=1")
    assert (token["request_body"], token["response_body"]) == ("***", "***")
    assert '"SDP-1"' in write["request_body"]
    assert '"Invoices":[' in write["response_body"]


def test_dump_by_kind(live):
    assert set(live.control("GET", "dump?kinds=invoices,contacts")) == {"invoices", "contacts"}
    dump = live.control("GET", "dump")
    assert {"organisation", "accounts", "tax_rates", "items", "history", "currencies"} <= set(dump)
    assert dump["invoices"][0]["Total"] == 115.0


def test_reset_clears_everything(live, books):
    live.put(books.invoice("SDP-1"))
    live.control("POST", "clock", {"advance_seconds": 100_000})
    live.control("POST", "set", {"xero.day_limit": 1})
    live.control("POST", "faults", {"kind": "reset_before"})
    live.control("POST", "reset")
    assert live.control("GET", "calls") == []
    assert live.control("GET", "faults") == []
    assert live.numbers() == ["OLD-1"]
    assert live.call("GET", "/Organisation").status_code == 401


def test_the_moved_clock_expires_tokens(live):
    assert live.call("GET", "/Organisation").status_code == 200
    moved = live.control("POST", "clock", {"advance_seconds": 1800})
    assert moved["now"].endswith("+00:00")
    assert live.call("GET", "/Organisation").status_code == 401


def test_rows_one_or_many(live):
    one = live.control("POST", "rows", {"kind": "contact", "action": "add", "values": {"Name": "One"}})
    assert one["Name"] == "One"
    change = {"kind": "contact", "action": "archive", "id": "One"}
    assert live.control("POST", "rows", [change, change])[1]["ContactStatus"] == "ARCHIVED"


def test_switches_with_and_without_the_name_of_the_system(live):
    live.control("POST", "set", {"xero.day_limit": 1})
    assert live.call("GET", "/Organisation").status_code == 200
    assert live.call("GET", "/Organisation").status_code == 429
    live.control("POST", "set", {"day_limit": "none"})
    assert live.call("GET", "/Organisation").status_code == 200


def test_control_calls_are_neither_logged_nor_limited_nor_broken(live):
    live.control("POST", "faults", {"kind": "reset_before"})
    live.control("POST", "set", {"minute_limit": 0})
    assert live.control("GET", "")["system"] == "xero"
    assert [call["path"] for call in live.control("GET", "calls")] == ["/connect/token"]


@pytest.mark.parametrize(
    ("method", "name", "content", "status"),
    [
        ("GET", "nonsense", None, 404),
        ("POST", "set", {"nonsense": 1}, 400),
        ("POST", "set", {"record_bodies": "maybe"}, 400),
        ("POST", "clock", {"advance_seconds": -1}, 400),
        ("POST", "clock", {}, 400),
        ("POST", "rows", {"kind": "contact", "action": "delete"}, 400),
        ("POST", "rows", None, 400),
        ("GET", "dump?kinds=nonsense", None, 400),
    ],
)
def test_wrong_control_calls_say_what_is_wrong(live, method, name, content, status):
    answer = live.session.request(method, f"{live.url}/_sandbox/{name}", json=content, timeout=10)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_readme_lists_every_switch_and_every_fault():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    for name, default, text in Switches.documented():
        assert f"| `xero.{name}` | {f'`{default}`' if default else 'empty'} | {text} |" in readme
    for kind, params in KINDS.items():
        assert f"`{kind}`" in readme
        assert all(f"`{param}`" in readme for param in params)
