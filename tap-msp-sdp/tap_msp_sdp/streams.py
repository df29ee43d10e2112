"""The streams, as declarations; ``worklogs`` and its control total stand at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero.sdp.dialects import reference
from typing_extensions import override

from tap_msp_sdp.bookmarks import REPLICATION_KEY, Bookmarks
from tap_msp_sdp.client import SdpListStream, SdpParentStream, SdpStream
from tap_msp_sdp.extraction import Extraction, plan_walks, walks_by_module

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context, Record


class Accounts(SdpListStream):
    """Customer organisations (cloud: customers)."""

    name = "accounts"

    @override
    def rows(self) -> Iterable[dict[str, Any]]:
        for row in self.client.accounts(self.columns):
            named = {name: reference(row.get(name)).name for name in ("industry", "account_manager")}
            yield {**row, **named}


class WorklogTypes(SdpListStream):
    """Kinds of work, also those that are switched off."""

    name = "worklog_types"

    @override
    def rows(self) -> Iterable[dict[str, Any]]:
        return self.client.worklog_types()


class Requests(SdpParentStream):
    """Requests, open and closed."""

    name = "requests"


class Problems(SdpParentStream):
    """Problems, open and closed."""

    name = "problems"


class Changes(SdpParentStream):
    """Changes, open and closed."""

    name = "changes"


class Projects(SdpParentStream):
    """Projects, open and closed."""

    name = "projects"


class Tasks(SdpParentStream):
    """Tasks of the global list: general ones, and those of others as far as the installation lists them."""

    name = "tasks"


class Worklogs(SdpStream):
    """Time that technicians booked, of all selected modules, each worklog once a run.

    The state has one bookmark a module and is kept by :class:`Bookmarks`, not by the SDK's
    partitions: one walk serves several modules, and a bookmark follows the parents, also those
    without worklogs, so that they are not read again.
    """

    name = "worklogs"
    primary_keys = ("module", "worklog_id")
    replication_key = REPLICATION_KEY
    is_sorted = True

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        settings = self._tap.extraction
        bookmarks = Bookmarks(
            lambda module: self.get_context_state({"module": module}), walks_by_module(plan_walks(settings))
        )
        yield from Extraction(
            self.client, settings, bookmarks, self._tap.tally, checkpoint=self._send_state
        ).records()

    def _send_state(self) -> None:
        self._tap.state_writer.write_state(self.tap_state)

    @property
    @override
    def partitions(self) -> list[dict[str, Any]] | None:
        """None: the SDK would ask for the records of each partition in the state by itself."""
        return None

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """None: :class:`Extraction` caps bookmarks itself, and the state stays readable."""

    @override
    def _write_starting_replication_value(self, context: Context | None) -> None:
        """Write nothing: each module starts at its own bookmark."""

    @override
    def _increment_stream_state(self, latest_record: Record, *, context: Context | None = None) -> None:
        """Move nothing: a record is no proof that its parent was read to the end."""


class ControlTotal(SdpStream):
    """One record after a complete extraction of worklogs: what must have arrived."""

    name = "extraction"
    primary_keys = ("run_id",)

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        trailer = self._tap.tally.record()
        if trailer is not None:
            yield trailer


STREAMS = (Accounts, WorklogTypes, Requests, Problems, Changes, Projects, Tasks, Worklogs, ControlTotal)
