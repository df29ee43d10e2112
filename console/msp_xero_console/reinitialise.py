"""``msp-xero reinitialise``: a connection that starts over with another Xero organisation."""

from __future__ import annotations

import sys
from datetime import date  # noqa: TC003 - Typer evaluates annotations
from typing import TYPE_CHECKING, Annotated

import typer
from msp_xero.billing.memory import refuse_to_leave
from msp_xero.billing.reference import meet_organisation
from msp_xero.errors import MspXeroError
from msp_xero.ledger import Ledger
from msp_xero.ledger.generations import start_over
from msp_xero.ledger.runs import finish_run, start_run
from msp_xero.ledger.survey import (
    Organisation,
    refuse_not_compared,
    refuse_present,
    refuse_under_way,
    survey,
)

from msp_xero_console import show
from msp_xero_console.command import AsJson, command, command_group, needs_person, read_day
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import day, hours, moment, money, number, plural, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msp_xero.ledger.rows import Total
    from msp_xero.ledger.survey import Links, Survey

app = command_group("Start a connection over with another Xero organisation. Billed worklogs stay billed.")

JOB = "reinitialise"
_SHOWN = 10
NEXT = (
    "Read all contacts and items there: `meltano run --full-refresh accounts worklog-types`.",
    "Link what names do not link: `msp-xero accounts list --unmapped`, `msp-xero types list`.",
    "Fetch new worklogs and bill none: `TARGET_XERO_INVOICES_PUSH=false meltano run worklogs`.",
    "Look at what would be billed: `msp-xero invoices preview`. Then bill: `msp-xero invoices push`.",
)


@command(app)
def reinitialise(  # noqa: PLR0913 - the options of a command
    project: Project,
    *,
    connection: Annotated[
        str | None,
        typer.Option("--connection", metavar="NAME", help="The connection; default: the project's."),
    ] = None,
    rebill_from: Annotated[
        date | None,
        typer.Option(
            "--rebill-from",
            parser=read_day,
            metavar="DATE",
            help="Bill again, to the new organisation, what the old one was billed for work from this day "
            "on, by the work dates on the worklogs. Without it nothing is billed again.",
        ),
    ] = None,
    count_as_billed: Annotated[
        list[str] | None,
        typer.Option(
            "--count-as-billed",
            metavar="NUMBER",
            help="Count an invoice under way as billed, because the old organisation cannot be asked any "
            "more. Repeat it for each. Kept in the history.",
        ),
    ] = None,
    not_compared: Annotated[
        bool,
        typer.Option(
            "--not-compared",
            help="Do it although the ledger was not compared with the old organisation within a day, or the "
            "last look there stopped. Only where that cannot be reached any more, this is the newest copy of "
            "the ledger, and what may be billed there is excluded.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a connection over with the Xero organisation that the credentials lead to now.

    Shows what will happen and asks. Billed worklogs stay billed, history stays readable, links start anew.
    With --json and without --yes nothing is done.
    """
    with _opened(project, connection) as ledger:
        counted = count_as_billed or []
        found = survey(ledger, rebill_from=rebill_from)
        if found.organisation.organisation_id is None:
            raise MspXeroError(
                f"connection {found.connection} has seen no Xero organisation yet, so there is nothing to "
                "start over: its first run ties it to the one that the credentials lead to"
            )
        refuse_under_way(found, counted)
        refuse_to_leave(ledger)
        organisation = _meet(project)
        refuse_present(found, organisation)
        found = survey(ledger, rebill_from=rebill_from, going_to=organisation.organisation_id)
        if not as_json:
            _draw(found, organisation)
        if not not_compared and (yes or not as_json):
            refuse_not_compared(found, ledger.clock.now())
        if not yes and (as_json or not _asked(organisation)):
            _leave(found, organisation, as_json=as_json)
        generation = _carry_out(ledger, organisation, found, counted, not_compared=not_compared)
    if as_json:
        show.data(_data(found, organisation, done=True) | {"generation": generation})
        return
    show.say()
    show.say(f"Done: connection {found.connection} bills {text(organisation.name)} from now on.")
    show.heading("What to do now")
    for step, sentence in enumerate(NEXT, start=1):
        show.say(f"{step}. {sentence}")


def _opened(project: Project, connection: str | None) -> Ledger:
    if connection not in (None, project.connection):
        raise MspXeroError(
            f"the settings of {project.source} are those of connection {project.connection}, so they cannot "
            f"tell to which organisation {connection} goes; name the project or environment of {connection}"
        )
    ledger = Ledger.open_existing(project.ledger_url, connection=project.connection)
    if ledger is None:
        raise MspXeroError(
            f"there is no ledger of connection {project.connection} yet, so there is nothing to start over: "
            "its first run ties it to the organisation that the credentials lead to"
        )
    return ledger


def _meet(project: Project) -> Organisation:
    client = project.xero()
    try:
        read = meet_organisation(client)
    finally:
        client.close()
    return Organisation(
        organisation_id=read.organisation_id,
        name=read.name,
        short_code=read.short_code,
        base_currency=read.base_currency,
    )


def _asked(organisation: Organisation) -> bool:
    if not sys.stdin.isatty():
        raise MspXeroError("nobody is here to be asked, so nothing was done; add --yes to do it")
    return typer.confirm(f"\nBill {text(organisation.name)} from now on?", default=False)


def _leave(found: Survey, organisation: Organisation, *, as_json: bool) -> None:
    if as_json:
        show.data(_data(found, organisation, done=False))
    else:
        show.say("Nothing was done.")
    needs_person()


def _carry_out(
    ledger: Ledger, organisation: Organisation, found: Survey, counted: list[str], *, not_compared: bool
) -> int:
    with ledger.settling() as fence:
        run_id = start_run(ledger, JOB)
        try:
            refuse_to_leave(ledger, fence, run_id=run_id)
            generation = start_over(
                ledger,
                fence,
                organisation,
                expected=found,
                count_as_billed=counted,
                not_compared=not_compared,
                run_id=run_id,
            )
        except MspXeroError as error:
            finish_run(ledger, run_id, "failed", error=str(error))
            raise
        finish_run(ledger, run_id, "done", counts={"worklogs": found.again.count + found.withdrawn.count})
    return generation


def _data(found: Survey, organisation: Organisation, *, done: bool) -> dict[str, object]:
    return {"done": done, "new_organisation": organisation, "before": found, "next": list(NEXT)}


def _draw(found: Survey, organisation: Organisation) -> None:
    old, new = found.organisation, organisation
    show.heading(f"Connection {found.connection} starts over")
    show.facts(
        [
            ("Billed so far", f"{text(old.name)} ({old.organisation_id})"),
            ("Billed from now on", f"{text(new.name)} ({new.organisation_id})"),
            ("Last compared", _compared(found)),
        ]
    )
    show.heading("Worklogs")
    columns = [Column("What happens", wraps=True)]
    columns += [Column(title, right=True) for title in ("Worklogs", "Time", "Money")]
    show.table(columns, _worklogs(found), notes=_notes(found, organisation))
    show.heading("Links start anew")
    show.say(
        f"{_links(found.accounts, 'account')}; {_links(found.worklog_types, 'worklog type')}. Contacts and "
        "items of another organisation are others: they are linked by name at the next run, and what people "
        "linked, and the contacts and items that they ignored, have to be decided again. Nothing changes in "
        "ServiceDesk Plus now."
    )
    if found.ignored_types:
        show.say(
            f"Worklog types that people ignored stay ignored: {_first_of(found.ignored_types)}. "
            "`msp-xero types list` shows them."
        )


def _compared(found: Survey) -> str:
    old = text(found.organisation.name)
    told = f"with {old}, {moment(found.compared_at)}" if found.compared_at else f"never with {old}"
    return f"{told}; the look of {moment(found.stopped_at)} stopped" if found.stopped_at else told


def _first_of(names: tuple[str, ...]) -> str:
    shown = ", ".join(text(name) for name in names[:_SHOWN])
    return f"{shown} and {number(len(names) - _SHOWN)} more" if len(names) > _SHOWN else shown


def _worklogs(found: Survey) -> Iterator[tuple[str, str, str, str]]:
    old = text(found.organisation.name)
    currency = found.organisation.base_currency
    if found.rebill_from is None:
        yield _row(f"stay billed, on invoices of {old}", found.billed, currency)
    else:
        yield _row(f"billed by {old}", found.billed, currency)
        since = f"of these are billed again: work from {day(found.rebill_from)} on"
        yield _row(since, found.again, currency)
    if found.voided.count:
        yield _row("of these stay unbilled, on invoices voided or deleted there", found.voided, currency)
    if found.under_way:
        yield _row(f"count as billed by {old}, on your word", found.at_stake, currency)
    if found.back.count:
        yield _row("count as billed again, on invoices of the new one from before", found.back, None)
    if found.earlier.count:
        yield _row("stay billed, on invoices of organisations before", found.earlier, None)
    yield _row("wait, and go to the new organisation", found.waiting, currency)
    yield _row("stay excluded", found.excluded, currency)


def _row(what: str, total: Total, currency: str | None) -> tuple[str, str, str, str]:
    return what, number(total.count), hours(total.minutes), money(total.money, currency)


def _notes(found: Survey, organisation: Organisation) -> Iterator[str]:
    old = text(found.organisation.name)
    if found.split:
        yield (
            f"Only some lines of {plural(len(found.split), 'invoice')} are billed again: "
            f"{_first_of(found.split)}. Credit those lines there and do not void the invoice, or its other "
            "lines are lost."
        )
    if found.voided.count:
        yield (
            "Worklogs on invoices that were voided or deleted are billed again only where a person releases "
            "them: `msp-xero invoices release NUMBER`."
        )
    if found.back.count:
        yield (
            f"{text(organisation.name)} was billed {plural(found.back.count, 'worklog')} of these before, on "
            "invoices that stand as far as this ledger knows. The next run looks whether they were voided; "
            "then release them."
        )
    if found.back_changed:
        yield (
            f"Changed since they were on those invoices: {_first_of(found.back_changed)}. Correct the "
            "invoices by hand."
        )
    if found.again.count:
        yield (
            f"The invoices of {old} stay as they are: void there what is billed again, or customers get "
            "it twice."
        )
    if found.undated:
        yield f"{plural(found.undated, 'worklog')} without a known work date stay billed."
    if found.withdrawn.count:
        yield (
            f"{plural(found.withdrawn.count, 'worklog')} of those are on invoices that were planned "
            "and never sent; their numbers are not used again."
        )
    currency = found.organisation.base_currency
    if currency and organisation.base_currency != currency:
        yield (
            f"{text(organisation.name)} keeps books in {organisation.base_currency}, {old} in {currency}: "
            "prices are those of the new organisation's items."
        )
    yield (
        f"Numbers go on at {number(found.next_number)}, so that each number is in this ledger once. "
        "Another number_prefix makes them look apart."
    )


def _links(links: Links, noun: str) -> str:
    made = f"{plural(links.linked, noun)} linked ({number(links.by_person)} by hand)"
    return f"{made}, {number(links.ignored)} ignored" if links.ignored else made
