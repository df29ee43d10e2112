"""Worklogs on an invoice that was planned and never sent: they can still be taken back and made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, exists

from msp_xero.ledger.models import Invoice, InvoiceLine, PushBatch, Worklog

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement


def is_unsent() -> ColumnElement[bool]:
    """Whether a worklog is planned, and no byte of the call that its invoice is in was sent."""
    on_one = exists().where(
        InvoiceLine.worklog_row == Worklog.id,
        InvoiceLine.live.is_(True),
        Invoice.id == InvoiceLine.invoice_id,
        Invoice.state == "planned",
        PushBatch.id == Invoice.batch_id,
        PushBatch.state == "planned",
        PushBatch.attempts == 0,
    )
    return and_(Worklog.state == "planned", on_one)
