"""What the documentation leaves open, asked of a live installation without writing, and a report of it."""

from __future__ import annotations

from typing import Any

from msp_xero_console.live.probe import Answered, Probe, ask
from msp_xero_console.live.sdp import SDP_PROBES, SdpGround
from msp_xero_console.live.xero import XERO_PROBES, XeroGround

PROBES: tuple[Probe[Any], ...] = (*SDP_PROBES, *XERO_PROBES)

__all__ = ["PROBES", "SDP_PROBES", "XERO_PROBES", "Answered", "Probe", "SdpGround", "XeroGround", "ask"]
