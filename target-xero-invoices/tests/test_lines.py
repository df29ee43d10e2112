"""A record as a line: bad values put it on hold and never lose it, whatever JSON they are."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msp_xero.billing.document import worklog_marker, worklog_of
from msp_xero.billing.preflight import SETTLE_REASONS
from msp_xero.ledger import Ledger
from msp_xero.ledger.models import Worklog
from msp_xero.ledger.staging import stage_lines
from sqlalchemy import delete
from target_xero_invoices.lines import line_from_record

GOOD = {
    "worklog_id": "1000",
    "module": "request",
    "decision": "bill",
    "reason_code": None,
    "reason": None,
    "account_id": "7",
    "account_name": "Acme",
    "worklog_type_id": "31",
    "worklog_type_name": "Onsite",
    "work_date": "2026-11-20",
    "description": "Fixed the printer",
    "quantity": Decimal("0.7500"),
    "unit_price": Decimal("80.1234"),
    "amount": Decimal("60.09"),
    "source": {
        "minutes": 45,
        "technician_id": 9,
        "created_time": "2026-11-20T01:00:00Z",
        "is_billable": True,
    },
}


def read(**changes):
    return line_from_record(GOOD | changes)


def test_a_good_record_is_read_to_the_last_digit():
    line = read()
    assert (line.worklog_id, line.module, line.decision) == ("1000", "request", "bill")
    assert (line.quantity, line.unit_price, line.amount) == (
        Decimal("0.75"),
        Decimal("80.1234"),
        Decimal("60.09"),
    )
    assert (line.minutes, line.technician_id, line.is_billable) == (45, "9", True)
    assert line.work_date == date(2026, 11, 20)


@pytest.mark.parametrize(
    "changes",
    [
        {"account_id": 7},
        {"worklog_id": 1000},
        {"quantity": "0.75"},
        {"quantity": 1},
        {"unit_price": None, "amount": None},
        {"work_date": None},
        {"description": None},
        {"description": "a\x00b"},
        {"source": {}},
        {"worklog_type_id": None},
        {"unknown_member": [1]},
    ],
    ids=str,
)
def test_what_is_unusual_but_clear_is_billed(changes):
    line = read(**changes)
    assert line.decision == "bill"
    assert "\x00" not in (line.description or "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decision": "send"}, "decision is none of bill, hold, exclude"),
        ({"decision": None}, "decision is none of"),
        ({"decision": ["bill"]}, "decision is none of"),
        ({"decision": "hold"}, "needs a reason_code"),
        ({"decision": "exclude", "reason_code": ""}, "needs a reason_code"),
        ({"decision": "hold", "reason_code": "X" * 41}, "reason_code is longer than 40"),
        ({"account_id": ["7"]}, "account_id is not text"),
        ({"account_id": "7" * 65}, "account_id is longer than 64"),
        ({"account_id": True}, "account_id is not text"),
        ({"worklog_type_id": "x" * 65}, "worklog_type_id is longer than 64"),
        ({"worklog_type_name": {}}, "worklog_type_name is not text"),
        ({"description": 1.5}, "description is not text"),
        ({"description": 10**30}, "description is not text"),
        ({"work_date": "20 November"}, "work_date is not a date"),
        ({"work_date": 20261120}, "work_date is not a date"),
        ({"quantity": "a lot"}, "quantity is not an amount"),
        ({"quantity": True}, "quantity is not an amount"),
        ({"quantity": 0.75}, "quantity is not an amount"),
        ({"quantity": "NaN"}, "quantity is not an amount"),
        ({"quantity": "1_5"}, "quantity is not an amount"),
        ({"quantity": "\uff11\uff15"}, "quantity is not an amount"),
        ({"quantity": "Infinity"}, "quantity is not an amount"),
        ({"quantity": Decimal("1E+400")}, "quantity is not an amount"),
        ({"quantity": Decimal("0.33333")}, "quantity has more than 4 decimals"),
        ({"quantity": None, "amount": None}, "neither quantity nor amount tells how much to bill"),
        ({"unit_price": Decimal("1.00001")}, "unit_price has more than 4 decimals"),
        ({"unit_price": 10**11}, "unit_price is not an amount"),
        ({"amount": Decimal("1.005")}, "amount has more than 2 decimals"),
        ({"source": {"minutes": -1}}, "minutes is not a whole number"),
        ({"source": {"minutes": 10**6}}, "minutes is not a whole number"),
        ({"source": {"minutes": "45"}}, "minutes is not a whole number"),
        ({"worklog_id": "x" * 65}, "worklog_id is not an id of up to 64"),
        ({"worklog_id": {"a": 1}}, "worklog_id is not an id"),
        ({"worklog_id": "1\x00"}, "worklog_id is not an id"),
        ({"worklog_id": "1 2"}, "not a plain word and an id without spaces"),
        ({"worklog_id": "1)"}, "not a plain word and an id without spaces"),
        ({"module": "m" * 21}, "module is not an id of up to 20"),
        ({"module": "re quest"}, "not a plain word"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_wrong_is_held_and_said_without_quoting_it(changes, words):
    line = read(**changes)
    assert (line.decision, line.reason_code) == ("hold", "INVALID_RECORD")
    assert words in line.reason


@pytest.mark.parametrize("account", [None, "", "\x00"])
def test_a_worklog_of_nobody_is_held_for_its_account(account):
    line = read(account_id=account)
    assert (line.decision, line.reason_code) == ("hold", "ACCOUNT_UNRESOLVED")


def test_two_bad_keys_stay_two_keys():
    ids = ["x" * 65, "x" * 66, "1\x00", "1", "1\x00\x00", ["1"], {"a": 1}, 10**30, True]
    keys = [read(worklog_id=each).worklog_id for each in ids]
    assert len(set(keys)) == len(ids)
    assert max(map(len, keys)) <= 64


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
odd_sources = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ["minutes", "parent_id", "parent_title", "technician_id", "created_time", "is_billable"], json_values
    ),
)
odd_records = st.fixed_dictionaries(
    {
        "worklog_id": json_values.filter(lambda v: v not in (None, "")),
        "module": st.just("request") | json_values.filter(lambda v: v not in (None, "")),
    },
    optional={name: json_values for name in GOOD if name not in ("worklog_id", "module", "source")}
    | {"source": odd_sources | json_values},
)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    with Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('lines')}/ledger.db") as ledger:
        yield ledger


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(odd=odd_records, keep=st.sets(st.sampled_from(sorted(GOOD.keys() - {"worklog_id", "module"}))))
def test_any_json_in_any_member_is_stored_under_its_key_and_billed_only_when_valid(ledger, odd, keep):
    record = GOOD | {name: value for name, value in odd.items() if name not in keep}
    # As it comes from the wire.
    record = msgspec.json.Decoder(float_hook=Decimal).decode(
        msgspec.json.Encoder(decimal_format="number").encode(record)
    )
    line = line_from_record(record)
    with ledger.write() as session:
        session.execute(delete(Worklog))
    stage_lines(ledger, [line], settle_reasons=SETTLE_REASONS)
    with ledger.read() as session:
        row = session.query(Worklog).one()
        assert (row.worklog_id, row.module) == (line.worklog_id, line.module)
        assert row.state in ("open", "held", "excluded")
        for column in Worklog.__table__.c:
            length = getattr(column.type, "length", None)
            value = getattr(row, column.name)
            assert length is None or value is None or len(value) <= length, column.name
            assert not isinstance(value, str) or "\x00" not in value
    if line.decision == "bill":
        assert line.account_id
        assert worklog_of(worklog_marker(line.module, line.worklog_id)) == (line.module, line.worklog_id)
        for name in ("quantity", "unit_price", "amount"):
            told = record.get(name)
            assert getattr(line, name) == (None if told is None else Decimal(told))
    else:
        assert line.reason_code
