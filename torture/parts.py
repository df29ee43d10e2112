"""What a world is made of: both systems behind their network, a clock, places where the program runs."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import sqlite3
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.calls import CallLog
from msp_xero_sandbox.faults import Faulty
from msp_xero_sandbox.inprocess import InProcessAdapter, MovingClock
from msp_xero_sandbox.settings import Settings
from msp_xero_sandbox.xero.app import XeroApp
from typing_extensions import override

from torture import office
from torture.borders import engine_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from msp_xero_sandbox.clock import Clock
    from msp_xero_sandbox.wire import App

    from torture.borders import Strike

Row = dict[str, Any]


@dataclass(slots=True)
class Ended:
    """How one run ended: ``done``, ``failed`` with its error line, ``killed`` or ``stopped`` by a signal."""

    how: str = "done"
    error: str | None = None


@dataclass(slots=True)
class Plans:
    """What strikes the two programs of a pipeline, and both systems."""

    tap: list[Strike] = field(default_factory=list)
    target: list[Strike] = field(default_factory=list)


@dataclass(slots=True)
class Environment:
    """A Meltano environment: a ledger, bookmarks, a token store."""

    name: str
    folder: Path
    bookmarks: dict[str, Row | None] = field(default_factory=dict)
    backup: tuple[Path, dict[str, Row | None]] | None = None
    delivered: set[str] = field(default_factory=set)

    @property
    def ledger_path(self) -> Path:
        """The SQLite file."""
        return self.folder / "ledger.db"

    @property
    def url(self) -> str:
        """The ledger's URL."""
        return f"sqlite:///{self.ledger_path}"

    def next_number(self) -> int:
        """Return the number that the ledger gives to its next invoice."""
        with contextlib.closing(sqlite3.connect(self.ledger_path)) as connection:
            (number,) = connection.execute("SELECT next_number FROM connection").fetchone()
        return int(number)

    def generation(self) -> int:
        """Return how many organisations the ledger has billed, one after the other."""
        with contextlib.closing(sqlite3.connect(self.ledger_path)) as connection:
            (generation,) = connection.execute("SELECT generation FROM connection").fetchone()
        return int(generation)

    def looks(self) -> tuple[object, ...]:
        """Return when the ledger last looked at all of Xero's invoices, and when it stopped doing so."""
        with contextlib.closing(sqlite3.connect(self.ledger_path)) as connection:
            query = "SELECT invoices_refreshed_at, look_stopped_at FROM connection"
            return tuple(connection.execute(query).fetchone())

    def copy_ledger(self, target: Path) -> None:
        """Copy the ledger, as a backup does."""
        engine_of(self.url).forget()  # type: ignore[attr-defined]
        shutil.copyfile(self.ledger_path, target)

    def put_ledger(self, source: Path) -> None:
        """Replace the ledger, as restoring a backup does; what it was given since is not in it."""
        self.delivered.clear()
        engine_of(self.url).forget()  # type: ignore[attr-defined]
        for suffix in ("-wal", "-shm"):
            self.ledger_path.with_name(self.ledger_path.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(source, self.ledger_path)


class OwnClock(MovingClock):
    """The clock of the machine that the program runs on; it can be wrong by ``skew``."""

    skew = timedelta(0)

    @override
    def now(self) -> datetime:
        return super().now() + self.skew


class System:
    """One of the two systems behind its unreliable network."""

    def __init__(self, app: App, clock: Clock) -> None:
        self.log = CallLog()
        self.faulty = Faulty(app, clock, self.log)
        self.adapter = InProcessAdapter(self.faulty, clock)


class Organisation(System):
    """A Xero organisation, and how it is reached; its ids are those of no other."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.app = XeroApp(office.xero_rows(number), clock, Settings(seed=1 + number))
        self.contacts = office.contacts_of(number)
        super().__init__(self.app, clock)


class Pipe(io.TextIOBase):
    """Standard output of a program: what it wrote so far, and somebody who reads along."""

    def __init__(self, read: Callable[[bytes], None] | None = None) -> None:
        super().__init__()
        self.lines: list[bytes] = []
        self.buffer = self
        self._read = read or self.lines.append

    @override
    def write(self, text: str | bytes) -> int:
        raw = text.encode() if isinstance(text, str) else bytes(text)
        for line in raw.splitlines(keepends=True):
            self._read(line)
        return len(text)

    @override
    def flush(self) -> None:
        """Nothing is kept back."""


class Ears(logging.Handler):
    """Hears everything that the program logs."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())
