"""Finding out what became of invoices whose outcome is unknown: adopted, planned again, or for a person."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msp_xero.billing.document import marker_of, markers_in
from msp_xero.billing.plan import batch_body
from msp_xero.billing.push import created
from msp_xero.billing.strangers import bills_what_waits, is_gone, told_by, unknown_to_us, worklogs_on
from msp_xero.errors import Missing, Rejected, Unavailable
from msp_xero.ledger import foreign, pushing
from msp_xero.ledger.models import Invoice
from msp_xero.ledger.outcomes import Created, Outcome, Refused, record_outcome
from msp_xero.ledger.survey import life_begun_at
from msp_xero.xero import wire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from msp_xero.errors import RemoteError
    from msp_xero.ledger import Fence, Ledger
    from msp_xero.xero.client import XeroClient

SECOND_LOOK_SECONDS = 5.0
"""Pause before a miss is believed: lists may lag behind a write (xero-api §4.7)."""

_OVERLAP = timedelta(minutes=10)


_FAILED_LOOKS = 8
"""Look-ups that may fail before the system counts as down: enough to single out one invoice of 100."""


@dataclass(slots=True)
class LookUps:
    """Look-ups of which none is stopped by an invoice that cannot be looked up: it stays, and says why.

    Attributes:
        failed: how many have failed.
        error: the last error.
        was_answered: whether Xero has said anything at all; else it is down.
    """

    ledger: Ledger
    client: XeroClient
    fence: Fence
    run_id: int | None = None
    failed: int = 0
    error: RemoteError | None = None
    was_answered: bool = False

    def of(self, invoices: Sequence[Invoice]) -> Outcome:
        """Find out about these invoices. One that could not be looked up before is tried by itself.

        Raises:
            BilledElsewhere: another ledger bills what waits here.
            RemoteError: so many calls have failed that the system is down, or it refuses access.
        """
        stuck = [one.id for one in invoices if one.state == "unknown" and one.reason]
        together = [one.id for one in invoices if one.id not in stuck]
        found = self._resolve(together) if together else Outcome()
        for invoice_id in stuck:
            if self.failed < _FAILED_LOOKS:
                found.add(self._resolve([invoice_id]))
        return found

    def _resolve(self, ids: list[int]) -> Outcome:
        """Look invoices up, by halves if that fails, until the one that it fails for is alone."""
        try:
            found = resolve_unknown(self.ledger, self.client, self.fence, only=ids, run_id=self.run_id)
        except (Unavailable, Missing, Rejected) as error:
            self.failed, self.error = self.failed + 1, error
            self.was_answered |= not isinstance(error, Unavailable)
            if len(ids) == 1:
                reason = f"It could not be looked up: {error}"
                pushing.note_unresolved(self.ledger, self.fence, ids[0], reason)
                return Outcome()
            if self.failed >= _FAILED_LOOKS:
                raise
        else:
            self.was_answered = True
            return found
        middle = len(ids) // 2
        found = self._resolve(ids[:middle])
        found.add(self._resolve(ids[middle:]))
        return found


def resolve_unknown(
    ledger: Ledger,
    client: XeroClient,
    fence: Fence,
    *,
    only: Collection[int],
    run_id: int | None = None,
) -> Outcome:
    """Look up invoices whose outcome is unknown; adopt what is ours, plan again what is missing.

    Args:
        ledger: the open ledger.
        client: the Xero client.
        fence: proof of the settle lock.
        only: ids of the invoices to look up; those that are settled are left as they are.
        run_id: for the audit log.

    Returns:
        What was found out. Conflicts stay open: Xero holds something that only a person can judge.
    """
    invoices = [one for one in pushing.unsettled_invoices(ledger) if one.id in only]
    if not invoices:
        return Outcome()
    found = look_up(client, [invoice.number for invoice in invoices])
    # What is gone is no answer either: ours may be under way, or in the list a little later.
    if missing := [one for one in invoices if all(map(is_gone, found.get(one.number.casefold(), [])))]:
        ledger.clock.sleep(SECOND_LOOK_SECONDS)
        found |= look_up(client, [invoice.number for invoice in missing])
    holders_of = {one.id: _holders(ledger, one, found.get(one.number.casefold(), [])) for one in invoices}
    ours_of = {
        one.id: next((row for row in holders_of[one.id] if _is_ours(ledger, one, row)), None)
        for one in invoices
    }
    # Whoever has the number: a person may have given ours another one, and another reference. Of a conflict
    # that was found out when it became one; asking again at every run would be an ever longer list.
    lost = [one for one in invoices if ours_of[one.id] is None and one.state != "conflict"]
    renumbered = _look_for_renumbered(ledger, client, lost) if lost else {}

    outcome, proven_missing = Outcome(), defaultdict[int, list[Invoice]](list)
    for invoice in invoices:
        holders, ours = holders_of[invoice.id], ours_of[invoice.id]
        if ours is not None:
            outcome.created.append(created(invoice.id, ours, _drift(invoice, ours)))
        elif invoice.id in renumbered:
            outcome.created.append(_adopt_renumbered(invoice, renumbered[invoice.id]))
        elif not holders and invoice.batch_id is not None:
            proven_missing[invoice.batch_id].append(invoice)
        else:
            _judge_foreign_holder(ledger, client, invoice, holders, outcome)
    record_outcome(ledger, fence, outcome, run_id=run_id)
    for batch_id, missing_invoices in proven_missing.items():
        _plan_again(ledger, fence, batch_id, missing_invoices)
    return outcome


def look_up(client: XeroClient, numbers: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
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
    found: dict[int, list[dict[str, Any]]] = {}
    for row in _may_be(ledger, client, invoices):
        if row.get("Type") != "ACCREC" or not (
            markers_in(row.get("Reference")) or (worklogs_on(row) and not is_gone(row))
        ):
            continue
        for invoice in invoices:
            if _is_ours(ledger, invoice, row):
                found.setdefault(invoice.id, []).append(row)
    return {invoice.id: _likest(invoice, found[invoice.id]) for invoice in invoices if invoice.id in found}


def _may_be(ledger: Ledger, client: XeroClient, invoices: Sequence[Invoice]) -> Iterator[dict[str, Any]]:
    """Yield what changed in Xero since these invoices were planned, and what a look has seen of them before.

    The list may lag, and the time of planning be that of a clock that was wrong.
    """
    since = min(invoice.planned_at for invoice in invoices) - _OVERLAP
    seen = foreign.remembered_of(ledger, [invoice.id for invoice in invoices])
    for row in client.invoices(if_modified_since=since):
        seen.discard(str(row.get("InvoiceID")))
        yield row
    if seen:
        yield from client.invoices(ids=sorted(seen))


def _likest(invoice: Invoice, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the one that is most like what we sent: the others are copies that a person made of it.

    One that stands comes before one that is gone, and one with our marker before one without.
    """

    def unlikeness(row: Mapping[str, Any]) -> tuple[bool, bool, int, str]:
        unmarked = invoice.marker not in markers_in(row.get("Reference"))
        return is_gone(row), unmarked, len(_differences(invoice, row)), str(row.get("InvoiceID"))

    return min(rows, key=unlikeness)


def _adopt_renumbered(invoice: Invoice, row: Mapping[str, Any]) -> Created:
    notes = (f"It was renumbered to {row.get('InvoiceNumber')} in Xero.", _drift(invoice, row))
    return created(invoice.id, row, " ".join(note for note in notes if note))


def _is_ours(ledger: Ledger, invoice: Invoice, row: Mapping[str, Any]) -> bool:
    """Tell whether Xero's invoice is the one we sent: by its marker, or by the worklogs on its lines.

    The lines decide only where a person took the marker away: another marker is another invoice, even
    if another installation has worklogs of the same ids.
    """
    if is_of_an_earlier_life(ledger, invoice.planned_at, row):
        return False
    if invoice.marker in markers_in(row.get("Reference")):
        return True
    if marker_of(row.get("Reference")) is not None:
        return False
    on_lines = worklogs_on(row)
    if not on_lines or not on_lines <= pushing.worklog_keys(ledger, invoice.id):
        return False
    # A person may have said that it bills other work, of the same ids.
    return foreign.told_apart_from_billed(ledger, invoice.id).isdisjoint(line.line for line in told_by(row))


def is_of_an_earlier_life(ledger: Ledger, planned_at: datetime, row: Mapping[str, Any]) -> bool:
    """Tell whether an invoice was voided or deleted before this ledger began, or last started over.

    Somebody tried the program out, or a move to another organisation, took the trial back in Xero and began
    with a new ledger, or moved the real one: number and marker are the same. What was voided since is ours,
    also where a backup of the ledger was put back.
    """
    changed = row.get("UpdatedDateUTC")
    if not isinstance(changed, str) or not is_gone(row):
        return False
    # A ledger can have begun under a clock that was wrong.
    begun = min(life_begun_at(ledger), planned_at) - _OVERLAP
    return wire.parse_instant(changed) < begun


def _holders(ledger: Ledger, invoice: Invoice, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what has the number of an invoice, what stands first, with ours wherever it is.

    A deleted draft has no number any more (xero-api §4.2): ours may still arrive under it.
    """
    held = (row for row in rows if row.get("Status") != "DELETED" or _is_ours(ledger, invoice, row))
    return sorted(held, key=is_gone)


def _drift(invoice: Invoice, row: Mapping[str, Any]) -> str | None:
    """Say what a person changed between our call and our look, None when nothing."""
    differs = _differences(invoice, row)
    return f"Somebody changed its {' and '.join(differs)} in Xero before we could look." if differs else None


def _differences(invoice: Invoice, row: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name, ours, theirs in (
            ("contact", invoice.contact_id, (row.get("Contact") or {}).get("ContactID")),
            ("currency", invoice.currency, row.get("CurrencyCode")),
            ("total", invoice.total, row.get("Total")),
        )
        if ours != theirs
    ]


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
        outcome.created.append(_adopt_renumbered(invoice, _likest(invoice, renumbered)))
        return
    # One that was voided keeps its number for ever, but bills nobody; one of ours that a person gave this
    # number bills what it billed before. Nothing is left to judge of either.
    standing = {str(row.get("InvoiceID")): row for row in holders if not is_gone(row)}
    on_record = pushing.on_record(ledger, standing)
    strangers = [row for xero_id, row in standing.items() if xero_id not in on_record]
    if any(bills_what_waits(ledger, row) for row in strangers):
        raise unknown_to_us([str(row.get("InvoiceNumber")) for row in strangers])
    if any(worklogs_on(row) or markers_in(row.get("Reference")) for row in strangers):
        outcome.conflicts.append(
            Refused(
                invoice.id,
                "NUMBER_CONFLICT",
                f"Xero's invoice {invoice.number} was made by msp-xero but is not the one this ledger knows: "
                "is this an old copy of the ledger, or does another installation use the same prefix?",
            )
        )
        return
    if any(_may_be_ours(invoice, row) for row in strangers):
        outcome.conflicts.append(
            Refused(
                invoice.id,
                "NUMBER_CONFLICT",
                f"Xero's invoice {invoice.number} has no mark of msp-xero, but the contact or the total of "
                "the one that was sent: did somebody rewrite it before we could look?",
            )
        )
        return
    reason = (
        f"The number {invoice.number} is taken by another invoice in Xero; the next run takes a new number."
    )
    outcome.refused.append(Refused(invoice.id, "NUMBER_CONFLICT", reason))


def _may_be_ours(invoice: Invoice, row: Mapping[str, Any]) -> bool:
    """Tell whether an invoice with our number and without our marks may be ours, rewritten by a person.

    Billing anew what it bills would be the worse mistake: a person has to look. What was there unchanged when
    ours was planned is somebody else's, unless nothing differs: then it was our clock that was wrong.
    """
    differs = _differences(invoice, row)
    changed = row.get("UpdatedDateUTC")
    if isinstance(changed, str) and wire.parse_instant(changed) < invoice.planned_at - _OVERLAP:
        return not differs
    return "contact" not in differs or differs == ["contact"]


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
