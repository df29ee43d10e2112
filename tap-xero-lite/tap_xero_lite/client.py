"""The base classes of all streams: Xero's rows over the client of the core package."""

from __future__ import annotations

import abc
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msp_xero.xero import wire
from singer_sdk import SchemaDirectory, Stream, StreamSchema
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib import StateMessage
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_xero_lite import schemas
from tap_xero_lite.records import shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msp_xero.xero import XeroClient
    from singer_sdk.helpers.types import Context

    from tap_xero_lite.tap import TapXeroLite

Row = dict[str, Any]


class XeroStream(Stream, abc.ABC):
    """A list of one kind of row."""

    schema = StreamSchema(SchemaDirectory(schemas))
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # `shape` has done it
    STATE_MSG_FREQUENCY = sys.maxsize  # one in the midst of a whole list would look like its end
    _tap: TapXeroLite

    @property
    def xero(self) -> XeroClient:
        """The client that all streams of a run share."""
        return self._tap.xero

    @abc.abstractmethod
    def rows(self, since: datetime | None) -> Iterable[Row]:
        """Read Xero's rows.

        Args:
            since: aware UTC, only rows changed since then; always None for a stream without replication key.
        """

    @override
    def get_records(self, context: Context | None) -> Iterable[Row]:
        schema = self.schema
        for row in self.rows(self._since(context)):
            yield shape(row, schema, name=self.name)

    @override
    def finalize_state_progress_markers(self, state: dict[str, Any] | None = None) -> None:
        """Tell that all rows came, by a STATE: the SDK writes none where the bookmark stayed where it was."""
        super().finalize_state_progress_markers(state)
        self._tap.write_message(StateMessage(value=self.tap_state))

    def _since(self, context: Context | None) -> datetime | None:  # noqa: ARG002 - for incremental streams
        """Return where to start; a full-table stream starts nowhere."""
        return None


class XeroIncrementalStream(XeroStream):
    """A list that Xero filters by time of change (``If-Modified-Since``, xero-api §4.8)."""

    replication_key = "UpdatedDateUTC"
    STATE_MSG_FREQUENCY = Stream.STATE_MSG_FREQUENCY  # its bookmark says how far it came

    @property
    @override
    def check_sorted(self) -> bool:
        # The overlap of a sorted stream begins before its bookmark, which is not a fault of the order. An
        # unsorted one needs the comparison: without it, the last row and not the latest makes the bookmark.
        return not self.is_sorted

    @override
    def get_records(self, context: Context | None) -> Iterable[Row]:
        for row in super().get_records(context):
            row.setdefault(self.replication_key or "UpdatedDateUTC", None)
            yield row

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> str | None:
        """Cap the bookmark at the start of the run, in the bookmark's own form."""
        return wire.utc_text(datetime.fromtimestamp(self._initialized_at / 1000, tz=UTC))

    @override
    def _since(self, context: Context | None) -> datetime | None:
        if self.replication_method != REPLICATION_INCREMENTAL:
            return None
        start = self.get_starting_timestamp(context)
        return start and start - timedelta(minutes=self.config["overlap_minutes"])
