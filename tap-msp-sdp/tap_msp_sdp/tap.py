"""The tap: settings, streams and the one connection they share."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from msp_xero.edges.clock import SystemClock
from msp_xero.sdp import SDP_CONNECTION, SdpClient, SdpSettings
from msp_xero.singer.cli import plain_errors
from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from typing_extensions import override

from tap_msp_sdp.settings import EXTRACTION, ExtractionSettings
from tap_msp_sdp.streams import STREAMS
from tap_msp_sdp.tally import Tally
from tap_msp_sdp.writing import SteadyWriter

if TYPE_CHECKING:
    from types import FrameType

    from msp_xero.edges.clock import Clock
    from singer_sdk import Stream


@plain_errors
class TapMspSdp(Tap):
    """Extracts accounts, worklog types, tickets and worklogs from ServiceDesk Plus MSP."""

    name = "tap-msp-sdp"
    message_writer_class = SteadyWriter
    clock: Clock = SystemClock()
    config_jsonschema = th.PropertiesList(*SDP_CONNECTION, *EXTRACTION).to_dict()
    # No BATCH and no ACTIVATE_VERSION: this tap does not do either.
    capabilities: ClassVar[list[Any]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(self, *, validate_config: bool = True, **options: Any) -> None:
        super().__init__(validate_config=validate_config, **options)
        if validate_config:  # a wrong setting ends the run before it starts; discovery needs none
            _ = self.extraction
            SdpSettings.from_config(self.config)

    @cached_property
    def client(self) -> SdpClient:
        """The one connection; made when the first stream needs it."""
        return SdpClient(SdpSettings.from_config(self.config), clock=self.clock)

    @cached_property
    def extraction(self) -> ExtractionSettings:
        """What to extract."""
        return ExtractionSettings.from_config(self.config)

    @cached_property
    def tally(self) -> Tally:
        """The control total of this run."""
        return Tally(self.clock)

    @override
    def discover_streams(self) -> list[Stream]:
        return [stream(tap=self) for stream in STREAMS]

    @property
    @override
    def streams(self) -> dict[str, Stream]:
        """Streams in their declared order: the control total must come after the worklogs."""
        found = super().streams
        return {kind.name: found[kind.name] for kind in STREAMS if kind.name in found}

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Send the state and end with 128 + signal: a run that was stopped did not succeed."""
        try:
            super()._handle_termination(signum, frame)
        except SystemExit:
            sys.exit(128 + signum)
