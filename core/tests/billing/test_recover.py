"""Reconcile: unknown outcomes are settled and states refreshed, and nothing is sent."""

from __future__ import annotations

import pytest
from msp_xero.billing.memory import remembered
from msp_xero.billing.recover import reconcile
from msp_xero.errors import BilledElsewhere, DayLimitReached, LedgerError, Unavailable
from msp_xero.ledger.models import Base, Invoice, PushBatch
from sqlalchemy import update

from core.tests.billing.test_stuck import unanswered

PUT = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}
LOOK = {"method": "GET", "path": "/api.xro/2.0/Invoices"}


def pretend_not_to_know(world):
    with world.ledger.write() as session:
        values = {"state": "sending", "xero_id": None, "xero_status": None, "xero_total": None}
        session.execute(update(Invoice).values(values))
        session.execute(update(PushBatch).values(state="sending", attempts=1))
        session.execute(update(Base.metadata.tables["worklog"]).values(state="planned"))
    return world


def reconciled(world):
    return reconcile(world.ledger, world.client(), number_prefix="SDP-")


def test_what_is_there_is_adopted_and_what_is_missing_is_planned_and_not_sent(world):
    world.deliver(*(world.line(n) for n in range(6)))
    world.fail({"kind": "rate_day", "retry_after": 60, "match": PUT})
    world.settle(batch_size=1, concurrency=1)
    world.recover()
    pretend_not_to_know(world)
    writes = world.writes()
    found = reconciled(world)
    assert (found.adopted, found.planned_again, found.unknown, found.outcome) == (0, 3, 0, "done")
    assert world.writes() == writes
    assert world.states() == {"planned": 6}
    assert {i.state for i in world.ledger_invoices()} == {"planned"}
    world.settle()
    world.assert_exactly_once(6)

    pretend_not_to_know(world)
    writes = world.writes()
    found = reconciled(world)
    assert (found.adopted, found.planned_again, found.refreshed) == (3, 0, 0)
    assert world.writes() == writes
    world.assert_exactly_once(6)


def test_an_adopted_invoice_that_is_not_as_it_was_sent_needs_a_person(world):
    world.deliver(*(world.line(n, account=0) for n in range(3)))
    world.settle()
    pretend_not_to_know(world)
    [made] = world.ours()
    contact = {"ContactID": world.contacts[7]["ContactID"]}
    world.person("invoice", "edit", made["InvoiceID"], Contact=contact)
    found = reconciled(world)
    assert (found.adopted, found.differing, found.outcome) == (1, ["SDP-00001"], "needs_person")
    assert found.counts()["differing"] == 1


def test_what_people_did_is_learnt_and_nothing_new_is_planned(world):
    world.deliver(*(world.line(n) for n in range(3)))
    world.settle(invoice_status="AUTHORISED")
    world.clock.advance(3600)
    paid, voided, _ = world.invoices()
    world.person("invoice", "pay", paid["InvoiceID"])
    world.person("invoice", "void", voided["InvoiceID"])
    world.deliver(world.line(9))
    writes = world.writes()
    found = reconciled(world)
    assert found.counts() == {
        "refreshed": 2,
        "adopted": 0,
        "planned_again": 0,
        "rejected": 0,
        "unknown": 0,
        "conflicts": 0,
        "differing": 0,
    }
    assert sorted(i.state for i in world.ledger_invoices()) == ["created", "paid", "voided"]
    assert (world.writes(), world.states()) == (writes, {"invoiced": 3, "open": 1})
    assert reconciled(world).refreshed == 0


SOMEBODY = {"Contact": 5, "UnitAmount": 5}
"""Another customer, and another amount."""


@pytest.mark.parametrize(
    ("changes", "text", "counted", "state"),
    [
        (SOMEBODY, "x", "rejected", "held"),
        (SOMEBODY, "x (SDP request worklog 9)", "conflicts", "planned"),
        ({}, "x", "conflicts", "planned"),
    ],
    ids=["somebody", "msp-xero", "ours-rewritten"],
)
def test_a_number_that_another_invoice_has_needs_a_person(world, changes, text, counted, state):
    world.deliver(world.line(0))
    world.settle()
    [made] = world.ours()
    pretend_not_to_know(world)
    line = {**made["LineItems"][0], "Description": text}
    values = {"Reference": "x", "LineItems": [line]}
    if changes:
        line["UnitAmount"] = changes["UnitAmount"]
        values["Contact"] = {"ContactID": world.contacts[changes["Contact"]]["ContactID"]}
    world.person("invoice", "edit", made["InvoiceID"], **values)
    world.clock.advance(3600)
    found = reconciled(world)
    assert (getattr(found, counted), found.adopted, found.outcome) == (1, 0, "needs_person")
    assert world.states() == {state: 1}


def test_another_organisation_is_refused(world):
    with world.ledger.write() as session:
        row = world.ledger.connection(session)
        row.organisation_id, row.organisation_name = "another", "Other"
    with pytest.raises(LedgerError, match="bills Other"):
        reconciled(world)


@pytest.mark.parametrize(
    "fault",
    [{"kind": "rate_day", "retry_after": 60}, {"kind": "status", "status": 503}],
    ids=lambda fault: fault["kind"],
)
def test_a_fault_leaves_what_is_open_for_the_next_time(world, fault):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    pretend_not_to_know(world)
    world.fail({**fault, "times": 50, "match": LOOK, "nth": 2})
    with pytest.raises((DayLimitReached, Unavailable)):
        reconciled(world)
    assert {i.state for i in world.ledger_invoices()} == {"unknown"}
    world.recover()
    assert reconciled(world).adopted == 3
    world.assert_exactly_once(6)


@pytest.mark.parametrize("status", [400, 500])
def test_one_that_cannot_be_looked_up_stays_and_hides_no_other(world, status):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    pretend_not_to_know(world)
    unanswered(world, "SDP-00001", status)
    found = reconciled(world)
    assert (found.adopted, found.unknown, found.outcome) == (2, 1, "needs_person")
    [stuck] = [invoice for invoice in world.ledger_invoices() if invoice.state == "unknown"]
    assert stuck.number == "SDP-00001"
    assert stuck.reason.startswith("It could not be looked up: Xero: ")


def test_what_xero_refuses_to_look_up_is_told_and_is_no_failure(world):
    world.deliver(world.line(0))
    world.settle()
    pretend_not_to_know(world)
    unanswered(world, "SDP-00001", 400)
    found = reconciled(world)
    assert (found.unknown, found.outcome) == (1, "needs_person")


def test_where_no_look_up_is_answered_the_doubts_are_looked_into_all_the_same(world):
    """Whoever is refused to leave the organisation for a doubt is sent to this command."""
    world.deliver(world.line(0))
    world.settle()
    pretend_not_to_know(world)
    world.clock.advance(3600)
    world.deliver(world.line(1))
    world.write_by_hand("ABC-00001", "Work [0badcafe]", "Work\n(SDP task worklog 1001)")
    unanswered(world, "SDP-00001", 500)
    with pytest.raises(Unavailable):
        reconciled(world)
    assert remembered(world.ledger).in_doubt == {}


@pytest.mark.parametrize("status", [400, 500])
def test_while_another_ledger_stops_it_one_that_cannot_be_looked_up_hides_no_other(world, status):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    pretend_not_to_know(world)
    world.clock.advance(3600)
    world.deliver(world.line(6))
    world.write_by_hand("SDP-00099", "Work [0badcafe]", "Work\n(SDP request worklog 1006)")
    unanswered(world, "SDP-00001", status)
    with pytest.raises(BilledElsewhere, match="SDP-00099"):
        reconciled(world)
    assert [one.state for one in world.ledger_invoices()] == ["unknown", "created", "created"]
