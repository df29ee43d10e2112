"""What nothing but a person can tell: another's worklog of the same id, or ours in other clothes."""

from __future__ import annotations

import pytest
from msp_xero.billing import settle as settling
from msp_xero.billing.memory import tell_apart
from msp_xero.billing.rebuild import rebuild
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.errors import BilledElsewhere, LedgerError
from msp_xero.ledger import pushing
from msp_xero.ledger.decisions import Refusal, exclude_worklog
from msp_xero.ledger.models import ForeignLine
from sqlalchemy import func, select

from core.tests.billing.test_copies import delete_and_release, row_of, standing
from core.tests.billing.test_strangers import PUT, copy_of, settle_later


def somebody_elses(world, number, reference, *texts, contact=0):
    return world.person(
        "invoice",
        "add",
        InvoiceNumber=number,
        Reference=reference,
        Contact={"ContactID": world.contacts[contact]["ContactID"]},
        LineItems=[{"Quantity": 1, "UnitAmount": 5, "Description": text} for text in texts],
    )


def quite_another(world):
    """A task's worklog that has nothing but its id in common with the request's of that number."""
    created = "2026-01-01T00:00:00.000Z"
    return world.line(0, module="task", account=1, description="Quite other work", created_time=created)


def waiting_rows(world):
    return sorted({one.row for one in pushing.waiting_worklogs(world.ledger, ["1000"])})


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


def test_what_was_told_apart_is_still_not_billed_beside_its_own_text(sqlite_world, bill_and_lose):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-1", Reference="PO 7")
    world.settle()
    world.deliver(world.line(0, account=0))
    tell_apart(world.ledger, row_of(world))
    with pytest.raises(BilledElsewhere, match="INV-1"):
        settle_later(world)


@pytest.mark.parametrize("looks", ["for the first time", "again", "again, and it has changed"])
def test_a_persons_word_ends_the_stop_for_one_of_ours_that_its_marker_tells(
    sqlite_world, bill_and_lose, looks
):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-9001")
    if looks != "for the first time":
        settle_later(world, hours=24)
    if looks == "again, and it has changed":
        world.person("invoice", "edit", world.ours()[0]["InvoiceID"], Status="AUTHORISED")
    world.deliver(quite_another(world))
    with pytest.raises(BilledElsewhere, match=r"INV-9001.*`msp-xero rebuild --another ID`"):
        settle_later(world, hours=24)
    tell_apart(world.ledger, row_of(world))
    for _ in range(2):
        settle_later(world, hours=24)
    assert standing(world) == ["INV-9001", "SDP-00001"]


def test_so_it_does_where_others_are_on_record(sqlite_world, lose_the_ledger):
    world = sqlite_world
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    world.settle()
    first = next(row for row in world.invoices() if row["InvoiceNumber"] == "SDP-00001")
    world.person("invoice", "edit", first["InvoiceID"], InvoiceNumber="INV-9001")
    world.clock.advance(24 * 3600)
    lose_the_ledger(world)
    rebuild(world.ledger, world.client(), number_prefix="SDP-", only_prefix=True)
    world.deliver(quite_another(world))
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        settle_later(world)
    tell_apart(world.ledger, row_of(world))
    assert settle_later(world).invoices == 1
    assert standing(world) == ["INV-9001", "SDP-00002", "SDP-00003"]


@pytest.mark.parametrize("changes", [{"Reference": "PO 7"}, {}], ids=["rewritten", "our marker"])
@pytest.mark.parametrize(
    "as_it_is",
    [{}, {"description": "Corrected"}, {"account": 1, "module": "change", "description": "Moved"}],
    ids=["as billed", "corrected", "moved"],
)
def test_telling_one_worklog_apart_says_nothing_of_another_one_of_its_id(
    sqlite_world, bill_and_lose, changes, as_it_is
):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-9001", **changes)
    settle_later(world, hours=24)
    world.deliver(quite_another(world))
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        settle_later(world)
    tell_apart(world.ledger, row_of(world))
    assert settle_later(world).invoices == 1
    world.deliver(world.line(0, **{"account": 0, **as_it_is}))
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match="INV-9001"):
            settle_later(world)
    assert sorted(standing(world)) == ["INV-9001", "SDP-00001"]


def test_each_of_two_worklogs_of_one_id_has_its_own_word(sqlite_world, bill_and_lose):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-9001", Reference="PO 7")
    settle_later(world, hours=24)
    world.deliver(quite_another(world), world.line(0, account=2, module="change", description="More"))
    for row in waiting_rows(world):
        with pytest.raises(BilledElsewhere, match="INV-9001"):
            settle_later(world)
        tell_apart(world.ledger, row)
    assert settle_later(world).invoices == 2
    assert world.states() == {"invoiced": 2}


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
    sqlite_world, bill_and_lose
):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-1", Reference="PO 7")
    world.deliver(world.line(0, account=1, module="task", description="Told in other words"))
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match="INV-1"):
            settle_later(world)
    exclude_worklog(world.ledger, row_of(world), "it is on INV-1")
    assert settle_later(world).invoices == 0
    assert standing(world) == ["INV-1"]


def test_so_it_is_when_the_moved_worklog_comes_between_the_look_and_the_plan(sqlite_world, bill_and_lose):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-9001", Reference="PO 7")
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


def test_what_comes_after_the_last_question_waits_for_the_next_run(sqlite_world, bill_and_lose, monkeypatch):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-9001", Reference="PO 7")
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


def test_a_remembered_invoice_that_is_void_by_now_is_forgotten_and_stops_nothing(sqlite_world, bill_and_lose):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-1", Reference="PO 7")
    settle_later(world, hours=24)
    [ours] = world.ours()
    world.deliver(world.line(0, account=1, module="task", description="Told in other words"))
    with pytest.raises(BilledElsewhere, match="INV-1"):
        settle_later(world)
    world.person("invoice", "edit", ours["InvoiceID"], Status="DELETED")
    assert settle_later(world).invoices == 1
    with world.ledger.read() as session:
        assert session.scalar(select(func.count()).select_from(ForeignLine)) == 0


def test_one_that_xero_does_not_show_any_more_is_forgotten(sqlite_world, bill_and_lose):
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-1", Reference="PO 7")
    settle_later(world, hours=24)
    world.deliver(world.line(0, account=1, module="task", description="Told in other words"))
    client = world.client()
    invoices = client.invoices
    client.invoices = lambda **asked: (row for row in invoices(**asked) if row["InvoiceNumber"] != "INV-1")
    world.clock.advance(24 * 3600)
    assert settle(world.ledger, client, BillingSettings()).invoices == 1
    with world.ledger.read() as session:
        assert session.scalar(select(func.count()).select_from(ForeignLine)) == 0
