"""Opening the ledger: engine, migrations, transactions, and the connection that rows belong to."""

from __future__ import annotations

import contextlib
import getpass
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import (
    Engine,
    Integer,
    bindparam,
    create_engine,
    event,
    func,
    inspect,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError, DatabaseError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from msp_xero.edges.clock import Clock, SystemClock
from msp_xero.errors import LedgerError, SettingError
from msp_xero.ledger.address import ledger_address, shown, without_parameters
from msp_xero.ledger.defaults import DEFAULT_LEDGER_URL
from msp_xero.ledger.lines import is_of_sdp
from msp_xero.ledger.lock import hold_settle_lock, open_one_by_one
from msp_xero.ledger.models import WORKLOG_MODULES, BillingConnection, Worklog
from msp_xero.ledger.reading import engine_that_reads, is_absent, may_only_be_read
from msp_xero.ledger.unsent import is_unsent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from sqlalchemy.engine import URL
    from sqlalchemy.pool import ConnectionPoolEntry

HEAD_REVISION = "0012"
_REVISION = re.compile(r"\d{4}")
CONNECT_SECONDS = 10
_VANISHED_SECONDS = 60
_BUSY_SECONDS = 60
_READ_BATCH = 1000
_NOT_ALLOWED = "42501"
"""PostgreSQL's code for a role that lacks a privilege."""
_MAY_NOT_WRITE = (
    ". This user may read it and not write it: act as the user that runs the jobs, or on a copy of it in a "
    "folder of your own"
)


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of holding the settle lock; every write of a settle checks it."""

    epoch: int


# Built once: every transaction begins with one of these, and every run with the others.
_CONNECTION = select(BillingConnection).where(BillingConnection.id == bindparam("id"))
_GENERATION = select(BillingConnection.generation).where(BillingConnection.id == bindparam("id"))
_HOLD = (
    update(BillingConnection)
    .where(
        BillingConnection.id == bindparam("row"),
        BillingConnection.settle_epoch == bindparam("held"),
        BillingConnection.generation == bindparam("begun"),
    )
    .values(settle_epoch=BillingConnection.settle_epoch)
)
_NAMED = select(BillingConnection).where(BillingConnection.name == bindparam("name"))
_UNBILLED = (
    select(Worklog.id, Worklog.module, Worklog.worklog_id, func.coalesce(Worklog.newest, Worklog.source))
    .where(
        Worklog.connection_id == bindparam("connection"),
        Worklog.module.in_(WORKLOG_MODULES),
        # Said in two, the first of which an index finds.
        Worklog.state.in_(("open", "held", "excluded", "planned")),
        or_(Worklog.state != "planned", is_unsent()),
        Worklog.reason_code.is_distinct_from("EXCLUDED_BY_PERSON"),
        Worklog.id > bindparam("last"),
    )
    .order_by(Worklog.id)
    .limit(bindparam("most", type_=Integer))
)


def _identity(connection_id: int) -> Any:
    return inspect(BillingConnection).identity_key_from_primary_key((connection_id,))


class Ledger:
    """The durable record of one connection. All rows that it reads and writes belong to it."""

    def __init__(self, engine: Engine, connection: str, clock: Clock, actor: str) -> None:
        self.engine = engine
        self.clock = clock
        self.actor = actor
        self.connection_name = connection
        self._opened = contextlib.ExitStack()
        with self.read() as session:
            row = session.scalar(_NAMED, {"name": connection})
            self.connection_id = row.id if row else 0
            self.generation = row.generation if row else 0
            self.begun_at = row.created_at if row else clock.now()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        connection: str = "default",
        clock: Clock | None = None,
        actor: str | None = None,
    ) -> Self:
        """Open the ledger, creating or upgrading its tables and the connection's row.

        Args:
            url: SQLAlchemy database URL.
            connection: name of the SDP-Xero pair.
            clock: injected time.
            actor: who acts, for the audit log: a plugin's name; default: the person at the keyboard.

        Raises:
            SettingError: the URL is not one.
            LedgerError: the database cannot be used, or is newer than this program.
        """
        clock = clock or SystemClock()
        engine = make_engine(url)
        with _kept_open_if_used(engine), plain_failures(engine):
            _upgrade(engine, revision_of(engine))
            with Session(engine) as session, session.begin():
                _begin_write(session)
                open_one_by_one(session.connection())
                if (
                    session.scalar(select(BillingConnection.id).where(BillingConnection.name == connection))
                    is None
                ):
                    session.add(BillingConnection(name=connection, created_at=clock.now()))
            return cls(engine, connection, clock, actor or person())

    @classmethod
    def open_existing(
        cls, url: str, *, connection: str = "default", clock: Clock | None = None, actor: str | None = None
    ) -> Self | None:
        """Open the ledger if it is there, upgrading its tables; None when there is nothing yet.

        An SQLite file that this user may not write is opened to be read.

        Raises:
            SettingError: the URL is not one, or something else than a file has its place.
            LedgerError: the database cannot be used, or is newer than this program.
        """
        parsed = ledger_address(url)
        if is_absent(parsed):
            return None
        with contextlib.ExitStack() as stack:
            file = Path(str(parsed.database))
            is_kept = parsed.get_backend_name() == "sqlite" and may_only_be_read(file)
            if is_kept:
                engine = engine_that_reads(file, stack)
            else:
                engine = make_engine(url)
                stack.callback(engine.dispose)
            with plain_failures(engine):
                if (revision := revision_of(engine)) is not None:
                    if is_kept and revision < HEAD_REVISION:
                        raise LedgerError(
                            f"the ledger {shown(parsed)} is of version {revision}, and has to be upgraded to "
                            f"{HEAD_REVISION} first{_MAY_NOT_WRITE}"
                        )
                    _upgrade(engine, revision)
                    ledger = cls(engine, connection, clock or SystemClock(), actor or person())
                    if ledger.connection_id:
                        ledger._opened = stack.pop_all()
                        return ledger
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the database connections back."""
        self.engine.dispose()
        self._opened.close()

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads, and sees one moment.

        Raises:
            LedgerError: the database cannot be read, or went away.
        """
        with plain_failures(self.engine), Session(self.engine) as session:
            if self.engine.dialect.name == "postgresql":
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @contextlib.contextmanager
    def write(self, fence: Fence | None = None) -> Iterator[Session]:
        """A transaction that writes: all of it is stored, or nothing.

        Raises:
            LedgerError: with ``fence``, another settle has taken over; or the connection was started over
                since this ledger was opened; or the disk is full, the file read-only, the database locked
                for longer than a minute.
        """
        with (
            plain_failures(self.engine),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            _begin_write(session)
            self._one_writer(session)
            if fence is None:
                self._check_generation(session)
            else:
                self._check_fence(session, fence)
            yield session

    def connection(self, session: Session) -> BillingConnection:
        """Return the connection's row within a transaction."""
        held = session.identity_map.get(_identity(self.connection_id))
        return held or session.execute(_CONNECTION, {"id": self.connection_id}).scalar_one()

    @contextlib.contextmanager
    def settling(self, *, wait_seconds: float = 30) -> Iterator[Fence]:
        """Hold the settle lock of this connection, and get the fence for its writes.

        Raises:
            LedgerError: another settle is running.
        """
        lock = hold_settle_lock(self.engine, self.connection_id, wait_seconds=wait_seconds, clock=self.clock)
        with plain_failures(self.engine), lock:
            with self.write() as session:
                row = self.connection(session)
                row.settle_epoch += 1
                fence = Fence(row.settle_epoch)
            yield fence

    def unbilled_sources(self) -> Iterator[dict[str, Any]]:
        """Yield the newest record of every worklog that never left and that no person has excluded.

        A line of another tap, whose module or whose source's module is none of ServiceDesk Plus, cannot be
        made anew: what its source means, only its own mapper knows.
        """
        last = 0
        while True:
            with self.read() as session:
                page = {"connection": self.connection_id, "last": last, "most": _READ_BATCH}
                rows = session.execute(_UNBILLED, page).all()
            for _, module, worklog_id, source in rows:
                if is_of_sdp(module, worklog_id, source):
                    yield source
            if len(rows) < _READ_BATCH:
                return
            last = rows[-1][0]

    def default_type_problem(self, name: str) -> str | None:
        """Say why worklogs cannot take this worklog type by default; None when they can, or nobody knows."""
        # What it looks at is built upon the ledger itself.
        from msp_xero.ledger.type_names import default_type_problem  # noqa: PLC0415

        return default_type_problem(self, name)

    def _one_writer(self, session: Session) -> None:
        """Let writers of one connection take turns on PostgreSQL too, as SQLite does by itself.

        Otherwise staging could read a worklog as open, planning put it on an invoice, and staging then
        write it open again.
        """
        if self.engine.dialect.name != "postgresql":
            return
        session.execute(text(f"SET LOCAL lock_timeout = '{_BUSY_SECONDS}s'"))
        session.execute(
            select(BillingConnection.id).where(BillingConnection.id == self.connection_id).with_for_update()
        )

    def _check_generation(self, session: Session) -> None:
        """Keep a run that began before a new start from writing into the history that this one ended."""
        now = session.connection().scalar(_GENERATION, {"id": self.connection_id})
        if now is not None and now != self.generation:
            raise LedgerError(
                f"connection {self.connection_name} was started over with another organisation meanwhile; "
                "this run stops without writing. Run it again"
            )

    def _check_fence(self, session: Session, fence: Fence) -> None:
        """Check the generation too, in the one statement that also keeps others from taking over."""
        held = session.connection().execute(
            _HOLD, {"row": self.connection_id, "held": fence.epoch, "begun": self.generation}
        )
        if held.rowcount != 1:
            self._check_generation(session)
            raise LedgerError("another settle of this connection took over; this one stops without writing")


def person() -> str:
    """Name the person at the keyboard for the audit log."""
    try:
        return f"person:{getpass.getuser()}"
    except (KeyError, OSError):
        return "person:unknown"


def make_engine(url: str) -> Engine:
    """Return an engine with the guarantees that the ledger needs on either database.

    Raises:
        SettingError: the URL is malformed, names another kind of database, or something else than a file.
    """
    parsed = ledger_address(url)
    if parsed.get_backend_name() == "sqlite":
        is_absent(parsed)
        if parsed.database not in (None, "", ":memory:"):
            folder = Path(str(parsed.database)).parent
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                problem = f"the folder {folder} cannot be made: {error.strerror}"
                raise SettingError("ledger_url", problem, DEFAULT_LEDGER_URL) from error
        engine = _engine(parsed, connect_args={"timeout": _BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # Serializable writes are not needed: the writers of a connection take turns.
    return _engine(
        parsed.set(drivername="postgresql+psycopg"), connect_args=patience(parsed), pool_pre_ping=True
    )


def _engine(parsed: URL, **options: Any) -> Engine:
    try:
        return create_engine(parsed, **options)
    except ArgumentError:  # such as a plugin of SQLAlchemy in the query
        raise SettingError("ledger_url", "its parameters are not understood", DEFAULT_LEDGER_URL) from None


def patience(url: URL) -> dict[str, int]:
    """Return how long PostgreSQL may be silent, but for what the URL says itself.

    libpq waits for ever by default: for a server that takes the connection and says nothing, and for one
    that vanished without a word. What the server works on has no limit.
    """
    wanted = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": _VANISHED_SECONDS // 2,
        "keepalives_interval": _VANISHED_SECONDS // 6,
        "keepalives_count": 3,
        "tcp_user_timeout": _VANISHED_SECONDS * 1000,  # milliseconds
    }
    return {name: value for name, value in wanted.items() if name not in url.query}


def _prepare_sqlite(dbapi: Any, _record: ConnectionPoolEntry) -> None:
    # The driver's own transaction handling begins too late and commits too early; we say BEGIN ourselves.
    dbapi.isolation_level = None
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", "temp_store=MEMORY"):
        dbapi.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get("msp_xero_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_write(session: Session) -> None:
    """Take the write lock at once: a reader that becomes a writer later could only fail."""
    session.connection(execution_options={"msp_xero_write": True})


@contextlib.contextmanager
def plain_failures(engine: Engine) -> Iterator[None]:
    """Turn the database's own failures into one sentence that says what to do."""
    try:
        yield
    except DatabaseError as error:
        is_ours = isinstance(error, (OperationalError, InternalError)) or type(error) is DatabaseError
        # Before any statement: a parameter of the URL is wrong.
        is_connecting = isinstance(error, ProgrammingError) and error.statement is None
        if not (is_ours or is_connecting) and getattr(error.orig, "sqlstate", "") != _NOT_ALLOWED:
            raise
        seen = without_parameters(str(error.orig).splitlines()[0], engine.url)
        advice = _MAY_NOT_WRITE if _is_read_only(error.orig) else ""
        failure = LedgerError(f"the ledger {shown(engine.url)} cannot be used: {seen}{advice}")
        raise failure from None if is_connecting else error


def _is_read_only(error: BaseException | None) -> bool:
    """Tell whether SQLite says that it may not write; the kind of an error is in its lowest byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


@contextlib.contextmanager
def _kept_open_if_used(engine: Engine) -> Iterator[None]:
    """Close the connections of a ledger that cannot be opened."""
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


def revision_of(engine: Engine) -> str | None:
    """Return the version of a ledger's tables, None where there are none."""
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, "alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def _upgrade(engine: Engine, revision: str | None) -> None:
    if revision == HEAD_REVISION:
        return
    if revision is not None and not _REVISION.fullmatch(revision):
        raise LedgerError(
            f"the database {shown(engine.url)} is another program's; give the ledger a database of its own"
        )
    if revision is not None and revision > HEAD_REVISION:
        raise LedgerError(
            f"the ledger is of version {revision}, newer than this program knows ({HEAD_REVISION}); "
            "update msp-xero everywhere it is installed"
        )
    # Alembic takes a second to import: only a run that needs it pays.
    from msp_xero.ledger.migrations import upgrade  # noqa: PLC0415

    upgrade(engine)
