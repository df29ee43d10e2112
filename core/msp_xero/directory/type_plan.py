"""Deciding about items: which are linked, which become types, which wait for a person. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from msp_xero.directory.match import EXACT, Named, exact_key, match_names
from msp_xero.ledger.link_staging import INVALID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msp_xero.ledger.models import WorklogTypeLink

CREATED: Final = "created"
NAMED: Final = frozenset({EXACT, CREATED})
"""Ways of linking that made both names equal: from then on the type is called like its item."""

_AMBIGUOUS: Final = (
    "its name fits more than one worklog type, or more than one item is called so: link it by hand"
)
_TWINS: Final = "another sold item has the same name: rename one of them, or take type names from item codes"
_TAKEN: Final = (
    "the worklog type of its name is linked to another item: rename one of them, or link it by hand"
)


class NewLink(NamedTuple):
    """An item and the worklog type that it is linked to from now on."""

    row: WorklogTypeLink
    type: Named
    how: str


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


def plan_types(rows: Sequence[WorklogTypeLink], types: Sequence[Named], mode: str = EXACT) -> TypePlan:
    """Decide about every sold item that is not linked.

    Args:
        rows: all items of the connection's generation, in order of arrival.
        types: all worklog types as SDP lists them now, those that are switched off too.
        mode: how names are matched.
    """
    plan = TypePlan()
    taken = {row.type_id for row in rows if row.type_id is not None}
    waiting = [row for row in rows if _waits(row)]
    found = match_names(
        [Named(row.item_id, row.name) for row in waiting], [one for one in types if one.id not in taken], mode
    )
    by_id = {one.id: one for one in types}
    taken_names = {exact_key(by_id[one].name) for one in taken if one in by_id}
    wanted = Counter(exact_key(row.name) for row in waiting)
    for row in waiting:
        name = exact_key(row.name)
        if row.item_id in found.links:
            plan.links.append(NewLink(row, by_id[found.links[row.item_id]], found.how[row.item_id]))
        elif row.item_id in found.ambiguous:
            plan.listed.append(Listed(row, found.ambiguous[row.item_id], _AMBIGUOUS, ambiguous=True))
        elif wanted[name] > 1:
            plan.listed.append(Listed(row, (), _TWINS, ambiguous=True))
        elif name in taken_names:
            plan.listed.append(Listed(row, (), _TAKEN, ambiguous=True))
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
