"""Writing the audit log: one event for every change of state, in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import insert

from msp_xero.ledger.models import Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

_EVENTS = insert(Event)


class Change(NamedTuple):
    """One thing that happened to one row.

    ``data`` never holds customer text; the words with which a person gave a reason are in it.
    """

    entity: str
    entity_id: int
    action: str
    data: dict[str, Any] | None = None


_MOVES = {
    "worklog": frozenset({"open", "held", "excluded", "planned", "invoiced"}),
    "invoice": frozenset(
        {"planned", "sending", "unknown", "conflict", "rejected", "created", "paid", "voided", "deleted"}
    ),
}
"""Actions that are the name of the state they lead to."""


def replay(events: Iterable[tuple[str, int, str, dict[str, Any] | None]]) -> dict[tuple[str, int], str]:
    """Return the state of every worklog and invoice by its history alone.

    Args:
        events: ``(entity, entity id, action, data)`` of the audit log, oldest first.

    Returns:
        State by entity and id; it has to be the state in the entity's own row.
    """
    states: dict[tuple[str, int], str] = {}
    for entity, entity_id, action, data in events:
        state = (data or {}).get("state")
        if state is None and action in _MOVES.get(entity, ()):
            state = action
        if state is not None:
            states[entity, entity_id] = state
    return states


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
        session.flush()
        session.connection().execute(_EVENTS, rows)
