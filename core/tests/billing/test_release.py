"""An invoice that a person voids or deletes in Xero keeps its worklogs until a person releases them."""

from __future__ import annotations

import pytest
from msp_xero.ledger.decisions import Refusal, release_invoice
from msp_xero.ledger.views import count_on_gone_invoices


def test_a_deleted_draft_stays_billed_until_it_is_released_and_is_billed_once_more(world):
    world.deliver(*(world.line(n, account=0) for n in range(3)))
    world.settle()
    with pytest.raises(Refusal, match="void or delete it in Xero first"):
        release_invoice(world.ledger, "SDP-00001")
    first = world.invoices()[0]
    world.xero.change_row({"kind": "invoice", "action": "delete", "id": first["InvoiceID"]})
    world.clock.advance(3600)
    assert world.settle().invoices == 0
    assert world.states() == {"invoiced": 3}
    assert count_on_gone_invoices(world.ledger) == 3

    assert release_invoice(world.ledger, "sdp-00001").free == 3
    assert world.states() == {"open": 3}
    assert count_on_gone_invoices(world.ledger) == 0
    with pytest.raises(Refusal, match="released already"):
        release_invoice(world.ledger, "SDP-00001")
    assert world.settle().worklogs == 3
    live = [row for row in world.invoices() if row["Status"] != "DELETED"]
    assert [row["InvoiceNumber"] for row in live] == ["SDP-00002"]


def test_there_is_no_such_invoice_to_release(world):
    with pytest.raises(Refusal, match="no invoice SDP-00009"):
        release_invoice(world.ledger, "SDP-00009")


def test_a_released_worklog_that_changed_after_billing_waits_for_its_newest_terms(world):
    world.deliver(world.line(0), world.line(3))
    world.settle()
    world.deliver(world.line(0, minutes=90))
    world.xero.change_row({"kind": "invoice", "action": "delete", "id": world.invoices()[0]["InvoiceID"]})
    world.clock.advance(3600)
    world.settle()
    release_invoice(world.ledger, "SDP-00001")
    assert world.states() == {"open": 1, "held": 1}
    world.deliver(world.line(0, minutes=90))
    settled = world.settle()
    assert (settled.worklogs, settled.minutes) == (2, 90 + 45)
