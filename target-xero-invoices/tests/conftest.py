"""The target in this process, with a Xero in the same process and linked accounts and items."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
import requests
from click.testing import CliRunner
from msp_xero.ledger import Ledger
from msp_xero.ledger.models import AccountLink, Invoice, SyncRun, Worklog, WorklogTypeLink
from msp_xero.xero.client import XeroClient
from msp_xero_sandbox.calls import CallLog
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.faults import Faulty
from msp_xero_sandbox.inprocess import InProcessAdapter, MovingClock
from msp_xero_sandbox.settings import Settings
from msp_xero_sandbox.story import build
from msp_xero_sandbox.xero.app import XeroApp
from sqlalchemy import select
from target_xero_invoices import target as target_module
from target_xero_invoices.target import TargetXeroInvoices

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
KEYS = ["module", "worklog_id"]


class Run(NamedTuple):
    code: int
    states: list
    errors: str
    log: str


class World:
    """One Xero, one ledger, and runs of the target between them."""

    def __init__(self, folder, caplog) -> None:
        self.folder, self.caplog = folder, caplog
        self.clock = Clock(START, running=False)
        self.rows = build(1, "small", START).xero
        self.xero = XeroApp(self.rows, self.clock, Settings())
        self.faulty = Faulty(self.xero, self.clock, CallLog())
        self.adapter = InProcessAdapter(self.faulty, self.clock)
        self.url = f"sqlite:///{folder}/ledger.db"
        self.item = next(
            i
            for i in self.rows["items"]
            if i.get("IsSold") and {"UnitPrice", "AccountCode", "TaxType"} <= i["SalesDetails"].keys()
        )
        self._link()

    def _link(self) -> None:
        contacts = [c for c in self.rows["contacts"] if c.get("ContactStatus") == "ACTIVE"]
        with Ledger.open(self.url) as ledger, ledger.write() as session:
            common = {
                "connection_id": ledger.connection_id,
                "generation": ledger.generation,
                "state": "linked",
                "first_seen_at": START,
                "last_seen_at": START,
            }
            for number, contact in enumerate(contacts[:3]):
                session.add(
                    AccountLink(
                        contact_id=contact["ContactID"],
                        contact_name=contact["Name"],
                        wanted={},
                        account_id=str(number),
                        **common,
                    )
                )
            session.add(
                WorklogTypeLink(
                    item_id=self.item["ItemID"],
                    item_code=self.item["Code"],
                    name=self.item["Name"],
                    is_sold=True,
                    type_id="31",
                    **common,
                )
            )

    def client(self, settings, **_options) -> XeroClient:
        session = requests.Session()
        session.mount("http://", self.adapter)
        return XeroClient(settings, session=session, clock=MovingClock(self.clock))

    def config(self, **changes):
        return {
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
            "api_url": "http://xero.test/api.xro/2.0",
            "identity_url": "http://xero.test",
            "token_store": f"{self.folder}/token.json",
            "ledger_url": self.url,
        } | changes

    def run(self, *messages, **config) -> Run:
        path = self.folder / "config.json"
        path.write_text(json.dumps(self.config(**config)))
        text = "".join(json.dumps(message) + "\n" for message in messages)
        self.caplog.clear()
        with self.caplog.at_level("INFO"):
            done = CliRunner().invoke(
                TargetXeroInvoices.get_singer_command(), ["--config", str(path)], input=text.encode()
            )
        states = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        log = "\n".join(record.getMessage() for record in self.caplog.records)
        return Run(done.exit_code, states, done.stderr, log)

    def bill(self, *records, **config) -> Run:
        """Run with lines, a STATE behind them and no control total."""
        return self.run(schema(), *map(record_message, records), state(1), **config)

    def line(self, number, **changes):
        values = {
            "worklog_id": str(1000 + number),
            "module": "request",
            "decision": "bill",
            "reason_code": None,
            "reason": None,
            "account_id": str(number % 3),
            "account_name": f"Account {number % 3}",
            "worklog_type_id": "31",
            "worklog_type_name": self.item["Name"],
            "work_date": "2026-11-20",
            "description": f"Worklog {number}",
            "quantity": 0.75,
            "unit_price": None,
            "amount": None,
            "source": {"worklog_id": str(1000 + number), "module": "request", "minutes": 45},
        }
        return values | changes

    def invoices(self):
        return [i for i in self.xero.dump(["invoices"])["invoices"] if i["InvoiceNumber"].startswith("SDP-")]

    def writes(self) -> int:
        return sum(call["method"] == "PUT" for call in self.faulty.log.since())

    def _all(self, table):
        with Ledger.open(self.url) as ledger, ledger.read() as session:
            return session.scalars(select(table).order_by(table.id)).all()

    def worklogs(self):
        return self._all(Worklog)

    def ledger_invoices(self):
        return self._all(Invoice)

    def runs(self):
        return self._all(SyncRun)

    def states(self):
        return {row.worklog_id: (row.state, row.reason_code) for row in self.worklogs()}


def schema(stream="invoice_lines"):
    keys = KEYS if stream == "invoice_lines" else ["run_id"]
    return {"type": "SCHEMA", "stream": stream, "schema": {"properties": {}}, "key_properties": keys}


def record_message(record, stream="invoice_lines"):
    return {"type": "RECORD", "stream": stream, "record": record}


def state(number):
    return {"type": "STATE", "value": {"up_to": number}}


@pytest.fixture(autouse=True)
def a_clean_surrounding(monkeypatch):
    """Settings of the developer's own shell must not reach a test, and its signals stay its own."""
    for name in [name for name in os.environ if name.startswith("TARGET_XERO_INVOICES_")]:
        monkeypatch.delenv(name)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def world(tmp_path, caplog, monkeypatch):
    world = World(tmp_path, caplog)
    monkeypatch.setattr(target_module, "XeroClient", world.client)
    return world


@pytest.fixture
def messages():
    """The builders of messages."""

    class Messages:
        pass

    Messages.schema, Messages.record, Messages.state = map(staticmethod, (schema, record_message, state))
    return Messages
