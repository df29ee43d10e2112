"""An invoice that is not in Xero as it was sent is found by whoever looks, in each view."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msp_xero.billing.document import worklog_marker
from msp_xero.ledger.generations import COUNTED
from msp_xero.ledger.models import Invoice, Worklog
from msp_xero.ledger.outcomes import Standing
from msp_xero.ledger.runs import finish_run, start_run
from msp_xero.ledger.second_look import await_look, awaited, note_seen
from msp_xero.ledger.staging import stage_lines
from msp_xero_console.words import counted
from sqlalchemy import select, update

from console.tests.conftest import invoice, invoice_line, line


@pytest.fixture
def differs(cli):
    """Xero said another total for SDP-00001 once; the run after that had nothing to do."""
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(
            update(Invoice)
            .where(Invoice.number == "SDP-00001")
            .values(xero_total=Decimal("99.99"), reason="Somebody changed its total in Xero.")
        )
    return cli


def test_the_list_of_invoices_names_the_other_total(differs):
    assert "Xero says NZD 99.99" in " ".join(differs.says("invoices", "list", "--state", "created").split())


def test_status_names_the_invoice_and_why(differs):
    said = " ".join(differs.says("status").split())
    assert "SDP-00001 is not in Xero as it was sent: NZD" in said
    assert "Somebody changed its total in Xero." in said
    assert [row["number"] for row in differs.data("status")["differing"]] == ["SDP-00001"]


def test_status_says_nothing_where_nothing_differs(cli):
    assert cli.data("status")["differing"] == []
    assert "as it was sent" not in cli.says("status")


def test_what_counts_as_billed_on_a_person_s_word_is_not_told_as_differing(cli):
    """As ``reinitialise --count-as-billed`` leaves it: nobody knows whether Xero has it at all."""
    with cli.ledger() as ledger, ledger.write() as session:
        unseen = {"xero_id": None, "xero_status": None, "xero_total": None, "reason": COUNTED}
        session.execute(
            update(Invoice).where(Invoice.number == "SDP-00001").values(state="created", **unseen)
        )
    assert cli.data("status")["differing"] == []


def test_the_check_fails_until_a_line_that_counts_as_billed_is_back(empty):
    with empty.ledger() as ledger:
        finish_run(ledger, start_run(ledger, "worklogs"), "done")
        stage_lines(ledger, [line("101")], settle_reasons=frozenset())
        with ledger.settling() as fence:
            with ledger.write(fence) as session:
                worklog = session.scalars(select(Worklog)).one()
                worklog.state, worklog.decision = "invoiced", "bill"
                made = invoice(ledger, "SDP-00001", "created", [worklog])
                made.xero_id, made.xero_status, made.xero_total = "x-1", "DRAFT", made.total
                session.add(made)
                session.flush()
                session.add(billed := invoice_line(made, worklog, 1))
                session.flush()
                await_look(session, ledger, [Standing(worklog.id, billed.id, made.id)])
            assert empty("status", "--check").exit_code == 0
            key = ("request", "101")
            note_seen(ledger, fence, awaited(ledger), {"x-1": set()}, worklog_marker)
            told = empty.data("status", "--check", code=3)
            assert "named by no line of it: (SDP request worklog 101)" in told["differing"][0]["reason"]
            note_seen(ledger, fence, awaited(ledger), {"x-1": {key}}, worklog_marker)
        assert empty.data("status", "--check")["differing"] == []


def test_the_sums_of_a_run_name_each_currency():
    counts = {"invoices": 2, "minutes": 60, "totals": {"AUD": Decimal(5), "NZD": Decimal(7)}}
    assert counted(counts) == "2 invoices, 1:00 hours, AUD 5.00, NZD 7.00"
    assert counted({"invoices": 1, "total": Decimal(7), "currency": "NZD"}) == "1 invoice, NZD 7.00"
