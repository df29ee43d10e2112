from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from msp_xero_transforms.steps import invoice_line
from msp_xero_transforms.steps.contract import CHECKS, worklog_key

CHARGE = {"rate_source": "worklog_charge"}


def decision(line):
    return line.decision, line.reason_code


def test_an_ordinary_worklog_is_billed_in_hours_at_the_items_price(line):
    billed = line()
    assert decision(billed) == ("bill", None)
    assert billed.quantity == Decimal("1.5000")
    assert billed.unit_price is None
    assert billed.amount is None
    assert (billed.worklog_type_id, billed.worklog_type_name) == ("3", "On-site support")
    assert (billed.minutes, billed.is_billable) == (90, True)


# contract


@pytest.mark.parametrize(
    ("members", "violation"),
    [
        ({"minutes": None}, "minutes is missing"),
        ({"minutes": "90"}, "minutes must be a whole number from 0 to 999999"),
        ({"minutes": -1}, "minutes must be a whole number"),
        ({"minutes": True}, "minutes must be a whole number"),
        ({"minutes": 1_000_000}, "minutes must be a whole number"),
        ({"minutes": Decimal("1.5")}, "minutes must be a whole number"),
        ({"minutes": [90]}, "minutes must be a whole number"),
        ({"start_time": "yesterday"}, "start_time must be a time with its offset"),
        ({"start_time": "2026-03-30T21:00:00"}, "start_time must be a time with its offset"),
        ({"start_time": 1763974800000}, "start_time must be a time with its offset"),
        ({"end_time": "0001-01-01T00:00:00Z"}, "end_time must be a time with its offset"),
        ({"total_cost": "many"}, "total_cost must be a number"),
        ({"total_cost": "NaN"}, "total_cost must be a number"),
        ({"total_cost": {"value": "1"}}, "total_cost must be a number"),
        (
            {"total_cost": Decimal("1E+400")},
            "total_cost must be a number from -9999999999.99 to 9999999999.99",
        ),
        ({"account_id": 302}, "account_id must be a text"),
        ({"account_id": "x" * 65}, "account_id must be a text of at most 64 printable characters"),
        ({"type_name": ["x"]}, "type_name must be a text"),
        ({"description": {"html": ""}}, "description must be a text"),
        ({"is_billable": "yes"}, "is_billable must be true or false"),
        ({"extra": []}, "extra must be an object"),
        ({"module": "release"}, "module must be one of request, problem, change, project, task"),
    ],
)
def test_a_malformed_worklog_is_held_with_what_is_wrong(line, members, violation):
    held = line(CHARGE, **members)
    assert decision(held) == ("hold", "INVALID_RECORD")
    assert violation in held.reason
    assert held.source == {**held.source, **members}, "the record travels along as it came"
    assert (held.quantity, held.amount) == (None, None)


def test_all_violations_are_named(line):
    held = line(minutes=-1, account_id=5)
    assert "minutes must" in held.reason
    assert "account_id must" in held.reason
    assert held.account_id is None
    assert held.minutes == 0


def test_the_reason_of_a_thoroughly_broken_record_stays_readable(line):
    assert len(line(**dict.fromkeys(CHECKS, b"")).reason) <= 1000


def test_members_may_be_absent(rules):
    record = {"module": "task", "worklog_id": "1", "minutes": 5, "created_time": "2026-01-01T00:00:00Z"}
    held = invoice_line(record, rules(default_worklog_type="Remote"), key=("task", "1"))
    assert decision(held) == ("hold", "ACCOUNT_UNRESOLVED")
    assert held.description == "Task\n2026-01-01"


@pytest.mark.parametrize("value", [Decimal("135.00"), 135, "135.00", 135.0])
def test_money_may_be_a_number_or_the_text_of_one(line, value):
    assert line(CHARGE, total_cost=value).amount == Decimal("135.00")


def test_a_whole_number_of_minutes_may_be_written_as_a_decimal(line):
    assert line(minutes=Decimal("90.0")).minutes == 90


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"worklog_id": None},
        {"worklog_id": ""},
        {"worklog_id": " "},
        {"worklog_id": True},
        {"worklog_id": "a\0"},
        {"worklog_id": "x" * 65},
        {"module": 5},
        {"module": None},
    ],
)
def test_records_without_a_usable_key(key):
    assert worklog_key({**({"module": "request", "worklog_id": "1"} if key else {}), **key}) is None


def test_a_numeric_id_is_the_same_as_its_text():
    assert worklog_key({"module": "request", "worklog_id": 301}) == ("request", "301")


# select


def test_worklogs_of_modules_that_are_switched_off_are_excluded(line):
    excluded = line({"modules": ["projects", "tasks"]})
    assert decision(excluded) == ("exclude", "EXCLUDED_BY_RULE")
    assert excluded.reason == "Worklogs of the module request are not selected for billing."
    assert decision(line({"modules": ["requests"]})) == ("bill", None)


@pytest.mark.parametrize(("mark", "expected"), [(False, "exclude"), (True, "bill"), (None, "bill")])
def test_non_billable_worklogs_are_excluded_only_when_asked(line, mark, expected):
    assert line({"exclude_non_billable": True}, is_billable=mark).decision == expected
    assert line(is_billable=mark).decision == "bill"


def test_exclusion_beats_hold(line):
    excluded = line({"modules": ["tasks"]}, account_id=None, type_id=None, type_name=None, minutes="x")
    assert decision(excluded) == ("exclude", "EXCLUDED_BY_RULE")


# default type


def test_without_a_type_the_default_is_taken_by_name(line):
    billed = line({"default_worklog_type": "Remote"}, type_id=None, type_name="  ")
    assert decision(billed) == ("bill", None)
    assert (billed.worklog_type_id, billed.worklog_type_name) == (None, "Remote")


def test_without_a_type_and_a_default_the_worklog_is_held_with_its_money(line):
    held = line(CHARGE, type_id=None, type_name=None)
    assert decision(held) == ("hold", "TYPE_MISSING")
    assert held.amount == Decimal("135.00")


@pytest.mark.parametrize("members", [{"type_id": None}, {"type_name": None}])
def test_a_type_known_by_id_or_name_alone_is_a_type(line, members):
    assert decision(line({"default_worklog_type": "Remote"}, **members)) == ("bill", None)


# eligibility


def test_a_worklog_without_account_is_held(line):
    held = line(account_id=None, account_name="Zylker Ltd", module="task", parent_module="problem")
    assert decision(held) == ("hold", "ACCOUNT_UNRESOLVED")
    assert held.reason == "The problem of this worklog has no account."


def test_the_first_reason_stays(line):
    assert line(type_id=None, type_name=None, account_id=None).reason_code == "TYPE_MISSING"


# work date


@pytest.mark.parametrize(
    ("zone", "start", "expected"),
    [
        ("UTC", "2026-03-31T10:59:59Z", date(2026, 3, 31)),
        ("Pacific/Auckland", "2026-03-31T10:59:59Z", date(2026, 3, 31)),
        ("Pacific/Auckland", "2026-03-31T11:00:00Z", date(2026, 4, 1)),
        ("Pacific/Auckland", "2026-12-31T11:00:00Z", date(2027, 1, 1)),
        ("America/New_York", "2026-03-01T02:00:00Z", date(2026, 2, 28)),
        ("America/New_York", "2026-03-01T02:00:00+13:00", date(2026, 2, 28)),
        ("Pacific/Kiritimati", "2024-02-28T10:00:00Z", date(2024, 2, 29)),
    ],
)
def test_work_is_dated_where_the_organisation_is(line, zone, start, expected):
    assert line({"time_zone": zone}, start_time=start).work_date == expected


def test_without_a_start_the_entry_dates_the_work_and_without_both_the_end(line):
    assert line(start_time=None).work_date == date(2026, 3, 30)
    ended = line(start_time=None, created_time=None, end_time="2026-02-01T00:00:00Z")
    assert ended.work_date == date(2026, 2, 1)


def test_a_worklog_without_any_time_is_held(line):
    assert decision(line(start_time=None, created_time=None, end_time=None)) == ("hold", "INVALID_RECORD")


# duration and rate


@pytest.mark.parametrize(
    ("minutes", "hours"),
    [(1, "0.0167"), (20, "0.3333"), (40, "0.6667"), (15, "0.2500"), (60, "1.0000"), (999_999, "16666.6500")],
)
def test_minutes_are_hours_with_four_decimals(line, minutes, hours):
    assert str(line(minutes=minutes).quantity) == hours


def test_no_time_at_an_hourly_price_is_nothing_to_bill(line):
    excluded = line(minutes=0)
    assert decision(excluded) == ("exclude", "EXCLUDED_BY_RULE")
    assert excluded.reason == "The worklog has no time, so there is nothing to bill at an hourly price."


@pytest.mark.parametrize(
    ("minutes", "charge", "quantity", "unit_price", "amount"),
    [
        (90, "135.00", "1.5000", "90.0000", "135.00"),
        (20, "33.33", "0.3333", "100.0000", "33.33"),
        (20, "100.00", "1.0000", "100.00", "100.00"),  # 0.3333 h has no price that gives 100.00
        (90, "100.00", "1.0000", "100.00", "100.00"),  # 66.666… an hour
        (0, "25.00", "1.0000", "25.00", "25.00"),
        (60, "0.00", "1.0000", "0.0000", "0.00"),
        (60, "0.004", "1.0000", "0.0000", "0.00"),
        (60, "2.165", "1.0000", "2.1700", "2.17"),
        (60, "-0.004", "1.0000", "0.0000", "0.00"),
        (120, "9999999999.99", "2.0000", "4999999999.9950", "9999999999.99"),
    ],
)
def test_the_charge_is_split_into_hours_and_price_where_that_is_exact(
    line, minutes, charge, quantity, unit_price, amount
):
    billed = line(CHARGE, minutes=minutes, total_cost=Decimal(charge))
    assert decision(billed) == ("bill", None)
    assert [str(v) for v in (billed.quantity, billed.unit_price, billed.amount)] == [
        quantity,
        unit_price,
        amount,
    ]


@pytest.mark.parametrize("name", ["total_cost", "total_charge"])
def test_a_charge_that_is_there_and_no_number_is_not_called_hidden(line, name):
    held = line(CHARGE, total_cost=None, extra={name: {"value": "1,200.00"}})
    assert decision(held) == ("hold", "INVALID_RECORD")
    assert held.reason == f"The worklog's {name} is there, and is no number."


def test_a_hidden_charge_is_not_zero(line):
    held = line(CHARGE, total_cost=None, minutes=0)
    assert decision(held) == ("hold", "CHARGE_NOT_VISIBLE")
    assert held.amount is None
    assert decision(line(total_cost=None)) == ("bill", None), "the item's price needs no charge"


def test_a_negative_charge_is_held_with_its_amount(line):
    held = line(CHARGE, total_cost=Decimal("-5.005"))
    assert decision(held) == ("hold", "NEGATIVE_AMOUNT")
    assert held.amount == Decimal("-5.01")


def test_neither_time_nor_charge_is_nothing_to_bill(line):
    assert decision(line(CHARGE, minutes=0, total_cost=Decimal(0))) == ("exclude", "EXCLUDED_BY_RULE")


ADDED = {**CHARGE, "include_additional_cost": True, "additional_cost_field": "extra.costs.amount"}


@pytest.mark.parametrize(
    ("extra", "amount"),
    [
        ({}, "135.00"),
        ({"costs": None}, "135.00"),
        ({"costs": []}, "135.00"),
        ({"costs": {"amount": "10.10"}}, "145.10"),
        ({"costs": {"amount": {"value": "10.10", "currency": "NZD"}}}, "145.10"),
        ({"costs": [{"amount": Decimal("0.005")}, {"amount": 1}, {}]}, "136.01"),
    ],
)
def test_additional_cost_is_added_when_asked(line, extra, amount):
    assert line(ADDED, extra=extra).amount == Decimal(amount)
    assert line(CHARGE, extra=extra).amount == Decimal("135.00")


@pytest.mark.parametrize(
    "costs", ["1_5", "\uff11\uff15", "\u0663", " 1_000 ", "ten", {"amount": "ten"}, {"amount": True}, [["x"]]]
)
def test_an_additional_cost_that_is_no_amount_is_held(line, costs):
    held = line(ADDED, extra={"costs": costs})
    assert decision(held) == ("hold", "INVALID_RECORD")
    assert held.reason.startswith("The additional cost at extra.costs.amount ")
