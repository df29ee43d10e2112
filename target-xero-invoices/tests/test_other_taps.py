"""Lines of another tap wait in the ledger, and the mapper of the worklogs job leaves them as they are."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from msp_xero_transforms.mapper import MspXeroTransforms
from msp_xero_transforms.messages import ExactWriter

CREATED = {"created_time": "2026-11-20T01:00:00.000Z"}


class Collecting(ExactWriter):
    def __init__(self):
        super().__init__()
        self.messages = []

    def write_message(self, message):
        self.messages.append(json.loads(bytes(self.format_message(message))))


@pytest.fixture
def made_anew(world, monkeypatch):
    """What the mapper of the worklogs job makes of what waits, when its tap has nothing new."""
    monkeypatch.setattr(MspXeroTransforms, "_setup_signal_handlers", lambda _self: None)

    def made_anew():
        out = Collecting()
        mapper = MspXeroTransforms(config={"ledger_url": world.url}, message_writer=out)
        schema = {"type": "SCHEMA", "stream": "worklogs", "schema": {"properties": {}}, "key_properties": []}
        mapper.listen(io.BytesIO(json.dumps(schema).encode() + b"\n"))
        return [message["record"] for message in out.messages if message["type"] == "RECORD"]

    return made_anew


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({"module": "toggl", "duration": 2700, **CREATED}, id="its own record"),
        pytest.param({"module": "consulting"}, id="a word of the other system"),
        pytest.param({"module": "Consulting and second line", **CREATED}, id="longer than a module"),
        pytest.param({"module": "request", "minutes": 45, "account_id": "2", **CREATED}, id="like SDP"),
    ],
)
def test_a_line_of_another_tap_stays_what_it_is_and_is_billed_once(world, made_anew, source):
    other = world.line(
        0, worklog_id="T-1", module="toggl", account_id="77", source={"worklog_id": "T-1", **source}
    )
    world.bill(other)
    assert world.states() == {"T-1": ("held", "ACCOUNT_UNMAPPED")}
    world.bill(*made_anew())
    assert world.states() == {"T-1": ("held", "ACCOUNT_UNMAPPED")}
    world.bill(other | {"account_id": "2"})
    world.bill(*made_anew())
    assert world.states() == {"T-1": ("invoiced", None)}
    assert sum(len(invoice["LineItems"]) for invoice in world.invoices()) == 1


def test_what_is_added_after_billing_is_told_of_the_line_that_the_readme_shows(world):
    """It has no minutes and no record: all that tells is what is billed."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    [example] = [line for line in readme.splitlines() if line.startswith('{"type": "RECORD"')]
    record = json.loads(example)["record"] | {"account_id": "2", "worklog_type_id": "31"}
    del record["minutes"]
    world.bill(record)
    assert world.states() == {"T-1": ("invoiced", None)}
    done = world.bill(record | {"quantity": 8, "unit_price": "120.00"})
    assert "1 changed after billing" in done.log
    assert world.worklogs()[0].changed == {
        "quantity": [Decimal("0.50"), Decimal(8)],
        "unit_price": [None, Decimal(120)],
    }
    assert len(world.invoices()) == 1


def test_a_line_that_was_made_of_another_systems_record_is_not_made_anew(world, made_anew):
    source = {"worklog_id": "1000", "module": "consulting", **CREATED}
    world.bill(world.line(0, account_id="77", source=source))
    assert made_anew() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stream_maps", {"invoice_lines": {"__filter__": "worklog_id != '1001'"}}),
        ("stream_maps", {"*": None}),
        ("flattening_enabled", True),
    ],
)
def test_what_would_lose_lines_without_a_word_is_refused(world, name, value):
    done = world.bill(world.line(0), world.line(1), **{name: value})
    assert (done.code, done.states) == (1, [])
    assert f"Setting {name}: target-xero-invoices takes what comes as it is" in done.errors


def test_what_waits_in_one_connection_is_not_billed_in_another(world):
    world.bill(world.line(0), push=False)
    done = world.bill(world.line(0, origin="ledger"), connection="second", number_prefix="TWO-")
    assert (done.code, done.states) == (1, [])
    assert "worklog 1000, which the mapper took from what waits, is not in this ledger" in done.errors
    assert world.states() == {"1000": ("open", None)}
    assert world.writes() == 0
