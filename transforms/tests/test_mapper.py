from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal

import jsonschema
import pytest
from msp_xero.errors import InputError, SettingError
from msp_xero.ledger import Ledger
from msp_xero.ledger.lines import Line
from msp_xero.ledger.staging import stage_lines
from msp_xero_transforms.mapper import MspXeroTransforms

STATE = {"type": "STATE", "value": {"bookmarks": {"x": None}, "n": 1}}


def schema(stream, **members):
    return {"type": "SCHEMA", "stream": stream, "schema": {"properties": {}}, "key_properties": [], **members}


def record(stream, **members):
    return {"type": "RECORD", "stream": stream, "record": members}


class FixedClock:
    elapsed = 0.0

    def now(self):
        return datetime(2026, 4, 1, 8, tzinfo=UTC)

    def monotonic(self):
        self.elapsed += 50
        return self.elapsed


class FakeLedger:
    def __init__(self, sources, problem=None):
        self.sources = sources
        self.problem = problem
        self.opened = []

    def default_type_problem(self, name):
        return self.problem and self.problem.format(name=name)

    def unbilled_sources(self):
        yield from self.sources

    def __call__(self, url, connection):
        self.opened.append((url, connection))
        return nullcontext(self if self.sources is not None else None)


# passing on


def test_state_leaves_unchanged_and_in_its_place(run_mapper, load_fixture):
    given = [json.loads(line, parse_float=Decimal) for line in load_fixture("worklogs.singer")]
    mapped = run_mapper(load_fixture("worklogs.singer"))
    names = {"worklogs": "invoice_lines"}
    assert mapped.kinds() == [
        f"{m['type']} {names.get(m.get('stream'), m.get('stream', ''))}".strip() for m in given
    ]
    for before, after in zip(given, mapped.messages, strict=True):
        if before["type"] == "STATE" or before["stream"] == "extraction":
            assert after == before


def test_other_streams_leave_unchanged(run_mapper):
    messages = [
        schema("organisation", bookmark_properties=["a"], extra_member=1),
        {"type": "ACTIVATE_VERSION", "stream": "organisation", "version": 3},
        {
            **record("organisation", a=Decimal("1.10"), b=None),
            "version": 3,
            "time_extracted": "2026-01-01T00:00:00Z",
        },
        {"type": "BATCH", "stream": "organisation", "encoding": {}, "manifest": []},
        STATE,
    ]
    assert run_mapper(messages).messages == messages


def test_versions_follow_the_renamed_stream(run_mapper, worklog):
    messages = [
        schema("worklogs"),
        {**record("worklogs", **worklog()), "version": 3},
        {"type": "ACTIVATE_VERSION", "stream": "worklogs", "version": 3},
    ]
    mapped = run_mapper(messages).messages
    assert [(m["stream"], m.get("version")) for m in mapped] == [
        ("invoice_lines", None),
        ("invoice_lines", 3),
        ("invoice_lines", 3),
    ]


def test_money_and_source_come_out_in_every_digit(run_mapper):
    line = (
        b'{"type":"RECORD","stream":"worklogs","record":{"module":"request","worklog_id":"1","minutes":60,'
        b'"account_id":"1","type_id":"1","start_time":"2026-01-01T00:00:00Z","total_cost":128.1950,'
        b'"extra":{"tiny":0.10000000000000000001,"big":123456789012345678901234567890,"text":"1.10"}}}'
    )
    (out,) = run_mapper([schema("worklogs"), line], {"rate_source": "worklog_charge"}).records(
        "invoice_lines"
    )
    assert str(out["source"]["total_cost"]) == "128.1950"
    assert str(out["source"]["extra"]["tiny"]) == "0.10000000000000000001"
    assert out["source"]["extra"]["big"] == 123456789012345678901234567890
    assert (str(out["quantity"]), str(out["unit_price"]), str(out["amount"])) == (
        "1.0000",
        "128.2000",
        "128.20",
    )


@pytest.mark.parametrize("fixture", ["contacts.singer", "items.singer", "worklogs.singer"])
@pytest.mark.parametrize("rate_source", ["item_price", "worklog_charge"])
def test_records_keep_the_schema_that_goes_before_them(run_mapper, load_fixture, fixture, rate_source):
    validators = {}
    for message in run_mapper(load_fixture(fixture), {"rate_source": rate_source}).messages:
        if message["type"] == "SCHEMA":
            closed = {"additionalProperties": False, **message["schema"]}
            closed.setdefault("type", "object")
            if message["stream"] == "extraction":
                closed["additionalProperties"] = True
            validators[message["stream"]] = jsonschema.Draft7Validator(closed)
            assert set(message["key_properties"]) <= set(message["schema"]["properties"]) | {"run_id"}
        elif message["type"] == "RECORD":
            validators[message["stream"]].validate(message["record"])


def test_no_worklog_is_dropped(run_mapper, load_fixture):
    lines = run_mapper(load_fixture("worklogs.singer")).records("invoice_lines")
    assert [line["worklog_id"] for line in lines] == [str(n) for n in range(1, 15)]
    assert {line["decision"] for line in lines} == {"bill", "hold", "exclude"}
    assert all(line["reason"] and line["reason_code"] for line in lines if line["decision"] != "bill")
    assert all(line["origin"] == "tap" for line in lines)


# what is waiting in the ledger


def test_waiting_worklogs_are_mapped_again_before_those_of_the_tap(run_mapper, worklog):
    ledger = FakeLedger([worklog(worklog_id="7", type_id=None, type_name=None, total_cost="12.50")])
    settings = {
        "ledger_url": "sqlite:///x.db",
        "connection": "nz",
        "default_worklog_type": "Remote",
        "rate_source": "worklog_charge",
    }
    messages = [schema("worklogs"), STATE, record("worklogs", **worklog()), schema("worklogs")]
    mapped = run_mapper(messages, settings, open_ledger=ledger)
    assert mapped.kinds() == [
        "SCHEMA invoice_lines",
        "RECORD invoice_lines",
        "STATE",
        "RECORD invoice_lines",
        "SCHEMA invoice_lines",
    ]
    waiting, fresh = mapped.records("invoice_lines")
    assert (waiting["worklog_id"], waiting["origin"], fresh["origin"]) == ("7", "ledger", "tap")
    assert waiting["worklog_type_name"] == "Remote"
    assert waiting["amount"] == Decimal("12.50")
    assert waiting["source"]["total_cost"] == "12.50"
    assert ledger.opened == [("sqlite:///x.db", "nz")]


def test_before_the_first_run_nothing_waits(run_mapper, worklog):
    ledger = FakeLedger(None)
    messages = [schema("worklogs"), record("worklogs", **worklog())]
    assert (
        len(
            run_mapper(messages, {"ledger_url": "sqlite:///x.db"}, open_ledger=ledger).records(
                "invoice_lines"
            )
        )
        == 1
    )
    assert ledger.opened == [("sqlite:///x.db", "default")]


@pytest.mark.parametrize("messages", [[schema("worklogs")], [schema("contacts"), schema("organisation")]])
def test_the_ledger_is_opened_only_when_it_is_needed(run_mapper, messages):
    ledger = FakeLedger([])
    run_mapper(messages, {} if messages == [schema("worklogs")] else {"ledger_url": "x"}, open_ledger=ledger)
    assert ledger.opened == []


def test_what_a_real_ledger_holds_is_mapped_again(run_mapper, worklog, tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    messages = [schema("worklogs"), record("worklogs", **worklog(type_id=None, type_name=None))]
    settings = {"ledger_url": url, "rate_source": "worklog_charge"}
    assert len(run_mapper(messages, settings).records("invoice_lines")) == 1
    assert not (tmp_path / "ledger.db").exists(), "looking creates nothing"
    (held,) = run_mapper.written.records("invoice_lines")
    with Ledger.open(url) as ledger:
        kept = {name: held[name] for name in ("worklog_id", "module", "decision", "reason_code", "source")}
        stage_lines(ledger, [Line(**kept)], settle_reasons=frozenset())
    (line,) = run_mapper(messages[:1], {**settings, "default_worklog_type": "Remote"}).records(
        "invoice_lines"
    )
    assert (line["origin"], line["decision"], line["worklog_type_name"]) == ("ledger", "bill", "Remote")
    assert line["source"] == held["source"]
    assert str(line["source"]["total_cost"]) == "135.00"


def test_a_stored_worklog_without_key_stays_as_it_is_and_stops_no_other(run_mapper):
    waiting = [{"minutes": 1}, {"module": "request", "worklog_id": "7", "minutes": 1}]
    lines = run_mapper([schema("worklogs")], {"ledger_url": "x"}, open_ledger=FakeLedger(waiting))
    assert [line["worklog_id"] for line in lines.records("invoice_lines")] == ["7"]


# the extent of the items


def test_a_complete_list_of_items_is_followed_by_its_extent(run_mapper, load_fixture):
    mapped = run_mapper(load_fixture("items.singer"), clock=FixedClock())
    assert mapped.kinds()[-3:] == ["STATE", "SCHEMA items_extent", "RECORD items_extent"]
    assert mapped.records("items_extent") == [
        {"kind": "items", "count": 4, "finished_at": "2026-04-01T08:00:00+00:00"}
    ]


def test_an_empty_list_is_complete_too(run_mapper):
    assert run_mapper([schema("items"), STATE]).records("items_extent")[0]["count"] == 0


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [STATE],
        [schema("contacts"), STATE],
        [schema("items")],
        [STATE, schema("items")],
        [schema("items"), STATE, record("items", ItemID="1", Code="A")],
        [schema("items"), STATE, schema("items")],
    ],
)
def test_a_list_that_may_be_cut_has_no_extent(run_mapper, messages):
    assert run_mapper(messages).records("items_extent") == []


def test_an_extent_that_the_tap_sends_is_the_only_one(run_mapper):
    messages = [schema("items"), schema("items_extent"), record("items_extent", kind="items", count=0), STATE]
    assert len(run_mapper(messages).records("items_extent")) == 1


def test_a_list_that_ends_in_an_error_has_no_extent(run_mapper):
    with pytest.raises(InputError):
        run_mapper([schema("items"), STATE, b"{"])
    assert run_mapper.written.records("items_extent") == []


# bad input


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b"{", "is not JSON in UTF-8"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[1]", "is not a Singer message"),
        (b'{"type":5}', "is not a Singer message"),
        (b'{"type":"LOG"}', "messages of type LOG are not supported"),
        ({"type": "RECORD", "record": {}}, "no usable stream"),
        ({"type": "ACTIVATE_VERSION", "version": 1}, "names no stream"),
        ({"type": "RECORD", "stream": "worklogs"}, "no usable record"),
        (record("contacts", ContactID="1"), "is a record of contacts before its schema"),
        (record("worklogs", worklog_id="1"), "is a worklog without a usable module and worklog_id"),
        (record("items", Code="secret"), "is a record of items without a usable ItemID"),
        (record("items", ItemID=" "), "is a record of items without a usable ItemID"),
        ({"type": "BATCH", "stream": "worklogs"}, "is a batch of worklogs"),
    ],
)
def test_what_can_be_neither_mapped_nor_left_out_ends_the_run_before_state(run_mapper, worklog, line, part):
    messages = [schema("worklogs"), schema("items"), record("worklogs", **worklog()), line, STATE]
    with pytest.raises(InputError, match=f"^input line 4.*{part}") as caught:
        run_mapper(messages)
    assert "secret" not in str(caught.value)
    assert "STATE" not in run_mapper.written.kinds()


@pytest.mark.parametrize("order", [("accounts", "contacts"), ("contacts", "accounts")])
def test_a_stream_that_would_mix_with_a_mapped_one_ends_the_run(run_mapper, order):
    with pytest.raises(InputError, match="brings both contacts and accounts; deselect one"):
        run_mapper([schema(stream) for stream in order])


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"half \\ud83d", "half \ufffd"), (b"latin \xe9", "latin \ufffd"), (b"pair \\ud83d\\ude00", "pair 😀")],
)
def test_a_text_in_a_broken_encoding_does_not_stop_the_others(run_mapper, raw, text):
    line = b'{"type":"RECORD","stream":"worklogs","record":{"module":"task","worklog_id":"1","x":"%s"}}'
    mapped = run_mapper([schema("worklogs"), line % raw, STATE])
    assert mapped.records("invoice_lines")[0]["source"]["x"] == text


def test_a_number_that_is_not_one_is_held(run_mapper):
    line = b'{"type":"RECORD","stream":"worklogs","record":{"module":"task","worklog_id":"1","minutes":NaN}}'
    (held,) = run_mapper([schema("worklogs"), line]).records("invoice_lines")
    assert (held["decision"], held["reason_code"]) == ("hold", "INVALID_RECORD")
    assert held["source"]["minutes"] == "NaN"


def test_a_termination_signal_does_not_look_like_success():
    with pytest.raises(SystemExit) as caught:
        MspXeroTransforms(config={})._handle_termination(15, None)
    assert caught.value.code == 143


def test_a_default_type_that_cannot_be_billed_ends_the_run_before_the_first_line(run_mapper, worklog):
    ledger = FakeLedger([worklog()], "there is no worklog type {name}. Linked are: Remote, Training")
    messages = [schema("worklogs"), record("worklogs", **worklog())]
    settings = {"ledger_url": "x", "default_worklog_type": "Remoet"}
    with pytest.raises(SettingError) as raised:
        run_mapper(messages, settings, open_ledger=ledger)
    assert str(raised.value) == (
        "Setting default_worklog_type: there is no worklog type Remoet. Linked are: Remote, Training."
    )
    # Without a default type, without a ledger, and in a mapping of another stream nothing is checked.
    for settings, stream in (
        ({"ledger_url": "x"}, "worklogs"),
        ({"default_worklog_type": "Remoet"}, "worklogs"),
        ({"ledger_url": "x", "default_worklog_type": "Remoet"}, "items"),
    ):
        run_mapper([schema(stream)], settings, open_ledger=ledger)


@pytest.mark.parametrize(("worklogs", "read"), [(0, 0), (1, 1), (5, 2)])
def test_a_short_input_is_read_to_its_end_before_a_default_type_is_refused(
    run_mapper, worklog, monkeypatch, worklogs, read
):
    seen = []
    mapped = MspXeroTransforms.map_record_message
    monkeypatch.setattr(
        MspXeroTransforms, "map_record_message", lambda *given: (seen.append(1), mapped(*given))[1]
    )
    ledger = FakeLedger([], "there is no worklog type {name}")
    messages = [schema("worklogs"), *[record("worklogs", **worklog())] * worklogs]
    with pytest.raises(SettingError):
        run_mapper(
            messages,
            {"ledger_url": "x", "default_worklog_type": "Remoet"},
            open_ledger=ledger,
            clock=FixedClock(),
        )
    assert len(seen) == read
