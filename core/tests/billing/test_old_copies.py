"""An older copy of the ledger never bills again what it does not remember sending."""

from __future__ import annotations

import pytest
from msp_xero.errors import LedgerError
from msp_xero.ledger.models import Invoice, PushBatch, Worklog
from sqlalchemy import update


def forget_that_it_was_sent(world):
    """Bring the ledger back to the moment after planning, as a backup of that moment would."""
    with world.ledger.write() as session:
        session.execute(
            update(Invoice).values(state="planned", xero_id=None, xero_status=None, xero_total=None)
        )
        session.execute(update(PushBatch).values(state="planned", attempts=0))
        session.execute(update(Worklog).values(state="planned"))


def finds_out_that_another_ledger_sent_it(world):
    """Adopt it, and end there: the ledger that sent it may be running beside this one."""
    with pytest.raises(LedgerError, match="was about to send for the first time"):
        world.settle()


def test_a_planned_invoice_that_xero_has_under_another_number_is_adopted(world):
    world.deliver(*(world.line(n, account=0) for n in range(3)))
    world.settle()
    sent = world.invoices()[0]
    forget_that_it_was_sent(world)
    world.xero.change_row(
        {
            "kind": "invoice",
            "action": "edit",
            "id": sent["InvoiceID"],
            "values": {"InvoiceNumber": "INV-9001"},
        }
    )
    world.clock.advance(900)
    finds_out_that_another_ledger_sent_it(world)
    world.settle()
    holding = [row for row in world.xero.dump()["invoices"] if row["Reference"] == sent["Reference"]]
    assert [row["InvoiceNumber"] for row in holding] == ["INV-9001"]
    assert world.states() == {"invoiced": 3}


def test_a_draft_that_a_person_deleted_is_not_made_again_by_an_old_copy(world):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    gone = world.invoices()[0]
    forget_that_it_was_sent(world)
    world.xero.change_row({"kind": "invoice", "action": "delete", "id": gone["InvoiceID"]})
    world.clock.advance(900)
    finds_out_that_another_ledger_sent_it(world)
    world.settle()
    live = [row for row in world.invoices() if row["Status"] != "DELETED"]
    assert (len(live), sum(len(row["LineItems"]) for row in live)) == (2, 4)
    assert world.states() == {"invoiced": 6}
