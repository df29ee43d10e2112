"""An older copy of the ledger never bills again what it does not remember sending."""

from __future__ import annotations

import pytest
from msp_xero.errors import BilledElsewhere, LedgerError
from msp_xero.ledger.decisions import release_invoice
from msp_xero.ledger.models import AccountLink, Invoice, PushBatch, Worklog
from sqlalchemy import select, update


def forget_that_it_was_sent(world):
    """Bring the ledger back to the moment after planning, as a backup of that moment would."""
    with world.ledger.write() as session:
        session.execute(
            update(Invoice).values(state="planned", xero_id=None, xero_status=None, xero_total=None)
        )
        session.execute(update(PushBatch).values(state="planned", attempts=0))
        session.execute(update(Worklog).values(state="planned"))


def finds_out_that_another_ledger_sent_it(world):
    """Adopt it, and end there: the ledger that sent it may be running beside this one."""
    with pytest.raises(LedgerError, match="was about to send for the first time"):
        world.settle()


def test_a_planned_invoice_that_xero_has_under_another_number_is_adopted(world):
    world.deliver(*(world.line(n, account=0) for n in range(3)))
    world.settle()
    sent = world.invoices()[0]
    forget_that_it_was_sent(world)
    world.xero.change_row(
        {
            "kind": "invoice",
            "action": "edit",
            "id": sent["InvoiceID"],
            "values": {"InvoiceNumber": "INV-9001"},
        }
    )
    world.clock.advance(900)
    finds_out_that_another_ledger_sent_it(world)
    world.settle()
    holding = [row for row in world.xero.dump()["invoices"] if row["Reference"] == sent["Reference"]]
    assert [row["InvoiceNumber"] for row in holding] == ["INV-9001"]
    assert world.states() == {"invoiced": 3}


def test_a_draft_that_a_person_deleted_is_not_made_again_by_an_old_copy(world):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    gone = world.invoices()[0]
    forget_that_it_was_sent(world)
    world.xero.change_row({"kind": "invoice", "action": "delete", "id": gone["InvoiceID"]})
    world.clock.advance(900)
    finds_out_that_another_ledger_sent_it(world)
    world.settle()
    live = [row for row in world.invoices() if row["Status"] != "DELETED"]
    assert (len(live), sum(len(row["LineItems"]) for row in live)) == (2, 4)
    assert world.states() == {"invoiced": 6}


def test_an_old_copy_knows_a_renumbered_invoice_by_its_lines(world, databases, tmp_path_factory):
    """Its number is no longer ours; only what it bills tells that the worklog is not to be billed again."""
    world.deliver(world.line(9, account=1))
    world.settle()
    world.ledger.close()
    old = databases.copy(world.url, tmp_path_factory.mktemp("copy"))
    world.ledger = world.open_ledger()
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0))
    world.settle()
    [newest] = [row for row in world.invoices() if row["InvoiceNumber"] == "SDP-00002"]
    world.person("invoice", "edit", newest["InvoiceID"], InvoiceNumber="INV-9001")
    world.ledger.close()
    world.url = old
    world.ledger = world.open_ledger()
    world.clock.advance(3600)
    world.deliver(world.line(9, account=1), world.line(0, account=0))
    with pytest.raises(LedgerError, match="INV-9001"):
        world.settle()
    assert len(world.ours()) == 2


def test_an_empty_ledger_knows_a_renumbered_invoice_by_its_lines(make_world, databases, tmp_path_factory):
    world = make_world(databases.fresh(tmp_path_factory.mktemp("first")))
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-9001")
    world.begin_anew(databases.fresh(tmp_path_factory.mktemp("empty")))
    world.deliver(world.line(0, account=0))
    with pytest.raises(LedgerError, match="INV-9001"):
        world.settle()
    assert len(world.ours()) == 1


def test_what_a_look_told_of_strangers_is_held_against_worklogs_that_come_later(
    make_world, databases, tmp_path_factory
):
    """The look comes first, by a push on an empty ledger; the worklog that it was about comes afterwards."""
    world = make_world(databases.fresh(tmp_path_factory.mktemp("first")))
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    world.settle()
    sent = {row["InvoiceNumber"]: row for row in world.invoices()}
    world.person("invoice", "edit", sent["SDP-00001"]["InvoiceID"], InvoiceNumber="INV-9001")
    second = sent["SDP-00002"]["InvoiceID"]
    world.person("invoice", "edit", second, InvoiceNumber="INV-9002", Reference="PO 7")
    world.begin_anew(databases.fresh(tmp_path_factory.mktemp("empty")))
    assert world.settle().invoices == 0
    world.clock.advance(24 * 3600)
    assert world.settle().invoices == 0
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    with pytest.raises(LedgerError, match=r"INV-9001, INV-9002|INV-9002, INV-9001"):
        world.settle()
    world.person("invoice", "edit", second, Status="DELETED")
    with pytest.raises(LedgerError, match="INV-9001"):
        world.settle()
    world.person("invoice", "edit", sent["SDP-00001"]["InvoiceID"], Status="DELETED")
    assert world.settle().invoices == 2


@pytest.mark.parametrize("comes", ["before the look", "after the look"])
def test_an_empty_ledger_knows_a_renumbered_invoice_by_its_marker_when_its_worklog_was_moved(
    make_world, databases, tmp_path_factory, comes
):
    """Neither its contact nor its text nor its module tells: the marker was made with a number of ours."""
    world = make_world(databases.fresh(tmp_path_factory.mktemp("first")))
    world.deliver(world.line(0, account=0), world.line(1, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-9001")
    world.begin_anew(databases.fresh(tmp_path_factory.mktemp("empty")))
    moved = world.line(1, account=1, module="project", description="On-site work, moved")
    if comes == "after the look":
        assert world.settle().invoices == 0
        world.clock.advance(24 * 3600)
    world.deliver(moved)
    for _ in range(2):
        with pytest.raises(LedgerError, match="INV-9001"):
            world.settle()
        world.clock.advance(24 * 3600)
    assert len(world.ours()) == 1
    world.person("invoice", "edit", sent["InvoiceID"], Status="DELETED")
    assert world.settle().invoices == 1


def test_an_empty_ledger_knows_an_invoice_that_went_to_the_contact_that_survived_a_merge(
    make_world, databases, tmp_path_factory
):
    """The account is linked to the contact that lost; its invoice went to the other one."""
    world = make_world(databases.fresh(tmp_path_factory.mktemp("first")))
    loser, survivor = (world.contacts[n]["ContactID"] for n in (0, 5))
    world.person("contact", "merge", loser, into=survivor)
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    assert sent["Contact"]["ContactID"] == survivor
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-9001", Reference="PO 7")
    world.begin_anew(databases.fresh(tmp_path_factory.mktemp("empty")))
    with world.ledger.write() as session:
        link = session.scalars(select(AccountLink).where(AccountLink.contact_id == loser)).one()
        link.merged_to_contact_id = survivor
    world.deliver(world.line(0, account=0, description="Its ticket was renamed since"))
    with pytest.raises(LedgerError, match="INV-9001"):
        world.settle()
    assert len(world.ours()) == 1


@pytest.mark.parametrize("is_released", [True, False])
def test_what_another_ledger_billed_under_the_number_of_a_deleted_draft_is_not_billed_once_more(
    make_world, databases, tmp_path_factory, is_released
):
    """Same worklogs, number and marker, and yet not the one that this ledger sent (seeds 12658, 33712)."""
    world = make_world(databases.fresh(tmp_path_factory.mktemp("first")))
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], Status="DELETED")
    world.clock.advance(3600)
    world.settle()
    if is_released:
        release_invoice(world.ledger, "SDP-00001")
    first = world.url
    world.begin_anew(databases.fresh(tmp_path_factory.mktemp("other")))
    world.deliver(world.line(0, account=0))
    assert world.settle().invoices == 1
    world.ledger.close()
    world.url = first
    world.ledger = world.open_ledger()
    world.clock.advance(3600)
    with pytest.raises(LedgerError, match=r"does not know \(SDP-00001\)"):
        world.settle()
    assert len(world.ours()) == 1


def test_an_invoice_whose_marker_is_none_of_ours_is_tried_once(world):
    """Another installation with worklogs of the same ids costs a look, and not one a run."""
    theirs = world.write_by_hand("ABC-00001", "Work [0badcafe]", "Work\n(SDP task worklog 1000)")
    world.settle()
    world.deliver(world.line(0, account=0, type_id="unknown"))
    looks = []
    for _ in range(4):
        world.clock.advance(24 * 3600)
        before = len(world.faulty.log.since())
        world.settle()
        asked = [call["query"].get("IDs", "") for call in world.faulty.log.since()[before:]]
        looks.append(sum(theirs["InvoiceID"] in ids for ids in asked))
    # Twice: the look still reads a little of what the one before it read, and then the doubt is looked into.
    assert looks == [2, 0, 0, 0]


def test_another_installation_with_other_numbers_and_worklogs_of_other_customers_is_no_stranger(world):
    """Its worklogs have ids like ours, but they go to a contact that ours do not go to."""
    world.write_by_hand("ABC-00001", "Work [0badcafe]", "Work\n(SDP request worklog 1000)")
    world.deliver(world.line(0, account=0))
    world.settle()
    assert world.states() == {"invoiced": 1}


def test_calls_that_wait_and_are_all_missing_are_planned_again_without_a_fault(sqlite_world):
    """What was never sent has no key of its own yet; looked up and missing, it is simply planned again."""
    world = sqlite_world
    world.deliver(*(world.line(n) for n in range(3)))
    serve, late = world.faulty.serve, []

    def keep(call):
        if call.method == "PUT" and not late:
            late.append(call)
        return serve(call)

    world.faulty.serve = keep
    put = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}
    world.fail(
        {"kind": "reset_before", "match": put, "nth": 1},
        {"kind": "rate_day", "retry_after": 1800, "match": put, "nth": 2},
    )
    world.settle()
    del world.faulty.serve
    world.faulty.clear_faults()
    serve(late[0])  # the first call arrives after all
    world.recover()
    for _ in range(3):
        try:
            world.settle()
        except LedgerError:
            world.clock.advance(3600)
    world.assert_exactly_once(3)


def test_an_empty_ledger_knows_an_invoice_without_any_mark_but_its_lines(
    make_world, databases, tmp_path_factory
):
    """A person renumbered it and wrote another reference; a ledger that never looked reads all lines once."""
    world = make_world(databases.fresh(tmp_path_factory.mktemp("first")))
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-9001", Reference="As agreed")
    world.begin_anew(databases.fresh(tmp_path_factory.mktemp("empty")))
    world.deliver(world.line(1, account=1), world.line(0, account=0))
    with pytest.raises(LedgerError, match="INV-9001"):
        world.settle()
    assert len(world.ours()) == 1


def test_a_number_that_is_held_by_what_waits_here_stops_everything(world, databases, tmp_path_factory):
    """The holder has no marker any more, but it bills a worklog that this ledger has on another invoice."""
    world.deliver(world.line(5, account=2))
    world.settle()
    world.ledger.close()
    old = databases.copy(world.url, tmp_path_factory.mktemp("copy"))
    world.ledger = world.open_ledger()
    world.clock.advance(3600)
    world.deliver(world.line(1, account=1))
    world.settle()
    [newest] = [row for row in world.invoices() if row["InvoiceNumber"] == "SDP-00002"]
    world.person("invoice", "edit", newest["InvoiceID"], Reference="As agreed")
    world.ledger.close()
    world.url = old
    world.ledger = world.open_ledger()
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    for _ in range(2):
        with pytest.raises(LedgerError, match="SDP-00002"):
            world.settle()
        world.recover()
    assert len(world.ours()) == 2


def test_an_old_copy_knows_an_invoice_by_nothing_but_its_lines(world, databases, tmp_path_factory):
    """It has looked before, and a person renumbered the invoice and rewrote its reference (seed 42382)."""
    world.settle()
    world.ledger.close()
    old = databases.copy(world.url, tmp_path_factory.mktemp("copy"))
    world.ledger = world.open_ledger()
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-9001", Reference="As agreed")
    world.ledger.close()
    world.url = old
    world.ledger = world.open_ledger()
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0))
    with pytest.raises(LedgerError, match=r"does not know \(INV-9001\)"):
        world.settle()
    assert len(world.ours()) == 1


def test_a_stop_for_another_reason_does_not_hide_that_another_ledger_has_sent_what_was_planned(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n, account=0) for n in range(3)))
    world.settle()
    forget_that_it_was_sent(world)
    line = {"Quantity": 1, "UnitAmount": 5, "Description": "Theirs\n(SDP request worklog 1003)"}
    contact = {"ContactID": world.contacts[0]["ContactID"]}
    theirs = world.person("invoice", "add", InvoiceNumber="INV-1", Contact=contact, LineItems=[line])
    world.deliver(world.line(3, account=0))
    world.clock.advance(60)
    with pytest.raises(BilledElsewhere, match="INV-1"):
        world.settle()
    world.person("invoice", "edit", theirs["InvoiceID"], Status="DELETED")
    with pytest.raises(LedgerError, match="Xero already has SDP-00001, which this ledger was about to send"):
        world.settle()
