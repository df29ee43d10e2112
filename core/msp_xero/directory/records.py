"""Reading delivered records: what is wrong with one is said, and it is stored all the same."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from msp_xero.directory.clues import contact_clues
from msp_xero.errors import InputError
from msp_xero.ledger.link_staging import DeliveredContact, DeliveredItem

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY_LENGTH: Final = 64
_NAME_LENGTH: Final = 500  # Xero allows 255; more is no name but some other text
_CODE_LENGTH: Final = 64
_TEXT_LENGTH: Final = 8000
_STATUS_LENGTH: Final = 20
_MOST_MONEY: Final = Decimal(10) ** 12


class _Reader:
    """Takes members out of one record and collects what is wrong with them."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record
        self.problems: list[str] = []
        reason = record.get("invalid_reason")
        if reason:
            self.problems.append(str(reason)[:300])

    @property
    def problem(self) -> str | None:
        """All that is wrong, in one text."""
        return "; ".join(self.problems) or None

    def key(self, name: str) -> str:
        value = self._record.get(name)
        if not isinstance(value, str) or not 0 < len(value.strip()) <= _KEY_LENGTH or "\0" in value:
            raise InputError(f"a record has no usable {name}; without its key it cannot be stored")
        return value.strip()

    def text(self, name: str, longest: int, *, required: bool = False) -> str | None:
        value = self._record.get(name)
        if value in (None, ""):
            if required:
                self.problems.append(f"{name} is missing")
            return None
        if not isinstance(value, str):
            self.problems.append(f"{name} is not a text")
            return None
        if "\0" in value:
            self.problems.append(f"{name} has a NUL character")
            return None
        if len(value) > longest:
            self.problems.append(f"{name} is longer than {longest} characters")
            return None
        if required and not value.strip():
            self.problems.append(f"{name} is empty")
            return None
        return value

    def flag(self, name: str, *, required: bool = False) -> bool | None:
        value = self._record.get(name)
        if isinstance(value, bool) or (value is None and not required):
            return value
        self.problems.append(f"{name} is not true or false")
        return None

    def time(self, name: str) -> datetime | None:
        value = self._record.get(name)
        if value in (None, ""):
            return None
        try:
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (TypeError, ValueError, OverflowError):
            self.problems.append(f"{name} is not a time")
            return None

    def money(self, name: str) -> Decimal | None:
        value = self._record.get(name)
        if value is None:
            return None
        try:
            amount = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount.copy_abs() >= _MOST_MONEY:
            self.problems.append(f"{name} is not an amount")
            return None
        if amount != round(amount, 4):
            self.problems.append(f"{name} has more than 4 decimals")
            return None
        return amount

    def members(self, name: str) -> dict[str, Any]:
        value = self._record.get(name)
        if value is None:
            return {}
        inner = value.get("udf_fields") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(inner, dict | None):
            self.problems.append(f"{name} is not an object")
            return {}
        return value

    def told(self, name: str) -> dict[str, Any]:
        """Return an object that only helps; another shape tells nothing and is no fault of the record."""
        value = self._record.get(name)
        return value if isinstance(value, dict) else {}


def read_contact(record: Mapping[str, Any]) -> DeliveredContact:
    """Read a record of the stream ``accounts``.

    Raises:
        InputError: it has no usable key.
    """
    reader = _Reader(record)
    return DeliveredContact(
        contact_id=reader.key("xero_contact_id"),
        contact_name=reader.text("name", _NAME_LENGTH, required=True) or "",
        contact_status=reader.text("contact_status", _STATUS_LENGTH) or "ACTIVE",
        merged_to_contact_id=reader.text("merged_to_contact_id", _KEY_LENGTH),
        is_customer=reader.flag("is_customer"),
        wanted=reader.members("fields"),
        clues=contact_clues(reader.told("clues")),
        updated_time=reader.time("updated_time"),
        invalid=reader.problem,  # last: the lines above find what is wrong
    )


def read_item(record: Mapping[str, Any]) -> DeliveredItem:
    """Read a record of the stream ``worklog_types``.

    Raises:
        InputError: it has no usable key.
    """
    reader = _Reader(record)
    return DeliveredItem(
        item_id=reader.key("xero_item_id"),
        item_code=reader.text("item_code", _CODE_LENGTH, required=True) or "",
        name=reader.text("name", _NAME_LENGTH, required=True) or "",
        description=reader.text("description", _TEXT_LENGTH),
        unit_price=reader.money("unit_price"),
        is_sold=reader.flag("is_sold", required=True) is True,
        updated_time=reader.time("updated_time"),
        invalid=reader.problem,  # last: the lines above find what is wrong
    )
