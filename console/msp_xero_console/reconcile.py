"""``msp-xero reconcile``: what is true in Xero, without billing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero_console import billing, show
from msp_xero_console.command import AsJson, command, command_group, needs_person
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import moment, number, plural

if TYPE_CHECKING:
    from msp_xero.billing.recover import Reconciled

app = command_group("Settle unknown outcomes and refresh the states of invoices. Sends nothing.")

_FOUND = {
    "refreshed": "Their state in Xero has changed since the last look.",
    "adopted": "Their outcome was not known; they are in Xero.",
    "planned_again": "They are proven missing: the next run, or `msp-xero invoices push`, sends them.",
    "rejected": "Somebody else's invoice has the number; the next run bills the worklogs under a new one.",
    "unknown": "Xero does not tell yet; run it again later.",
    "differing": "Of those adopted; they are not in Xero as they were sent: `msp-xero invoices show NUMBER`.",
    "conflicts": "One not known for ours has the number: see `msp-xero invoices list --state conflict`.",
}


@command(app)
def reconcile(project: Project, *, as_json: AsJson = False) -> None:
    """Settle unknown outcomes and refresh the states of invoices. Sends nothing.

    Invoices that are proven missing in Xero are planned again; the next push sends them. Ends with 3 when
    something needs a person.
    """
    found = billing.reconcile(project)
    if as_json:
        told = {
            "since": found.since,
            "differing": found.differing,
            "outcome": found.outcome,
            "calls": found.calls,
        }
        show.data({**found.counts(), **told})
    else:
        _draw(found)
    if found.needs_person:
        needs_person()


def _draw(found: Reconciled) -> None:
    rows = [
        (name.replace("_", " "), number(count), _FOUND[name])
        for name, count in found.counts().items()
        if count
    ]
    calls = plural(sum(found.calls.values()), "Xero call")
    if rows:
        columns = [Column("Outcome"), Column("Invoices", right=True), Column("What it means", wraps=True)]
        show.table(columns, rows, notes=[f"Nothing was sent. {calls}."])
    else:
        last = (
            f"since {moment(found.since)}" if found.since else "at the first look, which was at all of them"
        )
        show.say(
            f"Xero tells of no change of our invoices {last}, and no outcome is unknown. "
            f"Nothing was sent. {calls}."
        )
