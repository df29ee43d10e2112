"""Lines that count as billed since a release, on the word of an earlier look: each is looked for once more.

That a worklog is on another invoice that stands is what a look told before the release, or a rebuild. A
person may have taken the line off since. Until a look has seen it there, it is remembered beside what is told
of strangers' lines: as one without a contact, which those always have.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from msp_xero.ledger.foreign import UNREADABLE, told_apart_from
from msp_xero.ledger.models import (
    BillingConnection,
    ForeignLine,
    Invoice,
    InvoiceLine,
    PastGeneration,
    Worklog,
)
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sqlalchemy.orm import Session

    from msp_xero.ledger.outcomes import Standing
    from msp_xero.ledger.store import Fence, Ledger

Key: TypeAlias = tuple[str, str]
"""Module and id of a worklog, as billed."""

_SAID: Final = (
    "Counted as billed by this invoice since their own one was released, and named by no line of it: "
)
_WHAT_TO_DO: Final = (
    "Put each line back, ending as it is written here; where one is billed by hand on another invoice of "
    "this customer, let the line there end so; or void this invoice and release it."
)


class Counted(NamedTuple):
    """A worklog that counts as billed by a line of ours in Xero, which no look has seen since it does.

    Attributes:
        row: of the memory.
        worklog_row: of the worklog.
        invoice_id: of the invoice in the ledger.
        xero_id: of the invoice in Xero.
        contact_id: whom it bills.
        key: ``(module, worklog id)`` as billed.
        is_missing: a look has read that invoice since, and not found it there.
    """

    row: int
    worklog_row: int
    invoice_id: int
    xero_id: str
    contact_id: str
    key: Key
    is_missing: bool


# Built once: every look asks them. Most ledgers await nothing: an index says so.
_AWAITED_HERE = (ForeignLine.connection_id == bindparam("connection"), ForeignLine.contact_id.is_(None))
_ANY = select(ForeignLine.id).where(*_AWAITED_HERE).limit(1)
_PRESENT = select(BillingConnection.organisation_id).where(BillingConnection.id == bindparam("connection"))
_AT_HOME = select(PastGeneration.generation).where(
    PastGeneration.connection_id == bindparam("connection"),
    PastGeneration.organisation_id == _PRESENT.scalar_subquery(),
)
_AWAITED = (
    select(
        ForeignLine.id,
        Worklog.id,
        Invoice.id,
        ForeignLine.invoice_id,
        Invoice.contact_id,
        ForeignLine.module,
        ForeignLine.worklog_id,
        ForeignLine.is_tried,
    )
    .join(
        Invoice,
        and_(Invoice.connection_id == ForeignLine.connection_id, Invoice.xero_id == ForeignLine.invoice_id),
    )
    .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
    .join(
        Worklog,
        and_(
            Worklog.id == InvoiceLine.worklog_row,
            Worklog.module == ForeignLine.module,
            Worklog.worklog_id == ForeignLine.worklog_id,
        ),
    )
    .where(
        *_AWAITED_HERE,
        or_(ForeignLine.generation == bindparam("generation"), ForeignLine.generation.in_(_AT_HOME)),
        InvoiceLine.live.is_(True),
    )
    .order_by(Invoice.id, ForeignLine.worklog_id, ForeignLine.id)
)
_NAMED = select(ForeignLine).where(
    ForeignLine.connection_id == bindparam("connection"),
    or_(ForeignLine.generation == bindparam("generation"), ForeignLine.generation.in_(_AT_HOME)),
    ForeignLine.contact_id.is_not(None),
    ForeignLine.digest != UNREADABLE,
)
_LINES_THAT_COUNT = (
    select(Invoice.xero_id, Invoice.number, Worklog.module, Worklog.worklog_id, InvoiceLine.description)
    .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
    .join(Worklog, Worklog.id == InvoiceLine.worklog_row)
    .where(
        Invoice.xero_id.is_not(None),
        or_(Invoice.generation == bindparam("generation"), Invoice.generation.in_(_AT_HOME)),
        InvoiceLine.id.in_(bindparam("lines", expanding=True)),
    )
)


def await_look(session: Session, ledger: Ledger, found: Collection[Standing]) -> None:
    """Remember these lines, so that the next look reads their invoices in the present organisation."""
    here = {"connection": ledger.connection_id, "generation": ledger.generation}
    common = {
        "connection_id": ledger.connection_id,
        "generation": ledger.generation,
        "contact_id": None,
        "is_ours": True,
    }
    for some in lots(one.line_id for one in found):
        rows = session.execute(_LINES_THAT_COUNT, {**here, "lines": list(some)}).tuples()
        lines = [
            {
                **common,
                "invoice_id": xero_id,
                "number": number,
                "module": module,
                "worklog_id": worklog_id,
                "digest": hashlib.sha256(text.encode()).hexdigest(),
            }
            for xero_id, number, module, worklog_id, text in rows
        ]
        if lines:
            session.execute(insert(ForeignLine), lines)


def forget(session: Session, invoice: Invoice) -> None:
    """Await nothing on an invoice any more, because nothing counts as billed by it from now on."""
    invoice.reason = _without_what_was_said(invoice.reason)
    session.execute(
        delete(ForeignLine).where(
            ForeignLine.connection_id == invoice.connection_id,
            ForeignLine.contact_id.is_(None),
            ForeignLine.invoice_id == invoice.xero_id,
        )
    )


def awaited(ledger: Ledger) -> list[Counted]:
    """Return what counts as billed since its own invoice was released, and was not seen there since."""
    named = {"connection": ledger.connection_id, "generation": ledger.generation}
    with ledger.read() as session:
        if session.scalar(_ANY, named) is None:
            return []
        found = session.execute(_AWAITED, named)
        return [
            Counted(row, worklog_row, invoice_id, xero_id, contact_id, (module, worklog_id), is_missing)
            for row, worklog_row, invoice_id, xero_id, contact_id, module, worklog_id, is_missing in found
        ]


def missing_on(ledger: Ledger) -> list[str]:
    """Return the numbers of invoices that count as billing what is not there, as the last looks told."""
    found = list[str]()
    on_these = sorted({one.invoice_id for one in awaited(ledger)})
    with ledger.read() as session:
        for some in lots(on_these):
            query = select(Invoice.number).where(Invoice.id.in_(some), Invoice.reason.contains(_SAID))
            found.extend(session.scalars(query.order_by(Invoice.id)))
    return found


def note_seen(
    ledger: Ledger,
    fence: Fence,
    counted: Sequence[Counted],
    seen: Mapping[str, Collection[Key] | None],
    mark: Callable[[str, str], str],
) -> None:
    """Say on invoices what counts as billed by them and is not there; no more once it is seen there.

    Nothing is freed: the line may have been moved on, or have lost its mark. A person decides. Nothing is
    said of what another invoice here names, of ours or of the same customer: it is billed there.

    Args:
        ledger: the open ledger.
        fence: proof of the settle lock.
        counted: what is awaited.
        seen: ``(module, worklog id)`` of all that an invoice names by now, by Xero's id, of those that Xero
            has shown; None of one that is gone, which is told of anyway.
        mark: what a line of a worklog ends with.
    """
    if not counted:
        return
    there, missing = list[Counted](), list[Counted]()
    for one in counted:
        if one.xero_id not in seen:
            missing += [one] if one.is_missing else []
        elif (keys := seen[one.xero_id]) is None or one.key in keys:
            there.append(one)
        else:
            missing.append(one)
    with ledger.write(fence) as session:
        elsewhere = _billed_elsewhere(session, ledger, missing)
        lost = defaultdict[int, list[Key]](list)
        for one in missing:
            if one.row not in elsewhere:
                lost[one.invoice_id].append(one.key)
        for invoice_id in dict.fromkeys(one.invoice_id for one in counted):
            invoice = session.get_one(Invoice, invoice_id)
            invoice.reason = _told(_without_what_was_said(invoice.reason), lost.get(invoice_id, ()), mark)
        for some in lots(one.row for one in there):
            session.execute(delete(ForeignLine).where(ForeignLine.id.in_(some)))
        for some in lots(one.row for one in missing if not one.is_missing):
            session.execute(update(ForeignLine).where(ForeignLine.id.in_(some)).values(is_tried=True))


def _billed_elsewhere(session: Session, ledger: Ledger, missing: Sequence[Counted]) -> set[int]:
    """Return those of these, by their rows, that another invoice here names, as a look told."""
    here = {"connection": ledger.connection_id, "generation": ledger.generation}
    by_key = defaultdict[Key, list[Counted]](list)
    for one in missing:
        by_key[one.key].append(one)
    apart = told_apart_from(session, [one.worklog_row for one in missing])
    found = set[int]()
    for some in lots(sorted({worklog_id for _, worklog_id in by_key})):
        for line in session.scalars(_NAMED.where(ForeignLine.worklog_id.in_(some)), here):
            text = line.invoice_id, line.module, line.digest
            found.update(
                one.row
                for one in by_key.get((line.module, line.worklog_id), ())
                if line.invoice_id != one.xero_id
                and (line.is_ours or line.contact_id == one.contact_id)
                and text not in apart.get(one.worklog_row, ())
            )
    return found


def _without_what_was_said(reason: str | None) -> str | None:
    return (reason or "").partition(_SAID)[0].rstrip() or None


def _told(reason: str | None, lost: Sequence[Key], mark: Callable[[str, str], str]) -> str | None:
    if not lost:
        return reason
    named = ", ".join(mark(*key) for key in lost)
    said = f"{_SAID}{named}. {_WHAT_TO_DO}"
    return f"{reason} {said}" if reason else said
