"""Installations that do not have every module, or whose licence does not."""

from __future__ import annotations

import pytest
from msp_xero.errors import AccessRefused, Missing, NotLicensed

from .conftest import run, settings


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
