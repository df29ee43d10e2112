"""How commands begin and end: help, exit codes, one error line, no secrets."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from datetime import date
from typing import TYPE_CHECKING

import pytest
from msp_xero_console.command import read_day

if TYPE_CHECKING:
    from pathlib import Path

READING = [
    ("status",),
    ("accounts", "list"),
    ("accounts", "list", "--unmapped"),
    ("accounts", "suggest"),
    ("types", "list"),
    ("worklogs", "list"),
    ("worklogs", "show", "101"),
    ("invoices", "list"),
    ("invoices", "show", "SDP-00001"),
]
ALL = [
    *READING,
    ("doctor",),
    ("reconcile",),
    ("rebuild",),
    ("reinitialise",),
    *(("accounts", name) for name in ("link", "unlink", "create", "ignore")),
    *(("types", name) for name in ("link", "unlink", "create", "ignore")),
    *(("worklogs", name) for name in ("exclude", "include", "export")),
    *(("invoices", name) for name in ("preview", "push")),
    *(("bookmarks", name) for name in ("export", "import")),
]


@pytest.mark.parametrize("command", [(), *ALL], ids=" ".join)
def test_every_command_has_help(cli, command) -> None:
    words = [word for word in command if not word.startswith(("-", "1", "SDP"))]
    help_text = cli.says(*words, "--help")
    assert "Usage: " in help_text
    assert "--help" in help_text


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_every_reading_command_prints_text_and_json(cli, command) -> None:
    assert cli.says(*command).strip()
    assert cli.data(*command)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_no_table_is_cut_or_padded_when_piped(cli, command) -> None:
    text = cli.says(*command)
    assert "…" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("worklogs", "nonsense"),
        ("worklogs", "list", "--state", "lost"),
        ("worklogs", "list", "--reason", "BECAUSE"),
        ("worklogs", "list", "--since", "yesterday"),
        ("worklogs", "list", "--limit", "0"),
        ("worklogs", "exclude", "101"),
        ("worklogs", "export", "worklogs.pdf"),
        ("invoices", "list", "--state", "open"),
        ("accounts", "link", "c-8"),
        ("status", "--config", "settings.json", "-e", "prod"),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2(cli, arguments) -> None:
    assert cli(*arguments).exit_code == 2


@pytest.mark.parametrize("written", ["01.11.2026", "2026-02-30", "2026-11", "yesterday", ""])
@pytest.mark.parametrize(
    "command",
    [
        ("worklogs", "list", "--since"),
        ("worklogs", "export", "x.csv", "--since"),
        ("worklogs", "exclude", "--reason", "x", "--before"),
        ("reinitialise", "--rebill-from"),
    ],
    ids=" ".join,
)
def test_a_day_that_cannot_be_read_says_how_one_is_written(cli, command, written) -> None:
    error = " ".join(cli.refuses(*command, written, code=2).replace("│", " ").split())
    assert f"'{written}' is no day that can be read; write the day as 2026-11-01" in error
    assert "format" not in error


@pytest.mark.parametrize("written", ["2026-11-01", " 2026-11-1 "])
def test_a_day_is_read(written) -> None:
    assert read_day(written) == date(2026, 11, 1)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("status", "-e", "staging"), "Setting environment: meltano.yml has no environment staging."),
        (("status", "--config", "none.json"), "none.json cannot be read as a JSON file of settings"),
        (("worklogs", "show", "999"), "no worklog 999 was delivered yet"),
        (("worklogs", "export", "none/x.csv"), "there is no folder none to write x.csv to"),
        (("invoices", "show", "SDP-9"), "there is no invoice SDP-9; `msp-xero invoices list` shows them"),
    ],
)
def test_a_failure_is_one_line_and_1(cli, arguments, line) -> None:
    error = cli.refuses(*arguments)
    assert error.startswith(f"msp-xero: error: {line}")
    assert error.count("\n") == 1


def test_a_fault_of_the_program_shows_no_traceback_and_no_data(cli, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("Kōwhai Dental")

    monkeypatch.setattr("msp_xero.ledger.views.invoice_detail", broken)
    error = cli.refuses("invoices", "show", "SDP-00001")
    assert error.startswith("msp-xero: error: unexpected RuntimeError at broken (test_command_line.py:")
    assert "Kōwhai" not in error


@pytest.mark.parametrize("command", [*READING, ("doctor", "--help")], ids=" ".join)
def test_secrets_are_never_printed(cli, command) -> None:
    result = cli(*command)
    assert "sdp-secret" not in result.output
    assert "xero-secret" not in result.output


def test_texts_of_others_cannot_steer_the_terminal(cli) -> None:
    text = cli.says("worklogs", "show", "109")
    assert "\x1b" not in text
    assert "+64 21\N{REPLACEMENT CHARACTER}[31m" in text
    assert "Rimu & Co [Ltd]" in cli.says("worklogs", "list")


def run(project: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "msp_xero_console.main", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def test_as_a_process(cli) -> None:
    done = run(cli.folder, "worklogs", "show", "101")
    assert (done.returncode, done.stderr) == (0, "")
    assert "invoiced SDP-00001" in done.stdout
    failed = run(cli.folder, "worklogs", "show", "999")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("msp-xero: error: ")
    assert run(cli.folder, "worklogs", "nonsense").returncode == 2


def test_a_reader_that_leaves_early_is_no_failure_of_ours(cli) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "msp_xero_console.main", "worklogs", "list", "--json"],
        cwd=cli.folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_help_starts_fast_because_it_imports_no_database(project) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = run(project, "--version")
    assert done.returncode == 0
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5  # however busy the machine is
    script = "import sys, msp_xero_console.main; sys.exit('sqlalchemy' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 0
