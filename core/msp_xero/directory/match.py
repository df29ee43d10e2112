"""Names to links: what is certain is linked, what is in doubt is named with its candidates.

Nothing here depends on the order of its input, and a second run over what the first left finds
nothing new: a link is made only where one name stands alone on both sides.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from msp_xero.ledger.link_memory import EXACT, exact_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

__all__ = [
    "EXACT",
    "MODES",
    "NORMALISED",
    "Matching",
    "Named",
    "exact_key",
    "group",
    "match_names",
    "normalised_key",
    "sought_name",
]

NORMALISED: Final = "normalised"
MODES: Final = (EXACT, NORMALISED)


class Named(NamedTuple):
    """Something with an id and a name, on either side."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Matching:
    """What matching found.

    Attributes:
        links: right id by left id; each id occurs once on its side.
        how: ``exact`` or ``normalised`` by left id.
        ambiguous: left id to the sorted right ids that it could mean; none of them is linked.
    """

    links: Mapping[str, str]
    how: Mapping[str, str]
    ambiguous: Mapping[str, tuple[str, ...]]


def normalised_key(name: str) -> str:
    """Return what two names share that differ only in case, spaces and punctuation."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    kept = "".join(letter for letter in folded if unicodedata.category(letter)[0] not in "PZC")
    return kept or exact_key(name)


def sought_name(name: str, creating_name: str | None, called: Collection[str]) -> str:
    """Return the name by which a contact or item is looked for on the other side.

    That is the name that a create was sent with whose answer was lost, if there is such a row: in Xero it
    may have been renamed since.

    Args:
        name: of the contact or item now.
        creating_name: the name that a create was sent with and whose outcome is not known, or None.
        called: the exact keys of the names of what nobody is linked to.
    """
    return creating_name if creating_name is not None and exact_key(creating_name) in called else name


def match_names(left: Iterable[Named], right: Iterable[Named], mode: str = EXACT) -> Matching:
    """Pair names that stand alone on both sides.

    Args:
        left: contacts or items that have no link.
        right: accounts or worklog types that have no link.
        mode: ``exact``; or ``normalised``, which tries exact names first.
    """
    open_left = {one.id: one.name for one in left if one.name}
    open_right = {one.id: one.name for one in right if one.name}
    links: dict[str, str] = {}
    how: dict[str, str] = {}
    key = exact_key
    for step in MODES if mode == NORMALISED else (EXACT,):
        key = exact_key if step == EXACT else normalised_key
        wanted, offered = group(open_left, key), group(open_right, key)
        for name, ids in wanted.items():
            candidates = offered.get(name, ())
            if len(ids) == len(candidates) == 1:
                links[ids[0]] = candidates[0]
                how[ids[0]] = step
        open_left = {one: name for one, name in open_left.items() if one not in links}
        taken = set(links.values())
        open_right = {one: name for one, name in open_right.items() if one not in taken}
    offered = group(open_right, key)
    doubtful = {one: offered[key(name)] for one, name in open_left.items() if key(name) in offered}
    return Matching(links=links, how=how, ambiguous=doubtful)


def group(names: Mapping[str, str], key: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
    """Return the sorted ids that share a key, by key."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for one, name in names.items():
        groups[key(name)].append(one)
    return {name: tuple(sorted(ids)) for name, ids in groups.items()}
