"""Lists: filter, order and page rows as Xero does (xero-api §4.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msp_xero_sandbox.xero.answers import ApiError, query_parse
from msp_xero_sandbox.xero.where import Field, compile_where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, timedelta

    from msp_xero_sandbox.xero.request import Request

T = TypeVar("T")
LARGEST = 1000
_DEFAULT_SIZE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Generic[T]):
    """What can be asked of a kind of row."""

    fields: Mapping[str, Field[T]]
    row_id: Callable[[T], str]
    updated: Callable[[T], datetime]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The rows to show, and the pagination object when paging was asked for."""

    rows: list[T]
    pagination: dict[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far lists are behind writes."""

    written: Mapping[str, datetime]
    behind: timedelta

    def hides(self, row_id: str, now: datetime) -> bool:
        """Tell whether a list does not show the row yet."""
        written = self.written.get(row_id)
        return written is not None and now - written < self.behind


def listed(  # noqa: PLR0913 - what a list depends on
    rows: Iterable[T], spec: Spec[T], request: Request, lag: Lag, *, null_guard: bool, paged: bool
) -> Page[T]:
    """Apply the list parameters of a request, in the order filter, sort, page.

    Raises:
        ApiError: ``where`` or ``order`` cannot be understood.
    """
    if lag.behind:
        rows = [row for row in rows if not lag.hides(spec.row_id(row), request.now)]
    since = request.modified_since()
    if since is not None:
        rows = [row for row in rows if spec.updated(row) >= since]
    if text := request.params.get("where"):
        matches = compile_where(text, spec.fields, null_guard=null_guard)
        rows = [row for row in rows if matches(row)]
    ordered = _ordered(list(rows), spec, request.params.get("order", ""))
    return _page(ordered, request) if paged else Page(ordered, None)


def _ordered(rows: list[T], spec: Spec[T], order: str) -> list[T]:
    if not order.strip():
        # The documented default: what changed last comes last, so rows move while a list is walked.
        rows.sort(key=lambda row: (spec.updated(row), spec.row_id(row)))
        return rows
    # Sorting by the least important name first keeps the order of equals.
    for part in reversed(order.split(",")):
        name, _, direction = part.strip().partition(" ")
        wanted = spec.fields.get(name.lower())
        if wanted is None or direction.strip().upper() not in {"", "ASC", "DESC"}:
            raise query_parse(f"No property or field '{name}' exists to order by in '{order}'")
        rows.sort(key=_sortable(wanted), reverse=direction.strip().upper() == "DESC")
    return rows


def _sortable(wanted: Field[T]) -> Callable[[T], tuple[bool, Any]]:
    def key(row: T) -> tuple[bool, Any]:
        value = wanted.read(row)
        return (False, 0) if value is None else (True, value)

    return key


def _page(rows: list[T], request: Request) -> Page[T]:
    number = max(1, _whole(request.params.get("page"), 1))
    size = min(LARGEST, max(1, _whole(request.params.get("pagesize"), _DEFAULT_SIZE)))
    shown = rows[(number - 1) * size : number * size]
    pages = -(-len(rows) // size)
    return Page(shown, {"page": number, "pageSize": size, "pageCount": pages, "itemCount": len(rows)})


def _whole(text: str | None, default: int) -> int:
    try:
        return int(text) if text else default
    except ValueError:
        return default


def unchanged(page: Page[T], request: Request, not_modified: str) -> None:
    """Answer 304 where that is how a list without news is said (xero-api §4.8 allows both)."""
    if not page.rows and not_modified == "304" and request.modified_since() is not None:
        raise ApiError(304)
