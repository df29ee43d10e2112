"""The settle of the worklogs job: find out what is open, plan what is billable, push it.

The same for a target at the end of its input and for a person at the command line.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from msp_xero.billing import outdated
from msp_xero.billing.memory import stop_if_billed_elsewhere, withdraw_what_is_billed
from msp_xero.billing.plan import Plan, plan
from msp_xero.billing.push import Pushed, push, raise_if_stopped
from msp_xero.billing.reconcile import LookUps
from msp_xero.billing.reference import meet_organisation, read_reference
from msp_xero.billing.refresh import look_into_doubts, refresh_invoices
from msp_xero.billing.settled import Settled, sum_up
from msp_xero.errors import BilledElsewhere, DayLimitReached, LedgerError, RemoteError
from msp_xero.ledger import planning, pushing
from msp_xero.ledger.organisation import pin, refuse_other

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from sqlalchemy.orm import Session

    from msp_xero.billing.reference import Organisation, Reference
    from msp_xero.billing.settings import BillingSettings
    from msp_xero.ledger import Fence, Ledger
    from msp_xero.ledger.models import Invoice
    from msp_xero.ledger.outcomes import Outcome
    from msp_xero.xero.budget import CallBudget
    from msp_xero.xero.client import XeroClient

__all__ = ["Settled", "pin_organisation", "preview", "settle"]

_SENDS = 3
"""How often one settle sends the same invoice when no clear answer comes; the next settle goes on."""

_FRUITLESS = 5
"""Pushes in a row that settle nothing, after which a settle leaves the rest to the next one."""

_REPLANS = 10
"""How often one settle plans anew what was only refused for single lines; each time at least one is held."""


def settle(  # noqa: PLR0913 - everything at the border is handed in
    ledger: Ledger,
    client: XeroClient,
    settings: BillingSettings,
    *,
    run_id: int | None = None,
    retry_refused: bool = False,
    accounts: AbstractSet[str] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] = lambda _: None,
) -> Settled:
    """Bill everything in the ledger that can be billed.

    The first invoice goes out alone: see :mod:`msp_xero.billing.push`. An invoice that cannot be looked up,
    that Xero refuses, or that no answer comes for delays no other.

    Args:
        ledger: the open ledger.
        client: the Xero client.
        settings: how to bill.
        run_id: the run, for the audit log.
        retry_refused: True sends again at once what Xero refused within the last day, because a person
            asks for it; else it waits until something about it changes, or the day is over.
        accounts: plan invoices for these SDP accounts only; None is all. What an earlier settle has
            planned already goes out in any case.
        stop_requested: asked between calls; True ends the settle cleanly, the next one carries on.
        progress: told one line about long work.

    Raises:
        LedgerError: another settle is running, the ledger does not fit this Xero organisation, or another
            ledger bills it too.
        RemoteError: Xero cannot be reached or refuses access; nothing is lost, the next run carries on.
    """
    settled = Settled()
    with ledger.settling() as fence:
        recall_day(ledger, client.budget)
        work = _Settle(ledger, client, settings, fence, settled, run_id, retry_refused, accounts)
        try:
            work.run(stop_requested, progress)
        except DayLimitReached as error:
            settled.day_limit = error
        finally:
            if settled.day_limit is not None:
                pushing.note_day_limit(ledger, fence, str(settled.day_limit))
            remember_day(ledger, client, fence)
            settled.calls = dict(client.calls)
        sum_up(ledger, settled, accounts)
    return settled


@dataclass(slots=True)
class _Settle:
    """One settle under way."""

    ledger: Ledger
    client: XeroClient
    settings: BillingSettings
    fence: Fence
    settled: Settled
    run_id: int | None
    retry_refused: bool
    accounts: AbstractSet[str] | None
    organisation: Organisation = field(init=False)
    reference: Reference = field(init=False)
    unresolved: set[int] = field(default_factory=set)
    look_ups: LookUps = field(init=False)
    in_the_dark: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.look_ups = LookUps(self.ledger, self.client, self.fence, self.run_id)

    def run(self, stop_requested: Callable[[], bool], progress: Callable[[str], None]) -> None:
        """Do all of it, in the order that docs/guarantees.md promises."""
        ledger, settings = self.ledger, self.settings
        self.organisation = meet_organisation(self.client)
        pin_organisation(ledger, self.organisation)
        if self.organisation.zone_name is None:
            progress(
                f"warning: the time zone of {self.organisation.name} is not known here; "
                "invoices are dated in UTC"
            )
        self.settled.currency = settings.currency_code or self.organisation.base_currency
        pushing.mark_interrupted(ledger, self.fence)
        try:
            self._look()
        except BilledElsewhere:
            self._leave_to_a_person()
            raise
        self.reference = _reference(ledger, self.client, settings, self.organisation)
        if settings.push:
            self._take_back_what_is_outdated(progress)
        planned = self._plan(store=settings.push)
        if settings.push:
            self._push(stop_requested, progress)
        else:
            self.settled.would_be = planned

    def _look(self) -> None:
        """Learn what became of our invoices, and of those that nobody answered for.

        Raises:
            LedgerError: another ledger bills this organisation, or this one does not know all it should.
        """
        self.settled.refreshed = refresh_invoices(
            self.ledger,
            self.client,
            self.fence,
            number_prefix=self.settings.number_prefix,
            run_id=self.run_id,
        )
        self._look_up_all()

    def _look_up_all(self) -> None:
        never_sent = pushing.never_sent(self.ledger)
        found = self._look_up(pushing.unsettled_invoices(self.ledger))
        self._refuse_to_go_on(never_sent & _held_by_xero(found))

    def _leave_to_a_person(self) -> None:
        """Leave nothing on its way of what a person has to decide about: it could not be excluded.

        What cannot be looked up now stays, and hides neither the stop nor what else is planned.
        """
        with contextlib.suppress(BilledElsewhere, RemoteError):
            self._look_up(pushing.sent_and_unsettled(self.ledger))
        withdraw_what_is_billed(self.ledger, self.fence, run_id=self.run_id)

    def _take_back_what_is_outdated(self, progress: Callable[[str], None]) -> None:
        planned = outdated.find_outdated(self.ledger, self.reference, self.settings)
        if not planned:
            return
        if sent := outdated.sent_by_another(self.ledger, self.client, planned):
            pushing.mark_doubtful(self.ledger, self.fence, sent)
            self._look_up_all()
            # A person's own invoice may have the number of one; the others are outdated all the same.
            planned = outdated.find_outdated(self.ledger, self.reference, self.settings)
        ids = [one.id for one in planned]
        again = outdated.take_back(self.ledger, self.fence, ids, outdated.OUTDATED, run_id=self.run_id)
        if again:
            progress(f"{again:,} worklogs were planned before on other terms and never left: planned anew")

    def _plan(self, *, store: bool = True, anew: set[str] | None = None) -> Plan:
        """Plan for the accounts that are wanted; or once more for those whose invoice was just refused.

        What an earlier settle had planned for other accounts goes out too, but planning anew for them
        would take in what nobody asked for.
        """
        accounts = self.accounts
        if anew is not None:
            accounts = anew if accounts is None else anew & accounts
        look_into_doubts(self.ledger, self.client, self.fence, number_prefix=self.settings.number_prefix)
        with self.ledger.write(self.fence) as session:
            # In the one writer's transaction: another run may have stored worklogs since the look.
            stop_if_billed_elsewhere(self.ledger)
            return plan(
                session,
                self.ledger,
                self.reference,
                self.settings,
                store=store,
                accounts=accounts,
                retry_refused=self.retry_refused and anew is None,
                run_id=self.run_id,
            )

    def _push(self, stop_requested: Callable[[], bool], progress: Callable[[str], None]) -> None:
        """Send what is planned; look up what stays unknown; plan anew what only a line was refused of.

        Round after round, as long as that settles something.
        """
        ledger, settled = self.ledger, self.settled
        cleared, fruitless, replans = False, 0, 0
        while fruitless < _FRUITLESS:
            tired = {invoice_id for invoice_id, times in self.in_the_dark.items() if times >= _SENDS}
            if not pushing.planned_batches(ledger, without=tired):
                self._note_unanswered(tired)
                return
            pushed = push(
                ledger,
                self.client,
                self.fence,
                concurrency=self.settings.concurrency,
                stop_requested=stop_requested,
                progress=lambda done, all_: progress(f"sent {done} of {all_} batches of invoices"),
                cleared=cleared,
                without=tired,
                run_id=self.run_id,
            )
            cleared = pushed.cleared
            self._take_over(pushed)
            raise_if_stopped(pushed)
            if settled.day_limit or settled.interrupted:
                return
            found = self._look_up_dark(pushed)
            self._refuse_to_go_on(pushed.taken - {refused.invoice_id for refused in found.refused})
            blamed = [refused.invoice_id for refused in pushed.outcome.refused if refused.lines]
            if blamed and (replans := replans + 1) <= _REPLANS:
                self._plan(anew=pushing.accounts_of(ledger, blamed))
            outcomes = (pushed.outcome, found)
            fruitless = 0 if any(one.created or one.refused for one in outcomes) else fruitless + 1

    def _note_unanswered(self, tired: set[int]) -> None:
        """Tell on those that no answer ever comes for that they are not simply waiting their turn."""
        self.settled.unanswered = len(tired)
        if tired:
            reason = f"Xero gave no clear answer {_SENDS} times in one run, and has not made it."
            pushing.note_unanswered(self.ledger, self.fence, tired, reason)

    def _take_over(self, pushed: Pushed) -> None:
        self.settled.made.add(pushed.outcome)
        self.settled.interrupted = pushed.interrupted
        if isinstance(pushed.stopped_by, DayLimitReached):
            self.settled.day_limit = pushed.stopped_by

    def _look_up_dark(self, pushed: Pushed) -> Outcome:
        """Look up what this push left unknown. What only a person can judge is looked at once a settle."""
        dark = set(pushed.outcome.unknown)
        self.in_the_dark.update(dark)
        return self._look_up([one for one in pushing.unsettled_invoices(self.ledger) if one.id in dark])

    def _look_up(self, invoices: list[Invoice]) -> Outcome:
        """Find out about these invoices; those that cannot be looked up stay, and stop no other."""
        found = self.look_ups.of(invoices)
        self.settled.made.add(found)
        return found

    def _refuse_to_go_on(self, not_by_us: set[int]) -> None:
        """Raise LedgerError when Xero has what this ledger was only about to send (decision 0021)."""
        if not not_by_us:
            return
        numbers = pushing.numbers_of(self.ledger, not_by_us)
        shown = ", ".join(numbers[:3]) + (" …" if len(numbers) > 3 else "")
        raise LedgerError(
            f"Xero already has {shown}, which this ledger was about to send for the first time: another "
            "ledger bills this organisation, or this one is an old copy. Nothing more was sent. Look for a "
            "second environment or machine that uses this connection, let only the newest ledger bill, and "
            "run again"
        )


def _held_by_xero(found: Outcome) -> set[int]:
    """Return the invoices whose number or marker Xero has."""
    return {one.invoice_id for one in found.created} | {one.invoice_id for one in found.conflicts}


def preview(
    ledger: Ledger, client: XeroClient, settings: BillingSettings, *, accounts: AbstractSet[str] | None = None
) -> Plan:
    """Return what a push by hand would plan now. Writes neither to Xero nor to the ledger.

    ``accounts``: for these SDP accounts only; None is all.
    """
    organisation = meet_organisation(client)
    with ledger.read() as session:
        refuse_other(ledger.connection(session), organisation.organisation_id, organisation.name)
    reference = _reference(ledger, client, settings, organisation)
    with ledger.write() as session:
        planned = plan(
            session, ledger, reference, settings, store=False, accounts=accounts, retry_refused=True
        )
        session.rollback()
    return planned


def pin_organisation(ledger: Ledger, organisation: Organisation) -> None:
    """Tie the connection to its organisation at first sight; refuse another one later.

    Raises:
        LedgerError: the credentials lead to another organisation than the one billed so far.
    """
    with ledger.write() as session:
        row = pin(session, ledger, organisation.organisation_id, organisation.name)
        row.short_code = organisation.short_code
        row.base_currency = organisation.base_currency


def _reference(
    ledger: Ledger, client: XeroClient, settings: BillingSettings, organisation: Organisation
) -> Reference:
    with ledger.read() as session:
        links = planning.account_links(session, ledger)
        contact_ids = [
            links[account_id].contact_id
            for account_id in _accounts_to_bill(session, ledger)
            if account_id in links
        ]
        item_ids = [link.item_id for link in planning.type_links(session, ledger)]
    return read_reference(client, settings, organisation, contact_ids, item_ids)


def _accounts_to_bill(session: Session, ledger: Ledger) -> list[str]:
    """Return the accounts with worklogs that wait, or are planned and were never sent, in a fixed order."""
    waiting = {account_id for account_id, _ in planning.billable_accounts(session, ledger) if account_id}
    return sorted(waiting | outdated.accounts_planned(session, ledger))


def recall_day(ledger: Ledger, budget: CallBudget) -> None:
    """Tell the budget what the last run learnt of the day."""
    with ledger.read() as session:
        row = ledger.connection(session)
        if row.day_calls_remaining is not None and row.day_calls_seen_at is not None:
            age = ledger.clock.now() - row.day_calls_seen_at
            budget.recall(row.day_calls_remaining, age.total_seconds())


def remember_day(ledger: Ledger, client: XeroClient, fence: Fence) -> None:
    budget = client.budget
    if budget.day_left is None:
        return
    with ledger.write(fence) as session:
        row = ledger.connection(session)
        row.day_calls_remaining = budget.day_left
        row.day_calls_seen_at = ledger.clock.now() - timedelta(seconds=budget.day_news_age)
