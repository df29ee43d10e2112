"""A person puts two of our invoices together: the lines of one go onto the other, and it is deleted."""

from __future__ import annotations

import pytest
from msp_xero.billing.memory import refuse_to_leave, tell_apart
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.errors import BilledElsewhere, LedgerError
from msp_xero.ledger.decisions import Released, exclude_worklog, include_worklog, release_invoice
from msp_xero.ledger.views import count_on_gone_invoices, invoice_detail

from core.tests.billing.conftest import worklogs_of
from core.tests.billing.test_copies import row_of
from core.tests.billing.test_strangers import PUT, settle_later

MEMBERS = ("Description", "Quantity", "UnitAmount", "ItemCode", "AccountCode", "TaxType")


def two_drafts(world):
    """Bill two worklogs of one customer in two nights."""
    world.deliver(world.line(0, account=0))
    world.settle()
    world.deliver(world.line(3, account=0))
    settle_later(world)


def numbered(world, number):
    return next(one for one in world.invoices() if one["InvoiceNumber"] == number)


def copy_lines(world, source="SDP-00002", target="SDP-00001", **changes):
    """Put the lines of an invoice onto another one."""
    onto = numbered(world, target)
    lines = [
        {**{name: one[name] for name in MEMBERS}, **changes} for one in numbered(world, source)["LineItems"]
    ]
    world.person("invoice", "edit", onto["InvoiceID"], LineItems=[*onto["LineItems"], *lines])


def take_off(world, number="SDP-00001"):
    """Take the last line off an invoice."""
    invoice = numbered(world, number)
    world.person("invoice", "edit", invoice["InvoiceID"], LineItems=invoice["LineItems"][:-1])


def delete(world, number="SDP-00002", **before):
    """Delete a draft, edited before."""
    invoice_id = numbered(world, number)["InvoiceID"]
    if before:
        world.person("invoice", "edit", invoice_id, **before)
    world.person("invoice", "delete", invoice_id)


def deleted_and_released(world):
    two_drafts(world)
    delete(world)
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(1, 0)


def on_live_invoices(world):
    return sorted(worklog_id for one in world.ours() for _, worklog_id in worklogs_of(one))


def calls_of(world, act) -> list[dict[str, str]]:
    """Return the queries of the calls for invoices that a run makes."""
    before = len(world.faulty.log.since())
    act()
    calls = world.faulty.log.since()[before:]
    return [call["query"] for call in calls if call["path"].endswith("/Invoices")]


@pytest.mark.parametrize("nights_between", [0, 1])
def test_what_was_put_onto_another_invoice_stays_billed_by_that_one_when_it_is_released(
    world, nights_between
):
    two_drafts(world)
    copy_lines(world)
    for _ in range(nights_between):
        settle_later(world)
    delete(world)
    settle_later(world)
    assert count_on_gone_invoices(world.ledger) == 1
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))
    assert count_on_gone_invoices(world.ledger) == 0
    for _ in range(2):
        assert settle_later(world).invoices == 0
    assert on_live_invoices(world) == ["1000", "1003"]
    assert world.states() == {"invoiced": 2}
    shown = invoice_detail(world.ledger, "SDP-00001")
    assert (shown.invoice.line_count, shown.invoice.minutes) == (2, 90)
    assert [line.worklog_id for line in shown.lines if line.live] == ["1000", "1003"]

    delete(world, "SDP-00001")
    settle_later(world)
    assert count_on_gone_invoices(world.ledger) == 2
    assert release_invoice(world.ledger, "SDP-00001") == Released(2, 0)
    assert settle_later(world).worklogs == 2
    assert on_live_invoices(world) == ["1000", "1003"]


def test_what_is_gone_is_known_by_its_id_in_whatever_clothes(world):
    two_drafts(world)
    copy_lines(world)
    settle_later(world)
    delete(world, InvoiceNumber="INV-0001", Reference="Put together")
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))


def test_a_line_of_a_worklog_that_was_moved_since_is_known_as_it_was_billed(world):
    two_drafts(world)
    world.deliver(world.line(3, account=0, module="task"))
    copy_lines(world)
    delete(world)
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))


def test_what_a_person_has_told_apart_does_not_stay_billed_by_that_line(world):
    deleted_and_released(world)
    world.deliver(world.line(3, account=0, description="Another text"))
    copy_lines(world)
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    tell_apart(world.ledger, row_of(world, "1003"))
    assert settle_later(world).worklogs == 1
    delete(world, "SDP-00003")
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00003") == Released(1, 0)


def test_a_line_whose_text_was_changed_is_known_by_its_mark(world):
    two_drafts(world)
    copy_lines(world, Description="As agreed\n(SDP request worklog 1003)", UnitAmount=0)
    delete(world)
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))


def test_only_what_was_put_onto_another_invoice_stays_billed(world):
    world.deliver(world.line(0, account=0))
    world.settle()
    world.deliver(world.line(3, account=0), world.line(6, account=0))
    settle_later(world)
    copy_lines(world)
    take_off(world)
    delete(world)
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(1, 1, ("SDP-00001",))
    assert settle_later(world).worklogs == 1
    assert on_live_invoices(world) == ["1000", "1003", "1006"]


def test_an_invoice_whose_answer_was_lost_is_looked_for_on_others_too(world):
    world.deliver(world.line(0, account=0))
    world.settle()
    world.clock.advance(3600)
    world.deliver(world.line(3, account=0))
    world.fail({"kind": "reset_after_commit", "match": PUT})
    world.settle_without_look_up()
    world.recover()
    copy_lines(world)
    delete(world)
    for _ in range(2):
        settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))


@pytest.mark.parametrize("before", [{"Reference": "Put together"}, {"InvoiceNumber": "INV-0001"}])
def test_one_that_could_not_be_looked_up_before_is_looked_for_as_far_back_as_it_was_planned(world, before):
    world.deliver(world.line(0, account=0))
    world.settle()
    world.clock.advance(3600)
    world.deliver(world.line(3, account=0))
    world.fail({"kind": "reset_after_commit", "match": PUT})
    world.settle_without_look_up()
    world.recover()
    copy_lines(world)
    look_up = {"method": "GET", "query": {"InvoiceNumbers": "SDP-00002"}}
    world.fail({"kind": "status", "status": 404, "match": look_up, "times": 100})
    settle_later(world)
    world.recover()
    delete(world, **before)
    for _ in range(2):
        settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(0, 1, ("SDP-00001",))


def test_what_is_put_onto_another_invoice_after_it_was_released_stops_the_run(world):
    deleted_and_released(world)
    copy_lines(world)
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match=r"SDP-00001\) onto which .* that wait here \(1003\)"):
            settle_later(world)
    with pytest.raises(LedgerError, match=r"lines on ours, that this ledger does not know \(SDP-00001\)"):
        refuse_to_leave(world.ledger)
    exclude_worklog(world.ledger, row_of(world, "1003"), "it is on SDP-00001")
    assert settle_later(world).invoices == 0
    include_worklog(world.ledger, row_of(world, "1003"))
    world.deliver(world.line(3, account=0))
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    assert on_live_invoices(world) == ["1000", "1003"]
    take_off(world)
    assert settle_later(world).worklogs == 1
    assert on_live_invoices(world) == ["1000", "1003"]


def test_a_worklog_that_was_moved_since_is_known_by_its_id_alone(world):
    deleted_and_released(world)
    world.deliver(world.line(3, account=1, module="task", description="Another text"))
    copy_lines(world)
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    tell_apart(world.ledger, row_of(world, "1003"))
    assert settle_later(world).worklogs == 1


def test_what_was_planned_before_it_was_put_onto_another_invoice_is_taken_back(world):
    deleted_and_released(world)
    world.fail({"kind": "rate_day", "retry_after": 1800, "match": PUT})
    settle_later(world)
    world.faulty.clear_faults()
    assert world.states() == {"invoiced": 1, "planned": 1}
    copy_lines(world)
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    assert world.states() == {"invoiced": 1, "open": 1}


@pytest.fixture
def old_copy(world, databases, tmp_path):
    """A function that leaves a world with an older copy of its ledger, which knows one draft of two.

    They were put together since; the other one is gone, in the clothes that are named.
    """

    def old_copy(**before):
        world.deliver(world.line(0, account=0))
        world.settle()
        settle_later(world)
        world.ledger.close()
        backup = databases.copy(world.url, tmp_path)
        world.deliver(world.line(3, account=0))
        settle_later(world)
        copy_lines(world)
        delete(world, **before)
        world.ledger.close()
        world.url = backup
        world.ledger = world.open_ledger()
        settle_later(world)
        # It is remembered, whatever becomes of that invoice until the worklog comes.
        world.person("invoice", "edit", numbered(world, "SDP-00001")["InvoiceID"], Status="AUTHORISED")
        settle_later(world)
        return world

    return old_copy


@pytest.mark.parametrize("before", [{}, {"Reference": "Put together"}, {"InvoiceNumber": "INV-0001"}])
def test_an_old_copy_reads_what_was_put_onto_an_invoice_that_it_knows(old_copy, before):
    """It knows nothing of the other one, which is gone."""
    world = old_copy(**before)
    world.deliver(world.line(3, account=0))
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    assert on_live_invoices(world) == ["1000", "1003"]
    take_off(world)
    assert settle_later(world).worklogs == 1
    assert on_live_invoices(world) == ["1000", "1003"]


def test_a_worklog_that_comes_after_the_look_is_compared_before_it_is_planned(old_copy):
    world = old_copy()
    client = world.client()
    items = client.items

    def delivered_meanwhile(**options):
        world.deliver(world.line(3, account=0))
        return items(**options)

    client.items = delivered_meanwhile
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle(world.ledger, client, BillingSettings())
    assert on_live_invoices(world) == ["1000", "1003"]


def test_lines_of_ours_are_read_only_where_one_can_matter(world):
    two_drafts(world)
    settle_later(world)
    copy_lines(world)
    [summary] = calls_of(world, lambda: settle_later(world))
    assert summary["summaryOnly"] == "true"
    delete(world)
    summary, around = calls_of(world, lambda: settle_later(world))
    assert summary["summaryOnly"] == "true"
    assert "summaryOnly" not in around
    take_off(world)  # it may have been moved on to any invoice of ours
    full, around = calls_of(world, lambda: settle_later(world))
    assert "summaryOnly" not in full
    assert "summaryOnly" not in around
    copy_lines(world)
    [full] = calls_of(world, lambda: settle_later(world))  # as long as it is not released, with its lines
    assert "summaryOnly" not in full
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002").moved_to == ("SDP-00001",)
    full, seen_again = calls_of(world, lambda: settle_later(world))
    assert ("summaryOnly" in full, "IDs" in seen_again) == (False, True)
    [summary] = calls_of(world, lambda: settle_later(world))
    assert summary["summaryOnly"] == "true"
