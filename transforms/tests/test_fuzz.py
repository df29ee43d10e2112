"""Any input at all: every worklog leaves before the STATE that covers it, or the run ends in words."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msp_xero_transforms.mapper import MspXeroTransforms

TEXT = "Patient Doe, room 7"
EXAMPLES = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Line(NamedTuple):
    """A line of input; ``key`` is that of a worklog that must leave."""

    data: bytes
    key: str | None = None


def encode(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def schema(**more: Any) -> Line:
    message = {"type": "SCHEMA", "stream": "worklogs", "schema": {"properties": {}}, "key_properties": []}
    return Line(encode(message | more))


def worklog(number: int, odd: dict[str, Any]) -> Line:
    record = {"minutes": 30, "account_id": "7", "description": TEXT} | odd
    record |= {"worklog_id": str(number), "module": "request"}
    return Line(encode({"type": "RECORD", "stream": "worklogs", "record": record}), str(number))


texts = st.text(st.characters(codec="utf-8"), max_size=9)
odd_numbers = st.sampled_from([-0.0, 10**30, -(10**30), 0.12345678901234567, 1e-300, 2**64, float("nan")])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | odd_numbers | texts | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
MEMBERS = (
    "minutes", "account_id", "type_name", "description", "start_time", "created_time", "technician_id",
    "total_cost", "is_billable", "parent_title", "udf_fields", "extra", "x" * 5000,
)  # fmt: skip
worklogs = st.builds(
    worklog, st.integers(1, 12), st.dictionaries(st.sampled_from(MEMBERS), values, max_size=4)
)
others = st.sampled_from(
    [b"", b"\r", b"{}", b"[]", b'{"type":7}', b"\xff\xfe", b"[" * 300 + b"]" * 300, b"[" * 9000]
    + [encode({"type": kind, "stream": stream, "schema": {"a": 7}, "record": {"text": TEXT}, "value": TEXT})
       for kind in ("RECORD", "STATE", "SCHEMA", "BATCH", "ACTIVATE_VERSION", TEXT)
       for stream in ("worklogs", "extraction", TEXT, None, 7)]
    + [b'{"type":"RECORD","stream":"worklogs","record":{"minutes":1e99999999999999999999,"x":NaN}}']
).map(Line)  # fmt: skip
damaged = st.builds(
    lambda line, at, byte: Line(
        line.data[: at % len(line.data)] + byte + line.data[at % len(line.data) + 1 :]
    ),
    worklogs,
    st.integers(0, 200),
    st.binary(max_size=3).filter(lambda byte: b"\n" not in byte),
)
STATE = Line(b"")
"""Stands for a STATE that says how many lines came before it."""
good = st.lists(st.one_of(worklogs, st.just(STATE), st.just(schema())), max_size=20)
bad = st.lists(st.tuples(st.integers(0, 20), st.one_of(others, damaged)), max_size=2)


def with_bad_ones(good: list[Line], bad: list[tuple[int, Line]], first: bool) -> list[Line]:
    """Return an input that goes well for a while: most of them fail somewhere in the middle."""
    lines = [schema(), *good] if first else list(good)
    for place, line in bad:
        lines.insert(place, line)
    return lines


inputs = st.builds(with_bad_ones, good, bad, st.sampled_from([True] * 9 + [False]))


class Outcome(NamedTuple):
    code: int
    errors: list[str]
    messages: list[dict[str, Any]]


@pytest.fixture
def run(tmp_path, caplog):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"time_zone": "Pacific/Auckland"}))

    def run(data: bytes) -> Outcome:
        caplog.clear()
        command = MspXeroTransforms.get_singer_command()
        done = CliRunner().invoke(command, ["--config", str(config)], input=data)
        assert "Doe" not in done.stderr + caplog.text
        # As bytes: a text may hold characters that end a line of text.
        messages = [json.loads(line) for line in done.stdout_bytes.splitlines()]
        return Outcome(done.exit_code, done.stderr.splitlines(), messages)

    return run


@EXAMPLES
@given(lines=inputs)
def test_any_input(run, lines):
    states = {number: {"lines": number} for number, line in enumerate(lines) if line is STATE}
    data = [
        encode({"type": "STATE", "value": states[number]}) if line is STATE else line.data
        for number, line in enumerate(lines)
    ]
    done = run(b"\n".join(data))
    assert done.code in {0, 1}
    assert len(done.errors) == done.code, done.errors
    assert all(each.startswith("msp-xero-transforms: error: input line ") for each in done.errors)
    left: list[str] = []
    for message in done.messages:
        if message["type"] == "RECORD" and message["stream"] == "invoice_lines":
            left.append(message["record"]["worklog_id"])
            assert message["record"]["decision"] in {"bill", "hold", "exclude"}
        if message["type"] == "STATE" and message["value"] in states.values():
            keys = [line.key for line in lines[: message["value"]["lines"]] if line.key]
            assert all(left.count(key) >= keys.count(key) for key in keys)
    if done.code == 0:
        keys = [line.key for line in lines if line.key]
        assert all(left.count(key) >= keys.count(key) for key in keys), "read to its end, so all of it left"


@pytest.mark.parametrize("minutes", ["1e30", "1e400", "1e999999999"])
@pytest.mark.parametrize("cost", ["30", "1e999999999", '"1e999999999"'])
def test_a_number_that_no_arithmetic_holds_holds_its_worklog(run, minutes, cost):
    record = f'{{"worklog_id":"1","module":"request","minutes":{minutes},"total_cost":{cost}}}'
    message = f'{{"type":"RECORD","stream":"worklogs","record":{record}}}'
    done = run(schema().data + b"\n" + message.encode())
    assert (done.code, done.errors) == (0, [])
    [line] = [message["record"] for message in done.messages if message["type"] == "RECORD"]
    assert (line["decision"], line["reason_code"]) == ("hold", "INVALID_RECORD")


@pytest.mark.parametrize(
    "member",
    [
        b'"description":"' + b"x" * 2_000_000 + b'"',
        b'"description":"' + b"<div>" * 10_000 + b'"',
        b'"' + b"k" * 1_000_000 + b'":1',
        b",".join(b'"k%d":%d' % (n, n) for n in range(50_000)),
        b'"extra":{"note":"' + b"x" * 10_000_000 + b'"}',
    ],
    ids=["2-mb-text", "deep-html", "long-key", "many-members", "10-mb-line"],
)
def test_a_huge_worklog_leaves(run, member):
    head = b'{"type":"RECORD","stream":"worklogs","record":{"worklog_id":"1","module":"request","minutes":30,'
    done = run(schema().data + b"\n" + head + member + b"}}\n" + encode({"type": "STATE", "value": {}}))
    assert (done.code, done.messages[-1]["type"]) == (0, "STATE")
    [line] = [message["record"] for message in done.messages if message["type"] == "RECORD"]
    assert line["worklog_id"] == "1"
