"""Closed parents of modules that cannot be asked by time of change."""

from __future__ import annotations

import pytest
from tap_msp_sdp.settings import DAY_MS

from .conftest import found, new_worklog, person, run, settings


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
