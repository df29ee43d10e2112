"""``msp-xero doctor``: checks everything that a run depends on, and says what to do."""

from __future__ import annotations

import typer

from msp_xero_console import show
from msp_xero_console.checks import FAILED, OK, WARNING, examine
from msp_xero_console.command import FAILED as EXIT_FAILED
from msp_xero_console.command import AsJson, command, command_group, needs_person
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import plural

app = command_group("Check settings, connections and books, and say what to do. Changes nothing.")


@command(app)
def doctor(project: Project, *, as_json: AsJson = False) -> None:
    """Check settings, both connections, the organisation and the ledger. Changes nothing.

    Ends with exit code 1 when a check failed, and 3 when there are warnings only.
    """
    findings = list(examine(project))
    counts = {status: sum(one.status == status for one in findings) for status in (OK, WARNING, FAILED)}
    if as_json:
        show.data(findings)
    else:
        show.say(f"Settings from {project.source}.")
        show.say()
        summary = f"{counts[OK]} ok, {plural(counts[WARNING], 'warning')}, {counts[FAILED]} failed."
        columns = [Column("Check"), Column("Result"), Column("What was seen, and what to do", wraps=True)]
        show.table(
            columns,
            [
                (
                    one.subject,
                    one.status,
                    f"{one.seen.rstrip('.')}. {one.advice}".rstrip() if one.advice else one.seen,
                )
                for one in findings
            ],
            notes=[summary],
        )
    if counts[FAILED]:
        raise typer.Exit(EXIT_FAILED)
    if counts[WARNING]:
        needs_person()
