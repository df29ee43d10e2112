"""Storing delivered lines: every worklog gets a place before the bookmark passes it.

A line whose content is as it was costs no write. A worklog that is planned or invoiced keeps its
billed terms; if its content differs from what was billed, that is recorded and never sent again. If it
never left, also other terms by the mapper's rules of now are recorded: the next settle takes it back. Several
runs may share a ledger: an older copy that is stored late replaces no newer one.

A worklog that was rebuilt from its invoice in Xero takes over what Xero did not know when it is delivered
again. What has its id and another module is held while the rebuilt one was not met: it may be that very
worklog, moved.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, Text, bindparam, case, insert, select, update

from msp_xero.ledger.after_billing import BILLED_TERMS, differences, differing_terms, of_the_worklog
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.identity import SETTLED, Known, held_if_in_doubt, is_older, same_worklog, that_waits
from msp_xero.ledger.lines import is_of_sdp
from msp_xero.ledger.models import Invoice, InvoiceLine, Worklog
from msp_xero.ledger.unsent import is_unsent
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Update
    from sqlalchemy.orm import Session

    from msp_xero.ledger.lines import Line
    from msp_xero.ledger.store import Ledger

_FOUND_OUT = ("pending", "unsent")
"""What is known of a worklog that no column of its row says."""


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
    terms = _load_terms(session, known, lines, digests)
    for delivered, as_delivered in zip(lines, digests, strict=True):
        same_id = known.setdefault(delivered.worklog_id, [])
        if from_ledger:
            row = that_waits(same_id, delivered, as_delivered, sources)
        else:
            row = same_worklog(same_id, delivered)
        if (row is None and from_ledger) or (row and is_older(delivered, row, sources, now)):
            staged.unchanged += 1
            continue
        if row and row.given_anew and not from_ledger:
            # What a tap reads now names the account and the type that have these ids now.
            work.update(row.id, {"given_anew": None})
            row.given_anew = None
        line = held_if_in_doubt(delivered, row, same_id)
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
        elif row.rebuilt and row.state in SETTLED:
            _recognise(work, row, line, digest, now)
            sources[row.id], terms[row.id] = line.source, line.terms()
            staged.updated += 1
        elif row.state in SETTLED:
            _compare_with_billed(work, staged, row, line, digest, sources, terms, now)
        elif row.line_digest == digest:
            staged.unchanged += 1
        else:
            # What was made anew here is no news of the worklog: its account may be called otherwise by now.
            _update(work, row, line, digest, settle_reasons, None if from_ledger else now)
            sources[row.id] = line.source
            staged.updated += 1
    _write(session, ledger, work, run_id)
    return staged


_KNOWN = (
    select(*(getattr(Worklog, name) for name in Known.__slots__ if name not in _FOUND_OUT))
    .where(
        Worklog.connection_id == bindparam("connection"),
        Worklog.worklog_id.in_(bindparam("ids", expanding=True)),
    )
    # Ascending id is the order of arrival, so that matching does not depend on the database.
    .order_by(Worklog.id)
)


def _load_known(session: Session, ledger: Ledger, ids: set[str]) -> dict[str, list[Known]]:
    known: dict[str, list[Known]] = {}
    for row in session.execute(_KNOWN, {"connection": ledger.connection_id, "ids": list(ids)}):
        known.setdefault(row.worklog_id, []).append(Known(*row))
    _find_unsent(session, known)
    return known


def _find_unsent(session: Session, known: Mapping[str, list[Known]]) -> None:
    planned = {row.id: row for rows in known.values() for row in rows if row.state == "planned"}
    for some in lots(list(planned)):
        for row_id in session.scalars(select(Worklog.id).where(Worklog.id.in_(some), is_unsent())):
            planned[row_id].unsent = True


def _load_sources(
    session: Session, known: Mapping[str, list[Known]], lines: Sequence[Line], digests: Sequence[str]
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


def _load_terms(
    session: Session, known: Mapping[str, list[Known]], lines: Sequence[Line], digests: Sequence[str]
) -> dict[int, dict[str, Any]]:
    """Return the terms, as billed, of the planned and billed rows that a line may differ from."""
    rows = [
        row.id
        for line, digest in zip(lines, digests, strict=True)
        for row in known.get(line.worklog_id, ())
        if row.state in SETTLED and row.line_digest != digest
    ]
    columns = [getattr(Worklog, name) for name in BILLED_TERMS]
    found: dict[int, dict[str, Any]] = {}
    for some in lots(rows):
        for row_id, *terms in session.execute(select(Worklog.id, *columns).where(Worklog.id.in_(some))):
            found[row_id] = dict(zip(BILLED_TERMS, terms, strict=True))
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


def _insert(work: _Work, ledger: Ledger, line: Line, ordinal: int, now: datetime) -> Known:
    columns = _columns(ledger, line, ordinal, now)
    work.inserts.append(columns)
    return Known(
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
    work: _Work, row: Known, line: Line, digest: str, settle_reasons: frozenset[str], seen_at: datetime | None
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
            **({"last_seen_at": seen_at} if seen_at else {}),
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


def _recognise(work: _Work, row: Known, line: Line, digest: str, now: datetime) -> None:
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
    row: Known,
    line: Line,
    digest: str,
    sources: Mapping[int, dict[str, Any]],
    terms: Mapping[int, dict[str, Any]],
    now: datetime,
) -> None:
    """Leave a billed worklog as billed, and say what differs from it now.

    Its newest copy is kept as soon as anything of it differs: should the invoice be released, that copy
    counts, and it tells where a worklog that was moved is now.
    """
    changed, newest = None, None
    if row.line_digest != digest:
        billed = sources.get(row.id) or {}
        # What another tap's record means nobody here knows: it could not be made anew of its newest copy.
        is_ours = is_of_sdp(line.module, line.worklog_id, line.source)
        changed = differences(billed, line.source)
        # Without a digest nobody knows how it was billed: on a person's word, or before the ledger was lost.
        if row.line_digest:
            changed |= differing_terms(terms[row.id], line, billed, is_ours=is_ours)
        changed = changed or None
        differs = of_the_worklog(billed) != of_the_worklog(line.source)
        # What never left is judged by the rules of now: it is taken back, and made anew of this copy.
        is_judged_anew = row.unsent and _comes_out_differently(row, line, billed)
        newest = line.source if changed or (is_ours and (differs or is_judged_anew)) else None
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


def _comes_out_differently(row: Known, line: Line, billed: dict[str, Any]) -> bool:
    """Tell whether the mapper's rules of now say something else of a worklog than when it was planned.

    Of one that a person included the digest was given up; it is left as it is.
    """
    return row.line_digest not in {"", replace(line, source=billed).digest()}


@functools.cache
def _update_of(names: tuple[str, ...]) -> Update:
    """Return the statement that writes these columns of a worklog; there are few sets of them."""
    new = {name: bindparam(f"new_{name}", type_=Worklog.__table__.c[name].type) for name in names}
    return update(Worklog).where(Worklog.id == bindparam("row_id")).values(new)


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
        names = tuple(sorted(columns - {"row_id"}))
        session.connection().execute(
            _update_of(names),
            [{"row_id": row["row_id"], **{f"new_{n}": row[n] for n in names}} for row in rows],
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
