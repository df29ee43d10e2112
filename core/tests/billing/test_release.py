"""An invoice that a person voids or deletes in Xero keeps its worklogs until a person releases them."""

from __future__ import annotations

import pytest
from msp_xero.billing.rebuild import rebuild
from msp_xero.ledger.decisions import Refusal, release_invoice
from msp_xero.ledger.models import InvoiceLine
from msp_xero.ledger.outcomes import Standing, put_back
from msp_xero.ledger.views import count_on_gone_invoices, invoice_detail
from msp_xero.ledger.withdrawing import free
from sqlalchemy import select

EXCLUDED = {"decision": "exclude", "reason_code": "EXCLUDED_BY_RULE", "reason": "A rule says so."}
WITHOUT_TYPE = {"decision": "hold", "reason_code": "TYPE_MISSING", "reason": "It has no worklog type."}


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


def test_a_released_line_of_another_tap_goes_out_on_its_newest_terms(world):
    toggl = {"worklog_id": "T-1", "module": "toggl", "source": {}}
    world.deliver(world.line(0, **toggl, minutes=60))
    world.settle()
    more = world.line(0, **toggl, minutes=240)
    assert world.deliver(more).changed_after_billing == 1
    world.person("invoice", "delete", world.invoices()[0]["InvoiceID"])
    world.clock.advance(3600)
    world.settle()
    release_invoice(world.ledger, "SDP-00001")
    assert world.settle().invoices == 0  # a push before the tap delivers it again knows only the old hours
    assert world.reasons() == {"T-1": "CHANGED_AFTER_BILLING"}
    world.deliver(more)
    assert world.settle().minutes == 240


@pytest.mark.parametrize(("decided", "state"), [(EXCLUDED, "excluded"), (WITHOUT_TYPE, "held")])
def test_what_a_rebuild_found_billed_has_its_own_reason_again_once_it_is_released(
    world, lose, decided, state
):
    world.deliver(world.line(0))
    world.settle()
    lose(world)
    world.link_accounts()
    world.link_types()
    world.deliver(world.line(0, **decided))
    world.person("invoice", "delete", world.invoices()[0]["InvoiceID"])
    rebuild(world.ledger, world.client(), number_prefix="SDP-")
    _release_and_go_on(world, decided, state)


def test_what_was_put_back_has_its_own_reason_again_once_it_is_released(world):
    world.deliver(world.line(0))
    world.settle()
    with world.ledger.write() as session:
        columns = (InvoiceLine.worklog_row, InvoiceLine.id, InvoiceLine.invoice_id)
        billed = Standing(*session.execute(select(*columns)).one())
        free(session, world.ledger, [billed.row], "released")  # as a start in another organisation does
    world.deliver(world.line(0, **EXCLUDED))
    with world.ledger.write() as session:
        put_back(session, world.ledger, [billed])  # as the way home does
    world.person("invoice", "delete", world.invoices()[0]["InvoiceID"])
    world.clock.advance(3600)
    world.settle()
    _release_and_go_on(world, EXCLUDED, "excluded")


def _release_and_go_on(world, decided, state):
    release_invoice(world.ledger, "SDP-00001")
    assert world.reasons() == {"1000": "CHANGED_AFTER_BILLING"}
    world.deliver(world.line(0, **decided))
    assert world.states() == {state: 1}
    assert world.reasons() == {"1000": decided["reason_code"]}
    assert world.settle().invoices == 0
    world.deliver(world.line(0))
    assert world.settle().worklogs == 1


def test_a_number_with_other_letters_than_those_of_ascii_is_found(world, lose):
    world.deliver(world.line(0))
    world.settle(invoice_status="AUTHORISED")
    lose(world)
    standing = world.invoices()[0]
    world.person("invoice", "edit", standing["InvoiceID"], InvoiceNumber="RÜCK-1")
    world.person("invoice", "void", standing["InvoiceID"])
    rebuild(world.ledger, world.client(), number_prefix="SDP-")
    assert invoice_detail(world.ledger, "RÜCK-1").invoice.state == "voided"
    assert release_invoice(world.ledger, "RÜCK-1").free == 1
