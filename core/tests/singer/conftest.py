"""The small target, run in this process or as a program of its own."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from msp_xero.ledger import Ledger
from msp_xero.ledger.models import Worklog
from sqlalchemy import select

PROGRAM = Path(__file__).with_name("rows_target.py")


def load_program():
    spec = importlib.util.spec_from_file_location("rows_target", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Run(NamedTuple):
    code: int
    states: list
    errors: str


def schema(stream="rows"):
    return {"type": "SCHEMA", "stream": stream, "schema": {"properties": {}}, "key_properties": ["id"]}


def row(number, stream="rows", **more):
    return {"type": "RECORD", "stream": stream, "record": {"id": number, **more}}


def state(number):
    return {"type": "STATE", "value": {"up_to": number}}


def lines_of(*messages) -> bytes:
    """Encode messages; bytes stay what they are."""
    return b"".join(
        (each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in messages
    )


@pytest.fixture(autouse=True)
def signals_as_before():
    """The SDK takes over the signals of the process that makes a target."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def program():
    return load_program()


class Rows:
    """Runs the target on one ledger."""

    def __init__(self, program, folder, url) -> None:
        self.program, self.folder, self.url = program, folder, url
        self.log = folder / "stderr.txt"

    def config(self, **changes):
        path = self.folder / "config.json"
        path.write_text(json.dumps({"ledger_url": self.url} | changes))
        return str(path)

    def run(self, *messages, **config) -> Run:
        command = self.program.RowsTarget.get_singer_command()
        done = CliRunner().invoke(command, ["--config", self.config(**config)], input=lines_of(*messages))
        states = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        return Run(done.exit_code, states, done.stderr)

    def run_raw(self, *messages) -> str:
        """Run and return the output as it stands."""
        command = self.program.RowsTarget.get_singer_command()
        return (
            CliRunner().invoke(command, ["--config", self.config()], input=lines_of(*messages)).stdout.strip()
        )

    def start(self, **config) -> subprocess.Popen:
        # A file, not a pipe: nobody reads along, and a full pipe would stop the program.
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, str(PROGRAM), "--config", self.config(**config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def stored(self) -> set[int]:
        with Ledger.open(self.url) as ledger, ledger.read() as session:
            return {int(each) for each in session.scalars(select(Worklog.worklog_id))}


@pytest.fixture
def rows(program, sqlite_databases, tmp_path):
    return Rows(program, tmp_path, sqlite_databases.fresh(tmp_path))


@pytest.fixture
def messages():
    """The builders of messages."""

    class Messages:
        schema, row, state, lines_of = (
            staticmethod(schema),
            staticmethod(row),
            staticmethod(state),
            staticmethod(lines_of),
        )

    return Messages
