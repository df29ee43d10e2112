"""What is to be said of a contact beside its link: why it waits, what it may be, what Xero did to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero.ledger import links
from msp_xero.ledger.link_staging import ACCOUNT
from msp_xero.ledger.link_views import held_by_account
from msp_xero.ledger.merges import ACTIVE, merged_into

from msp_xero_console.choosing import the_one
from msp_xero_console.words import hours, plural

if TYPE_CHECKING:
    from msp_xero.ledger import Ledger
    from msp_xero.ledger.link_views import AccountTotals
    from msp_xero.ledger.models import AccountLink

_CHOICES = {"create": "to be created", "list": "unlinked by hand"}


class Notes:
    """Notes on contacts, with the names of all that they mention."""

    def __init__(self, ledger: Ledger) -> None:
        rows = links.account_links(ledger)
        self._accounts = {row.account_id: row.account_name or "" for row in rows if row.account_id}
        self._accounts |= {entry.sdp_id: entry.name for entry in links.listed_entries(ledger, ACCOUNT)}
        self._contacts = {row.contact_id: row.contact_name for row in rows}
        self._held = held_by_account(ledger, "CONTACT_ARCHIVED")

    def contact_name(self, contact_id: str | None) -> str | None:
        """Return the name of a contact, None when it is not known."""
        return self._contacts.get(contact_id or "")

    def candidates(self, row: AccountLink) -> list[dict[str, str]]:
        """Return the accounts that a contact may be by its name."""
        return [
            {"account_id": one, "account_name": self._accounts.get(one, "")} for one in row.candidates or ()
        ]

    def held(self, row: AccountLink) -> tuple[int, int]:
        """Return the worklogs and minutes that are held because the contact is archived."""
        return self._held.get(row.account_id or "", (0, 0))

    def of(self, row: AccountLink) -> str:
        """Return all that is to be said of a contact in one text."""
        notes = [row.problem or "", _CHOICES.get(row.choice or "", "")]
        into = merged_into(row)
        if row.choice == links.LIST and (row.problem or row.merged_to_contact_id is not None):
            del notes[1]  # that was no person: a settle took the link away, or a merge carried it on
        if into is not None:
            name = self.contact_name(into)
            named = f"{name} ({into})" if name else into
            notes.append(f"contact was merged in Xero into {named}")
            if row.account_id is not None and not row.problem and not self.held(row)[0]:
                notes.append("its account is billed to that one; merge the accounts in ServiceDesk Plus")
        elif row.contact_status != ACTIVE:
            notes.append(f"contact is {row.contact_status.lower()} in Xero")
        worklogs, minutes = self.held(row)
        if worklogs:
            notes.append(f"{plural(worklogs, 'worklog')} ({hours(minutes)} hours) held: CONTACT_ARCHIVED")
        if row.candidates:
            named = ", ".join(f"{one['account_name']} ({one['account_id']})" for one in self.candidates(row))
            notes.append(f"may be {named}")
        if row.how and row.state == "linked":
            how = "person" if row.choice == links.LINK else row.how.replace("_", " ")
            notes.append(f"linked by {how}")
        return "; ".join(note for note in notes if note)


def account_sentence(totals: AccountTotals) -> str:
    """Say in one line how many contacts are linked, and what becomes of the others."""
    parts = [f"{totals.linked:,} of {plural(totals.contacts, 'contact')} linked"]
    if totals.archived:
        parts[0] += f" ({totals.archived:,} archived in Xero, whose worklogs are held)"
    if totals.unmapped:
        doubtful = f" ({totals.ambiguous:,} with candidates)" if totals.ambiguous else ""
        parts.append(f"{totals.unmapped:,} unmapped{doubtful}: see `msp-xero accounts list --unmapped`")
    rest = (("to be created", totals.to_create), ("ignored", totals.ignored), ("merged", totals.merged))
    parts += [f"{count:,} {words}" for words, count in rest if count]
    if totals.problems:
        parts.append(f"{totals.problems:,} with a problem: see `msp-xero accounts list`")
    return f"{'; '.join(parts)}."


def nothing_to_decide(ledger: Ledger) -> str:
    """Say why no contact waits for a person."""
    if links.account_links(ledger):
        return "Every contact is linked or decided about."
    return "No contacts yet. Run `meltano run accounts`."


def the_contact(ledger: Ledger, wanted: str) -> str:
    """Return the id of the contact that a person means."""
    rows = links.account_links(ledger)
    return the_one(
        wanted,
        [(row.contact_id, row.contact_name) for row in rows],
        noun="contact",
        list_command="msp-xero accounts list",
    )
