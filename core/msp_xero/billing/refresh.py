"""Learning what became of our invoices in Xero, and stopping before anything is billed twice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from msp_xero.billing.document import markers_in, worklog_marker, worklog_of, worklogs_in
from msp_xero.billing.memory import put_on_ours, remembered
from msp_xero.billing.plan import is_own_number
from msp_xero.billing.reconcile import is_of_an_earlier_life
from msp_xero.billing.strangers import (
    Verdict,
    billed_again,
    billed_before,
    billed_elsewhere,
    has_its_lines,
    is_gone,
    may_name_more,
    told_by,
    told_by_lines,
    told_on_ours,
    unexplained,
    unknown_to_us,
    verdict_on,
    worklogs_on,
)
from msp_xero.errors import LedgerError, Missing, Rejected, Unavailable
from msp_xero.ledger import foreign, moved_lines, pushing, second_look
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.models import Invoice
from msp_xero.ledger.outcomes import live_state
from msp_xero.ledger.survey import stands_there
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from msp_xero.ledger import Fence, Ledger
    from msp_xero.ledger.foreign import Told
    from msp_xero.ledger.second_look import Counted
    from msp_xero.xero.client import XeroClient

    Row = Mapping[str, Any]

ALL_SALES = 'Type=="ACCREC"'
"""Every sales invoice of the organisation, whatever became of it."""

_OVERLAP = timedelta(minutes=10)
_BY_ID = 200
"""So many invoices are read by their ids, 40 a call; of more, the list is read once again, 1,000 a call."""


def refresh_invoices(
    ledger: Ledger, client: XeroClient, fence: Fence, *, number_prefix: str, run_id: int | None = None
) -> int:
    """Learn what happened to our invoices in Xero since the last look; return how many changed.

    Raises:
        LedgerError: Xero has live invoices of ours that the ledger does not know: it is an old copy,
            or empty, or a second installation bills with the same prefix. Billing on would bill twice.
    """
    looked_at = ledger.clock.now()
    with ledger.write(fence) as session:
        row = ledger.connection(session)
        # It counts as stopped until it has ended well: also when the process dies in the middle.
        since, row.look_stopped_at = row.invoices_refreshed_at, looked_at
    if since is None or since > looked_at:  # a clock that was wrong in the middle of a settle
        look = _Look(ledger, client, fence, number_prefix, run_id, since=None)
    else:
        look = _Look(ledger, client, fence, number_prefix, run_id, since=since - _OVERLAP)
    look.over_all()
    look.into_lines()
    look.judge()
    with ledger.write(fence) as session:
        row = ledger.connection(session)
        row.invoices_refreshed_at, row.look_stopped_at = looked_at, None
    return look.changed


def look_into_doubts(ledger: Ledger, client: XeroClient, fence: Fence, *, number_prefix: str) -> None:
    """Read the invoices of which memory tells no more than that an id on them waits here.

    Raises:
        BilledElsewhere: one of them bills what waits.
    """
    if found := _those_that_bill(ledger, client, fence, number_prefix, remembered(ledger).in_doubt):
        raise unknown_to_us(found)


def _those_that_bill(
    ledger: Ledger, client: XeroClient, fence: Fence, number_prefix: str, in_doubt: Collection[str]
) -> list[str]:
    """Return the numbers of those of these invoices, by id, that bill what waits.

    One whose marker is none of ours is not tried again until it changes; one that bills what waits is asked
    about by every run. One that does not come any more was deleted, and is forgotten.
    """
    if not in_doubt:
        return []
    rows = list(client.invoices(ids=in_doubt))
    told = [line for row in rows for line in told_by(row)]
    recalled = _recalled(ledger, rows, told)
    foreign.retell(ledger, fence, in_doubt, [*told, *recalled])
    on_it: dict[str, list[Told]] = {}
    for line in recalled:
        on_it.setdefault(line.invoice_id, []).append(line)
    verdicts = [(row, verdict_on(ledger, row, number_prefix, on_it.get(_id(row), ()))) for row in rows]
    foreign.note_tried(ledger, fence, [_id(row) for row, one in verdicts if one is Verdict.MARKER_TRIED])
    return [str(row.get("InvoiceNumber")) for row, one in verdicts if one is Verdict.BILLS_WHAT_WAITS]


def _recalled(ledger: Ledger, rows: Iterable[Row], told: Iterable[Told]) -> list[Told]:
    """Return what an earlier look saw on these invoices and may be there still, beside what they tell now."""
    before = foreign.told_of(ledger, [_id(row) for row in rows if may_name_more(row)])
    now = {(line.invoice_id, line.module, line.worklog_id) for line in told}
    seen = (line for lines in before.values() for line in lines if line.contact_id is not None)
    return [
        line._replace(digest=foreign.UNREADABLE)
        for line in seen
        if (line.invoice_id, line.module, line.worklog_id) not in now
    ]


@dataclass(slots=True)
class _Look:
    """One look at Xero's sales invoices: what it has found so far, and what only lines can tell."""

    ledger: Ledger
    client: XeroClient
    fence: Fence
    number_prefix: str
    run_id: int | None
    since: datetime | None
    changed: int = 0
    strangers: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    looked_into: set[str] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)
    recalled: list[Told] = field(default_factory=list)
    elsewhere: list[Row] = field(default_factory=list)
    before: list[Row] = field(default_factory=list)
    added: list[Row] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    nameless: defaultdict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))
    unmarked: list[Row] = field(default_factory=list)
    awaited: list[Row] = field(default_factory=list)
    has_lines: bool = field(init=False)
    counted: list[Counted] = field(default_factory=list)
    seen: dict[str, set[tuple[str, str]] | None] = field(default_factory=dict)

    def over_all(self) -> None:
        """Go through all invoices that changed since the last look.

        With their lines once in the life of a ledger: a search for our numbers and marks misses one that a
        person renumbered and whose reference they rewrote. And as long as a person may put a line on one of
        ours whose worklog would be billed again, or lacks the line by which it counts as billed: they cost no
        further call.
        """
        self.counted = second_look.awaited(self.ledger)
        self.has_lines = self.since is None or bool(self.counted) or moved_lines.may_be_moved(self.ledger)
        if self.has_lines:
            rows = self.client.invoices(if_modified_since=self.since, where=ALL_SALES)
        else:
            rows = self.client.invoices(if_modified_since=self.since, summary_only=True)
        nameless = _nameless_at_home(self.ledger)
        for chunk in lots(row for row in rows if row.get("Type") == "ACCREC"):
            self.changed += _refresh(self.ledger, self.fence, chunk, self.run_id)
            self._collect(nameless, chunk)
            found = unexplained(self.ledger, chunk, self.number_prefix)
            pushing.mark_doubtful(self.ledger, self.fence, found.planned)
            gone = [row for row in chunk if is_gone(row)]
            self.looked_into.update(map(_id, gone))
            self.gone += _made_by_us(self.ledger, gone, self.number_prefix)
            explained = set(found.explained)
            self._look_at_ours([row for row in chunk if _id(row) in explained])
            self.strangers += [str(row.get("InvoiceNumber")) for row in found.strangers]
            self.late += found.late
            self.elsewhere += self._worth_reading(found.elsewhere)
            self.before += self._worth_reading(found.before)
            self.unmarked += self._worth_reading(found.unmarked)
            self.awaited += self._worth_reading(found.awaited)
            if len(self.strangers) <= _BY_ID:
                # A person may give one another number, and then only its lines tell. Where there are many,
                # it is this ledger that is the wrong one.
                self.elsewhere += self._worth_reading(found.strangers)
        for invoice in nameless:
            if rows_of := self.nameless[invoice.id]:
                _name(self.ledger, self.fence, invoice, rows_of, self.run_id)
                self.changed += 1

    def into_lines(self) -> None:
        """Let the lines tell what nothing else does."""
        unmarked, elsewhere, before, awaited = map(
            self._with_lines, (self.unmarked, self.elsewhere, self.before, self.awaited)
        )
        for chunk in lots(unmarked):
            self.strangers += told_by_lines(self.ledger, chunk, self.number_prefix)
            self._tell(chunk)
        for chunk in lots(elsewhere):
            self.strangers += billed_elsewhere(self.ledger, chunk, self.number_prefix)
            self._tell(chunk)
        for chunk in lots(before):
            self.again += billed_again(self.ledger, chunk)
            self._tell(chunk, is_ours=True)
        # Nothing is said against these: the look-up comes first. What it leaves is compared before planning.
        for chunk in lots(awaited):
            self._tell(chunk)
        added = [row for row in self.added if _id(row) not in self.looked_into]
        self._tell_added(list(self._with_lines(added)))
        self._look_around_what_is_gone()
        self._look_at_what_counts()

    def judge(self) -> None:
        """Compare what earlier looks told with what waits by now; remember what this one told.

        Raises:
            LedgerError: there is an invoice that this ledger should know.
        """
        recalled = {line.invoice_id for line in self.recalled}.difference(map(_id, self.awaited))
        memory = remembered(self.ledger, without=self.looked_into - recalled)
        # Also where this ends with an error: a person may change the invoice until the next look.
        foreign.retell(self.ledger, self.fence, self.looked_into, [*self.told, *self.recalled])
        second_look.note_seen(self.ledger, self.fence, self.counted, self.seen, worklog_marker)
        doubtful = _those_that_bill(self.ledger, self.client, self.fence, self.number_prefix, memory.in_doubt)
        if strangers := list(dict.fromkeys([*self.strangers, *memory.strangers, *doubtful])):
            raise unknown_to_us(strangers)
        if again := list(dict.fromkeys([*self.again, *memory.before])):
            raise billed_before(again)
        if (by_now := remembered(self.ledger)).moved:
            raise put_on_ours(by_now)
        if self.late:
            raise LedgerError(
                f"Xero holds {', '.join(self.late[:3])} although it had refused it, or had not got it when "
                "it was withdrawn: an earlier call arrived late, and its worklogs wait for another invoice "
                "by now, or are on one. Nothing was billed. Delete or void it in Xero and run again"
            )

    def _worth_reading(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return those that may name worklogs: where the lines are there already, those that do or did."""
        self.looked_into.update(map(_id, rows))
        if not self.has_lines:
            return rows
        silent = [_id(row) for row in rows if not worklogs_on(row)]
        did = moved_lines.remembered_among(self.ledger, silent) if silent else set()
        return [row for row in rows if worklogs_on(row) or _id(row) in did]

    def _look_at_ours(self, rows: Sequence[Row]) -> None:
        """Have lines read that people may have put on our invoices, where one can matter.

        Without lines only those of which some are remembered: they may be off again.
        """
        if self.has_lines:
            self._tell_added(rows)
        else:
            remembered_ids = moved_lines.remembered_among(self.ledger, [_id(row) for row in rows])
            self.added += [row for row in rows if _id(row) in remembered_ids]

    def _look_around_what_is_gone(self) -> None:
        """Find out whether people put lines of invoices that are gone by now on others of ours.

        They did that since the first of these was planned; of what is gone and not known here, since the last
        look. Where that or an earlier one had told of it, and it tells less by now, nobody knows since when.
        """
        if self.since is None:
            return
        if self._tells_less():
            self._look_around(since=None)
            return
        if not self.gone:
            return
        planned_at = moved_lines.first_planned(
            self.ledger,
            xero_ids=[_id(row) for row in self.gone],
            markers=[marker for row in self.gone for marker in markers_in(row.get("Reference"))],
            numbers=[str(row.get("InvoiceNumber")) for row in self.gone],
        )
        since = self.since if planned_at is None else min(self.since, planned_at - _OVERLAP)
        if self.has_lines and since == self.since:
            return  # the list that has just been read goes back as far
        self._look_around(since=since)

    def _tells_less(self) -> bool:
        """Tell whether an earlier look saw more of our lines on an invoice than it has now."""
        before = foreign.told_of(self.ledger, self.looked_into)
        now = {(line.invoice_id, line.module, line.worklog_id) for line in self.told}
        # What counts as billed by one by now is not told of it.
        sent = moved_lines.texts_sent(self.ledger, pushing.on_record(self.ledger, before))
        keys = ((one, worklog_of(text)) for one, texts in sent.items() for text in texts)
        now |= {(one, *key) for one, key in keys if key is not None}
        return any(
            (line.invoice_id, line.module, line.worklog_id) not in now
            for lines in before.values()
            for line in lines
            if line.digest != foreign.UNREADABLE  # else all was looked at when it began to be that
        )

    def _look_around(self, *, since: datetime | None) -> None:
        """Have all invoices of ours that changed since then tell what people put on them."""
        rows = self.client.invoices(if_modified_since=since, where=ALL_SALES)
        for chunk in lots(row for row in rows if not is_gone(row)):
            ours = pushing.on_record(self.ledger, [_id(row) for row in chunk]) - self.looked_into
            self._tell_added([row for row in chunk if _id(row) in ours])

    def _look_at_what_counts(self) -> None:
        """Read the invoices of which lines count since a release that no look has seen there since."""
        for row in self._as_far_as_shown(sorted({one.xero_id for one in self.counted})):
            if is_gone(row):
                self.seen[_id(row)] = None
            elif has_its_lines(row):
                lines = row.get("LineItems") or ()
                self.seen[_id(row)] = {key for line in lines for key in worklogs_in(line.get("Description"))}

    def _as_far_as_shown(self, ids: Sequence[str]) -> list[Row]:
        """Return these invoices, but for those that Xero cannot show: the next look asks for them again."""
        try:
            return list(self.client.invoices(ids=ids))
        except (Unavailable, Missing, Rejected):
            if len(ids) == 1:
                return []
            middle = len(ids) // 2
            return [*self._as_far_as_shown(ids[:middle]), *self._as_far_as_shown(ids[middle:])]

    def _tell(self, rows: Sequence[Row], *, is_ours: bool = False) -> None:
        """Tell of lines on invoices that are not on record."""
        told = [line for row in rows for line in told_by(row, is_ours=is_ours)]
        self.told += told
        self.recalled += _recalled(self.ledger, rows, told)

    def _tell_added(self, rows: Sequence[Row]) -> None:
        """Tell of lines on invoices of ours that this ledger has not sent with them."""
        sent = moved_lines.texts_sent(self.ledger, [_id(row) for row in rows])
        told = [line for row in rows for line in told_on_ours(row, sent.get(_id(row), ()))]
        own = {(one, worklog_of(text)) for one, texts in sent.items() for text in texts}
        self.told += [line for line in told if (line.invoice_id, (line.module, line.worklog_id)) not in own]
        self.recalled += _recalled(self.ledger, rows, told)
        self.looked_into.update(map(_id, rows))

    def _collect(self, nameless: Iterable[Invoice], rows: Sequence[Row]) -> None:
        """Collect what may be one of these invoices, by its marker.

        A copy has that too; so what has another number only counts when all are looked at.
        """
        for invoice in nameless:
            self.nameless[invoice.id] += [
                row
                for row in rows
                if invoice.marker in markers_in(row.get("Reference"))
                and (self.since is None or _has_number_of(invoice, row))
                and not is_of_an_earlier_life(self.ledger, invoice.planned_at, row)
            ]

    def _with_lines(self, rows: Sequence[Row]) -> Iterable[Row]:
        if self.has_lines:
            return rows
        ids = [_id(row) for row in rows]
        if len(ids) > _BY_ID:
            return _all_of(ids, self.client.invoices(if_modified_since=self.since, where=ALL_SALES))
        return _all_of(ids, self.client.invoices(ids=ids)) if ids else ()


def _all_of(ids: Iterable[str], rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the invoices with these ids; what does not come may not count as read.

    Raises:
        LedgerError: one did not come.
    """
    missing = set(ids)
    for row in rows:
        if _id(row) in missing:
            missing.remove(_id(row))
            yield row
    if missing:
        raise LedgerError(
            f"Xero lists {len(missing)} invoice(s) but does not show them when asked for. Nothing was "
            "billed, because worklogs may be on them; run again"
        )


def _id(row: Row) -> str:
    return str(row.get("InvoiceID"))


def _made_by_us(ledger: Ledger, rows: Sequence[Row], number_prefix: str) -> Iterator[Row]:
    """Yield those of these invoices that were made here, or by another ledger, as far as no line tells."""
    ours = moved_lines.on_record_ever(ledger, [_id(row) for row in rows])
    for row in rows:
        is_numbered = is_own_number(number_prefix, str(row.get("InvoiceNumber")))
        if is_numbered or markers_in(row.get("Reference")) or _id(row) in ours:
            yield row


def _refresh(ledger: Ledger, fence: Fence, rows: Sequence[Row], run_id: int | None) -> int:
    by_id = {_id(row): row for row in rows}
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


def _nameless_at_home(ledger: Ledger) -> Sequence[Invoice]:
    """Return invoices of the present organisation, from before, that count as billed and have no id.

    Their answer had not come when the connection left, and a person said that they were made.
    """
    with ledger.read() as session:
        here = ledger.connection(session).organisation_id
        if here is None:
            return ()
        return session.scalars(
            select(Invoice).where(stands_there(ledger, here), Invoice.xero_id.is_(None)).order_by(Invoice.id)
        ).all()


def _name(ledger: Ledger, fence: Fence, invoice: Invoice, rows: Sequence[Row], run_id: int | None) -> None:
    """Give such an invoice its id, so that looks learn what becomes of it.

    Of several one that stands comes first, as long as it does the worklogs are billed; then the one that
    nobody gave another number.
    """

    def unlikeness(row: Row) -> tuple[bool, bool, str]:
        return is_gone(row), not _has_number_of(invoice, row), _id(row)

    row = min(rows, key=unlikeness)
    status = str(row.get("Status", ""))
    with ledger.write(fence) as session:
        session.execute(
            update(Invoice)
            .where(Invoice.id == invoice.id)
            .values(
                xero_id=_id(row), xero_status=status, xero_total=row.get("Total"), state=live_state(status)
            )
        )
        told = {"xero_id": _id(row), "status": status}
        record(session, ledger, [Change("invoice", invoice.id, live_state(status), told)], run_id=run_id)


def _has_number_of(invoice: Invoice, row: Row) -> bool:
    return str(row.get("InvoiceNumber")).casefold() == invoice.number.casefold()
