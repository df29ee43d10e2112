"""Storing delivered lines: every worklog gets a place before the bookmark passes it.

A line whose content is as it was costs no write. A worklog that is planned or invoiced keeps its
billed terms; if its content differs from what was billed, that is recorded and never sent again. Several
runs may share a ledger: an older copy that is stored late replaces no newer one.

A worklog that was rebuilt from its invoice in Xero takes over what Xero did not know when it is delivered
again. What has its id and another module is held while the rebuilt one was not met: it may be that very
worklog, moved.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import String, Text, bindparam, case, insert, select, update

from msp_xero.errors import LedgerError
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.bookmarks import moment
from msp_xero.ledger.models import WORKLOG_MODULES, Invoice, InvoiceLine, Worklog
from msp_xero.ledger.types import encode_exact
from msp_xero.lots import lots
from msp_xero.reasons import explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime
    from decimal import Decimal

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

BILLED_FIELDS = (
    "minutes",
    "account_id",
    "type_name",
    "technician_id",
    "description",
    "start_time",
    "total_cost",
    "is_billable",
)
"""Members of a worklog record whose later change is worth a person's attention."""

_OF_THE_TICKET = ("parent_updated_time", "parent_changed_time", "parent_status")
"""Members of a worklog record that say nothing about what is billed."""

_TICKET = ("parent_module", "parent_id")
_LONGEST_TIME = 40
_SETTLED = ("planned", "invoiced")
_IN_DOUBT = "ID_ON_INVOICE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One worklog with its billable terms, as a target stores it.

    ``quantity`` is in hours with 4 decimals; ``unit_price`` and ``amount`` are in the invoice's
    currency without tax, None meaning "the item's price". ``source`` is the worklog record.
    """

    worklog_id: str
    module: str
    decision: str
    source: dict[str, Any]
    minutes: int = 0
    reason_code: str | None = None
    reason: str | None = None
    parent_id: str | None = None
    parent_display_id: str | None = None
    parent_title: str | None = None
    account_id: str | None = None
    account_name: str | None = None
    technician_id: str | None = None
    technician_name: str | None = None
    type_id: str | None = None
    type_name: str | None = None
    work_date: date | None = None
    created_time: str | None = None
    is_billable: bool | None = None
    description: str | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None

    def terms(self) -> dict[str, Any]:
        """Return the stored columns that this line decides."""
        return {name: getattr(self, name) for name in _TERMS}

    def digest(self) -> str:
        """Return a digest of everything that was delivered."""
        return hashlib.sha256(encode_exact(self.terms()).encode()).hexdigest()


_TERMS = tuple(Line.__slots__)


@dataclass(slots=True)
class Staged:
    """What staging one batch of lines did, in worklogs."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    changed_after_billing: int = 0
    shared_ids: int = 0

    def add(self, other: Staged) -> None:
        """Add the counts of another batch."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class _Identity(NamedTuple):
    """What of a worklog, besides its id, tells which one it is."""

    module: str
    created_time: str | None
    technician_id: str | None


@dataclass(slots=True)
class _Known:
    """What the ledger knows of a worklog, as far as staging needs it."""

    id: int
    worklog_id: str
    ordinal: int
    module: str
    created_time: str | None
    technician_id: str | None
    state: str
    reason_code: str | None
    line_digest: str
    changed: dict[str, Any] | None
    newest: dict[str, Any] | None = None
    rebuilt: bool = False
    told_apart: bool = False
    pending: dict[str, Any] | None = None
    """The insert of this very batch that the row is still to come from."""

    def identities(self) -> Iterator[_Identity]:
        """Yield what tells which worklog it is: as it is stored, and as its newest copy tells."""
        yield _Identity(self.module, self.created_time, self.technician_id)
        if self.newest:
            technician = self.newest.get("technician_id")
            yield _Identity(
                str(self.newest.get("module")),
                moment_of_creation(self.newest),
                None if technician is None else str(technician),
            )


@dataclass(slots=True)
class _Work:
    """The writes that one batch needs."""

    inserts: list[dict[str, Any]] = field(default_factory=list)
    updates: dict[int, dict[str, Any]] = field(default_factory=dict)
    recognised: list[dict[str, Any]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def update(self, row_id: int, values: dict[str, Any]) -> None:
        """Write to a row; a later copy of a worklog in the same batch adds to an earlier one's."""
        self.updates.setdefault(row_id, {"row_id": row_id}).update(values)


def moment_of_creation(source: Mapping[str, Any]) -> str | None:
    """Return when a worklog was entered; a dialect that does not tell says when the work began, as good."""
    told = source.get("created_time") or source.get("start_time")
    return str(told).replace("\x00", "")[:_LONGEST_TIME] if told else None


def stage_lines(
    ledger: Ledger,
    lines: Sequence[Line],
    *,
    settle_reasons: frozenset[str],
    from_ledger: bool = False,
    run_id: int | None = None,
) -> Staged:
    """Store a batch of lines in one transaction.

    Args:
        ledger: the open ledger.
        lines: delivered lines in order; of two copies of a worklog the later one wins.
        settle_reasons: codes of holds that only a settle can lift; staging leaves such a hold as it
            is while the line stays billable.
        from_ledger: True when the lines were made anew of what waits in this ledger: one that was stored
            anew or planned since stays as it is.
        run_id: the run that delivers, for the audit log.

    Returns:
        Counts of what happened.

    Raises:
        LedgerError: ``from_ledger``, and this ledger knows nothing of such a worklog.
    """
    latest: dict[tuple[str | None, ...], Line] = {}
    for line in lines:
        key = (line.module, line.worklog_id, line.created_time, line.technician_id)
        # Taken out first: the order is that of the last copies, so that the newest is handled last.
        latest.pop(key, None)
        latest[key] = line
    with ledger.write() as session:
        staged = _stage(session, ledger, list(latest.values()), settle_reasons, from_ledger, run_id)
    staged.unchanged += len(lines) - len(latest)
    return staged


def _stage(  # noqa: PLR0913, PLR0917 - one transaction
    session: Session,
    ledger: Ledger,
    lines: list[Line],
    settle_reasons: frozenset[str],
    from_ledger: bool,  # noqa: FBT001
    run_id: int | None,
) -> Staged:
    staged, work = Staged(), _Work()
    now = ledger.clock.now()
    known = _load_known(session, ledger, {line.worklog_id for line in lines})
    digests = [line.digest() for line in lines]
    sources = _load_sources(session, known, lines, digests)
    for delivered, as_delivered in zip(lines, digests, strict=True):
        same_id = known.setdefault(delivered.worklog_id, [])
        if from_ledger:
            row = _that_waits(same_id, delivered, as_delivered, sources)
        else:
            row = same_worklog(same_id, delivered)
        if (row is None and from_ledger) or (row and _is_older(delivered, row, sources, now)):
            staged.unchanged += 1
            continue
        line = _held_if_in_doubt(delivered, row, same_id)
        digest = as_delivered if line is delivered else line.digest()
        if row is None:
            ordinal = 1 + max((other.ordinal for other in same_id), default=-1)
            staged.shared_ids += ordinal > 0
            same_id.append(_insert(work, ledger, line, ordinal, now))
            staged.new += 1
        elif row.pending is not None:
            row.pending.update(_columns(ledger, line, row.ordinal, now))
            row.module, row.created_time = line.module, line.created_time
            row.technician_id = line.technician_id
            staged.unchanged += 1
        elif row.rebuilt and row.state in _SETTLED:
            _recognise(work, row, line, digest, now)
            sources[row.id] = line.source
            staged.updated += 1
        elif row.state in _SETTLED:
            _compare_with_billed(work, staged, row, line, digest, sources, now)
        elif row.line_digest == digest:
            staged.unchanged += 1
        else:
            _update(work, row, line, digest, settle_reasons, now)
            sources[row.id] = line.source
            staged.updated += 1
    _write(session, ledger, work, run_id)
    return staged


def _that_waits(
    same_id: list[_Known], line: Line, digest: str, sources: Mapping[int, dict[str, Any]]
) -> _Known | None:
    """Find what a line of this ledger's own was made of; None when that was stored anew or planned since.

    Raises:
        LedgerError: it was made of another ledger, or of another connection's worklogs.
    """
    if not same_id:
        raise LedgerError(
            f"worklog {line.worklog_id}, which the mapper took from what waits, is not in this ledger: the "
            "mapper and target-xero-invoices have to have the same ledger_url and the same connection. "
            "Nothing was billed"
        )
    waiting = [row for row in same_id if row.state not in _SETTLED and row.pending is None]
    made_of = encode_exact(line.source)
    return next(
        (row for row in waiting if row.line_digest == digest or encode_exact(sources.get(row.id)) == made_of),
        None,
    )


def _is_older(line: Line, row: _Known, sources: Mapping[int, dict[str, Any]], now: datetime) -> bool:
    """Tell whether a line was read of its ticket before what is stored: another run was faster.

    Only a time of change tells: that a ticket was closed is taken back when it is opened again. A stored
    moment in the future is not believed: it must not hide what comes until then.
    """
    stored = row.newest or (row.pending["source"] if row.pending else sources.get(row.id))
    if not stored or any(stored.get(name) != line.source.get(name) for name in _TICKET):
        return False
    read, known = (moment(one.get("parent_changed_time")) for one in (line.source, stored))
    return read is not None and known is not None and read < known <= now


def same_worklog(candidates: Iterable[_Known], line: Line) -> _Known | None:
    """Find the stored worklog that a delivered line is a copy of, among those of its id.

    Equal id, creation time and technician is the same worklog, wherever it was moved to. Equal id
    within one module is the same worklog, edited. Equal id and creation time alone is the same one,
    moved and given to another technician: no two are created in the same moment under one id. All
    else are two worklogs that share an id, also two of different modules without a creation time:
    nothing says that they are one, and to take them for one would lose one.

    Where several fit, the best evidence counts, and of equal ones what is billed already.
    """
    fitting = [row for row in candidates if _evidence(row, line)]
    return max(fitting, key=lambda row: (_evidence(row, line), row.state in _SETTLED), default=None)


def _evidence(row: _Known, line: Line) -> int:
    """Return how much speaks for a line of the same id being this worklog; 0: nothing does."""
    stored, *moved = (_evidence_of(one, row, line) for one in row.identities())
    # Where it was moved to there may be another one of its id, made at another moment.
    same_moment = 3 if line.source.get("created_time") is not None else 1
    return max(stored, *(evidence for evidence in moved if evidence >= same_moment), 0)


def _evidence_of(known: _Identity, row: _Known, line: Line) -> int:
    in_module = known.module == line.module
    in_moment = known.created_time == line.created_time and (in_module or line.created_time is not None)
    if in_moment and (in_module or known.technician_id == line.technician_id):
        return 5 + (known.technician_id == line.technician_id)
    if in_module and known.created_time is None and row.state in _SETTLED:
        return 4  # rebuilt and not met since: its creation time is not known
    if in_moment and line.source.get("created_time") is not None:
        return 3  # one of the same module, created at another moment or not known since when, is another one
    # Where no creation time is told the start of the work stands in for it, and that is edited.
    return 2 if in_module else int(in_moment)


def _held_if_in_doubt(line: Line, row: _Known | None, same_id: Iterable[_Known]) -> Line:
    """Hold a line that may be a billed worklog of another module, moved since the ledger was rebuilt.

    Once the billed one is delivered in its own module, or a person has told the two apart, this is another
    worklog: the next delivery finds no doubt any more, and every run delivers what is not billed.
    """
    is_known = row is not None and (row.told_apart or row.state in _SETTLED)
    if line.decision != "bill" or is_known:
        return line
    if not any(other is not row and _may_be_billed_as(other, line) for other in same_id):
        return line
    return replace(line, decision="hold", reason_code=_IN_DOUBT, reason=explain(_IN_DOUBT).sentence)


def _may_be_billed_as(other: _Known, line: Line) -> bool:
    """Tell whether a line may be a worklog that is billed, or excluded, under another module."""
    if other.rebuilt:
        return other.state not in ("open", "held")
    same_moment = line.created_time is not None and other.created_time == line.created_time
    return same_moment and other.state in _SETTLED


def _load_known(session: Session, ledger: Ledger, ids: set[str]) -> dict[str, list[_Known]]:
    known: dict[str, list[_Known]] = {}
    columns = [getattr(Worklog, name) for name in _Known.__slots__ if name != "pending"]
    # Ascending id is the order of arrival, so that matching does not depend on the database.
    for row in session.execute(
        select(*columns)
        .where(Worklog.connection_id == ledger.connection_id, Worklog.worklog_id.in_(ids))
        .order_by(Worklog.id)
    ):
        known.setdefault(row.worklog_id, []).append(_Known(*row))
    return known


def _load_sources(
    session: Session, known: Mapping[str, list[_Known]], lines: Sequence[Line], digests: Sequence[str]
) -> dict[int, dict[str, Any]]:
    """Return the stored worklog records of the rows that a line may change."""
    rows = [
        row.id
        for line, digest in zip(lines, digests, strict=True)
        for row in known.get(line.worklog_id, ())
        if row.line_digest != digest
    ]
    found: dict[int, dict[str, Any]] = {}
    for some in lots(rows):
        query = select(Worklog.id, Worklog.source).where(Worklog.id.in_(some))
        found.update((row_id, source) for row_id, source in session.execute(query))
    return found


def _place(line: Line) -> dict[str, Any]:
    """Say where a line belongs by the mapper's decision alone."""
    state = {"bill": "open", "hold": "held", "exclude": "excluded"}[line.decision]
    billable = line.decision == "bill"
    return {
        "state": state,
        "reason_code": None if billable else line.reason_code,
        "reason": None if billable else line.reason,
        "excluded_by": "rule" if state == "excluded" else None,
    }


def _columns(ledger: Ledger, line: Line, ordinal: int, now: datetime) -> dict[str, Any]:
    """Return all columns of a new row."""
    terms = line.terms()
    return {
        **{name: value for name, value in terms.items() if name not in ("reason_code", "reason")},
        **_place(line),
        "connection_id": ledger.connection_id,
        "ordinal": ordinal,
        "line_digest": line.digest(),
        "money": line.amount,
        "revision": 1,
        "first_seen_at": now,
        "last_seen_at": now,
    }


def _insert(work: _Work, ledger: Ledger, line: Line, ordinal: int, now: datetime) -> _Known:
    columns = _columns(ledger, line, ordinal, now)
    work.inserts.append(columns)
    return _Known(
        pending=work.inserts[-1],
        id=0,
        worklog_id=line.worklog_id,
        ordinal=ordinal,
        module=line.module,
        created_time=line.created_time,
        technician_id=line.technician_id,
        state=columns["state"],
        reason_code=columns["reason_code"],
        line_digest=columns["line_digest"],
        changed=None,
    )


def _update(  # noqa: PLR0913, PLR0917 - one step of _stage
    work: _Work, row: _Known, line: Line, digest: str, settle_reasons: frozenset[str], now: datetime
) -> None:
    place = _place(line)
    terms = line.terms()
    values = {name: value for name, value in terms.items() if name not in ("reason_code", "reason")}
    kept_by_person = row.reason_code == "EXCLUDED_BY_PERSON"
    kept_by_settle = line.decision == "bill" and row.state == "held" and row.reason_code in settle_reasons
    move = not (kept_by_person or kept_by_settle)
    work.update(
        row.id,
        {
            **values,
            **(place if move else {}),
            "line_digest": digest,
            "money": line.amount,
            "last_seen_at": now,
            **({"rebuilt": False} if row.rebuilt else {}),
        },
    )
    if move and (place["state"], place["reason_code"]) != (row.state, row.reason_code):
        work.changes.append(
            Change(
                "worklog", row.id, place["state"], {"from": row.state, "reason_code": place["reason_code"]}
            )
        )
    # What follows in this batch meets the row as it will be, or it would take another worklog for it.
    row.module, row.created_time, row.technician_id = line.module, line.created_time, line.technician_id
    row.line_digest, row.rebuilt = digest, False
    if move:
        row.state, row.reason_code = place["state"], place["reason_code"]


def _recognise(work: _Work, row: _Known, line: Line, digest: str, now: datetime) -> None:
    """Take over what Xero did not know of a billed worklog. It is not compared: nothing tells how it was.

    From now on it is compared with this copy. One that would not be billed today is judged anew if its
    invoice is ever released.
    """
    billable = line.decision == "bill"
    terms = {name: value for name, value in line.terms().items() if name not in ("reason_code", "reason")}
    digest = digest if billable else ""
    work.update(
        row.id,
        {
            **terms,
            "decision": "bill" if billable else "hold",
            "line_digest": digest,
            "rebuilt": False,
            "last_seen_at": now,
        },
    )
    work.recognised.append(
        {"row_id": row.id, "time": line.minutes, "account": line.account_id or "", "name": line.account_name}
    )
    work.changes.append(Change("worklog", row.id, "recognised"))
    row.created_time, row.technician_id = line.created_time, line.technician_id
    row.line_digest, row.rebuilt = digest, False


def _compare_with_billed(  # noqa: PLR0913, PLR0917 - one step of _stage
    work: _Work,
    staged: Staged,
    row: _Known,
    line: Line,
    digest: str,
    sources: Mapping[int, dict[str, Any]],
    now: datetime,
) -> None:
    """Leave a billed worklog as billed, and say what differs from it now.

    Its newest copy is kept as soon as anything of it differs: should the invoice be released, that copy
    counts, and it tells where a worklog that was moved is now.
    """
    changed, newest = None, None
    if row.line_digest != digest:
        billed = sources.get(row.id) or {}
        changed = differences(billed, line.source) or None
        # What another tap's record means nobody here knows: it could not be made anew of its newest copy.
        differs = line.module in WORKLOG_MODULES and _of_the_worklog(billed) != _of_the_worklog(line.source)
        newest = line.source if changed or differs else None
    if newest != row.newest:
        work.update(row.id, {"newest": newest})
        row.newest = newest
    if changed == row.changed:
        staged.unchanged += 1
        return
    work.update(row.id, {"changed": changed, "changed_at": now if changed else None, "last_seen_at": now})
    row.changed = changed
    action = "changed_after_billing" if changed else "as_billed_again"
    work.changes.append(Change("worklog", row.id, action, {"fields": sorted(changed or {})}))
    staged.changed_after_billing += 1


def _of_the_worklog(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in _OF_THE_TICKET}


def differences(billed: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{field: [as billed, as it is now]}`` for the members whose change matters."""
    return {
        name: [billed.get(name), source.get(name)]
        for name in BILLED_FIELDS
        if billed.get(name) != source.get(name)
    }


def _write(session: Session, ledger: Ledger, work: _Work, run_id: int | None) -> None:
    if work.inserts:
        ids = session.scalars(
            insert(Worklog).returning(Worklog.id, sort_by_parameter_order=True), work.inserts
        ).all()
        work.changes += [
            Change("worklog", row_id, "delivered", {"state": row["state"], "reason_code": row["reason_code"]})
            for row_id, row in zip(ids, work.inserts, strict=True)
        ]
    by_columns: dict[frozenset[str], list[dict[str, Any]]] = {}
    for values in work.updates.values():
        by_columns.setdefault(frozenset(values), []).append(values)
    for columns, rows in by_columns.items():
        names = sorted(columns - {"row_id"})
        statement = (
            update(Worklog)
            .where(Worklog.id == bindparam("row_id"))
            .values({name: bindparam(f"new_{name}", type_=Worklog.__table__.c[name].type) for name in names})
        )
        session.connection().execute(
            statement, [{"row_id": row["row_id"], **{f"new_{n}": row[n] for n in names}} for row in rows]
        )
    _complete_invoices(session, work.recognised)
    record(session, ledger, work.changes, run_id=run_id)


def _complete_invoices(session: Session, recognised: list[dict[str, Any]]) -> None:
    """Add to rebuilt invoices what their worklogs tell: the time, and the account they belong to."""
    if not recognised:
        return
    billed_on = select(InvoiceLine.invoice_id).where(
        InvoiceLine.worklog_row == bindparam("row_id"), InvoiceLine.live
    )
    is_new = Invoice.account_id == ""
    statement = (
        update(Invoice)
        .where(Invoice.id == billed_on.scalar_subquery())
        .values(
            minutes=Invoice.minutes + bindparam("time"),
            account_id=case((is_new, bindparam("account", type_=String)), else_=Invoice.account_id),
            account_name=case((is_new, bindparam("name", type_=Text)), else_=Invoice.account_name),
        )
    )
    session.connection().execute(statement, recognised)
