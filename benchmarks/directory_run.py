"""The job ``accounts`` at size: seconds, peak memory and API calls of one run.

``python -m benchmarks.directory_run [CONTACTS]`` starts a sandbox with as many contacts in Xero as
accounts in ServiceDesk Plus, nine of ten called exactly alike and the others nearly, runs tap, mapper
and target as the pipe that a real run is, then lists the contacts and suggests accounts.
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

from benchmarks.measuring import BIN, Figure, calls, finish, write_catalog

SIZE = 10_000
PARTS = ("first sync", "list", "suggest", "sync again, nothing new")
MOST_SECONDS = 60.0
ROWS_OF_XERO, ROWS_OF_SDP = 1000, 100
_FIRST = ["Kauri", "Rimu", "Totara", "Matai", "Kowhai", "Rata", "Tawa", "Miro", "Puriri", "Nikau"]
_SECOND = ["Print", "Plumbing", "Dental", "Motors", "Systems", "Foods", "Travel", "Legal", "Homes", "Media"]


def main() -> None:
    """Measure and print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE
    figures = measure(count)
    console = Console(width=100)
    table = Table(
        title=f"{count:,} contacts → {count:,} accounts, zero-latency sandbox", title_justify="left"
    )
    for heading in ("part", "by the clock", "own time", "memory"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for part in PARTS:
        figure = figures[part]
        times = (f"{figure.seconds:.1f} s", f"{figure.processor:.1f} s", f"{figure.megabytes:.0f} MB")
        table.add_row(part, *times)
    console.print(table)
    for note in figures["notes"]:
        console.print(note, highlight=False)
    if problems := beyond_limits(figures, count):
        sys.exit("\n".join(["beyond the limits:", *problems]))


def beyond_limits(figures: dict[str, Any], count: int) -> list[str]:
    """Name what is more than promised: own time of sync, list and suggestions together, and calls."""
    problems = []
    own = sum(figures[part].processor for part in PARTS[:3])
    if own > MOST_SECONDS:
        problems.append(f"sync, list and suggestions took {own:.0f} s of own time, not {MOST_SECONDS:.0f}")
    for system, (made, least) in figures["calls"].items():
        if made > least:
            problems.append(f"{system}: {made} calls, not {least}")
    expected = count - count // 10
    if figures["linked"] != expected:
        problems.append(f"{figures['linked']:,} of {count:,} contacts were linked, not {expected:,}")
    if figures["suggested"] != count // 10:
        problems.append(f"{figures['suggested']:,} contacts have a clear suggestion, not {count // 10:,}")
    return problems


def measure(count: int) -> dict[str, Any]:
    """Measure on a sandbox of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.json").write_text(json.dumps(_rows(count)))
        ports = ["--xero-port", "0", "--sdp-port", "0", "--set", "xero.minute_limit=100000"]
        sandbox = subprocess.Popen(
            [BIN / "msp-xero-sandbox", *ports, "--data", folder / "rows.json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert sandbox.stdout is not None
            ready = sandbox.stdout.readline().split()
            xero, sdp = (word.partition("=")[2] for word in ready[-2:])
            return _measure(folder, xero, sdp, count)
        finally:
            sandbox.terminate()
            sandbox.wait()


def _rows(count: int) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the rows of a small story, with many customers beside its own accounts and no other contacts."""
    story = subprocess.Popen(
        [BIN / "msp-xero-sandbox", "--xero-port", "0", "--sdp-port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert story.stdout is not None
        addresses = (word.partition("=")[2] for word in story.stdout.readline().split()[-2:])
        xero, sdp = (requests.get(f"{one}/_sandbox/dump", timeout=60).json() for one in addresses)
    finally:
        story.terminate()
        story.wait()
    del sdp["switches"]
    account, contact = sdp["accounts"][0], xero["contacts"][0]
    told = dict.fromkeys(("landline", "fax", "weburl", "street", "city", "state", "postalcode", "country"))
    xero["invoices"] = []
    xero["contacts"] = [
        {
            **contact,
            "ContactID": f"00000000-0000-4000-8000-{n:012}",
            "Name": _name(n),
            "EmailAddress": f"ap@d{n}.example",
            "Phones": [],
            "Addresses": [],
            "Website": "",
        }
        for n in range(count)
    ]
    sdp["accounts"] += [
        {
            **account,
            **told,
            "id": str(100_000 + n),
            "name": _name(n).upper() if n % 10 == 9 else _name(n),
            "emailid": f"ap@d{n}.example",
            "udf_fields": {},
        }
        for n in range(count)
    ]
    return {"xero": xero, "sdp": sdp}


def _name(number: int) -> str:
    tail = f"{chr(97 + number // 100 % 26)}{chr(97 + number // 2600 % 26)}"
    return f"{_FIRST[number % 10]} {_SECOND[number // 10 % 10]} {tail}{'st' * (number % 3)} Limited"


def _measure(folder: Path, xero: str, sdp: str, count: int) -> dict[str, Any]:
    accounts = len(requests.get(f"{sdp}/_sandbox/dump?kinds=accounts", timeout=60).json()["accounts"])
    configs = _write_configs(folder, xero, sdp)
    before = calls(xero), calls(sdp)
    figures: dict[str, Any] = {"first sync": _sync(configs, folder)}
    made = calls(xero) - before[0], calls(sdp) - before[1]
    figures["list"], listed = _ask(folder, "list")
    figures["suggest"], suggested = _ask(folder, "suggest")
    figures["sync again, nothing new"] = _sync(configs, folder)
    # Of Xero a token, the organisation (another one is refused before anything is stored) and the pages of
    # contacts; of SDP the fields and the pages of accounts, which begin with the last row of the one before.
    least = {
        "Xero": 2 + math.ceil(count / ROWS_OF_XERO),
        "ServiceDesk Plus MSP": 1 + math.ceil((accounts - 1) / (ROWS_OF_SDP - 1)),
    }
    figures["calls"] = {system: (done, least[system]) for system, done in zip(least, made, strict=True)}
    figures["linked"] = sum(row["account_id"] is not None for row in listed)
    figures["suggested"] = sum(row["clear"] for row in suggested)
    figures["notes"] = [
        f"{figures['linked']:,} linked by name, {figures['suggested']:,} more with a clear suggestion",
        *(
            f"{system}: {done} calls; the least possible is {few}"
            for system, (done, few) in figures["calls"].items()
        ),
    ]
    return figures


def _write_configs(folder: Path, xero: str, sdp: str) -> dict[str, Path]:
    directory = {
        "base_url": sdp,
        "auth_token": "sandbox-authtoken",
        "ledger_url": f"sqlite:///{folder}/ledger.db",
        "login_url_template": "https://help.example/{slug}",
    }
    contents = {
        "tap": {
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
            "api_url": f"{xero}/api.xro/2.0",
            "identity_url": xero,
            "token_store": f"{folder}/token.json",
        },
        "mapper": {},
        "target": directory,
        "console": directory,
    }
    paths = {}
    for name, content in contents.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(content))
    return paths


def _sync(configs: dict[str, Path], folder: Path) -> Figure:
    """Run tap, mapper and target side by side as Meltano does."""
    chosen = write_catalog("tap-xero-lite", configs["tap"], folder, {"contacts"})
    commands: list[list[Any]] = [
        [BIN / "tap-xero-lite", "--config", configs["tap"], "--catalog", chosen],
        [BIN / "msp-xero-transforms", "--config", configs["mapper"]],
        [BIN / "target-msp-sdp", "--config", configs["target"]],
    ]
    log = folder / "pipe.log"
    started = time.monotonic()
    processes: list[subprocess.Popen[bytes]] = []
    source: IO[bytes] | None = None
    with log.open("wb") as errors:
        for command in commands:
            process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=errors)
            if source is not None:
                source.close()
            processes.append(process)
            source = process.stdout
        assert source is not None
        source.read()
        return finish(processes, started, log)


def _ask(folder: Path, what: str) -> tuple[Figure, list[dict[str, Any]]]:
    """Run a command of the administrator; return what it cost and what it printed."""
    out, log = folder / f"{what}.json", folder / f"{what}.log"
    command: list[Any] = [BIN / "msp-xero", "accounts", what, "--json", "--config", folder / "console.json"]
    started = time.monotonic()
    with out.open("wb") as printed, log.open("wb") as errors:
        figure = finish([subprocess.Popen(command, stdout=printed, stderr=errors)], started, log)
    return figure, json.loads(out.read_text())


if __name__ == "__main__":
    main()
