"""Would the mapper start? Only it knows its rules, so that it is asked itself, once for each mapping."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding
from msp_xero_console.project import MAPPER
from msp_xero_console.words import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msp_xero_console.checks.scene import Scene
    from msp_xero_console.project import Mapped

PATIENCE: Final = 240.0
"""Seconds that the mapper has to start and to end: one or two are enough, but on a machine that is busy."""


def mappings(scene: Scene) -> Iterator[Finding]:
    """Check that the mapper takes the settings of each mapping."""
    found = scene.project.mappings
    # Each takes a second, most of which goes by with imports.
    with ThreadPoolExecutor(max_workers=len(found) or 1) as pool:
        answers = pool.map(lambda mapping: refusals(mapping, scene.project.folder), found.values())
        for name, answer in zip(found, answers, strict=True):
            yield _judged(f"mapping {name}", answer)


def refusals(mapping: Mapped, folder: Path) -> list[str] | None:
    """Return why the mapper refuses a mapping's settings: nothing where it takes them, None without a mapper.

    It is started as Meltano starts it, in the project's folder, with nothing to map.
    """
    beside = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent)))
    executable = shutil.which(mapping.executable, path=beside)
    if executable is None:
        return None
    with tempfile.TemporaryDirectory(prefix="msp-xero-look-") as place:
        config = Path(place) / "config.json"  # in a folder for this user only: the ledger's URL may be secret
        config.write_text(json.dumps(dict(mapping.config), default=str), "utf-8")
        try:
            done = subprocess.run(  # noqa: S603 - the project's own mapper, as a run starts it
                [executable, "--config", str(config)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return [f"{executable} did not start ({type(error).__name__})"]
    if done.returncode == 0:
        return []
    said = [line.partition(": error: ")[2] for line in done.stderr.splitlines() if line.startswith(MAPPER)]
    return [text(line) for line in said if line] or [f"{executable} ended with {done.returncode}"]


def _judged(subject: str, answer: list[str] | None) -> Finding:
    if answer is None:
        seen = f"{MAPPER} is not installed here, so its settings were not looked at"
        return Finding(subject, WARNING, seen, "Install it: `meltano install`.")
    if answer:
        return Finding(subject, FAILED, "; ".join(answer), "Correct the mapping's config in meltano.yml.")
    return Finding(subject, OK, "the mapper takes its settings")
