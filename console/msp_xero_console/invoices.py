"""``msp-xero invoices``: what was billed, and what is billed next."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msp_xero.errors import MspXeroError
from msp_xero.ledger import views
from msp_xero.ledger.decisions import release_invoice
from msp_xero.ledger.generations import eras
from msp_xero.ledger.models import INVOICE_STATES
from msp_xero.reasons import explain

from msp_xero_console import billing, show
from msp_xero_console.choosing import the_account
from msp_xero_console.command import AsJson, Limit, command, command_group, needs_person
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.stopping import politely
from msp_xero_console.stuck import full_story, in_both, what_next
from msp_xero_console.words import day, hours, moment, money, number, plural, text, worth
from msp_xero_console.worklog import draw_history

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from msp_xero.billing.plan import HeldSum, Plan
    from msp_xero.ledger.rows import InvoiceDetail, InvoiceRow, InvoiceTotal

app = command_group("List invoices, preview and push what is next.")

_SWITCHED_OFF = "The worklogs job is switched off (worklogs_enabled: false)."
_UNSETTLED = ("sending", "unknown", "conflict")
_ON_THEIR_WAY = ("planned", *_UNSETTLED)
_STORIES = 5

State = StrEnum("State", {state: state for state in INVOICE_STATES})  # type: ignore[misc]
OnlyAccounts = Annotated[
    list[str] | None,
    typer.Option("--account", help="Only this SDP account: its id or name; can be repeated."),
]


@command(app, "list")
def list_(
    project: Project,
    *,
    state: Annotated[
        list[State] | None, typer.Option("--state", help="Only invoices in this state; can be repeated.")
    ] = None,
    limit: Limit = 50,
    before: Annotated[
        int | None,
        typer.Option("--before", metavar="N", help="Go on behind this row; a full page says which."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List invoices, the newest first."""
    states = tuple(str(one) for one in state or ())
    with project.reading() as ledger:
        rows = views.list_invoices(ledger, states=states, before=before, limit=limit)
        totals = [total for total in views.invoice_totals(ledger) if not states or total.state in states]
        any_at_all = bool(rows) or bool(views.invoice_totals(ledger))
        has_past = len(eras(ledger)) > 1
    if as_json:
        show.data(rows)
    elif rows:
        columns = [Column("Invoice"), Column("Date"), Column("Account", wraps=True)]
        columns += [Column(title, right=True) for title in ("Lines", "Time", "Total")]
        columns += [Column("State"), Column("In Xero", wraps=True)]
        columns += [Column("Organisation", wraps=True)] if has_past else []
        everything = "; ".join(f"{t.count:,} {t.state} {money(t.total, t.currency)}" for t in totals)
        count = sum(total.count for total in totals)
        notes = [f"{number(len(rows))} of {plural(count, 'invoice')}: {everything}."]
        notes += [full_story(row) for row in rows if row.state in _UNSETTLED][:_STORIES]
        if len(rows) == limit and count > limit:
            notes.append(f"For more: --before {rows[-1].row}, or a greater --limit.")
        show.table(columns, [_cells(row, with_organisation=has_past) for row in rows], notes=notes)
    elif any_at_all:
        show.say("No invoice is in this state.")
    else:
        show.say("No invoices yet. `msp-xero invoices preview` shows what the next run would create.")


@command(app, "show")
def show_(
    project: Project,
    *,
    invoice: Annotated[str, typer.Argument(metavar="NUMBER", help="The invoice's number, e.g. SDP-00042.")],
    as_json: AsJson = False,
) -> None:
    """Show an invoice: its lines, the worklogs they came from, its totals, and its page in Xero."""
    with project.reading() as ledger:
        detail = views.invoice_detail(ledger, invoice)
    if detail is None:
        raise MspXeroError(f"there is no invoice {invoice}; `msp-xero invoices list` shows them")
    if as_json:
        show.data(detail)
        return
    show.heading(f"Invoice {detail.invoice.number}")
    show.facts(_facts(detail))
    if detail.link:
        show.raw(f"Open in Xero: {detail.link}")
    if detail.lines:
        show.heading("Lines and their worklogs")
        columns = [
            Column("Line", right=True),
            Column("Worklog"),
            Column("Date"),
            Column("Technician", wraps=True),
        ]
        columns += [
            Column("Item"),
            *(Column(title, right=True) for title in ("Hours", "Price", "Amount", "Tax")),
        ]
        released = "Lines in brackets are released: their worklogs are free again, or on a later invoice."
        notes = [released] if any(not line.live for line in detail.lines) else []
        show.table(columns, _lines(detail), notes=notes)
    draw_history(detail.history)


@command(app)
def release(
    project: Project,
    *,
    invoice: Annotated[str, typer.Argument(metavar="NUMBER", help="The invoice's number, e.g. SDP-00042.")],
    voided_there: Annotated[
        bool,
        typer.Option(
            "--voided-there",
            help="You have voided or deleted it in an organisation that this connection bills no more, "
            "where no run can look. Kept in the history.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bill the worklogs of an invoice again that was voided or deleted in Xero."""
    with project.deciding() as ledger:
        released = release_invoice(ledger, invoice, voided_there=voided_there)
    if as_json:
        data = {"invoice": invoice, "released": released.free, "still_billed": released.still_billed}
        show.data({**data, "moved_to": released.moved_to})
        return
    if released.free:
        show.say(
            f"{plural(released.free, 'worklog')} of invoice {invoice} can be billed again. "
            "The next run bills them on a new invoice: `meltano run worklogs`."
        )
    if released.still_billed:
        show.say(
            f"Still billed, by another invoice that stands: {plural(released.still_billed, 'worklog')}. "
            "`msp-xero worklogs show ID` names that invoice."
        )
    if released.moved_to:
        show.say(f"A person has put lines of it on {', '.join(released.moved_to)} in Xero.")


@command(app)
def preview(project: Project, *, account: OnlyAccounts = None, as_json: AsJson = False) -> None:
    """Show what the next push would create. Reads Xero, and writes nothing anywhere."""
    plan = billing.preview(project, accounts=_wanted(project, account))
    with project.reading() as ledger:
        on_their_way = [total for total in views.invoice_totals(ledger) if total.state in _ON_THEIR_WAY]
    if as_json:
        data = {"invoices": plan.invoices, "on_their_way": on_their_way, "held": _held_data(plan.held)}
        show.data(data)
        return
    _draw_on_their_way(on_their_way)
    _draw_plan(plan, is_all=not on_their_way)
    if not billing.is_enabled(project):
        show.say(f"{_SWITCHED_OFF} No run creates them until it is switched on.")


@command(app)
def push(project: Project, *, account: OnlyAccounts = None, as_json: AsJson = False) -> None:
    """Create the invoices of everything that can be billed, without asking ServiceDesk Plus first.

    With --account, only of these accounts; invoices that an earlier run has planned go out in any case.
    """
    if not billing.is_enabled(project):
        if as_json:
            show.data({"outcome": "disabled"})
        else:
            show.say(f"{_SWITCHED_OFF} Nothing was done.")
        return
    with politely() as stop:
        settled = billing.push(
            project,
            accounts=_wanted(project, account),
            progress=_progress,
            stop_requested=stop.requested,
        )
    if as_json:
        told = {"differing": settled.differing, "outcome": settled.outcome, "calls": settled.calls}
        held = {code: total.lines for code, total in sorted(settled.held.items())}
        show.data({**settled.counts(), "held": held, **told})
    else:
        show.say(settled.sentence())
        _draw_held(settled.held, settled.currency)
    if stop.requested():
        raise typer.Exit(stop.exit_code)
    if settled.outcome != "done":
        needs_person()


def _wanted(project: Project, accounts: list[str] | None) -> set[str] | None:
    """Return the ids of the accounts that a person named; None is all.

    Raises:
        MspXeroError: there is no such account, or no ledger.
    """
    if not accounts:
        return None
    with project.deciding() as ledger:
        return {the_account(ledger, one) for one in accounts}


def _progress(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _draw_on_their_way(totals: Iterable[InvoiceTotal]) -> None:
    """Tell of invoices that the next push sends or looks up before it plans any."""
    for total in totals:
        what = f"{plural(total.count, 'invoice')} over {money(total.total, total.currency)}"
        if total.state == "planned":
            show.say(
                f"Planned already: {what}. The next push sends them, whatever account is asked for, or "
                "plans them anew where something about them was changed since."
            )
        else:
            show.say(f"On their way: {what}, {total.state}. The next push looks them up first.")


def _draw_plan(plan: Plan, *, is_all: bool) -> None:
    if plan.invoices:
        show.heading("The next push would create")
        columns = [Column("Account", wraps=True), Column("Contact", wraps=True)]
        columns += [Column(title, right=True) for title in ("Lines", "Time", "Subtotal", "Tax", "Total")]
        currency = plan.invoices[0].currency
        rows = [
            (
                text(one.account_name),
                text(one.contact_name),
                number(one.lines),
                hours(one.minutes),
                *(money(amount, one.currency) for amount in (one.subtotal, one.tax, one.total)),
            )
            for one in plan.invoices
        ]
        footer = (
            plural(len(plan.invoices), "invoice"),
            "",
            number(sum(one.lines for one in plan.invoices)),
            hours(sum(one.minutes for one in plan.invoices)),
            *(
                money(sum(amounts, Decimal(0)), currency)
                for amounts in (
                    [one.subtotal for one in plan.invoices],
                    [one.tax for one in plan.invoices],
                    [one.total for one in plan.invoices],
                )
            ),
        )
        note = "Numbers are given when they are pushed: `msp-xero invoices push`, or the next run."
        show.table(columns, rows, footer=footer, notes=[note])
    else:
        show.say(f"The next push would create no {'' if is_all else 'other '}invoice.")
        if is_all and not plan.held:
            show.say("Nothing waits to be billed. `meltano run worklogs` fetches new worklogs.")
    _draw_held(plan.held, plan.currency)


def _draw_held(held: Mapping[str, HeldSum], currency: str) -> None:
    if not held:
        return
    show.heading("Held: what keeps them, and what to do")
    columns = [Column("Reason"), *(Column(title, right=True) for title in ("Worklogs", "Time", "Money"))]
    rows = []
    for code, total in sorted(held.items(), key=lambda pair: (-pair[1].lines, pair[0])):
        reason = explain(code)
        what = f"{reason.sentence} {reason.who}: {reason.how}"
        stake = worth(total.money, currency, count=total.lines, unpriced=total.unpriced)
        rows.append((code, number(total.lines), hours(total.minutes), stake, what))
    show.table([*columns, Column("What it means", wraps=True)], rows)


def _held_data(held: Mapping[str, HeldSum]) -> list[dict[str, Any]]:
    return [{**show.plain(explain(code)), **show.plain(total)} for code, total in sorted(held.items())]


def _cells(row: InvoiceRow, *, with_organisation: bool) -> tuple[str, ...]:
    return (
        row.number,
        day(row.invoice_date),
        text(row.account_name or row.account_id),
        number(row.line_count),
        hours(row.minutes),
        in_both(row),
        row.state,
        text(row.xero_status or row.reason),
        *((text(row.organisation),) if with_organisation else ()),
    )


def _facts(detail: InvoiceDetail) -> Iterable[tuple[str, str]]:
    invoice = detail.invoice
    status = f" ({invoice.xero_status})" if invoice.xero_status else ""
    yield "State", f"{invoice.state}{status}: {what_next(invoice)}"
    if invoice.reason_code or invoice.reason:
        code = f"{invoice.reason_code}: " if invoice.reason_code else ""
        yield "Why", f"{code}{text(invoice.reason)}"
    if invoice.organisation:
        yield "Billed by", text(invoice.organisation)
    yield "Account", f"{text(invoice.account_name)} ({invoice.account_id})"
    yield "Contact", f"{text(invoice.contact_name)} ({invoice.contact_id})"
    yield "Date", f"{day(invoice.invoice_date)}, due {day(invoice.due_date)}"
    yield "Reference", text(invoice.reference)
    yield "Time", f"{hours(invoice.minutes)} on {plural(invoice.line_count, 'line')}"
    yield "Subtotal", money(invoice.subtotal, invoice.currency)
    yield "Tax", money(invoice.total_tax, invoice.currency)
    yield "Total", in_both(invoice)
    yield "Planned", moment(invoice.planned_at)
    if invoice.sent_at is not None:
        yield "Sent", f"{moment(invoice.sent_at)}, {plural(invoice.attempts or 0, 'time')} in all"
    yield "Settled", moment(invoice.settled_at)


def _lines(detail: InvoiceDetail) -> Iterable[tuple[str, ...]]:
    for line in detail.lines:
        label = f"{line.worklog_id}#{line.ordinal + 1}" if line.ordinal else line.worklog_id
        yield (
            str(line.position),
            label if line.live else f"({label})",
            day(line.work_date),
            text(line.technician_name),
            line.item_code,
            f"{line.quantity.normalize():f}",
            money(line.unit_price),
            money(line.amount),
            money(line.tax),
        )
