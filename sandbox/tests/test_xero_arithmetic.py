from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero_sandbox.xero.arithmetic import line_amount, line_tax, totals, unit_price


def compute(lines, rate, types):
    amounts = [line_amount(quantity, price) for quantity, price in lines]
    return totals([(amount, line_tax(amount, rate, types)) for amount in amounts], types)


def test_recorded_exclusive_invoice():
    assert compute([(Decimal(2), Decimal("10.50"))], Decimal(15), "Exclusive") == (
        Decimal("21.00"),
        Decimal("3.15"),
        Decimal("24.15"),
    )


def test_recorded_inclusive_line():
    assert compute([(Decimal(1), Decimal("541.25"))], Decimal(15), "Inclusive") == (
        Decimal("470.65"),
        Decimal("70.60"),
        Decimal("541.25"),
    )


def test_tax_is_rounded_per_line_and_then_summed():
    lines = [(Decimal(1), Decimal("25.06")), (Decimal(1), Decimal("25.61")), (Decimal(1), Decimal("25.63"))]
    assert compute(lines, Decimal(15), "Exclusive").total_tax == Decimal("11.44")


def test_no_tax_has_none():
    assert compute([(Decimal(3), Decimal("9.99"))], Decimal(15), "NoTax") == (
        Decimal("29.97"),
        Decimal("0.00"),
        Decimal("29.97"),
    )


@pytest.mark.parametrize(
    ("price", "places", "rounded"),
    [("0.1648", 2, "0.16"), ("0.1648", 4, "0.1648"), ("2.165", 2, "2.17"), ("2.16505", 4, "2.1651")],
)
def test_unit_price_is_rounded_half_up_before_anything_is_computed(price, places, rounded):
    assert unit_price(Decimal(price), places) == Decimal(rounded)


def test_discount_comes_off_before_rounding():
    assert line_amount(Decimal(3), Decimal("10.05"), Decimal("12.5")) == Decimal("26.38")


@given(
    st.lists(st.tuples(st.decimals(0, 9999, places=4), st.decimals(0, 9999, places=4)), max_size=20),
    st.decimals(0, 30, places=2),
    st.sampled_from(["Exclusive", "Inclusive", "NoTax"]),
)
def test_total_is_always_subtotal_plus_tax(lines, rate, types):
    sums = compute(lines, rate, types)
    assert sums.total == sums.sub_total + sums.total_tax
    if types != "Exclusive":
        assert sums.total == sum((line_amount(*each) for each in lines), Decimal(0))
