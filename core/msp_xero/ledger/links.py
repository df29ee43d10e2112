"""What people decide about links, and the lists they decide by.

Each operation is one transaction with its event. Choices are carried out by the next settle; a link
made here counts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - a dataclass's annotations are looked at by the console
from decimal import Decimal  # noqa: TC003 - see above
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from msp_xero.errors import LedgerError
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.link_staging import (
    ACCOUNT,
    KINDS,
    WORKLOG_TYPE,
    DeliveredContact,
    DeliveredItem,
    StagedLinks,
    mark_gone,
    stage_accounts,
    stage_worklog_types,
)
from msp_xero.ledger.models import AccountLink, BillingConnection, SdpEntry, WorklogTypeLink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

__all__ = [
    "DeliveredContact",
    "DeliveredItem",
    "StagedLinks",
    "TypeStatus",
    "account_links",
    "ignore_contact",
    "ignore_item",
    "link_account",
    "link_type",
    "mark_gone",
    "pick_list",
    "request_create",
    "request_create_type",
    "stage_accounts",
    "stage_worklog_types",
    "type_links",
    "type_status",
    "unlink_account",
    "unlink_type",
]

CREATE: Final = "create"
LINK: Final = "link"
IGNORE: Final = "ignore"
LIST: Final = "list"
"""A person unlinked it: it waits on the list and is neither linked nor created by itself."""

_Row: TypeAlias = AccountLink | WorklogTypeLink


# ------------------------------------------------------------------ accounts


def link_account(ledger: Ledger, contact_id: str, account_id: str) -> None:
    """Link a contact to an account.

    Raises:
        LedgerError: one of them is not known, or the account has a contact already.
    """
    _link(ledger, AccountLink, contact_id, account_id)


def unlink_account(ledger: Ledger, contact_id: str) -> None:
    """Take the link away; the contact then waits on the unmapped list until a person decides.

    Raises:
        LedgerError: the contact is not known.
    """
    _decide(ledger, AccountLink, contact_id, LIST)


def ignore_contact(ledger: Ledger, contact_id: str) -> None:
    """Leave the contact out for good: no account, no mention on the unmapped list.

    Raises:
        LedgerError: the contact is not known.
    """
    _decide(ledger, AccountLink, contact_id, IGNORE)


def request_create(ledger: Ledger, contact_id: str) -> None:
    """Let the next settle create an account for the contact.

    Raises:
        LedgerError: the contact is not known or is linked already.
    """
    _decide(ledger, AccountLink, contact_id, CREATE)


def account_links(ledger: Ledger, *, unmapped_only: bool = False) -> list[AccountLink]:
    """Return the contacts with their links by name; ``unmapped_only``: those a person has to map."""
    query = (
        select(AccountLink)
        .where(AccountLink.connection_id == ledger.connection_id, AccountLink.generation == ledger.generation)
        .order_by(AccountLink.contact_name, AccountLink.id)
    )
    if unmapped_only:
        query = query.where(AccountLink.state == "unmapped", AccountLink.contact_status == "ACTIVE")
    with ledger.read() as session:
        return list(session.scalars(query))


# ------------------------------------------------------------- worklog types


def link_type(ledger: Ledger, item_id: str, type_id: str) -> None:
    """Link an item to a worklog type.

    Raises:
        LedgerError: one of them is not known, or the type has an item already.
    """
    _link(ledger, WorklogTypeLink, item_id, type_id)


def unlink_type(ledger: Ledger, item_id: str) -> None:
    """Take the link away; the item then waits until a person decides.

    Raises:
        LedgerError: the item is not known.
    """
    _decide(ledger, WorklogTypeLink, item_id, LIST)


def ignore_item(ledger: Ledger, item_id: str) -> None:
    """Leave the item out for good: no worklog type.

    Raises:
        LedgerError: the item is not known.
    """
    _decide(ledger, WorklogTypeLink, item_id, IGNORE)


def request_create_type(ledger: Ledger, item_id: str) -> None:
    """Let the next settle create a worklog type for the item.

    Raises:
        LedgerError: the item is not known or is linked already.
    """
    _decide(ledger, WorklogTypeLink, item_id, CREATE)


def type_links(ledger: Ledger) -> list[WorklogTypeLink]:
    """Return the items with their links by name."""
    with ledger.read() as session:
        return list(
            session.scalars(
                select(WorklogTypeLink)
                .where(
                    WorklogTypeLink.connection_id == ledger.connection_id,
                    WorklogTypeLink.generation == ledger.generation,
                )
                .order_by(WorklogTypeLink.name, WorklogTypeLink.id)
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeStatus:
    """One line of the worklog-type sync status; None stands for the side that does not have it.

    ``status``: ``linked``, ``renamed`` (the names differ), ``xero_only``, ``sdp_only``, ``ambiguous``,
    ``refused``, ``ignored``, ``not_sold`` (no type wanted), ``gone`` (not in Xero any more).
    """

    status: str
    item_id: str | None = None
    item_code: str | None = None
    item_name: str | None = None
    unit_price: Decimal | None = None
    type_id: str | None = None
    type_name: str | None = None
    type_inactive: bool = False
    problem: str | None = None
    gone_at: datetime | None = None


def type_status(ledger: Ledger) -> list[TypeStatus]:
    """Return what exists on both sides and on one side only, as SDP listed it at the last settle."""
    rows = type_links(ledger)
    with ledger.read() as session:
        entries = _entries(session, ledger, WORKLOG_TYPE)
    linked = {row.type_id for row in rows if row.type_id is not None}
    status = [_type_status(row, entries) for row in rows]
    status += [
        TypeStatus(
            status="sdp_only", type_id=entry.sdp_id, type_name=entry.name, type_inactive=entry.inactive
        )
        for entry in sorted(entries.values(), key=lambda entry: (entry.name, entry.sdp_id))
        if entry.sdp_id not in linked
    ]
    return status


def _type_status(row: WorklogTypeLink, entries: Mapping[str, SdpEntry]) -> TypeStatus:
    entry = entries.get(row.type_id or "")
    type_name = entry.name if entry else row.type_name
    if row.gone_at is not None:
        status = "gone"
    elif row.type_id is not None:
        status = "linked" if type_name == row.name else "renamed"
    elif row.state in ("ignored", "refused"):
        status = row.state
    elif not row.is_sold:
        status = "not_sold"
    else:
        status = "ambiguous" if row.candidates else "xero_only"
    return TypeStatus(
        status=status,
        item_id=row.item_id,
        item_code=row.item_code,
        item_name=row.name,
        unit_price=row.unit_price,
        type_id=row.type_id,
        type_name=type_name if row.type_id else None,
        type_inactive=entry.inactive if entry else False,
        problem=row.problem,
        gone_at=row.gone_at,
    )


# --------------------------------------------------------------------- both


def pick_list(ledger: Ledger, kind: str) -> list[SdpEntry]:
    """Return what a contact (``account``) or an item (``worklog_type``) can still be linked to, by name."""
    if kind not in KINDS:
        raise LedgerError(f"there is no list of {kind}; there are {' and '.join(KINDS)}")
    with ledger.read() as session:
        taken = _taken(session, ledger, kind)
        entries = [entry for one, entry in _entries(session, ledger, kind).items() if one not in taken]
    return sorted(entries, key=lambda entry: (entry.name, entry.sdp_id))


def lock_connection(session: Session, ledger: Ledger) -> None:
    """Wait for other writers of links. A settle's fence takes the same row, so neither sees half of the other."""
    session.execute(
        select(BillingConnection.id).where(BillingConnection.id == ledger.connection_id).with_for_update()
    )


def _entries(session: Session, ledger: Ledger, kind: str) -> dict[str, SdpEntry]:
    query = select(SdpEntry).where(SdpEntry.connection_id == ledger.connection_id, SdpEntry.kind == kind)
    return {entry.sdp_id: entry for entry in session.scalars(query)}


def _taken(session: Session, ledger: Ledger, kind: str) -> set[str | None]:
    model = AccountLink if kind == ACCOUNT else WorklogTypeLink
    column = AccountLink.account_id if kind == ACCOUNT else WorklogTypeLink.type_id
    mine = (model.connection_id == ledger.connection_id, model.generation == ledger.generation)
    return set(session.scalars(select(column).where(*mine, column.is_not(None))))


def _find(session: Session, ledger: Ledger, model: type[_Row], key: str) -> _Row:
    column = AccountLink.contact_id if model is AccountLink else WorklogTypeLink.item_id
    row = session.scalar(
        select(model).where(
            model.connection_id == ledger.connection_id, model.generation == ledger.generation, column == key
        )
    )
    if row is None:
        what = "contact" if model is AccountLink else "item"
        raise LedgerError(f"no {what} {key} was delivered yet; run the job first, or check the id")
    return row


def _link(ledger: Ledger, model: type[_Row], key: str, sdp_id: str) -> None:
    kind, noun = (ACCOUNT, "account") if model is AccountLink else (WORKLOG_TYPE, "worklog type")
    try:
        with ledger.write() as session:
            lock_connection(session, ledger)
            row = _find(session, ledger, model, key)
            entries = _entries(session, ledger, kind)
            if entries and sdp_id not in entries:
                raise LedgerError(
                    f"ServiceDesk Plus MSP listed no {noun} {sdp_id} at the last run; run the job again, or check the id"
                )
            holder = _holder(session, ledger, model, sdp_id)
            if holder is not None and holder.id != row.id:
                raise _already(noun, sdp_id, holder)
            name = entries[sdp_id].name if sdp_id in entries else None
            _set_link(row, sdp_id, name)
            row.state, row.choice, row.how = "linked", LINK, "person"
            row.candidates = None
            row.written_digest = None
            row.problem = _kept_problem(row)
            data = {"sdp_id": sdp_id, "how": "person"}
            record(session, ledger, [Change(model.__tablename__, row.id, "linked", data)])
    except IntegrityError as error:
        with ledger.read() as session:
            raise _already(noun, sdp_id, _holder(session, ledger, model, sdp_id)) from error


def _decide(ledger: Ledger, model: type[_Row], key: str, choice: str) -> None:
    with ledger.write() as session:
        lock_connection(session, ledger)
        row = _find(session, ledger, model, key)
        linked_to = _linked_to(row)
        if choice == CREATE and linked_to is not None:
            raise LedgerError(f"{key} is linked to {linked_to} already; unlink it first")
        state = "ignored" if choice == IGNORE else "unmapped"
        if (row.choice, row.state, linked_to) == (choice, state, None):
            return
        _set_link(row, None, None)
        row.state, row.choice, row.how = state, choice, None
        row.written_digest = None
        row.problem = _kept_problem(row)
        actions = {CREATE: "create_requested", IGNORE: "ignored", LIST: "unlinked"}
        data: dict[str, Any] | None = {"sdp_id": linked_to} if linked_to else None
        record(session, ledger, [Change(model.__tablename__, row.id, actions[choice], data)])


def _kept_problem(row: _Row) -> str | None:
    """Forget what the last settle found; that a record is invalid stays true."""
    return row.problem if (row.problem or "").startswith("INVALID_RECORD") else None


def _linked_to(row: _Row) -> str | None:
    return row.account_id if isinstance(row, AccountLink) else row.type_id


def _set_link(row: _Row, sdp_id: str | None, name: str | None) -> None:
    if isinstance(row, AccountLink):
        row.account_id, row.account_name = sdp_id, name
    else:
        row.type_id, row.type_name = sdp_id, name


def _holder(session: Session, ledger: Ledger, model: type[_Row], sdp_id: str) -> _Row | None:
    column = AccountLink.account_id if model is AccountLink else WorklogTypeLink.type_id
    return session.scalar(
        select(model).where(
            model.connection_id == ledger.connection_id,
            model.generation == ledger.generation,
            column == sdp_id,
        )
    )


def _already(noun: str, sdp_id: str, holder: _Row | None) -> LedgerError:
    if holder is None:
        return LedgerError(f"{noun} {sdp_id} was linked by somebody else at the same time; look again")
    other = (
        f"contact {holder.contact_id}" if isinstance(holder, AccountLink) else f"item {holder.item_id}"
    )
    return LedgerError(f"{noun} {sdp_id} is already linked to {other}; unlink that one first")
