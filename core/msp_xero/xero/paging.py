"""Walking lists whose rows move between two pages, without losing one."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from msp_xero.xero import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

Row = dict[str, Any]

_MOST_WALKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list.

    Attributes:
        rows: the rows, maybe none.
        number: counted from 1.
        page_count: pages that the list has now, None when not told.
        item_count: rows that the list has now, None when not told.
    """

    rows: list[Row]
    number: int
    page_count: int | None = None
    item_count: int | None = None

    @classmethod
    def of(cls, body: Row, member: str, number: int) -> Page:
        """Read a page from a decoded body; any part may be missing."""
        rows = body.get(member)
        pagination = body.get("pagination")
        told = pagination if isinstance(pagination, dict) else {}
        return cls(
            rows=[row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else [],
            number=number,
            page_count=_count(told.get("pageCount")),
            item_count=_count(told.get("itemCount")),
        )

    def is_last(self, previous: Page | None) -> bool:
        """Tell whether no page follows.

        A short page is no sign of the end, because Xero clamps pageSize (xero-api §10 point 16); past the
        end comes an empty one. Without a page count, the same page again means that there is only one.
        """
        if self.page_count is not None:
            return self.number >= self.page_count
        return not self.rows or (self.number > 1 and previous is not None and self.rows == previous.rows)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def walk_by_id(fetch: Callable[[int], Page], key: str) -> Iterator[Row]:
    """Walk a list that is ordered by id and that rows never leave; each row is yielded once.

    A new row moves the rest to the right, so that a row comes again and is dropped. If the new row itself
    fell into a page that was read already, Xero's item count is higher than ours: then the list is walked
    again, until it agrees or a whole walk brings nothing new.

    Args:
        fetch: returns the page of a number counted from 1.
        key: the name of the id.
    """
    seen: set[str] = set()
    for walk in range(1, _MOST_WALKS + 1):
        known = len(seen)
        previous = None
        for number in itertools.count(1):
            page = fetch(number)
            yield from _unseen(page.rows, key, seen)
            if page.is_last(previous):
                break
            previous = page
        complete = page.item_count is None or len(seen) >= page.item_count
        if complete or (walk > 1 and len(seen) == known):
            return
        log.info(
            "the list grew while it was read (%d of %d rows); reading it again", len(seen), page.item_count
        )
    log.warning("the list kept changing while it was read %d times; the next run reads on", _MOST_WALKS)


def walk_by_change(
    fetch: Callable[[int, datetime | None], Page], key: str, *, since: datetime | None
) -> Iterator[Row]:
    """Walk a list that is ordered by ``UpdatedDateUTC`` ascending; each row is yielded once.

    A row that is edited moves to the end, and one that a filter does not match any more leaves. Both shift
    the rest to the left, and page 2 would skip one for ever. So the walk goes by value: always page 1, of
    what changed since the last row. Only when one second, which is the precision of that bound, fills a whole
    page are pages counted; then they are read again until they bring nothing new.

    Args:
        fetch: returns a page by its number and a lower bound of ``UpdatedDateUTC``, None for no bound.
        key: the name of the id.
        since: where to start, aware UTC.
    """
    seen: set[str] = set()
    cursor, number, known = since, 1, 0
    page = None
    while True:
        previous, page = page, fetch(number, cursor)
        yield from _unseen(page.rows, key, seen)
        last = page.is_last(previous)
        reached = _last_change(page.rows)
        advanced = reached is not None and (cursor is None or reached > cursor)
        if not last and not advanced:
            number += 1
        elif number > 1 and len(seen) > known:
            number, known = 1, len(seen)
        elif last:
            return
        else:
            cursor, number, known = reached, 1, len(seen)


def _last_change(rows: list[Row]) -> datetime | None:
    """Return the bound from which the last row and all later ones come, None when rows are not in order.

    It is one second early, because it is not told whether the bound is inclusive.
    """
    texts = [row.get("UpdatedDateUTC") for row in rows]
    moments = [wire.parse_instant(text) for text in texts if isinstance(text, str)]
    if not moments or len(moments) < len(rows) or moments != sorted(moments):
        return None
    return moments[-1].replace(microsecond=0) - timedelta(seconds=1)


def _unseen(rows: list[Row], key: str, seen: set[str]) -> Iterator[Row]:
    for row in rows:
        identity = row.get(key)
        if isinstance(identity, str):
            if identity in seen:
                continue
            seen.add(identity)
        yield row
