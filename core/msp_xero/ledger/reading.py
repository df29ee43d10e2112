"""An SQLite ledger as it lies there: is there one, may it be written, and reading it without a trace."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import URL, create_engine

from msp_xero.errors import SettingError
from msp_xero.ledger.defaults import DEFAULT_LEDGER_URL

if TYPE_CHECKING:
    import contextlib

    from sqlalchemy import Engine


def is_absent(address: URL) -> bool:
    """Tell whether an SQLite ledger has no file yet.

    Raises:
        SettingError: something else has its place: a folder, above all.
    """
    if address.get_backend_name() != "sqlite":
        return False
    path = Path(str(address.database))
    if path.exists() and not path.is_file():
        raise SettingError("ledger_url", f"{path} is there, and is no file", DEFAULT_LEDGER_URL)
    return not path.exists()


def may_only_be_read(path: Path) -> bool:
    """Tell whether this user can read an SQLite ledger and not write it.

    A log is made beside a ledger that is written; where it is there already, the folder need not be written.
    """
    is_kept = not os.access(path.parent, os.W_OK) and not _log_of(path).exists()
    return is_kept or not os.access(path, os.W_OK)


def engine_that_reads(path: Path, stack: contextlib.ExitStack) -> Engine:
    """Return an engine of an SQLite ledger that refuses to write; the stack closes it."""
    found, mode = _as_it_lies(path, stack)

    def connect() -> sqlite3.Connection:
        address = f"file:{quote(str(found))}?{mode}"
        return sqlite3.connect(address, uri=True, timeout=10, check_same_thread=False)

    # Named after the ledger itself, so that a failure names what the person knows.
    engine = create_engine(URL.create("sqlite", database=str(path)), creator=connect)
    stack.callback(engine.dispose)
    return engine


def _as_it_lies(path: Path, stack: contextlib.ExitStack) -> tuple[Path, str]:
    """Return the file to open and the mode for it, so that SQLite makes no file beside the ledger.

    A file in use has a log beside it, which has to be read too, and an index of the log. Where there is no
    log, nobody has it open. Where there is a log without an index, nobody has it open either (a restored
    backup, say): SQLite would make the index and leave it there, so that a copy is read.
    """
    log, index = _log_of(path), Path(f"{path}-shm")
    if not log.exists() or (not index.exists() and log.stat().st_size == 0):
        return path, "immutable=1"
    if index.exists():
        return path, "mode=ro"
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="msp-xero-look-")))
    for one in (path, log):
        shutil.copyfile(one, folder / one.name)
    return folder / path.name, "mode=ro"


def _log_of(path: Path) -> Path:
    return Path(f"{path}-wal")
