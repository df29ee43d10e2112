"""Sums about links for people; read-only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from msp_xero.ledger.models import AccountLink, Worklog

if TYPE_CHECKING:
    from msp_xero.ledger.store import Ledger

ACTIVE = "ACTIVE"


@dataclass(slots=True, kw_only=True)
class AccountTotals:
    """How many contacts are where.

    Attributes:
        contacts: all that were delivered.
        linked: those that have an account.
        unmapped: active ones that wait for a person.
        ambiguous: those of the unmapped that name more than one account, or share one with another contact.
        to_create: those for which the next run creates an account, because a person said so.
        ignored: left out by a person.
        archived: linked ones that are archived in Xero: their worklogs are held.
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
        waits = state == "unmapped" and active and choice != "create"
        totals.contacts += 1
        totals.linked += account_id is not None
        totals.unmapped += waits
        totals.ambiguous += waits and bool(candidates)
        totals.to_create += state == "unmapped" and active and choice == "create"
        totals.ignored += state == "ignored"
        totals.archived += account_id is not None and not active
        totals.merged += merged_to is not None
        totals.problems += bool(problem) and not candidates
    return totals


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
