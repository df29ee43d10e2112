"""Installations that do not have every module, or whose licence does not."""

from __future__ import annotations

import pytest
from msp_xero.errors import AccessRefused, Missing, NotLicensed
from msp_xero.sdp import SdpClient

from .conftest import new_worklog, person, run, settings, until_it_is_well


def refused(code, status):
    body = {"status_code": 4000, "status": "failed", "messages": [{"status_code": code, "type": "failed"}]}
    return {"kind": "status", "status": status, "body": {"response_status": body}}


NOT_LICENSED = refused(7001, 400)
NO_SUCH_PATH = refused(4007, 404)
NOT_ALLOWED = refused(4002, 403)


@pytest.mark.parametrize("answer", [NOT_LICENSED, NO_SUCH_PATH], ids=["7001", "4007"])
def test_modules_that_the_licence_lacks_are_left_out_as_the_documentation_says(small, caplog, answer):
    kinds = {task["id"]: task["parent_kind"] for task in small.get("dump")["tasks"]}
    expected = {
        one
        for one, worklog in small.reachable().items()
        if worklog["module"] == "request"
        or (worklog["module"] == "task" and kinds[worklog["parent_id"]] in {"request", "general"})
    }
    small.post("faults", [{"match": {"regex": "/(problems|changes)(/|$)"}, **answer}])
    config = settings(small, modules=["requests", "tasks"])
    first = run(config)
    assert set(first.ids()) == expected
    assert first.trailer is not None
    told = [line.split(" (")[0] for line in caplog.messages if "are not read" in line]
    assert told == ["This installation has no problems", "This installation has no changes"]
    assert run(config, state=first.state).trailer is not None


def test_tasks_of_problems_come_from_the_start_once_the_licence_has_them(small):
    config = settings(small, modules=["requests", "tasks"])
    small.post("faults", [{"match": {"regex": "/problems(/|$)"}, **NOT_LICENSED}])
    first = run(config)
    small.mend()
    second = run(config, state=first.state)
    expected = {one for one, worklog in small.reachable().items() if worklog["module"] in {"request", "task"}}
    assert {*first.ids(), *second.ids()} == expected


@pytest.mark.parametrize(
    ("modules", "path", "answer", "error"),
    [
        (["requests", "problems", "tasks"], "problems", NOT_LICENSED, NotLicensed),
        (["requests", "problems", "tasks"], "problems", NO_SUCH_PATH, Missing),
        (["tasks"], "problems", NOT_ALLOWED, AccessRefused),
        (["tasks"], "requests", NO_SUCH_PATH, Missing),
        (["requests", "tasks"], "tasks", NOT_LICENSED, NotLicensed),
    ],
)
def test_what_is_selected_or_only_not_allowed_or_always_there_ends_the_run(
    small, modules, path, answer, error
):
    small.post("faults", [{"match": {"path": f"/api/v3/{path}"}, **answer}])
    with pytest.raises(error):
        run(settings(small, modules=modules))


def test_a_web_server_that_has_lost_the_problems_is_no_word_about_the_licence(small):
    page = {"kind": "html", "status": 404, "body": "<html>Not Found</html>"}
    small.post("faults", [{"match": {"regex": "problems$"}, **page}])
    with pytest.raises(Missing, match="problems"):
        run(settings(small, modules=["requests", "tasks"]))


def test_a_problem_that_is_refused_by_the_licence_in_the_midst_of_others_ends_the_run(small):
    small.post("faults", [{"match": {"regex": r"/problems/\d+/tasks$"}, **NOT_LICENSED, "nth": 2}])
    with pytest.raises(NotLicensed):
        run(settings(small, modules=["requests", "tasks"]))


def test_a_list_that_breaks_off_after_it_has_answered_ends_the_run(small):
    small.post("set", {"last_updated_on": "all"})
    small.post("faults", [{"match": {"regex": "/problems$"}, **NO_SUCH_PATH, "nth": 2}])
    with pytest.raises(Missing):
        run(settings(small, modules=["requests", "tasks"]))


# ------------------------------------------------- nothing at all below a path that no documentation confirms


BELOW = pytest.mark.parametrize(
    "below", [r"/api/v3/problems/\d+/tasks/\d+", r"/api/v3/tasks/\d+"], ids=["of problems", "general ones"]
)
PAGE = {"kind": "html", "status": 404, "body": "<html>Not Found</html>"}


def with_time_on_tasks_of_a_problem(sandbox):
    problem = sandbox.get("dump")["problems"][0]["id"]
    tasks = [
        person(sandbox, "task", "add", parent=f"problems/{problem}", title="Look again")["id"] for _ in "12"
    ]
    for task in tasks:
        new_worklog(sandbox, f"problems/{problem}/tasks/{task}")
    return problem, tasks


@BELOW
@pytest.mark.parametrize("answer", [NO_SUCH_PATH, PAGE], ids=["4007", "a page"])
def test_an_installation_that_serves_tasks_nowhere_below_a_path_is_told_so_and_the_run_goes_on(
    small, caplog, below, answer
):
    with_time_on_tasks_of_a_problem(small)
    small.post("faults", [{"match": {"regex": below}, **answer}])
    out = run(settings(small, modules=["tasks"]))
    assert out.trailer is not None
    assert {one for one, w in small.reachable().items() if w["module"] == "task"} - set(out.ids())
    assert len([line for line in caplog.messages if "worklogs there are not read" in line]) == 1
    assert small.calls()["GET tasks"] <= 4, "the list is not read again for each"


@pytest.mark.parametrize("answer", [NO_SUCH_PATH, PAGE], ids=["4007", "a page"])
@pytest.mark.parametrize("which", ["of problems", "general ones"])
def test_a_task_that_is_refused_by_itself_and_below_once_is_asked_again(small, answer, which):
    """The list names it: it is not gone."""
    problem, tasks = with_time_on_tasks_of_a_problem(small)
    below = f"problems/{problem}/tasks/{tasks[0]}"
    if which == "general ones":
        below = f"tasks/{person(small, 'task', 'add', title='Look again')['id']}"
        new_worklog(small, below)
    fault = {"match": {"regex": f"/api/v3/{below}(/|$)"}, **answer}
    first, second = until_it_is_well(small, fault, modules=["tasks"])
    expected = {one for one, w in small.reachable().items() if w["module"] == "task"}
    assert first.trailer is not None
    assert not expected <= set(first.ids())
    assert expected <= {*first.ids(), *second.ids()}


@pytest.mark.parametrize("which", ["of problems", "general ones"])
def test_a_task_that_is_deleted_meanwhile_is_told_of_no_path(small, monkeypatch, caplog, which):
    problem, tasks = with_time_on_tasks_of_a_problem(small)
    gone, path = tasks[0], f"problems/{problem}/tasks"
    if which == "general ones":
        gone, path = person(small, "task", "add", title="Look again")["id"], "tasks"
        new_worklog(small, f"tasks/{gone}")
    read_page, deleted = SdpClient._page, []

    def page(self, asked, *rest):
        answer = read_page(self, asked, *rest)
        if asked == path and not deleted:
            deleted.append(person(small, "task", "delete", gone))
        return answer

    monkeypatch.setattr(SdpClient, "_page", page)
    out = run(settings(small, modules=["tasks"], concurrency=1))
    assert deleted
    assert out.trailer is not None
    assert not [line for line in caplog.messages if "not read" in line or "missing" in line]
    assert set(out.ids()) == {one for one, w in small.reachable().items() if w["module"] == "task"}
