"""The sinks: each stores the records of its stream in the ledger, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msp_xero.directory import read_contact, read_item
from msp_xero.directory.accounts import check_fields, read_fields
from msp_xero.directory.fields import announced_kinds, field_paths
from msp_xero.errors import InputError
from msp_xero.ledger.links import stage_accounts, stage_worklog_types
from msp_xero.singer.target import StagingSink
from typing_extensions import override

if TYPE_CHECKING:
    from target_msp_sdp.target import TargetMspSdp


class DirectorySink(StagingSink):
    """Base of the sinks: a stream that is switched off is read and dropped."""

    stream: ClassVar[str]
    job: ClassVar[str]

    @property
    def _plugin(self) -> TargetMspSdp:
        return self.checkpointing_target  # type: ignore[return-value]

    def keep(self, records: list[dict[str, Any]]) -> None:
        """Store the records."""
        raise NotImplementedError

    @override
    def stage(self, records: list[dict[str, Any]]) -> None:
        if self._plugin.is_on(self.stream):
            self.keep(records)

    @override
    def _singer_validate_message(self, record: dict[str, Any]) -> None:
        if self._plugin.is_on(self.stream):
            super()._singer_validate_message(record)


class AccountsSink(DirectorySink):
    """Xero contacts with the account fields that they want."""

    stream = "accounts"
    job = "accounts"
    required_keys = ("xero_contact_id",)

    def __init__(self, target: TargetMspSdp, *arguments: Any, **options: Any) -> None:
        super().__init__(target, *arguments, **options)
        if target.is_on(self.stream):
            # A wrong map ends the run before the first record, also when no contact changed.
            self._check(announced_kinds(self.schema))

    @override
    def keep(self, records: list[dict[str, Any]]) -> None:
        contacts = [read_contact(record) for record in records]
        mapped: set[str] = set()
        for contact in contacts:
            mapped |= field_paths(contact.wanted)
        # Checked before the records are stored: once the bookmark has passed them, a corrected map
        # would not reach them any more.
        self._check(dict.fromkeys(mapped, ""))
        stage_accounts(self._plugin.ledger, contacts)

    def _check(self, mapped: dict[str, str]) -> None:
        if self._plugin.account_fields is None:
            self._plugin.account_fields = read_fields(self._plugin.client, self.logger)
        check_fields(self._plugin.account_fields, mapped, self._plugin.account_policy)


class WorklogTypesSink(DirectorySink):
    """Xero items as worklog types."""

    stream = "worklog_types"
    job = "worklog_types"
    required_keys = ("xero_item_id",)

    @override
    def keep(self, records: list[dict[str, Any]]) -> None:
        items = [read_item(record) for record in records]
        stage_worklog_types(self._plugin.ledger, items)
        self._plugin.item_records += len(items)
        self._plugin.items |= {item.item_id for item in items}


class ItemsExtentSink(DirectorySink):
    """The control record of a list of items that was read to its end."""

    stream = "items_extent"
    job = "worklog_types"

    @override
    def keep(self, records: list[dict[str, Any]]) -> None:
        count = records[-1].get("count")
        if not isinstance(count, int) or isinstance(count, bool):
            raise InputError("the control record items_extent has no usable count")
        self._plugin.extent = count
