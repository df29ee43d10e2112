"""What Xero is sent, and the markers by which it is known again whatever a person does to the texts."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.billing.document import (
    LONGEST_REFERENCE,
    DraftLine,
    described,
    invoice_marker,
    marked_reference,
    marker_of,
    markers_in,
    worklog_marker,
    worklog_of,
)
from msp_xero.billing.preflight import LineTerms, utf16_length
from msp_xero.billing.settings import BillingSettings
from msp_xero.errors import SettingError

words = st.from_regex(r"[a-z_]{1,20}", fullmatch=True)
ids = st.from_regex(r"[0-9A-Za-z_.:-]{1,64}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=st.none() | texts, module=words, worklog_id=ids)
def test_a_line_names_its_worklog_whatever_its_text_is(text, module, worklog_id):
    assert worklog_of(described(text, module, worklog_id)) == (module, worklog_id)
    assert worklog_of(described(text, module, worklog_id) + " \n") == (module, worklog_id)


@pytest.mark.parametrize("mark", [*"\x00\x01\x07\x0b\x1b\x1f\x7f", "\ufffe"])
def test_no_control_character_goes_to_xero(mark):
    assert described(f"a{mark}b\n\tc", "task", "1") == "ab\n\tc\n(SDP task worklog 1)"
    assert described(mark, "task", "1") == "(SDP task worklog 1)"
    assert marked_reference(f"Work for A{mark}B", "97e8a64e") in {
        "Work for AB [97e8a64e]",
        "Work for A B [97e8a64e]",
    }


@given(first=ids, second=ids)
def test_a_text_that_quotes_another_worklog_does_not_mislead(first, second):
    text = f"same as {worklog_marker('task', first)}"
    assert worklog_of(described(text, "task", second)) == ("task", second)


@given(text=st.none() | texts, module=words, worklog_id=ids, behind=texts)
def test_a_line_names_its_worklog_whatever_a_person_writes_behind_it(text, module, worklog_id, behind):
    written = f"{described(text, module, worklog_id)} {behind.replace('(', '')}"
    assert worklog_of(written) == (module, worklog_id)


@pytest.mark.parametrize("text", [None, "", "Work", "(SDP request worklog )"])
def test_a_text_without_marker_is_not_ours(text):
    assert worklog_of(text) is None


@given(text=texts, marker=st.from_regex(r"[0-9a-f]{8}", fullmatch=True))
def test_a_reference_keeps_its_marker_and_fits(text, marker):
    reference = marked_reference(text, marker)
    assert marker_of(reference) == marker
    assert markers_in(reference + " PO 4711")[-1] == marker
    assert utf16_length(reference) <= LONGEST_REFERENCE
    assert reference == " ".join(reference.split(" "))


def test_a_long_reference_is_cut_between_characters():
    reference = marked_reference("😀" * 300, "0123abcd")
    assert reference == "😀" * 122 + " [0123abcd]"


@pytest.mark.parametrize("text", [None, "", "PO 4711", "[0123ABCD]", "[0123abcd] paid", "[0123abc]"])
def test_a_reference_that_does_not_end_with_a_marker_may_be_anybodys(text):
    assert marker_of(text) is None


@pytest.mark.parametrize("text", [None, "", "PO 4711", "[0123ABCD]", "[0123abc]"])
def test_a_reference_without_marker_is_not_ours(text):
    assert markers_in(text) == []


def test_a_person_may_write_anything_around_a_marker():
    assert markers_in("[20261122] Work [0123abcd] PO 4711") == ["20261122", "0123abcd"]


def line(worklog_id="1", revision=1):
    terms = LineTerms("X", "200", "T", Decimal(1), Decimal(1), Decimal(1), Decimal(0))
    return DraftLine(
        worklog_row=1,
        revision=revision,
        module="task",
        worklog_id=worklog_id,
        work_date=date(2026, 11, 1),
        minutes=60,
        description="x",
        terms=terms,
    )


def test_a_marker_belongs_to_one_number_and_one_set_of_worklogs():
    variants = [
        ("SDP-00001", [line()]),
        ("SDP-00002", [line()]),
        ("SDP-00001", [line("2")]),
        ("SDP-00001", [line(revision=2)]),
        ("SDP-00001", [line(), line("2")]),
    ]
    assert len({invoice_marker(number, lines) for number, lines in variants}) == len(variants)
    assert invoice_marker("SDP-00001", [line()]) == invoice_marker("SDP-00001", [line()])


def test_what_is_sent_is_what_we_decide_and_nothing_more(sqlite_world):
    world = sqlite_world
    world.faulty.log.record_bodies = True
    world.deliver(world.line(0, minutes=90))
    world.settle()
    [call] = [c for c in world.faulty.log.since(bodies=True) if c["method"] == "PUT"]
    assert call["query"] == {"summarizeErrors": "false", "unitdp": "4"}
    [invoice] = world.ours()
    sent = json.loads(call["request_body"])["Invoices"][0]
    assert sent.keys() == {
        "Type",
        "Contact",
        "InvoiceNumber",
        "Reference",
        "Date",
        "DueDate",
        "Status",
        "CurrencyCode",
        "LineAmountTypes",
        "LineItems",
    }
    assert sent["Contact"].keys() == {"ContactID"}, "more would edit the contact"
    [item] = sent["LineItems"]
    assert item.keys() == {"Description", "Quantity", "UnitAmount", "ItemCode", "AccountCode", "TaxType"}
    assert item["Quantity"] == 1.5
    assert invoice["Status"] == "DRAFT"


# Settings that decide about money or about finding it again


@pytest.mark.parametrize("prefix", ["SDP-", "2026/", "A", "Inv #", "~!()"])
def test_a_prefix_that_works(prefix):
    assert BillingSettings.from_config({"number_prefix": prefix}).number_prefix == prefix


@pytest.mark.parametrize("prefix", ["", " SDP-", "A,B", "Ä-", "A\n", "A\x00", "x" * 51, "SDP-2"])
def test_a_prefix_by_which_invoices_could_not_be_found_again_is_refused(prefix):
    with pytest.raises(SettingError, match="Setting number_prefix"):
        BillingSettings.from_config({"number_prefix": prefix})


@pytest.mark.parametrize(
    "template", ["{{ nothing }}", "{{", "{{ hours / 2 }}", "{{ lines[0] }}", "{{ 1 // 0 }}"]
)
def test_a_reference_template_that_cannot_work_is_refused_at_the_start(template):
    with pytest.raises(SettingError, match="Setting reference_template"):
        BillingSettings.from_config({"reference_template": template})


@pytest.mark.parametrize(
    "template", ["{{ first_date.strftime('%d/%m/%y') }}", "{{ lines + 1 }} of {{ account_name }}", "PO"]
)
def test_a_reference_template_may_use_dates_as_dates(template):
    assert BillingSettings.from_config({"reference_template": template})


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"tracking": {"a": "1", "b": "2", "c": "3"}}, "tracking"),
        ({"currency_code": "nzd"}, "currency_code"),
        ({"currency_code": "DOLLAR"}, "currency_code"),
    ],
)
def test_a_wrong_setting_names_itself(config, name):
    with pytest.raises(SettingError) as caught:
        BillingSettings.from_config(config)
    assert caught.value.setting == name
    assert "Example" in str(caught.value)
