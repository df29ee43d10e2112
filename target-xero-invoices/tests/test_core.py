"""The SDK's own tests that apply, and how this target begins and ends."""

from __future__ import annotations

import json

import pytest
from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.suites import SingerTestSuite
from singer_sdk.testing.target_tests import TargetCliPrintsTest, TargetInvalidSchemaTest
from target_xero_invoices.target import TargetXeroInvoices

# This target takes two streams and refuses all others, while the SDK's tests send streams of their own:
#   array_data, camelcase, camelcase_complex_schema, duplicate_records, encoded_string_data,
#   no_primary_keys, optional_attributes, pk_updates, record_missing_fields, record_missing_required_property,
#   schema_no_properties, schema_updates, special_chars_in_attributes: their streams are refused
#     (test_an_unknown_stream_ends_the_run); odd values in ours are in test_lines.py.
#   multiple_state_messages: same, and it is in core/tests/singer/test_standard.py.
#   record_before_schema, record_missing_key_property: the SDK demands its own exceptions, here it is one
#     plain line with the number of the input line (core/tests/singer/test_target.py).
TestStandard = get_target_test_class(
    TargetXeroInvoices,
    config={"client_id": "x", "client_secret": "x", "ledger_url": "sqlite://"},
    include_target_tests=False,
    custom_suites=[SingerTestSuite(kind="target", tests=[TargetCliPrintsTest, TargetInvalidSchemaTest])],
)


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
    again = world.bill(*lines)
    assert (again.code, len(world.invoices()), world.writes()) == (0, 3, 1)
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
