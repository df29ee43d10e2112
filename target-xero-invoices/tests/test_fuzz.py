"""Any input at all: STATE never covers what is not stored, and a run ends in words or well."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msp_xero.singer import target as checkpointing
from target_xero_invoices.sinks import InvoiceLinesSink
from target_xero_invoices.target import TargetXeroInvoices

TEXT = "Patient Doe, room 7"
EXAMPLES = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Line(NamedTuple):
    """A line of input; ``key`` is that of the worklog that must be stored before STATE passes it."""

    data: bytes
    key: tuple[str, str] | None = None


def encode(message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def schema(**more) -> Line:
    keys = ["module", "worklog_id"]
    message = {
        "type": "SCHEMA",
        "stream": "invoice_lines",
        "schema": {"properties": {}},
        "key_properties": keys,
    }
    return Line(encode(message | more))


def worklog(number, **more) -> Line:
    record = {"worklog_id": str(number), "module": "request", "decision": "bill", "description": TEXT}
    record |= {name: value for name, value in more.items() if name not in ("worklog_id", "module")}
    return Line(
        encode({"type": "RECORD", "stream": "invoice_lines", "record": record}), ("request", str(number))
    )


odd_numbers = st.sampled_from([-0.0, 10**30, -(10**30), 0.12345678901234567, 1e300, 1e-300, 2**64])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | odd_numbers
    | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
MEMBERS = (
    "decision", "reason_code", "reason", "account_id", "account_name", "worklog_type_id", "worklog_type_name",
    "work_date", "minutes", "description", "quantity", "unit_price", "amount", "source", "origin", "x" * 5000,
)  # fmt: skip
worklogs = st.builds(
    lambda number, odd: worklog(number, **odd),
    st.integers(1, 12),
    st.dictionaries(st.sampled_from(MEMBERS), values, max_size=4),
)
schemas = st.builds(lambda told, keys: schema(schema=told, key_properties=keys), values, values)
others = st.sampled_from(
    [b"", b"  ", b"\r", b"{}", b"[]", b"7", b"null", b'{"type":7}', b"\xff\xfe", b"\xef\xbb\xbf{}"]
    + [b"{" * 3000, b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300]
    + [encode({"type": kind, "stream": stream, "version": 1, "record": {"text": TEXT}, "value": TEXT})
       for kind in ("RECORD", "STATE", "SCHEMA", "BATCH", "ACTIVATE_VERSION", TEXT)
       for stream in ("invoice_lines", "extraction", TEXT, None, 7)]
    + [encode({"type": "RECORD", "stream": "invoice_lines", "record": {"module": "request", "text": TEXT}})]
).map(Line)  # fmt: skip
totals = values.map(
    lambda odd: Line(
        encode({"type": "RECORD", "stream": "extraction", "record": {"run_id": "r", "since": odd}})
    )
)
damaged = st.builds(
    lambda line, at, byte: Line(
        line.data[: at % len(line.data)] + byte + line.data[at % len(line.data) + 1 :]
    ),
    worklogs,
    st.integers(0, 400),
    st.binary(max_size=3).filter(lambda byte: b"\n" not in byte),
)
STATE = Line(b"")
"""Stands for a STATE that says how many lines came before it."""
harmless = st.sampled_from([schema(), schema(schema={"properties": {"a": {"type": "string"}}}), Line(b" ")])
good = st.lists(st.one_of(worklogs, st.just(STATE), harmless), max_size=25)
bad = st.lists(st.tuples(st.integers(0, 25), st.one_of(schemas, others, totals, damaged)), max_size=2)


def with_bad_ones(good: list[Line], bad: list[tuple[int, Line]], first: bool) -> list[Line]:
    """Return an input that goes well for a while: most of them fail somewhere in the middle."""
    lines = [schema(), *good] if first else list(good)
    for place, line in bad:
        lines.insert(place, line)
    return lines


inputs = st.builds(with_bad_ones, good, bad, st.sampled_from([True] * 9 + [False]))


def as_input(lines) -> tuple[bytes, list[tuple[str, str] | None]]:
    """Return the bytes of the input, and the key that each line must leave in the ledger."""
    data = [
        encode({"type": "STATE", "value": {"lines": number}}) if line is STATE else line.data
        for number, line in enumerate(lines)
    ]
    return b"\n".join(data), [line.key for line in lines]


class Outcome(NamedTuple):
    code: int
    errors: list[str]
    passed: list[tuple[int, dict[tuple[str, str], int]]]
    stored: dict[tuple[str, str], int]


@pytest.fixture
def take(world, monkeypatch):
    """Take an input with an empty ledger, and look into it whenever a STATE is written."""
    fresh, numbers = world.folder / "ledger.db", itertools.count(1)
    config = world.folder / "config.json"
    encode_state, passed = checkpointing._encode_state, []

    def stored():
        with closing(sqlite3.connect(world.url.removeprefix("sqlite:///"))) as database:
            rows = database.execute("SELECT module, worklog_id, count(*) FROM worklog GROUP BY 1, 2")
            return {(module, worklog_id): count for module, worklog_id, count in rows}

    def look(state):
        passed.append((state.get("lines", -1), stored()))
        return encode_state(state)

    def take(data, *, checkpoint_rows=0, batch=4, **settings) -> Outcome:
        passed.clear()
        # A file of its own: a run that failed may still hold the last one open.
        path = shutil.copy(fresh, world.folder / f"ledger-{next(numbers)}.db")
        world.url = f"sqlite:///{path}"
        monkeypatch.setattr(checkpointing, "_encode_state", look)
        monkeypatch.setattr(checkpointing, "CHECKPOINT_ROWS", checkpoint_rows)
        monkeypatch.setattr(InvoiceLinesSink, "MAX_SIZE_DEFAULT", batch)
        config.write_text(json.dumps(world.config(**({"require_trailer": True} | settings))))
        command = TargetXeroInvoices.get_singer_command()
        world.caplog.clear()
        done = CliRunner().invoke(command, ["--config", str(config)], input=data)
        assert "Doe" not in done.stderr + world.caplog.text
        return Outcome(done.exit_code, done.stderr.splitlines(), list(passed), stored())

    return take


@EXAMPLES
@given(lines=inputs, checkpoint_rows=st.sampled_from([0, 2, 1000]), batch=st.integers(1, 6))
def test_any_input(take, lines, checkpoint_rows, batch):
    data, keys = as_input(lines)
    done = take(data, checkpoint_rows=checkpoint_rows, batch=batch)
    # No control total agrees with such input, so that every run ends with its one line.
    assert done.code in (0, 1)
    assert len(done.errors) == done.code, done.errors
    assert all(each.startswith("target-xero-invoices: error: ") for each in done.errors)
    assert "unexpected" not in "".join(done.errors)
    assert max(map(len, done.errors), default=0) < 800
    for up_to, stored in done.passed:
        assert {key for key in keys[: max(up_to, 0)] if key} <= stored.keys()
    assert {done.stored[key] for key in keys if key in done.stored} <= {1}
    if "input line" not in "".join(done.errors):
        assert {key for key in keys if key} <= done.stored.keys(), "read to its end, so all of it is stored"


def test_a_long_line_and_a_long_key_and_many_members_are_stored(take):
    many = {f"member {n}": n for n in range(50_000)}
    input_lines = [
        schema(),
        worklog(1, description="x" * 2_000_000),
        worklog(2, **{"k" * 1_000_000: 1}),
        worklog(3, source=many),
        worklog(4, **many),
        worklog(5, source={"note": "x" * 10_000_000}),
        STATE,
    ]
    data, keys = as_input(input_lines)
    done = take(data)
    assert done.stored.keys() == {key for key in keys if key}
    assert [up_to for up_to, _ in done.passed][-1] == 6


def test_an_older_copy_in_the_sink_of_an_older_schema_never_wins(take, world):
    other = schema(schema={"properties": {"a": {"type": "string"}}})
    copies = [worklog(1, description="old"), other, worklog(1, description="new"), worklog(2)]
    take(as_input([schema(), *copies])[0], checkpoint_rows=1000, batch=2)
    assert {row.worklog_id: row.description for row in world.worklogs()}["1"] == "new"


# As a program of its own


def start(world, data: bytes, *program) -> subprocess.CompletedProcess:
    config = world.folder / "config.json"
    config.write_text(json.dumps(world.config(require_trailer=True)))
    command = [sys.executable, *(program or ("-m", "target_xero_invoices")), "--config", str(config)]
    return subprocess.run(command, input=data, capture_output=True, timeout=100, check=False)


# What a child inherits of its parent's size counts as its own everywhere but here.
MEASURED = """
import atexit, pathlib, sys
from target_xero_invoices.target import TargetXeroInvoices
atexit.register(lambda: print(pathlib.Path("/proc/self/status").read_text(), file=sys.stderr))
TargetXeroInvoices.cli()
"""


def test_memory_is_bounded_however_large_the_records_are(world):
    big = [worklog(number, description="x" * 2_000_000) for number in range(60)]
    done = start(world, as_input([schema(), *big, STATE])[0], "-c", MEASURED)
    assert b"never arrived" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"lines": 61}
    peak = re.search(rb"VmHWM:\s+(\d+) kB", done.stderr)
    assert int(peak[1]) < 250_000, "the input has 120,000, and its rows took 500,000 in one batch"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b'{"a":' * 100_000, b"is nested too deeply"),
        (b'{"type":"RECORD","record":{"text":"' + TEXT.encode() + b"\xff", b"not JSON in UTF-8"),
    ],
    ids=["deep", "cut"],
)  # fmt: skip
def test_a_program_ends_with_one_line_too(world, bad, words):
    done = start(world, as_input([schema(), worklog(1), STATE, Line(bad), worklog(2), STATE])[0])
    [error] = [line for line in done.stderr.splitlines() if b"rror" in line]
    assert error.startswith(b"target-xero-invoices: error: input line 4")
    assert words in error
    assert (done.returncode, b"Doe" in done.stderr) == (1, False)
    assert done.stdout == b""


def test_a_file_is_read_as_bytes_too(world):
    path = world.folder / "input.jsonl"
    path.write_bytes(as_input([schema(), worklog(1), STATE])[0] + b'\n{"type": "\xff"}')
    config = world.folder / "config.json"
    config.write_text(json.dumps(world.config()))
    command = TargetXeroInvoices.get_singer_command()
    done = CliRunner().invoke(command, ["--config", str(config), "--input", str(path)])
    [error] = done.stderr.splitlines()
    assert "error: input line 4 is not JSON in UTF-8" in error
