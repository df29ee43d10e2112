from __future__ import annotations

import pytest
from msp_xero.errors import Unavailable
from msp_xero.sdp import SdpClient
from msp_xero.sdp.dialects import iso_utc
from tap_msp_sdp.modules import MODULES
from tap_msp_sdp.parents import read_parent

from .conftest import listed_without, person, run, settings

GONE = {"kind": "status", "status": 404, "body": {"response_status": {"status_code": 4007}}}
ENDED = {"actual_end_time": {"value": "1780000000000"}}


@pytest.mark.parametrize(
    ("row", "is_open"),
    [
        ({}, True),
        (ENDED, False),
        ({"status": {"in_progress": True}}, True),
        ({"status": {"in_progress": False}}, False),
        ({"status": {"in_progress": "true"}, **ENDED}, True),
        ({"status": {"name": "Closed"}, **ENDED}, False),
    ],
)
def test_a_task_is_open_as_its_status_says_and_where_that_is_silent_until_it_has_an_end(row, is_open):
    assert read_parent(MODULES["tasks"], {"id": "9", **row}).is_open is is_open


@pytest.fixture
def problem_of_another_reporter(small, monkeypatch):
    """A problem with worklogs whose list row leaves the account out; its reporter belongs to another one."""
    dump = small.get("dump")
    worklog = next(w for w in dump["worklogs"] if w["parent_kind"] == "problem" and w["account_id"])
    problem = next(p for p in dump["problems"] if p["id"] == worklog["parent_id"])
    other = next(r for r in dump["requesters"] if r["account_id"] not in (None, problem["account_id"]))
    small.post("set", {"site_account": "off"})
    person(small, "problem", "edit", problem["id"], requester_id=other["id"])
    listed_without(monkeypatch, "problems", "account")
    return problem, other


def test_what_a_ticket_itself_says_comes_before_the_account_of_who_reported_it(
    small, problem_of_another_reporter
):
    problem, _ = problem_of_another_reporter
    out = run(settings(small, modules=["problems"]))
    assert {r["account_id"] for r in out.records() if r["parent_id"] == problem["id"]} == {
        problem["account_id"]
    }
    assert small.calls()["GET problems/{id}"] == len({r["parent_id"] for r in out.records()})


def test_the_account_of_who_reported_a_ticket_stands_in_where_the_ticket_says_nothing(
    small, problem_of_another_reporter
):
    problem, reporter = problem_of_another_reporter
    small.post("set", {"account_on": "requests"})
    out = run(settings(small, modules=["problems"]))
    assert {r["account_id"] for r in out.records() if r["parent_id"] == problem["id"]} == {
        reporter["account_id"]
    }


@pytest.mark.parametrize("stands_in", ["who reported it", "its site"])
def test_nobody_stands_in_for_a_ticket_that_is_gone_before_it_could_be_asked(
    small, problem_of_another_reporter, stands_in
):
    problem, _ = problem_of_another_reporter
    if stands_in == "its site":
        small.post("set", {"site_account": "on"})
    small.post("faults", [{"match": {"regex": f"/problems/{problem['id']}$"}, **GONE}])
    out = run(settings(small, modules=["problems"]))
    assert out.trailer is not None
    assert {r["account_id"] for r in out.records() if r["parent_id"] == problem["id"]} == {None}


def test_a_web_server_that_has_lost_a_ticket_ends_the_run_before_anybody_stands_in(
    small, problem_of_another_reporter
):
    problem, _ = problem_of_another_reporter
    page = {"kind": "html", "status": 404, "body": "<html>Not Found</html>"}
    small.post("faults", [{"match": {"regex": f"/problems/{problem['id']}$"}, **page}])
    with pytest.raises(Unavailable) as caught:
        run(settings(small, modules=["problems"]))
    told = caught.value.collector.records()
    assert problem["id"] not in {record["parent_id"] for record in told}


def test_a_list_that_tells_the_accounts_costs_no_call_for_them(small):
    out = run(settings(small))
    assert any(record["account_id"] for record in out.records())
    assert not {"GET requests/{id}", "GET problems/{id}", "GET changes/{id}"} & set(small.calls())


def test_with_global_discovery_what_contains_many_tasks_is_read_once(small):
    small.post("set", {"account_on": "none"})
    out = run(settings(small, modules=["projects"], task_discovery="global"))
    projects = {record["parent_id"] for record in out.records()}
    assert len({record["task_id"] for record in out.records()}) > len(projects)
    # Two workers may ask for the same one side by side.
    assert small.calls()["GET projects/{id}"] <= 2 * len(projects)


def test_a_ticket_that_is_changed_while_it_is_asked_makes_its_worklogs_no_fresher(small, monkeypatch):
    """They were read when the list told its time; with a later one they would win over what is newer."""
    small.post("set", {"last_updated_on": "all"})
    listed_without(monkeypatch, "problems", "account")
    read_row = SdpClient.read_row
    later = {"last_updated_time": {"value": "1999999999999"}}
    monkeypatch.setattr(SdpClient, "read_row", lambda *asked: {**read_row(*asked), **later})
    told = {problem["id"]: problem["last_updated_time"] for problem in small.get("dump")["problems"]}
    out = run(settings(small, modules=["problems"]))
    assert out.ids()
    for record in out.records():
        assert record["parent_changed_time"] == iso_utc(told[record["parent_id"]])
