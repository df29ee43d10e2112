"""The settle of the worklogs job: find out what is open, plan what is billable, push it.

The same for a target at the end of its input and for a person at the command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from msp_xero.billing import reconcile
from msp_xero.billing.arithmetic import ZERO
from msp_xero.billing.plan import HeldSum, Plan, plan
from msp_xero.billing.push import Pushed, push, raise_if_stopped
from msp_xero.billing.reference import read_organisation, read_reference
from msp_xero.errors import DayLimitReached, LedgerError
from msp_xero.ledger import planning, pushing
from msp_xero.ledger.models import Invoice, Worklog
from msp_xero.ledger.pushing import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from msp_xero.billing.reference import Organisation, Reference
    from msp_xero.billing.settings import BillingSettings
    from msp_xero.ledger import Fence, Ledger
    from msp_xero.ledger.models import BillingConnection
    from msp_xero.xero.client import XeroClient

_ROUNDS = 4
"""Pushes of one settle: the first, and after each look-up what is proven missing."""


@dataclass(slots=True)
class Settled:
    """What one settle did. Money is in the invoices' currency, with tax where it says total."""

    currency: str = ""
    invoices: int = 0
    worklogs: int = 0
    minutes: int = 0
    total: Decimal = ZERO
    differing_totals: int = 0
    rejected: int = 0
    unknown: int = 0
    unsent: int = 0
    refreshed: int = 0
    held: dict[str, HeldSum] = field(default_factory=dict)
    excluded: int = 0
    would_be: Plan | None = None
    calls: dict[str, int] = field(default_factory=dict)
    day_limit: DayLimitReached | None = None
    interrupted: bool = False
    made: Outcome = field(default_factory=Outcome)

    @property
    def needs_person(self) -> bool:
        """Whether something waits for a person."""
        return bool(self.held or self.rejected or self.unknown or self.differing_totals)

    @property
    def outcome(self) -> str:
        """How the run ended, as the record of runs says it."""
        if self.day_limit is not None or self.interrupted:
            return "stopped"
        return "needs_person" if self.needs_person else "done"

    def counts(self) -> dict[str, Any]:
        """Return the figures for the record of runs."""
        return {
            "invoices": self.invoices,
            "worklogs": self.worklogs,
            "minutes": self.minutes,
            "total": self.total,
            "currency": self.currency,
            "rejected": self.rejected,
            "unknown": self.unknown,
            "unsent": self.unsent,
            "held": {code: held.lines for code, held in sorted(self.held.items())},
            "excluded": self.excluded,
        }

    def _deed(self) -> str:
        """Say what was billed, or would be."""
        if self.would_be is not None:
            total = sum((draft.total for draft in self.would_be.invoices), ZERO)
            count = _counted(len(self.would_be.invoices), "invoice")
            return f"push is off: {count} over {self.currency} {total:,.2f} would be made, none was sent"
        if not self.invoices:
            return "nothing new to bill"
        worklogs, invoices = _counted(self.worklogs, "worklog"), _counted(self.invoices, "invoice")
        return f"{worklogs} invoiced on {invoices} ({self.currency} {self.total:,.2f})"

    def sentence(self) -> str:
        """Return the one summary line of a run."""
        held = sum(held.lines for held in self.held.values())
        calls = sum(self.calls.values())
        parts = [
            self._deed(),
            f"{held:,} held" + (": see msp-xero worklogs list --state held" if held else ""),
        ]
        if self.rejected:
            parts.append(f"{_counted(self.rejected, 'invoice')} refused by Xero")
        if self.unknown:
            parts.append(
                f"{_counted(self.unknown, 'invoice')} with unknown outcome, looked up again by the next run"
            )
        if self.differing_totals:
            parts.append(f"{_counted(self.differing_totals, 'invoice')} whose total differs in Xero")
        if self.unsent:
            parts.append(f"{_counted(self.unsent, 'invoice')} still to send: the next run does")
        if self.day_limit is not None:
            parts.append(str(self.day_limit))
        parts.append(_counted(calls, "Xero call"))
        return "worklogs: " + "; ".join(parts)


def _counted(number: int, noun: str) -> str:
    """Return ``1 invoice``, ``2 invoices``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def settle(  # noqa: PLR0913 - everything at the border is handed in
    ledger: Ledger,
    client: XeroClient,
    settings: BillingSettings,
    *,
    run_id: int | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] = lambda _: None,
) -> Settled:
    """Bill everything in the ledger that can be billed.

    Args:
        ledger: the open ledger.
        client: the Xero client.
        settings: how to bill.
        run_id: the run, for the audit log.
        stop_requested: asked between calls; True ends the settle cleanly, the next one carries on.
        progress: told one line about long work.

    Raises:
        LedgerError: another settle is running, or the ledger does not fit this Xero organisation.
        RemoteError: Xero cannot be reached or refuses access; nothing is lost, the next run carries on.
    """
    settled = Settled()
    with ledger.settling() as fence:
        try:
            _settle(ledger, client, settings, fence, settled, run_id, stop_requested, progress)
        except DayLimitReached as error:
            settled.day_limit = error
        finally:
            if settled.day_limit is not None:
                pushing.note_day_limit(ledger, fence, str(settled.day_limit))
            _remember_budget(ledger, client, fence)
            settled.calls = dict(client.calls)
        _sum_up(ledger, settled)
    return settled


def _settle(  # noqa: PLR0913, PLR0917 - the body of settle
    ledger: Ledger,
    client: XeroClient,
    settings: BillingSettings,
    fence: Fence,
    settled: Settled,
    run_id: int | None,
    stop_requested: Callable[[], bool],
    progress: Callable[[str], None],
) -> None:
    organisation = read_organisation(client.organisation())
    pin_organisation(ledger, organisation)
    if organisation.zone_name is None:
        progress(
            f"warning: the time zone of {organisation.name} is not known here; invoices are dated in UTC"
        )
    settled.currency = settings.currency_code or organisation.base_currency
    pushing.mark_interrupted(ledger, fence)
    settled.refreshed = reconcile.refresh_invoices(
        ledger, client, fence, number_prefix=settings.number_prefix, run_id=run_id
    )

    def resolve() -> None:
        settled.made.add(
            reconcile.resolve_unknown(
                ledger, client, fence, organisation_id=organisation.organisation_id, run_id=run_id
            )
        )

    resolve()
    reference = _reference(ledger, client, settings, organisation)
    with ledger.write(fence) as session:
        planned = plan(session, ledger, reference, settings, store=settings.push, run_id=run_id)
    if not settings.push:
        settled.would_be = planned
        return
    for round_number in range(_ROUNDS):
        if round_number:
            resolve()
        pushed = push(
            ledger,
            client,
            fence,
            concurrency=settings.concurrency,
            stop_requested=stop_requested,
            progress=lambda done, all_: progress(f"sent {done} of {all_} batches of invoices"),
            run_id=run_id,
        )
        _take_over(settled, pushed)
        raise_if_stopped(pushed)
        # What only a person can judge is not looked up again and again within one run.
        open_states = {invoice.state for invoice in pushing.unsettled_invoices(ledger)}
        if settled.day_limit or settled.interrupted or open_states <= {"conflict"}:
            return


def _take_over(settled: Settled, pushed: Pushed) -> None:
    settled.made.add(pushed.outcome)
    settled.interrupted = settled.interrupted or pushed.interrupted
    if isinstance(pushed.stopped_by, DayLimitReached):
        settled.day_limit = pushed.stopped_by


def preview(ledger: Ledger, client: XeroClient, settings: BillingSettings) -> Plan:
    """Return what the next settle would plan. Writes neither to Xero nor to the ledger."""
    organisation = read_organisation(client.organisation())
    with ledger.read() as session:
        refuse_other_organisation(ledger.connection(session), organisation)
    reference = _reference(ledger, client, settings, organisation)
    with ledger.write() as session:
        planned = plan(session, ledger, reference, settings, store=False)
        session.rollback()
    return planned


def pin_organisation(ledger: Ledger, organisation: Organisation) -> None:
    """Tie the connection to its organisation at first sight; refuse another one later.

    Raises:
        LedgerError: the credentials lead to another organisation than the one billed so far.
    """
    with ledger.write() as session:
        row = ledger.connection(session)
        refuse_other_organisation(row, organisation)
        row.organisation_id = organisation.organisation_id
        row.organisation_name = organisation.name
        row.short_code = organisation.short_code
        row.base_currency = organisation.base_currency


def refuse_other_organisation(row: BillingConnection, organisation: Organisation) -> None:
    """Raise LedgerError when the credentials lead to another organisation than the one billed so far."""
    if row.organisation_id not in (None, organisation.organisation_id):
        raise LedgerError(
            f"these credentials lead to the Xero organisation {organisation.name}, but connection "
            f"{row.name} bills {row.organisation_name}. Correct the credentials or the tenant_id; "
            "to bill another organisation from now on, use a connection of another name"
        )


def _reference(
    ledger: Ledger, client: XeroClient, settings: BillingSettings, organisation: Organisation
) -> Reference:
    with ledger.read() as session:
        links = planning.account_links(session, ledger)
        contact_ids = [
            links[account_id].contact_id
            for account_id, _ in planning.billable_accounts(session, ledger)
            if account_id is not None and account_id in links
        ]
    return read_reference(client, settings, organisation, contact_ids)


def _remember_budget(ledger: Ledger, client: XeroClient, fence: Fence) -> None:
    left = client.budget.day_left
    if left is None:
        return
    with ledger.write(fence) as session:
        row = ledger.connection(session)
        row.day_calls_remaining, row.day_calls_seen_at = left, ledger.clock.now()


def _sum_up(ledger: Ledger, settled: Settled) -> None:
    """Read from the ledger what this run brought about: the ledger, not a counter, is the truth."""
    with ledger.read() as session:
        here = Invoice.connection_id == ledger.connection_id
        settled.unsent = session.scalar(select(func.count()).where(here, Invoice.state == "planned")) or 0
        settled.unknown = (
            session.scalar(select(func.count()).where(here, Invoice.state.in_(pushing.UNSETTLED))) or 0
        )
        waiting = session.execute(
            select(Worklog.reason_code, func.count(), func.sum(Worklog.minutes), func.sum(Worklog.money))
            .where(Worklog.connection_id == ledger.connection_id, Worklog.state == "held")
            .group_by(Worklog.reason_code)
        )
        settled.held = {
            code: HeldSum(lines, minutes or 0, money or ZERO) for code, lines, minutes, money in waiting
        }
        settled.excluded = (
            session.scalar(
                select(func.count()).where(
                    Worklog.connection_id == ledger.connection_id, Worklog.state == "excluded"
                )
            )
            or 0
        )
        made = [result.invoice_id for result in settled.made.created]
        for start in range(0, len(made), 500):
            for invoice in session.scalars(select(Invoice).where(Invoice.id.in_(made[start : start + 500]))):
                settled.invoices += 1
                settled.worklogs += invoice.line_count
                settled.minutes += invoice.minutes
                settled.total += invoice.total
                settled.differing_totals += invoice.xero_total not in (None, invoice.total)
    settled.rejected = len({refused.invoice_id for refused in settled.made.refused})
