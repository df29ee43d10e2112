"""Ctrl-C and SIGTERM while something is under way in Xero: finish the call, record it, then end."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Stop:
    """Whether a person or the system asked to end, and with which signal."""

    number: int | None = None

    def requested(self) -> bool:
        """Tell whether to end after the call that is under way."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """What the command ends with: 128 + signal, as a shell expects."""
        return 128 + (self.number or 0)


@contextlib.contextmanager
def politely() -> Iterator[Stop]:
    """Take note of a signal instead of dying of it.

    Python would raise KeyboardInterrupt wherever it is, also between a database's BEGIN and the moment
    when anybody knows of it, and leave the ledger locked.
    """
    stop = Stop()

    def note(number: int, _frame: Any) -> None:
        stop.number = number
        typer.echo("Ending after the call that is under way; once more ends at once.", err=True)
        give_back()

    def give_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield stop
    finally:
        give_back()
