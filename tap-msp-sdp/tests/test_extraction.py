from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from decimal import Decimal

import pytest
from jsonschema import Draft202012Validator
from msp_xero.errors import AccessRefused, InputError, Missing, RemoteError, SettingError, Unavailable
from tap_msp_sdp.client import SCHEMAS

from .conftest import KEY, MODULES, run, settings


def by_id(collector):
    return {record["worklog_id"]: record for record in collector.records()}


def module_of(row):
    return {"request": "request", "problem": "problem", "change": "change", "project": "project"}.get(
        row["module"], "task"
    )


def test_every_worklog_of_every_module_comes_once_with_its_module_and_account(small):
    out = run(settings(small))
    expected = small.reachable()
    assert Counter(out.ids()) == Counter(list(expected))
    for identity, record in by_id(out).items():
        assert record["module"] == expected[identity]["module"], record
        assert record["account_id"] == expected[identity]["account_id"], record
        assert record["minutes"] == expected[identity]["minutes"], record


def test_records_fit_their_schemas(small):
    out = run(settings(small), streams=["accounts", "worklog_types", *MODULES, "worklogs", "extraction"])
    for stream in ("accounts", "worklog_types", *MODULES, "worklogs", "extraction"):
        validator = Draft202012Validator(SCHEMAS.fetch_schema(stream))
        records = out.records(stream)
        assert records, stream
        for record in records:
            # jsonschema knows no Decimal; the wire has a number
            validator.validate(json.loads(json.dumps(record, default=float)))


def test_the_control_total_comes_last_and_agrees(small):
    out = run(settings(small), streams=["accounts", "worklogs", "extraction"])
    records = [m for m in out.messages if m["type"] == "RECORD"]
    assert records[-1]["stream"] == "extraction"
    trailer = out.trailer
    assert set(trailer["worklogs"]) == {"request", "problem", "change", "project", "task"}
    assert trailer["worklogs"] == dict(Counter(r["module"] for r in out.records()))
    for module, minutes in trailer["minutes"].items():
        assert minutes == sum(r["minutes"] or 0 for r in out.records() if r["module"] == module)
    assert trailer["started_at"] <= trailer["finished_at"]


def test_no_control_total_without_worklogs(small):
    assert run(settings(small), streams=["accounts", "extraction"]).trailer is None


@pytest.mark.parametrize("module", MODULES)
def test_each_module_can_be_taken_alone(small, module):
    out = run(settings(small, modules=[module]))
    singular = module.removesuffix("s")
    assert set(out.ids()) == {i for i, w in small.reachable().items() if w["module"] == singular}
    assert set(out.trailer["worklogs"]) == {singular}
    assert len(out.state["bookmarks"]["worklogs"]["partitions"]) == 1


def test_both_ways_to_find_tasks_find_the_same(small):
    parents, everything = (
        {
            i: (r["module"], r["parent_id"], r["task_id"], r["account_id"], r["parent_updated_time"])
            for i, r in by_id(run(settings(small, task_discovery=how))).items()
        }
        for how in ("parents", "global")
    )
    assert parents == everything


def test_one_listing_serves_requests_and_their_tasks(small):
    run(settings(small, modules=["requests", "tasks"]))
    calls = small.calls()
    requests = len(
        [r for r in small.get("dump")["requests"] if not r.get("is_trashed") and not r.get("is_archived")]
    )
    assert calls["GET requests"] == 2  # by time of change, and those that were never changed
    assert calls["GET requests/{id}/worklogs"] == calls["GET requests/{id}/tasks"] == requests


def test_a_project_lists_its_milestones_tasks_once(small):
    small.post("set", {"project_tasks": "all"})
    out = run(settings(small, modules=["projects"]))
    assert Counter(out.ids()) == Counter(i for i, w in small.reachable().items() if w["module"] == "project")


# ---------------------------------------------------------------- uncertain answers


@pytest.mark.parametrize(
    "switches",
    [
        {"last_updated_on": "all"},
        {"last_updated_on": "none"},
        {"unknown_column": "error"},
        {"columns_from": "list_info"},
        {"error_code_at": "outer"},
        {"http_status": "always_200"},
        {"worklog_search": "off"},
        {"task_worklogs": "all"},
        {"archived_requests": "by_id"},
        {"bump_parent": "off"},
        {"account_on": "requests", "requester_account": "off"},
        {"account_on": "requests", "site_account": "off"},
    ],
    ids=lambda s: ",".join(f"{k}={v}" for k, v in s.items()),
)
def test_either_answer_to_an_uncertain_question_gives_the_same_worklogs(small, switches):
    small.post("set", switches)
    out = run(settings(small))
    assert Counter(out.ids()) == Counter(list(small.reachable()))
    again = run(settings(small), state=out.state)
    assert again.trailer is not None


def test_without_any_account_it_is_null_and_not_guessed(small):
    small.post("set", {"account_on": "none", "requester_account": "off", "site_account": "off"})
    out = run(settings(small))
    expected = small.reachable()
    assert set(out.ids()) == set(expected)
    for identity, record in by_id(out).items():
        assert record["account_id"] in {None, expected[identity]["account_id"]}


def test_the_account_of_the_site_or_of_the_requester_stands_in(small):
    for hidden in ({"site_account": "off"}, {"requester_account": "off"}):
        small.post("reset")
        small.post("set", {"account_on": "none", **hidden})
        found = [r for r in run(settings(small, modules=["requests"])).records() if r["account_id"]]
        assert found
        expected = small.reachable()
        assert all(r["account_id"] == expected[r["worklog_id"]]["account_id"] for r in found)


def test_an_installation_without_general_tasks_is_told_and_does_not_end_the_run(small, caplog):
    for switches in ({"task_worklogs": "off"}, {"tasks_list": "off"}):
        small.post("reset")
        small.post("set", switches)
        caplog.clear()
        out = run(settings(small))
        warnings = [
            r.getMessage() for r in caplog.records if r.name == "tap_msp_sdp" and r.levelno == logging.WARNING
        ]
        assert len(warnings) == 1
        assert "not read" in warnings[0]
        general = {i for i, w in small.reachable().items() if i not in out.ids()}
        assert general
        assert all(small.reachable()[i]["module"] == "task" for i in general)
        assert out.trailer is not None


# ------------------------------------------------------------------------- dialects


def test_three_dialects_give_the_same_records(small):
    small.post("set", {"dialect": "new"})
    new = by_id(run(settings(small)))
    small.post("set", {"dialect": "legacy"})
    legacy = by_id(run(settings(small)))
    small.post("set", {"dialect": "cloud", "cost_shape": "object"})
    cloud = by_id(
        run(
            {
                "base_url": f"{small.url}/app/itdesk",
                "edition": "cloud",
                "oauth_client_id": "sandbox-client",
                "oauth_client_secret": "sandbox-secret",
                "oauth_refresh_token": "sandbox-refresh",
                "oauth_url": small.url,
            }
        )
    )
    assert set(new) == set(legacy) == set(cloud)
    # What a dialect does not have at all (sdp-msp-api §3.2, §3.3).
    absent = {"is_billable", "contract_id", "contract_name", "udf_fields", "extra", "parent_display_id"}
    for identity, record in new.items():
        for other in (legacy[identity], cloud[identity]):
            assert {k: v for k, v in other.items() if k not in absent} == {
                k: v for k, v in record.items() if k not in absent
            }


def test_hidden_costs_are_null(small):
    for how in ("off", "null"):
        small.post("set", {"cost_visible": how})
        for record in run(settings(small, modules=["requests"])).records():
            assert record["technician_cost"] is record["other_cost"] is record["total_cost"] is None


def test_money_is_exact_on_the_wire(small):
    out = run(settings(small, modules=["requests"]))
    assert {type(r["total_cost"]) for r in out.records()} <= {Decimal, type(None)}


# -------------------------------------------------------- moving rows and resuming


def test_rows_that_move_between_pages_are_not_lost(large):
    expected = set(large.reachable())
    requests = [r for r in large.get("dump")["requests"] if not r.get("is_trashed")]
    assert len(requests) > 200
    oldest = sorted(requests, key=lambda r: r["last_updated_time"])
    edits = [iter(oldest[n::3]) for n in range(3)]
    count = 0

    def touch(message):
        nonlocal count
        if message["type"] == "RECORD":
            count += 1
            if count % 200 == 1:
                row = next(edits[count % 3])
                large.post(
                    "rows",
                    {"kind": "request", "action": "edit", "id": row["id"], "values": {"title": "moved"}},
                )

    out = run(settings(large, modules=["requests"]), each=touch)
    assert Counter(out.ids()) == Counter(i for i in expected if large.reachable()[i]["module"] == "request")
    assert count > 2000


def test_more_than_three_pages_of_everything_in_the_order_of_the_parents(large):
    out = run(settings(large, modules=["requests", "tasks"], concurrency=8))
    times = [r["parent_updated_time"] for r in out.records() if r["parent_module"] == "request"]
    assert times == sorted(times)
    assert large.calls()["GET requests"] > 6
    alone = run(settings(large, modules=["requests", "tasks"], concurrency=1))
    assert out.ids() == alone.ids()


def test_a_killed_run_goes_on_after_its_last_state(large, tmp_path):
    expected = set(large.reachable())
    config, catalog = tmp_path / "config.json", tmp_path / "state.json"
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
    catalog.write_text(json.dumps(state))
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


def test_a_module_that_is_added_later_is_read_from_the_start(small):
    first = run(settings(small, modules=["requests"]))
    second = run(settings(small), state=first.state)
    expected = {i for i, w in small.reachable().items() if w["module"] != "request"}
    assert expected <= set(second.ids())


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


# ---------------------------------------------------------------------------- errors


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


def test_a_module_that_does_not_exist_names_the_setting(small):
    small.post(
        "faults",
        [
            {
                "match": {"regex": "problems$"},
                "kind": "status",
                "status": 404,
                "body": {"response_status": {"status_code": 4007, "status": "failed"}},
            }
        ],
    )
    with pytest.raises(Missing, match="leave them out of modules"):
        run(settings(small))


def test_a_parent_that_is_deleted_meanwhile_is_no_error(small):
    request = max(small.get("dump")["requests"], key=lambda r: r["last_updated_time"])
    gone = {
        "kind": "status",
        "status": 404,
        "body": {"response_status": {"status_code": 4007, "status": "failed"}},
    }
    small.post("faults", [{"match": {"path": f"/api/v3/requests/{request['id']}"}, **gone}])
    out = run(settings(small))
    expected = {
        i
        for i, w in small.reachable().items()
        if not (w["parent_kind"] == "request" and w["parent_id"] == request["id"])
    }
    assert set(out.ids()) <= expected
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
    with pytest.raises((SettingError, Exception), match=setting):
        run({**settings(small), **change})
    assert small.calls() == {}
