"""A sandbox of its own for these tests, started before the standard tests are built at import."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile

import pytest
import requests
from msp_xero.edges.clock import SystemClock
from tap_xero_lite.tap import TapXeroLite

for name in [name for name in os.environ if name.startswith("TAP_XERO_LITE_")]:
    del os.environ[name]

# Hundreds of calls are made within a minute here; the limits are tested in core.
NO_LIMITS = ["--set", "xero.minute_limit=none", "--set", "xero.day_limit=none"]
READY = re.compile(r"ready xero=(\S+) sdp=\S+")


def start_sandbox():
    process = subprocess.Popen(
        [sys.executable, "-m", "msp_xero_sandbox.cli", "--xero-port", "0", "--sdp-port", "0", *NO_LIMITS],
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if ready := READY.search(line):
            return process, ready[1]
    raise RuntimeError("the sandbox did not start")


PROCESS, URL = start_sandbox()
STORE = tempfile.TemporaryDirectory(prefix="tap-xero-lite-")
CONFIG = {
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "api_url": f"{URL}/api.xro/2.0",
    "identity_url": URL,
    "token_store": f"{STORE.name}/token.json",
}
os.environ["XERO_SANDBOX_TAP_CONFIG"] = json.dumps(CONFIG)


def pytest_unconfigure():
    PROCESS.terminate()
    PROCESS.communicate(timeout=30)
    STORE.cleanup()


class Sandbox:
    """The control side of the sandbox."""

    def __init__(self):
        self.http = requests.Session()

    def control(self, method, path, body=None):
        answer = self.http.request(method, f"{URL}/_sandbox/{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def reset(self):
        self.control("POST", "reset")

    def row(self, **change):
        return self.control("POST", "rows", change)

    def rows(self, kind):
        return self.control("GET", "dump")[kind]

    def calls(self, path):
        """Calls that were let in: after a reset, the first one still carries the old token."""
        return [
            call
            for call in self.control("GET", "calls")
            if call["path"].endswith(path) and call["status"] != 401
        ]

    def faults(self, *faults):
        self.control("POST", "faults", list(faults))


@pytest.fixture
def sandbox():
    made = Sandbox()
    made.reset()
    yield made
    made.reset()
    made.http.close()


class Run:
    """What one run of the tap wrote."""

    def __init__(self, output):
        self.lines = output.decode().splitlines()
        self.messages = [json.loads(line, parse_float=str) for line in self.lines]

    def records(self, stream):
        return [m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]

    @property
    def state(self):
        return [m["value"] for m in self.messages if m["type"] == "STATE"][-1]

    def bookmark(self, stream):
        return self.state["bookmarks"][stream]["replication_key_value"]


@pytest.fixture
def config():
    return dict(CONFIG)


@pytest.fixture
def run(config, capfdbinary, monkeypatch):
    """Run the tap in this process: ``run("contacts", state=..., page_size=...)``; it never waits."""
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: None)

    def sync(*streams, state=None, **settings):
        """Sync streams and read back what came out."""
        capfdbinary.readouterr()
        tap = TapXeroLite(config={**config, **settings}, state=state)
        for name, stream in tap.streams.items():
            stream.selected = name in streams
        tap.sync_all()
        tap.xero.close()
        sys.stdout.flush()
        return Run(capfdbinary.readouterr().out)

    return sync
