"""A clock that only moves when told, and a Xero on a real socket that answers as scripted."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import settings as hypothesis_settings
from msp_xero.edges.transport import http_session
from msp_xero.xero import XeroClient, XeroSettings

# A busy machine is no fault of the code.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class FakeClock:
    """Time that stands still until somebody sleeps."""

    def __init__(self):
        self.seconds = 1000.0
        self.slept = []
        self._lock = threading.Lock()

    def now(self):
        return START + timedelta(seconds=self.seconds - 1000.0)

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        assert seconds >= 0
        with self._lock:
            self.slept.append(seconds)
            self.seconds += seconds

    def advance(self, **span):
        self.seconds += timedelta(**span).total_seconds()


@dataclass
class Seen:
    method: str
    path: str
    query: dict
    headers: dict
    body: bytes

    @property
    def form(self):
        return dict(parse_qsl(self.body.decode()))

    @property
    def basic(self):
        return base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()


@dataclass
class Reply:
    """An answer; ``how`` is whole, cut (half of the body), reset (no answer) or hang (none in time)."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict = field(default_factory=dict)
    how: str = "whole"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedXero

    def _serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        seen = Seen(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        reply = self.server.reply_to(seen)
        if reply.how == "reset":
            # Linger 0 makes close() send RST, as a crashing proxy does.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        if reply.how == "hang":
            self.server.released.wait(30)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        cut = reply.how == "cut"
        self.wfile.write(reply.body[: len(reply.body) // 2] if cut else reply.body)
        self.close_connection = self.close_connection or cut

    do_GET = do_PUT = do_POST = _serve  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_):
        pass


class ScriptedXero(ThreadingHTTPServer):
    """Answers every call from a queue of its method and last path segment, or from a function."""

    daemon_threads = True
    block_on_close = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen = []
        self.released = threading.Event()
        self.tokens = 0
        self._scripts = {}
        self._lock = threading.Lock()
        self.on("POST token", self.issue)

    def handle_error(self, *_):
        pass  # a client that went away is part of the tests

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def on(self, call, *replies):
        """Script a call, for example ``"GET Invoices"``; the last reply repeats, a function answers all."""
        self._scripts[call] = deque(replies)

    def issue(self, _seen=None, **more):
        self.tokens += 1
        return as_json(
            {"access_token": f"access-{self.tokens}", "expires_in": 1800, "token_type": "Bearer", **more}
        )

    def reply_to(self, seen):
        with self._lock:
            self.seen.append(seen)
            script = self._scripts.get(f"{seen.method} {seen.path.rsplit('/', 1)[-1]}")
            if not script:
                return Reply(404, b"", {"Content-Type": "text/html"})
            reply = script.popleft() if len(script) > 1 else script[0]
            return reply(seen) if callable(reply) else reply

    def calls(self, method, name):
        return [seen for seen in self.seen if seen.method == method and seen.path.endswith(f"/{name}")]


def as_json(value, status=200, **headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(status, body, {"Content-Type": "application/json", **headers})


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def xero():
    server = ScriptedXero()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def reply():
    """Make a JSON answer: ``reply({...}, 400, **headers)``."""
    return as_json


@pytest.fixture
def raw():
    """Make any answer: ``raw(status, body, headers, how)``."""
    return Reply


@pytest.fixture
def config(xero, tmp_path):
    return {
        "client_id": "THE-CLIENT",
        "client_secret": "the-secret",
        "api_url": f"{xero.url}/api.xro/2.0",
        "identity_url": xero.url,
        "token_store": str(tmp_path / "store" / "token.json"),
        "timeout_seconds": 20,
    }


@pytest.fixture
def session():
    made = http_session()
    yield made
    made.close()


@pytest.fixture
def connect(config, session, clock):
    """Make a client on the scripted Xero: ``connect(grant=..., tenant_id=...)``."""

    def make(**settings):
        return XeroClient(XeroSettings.from_config({**config, **settings}), session=session, clock=clock)

    return make


@pytest.fixture
def client(connect):
    return connect()
