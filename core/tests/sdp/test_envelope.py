from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from msp_xero.errors import (
    AccessRefused,
    Missing,
    NoAddress,
    NotLicensed,
    Rejected,
    RemoteError,
    Throttled,
    Unavailable,
)
from msp_xero.sdp.envelope import Answer, read_answer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOGIN = b"<!DOCTYPE html><html><form action='j_security_check'><input type='password'></form></html>"
PAGE = b"<html><body>It works!</body></html>"


def read(payload, status=200, headers=None):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    answer = Answer(status=status, body=body, headers=headers or {})
    return read_answer(answer, address="GET http://sdp/api/v3/requests", now=NOW)


def inner(code, **message):
    messages = [{"status_code": code, "type": "failed", **message}]
    return {"response_status": {"status_code": 4000, "status": "failed", "messages": messages}}


def outer(code):
    return {"response_status": [{"status_code": code, "status": "failed"}]}


@pytest.mark.parametrize(
    "payload",
    [
        {"response_status": {"status_code": 2000, "status": "success"}},
        {"response_status": [{"status_code": 2000, "status": "success"}]},
        {"response_status": {"status_code": "2000", "status": "success"}},
        {"response_status": {"status_code": 2000, "status": "success", "messages": [{"type": "warning"}]}},
        {"worklogs": []},
    ],
)
def test_success(payload):
    assert read(payload) == payload


@pytest.mark.parametrize("text", [b"Printer \\ud83d", b"caf\xe9"], ids=["half a character", "Latin-1"])
def test_one_badly_encoded_text_makes_no_list_unreadable(text):
    body = b'{"worklogs": [{"id": "301", "total_cost": 0.10, "description": "' + text + b'"}]}'
    [row] = read(body)["worklogs"]
    assert (row["id"], str(row["total_cost"])) == ("301", "0.10")
    assert row["description"].endswith("\ufffd")


@pytest.mark.parametrize("shape", [inner, outer])
@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (4001, 400, Rejected),
        (4002, 403, AccessRefused),
        (4004, 500, Unavailable),
        (4005, 400, Rejected),
        (4007, 404, Missing),
        (4008, 400, Rejected),
        (4009, 400, Rejected),
        (4012, 400, Rejected),
        (4014, 400, Rejected),
        (4015, 429, Throttled),
        (4016, 400, Rejected),
        (4021, 400, Rejected),
        (4022, 401, AccessRefused),
        (7001, 400, NotLicensed),
        (4999, 400, Rejected),
    ],
)
def test_codes_mean_the_same_inside_and_outside_and_with_any_http_status(shape, code, status, error):
    for http in (status, 200):
        with pytest.raises(RemoteError) as caught:
            read(shape(code), http)
        assert type(caught.value) is error
        assert "GET http://sdp/api/v3/requests" in str(caught.value)


def test_refused_fields_and_codes_are_told():
    with pytest.raises(Rejected) as caught:
        read(inner(4012, fields=["name", "login_url"]), 400)
    error = caught.value
    assert (error.codes, error.fields) == ([4012], ["name", "login_url"])
    assert error.messages == ["a mandatory field is missing (name, login_url)"]


def test_the_systems_own_words_are_used():
    with pytest.raises(Rejected, match="Name is taken"):
        read(inner(4008, message="Name is taken"), 400)


@pytest.mark.parametrize(
    ("body", "status", "error", "words"),
    [
        (LOGIN, 200, AccessRefused, "login page"),
        (PAGE, 200, Unavailable, "web page"),
        (PAGE, 404, NoAddress, "does not exist"),
        (b"", 404, NoAddress, "does not exist"),
        (b'{"message": "no route"}', 404, NoAddress, "does not exist"),
        (PAGE, 500, Unavailable, "web page"),
        (PAGE, 401, AccessRefused, "refused"),
        (PAGE, 403, AccessRefused, "refused"),
        (PAGE, 429, Throttled, "too many"),
        (b"", 200, Unavailable, "empty"),
        (b"", 502, Unavailable, "502"),
        (b"", 302, AccessRefused, "redirected to https://sdp ("),
        (b"{}", 302, AccessRefused, "redirected"),
        (b'{"requests": [{"id"', 200, Unavailable, "cut or not JSON"),
        (b"\xff\xfe", 200, Unavailable, "not JSON"),
        (b"[1]", 200, Unavailable, "not an API answer"),
        (b'"x"', 503, Unavailable, "not an API answer"),
        (b"{}", 503, Unavailable, "internal error"),
    ],
)
def test_answers_that_are_no_api_answers_get_one_clear_sentence(body, status, error, words):
    with pytest.raises(RemoteError) as caught:
        read(body, status, {"location": "https://sdp/login?token=secret"})
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0), ("soon", None), (None, None)],
)
def test_the_wait_that_the_server_asks_for(header, seconds):
    with pytest.raises(Throttled) as caught:
        read(inner(4015), 429, {"retry-after": header} if header else {})
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://sso.example.com:8443/login;key=KEY-1", "https://sso.example.com:8443 ("),
        ("https://KEY-1@sso.example.com/", "https://sso.example.com ("),
        ("http://[::1", "another address"),
        ("KEY-1", "another address"),
        ("/login/KEY-1", "another address"),
        ("ftp://KEY-1/", "another address"),
        ("https://host:KEY-1/", "another address"),
    ],
)
def test_a_redirect_shows_a_server_and_nothing_behind_it(location, shown):
    with pytest.raises(AccessRefused) as caught:
        read(b"", 302, {"location": location})
    assert f"redirected to {shown}" in str(caught.value)
    assert "KEY-1" not in str(caught.value)
