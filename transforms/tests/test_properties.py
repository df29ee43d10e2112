from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from msp_xero_transforms.plain_text import from_html, shorten, tidy, utf16_length
from msp_xero_transforms.steps.describe import MAX_DESCRIPTION, RESERVED
from msp_xero_transforms.steps.duration import hours

CENT = Decimal("0.01")
# A busy machine is not a failure.
unhurried = settings(deadline=None)
minutes = st.integers(0, 999_999)
charges = st.decimals("-100000", "9999999999.99", places=4)


@unhurried
@given(minutes)
def test_hours_are_within_half_a_unit_of_the_last_place(number):
    quantity = hours(number)
    assert quantity.as_tuple().exponent == -4
    assert abs(quantity * 60 - number) <= Decimal("0.00005") * 60


@unhurried
@given(minutes=minutes, charge=charges)
def test_quantity_times_price_is_the_amount_to_the_cent(line, minutes, charge):
    billed = line({"rate_source": "worklog_charge"}, minutes=minutes, total_cost=charge)
    rounded = charge.quantize(CENT, ROUND_HALF_UP)
    assert billed.amount == rounded
    assert billed.quantity * billed.unit_price == rounded
    # Both fit Xero's four decimals, so that it computes with the same numbers as we do.
    assert billed.unit_price.as_tuple().exponent >= -4
    assert billed.quantity.as_tuple().exponent >= -4
    assert (billed.decision == "bill") == (rounded > 0 or (rounded == 0 and minutes > 0))


@unhurried
@given(st.text(max_size=50), st.integers(2, 60))
def test_a_shortened_text_fits(text, longest):
    cut = shorten(text, longest)
    assert utf16_length(cut) <= longest
    assert cut == text or cut.endswith("…")


any_text = st.text(st.characters(exclude_categories=()), max_size=200)
markup = st.lists(
    st.sampled_from(
        ["<p>", "</p>", "<br>", "<li>", "<script>", "&amp;", "&", "<", ">", "<table><td>", "\0", "é", "😀"]
    )
    | any_text,
    max_size=20,
).map("".join)


@unhurried
@given(markup)
def test_html_becomes_clean_text_whatever_it_is(source):
    text = from_html(source)
    assert text == tidy(text), "cleaning is done once and for all"
    assert not any(c < " " and c != "\n" for c in text)
    text.encode()


@unhurried
@given(description=markup | st.text(min_size=3500, max_size=5000), title=any_text)
def test_descriptions_fit_whatever_is_in_them(line, description, title):
    billed = line(description=description, parent_title=title)
    assert 1 <= utf16_length(billed.description) <= MAX_DESCRIPTION - RESERVED
    billed.description.encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@unhurried
@given(data=st.data())
def test_whatever_a_member_is_the_worklog_has_a_decision(line, worklog, data):
    names = sorted(set(worklog()) - {"module", "worklog_id"})
    members = data.draw(st.dictionaries(st.sampled_from(names), json_values, max_size=5))
    decided = line({"rate_source": "worklog_charge"}, **members)
    assert decided.decision in {"bill", "hold", "exclude"}
    assert (decided.reason is None) == (decided.decision == "bill")
    assert decided.source == {**worklog(), **members}
