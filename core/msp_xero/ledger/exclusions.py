"""Excluding many worklogs at once: what another integration has billed before this one began."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select, tuple_, update

from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.decisions import BY_PERSON, Refusal
from msp_xero.ledger.models import Worklog
from msp_xero.ledger.rows import Label, read_label
from msp_xero.ledger.views import conditions_of
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import Any

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from msp_xero.ledger.rows import WorklogFilter
    from msp_xero.ledger.store import Ledger


@dataclass(slots=True, kw_only=True)
class Exclusion:
    """What an exclusion of many worklogs concerns.

    Attributes:
        count: worklogs that are excluded by this; minutes and money are theirs. Those that a rule
            excludes belong to them: rules change.
        minutes: their time.
        money: what they would have been billed for, as far as it is known, in the connection's currency.
        unpriced: those of them of which it is not known.
        billed: worklogs that are meant too and stay, because they are on an invoice or about to be.
        unknown: ids that were asked for and never delivered, in the order they were given.
    """

    count: int = 0
    minutes: int = 0
    money: Decimal = Decimal(0)
    unpriced: int = 0
    billed: int = 0
    unknown: Sequence[str] = ()


def preview_exclusion(
    ledger: Ledger, wanted: WorklogFilter, worklog_ids: Collection[str] | None = None
) -> Exclusion:
    """Say what :func:`exclude_worklogs` would do, and do nothing."""
    with ledger.read() as session:
        return _meant(session, ledger, wanted, worklog_ids)


def exclude_worklogs(
    ledger: Ledger,
    wanted: WorklogFilter,
    reason: str,
    worklog_ids: Collection[str] | None = None,
    *,
    expected: Exclusion | None = None,
) -> Exclusion:
    """Take all worklogs that are meant and not billed out of billing, in one transaction.

    What is on an invoice, about to be, or excluded by a person already stays as it is. Each can be
    included again.

    Args:
        ledger: the open ledger.
        wanted: which worklogs; its ``states`` are not looked at.
        reason: the person's own words, for whoever asks later.
        worklog_ids: only those with these ids of ServiceDesk Plus, or with labels such as ``110#2``; None
            is no limit.
        expected: what a person was shown and said yes to; None is whatever there is.

    Raises:
        Refusal: no reason is given, or it is not what was expected any more.
    """
    refuse_without_reason(reason)
    with ledger.write() as session:
        meant = _meant(session, ledger, wanted, worklog_ids)
        if expected not in (None, meant):
            raise Refusal("worklogs came or went while you were asked; nothing was excluded, try again")
        for conditions in _conditions(ledger, wanted, worklog_ids):
            waiting = session.execute(
                select(Worklog.id, Worklog.state, Worklog.reason_code)
                .where(*conditions, _can_be_excluded())
                .with_for_update()
            ).all()
            for rows in lots(waiting):
                session.execute(
                    update(Worklog)
                    .where(Worklog.id.in_([row.id for row in rows]))
                    .values(
                        state="excluded",
                        reason_code=BY_PERSON,
                        reason=reason.strip(),
                        excluded_by=ledger.actor,
                    )
                    .execution_options(synchronize_session=False)
                )
                record(session, ledger, [_change(row, reason.strip()) for row in rows])
    return meant


def refuse_without_reason(reason: str) -> None:
    """Do nothing when a reason is given.

    Raises:
        Refusal: it is empty.
    """
    if not reason.strip():
        raise Refusal("say why the worklogs are not to be billed; the reason is kept for whoever asks later")


def _can_be_excluded() -> ColumnElement[bool]:
    by_a_rule = and_(Worklog.state == "excluded", Worklog.reason_code != BY_PERSON)
    return or_(Worklog.state.in_(("open", "held")), by_a_rule)


def _change(row: Any, reason: str) -> Change:
    # The code of a hold is kept in the log, so that including the worklog can bring it back.
    data = {"from": row.state, "was": row.reason_code, "reason_code": BY_PERSON, "reason": reason}
    return Change("worklog", row.id, "excluded", data)


def _meant(
    session: Session, ledger: Ledger, wanted: WorklogFilter, worklog_ids: Collection[str] | None
) -> Exclusion:
    found = Exclusion()
    for conditions in _conditions(ledger, wanted, worklog_ids):
        sums = select(
            func.count(), func.sum(Worklog.minutes), func.sum(Worklog.money), func.count(Worklog.money)
        )
        count, minutes, money, priced = session.execute(sums.where(*conditions, _can_be_excluded())).one()
        found.count += count
        found.minutes += int(minutes or 0)
        found.money += money or 0
        found.unpriced += count - priced
        is_billed = Worklog.state.not_in(("open", "held", "excluded"))
        found.billed += session.scalar(select(func.count(Worklog.id)).where(*conditions, is_billed)) or 0
    if worklog_ids is not None:
        found.unknown = _unknown(session, ledger, worklog_ids)
    return found


def _unknown(session: Session, ledger: Ledger, worklog_ids: Collection[str]) -> list[str]:
    labels = {one: read_label(one) for one in worklog_ids}
    known: set[Label] = set()
    for ids in lots(sorted({label.worklog_id for label in labels.values()})):
        query = select(Worklog.worklog_id, Worklog.ordinal).where(
            Worklog.connection_id == ledger.connection_id, Worklog.worklog_id.in_(ids)
        )
        for worklog_id, ordinal in session.execute(query):
            known |= {Label(worklog_id, ordinal), Label(worklog_id, None)}
    return [one for one, label in labels.items() if label not in known]


def _conditions(
    ledger: Ledger, wanted: WorklogFilter, worklog_ids: Collection[str] | None
) -> Iterator[list[ColumnElement[bool]]]:
    """Yield the conditions of one statement after the other; no worklog passes two of them."""
    common = conditions_of(ledger, wanted)
    if worklog_ids is None:
        yield common
        return
    labels = dict.fromkeys(read_label(one) for one in worklog_ids)
    whole = {label.worklog_id for label in labels if label.ordinal is None}
    for ids in lots(sorted(whole)):
        yield [*common, Worklog.worklog_id.in_(ids)]
    for single in lots([label for label in labels if label.worklog_id not in whole]):
        yield [*common, tuple_(Worklog.worklog_id, Worklog.ordinal).in_(single)]
