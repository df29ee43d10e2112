"""Two things go wrong in one settle, every commit and every call is the last one: never twice, never lost.

Every single fault at every call of all three jobs: ``python -m torture sweep``.
"""

from __future__ import annotations

import contextlib

import pytest
from msp_xero.errors import MspXeroError

COUNT = 5
ONE_BY_ONE = {"batch_size": 1, "concurrency": 1}

FAULTS = [
    {"kind": "reset_before"},
    {"kind": "reset_after_commit"},
    {"kind": "timeout_after_commit"},
    {"kind": "status", "status": 500, "commit": True},
    {"kind": "status", "status": 503, "body": "The Organisation is offline"},
    {"kind": "status", "status": 400, "body": "<html>Bad request</html>", "commit": True},
    {"kind": "status", "status": 404, "body": "", "commit": False},
    {"kind": "truncate", "keep": 0.9},
    {"kind": "html", "commit": True},
    {"kind": "slow", "seconds": 104, "commit": "after"},
    {"kind": "slow", "seconds": 400, "commit": "after"},
    {"kind": "rate_minute", "retry_after": 26},
    {"kind": "rate_minute", "retry_after": 4000},
    {"kind": "rate_concurrent"},
    {"kind": "rate_day", "retry_after": 1800},
    {"kind": "token_expired"},
    {"kind": "revoked"},
    {"kind": "hide_fresh", "seconds": 600},
    {"kind": "duplicate_delivery"},
]


def named(fault):
    return "-".join(str(value) for value in fault.values())[:40]


@pytest.fixture
def make_small_world(make_world, sqlite_databases, tmp_path_factory):
    def make():
        world = make_world(sqlite_databases.fresh(tmp_path_factory.mktemp("ledger")))
        world.deliver(*(world.line(n) for n in range(COUNT)))
        return world

    return make


def calls_of(world, **settings) -> int:
    before = len(world.faulty.log.since())
    world.settle(**settings)
    return len(world.faulty.log.since()) - before


def survives(world) -> None:
    """What a scheduler does after a bad run, and what must be true then."""
    world.recover()
    world.settle(**ONE_BY_ONE)
    world.assert_exactly_once(COUNT)
    writes = world.writes()
    world.settle(**ONE_BY_ONE)
    assert world.writes() == writes
    world.assert_exactly_once(COUNT)


FIRST_FAULTS = [{"kind": "reset_before"}, {"kind": "reset_after_commit"}]
SECOND_FAULTS = [
    {"kind": "reset_before"},
    {"kind": "reset_after_commit"},
    {"kind": "slow", "seconds": 104, "commit": "after"},
    {"kind": "hide_fresh", "seconds": 600},
]
PUT = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}


@pytest.mark.parametrize("first", FIRST_FAULTS, ids=named)
@pytest.mark.parametrize("second", SECOND_FAULTS, ids=named)
def test_a_second_fault_while_the_first_is_being_looked_into(make_small_world, first, second):
    world = make_small_world()
    world.fail({**first, "match": PUT, "nth": 1})
    positions = calls_of(world, **ONE_BY_ONE)
    first_put = next(n for n, call in enumerate(world.faulty.log.since(), 1) if call["method"] == "PUT")
    for position in range(first_put + 1, positions + 1):
        world = make_small_world()
        world.fail({**first, "match": PUT, "nth": 1}, {**second, "match": {}, "nth": position})
        with contextlib.suppress(MspXeroError):
            world.settle(**ONE_BY_ONE)
        survives(world)
        world.ledger.close()


class Killed(BaseException):
    """The process is gone: nothing in the program may catch this."""


def die_after_commit(world, number) -> None:
    """Let the program die right after its n-th commit."""
    write, seen = world.ledger.write, iter(range(1, 10_000))

    @contextlib.contextmanager
    def mortal(fence=None):
        with write(fence) as session:
            yield session
        if next(seen) == number:
            raise Killed

    world.ledger.write = mortal


def die_at_call(world, number, *, committed) -> None:
    """Let the program die during its n-th call, before or after Xero has done it."""
    serve, seen = world.faulty.serve, iter(range(1, 10_000))

    def mortal(call):
        last = next(seen) == number
        if last and not committed:
            raise Killed
        outcome = serve(call)
        if last:
            raise Killed
        return outcome

    world.faulty.serve = mortal


def restart(world) -> None:
    world.ledger.close()
    world.faulty.__dict__.pop("serve", None)
    world.ledger = world.open_ledger()


@pytest.mark.parametrize("first", [None, *FIRST_FAULTS], ids=lambda f: named(f) if f else "sound")
def test_death_right_after_any_commit(databases, make_world, tmp_path_factory, first):
    number, died = 0, True
    while died:
        number, died = number + 1, False
        world = make_world(databases.fresh(tmp_path_factory.mktemp("ledger")))
        world.deliver(*(world.line(n) for n in range(COUNT)))
        if first:
            world.fail({**first, "match": PUT, "nth": 1})
        die_after_commit(world, number)
        try:
            world.settle(**ONE_BY_ONE)
        except Killed:
            died = True
        restart(world)
        survives(world)
        world.ledger.close()
    assert number > 8


@pytest.mark.parametrize("committed", [False, True], ids=["before", "after"])
def test_death_at_any_call(make_small_world, committed):
    for number in range(1, calls_of(make_small_world(), **ONE_BY_ONE) + 1):
        world = make_small_world()
        die_at_call(world, number, committed=committed)
        with pytest.raises(Killed):
            world.settle(**ONE_BY_ONE)
        restart(world)
        survives(world)
        world.ledger.close()


def test_the_day_limit_at_any_call_is_no_error_and_says_what_is_left(make_small_world):
    for position in range(2, calls_of(make_small_world(), **ONE_BY_ONE) + 1):
        world = make_small_world()
        world.fail(
            {"kind": "rate_day", "retry_after": 1800, "match": {"path": "/api.xro"}, "nth": position - 1}
        )
        stopped = world.settle(**ONE_BY_ONE)
        assert stopped.outcome == "stopped"
        assert "daily call limit" in stopped.sentence()
        made = len(world.ours())
        assert stopped.invoices == made
        states = [invoice.state for invoice in world.ledger_invoices()]
        assert states.count("created") == made
        assert states.count("planned") == stopped.unsent == len(states) - made
        survives(world)
        world.ledger.close()


def test_concurrent_calls_that_all_break_are_settled_in_the_end(make_small_world):
    for fault in FAULTS:
        world = make_small_world()
        world.fail({**fault, "match": PUT, "nth": 1, "times": 2})
        with contextlib.suppress(MspXeroError):
            world.settle(batch_size=1, concurrency=3)
        survives(world)
        world.ledger.close()
