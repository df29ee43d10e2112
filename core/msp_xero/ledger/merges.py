"""Contacts that were merged into others in Xero. Pure: no I/O.

A contact that is in use stands for itself, whatever was merged once: people restore contacts, and Xero still
tells then into which one it was merged. Billing goes by the same rule.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from msp_xero.ledger.models import AccountLink

ACTIVE: Final = "ACTIVE"
_MOST_MERGES: Final = 20


def is_active(row: AccountLink) -> bool:
    """Whether a contact is in use: archived and deleted ones are never written."""
    return row.contact_status == ACTIVE


def merged_into(row: AccountLink) -> str | None:
    """Return the id of the contact that one was merged into, None when it stands for itself."""
    return None if is_active(row) else row.merged_to_contact_id


def survivor_of(row: AccountLink, by_contact: Mapping[str, AccountLink]) -> AccountLink | None:
    """Follow a chain of merges to its end; None: it has no end, or that contact was not delivered yet."""
    *_, last = _chain(row, by_contact)
    return last if last is not None and merged_into(last) is None else None


def ids_taken_away(rows: Sequence[AccountLink]) -> Mapping[str, set[str]]:
    """Return the accounts that a person took from a contact, or from one merged into it, by contact id.

    Args:
        rows: all contacts.
    """
    by_contact = {row.contact_id: row for row in rows}
    taken: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        for one in _chain(row, by_contact) if row.unlinked else ():
            if one is not None:
                taken[one.contact_id].update(row.unlinked or ())
    return taken


def _chain(row: AccountLink, by_contact: Mapping[str, AccountLink]) -> Iterator[AccountLink | None]:
    """Yield a contact and those that it was merged into, one after the other; None: not delivered yet."""
    current: AccountLink | None = row
    for _ in range(_MOST_MERGES):
        yield current
        into = None if current is None else merged_into(current)
        if into is None:
            return
        current = by_contact.get(into)
