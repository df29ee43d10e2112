"""A small Xero organisation, driven in-process (``xero``) or over real sockets (``live``)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests
from msp_xero_sandbox.assembly import site_of
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.server import running
from msp_xero_sandbox.settings import Settings
from msp_xero_sandbox.wire import Answer, decode_json, make_call
from msp_xero_sandbox.xero.app import XeroApp

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "/api.xro/2.0"
START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ADA, BOB, OLD = (f"{n}{n}{n}{n}{n}{n}{n}{n}-0000-4000-a000-000000000000" for n in "abc")


def guid(number: int) -> str:
    return f"00000000-0000-4000-a000-{number:012d}"


def account(code: str, kind: str, group: str, **more: Any) -> dict[str, Any]:
    return {
        "AccountID": guid(int(code)),
        "Code": code,
        "Name": code,
        "Type": kind,
        "Class": group,
        "Status": "ACTIVE",
        **more,
    }


def tax(
    tax_type: str, rate: str, *, revenue: bool = True, expenses: bool = False, status: str = "ACTIVE"
) -> dict[str, Any]:
    return {
        "Name": tax_type,
        "TaxType": tax_type,
        "Status": status,
        "EffectiveRate": Decimal(rate),
        "DisplayTaxRate": Decimal(rate),
        "CanApplyToRevenue": revenue,
        "CanApplyToExpenses": expenses,
        "TaxComponents": [
            {"Name": "GST", "Rate": Decimal(rate), "IsCompound": False, "IsNonRecoverable": False}
        ],
    }


def small_books() -> dict[str, list[dict[str, Any]]]:
    return {
        "organisation": [
            {
                "OrganisationID": guid(1),
                "Name": "Small Books",
                "BaseCurrency": "NZD",
                "CountryCode": "NZ",
                "Timezone": "NEWZEALANDSTANDARDTIME",
                "ShortCode": "!small",
                "Version": "NZ",
                "OrganisationStatus": "ACTIVE",
            }
        ],
        "accounts": [
            account("200", "REVENUE", "REVENUE", TaxType="OUTPUT2"),
            account("290", "REVENUE", "REVENUE", TaxType="OUTPUT2", Status="ARCHIVED"),
            account("300", "EXPENSE", "EXPENSE", TaxType="INPUT2"),
            account("090", "BANK", "ASSET", TaxType="NONE"),
            account("820", "CURRLIAB", "LIABILITY", TaxType="NONE", SystemAccount="GST"),
            account("860", "CURRLIAB", "LIABILITY", TaxType="NONE", SystemAccount="ROUNDING"),
        ],
        "tax_rates": [
            tax("OUTPUT2", "15.0"),
            tax("INPUT2", "15.0", revenue=False, expenses=True),
            tax("NONE", "0", expenses=True),
            tax("TAX001", "12.5", status="DELETED"),
        ],
        "items": [
            {
                "ItemID": guid(10),
                "Code": "REM-1",
                "Name": "Remote support",
                "Description": "Remote support, per hour",
                "SalesDetails": {
                    "UnitPrice": Decimal("128.1950"),
                    "AccountCode": "200",
                    "TaxType": "OUTPUT2",
                },
            },
            {"ItemID": guid(11), "Code": "BARE", "Name": "No sales account", "SalesDetails": {}},
        ],
        "contacts": [
            {"ContactID": ADA, "Name": "Ada Limited", "EmailAddress": "ada@example.com"},
            {"ContactID": BOB, "Name": "Bób & Söhne"},
            {"ContactID": OLD, "Name": "Old Limited", "ContactStatus": "ARCHIVED"},
        ],
        "branding_themes": [
            {"BrandingThemeID": guid(20), "Name": "Standard", "SortOrder": 0, "Type": "INVOICE"}
        ],
        "tracking_categories": [
            {
                "TrackingCategoryID": guid(30),
                "Name": "Region",
                "Status": "ACTIVE",
                "Options": [{"TrackingOptionID": guid(31), "Name": "North", "Status": "ACTIVE"}],
            }
        ],
        "currencies": [
            {"Code": "NZD", "Description": "New Zealand Dollar"},
            {"Code": "USD", "Description": "United States Dollar"},
        ],
        "invoices": [
            {
                "Type": "ACCREC",
                "InvoiceNumber": "OLD-1",
                "Contact": {"ContactID": ADA},
                "Date": "2026-10-01",
                "Status": "AUTHORISED",
                "LineItems": [
                    {"Description": "By hand", "Quantity": 1, "UnitAmount": 100, "AccountCode": "200"}
                ],
            }
        ],
    }


def line(**changes: Any) -> dict[str, Any]:
    values = {
        "Description": "Work",
        "Quantity": 2,
        "UnitAmount": 10.5,
        "AccountCode": "200",
        "TaxType": "OUTPUT2",
    }
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


def invoice(number: str | None = None, **changes: Any) -> dict[str, Any]:
    values = {"Type": "ACCREC", "Contact": {"ContactID": ADA}, "Date": "2026-11-20", "LineItems": [line()]}
    values |= {"InvoiceNumber": number, **changes}
    return {name: value for name, value in values.items() if value is not None}


def messages(value: Any) -> list[str]:
    """Collect every message about an element, wherever it stands."""
    if isinstance(value, dict) and "Elements" in value:
        value = value["Elements"]
    if isinstance(value, list):
        return [text for each in value for text in messages(each)]
    if not isinstance(value, dict):
        return []
    own = [value["Message"]] if isinstance(value.get("Message"), str) else []
    return own + [text for each in value.values() for text in messages(each)]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return decode_json(self.body)


@dataclass
class InProcess:
    """A client of the local Xero without any socket."""

    app: XeroApp
    clock: Clock
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def form(self, path: str, client: str = "sandbox-client:sandbox-secret", **values: str) -> Reply:
        body = "&".join(f"{name}={requests.utils.quote(value, safe='')}" for name, value in values.items())
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if client:
            headers["Authorization"] = f"Basic {base64.b64encode(client.encode()).decode()}"
        return self._reply(self.app.handle(make_call("POST", path, headers, body.encode())))

    def sign_in(self, **values: str) -> None:
        granted = self.form("/connect/token", grant_type="client_credentials", **values)
        self.token = granted.json["access_token"]

    def call(
        self, method: str, path: str, content: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        sent = {
            "Accept": "application/json",
            "Authorization": f"Bearer {self.token}",
            **self.headers,
            **(headers or {}),
        }
        body = b""
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
        url = path if path.startswith("/conn") else f"{API}{path}"
        return self._reply(self.app.handle(make_call(method, url, sent, body)))

    def get(self, path: str, **headers: str) -> Reply:
        return self.call(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def put(self, *invoices: dict[str, Any], query: str = "unitdp=4", **headers: str) -> Reply:
        spelt = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("PUT", f"/Invoices?{query}", {"Invoices": list(invoices)}, spelt)

    def post(self, *invoices: dict[str, Any], query: str = "unitdp=4") -> Reply:
        return self.call("POST", f"/Invoices?{query}", {"Invoices": list(invoices)})

    def created(self, *args: Any, **changes: Any) -> dict[str, Any]:
        reply = self.put(invoice(*args, **changes))
        assert reply.status == 200, reply.body
        return reply.json["Invoices"][0]

    def switch(self, **values: str) -> None:
        for name, value in values.items():
            self.app.set_switch(name, value)

    @staticmethod
    def _reply(answer: Answer) -> Reply:
        return Reply(answer.status, dict(answer.headers), answer.body)


@pytest.fixture
def xero() -> InProcess:
    clock = Clock(START, running=False)
    client = InProcess(XeroApp(small_books(), clock), clock)
    client.switch(minute_limit="none")
    client.sign_in()
    return client


@dataclass
class Live:
    """A client of the local Xero over real sockets."""

    url: str
    session: requests.Session

    def call(self, method: str, path: str, content: Any = None, **options: Any) -> requests.Response:
        # Every call has a limit: a fault that hangs must fail its test, not the suite.
        return self.session.request(method, f"{self.url}{API}{path}", json=content, timeout=10, **options)

    def put(self, *invoices: dict[str, Any], query: str = "unitdp=4", **options: Any) -> requests.Response:
        return self.call("PUT", f"/Invoices?{query}", {"Invoices": list(invoices)}, **options)

    def control(self, method: str, name: str, content: Any = None) -> Any:
        answer = self.session.request(method, f"{self.url}/_sandbox/{name}", json=content, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def numbers(self) -> list[str]:
        return [row["InvoiceNumber"] for row in self.control("GET", "dump?kinds=invoices")["invoices"]]


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    clock = Clock()
    settings = Settings(switches=(("xero.minute_limit", "none"),))
    site = site_of(XeroApp(small_books(), clock, settings), clock, settings)
    with running([site]) as addresses:
        yield addresses[0]


@pytest.fixture
def live(served: str) -> Iterator[Live]:
    with requests.Session() as session:
        session.trust_env = False
        client = Live(served, session)
        client.control("POST", "reset")
        token = session.post(
            f"{served}/connect/token",
            auth=("sandbox-client", "sandbox-secret"),
            data={"grant_type": "client_credentials"},
            timeout=10,
        )
        session.headers.update(
            {"Authorization": f"Bearer {token.json()['access_token']}", "Accept": "application/json"}
        )
        yield client


@pytest.fixture
def books() -> Any:
    """The builders above, for tests that write invoices."""
    return Books


class Books:
    ADA, BOB, OLD, START = ADA, BOB, OLD, START
    guid, invoice, line, messages = (
        staticmethod(guid),
        staticmethod(invoice),
        staticmethod(line),
        staticmethod(messages),
    )
