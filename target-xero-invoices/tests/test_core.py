"""The SDK's own tests, and how this target begins and ends."""

from __future__ import annotations

import io
import json

import pytest
from msp_xero.errors import InputError, LedgerError
from msp_xero.singer import target as checkpointing
from singer_sdk.testing import get_target_test_class, target_tests
from singer_sdk.testing.config import SuiteConfig
from singer_sdk.testing.runners import TargetTestRunner
from singer_sdk.testing.suites import SingerTestSuite
from target_xero_invoices import target as target_module
from target_xero_invoices.target import TargetXeroInvoices

AS_THEY_ARE = [target_tests.TargetCliPrintsTest, target_tests.TargetInvalidSchemaTest]
TestStandard = get_target_test_class(
    TargetXeroInvoices,
    config={"client_id": "x", "client_secret": "x", "ledger_url": "sqlite://"},
    include_target_tests=False,
    custom_suites=[SingerTestSuite(kind="target", tests=AS_THEY_ARE)],
)

# All others send streams of their own, which this target refuses: they run on invoice_lines instead.
ON_OUR_STREAM = [
    target_tests.TargetArrayData,
    target_tests.TargetCamelcaseComplexSchema,
    target_tests.TargetCamelcaseTest,
    target_tests.TargetDuplicateRecords,
    target_tests.TargetEncodedStringData,
    target_tests.TargetNoPrimaryKeys,
    target_tests.TargetOptionalAttributes,
    target_tests.TargetPrimaryKeyUpdates,
    target_tests.TargetRecordMissingOptionalFields,
    target_tests.TargetSchemaNoProperties,
    target_tests.TargetSchemaUpdates,
    target_tests.TargetSpecialCharsInAttributes,
]
REFUSED_ON_OUR_STREAM = {
    # The SDK wants its own exceptions here; ours is one plain line with the number of the input line.
    target_tests.TargetRecordBeforeSchemaTest: "a record of stream invoice_lines came before its SCHEMA",
    target_tests.TargetRecordMissingKeyProperty: "input line 2: a record of invoice_lines has no worklog_id",
    # The SDK expects nothing here; worklog_id is what our stream requires.
    target_tests.TargetRecordMissingRequiredProperty: "line 2: a record of invoice_lines has no worklog_id",
}
LEFT_OUT = {
    # It compares texts with objects, so it fails on every target (the SDK's suite leaves it out, too);
    # test_state_passes_once_its_lines_are_stored runs its input.
    target_tests.TargetMultipleStateMessages,
}


def on_our_stream(world, test, modules=None) -> list[dict]:
    """Return the messages of a standard test as messages of invoice_lines."""
    messages = [json.loads(line) for line in test().singer_filepath.read_text().splitlines()]
    for message in messages:
        if message["type"] == "SCHEMA" and message.get("key_properties"):
            message["key_properties"] = ["module", "worklog_id"]
        if message["type"] == "RECORD":
            record = message["record"]
            told = record.get("object_store", {}) | record
            key = next((str(told[name]) for name in ("id", "Id", "_id") if name in told), None)
            line = world.line(0, worklog_id=key, description=record.get("info", "Done"))
            line["module"] = (modules or {}).get(message["stream"], "request")
            message["record"] = record | {name: value for name, value in line.items() if value is not None}
        if message["type"] != "STATE":
            message["stream"] = "invoice_lines"
    return messages


def runner_of(world, messages, **config) -> TargetTestRunner:
    text = "".join(json.dumps(message) + "\n" for message in messages)
    return TargetTestRunner(TargetXeroInvoices, config=world.config(**config), input_io=io.StringIO(text))


def test_every_standard_test_has_its_place():
    listed = [*AS_THEY_ARE, *ON_OUR_STREAM, *REFUSED_ON_OUR_STREAM, *LEFT_OUT]
    every = {
        member
        for member in vars(target_tests).values()
        if isinstance(member, type) and member.__module__ == target_tests.__name__
    }
    assert set(listed) == every
    assert len(listed) == len(every)


@pytest.mark.parametrize("test", ON_OUR_STREAM, ids=lambda test: test.name)
def test_standard_on_our_stream(world, test):
    messages = on_our_stream(world, test)
    test().run(SuiteConfig(), None, runner_of(world, messages))
    sent = {message["record"]["worklog_id"] for message in messages if message["type"] == "RECORD"}
    assert world.states().keys() == sent
    assert {state for state, _ in world.states().values()} <= {"invoiced", "held"}


@pytest.mark.parametrize("test", REFUSED_ON_OUR_STREAM, ids=lambda test: test.name)
def test_standard_refused_on_our_stream(world, test):
    with pytest.raises(InputError, match=REFUSED_ON_OUR_STREAM[test]):
        test().run(SuiteConfig(), None, runner_of(world, on_our_stream(world, test)))


@pytest.mark.parametrize(
    ("checkpoint_rows", "expected"),
    [(0, [(1, 0), (2, 1), (3, 2), (5, 3), (5, 6)]), (1000, [(5, 6)])],
)
def test_state_passes_once_its_lines_are_stored(world, monkeypatch, checkpoint_rows, expected):
    """The input of TargetMultipleStateMessages: the last STATE is complete, and none is early."""
    monkeypatch.setattr(checkpointing, "CHECKPOINT_ROWS", checkpoint_rows)
    stored = []
    write = TargetXeroInvoices._write_state_message

    def watch(target, state):
        modules = [row.module for row in world.worklogs()]
        stored.append((tuple(state.values()), (modules.count("request"), modules.count("problem"))))
        write(target, state)

    monkeypatch.setattr(TargetXeroInvoices, "_write_state_message", watch)
    test = target_tests.TargetMultipleStateMessages
    modules = {"test_multiple_state_messages_a": "request", "test_multiple_state_messages_b": "problem"}
    runner = runner_of(world, on_our_stream(world, test, modules))
    runner.sync_all()
    written = [tuple(state.values()) for state in runner.state_messages]
    assert list(dict.fromkeys(written)) == expected
    for (up_to_a, up_to_b), (request, problem) in stored:
        assert request >= up_to_a
        assert problem >= up_to_b
    assert len(world.worklogs()) == 12


def test_an_unknown_stream_ends_the_run(world, messages):
    done = world.run(messages.schema("worklogs"), messages.state(1))
    assert (done.code, done.states) == (1, [])
    assert "stream worklogs is not for target-xero-invoices, which takes invoice_lines" in done.errors
    assert "worklogs-to-lines" in done.errors


def test_a_record_without_its_key_fails_the_run_before_state_passes_it(world, messages):
    good, bad = world.line(0), world.line(1, worklog_id=None, description="Patient Doe")
    done = world.run(messages.schema(), messages.record(good), messages.record(bad), messages.state(1))
    assert (done.code, done.states, world.writes()) == (1, [], 0)
    assert "input line 3: a record of invoice_lines has no worklog_id" in done.errors
    assert "Doe" not in done.errors


@pytest.mark.parametrize("keys", [[], None, ["id"], ["module"]])
@pytest.mark.parametrize("missing", ["worklog_id", "module"])
def test_the_key_is_required_whatever_the_schema_of_a_tap_names(world, messages, keys, missing):
    line = {name: value for name, value in world.line(0, id=1).items() if name != missing}
    schema = messages.schema() | {"key_properties": keys}
    done = world.run(schema, messages.record(line), messages.state(1))
    assert (done.code, done.states, world.worklogs()) == (1, [], [])
    assert f"error: input line 2: a record of invoice_lines has no {missing}; without its key" in done.errors


def test_a_control_total_needs_no_key(world, messages):
    schema = messages.schema("extraction") | {"key_properties": []}
    total = {"worklogs": {"request": 1}, "minutes": {"request": 45}}
    done = world.run(
        messages.schema(),
        messages.record(world.line(0)),
        schema,
        messages.record(total, "extraction"),
        require_trailer=True,
    )
    assert (done.code, len(world.invoices())) == (0, 1)


def test_a_good_run_acknowledges_then_bills_then_says_so_in_one_line(world):
    done = world.bill(*(world.line(n) for n in range(6)))
    assert (done.code, done.states) == (0, [{"up_to": 1}])
    [summary] = [line for line in done.log.splitlines() if line.startswith("worklogs: ")]
    assert "6 worklogs invoiced on 3 invoices (NZD " in summary
    assert [i["Status"] for i in world.invoices()] == ["DRAFT"] * 3
    [run] = world.runs()
    assert (run.outcome, run.counts["worklogs"], run.counts["delivered"]["new"]) == ("done", 6, 6)
    assert run.calls
    assert "secret" not in json.dumps(run.counts, default=str)


def test_the_same_input_again_bills_nothing(world):
    lines = [world.line(n) for n in range(6)]
    world.bill(*lines)
    writes = world.writes()
    again = world.bill(*lines)
    assert (again.code, len(world.invoices()), world.writes()) == (0, 3, writes)
    assert "nothing new to bill" in again.log


def test_a_failed_settle_keeps_what_is_stored_and_the_next_run_bills_it(world):
    world.faulty.add_faults([{"kind": "revoked", "match": {"path": "/api.xro"}}])
    done = world.bill(world.line(0))
    assert (done.code, done.states) == (1, [{"up_to": 1}])
    [error] = [line for line in done.errors.splitlines() if "error:" in line]
    assert error.startswith("target-xero-invoices: error: Xero: ")
    assert (world.runs()[-1].outcome, world.states()) == ("failed", {"1000": ("open", None)})
    world.faulty.clear_faults()
    assert world.run().code == 0
    assert world.states() == {"1000": ("invoiced", None)}


def test_a_disabled_job_touches_neither_ledger_nor_xero(world):
    done = world.bill(world.line(0), worklogs_enabled=False)
    assert (done.code, done.states, world.worklogs(), world.runs()) == (0, [], [], [])
    assert world.faulty.log.since() == []
    assert "disabled by worklogs_enabled" in done.log
    assert world.bill(world.line(0)).states == [{"up_to": 1}]


def test_with_push_off_lines_and_holds_are_stored_and_xero_gets_nothing(world):
    done = world.bill(world.line(0), world.line(1, account_id="99"), push=False)
    assert (done.code, world.writes(), world.ledger_invoices()) == (0, 0, [])
    assert world.states() == {"1000": ("open", None), "1001": ("held", "ACCOUNT_UNMAPPED")}
    assert "push is off: 1 invoice" in done.log
    assert "none was sent" in done.log


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"number_prefix": "A,B"}, "Setting number_prefix: "),
        ({"currency_code": "nzd"}, "Setting currency_code: "),
        ({"reference_template": "{{"}, "Setting reference_template: "),
        ({"ledger_url": "nonsense"}, "Setting ledger_url: "),
        ({"branding_theme": "Nope"}, "Setting branding_theme: Xero has no branding theme 'Nope'; it has: "),
        ({"tracking": {"Region": "Atlantis"}}, "Setting tracking: Xero has no option 'Atlantis'"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_named_with_an_example(world, config, words):
    done = world.bill(world.line(0), **config)
    assert done.code == 1
    assert words in done.errors
    assert "Example: " in done.errors
    assert world.writes() == 0
    assert "Traceback" not in done.errors


@pytest.mark.parametrize(
    "config",
    [
        {"line_amount_types": "NO_TAX"},
        {"invoice_status": "PAID"},
        {"batch_size": 51},
        {"concurrency": 0},
        {"due_days": -1},
        {"max_lines_per_invoice": 0},
    ],
    ids=lambda config: str(next(iter(config))),
)
def test_a_setting_outside_its_bounds_is_refused_at_the_start(world, config):
    done = world.bill(world.line(0), **config)
    assert done.code != 0
    assert done.states == []
    assert world.writes() == 0


# Terms end to end: our totals are Xero's to the cent


@pytest.mark.parametrize("kind", ["Exclusive", "Inclusive", "NoTax"])
@pytest.mark.parametrize("status", ["DRAFT", "AUTHORISED"])
def test_totals_agree_to_the_cent(world, kind, status):
    prices = [None, 80.1234, 33.3333, 0, 19.99]
    lines = [world.line(n, unit_price=prices[n % 5], quantity=round(0.3333 * (n + 1), 4)) for n in range(15)]
    lines += [world.line(20, amount=100.01), world.line(21, amount=0.01, unit_price=77.77)]
    world.bill(*lines, line_amount_types=kind, invoice_status=status, max_lines_per_invoice=4)
    in_xero = {i["InvoiceNumber"]: i for i in world.invoices()}
    assert sum(len(i["LineItems"]) for i in in_xero.values()) == 17
    for ours in world.ledger_invoices():
        theirs = in_xero[ours.number]
        assert (ours.subtotal, ours.total_tax, ours.total) == (
            theirs["SubTotal"],
            theirs["TotalTax"],
            theirs["Total"],
        )
        assert (ours.xero_total, theirs["Status"], theirs["LineAmountTypes"]) == (ours.total, status, kind)
    assert {state for state, _ in world.states().values()} == {"invoiced"}


def test_tracking_theme_currency_and_due_date_are_on_the_invoice(world):
    [category, *_] = world.rows["tracking_categories"]
    option = category["Options"][0]["Name"]
    theme = world.rows["branding_themes"][-1]
    currency = next(c["Code"] for c in world.rows["currencies"] if c["Code"] != "NZD")
    world.bill(
        world.line(0),
        tracking={category["Name"]: option},
        branding_theme=theme["Name"],
        currency_code=currency,
        due_days=14,
        number_prefix="SDP-X",
        reference_template="{{ hours }} h for {{ account_name }}",
    )
    [invoice] = world.invoices()
    assert (invoice["BrandingThemeID"], invoice["CurrencyCode"]) == (theme["BrandingThemeID"], currency)
    assert invoice["InvoiceNumber"] == "SDP-X00001"
    assert invoice["Reference"].startswith("0.75 h for Account 0 [")
    assert [(t["Name"], t["Option"]) for t in invoice["LineItems"][0]["Tracking"]] == [
        (category["Name"], option)
    ]
    [ours] = world.ledger_invoices()
    assert (ours.due_date - ours.invoice_date).days == 14
    assert ours.total == invoice["Total"] == ours.xero_total


def test_a_currency_that_is_not_enabled_holds_everything(world):
    world.bill(world.line(0), currency_code="CHF")
    assert world.states() == {"1000": ("held", "CURRENCY_NOT_ENABLED")}


def test_a_run_that_fails_while_it_reads_is_on_record_as_failed(world, messages):
    nameless = {"type": "RECORD", "stream": "invoice_lines", "record": {"module": "request"}}
    done = world.run(messages.schema(), messages.record(world.line(0)), messages.state(1), nameless)
    assert done.code == 1
    [run] = world.runs()
    assert (run.job, run.outcome) == ("worklogs", "failed")
    assert run.error in done.errors
    assert "input line 4" in run.error


def test_a_run_that_fails_before_anything_is_stored_makes_no_ledger(world, messages, tmp_path):
    nameless = {"type": "RECORD", "stream": "invoice_lines", "record": {"module": "request"}}
    done = world.run(messages.schema(), nameless, ledger_url=f"sqlite:///{tmp_path}/none/ledger.db")
    assert done.code == 1
    assert not (tmp_path / "none" / "ledger.db").exists()


def test_a_run_that_dies_of_something_unexpected_is_on_record_without_a_word_of_it(world, monkeypatch):
    def broken(*_arguments, **_options):
        raise PermissionError(13, "secret")

    monkeypatch.setattr(target_module, "settle", broken)
    assert world.bill(world.line(0)).code == 1
    [run] = world.runs()
    assert run.outcome == "failed"
    assert run.error.startswith("unexpected PermissionError at broken")
    assert "secret" not in run.error


def test_a_database_that_failed_is_not_waited_for_once_more(world, monkeypatch):
    def broken(*_arguments, **_options):
        raise LedgerError("the ledger cannot be used") from OSError("locked")

    written = []
    monkeypatch.setattr(target_module, "settle", broken)
    monkeypatch.setattr(target_module, "finish_run", lambda *one, **_options: written.append(one))
    done = world.bill(world.line(0))
    assert (done.code, written) == (1, [])
    assert "the ledger cannot be used" in done.errors
