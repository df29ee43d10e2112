"""The global task list: it names what tasks belong to, or it does not (uncertain, sdp-msp-api §4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msp_xero.edges.clock import SystemClock
from msp_xero.errors import Unavailable
from msp_xero.sdp import SdpClient, paging
from tap_msp_sdp.settings import DAY_MS
from tap_msp_sdp.tally import Tally

from .conftest import MODULES, found, listed_without, new_worklog, person, run, settings

PARENTS = ("request", "problem", "change", "project", "milestone")
GONE = {"kind": "status", "status": 404, "body": {"response_status": {"status_code": 4007}}}
NOT_LICENSED = {"kind": "status", "status": 400, "body": {"response_status": {"status_code": 7001}}}
NO_SUCH_PATH = {"kind": "html", "status": 404, "body": "<html>Not Found</html>"}


def of_modules(sandbox, *modules):
    return {one for one, worklog in sandbox.reachable().items() if f"{worklog['module']}s" in modules}


def has_milestone(row):
    return row.get("milestone")


def worklogs_name_the_parents_of_their_task(monkeypatch, tasks):
    named = {
        f"tasks/{task['id']}/worklogs": {task["parent_kind"]: {"id": task["parent_id"]}}
        for task in tasks
        if task["parent_kind"] in PARENTS
    }
    read_page = SdpClient._page

    def page(self, path, *rest):
        answer = read_page(self, path, *rest)
        return replace(answer, rows=[{**row, **named.get(path, {})} for row in answer.rows])

    monkeypatch.setattr(SdpClient, "_page", page)


def general_tasks_with_time(sandbox):
    dump = sandbox.get("dump")
    busy = {w["parent_id"] for w in dump["worklogs"] if w["parent_kind"] == "task"}
    found = [t["id"] for t in dump["tasks"] if t["parent_kind"] == "general" and t["id"] in busy]
    assert len(found) > 1
    return sorted(found, key=int)


def delete_before_its_row_is_read(monkeypatch, sandbox, *identities):
    """Let tasks be deleted when each is asked for itself, or below what it belongs to for its time."""
    read_row, worklogs, left = SdpClient.read_row, SdpClient.worklogs, set(identities)

    def delete(path):
        group, _, identity = path.rpartition("/")
        if identity in left and group.endswith("tasks"):
            left.remove(identity)
            person(sandbox, "task", "delete", identity)

    def row(self, path, key):
        delete(path)
        return read_row(self, path, key)

    def rows(self, path):
        if not path.startswith("tasks/"):
            delete(path)
        return worklogs(self, path)

    monkeypatch.setattr(SdpClient, "read_row", row)
    monkeypatch.setattr(SdpClient, "worklogs", rows)


# ------------------------------------------------------------------- global discovery


@pytest.mark.parametrize("modules", [["projects"], ["tasks"], ["projects", "tasks"], MODULES])
@pytest.mark.parametrize(
    ("absent", "where"),
    [(("project",), has_milestone), (PARENTS, bool)],
    ids=["only the milestone", "nothing"],
)
def test_global_discovery_asks_the_task_itself_where_the_list_does_not_name_what_it_belongs_to(
    small, monkeypatch, absent, where, modules
):
    listed_without(monkeypatch, "tasks", *absent, where=where)
    out = run(settings(small, modules=modules, task_discovery="global"))
    assert out.trailer is not None
    assert set(out.ids()) == of_modules(small, *modules)


def test_a_task_that_the_list_takes_for_a_general_one_is_read_below_its_project(small, monkeypatch):
    listed_without(monkeypatch, "tasks", "project")
    out = run(settings(small, task_discovery="global"))
    assert set(out.ids()) == set(small.reachable())


@pytest.mark.parametrize("modules", [["projects"], MODULES])
@pytest.mark.parametrize("serves", ["general", "all"])
def test_a_list_that_lacks_one_column_does_not_say_that_a_task_belongs_to_nothing(
    small, monkeypatch, modules, serves
):
    small.post("set", {"task_worklogs": serves})
    listed_without(monkeypatch, "tasks", "project")
    out = run(settings(small, modules=modules, task_discovery="global"))
    assert set(out.ids()) == of_modules(small, *modules)
    kinds = {record["worklog_id"]: record["module"] for record in out.records()}
    assert kinds == {one: w["module"] for one, w in small.reachable().items() if one in kinds}


def test_a_task_of_which_only_its_own_row_names_the_milestone_ends_with_a_sentence(small, monkeypatch):
    listed_without(monkeypatch, "tasks", "project", single_too=True, where=has_milestone)
    listed_without(monkeypatch, "tasks", "milestone")
    with pytest.raises(Unavailable, match="task_discovery: parents"):
        run(settings(small, task_discovery="global"))


def test_global_discovery_asks_no_general_task_for_what_is_not_wanted(small):
    run(settings(small, modules=["projects"], task_discovery="global"))
    assert not {"GET tasks/{id}", "GET tasks/{id}/worklogs"} & set(small.calls())


@pytest.mark.parametrize(
    ("absent", "where"),
    [(("project",), has_milestone), (PARENTS, bool)],
    ids=["only the milestone", "nothing"],
)
def test_global_discovery_ends_where_tasks_do_not_name_what_they_belong_to(small, monkeypatch, absent, where):
    listed_without(monkeypatch, "tasks", *absent, single_too=True, where=where)
    with pytest.raises(Unavailable, match="task_discovery: parents"):
        run(settings(small, modules=["projects"], task_discovery="global"))


@pytest.mark.parametrize("absent", [PARENTS, ("project",)], ids=["nothing", "all but the project"])
@pytest.mark.parametrize("answer", [GONE, NO_SUCH_PATH], ids=["gone", "no such path"])
def test_global_discovery_takes_a_task_that_has_no_path_of_its_own_for_no_deleted_one(
    small, monkeypatch, answer, absent
):
    """ServiceDesk Plus says of a path that it lacks what it says of a row that is gone."""
    listed_without(monkeypatch, "tasks", *absent)
    small.post("faults", [{"match": {"regex": r"/api/v3/tasks/\d+$"}, **answer}])
    with pytest.raises(Unavailable, match="task_discovery: parents"):
        run(settings(small, modules=["projects", "tasks"], task_discovery="global"))


@pytest.mark.parametrize("answer", [GONE, NO_SUCH_PATH], ids=["gone", "no such path"])
@pytest.mark.parametrize("is_deleted", [False, True], ids=["still listed", "deleted"])
def test_a_task_that_cannot_be_asked_is_passed_over_only_if_it_is_gone(
    small, monkeypatch, answer, is_deleted
):
    listed_without(monkeypatch, "tasks", *PARENTS)
    gone, *_ = general_tasks_with_time(small)
    small.post("faults", [{"match": {"path": f"/api/v3/tasks/{gone}"}, **answer}])
    config = settings(small, modules=["tasks"], task_discovery="global")
    if not is_deleted:
        with pytest.raises(Unavailable, match="task_discovery: parents"):
            run(config)
        return
    delete_before_its_row_is_read(monkeypatch, small, gone)
    out = run(config)
    assert out.trailer is not None
    assert set(out.ids()) == of_modules(small, "tasks")


@pytest.mark.parametrize("absent", [(), PARENTS], ids=["all is named", "nothing is named"])
def test_tasks_that_are_deleted_one_after_the_other_do_not_end_global_discovery(small, monkeypatch, absent):
    """The list that was read again for the first one still has the second."""
    listed_without(monkeypatch, "tasks", *absent)
    busy = {worklog["parent_id"] for worklog in small.reachable().values() if worklog["module"] == "project"}
    assert len(busy) > 1
    delete_before_its_row_is_read(monkeypatch, small, *busy)
    out = run(settings(small, task_discovery="global", concurrency=1))
    assert out.trailer is not None
    assert not of_modules(small, "projects")
    assert set(out.ids()) == set(small.reachable())


@pytest.mark.parametrize("modules", [["projects"], ["projects", "tasks"]])
def test_a_list_that_names_the_project_and_not_the_milestone_hides_no_time(small, monkeypatch, modules):
    """Below the project, ServiceDesk Plus says of such a task that it does not exist."""
    listed_without(monkeypatch, "tasks", "milestone")
    out = run(settings(small, modules=modules, task_discovery="global"))
    assert out.trailer is not None
    assert set(out.ids()) == of_modules(small, *modules)


@pytest.mark.parametrize("answer", [GONE, NO_SUCH_PATH], ids=["gone", "no such path"])
def test_a_task_that_is_listed_but_neither_below_its_project_nor_by_itself_ends_the_run(
    small, monkeypatch, answer
):
    listed_without(monkeypatch, "tasks", "milestone")
    small.post("faults", [{"match": {"regex": r"/api/v3/tasks/\d+$"}, **answer}])
    with pytest.raises(Unavailable, match="task_discovery: parents"):
        run(settings(small, modules=["projects"], task_discovery="global"))


@pytest.mark.parametrize("what", ["task", "project"])
def test_a_task_of_a_project_that_is_deleted_meanwhile_hides_no_other(small, monkeypatch, what):
    worklogs = [w for w in small.get("dump")["worklogs"] if w["module"] == "project"]
    tasks = {t["id"]: t for t in small.get("dump")["tasks"]}
    task = next(t for w in worklogs if (t := tasks[w["parent_id"]])["parent_kind"] == "project")
    identity = task["id"] if what == "task" else task["parent_id"]
    read_page, is_listed = SdpClient._page, []

    def page(self, path, *rest):
        answer = read_page(self, path, *rest)
        if path == "tasks" and not is_listed:
            is_listed.append(path)
            small.post("rows", {"kind": what, "action": "delete", "id": identity})
        return answer

    monkeypatch.setattr(SdpClient, "_page", page)
    out = run(settings(small, modules=["projects"], task_discovery="global"))
    assert is_listed
    assert out.trailer is not None
    assert set(out.ids()) == of_modules(small, "projects")


def test_a_task_in_a_container_that_is_not_shown_any_more_is_passed_over(small):
    """Such as an archived ticket: it is gone, and the list of tasks need not know."""
    task = next(t for t in small.get("dump")["tasks"] if t["parent_kind"] == "request")
    small.post("faults", [{"match": {"regex": rf"/requests/{task['parent_id']}(/|$)"}, **GONE}])
    out = run(settings(small, modules=["tasks"], task_discovery="global"))
    assert out.trailer is not None
    assert out.ids()
    assert task["parent_id"] not in {record["parent_id"] for record in out.records()}


@pytest.mark.parametrize("how", ["one refused", "not licensed"])
def test_global_discovery_begins_no_later_than_the_last_of_the_walks_that_it_replaces(small, how):
    small.post("set", {"last_updated_on": "all"})
    problem = small.get("dump")["problems"][0]["id"]
    task = person(small, "task", "add", parent=f"problems/{problem}", title="Look again")["id"]
    new_worklog(small, f"problems/{problem}/tasks/{task}")
    newest = max(row["last_updated_time"] for row in small.get("dump")["tasks"])
    person(small, "task", "edit", task, last_updated_time=newest - 5 * DAY_MS)
    general = general_tasks_with_time(small)[0]
    person(small, "task", "edit", general, title="The last that was changed")
    if how == "one refused":  # "the next run asks again"
        small.post("faults", [{"match": {"path": f"/api/v3/problems/{problem}/tasks"}, **GONE}])
    else:
        small.post("faults", [{"match": {"regex": "/problems(/|$)"}, **NOT_LICENSED}])
    first = run(settings(small, modules=["tasks"]))
    assert first.trailer is not None
    assert not found(first)
    small.mend()
    second = run(settings(small, modules=["tasks"], task_discovery="global"), state=first.state)
    assert second.trailer is not None
    assert len(found(second)) == 1


# ------------------------------------------------------------------- discovery by parents


def test_a_general_task_that_is_deleted_after_its_time_was_read_hides_nothing(small, monkeypatch):
    listed_without(monkeypatch, "tasks", *PARENTS)
    expected = set(small.reachable())
    delete_before_its_row_is_read(monkeypatch, small, general_tasks_with_time(small)[0])
    out = run(settings(small))
    assert set(small.reachable()) < expected
    assert out.trailer is not None
    assert set(out.ids()) == expected


@pytest.mark.parametrize("answer", [GONE, NO_SUCH_PATH], ids=["gone", "no such path"])
def test_time_of_general_tasks_that_have_no_path_of_their_own_is_kept(small, monkeypatch, answer):
    listed_without(monkeypatch, "tasks", *PARENTS)
    small.post("faults", [{"match": {"regex": r"/api/v3/tasks/\d+$"}, **answer}])
    out = run(settings(small))
    assert out.trailer is not None
    assert set(out.ids()) == set(small.reachable())


@pytest.mark.parametrize("how", ["no member", "no path"])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_list_is_not_read_again_for_each_task_that_is_refused(small, monkeypatch, how, concurrency):
    """It names no parents, and only general tasks have their time by themselves."""
    listed_without(monkeypatch, "tasks", *PARENTS, single_too=how == "no member")
    monkeypatch.setattr(paging, "PAGE_ROWS", 4)
    if how == "no path":
        small.post("faults", [{"match": {"regex": r"/api/v3/tasks/\d+$"}, **GONE}])
    out = run(settings(small, modules=["tasks"], concurrency=concurrency))
    assert out.trailer is not None
    tasks = small.get("dump")["tasks"]
    pages = -(-len(tasks) // 4)
    assert pages >= 3
    assert sum(task["parent_kind"] != "general" for task in tasks) > 2 * concurrency
    walked = pages + 2  # it cannot be asked by time of change
    assert small.calls()["GET tasks"] - walked <= concurrency * pages, "once, or by each who was refused then"


def test_a_list_that_lacks_one_column_takes_no_task_away_from_its_project(small, monkeypatch):
    listed_without(monkeypatch, "tasks", "project")
    small.post("set", {"task_worklogs": "all", "account_on": "requests,problems,changes,projects"})
    newest = {record["worklog_id"]: record for record in run(settings(small)).records()}
    for one, worklog in small.reachable().items():
        assert newest[one]["module"] == worklog["module"]
        if worklog["module"] == "project":
            assert newest[one]["account_id"] == worklog["account_id"]


@pytest.mark.parametrize("how", ["no member", "no path", "no path, as of a row that is gone"])
def test_a_task_list_that_names_no_parents_takes_no_account_away(small, monkeypatch, how):
    listed_without(monkeypatch, "tasks", *PARENTS, single_too=how == "no member")
    small.post("set", {"task_worklogs": "all", "account_on": "requests,problems,changes,projects"})
    if how != "no member":
        answer = NO_SUCH_PATH if how == "no path" else GONE
        small.post("faults", [{"match": {"regex": r"/api/v3/tasks/\d+$"}, **answer}])
    general = {task["id"] for task in small.get("dump")["tasks"] if task["parent_kind"] == "general"}
    expected = small.reachable()
    newest = {record["worklog_id"]: record for record in run(settings(small)).records()}
    assert set(newest) == set(expected)
    assert general & {record["task_id"] for record in newest.values()}
    for one, worklog in expected.items():
        if worklog["parent_id"] not in general:
            assert newest[one]["module"] == worklog["module"]
            assert newest[one]["account_id"] == worklog["account_id"]


def test_worklogs_that_name_the_ticket_of_their_task_are_left_to_its_walk(small, monkeypatch):
    """Also in a run that does not read the ticket, because nothing of it changed."""
    listed_without(monkeypatch, "tasks", *PARENTS, single_too=True)
    worklogs_name_the_parents_of_their_task(monkeypatch, small.get("dump")["tasks"])
    small.post("set", {"task_worklogs": "all", "account_on": "requests,problems"})
    first = run(settings(small))
    assert set(first.ids()) == set(small.reachable())
    accounts = {record["worklog_id"]: record["account_id"] for record in first.records()}
    second = run(settings(small, overlap_minutes=0), state=first.state)
    assert second.ids()
    for record in second.records():
        assert record["account_id"] == accounts[record["worklog_id"]]


@pytest.mark.parametrize(("created", "is_lost"), [("2026-01-01T00:00:00.000Z", True), (None, False)])
def test_only_a_worklog_that_tells_its_creation_is_known_again_in_another_module(created, is_lost):
    """Ids need not be unique across modules: without it, it may be another one."""
    tally = Tally(SystemClock())
    copy = {"module": "request", "worklog_id": "1", "created_time": created, "technician_id": None}
    assert tally.is_new({**copy, "account_id": "7", "account_name": None})
    without = {**copy, "module": "task", "account_id": None, "account_name": None}
    assert tally.has_lost_its_account(without) is is_lost
    assert not tally.has_lost_its_account({**without, "account_name": "Acme"})
    assert not tally.has_lost_its_account({**without, "technician_id": "9"})
