"""``msp-xero doctor``: checks everything that a run depends on, and says what to do."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - Typer evaluates annotations
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from msp_xero_console import show
from msp_xero_console.checks import FAILED, OK, WARNING, examine
from msp_xero_console.command import FAILED as EXIT_FAILED
from msp_xero_console.command import AsJson, command, command_group, needs_person
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from msp_xero.edges.watching import Watch

    from msp_xero_console.checks import Finding

app = command_group("Check settings, connections and books, and say what to do. Only looks.")


@command(app)
def doctor(
    project: Project,
    *,
    report: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", show_default=False, help="With --live-checklist: the report; default: print it."
        ),
    ] = None,
    live_checklist: Annotated[
        bool,
        typer.Option(
            "--live-checklist",
            help="Ask both systems what their documentation leaves open, reading only, and write a report "
            "for an issue: no values, no names, no hosts.",
        ),
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="DIR",
            help="Save every call and answer as a fixture in a new folder, without secrets, names and texts.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check whether tonight's run will work, and say what to do where it will not.

    It only looks: nothing is changed in ledger, bookmarks, Xero and ServiceDesk Plus, and no file is made.
    The token of a `msp-xero login` is stored when it had to be renewed, as it would be lost otherwise.

    Settings, both connections and their certificates and clocks, roles, the organisation and its books, the
    ledger, this machine. Ends with exit code 1 when a check failed, and 3 when there are warnings only.
    """
    if report is not None and not live_checklist:
        raise typer.BadParameter("a FILE is only written with --live-checklist", param_hint="FILE")
    with _recording(record) as watch, _progress() as tell:
        if live_checklist:
            _write_live_checklist(project, report, as_json=as_json, tell=tell, watch=watch)
            return
        findings = list(examine(project, tell=tell, watch=watch))
    _show(project, findings, as_json=as_json)
    if any(one.status == FAILED for one in findings):
        raise typer.Exit(EXIT_FAILED)
    if any(one.status == WARNING for one in findings):
        needs_person()


def _show(project: Project, findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        show.data(findings)
        return
    counts = {status: sum(one.status == status for one in findings) for status in (OK, WARNING, FAILED)}
    show.say(f"Settings from {project.source}.")
    show.say()
    summary = f"{counts[OK]} ok, {plural(counts[WARNING], 'warning')}, {counts[FAILED]} failed."
    verdict = "Tonight's run will work."
    if counts[FAILED]:
        verdict = "Tonight's run will not work as it is."
    elif counts[WARNING]:
        verdict = "Tonight's run will work; look at the warnings."
    show.table(
        [Column("Check"), Column("Result"), Column("What was seen, and what to do", wraps=True)],
        [
            (
                one.subject,
                one.status,
                f"{one.seen.rstrip('.')}. {one.advice}".rstrip() if one.advice else one.seen,
            )
            for one in findings
        ],
        notes=[f"{summary} {verdict}"],
    )


def _write_live_checklist(
    project: Project,
    report: Path | None,
    *,
    as_json: bool,
    tell: Callable[[str], None],
    watch: Watch | None,
) -> None:
    # The probes are many, and no other command needs them.
    from msp_xero_console.live.report import markdown, probe_all  # noqa: PLC0415

    answers = probe_all(project, tell=tell, watch=watch)
    text = markdown(project, answers, datetime.now(UTC))
    if report is not None:
        report.write_text(text, "utf-8")
    if as_json:
        show.data(answers)
    elif report is None:
        show.raw(text.rstrip("\n"))
    else:
        asked = sum(bool(answer.seen) for answer in answers)
        show.say(f"{report} has what {asked} of {len(answers)} questions got; the others take a person.")
        show.say("Read it once, then paste it into an issue: it holds no values, names or hosts.")


@contextlib.contextmanager
def _recording(folder: Path | None) -> Iterator[Watch | None]:
    if folder is None:
        yield None
        return
    from msp_xero_console.recording import Recorder, new_folder  # noqa: PLC0415 - as above

    recorder = Recorder(new_folder(folder))
    yield recorder
    typer.echo(f"{plural(recorder.count, 'call')} recorded in {folder}", err=True)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is looked at; a log gets the result only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Console(stderr=True).status("Looking …") as status:
        yield lambda subject: status.update(f"Looking at {escape(printable(subject))} …")
