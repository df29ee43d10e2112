"""A server that drips its answer meets a deadline, wherever in the answer it begins to drip."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from types import SimpleNamespace

import pytest
import requests
from msp_xero.edges import deadline
from msp_xero.edges.clock import SystemClock
from msp_xero.edges.transport import http_session
from msp_xero.errors import Unavailable
from msp_xero.sdp import SdpClient, SdpSettings
from msp_xero.xero import XeroClient, XeroSettings

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = HEAD + b"Content-Length: 100000\r\n\r\n"
TOKEN = b'{"access_token":"a","expires_in":1800,"token_type":"Bearer"}'
EVERY = 0.1
TOO_LONG = 25.0  # seconds; the deadlines of these tests are below one, and the server never ends


class Dripping:
    """Answers each call with a beginning at once, and then with a piece every tenth of a second.

    Args:
        beginning: what comes at once.
        piece: what drips.
        pieces: after so many the answer has ended; None for never.
    """

    def __init__(self, beginning: bytes, piece: bytes, pieces: int | None = None) -> None:
        self.beginning, self.piece, self.pieces = beginning, piece, pieces
        self.calls: list[str] = []
        self._done = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._done.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client gives up, as it should
            while asked := _request(connection):
                self.calls.append(asked.split(b" HTTP")[0].decode())
                if b"/connect/token" in asked:
                    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(TOKEN) + TOKEN)
                    continue
                connection.sendall(self.beginning)
                sent = 0
                while sent != self.pieces and not self._done.wait(EVERY):
                    connection.sendall(self.piece)
                    sent += 1

    def close(self) -> None:
        self._done.set()
        self._listener.close()


def _request(connection: socket.socket) -> bytes:
    """Read one request with its body, which may come later; empty when the client has gone."""
    asked = b""
    while b"\r\n\r\n" not in asked and (more := connection.recv(65536)):
        asked += more
    head, _, body = asked.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: (\d+)", head)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0 and (more := connection.recv(65536)):
        missing -= len(more)
    return head


@pytest.fixture
def dripping():
    made = []

    def make(*what) -> Dripping:
        made.append(Dripping(*what))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (SIZED, b" "),
        (CHUNKED, b"1\r\n \r\n"),
        (CHUNKED + b"5;", b"x"),
        (HEAD, b"X-More: 1\r\n"),
        (b"", b"H"),
    ],
    ids=["body", "chunks", "size of a chunk", "headers", "status line"],
)
def test_an_answer_that_drips_is_given_up(dripping, beginning, piece) -> None:
    server = dripping(beginning, piece)
    started = time.monotonic()
    with http_session(answer_seconds=0.3) as session, pytest.raises(requests.RequestException):
        session.get(server.url, timeout=0.4)
    assert 0.5 < time.monotonic() - started < TOO_LONG


def test_a_slow_answer_that_ends_in_time_is_read_whole(dripping) -> None:
    server = dripping(CHUNKED, b"1\r\na\r\n0\r\n\r\n", 1)
    with http_session(answer_seconds=60) as session:
        for _ in range(2):
            assert session.get(server.url, timeout=60).content == b"a"


def test_the_deadline_is_each_answers_own(dripping, monkeypatch) -> None:
    """The connection is kept; the time between two answers counts for none of them."""
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(deadline, "time", clock)
    server = dripping(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", b"", 0)
    with http_session(answer_seconds=60) as session:
        for _ in range(3):
            assert session.get(server.url, timeout=60).content == b"abc"
            passed[0] += 600


@pytest.mark.timeout(30)
def test_a_write_to_xero_whose_answer_drips_may_have_been_done(dripping, tmp_path) -> None:
    server = dripping(SIZED, b" ")
    settings = XeroSettings(
        client_id="c",
        client_secret="the-secret",
        tenant_id="70784a63-d24b-46a9-a4db-0e70a274b056",
        api_url=f"{server.url}/api.xro/2.0",
        identity_url=server.url,
        token_store=tmp_path / "token.json",
        timeout_seconds=2,
    )
    client = XeroClient(settings, session=http_session(answer_seconds=0.3), clock=SystemClock())
    with pytest.raises(Unavailable) as caught:
        client.put_invoices(b"{}", idempotency_key="k")
    assert caught.value.sent
    assert "did not come to its end" in str(caught.value)
    assert [call.split()[0] for call in server.calls] == ["POST", "PUT"]  # the token, and once only


@pytest.mark.timeout(30)
def test_a_write_to_service_desk_plus_whose_answer_drips_may_have_been_done(dripping) -> None:
    server = dripping(SIZED, b" ")
    settings = SdpSettings(base_url=server.url, auth_token="the-key-of-it", timeout_seconds=2)
    client = SdpClient(settings, session=http_session(answer_seconds=0.3), clock=SystemClock())
    with pytest.raises(Unavailable) as caught:
        client.create_account({"name": "A"})
    assert caught.value.sent
    assert "did not come to its end" in str(caught.value)
    assert len(server.calls) == 1
