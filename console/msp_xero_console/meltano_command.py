"""Calling the ``meltano`` executable, which lives in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msp_xero.errors import MspXeroError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msp_xero_console.project import Project

VARIABLE = "MELTANO"


@dataclass(frozen=True, slots=True)
class Meltano:
    """The executable, and the project that it is called for."""

    executable: str
    folder: Path
    environment: str | None

    @classmethod
    def of(cls, project: Project) -> Self:
        """Find Meltano for a project.

        Raises:
            MspXeroError: the settings are not from a Meltano project, or there is no Meltano.
        """
        if not project.is_meltano:
            raise MspXeroError("bookmarks belong to a Meltano project; run this in the folder of one")
        return cls(find_executable(os.environ), project.folder, project.environment)

    def run(self, *arguments: str, given: str | None = None) -> str:
        """Run a command of Meltano and return what it printed.

        Args:
            arguments: of the command.
            given: its standard input.

        Raises:
            MspXeroError: it failed.
        """
        environment = [f"--environment={self.environment}"] if self.environment else []
        try:
            done = subprocess.run(  # noqa: S603 - the arguments are ours, and no shell is involved
                [self.executable, *environment, *arguments],
                cwd=self.folder,
                input=given,
                capture_output=True,
                text=True,
                encoding="utf-8",
                check=False,
                env={**os.environ, "MELTANO_CLI_DISABLE_VERSION_CHECK": "true"},
            )
        except OSError as error:
            raise MspXeroError(f"{self.executable} cannot be started: {error.strerror}") from error
        if done.returncode:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            said = next(
                (line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "nothing"
            )
            raise MspXeroError(f"`meltano {' '.join(arguments)}` failed and said: {said}")
        return done.stdout


def find_executable(shell: Mapping[str, str]) -> str:
    """Return the path of Meltano: the variable ``MELTANO``, beside this Python, or on the ``PATH``.

    Raises:
        MspXeroError: it is nowhere.
    """
    beside = Path(sys.executable).parent / "meltano"
    found = shell.get(VARIABLE) or (str(beside) if beside.is_file() else shutil.which("meltano"))
    if not found:
        raise MspXeroError(
            f"Meltano was not found; put it on the PATH, or name it in the variable {VARIABLE}"
        )
    return found
