"""The address on this machine that Xero's consent page sends the browser back to."""

from __future__ import annotations

import contextlib
import errno
import html
import queue
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from msp_xero.xero.login import CALLBACK_PATH, ForeignAnswer, LoginFailed

if TYPE_CHECKING:
    from collections.abc import Callable

# A browser may take localhost for either of them, and nobody else's program must listen on the other.
_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>msp-xero</title></head>
<body style="font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto; padding: 0 1rem">
<h1 style="font-size: 1.4rem">{title}</h1><p>{text}</p></body></html>
"""


class Callback:
    """A small web server on localhost that waits for one answer; a context manager.

    Args:
        port: to listen on; 0 takes a free one.

    Raises:
        LoginFailed: the port is taken.
    """

    def __init__(self, port: int) -> None:
        self._answers: queue.SimpleQueue[str | LoginFailed] = queue.SimpleQueue()
        self._judge: Callable[[str], str] = _nobody_waits
        self._servers: list[_Server] = []
        self._threads: list[threading.Thread] = []
        try:
            for family, host in _ADDRESSES:
                self._listen(family, host, self.port if self._servers else port)
        except OSError as error:
            self.close()
            raise LoginFailed(
                f"port {port} of this machine cannot be listened on ({error.strerror}); choose another with "
                "--port, and register its address for the app"
            ) from error

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._servers[0].server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, judge: Callable[[str], str]) -> None:
        """Begin to answer browsers.

        Args:
            judge: returns the code in the address that a browser came to, or raises LoginFailed; after
                ForeignAnswer the waiting goes on, because any web page can send a browser here.
        """
        self._judge = judge
        for server in self._servers:
            thread = threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def wait(self, seconds: float) -> str:
        """Return the code.

        Raises:
            LoginFailed: Xero refused, or no answer came in time.
        """
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise LoginFailed(
                f"no answer came within {seconds:g} seconds. If Xero showed an error instead of a question: "
                f"is http://localhost:{self.port}{CALLBACK_PATH} a redirect address of the app, letter for "
                "letter? Is it a web or a PKCE app, has it all the scopes, is client_id right? If the "
                "browser is on another machine, use --no-browser"
            ) from None
        if isinstance(answer, LoginFailed):
            raise answer
        return answer

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            if self._threads:
                server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()
        self._servers, self._threads = [], []

    def take(self, target: str) -> tuple[HTTPStatus, str, str]:
        """Judge the address that a browser came to; return status, title and text of the page for it."""
        if target.partition("?")[0] != CALLBACK_PATH:
            return (
                HTTPStatus.NOT_FOUND,
                "Nothing is here",
                "msp-xero waits for Xero's answer at another address.",
            )
        try:
            code = self._judge(target)
        except ForeignAnswer as error:
            return HTTPStatus.BAD_REQUEST, "Not this login", _sentence(error)
        except LoginFailed as error:
            self._answers.put(error)
            return HTTPStatus.OK, "Not connected", _sentence(error)
        self._answers.put(code)
        return HTTPStatus.OK, "Xero has answered", "You can close this page and go back to the terminal."

    def _listen(self, family: socket.AddressFamily, host: str, port: int) -> None:
        try:
            self._servers.append(_Server(family, host, port, self))
        except OSError as error:
            # A machine without IPv6 has no ::1; then no browser can try it.
            if family == socket.AF_INET or error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, family: socket.AddressFamily, host: str, port: int, callback: Callback) -> None:
        self.address_family = family
        self.callback = callback
        super().__init__((host, port), _Handler)

    @override
    def server_bind(self) -> None:
        # HTTPServer asks for the name of the machine here, which can take seconds and is of no use.
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", int(self.server_address[1])

    @override
    def handle_error(self, *_: Any) -> None:
        """Leave browsers alone that hang up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # seconds that a browser may keep a connection open without a word
    server_version = "msp-xero"
    sys_version = ""

    def do_GET(self) -> None:
        status, title, text = self.server.callback.take(self.path)
        body = _PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "Connection": "close",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    @override
    def log_message(self, *_: Any) -> None:
        """Log nothing: the address holds the code."""


def _nobody_waits(_target: str) -> str:
    raise ForeignAnswer("nobody waits for an answer yet")


def _sentence(error: LoginFailed) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
