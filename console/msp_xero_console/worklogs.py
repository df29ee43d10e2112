"""``msp-xero worklogs``: billed and unbilled worklogs, why, and what to do."""

from __future__ import annotations

import contextlib
from datetime import date
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer evaluates annotations
from typing import TYPE_CHECKING, Annotated

import typer
from msp_xero.errors import LedgerError, MspXeroError
from msp_xero.ledger import views
from msp_xero.ledger.decisions import exclude_worklog, include_worklog
from msp_xero.ledger.models import WORKLOG_STATES
from msp_xero.ledger.rows import WorklogFilter
from msp_xero.reasons import REASONS

from msp_xero_console import billing, show
from msp_xero_console.choosing import the_account
from msp_xero_console.command import AsJson, Limit, command, command_group, read_day
from msp_xero_console.exclusions import exclude_many
from msp_xero_console.export import export_worklogs
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import day, hours, money, number, plural, text, worth_in
from msp_xero_console.worklog import draw_worklog

if TYPE_CHECKING:
    from msp_xero.ledger import Ledger
    from msp_xero.ledger.rows import WorklogRow

app = command_group("List, explain, exclude and export worklogs, billed or not.")

State = StrEnum("State", {state: state for state in WORKLOG_STATES})  # type: ignore[misc]


def _known_code(code: str | None) -> str | None:
    if code is not None and code.upper() not in REASONS:
        raise typer.BadParameter(f"there is no such code; the codes are {', '.join(REASONS)}")
    return code.upper() if code else None


Worklog = Annotated[str, typer.Argument(metavar="ID", help="The worklog's id in ServiceDesk Plus.")]
States = Annotated[
    list[State] | None, typer.Option("--state", help="Only worklogs in this state; can be repeated.")
]
ReasonCode = Annotated[
    str | None,
    typer.Option(
        "--reason", metavar="CODE", callback=_known_code, help="Only this reason, e.g. ACCOUNT_UNMAPPED."
    ),
]
Account = Annotated[str | None, typer.Option("--account", help="Only this account: its id or name.")]
Since = Annotated[
    date | None,
    typer.Option("--since", parser=read_day, metavar="DATE", help="Only work from this day on."),
]
Changed = Annotated[bool, typer.Option("--changed", help="Only those that were changed after billing.")]


@command(app, "list")
def list_(  # noqa: PLR0913 - the filters of a list
    project: Project,
    *,
    state: States = None,
    reason: ReasonCode = None,
    account: Account = None,
    since: Since = None,
    changed: Changed = False,
    limit: Limit = 50,
    after: Annotated[
        int, typer.Option("--after", metavar="N", help="Go on behind this row; a full page says which.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """List worklogs in the order they first came, with where each is and why."""
    with project.reading() as ledger:
        wanted = _filter(ledger, state, reason, account, since, changed=changed)
        rows = views.list_worklogs(ledger, wanted, after=after, limit=limit)
        if as_json:
            show.data(rows)
            return
        if not rows:
            show.say(_nothing(ledger, wanted))
            return
        total = views.sum_worklogs(ledger, wanted)
        currencies = views.currencies_of(ledger, wanted)
        currency = project.waiting_currency(ledger)
    columns = [Column("Worklog"), Column("Date"), Column("Account", wraps=True)]
    columns += [Column("Time", right=True), Column("Money", right=True)]
    columns += [Column("Invoice, and what changed" if changed else "Where and why", wraps=True)]
    named = {one or currency for one in currencies}
    stake = worth_in(total.money, named, count=total.count, unpriced=total.unpriced)
    together = f"together {hours(total.minutes)} hours, {stake}"
    notes = [f"{number(len(rows))} of {plural(total.count, 'worklog')}; {together}."]
    if len(rows) == limit and total.count > limit:
        notes.append(f"For more: --after {rows[-1].row}, or a greater --limit.")
    show.table(
        columns,
        [_cells(row, currency if len(named) > 1 else None, changed=changed) for row in rows],
        notes=notes,
    )


@command(app, "show")
def show_(project: Project, *, worklog: Worklog, as_json: AsJson = False) -> None:
    """Show everything about a worklog: where it is, why, its invoice line and its history."""
    with project.reading() as ledger:
        found = views.find_worklogs(ledger, worklog)
        if not found:
            raise _unknown(worklog)
        details = [views.worklog_detail(ledger, row) for row in found]
        currency = project.waiting_currency(ledger)
    if as_json:
        show.data(details)
        return
    for detail in details:
        draw_worklog(detail, currency)
    if len(details) > 1:
        show.say()
        show.say(
            f"{len(details)} different worklogs share this id; to mean one, write "
            f"{', '.join(row.precise_label for row in found)}."
        )


@command(app)
def exclude(  # noqa: PLR0913 - one worklog, or the filters of many
    project: Project,
    *,
    worklog: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The worklog's id in ServiceDesk Plus.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why it is not billed; kept for whoever asks.")],
    before: Annotated[
        date | None,
        typer.Option("--before", parser=read_day, metavar="DATE", help="All work before this day."),
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="All of this account: its id or name.")
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(
            "--ids",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="All whose ids stand in this file: one a line, or a CSV with a column worklog_id.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before excluding many.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a worklog out of billing until somebody includes it again; or many at once.

    With several of --before, --account and --ids, all of them have to fit.
    """
    many = before is not None or account is not None or ids is not None
    if many == (worklog is not None):
        raise typer.BadParameter("give the ID of one worklog, or --before, --account or --ids for many")
    if worklog is None:
        exclude_many(
            project, before=before, account=account, ids=ids, reason=reason, yes=yes, as_json=as_json
        )
        return
    with project.deciding() as ledger:
        row = _one(ledger, worklog)
        if row.state == "planned" and reason.strip():
            # While a settle runs it stays on its way, and the refusal below says so.
            with contextlib.suppress(LedgerError):
                billing.take_back(project, ledger, row.row)
        replaced = exclude_worklog(ledger, row.row, reason)
        who = ledger.actor
        currency = project.waiting_currency(ledger)
    if as_json:
        show.data(
            {
                "excluded": 1, "worklog": row.label, "minutes": row.minutes, "money": row.money,
                "replaced_reason": replaced,
            }
        )  # fmt: skip
        return
    stake = f", {money(row.money, currency)}" if row.money is not None else ""
    show.say(f"Excluded worklog {row.label} ({hours(row.minutes)}{stake}), decided by {who}.")
    if replaced is not None:
        show.say(f"It was excluded already: {text(replaced)}. The history keeps that reason too.")
    if row.state == "planned":
        show.say(f"Invoice {row.invoice_number} is taken back; the next run plans the rest of it anew.")
    show.say(f"To take it back: `msp-xero worklogs include {worklog}`.")


@command(app)
def include(project: Project, *, worklog: Worklog) -> None:
    """Take back an exclusion; the next run judges the worklog anew."""
    with project.deciding() as ledger:
        row = _one(ledger, worklog)
        state = include_worklog(ledger, row.row)
    what = {
        "open": "the next run bills it if nothing else keeps it",
        "held": "it is held; the next run judges it anew",
        "excluded": "a rule of the configuration still excludes it",
    }[state]
    show.say(f"Included worklog {row.label}: {what}.")


@command(app)
def export(  # noqa: PLR0913 - the filters of a list
    project: Project,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .csv, .xlsx or .json.")],
    state: States = None,
    reason: ReasonCode = None,
    account: Account = None,
    since: Since = None,
    changed: Changed = False,
) -> None:
    """Write worklogs to a file: .csv, .xlsx or .json."""
    if file.suffix.lower() not in (".csv", ".xlsx", ".json"):
        raise typer.BadParameter("the file's name has to end in .csv, .xlsx or .json", param_hint="FILE")
    with project.reading() as ledger:
        wanted = _filter(ledger, state, reason, account, since, changed=changed)
        count = export_worklogs(views.every_worklog(ledger, wanted), file, views.shared_ids(ledger))
    show.say(f"Wrote {plural(count, 'worklog')} to {file}.")


def _filter(  # noqa: PLR0913 - the filters of a list
    ledger: Ledger,
    states: list[State] | None,
    reason: str | None,
    account: str | None,
    since: date | None,
    *,
    changed: bool,
) -> WorklogFilter:
    return WorklogFilter(
        states=tuple(str(state) for state in states or ()),
        reason_code=reason,
        account_id=None if account is None else the_account(ledger, account),
        since=since,
        changed=changed,
    )


def _one(ledger: Ledger, wanted: str) -> WorklogRow:
    found = views.find_worklogs(ledger, wanted)
    if not found:
        raise _unknown(wanted)
    if len(found) > 1:
        raise shared_id(found, wanted)
    return found[0]


def shared_id(found: list[WorklogRow], wanted: str) -> MspXeroError:
    """Return the error that asks which of several worklogs of one id is meant."""
    meant = "; ".join(
        f"{row.precise_label} ({row.module} {row.parent_display_id or row.parent_id or ''}".rstrip() + ")"
        for row in found
    )
    return MspXeroError(f"{len(found)} different worklogs share the id {wanted}; say which: {meant}")


def _unknown(wanted: str) -> MspXeroError:
    return MspXeroError(
        f"no worklog {wanted} was delivered yet; if it exists in ServiceDesk Plus, run `meltano run worklogs`"
    )


def _nothing(ledger: Ledger, wanted: WorklogFilter) -> str:
    if not views.sum_worklogs(ledger, WorklogFilter()).count:
        return "No worklogs yet. Run `meltano run worklogs`."
    if wanted == WorklogFilter(changed=True):
        return "No worklog was changed after it was billed."
    return "No worklog fits this filter."


def _cells(row: WorklogRow, waiting: str | None, *, changed: bool) -> tuple[str, ...]:
    """Return the cells of a row. ``waiting``: the currency of what waits, where there are several."""
    return (
        row.label,
        day(row.work_date),
        text(row.account_name or row.account_id),
        hours(row.minutes),
        money(row.money, (row.currency or waiting) if waiting else None),
        _changes(row) if changed else _place(row),
    )


def _changes(row: WorklogRow) -> str:
    return f"{row.invoice_number}: {', '.join(sorted(row.changed or {}))}"


def _place(row: WorklogRow) -> str:
    if row.invoice_number:
        return f"{row.state} {row.invoice_number}"
    if not row.reason_code:
        return row.state
    return f"{row.state} {row.reason_code}: {text(row.reason)}"
