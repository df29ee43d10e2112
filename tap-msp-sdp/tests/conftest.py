"""The tap against sandboxes on real sockets; one is small and switchable, one has several pages."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import requests
from msp_xero.errors import RemoteError
from msp_xero.sdp import SdpClient
from singer_sdk.contrib.msgspec import MsgSpecWriter
from tap_msp_sdp.tap import TapMspSdp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from msp_xero.sdp.paging import Page

KEY = "sandbox-authtoken"
MODULES = ["requests", "problems", "changes", "projects", "tasks"]


class Sandbox:
    """One running sandbox, driven by its control API."""

    def __init__(self, *arguments: str) -> None:
        command = [
            sys.executable,
            "-m",
            "msp_xero_sandbox.cli",
            "--sdp-port",
            "0",
            "--xero-port",
            "0",
            *arguments,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split("sdp=")[1].split()[0]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._process.stdout.close()

    def post(self, what: str, body: Any = None) -> Any:
        answer = requests.post(f"{self.url}/_sandbox/{what}", data=json.dumps(body), timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def mend(self) -> None:
        """Let no fault strike any more."""
        assert requests.delete(f"{self.url}/_sandbox/faults", timeout=10).ok

    def get(self, what: str) -> Any:
        return msgspec.json.decode(requests.get(f"{self.url}/_sandbox/{what}", timeout=30).content)

    def calls(self) -> dict[str, int]:
        return {path.replace("/api/v3/", ""): n for path, n in self.get("calls?summary=1").items()}

    def reachable(self) -> dict[str, dict[str, Any]]:
        """Worklogs by id, without those of requests that lists do not show (trashed, archived)."""
        dump = self.get("dump")
        gone = {r["id"] for r in dump["requests"] if r.get("is_trashed") or r.get("is_archived")}
        tasks = {
            t["id"] for t in dump["tasks"] if t.get("parent_kind") == "request" and t["parent_id"] in gone
        }
        return {
            w["id"]: w
            for w in dump["worklogs"]
            if not (w["parent_kind"] == "request" and w["parent_id"] in gone)
            and not (w["parent_kind"] == "task" and w["parent_id"] in tasks)
        }


class Collector(MsgSpecWriter):
    """Keeps messages instead of writing them; ``each`` is called with every one."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.each: Callable[[dict[str, Any]], None] = lambda _: None

    def write_message(self, message: Any) -> None:
        self.messages.append(copy.deepcopy(message.to_dict()))
        self.each(self.messages[-1])

    def records(self, stream: str = "worklogs") -> list[dict[str, Any]]:
        return [m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]

    def ids(self) -> list[str]:
        return [record["worklog_id"] for record in self.records()]

    @property
    def state(self) -> dict[str, Any]:
        return [m["value"] for m in self.messages if m["type"] == "STATE"][-1]

    @property
    def trailer(self) -> dict[str, Any] | None:
        return next(iter(self.records("extraction")), None)


class PatientClock:
    """Real time, but nobody waits."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._offset)

    def monotonic(self) -> float:
        return self._offset

    def sleep(self, seconds: float) -> None:
        self._offset += seconds


class TestableTap(TapMspSdp):
    __test__ = False
    clock = PatientClock()


def run(
    config: dict[str, Any],
    *,
    state: dict[str, Any] | None = None,
    streams: Iterable[str] = ("worklogs", "extraction"),
    each: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Collector:
    """Run a sync in this process; what came before an error stays in the collector of the exception."""
    out = Collector()
    out.each = each
    TestableTap.clock = PatientClock()
    tap = TestableTap(config=config, state=copy.deepcopy(state), message_writer=out)
    for name, stream in tap.streams.items():
        stream.selected = name in streams
    try:
        tap.sync_all()
    except Exception as error:
        error.collector = out
        raise
    finally:
        tap.client.close()
    return out


# Started when pytest is, because the SDK's standard tests read the catalog when they are collected.
SMALL = Sandbox()
for name in [name for name in os.environ if name.startswith("TAP_MSP_SDP_")]:
    del os.environ[name]


def pytest_unconfigure() -> None:
    SMALL.stop()


@pytest.fixture
def small() -> Sandbox:
    SMALL.post("reset")
    return SMALL


@pytest.fixture(scope="session")
def _large() -> Iterator[Sandbox]:
    sandbox = Sandbox("--scale", "5000")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def large(_large: Sandbox) -> Sandbox:
    _large.post("reset")
    return _large


def settings(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    return {"base_url": sandbox.url, "auth_token": KEY, **more}


ODD_MINUTES = 777


def person(sandbox: Sandbox, kind: str, action: str, identity: str | None = None, **values: Any) -> Any:
    """Do what a person does in the product."""
    return sandbox.post("rows", {"kind": kind, "action": action, "id": identity, "values": values})


def new_worklog(sandbox: Sandbox, parent: str) -> None:
    """Book a time that no other worklog has."""
    person(sandbox, "worklog", "add", parent=parent, minutes=ODD_MINUTES, owner="7")


def found(out: Collector) -> list[dict[str, Any]]:
    """Return the records of what :func:`new_worklog` booked."""
    return [record for record in out.records() if record["minutes"] == ODD_MINUTES]


def listed_without(
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    *names: str,
    single_too: bool = False,
    where: Callable[[dict[str, Any]], Any] = bool,
) -> None:
    """Let the rows of the list at a path leave members out.

    Args:
        monkeypatch: pytest's.
        path: of the list.
        names: what is left out.
        single_too: whether rows that are read one by one leave it out, too.
        where: tells the rows that do.
    """
    read_page, read_row = SdpClient._page, SdpClient.read_row

    def without(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name not in names or not where(row)}

    def page(self: SdpClient, asked: str, *rest: Any) -> Page:
        answer = read_page(self, asked, *rest)
        return replace(answer, rows=[without(row) for row in answer.rows]) if asked == path else answer

    def row(self: SdpClient, asked: str, key: str) -> dict[str, Any]:
        found = read_row(self, asked, key)
        return without(found) if single_too and asked.startswith(f"{path}/") else found

    monkeypatch.setattr(SdpClient, "_page", page)
    monkeypatch.setattr(SdpClient, "read_row", row)


def until_it_is_well(sandbox: Sandbox, fault: dict[str, Any], **changed: Any) -> tuple[Collector, Collector]:
    """Run with a fault, and once more without it from where the first run left off; return both."""
    sandbox.post("faults", [fault])
    try:
        first = run(settings(sandbox, **changed))
    except RemoteError as error:
        first = error.collector  # type: ignore[attr-defined]
        assert first.trailer is None
    sandbox.mend()
    return first, run(settings(sandbox, **changed), state=first.state)
