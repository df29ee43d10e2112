"""Sockets around the two systems: one event loop, one port each, and faults as clients feel them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import traceback
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from msp_xero_sandbox.control import PREFIX
from msp_xero_sandbox.wire import Answer, Call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence

    from msp_xero_sandbox.control import Control
    from msp_xero_sandbox.faults import Faulty, Outcome

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_TRANSPORT = "msp_xero_sandbox.transport"
# SO_LINGER on with zero seconds makes a close send RST, as a dying proxy does.
_LINGER_ZERO = struct.pack("ii", 1, 0)


class _Protocol(HttpToolsProtocol):
    """Hands the transport to the application, which must reset or close it for some faults."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


class Site:
    """One system on one port: its control API, and everything else behind the faults."""

    def __init__(self, faulty: Faulty, control: Control) -> None:
        self.faulty = faulty
        self.control = control
        self._mended = asyncio.Event()

    async def serve(self, call: Call, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one call to its end, as its outcome says."""
        if call.path.startswith(PREFIX):
            await _send(send, self.control.handle(call))
            if call.method == "DELETE" and call.path == f"{PREFIX}faults":
                # What a fault holds back goes on when the faults are taken away.
                self._mended.set()
                self._mended = asyncio.Event()
            return
        # Calls overlap while their answers are delayed; that is what a concurrency limit counts.
        self.faulty.in_flight += 1
        try:
            await self._deliver(self.faulty.serve(call), scope, receive, send)
        finally:
            self.faulty.in_flight -= 1

    async def _deliver(self, outcome: Outcome, scope: Message, receive: Receive, send: Send) -> None:
        transport = scope["extensions"][_TRANSPORT]["transport"]
        if outcome.ending == "silence":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_client_left(receive), outcome.delay)
            await _reset(transport, receive)
            return
        if outcome.delay and outcome.fault:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._mended.wait(), outcome.delay)
        elif outcome.delay:
            await asyncio.sleep(outcome.delay)
        if outcome.ending == "reset":
            await _reset(transport, receive)
        elif outcome.ending == "cut":
            await _send_cut(send, outcome.settled(), outcome.sent_bytes)
            transport.close()
            await _client_left(receive)
        else:
            await _send(send, outcome.settled())


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reset(transport: asyncio.Transport, receive: Receive) -> None:
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()
    await _client_left(receive)


def _own_failure(error: Exception) -> Answer:
    text = f"msp-xero-sandbox failed, this is a bug of the sandbox: {error!r}"
    return Answer(status=500, headers={"content-type": "text/plain; charset=utf-8"}, body=text.encode())


def _start(answer: Answer) -> Message:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()
    ]
    if answer.status not in {204, 304}:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send(send: Send, answer: Answer) -> None:
    await send(_start(answer))
    await send({"type": "http.response.body", "body": answer.body})


async def _send_cut(send: Send, answer: Answer, kept: int) -> None:
    await send(_start(answer))
    await send({"type": "http.response.body", "body": answer.body[:kept], "more_body": True})


class Sites:
    """The ASGI application: chooses the system by the port that a call came in on."""

    def __init__(self, by_port: dict[int, Site]) -> None:
        self._by_port = by_port

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Read one request whole and have it served."""
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body = body + message["body"] if body else message["body"]
            if not message.get("more_body"):
                break
        raw_query = scope["query_string"].decode("latin-1")
        site = self._by_port[scope["server"][1]]
        call = Call(
            method=scope["method"],
            path=scope["path"],
            query=dict(parse_qsl(raw_query, keep_blank_values=True)) if raw_query else {},
            raw_query=raw_query,
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=bytes(body),
            in_flight=site.faulty.in_flight + 1,
        )
        # A delayed commit must still happen when the client leaves or the server is told to stop.
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await site.serve(call, scope, receive, send)
            except Exception as error:  # noqa: BLE001 - a bug of the sandbox must be loud, and not end it
                traceback.print_exc()
                await _send(send, _own_failure(error))


class Server(uvicorn.Server):
    """A uvicorn server that says when it is ready and leaves signals to whoever runs it."""

    def __init__(self, sites: Sites, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                cast("Any", sites),
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="critical",
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and say so."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers: the command line has its own, a thread cannot have any."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only for sockets that say TCP; with it, every answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def address(listener: socket.socket) -> str:
    """Return the address that clients use for a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def running(sites: Sequence[Site], host: str = "127.0.0.1") -> Iterator[list[str]]:
    """Serve systems from a thread, on free ports; gives their addresses in the same order."""
    listeners = [listen(host, 0) for _ in sites]
    started = threading.Event()
    by_port = {listener.getsockname()[1]: site for listener, site in zip(listeners, sites, strict=True)}
    server = Server(Sites(by_port), started.set)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(listeners)), daemon=True)
    thread.start()
    if not started.wait(timeout=30):
        raise RuntimeError("the sandbox did not start within 30 seconds")
    try:
        yield [address(listener) for listener in listeners]
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        for listener in listeners:
            listener.close()
