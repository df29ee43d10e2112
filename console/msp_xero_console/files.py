"""Writing files so that a reader never finds half of one, and nothing in it that acts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from msp_xero.errors import MspXeroError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@contextlib.contextmanager
def complete_or_nothing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the place of ``path`` when all went well.

    Raises:
        MspXeroError: the folder of ``path`` does not exist.
    """
    if not path.parent.is_dir():
        raise MspXeroError(f"there is no folder {path.parent} to write {path.name} to")
    unfinished = path.with_name(f".{path.stem}.unfinished{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def harmless(value: Any) -> Any:
    """Keep a spreadsheet from running a text as a formula; numbers stay numbers."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value
