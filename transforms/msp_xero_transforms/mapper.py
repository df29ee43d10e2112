"""The Singer mapper: tells its mappings apart by the stream's name and wires the steps to messages."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from msp_xero.edges.clock import Clock, SystemClock
from msp_xero.errors import InputError, SettingError
from msp_xero.singer import plain_errors
from singer_sdk import singerlib as singer
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.mapper_base import InlineMapper
from typing_extensions import override

from msp_xero_transforms.messages import ExactWriter, MendingReader, Unchanged
from msp_xero_transforms.rules import read_rules
from msp_xero_transforms.settings import CONFIG_JSONSCHEMA
from msp_xero_transforms.steps import invoice_line
from msp_xero_transforms.steps.account_fields import account_record, fields_schema
from msp_xero_transforms.steps.contract import worklog_key
from msp_xero_transforms.steps.select import wants_contact
from msp_xero_transforms.steps.type_names import worklog_type_record
from msp_xero_transforms.waiting import open_ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from msp_xero_transforms.steps.line import Line
    from msp_xero_transforms.waiting import OpenLedger

MAPPED = {"contacts": "accounts", "items": "worklog_types", "worklogs": "invoice_lines"}
"""Streams that are mapped, and what they become; all others leave as they came."""

_PATIENCE_SECONDS = 60.0
_SCHEMAS = Path(__file__).parent / "schemas"
_KEYS = {
    "accounts": ("xero_contact_id",),
    "worklog_types": ("xero_item_id",),
    "invoice_lines": ("module", "worklog_id"),
    "items_extent": ("kind",),
}


@plain_errors
class MspXeroTransforms(InlineMapper):
    """Turns Xero contacts into accounts, Xero items into worklog types and worklogs into invoice lines."""

    name = "msp-xero-transforms"
    config_jsonschema = CONFIG_JSONSCHEMA
    # Stream maps and flattening are not honoured, so they are not advertised.
    capabilities: ClassVar = [PluginCapabilities.ABOUT, PluginCapabilities.STRUCTURED_LOGGING]
    message_reader_class = MendingReader
    message_writer_class = ExactWriter

    def __init__(
        self, *, open_ledger: OpenLedger = open_ledger, clock: Clock | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.rules = read_rules(self.config)
        self._open_ledger = open_ledger
        self._clock = clock or SystemClock()
        self._seen: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._reemitted = False
        self._items_complete = False
        self._refusal: SettingError | None = None
        self._refused_at = 0.0

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        # The SDK would exit with 0, and what comes after us would take a cut input for a whole one.
        sys.exit(128 + signum)

    @override
    def map_schema_message(self, message_dict: dict[str, Any]) -> Iterator[singer.Message]:
        stream = self._stream(message_dict)
        self._seen.add(stream)
        self._refuse_collision(stream)
        if stream not in MAPPED:
            yield Unchanged(message_dict)
            return
        schema = _schema(MAPPED[stream])
        if stream == "contacts":
            schema.schema["properties"]["fields"]["properties"] = fields_schema(self.rules.account_fields)
        yield schema
        if stream == "items":
            self._items_complete = False
        if stream == "worklogs" and self.rules.ledger_url and not self._reemitted:
            self._reemitted = True
            try:
                yield from self._reemit(self.rules.ledger_url)
            except SettingError as error:
                self._refusal, self._refused_at = error, self._clock.monotonic()

    @override
    def map_record_message(self, message_dict: dict[str, Any]) -> Iterable[singer.Message]:
        stream = self._stream(message_dict)
        if stream not in MAPPED:
            return () if self._is_refused() else (Unchanged(message_dict),)
        if stream not in self._seen:
            raise self._error(f"is a record of {stream} before its schema")
        if self._is_refused():
            return ()
        mapped = self._map(stream, message_dict["record"])
        if mapped is None:
            return ()
        return (Unchanged({**message_dict, "stream": MAPPED[stream], "record": mapped}),)

    @override
    def map_state_message(self, message_dict: dict[str, Any]) -> Iterable[singer.Message]:
        if self._is_refused():
            return ()
        # A tap writes STATE after a stream that it read to its end, and none when it fails.
        self._items_complete = "items" in self._seen
        return (Unchanged(message_dict),)

    @override
    def map_activate_version_message(self, message_dict: dict[str, Any]) -> Iterable[singer.Message]:
        stream = self._stream(message_dict)
        return (Unchanged({**message_dict, "stream": MAPPED.get(stream, stream)}),)

    @override
    def map_batch_message(self, message_dict: dict[str, Any]) -> Iterable[singer.Message]:
        stream = self._stream(message_dict)
        if stream in MAPPED:
            raise self._error(
                f"is a batch of {stream}, which only comes as single records; switch batches off"
            )
        return (Unchanged(message_dict),)

    @override
    def process_endofpipe(self) -> None:
        if self._refusal:
            raise self._refusal
        if self._items_complete and "items_extent" not in self._seen:
            extent = {
                "kind": "items",
                "count": self._counts["items"],
                "finished_at": self._clock.now().isoformat(),
            }
            self.write_message(_schema("items_extent"))
            self.write_message(singer.RecordMessage(stream="items_extent", record=extent))
        if self._counts:
            self.logger.info(
                "Mapped %s.", ", ".join(f"{name}: {n}" for name, n in sorted(self._counts.items()))
            )

    def _is_refused(self) -> bool:
        """Whether a setting was found wrong after the start: nothing leaves any more, no STATE either.

        A mapper that ends while the tap still writes leaves the engine with a broken pipe and its own
        traceback, so a short input is read to its end first.

        Raises:
            SettingError: the input is a long one.
        """
        if self._refusal and self._clock.monotonic() - self._refused_at > _PATIENCE_SECONDS:
            raise self._refusal
        return self._refusal is not None

    def _map(self, stream: str, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the mapped record, or None for a contact that is not selected."""
        if stream == "worklogs":
            return self._line(record).to_record()
        key = {"contacts": "ContactID", "items": "ItemID"}[stream]
        if not (isinstance(record.get(key), str) and 0 < len(record[key].strip()) <= 64):
            raise self._error(f"is a record of {stream} without a usable {key}")
        self._counts[stream] += 1
        if stream == "items":
            self._items_complete = False
            return worklog_type_record(record, self.rules)
        if not wants_contact(record, self.rules):
            self._counts["contacts not selected"] += 1
            return None
        return account_record(record, self.rules)

    def _line(self, record: dict[str, Any]) -> Line:
        key = worklog_key(record)
        if key is None:
            raise self._error("is a worklog without a usable module and worklog_id")
        line = invoice_line(record, self.rules, key=key)
        self._counts[f"worklogs to {line.decision}"] += 1
        return line

    def _reemit(self, ledger_url: str) -> Iterator[singer.Message]:
        """Map again what waits in the ledger, so that a changed rule applies to all that is unbilled.

        Raises:
            SettingError: worklogs would take a type by default that the ledger knows cannot be billed.
        """
        default = self.rules.default_worklog_type
        with self._open_ledger(ledger_url, self.rules.connection) as ledger:
            if ledger and default and (problem := ledger.default_type_problem(default)):
                raise SettingError("default_worklog_type", problem)
            for record in ledger.unbilled_sources() if ledger else ():
                key = worklog_key(record)
                if key is None:
                    self._counts["worklogs of the ledger that stay as they are"] += 1
                    continue
                line = invoice_line(record, self.rules, key=key, origin="ledger")
                self._counts[f"worklogs of the ledger to {line.decision}"] += 1
                yield singer.RecordMessage(stream="invoice_lines", record=line.to_record())

    def _stream(self, message: dict[str, Any]) -> str:
        stream = message.get("stream")
        if not isinstance(stream, str):
            raise self._error("names no stream")
        return stream

    def _refuse_collision(self, stream: str) -> None:
        """Stop when a stream that is passed on has the name of one that is made here."""
        for source, made in MAPPED.items():
            if stream in {source, made} and {source, made} <= self._seen:
                raise self._error(f"brings both {source} and {made}; deselect one of the two in the tap")

    def _error(self, problem: str) -> InputError:
        assert isinstance(self.message_reader, MendingReader)
        return self.message_reader.error(problem)


def _schema(stream: str) -> singer.SchemaMessage:
    schema = json.loads((_SCHEMAS / f"{stream}.json").read_text(encoding="utf-8"))
    return singer.SchemaMessage(stream=stream, schema=schema, key_properties=_KEYS[stream])
