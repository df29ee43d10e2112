"""``msp-xero worklogs export``: three formats that say the same, and do no harm when opened."""

from __future__ import annotations

import csv
import json
import re
import tracemalloc
from decimal import Decimal

import pytest
from msp_xero.ledger.staging import stage_lines
from msp_xero_console.export import HEADER
from openpyxl import load_workbook


def read(path) -> list[dict[str, str | None]]:
    """Return the rows of a file, every value as text, nothing as None."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    elif path.suffix == ".json":
        rows = json.loads(path.read_text("utf-8"), parse_float=Decimal)
    else:
        sheet = load_workbook(path).active
        header, *body = sheet.iter_rows(values_only=True)
        rows = [dict(zip(header, row, strict=True)) for row in body]
    return [{name: text(value) for name, value in row.items()} for row in rows]


def text(value) -> str | None:
    if value in (None, ""):
        return None
    if isinstance(value, bool) or value in ("True", "False"):
        return str(value).lower()
    if isinstance(value, (int, float, Decimal)):
        return f"{Decimal(str(value)).normalize():f}"
    if isinstance(value, str) and value.replace(".", "").isdigit():
        return f"{Decimal(value).normalize():f}"
    if re.match(r"\d{4}-\d\d-\d\d", str(value)):
        return str(value).removesuffix("Z").removesuffix("+00:00").replace("T", " ").removesuffix(" 00:00:00")
    return str(value)


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "json"])
def test_every_format_has_every_worklog(cli, suffix) -> None:
    path = cli.folder / f"worklogs.{suffix}"
    assert cli.says("worklogs", "export", str(path)) == f"Wrote 11 worklogs to {path}.\n"
    rows = read(path)
    assert len(rows) == 11
    assert list(rows[0]) == HEADER
    by_id = {row["worklog_id"]: row for row in rows}
    assert by_id["101"]["invoice_number"] == "SDP-00001"
    assert by_id["101"]["money"] == "150"
    assert by_id["102"]["changed_fields"] == "minutes"
    assert by_id["105"]["reason_code"] == "ACCOUNT_UNMAPPED"
    assert by_id["105"]["who"] == "Billing person"
    assert by_id["105"]["money"] is None
    assert by_id["110#2"]["parent_display_id"] == "1046"
    assert not list(cli.folder.glob(".*unfinished*"))


def test_the_formats_agree(cli) -> None:
    paths = [cli.folder / f"worklogs.{suffix}" for suffix in ("csv", "xlsx", "json")]
    for path in paths:
        cli.says("worklogs", "export", str(path))
    as_csv, as_xlsx, as_json = (
        [{k: v for k, v in row.items() if k != "technician_name"} for row in read(p)] for p in paths
    )
    assert as_csv == as_xlsx == as_json


def test_filters_hold_for_files_too(cli) -> None:
    path = cli.folder / "held.csv"
    assert "Wrote 3 worklogs" in cli.says("worklogs", "export", str(path), "--state", "held")
    assert [row["worklog_id"] for row in read(path)] == ["105", "106", "107"]


DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


@pytest.fixture
def dangerous(empty, line):
    with empty.ledger() as ledger:
        lines = [line(f"20{n}", account_name=name) for n, name in enumerate([*DANGEROUS, "fine", "bell\x07"])]
        stage_lines(ledger, [*lines, line("300", amount=Decimal(-5))], settle_reasons=frozenset())
    return empty


def test_csv_texts_cannot_be_formulas_and_numbers_stay_numbers(dangerous) -> None:
    path = dangerous.folder / "x.csv"
    dangerous.says("worklogs", "export", str(path))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["account_name"] for row in rows[:7]] == [*(f"'{name}" for name in DANGEROUS), "fine"]
    assert rows[-1]["money"] == "-5.00"


def test_xlsx_texts_are_texts_and_numbers_are_numbers(dangerous) -> None:
    path = dangerous.folder / "x.xlsx"
    dangerous.says("worklogs", "export", str(path))
    sheet = load_workbook(path).active
    titles = [cell.value for cell in sheet[1]]
    names = [row[titles.index("account_name")] for row in sheet.iter_rows(min_row=2)]
    assert {cell.data_type for cell in names} == {"s"}
    assert names[0].value == "=1+1"
    assert names[7].value == "bell\N{REPLACEMENT CHARACTER}"
    money = sheet.cell(sheet.max_row, titles.index("money") + 1)
    assert (money.data_type, money.value) == ("n", -5)
    assert sheet.freeze_panes == "A2"


def test_a_failed_export_leaves_the_old_file(cli, monkeypatch) -> None:
    path = cli.folder / "worklogs.csv"
    path.write_text("old")

    def fails(*_):
        yield from ()
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("msp_xero.ledger.views.every_worklog", fails)
    assert "No space left on device" in cli.refuses("worklogs", "export", str(path))
    assert path.read_text() == "old"
    assert not list(cli.folder.glob(".*unfinished*"))


def test_a_folder_that_is_not_there_is_named_and_nothing_else(cli) -> None:
    folder = cli.folder / "not" / "there"
    said = cli.refuses("worklogs", "export", str(folder / "x.csv"))
    assert f"there is no folder {folder} to write x.csv to" in said
    assert "unfinished" not in said


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "json"])
def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(cli, suffix) -> None:
    path = cli.folder / f"{'x' * 245}.{suffix}"
    said = cli.refuses("worklogs", "export", str(path))
    assert f"File name too long: {path}\n" in said
    assert "unfinished" not in said


def test_an_empty_export_has_its_header(empty) -> None:
    for suffix in ("csv", "xlsx", "json"):
        path = empty.folder / f"none.{suffix}"
        assert "Wrote 0 worklogs" in empty.says("worklogs", "export", str(path))
        assert read(path) == []


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "json"])
def test_ten_thousand_rows_in_flat_memory(empty, line, suffix) -> None:
    with empty.ledger() as ledger:
        for start in range(0, 10_000, 1000):
            lines = [line(str(n), technician_id=str(n)) for n in range(start, start + 1000)]
            stage_lines(ledger, lines, settle_reasons=frozenset())
    path = empty.folder / f"many.{suffix}"
    empty.says("worklogs", "export", str(path), "--state", "held")  # what is imported stays out of the count
    tracemalloc.start()
    try:
        empty.says("worklogs", "export", str(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000  # a page of 1,000 rows is in memory, not the 10,000
    if suffix != "xlsx":
        assert len(read(path)) == 10_000
