"""Finding the one row that a person means by an id or an exact name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero.errors import MspXeroError
from msp_xero.ledger import views

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msp_xero.ledger import Ledger


def the_one(
    wanted: str,
    candidates: Iterable[tuple[str, str | None]],
    *,
    noun: str,
    list_command: str,
    nouns: str | None = None,
) -> str:
    """Return the id that a person means.

    An id counts first, then the exact name, then the name without regard to case and to how many blanks
    stand between its words: tables and shells show and pass on only one. A name that a row had before counts
    where no row is called so now.

    Args:
        wanted: what the person wrote.
        candidates: id and name of each row; of one that stands there several times, the first name is the
            present one.
        noun: what the rows are called.
        list_command: the command that lists them, for the advice.
        nouns: what several of them are called; an s more than one when not given.

    Raises:
        MspXeroError: no row or several rows are meant.
    """
    wanted = wanted.strip()
    names = list(candidates)
    present = dict(reversed(names))
    if wanted in present:
        return wanted
    found = (
        _called(wanted, present.items())
        or _called(_plain(wanted), ((key, _plain(name)) for key, name in present.items()))
        or _called(wanted, names)
        or _called(_plain(wanted), ((key, _plain(name)) for key, name in names))
    )
    if len(found) == 1:
        return found.pop()
    if found:
        raise MspXeroError(
            f"{len(found)} {nouns or noun + 's'} are called {wanted!r}; give the id: "
            f"{', '.join(sorted(found))}"
        )
    raise MspXeroError(f"there is no {noun} {wanted!r}; `{list_command}` shows them")


def the_account(ledger: Ledger, wanted: str) -> str:
    """Return the id of the account with worklogs that a person means.

    Raises:
        MspXeroError: no account or several accounts are meant.
    """
    return the_one(
        wanted,
        views.accounts_with_worklogs(ledger),
        noun="account with worklogs",
        nouns="accounts with worklogs",
        list_command="msp-xero worklogs list",
    )


def _called(wanted: str, names: Iterable[tuple[str, str | None]]) -> set[str]:
    # Of an empty name nobody can mean anything.
    return {key for key, name in names if name and name == wanted}


def _plain(name: str | None) -> str:
    return " ".join((name or "").casefold().split())
