"""Looking for what must not be there: in what was said, and in what a run left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.project import Project


def check_places(project: Project, said: list[str], words: tuple[str, ...]) -> None:
    """Fail if a word is in what was said, or in a file that was left behind."""
    places = {"output": "\n".join(said)} | dict(_files(project.folder))
    for place, text in places.items():
        found = [word for word in words if word in text]
        assert not found, f"{place} holds {found}: {_around(text, found[0])}"


def _around(text: str, word: str) -> str:
    at = text.index(word)
    return text[max(0, at - 200) : at + 100]


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what the run left behind: logs, state, names of files; not settings, tokens and the ledger."""
    own = {"meltano.yml", "ledger.db", "ledger.db-wal", "ledger.db-shm"}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        yield f"the name {inside}", str(inside)
        if (
            path.is_symlink()
            or not path.is_file()
            or any(part in inside.parts for part in ("extractors", "loaders", "mappers"))
        ):
            continue
        if path.name in own or path.name.startswith("xero-token"):
            continue
        yield str(inside), path.read_text(encoding="utf-8", errors="replace")
