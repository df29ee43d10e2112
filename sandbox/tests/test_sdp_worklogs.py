"""Worklogs: paths, three dialects, writes, costs, change times (sdp-msp-api §3)."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.sdp.app import SdpApp
from msp_xero_sandbox.sdp.in_process import ADMINISTRATOR, NEW_FORMAT, InProcessClient
from msp_xero_sandbox.story import build
from msp_xero_sandbox.wire import Call, decode_json

NOW = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
STORY = build(1, "small", NOW)


@pytest.fixture
def clock():
    return Clock(NOW, running=False)


@pytest.fixture
def app(clock):
    return SdpApp(STORY.sdp, clock, {})


@pytest.fixture
def client(app):
    return InProcessClient(app)


@pytest.fixture
def legacy(app):
    return InProcessClient(app, ADMINISTRATOR)


def zoho_token(app):
    form = {
        "grant_type": "refresh_token",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "refresh_token": "sandbox-refresh",
    }
    answer = app.handle(Call(method="POST", path="/oauth/v2/token", body=urlencode(form).encode()))
    return decode_json(answer.body)["access_token"]


@pytest.fixture
def cloud(app):
    headers = {"authorization": f"Zoho-oauthtoken {zoho_token(app)}", **NEW_FORMAT}
    return InProcessClient(app, headers, "/app/itdesk/api/v3")


def stored(kind, row_id):
    return next(row for row in STORY.sdp[kind] if row["id"] == row_id)


def path_of(label):
    """The path of an awkward worklog."""
    _, ids = STORY.awkward[label]
    worklog = stored("worklogs", ids[0])
    if worklog["parent_kind"] != "task":
        return f"{worklog['parent_kind']}s/{worklog['parent_id']}/worklogs/{ids[0]}"
    task = stored("tasks", worklog["parent_id"])
    above = {"general": "", "milestone": "milestones"}.get(task["parent_kind"], f"{task['parent_kind']}s")
    if above == "milestones":
        milestone = stored("milestones", task["parent_id"])
        above = f"projects/{milestone['parent_id']}/milestones/{milestone['id']}/"
    elif above:
        above = f"{above}/{task['parent_id']}/"
    return f"{above}tasks/{task['id']}/worklogs/{ids[0]}"


class TestPaths:
    @pytest.mark.parametrize(
        "label",
        [
            "type_missing", "on_problem", "on_change", "on_request_task", "on_problem_task", "on_change_task",
            "on_project_task", "on_milestone_task", "on_general_task",
        ],
    )  # fmt: skip
    def test_every_parent_lists_and_shows_its_worklogs(self, client, label):
        path = path_of(label)
        one = client.get(path).body
        assert one["response_status"] == {"status_code": 2000, "status": "success"}
        listing = client.list(path.rsplit("/", 1)[0]).body
        assert one["worklog"] in listing["worklogs"]

    def test_all_worklogs_can_be_reached(self, client):
        found = []
        for module in ("requests", "problems", "changes", "projects"):
            for parent in client.rows(module):
                base = f"{module}/{parent['id']}"
                if module != "projects":
                    found += [row["id"] for row in client.rows(f"{base}/worklogs")]
                bases = [base]
                if module == "projects":
                    bases += [f"{base}/milestones/{row['id']}" for row in client.rows(f"{base}/milestones")]
                for holder in bases:
                    for task in client.rows(f"{holder}/tasks"):
                        found += [row["id"] for row in client.rows(f"{holder}/tasks/{task['id']}/worklogs")]
        for task in client.rows(
            "tasks", fields_required=["request", "problem", "change", "project", "milestone"]
        ):
            if not any(task[kind] for kind in ("request", "problem", "change", "project", "milestone")):
                found += [row["id"] for row in client.rows(f"tasks/{task['id']}/worklogs")]
        hidden = {STORY.awkward[label][1][0] for label in ("request_trashed", "request_archived")}
        assert len(found) == len(set(found))
        assert set(found) == {row["id"] for row in STORY.sdp["worklogs"]} - hidden

    @pytest.mark.parametrize(
        "path",
        [
            "projects/51/worklogs", "projects/51/milestones/71/worklogs", "worklogs", "worklog",
            "requests/99999",
            "requests/99999/worklogs", "requests/1001/worklogs/1", "tickets", "requests/1001/moon", "",
            "accounts/1/2",
            "requests/1001/tasks/2001", "customers",
        ],
    )  # fmt: skip
    def test_what_is_not_there_is_404(self, client, path):
        reply = client.get(path)
        assert (reply.status, reply.code) == (404, 4007)
        assert reply.body["response_status"]["status_code"] == 4000

    def test_tasks_by_their_own_path(self, app, client):
        task_id = stored("worklogs", STORY.awkward["on_request_task"][1][0])["parent_id"]
        assert client.get(f"tasks/{task_id}").status == 200
        assert client.get(f"tasks/{task_id}/worklogs").code == 4007
        app.set_switch("task_worklogs", "all")
        assert client.get(f"tasks/{task_id}/worklogs").status == 200
        app.set_switch("task_worklogs", "off")
        assert client.get(path_of("on_general_task")).code == 4007

    def test_the_global_task_list(self, app, client):
        rows = list(client.rows("tasks", fields_required=["request", "project", "milestone"]))
        assert len(rows) == len(STORY.sdp["tasks"])
        in_milestone = next(row for row in rows if row["milestone"])
        assert in_milestone["project"]["title"]
        app.set_switch("tasks_list", "general_only")
        general = [row for row in STORY.sdp["tasks"] if row["parent_kind"] == "general"]
        assert len(list(client.rows("tasks"))) == len(general)
        app.set_switch("tasks_list", "off")
        assert client.get("tasks").code == 4007

    def test_a_project_may_list_the_tasks_of_its_milestones(self, app, client):
        path = path_of("on_milestone_task")
        project, task = path.split("/")[1], path.split("/")[5]
        assert task not in [row["id"] for row in client.rows(f"projects/{project}/tasks")]
        app.set_switch("project_tasks", "all")
        assert task in [row["id"] for row in client.rows(f"projects/{project}/tasks")]
        assert client.get(f"projects/{project}/tasks/{task}/worklogs").body["worklogs"]

    def test_the_global_worklog_list_is_there_only_when_switched_on(self, app, client):
        app.set_switch("worklogs_list", "on")
        rows = list(client.rows("worklogs"))
        assert len(rows) == len(STORY.sdp["worklogs"])
        assert all(set(row) & {"request", "problem", "change", "task"} for row in rows)

    def test_trashed_and_archived_requests(self, app, client):
        listed = {row["id"] for row in client.rows("requests")}
        trashed, archived = (path_of(label) for label in ("request_trashed", "request_archived"))
        assert trashed.split("/")[1] not in listed
        assert archived.split("/")[1] not in listed
        assert client.get("/".join(trashed.split("/")[:2])).body["request"]["is_trashed"] is True
        assert client.get(archived).code == 4007
        app.set_switch("archived_requests", "by_id")
        assert client.get(archived).status == 200

    def test_allowed_types_of_a_worklog(self, client, legacy):
        names = [row["name"] for row in client.list("requests/1001/worklogs/type").body["type"]]
        assert "Remote support" in names
        assert "Fax repair" not in names
        asked = {"list_info": {"row_count": 100}, "include_inactive_value": True}
        assert "Fax repair" in [
            row["name"] for row in client.get("requests/1001/worklogs/type", **asked).body["type"]
        ]
        assert legacy.get("requests/1001/worklogs/worklog_type").status == 200

    def test_metainfo_names_what_is_mandatory(self, client):
        fields = client.get("requests/1001/worklogs/_metainfo").body["metainfo"]["fields"]
        assert fields["owner"]["mandatory"] is True
        assert {"type", "time_spent", "owner_cost", "is_billable"} <= set(fields)


class TestDialects:
    """The same worklog in three dialects (§3.2)."""

    def test_new(self, client):
        row = client.get(path_of("other_cost")).body["worklog"]
        assert row["type"]["name"] == "Remote support"
        assert row["owner"]["cost_per_hour"] == "80.00"
        assert row["time_spent"] == {"hours": "0", "minutes": "30", "value": "1800000"}
        assert (row["owner_cost"], row["other_cost"], row["total_cost"]) == ("40.00", "15.00", "55.00")
        assert row["is_billable"] is True
        assert row["request"]["subject"] == "Awkward: other cost"
        assert row["udf_fields"] == {}
        assert row["include_nonoperational_hours"] is False

    def test_legacy(self, app, legacy):
        row = legacy.get(path_of("other_cost")).body["worklog"]
        assert row["worklog_type"]["name"] == "Remote support"
        assert row["technician"]["name"] == "Howard Stern"
        assert row["total_time_spent"] == {"hours": "0", "minutes": "30", "value": "1800000"}
        assert (row["tech_charge"], row["other_charge"], row["total_charge"]) == ("40.00", "15.00", "55.00")
        assert row["inc_nonOperationalHours"] is False
        assert not {"type", "owner", "time_spent", "udf_fields", "template", "owner_cost"} & set(row)
        app.set_switch("legacy_time_spent", "milliseconds")
        app.set_switch("legacy_created", "recorded_time")
        row = legacy.get(path_of("other_cost")).body["worklog"]
        assert row["total_time_spent"] == "1800000"
        assert "recorded_time" in row
        assert "created_time" not in row

    def test_cloud(self, app, cloud):
        row = cloud.get(path_of("other_cost")).body["worklog"]
        assert row["worklog_type"]["name"] == "Remote support"
        assert row["time_spent"] == {"hours": "00", "minutes": "30", "value": "1800000"}
        assert (row["tech_charge"], row["other_charge"], row["total_charge"]) == ("40", "15", "55")
        assert "recorded_time" in row
        assert not {"created_time", "is_billable", "request", "owner_cost", "type"} & set(row)
        app.set_switch("cost_shape", "object")
        assert cloud.get(path_of("other_cost")).body["worklog"]["total_charge"] == {"value": "55"}

    def test_cloud_parents_have_customers(self, cloud):
        row = cloud.list("requests", fields_required=["customer", "account", "site"]).body["requests"][0]
        assert row["customer"]["is_msp"] is False
        assert "account" not in row
        assert row["site"]["customer"] == row["customer"]

    def test_the_dialect_can_be_fixed(self, app, client, legacy):
        app.set_switch("dialect", "legacy")
        assert "technician" in client.get(path_of("other_cost")).body["worklog"]
        app.set_switch("dialect", "new")
        assert "owner" in legacy.get(path_of("other_cost")).body["worklog"]
        assert InProcessClient(app, base="/app/itdesk/api/v3").get("requests").status == 404

    def test_legacy_tasks_and_projects_have_their_old_names(self, client, legacy):
        old, new = legacy.get("projects/51").body["project"], client.get("projects/51").body["project"]
        assert old["project_code"] == new["code"]
        assert old["requested_by"] == new["requester"]
        assert old["projected_on"] == new["projected_end_time"]
        assert "created_date" in legacy.get("tasks/2001").body["task"]

    def test_only_the_short_or_long_accept_means_new(self, app):
        for accept, key in (("v3+json", "owner"), ("application/json", "technician"), ("*/*", "technician")):
            client = InProcessClient(app, {**ADMINISTRATOR, "accept": accept})
            assert key in client.get(path_of("other_cost")).body["worklog"]


class TestAwkwardWorklogs:
    def test_nulls(self, client):
        row = client.get(path_of("type_missing")).body["worklog"]
        assert row["type"] is None
        row = client.get(path_of("no_start_no_end")).body["worklog"]
        assert row["start_time"] is row["end_time"] is None
        assert client.get(path_of("billable_unknown")).body["worklog"]["is_billable"] is None

    def test_hidden_costs(self, app, client):
        row = client.get(path_of("costs_absent")).body["worklog"]
        assert not {"owner_cost", "total_cost"} & set(row)
        assert client.get(path_of("costs_null")).body["worklog"]["total_cost"] is None
        app.set_switch("cost_visible", "off")
        row = client.get(path_of("other_cost")).body["worklog"]
        assert not {"owner_cost", "other_cost", "total_cost"} & set(row)
        assert "cost_per_hour" not in row["owner"]
        app.set_switch("cost_visible", "null")
        assert client.get(path_of("other_cost")).body["worklog"]["other_cost"] is None

    def test_long_durations_and_contracts(self, client):
        spent = client.get(path_of("longer_than_a_day")).body["worklog"]["time_spent"]
        assert (spent["hours"], spent["minutes"]) == ("30", "30")
        row = client.get(path_of("contract_hours")).body["worklog"]
        assert row["accountcontract"]["name"] == "Gold 20 hours"
        assert row["billing_hours"] == {"hours": "1", "minutes": "0"}

    def test_a_requester_can_own_project_time(self, client):
        row = client.get(path_of("owner_is_requester")).body["worklog"]
        assert "cost_per_hour" not in row["owner"]
        assert row["total_cost"] == "0.00"


def new_worklog(**members):
    start = {"value": "1795000000000"}
    end = {"value": "1795005400000"}
    return {"worklog": {"owner": {"name": "Howard Stern"}, "start_time": start, "end_time": end, **members}}


class TestWrites:
    def test_add(self, client):
        given = new_worklog(
            type={"name": "Consulting"}, description="<b>ō</b>", other_cost="15", is_billable=False
        )
        reply = client.call("POST", "requests/1001/worklogs", given)
        row = reply.body["worklog"]
        assert reply.status == 200
        assert row["time_spent"] == {"hours": "1", "minutes": "30", "value": "5400000"}
        assert (row["owner_cost"], row["total_cost"], row["is_billable"]) == ("120.00", "135.00", False)
        assert row in client.list("requests/1001/worklogs").body["worklogs"]
        assert int(row["id"]) > max(int(other["id"]) for other in STORY.sdp["worklogs"])

    def test_add_with_201(self, app, client):
        app.set_switch("created_status", "201")
        assert client.call("POST", "requests/1001/worklogs", new_worklog()).status == 201

    def test_a_spent_time_wins_over_start_and_end(self, client):
        given = new_worklog(time_spent={"hours": 0, "minutes": "05"})
        assert (
            client.call("POST", "requests/1001/worklogs", given).body["worklog"]["time_spent"]["value"]
            == "300000"
        )

    def test_add_in_the_other_dialects(self, client, legacy, cloud):
        given = {
            "worklog": {
                "technician": {"id": "5"},
                "total_time_spent": {"hours": "1"},
                "worklog_type": {"id": "1"},
            }
        }
        old = legacy.call("POST", "changes/201/worklogs", given).body["worklog"]
        assert client.get(f"changes/201/worklogs/{old['id']}").body["worklog"]["type"]["id"] == "1"
        recorded = {"value": "1790000000000"}
        given = {
            "worklog": {"owner": {"id": "5"}, "recorded_time": recorded, "other_charge": {"value": "3.5"}}
        }
        row = cloud.call("POST", "changes/201/worklogs", given).body["worklog"]
        assert row["recorded_time"]["value"] == "1790000000000"
        assert row["other_charge"] == "3.50"
        assert row["time_spent"]["value"] == "0"

    def test_add_by_the_legacy_global_path(self, client, legacy):
        given = {
            "worklog": {
                "request": {"id": "1002"},
                "technician": {"name": "Howard Stern"},
                "total_time_spent": 60_000,
            }
        }
        row = legacy.call("POST", "worklog", given).body["worklog"]
        assert client.get(f"requests/1002/worklogs/{row['id']}").status == 200
        assert client.call("POST", "worklog", given).code == 4007

    @pytest.mark.parametrize(
        ("members", "code", "where"),
        [
            ({"owner": None}, 4012, ["owner"]),
            ({"start_time": None}, 4012, ["time_spent"]),
            ({"owner": {"name": "Nobody"}}, 4001, "owner"),
            ({"type": {"name": "Moon walking"}}, 4001, "type"),
            ({"type": {"name": "Fax repair"}}, 4001, "type"),
            ({"end_time": {"value": "1794000000000"}}, 4016, "end_time"),
            ({"total_cost": "1"}, 4014, "total_cost"),
            ({"request": {"id": "1001"}}, 4014, "request"),
            ({"worklog_type": {"id": "1"}}, 4001, "worklog_type"),
            ({"other_cost": "-1"}, 4021, "other_cost"),
            ({"other_cost": "much"}, 4021, "other_cost"),
            ({"description": 5}, 4021, "description"),
            ({"is_billable": "maybe"}, 4021, "is_billable"),
            ({"time_spent": {"hours": "one"}}, 4021, "time_spent"),
            ({"start_time": "soon"}, 4021, "start_time"),
        ],
    )
    def test_what_is_wrong_is_refused(self, client, members, code, where):
        reply = client.call("POST", "requests/1001/worklogs", new_worklog(**members))
        assert (reply.status, reply.code) == (400, code)
        assert where in (reply.message.get("field"), reply.message.get("fields"))

    def test_zero_minutes_can_be_forbidden(self, app, client):
        given = new_worklog(time_spent={"hours": 0, "minutes": 0})
        assert client.call("POST", "requests/1001/worklogs", given).status == 200
        app.set_switch("zero_minutes", "deny")
        assert client.call("POST", "requests/1001/worklogs", given).code == 4001

    def test_edit_and_delete(self, client):
        path = path_of("other_cost")
        row = client.call("PUT", path, {"worklog": {"time_spent": {"hours": 2, "minutes": 0}}}).body[
            "worklog"
        ]
        assert (row["owner_cost"], row["total_cost"]) == ("160.00", "175.00")
        assert client.call("DELETE", path).body["response_status"]["status"] == "success"
        assert client.get(path).code == 4007

    def test_the_legacy_dialect_moves_by_the_body(self, client, legacy):
        path = path_of("other_cost")
        worklog_id = path.rsplit("/", 1)[1]
        assert legacy.call("PUT", path, {"worklog": {"problem": {"id": "101"}}}).status == 200
        assert client.get(path).code == 4007
        assert client.get(f"problems/101/worklogs/{worklog_id}").status == 200

    def test_parents_are_not_written(self, client):
        assert client.call("POST", "requests", {"request": {"subject": "x"}}).code == 4002


class TestChangeTime:
    @pytest.fixture(autouse=True)
    def everywhere(self, app):
        app.set_switch("last_updated_on", "all")

    def changed(self, client, path):
        return next(iter(client.get(path).body.values()))["last_updated_time"]["value"]

    def test_a_worklog_moves_the_change_time_of_its_parents(self, client, clock):
        path = path_of("on_project_task")
        project, task = "/".join(path.split("/")[:2]), "/".join(path.split("/")[:4])
        client.call("POST", f"{task}/worklogs", new_worklog())
        assert self.changed(client, project) == self.changed(client, task) == str(clock.epoch_ms())
        clock.advance(60)
        client.call("PUT", path, {"worklog": {"description": "x"}})
        assert self.changed(client, project) == str(clock.epoch_ms())
        clock.advance(60)
        client.call("DELETE", path)
        assert self.changed(client, project) == str(clock.epoch_ms())

    def test_or_it_does_not(self, app, client):
        app.set_switch("bump_parent", "off")
        before = self.changed(client, "requests/1001")
        client.call("POST", "requests/1001/worklogs", new_worklog())
        assert self.changed(client, "requests/1001") == before


class TestIds:
    def test_ids_can_overlap_between_modules(self, app, client):
        app.set_switch("ids", "per_module")
        worklogs = app.dump()["worklogs"]
        keys = {(row["module"], row["id"]) for row in worklogs}
        assert len(keys) == len(worklogs) == len(STORY.sdp["worklogs"])
        assert len({row["id"] for row in worklogs}) < len(worklogs)
        problem = next(row for row in worklogs if row["module"] == "problem")
        assert client.get(f"problems/{problem['parent_id']}/worklogs/{problem['id']}").status == 200
        reply = client.call("POST", f"problems/{problem['parent_id']}/worklogs", new_worklog())
        assert reply.status == 200
        label = next(row for row in app.dump()["awkward"] if row["label"] == "on_problem")
        assert (label["module"], label["id"]) in keys

    @pytest.mark.parametrize("ids", ["global", "per_module"])
    def test_a_task_that_moves_takes_its_worklogs_along(self, app, client, ids):
        app.set_switch("ids", ids)
        task_id = stored("worklogs", STORY.awkward["on_request_task"][1][0])["parent_id"]
        before = [row for row in app.dump()["worklogs"] if row["parent_id"] == task_id]
        values = {"parent": "projects/51"}
        app.change_row({"kind": "task", "action": "edit", "id": task_id, "values": values})
        after = [row for row in app.dump()["worklogs"] if row["parent_id"] == task_id]
        assert len(before) == len(after) == 1
        assert (before[0]["module"], after[0]["module"]) == ("task", "project")
        path = f"projects/51/tasks/{task_id}/worklogs/{after[0]['id']}"
        assert client.call("PUT", path, {"worklog": {"description": "moved"}}).status == 200
        assert len(app.dump()["worklogs"]) == len(STORY.sdp["worklogs"])
        assert client.get(path).body["worklog"]["description"] == "moved"

    def test_a_worklog_that_moves_to_another_module_finds_a_free_id(self, app):
        app.set_switch("ids", "per_module")
        moved = app.change_row(
            {
                "kind": "worklog",
                "action": "move",
                "module": "request",
                "id": "1",
                "values": {"parent": "problems/101"},
            }
        )
        worklogs = app.dump()["worklogs"]
        assert len({(row["module"], row["id"]) for row in worklogs}) == len(STORY.sdp["worklogs"])
        assert moved["parent_kind"] == "problem"
