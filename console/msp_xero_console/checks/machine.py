"""Has this machine what a run needs?"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from msp_xero.errors import SettingError
from msp_xero.ledger.address import ledger_address

from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msp_xero_console.checks.scene import Scene

_GIGABYTE = 1000**3
LITTLE = 1 * _GIGABYTE
TOO_LITTLE = _GIGABYTE // 10


def disk(scene: Scene) -> Iterator[Finding]:
    """Check the space where the ledger and the project's own files grow."""
    seen = set()
    for folder in (_folder_of_ledger(scene.project.ledger_url), scene.project.folder):
        if folder is None:
            continue
        place = _existing(folder)
        device = place.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield space(place, shutil.disk_usage(place).free)


def space(place: Path, free: int) -> Finding:
    """Judge the bytes that are free in a folder."""
    seen = f"{free / _GIGABYTE:,.1f} GB are free in {place}"
    if free < TOO_LITTLE:
        return Finding("disk", FAILED, seen, "Make room: a run that cannot write its ledger stops.")
    if free < LITTLE:
        return Finding("disk", WARNING, seen, "Make room before it is full.")
    return Finding("disk", OK, seen)


def _folder_of_ledger(url: str) -> Path | None:
    """Return the folder of an SQLite ledger; another database's disk is elsewhere."""
    try:
        parsed = ledger_address(url)
    except SettingError:
        return None
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database).parent


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.resolve().parents) if place.is_dir())
