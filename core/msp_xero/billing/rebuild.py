"""Filling an empty ledger from Xero: which worklogs are on which invoice.

All of Xero is read before the first row is written, and everything is written in one transaction: a
rebuild that dies has changed nothing and is started again.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from msp_xero.billing.document import markers_in, worklog_marker, worklog_of
from msp_xero.billing.plan import invoice_number, is_own_number
from msp_xero.billing.reference import meet_organisation
from msp_xero.billing.refresh import ALL_SALES
from msp_xero.billing.settle import pin_organisation
from msp_xero.billing.strangers import worklogs_on
from msp_xero.ledger.decisions import GONE_IN_XERO
from msp_xero.ledger.outcomes import live_state
from msp_xero.ledger.rebuilding import (
    FoundInvoice,
    FoundLine,
    OnRecord,
    Rebuilding,
    numbers_taken,
    on_record,
    refuse_filled,
)
from msp_xero.ledger.types import decode_exact, encode_exact
from msp_xero.xero.wire import parse_day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import date, datetime
    from types import TracebackType

    from msp_xero.ledger import Fence, Ledger
    from msp_xero.xero.client import XeroClient

_FOUR_DECIMALS = Decimal("0.0001")
_LINES_AT_ONCE = 1000
_TELL_EVERY = 1000
_PAGE = 1000
_NAMED = 20
_MOST_SEQUENCE = 10**9
"""The ledger counts in 32 bits; what is above is a number of somebody else's."""


@dataclass(slots=True)
class Named:
    """How many there are of something, and the names of the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.first) < _NAMED:
            self.first.append(name)


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild found.

    ``read`` are the sales invoices of the organisation; ``invoices`` of them are ours, with ``worklogs``
    that count as billed now. ``on_record`` ones the ledger has already, from before the connection left this
    organisation and came back; they are passed over. ``recognised`` worklogs were delivered to the ledger
    before. ``in_doubt`` ones are held because a worklog of their id in another module is billed.

    For a person to look at: ``unmarked`` live invoices with lines that name no worklog; ``twice``
    worklogs that are on two live invoices, with the one that does not count; ``gone`` invoices that were
    voided or deleted, whose ``on_gone`` worklogs count as billed; ``other_numbers`` of invoices with our
    marks and without our prefix; ``missing`` numbers below the highest that neither the organisation nor
    the ledger has, named as stretches of them: an organisation before this one may have those invoices.
    """

    read: int = 0
    invoices: int = 0
    on_record: int = 0
    worklogs: int = 0
    recognised: int = 0
    next_number: int = 1
    in_doubt: int = 0
    on_gone: int = 0
    unmarked: Named = field(default_factory=Named)
    twice: Named = field(default_factory=Named)
    gone: Named = field(default_factory=Named)
    other_numbers: Named = field(default_factory=Named)
    missing: Named = field(default_factory=Named)
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def needs_person(self) -> bool:
        """Whether something in Xero has to be looked at before anything is billed."""
        found = (self.unmarked, self.twice, self.gone, self.other_numbers)
        # Missing numbers are told and are no more than a trace: each refused invoice leaves one.
        return self.in_doubt > 0 or any(named.count for named in found)

    @property
    def outcome(self) -> str:
        """How the run ended, as the record of runs says it."""
        return "needs_person" if self.needs_person else "done"

    def counts(self) -> dict[str, int]:
        """Return the figures for the record of runs."""
        return {
            "invoices": self.invoices,
            "on_record": self.on_record,
            "worklogs": self.worklogs,
            "recognised": self.recognised,
            "in_doubt": self.in_doubt,
            "on_gone_invoices": self.on_gone,
            "unmarked_invoices": self.unmarked.count,
            "twice_on_invoices": self.twice.count,
            "other_numbers": self.other_numbers.count,
            "missing_numbers": self.missing.count,
        }


def rebuild(  # noqa: PLR0913 - everything at the border is handed in
    ledger: Ledger,
    client: XeroClient,
    *,
    number_prefix: str,
    only_prefix: bool = False,
    run_id: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Rebuilt:
    """Fill a ledger that has billed nothing with what Xero's invoices say was billed.

    Args:
        ledger: the open ledger.
        client: the Xero client.
        number_prefix: what our invoice numbers begin with.
        only_prefix: leave out invoices with our marks whose number does not begin so, because another
            installation made them. Without it they count as billed here: never twice.
        run_id: the run, for the audit log.
        progress: told one line about long work.

    Raises:
        LedgerError: the ledger is not empty or of another organisation, or a settle is running.
        RemoteError: Xero cannot be read to the end; nothing was written.
    """
    with ledger.settling() as fence, _Spool() as spool:
        with ledger.read() as session:
            refuse_filled(session, ledger)
        pin_organisation(ledger, meet_organisation(client))
        looked_at = ledger.clock.now()
        with ledger.read() as session:
            known = on_record(session, ledger)
        rebuilt, seen = _read(client, spool, number_prefix, known, only_prefix=only_prefix, progress=progress)
        with ledger.read() as session:
            taken = numbers_taken(session, ledger)
        prefix = number_prefix.casefold()
        seen |= {_sequence(prefix, one) for one in taken if is_own_number(prefix, one)}
        _note_missing(rebuilt, number_prefix, seen)
        progress(f"writing {spool.count:,} invoices into the ledger")
        _write(ledger, fence, spool, rebuilt, looked_at, run_id, is_whole=not only_prefix)
    rebuilt.calls = dict(client.calls)
    return rebuilt


def _read(  # noqa: PLR0913 - the first half of rebuild
    client: XeroClient,
    spool: _Spool,
    prefix: str,
    known: OnRecord,
    *,
    only_prefix: bool,
    progress: Callable[[str], None],
) -> tuple[Rebuilt, set[int]]:
    """Read every sales invoice, keep those of ours; return what was found, and their sequences."""
    rebuilt, seen = Rebuilt(), set[int]()
    for row in client.invoices(where=ALL_SALES, page_size=_PAGE):
        if row.get("Type") != "ACCREC":
            continue
        rebuilt.read += 1
        if rebuilt.read % _TELL_EVERY == 0:
            progress(f"read {rebuilt.read:,} sales invoices")
        number = str(row.get("InvoiceNumber", ""))
        is_own = is_own_number(prefix, number)
        if is_own:
            seen.add(_sequence(prefix, number))
        markers = markers_in(row.get("Reference"))
        if known.has(str(row.get("InvoiceID")), markers):
            rebuilt.on_record += 1
            continue
        is_marked = bool(markers or worklogs_on(row))
        if not (is_own or (is_marked and not only_prefix)):
            continue
        if _has_unmarked_line(row):
            rebuilt.unmarked.add(number)
        if is_marked:
            spool.add(row, _rank(row, number, prefix))
            if not is_own:
                rebuilt.other_numbers.add(number)
    # Each one that a person renumbered had a number of ours before, maybe a higher one than all seen.
    rebuilt.next_number = 1 + max(seen, default=0) + rebuilt.other_numbers.count
    return rebuilt, seen


def _note_missing(rebuilt: Rebuilt, prefix: str, seen: set[int]) -> None:
    """Name the stretches of numbers that nobody has: the trace of invoices in another organisation."""
    before = 0
    for sequence in sorted(seen - {0}):
        first, last = before + 1, sequence - 1
        before = sequence
        if first > last:
            continue
        name = invoice_number(prefix, first)
        rebuilt.missing.add(name if first == last else f"{name} to {invoice_number(prefix, last)}")
        rebuilt.missing.count += last - first


def _sequence(prefix: str, number: str) -> int:
    sequence = int(number[len(prefix) :])
    return sequence if sequence < _MOST_SEQUENCE else 0


def _is_gone(row: Mapping[str, Any]) -> bool:
    return live_state(str(row.get("Status", ""))) in GONE_IN_XERO


def _has_unmarked_line(row: Mapping[str, Any]) -> bool:
    """Tell whether a live invoice bills something and does not say which worklog it is."""
    return not _is_gone(row) and any(
        line.get("LineAmount") and worklog_of(line.get("Description")) is None
        for line in row.get("LineItems") or []
    )


class _Rank(NamedTuple):
    """Which of two invoices with one worklog counts: the smaller one.

    A live one before one that is gone; ours before a copy that a person made of it. Of ours the first
    one that is live bills, and the last one of those that are gone.
    """

    is_gone: bool
    is_renumbered: bool
    is_unmarked: bool
    order: int
    invoice_id: str


def _rank(row: Mapping[str, Any], number: str, prefix: str) -> _Rank:
    is_gone, is_own = _is_gone(row), is_own_number(prefix, number)
    sequence = _sequence(prefix, number) if is_own else 0
    return _Rank(
        is_gone,
        not is_own,
        not markers_in(row.get("Reference")),
        -sequence if is_gone else sequence,
        str(row.get("InvoiceID")),
    )


class _Spool:
    """Invoices on disk until all of them are read: memory holds the rank and place of each."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the with of this class
        self._places: list[tuple[_Rank, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def count(self) -> int:
        """How many invoices there are."""
        return len(self._places)

    def add(self, row: Mapping[str, Any], rank: _Rank) -> None:
        """Put an invoice away."""
        self._places.append((rank, self._file.tell()))
        self._file.write(encode_exact(row).encode() + b"\n")

    def best_first(self) -> Iterator[dict[str, Any]]:
        """Yield the invoices by their rank."""
        for _, place in sorted(self._places):
            self._file.seek(place)
            yield decode_exact(self._file.readline())


def _write(  # noqa: PLR0913, PLR0917 - the second half of rebuild
    ledger: Ledger,
    fence: Fence,
    spool: _Spool,
    rebuilt: Rebuilt,
    looked_at: datetime,
    run_id: int | None,
    *,
    is_whole: bool,
) -> None:
    """Store everything in one transaction.

    What was left out may bill what waits here: then the first settle looks at all invoices once more, and
    until then this counts as a look that stopped, so that nobody leaves the organisation unseen. What became
    of those that are on record is for the next look to learn, from where the last one ended.
    """
    rebuilt.invoices = spool.count
    with ledger.write(fence) as session:
        rebuilding = Rebuilding(session, ledger, run_id=run_id)
        taken_numbers = numbers_taken(session, ledger)
        for invoices in _chunks(_found(spool.best_first(), looked_at.date(), taken_numbers)):
            taken = rebuilding.take_over(invoices)
            rebuilt.worklogs += taken.worklogs
            rebuilt.recognised += taken.recognised
            for label in taken.twice:
                rebuilt.twice.add(label)
            for number, worklogs in taken.on_gone.items():
                rebuilt.gone.add(number)
                rebuilt.on_gone += worklogs
        rebuilt.in_doubt = rebuilding.hold_doubtful()
        row = ledger.connection(session)
        row.next_number = rebuilt.next_number = max(row.next_number, rebuilt.next_number)
        if not (is_whole and rebuilt.on_record):
            row.invoices_refreshed_at = looked_at if is_whole else None
            row.look_stopped_at = None if is_whole else looked_at


def _chunks(invoices: Iterable[FoundInvoice]) -> Iterator[list[FoundInvoice]]:
    """Yield invoices in lots of about a thousand lines."""
    chunk: list[FoundInvoice] = []
    lines = 0
    for invoice in invoices:
        chunk.append(invoice)
        lines += 1 + len(invoice.lines)
        if lines >= _LINES_AT_ONCE:
            yield chunk
            chunk, lines = [], 0
    if chunk:
        yield chunk


def _found(rows: Iterable[Mapping[str, Any]], today: date, used: set[str]) -> Iterator[FoundInvoice]:
    """Turn Xero's invoices into ours. A number that was ``used`` before gets a mark behind it."""
    for row in rows:
        number = told = str(row.get("InvoiceNumber", ""))
        again = 1
        # A deleted draft frees its number in Xero (xero-api §4.2); in the ledger numbers are unique.
        while number.casefold() in used:
            again += 1
            number = f"{told} ({again})"
        used.add(number.casefold())
        yield FoundInvoice(columns=_columns(row, number, today), lines=list(_lines(row)))


def _columns(row: Mapping[str, Any], number: str, today: date) -> dict[str, Any]:
    contact = row.get("Contact") or {}
    status = str(row.get("Status", ""))
    invoice_date = _day(row, "Date") or today
    total = _amount(row.get("Total"))
    return {
        "number": number,
        "contact_id": str(contact.get("ContactID", "")),
        "contact_name": contact.get("Name"),
        "currency": str(row.get("CurrencyCode", "")),
        "invoice_date": invoice_date,
        "due_date": _day(row, "DueDate") or invoice_date,
        "reference": str(row.get("Reference") or ""),
        "marker": next(reversed(markers_in(row.get("Reference"))), ""),
        "wanted_status": status,
        "line_amount_types": str(row.get("LineAmountTypes", "")),
        "subtotal": _amount(row.get("SubTotal")),
        "total_tax": _amount(row.get("TotalTax")),
        "total": total,
        "state": live_state(status),
        "xero_id": str(row.get("InvoiceID")),
        "xero_status": status,
        "xero_total": total,
    }


def _lines(row: Mapping[str, Any]) -> Iterator[FoundLine]:
    for position, line in enumerate(row.get("LineItems") or [], start=1):
        description = str(line.get("Description") or "")
        key = worklog_of(description)
        if key is None:
            continue
        yield FoundLine(
            module=key[0],
            worklog_id=key[1],
            position=position,
            description=description,
            text=description.rpartition(worklog_marker(*key))[0].rstrip() or None,
            quantity=_amount(line.get("Quantity")),
            unit_price=_amount(line.get("UnitAmount")),
            amount=_amount(line.get("LineAmount")),
            tax=_amount(line.get("TaxAmount")),
            item_code=str(line.get("ItemCode") or ""),
            account_code=str(line.get("AccountCode") or ""),
            tax_type=str(line.get("TaxType") or ""),
        )


def _day(row: Mapping[str, Any], name: str) -> date | None:
    """Return a date of an invoice, which Xero may tell in two forms, or not at all for a draft."""
    told = row.get(f"{name}String") or row.get(name)
    return parse_day(told) if isinstance(told, str) else None


def _amount(value: Any) -> Decimal:
    return Decimal(value or 0).quantize(_FOUR_DECIMALS)
