"""Copies, rebuilds, other numbers: what an invoice in Xero bills is not billed beside it; nobody is stuck."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from msp_xero.billing import settle as settling
from msp_xero.billing.rebuild import rebuild
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.errors import BilledElsewhere, LedgerError
from msp_xero.ledger import views
from msp_xero.ledger.audit import replay
from msp_xero.ledger.decisions import Refusal, Released, exclude_worklog, release_invoice
from msp_xero.ledger.models import Event, Worklog
from msp_xero.ledger.rebuilding import tell_apart
from sqlalchemy import select

from core.tests.billing.test_another_organisation import go_back, open_another_organisation, reinitialise
from core.tests.billing.test_old_copies import begin_anew
from core.tests.billing.test_strangers import PUT, copy_of, sent_without_an_answer, settle_later

LONG = "Work (SDP a_module_of_more_than_twenty_characters worklog 1)"


def delete_and_release(world, number="SDP-00001"):
    invoice = next(one for one in world.ledger_invoices() if one.number == number)
    world.person("invoice", "edit", invoice.xero_id, Status="DELETED")
    settle_later(world)
    return release_invoice(world.ledger, number)


def standing(world):
    return [invoice["InvoiceNumber"] for invoice in world.ours()]


def anew(world, sqlite_databases, tmp_path_factory):
    begin_anew(world, sqlite_databases.fresh(tmp_path_factory.mktemp("empty")))


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


def test_what_another_run_stores_between_the_look_and_the_plan_is_compared_too(
    sqlite_world, sqlite_databases, tmp_path_factory
):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-9001")
    anew(world, sqlite_databases, tmp_path_factory)
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
    sqlite_world, sqlite_databases, tmp_path_factory
):
    world = sqlite_world
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    world.settle()
    first = next(one for one in world.invoices() if one["InvoiceNumber"] == "SDP-00001")
    copy_of(world, first, "INV-0100")
    anew(world, sqlite_databases, tmp_path_factory)
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
    sqlite_world, sqlite_databases, tmp_path_factory, deleted
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
    anew(world, sqlite_databases, tmp_path_factory)
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


def test_what_a_rebuild_left_out_is_looked_into_before_anything_is_billed(
    sqlite_world, sqlite_databases, tmp_path_factory
):
    world = sqlite_world
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    world.settle()
    first = next(one for one in world.invoices() if one["InvoiceNumber"] == "SDP-00001")
    world.person("invoice", "edit", first["InvoiceID"], InvoiceNumber="INV-9001")
    anew(world, sqlite_databases, tmp_path_factory)
    rebuild(world.ledger, world.client(), number_prefix="SDP-", only_prefix=True)
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        settle_later(world)
    assert sorted(standing(world)) == ["INV-9001", "SDP-00002"]


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
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    delete_and_release(world)
    world.fail({"kind": "rate_day", "retry_after": 1800, "match": PUT})
    settle_later(world)
    world.faulty.clear_faults()
    assert world.states() == {"planned": 1}
    copy_of(world, sent, "INV-0100")
    with pytest.raises(BilledElsewhere, match="INV-0100"):
        settle_later(world)
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


# What a person has to tell


def somebody_elses(world, number, reference, *texts, contact=0):
    return world.person(
        "invoice",
        "add",
        InvoiceNumber=number,
        Reference=reference,
        Contact={"ContactID": world.contacts[contact]["ContactID"]},
        LineItems=[{"Quantity": 1, "UnitAmount": 5, "Description": text} for text in texts],
    )


def told_apart(world, reference="Work [0badcafe]", contact=0):
    """A worklog that waited, of which a person has said that another installation's invoice is not of it."""
    world.settle()
    world.clock.advance(3600)
    text = "Theirs\n(SDP request worklog 1000)"
    other = somebody_elses(world, "ABC-00001", reference, text, contact=contact)
    world.deliver(world.line(0, account=0))
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match=r"ABC-00001.*`msp-xero rebuild --another ID`"):
            settle_later(world)
    tell_apart(world.ledger, row_of(world))
    world.deliver(world.line(0, account=0))
    return other


def test_two_installations_with_one_customer_and_one_id_go_on_once_a_person_has_told_them_apart(sqlite_world):
    world = sqlite_world
    told_apart(world)
    world.deliver(world.line(1, account=1))
    assert settle_later(world).invoices == 2
    assert world.states() == {"invoiced": 2}
    with pytest.raises(Refusal, match="only a worklog that waits"):
        tell_apart(world.ledger, row_of(world))


def test_where_nothing_else_is_billed_there_is_nothing_to_tell_apart(sqlite_world):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    with pytest.raises(Refusal, match="nothing else is known to be billed under the id 1000"):
        tell_apart(world.ledger, row_of(world))


def test_what_a_person_said_holds_when_the_other_invoice_changes_and_not_when_its_line_does(sqlite_world):
    world = sqlite_world
    other = told_apart(world)
    world.person("invoice", "edit", other["InvoiceID"], Status="AUTHORISED")
    world.settle(push=False)
    lines = [{**other["LineItems"][0], "Description": "Now ours\n(SDP request worklog 1000)"}]
    world.person("invoice", "edit", other["InvoiceID"], LineItems=lines)
    with pytest.raises(BilledElsewhere, match="ABC-00001"):
        settle_later(world)


@pytest.mark.parametrize("contact", [0, 5])
def test_the_look_up_does_not_take_what_was_told_apart_for_ours(sqlite_world, contact):
    world = sqlite_world
    told_apart(world, reference="PO 7", contact=contact)
    world.fail({"kind": "reset_before", "match": PUT})
    settle_later(world, hours=24)
    world.faulty.clear_faults()
    settle_later(world, hours=24)
    assert world.states() == {"invoiced": 1}
    assert sorted(standing(world)) == ["ABC-00001", "SDP-00001"]


def test_what_was_told_apart_from_one_is_not_billed_beside_another(sqlite_world):
    """A copy of ours, made when the worklog had been billed a second time, and edited since."""
    world = sqlite_world
    told_apart(world)
    settle_later(world)
    delete_and_release(world)
    settle_later(world)
    sent = next(row for row in world.ours() if row["InvoiceNumber"] == "SDP-00002")
    copy_of(world, sent, "INV-0100")
    edited = {"worklog_id": "1000", "module": "request", "minutes": 45, "description": "Edited"}
    line = world.line(0, account=0, description="Edited", source=edited)
    world.deliver(line)
    delete_and_release(world, "SDP-00002")
    world.deliver(line)
    with pytest.raises(BilledElsewhere, match="INV-0100"):
        settle_later(world)


def test_what_was_told_apart_is_still_not_billed_beside_its_own_text(
    sqlite_world, sqlite_databases, tmp_path_factory
):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-1", Reference="PO 7")
    anew(world, sqlite_databases, tmp_path_factory)
    world.settle()
    world.deliver(world.line(0, account=0))
    tell_apart(world.ledger, row_of(world))
    with pytest.raises(BilledElsewhere, match="INV-1"):
        settle_later(world)


def test_telling_one_worklog_of_an_invoice_apart_says_nothing_of_the_others(sqlite_world):
    world = sqlite_world
    world.settle()
    world.clock.advance(3600)
    texts = ("A\n(SDP request worklog 1000)", "B\n(SDP request worklog 1001)")
    somebody_elses(world, "INV-1", "PO 7", *texts, contact=5)
    settle_later(world, hours=24)
    world.deliver(world.line(0, account=0))
    with pytest.raises(BilledElsewhere, match="INV-1"):
        settle_later(world, hours=24)
    tell_apart(world.ledger, row_of(world))
    assert settle_later(world).invoices == 1
    world.deliver(world.line(1, account=1))
    with pytest.raises(BilledElsewhere, match="INV-1"):
        settle_later(world)


def test_an_invoice_without_number_and_reference_of_ours_is_asked_about_though_its_worklog_was_moved(
    sqlite_world, sqlite_databases, tmp_path_factory
):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-1", Reference="PO 7")
    anew(world, sqlite_databases, tmp_path_factory)
    world.deliver(world.line(0, account=1, module="task", description="Told in other words"))
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match="INV-1"):
            settle_later(world)
    exclude_worklog(world.ledger, row_of(world), "it is on INV-1")
    assert settle_later(world).invoices == 0
    assert standing(world) == ["INV-1"]


def test_so_it_is_when_the_moved_worklog_comes_between_the_look_and_the_plan(
    sqlite_world, sqlite_databases, tmp_path_factory
):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-9001", Reference="PO 7")
    anew(world, sqlite_databases, tmp_path_factory)
    world.settle()
    world.clock.advance(3600)
    world.deliver(world.line(3, account=0), world.line(4, account=1))
    client = world.client()
    items = client.items

    def meanwhile(*arguments, **options):
        world.deliver(world.line(0, account=1, module="task", description="Told in other words"))
        return items(*arguments, **options)

    client.items = meanwhile
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        settle(world.ledger, client, BillingSettings())
    assert standing(world) == ["INV-9001"]


def test_what_comes_after_the_last_question_waits_for_the_next_run(
    sqlite_world, sqlite_databases, tmp_path_factory, monkeypatch
):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-9001", Reference="PO 7")
    anew(world, sqlite_databases, tmp_path_factory)
    world.settle()
    look = settling.look_into_doubts

    def meanwhile(*arguments, **options):
        look(*arguments, **options)
        world.deliver(world.line(0, account=1, module="task", description="Told in other words"))

    monkeypatch.setattr(settling, "look_into_doubts", meanwhile)
    with pytest.raises(LedgerError, match="came in the middle of this run"):
        settle_later(world)
    monkeypatch.undo()
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        settle_later(world)
    assert standing(world) == ["INV-9001"]


def test_what_changed_after_billing_is_still_told_when_another_invoice_takes_it_over(
    sqlite_world, sqlite_databases, tmp_path_factory
):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    copy_of(world, sent, "INV-0100")
    anew(world, sqlite_databases, tmp_path_factory)
    rebuild(world.ledger, world.client(), number_prefix="SDP-")
    world.deliver(world.line(0, account=0))
    world.deliver(world.line(0, account=0, minutes=90))
    world.clock.advance(3600)
    assert delete_and_release(world) == Released(free=0, still_billed=1)
    world.deliver(world.line(0, account=0, minutes=90))
    with world.ledger.read() as session:
        [(state, changed)] = session.execute(select(Worklog.state, Worklog.changed))
    assert (state, changed) == ("invoiced", {"minutes": [45, 90]})
