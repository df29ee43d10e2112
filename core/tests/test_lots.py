"""Lots hold every value once, in order, and none is longer than what was asked for."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.lots import lots


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
def test_every_value_is_in_one_lot_in_its_order(values, size):
    cut = list(lots(values, size))
    assert [one for lot in cut for one in lot] == values
    assert all(len(lot) == size for lot in cut[:-1])
    assert all(1 <= len(lot) <= size for lot in cut)


def test_values_are_read_when_their_lot_is_asked_for():
    endless = itertools.count()
    first = next(lots(endless, 3))
    assert (first, next(endless)) == ([0, 1, 2], 3)


@pytest.mark.parametrize("nothing", [[], {}, iter(())])
def test_of_nothing_there_is_no_lot(nothing):
    assert list(lots(nothing)) == []
