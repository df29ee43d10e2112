from __future__ import annotations

import pytest


def test_minute_limit_refuses_with_an_empty_answer_and_opens_again(xero):
    xero.switch(minute_limit="3")
    left = [xero.get("/Organisation").headers["x-minlimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    xero.clock.advance(34)
    refused = xero.get("/Organisation")
    assert (refused.status, refused.body) == (429, b"")
    assert "content-type" not in refused.headers
    assert refused.headers["x-rate-limit-problem"] == "minute"
    assert refused.headers["x-minlimit-remaining"] == "0"
    assert refused.headers["x-daylimit-remaining"] == "4997", "a refused call is not counted"
    assert refused.headers["retry-after"] == "26"
    xero.clock.advance(26)
    assert xero.get("/Organisation").headers["x-minlimit-remaining"] == "2"


def test_rolling_windows_open_call_by_call(xero):
    xero.switch(minute_limit="2", rate_window="rolling")
    xero.get("/Organisation")
    xero.clock.advance(30)
    xero.get("/Organisation")
    assert xero.get("/Organisation").headers["retry-after"] == "30"
    xero.clock.advance(30)
    assert xero.get("/Organisation").status == 200
    assert xero.get("/Organisation").status == 429


def test_day_limit_says_how_long_it_lasts(xero):
    xero.switch(day_limit="1", rate_problem_case="title")
    xero.get("/Organisation")
    xero.sign_in()
    xero.clock.advance(600)
    refused = xero.get("/Organisation")
    assert (refused.status, refused.headers["x-rate-limit-problem"]) == (429, "Day")
    assert refused.headers["retry-after"] == str(86400 - 600)
    assert refused.headers["x-daylimit-remaining"] == "0"
    xero.clock.advance(86400)
    xero.sign_in()
    assert xero.get("/Organisation").status == 200


@pytest.mark.parametrize("window", ["fixed", "rolling"])
def test_a_limit_of_zero_refuses_the_first_call(xero, window):
    xero.switch(day_limit="0", rate_window=window)
    assert xero.get("/Organisation").headers["retry-after"] == "86400"


def test_app_minute_limit(xero):
    xero.switch(app_minute_limit="1")
    xero.get("/Organisation")
    assert xero.get("/Organisation").headers["x-rate-limit-problem"] == "appminute"


def test_limits_come_before_idempotency_and_validation(xero, books):
    xero.switch(minute_limit="1")
    assert xero.put(books.invoice("SDP-1"), idempotency_key="k").status == 200
    assert xero.put(books.invoice("SDP-1"), idempotency_key="k").status == 429


def test_bad_tokens_are_not_counted(xero):
    for _ in range(3):
        xero.get("/Organisation", Authorization="Bearer nonsense")
    assert xero.get("/Organisation").headers["x-daylimit-remaining"] == "4999"


def test_windows_belong_to_one_app(xero):
    xero.switch(minute_limit="1")
    xero.get("/Organisation")
    assert xero.get("/Organisation").status == 429
    assert xero.get("/connections").status == 200, "connections are not a tenant's call"


def test_oversized_requests_are_refused(xero, books):
    xero.switch(max_request_bytes="100")
    assert xero.put(books.invoice("SDP-1")).status == 413


@pytest.mark.parametrize(
    ("name", "value"), [("nonsense", "1"), ("minute_limit", "x"), ("rate_window", "x"), ("null_guard", "yes")]
)
def test_bad_switches_are_named(xero, name, value):
    with pytest.raises(ValueError, match=name):
        xero.app.set_switch(name, value)
