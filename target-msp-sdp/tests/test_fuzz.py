"""Any input at all: STATE never covers what is not stored, and a run ends in words or well."""

from __future__ import annotations

import itertools
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msp_xero.singer import target as checkpointing
from target_msp_sdp.target import TargetMspSdp

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Bench

TEXT = "Patient Doe, room 7"
KEYS = {"accounts": "xero_contact_id", "worklog_types": "xero_item_id"}
EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Line(NamedTuple):
    """A line of input; ``key`` is that of the row that must be stored before STATE passes it."""

    data: bytes
    key: tuple[str, str] | None = None


def encode(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def schema(stream: str, **more: Any) -> Line:
    message = {"type": "SCHEMA", "stream": stream, "schema": {"properties": {}}}
    return Line(encode(message | {"key_properties": [KEYS[stream]]} | more))


def row(stream: str, number: int, odd: dict[str, Any]) -> Line:
    made = {
        "accounts": {"name": TEXT, "contact_status": "ACTIVE", "is_customer": True, "fields": {}},
        "worklog_types": {"item_code": f"code {number}", "name": TEXT, "unit_price": 95.5, "is_sold": True},
    }[stream]
    key = f"{stream}-{number}"
    record = made | odd | {KEYS[stream]: key}
    return Line(encode({"type": "RECORD", "stream": stream, "record": record}), (stream, key))


texts = st.text(st.characters(codec="utf-8"), max_size=9)
odd_numbers = st.sampled_from([-0.0, 10**30, -(10**30), 0.12345678901234567, 1e300, 1e-300, 2**64])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | odd_numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
MEMBERS = (
    "name", "contact_status", "merged_to_contact_id", "is_customer", "updated_time", "invalid_reason",
    "item_code", "description", "unit_price", "is_sold", "x" * 5000,
)  # fmt: skip
streams = st.sampled_from(sorted(KEYS))
rows = st.builds(
    row, streams, st.integers(1, 9), st.dictionaries(st.sampled_from(MEMBERS), values, max_size=4)
)
schemas = st.builds(schema, streams, schema=values | st.just({"properties": {"a": {}}}))
others = st.sampled_from(
    [b"", b"\r", b"{}", b"[]", b'{"type":7}', b"\xff\xfe", b"[" * 300 + b"]" * 300]
    + [encode({"type": kind, "stream": stream, "version": 1, "record": {"text": TEXT}, "value": TEXT})
       for kind in ("RECORD", "STATE", "SCHEMA", "BATCH", "ACTIVATE_VERSION", TEXT)
       for stream in ("accounts", "items_extent", TEXT, None, 7)]
).map(Line)  # fmt: skip
damaged = st.builds(
    lambda line, at, byte: Line(
        line.data[: at % len(line.data)] + byte + line.data[at % len(line.data) + 1 :]
    ),
    rows,
    st.integers(0, 200),
    st.binary(max_size=3).filter(lambda byte: b"\n" not in byte),
)
STATE = Line(b"")
"""Stands for a STATE that says how many lines came before it."""
good = st.lists(st.one_of(rows, st.just(STATE), st.builds(schema, streams)), max_size=20)
bad = st.lists(st.tuples(st.integers(0, 20), st.one_of(schemas, others, damaged)), max_size=2)


def with_bad_ones(good: list[Line], bad: list[tuple[int, Line]], first: bool) -> list[Line]:
    """Return an input that goes well for a while: most of them fail somewhere in the middle."""
    lines = [schema("accounts"), schema("worklog_types"), *good] if first else list(good)
    for place, line in bad:
        lines.insert(place, line)
    return lines


inputs = st.builds(with_bad_ones, good, bad, st.sampled_from([True] * 9 + [False]))


def as_input(lines: list[Line]) -> tuple[bytes, list[tuple[str, str] | None]]:
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
def take(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., Outcome]:
    """Take an input with an empty ledger, and look into it whenever a STATE is written."""
    numbers, config = itertools.count(1), bench.folder / "config.json"
    encode_state = checkpointing._encode_state
    passed: list[tuple[int, dict[tuple[str, str], int]]] = []
    ledger = bench.folder / "none"

    def stored() -> dict[tuple[str, str], int]:
        if not ledger.exists():
            return {}
        with closing(sqlite3.connect(ledger)) as database:
            return {
                (stream, key): count
                for stream, column, table in (
                    ("accounts", "contact_id", "account_link"),
                    ("worklog_types", "item_id", "worklog_type_link"),
                )
                for key, count in database.execute(f"SELECT {column}, count(*) FROM {table} GROUP BY 1")
            }

    def look(state: dict[str, Any]) -> bytes:
        passed.append((state.get("lines", -1), stored()))
        return encode_state(state)

    def take(data: bytes, checkpoint_rows: int) -> Outcome:
        nonlocal ledger
        passed.clear()
        caplog.clear()
        ledger = bench.folder / f"ledger-{next(numbers)}.db"
        monkeypatch.setattr(checkpointing, "_encode_state", look)
        monkeypatch.setattr(checkpointing, "CHECKPOINT_ROWS", checkpoint_rows)
        config.write_text(json.dumps(bench.config(ledger_url=f"sqlite:///{ledger}", dry_run=True)))
        command = TargetMspSdp.get_singer_command()
        done = CliRunner().invoke(command, ["--config", str(config)], input=data)
        assert "Doe" not in done.stderr
        return Outcome(done.exit_code, done.stderr.splitlines(), list(passed), stored())

    return take


@EXAMPLES
@given(lines=inputs, checkpoint_rows=st.sampled_from([0, 2, 1000]))
def test_any_input(take: Callable[..., Outcome], lines: list[Line], checkpoint_rows: int) -> None:
    data, keys = as_input(lines)
    done = take(data, checkpoint_rows)
    assert done.code in {0, 1}
    assert len(done.errors) == done.code, done.errors
    assert all(each.startswith("target-msp-sdp: error: ") for each in done.errors)
    assert "unexpected" not in "".join(done.errors)
    for up_to, stored in done.passed:
        assert {key for key in keys[: max(up_to, 0)] if key} <= stored.keys()
    assert set(done.stored.values()) <= {1}
    if done.code == 0:
        assert {key for key in keys if key} <= done.stored.keys(), "read to its end, so all of it is stored"
