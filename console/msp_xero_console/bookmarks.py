"""``msp-xero bookmarks``: Meltano's bookmarks as files that git can keep.

A bookmark is what Meltano calls the state of a run: how far a job has read. Each state id becomes one
file, small, sorted and ended by a line break, so that a change of a bookmark is a change of a line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, unquote

import typer
from msp_xero.errors import MspXeroError

from msp_xero_console import show
from msp_xero_console.command import AsJson, command, command_group
from msp_xero_console.files import complete_or_nothing
from msp_xero_console.meltano_command import Meltano
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

app = command_group("Keep Meltano's bookmarks in git.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the files, one for each bookmark.")]

_NONE = "No bookmarks yet: no job has stored one. They appear after the first `meltano run worklogs`."


@command(app, "export")
def export(project: Project, *, folder: Folder, as_json: AsJson = False) -> None:
    """Write each bookmark to a file of its own; files that say the same already are left alone.

    Without --environment the bookmarks of all environments. No file is ever deleted.
    """
    bookmarks = _read(project)
    done = []
    if bookmarks:
        folder.mkdir(parents=True, exist_ok=True)
    for state_id, state in sorted(bookmarks.items()):
        path = folder / file_name(state_id)
        wanted = file_text(state)
        known = path.read_text("utf-8") if path.is_file() else None
        if known != wanted:
            with complete_or_nothing(path) as unfinished:
                unfinished.write_text(wanted, "utf-8", newline="\n")
        outcome = "as it was" if known == wanted else "new" if known is None else "updated"
        done.append((state_id, path.name, outcome))
    done += [
        (state_id, file_name(state_id), "kept; Meltano has no such bookmark")
        for state_id in map(state_id_of, (path.name for path in _files(folder)))
        if state_id not in bookmarks and _is_wanted(project, state_id)
    ]
    _report(done, f"in {folder}", as_json=as_json, empty=_NONE)


@command(app, "import")
def import_(project: Project, *, folder: Folder, as_json: AsJson = False) -> None:
    """Set Meltano's bookmarks from files; the next run carries on from there.

    A bookmark that lies further back is safe: what was billed is never billed again.
    """
    if not folder.is_dir():
        raise MspXeroError(f"there is no folder {folder}; `msp-xero bookmarks export {folder}` makes one")
    wanted = {
        state_id_of(path.name): read_file(path)
        for path in _files(folder)
        if _is_wanted(project, state_id_of(path.name))
    }
    known = _read(project) if wanted else {}
    fresh = {state_id: state for state_id, state in wanted.items() if known.get(state_id) != state}
    if fresh:
        # Meltano stores a missing part as null, which it cannot read back everywhere.
        complete = {key: {"completed": {}, "partial": {}, **state} for key, state in fresh.items()}
        Meltano.of(project).run("state", "import", given=json.dumps(complete))
    done = [
        (state_id, file_name(state_id), "set" if state_id in fresh else "as it was")
        for state_id in sorted(wanted)
    ]
    _report(done, f"from {folder}", as_json=as_json, empty=f"There are no bookmarks in {folder}.")


def file_name(state_id: str) -> str:
    """Return the file of a state id: the colons of Meltano become ``~``, all else that is unsafe ``%XX``."""
    return quote(state_id, safe="").replace("~", "%7E").replace("%3A", "~") + ".json"


def state_id_of(name: str) -> str:
    """Return the state id of a file."""
    return unquote(name.removesuffix(".json").replace("~", "%3A"))


def file_text(state: Mapping[str, Any]) -> str:
    """Return what a file holds."""
    return json.dumps(state, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_file(path: Path) -> dict[str, Any]:
    """Return the bookmark of a file.

    Raises:
        MspXeroError: the file is not one of ours.
    """
    try:
        state = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise MspXeroError(f"{path} is not JSON; nothing was imported") from error
    if not isinstance(state, dict) or not state or not set(state) <= {"completed", "partial"}:
        raise MspXeroError(f"{path} does not hold a bookmark; nothing was imported")
    if not all(isinstance(part, dict) for part in state.values()):
        raise MspXeroError(f"{path} does not hold a bookmark; nothing was imported")
    return _parts(state)


def _read(project: Project) -> dict[str, dict[str, Any]]:
    """Return the bookmarks that say something, by state id."""
    answer = Meltano.of(project).run("state", "export")
    try:
        states = json.loads(answer)
    except ValueError as error:
        raise MspXeroError("Meltano's answer to `meltano state export` is not JSON") from error
    found = {key: _parts(state) for key, state in states.items() if _is_wanted(project, key)}
    return {key: state for key, state in found.items() if state}


def _parts(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: state[name] for name in ("completed", "partial") if state.get(name)}


def _is_wanted(project: Project, state_id: str) -> bool:
    return not project.environment_given or state_id.startswith(f"{project.environment}:")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _report(done: list[tuple[str, str, str]], where: str, *, as_json: bool, empty: str) -> None:
    if as_json:
        show.data([{"state_id": key, "file": name, "outcome": outcome} for key, name, outcome in done])
    elif done:
        moved = sum(outcome in ("new", "updated", "set") for _, _, outcome in done)
        notes = [f"{plural(len(done), 'bookmark')} {where}, {moved} changed."]
        show.table([Column("Bookmark"), Column("File"), Column("Outcome", wraps=True)], done, notes=notes)
    else:
        show.say(empty)
