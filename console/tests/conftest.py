"""A Meltano project with a ledger as a month of work leaves it, and the command line to look at it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from msp_xero.errors import SettingError
from msp_xero.ledger import Ledger
from msp_xero.ledger.lines import Line
from msp_xero.ledger.models import (
    AccountLink,
    BillingConnection,
    Invoice,
    InvoiceLine,
    PushBatch,
    SdpEntry,
    Worklog,
    WorklogTypeLink,
)
from msp_xero.ledger.runs import finish_run, start_run
from msp_xero.ledger.staging import stage_lines
from msp_xero_console.main import app
from msp_xero_sandbox.assembly import assemble
from msp_xero_sandbox.server import running
from msp_xero_sandbox.settings import Settings as SandboxSettings
from msp_xero_transforms.rules import read_rules
from sqlalchemy import select, update
from typer.testing import CliRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msp_xero_console.project import Mapped
    from typer.testing import Result

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SHORT_CODE = "!Qj35V"
XERO_ID = "0f8e1a52-7a50-4ee7-9d5c-4d2f2c5a1b11"

MELTANO_YML = """
requires_meltano: ">=4.2,<5"
project_id: console-tests
default_environment: demo
send_anonymous_usage_stats: false
environments:
- name: demo
- name: prod
state_backend:
  uri: file://${MELTANO_PROJECT_ROOT}/state
plugins:
  extractors:
  - name: tap-msp-sdp
    namespace: tap_msp_sdp
    config: {base_url: "https://sdp.example.com", auth_token: sdp-secret}
  - name: tap-xero-lite
    namespace: tap_xero_lite
    config: {client_id: client, client_secret: xero-secret}
  mappers:
  - name: msp-xero-transforms
    namespace: msp_xero_transforms
    mappings:
    - name: worklogs-to-lines
      config: {ledger_url: "sqlite:///.msp-xero/ledger.db", time_zone: Pacific/Auckland}
  loaders:
  - name: target-msp-sdp
    namespace: target_msp_sdp
    config:
      base_url: https://sdp.example.com
      auth_token: sdp-secret
      login_url_template: "https://help.example.com/{slug}"
  - name: target-xero-invoices
    namespace: target_xero_invoices
    config: {client_id: client, client_secret: xero-secret, account_code: "200"}
"""


class FixedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


@dataclass
class Cli:
    """The command line in a project folder."""

    folder: Path

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    def says(self, *arguments: str, code: int = 0) -> str:
        result = self(*arguments)
        assert result.exit_code == code, result.output
        return result.stdout

    def refuses(self, *arguments: str, code: int = 1) -> str:
        result = self(*arguments)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        return result.stderr

    def data(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.says(*arguments, "--json", code=code), parse_float=Decimal)

    def ledger(self) -> Ledger:
        url = f"sqlite:///{self.folder}/.msp-xero/ledger.db"
        return Ledger.open(url, clock=FixedClock(), actor="target-xero-invoices")


@pytest.fixture(autouse=True)
def mapper_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapper takes seconds to start; what it reads is asked here, but where a test starts it itself."""

    def refused(mapping: Mapped, _folder: Path) -> list[str]:
        try:
            read_rules(mapping.config)
        except SettingError as error:
            return [str(one) for one in (error, *error.others)]
        return []

    monkeypatch.setattr("msp_xero_console.checks.mapper.refusals", refused)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MELTANO_ENVIRONMENT", "MELTANO_PROJECT_ROOT", "MSP_XERO_LEDGER_URL", "MSP_XERO_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "meltano.yml").write_text(MELTANO_YML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def empty(project: Path) -> Cli:
    """A project in which nothing has run yet."""
    return Cli(project)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger's folder, made once: each test gets a copy."""
    folder = tmp_path_factory.mktemp("filled")
    with Cli(folder).ledger() as ledger:
        fill(ledger)
    return folder / ".msp-xero"


@pytest.fixture
def cli(project: Path, filled: Path) -> Cli:
    """A project in which everything that can happen has happened."""
    shutil.copytree(filled, project / ".msp-xero")
    return Cli(project)


def line(worklog_id: str, **more: Any) -> Line:
    values: dict[str, Any] = {
        "module": "request",
        "decision": "bill",
        "minutes": 90,
        "parent_id": "45",
        "parent_display_id": "1045",
        "parent_title": "Printer on fire",
        "account_id": "7",
        "account_name": "Kōwhai Dental",
        "technician_id": "3",
        "technician_name": "Ana Pérez",
        "type_id": "21",
        "type_name": "Remote support",
        "work_date": date(2026, 11, 3),
        "created_time": f"2026-11-03T0{len(worklog_id)}:00:00Z",
        "is_billable": True,
        "description": "Request 1045: Printer on fire\nReplaced the fuser.",
        "quantity": Decimal("1.5"),
        "unit_price": Decimal(100),
        "amount": Decimal(150),
    }
    values |= more
    source = {name: values[name] for name in ("module", "minutes", "description")}
    source |= {"worklog_id": worklog_id, "total_cost": values["amount"]}
    return Line(worklog_id=worklog_id, **{"source": source, **values})


def fill(ledger: Ledger) -> None:
    """Two invoiced (one changed since), one planned, four open, three held, one excluded; two share an id."""
    held = {"decision": "hold", "unit_price": None, "amount": None}
    lines = [
        line("101"),
        line("102", minutes=30, quantity=Decimal("0.5"), amount=Decimal(50)),
        line("103", account_id="8", account_name="Rimu & Co [Ltd]"),
        line("104"),
        line("105", account_id="8", unit_price=None, amount=None),
        line(
            "106",
            **held,
            reason_code="TYPE_MISSING",
            reason="The worklog has no worklog type.",
            type_name=None,
        ),
        line("107", account_id="8", unit_price=None, amount=None),
        line(
            "108", decision="exclude", reason_code="EXCLUDED_BY_RULE", reason="It is marked as not billable."
        ),
        line("109", description='=HYPERLINK("http://evil")', technician_name="+64 21\x1b[31m"),
        line("110", module="task", technician_id="4", created_time="2026-11-04T00:00:00Z"),
        line("110", parent_display_id="1046"),
    ]
    run = start_run(ledger, "worklogs")
    stage_lines(ledger, lines, settle_reasons=frozenset(), run_id=run)
    counts = {"invoices": 1, "worklogs": 2, "minutes": 120, "total": Decimal("230.00"), "currency": "NZD"}
    finish_run(
        ledger, run, "needs_person", counts={**counts, "held": {"ACCOUNT_UNMAPPED": 2}}, calls={"PUT": 2}
    )
    failed = start_run(ledger, "accounts")
    finish_run(ledger, failed, "failed", error="Xero: the access token is not accepted (GET /Contacts).")
    with ledger.write() as session:
        session.execute(
            update(BillingConnection).values(
                organisation_id="11111111-0000-4000-a000-000000000000",
                organisation_name="Demo MSP Limited",
                short_code=SHORT_CODE,
                base_currency="NZD",
                next_number=3,
                worklog_types_synced_at=NOW,
                sdp_base_url="https://sdp.example.com",
                day_calls_remaining=4870,
                day_calls_seen_at=NOW,
            )
        )
        rows = {row.worklog_id: row for row in session.scalars(select(Worklog).where(Worklog.ordinal == 0))}
        created = invoice(ledger, "SDP-00001", "created", [rows["101"], rows["102"]])
        created.xero_id, created.xero_status, created.xero_total = XERO_ID, "DRAFT", created.total
        created.settled_at = NOW
        unknown = invoice(ledger, "SDP-00002", "unknown", [rows["103"]])
        session.add_all([created, unknown])
        session.flush()
        billed = ((created, "invoiced", ["101", "102"]), (unknown, "planned", ["103"]))
        for made, state, members in billed:
            for position, name in enumerate(members, 1):
                rows[name].state = state
                session.add(invoice_line(made, rows[name], position))
        for name in ("105", "107"):
            rows[name].state, rows[name].reason_code = "held", "ACCOUNT_UNMAPPED"
            rows[name].reason = "Account Rimu has no Xero contact."
        rows["102"].changed = {"minutes": [30, 45]}
        rows["102"].changed_at = NOW
        add_links(session, ledger)


def invoice(ledger: Ledger, number: str, state: str, rows: list[Worklog]) -> Invoice:
    subtotal = sum((row.amount or Decimal(0) for row in rows), Decimal(0))
    tax = subtotal * Decimal("0.15")
    return Invoice(
        connection_id=ledger.connection_id,
        generation=ledger.generation,
        number=number,
        account_id=rows[0].account_id,
        account_name=rows[0].account_name,
        contact_id="c-7",
        contact_name="Kōwhai Dental Limited",
        currency="NZD",
        invoice_date=NOW.date(),
        due_date=NOW.date() + timedelta(days=30),
        reference="Work 2026-11-03 to 2026-11-03 [ab12]",
        marker="ab12",
        wanted_status="DRAFT",
        line_amount_types="Exclusive",
        subtotal=subtotal,
        total_tax=tax,
        total=subtotal + tax,
        line_count=len(rows),
        minutes=sum(row.minutes for row in rows),
        state=state,
        planned_at=NOW,
    )


def invoice_line(made: Invoice, row: Worklog, position: int) -> InvoiceLine:
    values = {
        "invoice_id": made.id,
        "worklog_row": row.id,
        "revision": 1,
        "position": position,
        "description": row.description,
        "quantity": row.quantity,
        "unit_price": row.unit_price,
        "amount": row.amount,
        "tax": row.amount * Decimal("0.15"),
        "item_code": "REMOTE",
        "account_code": "200",
        "tax_type": "OUTPUT2",
    }
    return InvoiceLine(**values)


def plan_the_second(cli: Cli) -> None:
    """Let SDP-00002 wait in a call that was never sent."""
    with cli.ledger() as ledger, ledger.write() as session:
        batch = PushBatch(
            connection_id=ledger.connection_id,
            idempotency_key="k",
            body=b"",
            body_digest="d",
            created_at=ledger.clock.now(),
        )
        session.add(batch)
        session.flush()
        planned = update(Invoice).where(Invoice.number == "SDP-00002")
        session.execute(planned.values(state="planned", batch_id=batch.id))


def add_links(session: Any, ledger: Ledger) -> None:
    shared = {
        "connection_id": ledger.connection_id,
        "generation": ledger.generation,
        "first_seen_at": NOW,
        "last_seen_at": NOW,
    }
    for number, name, account in (
        ("7", "Kōwhai Dental", "7"),
        ("8", "Rimu and Co", None),
        ("9", "Twin", None),
    ):
        session.add(
            AccountLink(
                contact_id=f"c-{number}",
                contact_name=name,
                wanted={},
                account_id=account,
                account_name=name if account else None,
                state="linked" if account else "unmapped",
                how="same_name" if account else None,
                **shared,
            )
        )
    session.add(AccountLink(contact_id="c-10", contact_name="Twin", wanted={}, **shared))
    for code, name, type_id in (("REMOTE", "Remote support", "21"), ("ONSITE", "On-site visit", None)):
        session.add(
            WorklogTypeLink(
                item_id=f"i-{code}",
                item_code=code,
                name=name,
                unit_price=Decimal("128.195"),
                is_sold=True,
                type_id=type_id,
                type_name=name if type_id else None,
                state="linked" if type_id else "unmapped",
                **shared,
            )
        )
    entries = [
        ("account", "7", "Kōwhai Dental"),
        ("account", "8", "Rimu & Co [Ltd]"),
        ("account", "9", "Totara"),
    ]
    entries += [("worklog_type", "21", "Remote support"), ("worklog_type", "22", "Travel")]
    for kind, sdp_id, name in entries:
        session.add(
            SdpEntry(connection_id=ledger.connection_id, kind=kind, sdp_id=sdp_id, name=name, seen_at=NOW)
        )


@pytest.fixture(name="line")
def line_builder() -> Any:
    """Build a delivered line; everything about it can be given."""
    return line


@pytest.fixture(scope="session")
def meltano() -> str:
    """The real Meltano."""
    beside = Path(sys.executable).parent / "meltano"
    found = os.environ.get("MELTANO") or (str(beside) if beside.is_file() else shutil.which("meltano"))
    if not found:
        pytest.skip("Meltano is not installed; name its executable in MELTANO")
    return found


class Systems:
    """The local Xero and ServiceDesk Plus MSP, on sockets of this process."""

    def __init__(self, xero: str, sdp: str) -> None:
        self._xero, self._sdp = xero, sdp

    def connect(self, cli: Cli, *, pin: bool = True) -> Cli:
        """Point a project to these systems; ``pin``: its ledger has billed this organisation before."""
        path = cli.folder / "meltano.yml"
        content = path.read_text()
        content = content.replace("https://sdp.example.com", self._sdp).replace(
            "sdp-secret", "sandbox-authtoken"
        )
        addresses = f'api_url: "{self._xero}/api.xro/2.0", identity_url: "{self._xero}"'
        content = content.replace("client_id: client,", f"client_id: sandbox-client, {addresses},")
        path.write_text(content.replace("xero-secret", "sandbox-secret"))
        if pin and (cli.folder / ".msp-xero").exists():
            self._pin(cli)
        return cli

    def _pin(self, cli: Cli) -> None:
        """Make the ledger one of this organisation, with the link of its first account to a contact there."""
        dump = requests.get(f"{self._xero}/_sandbox/dump", timeout=30).json()
        contact = next(row for row in dump["contacts"] if row["ContactStatus"] == "ACTIVE")
        item = next(row for row in dump["items"] if (row.get("SalesDetails") or {}).get("UnitPrice"))
        with cli.ledger() as ledger, ledger.write() as session:
            session.execute(
                update(BillingConnection).values(organisation_id=dump["organisation"][0]["OrganisationID"])
            )
            linked = update(AccountLink).where(AccountLink.account_id == "7")
            session.execute(linked.values(contact_id=contact["ContactID"]))
            linked_item = update(WorklogTypeLink).where(WorklogTypeLink.type_id == "21")
            session.execute(linked_item.values(item_id=item["ItemID"]))

    def writes(self) -> list[str]:
        """Return the calls that were no reads, but for tokens."""
        return [one for one in self._calls() if not one.startswith("GET ") and "token" not in one]

    def calls_to(self, path: str) -> list[str]:
        """Return the calls to a path of either system."""
        return [one for one in self._calls() if one.endswith(f" {path}")]

    def _calls(self) -> list[str]:
        return [
            f"{call['method']} {call['path']}"
            for address in (self._xero, self._sdp)
            for call in requests.get(f"{address}/_sandbox/calls", timeout=30).json()
        ]


@pytest.fixture
def sandbox() -> Iterator[Systems]:
    """Both systems with the small story."""
    rows = assemble(SandboxSettings(scale="small"))
    with running([rows.xero, rows.sdp]) as (xero, sdp):
        yield Systems(xero, sdp)
