"""A target that stages, then settles, and lets STATE pass only when what it covers is stored."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from singer_sdk import Target
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.sinks import BatchSink
from typing_extensions import override

from msp_xero.errors import InputError, SettingError
from msp_xero.singer.reader import LineReader, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from singer_sdk.helpers.capabilities import CapabilitiesEnum

CHECKPOINT_ROWS = 1000
CHECKPOINT_SECONDS = 20.0
CHECKPOINT_BYTES = 16_000_000

_OFFERED_BY_THE_SDK = ("stream_maps", "flattening_enabled")
"""Settings that the SDK obeys also where a target does not offer them: lines would be lost without a word."""

_encode_state = msgspec.json.Encoder(decimal_format="number").encode
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class CheckpointingTarget(Target):
    """Base of both targets.

    The SDK's target lets STATE out only at the end of input, and loses rows when a signal arrives
    in the middle of a batch. This one stores at checkpoints, finishes a batch that a signal
    interrupts, and settles at the end of input.
    """

    message_reader_class = LineReader
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(self, **options: Any) -> None:
        self._busy = False
        self._signal: int | None = None
        self._stored_at = time.monotonic()
        self._rows_since_state = 0
        self._bytes_waiting = 0
        super().__init__(**options)
        if isinstance(self.message_reader, LineReader):
            self.message_reader.on_failure = self.failed
        self.max_parallelism = 1  # the streams of one run depend on each other

    @override
    def setup_mapper(self) -> None:
        for name in _OFFERED_BY_THE_SDK:
            if self.config.get(name):
                raise SettingError(
                    name, f"{self.name} takes what comes as it is; change it with a mapping before the target"
                )
        super().setup_mapper()

    @property
    def enabled(self) -> bool:
        """Whether the job is switched on; a disabled job writes nothing and moves no bookmark."""
        return True

    @property
    def stop_requested(self) -> bool:
        """Whether a signal asks a running settle to end after the call it is in."""
        return self._signal is not None

    @property
    def line_number(self) -> int:
        """Number of the input line that is being handled, counted from 1."""
        reader = self.message_reader
        return reader.line_number if isinstance(reader, LineReader) else 0

    def state_arrived(self, state: dict[str, Any]) -> None:
        """Take note of a STATE that came; it passes on later, or not at all."""

    @property
    def _line_bytes(self) -> int:
        reader = self.message_reader
        return reader.line_bytes if isinstance(reader, LineReader) else 0

    def before_state_passes(self, state: dict[str, Any]) -> None:
        """Store what has to be stored before a STATE is passed on; what it covers is stored already."""

    def failed(self, error: Exception) -> None:
        """Take note that this run ends with an error, while it reads or when it settles."""

    def settle(self) -> None:
        """Act on everything that is stored; called once, after the last record is stored."""
        raise NotImplementedError

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Add none of the SDK's settings: they would promise what these targets do not do."""

    @override
    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        self._check_schema(message_dict)
        with self._undisturbed():
            super()._process_schema_message(message_dict)
            if self._sinks_to_clear:
                # The new sink may be full first, and an older copy of a row would win over a newer one.
                self.drain_all()

    def _check_schema(self, message: dict[str, Any]) -> None:
        keys = message.get("key_properties")
        usable = {
            "stream": shown(message["stream"]) == message["stream"],
            "properties": isinstance(message["schema"].get("properties"), dict),
            "key_properties": keys is None
            or (isinstance(keys, list) and all(isinstance(key, str) for key in keys)),
        }
        if wrong := [name for name, is_usable in usable.items() if not is_usable]:
            raise InputError(
                f"input line {self.line_number}: this SCHEMA message has no usable {' and '.join(wrong)}"
            )

    @override
    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        if not self.enabled:
            return
        with self._undisturbed():
            self.state_arrived(message_dict["value"])
            super()._process_state_message(message_dict)
            if (
                self._rows_since_state >= CHECKPOINT_ROWS
                or time.monotonic() - self._stored_at >= CHECKPOINT_SECONDS
            ):
                self.drain_all()
                self._stored_at, self._rows_since_state = time.monotonic(), 0

    @override
    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        if not self.sink_exists(message_dict["stream"]):
            raise InputError(
                f"input line {self.line_number}: a record of stream {shown(message_dict['stream'])} "
                "came before its SCHEMA"
            )
        with self._undisturbed():
            super()._process_record_message(message_dict)
            self._rows_since_state += 1
            self._bytes_waiting += self._line_bytes
            if self._bytes_waiting >= CHECKPOINT_BYTES:
                self.drain_all()
                self._bytes_waiting = 0

    @override
    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        """Leave all rows as they are: nothing is deleted because it was not delivered again."""

    @override
    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:
        raise InputError(
            f"input line {self.line_number}: this is a BATCH, and records only come as single messages; "
            "switch batches off in the tap"
        )

    @override
    def _write_state_message(self, state: dict[str, Any]) -> None:
        self.before_state_passes(state)
        # Numbers with all their digits, and nothing that a terminal of another encoding cannot write.
        text = msgspec.json.format(_encode_state(state), indent=0).decode()
        sys.stdout.write(_NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n")
        sys.stdout.flush()

    @override
    def process_endofpipe(self) -> None:
        try:
            with self._undisturbed():
                super().process_endofpipe()
            self._busy = True
            self.settle()
        except Exception as error:
            self.failed(error)
            raise
        self._busy = False
        if self._signal is not None:
            sys.exit(128 + self._signal)

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Let a signal wait until the message within is handled; then store, acknowledge and end.

        A signal that is answered in the middle of a batch would find the batch taken out of the
        sink but not stored yet, and acknowledge it all the same. So would one that comes after a batch
        could not be stored: where this ends with an error, no signal is answered any more.
        """
        self._busy = True
        yield
        self._busy = False
        if self._signal is not None:
            self._leave(self._signal)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        self._signal = signum
        if not self._busy:
            self._leave(signum)

    def _leave(self, signum: int) -> None:
        """End early: what was read is stored and acknowledged; the next run acts on it."""
        self._busy = True
        self.drain_all()
        sys.exit(128 + signum)


class StagingSink(BatchSink):
    """Base of the sinks: collects records, hands them to ``stage`` as one stored batch."""

    MAX_SIZE_DEFAULT = CHECKPOINT_ROWS
    required_keys: ClassVar[tuple[str, ...]] = ()
    """Members without which a record cannot be stored, whatever keys its SCHEMA names."""

    def __init__(self, target: CheckpointingTarget, *arguments: Any, **options: Any) -> None:
        self._checkpointing = target
        super().__init__(target, *arguments, **options)

    @property
    def checkpointing_target(self) -> CheckpointingTarget:
        """The target this sink belongs to."""
        return self._checkpointing

    def stage(self, records: list[dict[str, Any]]) -> None:
        """Store the records; when it returns they are committed."""
        raise NotImplementedError

    @override
    def process_batch(self, context: dict[str, Any]) -> None:
        records = context.get("records", [])
        if not records or not self.checkpointing_target.enabled:
            return
        self.stage(records)

    @override
    def get_validator(self) -> None:
        """None: a bad record must be stored and held, not refused, so the sink judges it itself."""

    @override
    def _validate_and_parse(self, record: dict[str, Any]) -> dict[str, Any]:
        return record

    @override
    def _singer_validate_message(self, record: dict[str, Any]) -> None:
        if not self.checkpointing_target.enabled:
            return  # what is dropped needs no key
        keys = dict.fromkeys((*self.required_keys, *self.key_properties))
        missing = [name for name in keys if record.get(name) in (None, "")]
        if missing:
            raise InputError(
                f"input line {self.checkpointing_target.line_number}: a record of {self.stream_name} has no "
                f"{' and no '.join(map(shown, missing))}; without its key it cannot be stored. "
                "Nothing after this line was read and the bookmark stays before it"
            )
