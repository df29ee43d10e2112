"""Deciding about items: which are linked, which become types, which wait for a person. Pure: no I/O."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from msp_xero.directory.match import EXACT, Matching, Named, exact_key, match_names, sought_name
from msp_xero.ledger.link_memory import PERSON
from msp_xero.ledger.link_staging import INVALID
from msp_xero.ledger.links import LINK

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from msp_xero.ledger.models import WorklogTypeLink

CREATED: Final = "created"
NAMED: Final = frozenset({EXACT, CREATED})
"""Ways of linking that made both names equal: from then on the type is called like its item."""

_AMBIGUOUS: Final = (
    "its name fits more than one worklog type, or more than one item is called so: link it by hand"
)
_TWINS: Final = (
    "the sold items {codes} have the same name: rename all but one, or take type names from item codes"
)
_TAKEN: Final = (
    "the worklog type of its name is linked to item {codes}: rename one of them, or link it by hand"
)
_TAKEN_AWAY: Final = (
    "the worklog type of its name was taken from it by hand, so it is not linked again and none was created "
    "beside it: link it after all, or rename one of them"
)
_INHERITED: Final = (
    "an item of this name was deleted in Xero, and it is not certain that this one takes its worklog type "
    "over: link it by hand"
)
_UNWANTED: Final = "the worklog type of its name is set to be ignored: link it by hand if it is to be billed"


class NewLink(NamedTuple):
    """An item and the worklog type that it is linked to from now on.

    ``instead_of`` is the item that had the type and is not in Xero any more.
    """

    row: WorklogTypeLink
    type: Named
    how: str
    instead_of: WorklogTypeLink | None = None


class Listed(NamedTuple):
    """An item that waits for a person."""

    row: WorklogTypeLink
    candidates: tuple[str, ...] = ()
    problem: str | None = None
    ambiguous: bool = False


@dataclass(slots=True)
class TypePlan:
    """What a settle is to do about links; names are compared afterwards."""

    links: list[NewLink] = field(default_factory=list)
    creates: list[WorklogTypeLink] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)


def is_invalid(row: WorklogTypeLink) -> bool:
    """Whether the last delivery of an item must not be acted on."""
    return (row.problem or "").startswith(INVALID)


def plan_types(
    rows: Sequence[WorklogTypeLink],
    types: Sequence[Named],
    mode: str = EXACT,
    *,
    ignored: Collection[str] = (),
) -> TypePlan:
    """Decide about every sold item that is not linked.

    A type whose item was deleted in Xero is free again: an item that was deleted and made anew has
    another id, and takes over the type of its name, or the one that its forerunner of that name had.

    Args:
        rows: all items of the connection's generation, in order of arrival.
        types: all worklog types as SDP lists them now, those that are switched off too.
        mode: how names are matched.
        ignored: ids of worklog types that a person wants no item for.
    """
    plan = TypePlan()
    holders = {row.type_id: row for row in rows if row.type_id is not None}
    taken = {one for one, row in holders.items() if row.gone_at is None}
    waiting = [row for row in rows if _waits(row)]
    free = [one for one in types if one.id not in taken and one.id not in ignored]
    called = {exact_key(one.name) for one in free}
    sought = {row.item_id: sought_name(row.name, row.creating_name, called) for row in waiting}
    found = match_names([Named(one, name) for one, name in sought.items()], free, mode)
    by_id = {one.id: one for one in types}
    doubts = _Doubts(rows, waiting, by_id, found, ignored)
    for row in waiting:
        type_id = found.links.get(row.item_id)
        if doubt := doubts.about(row):
            plan.listed.append(doubt)
        elif gone := doubts.forerunner(row):
            plan.links.append(NewLink(row, by_id[str(gone.type_id)], gone.how or PERSON, gone))
        elif type_id is not None:
            # Under another name than its own it was made by us; it is renamed next.
            how = found.how[row.item_id] if sought[row.item_id] == row.name else CREATED
            plan.links.append(NewLink(row, by_id[type_id], how, holders.get(type_id)))
        else:
            plan.creates.append(row)
    # What a settle took away itself says why, until a person decides.
    plan.listed += [Listed(row, (), row.problem) for row in rows if _left_to_a_person(row)]
    return plan


class _Doubts:
    """Why an item waits for a person."""

    def __init__(
        self,
        rows: Sequence[WorklogTypeLink],
        waiting: Sequence[WorklogTypeLink],
        types: Mapping[str, Named],
        found: Matching,
        ignored: Collection[str],
    ) -> None:
        self._found = found
        self._wanted: defaultdict[str, list[str]] = defaultdict(list)
        for row in waiting:
            self._wanted[exact_key(row.name)].append(row.item_code)
        self._unwanted = {exact_key(types[one].name): one for one in ignored if one in types}
        self._taken: dict[str, str] = {}
        self._gone: defaultdict[str, list[WorklogTypeLink]] = defaultdict(list)
        for row in rows:
            if row.type_id is None or row.type_id not in types:
                continue
            if row.gone_at is None:
                self._taken[exact_key(types[row.type_id].name)] = row.item_code
            else:
                self._gone[exact_key(row.name)].append(row)
        self._claimed = {*found.links.values(), *(one for some in found.ambiguous.values() for one in some)}

    def forerunner(self, row: WorklogTypeLink) -> WorklogTypeLink | None:
        """Return the deleted item of the same name whose type an item takes over, whatever that is called.

        A link that a person made says more than a type of the item's name: it was there to be linked too.
        """
        gone, type_id = self._forerunners(row), self._found.links.get(row.item_id)
        if len(gone) != 1 or gone[0].type_id == type_id:
            return None
        by_person = gone[0].how == PERSON or gone[0].choice == LINK
        return gone[0] if type_id is None or by_person else None

    def _forerunners(self, row: WorklogTypeLink) -> list[WorklogTypeLink]:
        return self._gone.get(exact_key(row.name), []) if row.choice is None else []

    def about(self, row: WorklogTypeLink) -> Listed | None:
        """Return why nothing is done about an item by itself, None when nothing speaks against it."""
        name, type_id = exact_key(row.name), self._found.links.get(row.item_id)
        if row.item_id in self._found.ambiguous:
            return Listed(row, self._found.ambiguous[row.item_id], _AMBIGUOUS, ambiguous=True)
        if type_id is None and len(self._wanted[name]) > 1:
            codes = " and ".join(sorted(self._wanted[name]))
            return Listed(row, (), _TWINS.format(codes=codes), ambiguous=True)
        left = {str(gone.type_id) for gone in self._forerunners(row)}
        if type_id is not None or left:
            return self._about_link(row, type_id, left)
        if name in self._taken:
            return Listed(row, (), _TAKEN.format(codes=self._taken[name]), ambiguous=True)
        if name in self._unwanted:
            return Listed(row, (self._unwanted[name],), _UNWANTED, ambiguous=True)
        return None

    def _about_link(self, row: WorklogTypeLink, type_id: str | None, left: set[str]) -> Listed | None:
        candidates = left if type_id is None else {*left, type_id}
        if (gone := self.forerunner(row)) is not None:
            is_certain = gone.type_id not in self._claimed
        elif type_id is not None and type_id in (row.unlinked or ()):
            return Listed(row, (type_id,), _TAKEN_AWAY, ambiguous=True)
        else:
            is_certain = len(candidates) == 1
        return None if is_certain else Listed(row, tuple(sorted(candidates)), _INHERITED, ambiguous=True)


def _wanted_at_all(row: WorklogTypeLink) -> bool:
    return row.type_id is None and row.is_sold and row.gone_at is None and not is_invalid(row)


def _waits(row: WorklogTypeLink) -> bool:
    return _wanted_at_all(row) and row.state != "ignored" and row.choice in (None, "create")


def _left_to_a_person(row: WorklogTypeLink) -> bool:
    return _wanted_at_all(row) and row.choice == "list"
