"""The clock of this machine is not that of ServiceDesk Plus."""

from __future__ import annotations

from itertools import pairwise
from time import time

import pytest
from msp_xero.sdp.dialects import iso_utc
from tap_msp_sdp.settings import DAY_MS

from . import conftest
from .conftest import found, new_worklog, person, run, settings

HOUR_SECONDS = 3600.0
REFUSED = {
    "kind": "status",
    "status": 400,
    "body": {"response_status": {"status_code": 4000, "status": "failed"}},
}


class Ahead(conftest.PatientClock):
    def __init__(self):
        super().__init__()
        self._offset = HOUR_SECONDS


class FarAhead(conftest.PatientClock):
    """The date of this machine is wrong by a hundred days."""

    def __init__(self):
        super().__init__()
        self._offset = 100 * 24 * HOUR_SECONDS


class Behind(conftest.PatientClock):
    def __init__(self):
        super().__init__()
        self._offset = -HOUR_SECONDS


CLOCKS = pytest.mark.parametrize("clock", [conftest.PatientClock, Ahead, Behind])


def partition(out, module):
    partitions = out.state["bookmarks"]["worklogs"]["partitions"]
    return next(one for one in partitions if one["context"]["module"] == module)


def listed_request(sandbox):
    requests = sandbox.get("dump")["requests"]
    return next(r["id"] for r in requests if not r.get("is_trashed") and not r.get("is_archived"))


@CLOCKS
@pytest.mark.parametrize("is_refused", [False, True], ids=["well", "refused once"])
def test_one_refused_list_hides_no_later_worklog_whatever_the_clock_says(
    small, monkeypatch, clock, is_refused
):
    monkeypatch.setattr(conftest, "PatientClock", clock)
    if is_refused:
        small.post("faults", [{"match": {"regex": "/requests$"}, **REFUSED, "nth": 1}])
    first = run(settings(small, modules=["requests"]))
    assert first.trailer is not None
    new_worklog(small, f"requests/{listed_request(small)}")
    second = run(settings(small, modules=["requests"]), state=first.state)
    assert len(found(second)) == 1
    assert "by_own_clock" not in partition(second, "requests")


@CLOCKS
def test_an_installation_that_learns_to_be_asked_by_time_of_change_hides_no_worklog(
    small, monkeypatch, clock
):
    monkeypatch.setattr(conftest, "PatientClock", clock)
    first = run(settings(small, modules=["problems", "tasks"]))
    assert partition(first, "problems")["by_own_clock"] == ["problems"]
    assert partition(first, "tasks")["by_own_clock"] == ["changes", "problems", "tasks"]
    small.post("set", {"last_updated_on": "all"})  # ServiceDesk Plus was updated
    new_worklog(small, f"problems/{small.get('dump')['problems'][0]['id']}")
    second = run(settings(small, modules=["problems", "tasks"]), state=first.state)
    assert len(found(second)) == 1
    assert "by_own_clock" not in partition(second, "problems")
    third = run(settings(small, modules=["problems"], overlap_minutes=0), state=second.state)
    # What is still to come by a clock that is behind is read again.
    assert len({record["parent_id"] for record in third.records()}) <= (2 if clock is Behind else 1)


def test_what_was_changed_longer_ago_than_the_window_is_not_read_again(small):
    first = run(settings(small, modules=["problems"]))
    small.post("set", {"last_updated_on": "all"})
    before = small.calls()["GET problems/{id}/worklogs"]
    second = run(settings(small, modules=["problems"], window_days=2), state=first.state)
    newest = max(problem["last_updated_time"] for problem in small.get("dump")["problems"])
    lately = [
        problem
        for problem in small.get("dump")["problems"]
        if problem["last_updated_time"] > newest - 3 * DAY_MS
    ]
    assert small.calls()["GET problems/{id}/worklogs"] - before <= len(lately)
    assert second.trailer is not None


def test_what_was_changed_before_the_start_date_stays_out(small):
    newest = max(problem["last_updated_time"] for problem in small.get("dump")["problems"])
    config = settings(small, modules=["problems"], start_date=iso_utc(newest + 1))
    first = run(config)
    small.post("set", {"last_updated_on": "all"})
    assert run(config, state=first.state).ids() == []


def test_a_module_that_is_always_listed_in_full_is_read_as_far_back_as_before(small):
    """That its place is a time of another clock costs no call."""
    first = run(settings(small, modules=["problems"]))
    counts = [small.calls()["GET problems/{id}/worklogs"]]
    state = first.state
    for _ in range(3):
        state = run(settings(small, modules=["problems"]), state=state).state
        counts.append(small.calls()["GET problems/{id}/worklogs"])
    of_later_runs = [after - before for before, after in pairwise(counts)]
    assert len(set(of_later_runs)) == 1


NOTICED = pytest.mark.parametrize("is_followed", [True, False], ids=["a run after it", "none after it"])


@NOTICED
def test_a_date_that_was_wrong_for_one_run_hides_nothing_once_the_module_can_be_asked(
    small, monkeypatch, is_followed
):
    right = conftest.PatientClock
    monkeypatch.setattr(conftest, "PatientClock", FarAhead)
    state = run(settings(small, modules=["problems"])).state
    monkeypatch.setattr(conftest, "PatientClock", right)
    if is_followed:
        state = run(settings(small, modules=["problems"]), state=state).state
    small.post("set", {"last_updated_on": "all"})  # ServiceDesk Plus was updated
    new_worklog(small, f"problems/{small.get('dump')['problems'][0]['id']}")
    out = run(settings(small, modules=["problems"]), state=state)
    assert out.trailer is not None
    assert len(found(out)) == 1


@NOTICED
def test_after_a_date_that_was_wrong_a_long_pause_hides_nothing(small, monkeypatch, is_followed):
    """A bookmark reaches back to the last run when that is longer ago than the window."""
    right = conftest.PatientClock
    config = settings(small, modules=["problems"])
    problem = next(p for p in small.get("dump")["problems"] if not p["completed_time"])
    monkeypatch.setattr(conftest, "PatientClock", FarAhead)
    state = run(config).state
    monkeypatch.setattr(conftest, "PatientClock", right)
    if is_followed:
        state = run(config, state=state).state
    new_worklog(small, f"problems/{problem['id']}")
    person(small, "problem", "edit", problem["id"], status="Closed")

    class FortyDaysLater(conftest.PatientClock):
        def __init__(self):
            super().__init__()
            self._offset = 40 * 24 * HOUR_SECONDS

    monkeypatch.setattr(conftest, "PatientClock", FortyDaysLater)
    out = run(config, state=state)
    assert out.trailer is not None
    assert len(found(out)) == 1


@pytest.mark.parametrize("clock", [conftest.PatientClock, Ahead])
def test_one_ticket_with_a_date_in_the_future_hides_no_other_whatever_the_clock_says(
    small, monkeypatch, clock
):
    monkeypatch.setattr(conftest, "PatientClock", clock)
    requests = [
        r["id"] for r in small.get("dump")["requests"] if not r.get("is_trashed") and not r.get("is_archived")
    ]
    person(small, "request", "edit", requests[0], last_updated_time=round(time() * 1000) + 3650 * DAY_MS)
    first = run(settings(small, modules=["requests"]))
    new_worklog(small, f"requests/{requests[1]}")
    second = run(settings(small, modules=["requests"]), state=first.state)
    assert second.trailer is not None
    assert len(found(second)) == 1
