"""What people write behind our marks, or in their place: ours stays ours, and nobody else's becomes it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msp_xero.billing.rebuild import rebuild
from msp_xero.billing.strangers import Verdict, told_by, verdict_on
from msp_xero.errors import BilledElsewhere
from msp_xero.ledger.decisions import exclude_worklog
from msp_xero.ledger.models import Invoice, Worklog
from sqlalchemy import select, update

from core.tests.billing.test_copies import row_of
from core.tests.billing.test_strangers import copy_of, sent_without_an_answer, settle_later

REMARK = ", as agreed with Jo"


def rewrite(world, sent, *, line=None, **values):
    """Let a person edit an invoice; ``line`` changes its first one."""
    lines = [dict(one) for one in sent["LineItems"]]
    lines[0] |= line or {}
    world.person("invoice", "edit", sent["InvoiceID"], LineItems=lines, **values)


def write_behind(world, sent, reference=" PO 4711"):
    text = sent["LineItems"][0]["Description"] + REMARK
    rewrite(world, sent, line={"Description": text}, Reference=sent["Reference"] + reference)


@pytest.mark.parametrize("reference", [" PO 4711", " and [0badcafe]"])
@pytest.mark.parametrize("number", ["SDP-00001", "INV-7001"])
def test_a_lost_invoice_is_known_by_its_marks_whatever_is_written_behind_them(world, reference, number):
    sent = sent_without_an_answer(world)
    write_behind(world, sent, reference)
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber=number)
    world.deliver(world.line(1, account=1))
    assert settle_later(world).invoices == 2
    world.assert_exactly_once(2)


def test_a_line_that_was_put_beside_ours_stops_nothing(world):
    """A purchase order behind the reference, and the line of another draft of ours."""
    world.deliver(world.line(3, account=0))
    world.settle()
    [other] = world.invoices()
    sent = sent_without_an_answer_later(world)
    merge(world, sent, other, sent["Reference"] + " PO 4711")
    world.deliver(world.line(1, account=1))
    assert settle_later(world).invoices == 2
    assert world.states() == {"invoiced": 3}


def test_ours_with_another_line_and_no_mark_in_its_reference_is_taken_over_once_that_is_back(sqlite_world):
    world = sqlite_world
    world.deliver(world.line(3, account=0))
    world.settle()
    [other] = world.invoices()
    sent = sent_without_an_answer_later(world)
    merge(world, sent, other, "PO 4711")
    with pytest.raises(BilledElsewhere, match="put the mark that `msp-xero invoices show` has of it back"):
        settle_later(world)
    assert world.states() == {"invoiced": 1, "planned": 1}
    world.person("invoice", "edit", sent["InvoiceID"], Reference="PO 4711 " + mark_of(sent))
    settle_later(world)
    assert world.states() == {"invoiced": 2}


def sent_without_an_answer_later(world):
    world.clock.advance(3600)
    before = {one["InvoiceID"] for one in world.ours()}
    world.deliver(world.line(0, account=0))
    world.fail({"kind": "reset_after_commit", "match": {"method": "PUT"}})
    world.settle_without_look_up()
    world.recover()
    [sent] = [one for one in world.ours() if one["InvoiceID"] not in before]
    return sent


def merge(world, sent, other, reference):
    """Let a person put the lines of another draft on this one, and delete the other."""
    names = ("Description", "Quantity", "UnitAmount", "AccountCode", "TaxType")
    lines = [*sent["LineItems"], *({name: one[name] for name in names} for one in other["LineItems"])]
    world.person("invoice", "edit", sent["InvoiceID"], Reference=reference, LineItems=lines)
    world.person("invoice", "delete", other["InvoiceID"])


def mark_of(sent):
    return sent["Reference"].rpartition(" ")[2]


ELSEWISE = {"line": {"Description": "Support in November"}, "Reference": "PO 4711"}


def rewritten(world, change):
    """An invoice whose answer was lost, and of which a person has left the number and little else."""
    sent = sent_without_an_answer(world)
    values = dict(ELSEWISE)
    if change == "amount":
        values["line"] = {**values["line"], "UnitAmount": 1}
    if change == "contact":
        values["Contact"] = {"ContactID": world.contacts[4]["ContactID"]}
    rewrite(world, sent, **values)
    if change == "clock":
        # It was planned under a clock that was ahead.
        with world.ledger.write() as session:
            session.execute(update(Invoice).values(planned_at=world.time.now() + timedelta(days=1)))
    return sent


@pytest.mark.parametrize("change", ["texts", "amount", "contact", "clock"])
def test_ours_under_its_number_is_not_billed_beside_it_though_both_marks_are_gone(world, change):
    sent = rewritten(world, change)
    world.deliver(world.line(1, account=1))
    for _ in range(2):
        settle_later(world)
        assert [(i.number, i.state) for i in world.ledger_invoices()] == [
            ("SDP-00001", "conflict"),
            ("SDP-00002", "created"),
        ]
    world.person("invoice", "edit", sent["InvoiceID"], Reference=f"PO 4711 {mark_of(sent)}, thanks")
    settle_later(world)
    assert world.ledger_invoices()[0].state == "created"
    assert (len(world.invoices()), world.states()) == (2, {"invoiced": 2})


def test_where_it_is_somebody_elses_after_all_ours_goes_out_once_that_is_renumbered(world):
    sent = rewritten(world, "texts")
    settle_later(world)
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-0001")
    assert settle_later(world).invoices == 1
    world.assert_exactly_once(1)


def test_what_had_our_number_before_is_somebody_elses_also_for_the_same_customer(world):
    theirs = world.write_by_hand("SDP-00001")
    contact = {"ContactID": world.contacts[0]["ContactID"]}
    world.person("invoice", "edit", theirs["InvoiceID"], Contact=contact)
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0))
    world.settle()
    settle_later(world)
    world.assert_exactly_once(1)
    assert [one["InvoiceNumber"] for one in world.ours()] == ["SDP-00002"]


def test_a_date_in_brackets_is_no_mark_of_another_ledger(world):
    """Ours by its number and its lines, though its reference was rewritten."""
    sent = sent_without_an_answer(world)
    world.person("invoice", "edit", sent["InvoiceID"], Reference="[20261122] PO 4711")
    assert settle_later(world).invoices == 1
    world.assert_exactly_once(1)


def billed_and_lost(world, lose_the_ledger, **changes):
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    rewrite(world, sent, **changes)
    lose_the_ledger(world)
    return sent


@pytest.mark.parametrize(
    "changes",
    [
        {"line": {"Description": f"Work\n(SDP request worklog 1000){REMARK}"}, "Reference": "PO 4711"},
        {"line": {"Description": "Support in November"}, "Reference": "Work [0123abcd] PO 4711"},
    ],
    ids=["line", "reference"],
)
def test_an_empty_ledger_is_stopped_by_a_mark_that_something_is_written_behind(
    sqlite_world, lose_the_ledger, changes
):
    world = sqlite_world
    billed_and_lost(world, lose_the_ledger, **changes)
    world.deliver(world.line(0, account=0))
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match="SDP-00001"):
            settle_later(world, hours=24)


def test_where_only_a_date_in_brackets_is_left_of_its_reference_a_moved_worklog_is_asked_about(
    sqlite_world, lose_the_ledger
):
    world = sqlite_world
    sent = billed_and_lost(world, lose_the_ledger, Reference="[20261122] PO 4711")
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001")
    world.deliver(world.line(0, account=1, description="Another text"))
    with pytest.raises(BilledElsewhere, match="INV-7001"):
        settle_later(world)
    exclude_worklog(world.ledger, row_of(world, "1000"), "it is on INV-7001")
    settle_later(world)


@pytest.mark.parametrize("revision", [1, 2])
def test_a_line_that_was_put_on_a_renumbered_invoice_of_another_customer_is_asked_about(
    sqlite_world, lose_the_ledger, revision
):
    """Its mark in the reference was made without that line, and of a worklog that does not wait here."""
    world = sqlite_world
    deliver_what_was_released_before(world, revision)
    world.deliver(world.line(1, account=1))
    world.settle()
    first, second = world.invoices()
    world.person("invoice", "edit", first["InvoiceID"], InvoiceNumber="INV-7001")
    merge(world, first, second, first["Reference"])
    lose_the_ledger(world)
    deliver_what_was_released_before(world, revision)
    exclude_worklog(world.ledger, row_of(world, "1000"), "goodwill")
    world.deliver(world.line(1, account=1, description="Another text"))
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match="INV-7001"):
            settle_later(world)
    exclude_worklog(world.ledger, row_of(world, "1001"), "it is on INV-7001")
    settle_later(world)
    assert world.states() == {"excluded": 2}


@pytest.mark.parametrize(("own", "others"), [(50, 1), (51, 1), (60, 50), (1, 60)])
def test_a_line_of_many_on_a_renumbered_invoice_is_asked_about(sqlite_world, lose_the_ledger, own, others):
    """Of so many lines not each beginning is tried, but the first ones and the last ones are."""
    world = sqlite_world
    behind = [world.line(100 + number, account=1) for number in range(others)]
    world.deliver(*(world.line(number, account=0) for number in range(own)), *behind)
    world.settle()
    first, second = sorted(world.invoices(), key=lambda one: len(one["LineItems"]) != own)
    world.person("invoice", "edit", first["InvoiceID"], InvoiceNumber="INV-7001")
    merge(world, first, second, first["Reference"])
    lose_the_ledger(world)
    world.deliver(world.line(100, account=1, description="Another text"))
    with pytest.raises(BilledElsewhere, match="INV-7001"):
        settle_later(world)


def test_a_mark_is_tried_with_all_lines_that_can_be_read_however_many_are_recalled(
    sqlite_world, lose_the_ledger
):
    world = sqlite_world
    behind = [world.line(100 + number, account=1) for number in range(60)]
    world.deliver(*(world.line(number, account=0) for number in range(60)), *behind)
    world.settle()
    first, second = world.invoices()
    world.person("invoice", "edit", first["InvoiceID"], InvoiceNumber="INV-7001")
    lose_the_ledger(world)
    world.deliver(world.line(0, account=1, description="Another text"))
    recalled = list(told_by(second))
    assert verdict_on(world.ledger, first, "SDP-", recalled) is Verdict.BILLS_WHAT_WAITS


def deliver_what_was_released_before(world, revision):
    world.deliver(world.line(0, account=0))
    with world.ledger.write() as session:
        session.execute(update(Worklog).values(revision=revision))


def test_a_rebuild_reads_a_mark_that_something_is_written_behind(sqlite_world, lose_the_ledger):
    world = sqlite_world
    text = "Worklog 0, see (SDP request worklog 7)\n(SDP request worklog 1000)"
    reference = "Work [0123abcd] PO 4711"
    billed_and_lost(world, lose_the_ledger, line={"Description": text + REMARK}, Reference=reference)
    found = rebuild(world.ledger, world.client(), number_prefix="SDP-")
    assert (found.worklogs, found.unmarked.count) == (1, 0)
    with world.ledger.read() as session:
        assert session.scalars(select(Worklog.description)).all() == [
            "Worklog 0, see (SDP request worklog 7)"
        ]
    assert [invoice.marker for invoice in world.ledger_invoices()] == ["0123abcd"]
    world.deliver(world.line(0, account=0))
    settle_later(world)
    world.assert_exactly_once(1)


def test_a_rebuild_tells_of_a_renumbered_one_of_which_only_the_mark_in_its_reference_is_left(
    sqlite_world, lose_the_ledger
):
    world = sqlite_world
    line = {"Description": "Support in November"}
    sent = billed_and_lost(world, lose_the_ledger, line=line, Reference="Work [0123abcd] PO 4711")
    world.person("invoice", "edit", sent["InvoiceID"], InvoiceNumber="INV-7001")
    assert rebuild(world.ledger, world.client(), number_prefix="SDP-").unmarked.first == ["INV-7001"]


def test_who_quotes_a_mark_of_ours_on_an_invoice_of_their_own_stops_nothing(world):
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    text = sent["LineItems"][0]["Description"].split("\n")[1]
    line = {"Quantity": 1, "UnitAmount": 5, "Description": f"Correction of {text}, sorry"}
    copy_of(world, sent, "INV-7001", Reference=f"For {mark_of(sent)}, sorry", LineItems=[line])
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0), world.line(1, account=0))
    assert settle_later(world).invoices == 1
    assert world.states() == {"invoiced": 2}
