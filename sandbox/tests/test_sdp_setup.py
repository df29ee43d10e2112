"""Accounts, worklog types and what the limited technician may do (sdp-msp-api §5, §6)."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.sdp.app import SdpApp
from msp_xero_sandbox.sdp.in_process import NEW_FORMAT, InProcessClient
from msp_xero_sandbox.story import build
from msp_xero_sandbox.wire import Call, decode_json

NOW = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
STORY = build(1, "small", NOW)


@pytest.fixture
def app():
    return SdpApp(STORY.sdp, Clock(NOW, running=False), {})


@pytest.fixture
def client(app):
    return InProcessClient(app)


@pytest.fixture
def limited(app):
    return InProcessClient(app, {"authtoken": "sandbox-limited-token", **NEW_FORMAT})


def account(**members):
    return {"account": {"name": "Zylker Ltd", "login_url": "zylker.desk.example", **members}}


class TestAccounts:
    def test_list(self, app, client):
        rows = list(client.rows("accounts", sort_field="name"))
        assert len(rows) == 12
        assert [row["name"].casefold() for row in rows] == sorted(row["name"].casefold() for row in rows)
        assert "udf_fields" not in rows[0]
        app.set_switch("account_columns", "all")
        assert rows[0].items() <= client.list("accounts", sort_field="name").body["accounts"][0].items()
        assert "udf_fields" in client.list("accounts").body["accounts"][0]

    def test_find_by_name(self, client):
        entry = {"field": "name", "condition": "is", "value": "Ridgeway University"}
        (row,) = client.list("accounts", search_criteria=entry).body["accounts"]
        assert row["id"] == "301"

    def test_create_read_update(self, client):
        given = account(
            emailid="ap@zylker.example", udf_fields={"udf_sline_101": "c1"}, account_manager={"id": "5"}
        )
        created = client.call("POST", "accounts", given).body["account"]
        assert created["udf_fields"]["udf_sline_101"] == "c1"
        assert created["account_manager"]["name"] == "Howard Stern"
        assert created["default_site"]["name"] == "Common Site"
        given = {"account": {"city": "Leeds", "udf_fields": {"udf_sline_102": "B"}}}
        client.call("PUT", f"accounts/{created['id']}", given)
        row = client.get(f"accounts/{created['id']}").body["account"]
        assert (row["city"], row["emailid"]) == ("Leeds", "ap@zylker.example")
        assert (row["udf_fields"]["udf_sline_101"], row["udf_fields"]["udf_sline_102"]) == ("c1", "B")
        assert (
            client.get(f"sites/{row['default_site']['id']}").body["site"]["account"]["name"] == "Zylker Ltd"
        )

    @pytest.mark.parametrize(
        ("members", "code", "where"),
        [
            ({"name": None}, 4012, ["name"]),
            ({"name": " ", "login_url": None}, 4012, ["name", "login_url"]),
            ({"name": "Ridgeway University"}, 4008, "name"),
            ({"name": "RIDGEWAY university"}, 4008, "name"),
            ({"name": "x" * 251}, 4021, "name"),
            ({"name": 5}, 4021, "name"),
            ({"id": "7"}, 4014, "id"),
            ({"website": "x"}, 4001, "website"),
            ({"account_manager": {"name": "Nobody"}}, 4001, "account_manager"),
            ({"udf_fields": {"udf_sline_999": "x"}}, 4001, "udf_fields.udf_sline_999"),
            ({"udf_fields": {"udf_sline_106": "x"}}, 4014, "udf_fields.udf_sline_106"),
            ({"udf_fields": {"udf_sline_101": "x" * 101}}, 4021, "udf_fields.udf_sline_101"),
            ({"udf_fields": {"udf_double_104": "much"}}, 4021, "udf_fields.udf_double_104"),
        ],
    )
    def test_what_is_wrong_is_refused(self, client, members, code, where):
        reply = client.call("POST", "accounts", account(**members))
        assert (reply.status, reply.code) == (400, code)
        assert where in (reply.message.get("field"), reply.message.get("fields"))
        assert client.list("accounts", get_total_count=True).body["list_info"]["total_count"] == 12

    def test_the_login_url_may_be_spelt_differently_or_not_needed(self, app, client):
        app.set_switch("login_url_field", "loginUrl")
        reply = client.call("POST", "accounts", {"account": {"name": "A"}})
        assert (reply.code, reply.message["fields"]) == (4012, ["loginUrl"])
        assert client.call("POST", "accounts", {"account": {"name": "A", "loginUrl": "a"}}).status == 200
        app.set_switch("login_url_mandatory", "off")
        assert client.call("POST", "accounts", {"account": {"name": "B"}}).status == 200

    def test_names_may_differ_in_case_only(self, app, client):
        app.set_switch("account_names", "sensitive")
        assert client.call("POST", "accounts", account(name="RIDGEWAY university")).status == 200
        assert client.call("POST", "accounts", account(name="Ridgeway University")).code == 4008

    def test_a_rename_must_be_unique_but_not_to_itself(self, client):
        assert client.call("PUT", "accounts/302", {"account": {"name": "Ridgeway University"}}).code == 4008
        assert client.call("PUT", "accounts/301", {"account": {"name": "Ridgeway University"}}).status == 200

    def test_metainfo(self, app, client):
        fields = client.get("accounts/_metainfo", conf_fields="true").body["metainfo"]["fields"]
        assert fields["name"] == {
            "type": "string",
            "display_name": "Account Name",
            "mandatory": True,
            "read_only": False,
            "default_value": None,
            "constraints": {"max_length": 250},
        }
        assert fields["login_url"]["mandatory"] is True
        custom = fields["udf_fields"]["fields"]
        assert custom["udf_sline_101"]["display_name"] == "Xero contact id"
        assert custom["udf_sline_102"]["mandatory"] is False
        assert custom["udf_sline_106"]["read_only"] is True
        app.set_switch("udf_mandatory", "on")
        app.set_switch("account_udf_container", "accountudf_fields")
        fields = client.get("accounts/_metainfo").body["metainfo"]["fields"]
        assert fields["accountudf_fields"]["fields"]["udf_sline_102"]["mandatory"] is True
        reply = client.call("POST", "accounts", account())
        assert reply.message["fields"] == ["accountudf_fields.udf_sline_102"]
        given = account(accountudf_fields={"udf_sline_102": "B"})
        assert (
            client.call("POST", "accounts", given).body["account"]["accountudf_fields"]["udf_sline_102"]
            == "B"
        )

    def test_accounts_are_not_deleted_over_the_api(self, client):
        assert client.call("DELETE", "accounts/301").code == 4002

    def test_customers_of_the_cloud(self, app):
        app.set_switch("dialect", "cloud")
        form = {
            "grant_type": "refresh_token",
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh",
        }
        call = Call(method="POST", path="/oauth/v2/token", body=urlencode(form).encode())
        token = decode_json(app.handle(call).body)
        client = InProcessClient(
            app, {"authorization": f"Zoho-oauthtoken {token['access_token']}"}, "/app/it/api/v3"
        )
        rows = list(client.rows("customers", fields_required=["name", "is_msp", "domain"]))
        assert [row["name"] for row in rows if row["is_msp"]] == ["Kōwhai Managed IT Limited"]
        assert client.get("accounts").code == 4007
        given = {"customer": {"name": "Zylker", "domain": "zylker.example"}}
        assert client.call("POST", "customers", given).body["customer"]["domain"] == "zylker.example"
        assert client.call("POST", "customers", {"customer": {"name": "Minimal"}}).status == 200


class TestWorklogTypes:
    def test_list_create_update(self, client):
        assert "Remote support" in [row["name"] for row in client.rows("worklog_types")]
        given = {"worklog_type": {"name": "Security review", "description": "Xero item SEC-1"}}
        row = client.call("POST", "worklog_types", given).body["worklog_type"]
        client.call("PUT", f"worklog_types/{row['id']}", {"worklog_type": {"name": "Security audit"}})
        row = client.get(f"worklog_types/{row['id']}").body["worklog_type"]
        assert (row["name"], row["description"], row["inactive"]) == (
            "Security audit",
            "Xero item SEC-1",
            False,
        )

    @pytest.mark.parametrize(
        ("given", "code"),
        [
            ({"name": "Remote support"}, 4008),
            ({"name": "REMOTE support"}, 4008),
            ({"name": "Fax repair"}, 4008),
            ({"name": ""}, 4012),
            ({"description": "x"}, 4012),
            ({"name": "x" * 101}, 4021),
            ({"name": "x", "price": "1"}, 4001),
        ],
    )
    def test_what_is_wrong_is_refused(self, client, given, code):
        assert client.call("POST", "worklog_types", {"worklog_type": given}).code == code

    def test_the_path_may_not_exist(self, app, client):
        app.set_switch("worklog_types_path", "off")
        assert client.get("worklog_types").code == 4007
        assert client.get("requests/1001/worklogs/type").status == 200

    def test_writes_may_be_refused(self, app, client):
        app.set_switch("worklog_types_write", "off")
        reply = client.call("POST", "worklog_types", {"worklog_type": {"name": "New"}})
        assert (reply.status, reply.code) == (403, 4002)

    def test_inactive_types_may_be_hidden(self, app, client):
        assert "Fax repair" in [row["name"] for row in client.rows("worklog_types")]
        app.set_switch("inactive_types", "hidden")
        assert "Fax repair" not in [row["name"] for row in client.rows("worklog_types")]

    def test_a_used_type_is_not_deleted(self, client):
        assert client.call("DELETE", "worklog_types/1").code == 4005
        row = client.call("POST", "worklog_types", {"worklog_type": {"name": "New"}}).body["worklog_type"]
        assert client.call("DELETE", f"worklog_types/{row['id']}").status == 200


class TestLimitedTechnician:
    def test_sees_every_second_account_and_its_tickets(self, client, limited):
        all_ids = {row["id"] for row in client.rows("accounts")}
        seen = {row["id"] for row in limited.rows("accounts")}
        assert seen == {row_id for row_id in all_ids if int(row_id) % 2}
        parents = list(limited.rows("requests", fields_required=["account"]))
        assert 0 < len(parents) < len(list(client.rows("requests")))
        assert all(row["account"] is None or row["account"]["id"] in seen for row in parents)
        hidden = next(row for row in STORY.sdp["requests"] if row["account_id"] == "302")
        assert limited.get(f"requests/{hidden['id']}/worklogs").code == 4007
        assert limited.get("accounts/302").code == 4007

    def test_sees_no_costs(self, limited):
        row = limited.list("requests", fields_required=["id"]).body["requests"][0]
        (worklog, *_) = limited.list(f"requests/{row['id']}/worklogs").body["worklogs"]
        assert not {"owner_cost", "total_cost", "other_cost"} & set(worklog)

    def test_may_not_change_setup(self, limited):
        assert limited.call("POST", "accounts", account()).code == 4002
        assert limited.call("PUT", "accounts/301", {"account": {"city": "X"}}).code == 4002
        assert limited.call("POST", "worklog_types", {"worklog_type": {"name": "X"}}).code == 4002
