from __future__ import annotations

import json
import logging
from collections import Counter
from decimal import Decimal

import pytest
from jsonschema import Draft202012Validator
from tap_msp_sdp.client import SCHEMAS

from .conftest import MODULES, run, settings


def by_id(collector):
    return {record["worklog_id"]: record for record in collector.records()}


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


ONE_WALK = ("requests", "problems", "changes", "projects")
WALKS_OF_TASKS = ("requests", "problems", "changes", "tasks")


def test_the_control_total_tells_where_each_walk_began(small):
    first = run(settings(small))
    assert first.trailer["since"] == {
        **{module: {module: None} for module in ONE_WALK},
        "tasks": dict.fromkeys(WALKS_OF_TASKS),
    }
    bookmarks = {p["context"]["module"]: p for p in first.state["bookmarks"]["worklogs"]["partitions"]}
    second = run(settings(small, overlap_minutes=60), state=first.state)
    assert second.trailer["since"] == {
        **{module: {module: bookmarks[module]["replication_key_value"]} for module in ONE_WALK},
        "tasks": bookmarks["tasks"]["positions"],
    }


def test_the_control_total_names_the_selected_modules_and_what_was_set_back_or_is_new(small):
    first = run(settings(small, modules=["requests", "problems"]))
    for partition in first.state["bookmarks"]["worklogs"]["partitions"]:
        partition["replication_key_value"] = "2020-01-01T00:00:00.000Z"
    second = run(settings(small, modules=["requests", "tasks"]), state=first.state)
    assert second.trailer["since"] == {
        "requests": {"requests": "2020-01-01T00:00:00.000Z"},
        "tasks": dict.fromkeys(WALKS_OF_TASKS),
    }


def test_the_state_goes_out_before_the_first_worklog(small):
    """The target takes the first STATE for the bookmarks that the run starts from."""

    def opening(out):
        kinds = [(m["type"], m.get("stream")) for m in out.messages]
        assert kinds.index(("STATE", None)) < kinds.index(("RECORD", "worklogs"))
        first = next(m["value"] for m in out.messages if m["type"] == "STATE")
        partitions = first["bookmarks"].get("worklogs", {}).get("partitions", [])
        return {p["context"]["module"]: p["replication_key_value"] for p in partitions if len(p) > 1}

    first = run(settings(small))
    assert opening(first) == {}
    again = opening(run(settings(small, start_date="2020-01-01T00:00:00Z"), state=first.state))
    assert again.keys() == set(MODULES)


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
