"""Accounts that carry the ContactID of their contact: the strongest evidence of a link. Pure: no I/O.

Where ``write_link_to`` is set, each linked account has it in a field. After the ledger was lost, that
tells the links again, whatever was renamed on either side. An id that no contact here has says nothing:
it is of another organisation, or of a contact that is gone.

The field stays as it is when a person takes a link away. So it never overrules a person, and where the
account's name is exactly that of another contact, nothing is guessed: one of the two is out of date.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from msp_xero.directory.match import exact_key
from msp_xero.ledger.merges import is_active, merged_into

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
_OTHERS_NAME: Final = (
    "the account that carries its ContactID has exactly the name of another contact: link it by hand to the "
    "one that it belongs to"
)
_NOT_CREATED: Final = (
    "an account carries its ContactID already, so no other one was created: link it to that one, or empty "
    "that field in ServiceDesk Plus MSP, and the next run creates one"
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
    told = read_claims((row.contact_id for row in rows), carried)
    claimed = {one.id: told[one.id] for one in accounts if one.id in told and one.id not in reserved}
    carriers: defaultdict[str, list[Named]] = defaultdict(list)
    for account in accounts:
        if account.id in claimed:
            carriers[claimed[account.id]].append(account)
    taken = {row.account_id for row in rows if row.account_id is not None}
    others = _names_without_claim(waiting, set(claimed.values()))
    links: dict[str, Named] = {}
    doubts: dict[str, Doubt] = {}
    for row in waiting:
        found = carriers.get(row.contact_id, [])
        free = tuple(sorted(one.id for one in found if one.id not in taken))
        if len(found) > 1:
            doubts[row.contact_id] = Doubt(free, _SEVERAL)
        elif found and not free:
            doubts[row.contact_id] = Doubt((), _TAKEN)
        elif found and row.choice == "create" and not _may_be_the_created(row, found[0]):
            doubts[row.contact_id] = Doubt(free, _NOT_CREATED)
        elif found and exact_key(found[0].name) == exact_key(row.contact_name):
            links[row.contact_id] = found[0]
        elif found and others.get(exact_key(found[0].name), set()) - {merged_into(row)}:
            doubts[row.contact_id] = Doubt(free, _OTHERS_NAME)
        elif found:
            links[row.contact_id] = found[0]
    return Carried(links, doubts, claimed)


def read_claims(contact_ids: Iterable[str], carried: Mapping[str, object]) -> dict[str, str]:
    """Return the contacts that accounts carry the id of, by account id.

    Args:
        contact_ids: of all contacts.
        carried: what the field of each account holds, by account id.
    """
    by_key = {_key(one): one for one in contact_ids}
    return {one: by_key[key] for one, value in carried.items() if (key := _key(value)) in by_key}


def _names_without_claim(
    waiting: Iterable[AccountLink], claimants: Collection[str]
) -> Mapping[str, set[str | None]]:
    """Return the contacts in use whose id no account carries, by name: an account of it may be theirs."""
    found: defaultdict[str, set[str | None]] = defaultdict(set)
    for row in waiting:
        # A contact that was merged away may have the name of the account that went to its survivor.
        if is_active(row) and row.contact_id not in claimants:
            found[exact_key(row.contact_name)].add(row.contact_id)
    return found


def _may_be_the_created(row: AccountLink, account: Named) -> bool:
    """Whether the account may have been made when a person chose create, and is none that they took away."""
    names = {exact_key(one) for one in (row.contact_name, row.creating_name) if one}
    return exact_key(account.name) in names and account.id not in (row.unlinked or ())


def _key(value: object) -> str:
    return value.strip().casefold() if isinstance(value, str) else ""
