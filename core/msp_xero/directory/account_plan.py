"""Deciding about contacts: which are linked, moved, created or left to a person. Pure: no I/O.

In doubt nothing is done: the contact waits on the unmapped list with what it could mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from msp_xero.directory.carried import CARRIED, read_carried
from msp_xero.directory.match import (
    EXACT,
    Named,
    exact_key,
    group,
    match_names,
    normalised_key,
    sought_name,
)
from msp_xero.directory.names import read_name
from msp_xero.ledger.link_staging import INVALID
from msp_xero.ledger.merges import ids_taken_away, is_active, merged_into, survivor_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from msp_xero.directory.settings import AccountPolicy
    from msp_xero.ledger.models import AccountLink

CREATED: Final = "created"
MERGED: Final = "merged"
NAMED: Final = frozenset({EXACT, CREATED})
"""Ways of linking that made both names equal: from then on the account is called like its contact."""

_LATE: Final = timedelta(hours=1)
"""Room for clocks that differ, and for contacts made while the first sync was reading."""

_NOT_YET: Final = "it was merged in Xero into a contact that has not been delivered yet"
_UNUSABLE: Final = "it was merged in Xero into a contact that cannot be used"
_DECIDED: Final = "it was merged in Xero into a contact about which a person decided otherwise"
_UNDECIDED: Final = "it was merged in Xero into a contact that waits for a person"
_LATE_NAMESAKE: Final = (
    "account {} is called like it, but it was merged in Xero into a contact that has an account of its own: "
    "link it by hand, if that one is to be billed for this account, or ignore it"
)
_OF_MERGED: Final = (
    "an account is called like a contact that was merged into it in Xero: link it if it is its account, or "
    "choose to create another"
)
_TAKEN_AWAY: Final = (
    "the account of its name was taken from it by hand, or from one that was merged into it, so it is not "
    "linked again and none was created beside it: link it after all, or rename one of them"
)
_AMBIGUOUS: Final = (
    "its name fits more than one account, or more than one contact is called so: link it by hand"
)
_TAKEN: Final = (
    "an account of its name is linked to another contact: unlink that one, or link this one by hand"
)
_ALIKE: Final = "an account is called nearly the same: link it, or choose to create another"
_SUFFIX: Final = (
    "an account is called the same but for the company suffix: link it, or choose to create another"
)
_TWINS: Final = "another contact is called nearly the same ({}): choose for each of them"


class NewLink(NamedTuple):
    """A contact and the account that it is linked to from now on."""

    row: AccountLink
    account: Named
    how: str


class Move(NamedTuple):
    """A link that follows a merge in Xero from the contact that lost to the one that survived."""

    loser: AccountLink
    survivor: AccountLink
    account: Named


class Listed(NamedTuple):
    """A contact that waits for a person."""

    row: AccountLink
    candidates: tuple[str, ...] = ()
    problem: str | None = None
    ambiguous: bool = False


@dataclass(slots=True)
class AccountPlan:
    """What a settle is to do about links; field updates are compared afterwards."""

    links: list[NewLink] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    creates: list[AccountLink] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)
    stranded: list[tuple[AccountLink, str]] = field(default_factory=list)
    """Merged contacts whose link cannot follow, with the reason."""
    shared: list[AccountLink] = field(default_factory=list)
    """Merged contacts whose survivor has an account of its own: both accounts are billed to that contact."""
    over: list[AccountLink] = field(default_factory=list)
    """Merged contacts without an account whose problem of an earlier settle is over."""


def is_invalid(row: AccountLink) -> bool:
    """Whether the last delivery of a contact must not be acted on."""
    return (row.problem or "").startswith(INVALID)


def plan_accounts(  # noqa: PLR0913 - a decision needs all of these
    rows: Sequence[AccountLink],
    accounts: Sequence[Named],
    policy: AccountPolicy,
    *,
    first_synced_at: datetime | None,
    reserved: Collection[str] = (),
    carried: Mapping[str, object] | None = None,
) -> AccountPlan:
    """Decide about every contact that is not linked, and about merged ones that are.

    Args:
        rows: all contacts of the connection's generation, in order of arrival.
        accounts: all accounts as SDP lists them now.
        policy: the settings.
        first_synced_at: when the first sync was, None while it is still to come.
        reserved: accounts that are never linked by name: the MSP's own.
        carried: the ContactID that each account has in a field, where there is one; it beats names.
    """
    plan = AccountPlan()
    by_contact = {row.contact_id: row for row in rows}
    by_id = {account.id: account for account in accounts}
    taken = {row.account_id for row in rows if row.account_id is not None}
    waiting = [row for row in rows if _waits(row)]
    told = read_carried(rows, waiting, accounts, carried or {}, reserved=reserved)
    active = [row for row in waiting if is_active(row)]
    by_name = [row for row in waiting if row.contact_id not in {*told.links, *told.doubts}]
    free = [
        one
        for one in accounts
        if one.id not in taken and one.id not in reserved and one.id not in told.claimed
    ]

    called = {exact_key(one.name) for one in free}
    sought = {
        row.contact_id: sought_name(row.contact_name, row.creating_name, called)
        for row in by_name
        if is_active(row)
    }
    found = match_names([Named(one, name) for one, name in sought.items()], free, policy.match_names)
    doubtful = {one for candidates in found.ambiguous.values() for one in candidates}
    left = [one for one in free if one.id not in doubtful and one.id not in set(found.links.values())]
    # An archived contact is linked too, so that its account's worklogs say why they wait. What a person took
    # from any contact is no archived one's by its name: it would leave the list of what is to be decided.
    taken_from_any = {one for row in rows for one in row.unlinked or ()}
    left = [one for one in left if one.id not in taken_from_any]
    archived = match_names(_named([row for row in by_name if not is_active(row)]), left, EXACT)
    proposed = {
        **{row.contact_id: _as_told(row, told.links) for row in waiting if row.contact_id in told.links},
        # Under another name than its own it was made by us; it is renamed next.
        **{
            one: (by_id[other], found.how[one] if sought[one] == by_contact[one].contact_name else CREATED)
            for one, other in found.links.items()
        },
        **{one: (by_id[other], EXACT) for one, other in archived.links.items()},
    }
    by_person = ids_taken_away(rows)
    taken_away = {
        row.contact_id: (proposed.pop(row.contact_id)[0].id,)
        for row in waiting
        if row.contact_id in proposed and proposed[row.contact_id][0].id in by_person.get(row.contact_id, ())
    }

    offered = _follow_merges(
        plan, by_contact, by_id, proposed, certain=told.links, is_first=first_synced_at is None
    )
    moved = {move.survivor.contact_id for move in plan.moves}
    plan.links += [NewLink(row, *proposed[row.contact_id]) for row in waiting if row.contact_id in proposed]
    unmatched = [row for row in active if row.contact_id not in proposed and row.contact_id not in moved]
    given = {link.account.id for link in plan.links} | {move.account.id for move in plan.moves}
    names = _Names(accounts, taken | given, reserved, [row for row in rows if is_active(row)])
    same_name = group({one.id: one.name for one in accounts if one.id in told.claimed}, exact_key)
    for row in unmatched:
        against = told.doubts.get(row.contact_id) or told.speaks_against(
            row.contact_id, same_name.get(exact_key(row.contact_name), ())
        )
        if against is not None and (row.choice != "create" or row.contact_id in told.doubts):
            plan.listed.append(Listed(row, *against, ambiguous=True))
        elif row.contact_id in taken_away:
            plan.listed.append(Listed(row, taken_away[row.contact_id], _TAKEN_AWAY, ambiguous=True))
        elif row.contact_id in offered:
            candidates = tuple(offered[row.contact_id])
            plan.listed.append(Listed(row, candidates, _OF_MERGED, ambiguous=True))
        elif row.contact_id in found.ambiguous:
            listed = Listed(row, found.ambiguous[row.contact_id], _AMBIGUOUS, ambiguous=True)
            plan.listed.append(listed)
        elif row.choice == "create":
            plan.creates.append(row)
        elif reason := names.doubt(row):
            plan.listed.append(reason)
        elif _may_create(row, policy, first_synced_at):
            plan.creates.append(row)
        else:
            plan.listed.append(Listed(row))
    # What a settle took away itself says why, until a person decides.
    plan.listed += [
        Listed(row, tuple(row.candidates or ()), row.problem)
        for row in rows
        if _left_to_a_person(row) and row.contact_id not in moved
    ]
    stranded = {row.contact_id for row, _ in plan.stranded}
    plan.over = [
        row
        for row in waiting
        if merged_into(row) is not None and row.problem and row.contact_id not in stranded
    ]
    return plan


def _named(rows: Sequence[AccountLink]) -> list[Named]:
    return [Named(row.contact_id, row.contact_name) for row in rows]


def _as_told(row: AccountLink, links: Mapping[str, Named]) -> tuple[Named, str]:
    account = links[row.contact_id]
    if row.creating_name is not None and exact_key(account.name) == exact_key(row.creating_name):
        return account, CREATED
    return account, EXACT if exact_key(account.name) == exact_key(row.contact_name) else CARRIED


def _waits(row: AccountLink) -> bool:
    """Whether a contact may be linked by its name."""
    return (
        row.account_id is None
        and row.state != "ignored"
        and row.choice in (None, "create")
        and not is_invalid(row)
    )


def _left_to_a_person(row: AccountLink) -> bool:
    # Of contacts that are not in use, those only whose link a settle took away: the reason waits to be read.
    is_wanted = is_active(row) or row.problem is not None
    return row.account_id is None and row.choice == "list" and is_wanted and not is_invalid(row)


def _may_create(row: AccountLink, policy: AccountPolicy, first_synced_at: datetime | None) -> bool:
    """Say whether a contact without any likeness among the accounts becomes one by itself.

    Only a contact that is new since the first sync does. One that comes late but was last changed
    before it was there all along (a first run that broke half-way, a wider selection later): it
    waits on the list like the others of its time.
    """
    if policy.unmatched_contacts != "create_after_first_sync":
        return policy.unmatched_contacts == "create"
    if first_synced_at is None or row.first_seen_at <= first_synced_at:
        return False
    return row.updated_time is None or row.updated_time >= first_synced_at - _LATE


class _Names:
    """Names that are nearly the same, so that no near-duplicate is created."""

    def __init__(
        self,
        accounts: Sequence[Named],
        taken: Collection[str | None],
        reserved: Collection[str],
        active: Sequence[AccountLink],
    ) -> None:
        self._accounts = group({one.id: one.name for one in accounts}, normalised_key)
        free = {one.id: one.name for one in accounts if one.id not in taken and one.id not in reserved}
        self._free = group(free, _without_suffix)
        self._taken = taken
        self._contacts = group(
            {
                row.contact_id: row.contact_name
                for row in active
                if row.state != "ignored" and row.contact_name
            },
            normalised_key,
        )

    def doubt(self, row: AccountLink) -> Listed | None:
        """Return why a contact is not created, None when nothing speaks against it."""
        key = normalised_key(row.contact_name)
        alike = self._accounts.get(key, ())
        free = tuple(one for one in alike if one not in self._taken)
        if free:
            return Listed(row, free, _ALIKE)
        if alike:
            return Listed(row, (), _TAKEN)
        if nearly := self._free.get(_without_suffix(row.contact_name)):
            return Listed(row, nearly, _SUFFIX)
        twins = [one for one in self._contacts.get(key, ()) if one != row.contact_id]
        if twins:
            return Listed(row, (), _TWINS.format(", ".join(twins[:3]) + (" …" if len(twins) > 3 else "")))
        return None


def _without_suffix(name: str) -> str:
    return read_name(name).joined


def _follow_merges(  # noqa: PLR0913 - a decision needs all of these
    plan: AccountPlan,
    by_contact: Mapping[str, AccountLink],
    accounts: Mapping[str, Named],
    proposed: dict[str, tuple[Named, str]],
    *,
    certain: Collection[str],
    is_first: bool,
) -> Mapping[str, list[str]]:
    """Let links follow to the surviving contacts; what does not become a link leaves ``proposed``.

    An account that only has the name of a contact that was merged away is linked by the first sync. Later
    it may be another customer of that name, and billing would follow the merge without a word.

    Args:
        plan: what is to be done, which this adds to.
        by_contact: all contacts.
        accounts: all accounts.
        proposed: links that are to be made.
        certain: contacts among the proposed whose account says more than its name.
        is_first: whether the first sync is still to come.

    Returns:
        The accounts that surviving contacts may have, by contact id: a person decides.
    """
    offered: dict[str, list[str]] = {}
    given = {move.survivor.contact_id for move in plan.moves}
    for row in by_contact.values():
        account = _account_of(row, accounts, proposed)
        if merged_into(row) is None or account is None:
            continue
        is_doubtful = row.account_id is None and row.contact_id not in certain and not is_first
        survivor = survivor_of(row, by_contact)
        reason = _NOT_YET if survivor is None else _obstacle(survivor)
        if survivor is None or reason is not None:
            plan.stranded.append((row, reason or _NOT_YET))
            if is_doubtful or (row.account_id is None and reason in (_DECIDED, _UNDECIDED)):
                del proposed[row.contact_id]
        elif survivor.account_id is not None or survivor.contact_id in given | proposed.keys():
            if is_doubtful:
                plan.stranded.append((row, _LATE_NAMESAKE.format(account.id)))
                del proposed[row.contact_id]
            else:
                plan.shared.append(row)
        elif is_doubtful:
            offered.setdefault(survivor.contact_id, []).append(account.id)
            del proposed[row.contact_id]
        else:
            given.add(survivor.contact_id)
            proposed.pop(row.contact_id, None)
            plan.moves.append(Move(row, survivor, account))
    return offered


def _obstacle(survivor: AccountLink) -> str | None:
    """Return why the link of a merged contact cannot follow, None when it can."""
    if survivor.account_id is None and (survivor.state == "ignored" or survivor.choice is not None):
        # A settle that took the link away left its reason; a person's own decision needs none.
        is_told = survivor.problem is not None and not is_invalid(survivor)
        return _UNDECIDED if survivor.choice == "list" and is_told else _DECIDED
    return _UNUSABLE if is_invalid(survivor) or not is_active(survivor) else None


def _account_of(
    row: AccountLink, accounts: Mapping[str, Named], proposed: Mapping[str, tuple[Named, str]]
) -> Named | None:
    if row.account_id is not None:
        return accounts.get(row.account_id) or Named(row.account_id, row.account_name or "")
    return proposed[row.contact_id][0] if row.contact_id in proposed else None
