"""Processes die and are stopped, disks are full and locked, the power goes: nothing twice, nothing lost."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sqlite3
import sys
import tempfile
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.reconciliation import reconcile
from tests.systems import wait_until
from tests.trouble.works import BILLED, INVOICES, PLACED, Works, sqlite_in, whole_states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.systems import Sandbox
    from tests.trouble.nursery import Process

# Killed


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a run: what makes it last, and how it is seen from outside."""

    faults: tuple[dict[str, Any], ...]
    seen: Callable[[Works], Any]


def slow(method: str, path: str, nth: int = 1, **more: Any) -> dict[str, Any]:
    """Return the fault that makes one call take long enough to strike in the middle of it."""
    system = "sdp" if path.startswith("/api/") else "xero"
    return {
        "system": system,
        "kind": "slow",
        "method": method,
        "path": path,
        "nth": nth,
        "seconds": 60,
    } | more


MOMENTS = {
    "while the tap reads": Moment(
        (slow("GET", "/api/v3/changes"),), lambda works: works.sandbox.calls("sdp", "GET", "/api/v3/changes")
    ),
    "when the settle asks Xero": Moment(
        (slow("GET", INVOICES),), lambda works: works.sandbox.calls("xero", "GET", INVOICES)
    ),
    "once it is planned": Moment((slow("PUT", INVOICES),), lambda works: works.invoice_states()),
    "in the first call, which Xero has": Moment((slow("PUT", INVOICES),), lambda works: works.puts()),
    "in the second call, which comes late": Moment(
        (slow("PUT", INVOICES, nth=2, commit="after"),), lambda works: len(works.puts()) == 2
    ),
    "while a lost answer is looked up": Moment(
        (
            {"system": "xero", "kind": "reset_after_commit", "method": "PUT", "path": INVOICES, "nth": 1},
            slow("GET", INVOICES, nth=2),
        ),
        lambda works: len(works.sandbox.calls("xero", "GET", INVOICES)) == 2,
    ),
}  # fmt: skip
KILLS = [
    ("while the tap reads", "tap"),
    ("while the tap reads", "mapper"),
    ("while the tap reads", "target"),
    ("while the tap reads", "all"),
    ("when the settle asks Xero", "target"),
    ("once it is planned", "target"),
    ("in the first call, which Xero has", "all"),
    ("in the second call, which comes late", "target"),
    ("while a lost answer is looked up", "target"),
]


@pytest.mark.parametrize(("moment", "victim"), KILLS)
def test_a_killed_run_is_gone_on_with(works: Works, moment: str, victim: str) -> None:
    sandbox = works.sandbox
    break_(sandbox, *MOMENTS[moment].faults)
    run = works.start_run()
    wait_until(lambda: MOMENTS[moment].seen(works) or not run.running, moment)
    assert run.running, run.target.errors()
    for name, process in run.processes.items():
        if victim in {name, "all"}:
            process.kill()
    sandbox.mend()
    assert works.finish(run) == (-signal.SIGKILL if victim in {"target", "all"} else 1)
    if moment == "while the tap reads":
        assert works.puts() == []
    all_have_arrived(sandbox)
    works.is_billed_once()
    works.comes_to_rest()


def break_(sandbox: Sandbox, *faults: dict[str, Any]) -> None:
    for fault in faults:
        sandbox.break_(**fault)


def all_have_arrived(sandbox: Sandbox) -> None:
    """Wait until Xero has done every call that was under way when its sender died."""
    late = {"slow"}
    wait_until(
        lambda: all(call["status"] for call in sandbox.calls("xero", "PUT") if call["fault"] in late),
        "the calls under way",
    )


@pytest.mark.parametrize("victim", ["target", "all"])
def test_killed_between_the_commit_and_its_state(works: Works, victim: str) -> None:
    """A STATE that nobody takes keeps the target right there."""
    with full_pipe() as pipe:
        run = works.start_run(stdout=pipe)
        wait_until(lambda: works.staged() == PLACED or not run.running, "the worklogs")
        assert run.running, run.target.errors()
        for process in [run.target] if victim == "target" else run.processes.values():
            process.kill()
        assert works.finish(run) == -signal.SIGKILL
    assert not works.bookmark.exists()
    works.comes_to_rest()


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """Give a pipe that takes nothing more."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"\n" * 4096)
    os.set_blocking(write, True)
    yield write
    os.close(write)
    os.close(read)


def test_killed_between_the_answer_and_its_record(staged: Works) -> None:
    """Xero has answered, and the ledger is locked by somebody else at that moment."""
    break_(staged.sandbox, slow("PUT", INVOICES))
    push = staged.start_push()
    wait_until(lambda: staged.puts() or push.poll() is not None, "the push")
    with locked(staged):
        staged.sandbox.mend()
        waits_for_the_ledger(push)
        push.kill()
    assert staged.invoice_states() == ["sending"] + 4 * ["planned"]
    assert len(staged.sandbox.our_invoices()) == 1
    staged.comes_to_rest()


@contextlib.contextmanager
def locked(works: Works) -> Iterator[None]:
    """Keep all others from writing to the ledger."""
    with contextlib.closing(sqlite3.connect(works.ledger_path, isolation_level=None, timeout=20)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


def waits_for_the_ledger(process: Process) -> None:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not tell what a process waits for")
    wait_until(lambda: process.is_napping() or process.poll() is not None, "the wait for the lock")
    assert process.poll() is None, process.errors()


# Stopped by a signal

STOPS = {signal.SIGTERM: 143, signal.SIGINT: 130}
stopped_by = pytest.mark.parametrize("stop", STOPS, ids=lambda number: number.name)


@pytest.fixture(scope="session")
def lines(start: Works, one_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What the mapper writes for all worklogs, a line each."""
    folder = tmp_path_factory.mktemp("lines")
    start.image(folder)
    works = Works(folder, one_sandbox, start.nursery, sqlite_in(folder), start.catalogs)
    catalog = ("--catalog", str(start.catalogs["tap-msp-sdp"]))
    with (folder / "tap").open("w+b") as raw, (folder / "mapper").open("w+b") as mapped:
        assert works.start("tap-msp-sdp", *catalog, stdout=raw).ended() == 0
        raw.seek(0)
        assert works.start("msp-xero-transforms", stdin=raw, stdout=mapped).ended() == 0
        mapped.seek(0)
        written = mapped.readlines()
    one_sandbox.reset()
    return written


@stopped_by
@pytest.mark.parametrize("records", [7, 40])
def test_stopped_in_the_middle_of_a_batch(works: Works, lines: list[bytes], stop: int, records: int) -> None:
    """What was read is stored, and the STATE that comes out covers nothing else."""
    schema = next(line for line in lines if b'"SCHEMA"' in line)
    rows = [line for line in lines if b'"RECORD"' in line and b'"invoice_lines"' in line][:records]
    keys = [json.loads(line)["record"]["worklog_id"] for line in rows]
    output = works.folder / "states"
    reading, writing = os.pipe()
    with output.open("wb") as states:
        target = works.start("target-xero-invoices", stdin=reading, stdout=states)
    os.write(writing, schema)
    for number, row in enumerate(rows, 1):
        state = {"type": "STATE", "value": {"bookmarks": {"up to": number}}} if number % 3 == 0 else None
        os.write(writing, row + (json.dumps(state).encode() + b"\n" if state else b""))
    wait_until(lambda: unread(reading) == 0 or target.poll() is not None, "the target to read")
    target.signal(stop)
    assert target.ended() == STOPS[signal.Signals(stop)]
    os.close(reading)
    os.close(writing)
    known = {worklog_id for (worklog_id,) in works.ask("SELECT worklog_id FROM worklog")}
    passed = [state["bookmarks"]["up to"] for state in whole_states(output)]
    assert len(passed) <= 1
    assert known >= set(keys[: max(passed, default=0)])
    assert works.sandbox.count("xero") == 0, "an input that was cut off bills nothing"
    works.comes_to_rest()


def unread(pipe: int) -> int:
    """Return how many bytes wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@stopped_by
def test_stopped_in_the_middle_of_a_settle(works: Works, stop: int) -> None:
    """The call under way is finished and recorded; the others go out next time."""
    works.settings["batch_size"] = 1
    break_(works.sandbox, slow("PUT", INVOICES, nth=2, times=4))
    run = works.start_run()
    wait_until(lambda: len(works.puts()) >= 2 or not run.running, "the second call")
    run.target.signal(stop)
    works.sandbox.mend()
    assert works.finish(run) == STOPS[signal.Signals(stop)]
    assert run.target.error_lines() == []
    assert set(works.invoice_states()) == {"created", "planned"}
    assert len(works.sandbox.our_invoices()) == works.invoice_states().count("created")
    assert works.staged() == PLACED
    assert run.states(), "what is stored was acknowledged before the settle began"
    works.comes_to_rest()


@pytest.mark.parametrize("moment", ["while the tap reads", "in the first call, which Xero has"])
def test_stopped_by_the_keyboard(works: Works, moment: str) -> None:
    """Ctrl-C reaches all three at once."""
    break_(works.sandbox, *MOMENTS[moment].faults)
    run = works.start_run(group=0)
    wait_until(lambda: MOMENTS[moment].seen(works) or not run.running, moment)
    # The tap may read before the others are ready. SIGTERM tells: Python itself handles SIGINT at once.
    others = (run.mapper, run.target)
    wait_until(lambda: all(one.handles(signal.SIGTERM) for one in others) or not run.running, "all are ready")
    os.killpg(run.tap.pid, signal.SIGINT)
    works.sandbox.mend()
    assert works.finish(run) == 130
    assert run.target.error_lines() == []
    assert len(works.sandbox.our_invoices()) == works.invoice_states().count("created") <= 1
    works.comes_to_rest()


@stopped_by
def test_a_push_by_hand_is_stopped(staged: Works, stop: int) -> None:
    """The calls under way are finished and recorded; nothing else is sent."""
    staged.settings["batch_size"] = 1
    break_(staged.sandbox, slow("PUT", INVOICES, nth=2, times=2))
    push = staged.start_push()
    wait_until(lambda: len(staged.puts()) >= 3 or push.poll() is not None, "two calls under way")
    push.signal(stop)
    staged.sandbox.mend()
    assert push.ended() == STOPS[signal.Signals(stop)]
    assert push.error_lines() == []
    made = len(staged.sandbox.our_invoices())
    assert sorted(staged.invoice_states()) == ["created"] * made + ["planned"] * (5 - made)
    assert made == 3, "the first alone, and the two that were under way"
    staged.comes_to_rest()


# Full, read-only and locked

FIRST_ROOM, MORE_ROOM = 120_000, 55_000


def test_a_disk_that_is_full_stops_a_push_anywhere_and_loses_nothing(staged: Works) -> None:
    """No file can grow beyond some size, so that SQLite really fails: a little later each time."""
    fresh = staged.ledger_path.read_bytes()
    stopped_with: set[str] = set()
    for room in range(FIRST_ROOM, 100 * MORE_ROOM, MORE_ROOM):
        staged.sandbox.reset()
        for path in staged.folder.glob("ledger.db*"):
            path.unlink()
        staged.ledger_path.write_bytes(fresh)
        push = staged.push(None, limits={"FSIZE": room})
        if push.code == 3:
            break
        (line,) = push.error_lines()
        assert push.code == 1
        assert f"the ledger {staged.ledger_url} cannot be used: " in line
        stopped_with |= set(staged.invoice_states()) or {"nothing"}
        staged.is_billed_once()
        staged.push()
        reconcile(staged)
    assert stopped_with == {"nothing", "planned", "sending", "created"}, "each kind of moment was met"
    staged.stays_at_rest()


def test_a_disk_that_is_full_stops_the_staging_and_loses_nothing(works: Works) -> None:
    run = works.run(1, limits={"FSIZE": 60_000})
    (line,) = run.target.error_lines()
    assert f"the ledger {works.ledger_url} cannot be used: " in line
    assert run.states() == []
    assert works.staged() == 0
    works.comes_to_rest()


@pytest.fixture
def open_to_all(staged: Works) -> Iterator[Works]:
    """An installation in a folder that every user can look into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        staged.image(folder)
        yield Works(folder, staged.sandbox, staged.nursery, sqlite_in(folder), staged.catalogs)


@pytest.mark.parametrize("whole_folder", [True, False], ids=["folder", "file"])
def test_a_ledger_that_is_read_only_is_said_in_one_line(open_to_all: Works, whole_folder: bool) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can start a process as somebody who may not write")
    works = open_to_all
    works.folder.chmod(0o755 if whole_folder else 0o777)
    before = works.ledger_path.read_bytes()
    push = works.push(1, user=65_534)
    (line,) = push.error_lines()
    assert f"the ledger {works.ledger_url} cannot be used: " in line
    assert works.ledger_path.read_bytes() == before
    assert works.puts() == []
    works.push()
    reconcile(works)


def test_a_ledger_that_is_locked_is_waited_for(works: Works) -> None:
    with locked(works):
        run = works.start_run()
        waits_for_the_ledger(run.target)
    assert works.finish(run) == 0
    reconcile(works)
    works.stays_at_rest()


# The power goes


@dataclass(frozen=True, slots=True)
class Image:
    """What lay on the disk and what Xero had at one moment."""

    folder: Path
    rows: Path


def test_after_a_power_cut_the_next_run_goes_on(
    works: Works, tmp_path: Path, another_sandbox: Callable[[Path], Sandbox]
) -> None:
    """The disk at any moment of a run, with Xero as it was then and with Xero as it is in the end."""
    works.settings["batch_size"] = 2
    break_(
        works.sandbox, {"system": "xero", "kind": "slow", "method": "PUT", "path": INVOICES, "seconds": 0.2}
    )
    images = list(images_of_a_run(works, tmp_path))
    works.sandbox.mend()
    assert len(images) >= 6
    for image in images:
        then = Works(
            image.folder, another_sandbox(image.rows), works.nursery, sqlite_in(image.folder), works.catalogs
        )
        old = then.beside("later", works.sandbox)
        goes_on(then)
        assert then.states()["invoiced"] == BILLED
        then.sandbox.stop()

        books = works.sandbox.raw("xero", "invoices")
        goes_on(old)
        assert works.sandbox.raw("xero", "invoices") == books, "all of it was there"
    goes_on(works)


def goes_on(works: Works) -> None:
    """Bill what is there; where not all worklogs have come yet, fetch them first."""
    if works.staged() < PLACED:
        code, said = works.finish(run := works.start_run()), run.target.error_lines()
    else:
        push = works.push(None)
        code, said = push.code, push.error_lines()
    if code == 1:
        (line,) = said
        assert "that this ledger does not know" in line or "was about to send for the first time" in line
        works.is_billed_once()
    else:
        reconcile(works)


def images_of_a_run(works: Works, folder: Path) -> Iterator[Image]:
    """Run the job; whenever something has happened, let all stand still and copy what is on the disk."""
    run = works.start_run()
    before = None
    while run.running:
        now = (works.staged(), works.invoice_states(), len(works.puts()), len(run.states()))
        if now == before:
            continue
        before = now
        run.target.strike(signal.SIGSTOP)
        wait_until(run.target.is_stopped, "the standstill")
        number = len(list(folder.glob("image-*")))
        image = Image(folder / f"image-{number}", folder / f"rows-{number}")
        image.folder.mkdir()
        works.image(image.folder)
        if states := run.states():
            (image.folder / "bookmark.json").write_text(json.dumps(states[-1]))
        works.sandbox.dump_to(image.rows)
        run.target.strike(signal.SIGCONT)
        yield image
    assert works.finish(run) == 0
