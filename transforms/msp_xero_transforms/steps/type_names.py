"""Type names: a Xero item becomes a worklog type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_transforms.steps.contract import Violation, decimal_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from msp_xero_transforms.rules import Rules


def worklog_type_record(item: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    """Return the record of the ``worklog_types`` stream for an item that has its id."""
    problems: list[str] = []
    texts = {
        member: _text(item, member, problems) for member in ("Code", "Name", "Description", "UpdatedDateUTC")
    }
    code, name = texts["Code"] or "", texts["Name"] or ""
    if not code:
        problems.append("Code is missing")
    sales = _sales_details(item, problems)
    return {
        "xero_item_id": item["ItemID"],
        "item_code": code,
        "name": (code or name) if rules.type_name_from == "code" else (name or code),
        "description": texts["Description"],
        "unit_price": _price(sales, problems),
        "is_sold": _is_sold(item, sales, problems),
        "updated_time": texts["UpdatedDateUTC"],
        "invalid_reason": f"The item is malformed: {'; '.join(problems)}." if problems else None,
    }


def _text(item: Mapping[str, Any], member: str, problems: list[str]) -> str | None:
    value = item.get(member)
    if not isinstance(value, str | None):
        problems.append(f"{member} must be a text")
        return None
    return (value or "").strip() or None


def _sales_details(item: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    sales = item.get("SalesDetails")
    if not isinstance(sales, dict | None):
        problems.append("SalesDetails must be an object")
        return {}
    return sales or {}


def _price(sales: dict[str, Any], problems: list[str]) -> Decimal | None:
    if sales.get("UnitPrice") is None:
        return None
    try:
        return decimal_of(sales["UnitPrice"])
    except Violation as violation:
        problems.append(f"SalesDetails.UnitPrice {violation}")
        return None


def _is_sold(item: Mapping[str, Any], sales: dict[str, Any], problems: list[str]) -> bool:
    """Say whether the item can stand on a sales invoice; old items may lack the flag."""
    sold = item.get("IsSold")
    if sold is None:
        return bool(sales)
    if not isinstance(sold, bool):
        problems.append("IsSold must be true or false")
        return False
    return sold
