"""An open ledger on either database, and lines to deliver."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from msp_xero.billing.preflight import SETTLE_REASONS
from msp_xero.ledger import Ledger
from msp_xero.ledger.lines import Line
from msp_xero.ledger.staging import stage_lines

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class StillClock:
    """Time that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self):
        return START + timedelta(seconds=self.seconds)

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


def make_line(worklog_id="1", module="request", **changes) -> Line:
    minutes = changes.pop("minutes", 30)
    created = changes.pop("created_time", "2026-11-01T01:00:00.000Z")
    technician = changes.pop("technician_id", "9")
    values = {
        "decision": "bill",
        "minutes": minutes,
        "account_id": "7",
        "account_name": "Acme",
        "technician_id": technician,
        "created_time": created,
        "work_date": date(2026, 11, 1),
        "quantity": (Decimal(minutes) / 60).quantize(Decimal("0.0001")),
        "source": {
            "worklog_id": worklog_id,
            "module": module,
            "minutes": minutes,
            "technician_id": technician,
            "created_time": created,
        },
    }
    return Line(worklog_id=worklog_id, module=module, **(values | changes))


@pytest.fixture(name="line")
def line_fixture():
    return make_line


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture
def ledger(ledger_url, clock):
    with Ledger.open(ledger_url, clock=clock, actor="test") as ledger:
        yield ledger


@pytest.fixture
def deliver(ledger):
    return lambda *lines: stage_lines(ledger, lines, settle_reasons=SETTLE_REASONS)
