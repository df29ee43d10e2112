"""What a person decides about a worklog, with its audit log and what a later delivery does to it."""

from __future__ import annotations

import pytest
from msp_xero.ledger import views
from msp_xero.ledger.decisions import Refusal, exclude_worklog, include_worklog
from msp_xero.ledger.staging import stage_lines

EXCLUDE = {"decision": "exclude", "reason_code": "EXCLUDED_BY_RULE", "reason": "The rule."}
HOLD = {"decision": "hold", "reason_code": "TYPE_MISSING", "reason": "No type here."}


@pytest.fixture
def ledger(empty):
    with empty.ledger() as ledger:
        yield ledger


def stage(ledger, line):
    stage_lines(ledger, [line], settle_reasons=frozenset())
    return state(ledger, line.worklog_id)


def state(ledger, worklog_id):
    (row,) = views.find_worklogs(ledger, worklog_id)
    return row


def actions(ledger, row):
    return [one.action for one in views.worklog_detail(ledger, row).history]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({}, ("open", None, None)),
        (HOLD, ("held", "TYPE_MISSING", None)),
        (EXCLUDE, ("excluded", "EXCLUDED_BY_RULE", "rule")),
    ],
)
def test_include_brings_back_what_the_line_says(ledger, line, terms, expected) -> None:
    row = stage(ledger, line("1", **terms))
    exclude_worklog(ledger, row.row, "goodwill")
    excluded = state(ledger, "1")
    assert (excluded.state, excluded.reason_code) == ("excluded", "EXCLUDED_BY_PERSON")
    assert (excluded.reason, excluded.excluded_by) == ("goodwill", ledger.actor)
    exclude_worklog(ledger, row.row, "still goodwill")
    assert include_worklog(ledger, row.row) == expected[0]
    now = state(ledger, "1")
    assert (now.state, now.reason_code, now.excluded_by) == expected
    assert actions(ledger, row) == ["delivered", "excluded", "excluded", "included"]


def test_a_later_delivery_leaves_a_persons_exclusion_alone(ledger, line) -> None:
    row = stage(ledger, line("1"))
    exclude_worklog(ledger, row.row, "goodwill")
    assert stage(ledger, line("1", minutes=95)).reason_code == "EXCLUDED_BY_PERSON"


def test_after_include_the_same_delivery_is_judged_anew(ledger, line) -> None:
    """The rules may have changed meanwhile, and the exact words of a hold come back with the line."""
    row = stage(ledger, line("1", **HOLD))
    exclude_worklog(ledger, row.row, "goodwill")
    include_worklog(ledger, row.row)
    assert state(ledger, "1").reason == "The worklog has no worklog type, and no default type is set."
    assert stage(ledger, line("1", **HOLD)).reason == "No type here."


def test_an_excluded_worklog_is_not_delivered_again_but_an_included_one_is(ledger, line) -> None:
    row = stage(ledger, line("1"))
    exclude_worklog(ledger, row.row, "goodwill")
    assert list(ledger.unbilled_sources()) == []
    include_worklog(ledger, row.row)
    assert [source["worklog_id"] for source in ledger.unbilled_sources()] == ["1"]


def test_a_row_of_nobody_is_refused(ledger) -> None:
    with pytest.raises(Refusal, match="there is no such worklog"):
        exclude_worklog(ledger, 99, "x")


def test_what_came_to_be_held_while_it_was_excluded_says_so(ledger, line) -> None:
    row = stage(ledger, line("1"))
    exclude_worklog(ledger, row.row, "goodwill")
    stage(ledger, line("1", **HOLD))
    assert include_worklog(ledger, row.row) == "held"
    assert (
        state(ledger, "1").reason == "It came to be held while it was excluded; the next run says for what."
    )
    assert stage(ledger, line("1", **HOLD)).reason_code == "TYPE_MISSING"
