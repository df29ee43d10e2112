"""Excluding many worklogs at once, for a start after another integration: shown first, then asked for."""

from __future__ import annotations

import csv
import io
import re
import sys
from typing import TYPE_CHECKING, Final

import typer
from msp_xero.errors import MspXeroError
from msp_xero.ledger.exclusions import (
    Exclusion,
    exclude_worklogs,
    preview_exclusion,
    refuse_without_reason,
)
from msp_xero.ledger.rows import WorklogFilter

from msp_xero_console import show
from msp_xero_console.choosing import the_account
from msp_xero_console.command import needs_person
from msp_xero_console.files import text_of_sheet
from msp_xero_console.words import hours, number, plural, worth

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from msp_xero_console.project import Project

_ID_COLUMNS: Final = ("worklog_id", "worklog id", "worklogid", "id")
_LABEL: Final = re.compile(r"\d+(#\d+)?")
_SHOWN: Final = 5


def exclude_many(  # noqa: PLR0913 - what a person asks for on the command line
    project: Project,
    *,
    before: date | None,
    account: str | None,
    ids: Path | None,
    reason: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Show how many worklogs are meant, ask, and exclude them in one transaction.

    Raises:
        MspXeroError: the file with ids cannot be read or has none, or there is no such account.
    """
    refuse_without_reason(reason)
    worklog_ids = None if ids is None else read_ids(ids)
    with project.deciding() as ledger:
        wanted = WorklogFilter(
            account_id=None if account is None else the_account(ledger, account), before=before
        )
        meant = preview_exclusion(ledger, wanted, worklog_ids)
        currency = project.waiting_currency(ledger)
        if not yes:
            _tell(meant, currency)
            if meant.count:
                _ask()
        expected = None if yes else meant
        done = exclude_worklogs(ledger, wanted, reason, worklog_ids, expected=expected)
    if as_json:
        show.data(
            {
                "excluded": done.count, "minutes": done.minutes, "money": done.money,
                "unpriced": done.unpriced, "billed": done.billed, "unknown": list(done.unknown),
            }
        )  # fmt: skip
    elif done.count:
        show.say(
            f"Excluded {plural(done.count, 'worklog')} ({hours(done.minutes)} hours, "
            f"{_worth(done, currency)}). To take one back: `msp-xero worklogs include ID`."
        )
    else:
        show.say("No worklog that could be billed fits this: nothing was excluded.")
    if done.billed and (yes or ids is not None):
        typer.echo(_those_that_stay(done), err=True)
    if done.unknown:
        first = ", ".join(done.unknown[:_SHOWN])
        verb = "was" if len(done.unknown) == 1 else "were"
        more = f" and {number(len(done.unknown) - _SHOWN)} more" if len(done.unknown) > _SHOWN else ""
        typer.echo(
            f"{plural(len(done.unknown), 'id')} of the file {verb} never delivered: {first}{more}. Run "
            "`meltano run worklogs` and this again.",
            err=True,
        )
    if done.unknown or (done.billed and ids is not None):
        needs_person()


def _ask() -> None:
    """Ask whether to go on.

    Raises:
        MspXeroError: nobody can answer.
        Abort: the answer is no.
    """
    try:
        said_yes = typer.confirm("Exclude them?", err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        raise MspXeroError(
            "nobody answered, so nothing was excluded; say --yes to exclude without asking"
        ) from None
    if not said_yes:
        raise typer.Abort


def _worth(found: Exclusion, currency: str | None) -> str:
    return worth(found.money, currency, count=found.count, unpriced=found.unpriced)


def read_ids(path: Path) -> list[str]:
    """Return the worklog ids of a file: one a line, or a CSV with a column for them.

    ``110#2`` is the second worklog of the id 110, as an export of ours calls it.

    Raises:
        MspXeroError: it has no ids, or a column for them cannot be told.
    """
    text = text_of_sheet(path)
    first, _, _ = text.lstrip().partition("\n")
    separator = next((mark for mark in (";", "\t", ",") if mark in first), ",")
    # A cell may hold what only looks like the end of a line.
    cells = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        rows = [row for row in ([cell.strip() for cell in row] for row in cells) if any(row)]
    except csv.Error as error:
        raise MspXeroError(f"{path}, line {cells.line_num}: {error}") from error
    if not rows:
        raise MspXeroError(f"{path} has no worklog ids: write one a line, or a column called worklog_id")
    names = [cell.casefold() for cell in rows[0]]
    found = next((names.index(name) for name in _ID_COLUMNS if name in names), None)
    if found is not None:
        rows = rows[1:]
    elif len(rows[0]) > 1:
        raise MspXeroError(
            f"{path} has no column called worklog_id; its columns are {', '.join(rows[0])}. Rename the one "
            "that holds the ids"
        )
    column = found or 0
    ids = [row[column] for row in rows if len(row) > column and row[column]]
    if wrong := next((one for one in ids if not _LABEL.fullmatch(one)), None):
        raise MspXeroError(f"{path} holds {wrong!r} where a worklog id was expected; ids are whole numbers")
    if not ids:
        raise MspXeroError(f"{path} has no worklog ids below its heading")
    return ids


def _tell(meant: Exclusion, currency: str | None) -> None:
    sentence = (
        f"{plural(meant.count, 'worklog')} that are not billed ({hours(meant.minutes)} hours, "
        f"{_worth(meant, currency)}) would be excluded."
    )
    if meant.billed:
        sentence += f" {_those_that_stay(meant)}"
    typer.echo(sentence, err=True)


def _those_that_stay(found: Exclusion) -> str:
    what = "stays: it is" if found.billed == 1 else "stay: they are"
    return f"{plural(found.billed, 'other')} {what} on an invoice, or about to be."
