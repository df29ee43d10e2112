"""Accounts that carry the ContactID of their contact: the strongest evidence of a link. Pure: no I/O.

Where ``write_link_to`` is set, each linked account has it in a field. After the ledger was lost, that
tells the links again, whatever was renamed on either side. An id that no contact here has says nothing:
it is of another organisation, or of a contact that is gone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from msp_xero.directory.match import Named
    from msp_xero.ledger.models import AccountLink

CARRIED: Final = "contact_id"
"""How such a link is made: both names stay, because nothing tells which of them is the newer one."""

_SEVERAL: Final = (
    "more than one account carries its ContactID: link the right one by hand, and empty the field of the "
    "others"
)
_TAKEN: Final = (
    "the account that carries its ContactID is linked to another contact: unlink that one, or link this one "
    "by hand"
)
_CLAIMED: Final = "the account of its name carries the ContactID of another contact: link one of them by hand"


class Doubt(NamedTuple):
    """Why a contact is linked to none of the accounts that its id, or its name, speaks for."""

    candidates: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class Carried:
    """What the field tells.

    Attributes:
        links: account by contact id.
        doubts: contacts that must not be linked or created, by contact id.
        claimed: the contacts that accounts carry the id of, by account id; a name says less.
    """

    links: Mapping[str, Named] = field(default_factory=dict)
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    claimed: Mapping[str, str] = field(default_factory=dict)

    def speaks_against(self, contact_id: str, candidates: Iterable[str]) -> Doubt | None:
        """Return why a contact is not linked by its name to accounts that other contacts claim."""
        claimed = tuple(sorted(one for one in candidates if self.claimed.get(one, contact_id) != contact_id))
        return Doubt(claimed, _CLAIMED) if claimed else None


def read_carried(
    rows: Sequence[AccountLink],
    waiting: Sequence[AccountLink],
    accounts: Sequence[Named],
    carried: Mapping[str, object],
    *,
    reserved: Collection[str] = (),
) -> Carried:
    """Pair contacts that wait with the accounts that carry their id.

    Args:
        rows: all contacts.
        waiting: those that may be linked.
        accounts: all accounts.
        carried: what the field of each account holds, by account id.
        reserved: accounts that are never linked by themselves.
    """
    by_key = {_key(row.contact_id): row.contact_id for row in rows}
    carriers: defaultdict[str, list[Named]] = defaultdict(list)
    claimed: dict[str, str] = {}
    for account in accounts:
        contact_id = by_key.get(_key(carried.get(account.id)))
        if contact_id is not None and account.id not in reserved:
            carriers[contact_id].append(account)
            claimed[account.id] = contact_id
    taken = {row.account_id for row in rows if row.account_id is not None}
    links: dict[str, Named] = {}
    doubts: dict[str, Doubt] = {}
    for row in waiting:
        found = carriers.get(row.contact_id, [])
        free = tuple(sorted(one.id for one in found if one.id not in taken))
        if len(found) > 1:
            doubts[row.contact_id] = Doubt(free, _SEVERAL)
        elif found and not free:
            doubts[row.contact_id] = Doubt((), _TAKEN)
        elif found:
            links[row.contact_id] = found[0]
    return Carried(links, doubts, claimed)


def _key(value: object) -> str:
    return value.strip().casefold() if isinstance(value, str) else ""
