"""Sums about links for people; read-only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from msp_xero.ledger.account_names import newest_names
from msp_xero.ledger.link_staging import ACCOUNT
from msp_xero.ledger.links import LIST, listed_entries, pick_list
from msp_xero.ledger.merges import ACTIVE
from msp_xero.ledger.models import AccountLink, Worklog

if TYPE_CHECKING:
    from collections.abc import Collection

    from msp_xero.ledger.store import Ledger


_OWN = "the service provider itself, nobody's customer: exclude its worklogs"
_UNLISTED = "ServiceDesk Plus did not list it at the last run of accounts"


class AccountAlone(NamedTuple):
    """An account that no contact is linked to, and what is held because of that; ``minutes`` of work.

    ``obstacle`` says why nobody can link it, None where somebody can.
    """

    account_id: str
    account_name: str
    inactive: bool
    worklogs: int
    minutes: int
    obstacle: str | None = None


@dataclass(slots=True, kw_only=True)
class AccountTotals:
    """How many contacts are where.

    Attributes:
        contacts: all that were delivered.
        linked: those that have an account.
        unmapped: those that wait for a person: active ones, and others whose link a run took away.
        ambiguous: those of the unmapped that name more than one account, or share one with another contact.
        to_create: those for which the next run creates an account, because a person said so.
        ignored: left out by a person.
        archived: linked ones that are archived in Xero and not merged: their worklogs are held.
        merged: those that were merged into another contact.
        problems: those with a problem that a person has to look at.
    """

    contacts: int = 0
    linked: int = 0
    unmapped: int = 0
    ambiguous: int = 0
    to_create: int = 0
    ignored: int = 0
    archived: int = 0
    merged: int = 0
    problems: int = 0


def account_totals(ledger: Ledger) -> AccountTotals:
    """Count the contacts of the connection by what became of them."""
    totals = AccountTotals()
    columns = (
        AccountLink.state,
        AccountLink.choice,
        AccountLink.contact_status,
        AccountLink.account_id,
        AccountLink.merged_to_contact_id,
        AccountLink.candidates,
        AccountLink.problem,
    )
    with ledger.read() as session:
        rows = session.execute(
            select(*columns).where(
                AccountLink.connection_id == ledger.connection_id, AccountLink.generation == ledger.generation
            )
        ).all()
    for state, choice, status, account_id, merged_to, candidates, problem in rows:
        active = status == ACTIVE
        is_open = choice != "create" or bool(problem) if active else choice == LIST and bool(problem)
        waits = state == "unmapped" and is_open
        totals.contacts += 1
        totals.linked += account_id is not None
        totals.unmapped += waits
        totals.ambiguous += waits and bool(candidates)
        totals.to_create += state == "unmapped" and active and not waits
        totals.ignored += state == "ignored"
        totals.archived += account_id is not None and not active and merged_to is None
        totals.merged += merged_to is not None and not active
        totals.problems += bool(problem) and not candidates
    return totals


def accounts_alone(ledger: Ledger) -> list[AccountAlone]:
    """Return the accounts without a contact, those with the most work held first.

    Beside those that ServiceDesk Plus listed at the last run: those that only worklogs have named so far.
    """
    held = held_by_account(ledger, "ACCOUNT_UNMAPPED")
    alone = {
        entry.sdp_id: AccountAlone(entry.sdp_id, entry.name, entry.inactive, *held.get(entry.sdp_id, (0, 0)))
        for entry in pick_list(ledger, ACCOUNT)
    }
    listed = {entry.sdp_id: entry for entry in listed_entries(ledger, ACCOUNT)}
    for one, name in _names_of(ledger, held.keys() - alone.keys()).items():
        is_own = one in listed and listed[one].own
        obstacle = _OWN if is_own else _UNLISTED if listed else None
        alone[one] = AccountAlone(one, name, False, *held[one], obstacle)  # noqa: FBT003 - its third column
    return sorted(alone.values(), key=lambda one: (-one.minutes, one.account_name, one.account_id))


def _names_of(ledger: Ledger, account_ids: Collection[str]) -> dict[str, str]:
    """Return what worklogs call these accounts; those of a linked one wait for the next run only."""
    linked = select(AccountLink.account_id).where(
        AccountLink.connection_id == ledger.connection_id,
        AccountLink.generation == ledger.generation,
        AccountLink.account_id.is_not(None),
    )
    query = newest_names(Worklog.connection_id == ledger.connection_id, Worklog.account_id.not_in(linked))
    with ledger.read() as session:
        return {str(one): name or "" for one, name in session.execute(query) if one in account_ids}


def held_by_account(ledger: Ledger, reason_code: str) -> dict[str, tuple[int, int]]:
    """Return worklogs and minutes that are held for a reason, by account."""
    query = (
        select(Worklog.account_id, func.count(), func.sum(Worklog.minutes))
        .where(
            Worklog.connection_id == ledger.connection_id,
            Worklog.state == "held",
            Worklog.reason_code == reason_code,
            Worklog.account_id.is_not(None),
        )
        .group_by(Worklog.account_id)
    )
    with ledger.read() as session:
        return {str(one): (int(count), int(minutes or 0)) for one, count, minutes in session.execute(query)}
