"""Lists: pages, order, columns, criteria (sdp-msp-api §2)."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.sdp.app import SdpApp
from msp_xero_sandbox.sdp.in_process import InProcessClient
from msp_xero_sandbox.story import build

NOW = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
STORY = build(1, "medium", NOW)


@pytest.fixture
def app():
    return SdpApp(STORY.sdp, Clock(NOW, running=False), {})


@pytest.fixture
def client(app):
    return InProcessClient(app)


def listed():
    return [row for row in STORY.sdp["requests"] if not (row.get("is_trashed") or row.get("is_archived"))]


def ids(reply, key="requests"):
    return [row["id"] for row in reply.body[key]]


class TestPages:
    def test_without_list_info_there_are_ten_rows(self, client):
        body = client.get("requests").body
        assert len(body["requests"]) == 10
        assert body["list_info"] == {"has_more_rows": True, "start_index": 1, "row_count": 10}
        assert body["response_status"] == [{"status_code": 2000, "status": "success"}]

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("field", ["id", "last_updated_time", "created_time", "subject"])
    def test_all_rows_come_once_over_many_pages(self, client, field, order):
        found, start, pages = [], 1, 0
        while True:
            reply = client.list(
                "requests", start_index=start, sort_field=field, sort_order=order, get_total_count=True
            )
            found += ids(reply)
            pages += 1
            assert reply.body["list_info"]["total_count"] == len(listed())
            if not reply.body["list_info"]["has_more_rows"]:
                break
            start += 100
        assert pages >= 3
        assert sorted(found) == sorted(row["id"] for row in listed())
        member = "title" if field == "subject" else field
        keys = {row["id"]: int(row["id"]) if field == "id" else row[member] for row in listed()}
        values = [keys[row_id].casefold() if field == "subject" else keys[row_id] for row_id in found]
        assert values == sorted(values, reverse=order == "desc")

    def test_page_is_another_way_to_say_start_index(self, client):
        assert ids(client.list("requests", page=3)) == ids(client.list("requests", start_index=201))

    def test_after_the_last_row_a_page_is_empty(self, client):
        body = client.list("requests", start_index=100_001).body
        assert body["requests"] == []
        assert body["list_info"]["has_more_rows"] is False

    def test_a_total_count_comes_only_when_asked_for(self, client):
        assert "total_count" not in client.list("requests").body["list_info"]

    def test_more_than_a_hundred_rows(self, app, client):
        assert len(client.list("requests", row_count=101).body["requests"]) == 100
        app.set_switch("row_count_over", "error")
        reply = client.list("requests", row_count=101)
        assert (reply.status, reply.code, reply.message["field"]) == (400, 4001, "row_count")

    def test_without_a_sort_field_the_newest_request_is_first(self, client):
        first = ids(client.list("requests"))[0]
        assert first == max((row["id"] for row in listed()), key=int)

    @pytest.mark.parametrize("info", [{"row_count": "x"}, {"start_index": "first"}, {"row_count": 0}])
    def test_numbers_that_are_none_are_refused(self, client, info):
        assert client.list("requests", **info).status == 400

    def test_a_row_that_moves_shifts_the_pages_of_an_offset_walk(self, app, client):
        walk = {"sort_field": "last_updated_time", "sort_order": "asc"}
        first = ids(client.list("requests", **walk))
        all_before = [row["id"] for row in client.rows("requests", **walk)]
        app.change_row({"kind": "request", "action": "edit", "id": first[0], "values": {"title": "Moved"}})
        second = ids(client.list("requests", start_index=101, **walk))
        assert all_before[100] not in second


class TestOrder:
    @pytest.mark.parametrize("module", ["problems", "changes", "projects", "tasks"])
    def test_only_requests_sort_and_filter_by_last_change(self, app, client, module):
        since = {"field": "last_updated_time", "condition": "gte", "value": "0"}
        assert client.list(module, sort_field="last_updated_time").code == 4001
        assert client.list(module, search_criteria=since).code == 4001
        app.set_switch("last_updated_on", "all")
        assert client.list(module, sort_field="last_updated_time").status == 200
        row = client.list(module, search_criteria=since, fields_required=["last_updated_time"]).body[module][
            0
        ]
        assert row["last_updated_time"]["value"].isdecimal()

    @pytest.mark.parametrize("field", ["requester", "description", "nonsense"])
    def test_other_fields_do_not_sort(self, client, field):
        reply = client.list("requests", sort_field=field)
        assert (reply.status, reply.code, reply.message["field"]) == (400, 4001, "sort_field")

    def test_an_order_that_is_none_is_refused(self, client):
        assert client.list("requests", sort_order="upwards").code == 4001


class TestColumns:
    def test_a_default_row_has_no_account_site_or_change_time(self, client):
        row = client.list("requests").body["requests"][0]
        assert set(row) == {
            "requester", "template", "created_time", "has_draft", "cancel_flag_comments", "display_id",
            "subject", "technician", "due_by_time", "is_service_request", "cancellation_requested",
            "has_notes", "id", "status", "group",
        }  # fmt: skip

    def test_columns_can_be_asked_for(self, client):
        row = client.list("requests", fields_required=["account", "site", "last_updated_time"]).body[
            "requests"
        ][0]
        assert set(row) == {"id", "account", "site", "last_updated_time"}

    def test_columns_can_be_asked_for_beside_list_info(self, app, client):
        asked = {"list_info": {"row_count": 1}, "fields_required": ["account"]}
        assert set(client.get("requests", **asked).body["requests"][0]) == {"id", "account"}
        app.set_switch("columns_from", "list_info")
        assert len(client.get("requests", **asked).body["requests"][0]) == 15

    def test_unknown_columns(self, app, client):
        assert set(client.list("requests", fields_required=["id", "moon"]).body["requests"][0]) == {"id"}
        app.set_switch("unknown_column", "error")
        assert client.list("requests", fields_required=["id", "moon"]).code == 4001

    def test_one_row_has_all_columns(self, client):
        row = client.get("requests/1001").body["request"]
        assert {"account", "site", "last_updated_time", "is_trashed", "description"} <= set(row)

    def test_scalars_are_texts_but_booleans(self, client):
        row = client.get("requests/1001").body["request"]
        assert row["id"] == "1001"
        assert row["has_notes"] is False
        assert row["unreplied_count"] == 0
        assert set(row["created_time"]) == {"value", "display_value"}
        assert row["created_time"]["value"].isdecimal()

    @pytest.mark.parametrize(
        ("module", "person"),
        [
            ("problems", "reported_by"),
            ("changes", "change_requester"),
            ("projects", "requester"),
            ("requests", "requester"),
        ],
    )
    def test_the_account_of_a_module_can_be_missing(self, app, client, module, person):
        fields = ["account", "site", person]
        criteria = {"field": "site.name", "condition": "is not", "value": None}
        row = client.list(module, fields_required=fields, search_criteria=criteria).body[module][0]
        assert row["account"]["id"] == row["site"]["account"]["id"]
        app.set_switch("account_on", "requests")
        row = client.list(module, fields_required=fields, search_criteria=criteria).body[module][0]
        assert ("account" in row) is (module == "requests")
        app.set_switch("site_account", "off")
        app.set_switch("requester_account", "off")
        row = client.list(module, fields_required=fields, search_criteria=criteria).body[module][0]
        assert "account" not in row["site"]
        assert "account" not in (row[person] or {})


def searched(client, *criteria, path="requests"):
    entries = list(criteria)
    return {
        row["id"] for row in client.rows(path, search_criteria=entries if len(entries) > 1 else entries[0])
    }


def wanted(test):
    return {row["id"] for row in listed() if test(row)}


def subject(condition, value):
    return {"field": "subject", "condition": condition, "value": value}


class TestCriteria:
    @pytest.mark.parametrize(
        ("condition", "test"),
        [
            ("is", lambda t, m: t == m), ("=", lambda t, m: t == m), ("eq", lambda t, m: t == m),
            ("is not", lambda t, m: t != m), ("!=", lambda t, m: t != m), ("neq", lambda t, m: t != m),
            ("greater than", lambda t, m: t > m), ("gt", lambda t, m: t > m),
            ("greater or equal", lambda t, m: t >= m), ("gte", lambda t, m: t >= m),
            ("lesser than", lambda t, m: t < m), ("lt", lambda t, m: t < m),
            ("lesser or equal", lambda t, m: t <= m), ("lte", lambda t, m: t <= m),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("field", ["last_updated_time", "created_time"])
    @pytest.mark.parametrize("sort", ["last_updated_time", "id"])
    def test_times(self, client, condition, test, field, sort):
        middle = sorted(row[field] for row in listed())[200]
        entry = {"field": field, "condition": condition, "value": str(middle)}
        found = {row["id"] for row in client.rows("requests", search_criteria=entry, sort_field=sort)}
        assert found == wanted(lambda row: test(row[field], middle))
        assert found

    def test_a_time_window_in_its_own_order(self, client):
        times = sorted(row["last_updated_time"] for row in listed())
        low, high = times[50], times[300]
        window = [
            {"field": "last_updated_time", "condition": "greater or equal", "value": str(low)},
            {
                "field": "last_updated_time",
                "condition": "lesser than",
                "value": high,
                "logical_operator": "and",
            },
        ]
        for order in ("asc", "desc"):
            reply = client.list(
                "requests",
                search_criteria=window,
                sort_field="last_updated_time",
                sort_order=order,
                get_total_count=True,
            )
            expected = wanted(lambda row: low <= row["last_updated_time"] < high)
            assert reply.body["list_info"]["total_count"] == len(expected)
        found = [
            row["id"]
            for row in client.rows("requests", search_criteria=window, sort_field="last_updated_time")
        ]
        assert set(found) == expected
        assert len(found) == len(expected)

    def test_between(self, client):
        times = sorted(row["created_time"] for row in listed())
        entry = {"field": "created_time", "condition": "between", "values": [str(times[10]), str(times[60])]}
        inside = wanted(lambda row: times[10] <= row["created_time"] <= times[60])
        assert searched(client, entry) == inside
        assert searched(client, entry | {"condition": "not between"}) == wanted(lambda _: True) - inside

    @pytest.mark.parametrize(
        ("condition", "test"),
        [
            ("starts with", lambda t: t.startswith("awkward")),
            ("ends with", lambda t: t.endswith("awkward")),
            ("contains", lambda t: "awkward" in t),
            ("not contains", lambda t: "awkward" not in t),
        ],
    )
    def test_texts(self, client, condition, test):
        assert searched(client, subject(condition, "Awkward")) == wanted(
            lambda row: test(row["title"].casefold())
        )

    def test_values_are_any_of_them(self, client):
        entry = {"field": "status.name", "condition": "is", "values": ["Open", "On hold"]}
        assert searched(client, entry) == wanted(lambda row: row["status"] in {"Open", "On hold"})
        entry["condition"] = "is not"
        assert searched(client, entry) == wanted(lambda row: row["status"] not in {"Open", "On hold"})

    def test_nested_fields(self, client):
        account = STORY.sdp["accounts"][0]
        expected = wanted(lambda row: row["account_id"] == account["id"])
        for field, value in (("account.name", account["name"]), ("account.id", int(account["id"]))):
            assert searched(client, {"field": field, "condition": "is", "value": value}) == expected
        people = {
            row["id"] for row in STORY.sdp["requesters"] if row["email_id"].endswith("@ridgeway.example")
        }
        entry = {"field": "requester.email_id", "condition": "ends with", "value": "@RIDGEWAY.example"}
        assert searched(client, entry) == wanted(lambda row: row["requester_id"] in people)

    @pytest.mark.parametrize("nothing", [{"value": None}, {"values": [None]}, {"value": "$(none)"}])
    def test_empty(self, client, nothing):
        entry = {"field": "account.name", "condition": "is", **nothing}
        assert searched(client, entry) == wanted(lambda row: row["account_id"] is None)

    def test_booleans(self, client):
        entry = {"field": "is_trashed", "condition": "is", "value": "false"}
        assert searched(client, entry) == wanted(lambda _: True)

    def test_and_or_and_children(self, client):
        is_open = {"field": "status.name", "condition": "is", "value": "Open"}
        high = {"field": "priority.name", "condition": "is", "value": "High"}
        both = wanted(lambda row: row["status"] == "Open" and row["priority"] == "High")
        either = wanted(lambda row: row["status"] == "Open" or row["priority"] == "High")
        assert searched(client, is_open, high | {"logical_operator": "AND"}) == both
        assert searched(client, is_open, high | {"logical_operator": "OR"}) == either
        assert searched(client, is_open | {"children": [high | {"logical_operator": "OR"}]}) == either
        assert searched(client, {"children": [is_open, high | {"logical_operator": "and"}]}) == both

    @pytest.mark.parametrize(
        "bad",
        [
            {"field": "moon", "condition": "is", "value": 1},
            {"field": "subject", "condition": "in", "values": ["x"]},
            {"field": "subject", "condition": "resembles", "value": "x"},
            {"field": "created_time", "condition": "gt", "value": "yesterday"},
            {"field": "created_time", "condition": "between", "values": ["1"]},
            {"field": "subject", "condition": "is", "value": "x", "logical_operator": "XOR"},
            {"condition": "is", "value": "x"},
            "subject is x",
        ],
    )
    def test_what_makes_no_sense_is_refused(self, client, bad):
        reply = client.list("requests", search_criteria=bad)
        assert reply.status == 400
        assert reply.code in {4001, 4021}

    def test_saved_views(self, client):
        pending = {row["id"] for row in client.rows("requests", filter_by={"name": "All_Pending"})}
        assert pending == wanted(lambda row: row["status"] in {"Open", "On hold", "In progress"})
        assert client.list("requests", filter_by={"name": "Mine_Only"}).code == 4001

    def test_worklog_lists_may_refuse_criteria(self, app, client):
        entry = {"field": "created_time", "condition": "gte", "value": "0"}
        assert client.list("requests/1001/worklogs", search_criteria=entry).status == 200
        app.set_switch("worklog_search", "off")
        assert client.list("requests/1001/worklogs", search_criteria=entry).code == 4001


def test_a_change_moves_a_row_in_every_order(app, client):
    walk = {"sort_field": "last_updated_time", "sort_order": "desc"}
    last = [row["id"] for row in client.rows("requests", **walk)][-1]
    before = [row["id"] for row in client.rows("requests", sort_field="subject")]
    app.change_row({"kind": "request", "action": "edit", "id": last, "values": {"subject": "AAA"}})
    assert ids(client.list("requests", **walk))[0] == last
    after = [row["id"] for row in client.rows("requests", sort_field="subject")]
    assert after[0] == last
    assert sorted(after) == sorted(before)


def test_pages_of_ten_thousand_requests_are_fast():
    story = build(1, 100_000, NOW)
    app = SdpApp(story.sdp, Clock(NOW, running=False), {})
    client = InProcessClient(app)
    since = {"field": "last_updated_time", "condition": "gte", "value": "0"}
    walk = {
        "search_criteria": since,
        "sort_field": "last_updated_time",
        "fields_required": ["id", "last_updated_time"],
    }
    client.list("requests", **walk)
    began = time.process_time()
    for start in range(1, 6000, 60):
        client.list("requests", start_index=start, row_count=10, **walk)
        app.change_row(
            {"kind": "request", "action": "edit", "id": str(1001 + start), "values": {"status": "Closed"}}
        )
    assert time.process_time() - began < 1.0
    began = time.process_time()
    for number in range(1500):
        client.list(f"requests/{1001 + number}/worklogs")
    assert time.process_time() - began < 2.0
