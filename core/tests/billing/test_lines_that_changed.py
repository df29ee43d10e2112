"""People change, merge and move lines that a look has seen, or take them off before one has."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from msp_xero.billing.document import worklog_marker
from msp_xero.billing.memory import tell_apart
from msp_xero.billing.strangers import may_name_more
from msp_xero.errors import BilledElsewhere
from msp_xero.ledger import foreign
from msp_xero.ledger.decisions import Refusal, Released, release_invoice
from msp_xero.ledger.models import ForeignLine, Invoice, InvoiceLine, LineToldApart, Worklog
from msp_xero.ledger.second_look import awaited, note_seen
from sqlalchemy import insert, select

from core.tests.billing.test_copies import row_of
from core.tests.billing.test_put_together import (
    MEMBERS,
    calls_of,
    copy_lines,
    delete,
    deleted_and_released,
    numbered,
    on_live_invoices,
    take_off,
    two_drafts,
)
from core.tests.billing.test_strangers import CABLING, PUT, copy_of, settle_later
from core.tests.billing.test_taken_off_again import (
    older,  # noqa: F401 - a fixture
    put_there_after_the_release,
    released_onto_first,
    renumbered,
    three_of_which_the_second_counts_on_the_first,
    told,
)
from core.tests.billing.test_there_and_back import come_home, move, place

ZERO = Decimal(0)


def settle_whatever(world, nights=2):
    for _ in range(nights):
        with contextlib.suppress(BilledElsewhere):
            settle_later(world)


# The text of a line is changed on an invoice that is not on record and that stopped a run


def test_a_copy_that_stopped_a_run_is_not_billed_beside_once_its_text_is_changed(world):
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    copy = copy_of(world, sent, "INV-0100")
    delete(world, "SDP-00001")
    settle_later(world)
    release_invoice(world.ledger, "SDP-00001")
    with pytest.raises(BilledElsewhere, match="INV-0100"):
        settle_later(world)
    [line] = copy["LineItems"]
    world.person("invoice", "edit", copy["InvoiceID"], LineItems=[{**line, "Description": "As agreed"}])
    settle_whatever(world)
    assert world.states() == {"open": 1}


def test_nor_is_what_an_older_copy_of_the_ledger_stopped_for(older):  # noqa: F811
    world = older()
    world.deliver(world.line(3, account=0))
    with pytest.raises(BilledElsewhere, match="INV-0001"):
        settle_later(world)
    [line] = renumbered(world)["LineItems"]
    its_id = renumbered(world)["InvoiceID"]
    world.person("invoice", "edit", its_id, LineItems=[{**line, "Description": "As agreed"}])
    around = calls_of(world, lambda: settle_whatever(world, 1))
    assert any(call.keys() == {"where", "order", "pageSize", "page", "unitdp"} for call in around)
    once_more = calls_of(world, lambda: settle_whatever(world, 1))
    assert all("summaryOnly" in call or "IDs" in call for call in once_more)
    assert world.states() == {"invoiced": 1, "open": 1}


def test_one_that_was_only_in_doubt_is_asked_about_once_its_text_is_changed(older):  # noqa: F811
    """The worklog was moved to another account since, so that no more than its id tells."""
    world = older()
    settle_later(world)
    [line] = renumbered(world)["LineItems"]
    its_id = renumbered(world)["InvoiceID"]
    world.person("invoice", "edit", its_id, LineItems=[{**line, "Description": "As agreed"}])
    settle_later(world)
    world.deliver(world.line(3, account=1, description="Another text"))
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match="INV-0001"):
            settle_later(world)
    tell_apart(world.ledger, row_of(world, "1003"))
    assert settle_later(world).worklogs == 1


def test_its_marker_tells_also_where_a_line_was_never_part_of_it(older):  # noqa: F811
    """A person had put another worklog's line on it before; that one has lost its mark since."""
    world = older()
    [line] = renumbered(world)["LineItems"]
    its_id = renumbered(world)["InvoiceID"]
    added = {**{name: line[name] for name in MEMBERS}, "Description": "(SDP request worklog 1006)"}
    world.person("invoice", "edit", its_id, LineItems=[line, added])
    settle_later(world)
    world.person("invoice", "edit", its_id, LineItems=[line, {**added, "Description": "As agreed"}])
    settle_later(world)
    world.deliver(world.line(3, account=1, description="Another text"))
    with pytest.raises(BilledElsewhere, match="INV-0001"):
        settle_later(world)


def test_what_counts_as_billed_by_one_of_ours_is_not_looked_for_on_all_others(world):
    released_onto_first(world)
    settle_later(world)
    world.person("invoice", "edit", numbered(world, "SDP-00001")["InvoiceID"], Status="AUTHORISED")
    summary, its_lines = calls_of(world, lambda: settle_later(world))
    assert ("summaryOnly" in summary, "IDs" in its_lines) == (True, True)


def test_a_line_with_its_mark_back_is_known_again_and_one_without_company_is_forgotten(older):  # noqa: F811
    world = older()
    world.deliver(world.line(3, account=0))
    with pytest.raises(BilledElsewhere, match="INV-0001"):
        settle_later(world)
    [line] = renumbered(world)["LineItems"]
    other = {**line, "Description": "(SDP request worklog 4711)"}
    its_id = renumbered(world)["InvoiceID"]
    for lines in ([{**line, "Description": "As agreed"}], [line]):
        world.person("invoice", "edit", its_id, LineItems=lines)
        with pytest.raises(BilledElsewhere, match="INV-0001"):
            settle_later(world)
    world.person("invoice", "edit", its_id, LineItems=[other])
    assert settle_later(world).worklogs == 1


def test_another_installations_line_that_waits_for_nobody_stops_nothing_once_its_text_is_changed(world):
    world.deliver(world.line(0, account=0))
    world.settle()
    [line] = numbered(world, "SDP-00001")["LineItems"]
    terms = {name: line[name] for name in ("Quantity", "UnitAmount", "AccountCode", "TaxType")}
    lines = [{**terms, "Description": f"Firewall\n(SDP request worklog {one})"} for one in (1004, 1006)]
    theirs = {"InvoiceNumber": "ACME-00007", "Reference": "Work [0badcafe]", "LineItems": lines}
    made = world.person("invoice", "add", Contact=numbered(world, "SDP-00001")["Contact"], **theirs)
    settle_later(world)
    agreed = [lines[0], {**terms, "Description": "As agreed"}]
    world.person("invoice", "edit", made["InvoiceID"], LineItems=agreed)
    settle_later(world)
    world.deliver(world.line(4, account=1))  # of another customer: its marker was tried, and is none of ours
    assert settle_later(world).worklogs == 1


def test_what_an_invoice_of_unknown_outcome_may_still_name_is_judged_once_it_is_looked_up(world):
    world.deliver(world.line(3, account=0))
    world.fail({"kind": "reset_after_commit", "match": PUT})
    world.settle_without_look_up()
    world.recover()
    [line] = world.invoices()[0]["LineItems"]
    added = {**{name: line[name] for name in MEMBERS}, "Description": "(SDP request worklog 1006)"}
    look_up = {"method": "GET", "query": {"InvoiceNumbers": "SDP-00001"}}
    world.fail({"kind": "status", "status": 404, "match": look_up, "times": 100})
    its_id = numbered(world, "SDP-00001")["InvoiceID"]
    world.person("invoice", "edit", its_id, LineItems=[line, added])
    settle_whatever(world, 1)
    world.recover()
    world.person("invoice", "edit", its_id, LineItems=[line, {**added, "Description": "As agreed"}])
    world.deliver(world.line(6, account=0))
    with pytest.raises(BilledElsewhere, match=r"SDP-00001\) onto which a person has put"):
        settle_later(world)


def test_an_invoice_that_is_gone_names_nothing_any_more():
    row = {"LineItems": [{"Description": "As agreed"}], "Total": Decimal(1)}
    assert may_name_more({**row, "Status": "DRAFT"})
    assert not may_name_more({**row, "Status": "VOIDED"})


# Two lines become one


def test_two_drafts_put_together_as_one_line_are_not_billed_beside_it(world):
    two_drafts(world)
    onto = numbered(world, "SDP-00001")
    [first], [second] = onto["LineItems"], numbered(world, "SDP-00002")["LineItems"]
    one = {name: first[name] for name in MEMBERS}
    one |= {"Description": f"{second['Description']}\n{first['Description']}", "Quantity": 1.5}
    world.person("invoice", "edit", onto["InvoiceID"], LineItems=[one])
    delete(world)
    settle_later(world)
    release_invoice(world.ledger, "SDP-00002")
    settle_whatever(world)
    assert world.writes() == 2


def test_what_a_technician_quotes_is_no_line_of_what_is_quoted(world):
    world.deliver(world.line(0, account=0))
    world.settle()
    world.deliver(world.line(3, account=0, description="As in (SDP request worklog 1000)"))
    settle_later(world)
    delete(world, "SDP-00001")
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00001") == Released(1, 0)
    assert settle_later(world).worklogs == 1


def test_nor_are_two_lines_that_became_one_after_the_run_had_stopped_for_them(world):
    def one(lines):
        first, second = lines
        return [{**first, "Description": f"{second['Description']}\n{first['Description']}", "Quantity": 1.5}]

    put_there_after_the_release(world, lines=one)
    settle_whatever(world)
    assert world.states() == {"invoiced": 1, "open": 1}


# A line is moved on between two invoices that an older copy of the ledger knows


def test_what_is_moved_on_between_two_of_ours_is_not_billed_beside_it(world, databases, tmp_path):
    for number in (0, 6):
        world.deliver(world.line(number, account=0))
        settle_later(world)
    settle_later(world)
    world.ledger.close()
    backup = databases.copy(world.url, tmp_path)
    world.deliver(world.line(3, account=0))
    settle_later(world)
    copy_lines(world, "SDP-00003", "SDP-00001")
    delete(world, "SDP-00003")
    world.ledger.close()
    world.url = backup
    world.ledger = world.open_ledger()
    settle_later(world)  # the copy learns that the line is on SDP-00001
    moved = numbered(world, "SDP-00001")["LineItems"][-1]
    onto = numbered(world, "SDP-00002")
    lines = [*onto["LineItems"], {name: moved[name] for name in MEMBERS}]
    world.person("invoice", "edit", onto["InvoiceID"], LineItems=lines)
    take_off(world, "SDP-00001")
    world.deliver(world.line(3, account=0))
    settle_whatever(world)
    assert on_live_invoices(world) == ["1000", "1003", "1006"]


# A word about another installation's line


def test_a_word_about_a_strangers_line_says_nothing_of_a_line_on_ours(world):
    deleted_and_released(world)
    first = numbered(world, "SDP-00001")
    other = {name: first["LineItems"][0][name] for name in ("AccountCode", "TaxType")}
    other |= {"Description": "Firewall\n(SDP request worklog 1003)", "Quantity": 1, "UnitAmount": 90}
    world.person(
        "invoice",
        "add",
        InvoiceNumber="ACME-00007",
        Reference="Work [0badcafe]",
        Contact=first["Contact"],
        LineItems=[other],
    )
    copy_lines(world)  # and our own line is put onto SDP-00001
    with pytest.raises(BilledElsewhere, match="ACME-00007") as stopped:
        settle_later(world)
    assert "SDP-00001" not in str(stopped.value)
    tell_apart(world.ledger, row_of(world, "1003"))  # as that error says
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)
    assert [one["InvoiceNumber"] for one in world.ours()] == ["SDP-00001", "ACME-00007"]


def test_nor_of_a_line_from_before_the_connection_started_over(world):
    world.deliver(world.line(0, account=0))
    contact_id = world.contacts[0]["ContactID"]
    line = {"connection_id": world.ledger.connection_id, "generation": world.ledger.generation, "digest": "d"}
    line |= {"contact_id": contact_id, "module": "request", "worklog_id": "1000"}
    names = ("theirs", "of-before")
    rows = [{**line, "invoice_id": one, "number": one, "is_ours": one == "of-before"} for one in names]
    with world.ledger.write() as session:
        session.execute(insert(ForeignLine), rows)
    for told_apart in (["theirs"], ["theirs", "of-before"]):
        tell_apart(world.ledger, row_of(world, "1000"))
        with world.ledger.read() as session:
            said = session.scalars(select(LineToldApart.invoice_id).order_by(LineToldApart.id)).all()
        assert said == told_apart


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


def acme(world, *more):
    """Another installation bills another customer for its own worklog of the same id."""
    first = numbered(world, "SDP-00001")
    line = {name: first["LineItems"][0][name] for name in ("AccountCode", "TaxType")}
    line |= {"Description": "Firewall\n(SDP request worklog 1003)", "Quantity": 1, "UnitAmount": 90}
    other = next(one for one in world.contacts if one["ContactID"] != first["Contact"]["ContactID"])
    theirs = {"InvoiceNumber": "ACME-00007", "Reference": "Work [0badcafe]", "LineItems": [line, *more]}
    world.person("invoice", "add", Contact={"ContactID": other["ContactID"]}, **theirs)
    return next(one for one in world.ours() if one["InvoiceNumber"] == "ACME-00007")


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


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_line_taken_off_an_invoice_of_another_installation_stops_nothing(world, is_edited):
    world.deliver(world.line(0, account=0))
    world.settle()
    invoice = acme(world, CABLING)
    settle_later(world)
    if is_edited:
        world.person("invoice", "edit", invoice["InvoiceID"], LineItems=invoice["LineItems"][1:])
        settle_later(world)
    world.deliver(world.line(3, account=0))
    assert settle_later(world).worklogs == 1


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


def test_a_second_word_says_nothing_of_lines_that_nobody_was_shown(world):
    deleted_and_released(world)
    copy = copy_of(world, numbered(world, "SDP-00002"), "INV-0100")
    copy_lines(world)
    with pytest.raises(BilledElsewhere, match="INV-0100"):
        settle_later(world)
    tell_apart(world.ledger, row_of(world, "1003"))
    with pytest.raises(BilledElsewhere, match="INV-0100"):
        settle_later(world)
    with pytest.raises(Refusal, match="with its very text on INV-0100: void that, or exclude"):
        tell_apart(world.ledger, row_of(world, "1003"))
    world.person("invoice", "delete", copy["InvoiceID"])
    with pytest.raises(BilledElsewhere, match="SDP-00001"):
        settle_later(world)


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
