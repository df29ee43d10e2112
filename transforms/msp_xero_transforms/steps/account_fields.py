"""Account fields: a Xero contact becomes the wanted values of a ServiceDesk Plus account.

The value of a field is a path such as ``Phones.DEFAULT``, or a text with paths in braces such as
``{FirstName} {LastName}``. Empty parts leave no commas and spaces behind; nothing but empty parts
is None.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msp_xero.errors import SettingError

from msp_xero_transforms.plain_text import tidy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from msp_xero_transforms.rules import Rules

    Contact = Mapping[str, Any]
    Reader = Callable[[Contact], Any]

_SETTING = "account_fields"
_EXAMPLE = (
    '{"emailid": "EmailAddress", "city": "Addresses.STREET.City", "udf_fields.udf_sline_101": "TaxNumber"}'
)

_MEMBER_PATHS = (
    "ContactID ContactNumber AccountNumber ContactStatus Name FirstName LastName CompanyNumber EmailAddress "
    "BankAccountDetails TaxNumber TaxNumberType AccountsReceivableTaxType AccountsPayableTaxType IsSupplier "
    "IsCustomer DefaultCurrency XeroNetworkKey SalesDefaultAccountCode PurchasesDefaultAccountCode "
    "SalesDefaultLineAmountType PurchasesDefaultLineAmountType TrackingCategoryName TrackingCategoryOption "
    "MergedToContactID UpdatedDateUTC Website Discount HasAttachments BrandingTheme.Name "
    "PaymentTerms.Sales.Day PaymentTerms.Sales.Type PaymentTerms.Bills.Day PaymentTerms.Bills.Type "
    "Balances.AccountsReceivable.Outstanding Balances.AccountsReceivable.Overdue "
    "Balances.AccountsPayable.Outstanding Balances.AccountsPayable.Overdue"
)
_MEMBERS = _MEMBER_PATHS.split()
# What Xero gives as something else than a text.
_FLAGS = frozenset(("IsSupplier", "IsCustomer", "HasAttachments"))
_NUMBERS = frozenset(("Discount",))
_TIMES = frozenset(("UpdatedDateUTC",))
_PHONES = ("DEFAULT", "DDI", "MOBILE", "FAX", "OFFICE")
_PHONE_MEMBERS = ("PhoneNumber", "PhoneAreaCode", "PhoneCountryCode")
_ADDRESSES = ("STREET", "POBOX", "DELIVERY")
_PLACE_MEMBERS = (
    *("AddressLine1", "AddressLine2", "AddressLine3", "AddressLine4"),
    *("City", "Region", "PostalCode", "Country"),
)
_ADDRESS_MEMBERS = (*_PLACE_MEMBERS, "AttentionTo")

_PATH_IN_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class AccountField:
    """One field of the account: where it goes, and how its value is read from a contact."""

    name: str
    is_custom: bool
    read: Reader
    schema: Mapping[str, Any]


def account_record(contact: Contact, rules: Rules) -> dict[str, Any]:
    """Return the record of the ``accounts`` stream for a contact that has its id."""
    problems = list(_problems(contact))
    fields: dict[str, Any] = {"udf_fields": {}}
    if not problems:
        for field in rules.account_fields:
            (fields["udf_fields"] if field.is_custom else fields)[field.name] = field.read(contact)
    name = contact.get("Name")
    return {
        "xero_contact_id": contact["ContactID"],
        "name": name if isinstance(name, str) else "",
        "contact_status": contact.get("ContactStatus") or "ACTIVE",
        "merged_to_contact_id": contact.get("MergedToContactID") or None,
        "is_customer": contact.get("IsCustomer") is True,
        "fields": fields,
        "clues": {} if problems else _clues(contact),
        "updated_time": contact.get("UpdatedDateUTC"),
        "invalid_reason": f"The contact is malformed: {'; '.join(problems)}." if problems else None,
    }


def _clues(contact: Contact) -> dict[str, list[str]]:
    """Return what tells beside the name who a contact is, whatever of it is mapped to account fields."""
    people = contact.get("ContactPersons")
    persons = [one for one in people if isinstance(one, dict)] if isinstance(people, list) else []
    told = {
        "emails": [contact.get("EmailAddress"), *(one.get("EmailAddress") for one in persons)],
        "websites": [contact.get("Website")],
        "phones": [_phone_number(phone) for phone in contact.get("Phones") or ()],
        "tax_numbers": [contact.get("TaxNumber"), contact.get("CompanyNumber")],
    }
    return {name: found for name, values in told.items() if (found := [str(one) for one in values if one])}


def _problems(contact: Contact) -> Iterator[str]:
    name = contact.get("Name")
    if not (isinstance(name, str) and name.strip()):
        yield "Name must be a text that is not empty"
    for member in ("ContactStatus", "MergedToContactID", "UpdatedDateUTC"):
        if not isinstance(contact.get(member), str | None):
            yield f"{member} must be a text"
    for member in ("IsCustomer", "IsSupplier"):
        if not isinstance(contact.get(member), bool | None):
            yield f"{member} must be true or false"
    for member in ("Phones", "Addresses"):
        entries = contact.get(member) or []
        if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
            yield f"{member} must be a list of objects"


def compile_fields(mapping: Mapping[str, Any]) -> tuple[AccountField, ...]:
    """Compile the setting; custom fields are written ``udf_fields.NAME`` or as a map in ``udf_fields``.

    Raises:
        SettingError: if a field or a path does not exist.
    """
    return tuple(_compile_field(name, source) for name, source in _flat(mapping))


def fields_schema(fields: tuple[AccountField, ...]) -> dict[str, Any]:
    """Return the properties of ``fields``, so that who receives them can check them before a record comes."""
    custom = {field.name: field.schema for field in fields if field.is_custom}
    return {
        **{field.name: field.schema for field in fields if not field.is_custom},
        "udf_fields": {"type": "object", "properties": custom, "additionalProperties": True},
    }


def _value_schema(path: str) -> dict[str, Any]:
    if path in _FLAGS:
        return {"type": ["boolean", "null"]}
    if path in _NUMBERS or path.startswith("Balances.") or path.endswith(".Day"):
        return {"type": ["number", "null"]}
    if path in _TIMES:
        return {"type": ["string", "null"], "format": "date-time"}
    return {"type": ["string", "null"]}


def _flat(mapping: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    # Meltano turns names with dots into nested maps.
    for name, source in mapping.items():
        if name == "udf_fields" and isinstance(source, dict):
            yield from ((f"udf_fields.{member}", path) for member, path in source.items())
        else:
            yield name, source


def _compile_field(name: str, source: Any) -> AccountField:
    container, dot, member = name.rpartition(".")
    if name == "name":
        raise SettingError(
            _SETTING, "cannot map name: an account is always called like its contact", _EXAMPLE
        )
    if not member or (dot and container != "udf_fields"):
        raise SettingError(_SETTING, f"has the field {name!r}; custom fields are udf_fields.NAME", _EXAMPLE)
    if not isinstance(source, str) or not source.strip():
        raise SettingError(_SETTING, f"has no path for {name}", _EXAMPLE)
    return AccountField(member, bool(dot), _reader(name, source), _value_schema(source.strip()))


def _reader(name: str, source: str) -> Reader:
    if "{" not in source and "}" not in source:
        return _path_reader(name, source.strip())
    # Splitting at a group gives texts at even and paths at odd places.
    texts = _PATH_IN_BRACES.split(source)
    if any("{" in text or "}" in text for text in texts[::2]):
        raise SettingError(_SETTING, f"has a brace without its partner in {name}", _EXAMPLE)
    readers = [_path_reader(name, path.strip()) for path in texts[1::2]]

    def read(contact: Contact) -> str | None:
        values = ["" if value is None else str(value) for value in (each(contact) for each in readers)]
        if not any(values):
            return None
        joined = "".join(f"{text}{value}" for text, value in zip(texts[::2], [*values, ""], strict=True))
        return ", ".join(part for part in (tidy(part) for part in joined.split(",")) if part)

    return read


def _path_reader(name: str, path: str) -> Reader:
    head, *rest = path.split(".")
    if path in _MEMBERS:
        return lambda contact: _scalar(_descend(contact, path.split(".")))
    if head == "Phones" and rest and rest[0] in _PHONES:
        if len(rest) == 1:
            return lambda contact: _phone_number(_entry(contact, "Phones", "PhoneType", rest[0]))
        if len(rest) == 2 and rest[1] in _PHONE_MEMBERS:
            return lambda contact: _scalar(_entry(contact, "Phones", "PhoneType", rest[0]).get(rest[1]))
    if head == "Addresses" and len(rest) == 2 and rest[0] in _ADDRESSES and rest[1] in _ADDRESS_MEMBERS:
        return lambda contact: _scalar(_address(contact, rest[0]).get(rest[1]))
    raise SettingError(_SETTING, f"has an unknown Xero field for {name}: {path!r}{_hint(path)}", _EXAMPLE)


def _hint(path: str) -> str:
    close = difflib.get_close_matches(path, list(_known_paths()), 1)
    return f"; did you mean {close[0]}?" if close else ""


def _known_paths() -> Iterator[str]:
    yield from _MEMBERS
    for kind in _PHONES:
        yield f"Phones.{kind}"
        yield from (f"Phones.{kind}.{member}" for member in _PHONE_MEMBERS)
    for kind in _ADDRESSES:
        yield from (f"Addresses.{kind}.{member}" for member in _ADDRESS_MEMBERS)


def _descend(value: Any, path: list[str]) -> Any:
    for member in path:
        value = value.get(member) if isinstance(value, dict) else None
    return value


def _scalar(value: Any) -> Any:
    """Return a plain value; an empty text is None, so that "nothing" has one form."""
    if isinstance(value, str):
        return tidy(value).replace("\n", " ") or None
    return None if isinstance(value, dict | list) else value


def _entry(contact: Contact, member: str, key: str, kind: str) -> dict[str, Any]:
    """Pick by type: Xero gives the slots in no fixed order."""
    for entry in contact.get(member) or ():
        if entry.get(key) == kind:
            return dict(entry)
    return {}


def _phone_number(phone: dict[str, Any]) -> str | None:
    number = _scalar(phone.get("PhoneNumber"))
    if number is None:
        return None
    country, area = _scalar(phone.get("PhoneCountryCode")), _scalar(phone.get("PhoneAreaCode"))
    if country and str(country).isdecimal():
        country = f"+{country}"
    return " ".join(str(part) for part in (country, area, number) if part)


def _address(contact: Contact, kind: str) -> dict[str, Any]:
    """Return an address; without a street address the postal one stands in, as a whole."""
    address = _entry(contact, "Addresses", "AddressType", kind)
    if kind == "STREET" and not any(_scalar(address.get(member)) for member in _PLACE_MEMBERS):
        return _entry(contact, "Addresses", "AddressType", "POBOX")
    return address
