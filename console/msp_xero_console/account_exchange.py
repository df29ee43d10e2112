"""``msp-xero accounts export`` and ``import``: deciding about many contacts in a spreadsheet."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer evaluates annotations
from typing import Annotated

import typer
from msp_xero.errors import MspXeroError
from msp_xero.ledger import links
from msp_xero.ledger.account_decisions import ACTIONS, decide

from msp_xero_console import show
from msp_xero_console.account_notes import Notes, nothing_to_decide
from msp_xero_console.account_sheet import read_sheet, write_sheet
from msp_xero_console.command import FAILED, AsJson
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.words import plural

_DONE = {"link": "linked", "create": "to be created", "ignore": "ignored", "unlink": "unlinked"}


def export(
    project: Project,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .csv.")],
    everything: Annotated[
        bool, typer.Option("--all", help="All contacts, not only those that wait for a person.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write contacts with their suggestions to a spreadsheet, for deciding about many at once.

    Fill in the column decision (link, create, ignore or unlink) and, for another account than the
    suggested one, account_id. Then read it with `msp-xero accounts import FILE.csv`.
    """
    # What compares names is slow to import, and few commands need it.
    from msp_xero.directory.suggest import read_suggestions  # noqa: PLC0415

    _need_csv(file)
    with project.reading() as ledger:
        rows = links.account_links(ledger, unmapped_only=not everything)
        found = read_suggestions(ledger)
        notes = Notes(ledger)
        nothing = nothing_to_decide(ledger)
    sheet = ((row, notes.of(row), found.by_contact.get(row.contact_id, ())) for row in rows)
    count = write_sheet(sheet, file)
    if as_json:
        show.data({"file": str(file), "contacts": count})
        return
    if not count:
        show.say(f"{nothing} {file} has only its heading.")
        return
    show.say(
        f"{plural(count, 'contact')} written to {file}. Fill in the column decision ({', '.join(ACTIONS)}) "
        f"and read it back with `msp-xero accounts import {file}`."
    )


def import_(
    project: Project,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `accounts export` wrote it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row; change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Carry out the decisions of a spreadsheet: all of them, or none if a row is wrong.

    Reading the same file again changes nothing.
    """
    _need_csv(file)
    with project.deciding() as ledger:
        decisions, problems = read_sheet(file)
        applied = decide(ledger, decisions, dry_run=dry_run or bool(problems))
    problems = sorted([*problems, *applied.problems], key=_line)
    if as_json:
        show.data(
            {
                "decisions": len(decisions),
                "changed": {} if problems else dict(applied.done),
                "unchanged": applied.unchanged,
                "problems": problems,
                "dry_run": dry_run,
            }
        )
        if problems:
            raise typer.Exit(FAILED)
        return
    if problems:
        raise MspXeroError(
            f"{plural(len(problems), 'row')} of {file} cannot be carried out, so nothing was changed:\n  "
            + "\n  ".join(problems)
        )
    if not decisions:
        show.say(f"{file} holds no decision: the column decision is empty in every row.")
        return
    parts = [f"{applied.done[action]} {words}" for action, words in _DONE.items() if applied.done[action]]
    parts += [f"{applied.unchanged} were so already"] if applied.unchanged else []
    would = " would be carried out" if dry_run else ""
    show.say(f"{plural(len(decisions), 'decision')}{would}: {', '.join(parts)}.")
    if not dry_run and applied.done:
        show.say("The next `meltano run accounts worklogs` creates, updates and bills accordingly.")


def _need_csv(file: Path) -> None:
    if file.suffix.lower() != ".csv":
        raise typer.BadParameter(f"{file.name} does not end in .csv", param_hint="FILE")


def _line(problem: str) -> int:
    return int(problem.removeprefix("line ").partition(":")[0])
