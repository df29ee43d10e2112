"""What counts as billed since a release is looked for until a look has seen it there."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msp_xero.billing.document import worklog_marker
from msp_xero.errors import BilledElsewhere
from msp_xero.ledger import foreign
from msp_xero.ledger.decisions import Released, release_invoice
from msp_xero.ledger.models import ForeignLine, Invoice, InvoiceLine, Worklog
from msp_xero.ledger.second_look import awaited, note_seen
from sqlalchemy import insert, select

from core.tests.billing.test_lines_that_changed import acme, settle_whatever
from core.tests.billing.test_put_together import (
    MEMBERS,
    copy_lines,
    delete,
    deleted_and_released,
    numbered,
    on_live_invoices,
    take_off,
    two_drafts,
)
from core.tests.billing.test_strangers import settle_later
from core.tests.billing.test_taken_off_again import (
    released_onto_first,
    three_of_which_the_second_counts_on_the_first,
    told,
)
from core.tests.billing.test_there_and_back import come_home, move, place

ZERO = Decimal(0)


# What is remembered outlasts answers without lines, and a move


def without_lines(world, monkeypatch):
    client = world.client()
    invoices = client.invoices
    monkeypatch.setattr(
        client, "invoices", lambda **options: [{**row, "LineItems": []} for row in invoices(**options)]
    )
    monkeypatch.setattr(world, "client", lambda: client)


def test_what_was_seen_on_ours_outlasts_an_answer_without_lines(world, monkeypatch):
    deleted_and_released(world)
    copy_lines(world)
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    world.person("invoice", "edit", numbered(world, "SDP-00001")["InvoiceID"], Status="AUTHORISED")
    without_lines(world, monkeypatch)
    settle_whatever(world, 1)
    assert on_live_invoices(world) == ["1000", "1003"]


def test_an_edited_invoice_that_comes_without_any_lines_is_looked_at_again(world, monkeypatch):
    released_onto_first(world)
    take_off(world)
    without_lines(world, monkeypatch)
    settle_later(world)
    monkeypatch.undo()
    settle_later(world)
    assert list(told(world)) == ["SDP-00001"]


def test_a_draft_that_a_person_emptied_is_told(world):
    released_onto_first(world)
    world.person("invoice", "edit", numbered(world, "SDP-00001")["InvoiceID"], LineItems=[])
    settle_whatever(world, 3)
    assert list(told(world)) == ["SDP-00001"]


def test_what_was_awaited_before_a_move_is_looked_at_once_the_connection_is_back(world):
    released_onto_first(world)
    take_off(world)
    home = place(world)
    move(world)
    settle_later(world)
    come_home(world, home)
    settle_whatever(world, 3)
    assert list(told(world)) == ["SDP-00001"]


# What each run costs


def fill(world, many, remembered=0):
    """Put many invoices of one worklog each into the ledger, and lines of a stranger's."""
    here, now = world.ledger.connection_id, world.time.now()
    every = range(1, many + 1)
    worklog = {
        "connection_id": here,
        "module": "request",
        "decision": "bill",
        "source": {},
        "line_digest": "",
    }
    worklog |= {"state": "invoiced", "first_seen_at": now, "last_seen_at": now}
    invoice = {
        "connection_id": here,
        "generation": 1,
        "account_id": "0",
        "contact_id": "c",
        "currency": "NZD",
    }
    invoice |= {"invoice_date": now.date(), "due_date": now.date(), "reference": "", "marker": ""}
    invoice |= {"wanted_status": "DRAFT", "line_amount_types": "Exclusive", "subtotal": ZERO, "total": ZERO}
    invoice |= {"total_tax": ZERO, "line_count": 1, "minutes": 1, "state": "created", "planned_at": now}
    line = {"revision": 1, "position": 1, "live": True, "description": "", "quantity": ZERO, "tax": ZERO}
    line |= {"unit_price": ZERO, "amount": ZERO, "item_code": "", "account_code": "", "tax_type": ""}
    other = {"connection_id": here, "generation": 1, "contact_id": "c", "module": "request"}
    other |= {"digest": "", "is_ours": False}
    with world.ledger.write() as session:
        session.execute(insert(Worklog), [{**worklog, "id": n, "worklog_id": str(n)} for n in every])
        numbers = [{**invoice, "id": n, "number": f"SDP-{n:05d}", "xero_id": f"id-{n}"} for n in every]
        session.execute(insert(Invoice), numbers)
        session.execute(insert(InvoiceLine), [{**line, "invoice_id": n, "worklog_row": n} for n in every])
        for n in range(remembered):
            told_of = {"invoice_id": f"other-{n}", "number": f"ACME-{n}", "worklog_id": f"x{n}"}
            session.execute(insert(ForeignLine), [{**other, **told_of}])


def steps_of(world, act):
    """Return how many thousand steps SQLite takes for something."""
    steps = []
    with world.ledger.engine.connect() as one:
        raw = one.connection.driver_connection
        raw.set_progress_handler(lambda: steps.append(1) and 0, 1000)
    try:
        act()
    finally:
        raw.set_progress_handler(None, 0)
    return len(steps)


def test_where_nothing_is_awaited_the_ledger_is_not_walked_through(sqlite_world):
    fill(sqlite_world, 1000)
    assert steps_of(sqlite_world, lambda: awaited(sqlite_world.ledger)) < 2


def test_what_is_remembered_is_not_compared_with_each_invoice(sqlite_world):
    fill(sqlite_world, 1000, remembered=1000)
    assert steps_of(sqlite_world, lambda: foreign.told_of_what_waits(sqlite_world.ledger)) < 200


# One invoice that Xero cannot show


def test_an_invoice_that_cannot_be_read_once_more_delays_no_other(world):
    released_onto_first(world)
    world.deliver(world.line(1, account=1))
    match = {"method": "GET", "query": {"IDs": numbered(world, "SDP-00001")["InvoiceID"]}}
    world.fail({"kind": "status", "status": 500, "match": match, "times": 10_000})
    settle_later(world)
    assert world.states() == {"invoiced": 3}


def test_only_the_one_that_cannot_be_read_is_left_for_the_next_look(world):
    for number in (0, 3, 6, 9):
        world.deliver(world.line(number, account=0))
        settle_later(world)
    for gone, onto in (("SDP-00002", "SDP-00001"), ("SDP-00004", "SDP-00003")):
        copy_lines(world, gone, onto)
        delete(world, gone)
    settle_later(world)
    for gone, onto in (("SDP-00002", "SDP-00001"), ("SDP-00004", "SDP-00003")):
        assert release_invoice(world.ledger, gone) == Released(0, 1, (onto,))
    ids = sorted(numbered(world, number)["InvoiceID"] for number in ("SDP-00001", "SDP-00003"))
    for one in (ids[0], ",".join(ids)):
        match = {"method": "GET", "query": {"IDs": one}}
        world.fail({"kind": "status", "status": 500, "match": match, "times": 10_000})
    settle_later(world)
    assert [one.xero_id for one in awaited(world.ledger)] == [ids[0]]
    world.recover()
    settle_later(world)
    assert awaited(world.ledger) == []


# What is said, and for how long


def test_what_is_there_again_is_not_said_to_be_missing(world):
    released_onto_first(world)
    second = numbered(world, "SDP-00001")["LineItems"][-1]
    take_off(world)
    settle_later(world)
    onto = numbered(world, "SDP-00001")
    lines = [*onto["LineItems"], {name: second[name] for name in MEMBERS}]
    world.person("invoice", "edit", onto["InvoiceID"], LineItems=lines)
    settle_whatever(world, 3)
    assert on_live_invoices(world) == ["1000", "1003"]
    assert told(world) == {}


def test_what_a_person_billed_by_hand_as_it_was_said_is_not_billed_again(world):
    released_onto_first(world)
    onto = numbered(world, "SDP-00001")
    mark = "(SDP request worklog 1003)"
    line = {**{name: onto["LineItems"][-1][name] for name in MEMBERS}, "Description": f"By hand {mark}"}
    take_off(world)
    settle_later(world)
    assert mark in told(world)["SDP-00001"]
    by_hand = {"InvoiceNumber": "INV-0500", "Contact": onto["Contact"], "LineItems": [line]}
    world.person("invoice", "add", **by_hand)
    assert not settle_later(world).needs_person
    assert told(world) == {}
    delete(world, "SDP-00001")  # some day, for a reason of its own
    settle_later(world)
    release_invoice(world.ledger, "SDP-00001")
    with pytest.raises(BilledElsewhere, match="INV-0500"):
        settle_later(world)


def test_the_run_that_finds_out_says_so(world):
    released_onto_first(world)
    take_off(world)
    settled = settle_later(world)
    assert list(told(world)) == ["SDP-00001"]
    assert settled.needs_person
    assert "SDP-00001" in settled.sentence()


def test_what_else_is_awaited_is_no_sign_that_it_is_billed_there(world):
    released_onto_first(world)
    take_off(world)
    of_another = {"invoice_id": "other", "number": "SDP-00009", "contact_id": None, "module": "request"}
    of_another |= {"worklog_id": "1003", "digest": "", "is_ours": True}
    here = {"connection_id": world.ledger.connection_id, "generation": world.ledger.generation}
    with world.ledger.write() as session:
        session.execute(insert(ForeignLine), [{**here, **of_another}])
    settle_later(world)
    assert list(told(world)) == ["SDP-00001"]


def test_nothing_is_awaited_on_an_invoice_that_was_released_on_a_persons_word(world):
    released_onto_first(world)
    take_off(world)
    settle_later(world)
    assert list(told(world)) == ["SDP-00001"]
    move(world)
    settle_later(world)
    release_invoice(world.ledger, "SDP-00001", voided_there=True)
    with world.ledger.read() as session:
        assert session.scalars(select(ForeignLine).where(ForeignLine.contact_id.is_(None))).all() == []
        [reason] = session.scalars(select(Invoice.reason).where(Invoice.number == "SDP-00001"))
    assert reason is None


# What another invoice says of a line that is missing


def test_a_line_of_another_installation_hides_nothing(world):
    released_onto_first(world)
    acme(world)
    take_off(world)
    for _ in range(2):
        settle_later(world)
    assert list(told(world)) == ["SDP-00001"]


@pytest.mark.parametrize(
    ("differs", "is_said"),
    [
        ({}, False),
        ({"is_ours": False}, True),  # of another customer
        ({"digest": foreign.UNREADABLE}, True),
        ({"generation": 99}, True),
        ({"invoice_id": None}, True),  # the very invoice, of which the list may lag behind
        ({"told_apart": True}, True),
    ],
)
def test_only_what_bills_it_here_by_now_speaks_for_a_line_that_is_missing(world, differs, is_said):
    released_onto_first(world)
    [one] = awaited(world.ledger)
    line = {"connection_id": world.ledger.connection_id, "generation": world.ledger.generation}
    line |= {"module": "request", "worklog_id": "1003", "invoice_id": "x", "number": "INV-7", "digest": "d"}
    line |= {"contact_id": "another customer", "is_ours": True, **differs}
    line["invoice_id"] = line["invoice_id"] or one.xero_id
    is_apart = line.pop("told_apart", False)
    with world.ledger.settling() as fence:
        with world.ledger.write(fence) as session:
            session.execute(insert(ForeignLine), [line])
            if is_apart:
                foreign.tell_apart(session, one.worklog_row, [("x", "request", "d")])
        note_seen(world.ledger, fence, [one], {one.xero_id: set()}, worklog_marker)
    assert bool(told(world)) is is_said


def test_what_a_person_put_on_a_third_of_ours_as_it_was_said_is_said_no_more(world):
    three_of_which_the_second_counts_on_the_first(world)
    take_off(world)
    settle_later(world)
    assert "let the line there end so" in told(world)["SDP-00001"]
    copy_lines(world, "SDP-00002", "SDP-00003")
    settle_later(world)
    assert on_live_invoices(world) == ["1000", "1003", "1006"]
    assert told(world) == {}


def test_one_that_was_edited_and_cannot_be_read_delays_no_other(world):
    released_onto_first(world)
    take_off(world)
    settle_later(world)
    onto = numbered(world, "SDP-00001")["InvoiceID"]
    world.person("invoice", "edit", onto, Status="AUTHORISED")
    world.deliver(world.line(1, account=1))
    match = {"method": "GET", "query": {"IDs": onto}}
    world.fail({"kind": "status", "status": 500, "match": match, "times": 10_000})
    settle_later(world)
    assert (world.states(), list(told(world))) == ({"invoiced": 3}, ["SDP-00001"])


def test_what_is_put_back_in_a_night_when_xero_could_not_show_it_is_seen_by_the_next(world):
    three_of_which_the_second_counts_on_the_first(world)
    second = numbered(world, "SDP-00001")["LineItems"][-1]
    take_off(world)
    delete(world, "SDP-00003")  # gone, not released: looks read lines
    settle_later(world)
    onto = numbered(world, "SDP-00001")
    lines = [*onto["LineItems"], {name: second[name] for name in MEMBERS}]
    world.person("invoice", "edit", onto["InvoiceID"], LineItems=lines)
    match = {"method": "GET", "query": {"IDs": onto["InvoiceID"]}}
    world.fail({"kind": "status", "status": 500, "match": match, "times": 10_000})
    settle_later(world)
    assert list(told(world)) == ["SDP-00001"]
    world.recover()
    settle_later(world)
    assert told(world) == {}


def test_each_line_that_is_missing_is_named_with_its_mark(world):
    two_drafts(world)
    world.deliver(world.line(6, account=0))
    settle_later(world)
    copy_lines(world)
    copy_lines(world, "SDP-00003", "SDP-00001")
    delete(world)
    delete(world, "SDP-00003")
    settle_later(world)
    for number in ("SDP-00002", "SDP-00003"):
        release_invoice(world.ledger, number)
    take_off(world)
    take_off(world)
    settle_later(world)
    assert "(SDP request worklog 1003), (SDP request worklog 1006)." in told(world)["SDP-00001"]
