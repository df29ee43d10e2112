"""Looking at a ledger without changing a byte: no upgrade, no new file, no lock that a run could meet."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine

from msp_xero.edges.clock import SystemClock
from msp_xero.errors import LedgerError
from msp_xero.ledger.address import ledger_address
from msp_xero.ledger.reading import engine_that_reads, is_absent
from msp_xero.ledger.store import HEAD_REVISION, Ledger, make_engine, patience, plain_failures, revision_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

    from msp_xero.edges.clock import Clock


@dataclass(frozen=True, slots=True)
class Look:
    """What is there.

    Attributes:
        revision: the version of its tables; None when there is no ledger yet.
        ledger: to be read, only inside the look; None unless its version is this program's and it has
            the connection.
    """

    revision: str | None = None
    ledger: Ledger | None = None

    @property
    def is_older(self) -> bool:
        """Whether the next run will upgrade it."""
        return self.revision is not None and self.revision < HEAD_REVISION


@contextlib.contextmanager
def look_at(url: str, *, connection: str = "default", clock: Clock | None = None) -> Iterator[Look]:
    """Look at a ledger as it is.

    Raises:
        SettingError: the URL is not one, or something else than a file has its place.
        LedgerError: the database cannot be read, or is newer than this program.
    """
    parsed = ledger_address(url)
    if is_absent(parsed):
        yield Look()
        return
    with contextlib.ExitStack() as stack:
        engine = _reading_engine(url, parsed, stack)
        with plain_failures(engine):
            revision = revision_of(engine)
        if revision is not None and revision > HEAD_REVISION:
            raise LedgerError(
                f"the ledger is of version {revision}, newer than this program knows ({HEAD_REVISION}); "
                "update msp-xero everywhere it is installed"
            )
        ledger = None
        if revision == HEAD_REVISION:
            ledger = Ledger(engine, connection, clock or SystemClock(), "nobody")
        yield Look(revision, ledger if ledger and ledger.connection_id else None)


def _reading_engine(url: str, parsed: URL, stack: contextlib.ExitStack) -> Engine:
    """Return an engine whose database refuses to write; the stack closes it."""
    if parsed.get_backend_name() == "sqlite":
        return engine_that_reads(Path(str(parsed.database)), stack)
    writing = make_engine(url)
    writing.dispose()
    options = {**patience(writing.url), "options": "-c default_transaction_read_only=on"}
    engine = create_engine(writing.url, connect_args=options, pool_pre_ping=True)
    stack.callback(engine.dispose)
    return engine
