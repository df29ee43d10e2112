"""The newest copy of a worklog counts, whoever stores it last, and tells where a billed one is now."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msp_xero.errors import LedgerError
from msp_xero.ledger.decisions import wait_again
from msp_xero.ledger.outcomes import free_worklogs
from msp_xero.ledger.staging import Staged, stage_lines

from core.tests.ledger.test_staging import change, only, rows

EARLIER, LATER = "2026-11-01T20:00:00.000Z", "2026-11-02T02:05:00.000Z"


def told(start, module="request", **more):
    """A worklog of a dialect that tells no creation time: its start stands in."""
    record = {"worklog_id": "1", "module": module, "minutes": 30, "technician_id": "9", "start_time": start}
    return {"created_time": start, "source": record | more}


def release(ledger):
    """What releasing its invoice does with a worklog."""
    with ledger.write() as session:
        free_worklogs(session, [only(ledger).id])
        wait_again(session, [only(ledger).id])


@pytest.fixture
def copy(line):
    """A copy of a worklog that was read of its ticket at some moment."""

    def copy(minutes, at, **more):
        source = {"worklog_id": "1", "module": "request", "minutes": minutes, "parent_id": "45"}
        return line(minutes=minutes, source=source | {"parent_changed_time": at} | more)

    return copy


@pytest.fixture
def judge_anew(ledger):
    """Store a line that the mapper made of what waits in the ledger."""
    return lambda *lines: stage_lines(ledger, lines, settle_reasons=frozenset(), from_ledger=True)


def test_an_older_copy_that_is_stored_late_replaces_no_newer_one(ledger, deliver, copy):
    deliver(copy(90, LATER))
    assert deliver(copy(60, EARLIER)) == Staged(unchanged=1)
    assert only(ledger).minutes == 90


def test_an_older_copy_that_is_stored_late_is_no_change_after_billing(ledger, deliver, copy):
    deliver(copy(60, EARLIER))
    change(ledger, state="invoiced")
    deliver(copy(90, LATER))
    assert deliver(copy(60, EARLIER)) == Staged(unchanged=1)
    assert only(ledger).changed == {"minutes": [60, 90]}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param({"at": LATER}, {"at": LATER}, id="the ticket's time of change did not move"),
        pytest.param({"at": LATER}, {"at": EARLIER, "parent_id": "46"}, id="moved to another ticket"),
        pytest.param({"at": LATER}, {"at": EARLIER, "parent_module": "project"}, id="moved to a project"),
        pytest.param({"at": LATER}, {"at": None}, id="no time of change is told"),
        pytest.param({"at": "2036-01-01T00:00:00.000Z"}, {"at": LATER}, id="a moment in the future"),
    ],
)
def test_what_may_be_newer_counts(ledger, deliver, copy, first, then):
    deliver(copy(90, **first))
    assert deliver(copy(60, **then)) == Staged(updated=1)
    assert only(ledger).minutes == 60


def test_what_was_made_of_an_older_copy_of_the_ledgers_changes_nothing(ledger, deliver, judge_anew, copy):
    deliver(copy(60, None))
    deliver(copy(90, None))  # by another run, after the mapper of this one has read the ledger
    assert judge_anew(copy(60, None)) == Staged(unchanged=1)
    assert only(ledger).minutes == 90
    change(ledger, state="invoiced")
    deliver(copy(30, None))
    for made_of in (60, 90):
        assert judge_anew(copy(made_of, None)) == Staged(unchanged=1)
    assert only(ledger).changed == {"minutes": [90, 30]}


def test_what_waits_is_judged_anew(ledger, deliver, judge_anew, line):
    held = {"decision": "hold", "reason_code": "TYPE_MISSING", "reason": "why"}
    deliver(line(**held))
    assert judge_anew(line(**held)) == Staged(unchanged=1)
    assert judge_anew(line()) == Staged(updated=1)
    assert only(ledger).state == "open"


def test_a_moved_worklog_that_was_released_is_judged_anew_where_it_is(ledger, deliver, judge_anew, line):
    deliver(line("1", "request", **told("2026-11-01T09:00:00.000Z")))
    change(ledger, state="invoiced")
    moved = line("1", "task", **told("2026-11-01T09:00:00.000Z", "task"))
    deliver(moved)
    release(ledger)
    assert only(ledger).reason_code == "CHANGED_AFTER_BILLING"
    assert judge_anew(moved) == Staged(updated=1)
    assert (only(ledger).module, only(ledger).state) == ("task", "open")


def test_what_waits_in_another_ledger_ends_the_run(ledger, judge_anew, line):
    with pytest.raises(LedgerError, match="the same ledger_url and the same connection"):
        judge_anew(line())
    assert rows(ledger) == []


def test_a_billed_worklog_whose_start_was_edited_is_still_known_when_it_is_moved(ledger, deliver, line):
    nine, ten, eleven = (f"2026-11-01T{hour}:00:00.000Z" for hour in ("09", "10", "11"))
    deliver(line("1", "request", **told(nine)))
    change(ledger, state="invoiced")
    deliver(line("1", "request", **told(ten)))
    assert only(ledger).changed == {"start_time": [nine, ten]}
    deliver(line("1", "task", **told(ten, "task")))
    deliver(line("1", "task", **told(eleven, "task")))
    assert only(ledger).changed == {"start_time": [nine, eleven]}


def test_a_billed_worklog_is_still_known_when_it_is_moved_after_sdp_learned_to_tell_creation_times(
    ledger, deliver, line
):
    start, made = "2026-11-01T09:00:00.000Z", "2026-11-01T09:55:00.123Z"
    deliver(line("1", "request", **told(start)))
    change(ledger, state="invoiced")
    for module in ("request", "task"):
        deliver(line("1", module, created_time=made, source=told(start, module, created_time=made)["source"]))
    assert (only(ledger).module, only(ledger).changed) == ("request", None)


def test_what_came_after_billing_counts_once_the_invoice_is_released(ledger, deliver, copy, line):
    def with_materials(amount):
        return copy(30, LATER, extra={"additional_costs": {"amount": amount}})

    deliver(with_materials(0))
    change(ledger, state="invoiced")
    assert deliver(with_materials(40)) == Staged(unchanged=1)
    assert only(ledger).changed is None  # it is not compared, and not forgotten either
    release(ledger)
    [again] = ledger.unbilled_sources()
    assert again["extra"]["additional_costs"]["amount"] == Decimal(40)


def test_a_line_of_another_tap_that_differs_in_nothing_billed_can_be_billed_again_as_it_is(
    ledger, deliver, line
):
    def toggl(**more):
        return line("T-1", "toggl", source={"worklog_id": "T-1", "module": "toggl", "minutes": 30, **more})

    deliver(toggl())
    change(ledger, state="invoiced")
    deliver(toggl(tags=["seen"]))
    assert only(ledger).newest is None
    release(ledger)
    assert only(ledger).state == "open"  # held, it would wait for a delivery that only its own tap can make


def test_a_ticket_that_moves_on_is_no_news_of_its_worklogs(ledger, deliver, copy):
    deliver(copy(30, EARLIER, parent_status="Open"))
    change(ledger, state="invoiced")
    deliver(copy(30, LATER, parent_status="Closed"))
    assert only(ledger).newest is None


def test_two_worklogs_of_one_id_that_are_in_one_module_by_now_are_both_stored(ledger, deliver, line):
    first = {"created_time": "2026-11-01T01:00:00.000Z", "technician_id": "9"}
    second = {"created_time": "2026-11-02T01:00:00.000Z", "technician_id": "8"}
    deliver(line("1", "request", **first), line("1", "task", **second))
    deliver(line("1", "request", **second))
    assert [(row.module, row.technician_id) for row in rows(ledger)] == [("request", "9"), ("request", "8")]
    deliver(line("1", "request", minutes=60, **first), line("1", "request", minutes=90, **second))
    assert [row.minutes for row in rows(ledger)] == [60, 90]


def test_a_new_worklog_that_is_given_away_in_the_same_batch_is_one(ledger, deliver, line):
    lines = [line("1", "request", technician_id=technician) for technician in ("9", "8", "9")]
    assert deliver(*lines).new == 1
    assert only(ledger).technician_id == "9"


def test_another_one_of_its_id_where_a_billed_one_was_moved_to_is_stored(ledger, deliver, line):
    def made(at, module, **more):
        source = {"worklog_id": "1", "module": module, "created_time": at, **more}
        return line("1", module, created_time=at, source=source, **more)

    first, then = ("2026-11-01T09:00:00.000Z", "2026-11-02T09:00:00.000Z")
    deliver(made(first, "request"))
    change(ledger, state="invoiced")
    deliver(made(first, "task"))
    assert deliver(made(then, "task", minutes=90, technician_id="8")).new == 1
    assert [row.minutes for row in rows(ledger)] == [30, 90]
