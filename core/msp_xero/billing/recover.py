"""Finding out what is true in Xero without billing anything: the console's reconcile."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from msp_xero.billing import outdated
from msp_xero.billing.memory import withdraw_what_is_billed
from msp_xero.billing.reconcile import LookUps
from msp_xero.billing.reference import meet_organisation
from msp_xero.billing.refresh import look_into_doubts, refresh_invoices
from msp_xero.billing.settle import pin_organisation, recall_day, remember_day
from msp_xero.billing.settled import is_differing
from msp_xero.errors import BilledElsewhere, RemoteError
from msp_xero.ledger import pushing
from msp_xero.ledger.models import Invoice
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from msp_xero.ledger import Fence, Ledger
    from msp_xero.xero.client import XeroClient

_EXCLUDED: Final = "It was planned and never sent: a person has excluded a worklog that was to go with it."
_GIVEN_UP: Final = (
    "Xero never answered for it and has not got it: a person has excluded a worklog that was to go with it."
)
_PATIENCE: Final = 2.0
"""Seconds to wait for a settle that is running."""


@dataclass(slots=True)
class Reconciled:
    """What was found out, in invoices.

    ``refreshed`` changed in Xero since the last look, which was at ``since``; None: there was none, and all
    were looked at. Of those whose outcome was not known, ``adopted``
    are in Xero, ``planned_again`` are proven missing and wait for the next push, ``rejected`` lost their
    number to somebody else's invoice, ``unknown`` are still not known, and ``conflicts`` need a person.
    ``differing`` are the numbers of adopted ones that are not in Xero as they were sent.
    """

    since: datetime | None = None
    refreshed: int = 0
    adopted: int = 0
    planned_again: int = 0
    rejected: int = 0
    unknown: int = 0
    conflicts: int = 0
    differing: list[str] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def needs_person(self) -> bool:
        """Whether something waits for a person."""
        return bool(self.rejected or self.unknown or self.conflicts or self.differing)

    @property
    def outcome(self) -> str:
        """How the run ended, as the record of runs says it."""
        return "needs_person" if self.needs_person else "done"

    def counts(self) -> dict[str, int]:
        """Return the figures for the record of runs."""
        names = ("refreshed", "adopted", "planned_again", "rejected", "unknown", "conflicts")
        return {name: getattr(self, name) for name in names} | {"differing": len(self.differing)}


_FOUND = {"planned": "planned_again", "rejected": "rejected", "conflict": "conflicts"}
_FOUND |= dict.fromkeys(("sending", "unknown"), "unknown")
_FOUND |= dict.fromkeys(("created", "paid", "voided", "deleted"), "adopted")


def reconcile(
    ledger: Ledger, client: XeroClient, *, number_prefix: str, run_id: int | None = None
) -> Reconciled:
    """Refresh the states of our invoices and settle unknown outcomes; send nothing.

    What is proven missing is planned again, and goes out with the next push under its old number. What may be
    billed by an invoice that this ledger does not know is found out too. One that cannot be looked up stays
    unknown, and hides nothing else.

    Args:
        ledger: the open ledger.
        client: the Xero client.
        number_prefix: what our invoice numbers begin with.
        run_id: the run, for the audit log.

    Raises:
        LedgerError: another settle is running, or the ledger does not fit this Xero organisation.
        RemoteError: Xero cannot be reached or refuses access, or no look-up succeeded; nothing is lost.
    """
    found = Reconciled()
    with ledger.settling() as fence, _within_the_day(ledger, client, fence):
        organisation = meet_organisation(client)
        pin_organisation(ledger, organisation)
        pushing.mark_interrupted(ledger, fence)
        look_ups = LookUps(ledger, client, fence, run_id)
        with ledger.read() as session:
            found.since = ledger.connection(session).invoices_refreshed_at
        try:
            found.refreshed = refresh_invoices(
                ledger, client, fence, number_prefix=number_prefix, run_id=run_id
            )
            unsettled = pushing.unsettled_invoices(ledger)
            look_ups.of(unsettled)
            # What the look has told anew has to be tried again, or it keeps the connection from leaving.
            look_into_doubts(ledger, client, fence, number_prefix=number_prefix)
        except BilledElsewhere:
            # A person has to decide about these worklogs, and could not while they are on their way.
            # What cannot be looked up stays under way, and hides neither the stop nor what else is planned.
            with contextlib.suppress(BilledElsewhere, RemoteError):
                look_ups.of(pushing.sent_and_unsettled(ledger))
            withdraw_what_is_billed(ledger, fence, run_id=run_id)
            raise
        if look_ups.error is not None and not look_ups.was_answered:
            raise look_ups.error
        for invoice in _as_they_are(ledger, [invoice.id for invoice in unsettled]):
            name = _FOUND[invoice.state]
            setattr(found, name, getattr(found, name) + 1)
            if is_differing(invoice):
                found.differing.append(invoice.number)
    found.calls = dict(client.calls)
    return found


def take_back(ledger: Ledger, client: XeroClient, row: int, *, number_prefix: str) -> bool:
    """Take back the planned invoice that a worklog is on, with all of its call, so that it can be excluded.

    Xero is asked first: this ledger may be an older copy of the one that has sent it. What was sent stays,
    whatever the answer was; but for what Xero never answers for and, an hour later, has not got. Should that
    arrive all the same, its marker tells (:func:`msp_xero.billing.strangers.unexplained`).

    Args:
        ledger: the open ledger.
        client: the Xero client.
        row: the worklog's row in the ledger.
        number_prefix: what our invoice numbers begin with.

    Returns:
        Whether it was taken back.

    Raises:
        LedgerError: a settle is running, which may be sending it; or the ledger does not fit Xero.
        RemoteError: Xero cannot be reached or refuses access.
    """
    if not (outdated.planned_with(ledger, row) or outdated.unanswered_with(ledger, row)):
        return False
    with ledger.settling(wait_seconds=_PATIENCE) as fence, _within_the_day(ledger, client, fence):
        pin_organisation(ledger, meet_organisation(client))
        refresh_invoices(ledger, client, fence, number_prefix=number_prefix)
        planned = outdated.planned_with(ledger, row)
        if not planned:
            return _give_up(ledger, client, fence, row)
        if outdated.sent_by_another(ledger, client, planned):
            return False
        outdated.take_back(ledger, fence, [one.id for one in planned], _EXCLUDED)
        return True


def _give_up(ledger: Ledger, client: XeroClient, fence: Fence, row: int) -> bool:
    """Take back what Xero never answered for, if another look-up does not find it either."""
    unanswered = outdated.unanswered_with(ledger, row)
    if not unanswered:
        return False
    pushing.doubt(ledger, fence, unanswered)
    look_ups = LookUps(ledger, client, fence)
    look_ups.of([one for one in pushing.unsettled_invoices(ledger) if one.id in unanswered])
    missing = outdated.unanswered_with(ledger, row)
    if not missing and look_ups.error is not None:
        raise look_ups.error
    outdated.take_back(ledger, fence, missing, _GIVEN_UP)
    return bool(missing)


@contextlib.contextmanager
def _within_the_day(ledger: Ledger, client: XeroClient, fence: Fence) -> Iterator[None]:
    """Go on from what the last run has learnt of the day's calls, and remember what this one learns."""
    recall_day(ledger, client.budget)
    try:
        yield
    finally:
        remember_day(ledger, client, fence)


def _as_they_are(ledger: Ledger, invoice_ids: list[int]) -> list[Invoice]:
    """Return these invoices as they are now: the ledger, not a counter, is the truth."""
    invoices: list[Invoice] = []
    with ledger.read() as session:
        for some in lots(invoice_ids):
            invoices += session.scalars(select(Invoice).where(Invoice.id.in_(some)).order_by(Invoice.id))
    return invoices
