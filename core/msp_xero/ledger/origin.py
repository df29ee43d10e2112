"""Where the contacts and items of a run come from: of which organisation, and from which bookmark on.

The taps tell both in their first STATE, before any record. A tap that is not ours tells no
organisation, and maybe no bookmark that can be read: then nothing is judged.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - a named tuple's annotations
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msp_xero.errors import LedgerError
from msp_xero.ledger.bookmarks import moment
from msp_xero.ledger.organisation import pin, refuse_other

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msp_xero.ledger.store import Ledger

ORGANISATION: Final = "organisation"
"""Member of a STATE that names the organisation: ``{"OrganisationID": …, "Name": …}``."""

_CONTACTS: Final = "contacts"
_BEFORE_THEIR_END: Final = {"starting_replication_value", "replication_key_signpost", "progress_markers"}
_TRUSTED: Final = 9999
"""The year that the migration wrote for a ledger with contacts: its next bookmark is believed."""


class Origin(NamedTuple):
    """What the first STATE of a run told; ``contacts_since`` is None for the very beginning.

    ``is_told`` is false for a run that told nothing before its first stream: where it began nobody knows.
    ``tells_ends`` is true for a tap of ours: each of its streams ends with a STATE.
    """

    organisation_id: str | None = None
    organisation_name: str = ""
    contacts_since: datetime | None = None
    is_told: bool = False
    tells_ends: bool = False

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Origin:
        """Read a STATE; what does not look like ours says nothing."""
        told = state.get(ORGANISATION)
        told = told if isinstance(told, dict) else {}
        organisation_id, name = told.get("OrganisationID"), told.get("Name")
        if not isinstance(organisation_id, str) or not 0 < len(organisation_id) <= 64:
            organisation_id = None
        name = name if isinstance(name, str) and name else "without a name"
        since = _contacts_at(state)
        return cls(organisation_id, name, since, is_told=True, tells_ends=ORGANISATION in state)


def refuse_foreign(ledger: Ledger, origin: Origin) -> None:
    """Tie the connection to the organisation at first sight.

    Raises:
        LedgerError: the run is of another organisation; its contacts must not mix with those here.
    """
    if origin.organisation_id is None:
        return
    with ledger.read() as session:
        row = ledger.connection(session)
        refuse_other(row, origin.organisation_id, origin.organisation_name)
        known = (row.organisation_id, row.organisation_name)
    if known != origin[:2]:
        with ledger.write() as session:
            pin(session, ledger, origin.organisation_id, origin.organisation_name)


def refuse_gap(ledger: Ledger, origin: Origin) -> None:
    """Do nothing when a run of contacts begins within what this ledger has.

    Raises:
        LedgerError: it begins later: contacts from before would never come to this ledger.
    """
    if origin.contacts_since is None:
        return
    with ledger.read() as session:
        known = ledger.connection(session).contacts_read_to
    if known is None or origin.contacts_since > known:
        has = f"has them only up to {_readable(known)}" if known else "never got all of them"
        raise LedgerError(
            f"the bookmark of contacts is ahead of this ledger: the run would go on from "
            f"{_readable(origin.contacts_since)}, and this ledger {has}. It is new, an older copy, or was "
            "started over with another organisation, so contacts from before would never come to it. Nothing "
            "was changed. Run once with meltano run --full-refresh accounts"
        )


def remember_contacts(ledger: Ledger, origin: Origin, state: Mapping[str, Any]) -> None:
    """Remember up to where this ledger has all contacts, committed when this returns.

    Args:
        ledger: the open ledger.
        origin: where the run began.
        state: the STATE that is about to be passed on.
    """
    reached = _contacts_at(state)
    if reached is None:
        return
    with ledger.read() as session:
        known = ledger.connection(session).contacts_read_to
    since = origin.contacts_since
    if since is not None and (known is None or since > known):
        return
    if not origin.is_told and known is not None:
        return  # between what is known here and where the run began may be a gap
    if known is None or known.year == _TRUSTED or reached > known:
        with ledger.write() as session:
            ledger.connection(session).contacts_read_to = reached


def covers_all_contacts(state: Mapping[str, Any]) -> bool:
    """Tell whether a STATE that came after contacts began is that of their end.

    Until then the SDK notes beside the bookmark, which stays where it was, from where and how far it reads.
    """
    return not _BEFORE_THEIR_END & _bookmark_of_contacts(state).keys()


def _contacts_at(state: Mapping[str, Any]) -> datetime | None:
    return moment(_bookmark_of_contacts(state).get("replication_key_value"))


def _bookmark_of_contacts(state: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = state
    for name in ("bookmarks", _CONTACTS):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _readable(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
