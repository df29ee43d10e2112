"""What all streams share: schemas from files, the one connection, records as they are built."""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING, Any

from msp_xero.errors import Missing
from msp_xero.sdp.dialects import NOTHING, iso_utc, reference, text, time_of
from singer_sdk import SchemaDirectory, Stream, StreamSchema
from singer_sdk.helpers.conform import TypeConformanceLevel
from typing_extensions import override

from tap_msp_sdp.modules import CHANGED, CREATED, PARENTS_OF_TASKS
from tap_msp_sdp.parents import Accounts, Parent, ParentLists

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msp_xero.sdp import SdpClient
    from singer_sdk.helpers.types import Context

    from tap_msp_sdp.tap import TapMspSdp

Row = dict[str, Any]
SCHEMAS = SchemaDirectory(importlib.resources.files("tap_msp_sdp") / "schemas")


class SdpStream(Stream):
    """A stream over the tap's one connection."""

    # Our own code builds the records to fit the schema; conforming them again would cost most of the time.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    schema = StreamSchema(SCHEMAS)

    _tap: TapMspSdp

    @property
    def client(self) -> SdpClient:
        """The connection, shared by all streams."""
        return self._tap.client


class SdpListStream(SdpStream):
    """A short list that is read in full; members that the schema does not name stay under ``extra``."""

    primary_keys = ("id",)

    @property
    def columns(self) -> list[str]:
        """Members that have a column of their own."""
        return [name for name in self.schema["properties"] if name != "extra"]

    def rows(self) -> Iterable[Row]:
        """Return the rows as they come."""
        raise NotImplementedError

    @override
    def get_records(self, context: Context | None) -> Iterator[Row]:
        names = self.columns
        for row in self.rows():
            record = {name: row.get(name) for name in names}
            record["id"] = text(row.get("id"))
            record["extra"] = {name: value for name, value in row.items() if name not in record}
            yield record


class SdpParentStream(SdpStream):
    """Requests, problems, changes, projects or tasks changed since the bookmark.

    Where the installation cannot be asked by time of change, all rows come on every run.
    """

    primary_keys = ("id",)
    replication_key = "updated_time"

    @override
    def get_records(self, context: Context | None) -> Iterator[Row]:
        since = self.get_starting_timestamp(context)
        start = round(since.timestamp() * 1000) - self._tap.extraction.overlap_ms if since else 0
        accounts = Accounts(self.client)
        try:
            for parent, row in ParentLists(self.client, self.name).rows_since(max(start, 0)):
                yield _record(parent, row, accounts)
        except Missing as error:
            raise Missing(
                error.problem,
                system=error.system,
                address=error.address,
                status=error.status,
                advice=f"If this installation has no {self.name}, deselect the stream",
            ) from error


def _record(parent: Parent, row: Row, accounts: Accounts) -> Row:
    module = parent.module
    account = accounts.of(parent)
    person = next(
        (found for name in module.people if (found := reference(row.get(name))) != NOTHING), NOTHING
    )
    moved = parent.updated_ms if parent.updated_ms is not None else parent.latest_ms
    record = {
        "id": parent.id,
        "display_id": parent.display_id,
        "title": parent.title,
        "status": parent.status,
        "is_open": parent.is_open,
        "account_id": account.id,
        "account_name": account.name,
        "site_id": parent.site_id,
        "site_name": parent.site_name,
        "requester_id": person.id,
        "requester_name": person.name,
        "created_time": time_of(row.get(CREATED)) or time_of(row.get("reported_time")),
        "changed_time": time_of(row.get(CHANGED)),
        "closed_time": next(
            (at for name in (*module.closed, *module.ended) if (at := time_of(row.get(name)))), None
        ),
        "updated_time": None if moved is None else iso_utc(moved),
    }
    if module.name == "tasks":
        belongs = parent.belongs_to or {}
        record |= {f"{name}_id": belongs.get(name) for name in PARENTS_OF_TASKS}
    return record
