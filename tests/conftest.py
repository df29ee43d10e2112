"""A real project in a temporary folder, a real sandbox on real sockets, a real ``meltano run``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import requests
from msp_xero.ledger import Ledger
from msp_xero.ledger.models import Invoice, Worklog
from sqlalchemy import func, select

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
LINKED = ("core", "tap-msp-sdp", "tap-xero-lite", "transforms", "target-msp-sdp", "target-xero-invoices")


class Sandbox:
    """The running sandbox and its control API."""

    def __init__(self, *options: str) -> None:
        command = [BIN / "msp-xero-sandbox", "--xero-port", "0", "--sdp-port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        words = self.process.stdout.readline().split()
        assert words[:2] == ["msp-xero-sandbox", "ready"], words
        self.xero, self.sdp = (word.partition("=")[2] for word in words[2:])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()

    def control(self, method: str, system: str, path: str, body=None):
        address = self.xero if system == "xero" else self.sdp
        response = requests.request(method, f"{address}/_sandbox/{path}", json=body, timeout=60)
        response.raise_for_status()
        return json.loads(response.content, parse_float=Decimal) if response.content else None

    def rows(self, system: str, kind: str):
        return self.control("GET", system, f"dump?kinds={kind}")[kind]

    def change(self, system: str, **change):
        return self.control("POST", system, "rows", change)

    def reset(self) -> None:
        for system in ("xero", "sdp"):
            self.control("POST", system, "reset")

    def calls(self, system: str) -> dict[str, int]:
        return self.control("GET", system, "calls?summary=1")

    def our_invoices(self):
        return [row for row in self.rows("xero", "invoices") if row["InvoiceNumber"].startswith("SDP-")]


class Project:
    """A Meltano project like ours, with plugins already installed, on its own ledger and bookmarks."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        text = (ROOT / "meltano.yml").read_text()
        text = text.replace("http://127.0.0.1:9101", sandbox.xero).replace(
            "http://127.0.0.1:9102", sandbox.sdp
        )
        (folder / "meltano.yml").write_text(text)
        (folder / "constraints.txt").symlink_to(ROOT / "constraints.txt")
        for name in LINKED:
            (folder / name).symlink_to(ROOT / name)
        (folder / ".meltano").mkdir()
        for kind in ("extractors", "loaders", "mappers"):
            (folder / ".meltano" / kind).symlink_to(ROOT / ".meltano" / kind)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TAP_", "TARGET_"))},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "NO_COLOR": "1",
        }
        self.output = ""

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.folder}/.msp-xero/demo/ledger.db"

    def run(self, *blocks: str, expect: int = 0, **variables: str) -> str:
        """Run ``meltano run`` and return what it printed."""
        return self.command([BIN / "meltano", "run", "--no-install", *blocks], expect=expect, **variables)

    def msp_xero(self, *arguments: str, expect: int | None = 0) -> str:
        return self.command([BIN / "msp-xero", *arguments], expect=expect)

    def command(self, command, *, expect: int | None = 0, **variables: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        self.output = done.stdout + done.stderr
        assert expect is None or done.returncode == expect, self.output[-6000:]
        return self.output

    def summary(self, plugin: str = "target-xero-invoices") -> str:
        """Return the last summary line of the worklogs job."""
        lines = [line for line in self.output.splitlines() if plugin in line and "worklogs: " in line]
        assert lines, self.output[-4000:]
        return lines[-1]

    def ledger(self) -> Ledger:
        ledger = Ledger.open_existing(self.ledger_url)
        assert ledger is not None
        return ledger

    def states(self) -> dict[str, int]:
        with self.ledger() as ledger, ledger.read() as session:
            rows = session.execute(select(Worklog.state, func.count()).group_by(Worklog.state))
            return dict(rows.all())

    def reasons(self) -> dict[str, int]:
        with self.ledger() as ledger, ledger.read() as session:
            rows = session.execute(
                select(Worklog.reason_code, func.count())
                .where(Worklog.state == "held")
                .group_by(Worklog.reason_code)
            )
            return dict(rows.all())

    def reconcile(self) -> None:
        """Every delivered worklog is in one place, and ledger and Xero agree to the cent."""
        delivered = sum(self.states().values())
        with self.ledger() as ledger, ledger.read() as session:
            ours = session.scalars(select(Invoice).where(Invoice.xero_id.is_not(None))).all()
            lines = session.scalar(
                select(func.count()).select_from(Worklog).where(Worklog.state == "invoiced")
            )
            count = session.scalar(select(func.count()).select_from(Worklog))
        assert delivered == count
        in_xero = {row["InvoiceNumber"]: row for row in self.sandbox.our_invoices()}
        assert {invoice.number for invoice in ours} == set(in_xero)
        assert sum(invoice.total for invoice in ours) == sum(row["Total"] for row in in_xero.values())
        assert all(invoice.total == in_xero[invoice.number]["Total"] for invoice in ours)
        assert lines == sum(len(row["LineItems"]) for row in in_xero.values())


@pytest.fixture(scope="session")
def _sandbox():
    sandbox = Sandbox("--scale", "small", "--set", "xero.minute_limit=10000")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(_sandbox):
    _sandbox.reset()
    return _sandbox


@pytest.fixture
def project(tmp_path, sandbox):
    return Project(tmp_path, sandbox)
