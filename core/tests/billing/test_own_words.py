"""What a run says of what it did is true, and one account's trouble is no other's."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from msp_xero.billing.recover import reconcile
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.errors import DayLimitReached, Missing, SettingError

from core.tests.billing.test_day_limit import calls_today
from core.tests.billing.test_strangers import PUT, sent_without_an_answer

HOUR = 3600


@pytest.mark.parametrize(
    "template",
    [
        "{{ account_name[0] }}",
        "{{ contact_name.split('-')[0] }} {{ account_name.split()[0] }}",
        "{{ hours }}{% if lines > 1 %} {{ mistake }}{% endif %}",
    ],
)
def test_a_template_that_fails_for_some_accounts_is_refused_at_start(template):
    with pytest.raises(SettingError, match="reference_template: the template does not work"):
        BillingSettings.from_config({"reference_template": template})


def test_a_template_that_fails_later_is_named_without_any_words_of_the_account(sqlite_world):
    world = sqlite_world
    world.deliver(world.line(0, account=0, account_name="Acme"))
    template = "{% if account_name|length > 1 %}{{ account_name.index('§') }}{% endif %}"
    with pytest.raises(SettingError, match=r"reference_template: the template fails \(ValueError\)") as error:
        world.settle(reference_template=template)
    assert "Acme" not in str(error.value)


@pytest.mark.parametrize("account", [0, 99])
def test_a_line_that_is_no_money_stops_no_other(sqlite_world, account):
    world = sqlite_world
    absurd = {"quantity": Decimal(9_000_000_000), "unit_price": Decimal(9_000_000_000)}
    world.deliver(world.line(1, account=1), world.line(0, account=account, **absurd))
    assert world.settle().worklogs == 1
    assert world.states() == {"invoiced": 1, "held": 1}


def test_a_call_that_is_answered_404_for_one_invoice_stops_no_other_account(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n) for n in range(9)))
    of_one = {**PUT, "contains": "SDP-00002"}
    world.fail({"kind": "status", "status": 404, "body": "", "match": of_one, "times": 100})
    settled = world.settle()
    assert (settled.invoices, settled.rejected) == (2, 1)
    assert {code for code in world.reasons().values() if code} == {"REJECTED_BY_XERO"}
    world.recover()
    world.clock.advance(25 * HOUR)
    world.settle()
    world.assert_exactly_once(9)


def test_a_spell_of_404_holds_nobodys_hours(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n) for n in range(9)))
    page = {"kind": "status", "status": 404, "body": "<html>not found</html>"}
    world.fail({**page, "match": PUT, "nth": 2, "times": 50})
    with pytest.raises(Missing):
        world.settle(batch_size=1, concurrency=1)
    assert world.states() == {"invoiced": 3, "planned": 6}
    world.recover()
    assert world.settle().worklogs == 6
    world.assert_exactly_once(9)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("The document date cannot be before the period lock date", "PERIOD_LOCKED"),
        ("Organisation is not subscribed to currency AUD", "CURRENCY_NOT_ENABLED"),
    ],
)
def test_what_was_refused_for_the_books_is_billed_once_they_allow_it(sqlite_world, message, code):
    world = sqlite_world
    world.deliver(*(world.line(n) for n in range(9)))
    words = {"ValidationErrors": [{"Message": message}]}
    body = json.dumps({"Type": "ValidationException", "Message": "No", "Elements": [words]})
    world.fail({"kind": "status", "status": 400, "body": body, "match": PUT, "times": 100})
    world.settle()
    assert set(world.reasons().values()) == {code}
    world.recover()
    world.clock.advance(HOUR)
    assert world.settle().worklogs == 9


def test_a_warning_of_xero_is_kept_with_the_invoice(sqlite_world):
    world = sqlite_world
    world.deliver(world.line(0))
    client = world.client()
    send = client.put_invoices

    def send_and_be_warned(body, *, idempotency_key):
        rows = send(body, idempotency_key=idempotency_key)
        return [row | {"Warnings": [{"Message": "Account code '200' has been removed."}]} for row in rows]

    client.put_invoices = send_and_be_warned
    settle(world.ledger, client, BillingSettings())
    [invoice] = world.ledger_invoices()
    assert (invoice.state, invoice.reason) == ("created", "Xero warns: Account code '200' has been removed.")


def test_a_draft_that_was_deleted_before_the_look_up_is_not_told_as_billed(sqlite_world):
    world = sqlite_world
    sent = sent_without_an_answer(world)
    world.person("invoice", "delete", sent["InvoiceID"])
    world.clock.advance(HOUR)
    settled = world.settle()
    assert (settled.invoices, settled.worklogs) == (0, 0)
    assert "nothing new to bill" in settled.sentence()


def test_a_reconcile_leaves_the_days_reserve_alone(sqlite_world):
    world = sqlite_world
    world.xero.set_switch("day_limit", "130")
    world.deliver(*(world.line(n, account=0) for n in range(60)))
    assert world.settle(max_lines_per_invoice=1, batch_size=1).outcome == "stopped"
    spent = len(calls_today(world))
    for _ in range(10):
        world.clock.advance(120)
        with pytest.raises(DayLimitReached):
            reconcile(world.ledger, world.client(), number_prefix="SDP-")
    assert len(calls_today(world)) == spent


def test_a_reconcile_remembers_what_it_learns_of_the_day(sqlite_world):
    world = sqlite_world
    world.settle()

    def left():
        with world.ledger.read() as session:
            return world.ledger.connection(session).day_calls_remaining

    before = left()
    found = reconcile(world.ledger, world.client(), number_prefix="SDP-")
    assert 0 < before - left() <= sum(found.calls.values())
