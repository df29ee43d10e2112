"""Puts the parts together: rows, clock, systems, faults and control, without any socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msp_xero_sandbox import story
from msp_xero_sandbox.calls import CallLog
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.control import Control
from msp_xero_sandbox.faults import Faulty
from msp_xero_sandbox.sdp.app import SdpApp
from msp_xero_sandbox.server import Site
from msp_xero_sandbox.settings import Settings, read_rows
from msp_xero_sandbox.xero.app import XeroApp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from msp_xero_sandbox.wire import App


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Both systems on one clock, each behind its faults."""

    clock: Clock
    xero: Site
    sdp: Site


def site_of(app: App, clock: Clock, settings: Settings) -> Site:
    """Put one system behind faults and a control API."""
    faulty = Faulty(app, clock, CallLog(), latency=settings.latency_seconds, seed=settings.seed)
    return Site(faulty, Control(faulty, clock, settings.switches_of(app.name)))


def assemble(settings: Settings, clock: Clock | None = None) -> Sandbox:
    """Build the sandbox: the story's rows, or those of the data file for the systems it names."""
    clock = clock or Clock()
    told = story.build(settings.seed, settings.scale, clock.now())
    rows: Mapping[str, Any] = read_rows(settings.data) if settings.data else {}
    xero = XeroApp(rows.get("xero", told.xero), clock, settings)
    sdp = SdpApp(rows.get("sdp", told.sdp), clock, settings)
    return Sandbox(clock, site_of(xero, clock, settings), site_of(sdp, clock, settings))
