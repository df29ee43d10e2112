"""An answer that repeats our credentials."""

from __future__ import annotations

import pytest
from msp_xero.edges.redaction import without_secrets

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


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert without_secrets(b"\xff\xfe\x00", (KEY,)) == b"\xff\xfe\x00"
