"""The line: one worklog on its way to billable terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

Decision = Literal["bill", "hold", "exclude"]
Origin = Literal["tap", "ledger"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One worklog with what the steps have decided so far.

    ``worklog`` is the checked copy of the record: times are aware datetimes, money is Decimal, and
    a member that broke the contract is None, which ``violated`` tells. ``lump_sum`` says that the
    quantity is 1 and not hours.
    """

    worklog: dict[str, Any]
    source: dict[str, Any]
    origin: Origin
    worklog_id: str
    module: str
    decision: Decision = "bill"
    reason_code: str | None = None
    reason: str | None = None
    account_id: str | None = None
    account_name: str | None = None
    worklog_type_id: str | None = None
    worklog_type_name: str | None = None
    work_date: date | None = None
    minutes: int = 0
    is_billable: bool | None = None
    description: str | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None
    lump_sum: bool = False
    violated: bool = False

    def having(self, **changes: Any) -> Self:
        """Return a copy with some members changed."""
        return msgspec.structs.replace(self, **changes)

    def hold(self, reason_code: str, reason: str) -> Self:
        """Return the line held, unless an earlier step held or excluded it: the first reason stays."""
        if self.decision != "bill":
            return self
        return self.having(decision="hold", reason_code=reason_code, reason=reason)

    def exclude(self, reason: str) -> Self:
        """Return the line excluded by rule; what must not be billed needs no other repair."""
        if self.decision == "exclude":
            return self
        return self.having(decision="exclude", reason_code="EXCLUDED_BY_RULE", reason=reason)

    def to_record(self) -> dict[str, Any]:
        """Return the record of the ``invoice_lines`` stream."""
        return {
            "worklog_id": self.worklog_id,
            "module": self.module,
            "decision": self.decision,
            "reason_code": self.reason_code,
            "reason": self.reason,
            "account_id": self.account_id,
            "account_name": self.account_name,
            "worklog_type_id": self.worklog_type_id,
            "worklog_type_name": self.worklog_type_name,
            "work_date": self.work_date.isoformat() if self.work_date else None,
            "minutes": self.minutes,
            "is_billable": self.is_billable,
            "description": self.description,
            "quantity": self.quantity,
            "unit_price": self.unit_price,
            "amount": self.amount,
            "origin": self.origin,
            "source": self.source,
        }
