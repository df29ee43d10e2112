"""The ledger remembers up to where it has everything, and notices a bookmark that is ahead of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.errors import LedgerError
from msp_xero.ledger import Ledger
from msp_xero.ledger.bookmarks import PassedBookmarks, moment, positions_in
from msp_xero.ledger.models import BillingConnection, Event, Worklog
from sqlalchemy import event, select, update

REQUESTS = ("requests", "requests")
WALKS = ("requests", "problems", "changes", "tasks")


def day(number) -> str:
    return f"2026-11-{number:02}T09:00:00.000Z"


def at(number) -> datetime:
    return datetime(2026, 11, number, 9, tzinfo=UTC)


def partition(module, value=None, **positions):
    told = {"context": {"module": module}, "replication_key": "parent_updated_time"}
    if value:
        told["replication_key_value"] = day(value)
    if positions:
        told["positions"] = {walk: day(number) for walk, number in positions.items()}
    return told


def state(*partitions):
    return {"bookmarks": {"worklogs": {"partitions": list(partitions)}, "accounts": {}}}


def requests_at(number):
    return state(partition("requests", number)) if number else state()


@pytest.fixture
def run(ledger):
    """One run: it starts at a bookmark, lets the next ones pass, and may say where it began."""

    def run(*states, since=None):
        passed = PassedBookmarks(ledger)
        for each in states:
            passed.arrived(each)
        for each in states:
            passed.let_pass(each)
        if since is not None:
            passed.check(since)
            passed.let_pass(states[-1], since)
        return passed.known()

    return run


@pytest.fixture
def stored(ledger):
    def stored():
        with ledger.read() as session:
            return ledger.connection(session).bookmarks

    return stored


def test_what_is_let_pass_is_remembered_and_never_goes_back(run, stored):
    run(state(), requests_at(3), requests_at(5), since={REQUESTS: None})
    assert stored() == {"requests": {"requests": day(5)}}
    run(requests_at(2), requests_at(4), since={REQUESTS: at(2)})
    assert stored() == {"requests": {"requests": day(5)}}


def test_each_walk_of_a_module_has_a_place_of_its_own(run, stored):
    run(state(), state(partition("tasks", requests=5)))
    assert stored() == {"tasks": {"requests": day(5)}}
    run(
        state(partition("tasks", requests=5)),
        state(partition("tasks", 2, requests=6, problems=4, changes=3, tasks=2)),
    )
    assert stored() == {"tasks": {"requests": day(6), "problems": day(4), "changes": day(3), "tasks": day(2)}}


@pytest.mark.parametrize("since", [{REQUESTS: at(5)}, {("tasks", "problems"): at(5), REQUESTS: at(1)}])
def test_a_run_that_began_beyond_what_is_remembered_is_refused_in_one_sentence(run, since):
    run(state(), state(partition("requests", 3), partition("tasks", requests=9, problems=3)))
    with pytest.raises(LedgerError) as caught:
        run(requests_at(5), since=since)
    sentence = str(caught.value)
    assert "ahead of this ledger: the run went on from 2026-11-05 09:00:00 UTC (" in sentence
    assert "only up to 2026-11-03 09:00:00 UTC" in sentence
    assert "--full-refresh worklogs" in sentence
    assert "\n" not in sentence


def test_only_a_connection_that_billed_no_other_organisation_promises_to_send_nothing_again(run, ledger):
    run(state(), requests_at(3))
    with pytest.raises(LedgerError, match="it sends nothing again: what is billed stays billed"):
        run(requests_at(5), since={REQUESTS: at(5)})
    with ledger.write() as session:
        session.execute(update(BillingConnection).values(generation=2))
    ledger.generation = 2
    with pytest.raises(LedgerError, match="set push to false: what an organisation before") as caught:
        run(requests_at(5), since={REQUESTS: at(5)})
    assert "sends nothing again" not in str(caught.value)


@pytest.mark.parametrize("since", [{}, {REQUESTS: None}, {REQUESTS: at(2)}, {REQUESTS: at(3)}])
def test_a_run_that_began_at_or_before_what_is_remembered_is_let_go(run, since):
    run(state(), requests_at(3))
    run(requests_at(3), requests_at(4), since=since)


def test_a_gap_stays_however_many_runs_go_on_behind_it(run, stored):
    run(state(), requests_at(3))
    for number in (5, 7, 9):
        run(requests_at(number), requests_at(number + 1))  # broke off: nobody has checked it
        with pytest.raises(LedgerError):
            run(requests_at(number + 1), requests_at(number + 2), since={REQUESTS: at(number + 1)})
        assert stored() == {"requests": {"requests": day(3)}}
    run(state(), requests_at(12), since={REQUESTS: None})
    assert stored() == {"requests": {"requests": day(12)}}
    run(requests_at(12), requests_at(13), since={REQUESTS: at(12)})


def test_a_full_refresh_that_breaks_off_is_gone_on_with(run, stored):
    run(state(), requests_at(3))
    run(requests_at(9))
    run(state(), requests_at(1), requests_at(6))
    assert stored() == {"requests": {"requests": day(6)}}
    run(requests_at(6), requests_at(9), since={REQUESTS: at(6)})
    assert stored() == {"requests": {"requests": day(9)}}


def test_a_run_without_an_opening_bookmark_is_believed_when_it_says_where_it_began(run, stored):
    run(state(), requests_at(3))
    run(requests_at(6))
    assert stored() == {"requests": {"requests": day(3)}}, "it may have begun after the gap"
    run(requests_at(6), since={REQUESTS: at(2)})
    assert stored() == {"requests": {"requests": day(6)}}


def test_a_module_that_is_new_starts_from_nothing(run, stored):
    run(state(), requests_at(3))
    both = state(partition("requests", 4), partition("projects", 4))
    run(requests_at(3), both, since={REQUESTS: at(3), ("projects", "projects"): None})
    assert stored() == {"projects": {"projects": day(4)}, "requests": {"requests": day(4)}}


def test_an_empty_ledger_with_a_bookmark_is_refused_also_after_worklogs_have_come(run, deliver, line, stored):
    for _ in range(2):
        with pytest.raises(LedgerError, match="and this ledger has nothing of that time"):
            run(requests_at(5), requests_at(6), since={REQUESTS: at(5)})
        assert stored() == {}
        deliver(line("1"))
    run(state(), requests_at(6), since={REQUESTS: None})
    run(requests_at(6), since={REQUESTS: at(6)})


def test_an_empty_ledger_notes_that_it_has_nothing_before_its_first_worklog(ledger, deliver, line, run):
    PassedBookmarks(ledger)
    deliver(line("1"))
    with pytest.raises(LedgerError):
        run(requests_at(5), since={REQUESTS: at(5)})


def test_a_ledger_of_before_takes_over_what_it_sees_first(run, deliver, line, stored):
    deliver(line("1"))
    run(requests_at(5), requests_at(6), since={REQUESTS: at(5)})
    assert stored() == {"requests": {"requests": day(6)}}
    with pytest.raises(LedgerError):
        run(requests_at(8), since={REQUESTS: at(8)})


def test_a_ledger_that_was_rebuilt_from_xero_has_nothing_that_was_delivered(
    ledger, run, deliver, line, stored
):
    deliver(line("1"))
    with ledger.write() as session:
        session.execute(update(Worklog).values(rebuilt=True))
    with pytest.raises(LedgerError):
        run(requests_at(5), since={REQUESTS: at(5)})
    assert stored() == {}


def test_another_connection_of_the_same_ledger_remembers_for_itself(ledger, ledger_url, deliver, line, run):
    deliver(line("1"))
    run(requests_at(5))
    with Ledger.open(ledger_url, connection="other") as other:
        passed = PassedBookmarks(other)
        passed.arrived(requests_at(5))
        with pytest.raises(LedgerError):
            passed.check({REQUESTS: at(5)})


def test_a_bookmark_that_says_nothing_new_costs_no_write(ledger, run):
    run(state(), requests_at(3))
    writes = []
    event.listen(ledger.engine, "before_cursor_execute", lambda *call: writes.append(call[2]))
    run(requests_at(3), requests_at(3), {"bookmarks": {"accounts": {"replication_key_value": day(9)}}})
    assert [each for each in writes if not each.startswith(("SELECT", "BEGIN"))] == []
    run(requests_at(3), requests_at(4))
    assert len([each for each in writes if each.startswith("UPDATE")]) == 1


def test_it_is_a_memory_and_no_event(ledger, run):
    run(state(), requests_at(3))
    with ledger.read() as session:
        assert session.scalars(select(Event)).all() == []
        assert session.scalars(select(BillingConnection)).one().bookmarks


def test_setting_back_the_bookmark_of_a_module_by_hand_counts_for_all_its_walks():
    told = partition("tasks", 1, requests=5, problems=4)
    assert positions_in(state(told)) == {("tasks", "requests"): at(1), ("tasks", "problems"): at(1)}
    told = partition("tasks", 4, requests=5, problems=4)
    assert positions_in(state(told)) == {("tasks", "requests"): at(5), ("tasks", "problems"): at(4)}


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-05T09:00:00Z",
        "2026-11-05T09:00:00.000Z",
        "2026-11-05 22:00:00.0004+13:00",
        "2026-11-05T09:00",
    ],
)
def test_a_time_is_compared_as_a_time_however_it_is_written(told):
    assert moment(told) == at(5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
odd_partitions = st.fixed_dictionaries(
    {},
    optional={
        "context": st.fixed_dictionaries({"module": json_values}) | json_values,
        "replication_key_value": json_values | st.just("0001-01-01T00:00:00+14:00"),
        "positions": json_values,
    },
)


@given(json_values | st.lists(odd_partitions | json_values, max_size=3).map(lambda each: state(*each)))
def test_no_state_of_any_tap_is_a_stumbling_block(told):
    positions_in(told)


def test_a_module_that_did_not_run_is_not_believed(run, stored):
    """An older copy of the ledger was put back; problems are switched off, their bookmark is further on."""
    run(state(), state(partition("requests", 3), partition("problems", 3)))
    begin, end = (state(partition("requests", number), partition("problems", 5)) for number in (3, 4))
    run(begin, end, since={REQUESTS: at(3)})
    assert stored() == {"requests": {"requests": day(4)}, "problems": {"problems": day(3)}}
    with pytest.raises(LedgerError, match="ahead of this ledger"):
        run(end, end, since={REQUESTS: at(4), ("problems", "problems"): at(5)})


def test_what_a_run_lost_on_its_way_is_missed_until_a_run_begins_anew(ledger, run, stored):
    run(state(), requests_at(3), since={REQUESTS: None})
    run(requests_at(3), requests_at(5))
    PassedBookmarks(ledger).forget({REQUESTS: at(3)})
    assert stored() == {"requests": {"requests": day(3)}}
    with pytest.raises(LedgerError, match="a run before lost records"):
        run(requests_at(5), requests_at(6), since={REQUESTS: at(5)})
    run(state(), requests_at(6), since={REQUESTS: None})
    assert stored() == {"requests": {"requests": day(6)}}


def test_what_the_first_run_lost_on_its_way_is_missed_too(ledger, run, stored):
    run(state(), requests_at(3))
    PassedBookmarks(ledger).forget({REQUESTS: None})
    assert stored() == {}
    with pytest.raises(LedgerError, match="nothing of that time"):
        run(requests_at(3), requests_at(4), since={REQUESTS: at(3)})
