"""Lines that people moved between invoices of ours, and took off again before anybody looked."""

from __future__ import annotations

from datetime import date

import pytest
from msp_xero.billing.memory import tell_apart
from msp_xero.billing.rebuild import rebuild
from msp_xero.errors import BilledElsewhere
from msp_xero.ledger.decisions import Released, exclude_worklog, include_worklog, release_invoice
from msp_xero.ledger.foreign import told_of
from msp_xero.ledger.models import Invoice, InvoiceLine
from msp_xero.ledger.second_look import awaited
from msp_xero.ledger.views import count_on_gone_invoices, differing_invoices, find_worklogs, invoice_detail
from sqlalchemy import select, update

from core.tests.billing.test_copies import row_of
from core.tests.billing.test_put_together import (
    MEMBERS,
    calls_of,
    copy_lines,
    delete,
    numbered,
    on_live_invoices,
    take_off,
    two_drafts,
)
from core.tests.billing.test_strangers import CABLING, PUT, settle_later
from core.tests.billing.test_there_and_back import come_home, move, place

BOTH = ["1000", "1003"]


def deliver_both(world):
    world.deliver(world.line(0, account=0), world.line(3, account=0))


def link_all(world):
    world.link_accounts()
    world.link_types()


# What counts since a release, and no look has seen since


def released_onto_first(world):
    two_drafts(world)
    copy_lines(world)
    delete(world)
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))


def told(world):
    """Return what is said of invoices that are not in Xero as they were sent."""
    return {one.number: one.reason for one in differing_invoices(world.ledger)}


@pytest.mark.parametrize("nights_with_it", [1, 2])
def test_a_line_that_was_taken_off_before_the_release_is_told(world, nights_with_it):
    two_drafts(world)
    copy_lines(world)
    delete(world)
    for _ in range(nights_with_it):
        settle_later(world)
    take_off(world)
    release_invoice(world.ledger, "SDP-00002")
    calls = calls_of(world, lambda: settle_later(world))
    assert sum("IDs" in call for call in calls) >= 1
    for _ in range(2):
        assert settle_later(world).invoices == 0
    said = told(world)
    assert list(said) == ["SDP-00001"]
    there = "named by no line of it: (SDP request worklog 1003). Put each line back, ending as it is written"
    assert said["SDP-00001"].count(there) == 1
    assert [one.is_missing for one in awaited(world.ledger)] == [True]

    delete(world, "SDP-00001")
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00001") == Released(2, 0)
    assert settle_later(world).worklogs == 2
    assert on_live_invoices(world) == BOTH


def test_what_was_said_of_an_invoice_before_is_not_lost(world):
    released_onto_first(world)
    with world.ledger.write() as session:
        session.execute(update(Invoice).where(Invoice.number == "SDP-00001").values(reason="Xero warned."))
    take_off(world)
    settle_later(world)
    assert told(world)["SDP-00001"].startswith("Xero warned. Counted as billed by this invoice")


def test_a_line_that_is_still_there_is_looked_at_once(world):
    released_onto_first(world)
    assert [one.key for one in awaited(world.ledger)] == [("request", "1003")]
    calls = calls_of(world, lambda: settle_later(world))
    assert sum("IDs" in call for call in calls) == 1
    assert (awaited(world.ledger), told(world)) == ([], {})
    # From now on it is as any line that was sent: who takes it off has their reasons.
    take_off(world)
    for _ in range(2):
        assert settle_later(world).invoices == 0
    assert (world.states(), told(world)) == ({"invoiced": 2}, {})


def three_of_which_the_second_counts_on_the_first(world):
    two_drafts(world)
    world.deliver(world.line(6, account=0))
    settle_later(world)
    copy_lines(world)
    delete(world)
    settle_later(world)
    release_invoice(world.ledger, "SDP-00002")


def test_what_was_moved_on_to_a_third_invoice_is_not_billed_beside_it(world):
    three_of_which_the_second_counts_on_the_first(world)
    copy_lines(world, "SDP-00002", "SDP-00003")
    take_off(world)
    for _ in range(2):
        settle_later(world)
    assert (on_live_invoices(world), told(world)) == (["1000", "1003", "1006"], {})
    delete(world, "SDP-00003")
    settle_later(world)
    assert list(told(world)) == ["SDP-00001"]


def test_what_is_not_there_is_said_once_also_beside_a_line_without_a_mark(world):
    released_onto_first(world)
    onto = numbered(world, "SDP-00001")
    world.person("invoice", "edit", onto["InvoiceID"], LineItems=[onto["LineItems"][0], CABLING])
    for _ in range(3):
        settle_later(world)
    assert told(world)["SDP-00001"].count("named by no line of it") == 1
    assert len(awaited(world.ledger)) == 1


def test_two_lines_that_a_person_made_one_are_both_there(world):
    released_onto_first(world)
    onto = numbered(world, "SDP-00001")
    first, second = onto["LineItems"]
    one = {name: first[name] for name in MEMBERS}
    one |= {"Description": f"{second['Description']}\n{first['Description']}", "Quantity": 1.5}
    world.person("invoice", "edit", onto["InvoiceID"], LineItems=[one])
    settle_later(world)
    assert (told(world), awaited(world.ledger)) == ({}, [])


def test_an_invoice_that_comes_without_any_lines_is_looked_at_again(world, monkeypatch):
    released_onto_first(world)
    client = world.client()
    invoices = client.invoices

    def without_lines(**options):
        return [{**row, "LineItems": []} for row in invoices(**options)]

    monkeypatch.setattr(client, "invoices", without_lines)
    monkeypatch.setattr(world, "client", lambda: client)
    assert settle_later(world).invoices == 0
    assert (told(world), len(awaited(world.ledger))) == ({}, 1)
    monkeypatch.undo()
    settle_later(world)
    assert (told(world), awaited(world.ledger)) == ({}, [])


def test_one_that_is_deleted_before_it_was_seen_again_is_told_as_gone(world):
    released_onto_first(world)
    delete(world, "SDP-00001")
    settle_later(world)
    assert (count_on_gone_invoices(world.ledger), awaited(world.ledger)) == (2, [])
    assert invoice_detail(world.ledger, "SDP-00001").invoice.reason is None
    assert release_invoice(world.ledger, "SDP-00001") == Released(2, 0)
    assert settle_later(world).worklogs == 2
    assert on_live_invoices(world) == BOTH


@pytest.mark.parametrize("is_off", [True, False])
def test_a_second_line_that_a_rebuild_found_is_looked_at_too(world, lose, is_off):
    two_drafts(world)
    copy_lines(world)
    lose(world)
    found = rebuild(world.ledger, world.client(), number_prefix="SDP-")
    assert found.twice.first == ["request 1003 (SDP-00002)"]  # "is one a copy? ... does not count"
    link_all(world)
    deliver_both(world)
    settle_later(world)
    if is_off:
        second = numbered(world, "SDP-00002")["InvoiceID"]
        world.person("invoice", "edit", second, LineItems=[CABLING])
    settle_later(world)
    delete(world, "SDP-00001")
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00001") == Released(1, 1)
    for _ in range(2):
        deliver_both(world)
        settle_later(world)
    assert list(told(world)) == (["SDP-00002"] if is_off else [])
    assert on_live_invoices(world) == (["1000"] if is_off else BOTH)


def test_what_was_remembered_before_a_rebuild_is_not_awaited(world, lose):
    two_drafts(world)
    copy_lines(world)
    lose(world)
    deliver_both(world)
    with pytest.raises(BilledElsewhere, match="SDP-0000"):
        settle_later(world)
    rebuild(world.ledger, world.client(), number_prefix="SDP-")
    link_all(world)
    assert awaited(world.ledger) == []


def test_an_answer_that_was_lost_and_found_is_not_awaited(world):
    world.deliver(world.line(0, account=0))
    world.settle()
    delete(world, "SDP-00001")
    settle_later(world)
    release_invoice(world.ledger, "SDP-00001")
    world.fail({"kind": "reset_after_commit", "match": PUT})
    world.clock.advance(3600)
    world.settle_without_look_up()
    world.recover()
    settle_later(world)
    assert awaited(world.ledger) == []


def test_only_what_counts_here_and_now_is_awaited(world):
    released_onto_first(world)
    assert len(awaited(world.ledger)) == 1
    world.ledger.generation += 1  # as after a move to another organisation, where nobody could look
    assert awaited(world.ledger) == []
    world.ledger.generation -= 1
    with world.ledger.write() as session:
        session.execute(update(InvoiceLine).where(InvoiceLine.position == 2).values(live=False))
    assert awaited(world.ledger) == []


@pytest.mark.parametrize("is_off", [True, False])
def test_a_line_on_one_of_before_is_looked_at_once_the_connection_is_back(world, is_off):
    two_drafts(world)
    copy_lines(world)
    delete(world)
    settle_later(world)
    home = place(world)
    move(world)
    settle_later(world)
    come_home(world, home)
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))
    if is_off:
        take_off(world)
    for _ in range(2):
        deliver_both(world)
        settle_later(world)
    assert list(told(world)) == (["SDP-00001"] if is_off else [])


def test_the_memory_of_one_of_before_outlasts_the_look_at_what_counts(world):
    world.deliver(world.line(3, account=0))
    world.settle()
    world.deliver(world.line(0, account=0))
    settle_later(world)
    copy_lines(world)
    delete(world)
    settle_later(world)
    home = place(world)
    move(world, date(2026, 11, 3))
    exclude_worklog(world.ledger, row_of(world, "1003"), "not there")
    come_home(world, home)
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))
    settle_later(world)
    include_worklog(world.ledger, row_of(world, "1003"))
    world.deliver(world.line(3, account=0))
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)


# A line that has lost its mark


def put_there_after_the_release(world, *, lines):
    """Put a released line onto the first draft and have a run stop; then change the lines there."""
    two_drafts(world)
    delete(world)
    settle_later(world)
    release_invoice(world.ledger, "SDP-00002")
    copy_lines(world)
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    onto = numbered(world, "SDP-00001")
    world.person("invoice", "edit", onto["InvoiceID"], LineItems=lines(onto["LineItems"]))


def test_a_line_that_has_lost_its_mark_is_not_billed_beside_itself(world):
    put_there_after_the_release(
        world, lines=lambda lines: [lines[0], {**lines[1], "Description": "As agreed"}]
    )
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match=r"SDP-00001\) onto which .* that wait here \(1003\)"):
            settle_later(world)
    approved = numbered(world, "SDP-00001")["InvoiceID"]
    world.person("invoice", "edit", approved, Status="AUTHORISED")
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    exclude_worklog(world.ledger, row_of(world, "1003"), "it is on SDP-00001")
    assert settle_later(world).invoices == 0
    assert on_live_invoices(world) == ["1000"]


def test_of_a_line_whose_text_is_changed_beside_one_without_a_mark_the_newest_is_remembered(world):
    text = "As agreed\n(SDP request worklog 1003)"
    put_there_after_the_release(
        world, lines=lambda lines: [lines[0], {**lines[1], "Description": text}, CABLING]
    )
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    onto = numbered(world, "SDP-00001")["InvoiceID"]
    assert len(told_of(world.ledger, [onto])[onto]) == 1


def test_a_line_that_was_taken_off_beside_one_without_a_mark_can_be_told_apart(world):
    put_there_after_the_release(world, lines=lambda lines: [lines[0], CABLING])
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    tell_apart(world.ledger, row_of(world, "1003"))
    assert settle_later(world).worklogs == 1
    assert on_live_invoices(world) == BOTH


# What an older copy was stopped for, and a person put on an invoice that it knows


def renumbered(world):
    return next(one for one in world.ours() if one["InvoiceNumber"] == "INV-0001")


def put_on_ours(world):
    onto = numbered(world, "SDP-00001")
    lines = [{name: one[name] for name in MEMBERS} for one in renumbered(world)["LineItems"]]
    world.person("invoice", "edit", onto["InvoiceID"], LineItems=[*onto["LineItems"], *lines])


@pytest.mark.parametrize("is_deleted", [True, False])
def test_what_a_run_stopped_for_is_not_billed_beside_ours_onto_which_it_was_put(older, is_deleted):
    world = older(**({"Reference": "PO 4711"} if is_deleted else {}))
    world.deliver(world.line(3, account=0))
    with pytest.raises(BilledElsewhere, match="INV-0001"):
        settle_later(world)
    put_on_ours(world)
    if is_deleted:
        world.person("invoice", "delete", renumbered(world)["InvoiceID"])
    else:
        world.person("invoice", "edit", renumbered(world)["InvoiceID"], LineItems=[CABLING])
    if not is_deleted:  # the line that stands there now may be the very one, without its mark
        with pytest.raises(BilledElsewhere, match="INV-0001"):
            settle_later(world)
        tell_apart(world.ledger, row_of(world, "1003"))
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    assert on_live_invoices(world) == BOTH


def test_what_was_put_on_ours_a_night_before_the_other_one_was_deleted_is_known(older):
    world = older()
    settle_later(world)
    put_on_ours(world)
    settle_later(world)
    world.person("invoice", "delete", renumbered(world)["InvoiceID"])
    settle_later(world)
    world.deliver(world.line(3, account=0))
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    assert on_live_invoices(world) == BOTH


def test_all_is_looked_at_once_where_what_was_remembered_is_gone(older):
    world = older()
    settle_later(world)
    world.person("invoice", "delete", renumbered(world)["InvoiceID"])
    _, around = calls_of(world, lambda: settle_later(world))
    assert "summaryOnly" not in around
    [summary] = calls_of(world, lambda: settle_later(world))
    assert summary["summaryOnly"] == "true"


# Answers that help


def test_another_worklog_of_the_same_id_and_text_can_be_told_apart(world):
    world.deliver(world.line(0, account=0))
    world.settle()
    world.deliver(world.line(3, account=0, description="Remote support"))
    settle_later(world)
    copy_lines(world)
    delete(world)
    settle_later(world)
    other = {"module": "task", "created_time": "2026-10-01T00:00:00Z", "technician_id": "8"}
    world.deliver(world.line(3, account=1, description="Remote support", **other))
    with pytest.raises(BilledElsewhere, match="tell them apart"):
        settle_later(world)
    [row] = [one.row for one in find_worklogs(world.ledger, "1003") if one.module == "task"]
    assert tell_apart(world.ledger, row) == "open"
    assert settle_later(world).worklogs == 1


def test_an_invoice_that_a_rebuild_found_with_two_lines_of_one_worklog_can_be_released(world, lose):
    two_drafts(world)
    copy_lines(world, "SDP-00002", "SDP-00002")
    lose(world)
    rebuild(world.ledger, world.client(), number_prefix="SDP-")
    copy_lines(world)
    delete(world)
    world.clock.advance(3600)
    link_all(world)
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))
    with world.ledger.read() as session:
        lines = session.scalars(select(InvoiceLine.live).where(InvoiceLine.position > 1)).all()
    assert lines.count(True) == 1
