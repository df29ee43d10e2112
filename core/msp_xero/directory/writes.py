"""Writing to SDP one record at a time: what one refusal means for this record and for the rest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from msp_xero.errors import AccessRefused, LedgerError, Missing, Rejected, RemoteError
from msp_xero.ledger.types import encode_exact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

REFUSALS: Final = (Rejected, AccessRefused, Missing)
"""What SDP can say to one write while the others may go on; all else ends the settle."""

DUPLICATE: Final = 4008
MANDATORY: Final = 4012
_PATIENCE: Final = 3
_LONGEST_PROBLEM: Final = 1000


class Gate:
    """Stops a kind of write when going on would only collect the same refusal again.

    A role or licence that does not allow one create allows none; a mandatory field that no record
    fills is missing in all of them. Updates may be refused one by one (a key that reaches some
    accounts), so those end only after several refusals in a row.
    """

    def __init__(self, *, patience: int = 1) -> None:
        self._patience = patience
        self._refusals = 0
        self._lacking: frozenset[str] = frozenset()
        self._problem: str | None = None

    def problem(self, sent: Collection[str] = ()) -> str | None:
        """Return why a write with these fields need not be tried, None when it can be."""
        if self._problem is None:
            return None
        if self._lacking and not self._lacking.isdisjoint(_last_names(sent)):
            return None
        return self._problem

    def passed(self) -> None:
        """Take note of a write that went through."""
        self._refusals = 0

    def refused(self, error: RemoteError, problem: str, sent: Collection[str] = ()) -> None:
        """Take note of a refusal."""
        if isinstance(error, Rejected):
            missing = _last_names(error.fields) - _last_names(sent)
            if MANDATORY in error.codes and missing:
                self._lacking, self._problem = missing, problem
            return
        self._refusals += 1
        if self._refusals >= self._patience:
            self._lacking, self._problem = frozenset(), problem


def _last_names(paths: Collection[str]) -> frozenset[str]:
    """Drop the container of custom fields, which has several names and is not always told."""
    return frozenset(path.rpartition(".")[2] for path in paths)


def update_gate() -> Gate:
    """Return the gate of updates."""
    return Gate(patience=_PATIENCE)


def words(error: RemoteError) -> str:
    """Return the system's own words for a record's ``problem``."""
    advice = f" {error.advice}." if error.advice else ""
    return f"ServiceDesk Plus MSP: {error.problem}.{advice}"[:_LONGEST_PROBLEM]


def facts(error: RemoteError) -> dict[str, Any]:
    """Return what the audit log keeps of a refusal: codes and field names, no texts."""
    if isinstance(error, Rejected):
        return {"codes": error.codes, "fields": error.fields}
    return {"status": error.status}


def name_of(row: Mapping[str, Any]) -> str:
    """Return the name of a row, empty when it tells none."""
    value = row.get("name")
    return value if isinstance(value, str) else ""


def identity(row: Mapping[str, Any]) -> str | None:
    """Return the id of a row as text; SDP gives it as text or number."""
    value = row.get("id")
    return None if value in (None, "") else str(value)


def digest_of(remaining: Mapping[str, Any]) -> str | None:
    """Digest the values that SDP keeps in a form of its own; None when there are none."""
    if not remaining:
        return None
    return hashlib.sha256(encode_exact(remaining).encode()).hexdigest()


def refuse_another_installation(
    stored_url: str | None, base_url: str | None, linked: Mapping[str, str | None], listed: Mapping[str, str]
) -> None:
    """Stop before the rows of one installation are taken for those of another.

    Ids are small numbers on every installation: with the ledger of one and the address of another,
    strangers' accounts would be overwritten. An installation that only moved still has its names.

    Args:
        stored_url: the address that the links were made with.
        base_url: the address of this run.
        linked: last known name by id of everything that is linked.
        listed: name by id as listed now.

    Raises:
        LedgerError: the address changed and most linked rows have another name now, or are not there.
    """
    if not stored_url or not base_url or stored_url == base_url or not linked:
        return
    agreeing = sum(listed.get(sdp_id) == name for sdp_id, name in linked.items())
    if agreeing * 2 < len(linked):
        raise LedgerError(
            f"the links of this connection were made with {stored_url}, and {base_url} is another "
            f"installation: {len(linked) - agreeing} of {len(linked)} linked rows are not there. "
            "Set another connection name for it, or correct base_url"
        )
