"""What an earlier settle planned and never sent: taken back where it would not be planned so today.

A person stops a push because it is wrong, corrects what was wrong and runs again: what has not left must
not go out as it was. What was sent before keeps its bytes, whatever the answer was (decision 0044).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import select

from msp_xero.billing.plan import is_own_number
from msp_xero.billing.preflight import Hold, billed_contact, linked_contact
from msp_xero.billing.reference import today
from msp_xero.ledger import planning
from msp_xero.ledger.models import Invoice, InvoiceLine, PushBatch, Worklog
from msp_xero.ledger.withdrawing import withdraw

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from sqlalchemy.orm import Session

    from msp_xero.billing.reference import Reference
    from msp_xero.billing.settings import BillingSettings
    from msp_xero.ledger import Fence, Ledger
    from msp_xero.ledger.models import AccountLink

OLDEST: Final = timedelta(days=7)
"""An invoice that waited longer than this gets a new date; a day's limit alone carries over a day or two."""

_REASON: Final = "It was planned and never sent, and would not be planned so any more."


class _Planned(NamedTuple):
    """An invoice that waits to be sent for the first time."""

    id: int
    batch_id: int
    number: str
    account_id: str
    contact_id: str
    currency: str
    wanted_status: str
    line_amount_types: str
    invoice_date: date


def accounts_planned(session: Session, ledger: Ledger) -> set[str]:
    """Return the accounts of the invoices that wait to be sent for the first time."""
    return {one.account_id for one in _never_sent(session, ledger)}


def withdraw_outdated(
    ledger: Ledger,
    fence: Fence,
    reference: Reference,
    settings: BillingSettings,
    *,
    run_id: int | None = None,
) -> int:
    """Take back what was planned and never sent, and differs from what would be planned now.

    That is: another status, currency, prefix or kind of amounts is set; the account goes to another contact,
    or to none; a worklog on it was changed; or it is dated more than a week off. All of its call go with it.

    Args:
        ledger: the open ledger.
        fence: proof of the settle lock.
        reference: Xero's reference data, with the contacts of :func:`accounts_planned`.
        settings: how to bill.
        run_id: for the audit log.

    Returns:
        How many worklogs wait to be planned anew.
    """
    with ledger.write(fence) as session:
        planned = _never_sent(session, ledger)
        if not planned:
            return 0
        links = planning.account_links(session, ledger)
        changed = _with_changed_worklogs(session, ledger)
        day = today(reference.organisation, ledger.clock.now())
        outdated = {
            one.batch_id
            for one in planned
            if one.id in changed
            or abs(day - one.invoice_date) > OLDEST
            or not _fits(one, reference, settings)
            or not _goes_to_its_contact(one, links, reference)
        }
        ids = [one.id for one in planned if one.batch_id in outdated]
        return withdraw(session, ledger, ids, _REASON, run_id=run_id)


def _fits(one: _Planned, reference: Reference, settings: BillingSettings) -> bool:
    wanted = (reference.currency, settings.invoice_status, settings.line_amount_types)
    return (one.currency, one.wanted_status, one.line_amount_types) == wanted and is_own_number(
        settings.number_prefix, one.number
    )


def _goes_to_its_contact(one: _Planned, links: Mapping[str, AccountLink], reference: Reference) -> bool:
    contact = billed_contact(linked_contact(links.get(one.account_id)), reference)
    return not isinstance(contact, Hold) and contact.contact_id == one.contact_id


def _never_sent(session: Session, ledger: Ledger) -> list[_Planned]:
    rows = session.execute(
        select(*(getattr(Invoice, name) for name in _Planned._fields))
        .join(PushBatch, PushBatch.id == Invoice.batch_id)
        .where(
            Invoice.connection_id == ledger.connection_id,
            Invoice.state == "planned",
            PushBatch.state == "planned",
            PushBatch.attempts == 0,
        )
        .order_by(Invoice.id)
    )
    return [_Planned(*row) for row in rows]


def _with_changed_worklogs(session: Session, ledger: Ledger) -> set[int]:
    return set(
        session.scalars(
            select(InvoiceLine.invoice_id)
            .join(Worklog, Worklog.id == InvoiceLine.worklog_row)
            .where(
                Worklog.connection_id == ledger.connection_id,
                Worklog.state == "planned",
                Worklog.changed.is_not(None),
                InvoiceLine.live.is_(True),
            )
        )
    )
