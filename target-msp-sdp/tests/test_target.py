from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import AccessRefused, InputError, SettingError, Unavailable
from msp_xero.ledger.links import link_account
from msp_xero.ledger.runs import last_runs
from target_msp_sdp.target import TargetMspSdp

if TYPE_CHECKING:
    from conftest import Bench, Sandbox


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def summaries(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the info lines that begin with a job's name."""
    return [
        record.message
        for record in caplog.records
        if record.levelno == logging.INFO and record.message.startswith(("accounts", "worklog-types"))
    ]


# ------------------------------------------------------------------------- accounts


def test_the_first_sync_links_and_the_second_creates(
    bench: Bench, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    first = [
        bench.contact("c1", "Ridgeway University"),
        bench.contact("c2", "Pāua Jewellery"),
        bench.contact("c3", "O'Connor Plumbing"),
    ]
    bench.run(("accounts", first))
    assert summaries(caplog)[-1:] == [
        "accounts: 1 linked (1 new), 0 created, 0 updated, 2 unmapped: see msp-xero accounts list --unmapped"
    ]
    assert sandbox.writes() == []
    later = bench.contact("c4", "Weka Cafe", fields={"city": "Nelson", "udf_fields": {"udf_sline_101": "7"}})
    bench.run(("accounts", [later]))
    created = sandbox.rows("accounts")["Weka Cafe"]
    assert (created["city"], created["udf_fields"]) == ("Nelson", {"udf_sline_101": "7"})
    assert bench.links()["c4"].account_id == created["id"]
    assert summaries(caplog)[-1].startswith("accounts: 2 linked, 1 created, 0 updated, 2 unmapped")
    with bench.ledger() as ledger:
        run = last_runs(ledger)["accounts"]
        assert run.outcome == "done"
        assert run.counts is not None
        assert (run.counts["created"], run.calls) == (
            1,
            {"GET accounts": 1, "POST accounts": 1},
        )


def test_an_update_writes_only_what_differs(bench: Bench, sandbox: Sandbox) -> None:
    before = sandbox.rows("accounts")["Ridgeway University"]
    fields = {"city": before["city"], "weburl": "https://new.example", "udf_fields": {"udf_sline_102": "B7"}}
    record = bench.contact("c1", "Ridgeway University", fields=fields)
    sandbox.set(record_bodies="on")
    bench.run(("accounts", [record]), write_link_to="udf_fields.udf_sline_101")
    after = sandbox.rows("accounts")["Ridgeway University"]
    assert after == before | {
        "weburl": "https://new.example",
        "udf_fields": {"udf_sline_101": "c1", "udf_sline_102": "B7"},
    }
    assert sandbox.writes() == [("PUT", f"/api/v3/accounts/{before['id']}")]
    bench.run(("accounts", [record]), write_link_to="udf_fields.udf_sline_101")
    assert len(sandbox.writes()) == 1


def test_archived_and_merged_contacts(bench: Bench, sandbox: Sandbox) -> None:
    bench.run(
        (
            "accounts",
            [
                bench.contact("c1", "Harbour Print", contact_status="ARCHIVED"),
                bench.contact("c2", "Tahi Plumbing", contact_status="ARCHIVED", merged_to_contact_id="c3"),
                bench.contact("c3", "Tahi Plumbing & Gas Limited"),
            ],
        )
    )
    accounts = sandbox.rows("accounts")
    links = bench.links()
    assert links["c1"].account_id == accounts["Harbour Print"]["id"]
    assert (links["c2"].account_id, links["c3"].account_id) == (None, accounts["Tahi Plumbing"]["id"])
    assert sandbox.writes() == []


@pytest.mark.parametrize("case", ["insensitive", "sensitive"])
def test_a_name_that_differs_in_case_is_never_guessed(bench: Bench, sandbox: Sandbox, case: str) -> None:
    sandbox.set(account_names=case)
    bench.run(("accounts", [bench.contact("c1", "Marine Systems")]), unmatched_contacts="create")
    assert sandbox.writes() == []
    assert bench.links()["c1"].candidates == [sandbox.rows("accounts")["MARINE SYSTEMS"]["id"]]
    bench.run(("accounts", []), match_names="normalised")
    assert bench.links()["c1"].state == "linked"
    assert "MARINE SYSTEMS" in sandbox.rows("accounts")


@pytest.mark.parametrize(("error_code_at", "http_status"), [("messages", "real"), ("outer", "always_200")])
def test_a_mandatory_login_url_is_named_and_a_template_fills_it(
    bench: Bench, sandbox: Sandbox, error_code_at: str, http_status: str
) -> None:
    sandbox.set(login_url_mandatory="on", error_code_at=error_code_at, http_status=http_status)
    record = ("accounts", [bench.contact("c1", "Weka Cafe"), bench.contact("c2", "Kea Tours")])
    bench.run(record, unmatched_contacts="create")
    assert "login_url" in (bench.links()["c1"].problem or "")
    with bench.ledger() as ledger:
        assert last_runs(ledger)["accounts"].outcome == "needs_person"
    assert len(sandbox.writes()) == 1
    bench.run(record, unmatched_contacts="create", login_url_template="{slug}.desk.example")
    assert sandbox.rows("accounts")["Kea Tours"]["login_url"] == "kea-tours.desk.example"
    assert bench.links()["c1"].problem is None


def test_a_key_that_sees_less_creates_no_duplicates(bench: Bench, sandbox: Sandbox) -> None:
    names = list(sandbox.rows("accounts"))
    records = [bench.contact(f"c{number}", name) for number, name in enumerate(names)]
    bench.run(("accounts", records), unmatched_contacts="create", auth_token="sandbox-limited-token")
    assert list(sandbox.rows("accounts")) == names
    states = {row.state for row in bench.links().values()}
    assert states == {"linked", "unmapped"}


def test_an_unknown_account_field_fails_before_the_bookmark_moves(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    record = bench.contact("c1", "Ridgeway University", fields={"emailadress": None})
    with pytest.raises(SettingError, match=r"Setting account_fields: .*emailadress does not exist"):
        bench.run(("accounts", [record]), {"bookmarks": {"contacts": 1}})
    assert capsys.readouterr().out == ""
    assert not bench.has_ledger()


def test_a_read_only_account_field_is_named(bench: Bench) -> None:
    fields = {"udf_fields": {"udf_sline_106": "x"}}
    with pytest.raises(SettingError, match=r"account_fields: .*udf_fields.udf_sline_106 is read-only"):
        bench.run(("accounts", [bench.contact("c1", "Ridgeway University", fields=fields)]))


def announced(fields: dict[str, Any], custom: dict[str, Any]) -> str:
    """Return the SCHEMA of accounts as the mapper writes it, with no record behind."""
    inside = {**fields, "udf_fields": {"type": "object", "properties": custom}}
    schema = {"type": "object", "properties": {"fields": {"type": "object", "properties": inside}}}
    message = {
        "type": "SCHEMA",
        "stream": "accounts",
        "schema": schema,
        "key_properties": ["xero_contact_id"],
    }
    return f"{json.dumps(message)}\n"


TEXT, FLAG = {"type": ["string", "null"]}, {"type": ["boolean", "null"]}
NUMBER, TIME = {"type": ["number", "null"]}, {"type": ["string", "null"], "format": "date-time"}


@pytest.mark.parametrize(
    ("fields", "custom", "problem"),
    [
        ({"emailadress": TEXT}, {}, "emailadress does not exist"),
        ({}, {"udf_sline_106": TEXT}, "udf_fields.udf_sline_106 is read-only"),
        ({}, {"udf_double_104": TEXT}, "udf_fields.udf_double_104 takes numbers, not texts"),
        ({}, {"udf_date_105": NUMBER}, "udf_fields.udf_date_105 takes times, not numbers"),
        ({"inactive": TEXT}, {}, "inactive takes true or false, not texts"),
        ({"account_manager": FLAG}, {}, "account_manager takes texts, not true or false"),
    ],
)
def test_a_wrong_map_ends_the_run_before_the_first_record(
    bench: Bench, fields: dict[str, Any], custom: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SettingError, match="Setting account_fields: the account field") as caught:
        bench.run_text(announced(fields, custom))
    assert problem in str(caught.value)
    assert not bench.has_ledger()


def test_a_map_that_fits_is_taken(bench: Bench, sandbox: Sandbox) -> None:
    custom = {"udf_sline_101": NUMBER, "udf_double_104": NUMBER, "udf_date_105": TIME, "udf_sline_102": TIME}
    bench.run_text(announced({"city": TEXT, "landmark": FLAG, "account_manager": TEXT}, custom))
    assert sandbox.writes() == []


def test_settings_that_name_a_field_are_checked_at_start(bench: Bench) -> None:
    with pytest.raises(
        SettingError, match="Setting login_url_field: the account field portal does not exist"
    ):
        bench.run_text(announced({}, {}), login_url_template="{slug}", login_url_field="portal")
    with pytest.raises(
        SettingError, match=r"Setting write_link_to: .*udf_double_104 takes numbers, not texts"
    ):
        bench.run_text(announced({}, {}), write_link_to="udf_fields.udf_double_104")


def test_mandatory_fields_that_nothing_fills_are_named_with_the_setting_that_would(
    bench: Bench, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.set(login_url_mandatory="on", udf_mandatory="on")
    record = bench.contact("c1", "Weka Cafe")
    bench.run(("accounts", [record]), unmatched_contacts="create")
    assert (
        "demands of a new account login_url (Login URL): set login_url_template; "
        "udf_fields.udf_sline_102 (Billing code): map udf_fields.udf_sline_102 in account_fields"
    ) in caplog.text
    problem = bench.links()["c1"].problem or ""
    assert "Set login_url_template; map udf_fields.udf_sline_102 in account_fields." in problem
    mapped = record | {"fields": {"udf_fields": {"udf_sline_102": "B7"}}}
    bench.run(("accounts", [mapped]), unmatched_contacts="create", login_url_template="{slug}.desk.example")
    assert bench.links()["c1"].account_id == sandbox.rows("accounts")["Weka Cafe"]["id"]
    sandbox.set(udf_mandatory="off")


def test_a_hand_made_link_counts_at_the_next_settle(bench: Bench, sandbox: Sandbox) -> None:
    bench.run(("accounts", [bench.contact("c1", "Orlena Greenville Limited", fields={"city": "Nelson"})]))
    account = sandbox.rows("accounts")["Orlena Greenville Ltd"]
    with bench.ledger() as ledger:
        link_account(ledger, "c1", account["id"])
    bench.run(("accounts", []))
    assert sandbox.rows("accounts")["Orlena Greenville Ltd"]["city"] == "Nelson"


def test_a_dry_run_writes_nothing_to_sdp(
    bench: Bench, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    records = [bench.contact("c1", "Ridgeway University", fields={"city": "X"}), bench.contact("c2", "New")]
    bench.run(("accounts", records), {"a": 1}, dry_run=True, unmatched_contacts="create")
    assert sandbox.writes() == []
    assert summaries(caplog) == [
        "accounts (dry run): 1 linked (1 new), 1 would be created, 1 would be updated"
    ]
    bench.run(("accounts", []), unmatched_contacts="create")
    assert len(sandbox.writes()) == 2


# --------------------------------------------------------------------- worklog types


def test_types_are_created_renamed_and_followed_by_item_id(
    bench: Bench, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    items = [bench.item("i1", "Remote support"), bench.item("i2", "Drone survey", description="Per hour")]
    bench.run(("worklog_types", [*items, bench.item("i3", "Cable", is_sold=False)]))
    types = sandbox.rows("worklog_types")
    assert types["Drone survey"]["description"] == "Per hour"
    assert "Cable" not in types
    assert summaries(caplog) == ["worklog-types: 2 linked (1 new), 1 created, 0 updated"]
    bench.run(("worklog_types", [bench.item("i2", "Aerial survey", item_code="AIR")]))
    assert sandbox.rows("worklog_types")["Aerial survey"]["id"] == types["Drone survey"]["id"]


@pytest.mark.parametrize("count", [1, 2])
def test_items_are_gone_only_when_the_list_is_proven_complete(bench: Bench, count: int) -> None:
    items = [bench.item("i1", "Remote support"), bench.item("i2", "Training")]
    bench.run(("worklog_types", items), ("items_extent", [{"kind": "items", "count": 2}]))
    bench.run(("worklog_types", items[:1]), ("items_extent", [{"kind": "items", "count": count}]))
    assert (bench.types()["i2"].gone_at is not None) is (count == 1)
    bench.run(("worklog_types", items[1:]))
    assert bench.types()["i2"].gone_at is None


def test_refused_types_are_listed_and_the_run_ends_well(
    bench: Bench, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.set(worklog_types_write="off")
    bench.run(("worklog_types", [bench.item("i1", "New one"), bench.item("i2", "New two")]))
    assert {row.state for row in bench.types().values()} == {"refused"}
    (summary,) = summaries(caplog)
    assert summary == (
        "worklog-types: 0 linked, 0 created, 0 updated, 2 refused: "
        "a person is needed, see msp-xero types list"
    )
    with bench.ledger() as ledger:
        assert last_runs(ledger)["worklog-types"].outcome == "needs_person"
    sandbox.set(worklog_types_write="on")
    bench.run(("worklog_types", []))
    assert {row.state for row in bench.types().values()} == {"linked"}


# --------------------------------------------------------------- switches, input, state


def test_a_disabled_job_writes_nothing_and_moves_no_bookmark(
    bench: Bench, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    records = ("accounts", [bench.contact("c1", "Ridgeway University"), {"name": "no key"}])
    bench.run(records, {"a": 1}, accounts_enabled=False)
    assert summaries(caplog) == ["accounts: disabled by accounts_enabled; nothing was stored or written"]
    assert capsys.readouterr().out == ""
    assert not bench.has_ledger()
    assert sandbox.control("GET", "calls") == []


def test_a_state_before_the_first_schema_moves_no_bookmark_of_a_disabled_job(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    contact = ("accounts", [bench.contact("c1", "Ridgeway University")])
    bench.run({"old": 1}, contact, {"new": 1}, accounts_enabled=False)
    assert capsys.readouterr().out == ""
    bench.run({"old": 1}, contact, {"new": 1}, worklog_types_enabled=False)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"new": 1}


def test_one_disabled_stream_does_not_hold_up_the_other(
    bench: Bench, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(
        ("accounts", [bench.contact("c1", "Ridgeway University")]),
        ("worklog_types", [bench.item("i1", "Remote support")]),
        {"a": 1},
        worklog_types_enabled=False,
    )
    assert bench.links()["c1"].state == "linked"
    assert bench.types() == {}
    assert capsys.readouterr().out == ""
    assert (
        summaries(caplog)[-1]
        == "worklog-types: disabled by worklog_types_enabled; nothing was stored or written"
    )


def test_without_a_stream_nothing_is_settled(bench: Bench, sandbox: Sandbox) -> None:
    bench.run({"a": 1})
    assert sandbox.control("GET", "calls") == []
    assert not bench.has_ledger()


def test_state_leaves_only_after_the_commit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("msp_xero.singer.target.CHECKPOINT_ROWS", 10)
    stored: list[tuple[Any, int]] = []
    write = TargetMspSdp._write_state_message

    def watch(target: TargetMspSdp, state: dict[str, Any]) -> None:
        stored.append((state["n"], len(bench.links())))
        write(target, state)

    monkeypatch.setattr(TargetMspSdp, "_write_state_message", watch)
    batches = [
        [bench.contact(f"c{batch}-{number}", f"Name {batch} {number}") for number in range(20)]
        for batch in range(2)
    ]
    last = [bench.contact("z", "Last")]
    bench.run(
        ("accounts", batches[0]), {"n": 1}, ("accounts", batches[1]), {"n": 2}, ("accounts", last), {"n": 3}
    )
    assert stored == [(1, 20), (2, 40), (3, 41)]
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [1, 2, 3]


def test_a_failed_settle_keeps_what_was_stored_and_the_next_run_acts_on_it(
    bench: Bench, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = {"kind": "reset_after_commit", "match": {"method": "POST", "path": "/api/v3/accounts"}}
    sandbox.control("POST", "faults", [fault])
    with pytest.raises(Unavailable):
        bench.run(("accounts", [bench.contact("c1", "Weka Cafe")]), {"a": 1}, unmatched_contacts="create")
    assert capsys.readouterr().out == '{"a": 1}\n'
    sandbox.control("DELETE", "faults")
    bench.run(("accounts", []), unmatched_contacts="create")
    assert bench.links()["c1"].account_id == sandbox.rows("accounts")["Weka Cafe"]["id"]
    assert len([call for call in sandbox.writes() if call[0] == "POST"]) == 1


def test_an_invalid_record_is_stored_and_not_acted_on(bench: Bench, sandbox: Sandbox) -> None:
    bench.run(
        ("accounts", [bench.contact("c1", ""), bench.contact("c2", "Weka Cafe", fields={"udf_fields": 5})]),
        ("worklog_types", [bench.item("i1", "Drone survey", unit_price="much")]),
        unmatched_contacts="create",
    )
    assert bench.links()["c1"].problem == "INVALID_RECORD: name is missing"
    assert bench.links()["c2"].problem == "INVALID_RECORD: fields is not an object"
    assert bench.types()["i1"].problem == "INVALID_RECORD: unit_price is not an amount"
    assert sandbox.writes() == []
    with bench.ledger() as ledger:
        assert {run.outcome for run in last_runs(ledger).values()} == {"needs_person"}


@pytest.mark.parametrize("record", [{"name": "x"}, {"xero_contact_id": None}, {"xero_contact_id": ""}])
def test_a_record_without_its_key_fails_with_its_line(bench: Bench, record: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="input line 2: a record of accounts has no xero_contact_id"):
        bench.run(("accounts", [record]), {"a": 1})


@pytest.mark.parametrize(
    ("stream", "key"), [("accounts", "xero_contact_id"), ("worklog_types", "xero_item_id")]
)
@pytest.mark.parametrize("keys", [[], None, ["name"]])
def test_the_key_is_required_whatever_the_schema_of_a_tap_names(
    bench: Bench, stream: str, key: str, keys: list[str] | None
) -> None:
    schema, record = map(json.loads, bench.lines((stream, [{"name": "x"}])).splitlines())
    text = f"{json.dumps(schema | {'key_properties': keys})}\n{json.dumps(record)}\n"
    with pytest.raises(InputError, match=f"input line 2: a record of {stream} has no {key}; without"):
        TargetMspSdp(config=bench.config()).listen(io.StringIO(text))
    assert not bench.has_ledger()


def test_a_record_before_its_schema_is_refused(bench: Bench) -> None:
    record = bench.lines(("accounts", [bench.contact("c", "x")])).splitlines()[1]
    with pytest.raises(InputError, match="before its SCHEMA"):
        TargetMspSdp(config=bench.config()).listen(io.StringIO(record))


def test_an_unknown_stream_is_refused(bench: Bench) -> None:
    with pytest.raises(InputError, match="stream contacts is not for this target; it takes accounts, work"):
        bench.run(("contacts", []))


def test_a_bad_key_says_what_to_do(bench: Bench) -> None:
    with pytest.raises(AccessRefused, match="auth_token"):
        bench.run(("accounts", [bench.contact("c1", "x")]), auth_token="wrong")


@pytest.mark.parametrize(
    ("setting", "value"), [("base_url", "sdp.example.com"), ("login_url_template", "{oops}")]
)
def test_a_wrong_setting_fails_at_start(bench: Bench, setting: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"Setting {setting}: "):
        TargetMspSdp(config=bench.config(**{setting: value}))


def test_the_readme_lists_every_setting() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    properties = TargetMspSdp.config_jsonschema["properties"]
    missing = [name for name in properties if f"| `{name}` |" not in readme]
    assert missing == []
    for told in properties.values():
        assert told["description"].endswith((".", ".`"))
        assert told["title"]


def test_capabilities_promise_only_what_is_kept() -> None:
    assert [capability.value for capability in TargetMspSdp.capabilities] == ["about", "structured-logging"]
