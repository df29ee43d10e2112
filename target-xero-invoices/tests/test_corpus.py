"""Bad input as it stands in ``corpus``: a clear line or a clean end, and STATE covers what is stored."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner
from msp_xero.singer import target as checkpointing
from target_xero_invoices.target import TargetXeroInvoices

CORPUS = Path(__file__).with_name("corpus")


def table():
    rows = [line.strip("| ").split(" | ") for line in (CORPUS / "README.md").read_text().splitlines()]
    return {row[0]: row[2:] for row in rows if len(row) == 5 and row[0] not in ("file", "---")}


def test_every_file_is_explained():
    assert sorted(table()) == sorted(path.stem for path in CORPUS.glob("*.jsonl"))


@pytest.mark.parametrize("checkpoint_rows", [0, 1000])
@pytest.mark.parametrize("name", table())
def test_bad_input(world, monkeypatch, name, checkpoint_rows):
    ends, stored, state = table()[name]
    data = (CORPUS / f"{name}.jsonl").read_bytes()
    monkeypatch.setattr(checkpointing, "CHECKPOINT_ROWS", checkpoint_rows)
    config = world.folder / "config.json"
    config.write_text(json.dumps(world.config(require_trailer=b'"extraction"' in data, push=False)))
    done = CliRunner().invoke(TargetXeroInvoices.get_singer_command(), ["--config", str(config)], input=data)

    errors = done.stderr.splitlines()
    if ends == "well":
        assert (done.exit_code, errors) == (0, [])
    else:
        [error] = errors
        assert done.exit_code == 1
        assert error.startswith("target-xero-invoices: error: ")
        assert ends in error
        assert "unexpected" not in error
        assert len(error) < 600
    assert "Doe" not in done.stderr + world.caplog.text

    with sqlite3.connect(world.folder / "ledger.db") as database:
        counts = [
            count for (count,) in database.execute("SELECT count(*) FROM worklog GROUP BY worklog_id, module")
        ]
    database.close()
    assert set(counts) <= {1}
    passed = [json.loads(line)["n"] for line in done.stdout.splitlines()]
    if checkpoint_rows == 0 or ends == "well":
        assert len(counts) == int(stored)
        assert str(passed[-1] if passed else "-") == state
    assert done.stdout.isascii()
