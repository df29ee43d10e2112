"""The tap: its settings and its streams."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from msp_xero.errors import AccessRefused
from msp_xero.singer import plain_errors
from msp_xero.xero import XERO_BUDGET, XERO_CONNECTION, XeroClient, XeroSettings
from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from typing_extensions import override

from tap_xero_lite.streams import STREAMS

if TYPE_CHECKING:
    from types import FrameType

    from tap_xero_lite.client import XeroStream

SELECTION: tuple[th.Property[Any], ...] = (
    th.Property(
        "page_size",
        th.IntegerType(minimum=1, maximum=1000),
        default=1000,
        title="Page size",
        description="Rows of contacts and invoices per call, 1 to 1000, for example 1000.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="The first run reads contacts and invoices changed since then, UTC, for example "
        "2026-01-01T00:00:00Z. Left out, it reads all; later runs follow the bookmark.",
    ),
    th.Property(
        "overlap_minutes",
        th.IntegerType(minimum=0),
        default=10,
        title="Overlap",
        description="Minutes before the bookmark that are read again, against clocks that differ and late "
        "changes, for example 10.",
    ),
)


@plain_errors
class TapXeroLite(Tap):
    """Reads contacts, items, reference data and invoices of one Xero organisation."""

    name = "tap-xero-lite"
    package_name = "tap-xero-lite"
    message_writer_class = MsgSpecWriter  # writes Decimal digit for digit
    config_jsonschema = th.PropertiesList(*XERO_CONNECTION, *SELECTION, *XERO_BUDGET).to_dict()

    # BATCH is left out: nothing here was written for files beside the stream.
    capabilities = [  # noqa: RUF012 - the SDK declares it so
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        TapCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    _checked: dict[str, Any] | None = None

    @cached_property
    def xero(self) -> XeroClient:
        """The one client of this run: one token, one call budget, the right organisation."""
        client = XeroClient(XeroSettings.from_config(self.config))
        if client.settings.tenant_id is not None:
            self._checked = client.organisation()
        return client

    @cached_property
    def organisation(self) -> dict[str, Any]:
        """The organisation that is read, asked for once."""
        client = self.xero
        return self._checked or client.organisation()

    @override
    def _reset_state_progress_markers(self) -> None:
        """Tell in the first STATE, which the SDK writes next, of which organisation the rows are."""
        super()._reset_state_progress_markers()
        try:
            told = {name: self.organisation.get(name) for name in ("OrganisationID", "Name")}
        except AccessRefused as error:
            # Somebody who reads contacts alone need not have the scope for this.
            self.logger.warning("Nobody can check of which organisation these rows are: %s", error)
            told = {}
        # Nothing to tell is told too: the SDK writes no empty STATE, and without one nobody could know
        # from where on this run reads.
        cast("dict[str, Any]", self.state)["organisation"] = told

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End with 128 + signal and without a STATE: it would say that all of a stream came."""
        self.logger.info(
            "Stopped by signal %d before all was read; run it again, it goes on from its last bookmark",
            signum,
        )
        sys.exit(128 + signum)

    @override
    def discover_streams(self) -> list[XeroStream]:
        return [stream(self) for stream in STREAMS]
