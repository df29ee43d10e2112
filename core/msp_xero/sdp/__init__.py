"""ServiceDesk Plus MSP over its API v3: one client for the tap, the target and the console."""

from __future__ import annotations

from msp_xero.sdp.client import SdpClient
from msp_xero.sdp.dialects import Worklog, read_worklog
from msp_xero.sdp.paging import CannotWalk
from msp_xero.sdp.settings import SDP_CONNECTION, SdpSettings

__all__ = ["SDP_CONNECTION", "CannotWalk", "SdpClient", "SdpSettings", "Worklog", "read_worklog"]
