"""An answer that repeats our credentials."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.edges.redaction import headers_without_secrets, without_secrets

KEY = "6A1F0C7E-11B2-4B6B-9F63-00AA12F0C9D1"


@pytest.mark.parametrize(
    ("body", "secrets", "expected"),
    [
        (f'{{"message": "no {KEY}, {KEY}"}}', (KEY,), b'{"message": "no [secret], [secret]"}'),
        ("two: first-secret second-secret", ("first-secret", "second-secret"), b"two: [secret] [secret]"),
        ("nothing here", (KEY, None, ""), b"nothing here"),
        ("an API answers", ("API", "an", "answers"), b"an API answers"),
        ("schlüssel-öäü", ("schlüssel-öäü",), b"[secret]"),
    ],
)
def test_secrets_are_masked_and_nothing_else(body, secrets, expected) -> None:
    assert without_secrets(body.encode(), secrets) == expected


def test_headers_are_masked_too_and_still_found_in_any_case() -> None:
    headers = headers_without_secrets({"X-Echo": f"Bearer {KEY}", "Date": "now"}, (KEY, None))
    assert headers == {"x-echo": "Bearer [secret]", "date": "now"}
    assert headers["DATE"] == "now"


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert without_secrets(b"\xff\xfe\x00", (KEY,)) == b"\xff\xfe\x00"


WRITERS = [
    lambda text: text,
    json.dumps,
    lambda text: json.dumps(text).replace("/", "\\/"),
    lambda text: quote(text, safe=""),
    quote_plus,
    html.escape,
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("client", ["", "c:", "cl:", "client:"])
def test_a_secret_is_found_however_it_is_written(write, client) -> None:
    secret = 'a/b+c d&e"f~g>?h'
    body = f"we got {write(client + secret)}, which is wrong".encode()
    masked = without_secrets(body, (secret,))
    assert b"[secret]" in masked
    assert masked.startswith(b"we got ")
    assert masked.endswith(b", which is wrong")
    assert len(masked) <= len("we got [secret], which is wrong") + len(write(client)) + 4


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60),
    st.sampled_from(WRITERS),
    st.text(max_size=9),
    st.text(max_size=9),
)
def test_no_writing_of_a_secret_gets_through(secret, write, before, after) -> None:
    body = (before + write(secret) + after).encode("utf-8", "replace")
    assert b"[secret]" in without_secrets(body, (secret,))


def test_a_secret_that_holds_another_one_is_masked_whole() -> None:
    assert without_secrets(b"key-long-and-more", ("key-long", "key-long-and-more")) == b"[secret]"
