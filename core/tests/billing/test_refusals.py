"""What Xero refuses holds itself and nothing else, and the same is not sent again for nothing."""

from __future__ import annotations

import json

import pytest
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.ledger.models import PushBatch, Worklog
from sqlalchemy import func, select

PUT = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}
ALONE = {"account": 0}
A_DAY = 86_401
BAD_ACCOUNT = "Account code '200' has been archived, or deleted. It cannot be used."


def puts(world):
    return [call for call in world.faulty.log.since() if call["method"] == "PUT"]


@pytest.fixture
def sizes(world):
    """How many invoices each write had, in the order of the calls."""
    serve, seen = world.faulty.serve, []

    def count(call):
        if call.method == "PUT":
            seen.append(call.body.count(b"InvoiceNumber"))
        return serve(call)

    world.faulty.serve = count
    return seen


def held(world):
    with world.ledger.read() as session:
        rows = session.scalars(select(Worklog).where(Worklog.state == "held").order_by(Worklog.id)).all()
        return {row.worklog_id: (row.reason_code, row.reason) for row in rows}


def refuses_worklogs(world, *worklog_ids, words=BAD_ACCOUNT, at="line"):
    """Let Xero refuse every invoice that has one of these worklogs, until the answer is called."""
    handle = world.xero.handle

    def strict(call):
        if call.method != "PUT":
            return handle(call)
        sent = json.loads(call.body)["Invoices"]
        good = [e for e in sent if not any(blamed(line, worklog_ids) for line in e["LineItems"])]
        answered = []
        if good:
            body = json.dumps({"Invoices": good}).encode()
            # Not under the same key: this is one call to the program.
            headers = {name: value for name, value in call.headers.items() if name != "idempotency-key"}
            answer = handle(type(call)(**{**fields(call), "body": body, "headers": headers}))
            if answer.status != 200:
                return answer
            answered = json.loads(answer.body)["Invoices"]
        answered += [refusal(e, worklog_ids, words, at) for e in sent if e not in good]
        template = handle(
            type(call)(**{**fields(call), "method": "GET", "path": "/api.xro/2.0/Organisation"})
        )
        return type(template)(
            status=200, headers=template.headers, body=json.dumps({"Invoices": answered}).encode()
        )

    world.xero.handle = strict
    return lambda: setattr(world.xero, "handle", handle)


def fields(call):
    return {name: getattr(call, name) for name in call.__dataclass_fields__}


def blamed(line, worklog_ids):
    return any(line["Description"].endswith(f"worklog {one})") for one in worklog_ids)


def refusal(element, worklog_ids, words, at):
    """An element as Xero refuses it (xero-api §4.6): the client's own values, with the messages."""
    message = [{"Message": words}]
    lines = [
        {**line, "ValidationErrors": message if at != "invoice" and blamed(line, worklog_ids) else []}
        for line in element["LineItems"]
    ]
    return {
        **element,
        "InvoiceID": "00000000-0000-0000-0000-000000000000",
        "HasErrors": True,
        "StatusAttributeString": "ERROR",
        "LineItems": lines,
        "ValidationErrors": [] if at == "line" else message,
    }


@pytest.mark.parametrize("at", ["line", "line-and-invoice"])
def test_a_refused_line_holds_itself_and_the_others_go_out_in_the_same_settle(world, at):
    world.deliver(*(world.line(n) for n in range(9)))
    refuses_worklogs(world, "1000", "1003", at=at)
    settled = world.settle()
    assert held(world) == dict.fromkeys(("1000", "1003"), ("ACCOUNT_CODE_INVALID", BAD_ACCOUNT))
    assert world.states() == {"held": 2, "invoiced": 7}
    assert (settled.invoices, settled.worklogs, settled.rejected) == (3, 7, 1)
    states = [(i.number, i.state, i.line_count) for i in world.ledger_invoices()]
    assert states == [
        ("SDP-00001", "rejected", 3),
        ("SDP-00002", "created", 3),
        ("SDP-00003", "created", 3),
        ("SDP-00004", "created", 1),
    ], "the refused number stays burnt"
    assert len(puts(world)) == 4


def test_a_refusal_that_names_no_line_holds_the_whole_invoice_with_xeros_words(world):
    words = "You have reached the limit of invoices you can approve"
    world.deliver(*(world.line(n) for n in range(9)))
    refuses_worklogs(world, "1000", words=words, at="invoice")
    settled = world.settle()
    assert held(world) == dict.fromkeys(("1000", "1003", "1006"), ("REJECTED_BY_XERO", words))
    assert (settled.invoices, settled.worklogs) == (2, 6)


def test_every_line_refused_holds_them_all_and_ends(world):
    world.deliver(*(world.line(n, **ALONE) for n in range(3)))
    refuses_worklogs(world, "1000", "1001", "1002")
    assert world.settle().rejected == 1
    assert world.states() == {"held": 3}
    assert len(puts(world)) == 1


def test_lines_that_are_refused_one_after_the_other_end_in_the_same_settle(world):
    """A line that was silent while another one was blamed."""
    world.deliver(*(world.line(n, **ALONE) for n in range(4)))
    refuses_worklogs(world, "1001")
    refuses_worklogs(world, "1000")
    settled = world.settle()
    assert world.states() == {"held": 2, "invoiced": 2}
    assert (settled.rejected, len(puts(world))) == (2, 3)


@pytest.mark.parametrize("at", ["line", "invoice"])
def test_the_same_is_not_sent_again_within_a_day_and_burns_no_number(world, at):
    world.deliver(*(world.line(n, **ALONE) for n in range(3)))
    refuses_worklogs(world, "1001", at=at)
    world.settle()
    calls, number, waiting = len(puts(world)), world.ledger_number(), held(world)
    for _ in range(5):
        world.clock.advance(3600)
        settled = world.settle()
        assert (settled.invoices, settled.rejected) == (0, 0)
    assert (len(puts(world)), world.ledger_number(), held(world)) == (calls, number, waiting)
    world.clock.advance(A_DAY)
    world.settle()
    assert len(puts(world)) == calls + 1, "once a day, as Xero's reasons may be invisible"
    world.clock.advance(3600)
    world.settle()
    assert len(puts(world)) == calls + 1


def change_line(world):
    world.deliver(world.line(1, **ALONE, description="Worklog 1, corrected"))


def change_hours(world):
    world.deliver(world.line(1, **ALONE, minutes=60))


def touch_contact(world):
    world.person("contact", "edit", world.contacts[0]["ContactID"], FirstName="Ana")


def touch_item(world):
    world.person("item", "edit", world.item["ItemID"], Description="Support on site")


def change_tax(world):
    rate = world.xero._state.rows.tax_rates[world.item["SalesDetails"]["TaxType"]]
    rate["EffectiveRate"] = rate["EffectiveRate"] + 1


CHANGES = {
    "line": (change_line, {}),
    "hours": (change_hours, {}),
    "contact": (touch_contact, {}),
    "item": (touch_item, {}),
    "tax rate": (change_tax, {}),
    "status": (lambda _: None, {"invoice_status": "AUTHORISED"}),
    "prices": (lambda _: None, {"line_amount_types": "Inclusive"}),
}


@pytest.mark.parametrize(("change", "settings"), CHANGES.values(), ids=CHANGES)
def test_what_could_change_the_answer_is_tried_at_once(world, change, settings):
    world.deliver(*(world.line(n, **ALONE) for n in range(2)))
    relent = refuses_worklogs(world, "1001")
    world.settle()
    assert held(world).keys() == {"1001"}
    relent()
    world.clock.advance(60)
    world.settle()
    assert held(world).keys() == {"1001"}
    change(world)
    world.settle(**settings)
    assert world.states() == {"invoiced": 2}


def test_one_changed_line_frees_all_of_an_invoice_that_was_refused_as_a_whole(world):
    world.deliver(*(world.line(n, **ALONE) for n in range(3)))
    relent = refuses_worklogs(world, "1001", at="invoice")
    world.settle()
    relent()
    change_line(world)
    assert world.settle().worklogs == 3


def test_a_new_worklog_is_billed_while_refused_ones_of_its_account_wait(world):
    world.deliver(*(world.line(n, **ALONE) for n in range(3)))
    refuses_worklogs(world, "1001", at="invoice")
    world.settle()
    world.deliver(world.line(3, **ALONE))
    assert world.settle().worklogs == 1
    assert held(world).keys() == {"1000", "1001", "1002"}


def test_a_person_can_have_it_tried_at_once(world):
    world.deliver(*(world.line(n, **ALONE) for n in range(2)))
    relent = refuses_worklogs(world, "1001", at="invoice")
    world.settle()
    relent()
    assert settle(world.ledger, world.client(), BillingSettings(), retry_refused=True).worklogs == 2


def test_a_hold_of_the_pre_flight_in_between_shows_that_something_changed(world):
    world.deliver(*(world.line(n, **ALONE) for n in range(2)))
    relent = refuses_worklogs(world, "1001")
    world.settle()
    relent()
    with world.ledger.write() as session:
        worklog = session.scalar(select(Worklog).where(Worklog.worklog_id == "1001"))
        worklog.reason_code, worklog.reason = "PERIOD_LOCKED", "Xero's books are locked until 2026-12-31."
    assert world.settle().worklogs == 1


def spoils_the_call(world, *numbers):
    """Let Xero refuse each whole call that has one of these numbers in it."""
    body = {"ErrorNumber": 14, "Type": "PostDataInvalidException", "Message": "Line 3 is not to my taste"}
    for number in numbers:
        world.fail({"kind": "status", "status": 400, "body": body, "match": {**PUT, "contains": number}})


@pytest.fixture
def fifty(sqlite_world):
    """Fifty invoices in one call."""
    world = sqlite_world
    world.deliver(*(world.line(n, **ALONE) for n in range(50)))
    return world


@pytest.mark.parametrize(("bad", "most"), [((25,), 14), ((2,), 14), ((50,), 14), ((10, 30), 25)])
def test_a_call_that_is_refused_as_a_whole_is_halved_until_only_the_culprit_is_left(fifty, bad, most):
    spoils_the_call(fifty, *(f"SDP-{number:05}" for number in bad))
    settled = fifty.settle(max_lines_per_invoice=1)
    assert (settled.invoices, settled.rejected) == (50 - len(bad), len(bad))
    assert len(puts(fifty)) <= most, "sixty calls before, with the look-ups"
    looks = [call for call in fifty.faulty.log.since() if "InvoiceNumbers" in call["query"]]
    assert looks == [], "Xero said clearly that it did nothing"
    with fifty.ledger.read() as session:
        assert session.scalar(select(func.count()).where(PushBatch.state != "done")) == 0


def test_all_bad_in_a_call_are_all_held_with_its_words(fifty):
    spoils_the_call(fifty, "InvoiceNumber")
    settled = fifty.settle(max_lines_per_invoice=1)
    assert (settled.invoices, settled.rejected) == (0, 50)
    assert set(held(fifty).values()) == {("REJECTED_BY_XERO", "Line 3 is not to my taste")}
    assert len(puts(fifty)) == 50
    fifty.recover()
    fifty.settle(max_lines_per_invoice=1)
    assert len(puts(fifty)) == 50


def test_a_call_that_is_too_large_goes_in_halves(world, sizes):
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail({"kind": "status", "status": 413, "body": "Too large", "match": PUT, "nth": 2})
    world.settle()
    assert sizes == [1, 2, 1, 1]
    world.assert_exactly_once(9)


def test_planning_anew_after_a_refusal_does_not_widen_what_was_wanted(world):
    """One line of the account is refused; what is planned anew is the rest of this account."""
    world.deliver(*(world.line(n) for n in range(9)))
    refuses_worklogs(world, "1001")
    settled = settle(world.ledger, world.client(), BillingSettings(), accounts={"1"})
    assert (settled.invoices, settled.worklogs) == (1, 2)
    assert world.states() == {"invoiced": 2, "held": 1, "open": 6}


def test_planning_anew_for_a_refused_invoice_takes_in_no_account_that_was_not_wanted(world):
    """An earlier plan of account 1 goes out with account 2 and is refused; newer work of account 1 waits."""
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail({"kind": "rate_day", "retry_after": 1800, "match": PUT})
    settle(world.ledger, world.client(), BillingSettings(), accounts={"1"})
    assert world.states() == {"planned": 3, "open": 6}
    world.recover(A_DAY)
    world.deliver(world.line(10))
    refuses_worklogs(world, "1001")
    settle(world.ledger, world.client(), BillingSettings(), accounts={"2"})
    with world.ledger.read() as session:
        newer = session.scalars(select(Worklog).where(Worklog.worklog_id == "1010")).one()
    assert newer.state == "open"
    assert held(world).keys() == {"1001"}
    assert world.states()["invoiced"] == 3
