"""Writing worklogs to files: streamed, whole or not at all, and harmless to open."""

from __future__ import annotations

import csv
import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec
from msp_xero.ledger.rows import WorklogRow
from msp_xero.reasons import explain
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font

from msp_xero_console.files import complete_or_nothing, harmless
from msp_xero_console.show import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from openpyxl.cell.cell import Cell
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

_ROWS_OF_A_SHEET = 1_048_576
_LEFT_OUT = ("row", "ordinal", "changed")
_COLUMNS = [field.name for field in dataclasses.fields(WorklogRow) if field.name not in _LEFT_OUT]
HEADER = [*_COLUMNS, "changed_fields", "who", "how"]


def export_worklogs(worklogs: Iterable[WorklogRow], path: Path, shared: Collection[str] = ()) -> int:
    """Write worklogs to ``path``, in the format that its ending names; return how many.

    The file appears only when it is complete. ``shared`` are ids that several worklogs have: each of them is
    named with its number, so that the file means no other when it is given back.
    """
    write = {".csv": _write_csv, ".xlsx": _write_xlsx, ".json": _write_json}[path.suffix.lower()]
    with complete_or_nothing(path) as unfinished:
        return write((_values(row, shared) for row in worklogs), unfinished)


def _values(row: WorklogRow, shared: Collection[str]) -> list[Any]:
    known: dict[str, Any] = {name: getattr(row, name) for name in _COLUMNS}
    reason = explain(row.reason_code) if row.reason_code else None
    known["worklog_id"] = row.precise_label if row.worklog_id in shared else row.worklog_id
    changed = ", ".join(sorted(row.changed)) if row.changed else None
    return [
        *(plain(value) for value in known.values()),
        changed,
        reason.who if reason else None,
        reason.how if reason else None,
    ]


def _write_csv(rows: Iterator[list[Any]], path: Path) -> int:
    # The mark at the beginning tells Excel that it is UTF-8.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        count = 0
        for count, row in enumerate(rows, 1):  # noqa: B007 - the last number is the count
            writer.writerow([harmless(value) for value in row])
    return count


def _write_xlsx(rows: Iterator[list[Any]], path: Path) -> int:
    book = Workbook(write_only=True)
    sheet = _new_sheet(book)
    count = 0
    for count, row in enumerate(rows, 1):
        if count % (_ROWS_OF_A_SHEET - 1) == 0:
            sheet = _new_sheet(book)
        sheet.append([_cell(sheet, value) for value in row])
    book.save(path)
    return count


def _new_sheet(book: Workbook) -> WriteOnlyWorksheet:
    sheet: WriteOnlyWorksheet = book.create_sheet()
    sheet.freeze_panes = "A2"
    titles = [WriteOnlyCell(sheet, value=title) for title in HEADER]
    for title in titles:
        title.font = Font(bold=True)
    sheet.append(titles)
    return sheet


def _cell(sheet: WriteOnlyWorksheet, value: Any) -> Cell | Any:
    if isinstance(value, str):
        cell = WriteOnlyCell(sheet, value=ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", value))
        cell.data_type = "s"  # openpyxl takes a text that begins with = for a formula
        return cell
    if getattr(value, "tzinfo", None) is not None:
        return value.replace(tzinfo=None)  # spreadsheets know no zones; the column is UTC
    return value


def _write_json(rows: Iterator[list[Any]], path: Path) -> int:
    """Write an array with one object a line, so that it can be read in whole or by lines."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for count, row in enumerate(rows, 1):
            file.write(",\n" if count > 1 else "\n")
            file.write(encoder.encode(dict(zip(HEADER, row, strict=True))).decode())
        file.write("\n]\n")
    return count
