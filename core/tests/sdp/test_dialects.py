from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.sdp.dialects import decimal, epoch_ms, iso_utc, minutes, read_worklog, time_of, whole

NEW = {
    "id": "301",
    "request": {"id": "45", "subject": "Printer offline"},
    "owner": {"id": "9", "name": "Howard Stern", "email_id": "howard@example.test", "cost_per_hour": "80.00"},
    "type": {"id": "3", "name": "On-site support"},
    "description": "<div>Replaced fuser</div>",
    "time_spent": {"hours": "1", "minutes": "30", "value": "5400000"},
    "start_time": {"value": "1763974800000", "display_value": "Nov 24, 2025 09:00 AM"},
    "end_time": {"value": "1763980200000", "display_value": "Nov 24, 2025 10:30 AM"},
    "created_time": {"value": "1763980300123", "display_value": "Nov 24, 2025 10:31 AM"},
    "created_by": {"id": "9", "name": "Howard Stern"},
    "include_nonoperational_hours": False,
    "owner_cost": "120.00",
    "other_cost": "15.00",
    "total_cost": "135.00",
    "is_billable": True,
    "accountcontract": {"id": "7", "name": "Gold"},
    "udf_fields": {"udf_sline_1": "x"},
}
LEGACY = {
    "id": 301,
    "request": {"id": 45},
    "technician": {"id": 9, "name": "Howard Stern", "email_id": "howard@example.test"},
    "worklog_type": {"id": 3, "name": "On-site support"},
    "description": "<div>Replaced fuser</div>",
    "total_time_spent": {"hours": 1, "minutes": 30},
    "start_time": {"value": 1763974800000},
    "end_time": {"value": 1763980200000},
    "created_time": {"value": 1763980300123},
    "created_by": {"id": 9, "name": "Howard Stern"},
    "inc_nonOperationalHours": False,
    "tech_charge": 120,
    "other_charge": Decimal("15.0"),
    "total_charge": {"value": "135.00"},
    "is_billable": "true",
    "accountcontract": {"id": 7, "name": "Gold"},
    "udf_fields": {"udf_sline_1": "x"},
}
CLOUD = {
    "id": "301",
    "owner": {"id": "9", "name": "Howard Stern", "email_id": "howard@example.test"},
    "worklog_type": {"id": "3", "name": "On-site support"},
    "description": "<div>Replaced fuser</div>",
    "time_spent": {"hours": "01", "minutes": "30", "value": "5400000"},
    "start_time": {"value": "1763974800000"},
    "end_time": {"value": "1763980200000"},
    "recorded_time": {"value": "1763980300123"},
    "created_by": {"id": "9", "name": "Howard Stern"},
    "include_nonoperational_hours": False,
    "tech_charge": {"value": "120", "currency": {"id": "1"}},
    "other_charge": "15",
    "total_charge": "135",
    "is_billable": True,
    "accountcontract": {"id": "7", "name": "Gold"},
    "udf_fields": {"udf_sline_1": "x"},
}


def test_the_same_worklog_in_three_dialects_is_one_record():
    new = read_worklog(NEW)
    assert new == read_worklog(LEGACY) == read_worklog(CLOUD)
    assert new == {
        "worklog_id": "301",
        "technician_id": "9",
        "technician_name": "Howard Stern",
        "technician_email": "howard@example.test",
        "type_id": "3",
        "type_name": "On-site support",
        "description": "<div>Replaced fuser</div>",
        "minutes": 90,
        "start_time": "2025-11-24T09:00:00.000Z",
        "end_time": "2025-11-24T10:30:00.000Z",
        "created_time": "2025-11-24T10:31:40.123Z",
        "created_by": "Howard Stern",
        "technician_cost": Decimal(120),
        "other_cost": Decimal(15),
        "total_cost": Decimal(135),
        "is_billable": True,
        "contract_id": "7",
        "contract_name": "Gold",
        "udf_fields": {"udf_sline_1": "x"},
        "extra": {"include_nonoperational_hours": False},
    }


def test_a_cost_keeps_the_digits_that_came():
    assert str(read_worklog(NEW)["technician_cost"]) == "120.00"


@pytest.mark.parametrize("absent", [None, "", {"value": None}, {"value": ""}])
def test_a_cost_that_is_not_visible_is_null_and_not_zero(absent):
    row = {**NEW, "owner_cost": absent, "other_cost": absent}
    del row["total_cost"]
    worklog = read_worklog(row)
    assert worklog["technician_cost"] is worklog["other_cost"] is worklog["total_cost"] is None
    assert read_worklog({**NEW, "other_cost": "0"})["other_cost"] == 0


def test_members_that_nobody_knows_are_kept():
    extra = read_worklog({**NEW, "billing_hours": {"hours": "2"}, "template": {"id": "1"}})["extra"]
    assert extra["billing_hours"] == {"hours": "2"}
    assert extra["template"] == {"id": "1"}


def test_what_cannot_be_read_is_null_and_kept_as_it_came():
    worklog = read_worklog(
        {
            "id": "1",
            "time_spent": {"hours": "one"},
            "total_cost": "1,200.00",
            "start_time": {"value": "yesterday"},
        }
    )
    assert worklog["minutes"] is worklog["total_cost"] is worklog["start_time"] is None
    assert worklog["extra"] == {
        "time_spent": {"hours": "one"},
        "total_cost": "1,200.00",
        "start_time": {"value": "yesterday"},
    }


def test_a_bare_worklog_is_all_null():
    worklog = read_worklog({"id": "1"})
    assert {name for name, value in worklog.items() if value is not None} == {
        "worklog_id",
        "udf_fields",
        "extra",
    }


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"hours": "01", "minutes": "20", "value": "4800000"}, 80),
        ({"hours": 1, "minutes": 30}, 90),
        ({"hours": "0", "minutes": "0"}, 0),
        ({"hours": "2", "minutes": None}, 120),
        ({"minutes": "5"}, 5),
        ({"hours": "", "minutes": "5"}, 5),
        ({"hours": "1.5", "minutes": "0"}, None),
        ({"hours": "2h", "minutes": "30"}, None),
        ({"hours": {}, "minutes": "30"}, None),
        ({"hours": "1.5", "minutes": "0", "value": "5400000"}, 90),
        ({"hours": "", "minutes": None}, None),
        ({"hours": "100", "minutes": "75"}, 6075),
        ({"value": "5400000"}, 90),
        ("5400000", 90),
        (5400000, 90),
        ("1:05", 65),
        ("01:05:59", 65),
        (None, None),
        ("", None),
        ("soon", None),
        ({"hours": "1.5"}, None),
        ({}, None),
        ([], None),
        (True, None),
        ("0", 0),
        ({"value": 0}, 0),
        ({"hours": "0", "minutes": "0", "value": "0"}, 0),
        ({"hours": "0", "minutes": "0", "value": ""}, 0),
    ],
)
def test_durations(raw, expected):
    assert minutes(raw) == expected


@pytest.mark.parametrize(
    "raw",
    ["90", "5400", 90, {"value": "90"}, {"value": "5400"}, "5400001", "-1", {"hours": "?", "value": "90"}],
)
@pytest.mark.parametrize("name", ["time_spent", "total_time_spent"])
def test_a_number_that_makes_no_whole_minutes_in_milliseconds_is_no_time_of_zero(raw, name):
    """Nobody recorded its unit (sdp-msp-api §3.2), and no time is excluded by rule."""
    worklog = read_worklog({"id": "1", name: raw})
    assert worklog["minutes"] is None
    assert worklog["extra"]["time_spent"] == raw


@given(st.integers(1, 10**10))
def test_a_number_that_is_not_nothing_is_never_no_time(number):
    for raw in (number, str(number), {"value": number}, {"hours": 0, "minutes": "00", "value": str(number)}):
        assert minutes(raw) != 0


@pytest.mark.parametrize("value", ["5400000", "90", "1:30", "soon"])
def test_no_time_beside_a_value_that_is_something_else_is_not_read(value):
    raw = {"hours": "0", "minutes": "0", "value": value}
    worklog = read_worklog({"id": "1", "time_spent": raw})
    assert worklog["minutes"] is None
    assert worklog["extra"]["time_spent"] == raw


@pytest.mark.parametrize("raw", ["No", "yes", 0, 1, {"value": "false"}])
def test_a_billable_mark_that_cannot_be_read_is_kept(raw):
    worklog = read_worklog({"id": "1", "is_billable": raw})
    assert worklog["is_billable"] is None
    assert worklog["extra"] == {"is_billable": raw}


@pytest.mark.parametrize("raw", [None, "", True, "False"])
def test_a_billable_mark_that_is_read_or_absent_is_not_kept_twice(raw):
    assert read_worklog({"id": "1", "is_billable": raw})["extra"] == {}


def test_hours_and_minutes_win_over_a_value_that_disagrees_and_the_raw_one_is_kept():
    raw = {"hours": "1", "minutes": "0", "value": "5400000"}
    worklog = read_worklog({"id": "1", "time_spent": raw})
    assert worklog["minutes"] == 60
    assert worklog["extra"]["time_spent"] == raw


@given(st.integers(0, 10_000), st.integers(0, 59), st.booleans(), st.booleans())
def test_any_duration_survives_padding_and_type(hours, rest, padded, numbers):
    width = 2 if padded else 1
    raw = (
        {"hours": hours, "minutes": rest}
        if numbers
        else {"hours": f"{hours:0{width}}", "minutes": f"{rest:0{width}}"}
    )
    assert minutes(raw) == hours * 60 + rest
    assert minutes({"value": str((hours * 60 + rest) * 60_000)}) == hours * 60 + rest


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_any_money_is_exact_as_text_number_or_object(amount):
    assert decimal(str(amount)) == decimal(amount) == decimal({"value": str(amount)}) == amount
    decoded = msgspec.json.decode(f'{{"x": {amount:f}}}'.encode(), type=dict[str, Decimal])["x"]
    assert decimal(decoded) == amount


@given(
    st.one_of(
        st.text(), st.floats(), st.none(), st.lists(st.integers()), st.dictionaries(st.text(), st.text())
    )
)
def test_no_value_breaks_the_parsers(raw):
    decimal(raw)
    whole(raw)
    minutes(raw)
    time_of(raw)
    epoch_ms(raw)
    read_worklog(
        {"id": raw, "time_spent": raw, "owner": raw, "total_cost": raw, "start_time": raw, "udf_fields": raw}
    )


@pytest.mark.parametrize("raw", ["NaN", "Infinity", "1e999999999", "1_000", "٣", "", " ", True, 1.5, None])
def test_no_number(raw):
    assert decimal(raw) is None


@given(st.integers(1, 253_402_300_799_999))
def test_times_are_exact_to_the_millisecond_and_sort_as_text(milliseconds):
    text = iso_utc(milliseconds)
    assert len(text) == 24
    parsed = datetime.fromisoformat(text)
    assert parsed.tzinfo == UTC
    assert round(parsed.timestamp() * 1000) == milliseconds
    assert iso_utc(milliseconds - 1) < text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"value": "1763974800123", "display_value": "whatever"}, "2025-11-24T09:00:00.123Z"),
        (1763974800123, "2025-11-24T09:00:00.123Z"),
        ({"value": "2025-05-01", "display_value": "May 1, 2025"}, "2025-05-01T00:00:00.000Z"),
        ({"value": "2025-13-01"}, None),
        ({"value": "-1"}, None),
        ({"value": "0"}, None),
        ({"value": None}, None),
        ({"display_value": "Nov 24, 2025"}, None),
        ("99999999999999999999", None),
        (None, None),
    ],
)
def test_times(raw, expected):
    assert time_of(raw) == expected
