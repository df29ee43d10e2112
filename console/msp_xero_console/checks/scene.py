"""What the checks share: the project, the connections that they open, and what these brought by the way."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from msp_xero.edges.clock import SystemClock
from msp_xero.sdp import SdpSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from msp_xero.edges.clock import Clock
    from msp_xero.edges.watching import Exchange, Watch
    from msp_xero.ledger import Ledger
    from msp_xero.sdp import SdpClient
    from msp_xero.xero import XeroClient

    from msp_xero_console.project import Project

T = TypeVar("T")


@dataclass(slots=True)
class Scene:
    """One examination.

    Attributes:
        project: what is examined.
        tell: called with what is looked at next.
        watch: shown every call, for a recording; None for nobody.
        clock: what time it is.
        usable: the plugins whose settings can be used; found by the first check.
        ledger: to be read; None unless there is one that can be.
    """

    project: Project
    tell: Callable[[str], None] = lambda _: None
    watch: Watch | None = None
    clock: Clock = field(default_factory=SystemClock)
    usable: set[str] = field(default_factory=set)
    ledger: Ledger | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _sdp: list[tuple[SdpSettings, SdpClient]] = field(default_factory=list)
    _xero: dict[str, XeroClient] = field(default_factory=dict)

    def sdp(self, plugin: str, seen: Watch | None = None) -> SdpClient:
        """Return the client of a plugin's settings; plugins with the same settings share one."""
        settings = SdpSettings.from_config(self.project.config(plugin))
        for known, client in self._sdp:
            if known == settings:
                return client
        client = self.project.sdp(plugin, watch=_both(seen, self.watch))
        self._sdp.append((settings, client))
        self._stack.callback(client.close)
        return client

    def xero(self, plugin: str, seen: Watch | None = None) -> XeroClient:
        """Return the client of a plugin."""
        if plugin not in self._xero:
            self._xero[plugin] = self.project.xero(plugin, watch=_both(seen, self.watch))
            self._stack.callback(self._xero[plugin].close)
        return self._xero[plugin]

    def enter(self, resource: AbstractContextManager[T]) -> T:
        """Open something that stays open to the end of the examination."""
        return self._stack.enter_context(resource)

    def close(self) -> None:
        """Close all connections."""
        self._stack.close()


@dataclass(slots=True)
class ServerClock:
    """Learns from the Date header of answers how far our clock is ahead of a server's."""

    clock: Clock
    ahead: timedelta | None = None

    def __call__(self, exchange: Exchange) -> None:
        """Take note of one answer."""
        with contextlib.suppress(KeyError, ValueError, TypeError):
            told = parsedate_to_datetime(str(exchange.headers["Date"]))
            told = told if told.tzinfo else told.replace(tzinfo=UTC)
            # The header has whole seconds, and the answer was under way for a part of its time.
            error = self.clock.now() - told
            self.ahead = error if abs(error) > timedelta(seconds=2 + exchange.seconds) else timedelta()


def _both(first: Watch | None, second: Watch | None) -> Watch | None:
    watches = [watch for watch in (first, second) if watch is not None]
    if not watches:
        return None

    def show(exchange: Exchange) -> None:
        for watch in watches:
            watch(exchange)

    return show
