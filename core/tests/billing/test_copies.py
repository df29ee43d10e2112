"""Copies, rebuilds, other numbers: what an invoice in Xero bills is not billed beside it; nobody is stuck."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from msp_xero.billing.rebuild import rebuild
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.errors import BilledElsewhere, LedgerError
from msp_xero.ledger import views
from msp_xero.ledger.audit import replay
from msp_xero.ledger.decisions import Released, exclude_worklog, release_invoice
from msp_xero.ledger.models import Event, Worklog
from sqlalchemy import select

from core.tests.billing.test_another_organisation import go_back, open_another_organisation, reinitialise
from core.tests.billing.test_strangers import PUT, copy_of, sent_without_an_answer, settle_later

LONG = "Work (SDP a_module_of_more_than_twenty_characters worklog 1)"


def delete_and_release(world, number="SDP-00001"):
    invoice = next(one for one in world.ledger_invoices() if one.number == number)
    world.person("invoice", "edit", invoice.xero_id, Status="DELETED")
    settle_later(world)
    return release_invoice(world.ledger, number)


def planned_and_copied(world):
    """Plan an invoice that is never sent, and let a person copy one that bills its worklog."""
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    delete_and_release(world)
    world.fail({"kind": "rate_day", "retry_after": 1800, "match": PUT})
    settle_later(world)
    world.faulty.clear_faults()
    assert world.states() == {"planned": 1}
    copy_of(world, sent, "INV-0100")
    world.clock.advance(3600)


def rebuilt_with_a_copy(world, lose_the_ledger):
    """Bill a worklog, let a person copy its invoice, lose the ledger and rebuild it; return what was sent."""
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    copy_of(world, sent, "INV-0100")
    lose_the_ledger(world)
    rebuild(world.ledger, world.client(), number_prefix="SDP-")
    world.deliver(world.line(0, account=0))
    return sent


def standing(world):
    return [invoice["InvoiceNumber"] for invoice in world.ours()]


def row_of(world, worklog_id="1000"):
    return views.find_worklogs(world.ledger, worklog_id)[0].row


# While an answer is awaited


def test_a_copy_made_while_the_answer_was_awaited_is_not_billed_beside_once_the_original_is_released(
    sqlite_world,
):
    world = sqlite_world
    sent = sent_without_an_answer(world)
    copy_of(world, sent, "INV-0100")
    settle_later(world)
    assert [one.xero_id for one in world.ledger_invoices()] == [sent["InvoiceID"]]
    assert delete_and_release(world) == Released(free=1, still_billed=0)
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match="INV-0100"):
            settle_later(world)
    assert standing(world) == ["INV-0100"]


def test_of_two_copies_under_other_numbers_the_one_that_was_not_adopted_is_not_billed_beside(sqlite_world):
    world = sqlite_world
    sent = sent_without_an_answer(world)
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001")
    copy_of(world, sent, "INV-7002")
    settle_later(world)
    delete_and_release(world)
    with pytest.raises(BilledElsewhere, match="INV-700"):
        settle_later(world)
    assert len(standing(world)) == 1


def lagging(client):
    """Let one list of the look-up not show yet what the look before it has shown."""
    invoices = client.invoices
    client.invoices = lambda **options: (
        iter(()) if set(options) == {"if_modified_since"} else invoices(**options)
    )
    return client


def test_what_the_look_has_seen_and_a_list_of_the_look_up_has_not_is_found_all_the_same(sqlite_world):
    world = sqlite_world
    sent = sent_without_an_answer(world)
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001")
    settle(world.ledger, lagging(world.client()), BillingSettings())
    assert world.states() == {"invoiced": 1}
    assert standing(world) == ["INV-7001"]


def test_a_clock_that_jumped_while_an_invoice_was_planned_hides_nothing_from_the_look_up(sqlite_world):
    world = sqlite_world
    world.settle()
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0))
    world.fail({"kind": "reset_after_commit", "match": PUT})
    now, client = world.time.now, world.client()
    items, invoices = client.items, client.invoices

    def jump(*arguments, **options):
        world.time.now = lambda: now() + timedelta(days=2)
        return items(*arguments, **options)

    def killed(*, numbers=None, **options):
        if numbers is not None:
            raise RuntimeError("killed")
        return invoices(**options)

    client.items, client.invoices = jump, killed
    with pytest.raises(RuntimeError):
        settle(world.ledger, client, BillingSettings())
    world.time.now = now
    world.recover()
    [sent] = world.ours()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001")
    settle_later(world)
    assert world.states() == {"invoiced": 1}
    assert standing(world) == ["INV-7001"]


def test_what_another_run_stores_between_the_look_and_the_plan_is_compared_too(sqlite_world, bill_and_lose):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-9001")
    world.settle()
    world.clock.advance(3600)
    world.deliver(world.line(3, account=0))
    client = world.client()
    items = client.items

    def meanwhile(*arguments, **options):
        world.deliver(world.line(0, account=0))
        return items(*arguments, **options)

    client.items = meanwhile
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        settle(world.ledger, client, BillingSettings())
    assert standing(world) == ["INV-9001"]


# After a rebuild


def test_of_two_invoices_with_one_worklog_the_other_bills_it_once_the_first_is_released(
    sqlite_world, lose_the_ledger
):
    world = sqlite_world
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    world.settle()
    first = next(one for one in world.invoices() if one["InvoiceNumber"] == "SDP-00001")
    copy_of(world, first, "INV-0100")
    lose_the_ledger(world)
    assert rebuild(world.ledger, world.client(), number_prefix="SDP-").twice
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    minutes = {one.number: one.minutes for one in world.ledger_invoices()}
    world.clock.advance(3600)
    assert delete_and_release(world) == Released(free=0, still_billed=1)
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    assert settle_later(world).invoices == 0
    assert world.states() == {"invoiced": 2}
    assert standing(world) == ["SDP-00002", "INV-0100"]
    after = {one.number: one.minutes for one in world.ledger_invoices()}
    assert (minutes["INV-0100"], after["INV-0100"]) == (0, minutes["SDP-00001"])
    with world.ledger.read() as session:
        events = session.execute(
            select(Event.entity, Event.entity_id, Event.action, Event.data).order_by(Event.id)
        )
        states = replay(events.tuples())
    assert [state for (entity, _), state in states.items() if entity == "worklog"] == ["invoiced"] * 2


@pytest.mark.parametrize("deleted", ["before the move", "after the move"])
def test_two_organisations_rebuilt_one_after_the_other_bill_nothing_again_that_the_second_has_billed(
    sqlite_world, lose_the_ledger, deleted
):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    home = world.invoices()[0]["InvoiceID"]
    if deleted == "before the move":
        delete_and_release(world)
        open_another_organisation(world)
        reinitialise(world)
    else:
        open_another_organisation(world)
        reinitialise(world, date(2026, 1, 1))
        gone = {"kind": "invoice", "action": "edit", "id": home, "values": {"Status": "DELETED"}}
        world.old_xero.change_row(gone)
    world.link_accounts()
    world.link_types()
    settle_later(world)
    there = {name: getattr(world, name) for name in ("xero", "rows", "faulty", "adapter", "contacts")}
    go_back(world)
    lose_the_ledger(world)
    rebuild(world.ledger, world.client(), number_prefix="SDP-")
    for name, value in there.items():
        setattr(world, name, value)
    (world.folder / "token.json").unlink(missing_ok=True)
    reinitialise(world)
    rebuild(world.ledger, world.client(), number_prefix="SDP-")
    world.link_accounts()
    world.link_types()
    world.deliver(world.line(0, account=0))
    settle_later(world)
    billed = standing(world)
    assert len(billed) == 1
    assert release_invoice(world.ledger, "SDP-00001") == Released(free=0, still_billed=1)
    world.deliver(world.line(0, account=0))
    settle_later(world)
    assert standing(world) == billed
    assert world.states() == {"invoiced": 1}


def test_what_a_rebuild_left_out_is_looked_into_before_anything_is_billed(sqlite_world, lose_the_ledger):
    world = sqlite_world
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    world.settle()
    first = next(one for one in world.invoices() if one["InvoiceNumber"] == "SDP-00001")
    world.person("invoice", "edit", first["InvoiceID"], InvoiceNumber="INV-9001")
    world.clock.advance(24 * 3600)
    lose_the_ledger(world)
    rebuild(world.ledger, world.client(), number_prefix="SDP-", only_prefix=True)
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        settle_later(world)
    assert sorted(standing(world)) == ["INV-9001", "SDP-00002"]


def test_what_changed_after_billing_is_still_told_when_another_invoice_takes_it_over(
    sqlite_world, lose_the_ledger
):
    world = sqlite_world
    rebuilt_with_a_copy(world, lose_the_ledger)
    world.deliver(world.line(0, account=0, minutes=90))
    world.clock.advance(3600)
    assert delete_and_release(world) == Released(free=0, still_billed=1)
    world.deliver(world.line(0, account=0, minutes=90))
    with world.ledger.read() as session:
        [(state, changed)] = session.execute(select(Worklog.state, Worklog.changed))
    assert (state, changed) == ("invoiced", {"minutes": [45, 90]})


# Nobody is stuck


def test_ours_under_the_next_number_stops_nobody_and_the_invoice_gets_another_number(sqlite_world):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="SDP-00002")
    world.deliver(world.line(1, account=1), world.line(2, account=2))
    for _ in range(3):
        settle_later(world)
    assert world.states() == {"invoiced": 3}
    assert len(standing(world)) == 3


def test_what_is_planned_beside_a_copy_can_be_excluded(sqlite_world):
    world = sqlite_world
    planned_and_copied(world)
    with pytest.raises(BilledElsewhere, match="INV-0100"):
        world.settle()
    exclude_worklog(world.ledger, row_of(world), "it is on INV-0100")
    world.deliver(world.line(1, account=1))
    assert settle_later(world).invoices == 1
    assert world.states() == {"excluded": 1, "invoiced": 1}


def test_what_was_planned_beside_a_copy_is_billed_once_the_copy_is_void(sqlite_world):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    delete_and_release(world)
    world.fail({"kind": "rate_day", "retry_after": 1800, "match": PUT})
    settle_later(world)
    world.faulty.clear_faults()
    copy = copy_of(world, sent, "INV-0100")
    with pytest.raises(LedgerError, match="INV-0100"):
        settle_later(world)
    world.person("invoice", "edit", copy["InvoiceID"], Status="DELETED")
    assert settle_later(world).invoices == 1
    assert world.states() == {"invoiced": 1}
    withdrawn = [one.reason for one in world.ledger_invoices() if one.state == "rejected"]
    assert withdrawn == [
        "It was planned, and is not in Xero: another invoice there bills some of its worklogs."
    ]


def somebodys(world):
    line = {"Description": LONG, "Quantity": 1, "UnitAmount": 5}
    contact = {"ContactID": world.contacts[5]["ContactID"]}
    world.person("invoice", "add", InvoiceNumber="INV-1", Contact=contact, LineItems=[line])


def test_a_line_of_anybodys_that_looks_like_ours_and_is_too_long_stops_no_run(world):
    world.settle()
    somebodys(world)
    world.deliver(world.line(0, account=0))
    assert settle_later(world).invoices == 1


def test_a_line_of_anybodys_that_looks_like_ours_and_is_too_long_stops_no_rebuild(world):
    somebodys(world)
    assert rebuild(world.ledger, world.client(), number_prefix="SDP-").worklogs == 0


def test_what_awaits_its_answer_beside_a_copy_can_be_excluded_once_it_is_known_to_be_missing(sqlite_world):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    delete_and_release(world)
    world.fail({"kind": "reset_before", "match": PUT})
    world.settle_without_look_up()
    world.recover()
    assert [one.state for one in world.ledger_invoices()] == ["deleted", "unknown"]
    copy_of(world, sent, "INV-0100")
    with pytest.raises(BilledElsewhere, match="INV-0100"):
        settle_later(world)
    exclude_worklog(world.ledger, row_of(world), "it is on INV-0100")
    assert settle_later(world).invoices == 0
    assert standing(world) == ["INV-0100"]


def test_what_was_withdrawn_and_arrives_late_is_told(sqlite_world):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    delete_and_release(world)
    world.fail({"kind": "slow", "seconds": 1200, "commit": "after", "match": PUT})
    world.settle_without_look_up()
    world.faulty.clear_faults()
    copy = copy_of(world, sent, "INV-0100")
    with pytest.raises(BilledElsewhere, match="INV-0100"):
        world.settle()
    world.person("invoice", "edit", copy["InvoiceID"], Status="DELETED")
    assert world.settle().invoices == 1
    world.clock.advance(1200)
    world.adapter.commit_late_calls()
    assert sorted(standing(world)) == ["SDP-00002", "SDP-00003"]
    with pytest.raises(LedgerError, match="Xero holds SDP-00002 although it had refused it, or had not got"):
        world.settle()
