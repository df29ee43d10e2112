"""An end to every answer: a server that drips one byte now and then keeps nobody for ever.

The timeout of requests is for one read from the socket, so that an answer that comes byte by byte never
meets it. Here the whole of an answer, its headers included, has a deadline. It is kept where bytes are read
from the socket: nothing is read ahead, and nothing is stored twice.
"""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Final, cast

from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ReadTimeoutError

if TYPE_CHECKING:
    import socket

    import requests
    from urllib3.poolmanager import PoolManager

ANSWER_SECONDS: Final = 60.0
"""What an answer may take beyond the timeout of one read: together it is 160 s for Xero, 120 s for SDP."""


class DeadlineAdapter(HTTPAdapter):
    """Gives up an answer that has not come to its end in time, as a read that timed out.

    Args:
        answer_seconds: from the end of the request to the end of the answer, beyond the timeout of one read.
        options: those of :class:`requests.adapters.HTTPAdapter`.
    """

    def __init__(self, *, answer_seconds: float = ANSWER_SECONDS, **options: Any) -> None:
        self._pools = _pools(answer_seconds)  # before the base class, which makes the first manager
        super().__init__(**options)

    @override
    def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
        super().init_poolmanager(*sizes, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    @override
    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        manager = cast("PoolManager", super().proxy_manager_for(proxy, **options))
        manager.pool_classes_by_scheme = self._pools
        return manager


def is_unfinished(error: requests.RequestException) -> bool:
    """Tell whether an answer began and did not come to its end in time: what was asked may have been done."""
    return bool(error.args) and isinstance(error.args[0], ReadTimeoutError)


def _pools(answer_seconds: float) -> dict[str, type[HTTPConnectionPool]]:
    """Return urllib3's pools, whose answers have a deadline."""

    class Answer(HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
            super().__init__(sock, *arguments, **options)
            timed = _TimedReads(self.fp.detach(), sock, (sock.gettimeout() or 0.0) + answer_seconds)
            self.fp = io.BufferedReader(timed)

    class Plain(HTTPConnection):
        response_class = Answer

    class Secured(HTTPSConnection):
        response_class = Answer

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecuredPool(HTTPSConnectionPool):
        ConnectionCls = Secured

    return {"http": PlainPool, "https": SecuredPool}


class _TimedReads(io.RawIOBase):
    """The bytes of a socket until a deadline, each read with the socket's timeout or with what is left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, seconds: float) -> None:
        self._raw = raw
        self._socket = sock
        self._once = sock.gettimeout()
        self._ends_at = time.monotonic() + seconds

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int | None:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not come to its end in time")
        self._socket.settimeout(left if self._once is None else min(left, self._once))
        return self._raw.readinto(buffer)

    @override
    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
