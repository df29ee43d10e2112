from __future__ import annotations

import pytest
from msp_xero.errors import SettingError
from msp_xero_transforms.plain_text import utf16_length
from msp_xero_transforms.steps.describe import MAX_DESCRIPTION, NAMES, RESERVED


def described(line, template, **members):
    return line({"description_template": template}, **members).description


def test_the_default_shows_parent_technician_date_and_text(line):
    assert line().description == "Request 45: Printer offline\nHoward Stern, 2026-03-30\nReplaced fuser"


def test_the_default_shows_the_task_and_leaves_out_what_is_missing(line):
    described = line(
        module="project",
        parent_module="project",
        parent_display_id=None,
        parent_id="7",
        task_title="Move mailboxes",
        technician_name=None,
        description=None,
    ).description
    assert described == "Project 7: Printer offline / Move mailboxes\n2026-03-30"


def test_a_charge_billed_as_one_piece_shows_the_time(line):
    lump = line({"rate_source": "worklog_charge"}, minutes=100, total_cost="99.99")
    assert lump.description.splitlines()[1] == "Howard Stern, 2026-03-30, 1 h 40 min"


@pytest.mark.parametrize(
    ("minutes", "text"), [(0, "0 min 0"), (5, "5 min 0.0833"), (600, "10 h 10"), (61, "1 h 1 min 1.0167")]
)
def test_durations(line, minutes, text):
    assert described(line, "{{ duration }} {{ hours }}", minutes=minutes) == text


def test_times_are_shown_where_the_organisation_is(line):
    template = "{{ start_time.strftime('%d.%m. %H:%M') }}"
    shown = line({"description_template": template, "time_zone": "Pacific/Auckland"}).description
    assert shown == "31.03. 10:00"


def test_null_members_show_nothing(line):
    assert described(line, "[{{ site_name }}{{ contract_name }}]") == "[]"


def test_a_value_from_a_customer_is_not_a_template(line):
    assert described(line, "{{ parent_title }}", parent_title="{{ 7 * 7 }}") == "{{ 7 * 7 }}"


def test_html_is_not_escaped(line):
    assert described(line, "{{ text }}", description="a &lt; b &amp; c") == "a < b & c"


def test_an_empty_description_names_the_type(line):
    assert described(line, "{{ text }}", description="<p> </p>") == "On-site support"
    assert described(line, "{{ text }}", description="", type_name=None) == "Worklog 301"


def test_a_long_description_is_cut_and_leaves_room_for_the_marker(line):
    text = line(description="word " * 1000).description
    assert utf16_length(text) <= MAX_DESCRIPTION - RESERVED
    assert text.endswith("w…")


def test_a_description_of_two_megabytes_is_cut(line):
    embedded = "<p>start</p><img src='data:image/png;base64," + "A" * 2_000_000 + "'><p>end</p>"
    assert line(description=embedded).description.endswith("start\nend")
    assert utf16_length(line(description="<b>x" * 500_000).description) <= MAX_DESCRIPTION - RESERVED


def test_control_characters_never_reach_an_invoice(line):
    text = line(description="a\0b\x1b[31m<b>c</b>\x07\r\nd", parent_title="Nul\0l\nline").description
    assert "\0" not in text
    assert text.startswith("Request 45: Null line\n")
    assert text.endswith("ab[31mc d")


@pytest.mark.parametrize(
    "template",
    [
        "{{ udf_fields.udf_sline_9 }}",
        "{{ extra.a.b }}",
        "{{ udf_fields.n + 1 }}",
        "{{ 1 // extra | length }}",
    ],
)
def test_a_template_that_fails_on_a_worklog_holds_it(line, template):
    held = line({"description_template": template}, udf_fields={"n": "x"})
    assert (held.decision, held.reason_code) == ("hold", "INVALID_RECORD")
    assert held.reason.startswith("The description template fails on this worklog: ")
    assert held.quantity is not None


def test_custom_fields_can_be_shown_with_a_default(line):
    template = "{{ udf_fields.udf_sline_1 | default('none') }} {{ extra.get('b', '-') }}"
    assert described(line, template) == "none -"
    assert described(line, template, udf_fields={"udf_sline_1": "PO 7"}) == "PO 7 -"


@pytest.mark.parametrize(
    ("template", "part"),
    [
        ("{{ text ", "is not a valid Jinja2 template"),
        ("{{ text | nonsense }}", "is not a valid Jinja2 template (No filter named 'nonsense'"),
        ("{{ techncian_name }}", "reads techncian_name, which does not exist; did you mean technician_name?"),
        ("{{ description }}", "reads description, which does not exist; did you mean text?"),
        ("{{ zzzzzz }}", "it can read account_id, "),
        ("{{ text.nothing }}", "cannot be rendered"),
        ("{{ ''.__class__.__mro__ }}", "cannot be rendered"),
        ("{% include 'other' %}", "cannot be rendered"),
    ],
)
def test_a_wrong_template_fails_at_start(rules, template, part):
    with pytest.raises(SettingError) as caught:
        rules(description_template=template)
    assert caught.value.setting == "description_template"
    assert part in str(caught.value)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_can_be_shown(line, name):
    assert line({"description_template": f"-{{{{ {name} }}}}"}).decision == "bill"
