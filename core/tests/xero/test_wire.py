from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.xero import wire

INSTANTS = st.datetimes(timezones=st.just(UTC))
MONEY = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**10), max_value=10**10)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | MONEY | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(INSTANTS, st.sampled_from(["", "+0000", "+1300", "-0500"]))
def test_millisecond_dates_are_utc_whatever_their_offset_says(moment, offset):
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    ms = (moment - wire.EPOCH) // timedelta(milliseconds=1)
    assert wire.parse_instant(f"/Date({ms}{offset})/") == moment


@given(INSTANTS, INSTANTS)
def test_utc_text_round_trips_and_sorts_as_time_does(one, other):
    assert wire.parse_instant(wire.utc_text(one)) == one
    assert len(wire.utc_text(one)) == 27
    assert (wire.utc_text(one) < wire.utc_text(other)) is (one < other)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("/Date(1439434356790)/", datetime(2015, 8, 13, 2, 52, 36, 790000, tzinfo=UTC)),
        ("/Date(1419937200000+0000)/", datetime(2014, 12, 30, 11, 0, tzinfo=UTC)),
        ("/Date(-62135596800000)/", datetime(1, 1, 1, tzinfo=UTC)),
        ("2026-09-14T09:29:59Z", datetime(2026, 9, 14, 9, 29, 59, tzinfo=UTC)),
        ("2026-09-14T09:29:59", datetime(2026, 9, 14, 9, 29, 59, tzinfo=UTC)),
        ("2026-09-14T10:29:59+01:00", datetime(2026, 9, 14, 9, 29, 59, tzinfo=UTC)),
    ],
)
def test_forms_of_an_instant(text, moment):
    assert wire.parse_instant(text) == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "/Date()/", "/Date(12", "/Date(999999999999999999)/", "2026-13-01"]
)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ValueError, match=r".*"):
        wire.parse_instant(text)


def test_calendar_dates_are_midnight_utc():
    assert wire.parse_day("/Date(1789344000000+0000)/") == date(2026, 9, 14)
    assert wire.parse_day("2026-09-14T00:00:00") == wire.parse_day("2026-09-14") == date(2026, 9, 14)


def test_modified_since_is_whole_seconds_rounded_down_without_zone():
    moment = datetime(2026, 11, 12, 1, 2, 3, 999999, tzinfo=UTC)
    assert wire.modified_since(moment) == "2026-11-12T01:02:03"


@given(VALUES)
def test_canonical_bytes_decode_to_the_same_value(value):
    assert wire.decode(wire.canonical(value)) == value


@given(st.dictionaries(TEXT, VALUES, min_size=2, max_size=5))
def test_canonical_bytes_do_not_depend_on_the_order_of_keys(value):
    assert wire.canonical(value) == wire.canonical(dict(reversed(value.items())))


def test_decimals_keep_every_digit():
    body = wire.canonical({"b": Decimal("128.1950"), "a": Decimal("1E+2"), "c": [Decimal("0E-4")]})
    assert body == b'{"a":100,"b":128.1950,"c":[0.0000]}'
    assert str(wire.decode(b'{"UnitPrice":128.1950}')["UnitPrice"]) == "128.1950"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0.1, TypeError),
        (Decimal("NaN"), ValueError),
        (Decimal("Infinity"), ValueError),
        ("\ud800", ValueError),
    ],
)
def test_what_would_lose_money_or_break_json_is_refused(value, error):
    with pytest.raises(error):
        wire.canonical({"Quantity": value})


@pytest.mark.parametrize("raw", [b"", b'{"a":1', b"<html>", b'{"a":"\xff"}', b"[" * 100_000])
def test_broken_json_is_a_value_error_that_quotes_nothing(raw):
    with pytest.raises(ValueError, match=r"^not valid JSON$"):
        wire.decode(raw)


@given(MONEY)
def test_money_reaches_other_parsers_as_a_number(amount):
    assert json.loads(wire.canonical(amount), parse_float=Decimal, parse_int=Decimal) == amount
