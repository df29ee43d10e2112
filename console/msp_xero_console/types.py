"""``msp-xero types``: which Xero item is which ServiceDesk Plus worklog type."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from msp_xero.errors import MspXeroError
from msp_xero.ledger import links
from msp_xero.ledger.type_status import TYPE_STATUSES, count_by_status, type_status

from msp_xero_console import show
from msp_xero_console.choosing import the_one
from msp_xero_console.command import AsJson, command, command_group, needs_person
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import money, number, plural, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msp_xero.ledger import Ledger
    from msp_xero.ledger.models import WorklogTypeLink
    from msp_xero.ledger.type_status import TypeStatus

app = command_group("Link Xero items and ServiceDesk Plus worklog types.")

Item = Annotated[str, typer.Argument(metavar="ITEM", help="Xero item: its id, code or exact name.")]
Type = Annotated[str, typer.Argument(metavar="TYPE", help="SDP worklog type: its id or exact name.")]
Either = Annotated[
    str,
    typer.Argument(
        metavar="ITEM|TYPE",
        help="Xero item: its id, code or exact name. Or SDP worklog type: its id or name.",
    ),
]
IsType = Annotated[bool, typer.Option("--type", help="It is a worklog type, whatever items are called so.")]
Status = StrEnum("Status", {status: status for status in TYPE_STATUSES})  # type: ignore[misc]

_LIST = "msp-xero types list"
_JOB = "`meltano run worklog-types`"


@command(app, "list")
def list_(
    project: Project,
    *,
    status: Annotated[
        list[Status] | None, typer.Option("--status", help="Only lines of this status; can be repeated.")
    ] = None,
    todo: Annotated[bool, typer.Option("--todo", help="Only lines that wait for a person.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="End with exit code 3 when something needs a person.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List items and worklog types of both sides: linked, and on one side only, and what to do."""
    wanted = {str(one) for one in status or ()}
    with project.reading() as ledger:
        everything = type_status(ledger)
    rows = [
        row for row in everything if (not wanted or row.status in wanted) and (row.needs_person or not todo)
    ]
    if as_json:
        show.data([_as_data(row) for row in rows])
    elif rows:
        columns = [Column("Item"), Column("Item name", wraps=True), Column("Price", right=True)]
        columns += [Column("Worklog type", wraps=True), Column("Type id"), Column("Held", right=True)]
        columns += [Column("Status"), Column("What it means, and what to do", wraps=True)]
        show.table(columns, [_cells(row) for row in rows], notes=_notes(rows, everything, advise=not todo))
    elif everything:
        show.say("No line is like this. " + " ".join(_notes(rows, everything, advise=not todo)))
    else:
        show.say(f"No items and worklog types yet. Run {_JOB}.")
    if check and any(row.needs_person for row in everything):
        needs_person()


@command(app)
def link(
    project: Project,
    *,
    item: Item,
    type_: Type,
) -> None:
    """Link an item to a worklog type. What is held for this type is billed by the next run."""
    with project.deciding() as ledger:
        item_id = _item(ledger, item)
        links.link_type(ledger, item_id, _type(ledger, type_))
        row = _row(ledger, item_id)
    linked_to = f"{row.type_name} ({row.type_id})" if row.type_name else str(row.type_id)
    if row.is_sold:
        then = "The next run bills what waited for it."
    else:
        then = "The item is not sold in Xero, so its worklogs are held; tick `I sell this item` there."
    show.say(f"Linked item {_named(row)} to worklog type {linked_to}. {then}")


@command(app)
def unlink(project: Project, *, item: Item) -> None:
    """Take a link away; the item waits until a person decides."""
    with project.deciding() as ledger:
        before = _row(ledger, _item(ledger, item))
        links.unlink_type(ledger, before.item_id)
    if before.type_id:
        show.say(
            f"Item {_named(before)} is not linked any more; worklogs of its type are held until it is again."
        )
    else:
        show.say(f"Item {_named(before)} was not linked; it waits until you decide.")


@command(app)
def create(project: Project, *, item: Item) -> None:
    """Have a worklog type created for an item by the next `meltano run worklog-types`."""
    with project.deciding() as ledger:
        item_id = _item(ledger, item)
        links.request_create_type(ledger, item_id)
        row = _row(ledger, item_id)
    show.say(f"The next {_JOB} creates a worklog type for item {_named(row)}.")


@command(app)
def ignore(project: Project, *, name: Either, is_type: IsType = False) -> None:
    """Leave an item or a worklog type out for good; `types unignore` or `types link` brings it back.

    Worklogs of an ignored type are not lost: they are held as TYPE_IGNORED.
    """
    with project.deciding() as ledger:
        if key := _is_item(ledger, name, is_type=is_type):
            links.ignore_item(ledger, key)
            show.say(f"Item {_named(_row(ledger, key))} is left out from now on.")
        else:
            links.ignore_type(ledger, _type(ledger, name))
            show.say(
                f"No item is wanted for worklog type {name} from now on. "
                "Worklogs of this type that wait are held as TYPE_IGNORED from the next run on."
            )


@command(app)
def unignore(project: Project, *, name: Either, is_type: IsType = False) -> None:
    """Take an ignored item or worklog type back; the next run judges it like a new one."""
    with project.deciding() as ledger:
        if key := _is_item(ledger, name, is_type=is_type):
            links.consider_item(ledger, key)
        else:
            links.consider_type(ledger, _type(ledger, name))
    show.say(f"{name} is not left out any more. The next {_JOB} judges it like a new one.")


def _row(ledger: Ledger, item_id: str) -> WorklogTypeLink:
    return next(row for row in links.type_links(ledger) if row.item_id == item_id)


def _named(row: WorklogTypeLink) -> str:
    return f"{row.name} ({row.item_code or row.item_id})"


def _item(ledger: Ledger, wanted: str) -> str:
    rows = links.type_links(ledger)
    # A code is unique and what people know; it is looked at before names, which are not.
    by_code = [row.item_id for row in rows if row.item_code == wanted.strip()]
    if len(by_code) == 1:
        return by_code[0]
    return the_one(wanted, [(row.item_id, row.name) for row in rows], noun="item", list_command=_LIST)


def _type(ledger: Ledger, wanted: str) -> str:
    rows = [(row.type_id, row.type_name) for row in type_status(ledger) if row.type_id]
    if not rows and wanted.isdigit():
        return wanted  # the job has not listed SDP's side yet, and an id is certain enough
    return the_one(wanted, rows, noun="worklog type", list_command=_LIST)


def _is_item(ledger: Ledger, wanted: str, *, is_type: bool) -> str | None:
    """Return the id of the item that is meant, None when a worklog type is.

    Raises:
        MspXeroError: it could be either.
    """
    if is_type:
        return None
    alone = [row for row in type_status(ledger) if row.item_id is None]
    is_named = any(wanted.strip() in (row.type_id, row.type_name) for row in alone)
    try:
        item = _item(ledger, wanted)
    except MspXeroError:
        if not is_named:
            raise
        return None
    if is_named:
        raise MspXeroError(
            f"an item and a worklog type are called {wanted!r}; give the item's id ({item}), or say --type"
        )
    return item


def _as_data(row: TypeStatus) -> dict[str, object]:
    return {**show.plain(row), "candidates": [one._asdict() for one in row.candidates]}


def _notes(rows: Sequence[TypeStatus], everything: Sequence[TypeStatus], *, advise: bool) -> list[str]:
    linked = sum(row.status in ("linked", "renamed") for row in everything)
    notes = [f"{plural(linked, 'type')} linked, {number(len(everything) - linked)} not."]
    counts = ", ".join(f"{count:,} {status}" for status, count in count_by_status(everything).items())
    notes.append(f"{counts}." if len(rows) == len(everything) else f"{number(len(rows))} shown of {counts}.")
    if todo := sum(row.needs_person for row in everything):
        verb = "needs" if todo == 1 else "need"
        notes.append(f"{plural(todo, 'line')} {verb} a person" + (f": `{_LIST} --todo`." if advise else "."))
    return notes


def _cells(row: TypeStatus) -> tuple[str, ...]:
    return (
        text(row.item_code),
        text(row.item_name),
        money(row.unit_price),
        text(row.type_name),
        text(row.type_id),
        number(row.waiting) if row.waiting else "",
        row.status,
        text(_meaning(row)),
    )


def _meaning(row: TypeStatus) -> str:
    said = TYPE_STATUSES[row.status]
    if row.problem:
        said += f": {row.problem.rstrip('.')}"
    if row.candidates:
        said += f" ({', '.join(f'{one.type_name} {one.type_id}'.strip() for one in row.candidates)})"
    if row.type_inactive:
        said += "; inactive in ServiceDesk Plus"
    return f"{said}; {row.next}" if row.needs_person or row.status not in ("linked", "ignored") else said
