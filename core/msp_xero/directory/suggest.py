"""Suggestions for a person who maps by hand: accounts whose names look like a contact's."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from msp_xero.directory.match import Named, normalised_key

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEGAL_FORMS: Final = frozenset(
    {
        *(
            "ltd",
            "limited",
            "inc",
            "incorporated",
            "llc",
            "llp",
            "plc",
            "corp",
            "corporation",
            "co",
            "company",
        ),
        *("gmbh", "ag", "kg", "bv", "nv", "sa", "sarl", "srl", "pty", "pte", "the", "and"),
    }
)
_WORDS: Final = re.compile(r"[^\W_]+")
_ALIKE: Final = 0.6


def suggest(name: str, accounts: Iterable[Named], limit: int = 3) -> list[Named]:
    """Return the accounts most like a name, best first; nothing is ever linked by this.

    Args:
        name: a contact's name.
        accounts: accounts that are not linked.
        limit: the most to return.
    """
    wanted = _essence(name)
    scored = [(_likeness(wanted, _essence(account.name)), account) for account in accounts]
    close = [(score, account) for score, account in scored if score >= _ALIKE]
    close.sort(key=lambda pair: (-pair[0], pair[1].name, pair[1].id))
    return [account for _, account in close[:limit]]


def _essence(name: str) -> str:
    words = _WORDS.findall(name.casefold())
    telling = [word for word in words if word not in _LEGAL_FORMS] or words
    return " ".join(normalised_key(word) for word in telling)


def _likeness(one: str, other: str) -> float:
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    # The two cheap upper bounds spare nearly all of the exact comparisons.
    if matcher.real_quick_ratio() < _ALIKE or matcher.quick_ratio() < _ALIKE:
        return 0.0
    return matcher.ratio()
