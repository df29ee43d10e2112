"""Writing files so that a reader never finds half of one, and nothing in it that acts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from msp_xero.errors import MspXeroError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_LARGEST = 50_000_000


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
        # Where it cannot be made, nothing is read and no writer has begun.
        unfinished.touch()
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        if error.filename != str(unfinished):
            raise
        # Nobody asked for that one, and its name is hidden.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        # What cannot be removed was never made, or is told by the error that is under way.
        with contextlib.suppress(OSError):
            unfinished.unlink()


def harmless(value: Any) -> Any:
    """Keep a spreadsheet from running a text as a formula; numbers stay numbers."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def text_of_sheet(path: Path) -> str:
    """Return the text of a file as spreadsheets save it: UTF-8, UTF-16 or the code page of Windows.

    Raises:
        MspXeroError: it is no text, or far larger than such a file is.
    """
    if path.stat().st_size > _LARGEST:
        raise MspXeroError(f"{path.name} is larger than {_LARGEST // 1_000_000} MB, which no such sheet is")
    content = path.read_bytes()
    encoding = _ENCODINGS.get(content[:2], "utf-8-sig")
    for attempt in (encoding, "cp1252"):  # Excel's plain CSV is in the code page of Windows
        try:
            text = content.decode(attempt)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise MspXeroError(f"{path.name} is no CSV file; save the sheet as CSV UTF-8")
