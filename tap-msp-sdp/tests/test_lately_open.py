"""What is remembered of parents that were open, where nothing tells when one was closed."""

from __future__ import annotations

from dataclasses import replace
from time import time

import pytest
from msp_xero.sdp import SdpClient
from msp_xero.sdp.dialects import iso_utc
from tap_msp_sdp.lately_open import LatelyOpen
from tap_msp_sdp.settings import DAY_MS

from .conftest import found, new_worklog, person, run, settings
from .test_absent_modules import NO_SUCH_PATH
from .test_closed_parents import (
    aged,
    days_ago,
    ended,
    long_ago,
    old_project,
    open_project,
    partition_of,
)


def open_general_tasks(sandbox):
    tasks = sandbox.get("dump")["tasks"]
    return [task for task in tasks if task["parent_kind"] == "general" and task["status"] == "Open"]


def without_empty_members(monkeypatch):
    """Let the installation leave out what is null, in lists and in single rows."""
    read_page, read_row = SdpClient._page, SdpClient.read_row

    def told(row):
        return {name: value for name, value in row.items() if value is not None}

    def page(self, *asked):
        answer = read_page(self, *asked)
        return replace(answer, rows=[told(row) for row in answer.rows])

    monkeypatch.setattr(SdpClient, "_page", page)
    monkeypatch.setattr(SdpClient, "read_row", lambda self, *asked: told(read_row(self, *asked)))


@pytest.mark.parametrize("kind", ["project", "task"])
def test_what_was_seen_open_is_remembered_where_rows_leave_empty_members_out(small, monkeypatch, kind):
    without_empty_members(monkeypatch)
    long_ago(small, kind)
    if kind == "project":
        parent, task = open_project(small.get("dump"))
        path = f"projects/{parent['id']}/tasks/{task['id']}"
    else:
        parent = open_general_tasks(small)[0]
        path = f"tasks/{parent['id']}"
    config = settings(small, modules=[f"{kind}s"])
    first = run(config)
    new_worklog(small, path)
    ended(small, kind, [parent], 60)
    second = run(config, state=first.state)
    assert second.trailer is not None
    assert len(found(second)) == 1


def seen_closed(sandbox, config):
    """Run, close an old project with an end of long ago, run again: it is read for the window from now on."""
    long_ago(sandbox, "project")
    long_ago(sandbox, "task")
    project, task = open_project(sandbox.get("dump"))
    state = run(config).state
    ended(sandbox, "project", [project], 100)
    ended(sandbox, "task", [task], 100)
    return run(config, state=state).state, f"projects/{project['id']}/tasks/{task['id']}"


@pytest.mark.parametrize("how", ["nothing", "set back by hand", "a module is added"])
def test_what_was_seen_closed_within_the_window_is_read_whatever_was_done_to_the_bookmarks(small, how):
    discovery = "global" if how == "a module is added" else "parents"
    config = settings(small, modules=["projects"], task_discovery=discovery)
    state, path = seen_closed(small, config)
    if how == "set back by hand":
        partition_of(state, "projects")["replication_key_value"] = iso_utc(round(time() * 1000) - 2 * DAY_MS)
    if how == "a module is added":
        config = {**config, "modules": ["projects", "tasks"]}
    state = run(config, state=state).state
    new_worklog(small, path)  # a forgotten hour, booked afterwards
    out = run(config, state=state)
    assert out.trailer is not None
    assert len(found(out)) == 1


@pytest.mark.parametrize("how", ["nothing", "set back by hand", "a module is added"])
def test_what_the_last_run_saw_open_is_read_whatever_was_done_to_the_bookmarks(small, how):
    """To set a bookmark back must not make a run read less than it would have."""
    start = iso_utc(round(time() * 1000) - 20 * DAY_MS)
    discovery = "global" if how == "a module is added" else "parents"
    config = settings(small, modules=["projects"], task_discovery=discovery, start_date=start)
    long_ago(small, "project")
    long_ago(small, "task")
    project, task = open_project(small.get("dump"))
    state = run(config).state
    new_worklog(small, f"projects/{project['id']}/tasks/{task['id']}")
    ended(small, "project", [project], 60)
    ended(small, "task", [task], 60)
    if how == "set back by hand":
        partition_of(state, "projects")["replication_key_value"] = iso_utc(round(time() * 1000) - DAY_MS)
    if how == "a module is added":
        config = {**config, "modules": ["projects", "tasks"]}
    out = run(config, state=state)
    assert out.trailer is not None
    assert len(found(out)) == 1


@pytest.mark.parametrize("is_refused", [False, True], ids=["all answer", "one is refused"])
def test_a_task_that_a_run_saw_open_again_is_read_when_it_is_closed_although_another_is_refused(
    small, is_refused
):
    config = settings(small, modules=["tasks"])
    mine, refused = [task["id"] for task in open_general_tasks(small)][:2]
    long_ago(small, "task")
    ended(small, "task", [{"id": mine}], 100)
    state = run(config).state
    if is_refused:
        small.post("faults", [{"match": {"path": f"/api/v3/tasks/{refused}/worklogs"}, **NO_SUCH_PATH}])
    person(small, "task", "edit", mine, status="Open")
    for _ in range(2):
        state = run(config, state=state).state
    new_worklog(small, f"tasks/{mine}")
    person(small, "task", "edit", mine, status="Closed")
    out = run(config, state=state)
    assert out.trailer is not None
    assert len(found(out)) == 1


@pytest.mark.parametrize("kind", ["problem", "project"])
def test_a_bookmark_set_back_by_hand_before_the_start_date_is_followed(small, kind):
    config = settings(small, modules=[f"{kind}s"], start_date=iso_utc(days_ago(small, 20)))
    if kind == "project":
        parent = old_project(small)
        ended(small, "project", [parent], 40)
    else:
        parent = small.get("dump")["problems"][0]
        new_worklog(small, f"problems/{parent['id']}")
        person(small, "problem", "edit", parent["id"], status="Closed")
        person(small, "problem", "edit", parent["id"], completed_time=days_ago(small, 40))
    state = run(config).state
    partition_of(state, f"{kind}s")["replication_key_value"] = iso_utc(days_ago(small, 60))
    out = run(config, state=state)
    assert out.trailer is not None
    assert len(found(out)) == 1


def test_of_two_modules_that_remember_one_project_differently_the_one_counts_that_reads_more():
    told = [{"open": ["1"], "2026-01-01": ["2"]}, {"2026-01-01": ["1"], "2026-01-02": ["2"]}]
    for memories in (told, told[::-1]):
        lately_open = LatelyOpen([pair for memory in memories for pair in memory.items()])
        assert lately_open.to_remember("2026-01-05", "2026-01-02") == {
            "2026-01-02": ["2"],
            "2026-01-05": ["1"],
        }


def test_what_waits_to_be_asked_again_is_not_forgotten_after_the_window(small):
    """The bookmark waits for a refused task, which was closed with an end of long ago."""
    config = settings(small, modules=["tasks"])
    long_ago(small, "task")
    mine = open_general_tasks(small)[0]["id"]
    state = run(config).state
    new_worklog(small, f"tasks/{mine}")
    ended(small, "task", [{"id": mine}], 100)
    small.post("faults", [{"match": {"path": f"/api/v3/tasks/{mine}/worklogs"}, **NO_SUCH_PATH}])
    for _ in range(2):
        state = aged(run(config, state=state).state, "tasks", 40)
    small.mend()
    assert len(found(run(config, state=state))) == 1


@pytest.mark.parametrize("is_frequent", [False, True], ids=["nightly only", "a frequent run between"])
def test_a_frequent_run_with_as_long_a_window_forgets_nothing_that_the_nightly_sweep_has_to_read(
    small, is_frequent
):
    config = settings(small, modules=["projects"], window_days=90)
    nightly = {**config, "sweep_days": 90}
    state, path = seen_closed(small, nightly)
    state = aged(run(nightly, state=state).state, "projects", 45)
    if is_frequent:
        state = run(config, state=state).state
    new_worklog(small, path)
    assert len(found(run(nightly, state=state))) == 1
