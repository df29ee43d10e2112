"""The sandbox's answers validate against Xero's own OpenAPI file."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from msp_xero_sandbox.wire import Answer, make_call

pytest.importorskip("openapi_core", reason="openapi-core is not installed")
pytest.importorskip("yaml", reason="PyYAML is not installed")
import openapi_core
import yaml
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

# The file stands beside the repository in the project's shared folder; its licence notice is there too.
SPEC = Path(
    os.environ.get(
        "XERO_OPENAPI_SPEC", Path(__file__).parents[3] / "shared" / "specs" / "xero_accounting.yaml"
    )
)
HOST = "https://api.xero.com"
HEADERS = {"xero-tenant-id": "00000000-0000-4000-a000-000000000001", "Accept": "application/json"}


def sane(value: Any) -> Any:
    """Read the file's textual booleans as booleans: its only defect as a specification."""
    if isinstance(value, dict):
        fixed = {name: sane(inner) for name, inner in value.items()}
        if fixed.get("type") == "boolean" and isinstance(fixed.get("default"), str):
            fixed["default"] = fixed["default"] == "true"
        return fixed
    return [sane(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def spec():
    if not SPEC.exists():
        pytest.skip(f"no OpenAPI file at {SPEC}; set XERO_OPENAPI_SPEC")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(SPEC.read_text(encoding="utf-8"), Loader=loader)
    config = openapi_core.Config(spec_validator_cls=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openapi_core.OpenAPI.from_dict(sane(document), config=config)


class Sent:
    """A call as openapi-core wants to see it."""

    def __init__(self, method: str, path: str, body: bytes | None) -> None:
        call = make_call(method, path, {})
        self.host_url = HOST
        self.path = call.path
        self.method = method.lower()
        self.body = body
        self.content_type = "application/json"
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(dict(call.query)), header=Headers(HEADERS), cookie=ImmutableMultiDict()
        )


class Got:
    """An answer as openapi-core wants to see it."""

    def __init__(self, status: int, body: bytes) -> None:
        self.data = body
        self.status_code = status
        self.content_type = "application/json"
        self.headers = Headers({"Content-Type": "application/json"})


def check(spec: Any, xero: Any, method: str, path: str, content: Any = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    reply = xero.call(method, path, body)
    request, response = Sent(method, f"/api.xro/2.0{path}", body), Got(reply.status, reply.body)
    with warnings.catch_warnings():
        # OAuth 2 is a security scheme that openapi-core does not know.
        warnings.simplefilter("ignore")
        spec.validate_response(request, response)
        if body is not None:
            spec.validate_request(request)
    return reply


READS = [
    "/Organisation",
    "/Accounts",
    "/TaxRates",
    "/Items",
    "/Items?unitdp=4",
    "/Contacts",
    "/Contacts?page=1&includeArchived=true",
    "/Invoices",
    "/Invoices?page=1&unitdp=4",
    "/BrandingThemes",
    "/TrackingCategories",
    "/Currencies",
    "/Users",
    "/Organisation/Actions",
]


@pytest.mark.parametrize("path", READS)
def test_reads_validate(spec, xero, path):
    xero.created("SDP-1", Status="AUTHORISED")
    xero.app.change_row(
        {"kind": "organisation", "action": "edit", "values": {"PeriodLockDate": "2026-01-31"}}
    )
    xero.app.change_row({"kind": "invoice", "action": "pay", "id": "OLD-1"})
    assert check(spec, xero, "GET", path).status == 200


def test_single_reads_validate(spec, xero, books):
    key = xero.created("SDP-1", Status="AUTHORISED")["InvoiceID"]
    for path in (
        f"/Invoices/{key}",
        f"/Invoices/{key}/History",
        f"/Invoices/{key}/OnlineInvoice",
        f"/Contacts/{books.ADA}",
        f"/Items/{books.guid(10)}",
    ):
        assert check(spec, xero, "GET", path).status == 200


def test_writes_validate(spec, xero, books):
    lines = [books.line(ItemCode="REM-1", Tracking=[{"Name": "Region", "Option": "North"}])]
    good, bad = books.invoice("SDP-1", LineItems=lines), books.invoice("OLD-1")
    assert (
        check(spec, xero, "PUT", "/Invoices?summarizeErrors=false&unitdp=4", {"Invoices": [good, bad]}).status
        == 200
    )
    assert check(spec, xero, "PUT", "/Invoices", {"Invoices": [bad]}).status == 400
    assert check(spec, xero, "PUT", "/Contacts", {"Contacts": [{"Name": "New"}]}).status == 200
    assert check(spec, xero, "PUT", "/Contacts", {"Contacts": [{"Name": "New"}]}).status == 400
    assert (
        check(
            spec, xero, "PUT", "/Items", {"Items": [{"Code": "NEW", "SalesDetails": {"UnitPrice": 5}}]}
        ).status
        == 200
    )
    key = xero.get("/Invoices/SDP-1").json["Invoices"][0]["InvoiceID"]
    note = {"HistoryRecords": [{"Details": "billed"}]}
    assert check(spec, xero, "PUT", f"/Invoices/{key}/History", note).status == 200


def test_a_wrong_answer_would_be_noticed(spec, xero):
    request = Sent("GET", "/api.xro/2.0/Invoices", None)
    wrong = Answer(body=b'{"Invoices":[{"Type":"NONSENSE"}]}')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception, match="InvalidData"):
            spec.validate_response(request, Got(wrong.status, wrong.body))
