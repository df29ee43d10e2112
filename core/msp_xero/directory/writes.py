"""Writing to SDP one record at a time: what one refusal means for this record and for the rest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from msp_xero.errors import AccessRefused, LedgerError, Missing, Rejected, RemoteError, Unavailable
from msp_xero.ledger.types import encode_exact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from msp_xero.ledger.models import AccountLink, WorklogTypeLink

REFUSALS: Final = (Rejected, AccessRefused, Missing)
"""What SDP can say to one write while the others may go on."""

DUPLICATE: Final = 4008
MANDATORY: Final = 4012
_PATIENCE: Final = 3
_LONGEST_PROBLEM: Final = 1000
_NAME_HELD: Final = (
    "If two want each other's names, give one of them a third name in ServiceDesk Plus MSP: the next run "
    "then renames both."
)

_RowT = TypeVar("_RowT", "AccountLink", "WorklogTypeLink")
_RowT_contra = TypeVar("_RowT_contra", "AccountLink", "WorklogTypeLink", contravariant=True)


class Gate:
    """Stops a kind of write when going on would only collect the same refusal again.

    A role or licence that does not allow one create allows none; a mandatory field that no record
    fills is missing in all of them. Updates may be refused one by one (a key that reaches some
    accounts, a row that is gone), so those end only after several refusals in a row. What an update is
    refused for its content, such as a mandatory field that was empty before, says nothing of others: it was
    allowed.
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

    def allowed(self) -> None:
        """Take note of a write that was not refused as such, whatever became of it."""
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


class Unanswered:
    """Writes without a usable answer: one is a matter of its record, several in a row are SDP's.

    Attributes:
        has_news: whether a record is among them whose last write had an answer.
        are_too_many: whether several came in a row, so that no other write is tried.
    """

    def __init__(self) -> None:
        self._in_a_row = 0
        self._first: Unavailable | None = None
        self.has_news = False
        self.are_too_many = False

    def answered(self) -> None:
        """Take note that SDP answered a write, whatever it said."""
        self._in_a_row = 0

    def note(self, error: Unavailable, *, is_news: bool) -> None:
        """Take note of a write without an answer."""
        self._first = self._first or error
        self.has_news = self.has_news or is_news
        self._in_a_row += 1
        self.are_too_many = self.are_too_many or self._in_a_row >= _PATIENCE

    def end_the_run(self) -> None:
        """Let a run fail in which a write had no answer, after all the others were made.

        Raises:
            Unavailable: the first of them.
        """
        if self._first is not None:
            raise self._first


class Writer(Protocol[_RowT_contra]):
    """What makes the writes of one settle, one record at a time."""

    def create(self, row: _RowT_contra) -> None:
        """Create what a record is to have."""

    def bring_up_to_date(self, row: _RowT_contra) -> None:
        """Write what differs of a record that is linked."""

    def rename_again(self) -> None:
        """Try the names again that something else had."""

    def tell_held_names(self) -> None:
        """Store which names could not be given."""

    def is_over(self) -> bool:
        """Whether nothing more is written in this run."""


def write_in_turn(writer: Writer[_RowT], rows: Sequence[_RowT], creates: Sequence[_RowT]) -> None:
    """Make all writes, and last those that had no answer or were not allowed, so that they hold up nobody.

    Among themselves the one comes first that was tried the longest time ago: each has its turn, also
    where a few of them end every run.

    Args:
        writer: makes the writes.
        rows: all records; what has no link is left alone.
        creates: those of them for which something is created.
    """
    tried = {row.id: row.unanswered_at.timestamp() for row in rows if row.unanswered_at is not None}
    to_create = {row.id for row in creates}

    def create_or_update(row: _RowT) -> None:
        if row.id in to_create:
            writer.create(row)
        writer.bring_up_to_date(row)

    _write(writer, [row for row in creates if row.id not in tried], writer.create)
    _write(writer, [row for row in rows if row.id not in tried], writer.bring_up_to_date)
    writer.rename_again()
    again = sorted((row for row in rows if row.id in tried), key=lambda row: tried[row.id])
    _write(writer, again, create_or_update)
    writer.rename_again()
    writer.tell_held_names()


def _write(writer: Writer[_RowT], rows: Iterable[_RowT], write: Callable[[_RowT], None]) -> None:
    for row in rows:
        if writer.is_over():
            return
        write(row)


def name_is_held(error: RemoteError) -> str:
    """Return the problem of a record whose new name another one has, and which is not given up."""
    return f"{words(error)} {_NAME_HELD}"


def words(error: RemoteError) -> str:
    """Return the system's own words for a record's ``problem``."""
    advice = f" {error.advice}." if error.advice else ""
    return f"ServiceDesk Plus MSP: {error.problem}.{advice}"[:_LONGEST_PROBLEM]


def is_put_last(error: RemoteError | None, *, is_linked: bool) -> bool:
    """Whether such a failure may have ended the writes of others, so that those come first the next time.

    A create that is not allowed says the same of all of them, whichever comes first.
    """
    return isinstance(error, Unavailable) or (is_linked and isinstance(error, (AccessRefused, Missing)))


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
        linked: last known name by id of everything that is linked and is of the kind that is listed.
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
