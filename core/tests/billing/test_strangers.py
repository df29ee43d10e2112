"""Invoices that look like ours and are not the one we sent: copies, remakes, and ours in other clothes."""

from __future__ import annotations

from datetime import date

import pytest
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.errors import LedgerError
from msp_xero.ledger import views
from msp_xero.ledger.decisions import exclude_worklog, release_invoice
from msp_xero.ledger.models import AccountLink
from sqlalchemy import select

from core.tests.billing.test_another_organisation import (
    go_back,
    link_again,
    open_another_organisation,
    reinitialise,
)

PUT = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}
CABLING = {"Description": "Cabling", "Quantity": 1, "UnitAmount": 250}


def copy_of(world, invoice, number, **changes):
    """Let a person copy an invoice in Xero."""
    lines = [
        {name: line[name] for name in ("Description", "Quantity", "UnitAmount", "AccountCode", "TaxType")}
        for line in invoice["LineItems"]
    ]
    values = {"Reference": invoice["Reference"], "Contact": invoice["Contact"], "LineItems": lines}
    return world.person("invoice", "add", InvoiceNumber=number, **{**values, **changes})


def settle_later(world, hours=1):
    world.clock.advance(hours * 3600)
    return world.settle()


def sent_without_an_answer(world):
    """Send one invoice whose answer is lost, and be stopped before it is looked up."""
    world.settle()
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0))
    world.fail({"kind": "reset_after_commit", "match": PUT})
    world.settle_without_look_up()
    world.recover()
    [invoice] = world.ledger_invoices()
    assert invoice.state == "unknown"
    return world.ours()[0]


def deleted_and_made_again(world, number):
    """One invoice that a person deleted as a draft and made again by hand."""
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], Status="DELETED")
    return copy_of(world, sent, number)


def test_a_draft_that_a_person_made_again_under_its_number_is_not_billed_beside_it(world):
    again = deleted_and_made_again(world, "SDP-00001")
    with pytest.raises(LedgerError, match="If a person has copied or made one again in Xero, void it"):
        settle_later(world)
    world.person("invoice", "edit", again["InvoiceID"], InvoiceNumber="INV-0100")
    world.deliver(world.line(1, account=1))
    assert settle_later(world).invoices == 1, "it stops nothing else"
    release_invoice(world.ledger, "SDP-00001")
    for _ in range(2):
        with pytest.raises(LedgerError, match="INV-0100"):
            settle_later(world)
    exclude_worklog(world.ledger, views.find_worklogs(world.ledger, "1000")[0].row, "it is on INV-0100")
    assert settle_later(world).invoices == 0
    assert world.states() == {"invoiced": 1, "excluded": 1}


def test_a_copy_that_stands_when_its_original_is_released_is_not_billed_beside_it(world):
    again = deleted_and_made_again(world, "INV-0100")
    settle_later(world)
    release_invoice(world.ledger, "SDP-00001")
    with pytest.raises(LedgerError, match="INV-0100"):
        settle_later(world)
    world.person("invoice", "edit", again["InvoiceID"], Status="DELETED")
    assert settle_later(world).invoices == 1


def test_what_was_billed_before_a_starting_over_stays_so_when_its_reference_is_rewritten(world):
    """Its id alone tells, also when the worklog has another account and text by now."""
    world.deliver(world.line(0, account=0))
    world.settle()
    home = world.invoices()[0]["InvoiceID"]
    open_another_organisation(world)
    reinitialise(world, date(2026, 1, 1))
    world.link_accounts()
    world.link_types()
    world.settle()
    world.clock.advance(3600)
    go_back(world)
    reinitialise(world)
    link_again(world, world.xero.dump(None))
    settle_later(world)
    world.person("invoice", "edit", home, Reference="PO 4711")
    settle_later(world)
    release_invoice(world.ledger, "SDP-00002", voided_there=True)
    world.deliver(world.line(0, account=1, description="Another text"))
    with pytest.raises(LedgerError, match=r"before this connection started over \(SDP-00001\)"):
        settle_later(world)


@pytest.mark.parametrize("full_look", [False, True])
def test_ours_is_found_by_its_lines_though_somebody_has_its_number(world, full_look):
    sent = sent_without_an_answer(world)
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001", Reference="PO 4711")
    copy_of(world, {**sent, "LineItems": []}, "SDP-00001", Reference="By hand", LineItems=[CABLING])
    if full_look:
        with world.ledger.write() as session:
            world.ledger.connection(session).invoices_refreshed_at = None
    settle_later(world)
    world.assert_exactly_once(1)
    [invoice] = world.ledger_invoices()
    assert (invoice.xero_id, invoice.state) == (sent["InvoiceID"], "created")


def test_a_look_up_that_fails_after_the_reference_was_rewritten_only_waits(world):
    sent = sent_without_an_answer(world)
    world.person("invoice", "edit", sent["InvoiceID"], Reference="PO 4711")
    world.clock.advance(3600)
    world.settle_without_look_up()
    assert settle_later(world).invoices == 1
    world.assert_exactly_once(1)


def test_of_two_that_look_alike_the_one_with_our_marker_is_adopted(world):
    sent = sent_without_an_answer(world)
    copy_of(world, sent, "CPY-0001", Reference="By hand")
    cheaper = [{**sent["LineItems"][0], "UnitAmount": 1}]
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001", LineItems=cheaper)
    settle_later(world)
    [invoice] = world.ledger_invoices()
    assert invoice.xero_id == sent["InvoiceID"]
    assert invoice.reason == (
        "It was renumbered to INV-7001 in Xero. Somebody changed its total in Xero before we could look."
    )


def test_an_invoice_that_does_not_come_when_asked_for_does_not_count_as_read(world):
    for _ in range(2):
        settle_later(world)
    contact = {"ContactID": world.contacts[5]["ContactID"]}
    world.person("invoice", "add", InvoiceNumber="INV-1", Contact=contact, LineItems=[CABLING])
    world.deliver(world.line(0, account=0))
    world.clock.advance(3600)
    client = world.client()
    invoices = client.invoices
    client.invoices = lambda *, ids=None, **options: iter(()) if ids else invoices(**options)
    with pytest.raises(LedgerError, match=r"lists 1 invoice\(s\) but does not show them"):
        settle(world.ledger, client, BillingSettings())
    assert world.ours() == []
    assert settle_later(world).invoices == 1


def test_of_a_renumbered_invoice_and_a_copy_of_it_the_one_that_we_sent_is_adopted(world):
    """Both have our marker and our lines (seed 33721); the copy comes first in Xero's list."""
    sent = sent_without_an_answer(world)
    copy_of(world, sent, "CPY-0001", Contact={"ContactID": world.contacts[5]["ContactID"]})
    world.clock.advance(60)
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001")
    settle_later(world)
    [invoice] = world.ledger_invoices()
    assert invoice.xero_id == sent["InvoiceID"]
    assert "INV-7001" in invoice.reason


@pytest.mark.parametrize("sees", ["its lines at once", "a summary"])
def test_an_invoice_with_our_number_and_worklogs_that_we_never_sent_stops_everything(
    make_world, databases, tmp_path_factory, sees
):
    """No marker any more, and its worklog does not wait here: another ledger made it (seed 32273)."""
    world = make_world(databases.fresh(tmp_path_factory.mktemp("other")))
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    if sees == "its lines at once":
        world.person("invoice", "edit", sent["InvoiceID"], Reference="As agreed")
    world.begin_anew(databases.fresh(tmp_path_factory.mktemp("here")))
    if sees == "a summary":
        with world.ledger.write() as session:
            world.ledger.connection(session).invoices_refreshed_at = world.ledger.clock.now()
        world.clock.advance(3600)
        world.person("invoice", "edit", sent["InvoiceID"], Reference="As agreed")
    world.deliver(world.line(1, account=1))
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"does not know \(SDP-00001\)"):
            world.settle()
    assert len(world.ours()) == 1
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-9001")
    assert world.settle().invoices == 1
    assert world.states() == {"invoiced": 1}


def test_only_the_lines_of_invoices_that_are_not_ours_are_read(world):
    world.deliver(world.line(0, account=0))
    for _ in range(2):  # what is there already has been read after that
        world.settle()
        world.clock.advance(3600)
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], Reference="As agreed")
    by_hand = world.person(
        "invoice",
        "add",
        InvoiceNumber="INV-7001",
        Contact={"ContactID": world.contacts[5]["ContactID"]},
        Reference="By hand",
        LineItems=[CABLING],
    )
    asked = []
    for _ in range(2):
        world.clock.advance(3600)
        before = len(world.faulty.log.since())
        world.settle()
        asked.append([c["query"]["IDs"] for c in world.faulty.log.since()[before:] if "IDs" in c["query"]])
    assert asked == [[by_hand["InvoiceID"]], []]


def test_many_invoices_that_are_not_ours_are_read_in_few_calls(sqlite_world):
    """An organisation into which a shop bills too: 40 ids a call would be many calls."""
    world = sqlite_world
    for _ in range(2):
        world.settle()
        world.clock.advance(3600)
    for number in range(201):
        world.person(
            "invoice",
            "add",
            InvoiceNumber=f"SHOP-{number}",
            Contact={"ContactID": world.contacts[5]["ContactID"]},
            LineItems=[{"Description": "Work\n(SDP request worklog 1000)", "Quantity": 1, "UnitAmount": 9}],
        )
    before = len(world.faulty.log.since())
    world.settle()
    reads = [call["path"] for call in world.faulty.log.since()[before:] if call["method"] == "GET"]
    assert sum(path.endswith("/Invoices") for path in reads) == 2
    world.deliver(world.line(0, account=2, description="Another text"))
    with world.ledger.write() as session:
        session.scalars(
            select(AccountLink).where(AccountLink.account_id == "2")
        ).one().contact_id = world.contacts[5]["ContactID"]
    with pytest.raises(LedgerError, match="SHOP-0"):
        world.settle()


def test_a_number_of_ours_that_somebody_took_for_other_work_is_looked_into_and_passed_over(world):
    world.settle()
    world.clock.advance(3600)
    world.person(
        "invoice",
        "add",
        InvoiceNumber="sdp-00001",
        Contact={"ContactID": world.contacts[5]["ContactID"]},
        Reference="By hand",
        LineItems=[CABLING],
    )
    world.deliver(world.line(0, account=0))
    world.settle()
    world.clock.advance(3600)
    world.settle()
    assert world.states() == {"invoiced": 1}
    assert [row["InvoiceNumber"] for row in world.ours()] == ["SDP-00002"]


def test_what_the_look_up_was_left_with_and_a_list_does_not_show_is_found_all_the_same(world):
    """A list that lags shows the look-up nothing; the look before it has read whose worklogs are on it."""
    sent = sent_without_an_answer(world)
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001", Reference="PO 4711")
    copy_of(world, {**sent, "LineItems": []}, "SDP-00001", Reference="By hand", LineItems=[CABLING])
    client = world.client()
    invoices = client.invoices

    def lagging(**options):
        is_of_the_look_up = set(options) == {"if_modified_since"}
        return iter(()) if is_of_the_look_up else invoices(**options)

    client.invoices = lagging
    settle(world.ledger, client, BillingSettings())
    assert world.states() == {"invoiced": 1}
    assert [row["InvoiceNumber"] for row in world.ours()] == ["INV-7001"]
