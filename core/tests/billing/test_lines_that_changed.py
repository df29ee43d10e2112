"""People change, merge and move lines that a look has seen."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from msp_xero.billing.memory import tell_apart
from msp_xero.billing.strangers import may_name_more
from msp_xero.errors import BilledElsewhere
from msp_xero.ledger.decisions import Refusal, Released, release_invoice
from msp_xero.ledger.models import ForeignLine, LineToldApart
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
    put_there_after_the_release,
    released_onto_first,
    renumbered,
)


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


def test_nor_is_what_an_older_copy_of_the_ledger_stopped_for(older):
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


def test_one_that_was_only_in_doubt_is_asked_about_once_its_text_is_changed(older):
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


def test_its_marker_tells_also_where_a_line_was_never_part_of_it(older):
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


def test_a_line_with_its_mark_back_is_known_again_and_one_without_company_is_forgotten(older):
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


def acme(world, *more):
    """Another installation bills another customer for its own worklog of the same id."""
    first = numbered(world, "SDP-00001")
    line = {name: first["LineItems"][0][name] for name in ("AccountCode", "TaxType")}
    line |= {"Description": "Firewall\n(SDP request worklog 1003)", "Quantity": 1, "UnitAmount": 90}
    other = next(one for one in world.contacts if one["ContactID"] != first["Contact"]["ContactID"])
    theirs = {"InvoiceNumber": "ACME-00007", "Reference": "Work [0badcafe]", "LineItems": [line, *more]}
    world.person("invoice", "add", Contact={"ContactID": other["ContactID"]}, **theirs)
    return next(one for one in world.ours() if one["InvoiceNumber"] == "ACME-00007")


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
