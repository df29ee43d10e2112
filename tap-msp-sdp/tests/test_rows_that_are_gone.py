"""What is gone meanwhile, and what only seems to be gone because its own path does not exist."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msp_xero.sdp import SdpClient

from .conftest import new_worklog, person, run, settings

GONE = {"kind": "status", "status": 404, "body": {"response_status": {"status_code": 4007}}}


@pytest.mark.parametrize("modules", [["tasks"], ["requests", "tasks", "projects"]])
def test_global_discovery_goes_on_without_the_paths_of_problem_tasks(small, modules):
    problem = small.get("dump")["problems"][0]["id"]
    person(small, "task", "add", parent=f"problems/{problem}", title="Look again")
    small.post("faults", [{"match": {"regex": r"/problems/\d+/tasks"}, **GONE}])
    out = run(settings(small, modules=modules, task_discovery="global"))
    assert out.trailer is not None


@pytest.mark.parametrize("discovery", ["parents", "global"])
def test_a_general_task_keeps_the_account_of_its_site_where_its_own_path_does_not_exist(
    small, monkeypatch, discovery
):
    site = small.get("dump")["sites"][0]
    read_page = SdpClient._page

    def page(self, path, *rest):
        answer = read_page(self, path, *rest)
        if path != "tasks":
            return answer
        rows = [{**row, "site": {"id": site["id"]}} for row in answer.rows]
        for row in rows:
            row.pop("account", None)
        return replace(answer, rows=rows)

    monkeypatch.setattr(SdpClient, "_page", page)
    small.post("faults", [{"match": {"regex": r"/api/v3/tasks/\d+$"}, **GONE}])
    out = run(settings(small, modules=["tasks"], task_discovery=discovery))
    general = [record for record in out.records() if record["parent_module"] == "task"]
    assert general
    assert all(record["account_id"] for record in general)


def test_a_problem_task_below_a_path_that_is_missing_hides_no_other_with_global_discovery(small):
    problem = small.get("dump")["problems"][0]["id"]
    person(small, "task", "add", parent=f"problems/{problem}", title="Look again")
    small.post("faults", [{"match": {"regex": r"/problems/\d+/tasks/\d+"}, **GONE}])
    out = run(settings(small, modules=["tasks"], task_discovery="global"))
    assert out.trailer is not None


@pytest.mark.parametrize("deleted", [1, 2])
def test_general_tasks_deleted_one_after_the_other_leave_nothing_in_doubt(
    small, monkeypatch, caplog, deleted
):
    """The list that was read again for the first one still has the second."""
    ids = [person(small, "task", "add", title="Look again")["id"] for _ in range(2)]
    for one in ids:
        new_worklog(small, f"tasks/{one}")
    read = SdpClient.worklogs

    def worklogs(self, path):
        if path in {f"tasks/{one}" for one in ids[:deleted]}:
            person(small, "task", "delete", path.removeprefix("tasks/"))
        return read(self, path)

    monkeypatch.setattr(SdpClient, "worklogs", worklogs)
    out = run(settings(small, modules=["tasks"], concurrency=1))
    assert out.trailer is not None
    assert not [line for line in caplog.messages if "is missing" in line]
