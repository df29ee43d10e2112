"""The settle of worklog types: sold items become types, renamed items rename theirs.

Types are added and updated at every sync. Where SDP does not let us write them, what is missing is
listed and the run still ends well: the administrator creates the types, and the next run links them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from msp_xero.directory.losses import (
    Linked,
    find_strangers,
    forget_what_was_not_made,
    give_up,
    note_losses,
)
from msp_xero.directory.match import Named
from msp_xero.directory.type_plan import TypePlan, is_invalid, plan_types
from msp_xero.directory.type_writes import TypeWriter, set_link
from msp_xero.directory.writes import name_of, refuse_another_installation, write_in_turn
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.given_anew import lost_names, note_given_anew, remember_lost
from msp_xero.ledger.link_staging import WORKLOG_TYPE, Entry, store_listing
from msp_xero.ledger.links import release_gone
from msp_xero.ledger.models import WorklogTypeLink
from msp_xero.ledger.type_choices import ignored_types

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.orm import Session

    from msp_xero.directory.port import Row
    from msp_xero.directory.work import TypeWork

_TABLE: Final = WorklogTypeLink.__tablename__


def settle_worklog_types(work: TypeWork) -> None:
    """Carry out one settle; ``work.summary`` is filled as far as it came also when an error ends it.

    Use :func:`msp_xero.directory.jobs.run_worklog_types`, which holds the lock and records the run.

    Raises:
        RemoteError: SDP cannot be used, or the outcome of a write is unknown; all that could be written was.
        LedgerError: another settle took over, or the address is another installation's.
    """
    work.read_list()
    rows, creates = _decide(work)
    work.summary.linked = sum(row.type_id is not None for row in rows)
    work.summary.gone = sum(row.gone_at is not None for row in rows)
    work.summary.gone_linked = sum(row.gone_at is not None and row.type_id is not None for row in rows)
    work.summary.failed += sum(is_invalid(row) and row.gone_at is None for row in rows)
    writer = TypeWriter(work, rows)
    write_in_turn(writer, rows, creates)
    if work.summary.stopped:
        return
    if not work.policy.dry_run and not writer.unanswered.has_news:
        with work.ledger.write(work.fence) as session:
            work.ledger.connection(session).worklog_types_synced_at = work.ledger.clock.now()
    writer.unanswered.end_the_run()


def _decide(work: TypeWork) -> tuple[list[WorklogTypeLink], list[WorklogTypeLink]]:
    """Store SDP's list and all decisions that need no call, in one transaction."""
    if work.policy.dry_run:
        with work.ledger.read() as session:
            rows, ignored = _read(work, session)
            lost = lost_names(session, work.ledger, WORKLOG_TYPE)
            session.expunge_all()
        _, strangers = _compare_with_list(work, rows, lost)
        plan = _plan(work, rows, ignored - strangers)
        _release_gone(plan)
        _apply(work, plan)
        return rows, plan.creates
    with work.ledger.write(work.fence) as session:
        rows, ignored = _read(work, session)
        lost = lost_names(session, work.ledger, WORKLOG_TYPE)
        changes, strangers = _compare_with_list(work, rows, lost)
        changes += note_given_anew(session, work.ledger, WORKLOG_TYPE, strangers)
        remember_lost(session, work.ledger, WORKLOG_TYPE, work.listed, _linked_names(rows))
        plan = _plan(work, rows, ignored - strangers)
        if work.base_url:
            work.ledger.connection(session).sdp_types_url = work.base_url
        entries = [Entry(one, name_of(row), _inactive(row)) for one, row in work.listed.items()]
        store_listing(session, work.ledger, WORKLOG_TYPE, entries)
        changes += _release_gone(plan)
        session.flush()  # a type must be free before its next item takes it
        record(session, work.ledger, [*changes, *_apply(work, plan)], run_id=work.run_id)
    return rows, plan.creates


def _read(work: TypeWork, session: Session) -> tuple[list[WorklogTypeLink], set[str]]:
    """Return all items and the ids of ignored types; refuse worklog types of another installation."""
    rows = list(session.scalars(select(WorklogTypeLink).where(*work.mine()).order_by(WorklogTypeLink.id)))
    refuse_another_installation(
        work.ledger.connection(session).sdp_types_url,
        work.base_url,
        _linked_names(rows),
        work.names(),
    )
    return rows, set(ignored_types(session, work.ledger))


def _linked_names(rows: Sequence[WorklogTypeLink]) -> dict[str, str]:
    """Return the last name of each worklog type that is linked, by id."""
    return {row.type_id: row.type_name for row in rows if row.type_id and row.type_name}


def _plan(work: TypeWork, rows: Sequence[WorklogTypeLink], ignored: Collection[str]) -> TypePlan:
    types = [Named(one, name) for one, name in work.names().items()]
    return plan_types(rows, types, work.policy.match_names, ignored=ignored)


def _compare_with_list(
    work: TypeWork, rows: Sequence[WorklogTypeLink], lost: Mapping[str, str]
) -> tuple[list[Change], set[str]]:
    """Take note of what the list tells about links, and about creates that got no answer.

    Returns:
        The events, and the ids that are another's now, linked before or not.
    """
    changes, strangers = _release_strangers(work, rows)
    names = work.names()
    for row in rows:
        # The name by which a stranger is told apart is the last one that was listed, written or not.
        row.type_name = names.get(row.type_id or "") or row.type_name
    linked = {row.type_id for row in rows}
    strangers |= find_strangers(lost, names, linked)
    forget_what_was_not_made(rows, [name for one, name in names.items() if one not in linked])
    return changes, strangers


def _release_strangers(work: TypeWork, rows: Sequence[WorklogTypeLink]) -> tuple[list[Change], set[str]]:
    """Take the link from items whose type was lost and whose id another type has now."""
    linked = [(row, Linked(row.type_id, row.type_name, row.name)) for row in rows if row.type_id is not None]
    strangers = note_losses(linked, work.names(), work.ledger.clock.now())
    changes = [give_up(row, type_id, "worklog type", set_link) for row, type_id in strangers]
    # What is invalid is counted for itself.
    work.summary.failed += sum(not is_invalid(row) for row, _ in strangers)
    return changes, {type_id for _, type_id in strangers}


def _release_gone(plan: TypePlan) -> list[Change]:
    return [
        release_gone(link.instead_of, {"sdp_id": link.type.id, "instead": link.row.item_id})
        for link in plan.links
        if link.instead_of is not None
    ]


def _apply(work: TypeWork, plan: TypePlan) -> list[Change]:
    changes = []
    for link in plan.links:
        set_link(link.row, link.type, link.how)
        changes.append(Change(_TABLE, link.row.id, "linked", {"sdp_id": link.type.id, "how": link.how}))
        if work.policy.dry_run:
            work.summary.planned.append({"id": link.row.item_id, "action": "link", "sdp_id": link.type.id})
    for listed in plan.listed:
        # An empty list says: in doubt, and no worklog type is free that it could mean.
        listed.row.candidates = list(listed.candidates) if listed.ambiguous else None
        listed.row.problem = listed.problem
        listed.row.state = "unmapped"
    work.summary.new = len(plan.links)
    work.summary.unmapped = len(plan.listed)
    work.summary.ambiguous = sum(listed.ambiguous for listed in plan.listed)
    return changes


def _inactive(row: Row) -> bool:
    return row.get("inactive") in (True, "true")
