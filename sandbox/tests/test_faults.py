"""Every fault kind as a client feels it, over a real socket."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

KEY = {"Idempotency-Key": "k"}
WRITE = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}
LOST = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def post(live, **fault):
    return live.control("POST", "faults", {"match": WRITE, "nth": 1, **fault})


def last_call(live):
    return live.control("GET", "calls")[-1]


def test_reset_before_commits_nothing(live, books):
    post(live, kind="reset_before")
    with pytest.raises(requests.ConnectionError, match="reset"):
        live.put(books.invoice("SDP-1"))
    assert live.numbers() == ["OLD-1"]
    assert (last_call(live)["fault"], last_call(live)["status"]) == ("reset_before", None)
    assert live.put(books.invoice("SDP-1")).status_code == 200


def test_reset_after_commit_loses_the_answer(live, books):
    post(live, kind="reset_after_commit")
    with pytest.raises(requests.ConnectionError, match="reset"):
        live.put(books.invoice("SDP-1"), headers=KEY)
    assert live.numbers() == ["OLD-1", "SDP-1"]
    assert live.put(books.invoice("SDP-1"), headers=KEY).status_code == 200, "the key replays the lost answer"


def test_timeout_after_commit_never_answers(live, books):
    post(live, kind="timeout_after_commit")
    with pytest.raises(requests.ReadTimeout):
        live.session.put(
            f"{live.url}/api.xro/2.0/Invoices", json={"Invoices": [books.invoice("SDP-1")]}, timeout=0.2
        )
    assert live.numbers() == ["OLD-1", "SDP-1"]


def test_timeout_after_commit_ends_with_a_reset(live, books):
    post(live, kind="timeout_after_commit", seconds=0.05)
    with pytest.raises(requests.ConnectionError):
        live.put(books.invoice("SDP-1"))
    assert live.numbers() == ["OLD-1", "SDP-1"]


@pytest.mark.parametrize(("commit", "numbers"), [(False, ["OLD-1"]), (True, ["OLD-1", "SDP-1"])])
def test_status_before_or_after_commit(live, books, commit, numbers):
    post(live, kind="status", status=500, commit=commit)
    failed = live.put(books.invoice("SDP-1"), headers=KEY)
    assert (failed.status_code, failed.json()["Title"]) == (500, "An error occurred")
    assert live.numbers() == numbers
    assert live.put(books.invoice("SDP-1"), headers=KEY).status_code == 500, (
        "an internal error stays under its key"
    )


def test_status_of_a_gateway_is_not_kept_under_the_key(live, books):
    post(live, kind="status", status=503, headers={"Retry-After": "7"})
    failed = live.put(books.invoice("SDP-1"), headers=KEY)
    assert (failed.status_code, failed.text) == (503, "The Xero API is temporarily unavailable")
    assert failed.headers["Retry-After"] == "7"
    assert live.put(books.invoice("SDP-1"), headers=KEY).status_code == 200


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("The Organisation is offline", "text/plain"), ({"any": ["json"]}, "application/json")],
)
def test_status_with_a_body_of_its_own(live, books, body, content_type):
    post(live, kind="status", status=502, body=body)
    failed = live.put(books.invoice("SDP-1"))
    assert (failed.status_code, failed.headers["Content-Type"].split(";")[0]) == (502, content_type)
    assert body == (failed.text if isinstance(body, str) else failed.json())


def test_truncate_commits_and_cuts_the_body(live, books):
    post(live, kind="truncate", keep=0.5)
    with pytest.raises(LOST, match="IncompleteRead"):
        live.put(books.invoice("SDP-1"))
    assert live.numbers() == ["OLD-1", "SDP-1"]


def test_slow_answers_late(live, books):
    post(live, kind="slow", seconds=0.1)
    began = time.monotonic()
    assert live.put(books.invoice("SDP-1")).status_code == 200
    assert time.monotonic() - began >= 0.1


def test_what_is_slow_goes_on_as_soon_as_the_faults_are_removed(live, books):
    post(live, kind="slow", seconds=600)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(live.put, books.invoice("SDP-1"))
        deadline = time.monotonic() + 30
        while "SDP-1" not in live.numbers():
            assert time.monotonic() < deadline
        assert not answer.done()
        live.control("DELETE", "faults")
        assert answer.result(30).status_code == 200


def test_slow_can_commit_after_the_client_has_left(live, books):
    post(live, kind="slow", seconds=60, commit="after")
    with pytest.raises(requests.ReadTimeout):
        live.session.put(
            f"{live.url}/api.xro/2.0/Invoices", json={"Invoices": [books.invoice("SDP-1")]}, timeout=1
        )
    assert live.numbers() == ["OLD-1"], "not yet"
    live.control("DELETE", "faults")
    deadline = time.monotonic() + 30
    while "SDP-1" not in live.numbers():
        assert time.monotonic() < deadline
    assert last_call(live)["status"] == 200


@pytest.mark.parametrize(
    ("kind", "more", "problem", "wait"),
    [
        ("rate_minute", {}, "minute", "26"),
        ("rate_minute", {"retry_after": 3}, "minute", "3"),
        ("rate_day", {}, "day", "73451"),
        ("rate_concurrent", {}, "concurrent", None),
    ],
)
def test_rate_limits_look_as_recorded(live, books, kind, more, problem, wait):
    post(live, kind=kind, **more)
    refused = live.put(books.invoice("SDP-1"))
    assert (refused.status_code, refused.content) == (429, b"")
    assert "Content-Type" not in refused.headers
    assert refused.headers["X-Rate-Limit-Problem"] == problem
    assert refused.headers.get("Retry-After") == wait
    assert live.numbers() == ["OLD-1"]


def test_token_expired_really_ends_the_token(live, books):
    post(live, kind="token_expired")
    for _ in range(2):
        refused = live.put(books.invoice("SDP-1"))
        assert (refused.status_code, refused.json()["Detail"][:12]) == (401, "TokenExpired")
    granted = live.session.post(
        f"{live.url}/connect/token",
        auth=("sandbox-client", "sandbox-secret"),
        data={"grant_type": "client_credentials"},
        timeout=10,
    )
    live.session.headers["Authorization"] = f"Bearer {granted.json()['access_token']}"
    assert live.put(books.invoice("SDP-1")).status_code == 200


def test_revoked_lasts_until_the_faults_are_cleared(live, books):
    post(live, kind="revoked")
    assert live.put(books.invoice("SDP-1")).status_code == 403
    assert live.call("GET", "/Organisation").json()["Detail"] == "AuthenticationUnsuccessful"
    token = live.session.post(
        f"{live.url}/connect/token", data={"grant_type": "client_credentials"}, timeout=10
    )
    assert (token.status_code, token.json()) == (400, {"error": "invalid_grant"})
    live.control("DELETE", "faults")
    assert live.put(books.invoice("SDP-1")).status_code == 200


@pytest.mark.parametrize(("more", "status"), [({}, 200), ({"status": 502}, 502)])
def test_html_comes_with_any_status(live, books, more, status):
    post(live, kind="html", **more)
    page = live.put(books.invoice("SDP-1"))
    assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert page.text.startswith("<!DOCTYPE html>")
    assert live.numbers() == ["OLD-1"]


def test_echo_repeats_the_credentials_in_body_and_headers(live, books):
    post(live, kind="echo", status=403)
    answer = live.put(books.invoice("SDP-1"))
    sent = answer.request.headers["Authorization"]
    assert answer.status_code == 403
    assert answer.headers["Xero-Correlation-Id"] == answer.headers["WWW-Authenticate"] == sent
    assert answer.json()["request"]["headers"]["authorization"] == answer.json()["Detail"] == sent
    assert "SDP-1" in answer.json()["request"]["body"]
    assert live.numbers() == ["OLD-1"]


def test_hide_fresh_leaves_new_rows_out_of_lists(live, books):
    live.put(books.invoice("SDP-1"))
    match = {"method": "GET", "path": "/api.xro/2.0/Invoices"}
    live.control("POST", "faults", {"match": match, "times": 2, "kind": "hide_fresh", "seconds": 60})
    found = [live.call("GET", "/Invoices?InvoiceNumbers=SDP-1&page=1").json()["Invoices"] for _ in range(3)]
    assert [len(rows) for rows in found] == [0, 0, 1]


def test_duplicate_delivery_processes_the_request_twice(live, books):
    post(live, kind="duplicate_delivery")
    assert live.put(books.invoice()).status_code == 200
    assert len(live.numbers()) == 3
    post(live, kind="duplicate_delivery")
    assert live.put(books.invoice("SDP-1")).status_code == 400, "the number is the guard"
    post(live, kind="duplicate_delivery")
    assert live.put(books.invoice("SDP-2"), headers=KEY).status_code == 200, "and so is the key"


def test_nth_counts_matches_from_the_posting(live, books):
    live.put(books.invoice("SDP-0"))
    post(live, kind="status", status=502, nth=2, times=2)
    statuses = [live.put(books.invoice(f"SDP-{n}")).status_code for n in range(1, 5)]
    assert statuses == [200, 502, 502, 200]
    (shown,) = live.control("GET", "faults")
    assert (shown["seen"], shown["applied"]) == (4, 2)


def test_faults_match_by_method_path_query_and_body(live, books):
    matches = [
        {"regex": r"/Items$"},
        {"query": {"page": "2"}},
        {"contains": "SDP-7"},
        {"method": "delete"},
    ]
    for match in matches:
        live.control("POST", "faults", {"match": match, "kind": "status", "status": 502})
    assert live.call("GET", "/Items").status_code == 502
    assert live.call("GET", "/Contacts?page=1").status_code == 200
    assert live.call("GET", "/Contacts?page=2").status_code == 502
    assert live.put(books.invoice("SDP-6")).status_code == 200
    assert live.put(books.invoice("SDP-7")).status_code == 502
    assert live.call("DELETE", "/Items/x").status_code == 502
    live.control("DELETE", "faults")
    assert live.control("GET", "faults") == []
    assert live.call("GET", "/Items").status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "nonsense"},
        {},
        {"kind": "slow", "second": 1},
        {"kind": "status", "match": {"url": "/"}},
        {"kind": "status", "nth": 0},
        {"kind": "status", "match": {"regex": "("}},
    ],
)
def test_wrong_faults_are_refused_with_a_reason(live, fault):
    answer = live.session.post(
        f"{live.url}/_sandbox/faults", json=[{"kind": "reset_before"}, fault], timeout=10
    )
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
    assert live.control("GET", "faults") == [], "all or nothing"
