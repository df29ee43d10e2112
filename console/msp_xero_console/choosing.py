"""Finding the one row that a person means by an id or an exact name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero.errors import MspXeroError

if TYPE_CHECKING:
    from collections.abc import Iterable


def the_one(
    wanted: str, candidates: Iterable[tuple[str, str | None]], *, noun: str, list_command: str
) -> str:
    """Return the id that a person means.

    An id counts first, then the exact name, then the name without regard to case and to how many blanks
    stand between its words: tables and shells show and pass on only one.

    Args:
        wanted: what the person wrote.
        candidates: id and name of each row.
        noun: what the rows are called.
        list_command: the command that lists them, for the advice.

    Raises:
        MspXeroError: no row or several rows are meant.
    """
    wanted = wanted.strip()
    rows = dict(candidates)
    if wanted in rows:
        return wanted
    found = [key for key, name in rows.items() if name == wanted] or [
        key for key, name in rows.items() if _plain(name) == _plain(wanted)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise MspXeroError(
            f"{len(found)} {noun}s are called {wanted!r}; give the id: {', '.join(sorted(found))}"
        )
    raise MspXeroError(f"there is no {noun} {wanted!r}; `{list_command}` shows them")


def _plain(name: str | None) -> str:
    return " ".join((name or "").casefold().split())
