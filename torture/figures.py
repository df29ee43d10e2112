"""What was proven: ``torture/record.json``, and the tables of ``docs/guarantees.md`` made from it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torture.simulate import Tally

ROOT: Final = Path(__file__).resolve().parents[1]
RECORD: Final = ROOT / "torture" / "record.json"
PAGE: Final = ROOT / "docs" / "guarantees.md"
_PROGRAM: Final = (
    "core/msp_xero",
    "tap-msp-sdp/tap_msp_sdp",
    "tap-xero-lite/tap_xero_lite",
    "transforms/msp_xero_transforms",
    "target-msp-sdp/target_msp_sdp",
    "target-xero-invoices/target_xero_invoices",
    "sandbox/msp_xero_sandbox",
    "torture",
)
_SUMS: Final = (
    "seeds",
    "days",
    "runs",
    "quiet_runs",
    "faults",
    "crashes",
    "refusals",
    "calls",
    "worklogs",
    "invoices",
)


def version() -> str:
    """Return eight characters that name the source of the program and of what plays with it."""
    digest = hashlib.sha256()
    for folder in _PROGRAM:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "tests" not in path.parts:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def record_months(total: Tally, first: int, took: float) -> None:
    """Add played months: ``first`` is the first of their seeds, ``took`` in seconds.

    Raises:
        ValueError: some of these seeds were recorded of the same source before.
    """
    record, row = read(), {"first": first, **_sums(total, took)}
    for other in record["months"]:
        apart = first >= other["first"] + other["seeds"] or other["first"] >= first + row["seeds"]
        if other["version"] == row["version"] and not apart:
            raise ValueError(f"seeds from {other['first']} on are recorded already; begin with --first")
    record["months"].append(row)
    _write(record)


def record_sweep(total: Tally, took: float) -> None:
    """Put the last sweep."""
    record = read()
    record["sweep"] = _sums(total, took)
    _write(record)


def record_mutant(row: dict[str, Any], names: Sequence[str]) -> None:
    """Put what caught a mutant; ``names`` are those of all mutants there are, in their order."""
    record = read()
    rows = {one["name"]: one for one in (*record["mutants"], {**row, "version": version()})}
    record["mutants"] = [rows[name] for name in names if name in rows]
    _write(record)


def read() -> dict[str, Any]:
    """Return the record."""
    if not RECORD.is_file():
        return {"months": [], "sweep": None, "mutants": []}
    content: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return content


def _sums(total: Tally, took: float) -> dict[str, Any]:
    sums = {name: round(getattr(total, name)) for name in _SUMS}
    return sums | {"violations": len(total.violations), "seconds": round(took), "version": version()}


def _write(record: dict[str, Any]) -> None:
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(page, record), encoding="utf-8")


def with_tables(page: str, record: dict[str, Any]) -> str:
    """Return the page with its tables made anew from a record."""
    for name, lines in (("months", _months(record)), ("mutants", _mutants(record))):
        begin, end = f"<!-- torture {name} -->", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = "\n".join([before + begin, *lines, end + after])
    return page


def _months(record: dict[str, Any]) -> Iterable[str]:
    versions: dict[str, dict[str, Any]] = {}
    for row in record["months"]:
        sums = versions.setdefault(row["version"], dict.fromkeys((*_SUMS, "violations"), 0))
        for name in (*_SUMS, "violations"):
            sums[name] += row[name]
    rows = [(f"months from seeds, program {name}", sums) for name, sums in versions.items()]
    if len(rows) > 1:
        every = {name: sum(sums[name] for _, sums in rows) for name in (*_SUMS, "violations")}
        rows.append(("**all months**", every))
    if record["sweep"]:
        title = f"every single fault and kill point, program {record['sweep']['version']}"
        rows.insert(0, (title, record["sweep"]))
    yield "| what | played | days | runs | quiet runs | faults | crashes | calls | worklogs | violations |"
    yield "| --- " + "| ---: " * 9 + "|"
    columns = ("seeds", "days", "runs", "quiet_runs", "faults", "crashes", "calls", "worklogs", "violations")
    for title, sums in rows:
        yield f"| {title} | " + " | ".join(f"{sums[name]:,}" for name in columns) + " |"


def _mutants(record: dict[str, Any]) -> Iterable[str]:
    yield "| the program, broken on purpose | what noticed: a broken promise, or a test | after |"
    yield "| --- | --- | ---: |"
    for row in record["mutants"]:
        yield f"| {row['name']} | {row['caught_by']} | {row['after']} |"
