"""Walking a list that changes while it is read. Cursors are values: they own no session.

Rows move: a ticket that is updated between two pages shifts all that follow, and an offset then
skips one for ever. :class:`ValueCursor` therefore pages by value; :class:`OffsetCursor`, for lists
that cannot be asked by value, reads again until a pass agrees with the server's own total.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from msp_xero.errors import Unavailable
from msp_xero.sdp.dialects import epoch_ms
from msp_xero.sdp.envelope import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = dict[str, Any]

PAGE_ROWS: Final = 100  # the most that SDP gives (sdp-msp-api §2)
PASSES: Final = 3
_EMPTY_AND_MORE: Final = "an empty page says that more rows follow"


class CannotWalk(Exception):
    """The list cannot be walked by this field: refused, not delivered, not sorted, not filtered."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its rows, whether more follow, how many there are in all if told."""

    rows: list[Row]
    more: bool
    total: int | None


def read_page(payload: Mapping[str, Any], key: str, *, address: str) -> Page:
    """Read rows and list_info from the answer of a list call (sdp-msp-api §2).

    Raises:
        Unavailable: the rows are not where they should be, or are no rows; an empty list would hide them.
    """
    info = payload.get("list_info")
    info = info if isinstance(info, dict) else {}
    more = str(info.get("has_more_rows")).lower() == "true"
    rows = payload.get(key)
    if rows is None:
        lists = [v for k, v in payload.items() if isinstance(v, list) and k != "response_status"]
        counted = _count(info.get("row_count")) or _count(info.get("total_count"))
        if len(lists) == 1 and _are_rows(lists[0]):
            rows = lists[0]
        elif info and not counted and not more:
            rows = []
    if not isinstance(rows, list):
        raise Unavailable(f"the answer has no list named {key}", system=SYSTEM, address=address, status=200)
    if not all(isinstance(row, dict) for row in rows):
        raise Unavailable(f"not all {key} are rows", system=SYSTEM, address=address, status=200)
    if info.get("has_more_rows") is None:
        more = len(rows) >= PAGE_ROWS
    return Page(rows=rows, more=more, total=_count(info.get("total_count")))


def _are_rows(found: list[Any]) -> bool:
    return bool(found) and all(isinstance(row, dict) and row.get("id") is not None for row in found)


def list_input(  # noqa: PLR0913 - one argument a member of list_info
    *,
    start: int = 1,
    sort_field: str | None = None,
    ascending: bool = True,
    fields: Sequence[str] | None = None,
    criteria: object = None,
    total: bool = False,
    more: Mapping[str, Any] | None = None,
    fields_twice: bool = False,
) -> Row:
    """Build the input_data of a list call.

    Args:
        start: 1-based offset of the first row.
        sort_field: a field that the list can be sorted by.
        ascending: the direction.
        fields: columns to deliver; without them lists leave out account, site and times.
        criteria: search_criteria.
        total: ask for the number of all rows.
        more: further members beside list_info.
        fields_twice: name the columns beside list_info too, as some builds expect.
    """
    info: Row = {"row_count": PAGE_ROWS, "start_index": start}
    if sort_field:
        info |= {"sort_field": sort_field, "sort_order": "asc" if ascending else "desc"}
    if total:
        info["get_total_count"] = True
    if fields:
        info["fields_required"] = list(fields)
    if criteria:
        info["search_criteria"] = criteria
    sibling = {"fields_required": list(fields)} if fields and fields_twice else {}
    return {"list_info": info, **sibling, **(more or {})}


class ValueCursor:
    """Pages by ``field >= value``, ascending; offsets only inside one equal value.

    A row that is updated during the walk leaves its place and comes again, later, with its new
    value; it is then handed out again, because what hangs on it may be new too.
    """

    def __init__(self, field: str, since: int) -> None:
        self.field = field
        self.value = since
        self.offset = 0
        self.finished = False
        self._at_value: set[str] = set()  # ids handed out whose field equals self.value
        self._in_group = False  # more rows than a page share self.value: offsets are needed
        self._pass: set[str] = set()
        self._pass_before: set[str] | None = None

    def criteria(self) -> Row:
        """Return the search criterion of the next page."""
        return {"field": self.field, "condition": "greater or equal", "value": str(self.value)}

    def accept(self, page: Page) -> list[Row]:
        """Take a page in and return the rows that were not handed out yet.

        Raises:
            CannotWalk: the server ignores criterion, order or offset, does not deliver the field, or
                contradicts itself.
        """
        if page.more and not page.rows:
            raise CannotWalk(_EMPTY_AND_MORE)
        values = [epoch_ms(row.get(self.field)) for row in page.rows]
        last = self.value
        for value in values:
            if value is None or value < last:
                raise CannotWalk(f"{self.field} does not come sorted and filtered")
            last = value
        if page.more and last == self.value:
            self._in_group = True
        if self._in_group:
            return self._accept_group(page.rows, values, more=page.more)
        fresh = []
        for row, value in zip(page.rows, values, strict=True):
            fresh += self._fresh(row, value or 0)
        self.finished = not page.more
        return fresh

    def _fresh(self, row: Row, value: int) -> list[Row]:
        if value > self.value:
            self.value, self._at_value = value, set()
        identity = str(row.get("id"))
        if identity in self._at_value:
            return []
        self._at_value.add(identity)
        return [row]

    def _accept_group(self, rows: list[Row], values: list[int | None], *, more: bool) -> list[Row]:
        """Walk the rows of one value by offset, pass after pass.

        A row that leaves the group shifts the others under the offset. One that was read before it
        left is missing in the next pass, so two equal passes prove that none was skipped.
        """
        group = [row for row, value in zip(rows, values, strict=True) if value == self.value]
        fresh = [found for row in group for found in self._fresh(row, self.value)]
        self._pass |= {str(row.get("id")) for row in group}
        if more and len(group) == len(rows):
            self.offset += len(rows)
            if self.offset > len(self._at_value) + PAGE_ROWS:
                raise CannotWalk("start_index is ignored")
            return fresh
        self.offset = 0
        if self._pass != self._pass_before:
            self._pass, self._pass_before = set(), self._pass
            return fresh
        self._pass, self._pass_before = set(), None
        self.finished = not more and len(group) == len(rows)
        self.value, self._at_value, self._in_group = self.value + 1, set(), False
        return fresh


class OffsetCursor:
    """Pages by offset and compares with the total; repeats passes until they agree, three at most.

    A total that stays different over two equal passes is the server's own opinion (rows that the
    key may not see) and is accepted; ``disagrees`` then tells the two numbers.

    Each page begins with the last row of the one before. Where it does not, rows before it were taken out of
    the list, and those that moved up were skipped, although as many may have been added at the end.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.finished = False
        self.disagrees: tuple[int, int] | None = None
        self._last: str | None = None  # the row that the next page has to begin with
        self._torn = False
        self._seen: set[str] = set()
        self._pass: set[str] = set()
        self._totals: set[int] = set()
        self._passes = 0
        self._before: tuple[frozenset[str], frozenset[int]] | None = None

    def accept(self, page: Page) -> list[Row]:
        """Take a page in and return the rows that were not handed out yet.

        Raises:
            CannotWalk: the server gives the same page again and again, or contradicts itself.
        """
        self._torn |= self._last not in {None, *_ids(page.rows[:1])}
        fresh: list[Row] = []
        for row in page.rows:
            identity = str(row.get("id"))
            self._pass.add(identity)
            if identity not in self._seen:
                self._seen.add(identity)
                fresh.append(row)
        if page.total is not None:
            self._totals.add(page.total)
        if page.more and not page.rows and self._totals != {len(self._pass)}:
            raise CannotWalk(_EMPTY_AND_MORE)
        if page.more and page.rows:
            overlap = len(page.rows) > 1
            self._last = _ids(page.rows)[-1] if overlap else None
            self.offset += len(page.rows) - overlap
            if self.offset > len(self._pass) + PAGE_ROWS:
                raise CannotWalk("start_index is ignored")
        else:
            self._end_pass()
        return fresh

    def _end_pass(self) -> None:
        self._passes += 1
        is_whole = not self._totals or self._totals == {len(self._pass)}
        agrees = is_whole and not self._torn
        found = (frozenset(self._pass), frozenset(self._totals))
        if agrees or found == self._before or self._passes >= PASSES:
            self.finished = True
            self.disagrees = None if is_whole else (len(self._pass), max(self._totals))
            return
        self._before = found
        self.offset, self._pass, self._totals = 0, set(), set()
        self._last, self._torn = None, False


def _ids(rows: list[Row]) -> list[str]:
    return [str(row.get("id")) for row in rows]


def _count(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return None
