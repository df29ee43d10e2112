"""Keys, tokens, envelopes, throttle, switches and what people do (sdp-msp-api §1, §7)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.sdp.app import SdpApp
from msp_xero_sandbox.sdp.in_process import ADMINISTRATOR, NEW_FORMAT, InProcessClient
from msp_xero_sandbox.sdp.switches import Switches
from msp_xero_sandbox.story import build
from msp_xero_sandbox.wire import Call, decode_json, encode_json

NOW = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
STORY = build(1, "small", NOW)
REFRESH = {
    "grant_type": "refresh_token",
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "refresh_token": "sandbox-refresh",
}


@pytest.fixture
def clock():
    return Clock(NOW, running=False)


@pytest.fixture
def app(clock):
    return SdpApp(STORY.sdp, clock, {})


@pytest.fixture
def client(app):
    return InProcessClient(app)


def refresh(app, **changes):
    body = urlencode(REFRESH | changes).encode()
    answer = app.handle(Call(method="POST", path="/oauth/v2/token", body=body))
    assert answer.status == 200
    return decode_json(answer.body)


class TestKeys:
    @pytest.mark.parametrize("name", ["authtoken", "technician_key"])
    def test_both_headers_carry_the_key(self, app, name):
        assert InProcessClient(app, {name: "sandbox-authtoken"}).get("requests").status == 200

    @pytest.mark.parametrize("headers", [{}, {"authtoken": "wrong"}, {"authtoken": ""}])
    def test_without_a_good_key(self, app, headers):
        reply = InProcessClient(app, headers).get("requests")
        assert (reply.status, reply.code) == (401, 4022)

    def test_the_login_page_of_a_browser(self, app):
        app.set_switch("login_page", "on")
        answer = InProcessClient(app, {}).get("requests").answer
        assert answer.status == 200
        assert b"j_security_check" in answer.body
        assert InProcessClient(app, {"authtoken": "wrong"}).get("requests").code == 4022

    def test_a_portal_may_be_needed(self, app, client):
        app.set_switch("portal_id", "1")
        assert client.get("requests").status == 400
        assert InProcessClient(app, {**ADMINISTRATOR, "portalid": "1"}).get("requests").status == 200

    def test_a_context_path(self, app, client):
        app.set_switch("context_path", "/sdp")
        assert client.get("requests").answer.headers["content-type"].startswith("text/html")
        assert InProcessClient(app, base="/sdp/api/v3").get("requests").status == 200

    def test_outside_of_the_api_there_is_a_page(self, app):
        answer = app.handle(Call(method="GET", path="/index.html", headers=ADMINISTRATOR))
        assert (answer.status, answer.headers["content-type"][:9]) == (404, "text/html")


class TestCloudTokens:
    def test_a_token_lives_as_long_as_it_says(self, app, clock):
        token = refresh(app)
        assert (token["expires_in"], token["token_type"]) == (3600, "Bearer")
        client = InProcessClient(
            app, {"authorization": f"Zoho-oauthtoken {token['access_token']}"}, "/app/it/api/v3"
        )
        assert client.get("requests").status == 200
        clock.advance(3600)
        assert client.get("requests").status == 401
        assert refresh(app)["access_token"] != token["access_token"]

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"client_id": "x"}, "invalid_client"),
            ({"client_secret": "x"}, "invalid_client"),
            ({"refresh_token": "x"}, "invalid_code"),
            ({"grant_type": "password"}, "invalid_request"),
        ],
    )
    def test_errors_come_with_200(self, app, changes, error):
        assert refresh(app, **changes) == {"error": error}

    def test_too_many_tokens(self, app, clock):
        for _ in range(5):
            assert "access_token" in refresh(app)
        assert refresh(app)["error"] == "Access Denied"
        clock.advance(61)
        assert "access_token" in refresh(app)

    def test_a_bearer_is_no_zoho_token(self, app):
        token = refresh(app)["access_token"]
        assert (
            InProcessClient(app, {"authorization": f"Bearer {token}"}, "/app/it/api/v3")
            .get("requests")
            .status
            == 401
        )

    def test_a_default_portal_has_no_prefix(self, app):
        token = refresh(app)["access_token"]
        assert (
            InProcessClient(app, {"authorization": f"Zoho-oauthtoken {token}"}).get("customers").status == 200
        )


class TestEnvelopes:
    def test_codes_may_stand_outside(self, app, client):
        app.set_switch("error_code_at", "outer")
        body = client.get("requests/9").body
        assert body["response_status"]["status_code"] == 4007
        assert "status_code" not in body["response_status"]["messages"][0]

    def test_failures_may_come_with_200(self, app, client):
        app.set_switch("http_status", "always_200")
        reply = client.get("requests/9")
        assert reply.status == 200
        assert reply.body["response_status"]["status_code"] >= 4000

    @pytest.mark.parametrize(
        "query", [{"input_data": "{"}, {"input_data": "[1]"}, {"input_data": '{"list_info": 5}'}]
    )
    def test_input_that_is_none(self, app, query):
        headers = {**ADMINISTRATOR, **NEW_FORMAT}
        assert (
            app.handle(Call(method="GET", path="/api/v3/requests", query=query, headers=headers)).status
            == 400
        )

    def test_writes_need_a_form(self, app):
        headers = {**ADMINISTRATOR, **NEW_FORMAT, "content-type": "application/json"}
        given = {"worklog_type": {"name": "New"}}
        call = Call(method="POST", path="/api/v3/worklog_types", headers=headers, body=encode_json(given))
        assert app.handle(call).status == 400
        boundary = "xyz"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="input_data"\r\n\r\n'
            f"{json.dumps(given)}\r\n--{boundary}--\r\n"
        ).encode()
        headers["content-type"] = f"multipart/form-data; boundary={boundary}"
        assert (
            app.handle(Call(method="POST", path="/api/v3/worklog_types", headers=headers, body=body)).status
            == 200
        )

    def test_a_list_in_the_form_of_a_get_is_not_read(self, app):
        headers = {**ADMINISTRATOR, "content-type": "application/x-www-form-urlencoded"}
        body = urlencode({"input_data": '{"list_info":{"row_count":50}}'}).encode()
        answer = app.handle(Call(method="GET", path="/api/v3/requests", headers=headers, body=body))
        assert len(decode_json(answer.body)["requests"]) == 10


class TestThrottle:
    def test_too_many_calls_in_a_minute(self, app, client, clock):
        app.set_switch("requests_per_minute", "3")
        assert [client.get("requests").status for _ in range(4)] == [200, 200, 200, 429]
        reply = client.get("requests")
        assert reply.code == 4015
        wait = int(reply.answer.headers["retry-after"])
        assert 0 < wait <= 60
        clock.advance(wait)
        assert client.get("requests").status == 200

    def test_without_saying_when(self, app, client):
        app.set_switch("requests_per_minute", "1")
        app.set_switch("retry_after", "off")
        client.get("requests")
        assert "retry-after" not in client.get("requests").answer.headers


class TestFaults:
    @pytest.mark.parametrize("kind", ["rate_minute", "rate_day", "rate_concurrent"])
    def test_limits(self, app, kind):
        answer = app.fault_answer(kind, {"retry_after": 7})
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        assert "retry-after" not in app.fault_answer(kind, {}).headers

    def test_tokens(self, app):
        call = Call(method="GET", path="/api/v3/requests", headers=ADMINISTRATOR)
        cloud = Call(method="GET", path="/app/it/api/v3/requests")
        for kind in ("token_expired", "revoked"):
            assert app.fault_answer(kind, {"call": call}).status == 401
            assert b"OAuth" in app.fault_answer(kind, {"call": cloud}).body
        token = Call(method="POST", path="/oauth/v2/token")
        assert decode_json(app.fault_answer("revoked", {"call": token}).body) == {"error": "invalid_code"}
        with pytest.raises(ValueError, match="no words"):
            app.fault_answer("moonshine", {})

    def test_lists_lag_behind_writes(self, app, client, clock):
        given = {"worklog_type": {"name": "New"}}
        row = client.call("POST", "worklog_types", given).body["worklog_type"]
        app.change_row({"kind": "request", "action": "add", "values": {"subject": "Fresh", "account": "301"}})
        clock.advance(5)
        app.hide_fresh(10)
        assert "New" not in [other["name"] for other in client.rows("worklog_types")]
        assert "Fresh" not in [other["subject"] for other in client.rows("requests")]
        assert client.get(f"worklog_types/{row['id']}").status == 200
        clock.advance(6)
        assert "New" in [other["name"] for other in client.rows("worklog_types")]
        app.hide_fresh(0)
        assert "Fresh" in [other["subject"] for other in client.rows("requests")]


class TestPeople:
    def change(self, app, kind, action, row_id=None, **values):
        return app.change_row({"kind": kind, "action": action, "id": row_id, "values": values})

    def test_worklogs(self, app, client):
        row = self.change(
            app, "worklog", "add", parent="requests/1001", minutes=45, type="Consulting", owner="5"
        )
        shown = client.get(f"requests/1001/worklogs/{row['id']}").body["worklog"]
        assert (shown["type"]["name"], shown["owner_cost"]) == ("Consulting", "60.00")
        row = self.change(app, "worklog", "edit", row["id"], minutes=60, is_billable=False)
        assert (str(row["owner_cost"]), row["is_billable"]) == ("80.00", False)
        self.change(app, "worklog", "move", row["id"], parent="projects/51/tasks/2001")
        assert client.get(f"requests/1001/worklogs/{row['id']}").code == 4007
        assert row["id"] in [other["id"] for other in app.dump()["worklogs"] if other["parent_id"] == "2001"]
        self.change(app, "worklog", "delete", row["id"])
        assert row["id"] not in [other["id"] for other in app.dump()["worklogs"]]

    def test_a_request_goes_to_another_account(self, app, client, clock):
        self.change(
            app, "request", "edit", "1001", account="Marine Systems".upper(), status="Closed", title="Moved"
        )
        row = client.get("requests/1001").body["request"]
        assert row["account"]["name"] == row["site"]["account"]["name"] == "MARINE SYSTEMS"
        assert (row["requester"], row["subject"], row["status"]["name"]) == (None, "Moved", "Closed")
        assert row["completed_time"]["value"] == row["last_updated_time"]["value"] == str(clock.epoch_ms())

    def test_tickets_are_added_trashed_archived_deleted(self, app, client):
        listed = lambda: {row["id"] for row in client.rows("requests")}  # noqa: E731
        row = self.change(app, "request", "add", subject="New one", account="301")
        assert row["id"] in listed()
        self.change(app, "request", "trash", row["id"])
        assert row["id"] not in listed()
        self.change(app, "request", "restore", row["id"])
        assert row["id"] in listed()
        self.change(app, "request", "archive", row["id"])
        assert client.get(f"requests/{row['id']}").code == 4007
        self.change(app, "request", "delete", "1001")
        assert client.get("requests/1001").code == 4007
        assert "1001" not in {other["parent_id"] for other in app.dump()["worklogs"]}

    def test_projects_milestones_and_tasks(self, app, client):
        project = self.change(app, "project", "add", title="Attic", account="301")
        milestone = self.change(app, "milestone", "add", title="First", parent=f"projects/{project['id']}")
        task = self.change(
            app, "task", "add", title="Sweep", parent=f"projects/{project['id']}/milestones/{milestone['id']}"
        )
        self.change(app, "worklog", "add", parent=f"tasks/{task['id']}", minutes=5)
        path = f"projects/{project['id']}/milestones/{milestone['id']}/tasks/{task['id']}/worklogs"
        assert len(client.list(path).body["worklogs"]) == 1
        self.change(app, "project", "delete", project["id"])
        assert task["id"] not in {row["id"] for row in app.dump()["tasks"]}
        general = self.change(app, "task", "add", title="Sweep", account="301")
        assert client.get(f"tasks/{general['id']}/worklogs").status == 200

    def test_setup(self, app, client):
        row = self.change(app, "account", "add", name="Newcomer")
        self.change(app, "account", "edit", row["id"], name="Renamed")
        assert client.get(f"accounts/{row['id']}").body["account"]["name"] == "Renamed"
        self.change(app, "account", "delete", row["id"])
        assert client.get(f"accounts/{row['id']}").code == 4007
        self.change(app, "worklog_type", "inactivate", "1")
        assert client.get("worklog_types/1").body["worklog_type"]["inactive"] is True
        self.change(app, "technician", "edit", "5", cost_per_hour="100.00")
        row = self.change(app, "worklog", "add", parent="requests/1001", minutes=90, owner="5")
        assert str(row["owner_cost"]) == "150.00"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"kind": "invoice", "action": "add"}, "no kind 'invoice'"),
            ({"kind": "worklog", "action": "trash"}, "actions add, delete, edit, move"),
            ({"kind": "worklog", "action": "edit", "id": "1"}, "there is no worklog '1'"),
            ({"kind": "worklog", "action": "add", "values": {"parent": "requests/9"}}, "there is no parent"),
            ({"kind": "worklog", "action": "add"}, "has a parent"),
            (
                {"kind": "worklog", "action": "edit", "id": "5001", "values": {"type": "Moon"}},
                "no type 'Moon'",
            ),
            (
                {"kind": "worklog", "action": "edit", "id": "5001", "values": {"id": "1"}},
                "given by the product",
            ),
            (
                {"kind": "worklog", "action": "edit", "id": "5001", "values": {"minute": 1}},
                "no member 'minute'",
            ),
            ({"kind": "worklog", "action": "move", "id": "5001"}, "where a worklog moves"),
        ],
    )
    def test_what_makes_no_sense_is_said(self, app, change, message):
        with pytest.raises(ValueError, match=message):
            app.change_row(change)

    def test_reset_brings_everything_back(self, app):
        before = encode_json(app.dump())
        self.change(app, "worklog", "delete", "5001")
        self.change(app, "account", "edit", "301", name="X")
        app.set_switch("bump_parent", "off")
        assert encode_json(app.dump()) != before
        app.reset()
        assert encode_json(app.dump()) == before

    def test_a_dump_can_be_loaded_again(self, app, clock):
        dumped = decode_json(encode_json(app.dump()))
        again = SdpApp(dumped, clock, {})
        assert decode_json(encode_json(again.dump())) == dumped
        assert again.dump(["worklogs"]).keys() == {"worklogs"}

    def test_a_dumped_worklog_says_whose_it_is(self, app):
        rows = {row["id"]: row for row in app.dump()["worklogs"]}
        expected = {"account_by_site": "301", "account_by_requester": "301", "account_unresolved": None}
        for label, account_id in expected.items():
            assert rows[STORY.awkward[label][1][0]]["account_id"] == account_id
        assert rows[STORY.awkward["on_milestone_task"][1][0]]["module"] == "project"
        assert rows[STORY.awkward["on_request_task"][1][0]]["module"] == "task"


class TestSwitches:
    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("moon", "on", "no switch 'moon'"),
            ("bump_parent", "maybe", "one of on, off, not 'maybe'"),
            ("requests_per_minute", "-1", "whole number"),
            ("account_on", "requests,moons", "all, none, or some of"),
        ],
    )
    def test_bad_ones_are_named(self, app, name, value, message):
        with pytest.raises(ValueError, match=message):
            app.set_switch(name, value)

    def test_every_switch_is_documented(self):
        import msp_xero_sandbox.sdp.switches as module  # noqa: PLC0415

        documented = {line.split()[0] for line in module.__doc__.splitlines() if line[:1].isalpha()}
        assert set(Switches({}).as_dict()) <= documented

    def test_initial_ones_survive_a_reset(self, clock):
        app = SdpApp(STORY.sdp, clock, {"bump_parent": "off", "ids": "per_module"})
        app.set_switch("bump_parent", "on")
        app.reset()
        assert app.dump()["switches"]["bump_parent"] == "off"
        assert len({row["id"] for row in app.dump()["worklogs"]}) < len(STORY.sdp["worklogs"])
