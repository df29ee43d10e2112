"""Closed parents of modules that cannot be asked by time of change."""

from __future__ import annotations

import copy
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.sdp.dialects import iso_utc
from tap_msp_sdp.lately_open import LatelyOpen
from tap_msp_sdp.modules import MODULES as MODULES_BY_NAME
from tap_msp_sdp.parents import read_parent
from tap_msp_sdp.settings import DAY_MS

from .conftest import MODULES, found, listed_without, new_worklog, person, run, settings


def days_ago(sandbox, days):
    return max(w["created_time"] for w in sandbox.get("dump")["worklogs"]) - days * DAY_MS


def open_project(dump):
    tasks = {task["parent_id"]: task for task in dump["tasks"] if task["parent_kind"] == "project"}
    project = next(p for p in dump["projects"] if not p["completed_time"] and p["id"] in tasks)
    return project, tasks[project["id"]]


@pytest.mark.parametrize("days", [1, 60])
def test_time_booked_just_before_a_project_is_closed_with_an_earlier_actual_end_comes(small, days):
    first = run(settings(small))
    project, task = open_project(small.get("dump"))
    new_worklog(small, f"projects/{project['id']}/tasks/{task['id']}")
    ended = days_ago(small, days)
    person(small, "project", "edit", project["id"], status="Closed")
    person(small, "project", "edit", project["id"], completed_time=ended)
    second = run(settings(small), state=first.state)
    assert second.trailer is not None
    assert len(found(second)) == 1


@pytest.mark.parametrize("days", [1, 60])
def test_time_booked_just_before_a_task_is_closed_with_an_earlier_actual_end_comes(small, days):
    first = run(settings(small))
    task = next(
        t for t in small.get("dump")["tasks"] if t["parent_kind"] == "general" and t["status"] == "Open"
    )
    new_worklog(small, f"tasks/{task['id']}")
    person(small, "task", "edit", task["id"], status="Closed", actual_end_time=days_ago(small, days))
    second = run(settings(small), state=first.state)
    assert second.trailer is not None
    assert len(found(second)) == 1


def ended(sandbox, kind, parents, days):
    """Close some, each with an end that long ago."""
    for parent in parents:
        person(sandbox, kind, "edit", parent["id"], status="Closed")
        member = "completed_time" if kind == "project" else "actual_end_time"
        person(sandbox, kind, "edit", parent["id"], **{member: days_ago(sandbox, days)})


def projects_read(sandbox, config, state):
    before = sandbox.calls().get("GET projects/{id}/milestones", 0)
    out = run(config, state=state)
    return out.state, sandbox.calls()["GET projects/{id}/milestones"] - before


def partition_of(state, module):
    partitions = state["bookmarks"]["worklogs"]["partitions"]
    return next(p for p in partitions if p["context"]["module"] == module)


def memory(state, module):
    told = partition_of(state, module).get("lately_open")
    return told and {walk: one["ids"] for walk, one in told.items()}


def aged(state, module, days):
    """Return a state as if its runs had been that many days earlier."""
    state = copy.deepcopy(state)
    for told in (one["ids"] for one in partition_of(state, module)["lately_open"].values()):
        for day in [day for day in told if day != "open"]:
            told[str(date.fromisoformat(day) - timedelta(days=days))] = told.pop(day)
    return state


def long_ago(sandbox, kind):
    """All of a kind were made before any window."""
    for row in sandbox.get("dump")[f"{kind}s"]:
        person(sandbox, kind, "edit", row["id"], created_time=days_ago(sandbox, 400))


def test_a_project_is_read_for_the_window_after_it_was_seen_closed_and_no_longer(small):
    for row in small.get("dump")["projects"]:
        person(small, "project", "delete", row["id"])
    for title in ("One", "Two", "Three", "Four"):
        person(small, "project", "add", title=title)
    long_ago(small, "project")
    config = settings(small, modules=["projects"])
    projects = small.get("dump")["projects"]
    ended(small, "project", projects[:2], 100)
    state, read = projects_read(small, config, None)
    assert read == len(projects)
    assert memory(state, "projects")["projects"].keys() == {"open"}
    state, read = projects_read(small, config, state)
    assert read == len(projects) - 2, "what was closed before the first run has been read"
    ended(small, "project", projects[2:3], 100)
    for _ in range(2):
        state, read = projects_read(small, config, state)
        assert read == len(projects) - 2, "it may have been closed yesterday"
    assert projects_read(small, config, aged(state, "projects", 31))[1] == len(projects) - 2
    assert projects_read(small, config, aged(state, "projects", 40))[1] == len(projects) - 2
    state, _ = projects_read(small, config, aged(state, "projects", 40))
    assert projects_read(small, config, state)[1] == len(projects) - 3


def test_a_project_that_no_run_saw_open_is_read(small):
    config = settings(small, modules=["projects"])
    state = run(config).state
    added = person(small, "project", "add", title="In and out")
    task = person(small, "task", "add", parent=f"projects/{added['id']}", title="Do it")
    new_worklog(small, f"projects/{added['id']}/tasks/{task['id']}")
    ended(small, "project", [added], 100)
    assert len(found(run(config, state=state))) == 1


def test_a_project_that_was_closed_for_long_and_is_open_again_is_read(small):
    long_ago(small, "project")
    config = settings(small, modules=["projects"])
    project, task = open_project(small.get("dump"))
    ended(small, "project", [project], 100)
    state = run(config).state
    person(small, "project", "edit", project["id"], status="Open")
    new_worklog(small, f"projects/{project['id']}/tasks/{task['id']}")
    assert len(found(run(config, state=state))) == 1


def test_only_general_tasks_are_remembered_where_the_others_are_found_by_their_parents(small):
    general = {task["id"] for task in small.get("dump")["tasks"] if task["parent_kind"] == "general"}
    state = run(settings(small, modules=["tasks"])).state
    remembered = memory(state, "tasks")["tasks"]["open"]
    assert remembered
    assert set(remembered) <= general
    everything = run(
        settings(small, modules=["projects", "tasks"], task_discovery="global"), state=state
    ).state
    assert set(memory(everything, "projects")["tasks"]["open"]) > set(remembered)


def test_a_bookmark_without_a_memory_reads_all_once_that_were_ever_closed(small):
    """Such as one of an earlier version, or one that a person wrote: nobody knows what was open then."""
    long_ago(small, "project")
    config = settings(small, modules=["projects"])
    projects = small.get("dump")["projects"]
    ended(small, "project", projects, 100)
    state = run(config).state
    del state["bookmarks"]["worklogs"]["partitions"][0]["lately_open"]
    state, read = projects_read(small, config, state)
    assert read == len(projects)
    assert projects_read(small, config, state)[1] == 0


def old_project(sandbox):
    """Add a project of long ago with time on it."""
    project = person(sandbox, "project", "add", title="Older")
    task = person(sandbox, "task", "add", parent=f"projects/{project['id']}", title="Do it")
    new_worklog(sandbox, f"projects/{project['id']}/tasks/{task['id']}")
    person(sandbox, "project", "edit", project["id"], created_time=days_ago(sandbox, 400))
    return project


def test_a_bookmark_set_back_by_hand_reads_what_was_open_then(small):
    config = settings(small, modules=["projects"])
    project = old_project(small)
    state = run(config).state
    ended(small, "project", [project], 70)
    for days in (0, 45, 0):
        state = run(config, state=aged(state, "projects", days)).state
    [partition] = state["bookmarks"]["worklogs"]["partitions"]
    partition["replication_key_value"] = iso_utc(days_ago(small, 60))
    assert len(found(run(config, state=state))) == 1


def test_a_memory_from_before_a_time_of_walks_by_change_is_not_believed(small):
    config = settings(small, modules=["projects"])
    state = run(config).state
    small.post("set", {"last_updated_on": "all"})
    project = old_project(small)
    state = run(config, state=state).state
    assert memory(state, "projects") is None
    small.post("set", {"last_updated_on": "requests"})
    ended(small, "project", [project], 40)
    assert len(found(run(config, state=state))) == 1


def test_another_way_to_discover_tasks_does_not_believe_the_memory_of_general_tasks(small):
    reachable = {worklog["parent_id"] for worklog in small.reachable().values()}
    task = next(
        task
        for task in small.get("dump")["tasks"]
        if task["parent_kind"] == "request" and task["status"] == "Open" and task["id"] in reachable
    )
    person(small, "task", "edit", task["id"], created_time=days_ago(small, 400))
    first = run(settings(small, modules=["tasks"]))
    new_worklog(small, f"requests/{task['parent_id']}/tasks/{task['id']}")
    person(small, "task", "edit", task["id"], status="Closed", actual_end_time=days_ago(small, 60))
    second = run(settings(small, modules=["tasks"], task_discovery="global"), state=first.state)
    assert len(found(second)) == 1


@pytest.mark.parametrize("is_upgraded", [False, True], ids=["the first run", "after an upgrade"])
@pytest.mark.parametrize("kind", ["project", "task"])
def test_a_start_date_keeps_away_what_ended_long_before(small, kind, is_upgraded):
    if kind == "project":
        parent = person(small, "project", "add", title="Old")
        task = person(small, "task", "add", parent=f"projects/{parent['id']}", title="Do it")
        new_worklog(small, f"projects/{parent['id']}/tasks/{task['id']}")
    else:
        tasks = small.get("dump")["tasks"]
        parent = next(t for t in tasks if t["parent_kind"] == "general" and t["status"] == "Open")
        new_worklog(small, f"tasks/{parent['id']}")
    person(small, kind, "edit", parent["id"], created_time=days_ago(small, 800))
    ended(small, kind, [parent], 700)
    config = settings(small, modules=[f"{kind}s"], start_date=iso_utc(days_ago(small, 60)))
    out = run(config)
    if is_upgraded:
        [partition] = out.state["bookmarks"]["worklogs"]["partitions"]
        for name in ("lately_open", "by_own_clock"):
            partition.pop(name, None)
        out = run(config, state=out.state)
    assert out.trailer is not None
    assert found(out) == []


def test_closed_projects_are_not_all_read_for_ever_where_creation_is_not_told(small, monkeypatch):
    listed_without(monkeypatch, "projects", "created_time")
    config = settings(small, modules=["projects"])
    ended(small, "project", small.get("dump")["projects"], 300)
    state, _ = projects_read(small, config, None)
    assert projects_read(small, config, state)[1] == 0


def test_nothing_is_remembered_where_a_module_can_be_asked_by_time_of_change(small):
    small.post("set", {"last_updated_on": "all"})
    state = run(settings(small)).state
    assert [memory(state, module) for module in MODULES] == [None] * 5


WINDOW = timedelta(days=3)
RUNS = st.lists(
    st.tuples(st.integers(0, 5), st.lists(st.booleans(), min_size=4, max_size=4)), min_size=1, max_size=8
)


@given(RUNS)
def test_whatever_opens_and_closes_is_read_until_it_was_seen_closed_for_the_window(runs):
    """Each run comes some days after the one before and sees four projects, open or closed."""
    ancient = {"created_time": {"value": "1000"}, "actual_end_time": {"value": "2000"}}
    today, remembered = date(2026, 1, 1), {}
    closed_on = dict.fromkeys("1234", date.min)  # the first run that saw it closed; long before all of these
    long_closed = set("1234")
    for days, are_open in runs:
        today += timedelta(days=days)
        lately_open = LatelyOpen(remembered.items())
        for identity, is_open in zip("1234", are_open, strict=True):
            row = {"id": identity, "status": {"in_progress": is_open}, **ancient}
            parent = read_parent(MODULES_BY_NAME["projects"], row)
            is_passed_over = not is_open and lately_open.is_long_closed(parent, 10**12)
            assert is_passed_over == (not is_open and identity in long_closed)
            if not is_passed_over:
                lately_open.see(parent)
            if is_open:
                closed_on[identity] = None
            elif closed_on[identity] is None:
                closed_on[identity] = today
        long_closed = {one for one, day in closed_on.items() if day is not None and day < today - WINDOW}
        remembered = lately_open.to_remember(str(today), str(today - WINDOW))
