"""Start the sandbox, run the three jobs twice, and show what came of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
HOME = ROOT / ".msp-xero" / "demo"
LOG = HOME / "demo.log"
XERO, SDP = "http://127.0.0.1:9101", "http://127.0.0.1:9102"
BOOKMARKS = (
    "demo:tap-xero-contacts-to-target-msp-sdp",
    "demo:tap-xero-items-to-target-msp-sdp-types",
    "demo:tap-msp-sdp-to-target-xero-invoices",
)
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "MELTANO_ENVIRONMENT": "demo",
    "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
    "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
    "NO_COLOR": "1",
}
_SUMMARY = re.compile(r"target-[\w-]+ +((?:accounts|worklog-types|worklogs): .*)")

console = Console(highlight=False)


def main() -> None:
    """Run the demonstration; exit 1 when a job fails."""
    started = time.monotonic()
    forget_earlier_demo()
    with sandbox():
        heading("Three jobs: contacts become accounts, items become worklog types, worklogs become invoices")
        run_jobs()
        heading("What the billing person sees")
        show("status")
        show("accounts", "list", "--unmapped")
        show("types", "list")
        show("invoices", "list")
        show("worklogs", "list", "--state", "held", "--limit", "12")
        show("invoices", "show", "SDP-00001")
        heading("The same jobs again: every worklog is billed once, so nothing is left to bill")
        run_jobs()
        heading("API calls of both runs together")
        show_calls("Xero", XERO)
        show_calls("ServiceDesk Plus MSP", SDP)
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. The full log is {LOG.relative_to(ROOT)}.")
    console.print("Look around: .venv/bin/msp-xero --help    Try it by hand: make sandbox")
    console.print(
        "A new sandbox starts without these invoices, and this ledger counts their worklogs as billed. To "
        f"bill there: rm -r {HOME.relative_to(ROOT)}, then "
        ".venv/bin/meltano run --full-refresh accounts worklog-types worklogs",
        soft_wrap=True,
    )


@contextlib.contextmanager
def sandbox() -> Iterator[None]:
    """Run the local Xero and the local ServiceDesk Plus MSP for the time of the demo."""
    console.print("Starting the sandbox: a local Xero and a local ServiceDesk Plus MSP")
    with (HOME / "sandbox.log").open("w") as log:
        process = subprocess.Popen(
            [BIN / "msp-xero-sandbox", "--scale", "medium"], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            sys.exit(f"demo: error: the sandbox did not start: {(HOME / 'sandbox.log').read_text().strip()}")
        yield
    finally:
        process.terminate()
        process.wait()


def forget_earlier_demo() -> None:
    """Begin anew: the sandbox forgot everything too, so an older ledger would not fit it."""
    if HOME.exists():
        console.print(f"Forgetting the earlier demo: {HOME.relative_to(ROOT)} and its bookmarks")
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    if (ROOT / ".meltano" / "meltano.db").exists():
        known = meltano("state", "list", "--pattern", "demo:*").stdout
        for bookmark in BOOKMARKS:
            if bookmark in known:
                meltano("state", "clear", "--force", bookmark)


def run_jobs() -> None:
    """Run ``meltano run accounts worklog-types worklogs`` and print the summary line of each job."""
    console.print("$ meltano run accounts worklog-types worklogs")
    with LOG.open("a") as log:
        process = subprocess.Popen(
            [BIN / "meltano", "run", "--no-install", "accounts", "worklog-types", "worklogs"],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            if summary := _SUMMARY.search(line):
                console.print(f"  {summary[1]}", soft_wrap=True)
    if process.wait():
        console.print(LOG.read_text()[-3000:])
        sys.exit("demo: error: meltano run failed; the end of its log is above")


def meltano(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Meltano quietly."""
    return subprocess.run(
        [BIN / "meltano", *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def show(*command: str) -> None:
    """Run a command of the console and show it."""
    console.print(f"\n$ msp-xero {' '.join(command)}")
    environment = ENVIRONMENT | {"COLUMNS": str(min(console.width, 120))}
    done = subprocess.run([BIN / "msp-xero", *command], cwd=ROOT, env=environment, check=False)
    if done.returncode not in (0, 3):  # 3: something needs a person, which the demo is about
        sys.exit(f"demo: error: msp-xero {' '.join(command)} ended with {done.returncode}")


def show_calls(name: str, address: str) -> None:
    """Print how often each call was made."""
    calls: dict[str, int] = requests.get(f"{address}/_sandbox/calls?summary=1", timeout=30).json()
    most = sorted(calls.items(), key=lambda call: -call[1])
    shown = ", ".join(
        f"{route.replace('/api.xro/2.0', '').replace('/api/v3', '')} {n}" for route, n in most[:6]
    )
    rest = f", {len(most) - 6} more kinds" if len(most) > 6 else ""
    console.print(f"{name}: {sum(calls.values()):,} calls ({shown}{rest})", soft_wrap=True)


def heading(text: str) -> None:
    """Print a heading."""
    console.print(f"\n[bold]{text}[/bold]")


if __name__ == "__main__":
    main()
