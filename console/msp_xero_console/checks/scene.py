"""What the checks share: the project, the connections that they open, and what these brought by the way."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, TypeVar

from msp_xero.billing.settle import recall_day
from msp_xero.edges.clock import SystemClock
from msp_xero.sdp import SdpSettings
from msp_xero.xero import CallBudget, XeroSettings
from msp_xero.xero.tokens import TokenStore, UnwrittenStore

from msp_xero_console.project import XERO_PLUGINS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from msp_xero.edges.clock import Clock
    from msp_xero.edges.watching import Exchange, Watch
    from msp_xero.ledger import Ledger
    from msp_xero.sdp import SdpClient
    from msp_xero.xero import XeroClient

    from msp_xero_console.project import Project

T = TypeVar("T")

PATIENCE: Final = 10.0
"""Seconds that somebody who looks waits: for a pause that a system asks for, for another attempt, or for a
process that is renewing the login. A run waits longer; a look says that it would."""


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
    _stores: dict[tuple[Path, str], TokenStore] = field(default_factory=dict)
    _budgets: dict[tuple[str, str, str | None], CallBudget] = field(default_factory=dict)

    def sdp(self, plugin: str, seen: Watch | None = None) -> SdpClient:
        """Return the client of a plugin's settings; plugins with the same settings share one."""
        settings = SdpSettings.from_config(self.project.config(plugin))
        for known, client in self._sdp:
            if known == settings:
                return client
        client = self.project.sdp(plugin, watch=_both(seen, self.watch), patience=PATIENCE)
        self._sdp.append((settings, client))
        self._stack.callback(client.close)
        return client

    def xero(self, plugin: str, seen: Watch | None = None) -> XeroClient:
        """Return the client of a plugin."""
        if plugin not in self._xero:
            settings = XeroSettings.from_config(self.project.config(plugin))
            self._xero[plugin] = self.project.xero(
                plugin,
                watch=_both(seen, self.watch),
                store=self.store(settings),
                budget=self.budget(settings),
                patience=PATIENCE,
            )
            self._stack.callback(self._xero[plugin].close)
        return self._xero[plugin]

    def store(self, settings: XeroSettings) -> TokenStore:
        """Return where the token of a connection is kept; connections that share a file share the store."""
        key = (settings.token_store, settings.grant)
        if key not in self._stores:
            self._stores[key] = looking_store(settings)
        return self._stores[key]

    def budget(self, settings: XeroSettings) -> CallBudget:
        """Return the one call budget of an organisation: it begins as a run's, all calls here count."""
        key = (settings.api_url, settings.client_id, settings.tenant_id)
        if key not in self._budgets:
            known = [
                XeroSettings.from_config(self.project.config(one))
                for one in XERO_PLUGINS
                if one in self.usable
            ]
            # The target's where there is one: it is the run that needs the calls.
            limits = [settings, *(one for one in known if one.client_id == settings.client_id)][-1]
            self._budgets[key] = CallBudget(
                self.clock,
                max_calls_per_minute=limits.max_calls_per_minute,
                day_call_reserve=limits.day_call_reserve,
                patience=PATIENCE,
            )
            if self.ledger is not None:
                recall_day(self.ledger, self._budgets[key])
        return self._budgets[key]

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


def looking_store(settings: XeroSettings) -> TokenStore:
    """Return a store for a look: it writes nothing but the rotated token of a login, which would be lost."""
    if settings.grant == "client_credentials":
        return UnwrittenStore(settings.token_store)
    return TokenStore(settings.token_store, lock_seconds=PATIENCE)


def _both(first: Watch | None, second: Watch | None) -> Watch | None:
    watches = [watch for watch in (first, second) if watch is not None]
    if not watches:
        return None

    def show(exchange: Exchange) -> None:
        for watch in watches:
            watch(exchange)

    return show
