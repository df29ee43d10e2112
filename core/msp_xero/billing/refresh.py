"""Learning what became of our invoices in Xero, and stopping before anything is billed twice."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from msp_xero.billing.document import marker_of
from msp_xero.billing.strangers import (
    billed_again,
    billed_before,
    billed_elsewhere,
    is_gone,
    made_elsewhere,
    remembered,
    told_by,
    unexplained,
    unknown_to_us,
    unmarked_with_our_number,
)
from msp_xero.errors import LedgerError
from msp_xero.ledger import foreign, pushing
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.foreign import Told
from msp_xero.ledger.models import Invoice
from msp_xero.ledger.outcomes import live_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msp_xero.ledger import Fence, Ledger
    from msp_xero.xero.client import XeroClient

ALL_SALES = 'Type=="ACCREC"'
"""Every sales invoice of the organisation, whatever became of it."""

_OVERLAP = timedelta(minutes=10)


def refresh_invoices(
    ledger: Ledger, client: XeroClient, fence: Fence, *, number_prefix: str, run_id: int | None = None
) -> int:
    """Learn what happened to our invoices in Xero since the last look; return how many changed.

    Raises:
        LedgerError: Xero has live invoices of ours that the ledger does not know: it is an old copy,
            or empty, or a second installation bills with the same prefix. Billing on would bill twice.
    """
    looked_at = ledger.clock.now()
    with ledger.read() as session:
        since = ledger.connection(session).invoices_refreshed_at
    if since is None or since > looked_at:  # a clock that was wrong in the middle of a settle
        # Once in the life of a ledger, all of them and with their lines: a search for our numbers and marks
        # misses one that a person renumbered and whose reference they rewrote.
        rows = client.invoices(where=ALL_SALES)
    else:
        rows = client.invoices(if_modified_since=since - _OVERLAP, summary_only=True)
    changed, strangers, late = 0, list[str](), list[str]()
    elsewhere, numbered, before = list[str](), list[str](), list[str]()
    looked_into, told = list[str](), list[Told]()
    for chunk in _chunks(row for row in rows if row.get("Type") == "ACCREC"):
        changed += _refresh(ledger, fence, chunk, run_id)
        found = unexplained(ledger, chunk, number_prefix)
        strangers += found.strangers
        late += found.late
        pushing.mark_doubtful(ledger, fence, found.planned)
        elsewhere += found.elsewhere
        numbered += unmarked_with_our_number(ledger, chunk, number_prefix)
        before += found.before
        unmarked = [row for row in chunk if not marker_of(row.get("Reference"))]
        strangers += billed_elsewhere(ledger, unmarked, number_prefix)
        told += [line for row in unmarked for line in told_by(row)]
        looked_into += [str(row.get("InvoiceID")) for row in chunk if is_gone(row)]
    others = list(client.invoices(ids=elsewhere)) if elsewhere else []
    numbered_like_ours = list(client.invoices(ids=numbered)) if numbered else []
    earlier = list(client.invoices(ids=before)) if before else []
    strangers += made_elsewhere(ledger, numbered_like_ours)
    strangers += billed_elsewhere(ledger, others, number_prefix)
    told += [line for row in others for line in told_by(row)]
    told += [line for row in earlier for line in told_by(row, is_ours=True)]
    foreign.forget(ledger, fence, {*looked_into, *elsewhere, *before, *(line.invoice_id for line in told)})
    memory = remembered(ledger)
    in_doubt = list(client.invoices(ids=memory.in_doubt)) if memory.in_doubt else []
    strangers += [*memory.strangers, *billed_elsewhere(ledger, in_doubt, number_prefix)]
    if strangers := list(dict.fromkeys(strangers)):
        raise unknown_to_us(strangers)
    if known := list(dict.fromkeys([*billed_again(ledger, earlier), *memory.before])):
        raise billed_before(known)
    foreign.note_tried(ledger, fence, memory.in_doubt)
    if late:
        raise LedgerError(
            f"Xero holds {', '.join(late[:3])} although it had refused it: an earlier call arrived late, and "
            "its worklogs wait for another invoice by now. Nothing was billed. Delete or void it in Xero and "
            "run again"
        )
    foreign.remember(ledger, fence, told)
    with ledger.write(fence) as session:
        ledger.connection(session).invoices_refreshed_at = looked_at
    return changed


def _chunks(rows: Iterable[dict[str, Any]], size: int = 500) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _refresh(ledger: Ledger, fence: Fence, rows: list[dict[str, Any]], run_id: int | None) -> int:
    by_id = {str(row.get("InvoiceID")): row for row in rows}
    with ledger.write(fence) as session:
        known = session.scalars(
            select(Invoice).where(Invoice.connection_id == ledger.connection_id, Invoice.xero_id.in_(by_id))
        ).all()
        changes = []
        for invoice in known:
            status = str(by_id[invoice.xero_id or ""].get("Status", ""))
            if status != invoice.xero_status:
                invoice.xero_status, invoice.state = status, live_state(status)
                changes.append(Change("invoice", invoice.id, invoice.state, {"status": status}))
        record(session, ledger, changes, run_id=run_id)
    return len(changes)
