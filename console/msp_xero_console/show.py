"""Printing: tables and sentences for people, JSON for scripts."""

from __future__ import annotations

import dataclasses
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from msp_xero_console.words import plain_amount, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A pipe has no width: nothing is wrapped or cut, so that programs find whole ids and whole lines.
_WIDTH_OF_A_PIPE = 100_000

_NARROWEST = 16

_ENCODER = msgspec.json.Encoder(decimal_format="number")

_COLOURS = {
    "ok": "green",
    "done": "green",
    "invoiced": "green",
    "created": "green",
    "paid": "green",
    "linked": "green",
    "warning": "yellow",
    "held": "yellow",
    "needs person": "yellow",
    "unmapped": "yellow",
    "unknown": "yellow",
    "sending": "yellow",
    "failed": "red",
    "conflict": "red",
    "rejected": "red",
    "refused": "red",
}


class Column(NamedTuple):
    """One column of a table: numbers stand right, long texts wrap."""

    title: str
    right: bool = False
    wraps: bool = False


def say(sentence: str = "") -> None:
    """Print a sentence or paragraph."""
    _print(Text(printable(sentence)))


def heading(title: str) -> None:
    """Print the title of a part, with space above."""
    say()
    _print(Text(printable(title), style="bold"))


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    footer: Sequence[str] = (),
    notes: Iterable[str] = (),
) -> None:
    """Print a table, and sentences below it; cells are taken literally, whatever brackets they hold."""
    drawn = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        show_footer=bool(footer),
        header_style="bold",
    )
    cells = [[Text(printable(cell), style=_COLOURS.get(cell, "")) for cell in row] for row in rows]
    last = [Text(cell, style="bold") for cell in footer]
    needed = 0
    for index, column in enumerate(columns):
        widest = max([len(column.title), *(row[index].cell_len for row in [*cells, last] if row)])
        # What does not wrap is never cut: a narrow window gets longer lines instead.
        least = min(widest, _NARROWEST) if column.wraps else widest
        needed += least + 2  # one blank belongs to the cell, one stands between the columns
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            min_width=least,
            overflow="fold",
            footer=last[index] if last else "",
        )
    for row in cells:
        drawn.add_row(*row)
    _print(drawn, at_least=needed)
    sentences = list(notes)
    if sentences:
        say()
    for sentence in sentences:
        say(sentence)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values under each other."""
    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(no_wrap=True, style="bold")
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        drawn.add_row(Text(name), Text(printable(value), style=_COLOURS.get(value, "")))
    _print(drawn)


def data(value: Any) -> None:
    """Print a value as JSON: exact numbers, ISO dates, keys in a fixed order."""
    encoded = _ENCODER.encode(plain(value))
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")


def plain(value: Any) -> Any:
    """Turn rows into plain objects, amounts without trailing zeros."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Decimal):
        return plain_amount(value)
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value


def _print(drawn: Any, at_least: int = 0) -> None:
    window = Console().width if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    console = Console(highlight=False, width=max(window, at_least), emoji=False, markup=False)
    with console.capture() as captured:
        console.print(drawn)
    # Tables are padded to their right edge; the blanks would wrap in a log or a chat.
    raw("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def raw(line: str) -> None:
    """Print a line as it is, such as an address that has to stay in one piece."""
    sys.stdout.write(f"{line}\n")
