"""A machine whose clock disagrees with Xero's bills nothing: dates and looks for changes would be wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msp_xero.billing.recover import reconcile
from msp_xero.billing.reference import MOST_CLOCK_ERROR
from msp_xero.errors import LedgerError
from msp_xero_sandbox.inprocess import MovingClock


class WrongClock(MovingClock):
    error = timedelta(0)

    def now(self):
        return super().now() + self.error


@pytest.fixture
def wrong_world(sqlite_world):
    """A world whose machine has a clock of its own."""
    world = sqlite_world
    world.time = WrongClock(world.clock)
    world.ledger.clock = world.time
    return world


@pytest.mark.parametrize(
    ("error", "words"),
    [(timedelta(hours=48), "2,880 minutes ahead of"), (timedelta(minutes=-9), "9 minutes behind")],
)
def test_a_wrong_clock_bills_nothing_and_says_so(wrong_world, error, words):
    wrong_world.deliver(wrong_world.line(1))
    wrong_world.time.error = error
    with pytest.raises(LedgerError, match=words):
        wrong_world.settle()
    with pytest.raises(LedgerError, match=words):
        reconcile(wrong_world.ledger, wrong_world.client(), number_prefix="SDP-")
    assert wrong_world.writes() == 0
    assert wrong_world.ledger_number() == 1
    wrong_world.time.error = timedelta(0)
    wrong_world.settle()
    wrong_world.assert_exactly_once(1)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_changes_in_xero_is_seen_by_a_clock_that_is_a_little_wrong(wrong_world, sign):
    wrong_world.deliver(wrong_world.line(1))
    wrong_world.time.error = sign * (MOST_CLOCK_ERROR - timedelta(seconds=1))
    wrong_world.settle()
    (invoice,) = wrong_world.invoices()
    wrong_world.person("invoice", "delete", invoice["InvoiceID"])
    wrong_world.settle()
    assert [one.state for one in wrong_world.ledger_invoices()] == ["deleted"]


def test_an_answer_without_a_time_is_not_held_against_anybody(wrong_world, monkeypatch):
    wrong_world.deliver(wrong_world.line(1))
    wrong_world.time.error = timedelta(days=2)
    monkeypatch.setattr("msp_xero_sandbox.xero.app.bare_wire_time", lambda _: "unknown")
    wrong_world.settle()
    assert len(wrong_world.invoices()) == 1
