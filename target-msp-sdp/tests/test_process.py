"""What only a process of its own can show: signals, sudden death, and how a run ends."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from msp_xero.ledger.runs import last_runs

if TYPE_CHECKING:
    from conftest import Bench, Between, Sandbox


def test_a_process_killed_between_create_and_commit_leaves_no_duplicate(
    bench: Bench, sandbox: Sandbox, between: Between
) -> None:
    bench.settings = {"unmatched_contacts": "create"}
    records = [bench.contact(f"c{number}", f"Weka {number}") for number in range(4)]
    bench.base_url = between.url
    for kill_after in (1, 2):
        process = bench.start()
        seen: list[str] = []

        def kill(
            path: str, process: object = process, seen: list[str] = seen, last: int = kill_after
        ) -> None:
            seen.append(path)
            if len(seen) == last:
                os.kill(process.pid, signal.SIGKILL)  # type: ignore[attr-defined]

        between.on_write = kill
        process.communicate(bench.lines(("accounts", records)))
        assert process.returncode == -signal.SIGKILL
    between.on_write = lambda _path: None
    bench.run(("accounts", []))
    made = [name for name in sandbox.rows("accounts") if name.startswith("Weka")]
    assert sorted(made) == [f"Weka {number}" for number in range(4)]
    assert {row.state for row in bench.links().values()} == {"linked"}
    assert len([call for call in sandbox.writes() if call[0] == "POST"]) == 4


def test_a_signal_during_the_settle_ends_it_after_the_write_it_is_in(
    bench: Bench, sandbox: Sandbox, between: Between
) -> None:
    bench.settings = {"unmatched_contacts": "create"}
    bench.base_url = between.url
    process = bench.start()
    between.on_write = lambda _path: os.kill(process.pid, signal.SIGTERM)
    records = [bench.contact(f"c{number}", f"Weka {number}") for number in range(4)]
    out, err = process.communicate(bench.lines(("accounts", records), {"a": 1}))
    assert process.returncode == 128 + signal.SIGTERM
    assert out == '{"a": 1}\n'
    assert "accounts: 1 linked, 1 created, 0 updated; stopped by a signal, the next run carries on" in err
    assert [row.state for row in bench.links().values()].count("linked") == 1
    with bench.ledger() as ledger:
        assert last_runs(ledger)["accounts"].outcome == "stopped"
    between.on_write = lambda _path: None
    bench.run(("accounts", []))
    assert len([call for call in sandbox.writes() if call[0] == "POST"]) == 4


def test_a_signal_while_records_arrive_stores_and_acknowledges_them(bench: Bench, sandbox: Sandbox) -> None:
    process = bench.start()
    records = [bench.contact(f"c{number}", f"Name {number}") for number in range(1500)]
    assert process.stdin is not None
    process.stdin.write(bench.lines(("accounts", records[:999]), {"n": 1}, ("accounts", records[999:1000])))
    process.stdin.flush()
    # The first batch is stored when the sink is full; the rest comes after the signal.
    deadline = time.monotonic() + 60
    while not (bench.has_ledger() and bench.links()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(bench.lines(("accounts", records[1000:])))
    assert process.returncode == 128 + signal.SIGTERM
    assert out == '{"n": 1}\n'
    assert len(bench.links()) == 1000
    assert [call["path"] for call in sandbox.control("GET", "calls")] == ["/api/v3/accounts/_metainfo"]


def test_a_failed_run_ends_with_one_clear_line(bench: Bench) -> None:
    process = bench.start(auth_token="wrong")
    out, err = process.communicate(bench.lines(("accounts", [bench.contact("c1", "Secret Customer")])))
    assert process.returncode == 1
    assert out == ""
    assert err.strip().splitlines()[-1].startswith("target-msp-sdp: error: ServiceDesk Plus MSP: ")
    assert "Traceback" not in err
    assert "Secret Customer" not in err
