"""An invoice that counts as billed on a person's word, as its answer never came, is looked for at home."""

from __future__ import annotations

import pytest
from msp_xero.ledger.decisions import Refusal, release_invoice
from msp_xero.ledger.views import count_on_gone_invoices

from core.tests.billing.test_another_organisation import (
    check_history,
    go_back,
    link_again,
    met,
    open_another_organisation,
    reinitialise,
    start_over_with,
)
from core.tests.billing.test_strangers import copy_of, sent_without_an_answer, settle_later


def counted_as_billed_and_at_home(world, meanwhile=lambda _sent: None):
    """An invoice whose answer never came counts as billed; then its organisation is billed again."""
    rows = world.rows
    sent = sent_without_an_answer(world)
    meanwhile(sent)
    open_another_organisation(world)
    reinitialise(world, count_as_billed=["SDP-00001"], not_compared=True)
    settle_later(world)
    go_back(world)
    start_over_with(world, met(world))
    link_again(world, rows)
    return sent


def test_what_counted_as_billed_and_is_deleted_at_home_is_told_and_can_be_released(world):
    sent = counted_as_billed_and_at_home(world)
    with pytest.raises(Refusal, match="no run has found it in Xero since"):
        release_invoice(world.ledger, "SDP-00001")
    world.settle()
    with pytest.raises(Refusal, match="void or delete it in Xero first"):
        release_invoice(world.ledger, "SDP-00001")
    world.person("invoice", "delete", sent["InvoiceID"])
    assert settle_later(world).refreshed == 1
    assert count_on_gone_invoices(world.ledger) == 1
    assert release_invoice(world.ledger, "SDP-00001").free == 1
    world.deliver(world.line(0, account=0))
    assert world.settle().worklogs == 1
    assert [one["InvoiceNumber"] for one in world.ours()] == ["SDP-00002"]
    check_history(world)


def test_what_counted_as_billed_and_was_deleted_before_the_way_home_is_told(world):
    counted_as_billed_and_at_home(world, lambda sent: world.person("invoice", "delete", sent["InvoiceID"]))
    world.settle()
    assert count_on_gone_invoices(world.ledger) == 1


def test_it_is_known_by_its_marker_whatever_a_person_has_written_behind_it(world):
    def meanwhile(sent):
        world.person("invoice", "edit", sent["InvoiceID"], Reference=f"{sent['Reference']} PO 4711")

    sent = counted_as_billed_and_at_home(world, meanwhile)
    world.settle()
    assert [one.xero_id for one in world.ledger_invoices()] == [sent["InvoiceID"]]


@pytest.mark.parametrize("is_renumbered", [False, True])
def test_a_copy_of_what_counted_as_billed_does_not_take_its_place(world, is_renumbered):
    def meanwhile(sent):
        if is_renumbered:
            world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001")
        else:
            copy_of(world, sent, "CPY-0001")

    sent = counted_as_billed_and_at_home(world, meanwhile)
    world.settle()
    assert [one.xero_id for one in world.ledger_invoices()] == [sent["InvoiceID"]]
    copy_of(world, sent, "CPY-0002")
    settle_later(world)
    assert [one.xero_id for one in world.ledger_invoices()] == [sent["InvoiceID"]]


@pytest.mark.parametrize("stands", ["the first", "the one made again"])
def test_the_one_that_stands_takes_its_place_where_the_other_is_gone(world, stands):
    def meanwhile(sent):
        invoices = world.xero.rows.invoices
        first = invoices[sent["InvoiceID"]]
        world.person("invoice", "delete", sent["InvoiceID"])
        again = copy_of(world, sent, "SDP-00001")
        if stands == "the first":
            world.person("invoice", "delete", again["InvoiceID"])
            invoices[sent["InvoiceID"]] = first

    counted_as_billed_and_at_home(world, meanwhile)
    world.settle()
    [standing] = world.ours()
    assert [one.xero_id for one in world.ledger_invoices()] == [standing["InvoiceID"]]


def test_a_trial_that_was_taken_back_before_the_ledger_began_does_not_take_its_place(
    sqlite_world, lose_the_ledger
):
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    world.person("invoice", "delete", world.ours()[0]["InvoiceID"])
    world.clock.advance(30 * 86_400)
    lose_the_ledger(world)
    sent = counted_as_billed_and_at_home(world)
    del world.xero.rows.invoices[sent["InvoiceID"]]
    world.settle()
    assert [one.xero_id for one in world.ledger_invoices()] == [None]


def test_a_call_that_arrives_after_the_way_home_is_known_by_its_number_and_no_copy_of_it_is(world):
    sent = counted_as_billed_and_at_home(world)
    late = world.xero.rows.invoices.pop(sent["InvoiceID"])
    world.settle()
    world.clock.advance(3600)
    copy_of(world, sent, "CPY-0001")
    world.settle()
    assert [one.xero_id for one in world.ledger_invoices()] == [None]
    world.xero.rows.invoices[sent["InvoiceID"]] = late
    world.clock.advance(3600)
    world.person("invoice", "edit", sent["InvoiceID"], Status="AUTHORISED")
    world.settle()
    assert [one.xero_id for one in world.ledger_invoices()] == [sent["InvoiceID"]]


def test_what_counted_as_billed_and_is_not_there_is_released_on_a_persons_word(world):
    sent = counted_as_billed_and_at_home(world)
    del world.xero.rows.invoices[sent["InvoiceID"]]
    world.settle()
    with pytest.raises(Refusal, match="no run has found it in Xero since"):
        release_invoice(world.ledger, "SDP-00001")
    assert release_invoice(world.ledger, "SDP-00001", voided_there=True).free == 1
