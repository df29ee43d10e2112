"""Reading Xero's elements: each invoice by its own number, and only what is proven is believed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.billing.push import faults, has_failed, numbers_taken, outcomes, reason_code
from msp_xero.reasons import explain

IDS = {f"SDP-0000{n}": n for n in range(1, 6)}
ZERO_ID = "00000000-0000-0000-0000-000000000000"


def saved(n, **more):
    return {
        "InvoiceNumber": f"SDP-0000{n}",
        "InvoiceID": f"id-{n}",
        "Status": "DRAFT",
        "Total": Decimal(n),
        "StatusAttributeString": "OK",
        "HasErrors": False,
        **more,
    }


def refused(n, words="Not to my taste", **more):
    return {
        "InvoiceNumber": f"SDP-0000{n}",
        "InvoiceID": ZERO_ID,
        "Status": "DRAFT",
        "StatusAttributeString": "ERROR",
        "HasErrors": True,
        "ValidationErrors": [{"Message": words}],
        **more,
    }


def summary(outcome):
    return (
        sorted(c.invoice_id for c in outcome.created),
        sorted(r.invoice_id for r in outcome.refused),
        sorted(outcome.unknown),
    )


@given(
    order=st.permutations([1, 2, 3, 4, 5]), kinds=st.lists(st.sampled_from("sru-"), min_size=5, max_size=5)
)
def test_elements_in_any_order_with_any_missing_are_matched_by_number(order, kinds):
    make = {"s": saved, "r": refused, "u": lambda n: refused(n, "Invoice # must be unique.")}
    elements = [make[kinds[n - 1]](n) for n in order if kinds[n - 1] != "-"]
    expected = tuple([n for n in range(1, 6) if kinds[n - 1] in group] for group in ("s", "r", "u-"))
    outcome = outcomes(elements, IDS)
    assert summary(outcome) == expected
    assert all(c.xero_id == f"id-{c.invoice_id}" and c.total == c.invoice_id for c in outcome.created)


@given(
    elements=st.lists(
        st.dictionaries(
            st.sampled_from(
                [
                    "InvoiceNumber",
                    "InvoiceID",
                    "HasErrors",
                    "StatusAttributeString",
                    "ValidationErrors",
                    "Status",
                ]
            ),
            st.none()
            | st.booleans()
            | st.sampled_from(["SDP-00001", "sdp-00002", "ERROR", "OK", ZERO_ID, "id", ""])
            | st.just([{"Message": "no"}]),
        ),
        max_size=8,
    )
)
def test_whatever_comes_every_invoice_has_exactly_one_outcome(elements):
    created, refused_ids, unknown = summary(outcomes(elements, IDS))
    assert sorted(created + refused_ids + unknown) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("elements", [[saved(1), refused(1)], [refused(1), saved(1)], [saved(1), saved(1)]])
def test_of_two_elements_of_one_number_the_saved_one_counts(elements):
    assert summary(outcomes(elements, {"SDP-00001": 1})) == ([1], [], [])


def test_numbers_are_compared_as_xero_compares_them():
    assert summary(outcomes([saved(1, InvoiceNumber="sdp-00001")], {"SDP-00001": 1})) == ([1], [], [])


def test_elements_that_nobody_asked_for_are_left_alone():
    assert summary(outcomes([saved(4), {}, {"InvoiceNumber": None}], {"SDP-00001": 1})) == ([], [], [1])


def test_a_warning_is_a_success():
    element = saved(1, StatusAttributeString="WARNING", Warnings=[{"Message": "hm"}])
    assert summary(outcomes([element], {"SDP-00001": 1})) == ([1], [], [])


def test_a_refusal_that_carries_an_id_of_xeros_is_not_believed():
    element = refused(1, InvoiceID="60aa5d55-0000-4000-8000-000000000000")
    assert summary(outcomes([element], {"SDP-00001": 1})) == ([], [], [1])


@pytest.mark.parametrize("missing", [{"InvoiceID": None}, {"InvoiceID": ""}, {"InvoiceID": ZERO_ID}])
def test_without_an_id_nothing_was_saved(missing):
    assert has_failed(saved(1, **missing))


def test_xeros_words_are_kept_wherever_they_stand():
    element = refused(
        1,
        ValidationErrors=[],
        Contact={"ValidationErrors": [{"Message": "The contact is archived."}]},
        LineItems=[{"ValidationErrors": [{"Description": "Account code '1' is not valid"}]}],
    )
    [told] = outcomes([element], {"SDP-00001": 1}).refused
    assert told.reason == "The contact is archived.; Account code '1' is not valid"
    [silent] = outcomes([refused(1, ValidationErrors=[])], {"SDP-00001": 1}).refused
    assert "without saying why" in silent.reason


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("The document date cannot be before the period lock date, currently set at 31 Oct", "PERIOD_LOCKED"),
        ("…the end of year lock date, currently set at …", "PERIOD_LOCKED"),
        ("Organisation is not subscribed to currency EUR", "CURRENCY_NOT_ENABLED"),
        ("The TaxType code 'X' cannot be used with account code 'Y'.", "TAX_TYPE_INVALID"),
        ("Account code 'X' has been archived, or deleted.", "ACCOUNT_CODE_INVALID"),
        ("The contact has been archived. Archived contacts cannot be used.", "CONTACT_ARCHIVED"),
        ("You have reached the limit of invoices you can approve", "REJECTED_BY_XERO"),
        ("", "REJECTED_BY_XERO"),
    ],
)
def test_xeros_words_get_the_code_that_fits_best(words, code):
    assert reason_code(words) == code
    assert explain(code)


def blamed_line(worklog_id, *words):
    return {
        "Description": f"Work\n(SDP request worklog {worklog_id})",
        "ValidationErrors": [{"Message": text} for text in words],
    }


def test_lines_that_xero_blames_are_told_apart_by_their_markers():
    element = refused(
        1,
        ValidationErrors=[],
        LineItems=[
            blamed_line("7", "TaxType field is mandatory"),
            blamed_line("8"),
            blamed_line("9", "A", "B"),
        ],
    )
    [told] = outcomes([element], {"SDP-00001": 1}).refused
    assert {key: (fault.code, fault.reason) for key, fault in told.lines.items()} == {
        ("request", "7"): ("TAX_TYPE_INVALID", "TaxType field is mandatory"),
        ("request", "9"): ("REJECTED_BY_XERO", "A; B"),
    }


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"ValidationErrors": [{"Message": "A"}]}, True),
        ({"ValidationErrors": [{"Message": "Something else"}]}, False),
        ({"Contact": {"ValidationErrors": [{"Message": "The contact is archived."}]}}, False),
        ({"LineItems": [blamed_line("7", "A"), {"ValidationErrors": [{"Message": "B"}]}]}, False),
        ({"LineItems": [{"Description": "by hand", "ValidationErrors": [{"Message": "A"}]}]}, False),
        ({"LineItems": None}, False),
    ],
    ids=str,
)
def test_what_is_not_only_a_lines_fault_is_the_invoices(more, found):
    element = refused(1, **{"ValidationErrors": [], "LineItems": [blamed_line("7", "A")], **more})
    assert bool(faults([element])) is found


def test_a_number_that_is_taken_is_told_from_other_unknown_outcomes():
    elements = [refused(1, "Invoice # must be unique."), saved(2), refused(3), refused(4, "MUST BE UNIQUE")]
    elements.append(saved(4))
    assert numbers_taken(elements, IDS) == {1}
