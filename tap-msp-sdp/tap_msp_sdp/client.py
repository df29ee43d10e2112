"""What all streams share: schemas from files, the one connection, records as they are."""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING, Any, ClassVar

from msp_xero.errors import Missing
from msp_xero.sdp import CannotWalk
from msp_xero.sdp.dialects import iso_utc, text, time_of
from singer_sdk import SchemaDirectory, Stream, StreamSchema
from singer_sdk.helpers.conform import TypeConformanceLevel
from typing_extensions import override

from tap_msp_sdp.modules import MODULES, PARENTS_OF_TASKS
from tap_msp_sdp.parents import Accounts, Parent, ParentLists, read_parent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msp_xero.sdp import SdpClient
    from singer_sdk.helpers.types import Context

    from tap_msp_sdp.tap import TapMspSdp

Row = dict[str, Any]


class SdpStream(Stream):
    """A stream over the tap's one connection."""

    # Records are built by our own code to fit the schema; conforming them again costs half the time.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    schema = StreamSchema(SchemaDirectory(importlib.resources.files("tap_msp_sdp") / "schemas"))  # type: ignore[assignment]

    _tap: TapMspSdp

    @property
    def client(self) -> SdpClient:
        """The connection, shared by all streams."""
        return self._tap.client


class SdpListStream(SdpStream):
    """A short list that is read in full; members that the schema does not name stay under ``extra``."""

    renamed: ClassVar[dict[str, str]] = {}

    def rows(self) -> Iterable[Row]:
        """Return the rows as they come."""
        raise NotImplementedError

    @override
    def get_records(self, context: Context | None) -> Iterator[Row]:
        names = [name for name in self.schema["properties"] if name != "extra"]
        for row in self.rows():
            record = {name: row.get(name) for name in names}
            record["id"] = text(row.get("id"))
            record["extra"] = {name: value for name, value in row.items() if name not in record}
            yield record


class SdpParentStream(SdpStream):
    """Requests, problems, changes, projects or tasks, by time of change where that is possible."""

    primary_keys = ("id",)
    replication_key = "updated_time"

    @override
    def get_records(self, context: Context | None) -> Iterator[Row]:
        accounts = Accounts(self.client)
        for parent, row in self._parents(context):
            account = accounts.of(parent)
            yield {**_record(parent, row), "account_id": account.id, "account_name": account.name}

    def _parents(self, context: Context | None) -> Iterator[tuple[Parent, Row]]:
        module = MODULES[self.name]
        columns = ParentLists(self.client, self.name).columns
        since = self.get_starting_timestamp(context)
        start = max(int(since.timestamp() * 1000) - self._tap.extraction_settings.overlap_ms, 0) if since else 0
        try:
            rows = list_rows = self.client.walk(self.name, self.name, sort_field="last_updated_time", since=start, fields=columns)
            for row in rows:
                yield read_parent(module, row), row
        except Missing as error:
            raise Missing(error.problem, system=error.system, address=error.address, advice=f"Deselect {self.name}") from error
