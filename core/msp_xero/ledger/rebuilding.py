"""What rebuilding an empty ledger writes: invoices as Xero has them, and the worklogs that are on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sqlalchemy import bindparam, exists, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from msp_xero.errors import LedgerError
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.decisions import BY_PERSON, GONE_IN_XERO
from msp_xero.ledger.models import Invoice, InvoiceLine, Worklog
from msp_xero.ledger.planning import account_links
from msp_xero.ledger.survey import generations_in
from msp_xero.reasons import explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

IN_DOUBT = "ID_ON_INVOICE"
_BILLED = ("planned", "invoiced")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLine:
    """One line of an invoice in Xero that names a worklog. ``position`` is its place there, from 1."""

    module: str
    worklog_id: str
    position: int
    description: str
    text: str | None
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    tax: Decimal
    item_code: str
    account_code: str
    tax_type: str


_LINE_COLUMNS = tuple(name for name in FoundLine.__slots__ if name not in ("module", "worklog_id", "text"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundInvoice:
    """One invoice in Xero: the columns of its row, but for what only the ledger knows, and its lines."""

    columns: dict[str, Any]
    lines: list[FoundLine]

    @property
    def number(self) -> str:
        """Its number in the ledger."""
        return str(self.columns["number"])

    @property
    def is_gone(self) -> bool:
        """Whether it was voided or deleted."""
        return self.columns["state"] in GONE_IN_XERO


@dataclass(slots=True)
class Taken:
    """What taking over some invoices did.

    ``worklogs`` count as billed now, of which ``recognised`` were in the ledger already, delivered but on
    no invoice. ``on_gone`` counts those whose only invoice was voided or deleted, by its number; what a
    person has excluded stays so then. ``twice`` are labels of worklogs on two live invoices, with the number
    of the one that does not count.
    """

    worklogs: int = 0
    recognised: int = 0
    on_gone: dict[str, int] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Row:
    """A worklog of the ledger, stored or still to be inserted (``id`` 0).

    ``is_on_gone``: it counts as billed by an invoice of an organisation before that was voided or deleted.
    """

    id: int
    worklog_id: str
    module: str
    ordinal: int
    state: str
    reason_code: str | None = None
    minutes: int = 0
    account_id: str | None = None
    account_name: str | None = None
    money: Decimal | None = None
    is_on_gone: bool = False
    insert: dict[str, Any] | None = None


_ROW_COLUMNS = tuple(name for name in _Row.__slots__ if name not in ("is_on_gone", "insert"))


_Placed: TypeAlias = "Sequence[tuple[FoundInvoice, list[tuple[FoundLine, _Row, bool]]]]"
"""Invoices with their lines: each line's worklog, and whether the line is live."""


def refuse_filled(session: Session, ledger: Ledger) -> None:
    """Raise LedgerError unless the ledger has billed nothing yet: rebuilding would mix two histories.

    What an earlier organisation was billed is no part of it: each generation can be rebuilt.
    """
    here = Worklog.connection_id == ledger.connection_id
    earlier = exists().where(
        InvoiceLine.worklog_row == Worklog.id,
        InvoiceLine.live.is_(True),
        InvoiceLine.invoice_id == Invoice.id,
        Invoice.generation != ledger.generation,
    )
    billed = session.scalar(select(func.count()).where(here, Worklog.state.in_(_BILLED), ~earlier)) or 0
    made = (Invoice.connection_id == ledger.connection_id, Invoice.generation == ledger.generation)
    invoices = session.scalar(select(func.count()).where(*made)) or 0
    if billed or invoices:
        raise LedgerError(
            f"this ledger is not empty: it has {invoices} invoice(s) and {billed} billed worklog(s). Only an "
            "empty one can be rebuilt. `msp-xero reconcile` learns what changed in Xero; to start over, "
            "move the ledger away (keep it) and rebuild a new one"
        )


class OnRecord(NamedTuple):
    """What tells that the ledger has an invoice of the present organisation from an earlier time.

    ``markers`` are of those whose id was never learned, because a person let them count as billed.
    """

    ids: set[str]
    markers: set[str]

    def has(self, xero_id: str, markers: Iterable[str]) -> bool:
        """Whether an invoice in Xero is one of them."""
        return xero_id in self.ids or not self.markers.isdisjoint(markers)


def on_record(session: Session, ledger: Ledger) -> OnRecord:
    """Return what the connection has of the present organisation, if it came back to it."""
    here = ledger.connection(session).organisation_id
    at_home = generations_in(ledger, here) if here else ()
    known = session.execute(
        select(Invoice.xero_id, Invoice.marker).where(
            Invoice.connection_id == ledger.connection_id,
            Invoice.generation.in_(at_home),
            Invoice.state != "rejected",
        )
    ).all()
    return OnRecord(
        {row.xero_id for row in known if row.xero_id is not None},
        {row.marker for row in known if row.xero_id is None},
    )


def numbers_taken(session: Session, ledger: Ledger) -> set[str]:
    """Return the numbers of invoices that the ledger has of earlier organisations, in lower case."""
    numbers = session.scalars(select(Invoice.number).where(Invoice.connection_id == ledger.connection_id))
    return {number.casefold() for number in numbers}


class Rebuilding:
    """The one transaction of a rebuild. Of two invoices with one worklog the first taken over counts."""

    def __init__(self, session: Session, ledger: Ledger, *, run_id: int | None) -> None:
        refuse_filled(session, ledger)
        self._session = session
        self._ledger = ledger
        self._run_id = run_id
        self._now = ledger.clock.now()
        self._accounts = {
            link.contact_id: (link.account_id, link.account_name)
            for link in account_links(session, ledger).values()
        }

    def take_over(self, invoices: Sequence[FoundInvoice]) -> Taken:
        """Store some invoices with their lines; their worklogs count as invoiced from now on."""
        taken = Taken()
        known = self._known({line.worklog_id for invoice in invoices for line in invoice.lines})
        placed: list[tuple[FoundInvoice, list[tuple[FoundLine, _Row, bool]]]] = []
        for invoice in invoices:
            lines = []
            for line in invoice.lines:
                row = self._row_of(known, line, invoice)
                lines.append((line, row, self._claim(row, line, invoice, taken)))
            placed.append((invoice, lines))
        claimed = [row for _, lines in placed for _, row, live in lines if live]
        self._store_worklogs(claimed)
        ids = self._store_invoices(placed)
        self._store_lines(ids, placed)
        self._record(ids, placed)
        return taken

    def hold_doubtful(self) -> int:
        """Hold what may be a billed worklog under another module; return how many.

        Nothing tells whether it is that worklog, moved, or another one with the same id.
        """
        billed = aliased(Worklog)
        same_id = exists().where(
            billed.connection_id == Worklog.connection_id,
            billed.worklog_id == Worklog.worklog_id,
            billed.rebuilt,
        )
        waiting = or_(Worklog.state.in_(("open", "held")), Worklog.reason_code == BY_PERSON)
        rows = self._session.execute(
            select(Worklog.id, Worklog.state).where(
                Worklog.connection_id == self._ledger.connection_id,
                Worklog.decision == "bill",
                waiting,
                same_id,
            )
        ).all()
        # Without its digest the line is judged anew when it is delivered again.
        unsure = {"decision": "hold", "line_digest": ""}
        held = {**unsure, "state": "held", "reason_code": IN_DOUBT, "reason": explain(IN_DOUBT).sentence}
        changes = []
        for row in rows:
            by_person = row.state == "excluded"
            self._session.execute(
                update(Worklog).where(Worklog.id == row.id).values(unsure if by_person else held)
            )
            if not by_person:
                changes.append(Change("worklog", row.id, "held", {"reason_code": IN_DOUBT}))
        record(self._session, self._ledger, changes, run_id=self._run_id)
        return len(changes)

    def _known(self, ids: set[str]) -> dict[str, list[_Row]]:
        known: dict[str, list[_Row]] = {}
        is_on_gone = exists().where(
            InvoiceLine.worklog_row == Worklog.id,
            InvoiceLine.live.is_(True),
            InvoiceLine.invoice_id == Invoice.id,
            Invoice.state.in_(GONE_IN_XERO),
        )
        for values in self._session.execute(
            select(*(getattr(Worklog, name) for name in _ROW_COLUMNS), is_on_gone)
            .where(Worklog.connection_id == self._ledger.connection_id, Worklog.worklog_id.in_(ids))
            .order_by(Worklog.id)
        ):
            known.setdefault(values.worklog_id, []).append(_Row(*values))
        return known

    def _row_of(self, known: dict[str, list[_Row]], line: FoundLine, invoice: FoundInvoice) -> _Row:
        """Return the worklog that a line names: its module and id are all that Xero knows of it."""
        same_id = known.setdefault(line.worklog_id, [])
        for row in same_id:
            if row.module == line.module:
                return row
        ordinal = 1 + max((row.ordinal for row in same_id), default=-1)
        row = _Row(id=0, worklog_id=line.worklog_id, module=line.module, ordinal=ordinal, state="new")
        account_id, account_name = self._accounts.get(invoice.columns["contact_id"], (None, None))
        row.insert = {
            "connection_id": self._ledger.connection_id,
            "worklog_id": line.worklog_id,
            "ordinal": ordinal,
            "module": line.module,
            "account_id": account_id,
            "account_name": account_name,
            # Released before it is delivered again, it waits: its terms are not known.
            "decision": "hold",
            "description": line.text,
            "source": {},
            "line_digest": "",
            "state": "invoiced",
            "money": line.amount,
            "rebuilt": True,
            "first_seen_at": self._now,
            "last_seen_at": self._now,
        }
        same_id.append(row)
        return row

    def _claim(self, row: _Row, line: FoundLine, invoice: FoundInvoice, taken: Taken) -> bool:
        """Tell whether the worklog counts as billed by this line: by the first one that names it."""
        if row.state == "invoiced":
            if not (invoice.is_gone or row.is_on_gone):
                taken.twice.append(f"{line.module} {line.worklog_id} ({invoice.number})")
            return False
        if invoice.is_gone and row.reason_code == BY_PERSON:
            return False  # nothing bills it, and it would go out once that invoice is released
        taken.worklogs += 1
        taken.recognised += row.state != "new"
        if invoice.is_gone:
            taken.on_gone[invoice.number] = taken.on_gone.get(invoice.number, 0) + 1
        row.state, row.money = "invoiced", line.amount
        return True

    def _store_worklogs(self, claimed: list[_Row]) -> None:
        new = [(row, row.insert) for row in claimed if row.insert is not None]
        if new:
            ids = self._session.scalars(
                insert(Worklog).returning(Worklog.id, sort_by_parameter_order=True),
                [columns for _, columns in new],
            ).all()
            for (row, _), row_id in zip(new, ids, strict=True):
                row.id = row_id
        recognised = [row for row in claimed if row.insert is None]
        if recognised:
            self._session.connection().execute(
                update(Worklog)
                .where(Worklog.id == bindparam("row_id"))
                .values(
                    state="invoiced",
                    reason_code=None,
                    reason=None,
                    excluded_by=None,
                    money=bindparam("billed", type_=Worklog.__table__.c.money.type),
                ),
                [{"row_id": row.id, "billed": row.money} for row in recognised],
            )

    def _store_invoices(self, placed: _Placed) -> Sequence[int]:
        rows = []
        for invoice, lines in placed:
            of_contact = self._accounts.get(invoice.columns["contact_id"])
            told = next(((row.account_id, row.account_name) for _, row, _ in lines if row.account_id), None)
            account_id, account_name = of_contact or told or (None, None)
            rows.append(
                {
                    **invoice.columns,
                    "connection_id": self._ledger.connection_id,
                    "generation": self._ledger.generation,
                    "account_id": account_id or "",
                    "account_name": account_name,
                    "line_count": len(lines),
                    "minutes": sum(row.minutes for _, row, live in lines if live),
                    "planned_at": self._now,
                    "settled_at": self._now,
                }
            )
        return self._session.scalars(
            insert(Invoice).returning(Invoice.id, sort_by_parameter_order=True), rows
        ).all()

    def _store_lines(
        self,
        ids: Sequence[int],
        placed: _Placed,
    ) -> None:
        rows = [
            {
                **{name: getattr(line, name) for name in _LINE_COLUMNS},
                "invoice_id": invoice_id,
                "worklog_row": row.id,
                "revision": 1,
                "live": live,
            }
            for invoice_id, (_, lines) in zip(ids, placed, strict=True)
            for line, row, live in lines
        ]
        if rows:
            self._session.execute(insert(InvoiceLine), rows)

    def _record(
        self,
        ids: Sequence[int],
        placed: _Placed,
    ) -> None:
        changes = []
        for invoice_id, (invoice, lines) in zip(ids, placed, strict=True):
            told = {name: invoice.columns[name] for name in ("number", "state", "xero_id")}
            changes.append(Change("invoice", invoice_id, "rebuilt", told))
            billed = {"invoice": invoice_id, "state": "invoiced"}
            changes += [Change("worklog", row.id, "rebuilt", billed) for _, row, live in lines if live]
        record(self._session, self._ledger, changes, run_id=self._run_id)
