"""The target: stores contacts and items, then lets the directory act on everything stored."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msp_xero.directory import AccountPolicy, DirectorySummary, TypePolicy, run_accounts, run_worklog_types
from msp_xero.directory.settings import DIRECTORY
from msp_xero.errors import InputError
from msp_xero.ledger import Ledger
from msp_xero.ledger.defaults import DEFAULT_CONNECTION, DEFAULT_LEDGER_URL
from msp_xero.ledger.origin import (
    Origin,
    covers_all_contacts,
    refuse_foreign,
    refuse_gap,
    remember_contacts,
)
from msp_xero.ledger.settings import LEDGER
from msp_xero.sdp import SDP_CONNECTION, SdpClient, SdpSettings
from msp_xero.singer import plain_errors
from msp_xero.singer.target import CheckpointingTarget
from singer_sdk import typing as th
from typing_extensions import override

from target_msp_sdp.sinks import AccountsSink, DirectorySink, ItemsExtentSink, WorklogTypesSink

if TYPE_CHECKING:
    from msp_xero.directory.fields import AccountFields
    from singer_sdk.sinks import Sink

SINKS: Final[dict[str, type[DirectorySink]]] = {
    sink.stream: sink for sink in (AccountsSink, WorklogTypesSink, ItemsExtentSink)
}


@plain_errors
class TargetMspSdp(CheckpointingTarget):
    """Singer target for accounts and worklog types of ServiceDesk Plus MSP."""

    name = "target-msp-sdp"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        *SDP_CONNECTION, *LEDGER, *DIRECTORY
    ).to_dict()

    def __init__(self, **options: Any) -> None:
        self.seen: set[str] = set()
        self.account_fields: AccountFields | None = None
        self.items: set[str] = set()
        self.item_records = 0
        self.extent: int | None = None
        self.origin: Origin | None = None
        self.contacts_ended: bool | None = None
        super().__init__(**options)
        # A wrong setting ends the run before the first line is read.
        self.sdp_settings = SdpSettings.from_config(self.config)
        self.account_policy = AccountPolicy.from_config(self.config)
        self.type_policy = TypePolicy.from_config(self.config)

    @cached_property
    def client(self) -> SdpClient:
        """The one client of this run."""
        return SdpClient(self.sdp_settings)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, opened when a record is to be stored."""
        return Ledger.open(
            self.config.get("ledger_url") or DEFAULT_LEDGER_URL,
            connection=self.config.get("connection") or DEFAULT_CONNECTION,
            actor=self.name,
        )

    def is_on(self, stream: str) -> bool:
        """Whether the job of a stream is switched on."""
        return self.config.get(f"{SINKS[stream].job}_enabled") is not False

    @override
    def get_sink_class(self, stream_name: str) -> type[Sink]:
        if stream_name not in SINKS:
            raise InputError(
                f"input line {self.line_number}: stream {stream_name} is not for this target; it takes "
                f"{', '.join(SINKS)}. Put the mapper before it, or leave the stream out of the selection"
            )
        self.seen.add(stream_name)
        if self.is_on(stream_name):
            self._check_origin(stream_name)
        return SINKS[stream_name]

    @override
    def state_arrived(self, state: dict[str, Any]) -> None:
        if self.origin is None and not self.seen:
            self.origin = Origin.of(state)
        if AccountsSink.stream in self.seen:
            self.contacts_ended = covers_all_contacts(state)

    def _check_origin(self, stream: str) -> None:
        """Refuse a run of another organisation, or one that leaves contacts out, before its first record."""
        self.origin = self.origin or Origin()  # another tap may tell nothing before its first stream
        if self.origin.organisation_id is not None:
            refuse_foreign(self.ledger, self.origin)
        if stream == AccountsSink.stream and self.origin.contacts_since is not None:
            refuse_gap(self.ledger, self.origin)

    @override
    def before_state_passes(self, state: dict[str, Any]) -> None:
        came = AccountsSink.stream in self.seen and self.is_on(AccountsSink.stream)
        if self.origin is not None and came:
            remember_contacts(self.ledger, self.origin, state)

    @override
    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        # A bookmark covers all streams of a run: it stays where it is if one of them is not stored.
        # A STATE before the first SCHEMA may belong to either job.
        if all(self.is_on(stream) for stream in self.seen or SINKS):
            super()._process_state_message(message_dict)
        else:
            # What it tells of the run's origin guards the job that is on all the same.
            self.state_arrived(message_dict["value"])

    @override
    def settle(self) -> None:
        """Act on what is stored, for the streams that came in this run."""
        try:
            if AccountsSink.stream in self.seen:
                self._settle_accounts()
            if WorklogTypesSink.stream in self.seen and not self.stop_requested:
                self._settle_worklog_types()
        finally:
            if any(self.is_on(stream) for stream in self.seen):
                self.ledger.close()
                self.client.close()

    def _settle_accounts(self) -> None:
        if not self.is_on(AccountsSink.stream):
            self.logger.info("accounts: disabled by accounts_enabled; nothing was stored or written")
            return
        # Another tap may repeat no STATE, and so tell no end where nothing moved: then it is believed.
        is_believed = self.origin is None or not self.origin.tells_ends
        summary = run_accounts(
            self.ledger,
            self.client,
            self.account_policy,
            base_url=self.sdp_settings.base_url,
            fields=self.account_fields,
            has_all_contacts=is_believed if self.contacts_ended is None else self.contacts_ended,
            should_stop=lambda: self.stop_requested,
            logger=self.logger,
        )
        self._tell(summary)

    def _settle_worklog_types(self) -> None:
        if not self.is_on(WorklogTypesSink.stream):
            self.logger.info(
                "worklog-types: disabled by worklog_types_enabled; nothing was stored or written"
            )
            return
        complete = self.extent is not None and self.extent == self.item_records
        if self.extent is not None and not complete:
            self.logger.warning(
                "worklog-types: %d items came but %d were announced; which are gone from Xero is not judged",
                self.item_records,
                self.extent,
            )
        summary = run_worklog_types(
            self.ledger,
            self.client,
            self.type_policy,
            base_url=self.sdp_settings.base_url,
            present=self.items if complete else None,
            should_stop=lambda: self.stop_requested,
            logger=self.logger,
        )
        self._tell(summary)

    def _tell(self, summary: DirectorySummary) -> None:
        self.logger.info("%s", summary.sentence())


if __name__ == "__main__":
    TargetMspSdp.cli()
