"""The sandbox as the tests see it: both systems in one process, and the control API to look into them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent
# Bodies are kept for the contract; the limit of 60 calls a minute has tests of its own elsewhere.
SWITCHES = ("--set", "xero.record_bodies=on", "--set", "xero.minute_limit=10000")

Row = dict[str, Any]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Return the first true value of a condition; fail when it does not come in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


class Sandbox:
    """A running sandbox."""

    def __init__(self, ports: tuple[int, int], *options: str) -> None:
        xero_port, sdp_port = (str(port) for port in ports)
        command = [BIN / "msp-xero-sandbox", "--xero-port", xero_port, "--sdp-port", sdp_port]
        self.process = subprocess.Popen(
            [*command, *SWITCHES, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        assert words[:2] == ["msp-xero-sandbox", "ready"], self.process.communicate()
        self.xero, self.sdp = (word.partition("=")[2] for word in words[2:])
        self.session = requests.Session()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        if self.running:
            self.process.terminate()
            self.process.wait(20)
        self.session.close()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def control(self, method: str, system: str, path: str, body: Any = None) -> Any:
        """Call the control API of ``xero`` or ``sdp``; money comes as Decimal."""
        address = self.xero if system == "xero" else self.sdp
        response = self.session.request(method, f"{address}/_sandbox/{path}", json=body, timeout=60)
        assert response.ok, response.text
        return json.loads(response.content, parse_float=Decimal) if response.content else None

    def rows(self, system: str, kind: str) -> list[Row]:
        return self.control("GET", system, f"dump?kinds={kind}")[kind]

    def raw(self, system: str, kind: str) -> bytes:
        """Return the rows of a kind as bytes, to compare to the letter."""
        address = self.xero if system == "xero" else self.sdp
        return self.session.get(f"{address}/_sandbox/dump?kinds={kind}", timeout=60).content

    def dump_to(self, path: Path) -> None:
        """Write all rows to a file that another sandbox can start with."""
        dumps = {system: self.control("GET", system, "dump") for system in ("xero", "sdp")}
        del dumps["sdp"]["switches"]
        path.write_text(json.dumps(dumps, default=float))

    def change(self, system: str, kind: str, action: str, row_id: str | None = None, **values: Any) -> Row:
        """Do what a person would do in the product."""
        change = {"kind": kind, "action": action, "id": row_id, "values": values}
        return self.control("POST", system, "rows", change)

    def break_(self, system: str, kind: str, method: str, path: str, **more: Any) -> None:
        """Add a fault."""
        match = {"method": method, "path": path}
        self.control("POST", system, "faults", [{"kind": kind, "match": match, **more}])

    def mend(self) -> None:
        """Remove all faults."""
        for system in ("xero", "sdp"):
            self.control("DELETE", system, "faults")

    def reset(self) -> None:
        """Take both systems back to their start, as if nothing had happened."""
        for system in ("xero", "sdp"):
            self.control("POST", system, "reset")

    def calls(self, system: str, method: str = "", path: str = "", since: int = 0) -> list[Row]:
        """Return the calls so far, of one method or below one path if wanted."""
        return [
            call
            for call in self.control("GET", system, f"calls?bodies=1&since={since}")
            if call["method"].startswith(method) and call["path"].startswith(path)
        ]

    def writes(self, system: str = "xero") -> list[Row]:
        """Return the calls so far that were meant to change something."""
        return [
            call
            for call in self.calls(system)
            if call["method"] != "GET" and not call["path"].startswith("/connect")
        ]

    def count(self, system: str) -> int:
        """Return how many calls were made so far."""
        calls = self.control("GET", system, "calls")
        return calls[-1]["n"] if calls else 0

    def worklog(self, label: str) -> Row:
        """Return the worklog that the story wrote under a label."""
        ids = [row["id"] for row in self.rows("sdp", "awkward") if row["label"] == label]
        return next(row for row in self.rows("sdp", "worklogs") if row["id"] in ids)

    def our_invoices(self) -> dict[str, Row]:
        """Return the invoices in Xero that carry our prefix, by number."""
        return {
            row["InvoiceNumber"]: row
            for row in self.rows("xero", "invoices")
            if row["InvoiceNumber"].startswith("SDP-")
        }

    def foreign_invoices(self) -> list[Row]:
        """Return the invoices that people wrote."""
        return [row for row in self.rows("xero", "invoices") if not row["InvoiceNumber"].startswith("SDP-")]
