"""The settle lock: one settle per connection at a time, lost by a holder that dies.

SQLite: a lock file of the operating system beside the database. PostgreSQL: an advisory lock of
a session. Both vanish with their process. A holder that only stalls is fenced off by the epoch.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from msp_xero.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from msp_xero.edges.clock import Clock

_POSTGRES_NAMESPACE = 0x4D53  # keeps our advisory locks apart from other programs' on the same server
_POLL_SECONDS = 0.25


@contextlib.contextmanager
def hold_settle_lock(
    engine: Engine, connection_id: int, *, wait_seconds: float, clock: Clock
) -> Iterator[None]:
    """Hold the settle lock of one connection.

    Raises:
        LedgerError: somebody else holds it and did not let go within ``wait_seconds``.
    """
    taken = LedgerError(
        "another settle of this connection is running; wait until it has ended and run again "
        "(a process that died holds no lock)"
    )
    if engine.dialect.name == "sqlite":
        database = engine.url.database
        if database in (None, "", ":memory:"):
            yield
            return
        lock = FileLock(Path(str(database)).with_suffix(f".settle-{connection_id}.lock"))
        try:
            with lock.acquire(timeout=wait_seconds):
                yield
        except Timeout as error:
            raise taken from error
        return

    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        key = {"space": _POSTGRES_NAMESPACE, "connection": connection_id}
        deadline = clock.monotonic() + wait_seconds
        while not session.scalar(text("SELECT pg_try_advisory_lock(:space, :connection)"), key):
            if clock.monotonic() >= deadline:
                raise taken
            clock.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            # A session that broke lost its lock already; the settle's own error is the one to show.
            with contextlib.suppress(OperationalError):
                session.execute(text("SELECT pg_advisory_unlock(:space, :connection)"), key)


def open_one_by_one(connection: Connection) -> None:
    """Let two processes that open a new PostgreSQL ledger take turns until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:space, 0)"), {"space": _POSTGRES_NAMESPACE})
