"""How messages leave the tap."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import RecordMessage
from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk.singerlib import Message


class SteadyWriter(MsgSpecWriter):
    """Writes records through the buffer and flushes at every other message.

    A flush a record would hand the interpreter to a worker thread 100,000 times for nothing: the
    target acts on STATE.
    """

    @override
    def write_message(self, message: Message) -> None:
        sys.stdout.buffer.write(self.format_message(message))
        if not isinstance(message, RecordMessage):
            sys.stdout.flush()
