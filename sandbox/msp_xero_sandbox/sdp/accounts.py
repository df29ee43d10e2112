"""Accounts over the API: what may be written, and the metadata that says so (sdp-msp-api §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp import writing
from msp_xero_sandbox.sdp.entities import ACCOUNT_TEXTS
from msp_xero_sandbox.sdp.errors import Refusal
from msp_xero_sandbox.sdp.reading import CLOUD

if TYPE_CHECKING:
    from msp_xero_sandbox.sdp.store import Row, Store
    from msp_xero_sandbox.sdp.switches import Switches

_LIMITS = {
    "name": 250, "description": 4000, "industry": 100, "country": 100, "city": 100, "doornumber": 100,
    "street": 250, "landmark": 250, "state": 100, "postalcode": 50, "landline": 50, "fax": 50,
    "emailid": 250, "weburl": 250,
}  # fmt: skip
_DISPLAY = {
    "name": "Account Name", "description": "Description", "industry": "Industry", "country": "Country",
    "city": "City", "doornumber": "Door Number", "street": "Street", "landmark": "Landmark",
    "state": "State", "postalcode": "Postal Code", "landline": "Landline", "fax": "Fax",
    "emailid": "Email", "weburl": "Web URL",
}  # fmt: skip
# Custom field: type, display name, longest text, whether only the product writes it.
_CUSTOM: dict[str, tuple[str, str, int | None, bool]] = {
    "udf_sline_101": ("string", "Xero contact id", 100, False),
    "udf_sline_102": ("string", "Billing code", 100, False),
    "udf_mline_103": ("string", "Billing notes", 4000, False),
    "udf_double_104": ("double", "Discount percent", None, False),
    "udf_date_105": ("datetime", "Contract start", None, False),
    "udf_sline_106": ("string", "Legacy number", 50, True),
}
_LOGIN_URL_LIMIT = 250
_READ_ONLY = frozenset({"id", "default_site", "is_msp", "created_time"})


def apply(store: Store, switches: Switches, dialect: str, old: Row | None, given: Any) -> Row:
    """Return an account with what a caller sent; members that were not sent stay.

    Raises:
        Refusal: A member is unknown, read-only, missing, too long, or the name is taken.
    """
    key = "customer" if dialect == CLOUD else "account"
    if not isinstance(given, dict):
        raise Refusal(4012, fields=[key])
    row: Row = dict(old) if old is not None else {"inactive": False, "is_msp": False, "udf_fields": {}}
    login_field = "domain" if dialect == CLOUD else switches["login_url_field"]
    container = switches["account_udf_container"]
    for name, value in given.items():
        if name in ACCOUNT_TEXTS:
            row[name] = writing.text_or_none(name, value, _LIMITS[name])
        elif name == login_field:
            row["login_url"] = writing.text_or_none(name, value, _LOGIN_URL_LIMIT)
        elif name == "account_manager":
            row["account_manager_id"] = writing.reference(name, value, store["technicians"].rows.values())
        elif name == "inactive":
            row["inactive"] = bool(writing.flag_or_none(name, value))
        elif name == container:
            row["udf_fields"] = (row.get("udf_fields") or {}) | _custom_fields(name, value)
        else:
            raise Refusal(4014 if name in _READ_ONLY else 4001, field=name)
    _check_mandatory(switches, dialect, row, login_field)
    _check_unique(store, switches, row)
    return row


def new_site(row: Row) -> Row:
    """Return the site that every new account gets."""
    return {"name": row.get("city") or "Common Site", "account_id": row["id"]}


def metainfo(switches: Switches, dialect: str) -> dict[str, Any]:
    """Return the fields of an account with their types and limits (§5.1)."""
    fields: dict[str, Any] = {"id": _field("string", "ID", read_only=True)}
    for name in ACCOUNT_TEXTS:
        fields[name] = _field("string", _DISPLAY[name], mandatory=name == "name", limit=_LIMITS[name])
    fields["account_manager"] = _field("lookup", "Account Manager") | {"lookup_entity": "technician"}
    fields["inactive"] = _field("boolean", "Inactive")
    if dialect == CLOUD:
        fields["domain"] = _field("string", "Client Portal Domain", limit=_LOGIN_URL_LIMIT)
    else:
        mandatory = switches.is_on("login_url_mandatory")
        login_url = _field("string", "Login URL", mandatory=mandatory, limit=_LOGIN_URL_LIMIT)
        fields[switches["login_url_field"]] = login_url
    custom = {
        name: _field(
            kind,
            label,
            mandatory=name == "udf_sline_102" and switches.is_on("udf_mandatory"),
            read_only=read_only,
            limit=limit,
        )
        for name, (kind, label, limit, read_only) in _CUSTOM.items()
    }
    fields[switches["account_udf_container"]] = {"type": "udf_fields", "fields": custom}
    return {"entity": "customer" if dialect == CLOUD else "account", "fields": fields}


def _field(
    kind: str, label: str, *, mandatory: bool = False, read_only: bool = False, limit: int | None = None
) -> dict[str, Any]:
    field: dict[str, Any] = {
        "type": kind,
        "display_name": label,
        "mandatory": mandatory,
        "read_only": read_only,
        "default_value": None,
    }
    if limit is not None:
        field["constraints"] = {"max_length": limit}
    return field


def _custom_fields(container: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Refusal(4021, field=container)
    checked: dict[str, Any] = {}
    for name, value in given.items():
        field = f"{container}.{name}"
        if name not in _CUSTOM:
            raise Refusal(4001, field=field)
        kind, _, limit, read_only = _CUSTOM[name]
        if read_only:
            raise Refusal(4014, field=field)
        if kind == "string" or value is None:
            checked[name] = writing.text_or_none(field, value, limit)
        elif kind == "double":
            checked[name] = str(writing.amount(field, value))
        else:
            moment = writing.moment_or_none(field, value)
            checked[name] = None if moment is None else {"value": str(moment)}
    return checked


def _check_mandatory(switches: Switches, dialect: str, row: Row, login_field: str) -> None:
    missing = []
    if not (row.get("name") or "").strip():
        missing.append("name")
    if dialect != CLOUD and switches.is_on("login_url_mandatory") and not row.get("login_url"):
        missing.append(login_field)
    if switches.is_on("udf_mandatory") and not (row.get("udf_fields") or {}).get("udf_sline_102"):
        missing.append(f"{switches['account_udf_container']}.udf_sline_102")
    if missing:
        raise Refusal(4012, fields=missing)


def _check_unique(store: Store, switches: Switches, row: Row) -> None:
    fold = str.casefold if switches["account_names"] == "insensitive" else str
    name = fold(row["name"])
    for other in store["accounts"].rows.values():
        if other["id"] != row.get("id") and fold(other["name"]) == name:
            raise Refusal(4008, field="name")
