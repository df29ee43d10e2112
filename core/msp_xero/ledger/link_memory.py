"""What a link remembers beside itself: how a person made it, what was taken away, what is under way."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from msp_xero.ledger.link_staging import INVALID

if TYPE_CHECKING:
    from msp_xero.ledger.models import AccountLink, WorklogTypeLink

PERSON: Final = "person"
EXACT: Final = "exact"


def exact_key(name: str) -> str:
    """Return what two exactly equal names share; composed and decomposed letters look the same."""
    return unicodedata.normalize("NFC", name)


def how_by_hand(name: str, sdp_name: str | None) -> str:
    """Say how a person's link is kept: names that were equal when it was made stay equal.

    Args:
        name: of the contact or item.
        sdp_name: of the account or worklog type as last listed, None when it was not.
    """
    return EXACT if sdp_name is not None and exact_key(sdp_name) == exact_key(name) else PERSON


def remember_unlinked(row: AccountLink | WorklogTypeLink, sdp_id: str | None) -> None:
    """Remember what a person took away, so that it is not linked to the same contact or item by itself."""
    if sdp_id is not None:
        row.unlinked = [*(row.unlinked or ()), sdp_id]


def forget_findings(row: AccountLink | WorklogTypeLink, sdp_id: str | None) -> None:
    """Forget what settles found, because a person decided; that a record is invalid stays true.

    Args:
        row: the contact or item.
        sdp_id: what a person linked it to, None without a link. A create that got no answer is over only
            with a link: until then what it may have made is still looked for.
    """
    row.candidates = row.written_digest = row.lost_at = row.unanswered_at = None
    row.problem = row.problem if (row.problem or "").startswith(INVALID) else None
    if sdp_id is not None:
        row.creating_name = None
        row.unlinked = [one for one in row.unlinked or () if one != sdp_id] or None
