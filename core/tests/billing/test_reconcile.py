"""Finding out what is true in Xero after a call whose outcome nobody knows, and what people did meanwhile."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import preview, settle
from msp_xero.errors import LedgerError
from msp_xero.ledger.models import Base, Invoice, Worklog, WorklogTypeLink
from sqlalchemy import select, update

PUT = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}
ONE_BY_ONE = {"batch_size": 1, "concurrency": 1}
ALONE = {"account": 0}
A_DAY = 86_401


@pytest.fixture
def unsure(world):
    """Two worklogs on one invoice that is in Xero, of which the ledger only knows that it was sent."""
    world.deliver(*(world.line(n, **ALONE) for n in range(2)))
    world.fail(
        {"kind": "reset_after_commit", "match": PUT},
        {
            "kind": "status",
            "status": 503,
            "match": {"method": "GET", "path": "/api.xro/2.0/Invoices"},
            "nth": 2,
        },
    )
    world.settle_without_look_up()
    world.recover()
    [invoice] = world.ledger_invoices()
    assert invoice.state == "unknown"
    return world


def only(world):
    [invoice] = world.ledger_invoices()
    return invoice


def in_xero(world):
    [invoice] = world.ours()
    return invoice


def foreign(world, number, **values):
    """Add a sales invoice that somebody wrote by hand."""
    line = {"Description": "x", "Quantity": 1, "UnitAmount": 5, "AccountCode": "200", "TaxType": "OUTPUT2"}
    return world.person(
        "invoice",
        "add",
        **{
            "Type": "ACCREC",
            "InvoiceNumber": number,
            "Contact": {"ContactID": world.contacts[5]["ContactID"]},
            "Status": "AUTHORISED",
            "Reference": "by hand",
            "Date": "2026-11-01",
            "DueDate": "2026-12-01",
            "LineItems": [line],
            **values,
        },
    )


def renumber(world, number):
    world.person("invoice", "edit", in_xero(world)["InvoiceID"], InvoiceNumber=number)


def test_what_is_found_is_adopted_and_not_sent_again(unsure):
    writes = unsure.writes()
    unsure.settle()
    unsure.assert_exactly_once(2)
    assert unsure.writes() == writes


@pytest.mark.parametrize("number", ["INV-7001", "SDP-77777"], ids=["foreign", "like-ours"])
@pytest.mark.parametrize("reference_kept", [True, False], ids=["marker", "lines-only"])
def test_an_invoice_renumbered_before_we_could_look_is_found_and_not_sent_again(
    unsure, number, reference_kept
):
    renumber(unsure, number)
    if not reference_kept:
        unsure.person("invoice", "edit", in_xero(unsure)["InvoiceID"], Reference="PO 4711")
    settled = unsure.settle()
    unsure.assert_exactly_once(2)
    assert settled.invoices == 1
    assert number in only(unsure).reason


def test_a_renumbered_invoice_is_found_though_another_one_has_its_number_now(unsure):
    renumber(unsure, "INV-7001")
    foreign(unsure, "SDP-00001")
    unsure.settle()
    unsure.assert_exactly_once(2)
    assert "INV-7001" in only(unsure).reason


def test_an_invoice_edited_before_we_could_look_is_ours_and_says_what_differs(unsure):
    row = in_xero(unsure)
    unsure.person(
        "invoice",
        "edit",
        row["InvoiceID"],
        Reference="PO 4711",
        Contact={"ContactID": unsure.contacts[4]["ContactID"]},
        LineItems=[{**row["LineItems"][0], "UnitAmount": 1}, row["LineItems"][1]],
    )
    settled = unsure.settle()
    assert only(unsure).state == "created"
    assert only(unsure).reason == "Somebody changed its contact and total in Xero before we could look."
    assert settled.differing == ["SDP-00001"]
    assert "1 invoice not in Xero as sent (SDP-00001)" in settled.sentence()
    assert settled.needs_person
    assert len(unsure.ours()) == 1


def test_what_is_of_another_currency_is_not_added_to_the_rest(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n, account=0) for n in range(3)))
    world.fail({"kind": "reset_before", "match": PUT, "times": 100})
    world.settle(currency_code="AUD")
    world.recover()
    world.deliver(*(world.line(n, account=1) for n in range(3, 6)))
    settled = world.settle(currency_code="NZD")
    totals = {row["CurrencyCode"]: row["Total"] for row in world.ours()}
    assert settled.totals == totals
    assert settled.counts()["totals"] == totals
    told = f"(AUD {totals['AUD']:,.2f} and NZD {totals['NZD']:,.2f})"
    assert f"6 worklogs invoiced on 2 invoices {told}" in settled.sentence()


def test_what_xero_warns_of_is_told(sqlite_world):
    """An account code that Xero takes away from a draft is only a warning (xero-api §4.6)."""
    world = sqlite_world
    world.deliver(world.line(0))
    client = world.client()
    put = client.put_invoices

    def warned(body, **options):
        words = "Account code ''200'' has been removed as it does not match a recognised account."
        return [{**row, "Warnings": [{"Message": words}]} for row in put(body, **options)]

    client.put_invoices = warned
    settled = settle(world.ledger, client, BillingSettings())
    assert (settled.differing, settled.needs_person) == (["SDP-00001"], True)
    assert settled.counts()["differing"] == 1


@pytest.mark.parametrize(("action", "state"), [("delete", "deleted"), ("void", "voided")])
def test_an_invoice_that_a_person_ended_before_we_could_look_is_not_made_again(unsure, action, state):
    unsure.person("invoice", action, in_xero(unsure)["InvoiceID"])
    writes = unsure.writes()
    unsure.settle()
    assert (only(unsure).state, unsure.states()) == (state, {"invoiced": 2})
    assert only(unsure).reason is None
    assert unsure.writes() == writes


def test_the_live_one_counts_where_a_deleted_draft_had_the_same_number(unsure):
    row = in_xero(unsure)
    unsure.person("invoice", "delete", row["InvoiceID"])
    again = foreign(
        unsure,
        "SDP-00001",
        Reference=row["Reference"],
        Status="DRAFT",
        Contact={"ContactID": row["Contact"]["ContactID"]},
        LineItems=row["LineItems"],
    )
    unsure.settle()
    assert only(unsure).xero_id == again["InvoiceID"]
    unsure.assert_exactly_once(2)


def test_a_deleted_draft_whose_number_somebody_took_is_not_made_again(unsure):
    unsure.person("invoice", "delete", in_xero(unsure)["InvoiceID"])
    foreign(unsure, "SDP-00001")
    unsure.settle()
    assert only(unsure).state == "deleted"


def test_a_miss_is_believed_only_after_a_second_look_and_a_pause(world):
    world.deliver(world.line(0))
    world.fail({"kind": "reset_before", "match": PUT, "nth": 1})
    slept = []
    world.time.sleep = lambda seconds: (slept.append(seconds), world.clock.advance(seconds))
    world.settle()
    looks = [call for call in world.faulty.log.since() if "InvoiceNumbers" in call["query"]]
    assert [call["query"]["InvoiceNumbers"] for call in looks] == ["SDP-00001", "SDP-00001"]
    assert max(slept) >= 5
    world.assert_exactly_once(1)


@pytest.mark.parametrize("seconds", [3, 60, 7200])
def test_lists_that_lag_behind_writes_never_bill_twice(world, seconds):
    world.xero.set_switch("lists_lag_seconds", str(seconds))
    world.deliver(*(world.line(n) for n in range(6)))
    world.fail({"kind": "reset_after_commit", "match": PUT, "nth": 1})
    world.settle(**ONE_BY_ONE)
    assert len(world.ours()) == 3
    world.recover(10_000)
    world.settle(**ONE_BY_ONE)
    world.assert_exactly_once(6)


def marked(world, keys, **values):
    """An invoice that another msp-xero made: its own marker, worklogs of the same shape."""
    line = {"Quantity": 1, "UnitAmount": 5, "AccountCode": "200", "TaxType": "OUTPUT2"}
    lines = [{**line, "Description": f"Work\n(SDP request worklog {key})"} for key in keys]
    return {"Reference": "Work [0badcafe]", "LineItems": lines, **values}


@pytest.mark.parametrize("keys", [("1",), ("1000",)], ids=["other-worklogs", "worklogs-of-the-same-ids"])
def test_the_invoice_of_another_installation_is_a_conflict_for_a_person(world, keys):
    world.settle()  # so that the other's invoice is new, and not found by the first look around
    world.deliver(*(world.line(n, **ALONE) for n in range(2)))
    handle = world.xero.handle

    def race(call):
        if call.method == "PUT":
            world.xero.handle = handle
            foreign(world, "SDP-00001", **marked(world, keys))
        return handle(call)

    world.xero.handle = race
    with pytest.raises(LedgerError, match="Xero already has SDP-00001"):
        world.settle()
    assert only(world).state == "conflict"
    assert world.states() == {"planned": 2}
    looks = sum("InvoiceNumbers" in call["query"] for call in world.faulty.log.since())
    assert looks == 1, "what only a person can judge is looked up once a run"
    # A person renumbers the other one: ours goes out under its number, once.
    other = next(i for i in world.invoices() if i["Reference"] == "Work [0badcafe]")
    world.person("invoice", "edit", other["InvoiceID"], InvoiceNumber="OTHER-1")
    world.person("invoice", "void", other["InvoiceID"])
    world.clock.advance(3600)
    world.settle()
    world.assert_exactly_once(2)


def test_a_live_invoice_of_ours_that_counts_as_refused_stops_all_billing_until_it_is_gone(world):
    world.deliver(*(world.line(n, **ALONE) for n in range(2)))
    refusal = {"Type": "ValidationException", "Message": "A validation exception occurred"}
    # Xero says no, and the call that was first thought lost arrives all the same.
    world.fail({"kind": "status", "status": 400, "body": refusal, "commit": True, "match": PUT, "nth": 1})
    world.settle()
    assert world.states() == {"held": 2}
    late = in_xero(world)
    world.recover()
    writes = world.writes()
    with pytest.raises(LedgerError, match=r"SDP-00001 although it had refused it.*void it"):
        world.settle()
    assert world.writes() == writes
    world.person("invoice", "delete", late["InvoiceID"])
    world.clock.advance(A_DAY)
    world.settle()
    world.assert_exactly_once(2)


def culprit(number):
    body = {"ErrorNumber": 14, "Type": "PostDataInvalidException", "Message": "Line 3 is not to my taste"}
    return {"kind": "status", "status": 400, "body": body, "match": {**PUT, "contains": number}}


def test_one_invoice_that_spoils_a_whole_call_is_found_and_delays_no_other(world):
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail(culprit("SDP-00002"))
    settled = world.settle()
    assert (settled.invoices, settled.rejected) == (2, 1)
    assert world.states() == {"invoiced": 6, "held": 3}
    with world.ledger.read() as session:
        held = session.scalars(select(Worklog).where(Worklog.state == "held")).all()
    assert {(row.reason_code, row.reason) for row in held} == {
        ("REJECTED_BY_XERO", "Line 3 is not to my taste")
    }
    assert {row.account_id for row in held} == {"1"}
    world.recover(A_DAY)
    world.settle()
    world.assert_exactly_once(9)


def test_a_refused_invoice_burns_its_number_for_ever(world):
    world.deliver(*(world.line(n, **ALONE) for n in range(2)))
    world.fail(culprit("SDP-00001"), culprit("SDP-00002"))
    for _ in range(3):
        world.settle()
        world.clock.advance(A_DAY)
    assert [(i.number, i.state) for i in world.ledger_invoices()] == [
        ("SDP-00001", "rejected"),
        ("SDP-00002", "rejected"),
        ("SDP-00003", "created"),
    ]
    world.assert_exactly_once(2)


def test_after_two_unknown_outcomes_in_a_row_it_looks_before_it_sends_more(world):
    world.link_accounts_from(3, 6)
    world.deliver(*(world.line(n, account=n) for n in range(6)))
    world.fail({"kind": "reset_after_commit", "match": PUT, "nth": 2, "times": 2})
    world.settle(**ONE_BY_ONE)
    path = [
        "PUT" if call["method"] == "PUT" else "LOOK"
        for call in world.faulty.log.since()
        if call["method"] == "PUT" or "InvoiceNumbers" in call["query"]
    ]
    assert path == ["PUT", "PUT", "PUT", "LOOK", "PUT", "PUT", "PUT"]
    world.assert_exactly_once(6)


def keys_and_bodies(world):
    return [
        (call["headers"]["idempotency-key"], call["body_sha256"])
        for call in world.faulty.log.since()
        if call["method"] == "PUT"
    ]


def test_a_key_stands_for_one_body_and_is_new_after_an_unknown_outcome(world):
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail(
        {"kind": "status", "status": 500, "match": PUT, "nth": 1},
        {"kind": "rate_concurrent", "match": PUT, "nth": 2},
        {"kind": "status", "status": 500, "match": PUT, "nth": 4},
        culprit("SDP-00002"),
    )
    world.settle()
    world.recover(A_DAY)
    world.settle()
    sent = keys_and_bodies(world)
    assert len({key for key, _ in sent}) == len(set(sent))
    assert sent[1] == sent[2], "after a 429 the same bytes under the same key"
    again = [key for key, body in sent if body == sent[0][1]]
    assert len(again) == len(set(again)) == 2, "after a 500 the same bytes under a new key"
    assert all(len(key) <= 128 for key, _ in sent)
    world.assert_exactly_once(9)


@pytest.mark.parametrize("shape", ["message", "elements"])
@pytest.mark.parametrize("committed", [True, False])
def test_a_key_that_was_used_with_another_request_is_an_unknown_outcome(world, shape, committed):
    words = "Idempotency Key: abc is used with a different request."
    body = (
        {"Message": words}
        if shape == "message"
        else {"Type": "ValidationException", "Elements": [{"ValidationErrors": [{"Message": words}]}]}
    )
    world.deliver(*(world.line(n, **ALONE) for n in range(3)))
    world.fail({"kind": "status", "status": 400, "body": body, "commit": committed, "match": PUT, "nth": 1})
    world.settle()
    world.assert_exactly_once(3)
    sent = keys_and_bodies(world)
    assert len({key for key, _ in sent}) == len(sent) == (1 if committed else 2)


def test_a_settle_that_stalled_writes_nothing_any_more(world):
    world.deliver(*(world.line(n, **ALONE) for n in range(2)))
    handle = world.xero.handle

    def takes_long(call):
        if call.method == "PUT":
            with world.ledger.write() as session:
                world.ledger.connection(session).settle_epoch += 1
        return handle(call)

    world.xero.handle = takes_long
    with pytest.raises(LedgerError, match="took over"):
        world.settle()
    assert world.states() == {"planned": 2}
    world.xero.handle = handle
    world.settle()
    world.assert_exactly_once(2)


def test_other_credentials_bill_nothing(world):
    world.settle()
    world.deliver(world.line(0))
    with world.ledger.write() as session:
        row = world.ledger.connection(session)
        row.organisation_id, row.organisation_name = "another-organisation", "Other"
    with pytest.raises(LedgerError, match="bills Other"):
        world.settle()
    assert world.writes() == 0
    assert world.states() == {"open": 1}


@pytest.mark.parametrize("news", ["list", "304"])
@pytest.mark.parametrize(
    ("action", "state"), [("pay", "paid"), ("void", "voided"), ("delete", "deleted"), (None, "created")]
)
def test_what_becomes_of_an_invoice_in_xero_is_learnt_by_the_next_settle(world, action, state, news):
    world.xero.set_switch("not_modified", news)
    world.deliver(world.line(0))
    world.settle(invoice_status="AUTHORISED")
    world.clock.advance(3600)
    if action:
        world.person("invoice", action, in_xero(world)["InvoiceID"])
    settled = world.settle()
    assert only(world).state == state
    assert settled.refreshed == (0 if action is None else 1)
    assert world.states() == {"invoiced": 1}
    world.clock.advance(3600)
    assert world.settle().refreshed == 0
    assert world.writes() == 1


def test_an_invoice_that_another_person_deleted_never_gives_its_number_to_us_again(world):
    world.deliver(world.line(0))
    world.settle()
    world.person("invoice", "delete", in_xero(world)["InvoiceID"])
    world.deliver(world.line(1))
    world.settle()
    assert [i["InvoiceNumber"] for i in world.ours()] == ["SDP-00002"]


def test_a_worklog_changed_while_its_refused_invoice_was_open_waits_for_its_new_terms(world):
    world.deliver(world.line(0, minutes=60))
    changed = world.line(0, minutes=90)
    serve = world.faulty.serve

    def edit_meanwhile(call):
        if call.method == "PUT":
            world.deliver(changed)
        return serve(call)

    world.faulty.serve = edit_meanwhile
    world.fail(culprit("SDP-00001"))
    world.settle()
    world.faulty.serve = serve
    world.recover()
    # Without a delivery there are only the old terms, which nobody wants to bill any more.
    world.settle()
    assert world.reasons() == {"1000": "REJECTED_BY_XERO"}
    assert [source["minutes"] for source in world.ledger.unbilled_sources()] == [90]
    world.deliver(changed)
    world.settle()
    world.assert_exactly_once(1)
    assert in_xero(world)["LineItems"][0]["Quantity"] == Decimal("1.5")


def test_an_interrupted_call_is_looked_up_before_anything_is_planned(world):
    world.deliver(world.line(0))
    world.fail({"kind": "rate_day", "retry_after": 60, "match": PUT})
    world.settle()
    world.recover()
    with world.ledger.write() as session:
        session.execute(update(Invoice).values(state="sending"))
        session.execute(update(Base.metadata.tables["push_batch"]).values(state="sending", attempts=1))
    world.settle()
    calls = [call for call in world.faulty.log.since() if "InvoiceNumbers" in call["query"]]
    assert len(calls) == 2
    world.assert_exactly_once(1)


def everything(ledger):
    with ledger.read() as session:
        return {
            name: [tuple(row) for row in session.execute(select(table).order_by(table.c.id))]
            for name, table in Base.metadata.tables.items()
        }


def test_a_preview_writes_neither_to_xero_nor_to_the_ledger(world):
    world.deliver(world.line(0), world.line(1, account=7), world.line(2, type_id="unknown"))
    before = everything(world.ledger)
    planned = preview(world.ledger, world.client(), BillingSettings())
    assert [(i.number, i.lines) for i in planned.invoices] == [("SDP-00001", 1)]
    assert {code: held.lines for code, held in planned.held.items()} == {
        "ACCOUNT_UNMAPPED": 1,
        "TYPE_NOT_SYNCED": 1,
    }
    assert everything(world.ledger) == before
    assert world.writes() == 0


def test_with_push_off_holds_are_stored_and_nothing_is_planned(world):
    world.deliver(world.line(0), world.line(1, account=7))
    settled = world.settle(push=False)
    assert world.states() == {"open": 1, "held": 1}
    assert world.ledger_invoices() == []
    assert world.writes() == 0
    assert "1 invoice over" in settled.sentence()
    assert "none was sent" in settled.sentence()
    world.settle()
    assert [i["InvoiceNumber"] for i in world.ours()] == ["SDP-00001"]


def test_with_push_off_a_worklog_whose_hold_is_over_is_not_shown_as_held(world):
    world.deliver(world.line(0), world.line(1, type_id="unknown"))
    world.settle(push=False)
    assert world.states() == {"open": 1, "held": 1}
    with world.ledger.write() as session:
        link = session.scalars(select(WorklogTypeLink).order_by(WorklogTypeLink.id)).first()
        link.type_id = "unknown"
    world.deliver(world.line(0, type_id="unknown"))
    settled = world.settle(push=False)
    assert (world.states(), settled.held) == ({"open": 2}, {})
    before = everything(world.ledger)
    world.settle(push=False)
    assert [row for row in everything(world.ledger) if row not in before] == []
    world.settle()
    world.assert_exactly_once(2)


def test_a_stop_request_ends_cleanly_between_two_calls(world):
    world.deliver(*(world.line(n) for n in range(6)))
    stopped = settle(
        world.ledger,
        world.client(),
        BillingSettings(**ONE_BY_ONE),
        stop_requested=lambda: world.writes() == 1,
    )
    assert (stopped.outcome, stopped.invoices, stopped.unsent) == ("stopped", 1, 2)
    world.clock.advance(timedelta(hours=1).total_seconds())
    world.settle()
    world.assert_exactly_once(6)


def test_voiding_everything_ever_billed_bills_nothing_again(world):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle(invoice_status="AUTHORISED")
    for invoice in world.ours():
        world.person("invoice", "void", invoice["InvoiceID"])
    world.clock.advance(3600)
    world.deliver(*(world.line(n) for n in range(6)))
    writes = world.writes()
    world.settle()
    assert world.writes() == writes
    assert world.states() == {"invoiced": 6}
