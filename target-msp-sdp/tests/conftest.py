"""A real sandbox on a socket, messages for the target, and what they left on both sides."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.ledger import Ledger
from msp_xero.ledger.links import account_links, type_links
from msp_xero.sdp import SdpClient, SdpSettings
from target_msp_sdp.target import TargetMspSdp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from msp_xero.ledger.models import AccountLink, WorklogTypeLink

KEYS = {"accounts": "xero_contact_id", "worklog_types": "xero_item_id", "items_extent": "kind"}
TOKEN = "sandbox-authtoken"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("TARGET_MSP_SDP_", "MSP_XERO_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    command = [sys.executable, "-m", "msp_xero_sandbox.cli", "--sdp-port", "0", "--xero-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        yield re.search(r"sdp=(\S+)", ready)[1]  # type: ignore[index]
        process.terminate()


@dataclass
class Sandbox:
    """The simulated ServiceDesk Plus MSP."""

    url: str

    def control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_sandbox/{path}", data=data, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    def set(self, **switches: str) -> None:
        self.control("POST", "set", switches)

    def rows(self, kind: str) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.control("GET", f"dump?kinds={kind}")[kind]}

    def writes(self) -> list[tuple[str, str]]:
        return [
            (call["method"], call["path"]) for call in self.control("GET", "calls") if call["method"] != "GET"
        ]

    def client(self) -> SdpClient:
        return SdpClient(SdpSettings(base_url=self.url, auth_token=TOKEN))


@pytest.fixture
def sandbox(sandbox_url: str) -> Sandbox:
    sandbox = Sandbox(sandbox_url)
    sandbox.control("POST", "reset")
    sandbox.set(login_url_mandatory="off", account_names="insensitive", worklog_types_write="on")
    return sandbox


def contact(one: str, name: str, **members: Any) -> dict[str, Any]:
    record = {
        "xero_contact_id": one,
        "name": name,
        "contact_status": "ACTIVE",
        "merged_to_contact_id": None,
        "is_customer": True,
        "fields": {"udf_fields": {}},
        "updated_time": None,
        "invalid_reason": None,
    }
    return record | members


def item(one: str, name: str, **members: Any) -> dict[str, Any]:
    record = {
        "xero_item_id": one,
        "item_code": one,
        "name": name,
        "description": None,
        "unit_price": 95.5,
        "is_sold": True,
        "updated_time": None,
        "invalid_reason": None,
    }
    return record | members


def lines(*messages: Any) -> str:
    """Return Singer lines; a pair of stream and records becomes a SCHEMA with its RECORDs."""
    written = []
    for message in messages:
        if isinstance(message, dict):
            written.append({"type": "STATE", "value": message})
            continue
        stream, records = message
        schema = {"type": "object", "properties": {}}
        written.append(
            {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": [KEYS.get(stream, "id")]}
        )
        written += [{"type": "RECORD", "stream": stream, "record": record} for record in records]
    return "".join(f"{json.dumps(message)}\n" for message in written)


@dataclass
class Bench:
    """Runs the target, in this process or in one of its own, against one ledger."""

    folder: Path
    base_url: str
    settings: dict[str, Any] = field(default_factory=dict)

    contact = staticmethod(contact)
    item = staticmethod(item)
    lines = staticmethod(lines)

    def config(self, **settings: Any) -> dict[str, Any]:
        return {
            "base_url": self.base_url,
            "auth_token": TOKEN,
            "ledger_url": f"sqlite:///{self.folder}/ledger.db",
            **self.settings,
            **settings,
        }

    def run(self, *messages: Any, **settings: Any) -> TargetMspSdp:
        return self.run_text(lines(*messages), **settings)

    def run_text(self, text: str, **settings: Any) -> TargetMspSdp:
        target = TargetMspSdp(config=self.config(**settings))
        target.listen(io.StringIO(text))
        return target

    def start(self, **settings: Any) -> subprocess.Popen[str]:
        config = self.folder / "config.json"
        config.write_text(json.dumps(self.config(**settings)))
        return subprocess.Popen(
            [sys.executable, "-m", "target_msp_sdp.target", "--config", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def has_ledger(self) -> bool:
        return (self.folder / "ledger.db").exists()

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with Ledger.open(f"sqlite:///{self.folder}/ledger.db", actor="test") as ledger:
            yield ledger

    def links(self) -> dict[str, AccountLink]:
        with self.ledger() as ledger:
            return {row.contact_id: row for row in account_links(ledger)}

    def types(self) -> dict[str, WorklogTypeLink]:
        with self.ledger() as ledger:
            return {row.item_id: row for row in type_links(ledger)}


@pytest.fixture
def bench(tmp_path: Path, sandbox: Sandbox) -> Bench:
    return Bench(tmp_path, sandbox.url)


@dataclass
class Between:
    """Stands between the target and the sandbox, and acts at the moment that a test chooses."""

    url: str = ""
    on_write: Callable[[str], None] = lambda _path: None
    """Called after the sandbox has committed a write, before its answer goes back."""
    on_read: Callable[[str], None] = lambda _path: None
    """Called before the answer of a read goes back."""


@pytest.fixture
def between(sandbox: Sandbox) -> Iterator[Between]:
    watcher = Between()

    class Forward(BaseHTTPRequestHandler):
        def _forward(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            wanted = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            request = urllib.request.Request(
                sandbox.url + self.path, data=body, headers=wanted, method=self.command
            )
            try:
                with urllib.request.urlopen(request) as answer:
                    status, content = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    status, content = error.code, error.read()
            (watcher.on_read if body is None else watcher.on_write)(self.path)
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True  # the target was killed meanwhile

        do_GET = do_POST = do_PUT = _forward  # noqa: N815 - names that the library looks for

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        watcher.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield watcher
        server.shutdown()
        thread.join()
