"""``msp-xero status``: where everything is, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from msp_xero.ledger import views
from msp_xero.ledger.link_views import AccountTotals, account_totals
from msp_xero.ledger.rows import Total
from msp_xero.ledger.runs import last_runs
from msp_xero.ledger.second_look import missing_on
from msp_xero.ledger.type_status import count_by_status, type_status
from msp_xero.reasons import explain

from msp_xero_console import show
from msp_xero_console.account_notes import account_sentence
from msp_xero_console.command import AsJson, command, command_group, needs_person
from msp_xero_console.project import XERO_PLUGINS, Project, StandIn
from msp_xero_console.show import Column
from msp_xero_console.stuck import differs, full_story, what_next
from msp_xero_console.words import NOTHING, counted, hours, moment, money, number, plural, text, worth_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from msp_xero.ledger import Ledger
    from msp_xero.ledger.models import SyncRun
    from msp_xero.ledger.rows import ConnectionView, InvoiceRow, InvoiceTotal, WorklogTotal
    from msp_xero.ledger.type_status import TypeStatus
    from msp_xero.xero.standing import Standing

app = command_group("Show the last runs, where every worklog is, and what needs a person.")

JOBS = ("accounts", "worklog-types", "worklogs")
_PLACES = {
    "invoiced": "Invoiced",
    "planned": "Planned or being sent",
    "open": "Waiting for the next run",
    "held": "Held",
    "excluded": "Excluded",
}
_INVOICES_OF = {
    "invoiced": ("created", "paid", "voided", "deleted"),
    "planned": ("planned", "sending", "unknown", "conflict"),
}
_SHOWN = 10


@command(app)
def status(
    project: Project,
    *,
    as_json: AsJson = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="End with exit code 3 when something needs a person, or no job ever ran."
        ),
    ] = False,
) -> None:
    """Show the last runs, where every worklog is, and what needs a person.

    Every worklog that was delivered is in exactly one place; the places add up to the total.
    """
    with project.reading() as ledger:
        picture = _Picture(project, ledger)
    if as_json:
        show.data(picture.as_data())
    else:
        picture.draw()
    if check and picture.needs_person:
        needs_person()


def _login_of(project: Project) -> Standing | None:
    configs = [project.configs.get(plugin, {}) for plugin in XERO_PLUGINS]
    if all(config.get("grant") != "authorization_code" for config in configs):
        return None
    # The client is slow to import, and most connections have no login to look at.
    from msp_xero_console.xero_token_check import login_standing  # noqa: PLC0415

    return login_standing(project)


class _Picture:
    """Everything that status shows, read at one go."""

    def __init__(self, project: Project, ledger: Ledger) -> None:
        self.source = project.source
        self.absence = project.absence() if isinstance(ledger, StandIn) else None
        self.remedy = project.remedy
        self.switched_off = project.switched_off
        self.sdp_url = project.configs.get("target-msp-sdp", {}).get("base_url") or project.configs.get(
            "tap-msp-sdp", {}
        ).get("base_url")
        self.connection: ConnectionView = views.connection_view(ledger)
        self.waiting_currency = project.waiting_currency(ledger)
        self.login = _login_of(project)
        self.runs: Mapping[str, SyncRun] = last_runs(ledger)
        self.types: list[TypeStatus] = type_status(ledger)
        self.accounts: AccountTotals = account_totals(ledger)
        self.worklogs: list[WorklogTotal] = views.worklog_totals(ledger)
        self.changed = views.count_changed_after_billing(ledger)
        self.on_gone_invoices = views.count_on_gone_invoices(ledger)
        self.invoices: list[InvoiceTotal] = views.invoice_totals(ledger)
        self.unsettled: list[InvoiceRow] = views.unsettled_invoices(ledger)
        self.incomplete = set(missing_on(ledger))
        # The newest come first, but for those that a person has to do something about.
        differing = views.differing_invoices(ledger)
        self.differing: list[InvoiceRow] = sorted(
            differing, key=lambda one: one.number not in self.incomplete
        )
        self.unsent: InvoiceRow | None = next(
            iter(views.list_invoices(ledger, states=("planned",), limit=1)), None
        )

    @property
    def needs_person(self) -> bool:
        # Where no job has ever run, nothing is well: the schedule is missing, or this is not the ledger.
        idle = not any(job in JOBS for job in self.runs)
        # A push, rebuild or reconcile that failed once was a person's; what they did next counts.
        failed = any(job in JOBS and run.outcome == "failed" for job, run in self.runs.items())
        stuck = any(invoice.state == "conflict" or invoice.reason for invoice in self.unsettled)
        return (
            idle
            or failed
            or stuck
            or self.changed > 0
            or self.on_gone_invoices > 0
            or bool(self.incomplete)
            or self.place("held").count > 0
            or any(row.needs_person for row in self.types if row.item_id)
            or (self.login is not None and self.login.needs_person)
        )

    def place(self, state: str) -> Total:
        return sum((row.total for row in self.worklogs if row.state == state), Total())

    @property
    def delivered(self) -> Total:
        return sum((row.total for row in self.worklogs), Total())

    def currencies(self, *states: str) -> set[str | None]:
        """Return the currencies that the money of worklogs in these states is in."""
        found: set[str | None] = set()
        for state in states:
            of_invoices = _INVOICES_OF.get(state, ())
            found |= {total.currency for total in self.invoices if total.state in of_invoices}
            if state not in _INVOICES_OF and self.place(state).money:
                found.add(self.waiting_currency)
        return found or {self.waiting_currency}

    # ------------------------------------------------------------------ JSON

    def as_data(self) -> dict[str, Any]:
        sdp = self.connection.sdp_base_url or self.sdp_url
        return {
            "connection": {**show.plain(self.connection), "sdp_base_url": sdp},
            "no_ledger": self.absence,
            "xero_login": self.login and {**show.plain(self.login), "needs_person": self.login.needs_person},
            "runs": [
                {
                    "job": job,
                    "outcome": run.outcome,
                    "started_at": run.started_at,
                    "finished_at": run.finished_at,
                    "actor": run.actor,
                    "counts": run.counts,
                    "calls": run.calls,
                    "error": run.error,
                }
                for job, run in sorted(self.runs.items())
            ],
            "switched_off": dict(self.switched_off),
            "worklog_types": {
                **count_by_status(self.types),
                "need_a_person": sum(row.needs_person for row in self.types),
            },
            "accounts": self.accounts,
            "worklogs": {
                "delivered": self.delivered,
                **{state: self.place(state) for state in _PLACES},
                "reasons": [
                    {"state": row.state, **show.plain(explain(row.reason_code)), **show.plain(row.total)}
                    for row in self.worklogs
                    if row.state in ("held", "excluded")
                ],
                "changed_after_billing": self.changed,
                "on_voided_or_deleted_invoices": self.on_gone_invoices,
            },
            "invoices": self.invoices,
            "unsettled": [{**show.plain(row), "next": what_next(row)} for row in self.unsettled],
            "differing": self.differing,
            "unsent": self.unsent and {**show.plain(self.unsent), "next": what_next(self.unsent)},
            "needs_person": self.needs_person,
        }

    # ---------------------------------------------------------------- people

    def draw(self) -> None:
        self._draw_connection()
        self._draw_runs()
        self._draw_types()
        self._draw_accounts()
        self._draw_worklogs()
        self._draw_reasons("held", "Held: what keeps them, and what to do")
        self._draw_reasons("excluded", "Excluded")
        self._draw_invoices()

    def _draw_connection(self) -> None:
        seen = self.connection
        organisation = seen.organisation_name or "not seen yet"
        pairs = [
            ("Xero", f"{organisation} ({seen.base_currency})" if seen.base_currency else organisation),
            ("ServiceDesk Plus", seen.sdp_base_url or self.sdp_url or "base_url is not set"),
            ("Connection", f"{seen.name}, from {self.source}"),
        ]
        if self.absence is not None:
            pairs.append(("Ledger", f"{self.absence}; {self.remedy}."))
        if self.login is not None:
            pairs.append(("Xero login", " ".join([f"{self.login.seen}.", self.login.advice]).strip()))
        if seen.day_calls_remaining is not None:
            left = f"{seen.day_calls_remaining:,} left, as seen {moment(seen.day_calls_seen_at)}"
            pairs.append(("Xero calls today", left))
        show.facts(pairs)

    def _draw_runs(self) -> None:
        show.heading("Last runs")
        rows = []
        for job in dict.fromkeys((*JOBS, *self.runs)):
            run = self.runs.get(job)
            if setting := self.switched_off.get(job):
                rows.append(
                    (
                        job,
                        moment(run.started_at if run else None),
                        "disabled",
                        NOTHING,
                        f"switched off by {setting}",
                    )
                )
                continue
            if run is None:
                rows.append((job, "never", NOTHING, NOTHING, f"meltano run {job}"))
                continue
            calls = sum(value for value in (run.calls or {}).values() if isinstance(value, int))
            what = text(run.error) if run.error else counted(run.counts) or "nothing to do"
            rows.append((job, moment(run.started_at), run.outcome.replace("_", " "), number(calls), what))
        columns = [Column("Job"), Column("When"), Column("Outcome"), Column("Calls", right=True)]
        show.table([*columns, Column("What", wraps=True)], rows)

    def _draw_types(self) -> None:
        """Say how the worklog types stand, as soon as there are any."""
        if not self.types:
            return
        show.heading("Worklog types")
        counts = count_by_status(self.types)
        todo = sum(row.needs_person for row in self.types)
        advice = f" {todo:,} to decide about: `msp-xero types list --todo`." if todo else ""
        show.say(f"{', '.join(f'{count:,} {status}' for status, count in counts.items())}.{advice}")

    def _draw_accounts(self) -> None:
        show.heading("Contacts and accounts")
        if not self.accounts.contacts:
            show.say("No contacts yet. Run `meltano run accounts`.")
            return
        show.say(account_sentence(self.accounts))

    def _draw_worklogs(self) -> None:
        show.heading("Worklogs")
        delivered = self.delivered
        if not delivered.count:
            show.say("No worklogs yet. Run `meltano run worklogs`.")
            return
        columns = [Column("Where"), *(Column(title, right=True) for title in ("Worklogs", "Time", "Money"))]
        rows = [
            (words, *self._sums(self.place(state), self.currencies(state)))
            for state, words in _PLACES.items()
        ]
        notes = []
        if delivered.unpriced:
            notes.append(
                f"{plural(delivered.unpriced, 'worklog')} without a price yet, whose money is in none of "
                "these sums. What is billed at its item's price gets it when its invoice is planned."
            )
        if self.changed:
            notes.append(
                f"{plural(self.changed, 'worklog')} changed after billing, which is never sent again: "
                "see `msp-xero worklogs list --changed`."
            )
        if self.on_gone_invoices:
            notes.append(
                f"{plural(self.on_gone_invoices, 'worklog')} of those invoiced are on invoices that were "
                "voided or deleted in Xero: see `msp-xero invoices list --state voided --state deleted`, and "
                "`msp-xero invoices release NUMBER` to bill them again. What a person has put on another of "
                "our invoices there stays billed by that one."
            )
        footer = ("Delivered", *self._sums(delivered, self.currencies(*_PLACES)))
        show.table(columns, rows, footer=footer, notes=notes)

    def _draw_reasons(self, state: str, title: str) -> None:
        rows = [row for row in self.worklogs if row.state == state]
        if not rows:
            return
        show.heading(title)
        columns = [Column("Reason"), *(Column(name, right=True) for name in ("Worklogs", "Time", "Money"))]
        lines = []
        for row in rows:
            reason = explain(row.reason_code)
            what = reason.sentence if state == "excluded" else f"{reason.sentence} {reason.who}: {reason.how}"
            lines.append((reason.code, *self._sums(row.total, {self.waiting_currency}), what))
        show.table([*columns, Column("What it means", wraps=True)], lines)

    def _draw_invoices(self) -> None:
        show.heading("Invoices")
        if not self.invoices:
            show.say("No invoices yet. `msp-xero invoices preview` shows what the next run would create.")
            return
        amounts = [Column(title, right=True) for title in ("Invoices", "Subtotal", "Tax", "Total")]
        rows = [
            (
                total.state,
                number(total.count),
                *(money(amount, total.currency) for amount in (total.subtotal, total.total_tax, total.total)),
            )
            for total in self.invoices
        ]
        notes = [full_story(invoice) for invoice in self.unsettled[:_SHOWN]]
        if len(self.unsettled) > _SHOWN:
            notes.append(
                f"… and {len(self.unsettled) - _SHOWN} more: "
                "`msp-xero invoices list --state unknown --state conflict`."
            )
        notes += [differs(invoice) for invoice in self.differing[:_SHOWN]]
        if len(self.differing) > _SHOWN:
            notes.append(f"… and {len(self.differing) - _SHOWN} more that differ: `msp-xero status --json`.")
        if self.unsent:
            notes.append(f"{self.unsent.number} and all that are planned: {what_next(self.unsent)}")
        show.table([Column("State"), *amounts], rows, notes=notes)

    @staticmethod
    def _sums(total: Total, currencies: Collection[str | None]) -> tuple[str, str, str]:
        stake = worth_in(total.money, currencies, count=total.count, unpriced=total.unpriced)
        return number(total.count), hours(total.minutes), stake
