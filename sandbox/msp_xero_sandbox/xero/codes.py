"""Which account, tax type and price a line ends up with, and whether they may be used together."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from msp_xero_sandbox.xero.rows import Row
    from msp_xero_sandbox.xero.state import State

_NO_RATE = Decimal(0)
_APPLIES = {
    "ASSET": "CanApplyToAssets",
    "EQUITY": "CanApplyToEquity",
    "EXPENSE": "CanApplyToExpenses",
    "LIABILITY": "CanApplyToLiabilities",
    "REVENUE": "CanApplyToRevenue",
}


class Usage(NamedTuple):
    """How strictly codes are looked at: an approved document needs them, and a taxed one a tax type."""

    needs_codes: bool
    is_taxed: bool


def unknown_tax_type(tax_type: object) -> str:
    """Word the refusal of a tax type that does not exist or is deleted."""
    return f"The TaxType code {tax_type} does not exist or cannot be used for this type of transaction."


def unknown_account(code: object) -> str:
    """Word the refusal of an account that does not exist, or that documents may not use."""
    return f"Account code '{code}' is not a valid code for this document."


@dataclass(slots=True, kw_only=True)
class Found:
    """What the codes of a line stand for."""

    item: Row | None = None
    description: str | None = None
    price: Decimal | None = None
    account_code: str | None = None
    account_id: str | None = None
    tax_type: str | None = None
    rate: Decimal = _NO_RATE
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Codes:
    """Looks codes up, once for each combination: thousands of lines share a handful of them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._found: dict[tuple[object, ...], Found] = {}

    def find(
        self, item_code: object, account_code: object, account_id: object, tax_type: object, usage: Usage
    ) -> Found:
        """Return what the codes of a line stand for; explicit ones win over the item's (xero-api §4.2)."""
        key = (item_code, account_code, account_id, tax_type, usage)
        try:
            return self._found[key]
        except KeyError:
            self._found[key] = found = self._find(item_code, account_code, account_id, tax_type, usage)
            return found

    def _find(
        self, item_code: object, account_code: object, account_id: object, tax_type: object, usage: Usage
    ) -> Found:
        found = Found()
        sales: Row = self._item(str(item_code), found) if item_code else {}
        account = self._account(account_code, account_id, sales, found, usage)
        if account is not None:
            found.account_code, found.account_id = account.get("Code"), account["AccountID"]
        self._tax(tax_type or sales.get("TaxType"), account, found, usage)
        return found

    def _item(self, code: str, found: Found) -> Row:
        item = self._state.rows.item_by_code(code)
        if item is None:
            found.errors.append(f"Item code '{code}' is not valid")
            return {}
        found.item = {"ItemID": item["ItemID"], "Name": item.get("Name", ""), "Code": item["Code"]}
        found.description = item.get("Description")
        sales: Row = item["SalesDetails"]
        found.price = sales.get("UnitPrice")
        return sales

    def _account(
        self, account_code: object, account_id: object, sales: Row, found: Found, usage: Usage
    ) -> Row | None:
        rows = self._state.rows
        code = str(account_code or account_id or sales.get("AccountCode") or "")
        if not code:
            if usage.needs_codes:
                found.errors.append("Account code or ID must be specified")
            return None
        account = rows.account_by_id(code) if account_id and not account_code else rows.account(code)
        if account is None:
            if not usage.needs_codes and self._state.switches.unknown_account_on_draft == "removed":
                found.warnings.append(
                    f"Account code ''{code}'' has been removed as it does not match a recognised account."
                )
            else:
                found.errors.append(unknown_account(code))
        elif account.get("Status", "ACTIVE") != "ACTIVE":
            found.errors.append(f"Account code '{code}' has been archived, or deleted. It cannot be used.")
        elif account.get("Type") == "BANK" or (account.get("SystemAccount") not in {None, "", "ROUNDING"}):
            # The rounding account is the one system account that lines may use (xero-api §4.3).
            found.errors.append(unknown_account(code))
        return account

    def _tax(self, wanted: object, account: Row | None, found: Found, usage: Usage) -> None:
        if not usage.is_taxed:
            found.tax_type = "NONE"
            return
        tax_type = wanted or (account or {}).get("TaxType")
        if not tax_type:
            if usage.needs_codes and account is not None:
                found.errors.append("TaxType field is mandatory")
            return
        rate = self._state.rows.tax_rates.get(str(tax_type))
        if rate is None or rate.get("Status", "ACTIVE") != "ACTIVE":
            found.errors.append(unknown_tax_type(tax_type))
            return
        applies = _APPLIES.get((account or {}).get("Class", ""))
        if applies and not rate.get(applies, True):
            found.errors.append(
                f"The TaxType code '{tax_type}' cannot be used with account code '{found.account_code}'."
            )
        found.tax_type, found.rate = str(tax_type), Decimal(rate.get("EffectiveRate", 0))
