"""Line items: from what is submitted to what Xero stores and computes (xero-api §4.2-4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from msp_xero_sandbox.xero.arithmetic import NO_TAX, ZERO, line_amount, line_tax, round2, round4, unit_price
from msp_xero_sandbox.xero.numbers import read_number
from msp_xero_sandbox.xero.request import canonical_names
from msp_xero_sandbox.xero.tracking import read_tracking

if TYPE_CHECKING:
    from msp_xero_sandbox.xero.codes import Codes, Usage
    from msp_xero_sandbox.xero.rows import Row
    from msp_xero_sandbox.xero.state import State

SPELL = canonical_names(
    "LineItemID",
    "Description",
    "Quantity",
    "UnitAmount",
    "LineAmount",
    "ItemCode",
    "AccountCode",
    "AccountID",
    "TaxType",
    "TaxAmount",
    "DiscountRate",
    "DiscountAmount",
    "Tracking",
)
_LONGEST_TEXT = 4000
_LARGEST_LINE = Decimal("9999999999.99")
_ONE = Decimal("1.0000")


class Priced(NamedTuple):
    """The numbers of a line."""

    quantity: Decimal
    price: Decimal
    amount: Decimal


@dataclass(slots=True, kw_only=True)
class LineReader:
    """Reads the lines of one document.

    ``errors`` and ``warnings`` are filled by line number as lines are read.
    """

    state: State
    codes: Codes
    usage: Usage
    line_amount_types: str
    places: int
    errors: dict[int, list[str]]
    warnings: list[str]

    def read(self, number: int, element: Row, known_ids: frozenset[str] = frozenset()) -> Row:
        """Return the stored line of a submitted one; what is wrong with it goes to ``errors``."""
        errors: list[str] = []
        line = self._read(number, element, errors)
        line_id = element.get("LineItemID")
        line["LineItemID"] = line_id if line_id in known_ids else self.state.rows.ids.new()
        line["ValidationErrors"] = []
        if errors:
            self.errors[number] = errors
        return line

    def _read(self, number: int, element: Row, errors: list[str]) -> Row:
        item_code = element.get("ItemCode")
        description = element.get("Description")
        if not item_code and _is_only_text(element):
            # A line may be nothing but text: it has no amounts and needs no codes.
            _check_text(description, errors)
            return {"Description": description or "", "LineAmount": ZERO, "TaxAmount": ZERO, "Tracking": []}
        found = self.codes.find(
            item_code,
            element.get("AccountCode"),
            element.get("AccountID"),
            element.get("TaxType"),
            self.usage,
        )
        errors += found.errors
        self.warnings += found.warnings
        description = found.description if description is None else description
        _check_text(description, errors)
        priced = self._priced(number, element, found.price, errors)
        tax = self._tax(number, element, priced.amount, found.rate)
        line: Row = {
            "Description": description or "",
            "UnitAmount": priced.price,
            "TaxType": "NONE" if self.line_amount_types == NO_TAX else found.tax_type,
            "TaxAmount": tax,
            "LineAmount": priced.amount,
            "AccountCode": found.account_code,
            "Tracking": read_tracking(element.get("Tracking"), self.state, errors)
            if element.get("Tracking")
            else [],
            "Quantity": priced.quantity,
            "AccountID": found.account_id,
        }
        if found.item is not None:
            line["ItemCode"] = found.item["Code"]
            line["Item"] = found.item
        for name in ("DiscountRate", "DiscountAmount"):
            if element.get(name) is not None:
                line[name] = read_number(element[name], name)
        if not priced.amount and self.state.switches.zero_lines_lose_codes:
            line["AccountCode"] = line["TaxType"] = None
        return {name: value for name, value in line.items() if value is not None}

    def _priced(self, number: int, element: Row, item_price: Decimal | None, errors: list[str]) -> Priced:
        path = f"LineItems[{number}]"
        given = element.get("LineAmount")
        amount = None if given is None else read_number(given, path)
        quantity = self._quantity(element.get("Quantity"), path, errors)
        price = element.get("UnitAmount")
        if price is None and item_price is not None and amount is None:
            price = item_price
        if price is None:
            # LineAmount may stand in for one of quantity and price.
            computed = ZERO if amount is None else amount / quantity if quantity else amount
            exact = unit_price(computed, self.places)
            return Priced(
                quantity, exact, round2(amount) if amount is not None else line_amount(quantity, exact)
            )
        exact = unit_price(read_number(price, path), self.places)
        if element.get("Quantity") is None and amount is not None and exact:
            quantity = round4(amount / exact)
        expected = self._discounted(element, path, quantity, exact, errors)
        if amount is not None and round2(amount) != expected:
            errors.append(
                f"The line total {round2(amount)} does not match the expected line total {expected}"
            )
        if abs(expected) > _LARGEST_LINE:
            errors.append(f"The line amount must not be greater than {_LARGEST_LINE}.")
        return Priced(quantity, exact, expected)

    def _quantity(self, value: object, path: str, errors: list[str]) -> Decimal:
        if value is None:
            return _ONE
        exact = read_number(value, path)
        quantity = round4(exact)
        if quantity != exact and self.state.switches.quantity_places == "error":
            errors.append("The Quantity must not have more than 4 decimal places.")
        return quantity

    @staticmethod
    def _discounted(element: Row, path: str, quantity: Decimal, price: Decimal, errors: list[str]) -> Decimal:
        full = line_amount(quantity, price)
        if (rate := element.get("DiscountRate")) is not None:
            percent = read_number(rate, path)
            if not 0 <= percent <= 100:
                errors.append("Discount must not be greater than the line total.")
            return line_amount(quantity, price, percent)
        if (discount := element.get("DiscountAmount")) is not None:
            exact = round2(read_number(discount, path))
            if exact > full:
                errors.append("Discount must not be greater than the line total.")
            return full - exact
        return full

    def _tax(self, number: int, element: Row, amount: Decimal, rate: Decimal) -> Decimal:
        if element.get("TaxAmount") is not None and self.line_amount_types != NO_TAX:
            return round2(read_number(element["TaxAmount"], f"LineItems[{number}].TaxAmount"))
        return line_tax(amount, rate, self.line_amount_types)


def _is_only_text(element: Row) -> bool:
    return not any(
        element.get(name) is not None
        for name in ("Quantity", "UnitAmount", "LineAmount", "AccountCode", "AccountID")
    )


def _check_text(text: object, errors: list[str]) -> None:
    if not isinstance(text, str) or not text:
        errors.append("Description is a mandatory field.")
    elif len(text) > _LONGEST_TEXT or (len(text) > _LONGEST_TEXT // 2 and _utf16_units(text) > _LONGEST_TEXT):
        errors.append(f"The Description field must not be longer than {_LONGEST_TEXT} characters.")


def _utf16_units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
