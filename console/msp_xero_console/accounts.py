"""``msp-xero accounts``: which Xero contact is which ServiceDesk Plus account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from msp_xero.ledger import links
from msp_xero.ledger.link_staging import ACCOUNT
from msp_xero.ledger.merges import ACTIVE, merged_into

from msp_xero_console import show
from msp_xero_console.account_exchange import export, import_
from msp_xero_console.account_notes import Notes, nothing_to_decide, the_contact
from msp_xero_console.account_suggestions import suggest
from msp_xero_console.accounts_alone import list_alone
from msp_xero_console.choosing import the_one
from msp_xero_console.command import AsJson, command, command_group
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import NOTHING, plural, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from msp_xero.ledger import Ledger
    from msp_xero.ledger.models import AccountLink

app = command_group("Link Xero contacts and ServiceDesk Plus accounts.")

Contact = Annotated[str, typer.Argument(metavar="CONTACT", help="Xero contact: its id or exact name.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="SDP account: its id or exact name.")]

_LIST = "msp-xero accounts list"


@command(app, "list")
def list_(
    project: Project,
    *,
    unmapped: Annotated[
        bool, typer.Option("--unmapped", help="Only contacts that wait for a person.")
    ] = False,
    accounts: Annotated[
        bool,
        typer.Option("--accounts", help="The other side: accounts without a contact, and what they hold up."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List Xero contacts and the accounts they are linked to."""
    if accounts and unmapped:
        raise typer.BadParameter(
            "--unmapped is about contacts and --accounts about accounts: give one of them"
        )
    if accounts:
        list_alone(project, as_json=as_json)
        return
    with project.reading() as ledger:
        rows = links.account_links(ledger, unmapped_only=unmapped)
        notes = Notes(ledger)
        nothing = nothing_to_decide(ledger)
    if as_json:
        show.data([_as_data(row, notes) for row in rows])
    elif rows:
        columns = [Column("Contact", wraps=True), Column("Contact id"), Column("State")]
        columns += [Column("Account", wraps=True), Column("Account id"), Column("Note", wraps=True)]
        sentences = [f"{plural(len(rows), 'contact')}."]
        if any(row.state == "unmapped" and row.contact_status == ACTIVE for row in rows):
            sentences.append(
                "Link one with `msp-xero accounts link CONTACT ACCOUNT`; "
                "`msp-xero accounts suggest` names accounts that look alike; "
                "`msp-xero accounts export FILE.csv` is for deciding about many in a spreadsheet."
            )
        show.table(columns, [_cells(row, notes) for row in rows], notes=sentences)
    else:
        show.say(nothing)


command(app)(suggest)
command(app)(export)
command(app, "import")(import_)


@command(app)
def link(project: Project, *, contact: Contact, account: Account) -> None:
    """Link a contact to an account. What is held for this account is billed by the next run."""
    with project.deciding() as ledger:
        contact_id = the_contact(ledger, contact)
        account_id = _account(ledger, account)
        links.link_account(ledger, contact_id, account_id)
        row = _row(ledger, contact_id)
    linked_to = f"{row.account_name} ({account_id})" if row.account_name else account_id
    if row.contact_status == ACTIVE:
        then = "The next run bills what waited for it."
    elif row.merged_to_contact_id:
        then = "It was merged in Xero: the next run bills what waited to the contact that survived."
    else:
        then = f"The contact is {row.contact_status.lower()} in Xero, so its worklogs are held."
    show.say(f"Linked contact {_named(row)} to account {linked_to}. {then}")


@command(app)
def unlink(project: Project, *, contact: Contact) -> None:
    """Take a link away; the contact waits on the unmapped list until a person decides."""
    with project.deciding() as ledger:
        before = _row(ledger, the_contact(ledger, contact))
        links.unlink_account(ledger, before.contact_id)
    was = "is not linked any more" if before.account_id else "was not linked"
    if before.contact_status == ACTIVE:
        show.say(f"Contact {_named(before)} {was}; it waits on `{_LIST} --unmapped` until you decide.")
    else:
        status = "merged" if before.merged_to_contact_id else before.contact_status.lower()
        show.say(f"Contact {_named(before)} {was}. It is {status} in Xero, so it waits for nobody.")
    if before.account_id:
        account = f"{before.account_name} ({before.account_id})" if before.account_name else before.account_id
        show.say(f"Worklogs of account {account} are held until it has a contact: `{_LIST} --accounts`.")


@command(app)
def create(project: Project, *, contact: Contact) -> None:
    """Have an account created for a contact by the next `meltano run accounts`."""
    row = _decide(project, contact, links.request_create)
    show.say(f"The next `meltano run accounts` creates an account for contact {_named(row)}.")


@command(app)
def ignore(project: Project, *, contact: Contact) -> None:
    """Leave a contact out for good; `accounts link` brings it back."""
    row = _decide(project, contact, links.ignore_contact)
    show.say(f"Contact {_named(row)} is left out from now on.")


def _decide(project: Project, contact: str, decision: Callable[[Ledger, str], None]) -> AccountLink:
    with project.deciding() as ledger:
        contact_id = the_contact(ledger, contact)
        decision(ledger, contact_id)
        return _row(ledger, contact_id)


def _row(ledger: Ledger, contact_id: str) -> AccountLink:
    return next(row for row in links.account_links(ledger) if row.contact_id == contact_id)


def _named(row: AccountLink) -> str:
    return f"{row.contact_name} ({row.contact_id})"


def _account(ledger: Ledger, wanted: str) -> str:
    linked = [(row.account_id, row.account_name) for row in links.account_links(ledger) if row.account_id]
    free = [(entry.sdp_id, entry.name) for entry in links.pick_list(ledger, ACCOUNT)]
    if not free and wanted.isdigit():
        return wanted  # the accounts job has not listed SDP's side yet, and an id is certain enough
    return the_one(wanted, [*linked, *free], noun="account", list_command="msp-xero accounts list --accounts")


def _cells(row: AccountLink, notes: Notes) -> tuple[str, ...]:
    account = text(row.account_name) if row.account_id else NOTHING
    state = "merged" if merged_into(row) and row.account_id is None else row.state
    return text(row.contact_name), row.contact_id, state, account, text(row.account_id), text(notes.of(row))


def _as_data(row: AccountLink, notes: Notes) -> dict[str, Any]:
    names = (
        "contact_id contact_name contact_status merged_to_contact_id is_customer state choice how account_id "
        "account_name problem updated_time written_at first_seen_at last_seen_at"
    )
    held, minutes = notes.held(row)
    return {
        **{name: getattr(row, name) for name in names.split()},
        "merged_to_contact_name": notes.contact_name(row.merged_to_contact_id),
        "candidates": notes.candidates(row),
        "held_worklogs": held,
        "held_minutes": minutes,
        "note": notes.of(row),
    }
