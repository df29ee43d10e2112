from __future__ import annotations

import json
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, FormatChecker
from msp_xero.errors import AccessRefused, InputError, SettingError
from msp_xero.ledger.origin import covers_all_contacts
from msp_xero.xero import XeroClient
from singer_sdk import Stream
from tap_xero_lite.records import shape
from tap_xero_lite.streams import STREAMS, Contacts, Items
from tap_xero_lite.tap import TapXeroLite

ALL = [stream.name for stream in STREAMS]
README = Path(__file__).parents[1] / "README.md"


def between_pages(monkeypatch, path, change, *, after=1):
    """Do ``change`` right after the n-th page of a list was read."""
    read, pages = XeroClient.get, 0

    def get(self, name, *args, **kwargs):
        nonlocal pages
        body = read(self, name, *args, **kwargs)
        if name == path:
            pages += 1
            if pages == after:
                change()
        return body

    monkeypatch.setattr(XeroClient, "get", get)


def test_eight_streams_are_discovered_without_a_call(config, sandbox):
    catalog = TapXeroLite(config={**config, "api_url": "http://127.0.0.1:1/api.xro/2.0"}).catalog_dict
    assert sorted(entry["tap_stream_id"] for entry in catalog["streams"]) == sorted(ALL)
    assert {entry["tap_stream_id"] for entry in catalog["streams"] if entry.get("replication_key")} == {
        "contacts",
        "invoices",
    }


def test_every_row_arrives_in_the_promised_shape(run, sandbox):
    done = run(*ALL)
    expected = {name: len(sandbox.rows(name)) for name in ALL}
    assert {name: len(done.records(name)) for name in ALL} == expected
    schemas = {m["stream"]: m["schema"] for m in done.messages if m["type"] == "SCHEMA"}
    for line in done.lines:
        message = json.loads(line)
        if message["type"] == "RECORD":
            schema = schemas[message["stream"]]
            Draft202012Validator(schema, format_checker=FormatChecker()).validate(message["record"])
            assert message["record"].keys() <= schema["properties"].keys()


def test_one_token_and_one_call_per_list_serve_a_whole_run(run, sandbox):
    run(*ALL)
    assert len(sandbox.calls("/connect/token")) <= 1
    for path in ("Items", "Organisation", "Accounts", "TaxRates", "Contacts", "Invoices"):
        assert len(sandbox.calls(f"/{path}")) == 1, path


def test_money_keeps_every_digit(run, sandbox):
    item = sandbox.rows("items")[0]
    sandbox.row(
        kind="item", action="edit", id=item["ItemID"], values={"SalesDetails": {"UnitPrice": 128.195}}
    )
    done = run("items", "invoices")
    (record,) = [record for record in done.records("items") if record["ItemID"] == item["ItemID"]]
    assert record["SalesDetails"]["UnitPrice"] == "128.1950"
    assert any('"UnitPrice":128.1950' in line for line in done.lines)
    lines = [line for invoice in done.records("invoices") for line in invoice["LineItems"]]
    assert lines
    assert all(len(line["UnitAmount"].partition(".")[2]) == 4 for line in lines)


def test_contacts_come_by_pages_with_archived_and_merged_ones(run, sandbox):
    active = [row for row in sandbox.rows("contacts") if row["ContactStatus"] == "ACTIVE"]
    loser, winner, archived = active[0]["ContactID"], active[1]["ContactID"], active[2]["ContactID"]
    sandbox.row(kind="contact", action="merge", id=loser, values={"into": winner})
    sandbox.row(kind="contact", action="archive", id=archived)
    rows = {row["ContactID"]: row for row in run("contacts", page_size=4).records("contacts")}
    assert len(sandbox.calls("/Contacts")) >= 3
    assert rows.keys() == {row["ContactID"] for row in sandbox.rows("contacts")}
    assert rows[archived]["ContactStatus"] == rows[loser]["ContactStatus"] == "ARCHIVED"
    assert rows[loser]["MergedToContactID"] == winner


@pytest.mark.parametrize("not_modified", ["list", "304"])
def test_a_second_run_brings_only_what_changed_and_keeps_the_bookmark(run, sandbox, not_modified):
    sandbox.control("POST", "set", {"not_modified": not_modified})
    first = run("contacts", "invoices", "items")
    newest = max(record["UpdatedDateUTC"] for record in first.records("contacts"))
    assert first.bookmark("contacts") == newest
    sandbox.control("POST", "clock", {"advance_seconds": 3600})

    quiet = run("contacts", "invoices", "items", state=first.state, overlap_minutes=0)
    assert {record["UpdatedDateUTC"] for record in quiet.records("contacts")} <= {newest}
    assert quiet.bookmark("contacts") == newest
    assert quiet.bookmark("invoices") == first.bookmark("invoices")
    assert len(quiet.records("items")) == len(first.records("items"))  # always whole: there are no tombstones

    changed = first.records("contacts")[3]["ContactID"]
    sandbox.row(kind="contact", action="edit", id=changed, values={"EmailAddress": "new@example.com"})
    third = run("contacts", state=quiet.state)
    assert changed in {record["ContactID"] for record in third.records("contacts")}
    assert len(third.records("contacts")) < len(first.records("contacts"))


def test_the_overlap_reads_before_the_bookmark(run, sandbox):
    first = run("invoices")
    run("invoices", state=first.state, overlap_minutes=30)
    call = sandbox.calls("/Invoices")[-1]
    asked = datetime.fromisoformat({k.lower(): v for k, v in call["headers"].items()}["if-modified-since"])
    bookmark = datetime.fromisoformat(first.bookmark("invoices")).replace(tzinfo=None)
    assert bookmark - asked - timedelta(minutes=30) < timedelta(seconds=1)


def test_start_date_bounds_the_first_run_only(run, sandbox):
    assert run("contacts", start_date="2200-01-01T00:00:00Z").records("contacts") == []


def test_a_bookmark_never_passes_the_start_of_the_run(run, sandbox):
    sandbox.control("POST", "clock", {"advance_seconds": 7200})  # Xero's clock is two hours ahead
    sandbox.row(kind="contact", action="edit", id=sandbox.rows("contacts")[0]["ContactID"], values={})
    done = run("contacts")
    assert done.bookmark("contacts") < max(record["UpdatedDateUTC"] for record in done.records("contacts"))
    assert len(done.bookmark("contacts")) == 27


def test_a_deleted_item_is_missing_from_the_next_list(run, sandbox):
    gone = sandbox.rows("items")[0]["ItemID"]
    first = run("items")
    sandbox.row(kind="item", action="delete", id=gone)
    second = run("items", state=first.state)
    difference = {r["ItemID"] for r in first.records("items")} - {
        r["ItemID"] for r in second.records("items")
    }
    assert difference == {gone}


@pytest.mark.parametrize("action", ["edit", "archive"])
def test_a_contact_that_changes_between_pages_hides_no_other(run, sandbox, monkeypatch, action):
    by_id = sorted(sandbox.rows("contacts"), key=lambda row: row["ContactID"])
    between_pages(
        monkeypatch,
        "Contacts",
        lambda: sandbox.row(kind="contact", action=action, id=by_id[0]["ContactID"], values={}),
    )
    found = [record["ContactID"] for record in run("contacts", page_size=4).records("contacts")]
    assert sorted(found) == [row["ContactID"] for row in by_id]


def test_a_contact_that_is_added_between_pages_is_found(run, sandbox, monkeypatch):
    values = {"ContactID": "00000000-0000-0000-0000-000000000001", "Name": "Aaa"}
    between_pages(
        monkeypatch, "Contacts", lambda: sandbox.row(kind="contact", action="add", values=values), after=2
    )
    found = [record["ContactID"] for record in run("contacts", page_size=4).records("contacts")]
    assert sorted(found) == sorted(row["ContactID"] for row in sandbox.rows("contacts"))


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_invoice_that_changes_between_pages_hides_no_other(run, sandbox, monkeypatch, after):
    first, *_ = sorted(sandbox.rows("invoices"), key=lambda row: row["UpdatedDateUTC"])
    between_pages(
        monkeypatch,
        "Invoices",
        lambda: sandbox.row(
            kind="invoice", action="edit", id=first["InvoiceID"], values={"Reference": "new"}
        ),
        after=after,
    )
    found = [record["InvoiceID"] for record in run("invoices", page_size=2).records("invoices")]
    assert sorted(found) == sorted(row["InvoiceID"] for row in sandbox.rows("invoices"))
    assert len(sandbox.calls("/Invoices")) >= 3


def test_a_short_outage_and_an_expired_token_are_survived(run, sandbox):
    sandbox.faults(
        {"kind": "reset_before", "match": {"method": "GET", "path": "/api.xro/2.0/Items"}, "nth": 1},
        {"kind": "token_expired", "match": {"method": "GET", "path": "/api.xro/2.0/Accounts"}, "nth": 1},
    )
    done = run("items", "accounts")
    assert len(done.records("items")) == len(sandbox.rows("items"))
    assert len(done.records("accounts")) == len(sandbox.rows("accounts"))


def test_a_revoked_connection_ends_the_run(run, sandbox):
    sandbox.faults({"kind": "revoked", "match": {"path": "/api.xro/2.0/Items"}})
    with pytest.raises(AccessRefused, match="tenant_id"):
        run("items")


def test_another_organisation_than_the_wanted_one_ends_the_run(run, sandbox):
    right = sandbox.rows("organisation")[0]["OrganisationID"]
    assert run("items", tenant_id=right.upper()).records("items")
    with pytest.raises((SettingError, AccessRefused), match="tenant_id"):
        run("items", tenant_id="70784a63-d24b-46a9-a4db-0e70a274b056")


def test_full_refresh_of_a_contact_list_by_catalog(run, sandbox, config):
    first = run("contacts")
    tap = TapXeroLite(config=config, state=first.state)
    tap.streams["contacts"].forced_replication_method = "FULL_TABLE"
    assert len(list(tap.streams["contacts"].get_records(None))) == len(first.records("contacts"))
    tap.xero.close()


def test_a_failure_is_one_line(config, sandbox, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config, "client_secret": "wrong", "token_store": str(tmp_path / "t.json")}))
    done = CliRunner().invoke(TapXeroLite.cli, ["--config", str(path)])
    assert done.exit_code == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("tap-xero-lite: error: Xero: client_id or client_secret is not accepted")
    assert "Traceback" not in done.stderr
    assert "wrong" not in done.stderr


def test_flattened_rows_keep_their_digits(run, sandbox):
    done = run("items", flattening_enabled=True, flattening_max_depth=1)
    prices = [record.get("SalesDetails__UnitPrice") for record in done.records("items")]
    assert any(isinstance(price, str) and len(price.partition(".")[2]) == 4 for price in prices)


def test_dates_are_shaped_by_the_schema():
    schema = {
        "properties": {
            "At": {"type": ["string", "null"], "format": "date-time"},
            "Day": {"type": ["string", "null"], "format": "date"},
            "Text": {"type": "string"},
            "Rows": {"type": "array", "items": {"properties": {"Day": {"format": "date"}}}},
        }
    }
    row = {
        "At": "/Date(1789378199100+0000)/",
        "Day": "/Date(1789344000000+0000)/",
        "DateString": "2026-09-14T00:00:00",
        "Text": "/Date(1)/ as somebody wrote it",
        "Rows": [{"Day": "2026-09-14T00:00:00", "ValidationErrors": []}, {"Day": ""}, {"Day": None}],
    }
    assert shape(row, schema, name="test") == {
        "At": "2026-09-14T09:29:59.100000Z",
        "Day": "2026-09-14",
        "Text": "/Date(1)/ as somebody wrote it",
        "Rows": [{"Day": "2026-09-14"}, {"Day": None}, {"Day": None}],
    }


def test_a_date_that_is_none_is_named():
    schema = {"properties": {"At": {"format": "date-time"}}}
    with pytest.raises(InputError, match=r"contacts\.At"):
        shape({"At": "yesterday"}, schema, name="contacts")


def test_the_readme_shows_the_current_settings_and_streams():
    about = CliRunner().invoke(TapXeroLite.cli, ["--about", "--format=markdown"]).stdout
    table = [line for line in about.splitlines() if line.startswith("| ")]
    own = [line for line in table if not line.startswith(("| stream_map", "| faker", "| flattening"))]
    text = README.read_text()
    assert len(own) > 10
    assert "\n".join([own[0], "|:--------|:--------:|:-------:|:------------|", *own[1:]]) in text
    for stream in STREAMS:
        assert f"| `{stream.name}` | {', '.join(f'`{key}`' for key in stream.primary_keys)} |" in text


def test_the_environment_holds_no_settings_of_this_tap():
    assert not [name for name in os.environ if name.startswith("TAP_XERO_LITE_")]


def test_the_first_message_names_the_organisation_and_costs_one_call(run, sandbox):
    [organisation] = sandbox.rows("organisation")
    expected = {name: organisation[name] for name in ("OrganisationID", "Name")}
    done = run("contacts", state={"bookmarks": {}, "organisation": {"OrganisationID": "old", "Name": "Old"}})
    assert done.messages[0]["type"] == "STATE"
    assert done.messages[0]["value"]["organisation"] == expected
    assert done.state["organisation"] == expected
    assert len(sandbox.calls("/Organisation")) == 1


def ends_told_in(messages):
    """Whether each STATE after contacts began says to the target that all of them came."""
    types = [message["type"] for message in messages]
    after = messages[types.index("SCHEMA") :]
    return [covers_all_contacts(message["value"]) for message in after if message["type"] == "STATE"]


def test_the_end_of_contacts_is_told_once_all_came(run, sandbox, monkeypatch):
    monkeypatch.setattr(Contacts, "STATE_MSG_FREQUENCY", 5)
    assert ends_told_in(run("contacts").messages) == [False, False, True, True]
    none = run("contacts", start_date="2099-01-01T00:00:00Z")
    assert (none.records("contacts"), set(ends_told_in(none.messages))) == ([], {True})


def test_the_end_of_contacts_is_told_where_the_bookmark_stays(run):
    """The newest contact comes again; the SDK leaves out a STATE that says what the last one said."""
    first = run("contacts")
    quiet = run("contacts", state=first.state)
    assert (len(quiet.records("contacts")), ends_told_in(quiet.messages)) == (1, [True])
    assert quiet.state == first.state


@pytest.mark.parametrize(("stream", "kind"), [("contacts", Contacts), ("items", Items)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_tap_that_is_stopped_tells_no_end(config, capfdbinary, monkeypatch, stream, kind, number):
    """All rows of a list would be taken for all there are, and the rest for gone from Xero."""
    whole, before = kind.rows, {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def rows(self, since):
        first, *_ = whole(self, since)
        yield first
        os.kill(os.getpid(), number)
        pytest.fail("the signal did not end it")

    monkeypatch.setattr(kind, "rows", rows)
    monkeypatch.setattr(Stream, "STATE_MSG_FREQUENCY", 1)  # of 10,000 rows in earnest
    tap = TapXeroLite(config=config)
    for name, one in tap.streams.items():
        one.selected = name == stream
    try:
        tap._setup_signal_handlers()
        with pytest.raises(SystemExit) as ended:
            tap.sync_all()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    sys.stdout.flush()
    messages = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert ended.value.code == 128 + number
    assert [message["type"] for message in messages] == ["STATE", "SCHEMA", "RECORD"]


def test_the_end_of_contacts_is_not_told_where_xero_fails(run, sandbox, monkeypatch, capfdbinary):
    monkeypatch.setattr(Contacts, "STATE_MSG_FREQUENCY", 5)
    sandbox.faults({"kind": "revoked", "match": {"path": "/api.xro/2.0/Contacts"}, "nth": 3})
    with pytest.raises(AccessRefused):
        run("contacts", page_size=5)
    sys.stdout.flush()
    messages = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert set(ends_told_in(messages)) == {False}


def test_a_login_that_may_not_read_the_organisation_still_reads_contacts(run, sandbox, caplog):
    sandbox.faults(
        {"kind": "status", "status": 403, "match": {"method": "GET", "path": "/api.xro/2.0/Organisation"}}
    )
    done = run("contacts")
    assert done.records("contacts")
    assert done.messages[0] == {"type": "STATE", "value": {"organisation": {}}}  # it begins at the beginning
    assert done.state["organisation"] == {}
    assert "Nobody can check of which organisation these rows are" in caplog.text
