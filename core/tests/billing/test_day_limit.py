"""The day's calls: a run ends cleanly, says what is left, and leaves the reserve to others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msp_xero.errors import DayLimitReached

PUT = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}
A_DAY = 86_400


def calls_today(world):
    """Calls to the organisation since the window began, 429s left out: Xero does not count them."""
    return [
        call
        for call in world.faulty.log.since()
        if call["path"].startswith("/api.xro") and call["status"] not in (None, 429)
    ]


def test_it_says_how_much_is_left_and_when_it_goes_on(world):
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail({"kind": "rate_day", "retry_after": 73_451, "match": PUT, "nth": 2})
    stopped = world.settle(batch_size=1, concurrency=1)
    total = sum(invoice.total for invoice in world.ledger_invoices() if invoice.state == "planned")
    assert (stopped.unsent, stopped.unsent_worklogs, stopped.unsent_total) == (2, 6, total)
    said = stopped.sentence()
    assert f"2 invoices with 6 worklogs over NZD {total:,.2f} still to send" in said
    assert "until 2026-11-23 05:24 UTC" in said


def test_before_anything_is_planned_it_says_how_many_worklogs_wait(world):
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail({"kind": "rate_day", "retry_after": 3600, "match": {"path": "/api.xro/2.0/Items"}})
    stopped = world.settle()
    assert (stopped.outcome, stopped.unsent, stopped.unplanned) == ("stopped", 0, 9)
    assert "9 worklogs still to judge and plan" in stopped.sentence()


@pytest.mark.parametrize("concurrency", [1, 5])
def test_no_run_ever_calls_into_the_reserve(sqlite_world, concurrency):
    world = sqlite_world
    limit, reserve = 130, 100
    world.xero.set_switch("day_limit", str(limit))
    world.deliver(*(world.line(n, account=0) for n in range(60)))
    settings = {"max_lines_per_invoice": 1, "batch_size": 1, "concurrency": concurrency}
    first = world.settle(**settings)
    assert first.outcome == "stopped"
    assert "day_call_reserve keeps the last 100 calls" in first.sentence()
    assert len(calls_today(world)) <= limit - reserve
    spent = len(calls_today(world))
    for _ in range(4):
        world.clock.advance(600)
        stopped = world.settle(**settings)
        assert (stopped.outcome, stopped.invoices) == ("stopped", 0)
        assert stopped.calls.get("GET /Organisation", 0) == 0
    assert len(calls_today(world)) == spent, "what the last run was told costs the next one nothing"
    world.clock.advance(3600)
    world.settle(**settings)
    assert len(calls_today(world)) == spent + 1, "one call an hour at most asks whether the day is new"
    world.clock.advance(A_DAY)
    before = len(calls_today(world))
    second = world.settle(**settings)
    assert second.invoices > 0
    assert len(calls_today(world)) - before <= limit - reserve
    for _ in range(4):
        world.clock.advance(A_DAY)
        world.settle(**settings)
    world.assert_exactly_once(60)


def test_the_hours_are_counted_from_the_last_news_and_not_from_the_last_run(world):
    world.deliver(world.line(0))
    world.xero.set_switch("day_limit", "101")
    world.settle()
    told = seen_at(world)
    for _ in range(5):
        world.clock.advance(600)
        world.settle()
        assert abs((seen_at(world) - told).total_seconds()) < 1
    world.clock.advance(601)
    asked = len(calls_today(world))
    world.settle()
    assert len(calls_today(world)) == asked + 1


def seen_at(world) -> datetime:
    with world.ledger.read() as session:
        return world.ledger.connection(session).day_calls_seen_at.astimezone(UTC)


def test_calls_side_by_side_do_not_slip_into_the_reserve(world):
    budget = world.client().budget
    budget.learn({"X-DayLimit-Remaining": "102"})
    with (
        budget.call("GET here"),
        budget.call("GET here"),
        pytest.raises(DayLimitReached),
        budget.call("GET here"),
    ):
        pass
    # The first answer does not count the second call yet.
    budget.learn({"X-DayLimit-Remaining": "101"})
    with pytest.raises(DayLimitReached), budget.call("GET here"):
        pass


def test_old_news_and_news_from_the_future_are_no_news(world):
    for age in (3600, 86_400, -5):
        budget = world.client().budget
        budget.recall(0, age)
        assert budget.day_left is None
