"""``msp-xero bookmarks`` with the real Meltano, and the names and texts of the files."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.errors import MspXeroError
from msp_xero_console.bookmarks import file_name, file_text, read_file, state_id_of

STATE_ID = "demo:tap-msp-sdp-to-target-xero-invoices"
FILE = "demo~tap-msp-sdp-to-target-xero-invoices.json"
STATE = {"completed": {"singer_state": {"bookmarks": {"worklogs": {"b": 1, "a": "2026-11-22T00:00:00Z"}}}}}


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_file_names_are_reversible_and_safe(state_id) -> None:
    name = file_name(state_id)
    assert state_id_of(name) == state_id
    assert not set(name) & set('/\\:*?"<>| \0')


def test_file_names_are_readable() -> None:
    assert file_name(STATE_ID) == FILE


def test_texts_are_sorted_and_end_with_a_line_break() -> None:
    text = file_text(STATE)
    assert text.index('"a"') < text.index('"b"')
    assert text.endswith("}\n")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"other": {}}', '{"completed": 1}'])
def test_what_is_no_bookmark_is_refused(tmp_path, content) -> None:
    path = tmp_path / FILE
    path.write_text(content)
    with pytest.raises(MspXeroError, match="nothing was imported"):
        read_file(path)


@pytest.fixture
def marked(empty, meltano, monkeypatch):
    """A project with one bookmark in Meltano."""
    monkeypatch.setenv("MELTANO", meltano)
    call(meltano, empty, "set", "--force", STATE_ID, json.dumps(STATE["completed"]))
    return empty


def call(meltano, cli, *arguments) -> str:
    done = subprocess.run(
        [meltano, "state", *arguments], cwd=cli.folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_there_and_back(marked, meltano) -> None:
    (exported,) = marked.data("bookmarks", "export", "marks")
    assert exported == {"state_id": STATE_ID, "file": FILE, "outcome": "new"}
    path = marked.folder / "marks" / FILE
    assert json.loads(path.read_text()) == STATE
    before = path.stat().st_mtime_ns
    assert "1 bookmark in marks, 0 changed." in marked.says("bookmarks", "export", "marks")
    assert path.stat().st_mtime_ns == before

    call(meltano, marked, "clear", "--force", STATE_ID)
    (kept,) = marked.data("bookmarks", "export", "marks")
    assert kept["outcome"] == "kept; Meltano has no such bookmark"
    assert "1 bookmark from marks, 1 changed." in marked.says("bookmarks", "import", "marks")
    assert json.loads(call(meltano, marked, "get", STATE_ID)) == STATE["completed"]
    (again,) = marked.data("bookmarks", "import", "marks")
    assert again["outcome"] == "as it was"


def test_a_changed_bookmark_changes_its_file(marked, meltano) -> None:
    marked.says("bookmarks", "export", "marks")
    call(meltano, marked, "set", "--force", STATE_ID, '{"singer_state": {"bookmarks": {}}}')
    (exported,) = marked.data("bookmarks", "export", "marks")
    assert exported["outcome"] == "updated"


def test_an_environment_that_is_named_limits_it(marked) -> None:
    assert marked.data("bookmarks", "export", "marks", "-e", "prod") == []
    assert len(marked.data("bookmarks", "export", "marks", "-e", "demo")) == 1


def test_no_bookmarks_yet(empty, meltano, monkeypatch) -> None:
    monkeypatch.setenv("MELTANO", meltano)
    assert "No bookmarks yet: no job has stored one." in empty.says("bookmarks", "export", "marks")
    (empty.folder / "marks").mkdir(exist_ok=True)
    assert empty.says("bookmarks", "import", "marks") == "There are no bookmarks in marks.\n"


def test_what_meltano_says_of_a_failure_is_passed_on(empty, tmp_path, monkeypatch) -> None:
    broken = tmp_path / "broken-meltano"
    broken.write_text("#!/bin/sh\necho 'some log' >&2\necho 'Error: it is broken' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("MELTANO", str(broken))
    error = empty.refuses("bookmarks", "export", "marks")
    assert error == "msp-xero: error: `meltano state export` failed and said: Error: it is broken\n"


def test_without_meltano_or_a_project(empty, monkeypatch) -> None:
    monkeypatch.setenv("MELTANO", str(empty.folder / "nothing"))
    assert "cannot be started" in empty.refuses("bookmarks", "export", "marks")
    assert "there is no folder none" in empty.refuses("bookmarks", "import", "none")
    monkeypatch.delenv("MELTANO")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", str(empty.folder / "python"))
    assert "Meltano was not found" in empty.refuses("bookmarks", "export", "marks")
    (empty.folder / "flat.json").write_text("{}")
    error = empty.refuses("bookmarks", "export", "marks", "--config", "flat.json")
    assert "bookmarks belong to a Meltano project" in error
