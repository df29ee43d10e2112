"""What the resources share: the rows, the switches, and how far lists lag behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from msp_xero_sandbox.xero.listing import Lag, Page, Spec, listed, unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msp_xero_sandbox.xero.request import Request
    from msp_xero_sandbox.xero.rows import Rows
    from msp_xero_sandbox.xero.switches import Switches

T = TypeVar("T")


@dataclass(slots=True)
class State:
    """One organisation and the behaviours it is served with."""

    rows: Rows
    switches: Switches
    hidden_seconds: float = 0.0

    def listed(self, rows: Iterable[T], spec: Spec[T], request: Request, *, paged: bool) -> Page[T]:
        """Apply the list parameters of a request."""
        seconds = max(self.hidden_seconds, self.switches.lists_lag_seconds)
        lag = Lag(written=self.rows.written, behind=timedelta(seconds=seconds))
        page = listed(rows, spec, request, lag, null_guard=self.switches.null_guard, paged=paged)
        unchanged(page, request, self.switches.not_modified)
        return page
