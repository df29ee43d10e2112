"""Worklog types as SDP lists them, and those that a person wants no item for.

People decide in :mod:`msp_xero.ledger.links`; here are the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from msp_xero.errors import LedgerError
from msp_xero.ledger.audit import Change
from msp_xero.ledger.link_staging import WORKLOG_TYPE
from msp_xero.ledger.models import SdpEntry, Worklog, WorklogTypeChoice

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger


def listed_types(session: Session, ledger: Ledger) -> dict[str, SdpEntry]:
    """Return the worklog types that SDP listed at the last settle, by id."""
    rows = session.scalars(
        select(SdpEntry).where(SdpEntry.connection_id == ledger.connection_id, SdpEntry.kind == WORKLOG_TYPE)
    )
    return {row.sdp_id: row for row in rows}


def known_type_name(session: Session, ledger: Ledger, type_id: str) -> str:
    """Return the name of a worklog type as it is listed, or as worklogs tell it.

    Raises:
        LedgerError: nothing names the type.
    """
    if entry := listed_types(session, ledger).get(type_id):
        return entry.name
    told = select(Worklog.type_name).where(
        Worklog.connection_id == ledger.connection_id, Worklog.type_id == type_id
    )
    name = session.scalar(told.limit(1)) or ignored_types(session, ledger).get(type_id)
    if name is None:
        raise LedgerError(f"there is no worklog type {type_id}; `msp-xero types list` shows them")
    return name


def ignored_types(session: Session, ledger: Ledger) -> dict[str, str]:
    """Return the worklog types that no item is wanted for: name by id."""
    rows = session.scalars(
        select(WorklogTypeChoice).where(
            WorklogTypeChoice.connection_id == ledger.connection_id, WorklogTypeChoice.ignored.is_(True)
        )
    )
    return {row.type_id: row.type_name for row in rows}


def start_ignoring(session: Session, ledger: Ledger, type_id: str, type_name: str) -> list[Change]:
    """Remember that no item is wanted for a worklog type; return the event, none if that was known."""
    row = _choice(session, ledger, type_id)
    if row is None:
        row = WorklogTypeChoice(connection_id=ledger.connection_id, type_id=type_id, ignored=False)
        session.add(row)
    if row.ignored:
        return []
    row.type_name, row.ignored, row.decided_at = type_name, True, ledger.clock.now()
    session.flush()
    return [Change(row.__tablename__, row.id, "ignored", {"sdp_id": type_id})]


def stop_ignoring(session: Session, ledger: Ledger, type_id: str) -> list[Change]:
    """Forget that no item is wanted for a worklog type; return the event, if there was such a choice."""
    row = _choice(session, ledger, type_id)
    if row is None or not row.ignored:
        return []
    row.ignored, row.decided_at = False, ledger.clock.now()
    return [Change(row.__tablename__, row.id, "considered", {"sdp_id": type_id})]


def _choice(session: Session, ledger: Ledger, type_id: str) -> WorklogTypeChoice | None:
    return session.scalar(
        select(WorklogTypeChoice).where(
            WorklogTypeChoice.connection_id == ledger.connection_id, WorklogTypeChoice.type_id == type_id
        )
    )
