"""Writing the audit log: one event for every change of state, in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import insert

from msp_xero.ledger.models import Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger


class Change(NamedTuple):
    """One thing that happened to one row. ``data`` never holds customer text."""

    entity: str
    entity_id: int
    action: str
    data: dict[str, Any] | None = None


def record(session: Session, ledger: Ledger, changes: Iterable[Change], *, run_id: int | None = None) -> None:
    """Append one event for each change, with the ledger's actor and clock."""
    at = ledger.clock.now()
    rows = [
        {
            "connection_id": ledger.connection_id,
            "at": at,
            "actor": ledger.actor,
            "run_id": run_id,
            "entity": change.entity,
            "entity_id": change.entity_id,
            "action": change.action,
            "data": change.data,
        }
        for change in changes
    ]
    if rows:
        session.execute(insert(Event), rows)
