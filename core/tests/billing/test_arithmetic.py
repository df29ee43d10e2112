"""To the cent, as Xero computes: against its own examples, an independent oracle and the local Xero."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msp_xero.billing.arithmetic import line_amount, line_tax, to_cents, totals
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import preview

TYPES = ("Exclusive", "Inclusive", "NoTax")

hours = st.decimals(min_value=0, max_value=999, places=4)
prices = st.decimals(min_value=0, max_value=99_999, places=4)
rates = st.decimals(min_value=0, max_value=100, places=2)
types = st.sampled_from(TYPES)


def half_up(value: Fraction, places: int) -> Fraction:
    """Round half away from zero, in whole numbers only: nothing of decimal is used."""
    scaled = abs(value) * 10**places
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Fraction(whole if value >= 0 else -whole, 10**places)


def oracle_line(quantity, price, rate, kind):
    amount = half_up(Fraction(quantity) * half_up(Fraction(price), 4), 2)
    percent = Fraction(rate) / 100
    if kind == "NoTax":
        return amount, Fraction(0)
    if kind == "Inclusive":
        return amount, amount - half_up(amount / (1 + percent), 2)
    return amount, half_up(amount * percent, 2)


@given(lines=st.lists(st.tuples(hours, prices, rates), max_size=30), kind=types)
def test_every_line_and_every_total_agrees_with_exact_fractions(lines, kind):
    ours, theirs = [], []
    for quantity, price, rate in lines:
        amount = line_amount(quantity, price)
        ours.append((amount, line_tax(amount, rate, kind)))
        theirs.append(oracle_line(quantity, price, rate, kind))
    assert [(Fraction(amount), Fraction(tax)) for amount, tax in ours] == theirs
    found = totals(ours, kind)
    amounts, taxes = sum(a for a, _ in theirs), sum(t for _, t in theirs)
    assert Fraction(found.tax) == taxes
    assert Fraction(found.total) == (amounts if kind != "Exclusive" else amounts + taxes)
    assert found.subtotal + found.tax == found.total
    assert {value.as_tuple().exponent for value in (found.subtotal, found.tax, found.total)} == {-2}


# xero-api §4.3
@pytest.mark.parametrize(
    ("quantity", "price", "rate", "kind", "expected"),
    [
        ("2", "10.50", "15", "Exclusive", ("21.00", "3.15", "24.15")),
        ("1", "541.25", "15", "Inclusive", ("470.65", "70.60", "541.25")),
        ("1", "541.25", "15", "NoTax", ("541.25", "0.00", "541.25")),
    ],
)
def test_the_examples_of_the_facts(quantity, price, rate, kind, expected):
    amount = line_amount(Decimal(quantity), Decimal(price))
    found = totals([(amount, line_tax(amount, Decimal(rate), kind))], kind)
    assert (str(found.subtotal), str(found.tax), str(found.total)) == expected


def test_tax_is_rounded_for_each_line_and_not_for_the_invoice():
    amounts = [Decimal("25.06"), Decimal("25.61"), Decimal("25.63")]
    taxes = [line_tax(amount, Decimal(15), "Exclusive") for amount in amounts]
    assert [str(tax) for tax in taxes] == ["3.76", "3.84", "3.84"]
    found = totals(zip(amounts, taxes, strict=True), "Exclusive")
    assert (str(found.tax), str(to_cents(sum(amounts) * Decimal("0.15")))) == ("11.44", "11.45")


@pytest.mark.parametrize(("value", "cents"), [("2.165", "2.17"), ("2.1649", "2.16"), ("0.005", "0.01")])
def test_halves_go_up(value, cents):
    assert to_cents(Decimal(value)) == Decimal(cents)


def test_no_lines_are_nothing():
    assert totals([], "Exclusive").total == 0


billed = st.tuples(
    st.decimals(min_value=0, max_value=200, places=4),
    st.one_of(
        st.tuples(prices, st.none()),
        st.tuples(st.none(), st.decimals(min_value=0, max_value=9999, places=2)),
        st.tuples(prices, st.decimals(min_value=0, max_value=9999, places=2)),
        st.just((None, None)),
    ),
    st.integers(0, 2),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(billed, min_size=1, max_size=12), kind=types)
def test_what_we_expect_is_what_xero_computes(make_world, sqlite_databases, tmp_path_factory, lines, kind):
    """A real write to the local Xero, which shares no code with us."""
    world = make_world(sqlite_databases.fresh(tmp_path_factory.mktemp("ledger")))
    world.deliver(
        *(
            world.line(number, quantity=quantity, unit_price=price, amount=amount, account=account)
            for number, (quantity, (price, amount), account) in enumerate(lines)
        )
    )
    expected = preview(world.ledger, world.client(), BillingSettings(line_amount_types=kind))
    world.settle(line_amount_types=kind)
    world.assert_exactly_once(len(lines))
    in_xero = {i["InvoiceNumber"]: (i["SubTotal"], i["TotalTax"], i["Total"]) for i in world.ours()}
    assert in_xero == {i.number: (i.subtotal, i.tax, i.total) for i in expected.invoices}
    charges = {str(1000 + n): amount for n, (_, (_, amount), _) in enumerate(lines) if amount is not None}
    for invoice in world.ours():
        for line in invoice["LineItems"]:
            worklog_id = line["Description"].rsplit(" ", 1)[1].rstrip(")")
            assert line["LineAmount"] == charges.get(worklog_id, line["LineAmount"])
    world.ledger.close()
