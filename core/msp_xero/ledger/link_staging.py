"""Storing delivered contacts and items, and SDP's own lists: what arrived is safe before anything acts.

A record that says nothing new costs no write. What a settle or a person decided (link, choice,
state) is never touched here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sqlalchemy import delete, insert, select, update

from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.models import AccountLink, SdpEntry, WorklogTypeLink
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Fence, Ledger

INVALID: Final = "INVALID_RECORD"
"""Begins the ``problem`` of a record that was stored but must not be acted on."""

ACCOUNT: Final = "account"
WORKLOG_TYPE: Final = "worklog_type"
KINDS: Final = (ACCOUNT, WORKLOG_TYPE)

_RowT = TypeVar("_RowT", AccountLink, WorklogTypeLink)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredContact:
    """A Xero contact as the mapper delivers it; ``invalid`` says why it must not be acted on."""

    contact_id: str
    contact_name: str
    contact_status: str = "ACTIVE"
    merged_to_contact_id: str | None = None
    is_customer: bool | None = None
    wanted: dict[str, Any]
    clues: list[str] | None = None
    updated_time: datetime | None = None
    invalid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredItem:
    """A Xero item as the mapper delivers it; ``invalid`` says why it must not be acted on."""

    item_id: str
    item_code: str
    name: str
    description: str | None = None
    unit_price: Decimal | None = None
    is_sold: bool = True
    updated_time: datetime | None = None
    invalid: str | None = None


class Entry(NamedTuple):
    """An account or worklog type as SDP lists it."""

    sdp_id: str
    name: str
    inactive: bool = False
    own: bool = False
    clues: list[str] | None = None


@dataclass(slots=True)
class StagedLinks:
    """What staging did, in records."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0


def stage_accounts(
    ledger: Ledger, records: Sequence[DeliveredContact], *, run_id: int | None = None
) -> StagedLinks:
    """Store delivered contacts in one transaction; the later copy wins, unless it is an older state."""
    newest: dict[str, DeliveredContact] = {}
    for one in records:
        if not _is_older(one, newest.get(one.contact_id), ledger.clock.now()):
            newest[one.contact_id] = one
    return _stage(ledger, AccountLink, "contact_id", newest, run_id)


def stage_worklog_types(
    ledger: Ledger, records: Sequence[DeliveredItem], *, run_id: int | None = None
) -> StagedLinks:
    """Store delivered items in one transaction; the later copy wins, unless it is an older state."""
    newest: dict[str, DeliveredItem] = {}
    for one in records:
        if not _is_older(one, newest.get(one.item_id), ledger.clock.now()):
            newest[one.item_id] = one
    return _stage(ledger, WorklogTypeLink, "item_id", newest, run_id)


def _stage(
    ledger: Ledger,
    model: type[_RowT],
    key: str,
    records: Mapping[str, DeliveredContact | DeliveredItem],
    run_id: int | None,
) -> StagedLinks:
    staged = StagedLinks()
    now = ledger.clock.now()
    with ledger.write() as session:
        for ids in lots(records):
            known = {
                getattr(row, key): row
                for row in session.scalars(
                    select(model).where(
                        model.connection_id == ledger.connection_id,
                        model.generation == ledger.generation,
                        getattr(model, key).in_(ids),
                    )
                )
            }
            changes: list[Change] = []
            new = [records[one] for one in ids if one not in known]
            for one, row in known.items():
                if changed := _bring_up_to_date(row, records[one], now):
                    changes.append(Change(model.__tablename__, row.id, "changed", {"columns": changed}))
            staged.updated += len(changes)
            staged.new += len(new)
            staged.unchanged += len(known) - len(changes)
            changes += _add(session, ledger, model, new, now)
            record(session, ledger, changes, run_id=run_id)
    return staged


def _columns(one: DeliveredContact | DeliveredItem) -> dict[str, Any]:
    columns = {member.name: getattr(one, member.name) for member in fields(one)}
    invalid = columns.pop("invalid")
    return {**columns, "problem": f"{INVALID}: {invalid}" if invalid else None}


def _add(
    session: Session,
    ledger: Ledger,
    model: type[_RowT],
    new: Iterable[DeliveredContact | DeliveredItem],
    now: datetime,
) -> list[Change]:
    rows = [
        {
            **_columns(one),
            "connection_id": ledger.connection_id,
            "generation": ledger.generation,
            "first_seen_at": now,
            "last_seen_at": now,
        }
        for one in new
    ]
    if not rows:
        return []
    ids = session.scalars(insert(model).returning(model.id, sort_by_parameter_order=True), rows).all()
    return [Change(model.__tablename__, one, "delivered") for one in ids]


def _bring_up_to_date(
    row: AccountLink | WorklogTypeLink, one: DeliveredContact | DeliveredItem, now: datetime
) -> list[str]:
    """Set what differs; return the names of the columns."""
    wanted = _columns(one)
    if _is_older(one, row, now):
        wanted = {}
    elif one.invalid:
        # The last good copy stays: it is what a link was made with. That this one is newer is kept, or an
        # older copy that another machine stores later would take the problem away.
        newest = one.updated_time or row.updated_time
        wanted = {"problem": wanted["problem"], "updated_time": newest}
    elif not (row.problem or "").startswith(INVALID):
        del wanted["problem"]  # a settle's finding; the next settle looks again
    if isinstance(row, WorklogTypeLink):
        wanted["gone_at"] = None
    changed = sorted(name for name, value in wanted.items() if getattr(row, name) != value)
    for name in changed:
        setattr(row, name, wanted[name])
    if changed:
        row.last_seen_at = now
    return changed


def _is_older(
    one: DeliveredContact | DeliveredItem,
    known: AccountLink | WorklogTypeLink | DeliveredContact | DeliveredItem | None,
    now: datetime,
) -> bool:
    """Whether a copy was changed in Xero before the known one: another machine read it, and stores it later.

    A known time that lies in the future is no time to go by.
    """
    if known is None or known.updated_time is None or one.updated_time is None:
        return False
    return one.updated_time < known.updated_time <= now


def mark_gone(
    ledger: Ledger, present: Collection[str], *, fence: Fence | None = None, run_id: int | None = None
) -> int:
    """Note which items are not in Xero any more; return how many were found so now.

    Args:
        ledger: the open ledger.
        present: item ids of a complete list.
        fence: of the settle that calls.
        run_id: the run, for the audit log.
    """
    now = ledger.clock.now()
    with ledger.write(fence) as session:
        rows = session.scalars(
            select(WorklogTypeLink).where(
                WorklogTypeLink.connection_id == ledger.connection_id,
                WorklogTypeLink.generation == ledger.generation,
                WorklogTypeLink.gone_at.is_(None),
            )
        )
        gone = [row for row in rows if row.item_id not in present]
        for row in gone:
            row.gone_at = now
        record(session, ledger, [Change("worklog_type_link", row.id, "gone") for row in gone], run_id=run_id)
    return len(gone)


def store_listing(session: Session, ledger: Ledger, kind: str, entries: Iterable[Entry]) -> None:
    """Make the stored list of accounts or worklog types equal to what SDP just listed.

    It is a copy of another system's list and no state of ours, so it writes no events.
    """
    now = ledger.clock.now()
    listed = {entry.sdp_id: entry for entry in entries}
    stored = {
        row.sdp_id: row
        for row in session.scalars(
            select(SdpEntry).where(SdpEntry.connection_id == ledger.connection_id, SdpEntry.kind == kind)
        )
    }
    session.execute(
        update(SdpEntry)
        .where(SdpEntry.connection_id == ledger.connection_id, SdpEntry.kind == kind)
        .values(seen_at=now)
        .execution_options(synchronize_session=False)
    )
    for sdp_id, row in stored.items():
        entry = listed.get(sdp_id)
        if entry is not None and Entry(sdp_id, row.name, row.inactive, row.own, row.clues) != entry:
            row.name, row.inactive, row.own, row.clues = entry[1:]
    vanished = [row.id for sdp_id, row in stored.items() if sdp_id not in listed]
    for ids in lots(vanished):
        session.execute(
            delete(SdpEntry).where(SdpEntry.id.in_(ids)).execution_options(synchronize_session=False)
        )
    new = [
        {"connection_id": ledger.connection_id, "kind": kind, "seen_at": now, **entry._asdict()}
        for sdp_id, entry in listed.items()
        if sdp_id not in stored
    ]
    if new:
        session.execute(insert(SdpEntry), new)


def note_entry(session: Session, ledger: Ledger, kind: str, entry: Entry) -> None:
    """Bring one entry of the stored list up to date after a write of ours."""
    row = session.scalar(
        select(SdpEntry).where(
            SdpEntry.connection_id == ledger.connection_id,
            SdpEntry.kind == kind,
            SdpEntry.sdp_id == entry.sdp_id,
        )
    )
    if row is None:
        session.add(
            SdpEntry(
                connection_id=ledger.connection_id, kind=kind, seen_at=ledger.clock.now(), **entry._asdict()
            )
        )
    else:
        row.name = entry.name
