"""Deciding about items: which are linked, which become types, which wait for a person. Pure: no I/O."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from msp_xero.directory.match import EXACT, Named, exact_key, match_names
from msp_xero.ledger.link_staging import INVALID

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

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
    another id, and takes over the type of its name.

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
    found = match_names(
        [Named(row.item_id, row.name) for row in waiting],
        [one for one in types if one.id not in taken and one.id not in ignored],
        mode,
    )
    by_id = {one.id: one for one in types}
    taken_names = {exact_key(by_id[one].name): holders[one].item_code for one in taken if one in by_id}
    unwanted = {exact_key(by_id[one].name): one for one in ignored if one in by_id}
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for row in waiting:
        wanted[exact_key(row.name)].append(row.item_code)
    for row in waiting:
        name = exact_key(row.name)
        if row.item_id in found.links:
            one = found.links[row.item_id]
            plan.links.append(NewLink(row, by_id[one], found.how[row.item_id], holders.get(one)))
        elif row.item_id in found.ambiguous:
            plan.listed.append(Listed(row, found.ambiguous[row.item_id], _AMBIGUOUS, ambiguous=True))
        elif len(wanted[name]) > 1:
            codes = " and ".join(sorted(wanted[name]))
            plan.listed.append(Listed(row, (), _TWINS.format(codes=codes), ambiguous=True))
        elif name in taken_names:
            problem = _TAKEN.format(codes=taken_names[name])
            plan.listed.append(Listed(row, (), problem, ambiguous=True))
        elif name in unwanted:
            plan.listed.append(Listed(row, (unwanted[name],), _UNWANTED, ambiguous=True))
        else:
            plan.creates.append(row)
    plan.listed += [Listed(row) for row in rows if _left_to_a_person(row)]
    return plan


def _wanted_at_all(row: WorklogTypeLink) -> bool:
    return row.type_id is None and row.is_sold and row.gone_at is None and not is_invalid(row)


def _waits(row: WorklogTypeLink) -> bool:
    return _wanted_at_all(row) and row.state != "ignored" and row.choice in (None, "create")


def _left_to_a_person(row: WorklogTypeLink) -> bool:
    return _wanted_at_all(row) and row.choice == "list"
