"""A person stops a push because it is wrong, corrects what was wrong, and runs again."""

from __future__ import annotations

from datetime import date

import pytest
from msp_xero.billing.recover import take_back
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.ledger.decisions import Refusal, exclude_worklog
from msp_xero.ledger.models import AccountLink, Worklog
from sqlalchemy import select, update

from core.tests.billing.test_earlier_lives import copy
from core.tests.billing.test_old_copies import (
    finds_out_that_another_ledger_sent_it,
    forget_that_it_was_sent,
)
from core.tests.billing.test_strangers import PUT

DAY = 86_400


def sent(world, name):
    return [row[name] for row in sorted(world.ours(), key=lambda row: row["InvoiceNumber"])]


def numbers(world):
    return sent(world, "InvoiceNumber")


def test_what_is_as_it_would_be_planned_now_goes_out_as_it_is(stopped):
    world = stopped()
    world.clock.advance(6 * DAY)
    world.settle()
    assert numbers(world) == ["SDP-00001", "SDP-00002", "SDP-00003"]
    world.assert_exactly_once(9)


@pytest.mark.parametrize(
    ("before", "now", "name"),
    [
        ({"invoice_status": "AUTHORISED"}, {"invoice_status": "DRAFT"}, "Status"),
        ({"line_amount_types": "Inclusive"}, {"line_amount_types": "Exclusive"}, "LineAmountTypes"),
    ],
)
def test_the_settings_of_now_count(stopped, before, now, name):
    world = stopped(**before)
    world.settle(**now)
    assert sent(world, name) == [*before.values(), *now.values(), *now.values()]
    assert numbers(world) == ["SDP-00001", "SDP-00004", "SDP-00005"]
    world.assert_exactly_once(9)


def test_the_prefix_of_now_counts(stopped):
    world = stopped()
    settled = world.settle(number_prefix="MSP-")
    assert (settled.invoices, numbers(world)) == (2, ["MSP-00004", "MSP-00005", "SDP-00001"])


def test_the_contact_that_is_linked_now_counts_and_no_other_call_is_taken_back(stopped):
    world = stopped()
    right = world.contacts[7]["ContactID"]
    with world.ledger.write() as session:
        session.execute(update(AccountLink).where(AccountLink.account_id == "2").values(contact_id=right))
    world.settle()
    assert numbers(world) == ["SDP-00001", "SDP-00002", "SDP-00004"]
    assert sent(world, "Contact")[-1]["ContactID"] == right
    world.assert_exactly_once(9)


def test_a_contact_that_was_archived_since_holds_its_hours_before_xero_refuses_them(stopped):
    world = stopped()
    contact_id = world.contacts[2]["ContactID"]
    world.person("contact", "archive", contact_id)
    settled = world.settle()
    assert (settled.rejected, settled.invoices) == (0, 1)
    assert {code for code in world.reasons().values() if code} == {"CONTACT_ARCHIVED"}


def test_an_edit_before_the_invoice_leaves_is_billed(stopped):
    world = stopped()
    source = {"worklog_id": "1002", "module": "request", "minutes": 90}
    edited = world.line(2, minutes=90, source=source)
    world.deliver(edited)
    assert world.settle().worklogs == 5
    assert {worklog: code for worklog, code in world.reasons().items() if code} == {
        "1002": "CHANGED_AFTER_BILLING"
    }
    world.deliver(edited)
    settled = world.settle()
    assert (settled.worklogs, settled.minutes) == (1, 90)
    world.assert_exactly_once(9)


def test_an_invoice_that_waited_for_long_is_dated_anew(stopped):
    world = stopped()
    world.clock.advance(40 * DAY)
    world.deliver(*(world.line(n) for n in range(9)))
    world.settle()
    today = world.time.now().date()
    assert {date.fromisoformat(day[:10]) for day in sent(world, "DateString")[1:]} <= {
        today,
        date.fromordinal(today.toordinal() + 1),  # it is tomorrow in New Zealand already
    }
    world.assert_exactly_once(9)


def test_what_was_sent_and_proven_missing_keeps_its_bytes(stopped):
    world = stopped(invoice_status="AUTHORISED")
    world.fail({"kind": "reset_before", "match": PUT, "times": 100})
    world.settle(invoice_status="AUTHORISED")
    world.recover()
    world.settle(invoice_status="DRAFT")
    assert "AUTHORISED" in sent(world, "Status")[1:]
    world.assert_exactly_once(9)


def test_with_push_off_nothing_is_taken_back(stopped):
    world = stopped(invoice_status="AUTHORISED")
    said = world.settle(push=False).sentence()
    assert "2 invoices with 6 worklogs over NZD" in said
    assert said.count("a run does once push is on") == 1
    assert [row.state for row in world.ledger_invoices()] == ["created", "planned", "planned"]


def rows(world, state):
    with world.ledger.read() as session:
        return list(session.scalars(select(Worklog.id).where(Worklog.state == state).order_by(Worklog.id)))


def test_a_person_can_exclude_what_has_not_left(stopped):
    world = stopped()
    wrong = rows(world, "planned")[0]
    with pytest.raises(Refusal, match="is on an invoice that is about to be sent"):
        exclude_worklog(world.ledger, wrong, "wrong")
    assert take_back(world.ledger, world.client(), wrong, number_prefix="SDP-")
    exclude_worklog(world.ledger, wrong, "wrong")
    assert world.settle().worklogs == 5
    assert rows(world, "excluded") == [wrong]
    assert world.states() == {"invoiced": 8, "excluded": 1}


def test_what_nobody_answered_for_is_not_taken_back(stopped):
    world = stopped()
    look_up = {"method": "GET", "query": {"InvoiceNumbers": "SDP-00002"}}
    world.fail(
        {"kind": "reset_after_commit", "match": PUT, "times": 1},
        {"kind": "status", "status": 404, "match": look_up, "times": 100},
    )
    world.settle()
    assert [row.number for row in world.ledger_invoices() if row.state == "unknown"] == ["SDP-00002"]
    world.recover()
    for row in rows(world, "planned"):
        assert not take_back(world.ledger, world.client(), row, number_prefix="SDP-")
        with pytest.raises(Refusal, match="about to be sent"):
            exclude_worklog(world.ledger, row, "wrong")
    world.settle()
    world.assert_exactly_once(9)


def test_what_was_sent_and_proven_missing_stays_planned_for_an_hour(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n, account=0) for n in range(3)))
    world.fail({"kind": "reset_before", "match": PUT, "times": 100})
    world.settle()
    world.recover(seconds=600)
    assert not take_back(world.ledger, world.client(), rows(world, "planned")[0], number_prefix="SDP-")
    assert [row.state for row in world.ledger_invoices()] == ["planned"]


@pytest.fixture
def sent_by_another_copy(sqlite_world):
    """A world whose ledger is put back to before its one invoice was sent, and that invoice."""
    world = sqlite_world
    world.deliver(*(world.line(n, account=0) for n in range(3)))
    world.settle(invoice_status="AUTHORISED")
    [sent] = world.ours()
    forget_that_it_was_sent(world)
    world.clock.advance(3600)
    return world, sent


@pytest.mark.parametrize("action", [None, "void", "renumber"])
def test_what_another_copy_of_the_ledger_has_sent_is_not_taken_back(sent_by_another_copy, action):
    world, sent_invoice = sent_by_another_copy
    if action == "renumber":
        world.person("invoice", "edit", sent_invoice["InvoiceID"], InvoiceNumber="INV-9001")
    elif action:
        world.person("invoice", action, sent_invoice["InvoiceID"])
    assert not take_back(world.ledger, world.client(), rows(world, "planned")[0], number_prefix="SDP-")


@pytest.mark.parametrize("days", [6, 9])
def test_what_another_copy_of_the_ledger_sent_and_a_person_voided_is_not_billed_again(
    sent_by_another_copy, days
):
    world, sent_invoice = sent_by_another_copy
    world.person("invoice", "void", sent_invoice["InvoiceID"])
    world.clock.advance(days * DAY)
    finds_out_that_another_ledger_sent_it(world)
    world.settle(invoice_status="DRAFT")
    assert world.ours() == []
    assert world.states() == {"invoiced": 3}


@pytest.mark.parametrize("edit", [{"minutes": 90}, {"minutes": 45, "tags": ["seen"]}])
def test_a_changed_line_of_another_tap_goes_out_as_it_was_planned(stopped, edit):
    def toggl(number, minutes, **more):
        source = {"worklog_id": f"T{number}", "module": "toggl", "minutes": minutes, **more}
        return world.line(number, worklog_id=f"T{number}", module="toggl", minutes=minutes, source=source)

    world = stopped()
    world.settle()
    world.deliver(*(toggl(number, 45) for number in range(3)))
    one_by_one = BillingSettings(batch_size=1, concurrency=1)
    settle(world.ledger, world.client(), one_by_one, stop_requested=lambda: world.writes() == 4)
    world.deliver(toggl(2, **edit))
    world.settle()
    assert world.states() == {"invoiced": 12}


def test_a_number_that_somebody_else_holds_lets_no_other_go_out_uncorrected(stopped):
    world = stopped(invoice_status="AUTHORISED")
    world.write_by_hand("SDP-00002")
    world.clock.advance(60)
    world.settle(invoice_status="DRAFT")
    assert sorted(sent(world, "Status")) == ["AUTHORISED", "DRAFT", "DRAFT"]
    world.assert_exactly_once(9)


def test_a_deleted_trial_with_its_number_lets_it_not_go_out_uncorrected(begun_anew):
    world = begun_anew("DRAFT", "delete")
    wrong = BillingSettings(batch_size=1, concurrency=1, invoice_status="AUTHORISED")
    settle(world.ledger, world.client(), wrong, stop_requested=lambda: True)
    world.clock.advance(3600)
    assert take_back(world.ledger, world.client(), rows(world, "planned")[0], number_prefix="SDP-")
    world.settle(invoice_status="DRAFT")
    assert set(sent(world, "Status")) == {"DRAFT"}
    world.assert_exactly_once(6)


@pytest.mark.parametrize("behind", ["", " PO 4711"])
def test_every_invoice_of_a_call_tells_that_a_newer_ledger_has_sent_it(sqlite_world, tmp_path, behind):
    """The first one was refused there, the others were made, and a person has voided them."""
    world = sqlite_world
    world.deliver(*(world.line(n) for n in range(9)))
    client, authorised = world.client(), BillingSettings(invoice_status="AUTHORISED")
    settle(world.ledger, client, authorised, stop_requested=lambda: True)
    backup = tmp_path / "backup.db"
    copy(world.ledger.engine.url.database, backup)
    send = client.put_invoices

    def send_after_the_first_contact_is_archived(body, *, idempotency_key):
        if b"SDP-00001" in body:
            world.person("contact", "archive", world.contacts[0]["ContactID"])
        return send(body, idempotency_key=idempotency_key)

    client.put_invoices = send_after_the_first_contact_is_archived
    settled = settle(world.ledger, client, authorised)
    assert (settled.invoices, settled.rejected) == (2, 1)
    world.clock.advance(3600)
    for one in world.ours():
        world.person("invoice", "edit", one["InvoiceID"], Reference=one["Reference"] + behind)
        world.person("invoice", "void", one["InvoiceID"])
    world.clock.advance(8 * DAY)
    copy(backup, world.ledger.engine.url.database)
    finds_out_that_another_ledger_sent_it(world)
    world.settle()
    assert world.ours() == []


def test_a_changed_line_of_another_tap_keeps_its_call_from_being_taken_back(sqlite_world):
    def toggl(number, minutes):
        source = {"worklog_id": f"T{number}", "module": "toggl", "minutes": minutes}
        return world.line(number, worklog_id=f"T{number}", module="toggl", minutes=minutes, source=source)

    world = sqlite_world
    world.deliver(*(toggl(number, 45) for number in range(9)))
    settle(world.ledger, world.client(), BillingSettings(), stop_requested=lambda: True)
    world.deliver(toggl(2, 90))
    planned = rows(world, "planned")
    assert not take_back(world.ledger, world.client(), planned[1], number_prefix="SDP-")
    world.settle()
    assert world.states() == {"invoiced": 9}
