"""``msp-xero accounts list --accounts``: which accounts no contact is linked to, and what that holds up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero.ledger import links
from msp_xero.ledger.link_staging import ACCOUNT
from msp_xero.ledger.link_views import accounts_alone

from msp_xero_console import show
from msp_xero_console.show import Column
from msp_xero_console.words import hours, number, plural, text

if TYPE_CHECKING:
    from msp_xero.ledger.link_views import AccountAlone

    from msp_xero_console.project import Project


def list_alone(project: Project, *, as_json: bool) -> None:
    """Show the accounts without a contact, those with the most work held first."""
    with project.reading() as ledger:
        rows = accounts_alone(ledger)
        known = bool(rows) or bool(links.listed_entries(ledger, ACCOUNT))
    if as_json:
        show.data([row._asdict() for row in rows])
    elif rows:
        columns = [Column("Account", wraps=True), Column("Account id"), Column("Held", right=True)]
        columns += [Column("Hours", right=True), Column("Note", wraps=True)]
        show.table(columns, [_cells(row) for row in rows], notes=_notes(rows))
    elif known:
        show.say("Every account has a contact.")
    else:
        show.say("No accounts yet. Run `meltano run accounts`.")


def _notes(rows: list[AccountAlone]) -> list[str]:
    held = sum(row.worklogs for row in rows)
    verb = "waits" if held == 1 else "wait"
    waits = f", {plural(held, 'worklog')} ({hours(sum(row.minutes for row in rows))} hours) {verb} for one"
    how = (
        "Link one with `msp-xero accounts link CONTACT ACCOUNT`. A customer who is not in Xero yet: add the "
        "contact there under the same name, and the next `meltano run accounts` links both."
    )
    sentence = f"{plural(len(rows), 'account')} without a contact{waits if held else ''}."
    return [sentence, how] if any(row.obstacle is None for row in rows) else [sentence]


def _cells(row: AccountAlone) -> tuple[str, ...]:
    held = (number(row.worklogs), hours(row.minutes)) if row.worklogs else ("", "")
    note = row.obstacle or ("inactive in ServiceDesk Plus" if row.inactive else "")
    return text(row.account_name), row.account_id, *held, note
