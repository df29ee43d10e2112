"""The lists and sums for people: right, whole, and the same on a small and a big ledger."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from msp_xero.ledger import Ledger, views
from msp_xero.ledger.lines import Line
from msp_xero.ledger.models import BillingConnection, Invoice, InvoiceLine, SdpEntry, Worklog
from msp_xero.ledger.rows import Total, WorklogFilter, WorklogRow
from msp_xero.ledger.staging import stage_lines
from sqlalchemy import event, insert, update

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def line(worklog_id: str, **more: Any) -> Line:
    values: dict[str, Any] = {
        "module": "request",
        "decision": "bill",
        "minutes": 30,
        "account_id": "7",
        "account_name": "Äpfel GmbH",
        "technician_id": worklog_id,
        "work_date": date(2026, 11, 1),
        "amount": Decimal("50.05"),
        "source": {"worklog_id": worklog_id},
    }
    return Line(worklog_id=worklog_id, **{**values, **more})


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", actor="test") as ledger:
        yield ledger


def stage(ledger: Ledger, *lines: Line) -> None:
    stage_lines(ledger, lines, settle_reasons=frozenset())


def bill(ledger: Ledger, number: str, *rows: int, live: bool = True, state: str = "created") -> None:
    with ledger.write() as session:
        invoice = Invoice(
            connection_id=ledger.connection_id,
            generation=1,
            number=number,
            account_id="7",
            contact_id="c",
            currency="NZD",
            invoice_date=NOW.date(),
            due_date=NOW.date(),
            reference="r",
            marker="m",
            wanted_status="DRAFT",
            line_amount_types="Exclusive",
            subtotal=Decimal("50.05"),
            total_tax=Decimal("7.51"),
            total=Decimal("57.56"),
            line_count=len(rows),
            minutes=30,
            state=state,
            xero_id="x-1",
            planned_at=NOW,
        )
        session.add(invoice)
        session.flush()
        for position, row in enumerate(rows, 1):
            session.add(
                InvoiceLine(
                    invoice_id=invoice.id,
                    worklog_row=row,
                    revision=1,
                    position=position,
                    live=live,
                    description="d",
                    quantity=Decimal("0.5"),
                    unit_price=Decimal("100.1"),
                    amount=Decimal("50.05"),
                    tax=Decimal("7.51"),
                    item_code="I",
                    account_code="200",
                    tax_type="OUTPUT2",
                )
            )
            if live:
                session.execute(update(Worklog).where(Worklog.id == row).values(state="invoiced"))


def ids(rows: list[WorklogRow]) -> list[str]:
    return [row.label for row in rows]


def test_an_empty_ledger_has_empty_answers(ledger) -> None:
    assert views.worklog_totals(ledger) == views.invoice_totals(ledger) == []
    assert views.sum_worklogs(ledger, WorklogFilter()) == Total()
    assert views.list_worklogs(ledger, WorklogFilter()) == views.list_invoices(ledger) == []
    assert views.count_shared_ids(ledger) == views.count_changed_after_billing(ledger) == 0
    assert views.find_worklogs(ledger, "1") == []
    assert views.invoice_detail(ledger, "SDP-1") is None
    assert views.connection_view(ledger).name == "default"


def test_totals_are_exact_and_whole(ledger) -> None:
    hold = {"decision": "hold", "reason_code": "TYPE_MISSING", "reason": "r"}
    stage(ledger, line("1"), line("2"), line("3", **hold, amount=None), line("4", **hold))
    bill(ledger, "SDP-1", 1)
    totals = {(row.state, row.reason_code): row.total for row in views.worklog_totals(ledger)}
    assert totals == {
        ("invoiced", None): Total(1, 30, Decimal("50.05"), 0),
        ("open", None): Total(1, 30, Decimal("50.05"), 0),
        ("held", "TYPE_MISSING"): Total(2, 60, Decimal("50.05"), 1),
    }
    assert sum(totals.values(), Total()) == views.sum_worklogs(ledger, WorklogFilter())
    assert [row.state for row in views.worklog_totals(ledger, decision="hold")] == ["held"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (WorklogFilter(), ["1", "2", "3"]),
        (WorklogFilter(states=("open",)), ["1", "3"]),
        (WorklogFilter(states=("open", "held")), ["1", "2", "3"]),
        (WorklogFilter(reason_code="TYPE_MISSING"), ["2"]),
        (WorklogFilter(account_id="7"), ["1", "2"]),
        (WorklogFilter(account_id="9"), []),
        (WorklogFilter(before=date(2026, 11, 2)), ["1"]),
        (WorklogFilter(since=date(2026, 11, 2)), ["3"]),
        (WorklogFilter(changed=True), []),
    ],
)
def test_filters(ledger, wanted, expected) -> None:
    stage(
        ledger,
        line("1"),
        line("2", decision="hold", reason_code="TYPE_MISSING", reason="r", work_date=None),
        line("3", account_id="8", account_name="Acme Ltd", work_date=date(2026, 11, 2)),
    )
    assert ids(views.list_worklogs(ledger, wanted)) == expected
    assert views.sum_worklogs(ledger, wanted).count == len(expected)


def test_an_account_has_its_present_name_before_those_that_worklogs_tell(ledger) -> None:
    stage(ledger, line("1"), line("2", account_name="Apfel AG"), line("3", account_id="8", account_name=None))
    told = [("7", "Äpfel GmbH"), ("7", "Apfel AG"), ("8", None)]
    assert views.accounts_with_worklogs(ledger) == told
    with ledger.write() as session:
        shared = {"connection_id": ledger.connection_id, "kind": "account", "seen_at": NOW}
        session.add(SdpEntry(sdp_id="7", name="Apfel SE", **shared))
        session.add(SdpEntry(sdp_id="9", name="Without worklogs", **shared))
    assert views.accounts_with_worklogs(ledger) == [("7", "Apfel SE"), *told]


def test_pages_by_key_cover_everything_once(ledger) -> None:
    stage(ledger, *(line(str(n)) for n in range(25)))
    seen, after = [], 0
    while page := views.list_worklogs(ledger, WorklogFilter(), after=after, limit=10):
        assert len(page) <= 10
        seen += ids(page)
        after = page[-1].row
    assert seen == [str(n) for n in range(25)]


def test_every_worklog_walks_all_pages(ledger, monkeypatch) -> None:
    stage(ledger, *(line(str(n)) for n in range(2500)))
    assert len(list(views.every_worklog(ledger, WorklogFilter()))) == 2500


def test_only_a_live_line_names_the_invoice(ledger) -> None:
    stage(ledger, line("1"))
    bill(ledger, "SDP-1", 1, live=False, state="voided")
    (row,) = views.list_worklogs(ledger, WorklogFilter())
    assert (row.invoice_number, row.state) == (None, "open")
    bill(ledger, "SDP-2", 1)
    (row,) = views.list_worklogs(ledger, WorklogFilter())
    assert row.invoice_number == "SDP-2"
    assert [(one.invoice_number, one.live) for one in views.worklog_detail(ledger, row).lines] == [
        ("SDP-1", False),
        ("SDP-2", True),
    ]


def test_worklogs_that_share_an_id_are_told_apart(ledger) -> None:
    stage(ledger, line("1", created_time="a"), line("1", module="task", created_time="b"))
    assert ids(views.find_worklogs(ledger, "1")) == ["1", "1#2"]
    assert [row.module for row in views.find_worklogs(ledger, "1#1")] == ["request"]
    assert [row.module for row in views.find_worklogs(ledger, " 1#2 ")] == ["task"]
    assert views.find_worklogs(ledger, "1#x") == views.find_worklogs(ledger, "1#") == []
    assert views.count_shared_ids(ledger) == 1


def test_an_invoice_leads_to_its_worklogs_and_to_xero(ledger) -> None:
    stage(ledger, line("1"), line("2"))
    bill(ledger, "SDP-1", 2, 1)
    with ledger.write() as session:
        session.execute(update(BillingConnection).values(short_code="!abc"))
    detail = views.invoice_detail(ledger, " sdp-1 ")
    assert detail is not None
    assert [one.worklog_id for one in detail.lines] == ["2", "1"]
    assert detail.link is not None
    assert "shortcode=!abc&" in detail.link
    assert detail.link.endswith("InvoiceID=x-1")
    assert views.xero_link(None, "x") is views.xero_link("!abc", None) is None


def test_invoices_newest_first_by_state_and_page(ledger) -> None:
    stage(ledger, *(line(str(n)) for n in range(3)))
    for row, state in enumerate(("created", "unknown", "created"), 1):
        bill(ledger, f"SDP-{row}", row, state=state)
    assert [row.number for row in views.list_invoices(ledger)] == ["SDP-3", "SDP-2", "SDP-1"]
    assert [row.number for row in views.list_invoices(ledger, before=3, limit=1)] == ["SDP-2"]
    assert [row.number for row in views.list_invoices(ledger, states=("created",))] == ["SDP-3", "SDP-1"]
    assert [row.number for row in views.unsettled_invoices(ledger)] == ["SDP-2"]
    totals = {row.state: (row.count, row.total) for row in views.invoice_totals(ledger)}
    assert totals == {"created": (2, Decimal("115.12")), "unknown": (1, Decimal("57.56"))}


def test_another_connections_rows_are_never_seen(ledger, tmp_path) -> None:
    stage(ledger, line("1"))
    bill(ledger, "SDP-1", 1)
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", connection="other") as other:
        assert views.worklog_totals(other) == views.invoice_totals(other) == views.list_invoices(other) == []
        assert views.list_worklogs(other, WorklogFilter()) == views.find_worklogs(other, "1") == []
        assert views.invoice_detail(other, "SDP-1") is None


def test_views_write_nothing(ledger) -> None:
    stage(ledger, line("1"))
    bill(ledger, "SDP-1", 1)
    statements: list[str] = []
    event.listen(ledger.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    (row,) = views.list_worklogs(ledger, WorklogFilter())
    views.worklog_detail(ledger, row)
    views.worklog_totals(ledger)
    views.invoice_detail(ledger, "SDP-1")
    views.connection_view(ledger)
    assert statements
    assert {statement.split()[0] for statement in statements} <= {"SELECT", "BEGIN"}


def test_a_hundred_thousand_worklogs_are_summed_by_the_database(ledger) -> None:
    stage(ledger, line("0"))
    with ledger.write() as session:
        template = dict(session.execute(Worklog.__table__.select()).mappings().one())
        del template["id"]
        for start in range(1, 100_000, 10_000):
            session.execute(
                insert(Worklog),
                [{**template, "worklog_id": str(n)} for n in range(start, min(start + 10_000, 100_000))],
            )
    started = time.perf_counter()
    (total,) = views.worklog_totals(ledger)
    page = views.list_worklogs(ledger, WorklogFilter(states=("open",)), after=99_000, limit=50)
    spent = time.perf_counter() - started
    assert total.total == Total(100_000, 3_000_000, Decimal("5005000.00"), 0)
    assert len(page) == 50
    assert spent < 5  # it takes a tenth of a second; a walk in Python would take far longer
