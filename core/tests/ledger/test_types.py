"""What is stored comes back exactly, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msp_xero.ledger.store import make_engine
from msp_xero.ledger.types import (
    Amount,
    ExactJson,
    UtcDateTime,
    amount_from_stored,
    decode_exact,
    encode_exact,
)
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select

TABLE = Table(
    "thing",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("amount", Amount),
    Column("moment", UtcDateTime),
    Column("data", ExactJson),
)
# One engine serves all examples of a test; the examples do not touch each other's rows.
ON_ONE_ENGINE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

amounts = st.decimals(min_value=-(10**14), max_value=10**14, places=4)
moments = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(9000, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=13)), timezone(timedelta(hours=-9.5))]),
)
# What a Singer message can hold: JSON text cannot bring lone surrogates, but it can bring NUL.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.decimals(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def engine(databases, tmp_path):
    engine = make_engine(databases.empty(tmp_path))
    TABLE.metadata.create_all(engine)
    yield engine
    engine.dispose()


def stored(engine, **row):
    with engine.begin() as connection:
        key = connection.execute(insert(TABLE).values(**row)).inserted_primary_key[0]
        [name] = row
        return connection.scalar(select(TABLE.c[name]).where(TABLE.c.id == key))


@ON_ONE_ENGINE
@given(amount=amounts)
def test_an_amount_comes_back_to_the_ten_thousandth(engine, amount):
    back = stored(engine, amount=amount)
    assert back == amount
    assert back.as_tuple().exponent == -4


@ON_ONE_ENGINE
@given(several=st.lists(amounts, min_size=1, max_size=8))
def test_a_sum_in_the_database_is_exact(engine, several):
    with engine.begin() as connection:
        connection.execute(TABLE.delete())
        connection.execute(insert(TABLE), [{"amount": amount} for amount in several])
        assert connection.scalar(select(func.sum(TABLE.c.amount))) == sum(several)


@pytest.mark.parametrize("amount", ["0.00001", "1.23456", "-0.00005"])
def test_an_amount_with_more_decimals_is_refused_and_not_rounded(amount):
    with pytest.raises(ValueError, match="more than 4 decimals"):
        Amount().process_bind_param(Decimal(amount), None)


def test_no_amount_is_nothing_and_no_sum_is_zero(engine):
    assert stored(engine, amount=None) is None
    assert amount_from_stored(None) == 0


@ON_ONE_ENGINE
@given(moment=moments)
def test_a_moment_comes_back_as_the_same_moment_in_utc(engine, moment):
    back = stored(engine, moment=moment)
    assert back == moment
    assert back.utcoffset() == timedelta(0)


def test_a_naive_time_is_refused(engine):
    with pytest.raises(Exception, match="naive time"):
        stored(engine, moment=datetime(2026, 11, 22))  # noqa: DTZ001


@ON_ONE_ENGINE
@given(value=values)
def test_json_comes_back_with_every_digit_and_every_character(engine, value):
    assert stored(engine, data={"value": value}) == {"value": value}


@given(value=values)
def test_equal_json_has_one_text_so_that_its_digest_is_stable(value):
    text = encode_exact(value)
    assert encode_exact(decode_exact(text)) == text
