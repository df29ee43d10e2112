"""Probes about accounts, worklog types, lists in general, keys and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msp_xero_console.checks.sdp_fields import mandatory
from msp_xero_console.live.sdp_ground import SdpGround, identity, listed, outcome, rows_in, rows_shape
from msp_xero_console.live.shapes import headers, name, names

if TYPE_CHECKING:
    from msp_xero.sdp.calls import Probed

_NO_COLUMN: Final = "no_column_is_called_this"


def accounts(ground: SdpGround) -> list[str]:
    """Show a list of accounts with and without asking for columns."""
    said = []
    for path in dict.fromkeys((ground.client.settings.accounts_path, "accounts", "customers")):
        plain = ground.get(path, listed())
        said.append(outcome(f"GET {name(path)}", plain))
        if rows := rows_in(plain):
            said.append(rows_shape("by default", rows))
            columns = ["id", "name", "emailid", "city", "inactive", "udf_fields"]
            asked = rows_in(ground.get(path, listed(fields_required=columns)))
            said.append(rows_shape("with columns", asked))
    return said


def account_fields(ground: SdpGround) -> list[str]:
    """Name the fields of accounts."""
    path = f"{ground.client.settings.accounts_path}/_metainfo"
    probed = ground.get(path, {"conf_fields": "true"})
    inner = probed.payload.get("metainfo")
    fields = inner.get("fields") if isinstance(inner, dict) else {}
    said = [outcome("GET accounts/_metainfo", probed), f"fields: {names(fields)}"]
    for key, told in sorted((fields or {}).items()):
        inside = told.get("fields") if isinstance(told, dict) else None
        if isinstance(inside, dict):
            said.append(f"additional fields in {name(key)}: {names(inside)}")
    return [*said, f"mandatory: {', '.join(_shown(path) for path in mandatory(probed.payload)) or 'none'}"]


def worklog_types(ground: SdpGround) -> list[str]:
    """Ask for worklog types, and for the values that a worklog allows."""
    path = ground.client.settings.worklog_types_path
    plain = ground.get(path, listed(row_count=100))
    everything = ground.get(path, listed(row_count=100) | {"include_inactive_value": True})
    said = [
        outcome(f"GET {name(path)}", plain),
        outcome(f"GET {name(path)} with those switched off", everything),
        rows_shape("a row", rows_in(everything)),
    ]
    for parent, _ in ground.worklogs()[:1]:
        for field in ("type", "worklog_type"):
            probed = ground.get(f"{parent}/worklogs/{field}", listed(row_count=100))
            said.append(outcome(f"GET requests/{{id}}/worklogs/{field}", probed))
    return said


def rights(ground: SdpGround) -> list[str]:
    """Ask what the key may do."""
    asked = {"operations_required": ["add", "edit", "delete"]}
    paths = (ground.client.settings.accounts_path, ground.client.settings.worklog_types_path, "requests")
    return [outcome(f"GET {name(path)}/_links", ground.get(f"{path}/_links", asked)) for path in paths]


def row_counts(ground: SdpGround) -> list[str]:
    """Ask for none, for the most, and for more rows than are given."""
    said = [outcome("no list_info at all", ground.get("requests"))]
    for count in (100, 101):
        probed = ground.get("requests", listed(row_count=count))
        said.append(outcome(f"row_count {count}", probed))
        info = probed.payload.get("list_info")
        said.append(f"list_info of the answer: {names(info)}")
    one = rows_in(
        ground.get("requests", listed(row_count=1, start_index=2, sort_field="id", sort_order="asc"))
    )
    page = {"list_info": {"row_count": 1, "page": 2, "sort_field": "id", "sort_order": "asc"}}
    other = rows_in(ground.get("requests", page))
    same = [identity(each) for each in one] == [identity(each) for each in other]
    return [*said, f"page 2 is the same row as start_index 2: {'yes' if same and one else 'no'}"]


def columns(ground: SdpGround) -> list[str]:
    """Ask for a column that does not exist, and for columns inside and beside list_info."""
    unknown = ground.get("requests", listed(row_count=1, fields_required=["id", _NO_COLUMN]))
    wanted = ["id", "account", "last_updated_time"]
    inside = ground.get("requests", listed(row_count=1, fields_required=wanted))
    beside = ground.get("requests", listed(row_count=1) | {"fields_required": wanted})
    return [
        outcome("a column that does not exist", unknown),
        f"columns inside list_info: {_columns(inside)}",
        f"columns beside list_info: {_columns(beside)}",
        f"columns by default: {_columns(ground.get('requests', listed(row_count=1)))}",
    ]


def keys(ground: SdpGround) -> list[str]:
    """Call without a key, and with ours in the older header.

    No wrong key is ever sent: whether an installation counts those, and against whom, is not documented.
    """
    settings = ground.client.settings
    ways: dict[str, dict[str, str | None]]
    if settings.edition == "cloud":
        ways = {"no access token": {"Authorization": None}}
    else:
        own = settings.auth_header
        other = "TECHNICIAN_KEY" if own == "authtoken" else "authtoken"
        ways = {"no key": {own: None}, f"the key as {other}": {own: None, other: settings.auth_token}}
    return [
        outcome(label, ground.get("requests", listed(row_count=1), headers=changed))
        for label, changed in ways.items()
    ]


def refusals(ground: SdpGround) -> list[str]:
    """Ask for what does not exist."""
    return [
        outcome("a path that does not exist", ground.get("no_such_path_msp_xero")),
        outcome("a row that does not exist", ground.get("requests/999999999999999999")),
        outcome("a sort field that does not exist", ground.get("requests", listed(sort_field=_NO_COLUMN))),
    ]


def portal(ground: SdpGround) -> list[str]:
    """Call without PORTALID and with the usual one."""
    settings = ground.client.settings
    said = [f"the base URL has a path: {'yes' if urlsplit(settings.base_url).path else 'no'}"]
    for label, value in (("without PORTALID", None), ("with PORTALID 1", "1")):
        probed = ground.get("requests", listed(row_count=1), headers={"PORTALID": value})
        said.append(outcome(label, probed))
    return [*said, f"portal_id is set: {'yes' if settings.portal_id else 'no'}"]


def limits(ground: SdpGround) -> list[str]:
    """Name the headers that came with all answers so far."""
    ground.rows("requests")
    about = {header for header in ground.headers_seen if "limit" in header or "retry" in header}
    return [f"headers about limits: {headers(about)}", f"all headers: {headers(ground.headers_seen)}"]


def _columns(probed: Probed) -> str:
    rows = rows_in(probed)
    return names(rows[0]) if rows else "no rows"


def _shown(path: str) -> str:
    return ".".join(name(part) for part in path.split("."))
