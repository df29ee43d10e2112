from __future__ import annotations

import io
import json
import os
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from msp_xero_transforms.mapper import MspXeroTransforms
from msp_xero_transforms.messages import ExactWriter
from msp_xero_transforms.rules import read_rules
from msp_xero_transforms.steps import invoice_line
from msp_xero_transforms.steps.contract import worklog_key

_encode = msgspec.json.Encoder(decimal_format="number").encode
FIXTURES = Path(__file__).parent / "fixtures"
WORKLOG = {
    "worklog_id": "301",
    "module": "request",
    "parent_module": "request",
    "parent_id": "45",
    "parent_display_id": "45",
    "parent_title": "Printer offline",
    "parent_status": "Closed",
    "parent_updated_time": "2026-03-31T11:00:00.000000Z",
    "task_id": None,
    "task_title": None,
    "account_id": "302",
    "account_name": "Zylker Ltd",
    "site_name": None,
    "technician_id": "9",
    "technician_name": "Howard Stern",
    "technician_email": "howard@example.test",
    "type_id": "3",
    "type_name": "On-site support",
    "description": "<div>Replaced fuser</div>",
    "minutes": 90,
    "start_time": "2026-03-30T21:00:00.000000Z",
    "end_time": "2026-03-30T22:30:00.000000Z",
    "created_time": "2026-03-30T22:31:00.123000Z",
    "created_by": "Howard Stern",
    "technician_cost": Decimal("120.00"),
    "other_cost": Decimal("15.00"),
    "total_cost": Decimal("135.00"),
    "is_billable": True,
    "contract_id": None,
    "contract_name": None,
    "udf_fields": {},
    "extra": {},
}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in list(os.environ):
        if name.startswith("MSP_XERO_TRANSFORMS_"):
            monkeypatch.delenv(name)
    # A mapper in a test must not take over the signals of the test run.
    monkeypatch.setattr(MspXeroTransforms, "_setup_signal_handlers", lambda _self: None)


@pytest.fixture
def fixtures():
    return FIXTURES


@pytest.fixture(scope="session")
def worklog():
    """Build a worklog record: an ordinary one, but for the given members."""
    return lambda **members: {**WORKLOG, **members}


@pytest.fixture(scope="session")
def rules():
    """Compile settings."""
    return lambda **config: read_rules(config)


@pytest.fixture(scope="session")
def line(worklog, rules):
    """Take an ordinary worklog, but for the given members, through all steps."""

    def build(settings=None, **members):
        record = worklog(**members)
        return invoice_line(record, rules(**(settings or {})), key=worklog_key(record))

    return build


class CollectingWriter(ExactWriter):
    def __init__(self):
        super().__init__()
        self.messages = []

    def write_message(self, message):
        # Encoded and decoded again, because what matters is what stands on the wire.
        line = bytes(self.format_message(message))
        self.messages.append(json.loads(line, parse_float=Decimal))


class Mapped:
    """What the mapper wrote."""

    def __init__(self, messages):
        self.messages = messages

    def records(self, stream):
        return [m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]

    def kinds(self):
        return [f"{m['type']} {m.get('stream', '')}".strip() for m in self.messages]


@pytest.fixture
def run_mapper():
    """Run the mapper over messages (objects, or raw lines) in this process."""

    def run(messages, settings=None, **options):
        lines = [m if isinstance(m, bytes) else _encode(m) for m in messages]
        writer = CollectingWriter()
        mapper = MspXeroTransforms(config=dict(settings or {}), message_writer=writer, **options)
        try:
            mapper.listen(io.BytesIO(b"".join(each + b"\n" for each in lines)))
        finally:
            run.written = Mapped(writer.messages)
        return run.written

    return run


@pytest.fixture
def load_fixture(fixtures):
    return lambda name: (fixtures / name).read_bytes().splitlines()
