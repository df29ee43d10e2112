"""The bookmarks that this ledger has let pass, so that one that is ahead of it is noticed.

Meltano keeps the bookmark, the ledger keeps the worklogs. Where an older copy of the ledger was put
in place, or a new one, the bookmark is ahead: what was delivered to the newer copy never comes again.
So the ledger remembers, in its own store, up to where it has everything: for each module and each
walk over parents that finds its worklogs. A run that starts later leaves a gap between, and what is
remembered does not move past a gap until a run closes it, by starting at or before its beginning.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from msp_xero.errors import LedgerError
from msp_xero.ledger.models import BillingConnection, Worklog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

Place = tuple[str, str]
"""A module and the name of a walk, as the bookmark names them: ``("tasks", "problems")``."""
Positions = dict[Place, datetime]
"""Where walks stand, aware UTC to the millisecond."""
Starts = dict[Place, datetime | None]
"""Where walks of a run began; None is the very beginning."""


class PassedBookmarks:
    """What one run learns about bookmarks, and what the ledger remembers of it.

    Make it before the first worklog of a run is stored: an empty ledger notes that it has nothing.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._started_at: Positions | None = None
        self._remember_at_first(None)

    def arrived(self, state: Mapping[str, Any]) -> None:
        """Take note of a STATE that came: the first one of a run is where the run starts."""
        if self._started_at is None:
            self._started_at = positions_in(state)
            self._remember_at_first(self._started_at)

    def let_pass(self, state: Mapping[str, Any], since: Starts | None = None) -> None:
        """Remember a STATE, committed when this returns; beyond a gap nothing is remembered.

        Args:
            state: the value that is about to be passed on.
            since: where the run began, if it has said so; else its first STATE is where. A module that did
                not run is told by that STATE alone, and stays where it was.
        """
        reached = positions_in(state)
        starts: Starts = {**(self._started_at or {}), **(since or {})}
        known = self.known()
        if _moved(known, starts, reached) == known:
            return
        with self._ledger.write() as session:
            row = self._ledger.connection(session)
            row.bookmarks = _to_stored(_moved(_from_stored(row.bookmarks), starts, reached))

    def forget(self, since: Starts) -> None:
        """Remember no more than what was there before this run: records of it were lost on their way.

        Later runs go on from a bookmark that is ahead of that, and are refused until one starts anew.

        Args:
            since: where the run began.
        """
        with self._ledger.write() as session:
            row = self._ledger.connection(session)
            known = _from_stored(row.bookmarks)
            for place in known.keys() & since.keys():
                begun = since[place]
                if begun is None:
                    del known[place]
                else:
                    known[place] = min(known[place], begun)
            row.bookmarks = _to_stored(known)

    def check(self, since: Starts) -> None:
        """Do nothing when the run began within what this ledger has.

        Raises:
            LedgerError: it began later: what lies between was delivered to another copy.
        """
        known = self.known()
        late = {place: at for place, at in since.items() if at and _is_after(at, known.get(place))}
        if late:
            modules = ", ".join(dict.fromkeys(module for module, _ in late))
            first = min(late, key=late.__getitem__)
            begun, have = late[first], known.get(first)
            held = f"only up to {_readable(have)}" if have else "nothing of that time"
            raise LedgerError(
                f"the bookmark is ahead of this ledger: the run went on from {_readable(begun)} ({modules}), "
                f"and this ledger has {held}. It is an older copy or a new one, or a run before lost records "
                "on their way, and what is missing would never come. Nothing was billed, and what came is "
                "stored. Run once with "
                f"meltano run --full-refresh worklogs; {self._of_billing_again()}"
            )

    def _of_billing_again(self) -> str:
        if self._ledger.generation == 1:
            return "it sends nothing again: what is billed stays billed"
        # Xero shows what the present organisation was billed, and of one before it nobody asks any more.
        return (
            "before that, set push to false: what an organisation before this one was billed after the copy "
            "was made would be billed again. Exclude it (`msp-xero invoices preview` shows it), then bill"
        )

    def known(self) -> Positions:
        """Return up to where this ledger has everything."""
        return known_positions(self._ledger)

    def _remember_at_first(self, started_at: Positions | None) -> None:
        """Give a ledger its memory: nothing if it is empty, else where the first run that it sees starts.

        A ledger with worklogs and no memory is from before there was one, and trusted this once.
        """
        if _stored(self._ledger) is not None:
            return
        with self._ledger.write() as session:
            row = self._ledger.connection(session)
            if row.bookmarks is None and not self._has_worklogs(session):
                row.bookmarks = {}
            elif row.bookmarks is None and started_at is not None:
                row.bookmarks = _to_stored(started_at)

    def _has_worklogs(self, session: Session) -> bool:
        """Tell whether a worklog was ever delivered; those that only Xero tells of were not."""
        delivered = select(Worklog.id).where(
            Worklog.connection_id == self._ledger.connection_id, Worklog.rebuilt.is_(False)
        )
        return session.scalar(delivered.limit(1)) is not None


_BOOKMARKS = select(BillingConnection.bookmarks).where(BillingConnection.id == bindparam("id"))


def _stored(ledger: Ledger) -> dict[str, Any] | None:
    with ledger.read() as session:
        stored: dict[str, Any] | None = session.execute(_BOOKMARKS, {"id": ledger.connection_id}).scalar_one()
    return stored


def known_positions(ledger: Ledger) -> Positions:
    """Return up to where a ledger has everything, without giving it a memory if it has none."""
    return _from_stored(_stored(ledger))


def positions_in(state: Mapping[str, Any]) -> Positions:
    """Return where the walks of ``worklogs`` stand in a STATE of tap-msp-sdp; nothing for other taps.

    A module with several walks has a place for each under ``positions``. Its own value is the
    earliest of them, or an earlier one that a person set back to; then it counts for all.
    """
    found: Positions = {}
    for module, bookmark in _bookmarks(state):
        value = moment(bookmark.get("replication_key_value"))
        positions = bookmark.get("positions")
        if not isinstance(positions, dict):
            positions = {module: bookmark.get("replication_key_value")}
        places = {(module, walk): at for walk, told in positions.items() if (at := moment(told))}
        if value and places and value < min(places.values()):
            places = dict.fromkeys(places, value)
        found |= places
    return found


def moment(told: object) -> datetime | None:
    """Return an ISO time as aware UTC to the millisecond, without a zone as UTC; None if it is none."""
    try:
        at = datetime.fromisoformat(told)  # type: ignore[arg-type]
        at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _bookmarks(state: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the bookmark of each module; whatever does not look like one is left out."""
    found: Any = state
    for name in ("bookmarks", "worklogs", "partitions"):
        found = found.get(name) if isinstance(found, dict) else None
    for partition in found if isinstance(found, list) else ():
        context = partition.get("context") if isinstance(partition, dict) else None
        module = context.get("module") if isinstance(context, dict) else None
        if isinstance(module, str):
            yield module, partition


def _moved(known: Positions, starts: Starts, reached: Positions) -> Positions:
    """Return what is known after a STATE: all that is joined to what was known, and never less."""
    joined = {
        place: at
        for place, at in reached.items()
        if (start := starts.get(place)) is None or not _is_after(start, known.get(place))
    }
    return known | {place: max(at, known.get(place, at)) for place, at in joined.items()}


def _is_after(at: datetime, known: datetime | None) -> bool:
    return known is None or at > known


def _from_stored(stored: Mapping[str, Mapping[str, str]] | None) -> Positions:
    return {
        (module, walk): at
        for module, walks in (stored or {}).items()
        for walk, told in walks.items()
        if (at := moment(told))
    }


def _to_stored(positions: Positions) -> dict[str, dict[str, str]]:
    stored: dict[str, dict[str, str]] = {}
    for (module, walk), at in positions.items():
        told = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        stored.setdefault(module, {})[walk] = told
    return stored


def _readable(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
