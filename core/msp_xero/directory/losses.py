"""Ids that ServiceDesk Plus MSP does not list any more, and that come back as something else.

Ids are given out in order. After an installation was put back from a backup, the id of an account that
was made since is given to the next new one, which may be anybody's.

No I/O: what is decided is set in the rows that are handed in, and the caller stores them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from msp_xero.directory.match import exact_key
from msp_xero.ledger.audit import Change
from msp_xero.ledger.link_staging import INVALID
from msp_xero.ledger.links import LIST

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from msp_xero.ledger.models import AccountLink, WorklogTypeLink

LOST: Final = "lost"
"""How such a link ends, for the audit log."""

RETURNED: Final = (
    "{} {}, which it was linked to, was not listed by ServiceDesk Plus MSP for a while and has another name "
    "now, so its id may have been given out anew: link it again if it is the same, or choose otherwise"
)

KEPT: Final = (
    "ServiceDesk Plus MSP gave it {noun} {sdp_id}, which another one is linked to: if it was put back from a "
    "backup, the next run finds out; else link one of them by hand"
)
"""Why a record is not linked to what was made or found for it."""

DOUBTED: Final = (
    "{} {}, which it is linked to, came back or was given out anew in the middle of a run, so it may be "
    "another one now: leave the link as it is, the next run finds out"
)
"""Why nothing is written to what a record is linked to, though it is listed."""

_RowT = TypeVar("_RowT", "AccountLink", "WorklogTypeLink")


class Linked(NamedTuple):
    """A linked record on our side.

    Attributes:
        sdp_id: what it is linked to.
        known_as: what that was called when it was last listed, None if it never was.
        name: of the contact or item.
        carries_our_id: whether it says itself that it belongs to the contact, whatever it is called.
    """

    sdp_id: str
    known_as: str | None
    name: str
    carries_our_id: bool = False


def note_losses(
    rows: Iterable[tuple[_RowT, Linked]], listed: Mapping[str, str], now: datetime
) -> list[tuple[_RowT, str]]:
    """Note on rows since when their id is not listed; return those whose id is another's now.

    Args:
        rows: what is linked.
        listed: name by id, as listed now.
        now: aware UTC.

    Returns:
        Rows whose link has to be taken away, with the id.
    """
    strangers = []
    for row, linked in rows:
        name = listed.get(linked.sdp_id)
        if name is None:
            row.lost_at = row.lost_at or now
        elif row.lost_at is not None and _is_another(name, linked):
            strangers.append((row, linked.sdp_id))
        else:
            row.lost_at = None
    return strangers


def find_strangers(
    lost: Mapping[str, str], listed: Mapping[str, str], linked: Collection[str | None]
) -> set[str]:
    """Return the ids that were lost and are listed again under another name, linked to nothing.

    Args:
        lost: last name by id of what the last list had not.
        listed: name by id, as listed now.
        linked: ids that are linked: :func:`note_losses` tells more of those.
    """
    return {
        one
        for one, name in lost.items()
        if one in listed and one not in linked and exact_key(listed[one]) != exact_key(name)
    }


def give_up(row: _RowT, sdp_id: str, noun: str, set_link: Callable[[_RowT, None, None], None]) -> Change:
    """Take the link from a record whose id is another's now; return the event, for the caller to record.

    Args:
        row: the contact or item.
        sdp_id: what it was linked to.
        noun: what that is.
        set_link: sets the link of such a row.
    """
    set_link(row, None, None)
    row.choice, row.candidates = LIST, [sdp_id]
    if not (row.problem or "").startswith(INVALID):  # that says more
        row.problem = RETURNED.format(noun, sdp_id)
    return Change(row.__tablename__, row.id, "unlinked", {"sdp_id": sdp_id, "how": LOST})


def make_room(  # noqa: PLR0913 - what is different between accounts and types
    holder: _RowT,
    known: _RowT | None,
    sdp_id: str,
    noun: str,
    set_link: Callable[[_RowT, None, None], None],
    *,
    now: datetime,
    is_new: bool,
) -> Change | None:
    """Take an id from the record that was linked to what had it before.

    One that was not lost keeps it: maybe a person linked it just now. If SDP says that it made something
    under that id, the next run judges by the name that is listed then.

    Args:
        holder: the record as it is stored.
        known: the same as this run has it, None when it came later.
        sdp_id: that another record is to be linked to.
        noun: what that is.
        set_link: sets the link of such a row.
        now: aware UTC.
        is_new: whether SDP has just made what has the id.

    Returns:
        The event, for the caller to record; None when the record keeps the id.
    """
    if holder.lost_at is None:
        for one in (holder, known) if is_new else ():
            if one is not None:
                one.lost_at = now
        return None
    if known is not None:
        give_up(known, sdp_id, noun, set_link)
    return give_up(holder, sdp_id, noun, set_link)


def forget_what_was_not_made(rows: Iterable[_RowT], free: Collection[str]) -> None:
    """Forget creates without an answer that made nothing, so that no later stranger is taken for theirs.

    Args:
        rows: all contacts or items.
        free: the names of all that is listed now and that nobody is linked to.
    """
    made = {exact_key(name) for name in free}
    for row in rows:
        if row.creating_name is not None and exact_key(row.creating_name) not in made:
            row.creating_name = None


def _is_another(name: str, linked: Linked) -> bool:
    if linked.known_as is None or linked.carries_our_id:
        return False
    return exact_key(name) not in {exact_key(linked.known_as), exact_key(linked.name)}
