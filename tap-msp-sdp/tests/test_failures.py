from __future__ import annotations

import pytest
from msp_xero.errors import AccessRefused, Missing, RemoteError, SettingError

from .conftest import KEY, run, settings, until_it_is_well


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"auth_token": "WRONG"}, AccessRefused, "auth_token"),
        ({"auth_token": "sandbox-limited-token", "modules": ["requests"]}, None, ""),
    ],
)
def test_keys(small, change, error, words):
    if error is None:
        limited = run({**settings(small), **change})
        assert 0 < len(limited.ids()) < len(small.reachable())
        assert {r["total_cost"] for r in limited.records()} == {None}
        return
    with pytest.raises(error, match=words):
        run({**settings(small), **change})


def test_a_login_page_is_one_clear_error(small):
    small.post("faults", [{"match": {"path": "/api/v3/requests"}, "kind": "html"}])
    with pytest.raises(RemoteError) as caught:
        run(settings(small))
    text = str(caught.value)
    assert "page came instead of an API answer" in text
    assert f"GET {small.url}/api/v3/requests" in text
    assert "base_url" in text
    assert KEY not in text


PAGE = {"kind": "html", "status": 404, "body": "<html><title>HTTP Status 404 - Not Found</title></html>"}
IN_ITS_OWN_WORDS = {
    "kind": "status",
    "status": 404,
    "body": {"response_status": {"status_code": 4007, "status": "failed"}},
}


@pytest.mark.parametrize("answer", [IN_ITS_OWN_WORDS, PAGE], ids=["in its own words", "with a page"])
def test_a_module_that_does_not_exist_names_the_setting(small, answer):
    small.post("faults", [{"match": {"regex": "problems$"}, **answer}])
    with pytest.raises(Missing, match="leave them out of modules"):
        run(settings(small))


def test_a_parent_that_is_deleted_meanwhile_is_no_error(small):
    request = max(small.get("dump")["requests"], key=lambda r: r["last_updated_time"])
    small.post("faults", [{"match": {"path": f"/api/v3/requests/{request['id']}"}, **IN_ITS_OWN_WORDS}])
    out = run(settings(small))
    expected = {
        i
        for i, w in small.reachable().items()
        if not (w["parent_kind"] == "request" and w["parent_id"] == request["id"])
    }
    assert set(out.ids()) <= expected
    assert out.trailer is not None


@pytest.mark.parametrize("times", [2, 8, 40, 400])
def test_pages_of_a_web_server_while_sdp_starts_hide_no_worklog(small, times):
    fault = {"match": {"regex": r"/requests/\d+"}, **PAGE, "times": times}
    first, second = until_it_is_well(small, fault, modules=["requests"])
    expected = {one for one, worklog in small.reachable().items() if worklog["module"] == "request"}
    assert expected <= {*first.ids(), *second.ids()}


def test_pages_of_a_web_server_hide_no_task_where_the_path_may_be_missing(small):
    small.post("set", {"last_updated_on": "requests,problems"})
    problem = next(
        task["parent_id"] for task in small.get("dump")["tasks"] if task["parent_kind"] == "problem"
    )
    fault = {"match": {"path": f"/api/v3/problems/{problem}/tasks"}, **PAGE, "times": 2}
    first, second = until_it_is_well(small, fault, modules=["tasks"])
    expected = {one for one, worklog in small.reachable().items() if worklog["module"] == "task"}
    assert expected <= {*first.ids(), *second.ids()}


def test_pages_of_a_web_server_for_a_site_leave_no_worklog_without_its_account(small):
    small.post("set", {"account_on": "none", "site_account": "off", "requester_account": "off"})
    known = {row["worklog_id"] for row in run(settings(small)).records() if row["account_id"]}
    assert known
    first, second = until_it_is_well(small, {"match": {"regex": r"/sites/\d+"}, **PAGE, "times": 3})
    newest = {row["worklog_id"]: row["account_id"] for row in (*first.records(), *second.records())}
    assert {one for one in known if newest.get(one) is None} == set()


def test_a_path_that_an_installation_does_not_have_is_told_once_and_ends_no_run(small, caplog):
    small.post("faults", [{"match": {"regex": r"/problems/\d+/tasks$"}, **PAGE}])
    out = run(settings(small, modules=["problems", "tasks"]))
    assert out.trailer is not None
    told = [line for line in caplog.messages if "GET problems/{id}/tasks does not exist" in line]
    assert len(told) == 1


def test_half_a_character_in_one_text_keeps_no_worklog_from_coming(small):
    worklog = next(one for one in small.get("dump")["worklogs"] if one["module"] == "request")
    body = (
        '{"worklogs": [{"id": "990001", "time_spent": {"hours": "1"}, "description": "cut \\ud83d"}], '
        '"list_info": {"total_count": 1}, "response_status": [{"status_code": 2000, "status": "success"}]}'
    )
    path = f"/api/v3/requests/{worklog['parent_id']}/worklogs"
    small.post("faults", [{"match": {"path": path}, "kind": "html", "status": 200, "body": body}])
    out = run(settings(small, modules=["requests"]))
    [row] = [row for row in out.records() if row["worklog_id"] == "990001"]
    assert row["description"] == "cut \ufffd"
    assert out.trailer is not None


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"modules": []}, "modules"),
        ({"auth_token": None}, "auth_token"),
        ({"base_url": "nowhere"}, "base_url"),
        ({"start_date": "soon"}, "start_date"),
    ],
)
def test_a_wrong_setting_ends_the_run_before_it_starts(small, change, setting):
    with pytest.raises(SettingError, match=setting):
        run({**settings(small), **change})
    assert small.calls() == {}
