"""Two ledgers bill one organisation at the same moment, by mistake: no worklog on two live invoices, ever."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter

import pytest
from msp_xero.billing.document import worklog_of
from msp_xero.errors import LedgerError, MspXeroError
from msp_xero_sandbox.inprocess import InProcessAdapter

PUT = {"method": "PUT", "path": "/api.xro/2.0/Invoices"}
SOME = {"batch_size": 2, "concurrency": 1}

# What each of the two was given: account by worklog. Y and Z are on other numbers in the other ledger.
DELIVERED = {
    "alike": ({0: 0, 1: 1, 2: 2, 3: 3}, {0: 0, 1: 1, 2: 2, 3: 3}),
    "one more in between": ({0: 0, 2: 2}, {0: 0, 1: 1, 2: 2}),
    "one more in front": ({1: 1, 2: 2, 3: 3}, {0: 0, 1: 1, 2: 2, 3: 3}),
    "one more on the same invoice": ({0: 0, 1: 1, 2: 2}, {0: 0, 4: 0, 1: 1, 2: 2}),
}


@pytest.fixture
def make_pair(make_world, sqlite_databases, tmp_path_factory):
    """A function that makes two ledgers on one Xero."""

    def make(delivered, *, prepare=lambda _: None):
        url = sqlite_databases.fresh(tmp_path_factory.mktemp("first"))
        first = make_world(url)
        first.link_accounts_from(3, 4)
        prepare(first)
        first.ledger.close()
        copy = sqlite_databases.copy(url, tmp_path_factory.mktemp("second"))
        first.ledger = first.open_ledger()
        second = make_world(sqlite_databases.fresh(tmp_path_factory.mktemp("unused")))
        second.ledger.close()
        for name in ("clock", "time", "rows", "xero", "faulty", "adapter"):
            setattr(second, name, getattr(first, name))
        second.url = copy
        second.ledger = second.open_ledger()
        for world, lines in zip((first, second), delivered, strict=True):
            world.deliver(*(world.line(n, account=account) for n, account in lines.items()))
        return first, second

    return make


def settle_at_call(outer, inner, position, **settings):
    """Let ``inner`` settle while ``outer`` makes its n-th call; return whether it came to that."""
    serve, seen = outer.faulty.serve, iter(range(1, 10_000))
    began = []

    def meanwhile(call):
        if not began and next(seen) == position:
            began.append(True)
            with contextlib.suppress(MspXeroError):
                inner.settle(**settings)
        return serve(call)

    outer.faulty.serve = meanwhile
    try:
        outer.settle(**settings)
    except LedgerError:
        pass
    finally:
        del outer.faulty.serve
    return bool(began)


def assert_nothing_twice(world, when):
    lines = (line for invoice in world.ours() for line in invoice["LineItems"])
    billed = Counter(key for line in lines if (key := worklog_of(line["Description"])))
    assert [key for key, times in billed.items() if times > 1] == [], when


@pytest.mark.parametrize("turned", [False, True], ids=["first-outside", "second-outside"])
@pytest.mark.parametrize("delivered", DELIVERED.values(), ids=DELIVERED)
@pytest.mark.parametrize(("history", "size"), [("new", 50), ("grown", 2)])
def test_one_settles_at_any_call_of_the_other(make_pair, delivered, turned, history, size):
    def grow(world):
        world.deliver(world.line(9, account=1), world.line(10, account=2))
        world.settle()

    batches = {"batch_size": size, "concurrency": 1}
    position, came = 0, True
    while came:
        position += 1
        first, second = make_pair(delivered, prepare=grow if history == "grown" else lambda _: None)
        outer, inner = (second, first) if turned else (first, second)
        came = settle_at_call(outer, inner, position, **batches)
        assert_nothing_twice(first, f"at call {position}")
        for world in (outer, inner, outer, inner):
            first.clock.advance(3600)
            with contextlib.suppress(LedgerError):
                world.settle(**batches)
            assert_nothing_twice(first, f"after call {position}")
        for world in (first, second):
            world.ledger.close()
    assert position >= 9


def test_with_an_invoice_planned_before_the_copy_was_made(make_pair):
    def leave_one_unsent(world):
        world.deliver(world.line(9, account=1))
        world.fail({"kind": "rate_day", "retry_after": 1800, "match": PUT})
        world.settle()
        world.recover()

    position, came = 0, True
    while came:
        position += 1
        first, second = make_pair(DELIVERED["one more in between"], prepare=leave_one_unsent)
        came = settle_at_call(second, first, position, concurrency=1)
        for world in (second, first, second, first):
            first.clock.advance(3600)
            with contextlib.suppress(LedgerError):
                world.settle(concurrency=1)
            assert_nothing_twice(first, f"after call {position}")
        for world in (first, second):
            world.ledger.close()
    assert position >= 9


class Turns:
    """Lets two programs make their calls in a given order: ``(who, how many calls)``, then as they come."""

    def __init__(self, *segments) -> None:
        self._segments = [[who, count] for who, count in segments]
        self._ended = set()
        self._change = threading.Condition()

    def take(self, who) -> None:
        with self._change:
            self._change.wait_for(lambda: self._whose() in (who, None), timeout=20)
            if self._whose() == who:
                self._segments[0][1] -= 1
                self._change.notify_all()

    def end(self, who) -> None:
        with self._change:
            self._ended.add(who)
            self._change.notify_all()

    def _whose(self):
        while self._segments and (self._segments[0][1] <= 0 or self._segments[0][0] in self._ended):
            self._segments.pop(0)
        return self._segments[0][0] if self._segments else None


class TakingTurns(InProcessAdapter):
    """Waits with each call until it is this program's turn."""

    def __init__(self, world, turns, who) -> None:
        super().__init__(world.faulty, world.clock)
        self._turns, self._who = turns, who

    def send(self, request, **options):
        self._turns.take(self._who)
        return super().send(request, **options)


def settle_in_turns(worlds, turns, **settings):
    """Settle both at the same time; return how each ended."""
    ends = {}

    def run(who):
        try:
            ends[who] = worlds[who].settle(**settings)
        except MspXeroError as error:
            ends[who] = error
        finally:
            turns.end(who)

    threads = [threading.Thread(target=run, args=(who,)) for who in worlds]
    for who, world in worlds.items():
        world.adapter = TakingTurns(world, turns, who)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ends.keys() == worlds.keys()
    return ends


CALLS_BEFORE_THE_FIRST_WRITE = 7


@pytest.mark.parametrize(
    "delivered", [DELIVERED[name] for name in list(DELIVERED)[1:]], ids=list(DELIVERED)[1:]
)
@pytest.mark.parametrize("turned", [False, True], ids=["first-begins", "second-begins"])
def test_both_settle_at_the_same_time_call_by_call(make_pair, delivered, turned):
    """Both have looked at Xero and planned before either writes; then in every order of a few calls."""
    before = CALLS_BEFORE_THE_FIRST_WRITE
    for ahead, answer, then in [(0, 0, 1), (0, 1, 1), (0, 1, 2), (1, 0, 1), (1, 1, 1), (1, 1, 9), (0, 2, 9)]:
        first, second = make_pair(delivered)
        worlds = {"b": first, "a": second} if turned else {"a": first, "b": second}
        turns = Turns(
            ("a", before), ("b", before), ("a", ahead), ("b", answer), ("a", then), ("b", 99), ("a", 99)
        )
        settle_in_turns(worlds, turns, concurrency=1)
        when = f"turns {ahead}, {answer}, {then}"
        assert_nothing_twice(first, when)
        assert first.writes() >= 2, when
        for world in (first, second, first, second):
            world.clock.advance(3600)
            with contextlib.suppress(LedgerError):
                world.settle(concurrency=1)
            assert_nothing_twice(first, when)
        for world in (first, second):
            world.ledger.close()


def before_the_first_write(outer, inner):
    """Let ``inner`` settle right before the first write of ``outer`` arrives."""
    serve = outer.faulty.serve

    def meanwhile(call):
        if call.method == "PUT":
            del outer.faulty.serve
            inner.settle(**SOME)
        return serve(call)

    outer.faulty.serve = meanwhile


def test_the_one_that_comes_second_at_the_gate_sends_nothing_and_says_why(make_pair):
    first, second = make_pair(DELIVERED["one more in front"])
    before_the_first_write(first, second)
    with pytest.raises(LedgerError, match=r"Xero already has SDP-00001,.* Nothing more was sent"):
        first.settle(**SOME)
    assert [i.state for i in first.ledger_invoices()] == ["conflict", "planned", "planned"]
    assert second.states() == {"invoiced": 4}
    writes = first.writes()
    first.clock.advance(60)
    with pytest.raises(LedgerError, match="does not know"):
        first.settle(**SOME)
    assert first.writes() == writes


def test_the_same_invoice_of_both_is_adopted_and_ends_the_settle(make_pair):
    first, second = make_pair(DELIVERED["one more in between"])
    before_the_first_write(first, second)
    with pytest.raises(LedgerError, match="Xero already has SDP-00001,"):
        first.settle(**SOME)
    assert [i.state for i in first.ledger_invoices()] == ["created", "planned"]
    assert first.states() == {"invoiced": 1, "planned": 1}


@pytest.fixture
def alone(world):
    world.deliver(*(world.line(n) for n in range(9)))
    return world


def test_the_first_invoice_goes_alone_and_the_others_follow_in_one_call(alone):
    serve, sizes = alone.faulty.serve, []

    def count(call):
        if call.method == "PUT":
            sizes.append(call.body.count(b"InvoiceNumber"))
        return serve(call)

    alone.faulty.serve = count
    alone.settle()
    assert sizes == [1, 2]
    alone.assert_exactly_once(9)


def test_at_the_gate_nothing_follows_before_the_answer_is_clear(alone):
    alone.fail({"kind": "reset_after_commit", "match": PUT, "nth": 1})
    alone.settle(batch_size=1, concurrency=3)
    path = [
        "PUT" if call["method"] == "PUT" else "LOOK"
        for call in alone.faulty.log.since()
        if call["method"] == "PUT" or "InvoiceNumbers" in call["query"]
    ]
    assert path == ["PUT", "LOOK", "PUT", "PUT"]
    alone.assert_exactly_once(9)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "duplicate_delivery"},
        {"kind": "rate_minute", "retry_after": 26},
        {"kind": "rate_concurrent"},
        {"kind": "token_expired"},
        {"kind": "slow", "seconds": 150, "commit": "after"},
        {"kind": "reset_after_commit"},
    ],
    ids=lambda fault: fault["kind"],
)
@pytest.mark.parametrize("nth", [1, 2])
def test_what_a_network_does_to_one_ledger_is_no_false_alarm(alone, fault, nth):
    alone.fail({**fault, "match": PUT, "nth": nth})
    alone.settle(**SOME)
    alone.recover()
    alone.settle(**SOME)
    alone.assert_exactly_once(9)


def test_numbers_that_a_person_has_taken_are_passed_over_and_the_rest_is_billed(alone):
    for number in ("SDP-00001", "SDP-00002"):
        by_hand(alone, number)
    settled = alone.settle()
    assert (settled.invoices, settled.rejected) == (1, 2)
    assert alone.states() == {"invoiced": 3, "held": 6}
    alone.settle()
    assert alone.states() == {"invoiced": 9}


def by_hand(world, number):
    line = {"Description": "x", "Quantity": 1, "UnitAmount": 5, "AccountCode": "200", "TaxType": "OUTPUT2"}
    world.person(
        "invoice",
        "add",
        Type="ACCREC",
        InvoiceNumber=number,
        Contact={"ContactID": world.contacts[5]["ContactID"]},
        Status="AUTHORISED",
        Reference="by hand",
        Date="2026-11-01",
        DueDate="2026-12-01",
        LineItems=[line],
    )


def test_a_number_taken_in_a_later_batch_ends_the_settle_too(make_pair):
    first, _ = make_pair(({0: 0, 1: 1, 2: 2, 3: 3}, {}))
    handle = first.xero.handle

    def race(call):
        if call.method == "PUT" and b"SDP-00002" in call.body:
            first.xero.handle = handle
            by_hand(first, "SDP-00002")
            row = next(i for i in first.invoices() if i["InvoiceNumber"] == "SDP-00002")
            first.person("invoice", "edit", row["InvoiceID"], Reference="Work [0badcafe]")
        return handle(call)

    first.xero.handle = race
    with pytest.raises(LedgerError, match="Xero already has SDP-00002,"):
        first.settle(batch_size=1, concurrency=1)
    assert [i.state for i in first.ledger_invoices()] == ["created", "conflict", "planned", "planned"]
