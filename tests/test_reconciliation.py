"""The reconciliation can fail: each of the mishaps that it is there for is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.reconciliation import reconcile

if TYPE_CHECKING:
    from tests.project import Project

COPIED = ("Type", "Contact", "Date", "DueDate", "Status", "LineAmountTypes", "CurrencyCode", "LineItems")


def test_a_line_twice_under_another_number_is_noticed(billed: Project) -> None:
    reconcile(billed)
    ours = next(iter(billed.sandbox.our_invoices().values()))
    lines = [{**line, "Quantity": 1.0, "UnitAmount": 1.0} for line in ours["LineItems"]]
    keep = {"Description", "Quantity", "UnitAmount", "AccountCode", "TaxType"}
    lines = [{name: line[name] for name in keep & line.keys()} for line in lines]
    row = {name: ours[name] for name in COPIED if name in ours} | {"LineItems": lines}
    contact = {"Contact": {"ContactID": ours["Contact"]["ContactID"]}}
    dates = {"Date": ours["DateString"][:10], "DueDate": ours["DueDateString"][:10]}
    billed.sandbox.change("xero", "invoice", "add", **row | contact | dates, InvoiceNumber="COPY-1")
    with pytest.raises(AssertionError, match="on two lines"):
        reconcile(billed)


def test_another_price_in_xero_is_noticed(billed: Project) -> None:
    number, ours = next(iter(billed.sandbox.our_invoices().items()))
    keep = {"Description", "Quantity", "UnitAmount", "AccountCode", "TaxType", "ItemCode"}
    lines = [
        {name: float(line[name]) if name in {"Quantity", "UnitAmount"} else line[name] for name in keep}
        for line in ours["LineItems"]
    ]
    lines[0]["UnitAmount"] += 0.02
    billed.sandbox.change("xero", "invoice", "edit", number, LineItems=lines)
    with pytest.raises(AssertionError, match=number):
        reconcile(billed)


def test_a_worklog_that_never_came_is_noticed(billed: Project) -> None:
    parent = billed.sandbox.worklog("text_html")["parent_id"]
    added = billed.sandbox.change("sdp", "worklog", "add", parent=f"requests/{parent}", minutes=5)
    with pytest.raises(AssertionError, match=added["id"]):
        reconcile(billed)
    reconcile(billed, complete=False)
