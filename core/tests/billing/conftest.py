"""A ledger, a Xero in the same process, and a few worklogs to bill."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import requests
from msp_xero.billing.preflight import SETTLE_REASONS
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.ledger import Ledger
from msp_xero.ledger.models import AccountLink, WorklogTypeLink
from msp_xero.ledger.staging import Line, stage_lines
from msp_xero.xero.client import XeroClient
from msp_xero.xero.settings import XeroSettings
from msp_xero_sandbox.calls import CallLog
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.faults import Faulty
from msp_xero_sandbox.inprocess import InProcessAdapter, MovingClock
from msp_xero_sandbox.settings import Settings
from msp_xero_sandbox.story import build
from msp_xero_sandbox.xero.app import XeroApp

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class World:
    """One Xero, one ledger, and what a person or a run does with them."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.clock = Clock(START, running=False)
        self.rows = build(1, "small", START).xero
        self.xero = XeroApp(self.rows, self.clock, Settings())
        self.faulty = Faulty(self.xero, self.clock, CallLog())
        self.time = MovingClock(self.clock)
        self.adapter = InProcessAdapter(self.faulty, self.clock)
        self.url = f"sqlite:///{folder}/ledger.db"
        self.ledger = self.open_ledger()
        self.contacts = [c for c in self.rows["contacts"] if c.get("ContactStatus") == "ACTIVE"]
        self.item = next(
            i
            for i in self.rows["items"]
            if i.get("IsSold") and {"UnitPrice", "AccountCode", "TaxType"} <= i["SalesDetails"].keys()
        )

    def open_ledger(self) -> Ledger:
        return Ledger.open(self.url, clock=self.time, actor="test")

    def client(self) -> XeroClient:
        session = requests.Session()
        session.mount("http://", self.adapter)
        settings = XeroSettings.from_config(
            {
                "client_id": "sandbox-client",
                "client_secret": "sandbox-secret",
                "api_url": "http://xero.test/api.xro/2.0",
                "identity_url": "http://xero.test",
                "token_store": f"{self.folder}/token.json",
            }
        )
        return XeroClient(settings, session=session, clock=self.time)

    def link_accounts(self, count: int = 3) -> None:
        now = self.time.now()
        with self.ledger.write() as session:
            for index in range(count):
                contact = self.contacts[index]
                session.add(
                    AccountLink(
                        connection_id=self.ledger.connection_id,
                        generation=self.ledger.generation,
                        contact_id=contact["ContactID"],
                        contact_name=contact["Name"],
                        wanted={},
                        account_id=str(index),
                        account_name=f"Account {index}",
                        state="linked",
                        first_seen_at=now,
                        last_seen_at=now,
                    )
                )

    def link_types(self) -> None:
        now = self.time.now()
        with self.ledger.write() as session:
            for index, item in enumerate(self.rows["items"]):
                session.add(
                    WorklogTypeLink(
                        connection_id=self.ledger.connection_id,
                        generation=self.ledger.generation,
                        item_id=item["ItemID"],
                        item_code=item["Code"],
                        name=item["Name"],
                        unit_price=item.get("SalesDetails", {}).get("UnitPrice"),
                        is_sold=item.get("IsSold", True),
                        type_id=f"type-{item['Code']}",
                        type_name=item["Name"],
                        state="linked",
                        first_seen_at=now + index * (now - now),
                        last_seen_at=now,
                    )
                )

    def line(self, number: int, **changes) -> Line:
        account = changes.pop("account", number % 3)
        minutes = changes.pop("minutes", 45)
        values = {
            "worklog_id": str(1000 + number),
            "module": "request",
            "decision": "bill",
            "minutes": minutes,
            "account_id": str(account),
            "account_name": f"Account {account}",
            "technician_id": "9",
            "created_time": f"2026-11-{1 + number % 20:02d}T01:00:00.000Z",
            "type_id": f"type-{self.item['Code']}",
            "type_name": self.item["Name"],
            "work_date": date(2026, 11, 1 + number % 20),
            "description": f"Worklog {number}",
            "quantity": Decimal(minutes) / 60,
            "source": {"worklog_id": str(1000 + number), "module": "request", "minutes": minutes},
        }
        values |= changes
        if values["quantity"] is not None:
            values["quantity"] = Decimal(values["quantity"]).quantize(Decimal("0.0001"))
        return Line(**values)

    def deliver(self, *lines: Line):
        return stage_lines(self.ledger, lines, settle_reasons=SETTLE_REASONS)

    def settle(self, **settings):
        return settle(self.ledger, self.client(), BillingSettings.from_config(settings))

    def invoices(self):
        """Every sales invoice in Xero whose number begins like ours."""
        return [i for i in self.xero.dump()["invoices"] if i["InvoiceNumber"].startswith("SDP-")]


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.link_accounts()
    world.link_types()
    yield world
    world.ledger.close()
