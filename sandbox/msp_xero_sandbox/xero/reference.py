"""The read-only reference data: organisation, accounts, tax rates and what else is chosen from.

Source: xero-api §7.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.xero.answers import not_found
from msp_xero_sandbox.xero.dates import read_date, read_time, wire_date, wire_time
from msp_xero_sandbox.xero.listing import Spec
from msp_xero_sandbox.xero.where import Field

if TYPE_CHECKING:
    from msp_xero_sandbox.xero.request import Request
    from msp_xero_sandbox.xero.rows import Row
    from msp_xero_sandbox.xero.state import State

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_DATES = ("PeriodLockDate", "EndOfYearLockDate")
_TIMES = ("CreatedDateUTC", "UpdatedDateUTC")
_ACTIONS = (
    "CreateDraftInvoice",
    "CreateApprovedInvoice",
    "CreateRepeatingInvoice",
    "AttachToInvoice",
    "UseMulticurrency",
    "CreateContact",
    "SendEmail",
)


def _text(name: str) -> Field[Row]:
    return Field("string", lambda row: row.get(name))


_SPEC: Spec[Any] = Spec(
    fields={
        "accountid": Field("guid", lambda row: row.get("AccountID")),
        "code": _text("Code"),
        "name": _text("Name"),
        "status": _text("Status"),
        "type": _text("Type"),
        "class": _text("Class"),
        "taxtype": _text("TaxType"),
        "systemaccount": _text("SystemAccount"),
        "enablepaymentstoaccount": Field("bool", lambda row: row.get("EnablePaymentsToAccount", False)),
        "canapplytorevenue": Field("bool", lambda row: row.get("CanApplyToRevenue", True)),
        "trackingcategoryid": Field("guid", lambda row: row.get("TrackingCategoryID")),
        "brandingthemeid": Field("guid", lambda row: row.get("BrandingThemeID")),
        "updateddateutc": Field("time", lambda row: row.get("UpdatedDateUTC")),
    },
    row_id=lambda row: str(
        row.get("AccountID")
        or row.get("BrandingThemeID")
        or row.get("TrackingCategoryID")
        or row.get("Code")
        or row["Name"]
    ),
    updated=lambda row: row.get("UpdatedDateUTC") or _LONG_AGO,
)


def shown(row: Row) -> Row:
    """Return a reference row with its times as Xero writes them; what is not set is left out."""
    view = {name: value for name, value in row.items() if value is not None}
    for name in _TIMES:
        if name in view:
            view[name] = wire_time(read_time(view[name]))
    for name in _DATES:
        if name in view:
            view[name] = wire_date(read_date(view[name]))
    return view


class Reference:
    """A list that can be read whole or by id, and never written."""

    def __init__(self, state: State, plural: str, table: str, *, hides_archived: bool = False) -> None:
        self._state = state
        self._plural = plural
        self._table = table
        self._hides_archived = hides_archived

    def serve(self, request: Request) -> dict[str, Any]:
        """Answer a read."""
        rows: dict[str, Row] = getattr(self._state.rows, self._table)
        match request.call.method, request.path:
            case "GET", (_,):
                known = list(rows.values())
                if self._hides_archived and not request.flag("includearchived"):
                    known = [row for row in known if row.get("Status", "ACTIVE") == "ACTIVE"]
                page = self._state.listed(known, _SPEC, request, paged=False)
                return {self._plural: [shown(row) for row in page.rows]}
            case "GET", (_, row_id) if row_id in rows:
                return {self._plural: [shown(rows[row_id])]}
        raise not_found()


class Organisation:
    """The organisation and what the user may do in it."""

    def __init__(self, state: State) -> None:
        self._state = state

    def serve(self, request: Request) -> dict[str, Any]:
        """Answer a read."""
        match request.call.method, tuple(part.lower() for part in request.path):
            case "GET", (_,):
                return {"Organisations": [shown(self._state.rows.organisation)]}
            case "GET", (_, "actions"):
                allowed = dict.fromkeys(_ACTIONS, "ALLOWED")
                if len(self._state.rows.currencies) < 2:
                    allowed["UseMulticurrency"] = "NOT-ALLOWED"
                return {"Actions": [{"Name": name, "Status": status} for name, status in allowed.items()]}
        raise not_found()


class Users:
    """The one user of the organisation."""

    def serve(self, request: Request) -> dict[str, Any]:
        """Answer a read."""
        if request.call.method != "GET" or len(request.path) != 1:
            raise not_found()
        user = {
            "UserID": "00000000-0000-4000-a000-00000000cafe",
            "EmailAddress": "billing@example.com",
            "FirstName": "Billing",
            "LastName": "Person",
            "UpdatedDateUTC": wire_time(_LONG_AGO),
            "IsSubscriber": True,
            "OrganisationRole": "STANDARD",
        }
        return {"Users": [user]}
