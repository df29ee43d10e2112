"""Contacts: list, read, create and change (xero-api §5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.xero.answers import not_found
from msp_xero_sandbox.xero.batch import Draft, Kind, write
from msp_xero_sandbox.xero.dates import wire_time
from msp_xero_sandbox.xero.listing import Spec
from msp_xero_sandbox.xero.request import canonical_names
from msp_xero_sandbox.xero.where import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from msp_xero_sandbox.xero.request import Request
    from msp_xero_sandbox.xero.rows import Row, Rows
    from msp_xero_sandbox.xero.state import State

KIND = Kind(plural="Contacts", id_name="ContactID", flag="HasValidationErrors")
IDENTIFY_TEXT = (
    "The Contact must contain at least 1 of the following elements to identify the contact: "
    "Name, ContactID, ContactNumber"
)
_ARCHIVED_TEXT = (
    "The specified contact details matched an archived contact. "
    "Archived contacts cannot currently be edited via the API."
)
_MAILBOX = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_LIMITS = {
    "Name": 255,
    "FirstName": 255,
    "LastName": 255,
    "EmailAddress": 255,
    "ContactNumber": 50,
    "AccountNumber": 50,
    "CompanyNumber": 50,
    "TaxNumber": 50,
}
_WRITABLE = (
    *_LIMITS,
    "BankAccountDetails",
    "AccountsReceivableTaxType",
    "AccountsPayableTaxType",
    "DefaultCurrency",
    "ContactPersons",
    "PaymentTerms",
    "SalesDefaultAccountCode",
    "PurchasesDefaultAccountCode",
)
SPELL = canonical_names(
    "ContactID", "ContactStatus", "Addresses", "Phones", "IsCustomer", "IsSupplier", *_WRITABLE
)
# Members that a list shows only when it is paged (xero-api §5).
_DETAILS = frozenset(
    {
        "ContactPersons",
        "MergedToContactID",
        "SalesDefaultAccountCode",
        "PaymentTerms",
        "ContactGroups",
        "Website",
        "BrandingTheme",
        "Discount",
        "Balances",
        "HasAttachments",
        "XeroNetworkKey",
    }
)
_ADDRESS_TYPES, _PHONE_TYPES = ("POBOX", "STREET"), ("DDI", "DEFAULT", "FAX", "MOBILE")
_SEARCHED = ("Name", "FirstName", "LastName", "ContactNumber", "CompanyNumber", "EmailAddress")


def _text(name: str) -> Field[Row]:
    return Field("string", lambda row: row.get(name))


SPEC: Spec[Row] = Spec(
    fields={
        "contactid": Field("guid", lambda row: row["ContactID"]),
        "updateddateutc": Field("time", lambda row: row["UpdatedDateUTC"]),
        "iscustomer": Field("bool", lambda row: row["IsCustomer"]),
        "issupplier": Field("bool", lambda row: row["IsSupplier"]),
        "contactstatus": _text("ContactStatus"),
        **{name.lower(): _text(name) for name in _LIMITS},
    },
    row_id=lambda row: row["ContactID"],
    updated=lambda row: row["UpdatedDateUTC"],
)


def complete(row: Row) -> Row:
    """Give a contact everything that Xero always shows: fixed slots and flags."""
    row.setdefault("ContactStatus", "ACTIVE")
    row.setdefault("EmailAddress", "")
    row.setdefault("BankAccountDetails", "")
    row["Addresses"] = _slots(row.get("Addresses") or [], "AddressType", _ADDRESS_TYPES)
    row["Phones"] = _slots(row.get("Phones") or [], "PhoneType", _PHONE_TYPES)
    row.setdefault("ContactGroups", [])
    row.setdefault("IsSupplier", False)
    row.setdefault("IsCustomer", False)
    row.setdefault("ContactPersons", [])
    row.setdefault("HasAttachments", False)
    row.setdefault("HasValidationErrors", False)
    return row


def _slots(given: list[Row], name: str, types: Iterable[str]) -> list[Row]:
    have = {slot.get(name) for slot in given}
    return [*given, *({name: each} for each in types if each not in have)]


def contact_view(row: Row, *, details: bool = True) -> Row:
    """Return a contact as the API shows it."""
    view = row.copy() if details else {name: value for name, value in row.items() if name not in _DETAILS}
    view["UpdatedDateUTC"] = wire_time(row["UpdatedDateUTC"])
    return view


def apply(row: Row, element: Row) -> Row:
    """Return the contact with the submitted members; what was left out stays (xero-api §5)."""
    changed = {**row, **{name: element[name] for name in _WRITABLE if element.get(name) is not None}}
    if element.get("ContactStatus"):
        changed["ContactStatus"] = element["ContactStatus"]
    for name, type_name in (("Addresses", "AddressType"), ("Phones", "PhoneType")):
        if element.get(name):
            slots = {slot.get(type_name): slot for slot in row.get(name, [])}
            slots |= {slot.get(type_name): slot for slot in element[name]}
            changed[name] = list(slots.values())
    return complete(changed)


def new_contact(rows: Rows, element: Row, now: datetime) -> Row:
    """Add a contact with the submitted members."""
    row = apply({"ContactID": rows.ids.new(), "ContactStatus": "ACTIVE"}, element)
    row["UpdatedDateUTC"] = now
    rows.put_contact(row)
    rows.written[row["ContactID"]] = now
    return row


def name_taken(rows: Rows, name: str, contact_id: str | None) -> bool:
    """Tell whether another active contact has the name."""
    return any(
        row["ContactStatus"] == "ACTIVE" and row["ContactID"] != contact_id
        for row in rows.contacts_named(name)
    )


class Contacts:
    """The Contacts endpoint."""

    def __init__(self, state: State) -> None:
        self._state = state
        for row in state.rows.contacts.values():
            complete(row)

    def serve(self, request: Request) -> dict[str, Any]:
        """Answer a read or a write."""
        rows = self._state.rows
        match request.call.method, request.path:
            case "GET", (_,):
                return self._list(request)
            case "GET", (_, key) if (row := rows.contact(key)) is not None:
                return {KIND.plural: [contact_view(row)]}
            case "PUT" | "POST", (_,):
                return self._write(request, request.elements(KIND.plural, SPELL))
            case "POST", (_, key) if (row := rows.contact(key)) is not None:
                elements = request.elements(KIND.plural, SPELL)
                return self._write(request, [{**elements[0], "ContactID": row["ContactID"]}])
        raise not_found()

    def _list(self, request: Request) -> dict[str, Any]:
        rows: Iterable[Row] = self._state.rows.contacts.values()
        if ids := request.values("ids"):
            found = (self._state.rows.contacts.get(each.lower()) for each in ids)
            rows = [row for row in found if row is not None]
        if not request.flag("includearchived"):
            rows = [row for row in rows if row["ContactStatus"] == "ACTIVE"]
        if term := request.params.get("searchterm", "").casefold():
            rows = [
                row for row in rows if any(term in str(row.get(name) or "").casefold() for name in _SEARCHED)
            ]
        paged = bool({"page", "pagesize"} & request.params.keys()) or request.flag("summaryonly")
        page = self._state.listed(rows, SPEC, request, paged=paged)
        details = paged and not request.flag("summaryonly")
        shown = [contact_view(row, details=details) for row in page.rows]
        return {**({"pagination": page.pagination} if page.pagination else {}), KIND.plural: shown}

    def _write(self, request: Request, elements: list[Row]) -> dict[str, Any]:
        is_put = request.call.method == "PUT"
        # Names that earlier elements of an all-or-nothing call will take.
        claimed: set[str] = set()
        make = self._maker(request, claimed, is_put=is_put)
        return write(elements, make, KIND, request, echo_all=self._state.switches.elements_echo == "all")

    def _maker(self, request: Request, claimed: set[str], *, is_put: bool) -> Callable[[Row], Draft]:
        def make(element: Row) -> Draft:
            existing = self._match(element)
            if existing is None:
                return self._create(request, element, claimed)
            if is_put:
                text = "A contact with the specified ContactID or ContactNumber already exists."
                return Draft(element=element, errors=[text])
            return self._change(request, element, existing)

        return make

    def _match(self, element: Row) -> Row | None:
        rows = self._state.rows
        if contact_id := element.get("ContactID"):
            row = rows.contacts.get(str(contact_id).lower())
            if row is None:
                # An unknown id refuses the whole request (xero-api §5).
                raise not_found()
            return row
        number = element.get("ContactNumber")
        return rows.contact_by_number(number) if number else None

    def _create(self, request: Request, element: Row, claimed: set[str]) -> Draft:
        draft = Draft(element=element, errors=self._problems(element))
        name = element.get("Name")
        if not isinstance(name, str) or not name.strip():
            draft.errors.append(IDENTIFY_TEXT)
        elif self._state.switches.unique_contact_names:
            if name.casefold() in claimed or name_taken(self._state.rows, name, None):
                draft.errors.append(_taken(name))
            elif not draft.errors:
                claimed.add(name.casefold())
        draft.commit = lambda: contact_view(new_contact(self._state.rows, element, request.now))
        return draft

    def _change(self, request: Request, element: Row, row: Row) -> Draft:
        draft = Draft(element=element, errors=self._problems(element))
        revives = element.get("ContactStatus") == "ACTIVE" and self._state.switches.unarchive == "accept"
        if row["ContactStatus"] != "ACTIVE" and not revives:
            draft.errors.append(_ARCHIVED_TEXT)
        name = element.get("Name")
        if (
            name
            and self._state.switches.unique_contact_names
            and name_taken(self._state.rows, name, row["ContactID"])
        ):
            draft.errors.append(_taken(name))

        def commit() -> Row:
            changed = {**apply(row, element), "UpdatedDateUTC": request.now}
            self._state.rows.put_contact(changed)
            return contact_view(changed)

        draft.commit = commit
        return draft

    @staticmethod
    def _problems(element: Row) -> list[str]:
        problems = [
            f"The {name} field must not be longer than {limit} characters."
            for name, limit in _LIMITS.items()
            if len(str(element.get(name) or "")) > limit
        ]
        email = element.get("EmailAddress")
        if email and not _MAILBOX.fullmatch(str(email)):
            problems.append("Email address must be valid.")
        if any(char in str(element.get("Name") or "") for char in "<>"):
            problems.append("The contact name must not contain < or >.")
        return problems


def _taken(name: str) -> str:
    return (
        f"The contact name {name} is already assigned to another contact. "
        "The contact name must be unique across all active contacts."
    )
