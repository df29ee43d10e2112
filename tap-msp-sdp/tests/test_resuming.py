from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
from msp_xero.errors import InputError, Unavailable
from msp_xero.sdp import client as client_module
from msp_xero.sdp.paging import ValueCursor

from .conftest import MODULES, found, new_worklog, run, settings


def test_rows_that_move_between_pages_are_not_lost(large):
    expected = {i for i, w in large.reachable().items() if w["module"] == "request"}
    requests = [r for r in large.get("dump?kinds=requests")["requests"] if not r.get("is_trashed")]
    assert len(requests) > 200
    oldest = iter(sorted(requests, key=lambda r: r["last_updated_time"]))
    count = 0

    def touch(message):
        nonlocal count
        count += message["type"] == "RECORD"
        if message["type"] == "RECORD" and count % 100 == 1:  # a person edits tickets that were read already
            row = next(oldest)
            values = {"title": row["title"]}  # nothing that would make its worklogs others
            large.post("rows", {"kind": "request", "action": "edit", "id": row["id"], "values": values})

    out = run(settings(large, modules=["requests"]), each=touch)
    assert Counter(out.ids()) == Counter(list(expected))
    assert large.calls()["GET requests/{id}/worklogs"] > len(requests)  # those that moved are read again


def test_more_than_three_pages_of_everything_in_the_order_of_the_parents(large):
    out = run(settings(large, modules=["requests", "tasks"], concurrency=8))
    times = [r["parent_updated_time"] for r in out.records() if r["parent_module"] == "request"]
    assert times == sorted(times)
    assert large.calls()["GET requests"] > 6
    alone = run(settings(large, modules=["requests", "tasks"], concurrency=1))
    assert out.ids() == alone.ids()


def test_a_killed_run_goes_on_after_its_last_state(large, tmp_path):
    expected = set(large.reachable())
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings(large)))
    command = [sys.executable, "-m", "tap_msp_sdp", "--config", str(config)]
    found, pending, state = set(), set(), None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for line in process.stdout:
            message = json.loads(line)
            if message["type"] == "RECORD" and message["stream"] == "worklogs":
                pending.add(message["record"]["worklog_id"])
            if message["type"] == "STATE":
                state = message["value"]
                found |= pending
                pending.clear()
                partitions = state["bookmarks"].get("worklogs", {}).get("partitions", [])
                if partitions and "replication_key_value" in partitions[0]:
                    process.kill()
                    break
    assert found < expected
    rest = run(settings(large), state=state)
    assert found | set(rest.ids()) == expected
    assert len(rest.ids()) < len(expected)


def test_a_failed_run_sends_its_state_and_no_control_total_and_the_next_one_goes_on(large):
    expected = set(large.reachable())
    match = {"regex": "requests/[0-9]+/worklogs"}
    large.post(
        "faults", [{"match": match, "kind": "status", "status": 500, "body": "", "nth": 150, "times": 100000}]
    )
    with pytest.raises(Unavailable) as caught:
        run(settings(large))
    first = caught.value.collector
    assert first.trailer is None
    large.post("reset")
    rest = run(settings(large), state=first.state)
    assert set(first.ids()) | set(rest.ids()) == expected
    assert first.ids()
    assert len(rest.ids()) < len(expected)
    assert rest.trailer["worklogs"] == dict(Counter(r["module"] for r in rest.records()))


def test_a_second_run_reads_only_what_changed(small):
    first = run(settings(small, modules=["requests"], overlap_minutes=0))
    before = small.calls()["GET requests/{id}/worklogs"]
    worklog = next(iter(small.reachable().values()))
    target = next(w for w in small.reachable().values() if w["parent_kind"] == "request")
    small.post(
        "rows",
        {
            "kind": "worklog",
            "action": "add",
            "values": {
                "parent": f"requests/{target['parent_id']}",
                "minutes": 7,
                "owner": worklog["owner_id"],
            },
        },
    )
    second = run(settings(small, modules=["requests"], overlap_minutes=0), state=first.state)
    assert len([r for r in second.records() if r["minutes"] == 7]) == 1
    assert {r["parent_id"] for r in second.records()} >= {target["parent_id"]}
    assert small.calls()["GET requests/{id}/worklogs"] - before <= 2


def test_a_sweep_finds_worklogs_that_did_not_touch_their_parent(small):
    small.post("set", {"bump_parent": "off"})
    first = run(settings(small, modules=["requests"]))
    dump = small.get("dump")
    parent = next(r for r in dump["requests"] if not r["completed_time"] and not r.get("is_trashed"))
    small.post(
        "rows",
        {
            "kind": "worklog",
            "action": "add",
            "values": {"parent": f"requests/{parent['id']}", "minutes": 7, "owner": "7"},
        },
    )
    assert not [
        r
        for r in run(settings(small, modules=["requests"]), state=first.state).records()
        if r["minutes"] == 7
    ]
    swept = run(settings(small, modules=["requests"], sweep_days=30), state=first.state)
    assert [r for r in swept.records() if r["minutes"] == 7]
    assert swept.state["bookmarks"]["worklogs"] == first.state["bookmarks"]["worklogs"]


@pytest.mark.parametrize(
    "before", [["requests", "tasks"], ["requests"]], ids=["both before", "tasks are new"]
)
def test_a_sweep_reads_what_the_walk_has_read_for_another_module_only(small, before):
    small.post("set", {"bump_parent": "off"})
    first = run(settings(small, modules=before))
    requests = [
        r for r in small.get("dump")["requests"] if not r.get("is_trashed") and not r.get("is_archived")
    ]
    new_worklog(small, f"requests/{next(r['id'] for r in requests if not r['completed_time'])}")
    earlier = small.calls()
    config = settings(small, modules=["requests", "tasks"], sweep_days=30, overlap_minutes=0)
    swept = run(config, state=first.state)
    assert swept.trailer is not None
    assert len(found(swept)) == 1
    for path in ("GET requests/{id}/worklogs", "GET requests/{id}/tasks"):
        assert small.calls()[path] - earlier.get(path, 0) <= len(requests), "what was read is not read again"


def test_a_module_that_is_added_later_is_read_from_the_start(small):
    first = run(settings(small, modules=["requests"]))
    second = run(settings(small), state=first.state)
    expected = {i for i, w in small.reachable().items() if w["module"] != "request"}
    assert expected <= set(second.ids())


class CoarseServer(ValueCursor):
    """A server whose filter knows hours only: what is asked since 10:20 comes since 10:00."""

    def criteria(self):
        asked = super().criteria()
        return {**asked, "value": str(int(asked["value"]) // 3_600_000 * 3_600_000)}


@pytest.mark.parametrize("before", [[], ["requests"]], ids=["the first run", "tasks are added later"])
def test_a_walk_by_change_that_breaks_off_after_a_page_hides_no_worklog(large, monkeypatch, before):
    state = run(settings(large, modules=before)).state if before else None
    monkeypatch.setattr(client_module, "ValueCursor", CoarseServer)
    modules = ["requests", "tasks"]
    broken = run(settings(large, modules=modules), state=state)
    after = run(settings(large, modules=modules), state=broken.state)
    of_tasks = {one for one, worklog in large.reachable().items() if worklog["module"] == "task"}
    assert of_tasks <= {*broken.ids(), *after.ids()}


def test_start_date_bounds_the_first_run(small):
    out = run(settings(small, modules=["requests"], start_date="2099-01-01T00:00:00Z"))
    assert out.ids() == []
    assert out.trailer["worklogs"] == {"request": 0}


def test_state_has_one_bookmark_a_module_and_nothing_else(small):
    worklogs = run(settings(small)).state["bookmarks"]["worklogs"]
    assert set(worklogs) == {"partitions"}
    assert sorted(p["context"]["module"] for p in worklogs["partitions"]) == sorted(MODULES)
    assert all(p["replication_key"] == "parent_updated_time" for p in worklogs["partitions"])


def test_a_bookmark_that_is_no_time_is_named(small):
    state = {
        "bookmarks": {
            "worklogs": {"partitions": [{"context": {"module": "requests"}, "replication_key_value": "soon"}]}
        }
    }
    with pytest.raises(InputError, match="bookmark of requests"):
        run(settings(small, modules=["requests"]), state=state)
