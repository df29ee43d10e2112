"""A scripted ServiceDesk Plus MSP on a real socket, and a clock that only moves when told."""

from __future__ import annotations

import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msp_xero.sdp import SdpClient, SdpSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

OK = {"status_code": 2000, "status": "success"}


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.seconds += seconds


@dataclass
class Seen:
    method: str
    path: str
    input_data: Any
    form: dict[str, str]
    headers: dict[str, str]


@dataclass
class Reply:
    """What the script answers; ``then`` breaks the connection in one way or another."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    then: str = ""

    def raw(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


class ScriptedServer:
    """Calls ``answer`` for each request and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answer: Callable[[Seen], Reply] = lambda _: Reply({"response_status": OK})
        self.release = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                form = {k: v[-1] for k, v in parse_qs(body).items()}
                query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
                data = (query if self.command == "GET" else form).get("input_data")
                seen = Seen(
                    self.command,
                    parts.path,
                    json.loads(data) if data else None,
                    form,
                    {k.lower(): v for k, v in self.headers.items()},
                )
                owner.seen.append(seen)
                self._reply(owner.answer(seen))

            def _reply(self, reply: Reply) -> None:
                if reply.then == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if reply.then == "hang":
                    owner.release.wait(10)
                    self.close_connection = True
                    return
                raw = reply.raw()
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                if reply.then == "cut":
                    raw = raw[: len(raw) // 2]
                    self.close_connection = True
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names that http.server looks for

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._server.handle_error = lambda *_: None  # clients that do not trust us leave in the middle
        self.url = f"https://localhost:{self._server.server_address[1]}"

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Listing:
    """A list that honours list_info: criteria ``greater or equal``, sort, offset, total."""

    def __init__(self, key: str, rows: list[dict[str, Any]]) -> None:
        self.key = key
        self.rows = rows
        self.before_page: Callable[[int], None] = lambda _: None
        self.pages = 0

    def __call__(self, seen: Seen) -> Reply:
        self.before_page(self.pages)
        self.pages += 1
        info = seen.input_data["list_info"]
        rows = list(self.rows)
        criterion = info.get("search_criteria")
        if criterion:
            rows = [row for row in rows if _value(row, criterion["field"]) >= int(criterion["value"])]
        if "sort_field" in info:
            rows.sort(key=lambda row: _value(row, info["sort_field"]))
        start = info["start_index"] - 1
        page = rows[start : start + info["row_count"]]
        out = {
            "has_more_rows": start + len(page) < len(rows),
            "start_index": start + 1,
            "row_count": len(page),
        }
        if info.get("get_total_count"):
            out["total_count"] = len(rows)
        return Reply({self.key: page, "list_info": out, "response_status": [OK]})


def _value(row: dict[str, Any], name: str) -> int:
    value = row[name]
    return int(value["value"] if isinstance(value, dict) else value)


def failed(code: int, status: int = 400, **message: Any) -> Reply:
    messages = [{"status_code": code, "type": "failed", **message}]
    return Reply({"response_status": {"status_code": 4000, "status": "failed", "messages": messages}}, status)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def connect(server: ScriptedServer, clock: FakeClock) -> Iterator[Callable[..., SdpClient]]:
    clients: list[SdpClient] = []

    def make(**config: Any) -> SdpClient:
        config = {"base_url": server.url, "auth_token": "KEY-1", "timeout_seconds": 5, **config}
        clients.append(SdpClient(SdpSettings.from_config(config), clock=clock))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
