"""Lists: ``list_info``, pages, order and columns (sdp-msp-api §2).

The rows of a table come from a view that is kept in order, so that a page of thousands of requests
costs as much as a page of ten.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp.columns import render
from msp_xero_sandbox.sdp.criteria import Criteria
from msp_xero_sandbox.sdp.errors import Refusal
from msp_xero_sandbox.sdp.reading import CLOSED_STATUSES
from msp_xero_sandbox.sdp.store import sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from msp_xero_sandbox.sdp.columns import Column, Entity
    from msp_xero_sandbox.sdp.reading import Reader
    from msp_xero_sandbox.sdp.store import Row, SortKey, Table

MOST_ROWS = 100
_DEFAULT_ROWS = 10
_FILTERS = {
    "All_Requests": None,
    "All_Pending": False,
    "All_Pending_User": False,
    "Open_System": False,
    "All_Completed": True,
    "All_Completed_User": True,
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows as they go out, with the ``list_info`` that describes it."""

    rows: list[dict[str, Any]]
    list_info: dict[str, Any]


class Listing:
    """One list call: what is asked for, checked against what the kind of row can do."""

    def __init__(self, reader: Reader, entity: Entity, asked: dict[str, Any]) -> None:
        self._reader = reader
        self._entity = entity
        self._columns = entity.available(reader)
        info = asked.get("list_info") or {}
        if not isinstance(info, dict):
            raise Refusal(4021, field="list_info")
        self._row_count = self._wanted_rows(info)
        self._start = self._first_row(info)
        self._sort_field, self._descending = self._order(info)
        self._wants_total = info.get("get_total_count") in (True, "true")
        self._shown = self._wanted_columns(asked, info)
        criteria = info.get("search_criteria")
        self._criteria = Criteria(reader, self._columns, criteria) if criteria else None
        self._closed = self._filter_by(info)

    # -- where the rows are

    def of_table(self, table: Table, admits: Callable[[str, Row], bool] | None) -> Page:
        """Return the page of a table's listed rows; ``admits`` leaves out what the caller may not see."""
        member = self._columns[self._sort_field].sorts_by or "id"
        view = table.view(member)
        low, high = 0, len(view)
        criteria = self._criteria
        bounds = criteria and criteria.bounds(self._sort_field)
        if bounds:
            criteria = None
            low = bisect_left(view, (1, bounds[0])) if bounds[0] is not None else bisect_left(view, (1,))
            high = bisect_left(view, (1, bounds[1] + 1)) if bounds[1] is not None else len(view)
        rows = table.rows
        if criteria is None and admits is None and self._closed is None:
            return self._page_of(view, max(low, 0), max(high, low), lambda key: rows[key])
        passing = [
            key
            for *_, key in view[low:high]
            if (admits is None or admits(key, rows[key]))
            and (criteria is None or criteria.accepts(rows[key]))
            and (self._closed is None or (rows[key]["status"] in CLOSED_STATUSES) is self._closed)
        ]
        if self._descending:
            passing.reverse()
        return self._page(
            [rows[key] for key in passing[self._start - 1 : self._start - 1 + self._row_count]], len(passing)
        )

    def of_rows(self, rows: Sequence[tuple[str, Row]]) -> Page:
        """Return the page of the few rows under a parent."""
        chosen = [(key, row) for key, row in rows if self._criteria is None or self._criteria.accepts(row)]
        member = self._columns[self._sort_field].sorts_by or "id"
        if len(chosen) > 1:
            chosen.sort(key=lambda pair: sort_key(pair[1], member, pair[0]), reverse=self._descending)
        first = self._start - 1
        return self._page([row for _, row in chosen[first : first + self._row_count]], len(chosen))

    # -- what is asked for

    def _wanted_rows(self, info: dict[str, Any]) -> int:
        count = _whole(info.get("row_count", _DEFAULT_ROWS), "row_count")
        if count < 1:
            raise Refusal(4001, field="row_count", text="row_count is 1 to 100.")
        if count > MOST_ROWS and self._reader.switches["row_count_over"] == "error":
            raise Refusal(4001, field="row_count", text="row_count is 1 to 100.")
        return min(count, MOST_ROWS)

    def _first_row(self, info: dict[str, Any]) -> int:
        if "start_index" in info:
            return max(1, _whole(info["start_index"], "start_index"))
        page = max(1, _whole(info.get("page", 1), "page"))
        return (page - 1) * self._row_count + 1

    def _order(self, info: dict[str, Any]) -> tuple[str, bool]:
        field = None if info.get("sort_field") is None else str(info["sort_field"])
        order = str(info.get("sort_order", "asc")).lower()
        if order not in {"asc", "desc"}:
            raise Refusal(4001, field="sort_order")
        if field is None:
            return "id", order == "desc" or ("sort_order" not in info and self._entity.newest_first)
        column = self._columns.get(field)
        if column is None or column.sorts_by is None:
            raise Refusal(
                4001, field="sort_field", text=f"{self._entity.plural} cannot be sorted by {field}."
            )
        return field, order == "desc"

    def _wanted_columns(self, asked: dict[str, Any], info: dict[str, Any]) -> list[Column]:
        names = info.get("fields_required")
        if names is None and self._reader.switches["columns_from"] == "both":
            names = asked.get("fields_required")
        if names is None:
            names = self._entity.default(self._reader)
            return [column for name, column in self._columns.items() if names is None or name in names]
        if not isinstance(names, list):
            raise Refusal(4021, field="fields_required")
        # udf_fields can be asked for as a whole or by member; either way the container comes.
        wanted = {str(name).partition(".")[0] for name in names} | {"id"}
        unknown = wanted - set(self._columns)
        if unknown and self._reader.switches["unknown_column"] == "error":
            raise Refusal(4001, field="fields_required", text=f"There is no field {min(unknown)}.")
        return [column for name, column in self._columns.items() if name in wanted]

    def _filter_by(self, info: dict[str, Any]) -> bool | None:
        given = info.get("filter_by")
        if given is None:
            return None
        name = given.get("name") if isinstance(given, dict) else None
        if self._entity.kind != "requests" or not isinstance(name, str) or name not in _FILTERS:
            raise Refusal(4001, field="filter_by")
        return _FILTERS[name]

    # -- the page

    def _page_of(self, view: list[SortKey], low: int, high: int, row_of: Callable[[str], Row]) -> Page:
        first = self._start - 1
        if self._descending:
            upper = high - first
            lower = max(low, upper - self._row_count)
            keys = [entry[3] for entry in reversed(view[lower:upper])] if upper > low else []
        else:
            keys = [entry[3] for entry in view[low + first : min(high, low + first + self._row_count)]]
        return self._page([row_of(key) for key in keys], high - low)

    def _page(self, rows: list[Row], total: int) -> Page:
        info: dict[str, Any] = {
            "has_more_rows": self._start - 1 + len(rows) < total and bool(rows),
            "start_index": self._start,
            "row_count": len(rows),
        }
        if self._wants_total:
            info["total_count"] = total
        return Page([render(self._reader, row, self._shown) for row in rows], info)


def _whole(value: Any, field: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise Refusal(4021, field=field, text=f"{field} is a whole number.") from None
