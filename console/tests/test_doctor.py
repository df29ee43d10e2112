"""``msp-xero doctor``: its judgements, and the whole of it against the local systems."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from msp_xero.billing.reference import Organisation
from msp_xero.edges.certificates import Handshake
from msp_xero.ledger import Ledger
from msp_xero.ledger.models import BillingConnection, Worklog
from msp_xero_console import checks
from msp_xero_console.checks import doors
from msp_xero_console.checks.ledger import bookmarks_of, default_type
from msp_xero_console.checks.machine import space
from msp_xero_console.checks.mapper import mappings, refusals
from msp_xero_console.checks.scene import Scene
from msp_xero_console.project import Mapped, Project
from sqlalchemy import update

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def organisation(zone: str | None = "Pacific/Auckland", locked: date | None = None) -> Organisation:
    return Organisation(
        organisation_id="1",
        name="Demo",
        short_code=None,
        base_currency="NZD",
        zone=ZoneInfo(zone) if zone else UTC,
        zone_name=zone,
        locked_until=locked,
    )


def configured(tmp_path, **configs) -> Project:
    mapping = configs.pop("mapping", {})
    return Project(
        tmp_path, "test", configs={n.replace("_", "-"): c for n, c in configs.items()}, mapping=mapping
    )


SDP = {"base_url": "http://sdp", "auth_token": "k"}
XERO = {"client_id": "c", "client_secret": "s"}


@pytest.mark.parametrize(
    ("plugin", "config", "status", "seen"),
    [
        ("tap-msp-sdp", SDP, "ok", "http://sdp (onprem)"),
        ("tap-msp-sdp", {**SDP, "verify_tls": False}, "warning", "verify_tls is off"),
        ("tap-msp-sdp", {"auth_token": "k"}, "failed", "Setting base_url: is missing."),
        ("tap-xero-lite", XERO, "ok", "client_credentials"),
        ("tap-xero-lite", {"client_id": "c"}, "failed", "Setting client_secret: it is required"),
        ("target-xero-invoices", XERO, "ok", "client_credentials, invoices SDP-… as DRAFT"),
        ("target-xero-invoices", {**XERO, "push": False}, "ok", "push is off"),
        ("target-xero-invoices", {**XERO, "currency_code": "kiwi"}, "failed", "Setting currency_code"),
    ],
)
def test_settings(tmp_path, plugin, config, status, seen) -> None:
    finding = checks.settings_of(configured(tmp_path, **{plugin: config}), plugin)
    assert finding.status == status
    assert seen in finding.seen
    if status == "failed":
        assert finding.advice.startswith("Set it in meltano.yml, or ")
        assert plugin.upper().replace("-", "_") in finding.advice


def test_wrong_settings_are_all_named_and_none_is_shown(tmp_path) -> None:
    config = {"client_id": "c", "client_secret": 987654321, "due_days": "soon", "invoice_status": "PAID"}
    finding = checks.settings_of(configured(tmp_path, target_xero_invoices=config), "target-xero-invoices")
    assert finding.status == "failed"
    assert "Setting client_secret: must be a text." in finding.seen
    assert "Setting due_days: must be a whole number from 0 to 3650." in finding.seen
    assert "Setting invoice_status: must be one of DRAFT, SUBMITTED, AUTHORISED." in finding.seen
    for value in ("987654321", "soon", "PAID"):
        assert value not in finding.seen


@pytest.mark.parametrize(("name", "meant"), [("pussh", "push"), ("invoice_statuss", "invoice_status")])
def test_a_misspelt_setting_of_a_meltano_project_is_pointed_out(empty, name, meant) -> None:
    path = empty.folder / "meltano.yml"
    text = path.read_text().replace("account_code:", f"{name}: DRAFT, stream_maps: {{}}, account_code:")
    path.write_text(f"{text}    settings: [{{name: push}}, {{name: invoice_status}}]\n")
    project = Project.find(environment=None, config=None, shell={})
    finding = checks.settings_of(project, "target-xero-invoices")
    assert finding.status == "failed"
    assert finding.seen == f"Setting {name}: is not known; did you mean {meant}?"


WRONG = {
    "rate_source: charge": "Setting rate_source: must be one of item_price, worklog_charge.",
    "default_worklog_typ: Travel": "is not known; did you mean default_worklog_type?",
    'description_template: "{{ nope"': "Setting description_template: is not a valid Jinja2 template",
    "account_fields: {emailid: EmailAdres}": "did you mean EmailAddress?",
}


def with_mapping(cli, settings: str) -> Project:
    path = cli.folder / "meltano.yml"
    path.write_text(path.read_text().replace("time_zone: Pacific/Auckland", settings))
    return Project.find(environment=None, config=None, shell={})


@pytest.mark.parametrize(("settings", "seen"), WRONG.items(), ids=WRONG)
def test_a_mapping_that_the_mapper_refuses_has_failed(empty, settings, seen) -> None:
    (finding,) = mappings(Scene(with_mapping(empty, settings)))
    assert (finding.subject, finding.status) == ("mapping worklogs-to-lines", "failed")
    assert seen in finding.seen


def test_tonights_run_does_not_work_where_the_mapper_refuses_a_mapping(sandbox, empty) -> None:
    sandbox.connect(empty)
    assert findings(empty, 0)["mapping worklogs-to-lines"]["status"] == "ok"
    with_mapping(empty, "rate_source: charge")
    assert [row["subject"] for row in findings(empty, 1).values() if row["status"] == "failed"] == [
        "mapping worklogs-to-lines"
    ]


def test_the_mapper_itself_is_asked_as_meltano_would_start_it(empty) -> None:
    project = with_mapping(empty, "rate_source: charge, time_zone: Nowhere, since: 2026-01-01")
    (mapping,) = project.mappings.values()
    said = refusals(mapping, project.folder)
    assert said is not None
    assert [one.partition(":")[0] for one in said] == ["Setting since", "Setting rate_source"]
    assert refusals(Mapped(mapping.executable, {"time_zone": "UTC"}), project.folder) == []
    assert refusals(Mapped("no-such-mapper"), project.folder) is None


def test_what_is_no_answer_of_the_mapper_is_told_as_it_is(tmp_path) -> None:
    for script, seen in (
        ("exit 7", "ended with 7"),
        ("echo 'msp-xero-transforms: error: No.' >&2; exit 1", "No."),
    ):
        (tmp_path / "mapper").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "mapper").chmod(0o755)
        (said,) = refusals(Mapped(str(tmp_path / "mapper")), tmp_path) or []
        assert said.endswith(seen)


def test_a_mapper_that_is_not_installed_is_a_warning(empty, monkeypatch) -> None:
    monkeypatch.setattr("msp_xero_console.checks.mapper.refusals", lambda *_: None)
    (finding,) = mappings(Scene(project_of(empty)))
    assert (finding.status, finding.advice) == ("warning", "Install it: `meltano install`.")


def test_meltanos_own_installation_of_the_mapper_comes_first(empty) -> None:
    assert project_of(empty).mappings["worklogs-to-lines"].executable == "msp-xero-transforms"
    installed = empty.folder / ".meltano/mappers/msp-xero-transforms/venv/bin/msp-xero-transforms"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert project_of(empty).mappings["worklogs-to-lines"].executable == str(installed)


def project_of(_cli) -> Project:
    return Project.find(environment=None, config=None, shell={})


HEIRS = """
  - {name: target-msp-sdp-types, inherit_from: target-msp-sdp, config: {match_names: fuzzy}}
  - {name: target-xero-invoices-open, inherit_from: target-xero-invoices, config: {due_days: soon}}
jobs:
- {name: worklog-types, tasks: [[tap-xero-items mapping target-msp-sdp-types]]}
"""


def test_inherited_plugins_that_a_job_starts_are_checked_as_what_they_inherit_from(empty) -> None:
    path = empty.folder / "meltano.yml"
    items = "  - {name: tap-xero-items, inherit_from: tap-xero-lite, config: {client_id: ''}}\n  mappers:"
    path.write_text(path.read_text().replace("  mappers:", items, 1).rstrip() + HEIRS)
    project = project_of(empty)
    assert {name: heir.parent for name, heir in project.heirs.items()} == {
        "tap-xero-items": "tap-xero-lite",
        "target-msp-sdp-types": "target-msp-sdp",
    }
    found = {one.subject: one for one in checks.settings(Scene(project))}
    assert found["target-msp-sdp"].status == found["tap-xero-lite"].status == "ok"
    assert "Setting match_names: must be one of" in found["target-msp-sdp-types"].seen
    assert "TARGET_MSP_SDP_TYPES_MATCH_NAMES in .env" in found["target-msp-sdp-types"].advice
    assert (
        "What an environment says of target-msp-sdp does not reach it."
        in found["target-msp-sdp-types"].advice
    )
    assert found["tap-xero-items"].status == "failed"
    assert "Setting client_id: " in found["tap-xero-items"].seen


def test_a_plugin_that_is_not_there(tmp_path) -> None:
    assert checks.settings_of(configured(tmp_path), "tap-msp-sdp").status == "warning"


@pytest.mark.parametrize(
    ("configs", "subjects"),
    [
        (
            {
                "mapping": {"ledger_url": "sqlite:////l.db"},
                "target_msp_sdp": {"ledger_url": "sqlite:////l.db"},
            },
            [],
        ),
        (
            {"tap_msp_sdp": SDP, "target_msp_sdp": {**SDP, "base_url": "http://other"}},
            ["same base_url", "one ledger"],
        ),
        ({"tap_msp_sdp": SDP, "target_msp_sdp": {**SDP, "base_url": "http://sdp/"}}, ["one ledger"]),
        (
            {"tap_xero_lite": XERO, "target_xero_invoices": {**XERO, "client_id": "d"}},
            ["same client_id", "one ledger"],
        ),
        (
            {
                "target_msp_sdp": {"ledger_url": "sqlite:////a.db"},
                "target_xero_invoices": {"ledger_url": "sqlite:////b.db"},
            },
            ["one ledger"],
        ),
        (
            {"target_msp_sdp": {"connection": "a"}, "target_xero_invoices": {}},
            ["one ledger", "one connection"],
        ),
    ],
)
def test_agreement(tmp_path, configs, subjects) -> None:
    assert [finding.subject for finding in checks.agreement(configured(tmp_path, **configs))] == subjects


def test_different_ledgers_are_shown_without_their_passwords(tmp_path) -> None:
    project = configured(
        tmp_path,
        target_msp_sdp={"ledger_url": "postgresql://u:hidden@db/a?sslpassword=hidden"},
        target_xero_invoices={"ledger_url": "not a url hidden"},
    )
    (finding,) = checks.agreement(project)
    assert finding.status == "failed"
    assert "hidden" not in finding.seen


def test_different_addresses_are_shown_without_their_passwords(tmp_path) -> None:
    project = configured(
        tmp_path,
        tap_msp_sdp={**SDP, "base_url": "https://me:hidden@sdp"},
        target_msp_sdp={**SDP, "base_url": "https://:hidden@sdp"},
    )
    finding = next(iter(checks.agreement(project)))
    assert finding.subject == "same base_url"
    assert "hidden" not in finding.seen


def test_jobs_that_are_switched_off_are_named(tmp_path) -> None:
    project = configured(tmp_path, target_msp_sdp={"accounts_enabled": False, "worklog_types_enabled": False})
    (finding,) = checks.switches(project)
    assert finding.seen == "switched off: accounts, worklog-types"


def test_a_default_worklog_type_that_cannot_be_billed_is_found(tmp_path) -> None:
    def found(name: str) -> list[str]:
        project = configured(tmp_path, mapping={"default_worklog_type": name})
        with Ledger.open("sqlite://") as ledger:
            scene = Scene(project, ledger=ledger)
            before = [one.status for one in default_type(scene)]
            with ledger.write() as session:
                ledger.connection(session).worklog_types_synced_at = NOW
            return before + [one.status for one in default_type(scene)]

    assert found("Nothing") == ["ok", "failed"]
    assert found("") == []


@pytest.mark.parametrize(
    ("ours", "theirs", "status"),
    [
        ("Pacific/Auckland", "Pacific/Auckland", "ok"),
        ("Antarctica/McMurdo", "Pacific/Auckland", "ok"),
        ("UTC", "Europe/London", "warning"),
        (None, "Pacific/Auckland", "warning"),
        ("Mars/Olympus", "Pacific/Auckland", "failed"),
        ("UTC", None, "warning"),
    ],
)
def test_time_zones_are_compared_by_their_clocks_all_year(tmp_path, ours, theirs, status) -> None:
    project = configured(tmp_path, mapping={"time_zone": ours})
    assert checks.time_zone(project, organisation(theirs)).status == status


@pytest.mark.parametrize(
    ("locked", "status"),
    [
        (None, "ok"),
        (date(2026, 11, 21), "ok"),
        (date(2026, 11, 22), "warning"),
        (date(2026, 12, 31), "warning"),
    ],
)
def test_lock_dates(locked, status) -> None:
    assert checks.lock_dates(organisation(locked=locked), NOW).status == status


CHART = [
    {"Code": "200", "Name": "Sales", "Type": "REVENUE", "Class": "REVENUE", "Status": "ACTIVE"},
    {"Code": "290", "Name": "Old", "Class": "REVENUE", "Status": "ARCHIVED"},
    {"Code": "300", "Name": "Costs", "Class": "EXPENSE"},
    {"Code": "090", "Name": "Bank", "Type": "BANK", "Class": "ASSET"},
    {"Code": "820", "Name": "GST", "SystemAccount": "GST"},
]
RATES = [
    {"TaxType": "OUTPUT2", "Name": "15%", "Status": "ACTIVE", "CanApplyToRevenue": True},
    {"TaxType": "INPUT2", "Name": "15%", "CanApplyToRevenue": False},
    {"TaxType": "OLD", "Name": "12.5%", "Status": "DELETED"},
]


@pytest.mark.parametrize(
    ("config", "statuses", "seen"),
    [
        ({}, ["ok", "ok"], "not set: each item's own is used, and items without one are held"),
        ({}, ["ok", "ok"], "not set: each item's own is used, and of items without one the account's"),
        ({"account_code": "200", "tax_type": "OUTPUT2"}, ["ok", "ok"], "200 (Sales)"),
        ({"account_code": "290"}, ["failed", "ok"], "290 (Old) is archived"),
        ({"account_code": "300"}, ["failed", "ok"], "300 (Costs) is not a revenue account"),
        ({"account_code": "090"}, ["failed", "ok"], "cannot be used for sales"),
        ({"account_code": "820"}, ["failed", "ok"], "cannot be used for sales"),
        ({"account_code": "999"}, ["failed", "ok"], "Xero has no 999"),
        ({"tax_type": "INPUT2"}, ["ok", "failed"], "INPUT2 (15%) cannot be used for sales"),
        ({"tax_type": "OLD"}, ["ok", "failed"], "is not active"),
    ],
)
def test_fallbacks(config, statuses, seen) -> None:
    client = SimpleNamespace(accounts=lambda: CHART, tax_rates=lambda: RATES)
    findings = list(checks.fallbacks(config, client))
    assert [finding.status for finding in findings] == statuses
    assert any(seen in finding.seen for finding in findings)
    assert all(
        finding.advice in ("Usable: 200.", "Usable: OUTPUT2.")
        for finding in findings
        if finding.status == "failed"
    )


def findings(cli, code: int) -> dict[str, dict[str, str]]:
    return {row["subject"]: row for row in cli.data("doctor", code=code)}


def test_all_is_well(sandbox, empty) -> None:
    sandbox.connect(empty)
    seen = findings(empty, 0)
    assert {row["status"] for row in seen.values()} == {"ok"}
    assert seen["ServiceDesk Plus for tap-msp-sdp"]["seen"].startswith("answers; first account: ")
    assert seen["ledger"]["seen"].endswith("is not there yet; the first run makes it")
    assert sandbox.writes() == []
    assert "0 failed." in empty.says("doctor")


def test_another_organisation_than_the_ledgers_fails(sandbox, cli) -> None:
    sandbox.connect(cli, pin=False)
    seen = findings(cli, 1)
    assert seen["organisation"]["status"] == "failed"
    assert seen["organisation"]["seen"].startswith(
        "the ledger bills Demo MSP Limited, the credentials lead to "
    )
    assert seen["worklog ids"]["status"] == "warning"


def test_warnings_alone_end_with_3(sandbox, cli) -> None:
    sandbox.connect(cli)
    seen = findings(cli, 3)
    # The fixture's accounts are not the sandbox's, and its runs are of a day in the past.
    assert {subject for subject, row in seen.items() if row["status"] == "warning"} == {
        "worklog ids",
        "last run of accounts",
        "last run of worklogs",
        "ServiceDesk Plus for tap-msp-sdp",
    }
    assert seen["worklog ids"]["status"] == "warning"
    assert (
        "1 account with a link to a contact cannot be seen"
        in seen["ServiceDesk Plus for tap-msp-sdp"]["seen"]
    )
    assert "4 warnings, 0 failed." in cli.says("doctor", code=3)


def test_the_ledger_keeps_its_bytes_and_neither_system_is_written_to(sandbox, cli) -> None:
    sandbox.connect(cli)
    folder = cli.folder / ".msp-xero"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    seen = findings(cli, 3)
    assert seen["organisation"]["seen"] == "the same that the ledger bills"
    assert seen["items of worklog types"]["status"] == "ok"
    after = {path.name: path.read_bytes() for path in folder.iterdir() if "token" not in path.name}
    assert after == before
    assert sandbox.writes() == []


def test_an_older_ledger_is_not_upgraded_by_a_look(sandbox, cli) -> None:
    sandbox.connect(cli)
    path = cli.folder / ".msp-xero" / "ledger.db"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    database.close()
    before = path.read_bytes()
    row = findings(cli, 3)["ledger"]
    assert row["status"] == "warning"
    assert "version 0001; this program brings version" in row["seen"]
    assert "Make a backup" in row["advice"]
    assert path.read_bytes() == before


def test_a_ledger_in_use_is_read_with_its_log(sandbox, cli) -> None:
    sandbox.connect(cli)
    with cli.ledger() as ledger:
        with ledger.write() as session:
            session.execute(update(Worklog).values(ordinal=0).where(Worklog.ordinal == 7))
            session.execute(
                update(BillingConnection).values(organisation_name="Renamed", organisation_id="x")
            )
        assert "the ledger bills Renamed" in findings(cli, 1)["organisation"]["seen"]


def test_refused_credentials_are_one_line_each(sandbox, empty) -> None:
    sandbox.connect(empty)
    path = empty.folder / "meltano.yml"
    path.write_text(path.read_text().replace("sandbox-secret", "wrong").replace("sandbox-authtoken", "wrong"))
    seen = findings(empty, 1)
    failed = {subject for subject, row in seen.items() if row["status"] == "failed"}
    assert failed == {
        "ServiceDesk Plus for tap-msp-sdp",
        "Xero for tap-xero-lite",
        "Xero for target-xero-invoices",
    }
    assert "wrong" not in empty("doctor").output


def test_a_ledger_that_cannot_be_opened_is_a_finding(sandbox, empty) -> None:
    sandbox.connect(empty)
    (empty.folder / ".msp-xero").mkdir(exist_ok=True)
    (empty.folder / ".msp-xero" / "ledger.db").write_text("this is no database, however long it may be " * 50)
    assert findings(empty, 1)["ledger"]["status"] == "failed"


# -------------------------------------------------------------- single judgements


@pytest.mark.parametrize(
    ("free", "status"), [(50_000_000, "failed"), (500_000_000, "warning"), (5_000_000_000, "ok")]
)
def test_space_on_the_disk(free, status) -> None:
    assert space(Path("/data"), free).status == status


@pytest.mark.parametrize(
    ("system", "minutes", "status"),
    [
        ("Xero", 1, "ok"),
        ("Xero", -5, "warning"),
        ("Xero", 9, "failed"),
        ("Xero", -9, "failed"),
        ("ServiceDesk Plus", 9, "warning"),
        ("ServiceDesk Plus", 60 * 24 * 9, "warning"),
    ],
)
def test_clocks(system, minutes, status) -> None:
    finding = doors.clock(system, timedelta(minutes=minutes))
    assert finding.status == status
    assert status == "ok" or ("ahead of" if minutes > 0 else "behind") in finding.seen
    assert doors.clock(system, None) is None


@pytest.mark.parametrize(
    ("hands", "more", "status", "advice"),
    [
        (Handshake(reached=True, is_tls=True, trusted=True), {}, "ok", ""),
        (Handshake(reached=True, is_tls=True, behind_proxy=True), {}, "ok", ""),
        (
            Handshake(reached=True, is_tls=True, problem="self-signed certificate"),
            {},
            "failed",
            "Set ca_bundle",
        ),
        (
            Handshake(reached=True, is_tls=True, problem="unable to get local issuer certificate"),
            {"ca_bundle": "/ca.pem"},
            "failed",
            "ca_bundle holds another authority",
        ),
        (
            Handshake(reached=True, is_tls=True, problem="unable to get local issuer certificate"),
            {"is_public": True},
            "failed",
            "Something between signs it anew",
        ),
        (
            Handshake(reached=True, is_tls=True, trusted=True),
            {"verify_tls": False},
            "warning",
            "It would be trusted",
        ),
        (
            Handshake(reached=True, is_tls=True, problem="self-signed certificate"),
            {"verify_tls": False},
            "warning",
            "Set ca_bundle",
        ),
        (Handshake(reached=True), {}, "warning", "Switch HTTPS on"),
    ],
)
def test_how_a_connection_is_secured(hands, more, status, advice) -> None:
    finding = doors.certificate("X", "http://sdp.example.com", hands, now=NOW, **more)
    assert finding.status == status
    assert finding.advice.startswith(advice)


@pytest.mark.parametrize(
    ("age", "status"),
    [(timedelta(hours=8), "ok"), (timedelta(days=5), "warning"), (-timedelta(days=1), "warning")],
)
def test_the_age_of_bookmarks(cli, age, status) -> None:
    at = (NOW - age).isoformat()
    with cli.ledger() as ledger:
        with ledger.write() as session:
            session.execute(
                update(BillingConnection).values(
                    bookmarks={"requests": {"requests": at}, "tasks": {"x": "2020-01-01"}}
                )
            )
        (finding,) = bookmarks_of(ledger, NOW)
    assert finding.status == status
    assert "requests 2026-11-" in finding.seen


def test_a_check_that_breaks_hides_no_other(sandbox, empty, monkeypatch) -> None:
    def broken(_scene):
        raise ZeroDivisionError

    sandbox.connect(empty)
    first, *rest = checks.CHECKS
    monkeypatch.setattr(checks, "CHECKS", (first, ("stars", broken), *rest))
    seen = findings(empty, 1)
    assert seen["stars"]["seen"].startswith("this check failed itself (ZeroDivisionError)")
    assert seen["call limit of the day"]["status"] == "ok"


def test_progress_is_shown_on_a_terminal_only(sandbox, empty, monkeypatch) -> None:
    sandbox.connect(empty)
    told = []
    list(checks.examine(Project.find(environment=None, config=None, shell={}), tell=told.append))
    assert told[:2] == ["settings", "agreement of the plugins"]
    assert "ServiceDesk Plus for tap-msp-sdp" in told
    assert "Looking" not in empty("doctor").output
