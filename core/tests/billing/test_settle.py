"""Every worklog on exactly one invoice, whatever Xero and the network do."""

from __future__ import annotations

import pytest
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import preview, settle
from msp_xero.errors import LedgerError
from msp_xero.ledger.models import Event, Invoice, InvoiceLine, Worklog
from sqlalchemy import func, select


def test_a_run_bills_each_account_on_one_invoice_and_the_totals_agree(world):
    world.deliver(*(world.line(n) for n in range(9)))
    settled = world.settle()
    assert (settled.invoices, settled.worklogs, settled.minutes) == (3, 9, 9 * 45)
    in_xero = world.invoices()
    assert sorted(i["InvoiceNumber"] for i in in_xero) == ["SDP-00001", "SDP-00002", "SDP-00003"]
    assert sum(i["Total"] for i in in_xero) == settled.totals["NZD"]
    assert settled.differing == []
    assert world.states() == {"invoiced": 9}


def test_a_second_run_bills_nothing(world):
    lines = [world.line(n) for n in range(6)]
    world.deliver(*lines)
    world.settle()
    world.deliver(*lines)
    again = world.settle()
    assert (again.invoices, again.outcome) == (0, "done")
    assert "nothing new to bill" in again.sentence()
    assert len(world.invoices()) == 3


def test_only_the_wanted_accounts_are_billed_and_the_others_wait(world):
    world.deliver(*(world.line(n) for n in range(9)))
    settings = BillingSettings()
    foreseen = preview(world.ledger, world.client(), settings, accounts={"1"})
    settled = settle(world.ledger, world.client(), settings, accounts={"1"})
    assert [one.account_name for one in foreseen.invoices] == ["Account 1"]
    assert (settled.invoices, settled.worklogs) == (1, 3)
    assert world.states() == {"invoiced": 3, "open": 6}
    assert world.settle().invoices == 2
    world.assert_exactly_once(9)


def test_a_push_for_some_accounts_tells_of_what_is_held_for_them_alone(world):
    world.deliver(world.line(0), world.line(1, type_id="unknown"), world.line(2, type_id="unknown"))
    assert world.settle().held["TYPE_NOT_SYNCED"].lines == 2
    world.deliver(world.line(3))
    settled = settle(world.ledger, world.client(), BillingSettings(), accounts={"1"})
    told = {code: (held.lines, held.unpriced) for code, held in settled.held.items()}
    assert told == {"TYPE_NOT_SYNCED": (1, 1)}
    assert settled.counts()["held"] == {"TYPE_NOT_SYNCED": 2}
    said = settled.sentence()
    assert "1 held for these accounts: see msp-xero worklogs list --state held" in said
    assert "1 worklog of all accounts still to judge and plan" in said
    everything = world.settle()
    assert (everything.counts()["held"], everything.is_of_some) == ({"TYPE_NOT_SYNCED": 2}, False)
    assert "; 2 held: see" in everything.sentence()


LOST = [
    {"kind": "reset_after_commit"},
    {"kind": "timeout_after_commit"},
    {"kind": "reset_before"},
    {"kind": "truncate"},
    {"kind": "status", "status": 500, "commit": True},
    {"kind": "status", "status": 500, "commit": False},
    {"kind": "status", "status": 502, "body": "<html>Bad gateway</html>", "commit": True},
    {"kind": "status", "status": 503, "body": "The Organisation is offline"},
    {"kind": "html", "commit": True},
    {"kind": "html", "commit": False},
    {"kind": "slow", "seconds": 150, "commit": "after"},
    {"kind": "slow", "seconds": 103, "commit": "after"},
    {"kind": "duplicate_delivery"},
    {"kind": "rate_minute", "retry_after": 26},
    {"kind": "rate_minute"},
    {"kind": "rate_concurrent"},
    {"kind": "token_expired"},
]


@pytest.mark.parametrize("fault", LOST, ids=lambda f: "-".join(str(v) for v in f.values())[:40])
@pytest.mark.parametrize("nth", [1, 2])
def test_an_unknown_outcome_of_a_write_never_bills_twice_and_never_loses(world, fault, nth):
    world.deliver(*(world.line(n) for n in range(9)))
    world.faulty.add_faults(
        [{**fault, "match": {"method": "PUT", "path": "/api.xro/2.0/Invoices"}, "nth": nth}]
    )
    world.settle(batch_size=1, concurrency=1)
    world.faulty.clear_faults()
    world.clock.advance(3600)
    world.settle(batch_size=1, concurrency=1)
    assert world.states() == {"invoiced": 9}
    live = [i for i in world.invoices() if i["Status"] not in ("DELETED", "VOIDED")]
    assert len(live) == 3
    assert sum(len(i["LineItems"]) for i in live) == 9


def test_the_day_limit_stops_cleanly_and_the_next_run_goes_on(world):
    world.deliver(*(world.line(n) for n in range(9)))
    world.faulty.add_faults(
        [{"kind": "rate_day", "retry_after": 73451, "match": {"method": "PUT", "path": "/api.xro"}, "nth": 2}]
    )
    stopped = world.settle(batch_size=1, concurrency=1)
    assert (stopped.outcome, stopped.invoices, stopped.unsent) == ("stopped", 1, 2)
    assert "still to send" in stopped.sentence()
    with world.ledger.read() as session:
        waiting = session.scalars(select(Invoice).where(Invoice.state == "planned")).all()
    assert {(invoice.reason_code, "daily call limit" in invoice.reason) for invoice in waiting} == {
        ("DAY_LIMIT", True)
    }
    world.faulty.clear_faults()
    world.clock.advance(86400)
    assert world.settle().invoices == 2
    assert world.states() == {"invoiced": 9}


def test_holds_name_their_reason_and_go_out_when_the_cause_is_gone(world):
    gone = world.line(1, type_id="unknown", type_name="Internal meeting")
    unmapped = world.line(2, account=7)
    world.deliver(world.line(0), gone, unmapped)
    settled = world.settle()
    assert settled.invoices == 1
    assert world.reasons() == {"1000": None, "1001": "TYPE_NOT_SYNCED", "1002": "ACCOUNT_UNMAPPED"}
    assert settled.needs_person
    world.deliver(world.line(1))
    assert world.settle().worklogs == 1


def test_a_rejected_invoice_gives_its_worklogs_back_with_xeros_words_and_delays_no_other(world):
    world.deliver(*(world.line(n) for n in range(6)))
    contact = world.contacts[1]
    # Archived after the pre-flight has read it: only the write can notice.
    original = world.xero.handle

    def archive_before_the_write(call):
        if call.method == "PUT":
            world.xero.change_row({"kind": "contact", "action": "archive", "id": contact["ContactID"]})
            world.xero.handle = original
        return original(call)

    world.xero.handle = archive_before_the_write
    settled = world.settle()
    assert (settled.invoices, settled.rejected) == (2, 1)
    assert world.states() == {"invoiced": 4, "held": 2}
    with world.ledger.read() as session:
        held = session.scalars(select(Worklog).where(Worklog.state == "held")).all()
        assert {row.reason_code for row in held} <= {"CONTACT_ARCHIVED", "REJECTED_BY_XERO"}
        assert all(row.reason for row in held)
        dead = session.scalar(select(func.count()).where(InvoiceLine.live.is_(False)))
    assert dead == 2


def test_our_number_taken_by_a_foreign_invoice_moves_on_with_a_new_number(world):
    world.xero.change_row(
        {
            "kind": "invoice",
            "action": "add",
            "values": {
                "Type": "ACCREC",
                "InvoiceNumber": "SDP-00001",
                "Contact": {"ContactID": world.contacts[5]["ContactID"]},
                "Status": "AUTHORISED",
                "Reference": "by hand",
                "Date": "2026-11-01",
                "DueDate": "2026-12-01",
                "LineItems": [
                    {
                        "Description": "x",
                        "Quantity": 1,
                        "UnitAmount": 5,
                        "AccountCode": "200",
                        "TaxType": "OUTPUT2",
                    }
                ],
            },
        }
    )
    world.deliver(*(world.line(n, account=0) for n in range(2)))
    world.settle()
    assert world.states() == {"held": 2}
    world.settle()
    assert world.states() == {"invoiced": 2}
    assert [i["Reference"] for i in world.invoices() if i["InvoiceNumber"] == "SDP-00001"] == ["by hand"]


def test_an_old_copy_of_the_ledger_bills_nothing(world, databases, tmp_path):
    world.deliver(*(world.line(n) for n in range(3)))
    world.settle()
    world.ledger.close()
    backup = databases.copy(world.url, tmp_path)
    world.deliver(*(world.line(n) for n in range(3, 6)))
    world.settle()
    world.ledger.close()
    world.url = backup
    world.ledger = world.open_ledger()
    world.deliver(*(world.line(n) for n in range(3, 6)))
    with pytest.raises(LedgerError, match="does not know"):
        world.settle()
    assert len(world.invoices()) == 6


def test_every_change_of_state_has_its_event(world):
    world.deliver(*(world.line(n) for n in range(3)))
    world.settle()
    with world.ledger.read() as session:
        actions = session.execute(
            select(Event.entity, Event.action, func.count()).group_by(Event.entity, Event.action)
        ).all()
        invoices = session.scalar(select(func.count()).select_from(Invoice))
    assert {(e, a): n for e, a, n in actions} == {
        ("worklog", "delivered"): 3,
        ("worklog", "planned"): 3,
        ("worklog", "invoiced"): 3,
        ("invoice", "planned"): invoices,
        ("invoice", "sending"): invoices,
        ("invoice", "created"): invoices,
    }
