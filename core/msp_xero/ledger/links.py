"""What people decide about links, and the lists they decide by.

Each operation is one transaction with its event. Choices are carried out by the next settle; a link
made here counts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import and_, or_, select
from sqlalchemy.exc import IntegrityError

from msp_xero.errors import LedgerError
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.given_anew import lost_names
from msp_xero.ledger.link_memory import forget_findings, how_by_hand, remember_unlinked
from msp_xero.ledger.link_staging import (
    ACCOUNT,
    WORKLOG_TYPE,
    DeliveredContact,
    DeliveredItem,
    StagedLinks,
    mark_gone,
    stage_accounts,
    stage_worklog_types,
)
from msp_xero.ledger.models import AccountLink, BillingConnection, SdpEntry, WorklogTypeLink
from msp_xero.ledger.type_choices import known_type_name, start_ignoring, stop_ignoring

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

__all__ = [
    "DeliveredContact",
    "DeliveredItem",
    "StagedLinks",
    "account_links",
    "consider_item",
    "consider_type",
    "ignore_contact",
    "ignore_item",
    "ignore_type",
    "link_account",
    "link_type",
    "listed_entries",
    "mark_gone",
    "pick_list",
    "request_create",
    "request_create_type",
    "stage_accounts",
    "stage_worklog_types",
    "type_links",
    "unlink_account",
    "unlink_type",
]

OWN_ACCOUNT: Final = "account {} is the service provider itself (is_msp), which is nobody's customer"
MAYBE_ANOTHER: Final = (
    "ServiceDesk Plus MSP may have given {} {} to another one since its last list; run the job again first"
)
"""A link made by hand would be believed, and would hide from the next run that the id was given out anew."""

CREATE: Final = "create"
LINK: Final = "link"
IGNORE: Final = "ignore"
LIST: Final = "list"
"""A person unlinked it: it waits on the list and is neither linked nor created by itself."""


class _Side(NamedTuple):
    """What is different between links of contacts and links of items."""

    model: type[Any]
    key: str
    name: str
    target: str
    target_name: str
    kind: str
    noun: str
    source: str


_CONTACTS: Final = _Side(
    AccountLink,
    "contact_id",
    "contact_name",
    "account_id",
    "account_name",
    ACCOUNT,
    "account",
    "contact",
)
_ITEMS: Final = _Side(
    WorklogTypeLink, "item_id", "name", "type_id", "type_name", WORKLOG_TYPE, "worklog type", "item"
)
_SIDES: Final = {side.kind: side for side in (_CONTACTS, _ITEMS)}


# ------------------------------------------------------------------ accounts


def link_account(ledger: Ledger, contact_id: str, account_id: str) -> None:
    """Link a contact to an account.

    Raises:
        LedgerError: one of them is not known, one of them is linked to another already, or the account may be
            another one since it was listed.
    """
    _link(ledger, _CONTACTS, contact_id, account_id)


def unlink_account(ledger: Ledger, contact_id: str) -> None:
    """Take the link away; the contact then waits on the unmapped list until a person decides.

    Raises:
        LedgerError: the contact is not known.
    """
    _decide(ledger, _CONTACTS, contact_id, LIST)


def ignore_contact(ledger: Ledger, contact_id: str) -> None:
    """Leave the contact out for good: no account, no mention on the unmapped list.

    Raises:
        LedgerError: the contact is not known, or it is linked.
    """
    _decide(ledger, _CONTACTS, contact_id, IGNORE)


def request_create(ledger: Ledger, contact_id: str) -> None:
    """Let the next settle create an account for the contact.

    Raises:
        LedgerError: the contact is not known, is linked already, or is not in use in Xero.
    """
    _decide(ledger, _CONTACTS, contact_id, CREATE)


def account_links(ledger: Ledger, *, unmapped_only: bool = False) -> list[AccountLink]:
    """Return the contacts with their links by name; ``unmapped_only``: those a person has to map."""
    query = (
        select(AccountLink)
        .where(AccountLink.connection_id == ledger.connection_id, AccountLink.generation == ledger.generation)
        .order_by(AccountLink.contact_name, AccountLink.id)
    )
    if unmapped_only:
        # What the next run creates waits for nobody, unless that run found a doubt. What is not in use
        # waits only where a run took its link away.
        has_problem = AccountLink.problem.is_not(None)
        undecided = or_(AccountLink.choice.is_distinct_from(CREATE), has_problem)
        in_use = AccountLink.contact_status == "ACTIVE"
        taken_away = and_(AccountLink.choice == LIST, has_problem)
        query = query.where(AccountLink.state == "unmapped", or_(and_(in_use, undecided), taken_away))
    with ledger.read() as session:
        return list(session.scalars(query))


# ------------------------------------------------------------- worklog types


def link_type(ledger: Ledger, item_id: str, type_id: str) -> None:
    """Link an item to a worklog type.

    Raises:
        LedgerError: one of them is not known, one of them is linked to another already, or the type may be
            another one since it was listed.
    """
    _link(ledger, _ITEMS, item_id, type_id)


def unlink_type(ledger: Ledger, item_id: str) -> None:
    """Take the link away; the item then waits until a person decides.

    Raises:
        LedgerError: the item is not known.
    """
    _decide(ledger, _ITEMS, item_id, LIST)


def ignore_item(ledger: Ledger, item_id: str) -> None:
    """Leave the item out for good: no worklog type.

    Raises:
        LedgerError: the item is not known, or it is linked.
    """
    _decide(ledger, _ITEMS, item_id, IGNORE)


def request_create_type(ledger: Ledger, item_id: str) -> None:
    """Let the next settle create a worklog type for the item.

    Raises:
        LedgerError: the item is not known, is linked already, or is not sold in Xero.
    """
    _decide(ledger, _ITEMS, item_id, CREATE)


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


def consider_item(ledger: Ledger, item_id: str) -> None:
    """Take back what a person decided about an item; the next settle judges it like a new one.

    Raises:
        LedgerError: the item is not known or is linked.
    """
    _decide(ledger, _ITEMS, item_id, None)


def ignore_type(ledger: Ledger, type_id: str) -> None:
    """Want no item for a worklog type: it leaves the list of things to do, and its worklogs are held.

    Raises:
        LedgerError: the type is not known, or an item that is in Xero is linked to it.
    """
    with ledger.write() as session:
        lock_connection(session, ledger)
        name = known_type_name(session, ledger, type_id)
        changes = []
        if (holder := _holder(session, ledger, _ITEMS, type_id)) is not None:
            if holder.gone_at is None:
                raise _already(_ITEMS, type_id, holder)
            changes.append(release_gone(holder, {"sdp_id": type_id}))
        record(session, ledger, [*changes, *start_ignoring(session, ledger, type_id, name)])


def consider_type(ledger: Ledger, type_id: str) -> None:
    """Take back that no item is wanted for a worklog type.

    Raises:
        LedgerError: the type was not ignored.
    """
    with ledger.write() as session:
        lock_connection(session, ledger)
        if not (changes := stop_ignoring(session, ledger, type_id)):
            raise LedgerError(f"worklog type {type_id} is not ignored")
        record(session, ledger, changes)


# --------------------------------------------------------------------- both


def pick_list(ledger: Ledger, kind: str) -> list[SdpEntry]:
    """Return what a contact (``account``) or an item (``worklog_type``) can still be linked to, by name.

    The MSP's own account is no customer, so it is not among them.
    """
    if kind not in _SIDES:
        raise LedgerError(f"there is no list of {kind}; there are {' and '.join(_SIDES)}")
    side = _SIDES[kind]
    with ledger.read() as session:
        target = getattr(side.model, side.target)
        taken = set(session.scalars(select(target).where(*_mine(ledger, side), target.is_not(None))))
        entries = [
            entry
            for one, entry in _entries(session, ledger, kind).items()
            if one not in taken and not entry.own
        ]
    return sorted(entries, key=lambda entry: (entry.name, entry.sdp_id))


def listed_entries(ledger: Ledger, kind: str) -> list[SdpEntry]:
    """Return all accounts or worklog types that SDP listed at the last settle, linked or not."""
    with ledger.read() as session:
        return sorted(_entries(session, ledger, kind).values(), key=lambda entry: (entry.name, entry.sdp_id))


def lock_connection(session: Session, ledger: Ledger) -> None:
    """Wait for other writers of links: a settle's fence takes the same row of the database."""
    session.execute(
        select(BillingConnection.id).where(BillingConnection.id == ledger.connection_id).with_for_update()
    )


def _mine(ledger: Ledger, side: _Side) -> tuple[Any, ...]:
    model = side.model
    return (model.connection_id == ledger.connection_id, model.generation == ledger.generation)


def _entries(session: Session, ledger: Ledger, kind: str) -> dict[str, SdpEntry]:
    query = select(SdpEntry).where(SdpEntry.connection_id == ledger.connection_id, SdpEntry.kind == kind)
    return {entry.sdp_id: entry for entry in session.scalars(query)}


def _find(session: Session, ledger: Ledger, side: _Side, key: str) -> Any:
    row = session.scalar(select(side.model).where(*_mine(ledger, side), getattr(side.model, side.key) == key))
    if row is None:
        raise LedgerError(f"no {side.source} {key} was delivered yet; run the job first, or check the id")
    return row


def _holder(session: Session, ledger: Ledger, side: _Side, sdp_id: str) -> Any:
    target = getattr(side.model, side.target)
    return session.scalar(select(side.model).where(*_mine(ledger, side), target == sdp_id))


def _link(ledger: Ledger, side: _Side, key: str, sdp_id: str) -> None:
    try:
        with ledger.write() as session:
            lock_connection(session, ledger)
            row = _find(session, ledger, side, key)
            if getattr(row, "gone_at", None) is not None:
                raise LedgerError(f"{side.source} {key} was deleted in Xero, so nothing is billed by it")
            entries = _entries(session, ledger, side.kind)
            if entries and sdp_id not in entries:
                raise LedgerError(
                    f"ServiceDesk Plus MSP listed no {side.noun} {sdp_id} at the last run; "
                    "run the job again, or check the id"
                )
            if sdp_id in lost_names(session, ledger, side.kind):
                raise LedgerError(MAYBE_ANOTHER.format(side.noun, sdp_id))
            if sdp_id in entries and entries[sdp_id].own:
                raise LedgerError(OWN_ACCOUNT.format(sdp_id))
            holder = _holder(session, ledger, side, sdp_id)
            changes = []
            if holder is not None and holder is not row:
                if getattr(holder, "gone_at", None) is None:
                    raise _already(side, sdp_id, holder)
                # What is not in Xero any more bills nothing: its type is free for the next item.
                changes.append(release_gone(holder, {"sdp_id": sdp_id, "instead": key}))
                session.flush()
            before = getattr(row, side.target)
            if before not in (None, sdp_id):
                raise _linked_already(side, key, before)
            if side is _ITEMS:
                changes += stop_ignoring(session, ledger, sdp_id)
            name = entries[sdp_id].name if sdp_id in entries else None
            _set(row, side, sdp_id, name)
            row.state, row.choice = "linked", LINK
            row.how = how_by_hand(getattr(row, side.name), name)
            data = {"sdp_id": sdp_id, "how": "person"}
            record(session, ledger, [*changes, Change(row.__tablename__, row.id, "linked", data)])
    except IntegrityError as error:
        with ledger.read() as session:
            raise _already(side, sdp_id, _holder(session, ledger, side, sdp_id)) from error


def release_gone(row: WorklogTypeLink, data: dict[str, Any]) -> Change:
    """Take the link from an item that is not in Xero any more; the caller records the event."""
    _set(row, _ITEMS, None, None)
    row.state, row.choice, row.how = "unmapped", None, None
    return Change(row.__tablename__, row.id, "unlinked", data)


def _decide(ledger: Ledger, side: _Side, key: str, choice: str | None) -> None:
    with ledger.write() as session:
        lock_connection(session, ledger)
        row = _find(session, ledger, side, key)
        linked_to = getattr(row, side.target)
        if choice != LIST and linked_to is not None:
            raise _linked_already(side, key, linked_to)
        if choice == CREATE and (reason := _no_creation(row)):
            raise LedgerError(f"{side.source} {key} is {reason} in Xero, so no {side.noun} is created for it")
        state = "ignored" if choice == IGNORE else "unmapped"
        if (row.choice, row.state, linked_to) == (choice, state, None):
            return
        remember_unlinked(row, linked_to if choice == LIST else None)
        if choice is None:
            row.unlinked = None  # judged like a new one, whatever was decided before
        _set(row, side, None, None)
        row.state, row.choice, row.how = state, choice, None
        action = {CREATE: "create_requested", IGNORE: "ignored", LIST: "unlinked", None: "considered"}[choice]
        data = {"sdp_id": linked_to} if linked_to else None
        record(session, ledger, [Change(row.__tablename__, row.id, action, data)])


def _set(row: Any, side: _Side, sdp_id: str | None, name: str | None) -> None:
    setattr(row, side.target, sdp_id)
    setattr(row, side.target_name, name)
    forget_findings(row, sdp_id)


def _no_creation(row: AccountLink | WorklogTypeLink) -> str | None:
    if isinstance(row, AccountLink):
        return None if row.contact_status == "ACTIVE" else row.contact_status.lower()
    if row.gone_at is not None:
        return "deleted"
    return None if row.is_sold else "not sold"


def _linked_already(side: _Side, key: str, sdp_id: str) -> LedgerError:
    """Return the error for a decision that would take a link away without a word."""
    return LedgerError(f"{side.source} {key} is linked to {side.noun} {sdp_id} already; unlink it first")


def _already(side: _Side, sdp_id: str, holder: Any) -> LedgerError:
    if holder is None:
        return LedgerError(f"{side.noun} {sdp_id} was linked by somebody else just now; look again")
    return LedgerError(
        f"{side.noun} {sdp_id} is already linked to {side.source} {getattr(holder, side.key)}; "
        "unlink that one first"
    )
