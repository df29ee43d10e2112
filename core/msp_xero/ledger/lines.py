"""One worklog with its billable terms, as a target hands it to the ledger."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msp_xero.ledger.models import WORKLOG_MODULES
from msp_xero.ledger.types import encode_exact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from decimal import Decimal

_LONGEST_TIME = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One worklog with its billable terms, as a target stores it.

    ``quantity`` is in hours with 4 decimals; ``unit_price`` and ``amount`` are in the invoice's
    currency without tax, None meaning "the item's price". ``source`` is the worklog record.
    """

    worklog_id: str
    module: str
    decision: str
    source: dict[str, Any]
    minutes: int = 0
    reason_code: str | None = None
    reason: str | None = None
    parent_id: str | None = None
    parent_display_id: str | None = None
    parent_title: str | None = None
    account_id: str | None = None
    account_name: str | None = None
    technician_id: str | None = None
    technician_name: str | None = None
    type_id: str | None = None
    type_name: str | None = None
    work_date: date | None = None
    created_time: str | None = None
    is_billable: bool | None = None
    description: str | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None

    def terms(self) -> dict[str, Any]:
        """Return the stored columns that this line decides."""
        return {name: getattr(self, name) for name in _TERMS}

    def digest(self) -> str:
        """Return a digest of everything that was delivered."""
        return hashlib.sha256(encode_exact(self.terms()).encode()).hexdigest()


_TERMS = tuple(Line.__slots__)


def is_of_sdp(module: str, worklog_id: str, source: Mapping[str, Any]) -> bool:
    """Tell whether a worklog's record is one of ServiceDesk Plus, as its tap reads it.

    Of others only their own mapper knows what the record means: here no line can be made anew of it.
    """
    is_named_so = module in WORKLOG_MODULES and source.get("module") in WORKLOG_MODULES
    return is_named_so and str(source.get("worklog_id")) == worklog_id


def moment_of_creation(source: Mapping[str, Any]) -> str | None:
    """Return when a worklog was entered; a dialect that does not tell says when the work began, as good."""
    told = source.get("created_time") or source.get("start_time")
    return str(told).replace("\x00", "")[:_LONGEST_TIME] if told else None
