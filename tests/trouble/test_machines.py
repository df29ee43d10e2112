"""Two machines on one ledger, two ledgers on one Xero, and a database that goes away."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from tests.reconciliation import reconcile
from tests.systems import wait_until
from tests.trouble.database import Postgres
from tests.trouble.works import BILLED, INVOICES, Works, link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.systems import Sandbox
    from tests.trouble.nursery import Process


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    try:
        server = Postgres(tmp_path_factory.mktemp("postgres"))
    except Exception as error:  # noqa: BLE001 - whatever keeps a server from starting here
        pytest.skip(f"no PostgreSQL server can be started here: {error}")
    yield server
    server.close()


@pytest.fixture(scope="session")
def linked_database(
    postgres: Postgres, start: Works, one_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> str:
    folder = tmp_path_factory.mktemp("linked-database")
    works = Works(folder, one_sandbox, start.nursery, postgres.create(), start.catalogs)
    link(works)
    one_sandbox.reset()
    return str(make_url(works.url).database)


@pytest.fixture(scope="session")
def staged_database(
    postgres: Postgres,
    linked_database: str,
    start: Works,
    one_sandbox: Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> Works:
    url = postgres.create(linked_database)
    folder = tmp_path_factory.mktemp("staged-database")
    works = Works(folder, one_sandbox, start.nursery, url, start.catalogs, {"push": False})
    works.run()
    one_sandbox.reset()
    return works


@pytest.fixture
def first(postgres: Postgres, staged_database: Works, sandbox: Sandbox) -> Works:
    """A machine on a PostgreSQL ledger whose worklogs have come and wait for a push."""
    url = postgres.create(str(make_url(staged_database.url).database))
    return staged_database.machine("first", url)


@pytest.fixture
def second(first: Works) -> Works:
    """Another machine on the same ledger."""
    return first.machine("second", first.url)


def slow_put(works: Works, nth: int = 1, seconds: float = 60, **more: str) -> None:
    works.sandbox.break_("xero", "slow", "PUT", INVOICES, nth=nth, seconds=seconds, **more)


def under_way(works: Works, process: Process, calls: int = 1) -> None:
    """Wait until a push has made some calls and still runs."""
    wait_until(lambda: len(works.puts()) >= calls or process.poll() is not None, "the push")
    assert process.poll() is None, process.errors()


# One ledger


def test_two_machines_push_at_once(first: Works, second: Works) -> None:
    slow_put(first)
    pushes = [first.start_push(), second.start_push()]
    wait_until(lambda: first.puts() and any(push.is_napping() for push in pushes), "one that waits its turn")
    first.sandbox.mend()
    assert [push.ended() for push in pushes] == [3, 3], [push.errors() for push in pushes]
    assert len(first.puts()) == 2, "the first invoice alone, then the others; and none from the other machine"
    reconcile(first)
    second.stays_at_rest()


def test_two_machines_run_the_whole_job_at_once(
    postgres: Postgres, linked_database: str, first: Works
) -> None:
    one = first.machine("one", postgres.create(linked_database))
    other = one.machine("other", one.url)
    one.bookmark.unlink(missing_ok=True)
    other.bookmark.unlink(missing_ok=True)
    runs = [(works, works.start_run()) for works in (one, other)]
    for works, run in runs:
        assert works.finish(run) == 0, run.target.errors()
    reconcile(one)
    assert one.states()["invoiced"] == BILLED
    other.stays_at_rest()


def test_a_person_decides_during_a_push(first: Works, second: Works) -> None:
    """What is on its way to Xero stays as it is; what waits can be excluded."""
    ((held,),), ((sent,),) = (
        first.ask(f"SELECT worklog_id FROM worklog WHERE state = '{state}' ORDER BY id LIMIT 1")
        for state in ("held", "open")
    )
    slow_put(first)
    push = first.start_push()
    under_way(first, push)

    def exclude(worklog_id: str) -> Process:
        return second.start("msp-xero", "worklogs", "exclude", worklog_id, "--reason", "goodwill")

    refused, done = exclude(sent), exclude(held)
    assert refused.ended() == 1, refused.errors()
    (line,) = refused.error_lines()
    assert f"worklog {sent} is on an invoice that is about to be sent" in line
    assert done.ended() == 0, done.errors()
    first.sandbox.mend()
    assert push.ended() == 3, push.errors()
    assert (first.worklog(sent).state, first.worklog(held).state) == ("invoiced", "excluded")
    assert first.worklog(held).reason_code == "EXCLUDED_BY_PERSON"
    reconcile(first)
    first.stays_at_rest()


@pytest.mark.parametrize("others", [1, 2], ids=["in-the-first-call", "in-the-second-call"])
def test_a_machine_that_stalls_and_wakes_up_late_writes_nothing(
    postgres: Postgres, first: Works, second: Works, others: int
) -> None:
    """Its lock is gone, another has done the work: the fence stops it."""
    first.settings["batch_size"] = second.settings["batch_size"] = 1
    # One call after the other: a second worker, frozen between its commit and its call, would still make the
    # call. Xero refuses that one by its number (test_never_twice_when_the_first_push_arrives_late).
    first.settings["concurrency"] = 1
    slow_put(first, nth=others)
    stalled = first.start_push()
    under_way(first, stalled, others)
    stalled.signal(signal.SIGSTOP)
    wait_until(stalled.is_stopped, "the standstill")
    first.sandbox.mend()
    postgres.end_sessions(first.url)
    second.push()
    reconcile(second)
    writes, events = len(first.puts()), first.ask("SELECT count(*) FROM event")
    stalled.signal(signal.SIGCONT)
    assert stalled.ended() == 1, stalled.errors()
    (line,) = stalled.error_lines()
    assert "another settle of this connection took over; this one stops without writing" in line
    assert len(first.puts()) == writes
    assert first.ask("SELECT count(*) FROM event") == events
    second.stays_at_rest()


@pytest.mark.parametrize("crash", [True, False], ids=["crash", "shutdown"])
def test_the_database_goes_away_during_a_push(postgres: Postgres, first: Works, crash: bool) -> None:
    first.settings["batch_size"] = 1
    slow_put(first, nth=2)
    push = first.start_push()
    under_way(first, push, 2)
    if crash:
        postgres.crash(first.url)
        first.sandbox.mend()
        assert push.ended() in {1, 3}, push.errors()
    else:
        postgres.go_down()
        first.sandbox.mend()
        assert push.ended() == 1
        postgres.come_up()
    if push.code == 1:
        (line,) = push.error_lines()
        assert "the ledger postgresql" in line
        assert "cannot be used: " in line
        first.is_billed_once()
    first.push()
    reconcile(first)
    assert len(first.sandbox.our_invoices()) == 5
    first.stays_at_rest()


def test_a_disk_that_is_too_full_for_the_token_is_said_and_stops_nothing(first: Works) -> None:
    """The ledger lies on another machine; here is no room for a token, which can be had again."""
    push = first.push(limits={"FSIZE": 100})
    assert push.errors().count(f"token_store: {first.token_store} cannot be used (File too large)") == 1
    assert [path.name for path in first.token_store.parent.iterdir()] == ["store.json.lock"]
    reconcile(first)
    first.stays_at_rest()
    assert first.token_store.exists()


# Two ledgers by mistake


def refused(works: Works, process: Process) -> str:
    assert process.ended() == 1, process.errors()
    (line,) = process.error_lines()
    works.is_billed_once()
    return line


def test_two_environments_on_one_xero_one_after_the_other(works: Works) -> None:
    other = works.beside("other-environment")
    works.run()
    reconcile(works)
    books = works.sandbox.raw("xero", "invoices")
    for _ in range(2):
        line = refused(other, other.run(1).target)
        assert "Xero has 5 invoice(s) made by msp-xero that this ledger does not know" in line
    assert works.sandbox.raw("xero", "invoices") == books
    works.stays_at_rest()


def test_two_environments_on_one_xero_at_once(staged: Works) -> None:
    """Both have looked, and both are in their first call before either has arrived."""
    environments = [staged, staged.beside("other-environment")]
    for nth in (1, 2):
        slow_put(staged, nth=nth, commit="after")
    pushes = [works.start_push() for works in environments]
    wait_until(lambda: len(staged.puts()) >= 2, "both calls")
    staged.sandbox.mend()
    codes = [push.ended() for push in pushes]
    assert sorted(codes) == [1, 3], [push.errors() for push in pushes]
    loser, winner = sorted(range(2), key=codes.__getitem__)
    line = refused(environments[loser], pushes[loser])
    assert "Xero already has SDP-00001, which this ledger was about to send for the first time" in line
    assert len(staged.sandbox.our_invoices()) == 5
    reconcile(environments[winner])
    refused(environments[loser], environments[loser].push(1))
    environments[winner].stays_at_rest()
