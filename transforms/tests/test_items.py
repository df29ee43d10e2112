from __future__ import annotations

from decimal import Decimal

import pytest
from msp_xero_transforms.steps.type_names import worklog_type_record

ITEM = {
    "ItemID": "i1",
    "Code": "ONSITE",
    "Name": "On-site support",
    "SalesDetails": {"UnitPrice": Decimal("128.1950")},
    "IsSold": True,
}


def test_items_become_worklog_types(run_mapper, load_fixture):
    records = run_mapper(load_fixture("items.singer")).records("worklog_types")
    assert records[0] == {
        "xero_item_id": "i1",
        "item_code": "C1",
        "name": "Item 1",
        "description": "Text",
        "unit_price": Decimal("128.1950"),
        "is_sold": True,
        "updated_time": "2026-03-01T00:00:00.000000Z",
        "invalid_reason": None,
    }
    assert str(records[0]["unit_price"]) == "128.1950"
    assert records[1]["name"] == "C2", "an item without a name is called by its code"
    assert (records[2]["is_sold"], records[2]["unit_price"]) == (False, None)
    assert records[3]["invalid_reason"] == "The item is malformed: SalesDetails.UnitPrice must be a number."


def test_types_can_be_named_by_code(rules):
    assert worklog_type_record(ITEM, rules(type_name_from="code"))["name"] == "ONSITE"


@pytest.mark.parametrize(("sales", "sold"), [({"UnitPrice": 1}, True), ({}, False), (None, False)])
def test_an_item_without_the_flag_is_sold_when_it_has_a_sales_side(rules, sales, sold):
    assert worklog_type_record(ITEM | {"IsSold": None, "SalesDetails": sales}, rules())["is_sold"] is sold


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"Code": ""}, "Code is missing"),
        ({"Code": 5}, "Code must be a text"),
        ({"Name": []}, "Name must be a text"),
        ({"SalesDetails": "x"}, "SalesDetails must be an object"),
        ({"IsSold": "yes"}, "IsSold must be true or false"),
        ({"SalesDetails": {"UnitPrice": True}}, "SalesDetails.UnitPrice must be a number"),
        ({"SalesDetails": {"UnitPrice": Decimal("1E+400")}}, "SalesDetails.UnitPrice must be a number from"),
    ],
)
def test_a_malformed_item_leaves_with_the_reason(rules, members, problem):
    assert problem in worklog_type_record(ITEM | members, rules())["invalid_reason"]
