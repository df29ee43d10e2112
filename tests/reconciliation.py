"""After every scenario: what the source holds, what the ledger says and what Xero has must be the same.

Nothing here is computed by the product: the expected lines are worked out again from the rows of the
two systems, with the arithmetic of the fact sheet ``xero-api`` (section 4.3).
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.project import Books
    from tests.systems import Sandbox

Row = dict[str, Any]

_MARKER = re.compile(r"\(SDP (\w+) worklog (\S+)\)\Z")
_GONE = {"VOIDED", "DELETED"}


def rounded(value: Decimal, places: int = 2) -> Decimal:
    """Round half up, as Xero does."""
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def tax_of(amount: Decimal, rate: Decimal, invoice: Row) -> Decimal:
    """Return the tax of one line by the kind of amounts that its invoice has."""
    match invoice["LineAmountTypes"]:
        case "Exclusive":
            return rounded(amount * rate / 100)
        case "Inclusive":
            return amount - rounded(amount / (1 + rate / 100))
        case _:
            return Decimal(0)


def delivered(sandbox: Sandbox) -> dict[str, Row]:
    """Return the worklogs that ServiceDesk Plus shows: those of trashed and archived requests it does not."""
    dump = sandbox.control("GET", "sdp", "dump")
    tables = {kind: {row["id"]: row for row in rows} for kind, rows in dump.items() if kind != "switches"}

    def hidden(row: Row) -> bool:
        above = tables.get(f"{row.get('parent_kind') or 'project'}s", {}).get(row.get("parent_id"))
        return above is not None and bool(
            above.get("is_trashed") or above.get("is_archived") or hidden(above)
        )

    return {row["id"]: row for row in dump["worklogs"] if not hidden(row)}


def lines_in_xero(sandbox: Sandbox) -> list[tuple[str, Row, Row]]:
    """Return ``(worklog id, line, invoice)`` for every line of a live invoice that names a worklog."""
    return [
        (marker[2], line, invoice)
        for invoice in sandbox.rows("xero", "invoices")
        if invoice["Status"] not in _GONE
        for line in invoice["LineItems"]
        if (marker := _MARKER.search(line.get("Description", "")))
    ]


def reconcile(project: Books, *, complete: bool = True, others: Iterable[str] = ()) -> None:
    """Hold source, ledger and Xero against each other.

    Args:
        project: the ledger of a project, and its sandbox.
        complete: every worklog of the source has arrived; otherwise only some have.
        others: ids of worklogs that came from another source than the sandbox's ServiceDesk Plus.
    """
    sandbox = project.sandbox
    source = delivered(sandbox)
    worklogs = project.worklogs()
    counted = Counter(row.worklog_id for row in worklogs)
    assert set(counted.values()) <= {1}, counted

    # Every worklog is in one place, and there are as many as the source has.
    known = set(counted) - set(others)
    assert known <= set(source)
    assert known == set(source) or not complete, set(source) - known
    by_state = project.states()
    assert sum(by_state.values()) == len(worklogs)
    assert by_state.keys() <= {"open", "held", "excluded", "invoiced"}, by_state
    for row in worklogs:
        if row.worklog_id in source and row.changed is None and row.reason_code != "INVALID_RECORD":
            assert row.minutes == source[row.worklog_id]["minutes"], row.worklog_id
        if row.state in {"held", "excluded"}:
            assert row.reason_code, row.worklog_id
            assert row.reason, row.worklog_id

    _compare_invoices(project)
    _compare_lines(project, source)


def _compare_invoices(project: Books) -> None:
    """The ledger and Xero have the same invoices with the same totals, to the cent."""
    ours = {row.number: row for row in project.invoices() if row.xero_id is not None}
    theirs = project.sandbox.our_invoices()
    assert ours.keys() == theirs.keys()
    for number, invoice in ours.items():
        in_xero = theirs[number]
        assert invoice.xero_id == in_xero["InvoiceID"]
        assert (invoice.subtotal, invoice.total_tax, invoice.total) == (
            in_xero["SubTotal"],
            in_xero["TotalTax"],
            in_xero["Total"],
        ), number
        assert invoice.xero_total == in_xero["Total"]
        assert invoice.line_count == len(in_xero["LineItems"])
    total = sum((row.total for row in ours.values()), Decimal(0))
    assert total == sum((row["Total"] for row in theirs.values()), Decimal(0))


def _compare_lines(project: Books, source: dict[str, Row]) -> None:
    """Every invoiced worklog is on exactly one line in Xero, with the values that it must have."""
    sandbox = project.sandbox
    types = {row["id"]: row["name"] for row in sandbox.rows("sdp", "worklog_types")}
    items = {row["Name"]: row for row in sandbox.rows("xero", "items")}
    rates = {row["TaxType"]: row["EffectiveRate"] for row in sandbox.rows("xero", "tax_rates")}
    contacts = {row["ContactID"]: row for row in sandbox.rows("xero", "contacts")}
    accounts = {row["id"]: row["name"] for row in sandbox.rows("sdp", "accounts")}

    in_xero = lines_in_xero(sandbox)
    billed_to = {worklog_id: (line, invoice) for worklog_id, line, invoice in in_xero}
    assert len(in_xero) == len(billed_to), "a worklog is on two lines"
    invoiced = {row.worklog_id: row for row in project.worklogs("invoiced")}
    assert invoiced.keys() == billed_to.keys()

    live = project.live_lines()
    assert len(live) == len(invoiced)
    for worklog_id, row in invoiced.items():
        line, invoice = billed_to[worklog_id]
        ours = live[row.id]
        assert (ours.quantity, ours.unit_price, ours.amount, ours.tax) == (
            line["Quantity"],
            line["UnitAmount"],
            line["LineAmount"],
            line["TaxAmount"],
        ), worklog_id
        assert line["LineAmount"] == rounded(line["Quantity"] * line["UnitAmount"])
        assert line["TaxAmount"] == tax_of(line["LineAmount"], rates[line["TaxType"]], invoice)
        worklog = source.get(worklog_id)
        if worklog is None or row.changed is not None:
            continue
        assert line["Quantity"] == rounded(Decimal(worklog["minutes"]) / 60, 4), worklog_id
        if worklog["type_id"] is not None:
            item = items[types[worklog["type_id"]]]
            assert line["ItemCode"] == item["Code"]
            assert line["UnitAmount"] == item["SalesDetails"]["UnitPrice"]
        account = accounts[worklog["account_id"]]
        assert account in _names_of(contacts, invoice["Contact"]["ContactID"]), worklog_id


def _names_of(contacts: dict[str, Row], contact_id: str) -> set[str]:
    """Return the names of a contact and of those that were merged into it."""
    merged = {row["Name"] for row in contacts.values() if row.get("MergedToContactID") == contact_id}
    return merged | {contacts[contact_id]["Name"]}
