"""Items: list, read, create, change and delete (xero-api §6)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.wire import Answer
from msp_xero_sandbox.xero.answers import not_found, validation
from msp_xero_sandbox.xero.arithmetic import unit_price
from msp_xero_sandbox.xero.batch import Draft, Kind, write
from msp_xero_sandbox.xero.codes import unknown_account, unknown_tax_type
from msp_xero_sandbox.xero.dates import bare_wire_time, wire_time
from msp_xero_sandbox.xero.listing import Spec
from msp_xero_sandbox.xero.numbers import read_number
from msp_xero_sandbox.xero.request import canonical_names
from msp_xero_sandbox.xero.rows import Row, fold
from msp_xero_sandbox.xero.where import Field

if TYPE_CHECKING:
    from msp_xero_sandbox.xero.request import Request
    from msp_xero_sandbox.xero.state import State

KIND = Kind(plural="Items", id_name="ItemID", flag="HasValidationErrors")
_MOST = 500
_LIMITS = {"Code": 30, "Name": 50, "Description": 4000, "PurchaseDescription": 4000}
_SIDES = ("PurchaseDetails", "SalesDetails")
_PLAIN = (*_LIMITS, "IsSold", "IsPurchased", "IsTrackedAsInventory", "InventoryAssetAccountCode")
_SPELL = canonical_names("ItemID", *_PLAIN, *_SIDES)


def _text(name: str) -> Field[Row]:
    return Field("string", lambda row: row.get(name))


SPEC: Spec[Row] = Spec(
    fields={
        "itemid": Field("guid", lambda row: row["ItemID"]),
        "updateddateutc": Field("time", lambda row: row["UpdatedDateUTC"]),
        "issold": Field("bool", lambda row: row["IsSold"]),
        "ispurchased": Field("bool", lambda row: row["IsPurchased"]),
        "istrackedasinventory": Field("bool", lambda row: row["IsTrackedAsInventory"]),
        **{name.lower(): _text(name) for name in _LIMITS},
    },
    row_id=lambda row: row["ItemID"],
    updated=lambda row: row["UpdatedDateUTC"],
)


def complete(row: Row) -> Row:
    """Give an item everything that Xero always shows."""
    for side in _SIDES:
        details = dict(row.get(side) or {})
        if details.get("UnitPrice") is not None:
            details["UnitPrice"] = Decimal(details["UnitPrice"])
        row[side] = details
    row.setdefault("IsTrackedAsInventory", False)
    row.setdefault("IsSold", True)
    row.setdefault("IsPurchased", bool(row["PurchaseDetails"]))
    return row


def item_view(row: Row, places: int, *, fresh: bool = False) -> Row:
    """Return an item as the API shows it; a just-written one has a time without offset."""
    view = row.copy()
    view["UpdatedDateUTC"] = (bare_wire_time if fresh else wire_time)(row["UpdatedDateUTC"])
    for side in _SIDES:
        if (price := row[side].get("UnitPrice")) is not None:
            view[side] = {**row[side], "UnitPrice": unit_price(price, places)}
    return view


class Items:
    """The Items endpoint."""

    def __init__(self, state: State) -> None:
        self._state = state
        for row in state.rows.items.values():
            complete(row)

    def serve(self, request: Request) -> dict[str, Any] | Answer:
        """Answer a read, a write or a deletion."""
        rows = self._state.rows
        match request.call.method, request.path:
            case "GET", (_,):
                page = self._state.listed(rows.items.values(), SPEC, request, paged=False)
                return {KIND.plural: [item_view(row, request.places) for row in page.rows]}
            case "GET", (_, key) if (row := rows.item(key)) is not None:
                return {KIND.plural: [item_view(row, request.places)]}
            case "PUT" | "POST", (_,):
                return self._write(request, request.elements(KIND.plural, _SPELL))
            case "POST", (_, key) if (row := rows.item(key)) is not None:
                elements = request.elements(KIND.plural, _SPELL)
                return self._write(request, [{**elements[0], "ItemID": row["ItemID"]}])
            case "DELETE", (_, key) if (row := rows.items.get(key.lower())) is not None:
                rows.delete_item(row)
                return Answer(status=204)
        raise not_found()

    def _write(self, request: Request, elements: list[Row]) -> dict[str, Any]:
        if len(elements) > _MOST:
            raise validation(message=f"No more than {_MOST} items can be sent in one request")
        claimed: set[str] = set()
        is_put = request.call.method == "PUT"
        return write(
            elements,
            lambda element: self._draft(request, element, claimed, is_put=is_put),
            KIND,
            request,
            echo_all=self._state.switches.elements_echo == "all",
        )

    def _draft(self, request: Request, element: Row, claimed: set[str], *, is_put: bool) -> Draft:
        rows, code = self._state.rows, str(element.get("Code") or "")
        draft = Draft(element=element, errors=self._problems(element))
        existing = self._match(element)
        holder = rows.item_by_code(code) if code else None
        if existing is None and not code:
            draft.errors.append("Code is a mandatory field.")
        is_other = holder is not None and (
            is_put or existing is None or holder["ItemID"] != existing["ItemID"]
        )
        if code and (is_other or (existing is None and fold(code) in claimed)):
            draft.errors.append(f"Price List Item with Code ''{code}'' already exists")
        if not draft.errors:
            claimed.add(fold(code))

        def commit() -> Row:
            row = dict(existing) if existing is not None else {"ItemID": rows.ids.new()}
            changed = self._applied(row, element, request)
            rows.put_item(changed)
            if existing is None:
                rows.written[changed["ItemID"]] = request.now
            return item_view(changed, request.places, fresh=True)

        draft.commit = commit
        return draft

    def _match(self, element: Row) -> Row | None:
        rows = self._state.rows
        if item_id := element.get("ItemID"):
            row = rows.items.get(str(item_id).lower())
            if row is None:
                raise not_found()
            return row
        return rows.item_by_code(str(element.get("Code") or ""))

    def _problems(self, element: Row) -> list[str]:
        problems = [
            f"The {name} field must not be longer than {limit} characters."
            for name, limit in _LIMITS.items()
            if len(str(element.get(name) or "")) > limit
        ]
        for side in _SIDES:
            details = element.get(side) or {}
            code = details.get("AccountCode")
            if code and self._state.rows.account(str(code)) is None:
                problems.append(unknown_account(code))
            tax_type = details.get("TaxType")
            if tax_type and tax_type not in self._state.rows.tax_rates:
                problems.append(unknown_tax_type(tax_type))
        return problems

    def _applied(self, row: Row, element: Row, request: Request) -> Row:
        for name in _PLAIN:
            if element.get(name) is not None:
                row[name] = element[name]
        for side in _SIDES:
            if element.get(side) is not None:
                details = {**row.get(side, {}), **element[side]}
                if details.get("UnitPrice") is not None:
                    details["UnitPrice"] = unit_price(read_number(details["UnitPrice"], side), request.places)
                row[side] = details
        row["UpdatedDateUTC"] = request.now
        return complete(row)
