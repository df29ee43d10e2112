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
    from collections.abc import Callable, Iterator

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
        lock = FileLock(Path(str(database)).with_suffix(f".settle-{connection_id}.lock"), blocking=False)

        def try_file() -> bool:
            with contextlib.suppress(Timeout):
                lock.acquire()
            return lock.is_locked

        _wait_for(try_file, wait_seconds, clock, taken)
        try:
            yield
        finally:
            lock.release()
        return

    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        key = {"space": _POSTGRES_NAMESPACE, "connection": connection_id}

        def try_session() -> bool:
            return bool(session.scalar(text("SELECT pg_try_advisory_lock(:space, :connection)"), key))

        _wait_for(try_session, wait_seconds, clock, taken)
        try:
            yield
        finally:
            # A session that broke lost its lock already; the settle's own error is the one to show.
            with contextlib.suppress(OperationalError):
                session.execute(text("SELECT pg_advisory_unlock(:space, :connection)"), key)


def _wait_for(taken_now: Callable[[], bool], seconds: float, clock: Clock, taken: LedgerError) -> None:
    """Try until the lock is ours; raise ``taken`` when the time is over."""
    deadline = clock.monotonic() + seconds
    while not taken_now():
        if clock.monotonic() >= deadline:
            raise taken
        clock.sleep(_POLL_SECONDS)


def open_one_by_one(connection: Connection) -> None:
    """Let two processes that open a new PostgreSQL ledger take turns until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:space, 0)"), {"space": _POSTGRES_NAMESPACE})
