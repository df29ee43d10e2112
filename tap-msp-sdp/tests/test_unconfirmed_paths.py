"""Paths that no documentation confirms: an installation may not have them, or refuse them once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msp_xero.errors import AccessRefused, Rejected
from msp_xero.sdp import SdpClient
from msp_xero.sdp.dialects import iso_utc
from tap_msp_sdp import extraction
from tap_msp_sdp.settings import MINUTE_MS

from .conftest import found, listed_without, new_worklog, person, run, settings, until_it_is_well


def refused(status, code):
    body = {"status_code": code, "status": "failed", "messages": []}
    return {"kind": "status", "status": status, "body": {"response_status": body}}


REFUSALS = [
    refused(400, 4000),
    refused(404, 4007),
    refused(400, 4001),
    {"kind": "html", "status": 404, "body": "<html>Not Found</html>"},
]
NAMES = ["4000", "4007", "4001", "a page"]
ASKED_BY_CHANGE = {"last_updated_on": "all"}


def of_tasks(sandbox):
    return {one for one, worklog in sandbox.reachable().items() if worklog["module"] == "task"}


def busy_tasks(sandbox):
    """Tasks with time on them, those first that a walk by time of change reads first."""
    dump = sandbox.get("dump")
    parents = {(kind, row["id"]): row for kind in ("problem", "task") for row in dump[f"{kind}s"]}
    busy = {w["parent_id"] for w in dump["worklogs"] if w["parent_kind"] == "task"}
    tasks = [task for task in dump["tasks"] if task["id"] in busy]

    def changed(task):
        own = task["parent_kind"] == "general"
        return parents["task" if own else "problem", task["id" if own else "parent_id"]]["last_updated_time"]

    wanted = [task for task in tasks if task["parent_kind"] in {"problem", "general"}]
    return sorted(wanted, key=changed)


@pytest.mark.parametrize("refusal", REFUSALS, ids=NAMES)
@pytest.mark.parametrize("which", [0, -1], ids=["the first", "the last"])
@pytest.mark.parametrize(
    "below", ["/problems/{parent_id}/tasks", "/problems/{parent_id}/tasks/{id}/worklogs"]
)
def test_a_path_that_is_refused_for_one_problem_only_hides_none_of_its_time(small, refusal, which, below):
    small.post("set", ASKED_BY_CHANGE)
    for problem in small.get("dump")["problems"][:3]:
        added = person(small, "task", "add", parent=f"problems/{problem['id']}", title="Look again")
        new_worklog(small, f"tasks/{added['id']}")
    task = [task for task in busy_tasks(small) if task["parent_kind"] == "problem"][which]
    fault = {"match": {"path": "/api/v3" + below.format_map(task)}, **refusal}
    first, second = until_it_is_well(small, fault, modules=["tasks"], overlap_minutes=0)
    assert of_tasks(small) <= {*first.ids(), *second.ids()}


@pytest.mark.parametrize("refusal", REFUSALS, ids=NAMES)
@pytest.mark.parametrize("which", [0, -1], ids=["the first", "the last"])
@pytest.mark.parametrize("more", [{}, {"sweep_days": 30}], ids=["by change", "with a sweep"])
def test_general_tasks_whose_time_is_refused_for_one_only_hide_none_of_it(small, refusal, which, more):
    small.post("set", ASKED_BY_CHANGE)
    task = [task for task in busy_tasks(small) if task["parent_kind"] == "general"][which]
    fault = {"match": {"path": f"/api/v3/tasks/{task['id']}/worklogs"}, **refusal}
    first, second = until_it_is_well(small, fault, modules=["tasks"], overlap_minutes=0, **more)
    assert of_tasks(small) <= {*first.ids(), *second.ids()}


def test_a_refusal_that_is_no_word_about_the_path_ends_the_run(small):
    small.post("faults", [{"match": {"regex": r"/api/v3/tasks/\d+/worklogs$"}, **refused(400, 4000)}])
    with pytest.raises(Rejected):
        run(settings(small, modules=["tasks"]))


def own_rows_without(monkeypatch, *names):
    """Let the rows of tasks that are read one by one leave members out."""
    read_row = SdpClient.read_row

    def row(self, path, key):
        found = read_row(self, path, key)
        return {name: found[name] for name in found if key != "task" or name not in names}

    monkeypatch.setattr(SdpClient, "read_row", row)


def of_one_task(sandbox):
    task = next(task for task in busy_tasks(sandbox) if task["parent_kind"] == "general")
    return f"tasks/{task['id']}", f"/api/v3/tasks/{task['id']}/worklogs"


def of_one_problem(sandbox):
    dump = sandbox.get("dump")
    for problem in dump["problems"][:2]:
        task = person(sandbox, "task", "add", parent=f"problems/{problem['id']}", title="Look again")
        new_worklog(sandbox, f"tasks/{task['id']}")
    identity = min(dump["problems"][:2], key=lambda row: row["last_updated_time"])["id"]
    return f"problems/{identity}", f"/api/v3/problems/{identity}/tasks"


@pytest.mark.parametrize("one", [of_one_task, of_one_problem])
@pytest.mark.parametrize("by_change", [True, False], ids=["by change", "all that is open"])
def test_a_path_that_answers_for_all_but_one_ends_no_run_and_that_one_is_asked_again(
    small, caplog, one, by_change
):
    """Such as a task of something that no list of ours names: its time is served elsewhere."""
    if by_change:
        small.post("set", ASKED_BY_CHANGE)
    owner, path = one(small)
    small.post("faults", [{"match": {"path": path}, **refused(404, 4007)}])
    state, delivered = None, set()
    for number in range(1, 4):
        out = run(settings(small, modules=["tasks"]), state=state)
        state = out.state
        delivered |= set(out.ids())
        assert out.trailer is not None
        assert len([line for line in caplog.messages if f"not for {owner}: " in line]) == number
    small.mend()
    assert not of_tasks(small) <= delivered
    assert of_tasks(small) <= {*delivered, *run(settings(small, modules=["tasks"]), state=state).ids()}


def test_a_path_that_is_missing_holds_up_the_time_of_tasks_only(small):
    """A run that ends early goes on where it was with the worklogs of problems themselves."""
    small.post("set", ASKED_BY_CHANGE)
    problems = small.get("dump")["problems"]
    last = max(problems, key=lambda row: row["last_updated_time"])["id"]
    stop = {"match": {"path": f"/api/v3/problems/{last}/worklogs"}, **refused(403, 4002)}
    small.post("faults", [{"match": {"regex": r"/problems/\d+/tasks$"}, **refused(404, 4007)}, stop])
    with pytest.raises(AccessRefused) as caught:
        run(settings(small, modules=["problems", "tasks"], concurrency=1))
    partitions = caught.value.collector.state["bookmarks"]["worklogs"]["partitions"]
    assert [p["context"]["module"] for p in partitions if p.get("replication_key_value")] == ["problems"]
    assert all("problems" not in p.get("positions", {}) for p in partitions)


def test_where_a_path_answers_for_nobody_the_bookmark_moves_at_the_end(small, caplog):
    small.post("set", {**ASKED_BY_CHANGE, "task_worklogs": "off"})
    first = run(settings(small, modules=["tasks"], overlap_minutes=0))
    assert first.trailer is not None
    assert len([line for line in caplog.messages if "tasks/{id}/worklogs does not exist" in line]) == 1
    before = small.calls()["GET requests/{id}/tasks"]
    assert run(settings(small, modules=["tasks"], overlap_minutes=0), state=first.state).trailer is not None
    assert small.calls()["GET requests/{id}/tasks"] - before <= 2


def test_tasks_that_name_no_parent_and_are_served_below_it_only_end_no_run(small, monkeypatch, caplog):
    parents = ("request", "problem", "change", "project", "milestone")
    listed_without(monkeypatch, "tasks", *parents, single_too=True)
    out = run(settings(small))
    assert out.trailer is not None
    assert set(out.ids()) == set(small.reachable())
    assert len([line for line in caplog.messages if "does not serve every task" in line]) == 1


@pytest.mark.parametrize("told_by", ["both rows", "the list", "a list of general tasks", "no row"])
def test_a_general_task_that_names_nothing_is_asked_again_where_others_name_something(
    small, monkeypatch, told_by
):
    """Rows may leave empty members out: then it is no task of a ticket, whose time is served there only."""
    small.post("set", ASKED_BY_CHANGE)
    parents = ("request", "problem", "change", "project", "milestone")

    def is_general(row):
        return not any(row.get(name) for name in parents)

    if told_by == "no row":
        listed_without(monkeypatch, "tasks", *parents, single_too=True, where=is_general)
    elif told_by != "both rows":
        own_rows_without(monkeypatch, *parents)
    if told_by == "a list of general tasks":
        for task in small.get("dump")["tasks"]:
            if task["parent_kind"] != "general":
                person(small, "task", "delete", task["id"])
    one, other = [task["id"] for task in busy_tasks(small) if task["parent_kind"] == "general"][:2]
    config = settings(small, modules=["tasks"], overlap_minutes=0)
    first = run(config)
    new_worklog(small, f"tasks/{one}")
    person(small, "task", "edit", one, title="Changed")
    person(small, "task", "edit", other, title="Changed, too")
    small.post("faults", [{"match": {"path": f"/api/v3/tasks/{one}/worklogs"}, **refused(404, 4007)}])
    second = run(config, state=first.state)
    assert second.trailer is not None
    assert not found(second)
    small.mend()
    assert len(found(run(config, state=second.state))) == 1


def test_a_path_that_is_lost_is_looked_for_once_in_the_list_of_tasks(small):
    for _ in range(5):
        new_worklog(small, f"tasks/{person(small, 'task', 'add', title='Look again')['id']}")
    config = settings(small, modules=["tasks"], concurrency=1)
    first = run(config)
    walked = small.calls()["GET tasks"]
    small.post("faults", [{"match": {"regex": r"/api/v3/tasks/\d+"}, **refused(404, 4007)}])
    assert run(config, state=first.state).trailer is not None
    assert small.calls()["GET tasks"] - walked <= walked + 1


def test_no_bookmark_moves_past_what_was_left_out_before_it_is_sure(small, monkeypatch):
    """The path is refused for the first problem, then come others without tasks, then it answers."""
    monkeypatch.setattr(extraction, "PARENTS_AHEAD", 1)
    small.post("set", ASKED_BY_CHANGE)
    start = max(problem["last_updated_time"] for problem in small.get("dump")["problems"]) + MINUTE_MS
    problems, tasks = [], []
    for number, has_task in enumerate((True, False, False, True)):
        problems.append(person(small, "problem", "add", title="It is slow")["id"])
        if has_task:
            task = person(small, "task", "add", parent=f"problems/{problems[-1]}", title="Look again")
            new_worklog(small, f"tasks/{task['id']}")
            tasks.append(task["id"])
        moment = start + number * MINUTE_MS
        person(small, "problem", "edit", problems[-1], last_updated_time=moment)
    path = f"/api/v3/problems/{problems[0]}/tasks/{tasks[0]}/worklogs"
    since = iso_utc(start)
    config = settings(small, modules=["tasks"], start_date=since, overlap_minutes=0, concurrency=1)
    small.post("faults", [{"match": {"path": path}, **refused(404, 4007)}])
    first = run(config)
    small.mend()
    again = run(config, state=first.state)
    assert {record["task_id"] for record in found(again)} == set(tasks)


def a_general_task_and_those_of_tickets(sandbox):
    """Return what is refused, and two others of the same list of which that path is not asked."""
    mine = next(
        task["id"]
        for task in sandbox.get("dump")["tasks"]
        if task["parent_kind"] == "general" and task["status"] == "Open"
    )
    others = [task["id"] for task in sandbox.get("dump")["tasks"] if task["parent_kind"] == "request"][:2]
    return "task", mine, f"tasks/{mine}", others


def a_problem_with_a_task_and_those_without(sandbox):
    mine, *others = [person(sandbox, "problem", "add", title="It is slow")["id"] for _ in range(3)]
    task = person(sandbox, "task", "add", parent=f"problems/{mine}", title="Look again")["id"]
    return "problem", mine, f"problems/{mine}/tasks/{task}", others


@pytest.mark.parametrize(
    "made", [a_general_task_and_those_of_tickets, a_problem_with_a_task_and_those_without]
)
@pytest.mark.parametrize("is_refused", [False, True], ids=["well", "refused once"])
def test_a_path_that_answered_in_earlier_runs_is_not_taken_for_missing_by_a_run_that_asks_it_once(
    small, caplog, made, is_refused
):
    """The guard is that it answers for others; a run every hour asks nobody else."""
    small.post("set", ASKED_BY_CHANGE)
    kind, mine, where, (before, after) = made(small)
    config = settings(small, modules=["tasks"])
    now = round(datetime.now(UTC).timestamp() * 1000)

    def changed(identity, hours):
        person(small, kind, "edit", identity, last_updated_time=now - hours * 60 * MINUTE_MS)

    for identity in (mine, after):
        changed(identity, 30 * 24)
    changed(before, 4)
    first = run(config)
    assert small.calls()[f"GET {'tasks/{id}' if kind == 'task' else 'problems/{id}/tasks/{id}'}/worklogs"]
    new_worklog(small, where)
    changed(mine, 3)
    changed(after, 2)
    caplog.clear()
    if is_refused:
        small.post("faults", [{"match": {"regex": f"/{where}/worklogs$"}, **refused(404, 4007)}])
    second = run(config, state=first.state)
    assert second.trailer is not None
    small.mend()
    third = run(config, state=second.state)
    told = [line for line in caplog.messages if "does not exist on this installation" in line]
    assert (len(found(second)) + len(found(third)), told) == (1, [])
