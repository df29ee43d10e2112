"""A front server as companies put one before an installation: HTTPS with a certificate of any authority."""

from __future__ import annotations

import ssl
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

    import trustme

HOP = {"connection", "transfer-encoding", "content-length", "date", "host"}


class Front:
    """Relays everything to one address; gives the answers the headers that a test wants them to have.

    Args:
        behind: address of the server that really answers.
        certificate: for HTTPS; None for plain HTTP.
        headers: headers of every answer that replace the server's own, such as ``Date``.
        without: names of headers in small letters that the server's answers lose.
        instead: answers by path prefix, as (status, headers, body), that come instead of the server's.
    """

    def __init__(
        self,
        behind: str,
        certificate: trustme.LeafCert | None = None,
        headers: dict[str, str] | None = None,
        instead: dict[str, tuple[int, dict[str, str], bytes]] | None = None,
        without: Collection[str] = (),
    ) -> None:
        target = urlsplit(behind).netloc
        own = headers or {}
        replaced = instead or {}
        lost = {*HOP, *without}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _relay(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                for prefix, (status, given, content) in replaced.items():
                    if self.path.startswith(prefix):
                        self._answer(status, given, content)
                        return
                connection = HTTPConnection(target, timeout=30)
                sent = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                connection.request(self.command, self.path, body or None, sent)
                answer = connection.getresponse()
                came = {name: value for name, value in answer.getheaders() if name.lower() not in lost}
                self._answer(answer.status, came, answer.read())
                connection.close()

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in {"Date": self.date_time_string(), **headers, **own}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = _relay  # noqa: N815 - the names that http.server looks for

            def log_message(self, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(context)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            scheme = "https"
        self.url = f"{scheme}://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that do not trust the certificate leave in the middle of the handshake."""
