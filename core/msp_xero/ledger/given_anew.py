"""Ids that SDP gives out anew: what was read under one before is not billed to whoever has it now.

After SDP was put back from a backup, the id of an account or worklog type that was made since goes to the
next new one. A worklog that was delivered before keeps the id, so it is marked until a tap delivers it anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, delete, func, or_, select, update

from msp_xero.ledger.audit import Change
from msp_xero.ledger.lines import is_of_sdp
from msp_xero.ledger.link_memory import exact_key
from msp_xero.ledger.link_staging import ACCOUNT, WORKLOG_TYPE, note_entry
from msp_xero.ledger.models import LostEntry, SdpEntry, Worklog
from msp_xero.ledger.type_choices import stop_ignoring
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from msp_xero.ledger.link_staging import Entry
    from msp_xero.ledger.store import Ledger

_RECORD: Final = func.coalesce(Worklog.newest, Worklog.source)
_IS_STALE: Final = or_(
    Worklog.newest.is_not(None),
    and_(Worklog.state.in_(("open", "held", "excluded")), Worklog.line_digest == ""),
)
"""The record is ahead of the terms: it was changed after billing, or taken off an invoice since."""

_MEMBERS: Final = {ACCOUNT: "account_id", WORKLOG_TYPE: "type_id"}
"""Where a worklog names it: the same in its row and in its record."""


def lost_names(session: Session, ledger: Ledger, kind: str) -> dict[str, str]:
    """Return what SDP listed once and not at the last settle: its last name by id."""
    rows = session.scalars(
        select(LostEntry).where(LostEntry.connection_id == ledger.connection_id, LostEntry.kind == kind)
    )
    return {row.sdp_id: row.name for row in rows}


def remember_lost(
    session: Session, ledger: Ledger, kind: str, listed: Collection[str], linked: Mapping[str, str]
) -> None:
    """Remember what the last list had and this one has not, and forget what is listed again.

    To be called before the new list replaces the last one. A link may know of a loss that this memory does
    not: the last list had not got it either. A person who unlinks it would take the last trace away.

    Args:
        session: the settle's transaction.
        ledger: the open ledger.
        kind: ``account`` or ``worklog_type``.
        listed: the ids that SDP lists now.
        linked: last name by id of what is linked.
    """
    known = lost_names(session, ledger, kind)
    forget_lost(session, ledger, kind, [one for one in known if one in listed])
    last = select(SdpEntry).where(SdpEntry.connection_id == ledger.connection_id, SdpEntry.kind == kind)
    names = {**linked, **{entry.sdp_id: entry.name for entry in session.scalars(last)}}
    session.add_all(
        _lost(ledger, kind, one, name)
        for one, name in names.items()
        if one not in listed and one not in known
    )


def doubt(session: Session, ledger: Ledger, kind: str, sdp_id: str, name: str) -> None:
    """Count what was listed as lost, as SDP has just made something under its id: the next list tells.

    Args:
        session: the settle's transaction.
        ledger: the open ledger.
        kind: ``account`` or ``worklog_type``.
        sdp_id: the id that both have.
        name: the last one of what was listed.
    """
    if sdp_id not in lost_names(session, ledger, kind):
        session.add(_lost(ledger, kind, sdp_id, name))


def _lost(ledger: Ledger, kind: str, sdp_id: str, name: str) -> LostEntry:
    return LostEntry(
        connection_id=ledger.connection_id, kind=kind, sdp_id=sdp_id, name=name, lost_at=ledger.clock.now()
    )


def forget_lost(session: Session, ledger: Ledger, kind: str, ids: Collection[str]) -> None:
    """Forget that these were lost: they are there again, as themselves or as something else."""
    for some in lots(ids):
        session.execute(
            delete(LostEntry)
            .where(
                LostEntry.connection_id == ledger.connection_id,
                LostEntry.kind == kind,
                LostEntry.sdp_id.in_(some),
            )
            .execution_options(synchronize_session=False)
        )


def take_over(  # noqa: PLR0913 - what is known of both who have the id
    session: Session, ledger: Ledger, kind: str, entry: Entry, *, is_new: bool, is_for_another: bool
) -> list[Change]:
    """Take note that an id is in use between two lists; return the events, for the caller to record.

    What was lost and is made again for the same one under the very name is the same, as it is when it is
    listed again.

    Args:
        session: the settle's transaction.
        ledger: the open ledger.
        kind: ``account`` or ``worklog_type``.
        entry: what has the id.
        is_new: whether SDP has just made it, so that what was known under its id is something else.
        is_for_another: whether what had the id before was meant for another contact or item, or for none:
            of those, two may have the same name.
    """
    before = lost_names(session, ledger, kind).get(entry.sdp_id)
    forget_lost(session, ledger, kind, [entry.sdp_id])
    has_its_name = before is not None and exact_key(before) == exact_key(entry.name)
    is_stranger = is_new if before is None else not has_its_name or (is_new and is_for_another)
    note_entry(session, ledger, kind, entry)
    return note_given_anew(session, ledger, kind, {entry.sdp_id}) if is_stranger else []


def note_given_anew(session: Session, ledger: Ledger, kind: str, ids: Collection[str]) -> list[Change]:
    """End what was known under these ids, which mean something else now.

    All worklogs that were delivered with them are marked, those on an invoice too: if it is released, they
    wait again. That no item is wanted for a type was said of another one.

    Args:
        session: the settle's transaction.
        ledger: the open ledger.
        kind: ``account`` or ``worklog_type``.
        ids: that were given out anew.

    Returns:
        The events, for the caller to record.
    """
    if not ids:
        return []
    rows = _named_by_terms(session, ledger, kind, ids) | _named_by_record(session, ledger, kind, ids)
    for some in lots(sorted(rows)):
        session.execute(
            update(Worklog)
            .where(Worklog.id.in_(some))
            .values(given_anew=kind)
            .execution_options(synchronize_session=False)
        )
    changes = [Change("worklog", row, "id_given_anew", {"kind": kind}) for row in sorted(rows)]
    for one in sorted(ids) if kind == WORKLOG_TYPE else ():
        changes += stop_ignoring(session, ledger, one)
    return changes


def _named_by_terms(session: Session, ledger: Ledger, kind: str, ids: Collection[str]) -> set[int]:
    """Return the rows of worklogs whose terms name one of these ids, and no record that counts instead."""
    columns = (Worklog.id, Worklog.module, Worklog.worklog_id, _RECORD, _IS_STALE)
    return {
        row
        for some in lots(sorted(ids))
        for row, module, worklog_id, record, is_stale in session.execute(
            select(*columns).where(*_unmarked(ledger, kind), getattr(Worklog, _MEMBERS[kind]).in_(some))
        )
        if not (is_stale and is_of_sdp(module, worklog_id, record))
    }


def _named_by_record(session: Session, ledger: Ledger, kind: str, ids: Collection[str]) -> set[int]:
    """Return the rows of worklogs of SDP whose record names one of these ids, and counts before the terms.

    Lines of other taps cannot be made anew of their record: what counts are their terms.
    """
    columns = (Worklog.id, Worklog.module, Worklog.worklog_id, _RECORD)
    return {
        row
        for row, module, worklog_id, record in session.execute(
            select(*columns).where(*_unmarked(ledger, kind), _IS_STALE)
        )
        if str(record.get(_MEMBERS[kind])) in ids and is_of_sdp(module, worklog_id, record)
    }


def _unmarked(ledger: Ledger, kind: str) -> tuple[ColumnElement[bool], ...]:
    return (Worklog.connection_id == ledger.connection_id, Worklog.given_anew.is_distinct_from(kind))
