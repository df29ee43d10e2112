"""``msp-xero types``: which Xero item is which ServiceDesk Plus worklog type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from msp_xero.ledger import links

from msp_xero_console import show
from msp_xero_console.choosing import the_one
from msp_xero_console.command import AsJson, command, command_group
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import money, plural, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from msp_xero.ledger import Ledger
    from msp_xero.ledger.links import TypeStatus

app = command_group("Link Xero items and ServiceDesk Plus worklog types.")

Item = Annotated[str, typer.Argument(metavar="ITEM", help="Xero item: its id, code or exact name.")]
Type = Annotated[str, typer.Argument(metavar="TYPE", help="SDP worklog type: its id or exact name.")]

_LIST = "msp-xero types list"
_MEANING = {
    "linked": "linked",
    "renamed": "linked; the names differ",
    "xero_only": "in Xero only; the next run creates the type",
    "sdp_only": "in ServiceDesk Plus only; create an item of this name, or link one",
    "ambiguous": "several types have this name; link one by hand",
    "refused": "ServiceDesk Plus refused it",
    "ignored": "left out by hand",
    "not_sold": "not sold in Xero; no type wanted",
    "gone": "deleted in Xero; link the type to another item",
}


@command(app, "list")
def list_(project: Project, *, as_json: AsJson = False) -> None:
    """List items and worklog types of both sides: linked, and on one side only."""
    with project.reading() as ledger:
        rows = links.type_status(ledger)
    if as_json:
        show.data(rows)
    elif rows:
        columns = [Column("Item"), Column("Item name", wraps=True), Column("Price", right=True)]
        columns += [Column("Worklog type", wraps=True), Column("Type id"), Column("Status", wraps=True)]
        linked = sum(row.status in ("linked", "renamed") for row in rows)
        notes = [f"{plural(linked, 'type')} linked, {len(rows) - linked:,} not."]
        show.table(columns, [_cells(row) for row in rows], notes=notes)
    else:
        show.say("No items and worklog types yet. Run `meltano run worklog-types`.")


@command(app)
def link(
    project: Project,
    *,
    item: Item,
    type_: Type,
) -> None:
    """Link an item to a worklog type. What is held for this type is billed by the next run."""
    with project.deciding() as ledger:
        links.link_type(ledger, _item(ledger, item), _type(ledger, type_))
    show.say(f"Linked item {item} to worklog type {type_}. The next run bills what waited for it.")


@command(app)
def unlink(project: Project, *, item: Item) -> None:
    """Take a link away; the item waits until a person decides."""
    _decide(project, item, links.unlink_type)
    show.say(f"Item {item} is not linked any more; worklogs of its type are held until it is again.")


@command(app)
def create(project: Project, *, item: Item) -> None:
    """Have a worklog type created for an item by the next `meltano run worklog-types`."""
    _decide(project, item, links.request_create_type)
    show.say(f"The next `meltano run worklog-types` creates a worklog type for item {item}.")


@command(app)
def ignore(project: Project, *, item: Item) -> None:
    """Leave an item out for good; `types link` brings it back."""
    _decide(project, item, links.ignore_item)
    show.say(f"Item {item} is left out from now on.")


def _decide(project: Project, item: str, decision: Callable[[Ledger, str], None]) -> None:
    with project.deciding() as ledger:
        decision(ledger, _item(ledger, item))


def _item(ledger: Ledger, wanted: str) -> str:
    rows = links.type_links(ledger)
    # A code is unique and what people know; it is looked at before names, which are not.
    by_code = [row.item_id for row in rows if row.item_code == wanted.strip()]
    if len(by_code) == 1:
        return by_code[0]
    return the_one(wanted, [(row.item_id, row.name) for row in rows], noun="item", list_command=_LIST)


def _type(ledger: Ledger, wanted: str) -> str:
    rows = [(row.type_id, row.type_name) for row in links.type_status(ledger) if row.type_id]
    if not rows and wanted.isdigit():
        return wanted  # the job has not listed SDP's side yet, and an id is certain enough
    return the_one(wanted, rows, noun="worklog type", list_command=_LIST)


def _cells(row: TypeStatus) -> tuple[str, ...]:
    meaning = _MEANING.get(row.status, row.status)
    if row.problem:
        meaning = f"{meaning}: {row.problem}"
    if row.type_inactive:
        meaning += "; inactive in ServiceDesk Plus"
    return (
        text(row.item_code),
        text(row.item_name),
        money(row.unit_price),
        text(row.type_name),
        text(row.type_id),
        text(meaning),
    )
