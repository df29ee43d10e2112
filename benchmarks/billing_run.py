"""The main job at size: seconds, peak memory and API calls of each part and of the whole.

``python -m benchmarks.billing_run [WORKLOGS ...]`` starts a sandbox without latency for each size,
links accounts and worklog types, then measures tap, mapper and target one by one over files, and
once more as the pipe that a real run is. Sizes are measured in one run, side by side, so that the
growth from one to the next can be read.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import requests
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import BIN, Figure, calls, finish, in_own_process, write_catalog

SIZES = (25_000, 100_000)
LINES_A_CALL = 5_000
INVOICES_A_CALL = 50
PARTS = ("tap", "mapper", "target", "whole pipe", "run again, nothing new")
MOST_XERO_CALLS = 40
MOST_MEGABYTES = 300
TOLERANCE = 1.3  # a shared machine is not equally fast at all times


def main() -> None:
    """Measure every size and print the tables."""
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    results = {size: measure(size) for size in sizes}
    console = Console(width=100)
    table = Table(title="worklogs → invoices, zero-latency sandbox", title_justify="left")
    for heading in ("part", *(f"{size:,} worklogs" for size in sizes), "growth of CPU time"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for part in PARTS:
        row = [results[size][part] for size in sizes]
        growth = f"x{row[-1].processor / row[0].processor:.1f}" if len(row) > 1 else ""
        table.add_row(part, *(f"{f.seconds:.1f} s  {f.megabytes:.0f} MB" for f in row), growth)
    console.print(table)
    for size in sizes:
        for line in results[size]["notes"]:
            console.print(f"{size:,}: {line}", highlight=False)
    if too_much := beyond_limits(results):
        sys.exit("\n".join(["beyond the limits:", *too_much]))


def beyond_limits(results: dict[int, dict[str, Any]]) -> list[str]:
    """Name what is more than promised: Xero calls, memory of a process, growth with the input."""
    problems = []
    sizes = sorted(results)
    for size in sizes:
        if results[size]["billed"] != size:
            problems.append(f"{size:,}: only {results[size]['billed']:,} worklogs were billed")
        if results[size]["xero calls"] > MOST_XERO_CALLS:
            problems.append(f"{size:,}: {results[size]['xero calls']} Xero calls, not {MOST_XERO_CALLS}")
        problems += [
            f"{size:,}: {part} took {results[size][part].megabytes:.0f} MB, not {MOST_MEGABYTES}"
            for part in PARTS
            if results[size][part].megabytes > MOST_MEGABYTES
        ]
    if len(sizes) > 1:
        allowed = sizes[-1] / sizes[0] * TOLERANCE
        for part in PARTS:
            growth = results[sizes[-1]][part].processor / results[sizes[0]][part].processor
            if growth > allowed:
                problems.append(
                    f"{part} grew {growth:.1f} times for {sizes[-1] / sizes[0]:.1f} times the input"
                )
    return problems


def measure(worklogs: int) -> dict[str, Any]:
    """Measure one size on a sandbox of its own."""
    with tempfile.TemporaryDirectory() as folder:
        ports = ["--xero-port", "0", "--sdp-port", "0", "--set", "xero.minute_limit=100000"]
        sandbox = subprocess.Popen(
            [BIN / "msp-xero-sandbox", *ports, "--scale", str(worklogs)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert sandbox.stdout is not None
            ready = sandbox.stdout.readline().split()
            xero, sdp = (word.partition("=")[2] for word in ready[-2:])
            return _measure(Path(folder), xero, sdp)
        finally:
            sandbox.terminate()
            sandbox.wait()


def _measure(folder: Path, xero: str, sdp: str) -> dict[str, Any]:
    configs = _write_configs(folder, xero, sdp)
    _link(folder, configs)
    figures: dict[str, Any] = {}
    before = calls(xero), calls(sdp)
    records, lines = folder / "records.singer", folder / "lines.singer"
    with records.open("wb") as out:
        figures["tap"] = _run("tap-msp-sdp", configs["tap"], folder, None, out, catalog=True)
    sdp_calls = calls(sdp) - before[1]
    with records.open("rb") as source, lines.open("wb") as out:
        figures["mapper"] = _run("msp-xero-transforms", configs["mapper"], folder, source, out)
    with lines.open("rb") as source, (folder / "state").open("wb") as out:
        figures["target"] = _run("target-xero-invoices", configs["target"], folder, source, out)
    xero_calls = calls(xero) - before[0]
    invoices, billed = in_own_process(_billed, xero)
    writes = max(math.ceil(invoices / INVOICES_A_CALL), math.ceil(billed / LINES_A_CALL))
    figures["run again, nothing new"] = _pipe(configs, folder)
    fresh = folder / "fresh"
    fresh.mkdir()
    requests.post(f"{xero}/_sandbox/reset", timeout=300)
    figures["whole pipe"] = _pipe(_link_fresh(fresh, xero, sdp), fresh)
    reads = 6  # organisation, invoices, contacts, items, accounts, tax rates: once each for 1,000 contacts
    least_sdp = in_own_process(_least_sdp_calls, sdp)
    figures["xero calls"], figures["billed"] = xero_calls, billed
    figures["notes"] = [
        f"{billed:,} lines on {invoices} invoices",
        f"Xero calls {xero_calls}; the least possible is {reads + writes}: {reads} reads and {writes} writes",
        f"SDP calls {sdp_calls:,}; the least possible by parent is {least_sdp:,}",
    ]
    return figures


def _billed(xero: str) -> tuple[int, int]:
    """Count our invoices in Xero and their lines."""
    rows = requests.get(f"{xero}/_sandbox/dump?kinds=invoices", timeout=300).json()["invoices"]
    ours = [row for row in rows if row["InvoiceNumber"].startswith("SDP-")]
    return len(ours), sum(len(row["LineItems"]) for row in ours)


def _least_sdp_calls(sdp: str) -> int:
    """Count the calls that no walk over parents can do without (sdp-msp-api §3.1, §11).

    One for every 100 rows of a list; of each request, problem and change its worklogs and its tasks; of
    each project its tasks and its milestones, of each milestone its tasks; of each task its worklogs.
    """
    kinds = ("requests", "problems", "changes", "projects", "milestones", "tasks")
    rows = requests.get(f"{sdp}/_sandbox/dump?kinds={','.join(kinds)}", timeout=300).json()
    count = {kind: len(rows[kind]) for kind in kinds}
    lists = sum(math.ceil(count[kind] / 100) for kind in ("requests", "problems", "changes", "projects"))
    children = 2 * sum(count[kind] for kind in ("requests", "problems", "changes", "projects"))
    return lists + children + count["milestones"] + count["tasks"]


def _write_configs(folder: Path, xero: str, sdp: str) -> dict[str, Path]:
    ledger = f"sqlite:///{folder}/ledger.db"
    sdp_settings = {"base_url": sdp, "auth_token": "sandbox-authtoken"}
    xero_settings = {
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "api_url": f"{xero}/api.xro/2.0",
        "identity_url": xero,
        "token_store": f"{folder}/token.json",
    }
    configs = {
        "tap": sdp_settings,
        "xero": xero_settings,
        "mapper": {"ledger_url": ledger, "time_zone": "Pacific/Auckland"},
        "directory": {
            **sdp_settings,
            "ledger_url": ledger,
            "login_url_template": "https://help.example/{slug}",
        },
        "target": {**xero_settings, "ledger_url": ledger, "require_trailer": True},
    }
    paths = {}
    for name, config in configs.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(config))
    return paths


def _link(folder: Path, configs: dict[str, Path]) -> None:
    """Run the two directory jobs, which the worklogs job needs."""
    for stream in ("contacts", "items"):
        catalog = write_catalog("tap-xero-lite", configs["xero"], folder, {stream})
        tap = subprocess.Popen(
            [BIN / "tap-xero-lite", "--config", configs["xero"], "--catalog", catalog],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        mapper = subprocess.Popen(
            [BIN / "msp-xero-transforms", "--config", configs["mapper"]],
            stdin=tap.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        subprocess.run(
            [BIN / "target-msp-sdp", "--config", configs["directory"]],
            stdin=mapper.stdout,
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"{stream}.log").open("wb"),
            check=True,
        )
        for process in (tap, mapper):
            if process.wait():
                sys.exit(f"{process.args!r} failed while linking")


def _link_fresh(folder: Path, xero: str, sdp: str) -> dict[str, Path]:
    configs = _write_configs(folder, xero, sdp)
    _link(folder, configs)
    return configs


def _command(plugin: str, config: Path, folder: Path, *, catalog: bool) -> list[str]:
    command = [str(BIN / plugin), "--config", str(config)]
    if catalog:
        command += ["--catalog", str(write_catalog(plugin, config, folder, {"worklogs", "extraction"}))]
    return command


def _run(  # noqa: PLR0913 - one measured process
    plugin: str,
    config: Path,
    folder: Path,
    source: IO[bytes] | None,
    out: IO[bytes],
    *,
    catalog: bool = False,
) -> Figure:
    command = _command(plugin, config, folder, catalog=catalog)
    with (folder / f"{plugin}.log").open("wb") as log:
        started = time.monotonic()
        process = subprocess.Popen(command, stdin=source, stdout=out, stderr=log)
        return finish([process], started, folder / f"{plugin}.log")


def _pipe(configs: dict[str, Path], folder: Path) -> Figure:
    """Run tap, mapper and target side by side as Meltano does; memory is that of the largest."""
    tap_command = _command("tap-msp-sdp", configs["tap"], folder, catalog=True)
    log = (folder / "pipe.log").open("wb")
    started = time.monotonic()
    tap = subprocess.Popen(tap_command, stdout=subprocess.PIPE, stderr=log)
    mapper = subprocess.Popen(
        _command("msp-xero-transforms", configs["mapper"], folder, catalog=False),
        stdin=tap.stdout,
        stdout=subprocess.PIPE,
        stderr=log,
    )
    target = subprocess.Popen(
        _command("target-xero-invoices", configs["target"], folder, catalog=False),
        stdin=mapper.stdout,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    for pipe in (tap.stdout, mapper.stdout):
        assert pipe is not None
        pipe.close()
    return finish([tap, mapper, target], started, folder / "pipe.log")


if __name__ == "__main__":
    main()
