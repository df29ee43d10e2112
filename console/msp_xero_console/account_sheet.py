"""The spreadsheet of decisions about contacts: written as CSV, filled in by a person, read back.

Excel and its likes change such files: separators, encodings, blanks, long numbers. What they do without
loss is undone here; what they lose is reported.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any, Final

from msp_xero.errors import MspXeroError
from msp_xero.ledger.account_decisions import ACTIONS, Decision
from msp_xero.ledger.links import LINK

from msp_xero_console.files import complete_or_nothing, harmless, text_of_sheet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from msp_xero.directory.suggest import Suggestion
    from msp_xero.ledger.models import AccountLink

HEADER: Final = (
    "contact_id",
    "contact_name",
    "state",
    "note",
    "suggested_account_id",
    "suggested_account_name",
    "score",
    "reason",
    "other_suggestions",
    "decision",
    "account_id",
)
_REQUIRED: Final = ("contact_id", "decision")
_LONGEST_SHOWN: Final = 11  # a spreadsheet shows and saves longer numbers as 1.45684E+17
_SHORTENED: Final = re.compile(r"[+-]?\d+([.,]\d+)?[eE]\+?\d+")
_SEPARATORS: Final = (",", ";", "\t")

SheetRow = tuple["AccountLink", str, "Sequence[Suggestion]"]


def write_sheet(rows: Iterable[SheetRow], path: Path) -> int:
    """Write contacts with their notes and suggestions; return how many."""
    count = 0
    # The mark at the beginning tells Excel that it is UTF-8.
    with (
        complete_or_nothing(path) as unfinished,
        unfinished.open("w", encoding="utf-8-sig", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for row, note, suggestions in rows:
            writer.writerow([harmless(value) for value in _values(row, note, suggestions)])
            count += 1
    return count


def _values(row: AccountLink, note: str, suggestions: Sequence[Suggestion]) -> list[Any]:
    best = suggestions[0] if suggestions else None
    others = "; ".join(f"{one.account_name} ({one.account_id}, {one.score})" for one in suggestions[1:])
    suggested = (_id(best.account_id), best.account_name, best.score, best.reason) if best else ("",) * 4
    linked = _id(row.account_id) if row.account_id else ""
    return [_id(row.contact_id), row.contact_name, row.state, note, *suggested, others, "", linked]


def _id(value: str) -> str:
    return f"'{value}" if value.isdigit() and len(value) > _LONGEST_SHOWN else value


def read_sheet(path: Path) -> tuple[list[Decision], list[str]]:
    """Read the decisions of a file; rows without one are left out.

    Returns:
        The decisions, and what is wrong with rows by line number.

    Raises:
        MspXeroError: it is no such spreadsheet.
    """
    decisions: list[Decision] = []
    problems: list[str] = []
    for line, cells in _rows(path):
        action = cells.get("decision", "").casefold()
        if not action:
            continue
        place = f"line {line}"
        if action not in ACTIONS:
            problems.append(f"{place}: the decision is {', '.join(ACTIONS)} or empty, not {action[:40]!r}")
            continue
        contact_id = cells["contact_id"]
        account_id = (
            (cells.get("account_id") or cells.get("suggested_account_id") or None) if action == LINK else None
        )
        if not contact_id:
            problems.append(f"{place}: contact_id is empty")
        elif _SHORTENED.fullmatch(account_id or ""):
            problems.append(
                f"{place}: the spreadsheet has shortened the account id to {account_id}; "
                "format the column as text and enter it again"
            )
        else:
            decisions.append(
                Decision(place=place, contact_id=contact_id, action=action, account_id=account_id)
            )
    return decisions, problems


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with the number of its line, its cells by column."""
    text = text_of_sheet(path)
    offset = 0
    if text[:4].casefold() == "sep=":
        _, _, text = text.partition("\n")
        offset = 1
    first_line = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        header = [cell.strip().casefold().replace(" ", "_") for cell in next(reader, [])]
        if missing := [name for name in _REQUIRED if name not in header]:
            raise MspXeroError(
                f"{path.name} has no column {' and no column '.join(missing)}; "
                "`msp-xero accounts export FILE.csv` writes a file with all columns"
            )
        if repeated := sorted({name for name in header if name and header.count(name) > 1}):
            raise MspXeroError(f"{path.name} has the column {repeated[0]} more than once")
        begins = reader.line_num + 1
        for cells in reader:
            yield begins + offset, dict(zip(header, map(_cell, cells), strict=False))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise MspXeroError(f"{path.name}, line {reader.line_num + offset}: {error}") from error


def _cell(text: str) -> str:
    """Undo what was put before texts that would be formulas or long numbers, and blanks around them."""
    return text.strip().removeprefix("'").strip()
