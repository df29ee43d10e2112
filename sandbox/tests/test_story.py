from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msp_xero_sandbox.story import build
from msp_xero_sandbox.story.calendar import NEW_ZEALAND

NOW = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def small():
    return build(1, "small", NOW)


@pytest.fixture(scope="module")
def medium():
    return build(1, "medium", NOW)


def row_of(story, label):
    kind, ids = story.awkward[label]
    return next(row for row in story.sdp[kind] if row["id"] == ids[0])


def parent_of(story, worklog):
    kind = f"{worklog['parent_kind']}s"
    return next(row for row in story.sdp[kind] if row["id"] == worklog["parent_id"])


def type_name(story, worklog):
    return next((row["name"] for row in story.sdp["worklog_types"] if row["id"] == worklog["type_id"]), None)


def local(epoch_ms):
    return datetime.fromtimestamp(epoch_ms / 1000, NEW_ZEALAND)


def test_same_seed_same_story():
    assert build(7, "medium", NOW) == build(7, "medium", NOW)


def test_other_seed_other_story():
    assert build(7, "small", NOW).xero["contacts"] != build(8, "small", NOW).xero["contacts"]


@pytest.mark.parametrize(("scale", "worklogs"), [("small", 85), ("medium", 1500), ("large", 20_000)])
def test_told_scales(scale, worklogs):
    story = build(1, scale, NOW)
    assert len(story.sdp["worklogs"]) == worklogs
    assert len(story.sdp["accounts"]) == (12 if scale == "small" else 39)


@pytest.mark.parametrize(("worklogs", "accounts"), [(1, 1), (399, 1), (1000, 5), (20_000, 100), ("250", 1)])
def test_a_number_is_exactly_that_many_worklogs(worklogs, accounts):
    story = build(1, worklogs, NOW)
    assert len(story.sdp["worklogs"]) == int(worklogs)
    assert {row["name"] for row in story.sdp["accounts"]} == {row["Name"] for row in story.xero["contacts"]}
    assert len(story.sdp["accounts"]) == accounts


def test_a_hundred_thousand_worklogs_are_built_fast():
    began = time.process_time()
    story = build(1, 100_000, NOW)
    assert time.process_time() - began < 8
    assert len(story.sdp["accounts"]) == 500
    parents = {(row["parent_kind"], row["parent_id"]) for row in story.sdp["worklogs"]}
    assert 9_000 < len(parents) < 16_000
    priced = {row["Name"] for row in story.xero["items"] if row["SalesDetails"].get("UnitPrice")}
    types = {row["id"] for row in story.sdp["worklog_types"] if row["name"] in priced}
    assert all(row["type_id"] in types for row in story.sdp["worklogs"])


@pytest.mark.parametrize("scale", ["huge", 0, -5, "1.5", ""])
def test_an_unknown_scale_is_refused(scale):
    with pytest.raises(ValueError, match="scale is small, medium, large"):
        build(1, scale, NOW)


def test_ids_are_unique_and_rise_with_time(small):
    for kind, rows in small.sdp.items():
        assert len({row["id"] for row in rows}) == len(rows), kind
    worklogs = small.sdp["worklogs"]
    assert [row["created_time"] for row in worklogs] == sorted(row["created_time"] for row in worklogs)
    assert [int(row["id"]) for row in worklogs] == sorted(int(row["id"]) for row in worklogs)


@pytest.mark.parametrize("scale", ["small", "medium", 2000])
def test_every_reference_leads_somewhere(scale):
    sdp = build(3, scale, NOW).sdp
    ids = {kind: {row["id"] for row in rows} for kind, rows in sdp.items()}
    people = ids["technicians"] | ids["requesters"]
    for row in sdp["worklogs"]:
        assert row["parent_id"] in ids[f"{row['parent_kind']}s"]
        assert row["owner_id"] in people
        assert row["type_id"] is None or row["type_id"] in ids["worklog_types"]
    for row in sdp["tasks"]:
        assert row["parent_kind"] == "general" or row["parent_id"] in ids[f"{row['parent_kind']}s"]
    for kind in ("requests", "problems", "changes", "projects"):
        for row in sdp[kind]:
            assert row["account_id"] is None or row["account_id"] in ids["accounts"]
            assert row["site_id"] is None or row["site_id"] in ids["sites"]
            assert row["created_time"] <= row["last_updated_time"] <= NOW.timestamp() * 1000


def test_nothing_is_in_the_future(small):
    assert all(row["created_time"] < NOW.timestamp() * 1000 for row in small.sdp["worklogs"])


@pytest.mark.parametrize("hours", range(0, 24 * 65, 37))
def test_the_story_can_be_told_at_any_moment(hours):
    now = datetime(2027, 1, 31, tzinfo=UTC) + timedelta(hours=hours)
    story = build(hours, "small", now)
    first = row_of(story, "first_of_month_local")
    assert local(first["start_time"]).day == 1
    limit = now.timestamp() * 1000
    for row in story.sdp["worklogs"]:
        assert row["created_time"] < limit
        parent = parent_of(story, row)
        assert parent["created_time"] <= row["created_time"]


def test_costs_are_rate_times_time(small):
    rates = {row["id"]: row["cost_per_hour"] for row in small.sdp["technicians"]}
    for row in small.sdp["worklogs"]:
        exact = rates.get(row["owner_id"], Decimal(0)) * row["minutes"] / 60
        assert abs(row["owner_cost"] - exact) <= Decimal("0.005")
        assert row["total_cost"] == row["owner_cost"] + row["other_cost"]


class TestBooks:
    def test_prices_with_four_decimals(self, small):
        prices = {row["Name"]: row["SalesDetails"].get("UnitPrice") for row in small.xero["items"]}
        assert prices["Remote support"] == Decimal("128.1950")
        assert prices["Network engineering"] == Decimal("162.7525")
        assert prices["Price on request"] is None

    def test_awkward_items(self, small):
        items = {row["Name"]: row for row in small.xero["items"]}
        assert "AccountCode" not in items["Legacy labour"]["SalesDetails"]
        assert items["Cat6 cabling"]["IsSold"] is False
        assert items["USB-C dock"]["IsTrackedAsInventory"] is True
        assert all(len(row["Code"]) <= 30 and len(row["Name"]) <= 50 for row in items.values())

    def test_chart_of_accounts_and_tax_rates(self, small):
        accounts = {row["Code"]: row for row in small.xero["accounts"]}
        assert accounts["200"]["TaxType"] == "OUTPUT2"
        assert accounts["290"]["Status"] == "ARCHIVED"
        assert {accounts[code]["SystemAccount"] for code in ("610", "820", "860")} == {
            "DEBTORS",
            "GST",
            "ROUNDING",
        }
        rates = {row["TaxType"]: row for row in small.xero["tax_rates"]}
        assert rates["TAX001"]["Status"] == "DELETED"
        assert rates["OUTPUT2"]["EffectiveRate"] == 15
        assert rates["OUTPUT2"]["CanApplyToRevenue"] is True
        assert rates["INPUT2"]["CanApplyToRevenue"] is False

    def test_organisation(self, small):
        (organisation,) = small.xero["organisation"]
        assert organisation["Timezone"] == "NEWZEALANDSTANDARDTIME"
        assert (organisation["BaseCurrency"], organisation["CountryCode"]) == ("NZD", "NZ")

    def test_foreign_invoices_name_contacts(self, small):
        contacts = {row["ContactID"] for row in small.xero["contacts"]}
        assert {row["Contact"]["ContactID"] for row in small.xero["invoices"]} <= contacts
        assert len({row["InvoiceNumber"] for row in small.xero["invoices"]}) == len(small.xero["invoices"])


class TestParties:
    def test_most_accounts_match_a_contact_and_some_do_not(self, medium):
        contacts = {row["Name"] for row in medium.xero["contacts"]}
        accounts = {row["name"] for row in medium.sdp["accounts"]}
        assert len(contacts) == 45
        assert len(contacts & accounts) >= 26
        assert len(accounts - contacts) >= 9
        assert {"Fox Street Fitness", "Pāua Jewellery"} <= contacts - accounts

    def test_contact_kinds(self, medium):
        contacts = {row["Name"]: row for row in medium.xero["contacts"]}
        assert sum(row["IsSupplier"] for row in contacts.values()) == 4
        new = [row for row in contacts.values() if not row["IsSupplier"] and not row["IsCustomer"]]
        assert len(new) == 2
        winner = contacts["Tahi Plumbing & Gas Limited"]
        assert contacts["Tahi Plumbing"]["ContactStatus"] == "ARCHIVED"
        assert contacts["Tahi Plumbing"]["MergedToContactID"] == winner["ContactID"]
        assert contacts["Harbour Print"]["ContactStatus"] == "ARCHIVED"

    def test_slots_are_fixed_but_in_no_fixed_order(self, medium):
        orders = Counter()
        for row in medium.xero["contacts"]:
            kinds = tuple(phone["PhoneType"] for phone in row["Phones"])
            assert sorted(kinds) == ["DDI", "DEFAULT", "FAX", "MOBILE"]
            assert sorted(address["AddressType"] for address in row["Addresses"]) == ["POBOX", "STREET"]
            orders[kinds] += 1
        assert len(orders) > 3
        assert any(
            address == {"AddressType": "STREET"}
            for r in medium.xero["contacts"]
            for address in r["Addresses"]
        )

    def test_names_are_legal_and_unique_among_active_contacts(self, medium):
        names = [
            row["Name"].casefold() for row in medium.xero["contacts"] if row["ContactStatus"] == "ACTIVE"
        ]
        assert len(set(names)) == len(names)
        assert all(name == name.strip() and "  " not in name and "<" not in name for name in names)


class TestAwkwardRows:
    """Each row that a bill can trip over is in the small story, under its label."""

    def test_kinds_of_work(self, small):
        items = {row["Name"] for row in small.xero["items"]}
        assert row_of(small, "type_missing")["type_id"] is None
        assert type_name(small, row_of(small, "type_unknown_to_xero")) not in items
        assert type_name(small, row_of(small, "type_item_without_price")) in items
        assert type_name(small, row_of(small, "type_nearly_an_item")) == "After hours support"

    def test_accounts_hard_to_find(self, small):
        by_site = parent_of(small, row_of(small, "account_by_site"))
        assert by_site["account_id"] is by_site["requester_id"] is None
        assert by_site["site_id"]
        by_requester = parent_of(small, row_of(small, "account_by_requester"))
        assert by_requester["account_id"] is by_requester["site_id"] is None
        assert by_requester["requester_id"]
        nothing = parent_of(small, row_of(small, "account_unresolved"))
        assert (nothing["account_id"], nothing["site_id"], nothing["requester_id"]) == (None, None, None)
        assert parent_of(small, row_of(small, "general_task_without_account"))["account_id"] is None

    def test_times(self, small):
        over = row_of(small, "over_midnight_month_end")
        assert local(over["start_time"]).month != local(over["end_time"]).month
        first = row_of(small, "first_of_month_local")
        in_utc = datetime.fromtimestamp(first["start_time"] / 1000, UTC)
        assert (local(first["start_time"]).day, local(first["start_time"]).month) != (
            in_utc.day,
            in_utc.month,
        )
        assert local(first["start_time"]).day == 1
        nowhere = row_of(small, "no_start_no_end")
        assert nowhere["start_time"] is nowhere["end_time"] is None
        assert row_of(small, "zero_minutes")["minutes"] == 0
        span = row_of(small, "shorter_than_its_span")
        assert (span["end_time"] - span["start_time"]) // 60_000 > span["minutes"]
        _, ids = small.awkward["created_in_the_same_instant"]
        same = [row["created_time"] for row in small.sdp["worklogs"] if row["id"] in ids]
        assert len(same) == 2
        assert same[0] == same[1]

    def test_texts(self, small):
        assert "<script>" in row_of(small, "text_html")["description"]
        assert "🎉" in row_of(small, "text_emoji")["description"]
        assert "ō" in row_of(small, "text_macrons")["description"]
        assert len(row_of(small, "text_long")["description"]) == 5000
        assert row_of(small, "text_null")["description"] is None
        assert len(parent_of(small, row_of(small, "subject_long"))["title"]) == 250

    def test_costs_and_billing(self, small):
        assert row_of(small, "costs_absent")["costs"] == "absent"
        assert row_of(small, "costs_null")["costs"] == "null"
        assert row_of(small, "other_cost")["other_cost"] == 15
        assert row_of(small, "not_billable")["is_billable"] is False
        assert row_of(small, "billable_unknown")["is_billable"] is None
        assert row_of(small, "contract_hours")["contract_id"]

    def test_parents(self, small):
        request = parent_of(small, row_of(small, "display_id_differs"))
        assert request["display_id"] != request["id"]
        assert parent_of(small, row_of(small, "request_trashed"))["is_trashed"]
        assert parent_of(small, row_of(small, "request_archived"))["is_archived"]
        late = row_of(small, "request_not_bumped")
        assert parent_of(small, late)["last_updated_time"] < late["created_time"]

    def test_every_module_has_time(self, small):
        tasks = {row["id"]: row["parent_kind"] for row in small.sdp["tasks"]}
        found = {
            tasks[row["parent_id"]] if row["parent_kind"] == "task" else f"on {row['parent_kind']}"
            for row in small.sdp["worklogs"]
        }
        assert found == {
            "on request", "on problem", "on change", "request", "problem", "change", "project", "milestone",
            "general",
        }  # fmt: skip

    def test_one_account_has_many_worklogs(self, small):
        requests = {row["id"]: row["account_id"] for row in small.sdp["requests"]}
        counts = Counter(
            requests.get(row["parent_id"]) for row in small.sdp["worklogs"] if row["parent_kind"] == "request"
        )
        assert counts.most_common(1)[0][1] >= 15

    def test_told_scales_have_them_and_numbers_do_not(self, small):
        assert set(small.awkward) <= set(build(1, "medium", NOW).awkward)
        assert build(1, 500, NOW).awkward == {}
