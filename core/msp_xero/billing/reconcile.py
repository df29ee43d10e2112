"""Finding out what is true in Xero: unknown outcomes, later changes, invoices the ledger does not know."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from msp_xero.billing.document import marker_of, worklog_of
from msp_xero.billing.plan import batch_body, batch_key, is_own_number
from msp_xero.billing.push import created
from msp_xero.errors import LedgerError
from msp_xero.ledger import pushing
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.models import Invoice
from msp_xero.ledger.pushing import Outcome, Refused
from msp_xero.xero import wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from msp_xero.ledger import Fence, Ledger
    from msp_xero.xero.client import XeroClient

SECOND_LOOK_SECONDS = 5.0
"""Pause before a miss is believed: lists may lag behind a write (xero-api §4.7)."""

_OVERLAP = timedelta(minutes=10)
_GONE = ("VOIDED", "DELETED")


def resolve_unknown(
    ledger: Ledger, client: XeroClient, fence: Fence, *, organisation_id: str, run_id: int | None = None
) -> Outcome:
    """Look up every invoice whose outcome is unknown; adopt what is ours, plan again what is missing.

    Returns:
        What was found out. Conflicts stay open: Xero holds something that only a person can judge.
    """
    invoices = pushing.unsettled_invoices(ledger)
    if not invoices:
        return Outcome()
    found = _look_up(client, [invoice.number for invoice in invoices])
    if any(invoice.number.casefold() not in found for invoice in invoices):
        ledger.clock.sleep(SECOND_LOOK_SECONDS)
        missing = [invoice.number for invoice in invoices if invoice.number.casefold() not in found]
        found |= _look_up(client, missing)

    outcome, proven_missing = Outcome(), defaultdict[int, list[Invoice]](list)
    for invoice in invoices:
        holders = found.get(invoice.number.casefold(), [])
        ours = next((row for row in holders if _is_ours(ledger, invoice, row)), None)
        if ours is not None:
            outcome.created.append(created(invoice.id, ours, _drift(invoice, ours)))
        elif not holders and invoice.batch_id is not None:
            proven_missing[invoice.batch_id].append(invoice)
        else:
            _judge_foreign_holder(ledger, client, invoice, holders, outcome)
    pushing.record_outcome(ledger, fence, outcome, run_id=run_id)
    for batch_id, missing_invoices in proven_missing.items():
        _plan_again(ledger, fence, batch_id, missing_invoices, organisation_id)
    return outcome


def _look_up(client: XeroClient, numbers: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the sales invoices that hold these numbers, by number without regard to case."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in client.invoices(numbers=numbers):
        if row.get("Type") == "ACCREC":
            found.setdefault(str(row.get("InvoiceNumber", "")).casefold(), []).append(row)
    return found


def _is_ours(ledger: Ledger, invoice: Invoice, row: Mapping[str, Any]) -> bool:
    """Tell whether Xero's invoice is the one we sent: by its marker, or by the worklogs on its lines."""
    if marker_of(row.get("Reference")) == invoice.marker:
        return True
    on_lines = worklogs_on(row)
    return bool(on_lines) and on_lines <= pushing.worklog_keys(ledger, invoice.id)


def worklogs_on(row: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return ``(module, worklog id)`` of every line that names one."""
    keys = (worklog_of(line.get("Description")) for line in row.get("LineItems") or [])
    return {key for key in keys if key is not None}


def _drift(invoice: Invoice, row: Mapping[str, Any]) -> str | None:
    """Say what a person changed between our call and our look, None when nothing."""
    differs = [
        name
        for name, ours, theirs in (
            ("contact", invoice.contact_id, (row.get("Contact") or {}).get("ContactID")),
            ("currency", invoice.currency, row.get("CurrencyCode")),
            ("total", invoice.total, row.get("Total")),
        )
        if ours != theirs
    ]
    return f"Somebody changed its {' and '.join(differs)} in Xero before we could look." if differs else None


def _judge_foreign_holder(
    ledger: Ledger, client: XeroClient, invoice: Invoice, holders: list[dict[str, Any]], outcome: Outcome
) -> None:
    """Somebody else's invoice has our number: ours may have been renumbered, or was never made."""
    renumbered = [
        row
        for row in client.invoices(search_term=invoice.marker)
        if row.get("Type") == "ACCREC" and _is_ours(ledger, invoice, row)
    ]
    if renumbered:
        note = f"It was renumbered to {renumbered[0].get('InvoiceNumber')} in Xero."
        outcome.created.append(created(invoice.id, renumbered[0], note))
        return
    if any(worklogs_on(row) or marker_of(row.get("Reference")) for row in holders):
        outcome.conflicts.append(
            Refused(
                invoice.id,
                "NUMBER_CONFLICT",
                f"Xero's invoice {invoice.number} was made by msp-xero but is not the one this ledger knows: "
                "is this an old copy of the ledger, or does another installation use the same prefix?",
            )
        )
        return
    reason = (
        f"The number {invoice.number} is taken by another invoice in Xero; the next run takes a new number."
    )
    outcome.refused.append(Refused(invoice.id, "NUMBER_CONFLICT", reason))


def _plan_again(
    ledger: Ledger, fence: Fence, batch_id: int, invoices: list[Invoice], organisation_id: str
) -> None:
    """Store the missing invoices of a batch again, their elements unchanged.

    One by one if the batch as a whole was refused before: then one of them spoils the call.
    """
    batch = pushing.load_batch(ledger, batch_id)
    elements = {
        element["InvoiceNumber"]: wire.canonical(element) for element in wire.decode(batch.body)["Invoices"]
    }
    alone = batch.attempts > 1 or len(invoices) == 1
    groups = [[invoice] for invoice in invoices] if alone else [invoices]
    for group in groups:
        body = batch_body([elements[invoice.number] for invoice in group])
        pushing.plan_again(
            ledger,
            fence,
            [invoice.id for invoice in group],
            body=body,
            idempotency_key=batch_key(organisation_id, body, batch.attempts + 1),
            attempts=batch.attempts,
        )


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
    if since is None:
        rows = client.invoices(search_term=number_prefix, summary_only=True)
    else:
        rows = client.invoices(if_modified_since=since - _OVERLAP, summary_only=True)
    changed, strangers = 0, list[str]()
    for chunk in _chunks(row for row in rows if row.get("Type") == "ACCREC"):
        changed += _refresh(ledger, fence, chunk, run_id)
        strangers += _strangers(ledger, chunk, number_prefix)
    if strangers:
        shown = ", ".join(strangers[:3]) + (" …" if len(strangers) > 3 else "")
        raise LedgerError(
            f"Xero has {len(strangers)} invoice(s) made by msp-xero that this ledger does not know ({shown}). "
            "Nothing was billed. Either the ledger is an old or empty copy: restore the newest one; "
            "or another installation bills into the same organisation: give each its own number_prefix"
        )
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
                invoice.xero_status, invoice.state = status, pushing.live_state(status)
                changes.append(Change("invoice", invoice.id, invoice.state, {"status": status}))
        record(session, ledger, changes, run_id=run_id)
    return len(changes)


def _strangers(ledger: Ledger, rows: list[dict[str, Any]], number_prefix: str) -> list[str]:
    """Return the numbers of live invoices that msp-xero made but that are not in the ledger."""
    suspects = {
        str(row["InvoiceNumber"]): str(row.get("InvoiceID"))
        for row in rows
        if row.get("Status") not in _GONE
        and is_own_number(number_prefix, str(row.get("InvoiceNumber", "")))
        and marker_of(row.get("Reference"))
    }
    if not suspects:
        return []
    with ledger.read() as session:
        known = session.execute(
            select(Invoice.number, Invoice.xero_id, Invoice.marker).where(
                Invoice.connection_id == ledger.connection_id,
                Invoice.number.in_(suspects) | Invoice.xero_id.in_(suspects.values()),
            )
        ).all()
    numbers = {row.number for row in known}
    ids = {row.xero_id for row in known}
    return sorted(
        number for number, xero_id in suspects.items() if xero_id not in ids and number not in numbers
    )
