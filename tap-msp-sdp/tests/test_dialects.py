"""The same worklogs out of the sandbox in all three dialects are the same records (sdp-msp-api §3.2)."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import run, settings

CLOUD = {
    "edition": "cloud",
    "oauth_client_id": "sandbox-client",
    "oauth_client_secret": "sandbox-secret",
    "oauth_refresh_token": "sandbox-refresh",
}
# What a dialect has no word for: it is null or empty there, and stays out of the comparison.
LOST = {
    "new": set(),
    "legacy": {"udf_fields"},
    "cloud": {"udf_fields", "is_billable", "contract_id", "contract_name"},
}
LOST_EXTRA = {"new": set(), "legacy": {"template"}, "cloud": {"template", "billing_hours"}}


def connection(small, dialect: str) -> dict[str, Any]:
    if dialect != "cloud":
        return settings(small)
    return {"base_url": f"{small.url}/app/itdesk", "oauth_url": f"{small.url}/oauth/v2/token", **CLOUD}


def records(small, dialect: str, **switches: str) -> dict[str, dict[str, Any]]:
    small.post("set", {"dialect": dialect, **switches})
    found = run(connection(small, dialect)).records()
    return {record["worklog_id"]: record for record in found}


def plain(record: dict[str, Any], lost: set[str], lost_extra: set[str]) -> dict[str, Any]:
    kept = {name: value for name, value in record.items() if name not in lost}
    kept["extra"] = {n: v for n, v in record["extra"].items() if n not in lost_extra and n != "is_msp"}
    return kept


@pytest.mark.parametrize(
    ("dialect", "switches"),
    [
        ("legacy", {}),
        ("legacy", {"legacy_created": "recorded_time"}),
        ("legacy", {"legacy_time_spent": "milliseconds"}),
        ("cloud", {}),
        ("cloud", {"cost_shape": "object"}),
        ("cloud", {"cost_visible": "null"}),
        ("legacy", {"cost_visible": "off"}),
        ("cloud", {"http_status": "always_200", "error_code_at": "outer"}),
        ("legacy", {"account_on": "none"}),
        ("cloud", {"account_on": "none"}),
        ("cloud", {"account_on": "none", "site_account": "off"}),
    ],
)
def test_all_three_dialects_give_the_same_records(small, dialect, switches):
    shared = {
        name: value
        for name, value in switches.items()
        if name in {"cost_visible", "account_on", "site_account"}
    }
    new = records(small, "new", **shared)
    small.post("reset")
    other = records(small, dialect, **switches)
    assert len(new) > 20
    assert other.keys() == new.keys()
    lost, lost_extra = LOST[dialect], LOST_EXTRA[dialect]
    for identity, record in other.items():
        assert plain(record, lost, lost_extra) == plain(new[identity], lost, lost_extra)
        for name in lost:
            assert record[name] in (None, {}), name


def test_each_dialect_was_really_spoken(small):
    """The comparison above proves nothing unless the wire differed."""
    spoken = {}
    for dialect in ("new", "legacy", "cloud"):
        small.post("reset")
        small.post("set", {"record_bodies": "on"})
        records(small, dialect)
        calls = small.get("calls?bodies=1")
        bodies = [call["response_body"] for call in calls if call["path"].endswith("/worklogs")]
        spoken[dialect] = "".join(body or "" for body in bodies)
    for dialect, word in (("new", '"owner_cost"'), ("legacy", '"technician"'), ("cloud", '"recorded_time"')):
        assert [one for one, text in spoken.items() if word in text] == [dialect]


def test_absent_costs_are_null_and_not_zero_in_each_dialect(small):
    for dialect in ("new", "legacy", "cloud"):
        small.post("reset")
        for record in records(small, dialect, cost_visible="off").values():
            assert record["technician_cost"] is record["other_cost"] is record["total_cost"] is None


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"account_on": "none"},
        {"account_on": "none", "site_account": "off"},
    ],
)
@pytest.mark.parametrize("dialect", ["new", "legacy", "cloud"])
def test_the_account_of_a_request_is_found_by_way_of_site_or_requester(small, dialect, switches):
    expected = {i: w["account_id"] for i, w in small.reachable().items() if w["module"] == "request"}
    taken = {i: r["account_id"] for i, r in records(small, dialect, **switches).items() if i in expected}
    assert sum(account is not None for account in taken.values()) > 50
    assert taken == expected


@pytest.mark.parametrize("dialect", ["new", "legacy", "cloud"])
def test_an_account_that_nobody_tells_is_null_and_never_guessed(small, dialect):
    nobody = {"account_on": "none", "site_account": "off", "requester_account": "off"}
    expected = small.reachable()
    for identity, record in records(small, dialect, **nobody).items():
        assert record["account_id"] in (None, expected[identity]["account_id"])
