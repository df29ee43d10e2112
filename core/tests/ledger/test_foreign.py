"""What is remembered of strangers' invoices is replaced as a whole; what was known as ours stays so."""

from __future__ import annotations

import pytest
from msp_xero.ledger import foreign, pushing
from msp_xero.ledger.foreign import Told
from msp_xero.ledger.models import ForeignLine
from sqlalchemy import select


def told(invoice_id, worklog_id, *, is_ours=False):
    return Told(invoice_id, "INV-1", "contact", "request", worklog_id, "digest", is_ours)


def retell(ledger, ids, *lines):
    with ledger.settling() as fence:
        foreign.retell(ledger, fence, ids, lines)


def memory(ledger):
    with ledger.read() as session:
        rows = session.execute(select(ForeignLine.invoice_id, ForeignLine.worklog_id, ForeignLine.is_ours))
        return sorted(tuple(row) for row in rows)


def test_what_is_told_anew_replaces_what_was_told_and_nothing_else(ledger):
    retell(ledger, {"a", "b"}, told("a", "1"), told("a", "2"), told("b", "3"))
    retell(ledger, {"a", "gone"}, told("a", "2"))
    assert memory(ledger) == [("a", "2", False), ("b", "3", False)]
    retell(ledger, {"b"})
    assert memory(ledger) == [("a", "2", False)]


def test_an_invoice_of_before_stays_ours_when_nothing_but_its_lines_is_left(ledger):
    retell(ledger, {"a"}, told("a", "1", is_ours=True))
    retell(ledger, {"a"}, told("a", "1"), told("a", "2"))
    assert memory(ledger) == [("a", "1", True), ("a", "2", True)]


def test_a_crash_in_the_middle_leaves_the_old_memory(ledger, monkeypatch):
    retell(ledger, {"a"}, told("a", "1", is_ours=True))

    def die(_model):
        raise KeyboardInterrupt

    monkeypatch.setattr(foreign, "insert", die)
    with pytest.raises(KeyboardInterrupt):
        retell(ledger, {"a"}, told("a", "2"))
    assert memory(ledger) == [("a", "1", True)]


def test_more_ids_than_one_statement_takes_are_compared(ledger, deliver, line):
    deliver(line("1"), line("2"))
    many = [str(number) for number in range(2, 70_000)]
    assert [one.worklog_id for one in pushing.waiting_worklogs(ledger, many)] == ["2"]
    assert pushing.on_record(ledger, many) == set()
