"""A ledger, a Xero in the same process, and a few worklogs to bill."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import requests
from msp_xero.billing.document import worklog_of
from msp_xero.billing.preflight import SETTLE_REASONS
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.billing.strangers import worklogs_on
from msp_xero.ledger import Ledger
from msp_xero.ledger.lines import Line
from msp_xero.ledger.models import AccountLink, Invoice, InvoiceLine, Worklog, WorklogTypeLink
from msp_xero.ledger.staging import stage_lines
from msp_xero.xero.client import XeroClient
from msp_xero.xero.settings import XeroSettings
from msp_xero_sandbox.calls import CallLog
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.faults import Faulty
from msp_xero_sandbox.inprocess import InProcessAdapter, MovingClock
from msp_xero_sandbox.settings import Settings
from msp_xero_sandbox.story import build
from msp_xero_sandbox.xero.app import XeroApp
from sqlalchemy import func, select

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
GONE = ("VOIDED", "DELETED")


class World:
    """One Xero, one ledger, and what a person or a run does with them."""

    def __init__(self, folder, url) -> None:
        self.folder = folder
        self.url = url
        self.clock = Clock(START, running=False)
        self.rows = build(1, "small", START).xero
        self.xero = XeroApp(self.rows, self.clock, Settings())
        self.faulty = Faulty(self.xero, self.clock, CallLog())
        self.time = MovingClock(self.clock)
        self.adapter = InProcessAdapter(self.faulty, self.clock)
        self._begin()
        self.contacts = [c for c in self.rows["contacts"] if c.get("ContactStatus") == "ACTIVE"]
        self.item = next(
            i
            for i in self.rows["items"]
            if i.get("IsSold") and {"UnitPrice", "AccountCode", "TaxType"} <= i["SalesDetails"].keys()
        )

    def open_ledger(self) -> Ledger:
        return Ledger.open(self.url, clock=self.time, actor="test")

    def _begin(self) -> None:
        """Open a ledger that is used for the first time; it was copied from one that is older."""
        with self.open_ledger() as ledger, ledger.write() as session:
            ledger.connection(session).created_at = self.time.now()
        self.ledger = self.open_ledger()

    def begin_anew(self, url) -> None:
        """Go on with an empty ledger, on the same books."""
        self.ledger.close()
        self.url = url
        self._begin()
        self.link_accounts()
        self.link_types()

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
        self.link_accounts_from(0, count)

    def link_accounts_from(self, first: int, end: int) -> None:
        now = self.time.now()
        with self.ledger.write() as session:
            for index in range(first, end):
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

    def settle_without_look_up(self) -> None:
        """Begin a settle that is killed where it would look invoices up."""
        client = self.client()
        invoices = client.invoices

        def killed(*, numbers=None, **options):
            if numbers is not None:
                raise RuntimeError("killed")
            return invoices(**options)

        client.invoices = killed
        with pytest.raises(RuntimeError, match="killed"):
            settle(self.ledger, client, BillingSettings())

    def fail(self, *faults):
        """Let Xero's next calls go wrong."""
        self.faulty.add_faults(list(faults))

    def recover(self, seconds: float = 3600) -> None:
        """End all faults and let time pass."""
        self.faulty.clear_faults()
        self.clock.advance(seconds)
        self.adapter.commit_late_calls()

    def person(self, kind, action, row="", **values):
        """Do something in Xero's own pages."""
        return self.xero.change_row({"kind": kind, "action": action, "id": row, "values": values})

    def write_by_hand(self, number, reference="By hand", text="Cabling"):
        """Write an invoice to another customer, as a person or another program does."""
        return self.person(
            "invoice",
            "add",
            InvoiceNumber=number,
            Contact={"ContactID": self.contacts[5]["ContactID"]},
            Reference=reference,
            LineItems=[{"Quantity": 1, "UnitAmount": 5, "Description": text}],
        )

    def invoices(self):
        """Every sales invoice in Xero whose number begins like ours."""
        return [i for i in self.xero.dump(["invoices"])["invoices"] if i["InvoiceNumber"].startswith("SDP-")]

    def ours(self):
        """Every live invoice in Xero with a worklog of ours on it, whatever its number is."""
        return [
            i for i in self.xero.dump(["invoices"])["invoices"] if i["Status"] not in GONE and worklogs_on(i)
        ]

    def writes(self) -> int:
        return sum(call["method"] == "PUT" for call in self.faulty.log.since())

    def states(self):
        with self.ledger.read() as session:
            return dict(session.execute(select(Worklog.state, func.count()).group_by(Worklog.state)).all())

    def reasons(self):
        with self.ledger.read() as session:
            return dict(session.execute(select(Worklog.worklog_id, Worklog.reason_code)).all())

    def ledger_invoices(self):
        with self.ledger.read() as session:
            return session.scalars(select(Invoice).order_by(Invoice.id)).all()

    def ledger_number(self) -> int:
        """The sequence of the next invoice number."""
        with self.ledger.read() as session:
            return self.ledger.connection(session).next_number

    def live_keys(self):
        """``(module, worklog id)`` of every live line of the ledger, repeats included."""
        with self.ledger.read() as session:
            rows = session.execute(
                select(Worklog.module, Worklog.worklog_id)
                .join(InvoiceLine, InvoiceLine.worklog_row == Worklog.id)
                .where(InvoiceLine.live)
            )
            return sorted(map(tuple, rows))

    def assert_exactly_once(self, count: int) -> None:
        """Every worklog is on one live invoice, in Xero and in the ledger alike."""
        in_xero = sorted(key for invoice in self.ours() for key in worklogs_of(invoice))
        assert len(in_xero) == len(set(in_xero)) == count
        assert in_xero == self.live_keys()
        assert self.states() == {"invoiced": count}
        by_id = {invoice["InvoiceID"]: invoice for invoice in self.ours()}
        made = [invoice for invoice in self.ledger_invoices() if invoice.state == "created"]
        assert {invoice.xero_id for invoice in made} == set(by_id)
        assert all(invoice.total == invoice.xero_total == by_id[invoice.xero_id]["Total"] for invoice in made)


def worklogs_of(invoice):
    """Like worklogs_on, but with repeats."""
    return [key for line in invoice["LineItems"] if (key := worklog_of(line["Description"]))]


@pytest.fixture
def make_world(tmp_path):
    """A function that makes a linked world on a ledger."""
    worlds = []

    def make(url) -> World:
        folder = tmp_path / f"world-{len(worlds)}"
        folder.mkdir()
        worlds.append(world := World(folder, url))
        world.link_accounts()
        world.link_types()
        return world

    yield make
    for world in worlds:
        world.ledger.close()


@pytest.fixture
def world(make_world, ledger_url):
    return make_world(ledger_url)


@pytest.fixture
def sqlite_world(make_world, sqlite_databases, tmp_path):
    """For what takes many runs and does not depend on the database."""
    return make_world(sqlite_databases.fresh(tmp_path))


@pytest.fixture
def lose(databases, tmp_path_factory):
    """A function that takes the world's ledger away and gives it an empty one."""

    def lose(world):
        world.ledger.close()
        world.url = databases.fresh(tmp_path_factory.mktemp("new"))
        world.ledger = world.open_ledger()

    return lose


@pytest.fixture
def lose_the_ledger(sqlite_databases, tmp_path_factory):
    """A function that lets a world go on with an empty ledger."""
    return lambda world: world.begin_anew(sqlite_databases.fresh(tmp_path_factory.mktemp("empty")))


@pytest.fixture
def bill_and_lose(lose_the_ledger):
    """A function: the one invoice of worklog 1000 is edited by a person, and then the ledger is lost."""

    def do(world, **changes):
        world.deliver(world.line(0, account=0))
        world.settle()
        [sent] = world.invoices()
        world.person("invoice", "edit", sent["InvoiceID"], **changes)
        lose_the_ledger(world)

    return do


@pytest.fixture
def older(world, databases, tmp_path):
    """A function that leaves a world with an older copy of its ledger.

    The second of two drafts was made since, and renumbered.
    """

    def older(**changes):
        world.deliver(world.line(0, account=0))
        world.settle()
        world.clock.advance(3600)
        world.settle()
        world.ledger.close()
        backup = databases.copy(world.url, tmp_path)
        world.deliver(world.line(3, account=0))
        world.clock.advance(3600)
        world.settle()
        [second] = [one["InvoiceID"] for one in world.invoices() if one["InvoiceNumber"] == "SDP-00002"]
        world.person("invoice", "edit", second, InvoiceNumber="INV-0001", **changes)
        world.ledger.close()
        world.url = backup
        world.ledger = world.open_ledger()
        return world

    return older


@pytest.fixture
def begun_anew(sqlite_world, lose_the_ledger):
    """Somebody tries the program out, takes the trial invoices back in Xero, and begins with a new ledger."""

    def begun_anew(status, action):
        world = sqlite_world
        world.deliver(*(world.line(n) for n in range(6)))
        world.settle(invoice_status=status)
        for invoice in world.ours():
            world.person("invoice", action, invoice["InvoiceID"])
        world.clock.advance(30 * 86_400)
        lose_the_ledger(world)
        assert world.ours() == []
        world.deliver(*(world.line(n) for n in range(6)))
        return world

    return begun_anew


@pytest.fixture
def stopped(sqlite_world):
    """A function that lets a person stop a push of three invoices, one a call, after the first one."""
    world = sqlite_world

    def stopped(**settings):
        world.deliver(*(world.line(n) for n in range(9)))
        one_by_one = BillingSettings(batch_size=1, concurrency=1, **settings)
        ended = settle(world.ledger, world.client(), one_by_one, stop_requested=lambda: world.writes() == 1)
        assert (ended.invoices, ended.unsent) == (1, 2)
        world.clock.advance(3600)
        return world

    return stopped
