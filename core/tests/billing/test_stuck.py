"""An outcome that stays unknown, or that only a person can judge, delays no other account."""

from __future__ import annotations

import pytest
from msp_xero.billing import reconcile, recover
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.errors import LedgerError, Rejected, Unavailable
from msp_xero.ledger import pushing, views
from msp_xero.ledger.decisions import exclude_worklog, include_worklog
from msp_xero.ledger.models import Worklog
from sqlalchemy import select

PUT = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}
LOOK = {"method": "GET", "path": "/api.xro/2.0/Invoices"}
ONE_BY_ONE = {"batch_size": 1, "concurrency": 1}


def by_number(world):
    return {invoice.number: invoice for invoice in world.ledger_invoices()}


def unanswered(world, number, status=500):
    """Let every look-up that asks for this number fail, for ever."""
    serve = world.faulty.serve

    def fail(call):
        if call.method == "GET" and number in call.query.get("InvoiceNumbers", ""):
            outcome = serve(type(call)(**{**fields(call), "path": "/api.xro/2.0/Organisation"}))
            answer = type(outcome.answer)(status=status, headers={}, body=b"{}")
            return type(outcome)(ending="answer", answer=answer)
        return serve(call)

    world.faulty.serve = fail


def fields(call):
    return {name: getattr(call, name) for name in call.__dataclass_fields__}


def lookups(world):
    return [call for call in world.faulty.log.since() if call["method"] == "GET"]


@pytest.mark.parametrize("status", [500, 404, 400])
def test_a_number_that_cannot_be_looked_up_stays_and_the_other_accounts_are_billed(world, status):
    world.deliver(*(world.line(n) for n in range(6)))
    world.fail({"kind": "reset_before", "match": PUT, "nth": 1})
    unanswered(world, "SDP-00001", status)
    settled = world.settle(**ONE_BY_ONE)
    assert (settled.invoices, settled.unknown) == (2, 1)
    stuck = by_number(world)["SDP-00001"]
    assert stuck.state == "unknown"
    assert stuck.reason.startswith("It could not be looked up: Xero: ")
    world.deliver(world.line(7))
    world.recover()
    assert world.settle(**ONE_BY_ONE).invoices == 1, "in later runs too"
    assert by_number(world)["SDP-00001"].state == "unknown"
    del world.faulty.serve
    world.recover()
    world.settle(**ONE_BY_ONE)
    world.assert_exactly_once(7)


def test_the_one_that_cannot_be_looked_up_is_singled_out_of_many(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n, account=0) for n in range(41)))
    one_each = {"max_lines_per_invoice": 1, "concurrency": 1}
    world.fail({"kind": "reset_after_commit", "match": PUT, "nth": 2})
    unanswered(world, "SDP-00017")
    settled = world.settle(**one_each)
    assert (settled.invoices, settled.unknown) == (40, 1)
    assert len(world.ours()) == 41
    before = len(lookups(world))
    world.recover()
    world.settle(**one_each)
    assert len(lookups(world)) - before <= 7 + 5, "the stuck one alone: one read with its five attempts"


def test_many_failing_look_ups_are_a_system_that_is_down(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n, account=0) for n in range(20)))
    world.fail({"kind": "reset_before", "match": PUT, "nth": 2})
    unanswered(world, "SDP-")
    with pytest.raises(Unavailable):
        world.settle(max_lines_per_invoice=1)
    assert len(lookups(world)) <= 7 + 10 * 5


def test_an_invoice_that_no_answer_ever_comes_for_lets_the_others_pass(world):
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail({"kind": "status", "status": 500, "match": {**PUT, "contains": "SDP-00002"}})
    settled = world.settle()
    assert (settled.invoices, settled.unsent) == (2, 1)
    sent = [call for call in world.faulty.log.since() if call["method"] == "PUT"]
    assert len(sent) <= 6
    world.recover()
    world.settle()
    world.assert_exactly_once(9)


def test_two_such_invoices_in_front_do_not_keep_the_others_at_the_gate(world):
    world.deliver(*(world.line(n) for n in range(9)))
    for number in ("SDP-00001", "SDP-00002"):
        world.fail({"kind": "status", "status": 500, "match": {**PUT, "contains": number}})
    assert world.settle().invoices == 1
    world.recover()
    world.settle()
    world.assert_exactly_once(9)


def test_a_conflict_that_stays_stops_no_other_account(world):
    world.deliver(*(world.line(n, account=0) for n in range(2)))
    world.fail({"kind": "reset_before", "match": PUT})
    world.settle()
    world.recover()
    # It has no marker by which the refresh would know it for another ledger's, but a worklog's mark.
    line = {"Quantity": 1, "UnitAmount": 5, "AccountCode": "200", "TaxType": "OUTPUT2"}
    world.person(
        "invoice",
        "add",
        Type="ACCREC",
        InvoiceNumber="SDP-00001",
        Contact={"ContactID": world.contacts[5]["ContactID"]},
        Status="AUTHORISED",
        Reference="Work",
        Date="2026-11-01",
        DueDate="2026-12-01",
        LineItems=[{**line, "Description": "Work\n(SDP request worklog 77)"}],
    )
    world.settle()
    assert by_number(world)["SDP-00001"].state == "conflict"
    for n in (1, 2):
        world.clock.advance(3600)
        world.deliver(world.line(20 + n, account=n))
        assert world.settle().invoices == 1
    [shown] = views.unsettled_invoices(world.ledger)
    assert (shown.state, shown.reason_code) == ("conflict", "NUMBER_CONFLICT")
    assert shown.sent_at is not None


def test_a_voided_invoice_in_the_way_is_passed_over_with_a_new_number(world):
    """It keeps its number for ever (xero-api §4.2), so waiting for the number would be for ever too."""
    world.deliver(*(world.line(n, account=0) for n in range(2)))
    world.fail({"kind": "reset_before", "match": PUT})
    world.settle()
    world.recover()
    other = world.write_by_hand("SDP-00001", "Work [0badcafe]", "Work\n(SDP request worklog 77)")
    world.person("invoice", "void", other["InvoiceID"])
    world.settle()
    world.settle()
    states = {invoice.number: invoice.state for invoice in world.ledger_invoices()}
    assert states == {"SDP-00001": "rejected", "SDP-00002": "created"}
    assert world.states() == {"invoiced": 2}


def test_an_invoice_that_no_answer_ever_comes_for_is_told_and_does_not_count_as_done(world):
    world.deliver(*(world.line(n) for n in range(3)))
    world.fail({"kind": "status", "status": 500, "match": {**PUT, "contains": "SDP-00002"}})
    settled = world.settle()
    assert (settled.unanswered, settled.outcome) == (1, "needs_person")
    [shown] = views.unsettled_invoices(world.ledger)
    assert (shown.number, shown.state) == ("SDP-00002", "planned")
    assert shown.reason == "Xero gave no clear answer 3 times in one run, and has not made it."
    world.recover()
    assert world.settle().unanswered == 0
    assert views.unsettled_invoices(world.ledger) == []
    world.assert_exactly_once(3)


def poisoned(world):
    """Deliver nine worklogs, one with a text that Xero never answers for, and try for ten days."""
    world.deliver(world.line(0, account=0, description="poison"))
    world.deliver(*(world.line(n, account=n % 3) for n in range(1, 9)))
    world.fail({"kind": "status", "status": 500, "match": {**PUT, "contains": "poison"}, "times": 10_000})
    for _ in range(10):
        world.settle()
        world.clock.advance(86_400)
        world.deliver(world.line(0, account=0, description="corrected"))
    assert world.states() == {"invoiced": 6, "planned": 3}
    with world.ledger.read() as session:
        return session.scalar(select(Worklog.id).where(Worklog.worklog_id == "1000"))


def take_back(world, row):
    return recover.take_back(world.ledger, world.client(), row, number_prefix="SDP-")


def test_a_person_takes_back_what_no_answer_ever_comes_for(world):
    row = poisoned(world)
    calls = len(world.faulty.log.since())
    assert take_back(world, row)
    asked = world.faulty.log.since()[calls:]
    assert [call for call in asked if call["method"] == "GET" and "InvoiceNumbers" in call["query"]]
    exclude_worklog(world.ledger, row, "it cannot be sent")
    assert world.settle().worklogs == 2, "the others of its invoice"
    include_worklog(world.ledger, row)
    world.deliver(world.line(0, account=0, description="corrected"))
    assert world.settle().worklogs == 1, "by the corrected text"
    world.assert_exactly_once(9)


def test_what_was_sent_within_the_hour_may_still_arrive_and_stays(sqlite_world):
    world = sqlite_world
    row = poisoned(world)
    world.settle()
    world.clock.advance(3_500)
    assert not take_back(world, row)
    world.clock.advance(100)
    assert take_back(world, row)


def lost_and_missing(world):
    """Three invoices, of which the last two were lost in one call, and are proven missing."""
    world.deliver(*(world.line(n) for n in range(3)))
    world.fail({"kind": "reset_before", "match": PUT, "nth": 2})
    settle(world.ledger, world.client(), BillingSettings(), stop_requested=lambda: world.writes() == 2)
    world.recover()
    assert [invoice.state for invoice in world.ledger_invoices()] == ["created", "planned", "planned"]
    return {key: views.find_worklogs(world.ledger, key)[0].row for key in ("1001", "1002")}


@pytest.mark.parametrize("asked_before", [False, True])
def test_one_that_cannot_be_looked_up_keeps_no_other_of_its_call_from_being_taken_back(world, asked_before):
    rows = lost_and_missing(world)
    unanswered(world, "SDP-00003", 400)
    if asked_before:
        with pytest.raises(Rejected):
            take_back(world, rows["1002"])
    assert take_back(world, rows["1001"])
    assert {number: one.state for number, one in by_number(world).items()} == {
        "SDP-00001": "created",
        "SDP-00002": "rejected",
        "SDP-00003": "unknown",
    }


def test_what_has_arrived_meanwhile_is_adopted_and_stays(world):
    row = poisoned(world)
    world.recover()
    [stuck] = [invoice for invoice in by_number(world).values() if invoice.state == "planned"]
    batch = pushing.load_batch(world.ledger, stuck.batch_id)
    world.client().put_invoices(batch.body, idempotency_key="arrives late")
    assert not take_back(world, row)
    world.settle()
    assert by_number(world)[stuck.number].state == "created"
    world.assert_exactly_once(9)


def test_what_arrives_after_it_was_taken_back_stops_the_next_run(sqlite_world):
    world = sqlite_world
    row = poisoned(world)
    world.recover()
    [stuck] = [invoice for invoice in by_number(world).values() if invoice.state == "planned"]
    batch = pushing.load_batch(world.ledger, stuck.batch_id)
    assert take_back(world, row)
    world.client().put_invoices(batch.body, idempotency_key="arrives too late")
    with pytest.raises(LedgerError, match=f"Xero holds {stuck.number} although"):
        world.settle()


def test_a_crash_while_it_is_taken_back_leaves_it_to_be_looked_up(sqlite_world, monkeypatch):
    world = sqlite_world
    row = poisoned(world)
    monkeypatch.setattr(reconcile, "resolve_unknown", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        take_back(world, row)
    monkeypatch.undo()
    assert {one.state for one in by_number(world).values()} == {"created", "unknown"}
    world.recover()
    world.settle()
    world.assert_exactly_once(9)
