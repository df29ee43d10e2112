"""Finding out what is true in Xero: unknown outcomes, later changes, invoices the ledger does not know."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from msp_xero.billing.document import described, marker_of, worklog_of
from msp_xero.billing.plan import batch_body, is_own_number
from msp_xero.billing.push import created
from msp_xero.errors import LedgerError
from msp_xero.ledger import pushing
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.models import Invoice
from msp_xero.ledger.pushing import Created, Outcome, Refused
from msp_xero.xero import wire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from msp_xero.ledger import Fence, Ledger
    from msp_xero.xero.client import XeroClient

SECOND_LOOK_SECONDS = 5.0
"""Pause before a miss is believed: lists may lag behind a write (xero-api §4.7)."""

ALL_SALES = 'Type=="ACCREC"'
"""Every sales invoice of the organisation, whatever became of it."""

_OVERLAP = timedelta(minutes=10)
_GONE = ("VOIDED", "DELETED")
_NOTHING = {"Status": "DELETED"}


def resolve_unknown(
    ledger: Ledger,
    client: XeroClient,
    fence: Fence,
    *,
    only: Collection[int] | None = None,
    run_id: int | None = None,
) -> Outcome:
    """Look up every invoice whose outcome is unknown; adopt what is ours, plan again what is missing.

    Args:
        ledger: the open ledger.
        client: the Xero client.
        fence: proof of the settle lock.
        only: ids of the invoices to look up; None is all.
        run_id: for the audit log.

    Returns:
        What was found out. Conflicts stay open: Xero holds something that only a person can judge.
    """
    invoices = [one for one in pushing.unsettled_invoices(ledger) if only is None or one.id in only]
    if not invoices:
        return Outcome()
    found = _look_up(client, [invoice.number for invoice in invoices])
    if any(invoice.number.casefold() not in found for invoice in invoices):
        ledger.clock.sleep(SECOND_LOOK_SECONDS)
        missing = [invoice for invoice in invoices if invoice.number.casefold() not in found]
        found |= _look_up(client, [invoice.number for invoice in missing])
    absent = [invoice for invoice in invoices if invoice.number.casefold() not in found]
    renumbered = _look_for_renumbered(ledger, client, absent) if absent else {}

    outcome, proven_missing = Outcome(), defaultdict[int, list[Invoice]](list)
    for invoice in invoices:
        holders = sorted(found.get(invoice.number.casefold(), []), key=_is_gone)
        ours = next((row for row in holders if _is_ours(ledger, invoice, row)), None)
        if ours is not None:
            outcome.created.append(created(invoice.id, ours, _drift(invoice, ours)))
        elif invoice.id in renumbered:
            outcome.created.append(_adopt_renumbered(invoice, renumbered[invoice.id]))
        elif not holders and invoice.batch_id is not None:
            proven_missing[invoice.batch_id].append(invoice)
        else:
            _judge_foreign_holder(ledger, client, invoice, holders, outcome)
    pushing.record_outcome(ledger, fence, outcome, run_id=run_id)
    for batch_id, missing_invoices in proven_missing.items():
        _plan_again(ledger, fence, batch_id, missing_invoices)
    return outcome


def _look_up(client: XeroClient, numbers: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the sales invoices that hold these numbers, by number without regard to case."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in client.invoices(numbers=numbers):
        if row.get("Type") == "ACCREC":
            found.setdefault(str(row.get("InvoiceNumber", "")).casefold(), []).append(row)
    return found


def _look_for_renumbered(
    ledger: Ledger, client: XeroClient, invoices: Sequence[Invoice]
) -> dict[int, dict[str, Any]]:
    """Return the invoices that a person has given another number before we could look, by our id.

    Only their marker or their lines tell. Believing the miss of their number would bill them twice.
    """
    since = min(invoice.planned_at for invoice in invoices) - _OVERLAP
    found: dict[int, dict[str, Any]] = {}
    for row in client.invoices(if_modified_since=since):
        if row.get("Type") != "ACCREC" or not (
            marker_of(row.get("Reference")) or (worklogs_on(row) and not _is_gone(row))
        ):
            continue
        for invoice in invoices:
            if _is_ours(ledger, invoice, row) and _is_gone(found.get(invoice.id, _NOTHING)):
                found[invoice.id] = row
    return found


def _adopt_renumbered(invoice: Invoice, row: Mapping[str, Any]) -> Created:
    return created(invoice.id, row, f"It was renumbered to {row.get('InvoiceNumber')} in Xero.")


def _is_gone(row: Mapping[str, Any]) -> bool:
    """Tell whether an invoice stands no more; a live one of the same number or marker comes first."""
    return row.get("Status") in _GONE


def _is_ours(ledger: Ledger, invoice: Invoice, row: Mapping[str, Any]) -> bool:
    """Tell whether Xero's invoice is the one we sent: by its marker, or by the worklogs on its lines.

    The lines decide only where a person took the marker away: another marker is another invoice, even
    if another installation has worklogs of the same ids.
    """
    marker = marker_of(row.get("Reference"))
    if marker is not None:
        return marker == invoice.marker
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
        outcome.created.append(_adopt_renumbered(invoice, min(renumbered, key=_is_gone)))
        return
    # One that was voided keeps its number for ever, but bills nobody: nothing is left to judge.
    standing = [row for row in holders if not _is_gone(row)]
    if any(_bills_what_waits(ledger, row) for row in standing):
        raise _unknown_to_us([str(row.get("InvoiceNumber")) for row in standing])
    if any(worklogs_on(row) or marker_of(row.get("Reference")) for row in standing):
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


def _plan_again(ledger: Ledger, fence: Fence, batch_id: int, invoices: list[Invoice]) -> None:
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
    if since is None or since > looked_at:  # a clock that was wrong in the middle of a settle
        # Once in the life of a ledger, all of them and with their lines: a search for our numbers and marks
        # misses one that a person renumbered and whose reference they rewrote.
        rows = client.invoices(where=ALL_SALES)
    else:
        rows = client.invoices(if_modified_since=since - _OVERLAP, summary_only=True)
    changed, strangers, late = 0, list[str](), list[str]()
    elsewhere, before = list[str](), list[str]()
    for chunk in _chunks(row for row in rows if row.get("Type") == "ACCREC"):
        changed += _refresh(ledger, fence, chunk, run_id)
        unexplained = _unexplained(ledger, chunk, number_prefix)
        strangers += unexplained.strangers
        late += unexplained.late
        pushing.mark_doubtful(ledger, fence, unexplained.planned)
        elsewhere += unexplained.elsewhere
        before += unexplained.before
        strangers += _billed_elsewhere(ledger, (row for row in chunk if not marker_of(row.get("Reference"))))
    strangers += _billed_elsewhere(ledger, client.invoices(ids=elsewhere) if elsewhere else ())
    if strangers:
        raise _unknown_to_us(strangers)
    if known := _waiting_again(ledger, client.invoices(ids=before) if before else ()):
        raise _billed_before(known)
    if late:
        raise LedgerError(
            f"Xero holds {', '.join(late[:3])} although it had refused it: an earlier call arrived late, and "
            "its worklogs wait for another invoice by now. Nothing was billed. Delete or void it in Xero and "
            "run again"
        )
    with ledger.write(fence) as session:
        ledger.connection(session).invoices_refreshed_at = looked_at
    return changed


def _unknown_to_us(numbers: list[str]) -> LedgerError:
    return LedgerError(
        f"Xero has {len(numbers)} invoice(s) made by msp-xero that this ledger does not know "
        f"({_first_of(numbers)}). Nothing was billed. If this ledger is an old or empty copy, restore the "
        "newest one (if none is left, `msp-xero rebuild` fills an empty ledger from Xero): it would bill "
        "again what is on those invoices, and so would another number_prefix. Only where another "
        "installation bills other worklogs into the same organisation, give each a number_prefix"
    )


def _billed_before(numbers: list[str]) -> LedgerError:
    return LedgerError(
        f"Xero has {len(numbers)} invoice(s) made by msp-xero before this connection started over "
        f"({_first_of(numbers)}), and worklogs on them wait to be billed again. Nothing was billed, because "
        "customers would get them twice. Where the invoice is to stand, exclude its worklogs (`msp-xero "
        "worklogs exclude`); where they are to be billed again, void it in Xero. Then run again"
    )


def _first_of(numbers: list[str]) -> str:
    return ", ".join(numbers[:3]) + (" …" if len(numbers) > 3 else "")


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


def _billed_elsewhere(ledger: Ledger, rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the numbers of invoices that bill what waits here.

    Another installation numbers its own way. But a person may have renumbered one of ours since this ledger
    was copied; then its lines tell.
    """
    return [
        str(row.get("InvoiceNumber")) for row in rows if not _is_gone(row) and _bills_what_waits(ledger, row)
    ]


def _waiting_again(ledger: Ledger, rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the numbers of invoices of ours, or copies of them, with worklogs that wait: ids are enough."""
    found = []
    for row in rows:
        keys = set() if _is_gone(row) else worklogs_on(row)
        waiting = pushing.waiting_worklogs(ledger, {worklog_id for _, worklog_id in keys}) if keys else []
        if any((one.module, one.worklog_id) in keys for one in waiting):
            found.append(str(row.get("InvoiceNumber")))
    return found


def _bills_what_waits(ledger: Ledger, row: Mapping[str, Any]) -> bool:
    """Tell whether an invoice bills a worklog that waits here: by id, and by contact or its very text.

    Another installation can have worklogs of the same ids; contacts can have been merged since.
    """
    keys = worklogs_on(row)
    if not keys:
        return False
    contact_id = (row.get("Contact") or {}).get("ContactID")
    texts = {line.get("Description") for line in row.get("LineItems") or []}
    return any(
        one.contact_id == contact_id or described(one.description, one.module, one.worklog_id) in texts
        for one in pushing.waiting_worklogs(ledger, {worklog_id for _, worklog_id in keys})
        if (one.module, one.worklog_id) in keys
    )


class _Unexplained(NamedTuple):
    """Live invoices that msp-xero made but that should not be there.

    The numbers of those that the ledger does not know, the numbers of those that it knows as refused, the
    markers of those that it has not sent yet, and the ids of those of which only the lines tell: with neither
    our number nor a marker of ours, and those from before the connection started over.
    """

    strangers: list[str]
    late: list[str]
    planned: set[str]
    elsewhere: list[str]
    before: list[str]


def _unexplained(ledger: Ledger, rows: list[dict[str, Any]], number_prefix: str) -> _Unexplained:
    suspects = [
        (str(row.get("InvoiceNumber", "")), str(row.get("InvoiceID")), marker)
        for row in rows
        if not _is_gone(row) and (marker := marker_of(row.get("Reference")))
    ]
    if not suspects:
        return _Unexplained([], [], set(), [], [])
    numbers, ids, markers = (set(values) for values in zip(*suspects, strict=True))
    with ledger.read() as session:
        known = session.execute(
            select(Invoice.number, Invoice.xero_id, Invoice.marker, Invoice.state, Invoice.generation).where(
                Invoice.connection_id == ledger.connection_id,
                Invoice.number.in_(numbers) | Invoice.xero_id.in_(ids) | Invoice.marker.in_(markers),
            )
        ).all()
    known_ids = {row.xero_id for row in known if row.generation == ledger.generation}
    known_numbers, known_markers = ({row.number for row in known}, {row.marker for row in known})
    # Not settled yet, and renumbered by a person: the look-up will find it by its marker.
    open_markers = {
        row.marker
        for row in known
        if row.xero_id is None and row.state != "rejected" and row.generation == ledger.generation
    }
    refused = {row.marker for row in known if row.xero_id is None and row.state == "rejected"}
    # Its lines have to tell: on the way back it is the invoice itself, whose worklogs may have been taken off
    # it; elsewhere it is a copy, moved here with the books.
    earlier = [row for row in known if row.generation != ledger.generation]
    earlier_ids, earlier_markers = {row.xero_id for row in earlier}, {row.marker for row in earlier}
    strangers, late, elsewhere, before = [], [], [], []
    for number, xero_id, marker in suspects:
        if xero_id in known_ids or marker in open_markers:
            continue
        if marker in refused:
            late.append(number)
        elif xero_id in earlier_ids or marker in earlier_markers:
            before.append(xero_id)
        elif is_own_number(number_prefix, number) and not (
            # A known number is no excuse for a marker that this ledger never made.
            number in known_numbers and marker in known_markers
        ):
            strangers.append(number)
        elif marker not in known_markers:
            elsewhere.append(xero_id)
    planned = {row.marker for row in known if row.state == "planned"}
    return _Unexplained(sorted(strangers), sorted(late), planned & markers, elsewhere, before)
