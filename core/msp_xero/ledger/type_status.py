"""The worklog-type sync status: what exists on both sides, on one side only, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - a dataclass's annotations are looked at by the console
from decimal import Decimal  # noqa: TC003 - see above
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import func, select

from msp_xero.ledger.link_staging import INVALID
from msp_xero.ledger.links import LIST, type_links
from msp_xero.ledger.models import Worklog
from msp_xero.ledger.type_choices import ignored_types, listed_types

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.orm import Session

    from msp_xero.ledger.models import SdpEntry, WorklogTypeLink
    from msp_xero.ledger.store import Ledger

TYPE_STATUSES: Final = {
    "linked": "linked",
    "renamed": "linked; the names differ",
    "xero_only": "in Xero only",
    "sdp_only": "in ServiceDesk Plus only",
    "ambiguous": "the name fits more than one",
    "refused": "ServiceDesk Plus does not let us create or rename it",
    "lost": "linked, but ServiceDesk Plus does not list the type any more",
    "gone": "the item was deleted in Xero",
    "not_sold": "the item is not sold in Xero",
    "ignored": "left out by hand",
}
"""Every status with its meaning."""

WAITING_FOR_TYPES: Final = ("TYPE_NOT_SYNCED", "TYPE_IGNORED", "ITEM_GONE", "ITEM_NOT_SOLD")
"""Reasons to hold a worklog that the links of worklog types decide about."""

_JOB: Final = "`meltano run worklog-types`"


class Candidate(NamedTuple):
    """A worklog type that an item could mean."""

    type_id: str
    type_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeStatus:
    """One line of the status; None stands for the side that does not have it.

    Attributes:
        status: one of :data:`TYPE_STATUSES`.
        problem: what the last run found.
        candidates: worklog types that an ambiguous item could mean.
        waiting: worklogs that are held because of this line.
        needs_person: whether it goes on only when somebody acts.
        next: what happens next, or what to do.
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
    candidates: tuple[Candidate, ...] = ()
    waiting: int = 0
    needs_person: bool = False
    next: str = ""


class _Advice(NamedTuple):
    needs_person: bool
    next: str


def _to_do(what: str) -> _Advice:
    return _Advice(needs_person=True, next=what)


def _no_need(what: str) -> _Advice:
    return _Advice(needs_person=False, next=what)


_LINKED: Final = {
    "lost": _to_do("`types unlink` it, then link another type or `types create`; what is linked is billed"),
    "gone": _to_do("link the type to another item, or ignore the type; until then its worklogs are held"),
    "not_sold": _to_do(
        "tick `I sell this item` in Xero, or link the type to another item: its worklogs are held"
    ),
}
_UNLINKED: Final = {
    "ambiguous": _to_do("link it by hand: `msp-xero types link ITEM TYPE`, or rename one"),
    "refused": _to_do(
        "create a worklog type of exactly this name in ServiceDesk Plus; the next run links it"
    ),
    "gone": _no_need("nothing: no worklog type is wanted for it"),
    "not_sold": _no_need("nothing: no worklog type is wanted for it"),
    "ignored": _no_need("nothing; `types unignore` or `types link` brings it back"),
}


def type_status(ledger: Ledger) -> list[TypeStatus]:
    """Return the status of both sides, as SDP listed its own at the last settle: items first, by name."""
    rows = type_links(ledger)
    with ledger.read() as session:
        entries = listed_types(session, ledger)
        ignored = ignored_types(session, ledger)
        waiting = _waiting(session, ledger)
        is_synced = ledger.connection(session).worklog_types_synced_at is not None
    linked = {row.type_id for row in rows if row.type_id is not None}
    status = [_of_item(row, entries, waiting.get(row.type_id or "", (0, ""))[0]) for row in rows]
    names = {one: name for one, (_, name) in waiting.items()} | ignored
    names |= {one: entry.name for one, entry in entries.items()}
    status += [
        _of_type(
            type_id,
            name,
            entries.get(type_id),
            is_ignored=type_id in ignored,
            waiting=waiting.get(type_id, (0, ""))[0],
            is_synced=is_synced,
        )
        for type_id, name in sorted(names.items(), key=lambda pair: (pair[1], pair[0]))
        if type_id not in linked
    ]
    return status


def count_by_status(rows: Iterable[TypeStatus]) -> dict[str, int]:
    """Return how many lines have each status, in the order of :data:`TYPE_STATUSES`, none of them 0."""
    counts = dict.fromkeys(TYPE_STATUSES, 0)
    for row in rows:
        counts[row.status] += 1
    return {status: count for status, count in counts.items() if count}


def _waiting(session: Session, ledger: Ledger) -> dict[str, tuple[int, str]]:
    """Return how many worklogs wait for each worklog type, and the type's name as they tell it."""
    rows = session.execute(
        select(Worklog.type_id, func.count(), func.max(Worklog.type_name))
        .where(
            Worklog.connection_id == ledger.connection_id,
            Worklog.state == "held",
            Worklog.reason_code.in_(WAITING_FOR_TYPES),
            Worklog.type_id.is_not(None),
        )
        .group_by(Worklog.type_id)
    )
    return {type_id: (count, name or "") for type_id, count, name in rows}


def _of_item(row: WorklogTypeLink, entries: Mapping[str, SdpEntry], waiting: int) -> TypeStatus:
    entry = entries.get(row.type_id or "")
    type_name = entry.name if entry else row.type_name
    status = _status_of(row, type_name, is_lost=entry is None and (bool(entries) or row.lost_at is not None))
    advice = _advice(status, row)
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
        candidates=tuple(
            Candidate(one, entries[one].name if one in entries else "") for one in row.candidates or ()
        ),
        waiting=waiting,
        needs_person=advice.needs_person,
        next=advice.next,
    )


def _status_of(row: WorklogTypeLink, type_name: str | None, *, is_lost: bool) -> str:
    if row.gone_at is not None:
        return "gone"
    if row.type_id is not None and is_lost:
        return "lost"
    if row.state == "ignored":
        return "ignored"
    if not row.is_sold:
        return "not_sold"
    if row.type_id is not None:
        return "linked" if type_name == row.name else "renamed"
    return _status_of_unlinked(row)


def _status_of_unlinked(row: WorklogTypeLink) -> str:
    if row.state == "refused":
        return "refused"
    return "xero_only" if row.candidates is None else "ambiguous"


def _advice(status: str, row: WorklogTypeLink) -> _Advice:
    if (row.problem or "").startswith(INVALID) and status not in ("gone", "ignored"):
        return _to_do("correct the item in Xero; until then nothing is written for it")
    if row.type_id is not None:
        return _LINKED.get(status) or _advice_on_names(status, row)
    return _advice_on_xero_only(row) if status == "xero_only" else _UNLINKED[status]


def _advice_on_names(status: str, row: WorklogTypeLink) -> _Advice:
    if row.lost_at is not None:  # and yet it is listed: a run met its id in use again
        return _no_need(f"nothing: the next {_JOB} finds out whose type it is")
    if row.problem:
        return _to_do("rename the worklog type in ServiceDesk Plus, or let the key do it")
    if status == "linked":
        return _no_need("nothing")
    if row.how in ("exact", "created"):
        return _no_need(f"the next {_JOB} renames the worklog type")
    return _no_need("nothing: linked by hand, and both names stay")


def _advice_on_xero_only(row: WorklogTypeLink) -> _Advice:
    if row.choice == LIST and row.problem:
        return _to_do("link it, or choose create or ignore")
    if row.choice == LIST:
        return _to_do("you took its link away: link it, or choose create or ignore")
    if row.problem:
        return _to_do(f"correct that; the next {_JOB} tries again")
    return _no_need("the next run creates the type")


def _of_type(  # noqa: PLR0913 - everything that is known of a type without an item
    type_id: str,
    name: str,
    entry: SdpEntry | None,
    *,
    is_ignored: bool,
    waiting: int,
    is_synced: bool,
) -> TypeStatus:
    is_inactive = entry is not None and entry.inactive
    if is_ignored:
        advice = _no_need("nothing: no item is wanted; `types unignore` or `types link` brings it back")
    elif not is_synced:  # before the first run, and after a start with another organisation
        advice = _no_need(f"not compared with Xero yet: {_JOB}")
    elif is_inactive and not waiting:
        advice = _no_need("nothing: it is switched off, and no worklog waits for it")
    else:
        advice = _to_do("create an item of this name, or link one; or ignore the type")
    return TypeStatus(
        status="ignored" if is_ignored else "sdp_only",
        type_id=type_id,
        type_name=name,
        type_inactive=is_inactive,
        waiting=waiting,
        needs_person=advice.needs_person,
        next=advice.next,
    )
