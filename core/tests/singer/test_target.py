"""STATE leaves only when what it covers is stored, however the run ends."""

from __future__ import annotations

import json
import os
import select
import signal
import time

import pytest
from msp_xero.errors import LedgerError
from msp_xero.singer import target as target_module

SECRET = "Patient Doe, room 7"


@pytest.fixture
def every_row(monkeypatch):
    """Checkpoints as dense as they can be."""
    monkeypatch.setattr(target_module, "CHECKPOINT_ROWS", 0)


def test_rows_are_stored_and_acknowledged_and_then_settled(rows, messages):
    done = rows.run(messages.schema(), *(messages.row(n) for n in range(12)), messages.state(11))
    assert (done.code, done.states) == (0, [{"up_to": 11}])
    assert rows.stored() == set(range(12))
    assert "settled" in done.errors


@pytest.mark.usefixtures("every_row")
def test_every_state_passes_once_its_rows_are_stored(rows, messages):
    done = rows.run(
        messages.schema(), *(each for n in range(3) for each in (messages.row(n), messages.state(n)))
    )
    assert list(dict.fromkeys(state["up_to"] for state in done.states)) == [0, 1, 2]


def nested(levels):
    deep = []
    for _ in range(levels - 1):
        deep = [deep]
    return deep


def bad_lines(messages):
    return {
        "not-json": (
            b'{"type": "RECORD", "stream": "rows", "record": {"id": 9, "text": "' + SECRET.encode(),
            None,
        ),
        "not-utf8": (
            b'{"type": "RECORD", "stream": "rows", "record": {"text": "' + b"\xff\xfe" + b'"}}',
            None,
        ),
        "not-an-object": (f'["{SECRET}"]'.encode(), None),
        "no-type": ({"record": {"text": SECRET}}, None),
        "unknown-type": ({"type": "SURPRISE", "value": SECRET}, "not supported"),
        "record-without-record": ({"type": "RECORD", "stream": "rows", "text": SECRET}, "no usable record"),
        "record-of-a-list": ({"type": "RECORD", "stream": "rows", "record": [SECRET]}, "no usable record"),
        "state-without-value": ({"type": "STATE", "text": SECRET}, "no usable value"),
        "schema-without-schema": ({"type": "SCHEMA", "stream": "rows"}, "no usable schema"),
        "schema-without-properties": (
            {"type": "SCHEMA", "stream": "rows", "schema": {"title": SECRET}},
            "no usable properties",
        ),
        "schema-of-odd-keys": (
            {"type": "SCHEMA", "stream": "rows", "schema": {"properties": {}}, "key_properties": [7, SECRET]},
            "no usable key_properties",
        ),
        "stream-is-a-text": (
            {"type": "SCHEMA", "stream": SECRET, "schema": {"properties": {}}},
            "no usable stream",
        ),
        "type-is-a-text": ({"type": SECRET}, "(no plain name)"),
        "batch": ({"type": "BATCH", "stream": "rows", "manifest": [SECRET]}, "is a BATCH"),
        "deep": (messages.row(9, text=[SECRET], deep=nested(150)), "nested too deeply"),
        "deeper": (
            b'{"type":"RECORD","stream":"rows","record":{"id":9,"deep":' + b"[" * 9000 + b"]" * 9000 + b"}}",
            "nested too deeply",
        ),
        "huge-exponent": (
            b'{"type":"RECORD","stream":"rows","record":{"id":9,"n":1e99999999999999999999}}',
            "too large",
        ),
        "before-its-schema": (messages.row(9, "others", text=SECRET), "before its SCHEMA"),
        "no-key": ({"type": "RECORD", "stream": "rows", "record": {"text": SECRET}}, "has no id"),
        "key-is-null": (messages.row(None, text=SECRET), "has no id"),
        "key-is-empty": (messages.row("", text=SECRET), "has no id"),
    }


@pytest.mark.parametrize("kind", bad_lines(type("M", (), {"row": staticmethod(lambda *a, **k: {})})))
@pytest.mark.usefixtures("every_row")
def test_a_bad_line_ends_the_run_with_one_line_that_names_it_and_quotes_nothing(rows, messages, kind):
    bad, words = bad_lines(messages)[kind]
    before = [messages.schema(), messages.row(1), messages.state(1), messages.row(2)]
    done = rows.run(*before, bad, messages.row(3), messages.state(3))
    assert done.code == 1
    errors = [line for line in done.errors.splitlines() if "error" in line.lower()]
    assert len(errors) == 1, done.errors
    assert errors[0].startswith("target-rows: error: input line 5")
    assert words is None or words in errors[0]
    assert SECRET not in done.errors
    assert "Traceback" not in done.errors
    assert done.states == [{"up_to": 1}], "the bookmark stays before the bad line"
    assert 1 in rows.stored()
    assert 3 not in rows.stored()


def test_blank_lines_are_nothing_but_count(rows, messages):
    assert rows.run(messages.schema(), b"", b"  ", messages.row(1), messages.state(1)).code == 0
    assert "input line 4" in rows.run(messages.schema(), b"", b"", b"{").errors


def test_a_fault_of_the_program_is_one_line_without_the_text_of_the_error(rows, messages):
    done = rows.run(messages.schema(), messages.row(1), messages.state(1), fails=SECRET)
    assert done.code == 1
    assert "target-rows: error: unexpected RuntimeError at settle (rows_target.py:" in done.errors
    assert SECRET not in done.errors
    assert done.states == [{"up_to": 1}], "what is stored is acknowledged, the next run settles"


def test_a_disabled_job_stores_nothing_and_moves_no_bookmark(rows, messages):
    keyless = {"type": "RECORD", "stream": "rows", "record": {}}
    done = rows.run(messages.schema(), messages.row(1), keyless, messages.state(1), enabled=False)
    assert (done.code, done.states, rows.stored()) == (0, [], set())


@pytest.mark.usefixtures("every_row")
def test_a_changed_schema_in_mid_stream_loses_nothing(rows, messages):
    other = messages.schema() | {"schema": {"properties": {"x": {"type": "string"}}}}
    done = rows.run(messages.schema(), messages.row(1), other, messages.row(2), messages.state(2))
    assert (done.code, done.states[-1], rows.stored()) == (0, {"up_to": 2}, {1, 2})


def test_rows_of_a_former_schema_are_stored_before_those_of_the_next(rows, messages, monkeypatch):
    """Otherwise the sink of the next is full first, and an older copy of a row wins over a newer one."""
    stored = []
    monkeypatch.setattr(rows.program.RowsSink, "stage", lambda _, records: stored.extend(records))
    other = messages.schema() | {"schema": {"properties": {"x": {"type": "string"}}}}
    rows.run(messages.schema(), messages.row(0), other, *(messages.row(n) for n in range(1, 6)))
    assert [each["id"] for each in stored] == list(range(6))


def test_a_version_is_no_reason_to_delete_and_needs_no_stream(rows, messages):
    version = {"type": "ACTIVATE_VERSION", "stream": "rows", "version": 1}
    lines = [version, messages.schema(), messages.row(1), version | {"stream": SECRET}, messages.state(1)]
    done = rows.run(*lines)
    assert (done.code, done.states, rows.stored()) == (0, [{"up_to": 1}], {1})


def test_large_rows_are_stored_before_a_batch_is_full(rows, messages, monkeypatch):
    monkeypatch.setattr(target_module, "CHECKPOINT_BYTES", 100_000)
    sizes = []
    stage = rows.program.RowsSink.stage
    monkeypatch.setattr(
        rows.program.RowsSink,
        "stage",
        lambda sink, records: (sizes.append(len(records)), stage(sink, records)),
    )
    large = [messages.row(n, text="x" * 40_000) for n in range(7)]
    done = rows.run(messages.schema(), *large, messages.state(6))
    assert (done.states[-1], sizes) == ({"up_to": 6}, [3, 3, 1])


def test_a_state_leaves_with_all_its_digits_and_in_ascii(rows):
    state = (
        '{"at": 1732000000.12345678901234567, "n": 100000000000000000000, "big": 1E+400, "é🧾": ["ü", {}]}'
    )
    message = b'{"type": "STATE", "value": ' + state.encode() + b"}"
    done = rows.run_raw(message)
    assert done.isascii()
    assert json.loads(done, parse_float=str) == json.loads(state, parse_float=str)


def test_an_empty_input_settles_all_the_same(rows):
    done = rows.run()
    assert (done.code, done.states) == (0, [])
    assert "settled" in done.errors


# As a program of its own: signals and sudden death


class Feed:
    """A running target that is fed line by line."""

    def __init__(self, process, messages) -> None:
        self.process, self.messages = process, messages
        self.states = []

    def send(self, *messages) -> None:
        self.process.stdin.write(self.messages.lines_of(*messages))
        self.process.stdin.flush()

    def read_state(self, seconds=60):
        deadline = time.monotonic() + seconds
        ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
        assert ready, "no STATE came"
        self.states.append(json.loads(self.process.stdout.readline()))
        return self.states[-1]["up_to"]

    def finish(self) -> int:
        out, _ = self.process.communicate(timeout=60)
        self.states += [json.loads(line) for line in out.splitlines() if line.strip()]
        return self.process.returncode

    @property
    def acknowledged(self) -> int:
        return max((state["up_to"] for state in self.states), default=-1)


@pytest.fixture
def feed(rows, messages):
    process = rows.start()
    yield Feed(process, messages)
    process.kill()
    process.communicate()


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_signal_while_it_waits_for_input_stores_and_acknowledges_what_came(feed, rows, messages, tmp_path):
    # The sixth row fills a batch, so the file shows that all before it has been read.
    busy = tmp_path / "ready"
    busy.touch()
    feed.send(messages.schema(), *(messages.row(n) for n in range(4)), messages.row(4, wait_for=str(busy)))
    feed.send(messages.row(5), messages.state(5))
    until((tmp_path / "ready.busy").exists)
    until(lambda: _is_waiting(feed.process.pid))
    feed.process.send_signal(signal.SIGTERM)
    assert feed.finish() == 128 + signal.SIGTERM
    assert feed.acknowledged == 5
    assert rows.stored() == set(range(6))
    assert "settled" not in rows.log.read_text()


def _is_waiting(pid) -> bool:
    """Tell whether a process sleeps in a read of its input."""
    with open(f"/proc/{pid}/wchan") as file:  # noqa: PTH123
        return "pipe" in file.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_batch_loses_no_row_that_is_acknowledged(
    feed, rows, messages, tmp_path, number
):
    go_on = tmp_path / "go-on"
    feed.send(messages.schema(), *(messages.row(n) for n in range(4)), messages.state(3))
    feed.send(messages.row(4, wait_for=str(go_on)), messages.state(4), messages.row(5), messages.state(5))
    until((tmp_path / "go-on.busy").exists)
    for _ in range(2):
        feed.process.send_signal(number)
    go_on.touch()
    assert feed.finish() == 128 + number
    assert set(range(feed.acknowledged + 1)) <= rows.stored()
    assert rows.stored() >= set(range(5)), "the batch under way was finished"
    assert "settled" not in rows.log.read_text()
    assert "Traceback" not in rows.log.read_text()


def test_a_signal_after_a_batch_could_not_be_stored_acknowledges_nothing(
    program, rows, messages, monkeypatch, capsys
):
    """The error is on its way out when a second Ctrl-C comes, or Meltano ends its blocks."""

    def full(self, records):
        raise LedgerError("the ledger could not be written: the disk is full")

    target = program.RowsTarget(config={"ledger_url": rows.url}, parse_env_config=False)
    monkeypatch.setattr(program.RowsSink, "stage", full)
    monkeypatch.setattr(target_module, "CHECKPOINT_ROWS", 0)
    target._process_schema_message(messages.schema())
    target._process_record_message(messages.row(1))
    with pytest.raises(LedgerError):
        target._process_state_message(messages.state(1))
    target._handle_termination(signal.SIGTERM, None)
    assert capsys.readouterr().out == ""
    assert rows.stored() == set()


def test_death_at_any_moment_loses_no_row_that_is_acknowledged(rows, messages, tmp_path):
    for start in range(0, 6000, 3000):
        count = 2500
        program_input = tmp_path / "input.singer"
        program_input.write_bytes(
            messages.lines_of(
                messages.schema(),
                *(each for n in range(start, start + count) for each in (messages.row(n), messages.state(n))),
                messages.row(start + count, wait_for=str(tmp_path / "never")),
            )
        )
        feed = Feed(rows.start(), messages)
        feed.process.stdin.write(program_input.read_bytes())
        feed.process.stdin.flush()
        feed.read_state()
        os.kill(feed.process.pid, signal.SIGKILL)
        assert feed.finish() == -signal.SIGKILL
        assert feed.acknowledged >= start
        assert set(range(start, feed.acknowledged + 1)) <= rows.stored()
