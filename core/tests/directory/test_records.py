from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.directory import AccountPolicy, read_contact, read_item
from msp_xero.directory.fields import AccountFields, flatten, same
from msp_xero.directory.settings import DIRECTORY, slug
from msp_xero.errors import InputError, SettingError
from msp_xero.ledger.types import encode_exact

CONTACT = {"xero_contact_id": "c1", "name": "Acme", "contact_status": "ACTIVE", "fields": {"city": "Leeds"}}
ITEM = {"xero_item_id": "i1", "item_code": "REM", "name": "Remote", "is_sold": True, "unit_price": "95.5"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def test_a_good_contact_is_read() -> None:
    contact = read_contact({**CONTACT, "updated_time": "2026-01-02T03:04:05Z", "is_customer": True})
    assert contact.invalid is None
    assert contact.updated_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert contact.wanted == {"city": "Leeds"}


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"name": ""}, "name is missing"),
        ({"name": 5}, "name is not a text"),
        ({"name": "a\0b"}, "name has a NUL character"),
        ({"name": "x" * 2_000_000}, "name is longer than 500 characters"),
        ({"name": "  "}, "name is empty"),
        ({"is_customer": "yes"}, "is_customer is not true or false"),
        ({"updated_time": "tomorrow"}, "updated_time is not a time"),
        ({"updated_time": 5}, "updated_time is not a time"),
        ({"fields": []}, "fields is not an object"),
        ({"fields": {"udf_fields": 3}}, "fields is not an object"),
        ({"invalid_reason": "Name must be a text."}, "Name must be a text."),
    ],
)
def test_what_is_wrong_with_a_contact_is_said(members: dict[str, Any], problem: str) -> None:
    assert read_contact({**CONTACT, **members}).invalid == problem


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"unit_price": "much"}, "unit_price is not an amount"),
        ({"unit_price": True}, "unit_price is not an amount"),
        ({"unit_price": "NaN"}, "unit_price is not an amount"),
        ({"unit_price": "1e40"}, "unit_price is not an amount"),
        ({"unit_price": "1.23456"}, "unit_price has more than 4 decimals"),
        ({"is_sold": None}, "is_sold is not true or false"),
        ({"item_code": None}, "item_code is missing"),
    ],
)
def test_what_is_wrong_with_an_item_is_said(members: dict[str, Any], problem: str) -> None:
    assert read_item({**ITEM, **members}).invalid == problem


def test_a_price_keeps_its_digits() -> None:
    assert read_item({**ITEM, "unit_price": Decimal("128.1900")}).unit_price == Decimal("128.19")


@pytest.mark.parametrize("key", [None, "", "  ", 5, "x" * 65, "a\0"])
def test_a_record_without_a_usable_key_is_an_error(key: object) -> None:
    with pytest.raises(InputError, match="no usable xero_contact_id"):
        read_contact({**CONTACT, "xero_contact_id": key})


@given(st.dictionaries(st.sampled_from([*CONTACT, *ITEM, "updated_time", "is_customer"]), JSON))
def test_whatever_comes_is_read_or_said_to_be_wrong(members: dict[str, Any]) -> None:
    contact = read_contact({**members, "xero_contact_id": "c1"})
    assert contact.invalid or contact.contact_name.strip()
    item = read_item({**members, "xero_item_id": "i1"})
    assert item.invalid or (item.name.strip() and item.item_code.strip())
    encode_exact(contact.wanted)


@pytest.mark.parametrize(
    ("wanted", "current", "equal"),
    [
        ("Leeds", "Leeds", True),
        ("Leeds", " Leeds", True),
        ("a\nb", "a\r\nb", True),
        ("Leeds", None, False),
        (5, "5.00", True),
        (Decimal("5.1"), "5.00", False),
        (True, "true", True),
        (7, "seven", False),
        ("Howard", {"id": "9", "name": "Howard"}, True),
        ({"name": "Howard"}, {"id": "9", "name": "Howard"}, True),
        ({"value": "1763769600000"}, {"value": "1763769600000", "display_value": "x"}, True),
        ({"value": "1"}, None, False),
    ],
)
def test_values_are_compared_as_sdp_gives_them_back(wanted: object, current: object, equal: bool) -> None:
    assert same(wanted, current) is equal


def test_values_are_sent_in_the_form_of_their_field() -> None:
    fields = AccountFields.from_metainfo(
        {
            "fields": {
                "vip": {"type": "string"},
                "udf_fields": {"fields": {"udf_date_1": {"type": "datetime"}, "udf_n": {"type": "double"}}},
            }
        }
    )
    values = {"vip": True, "udf_fields.udf_date_1": "2026-01-01T00:00:00Z", "udf_fields.udf_n": 5}
    assert fields.nested(values) == {
        "vip": "true",
        "udf_fields": {"udf_date_1": {"value": "1767225600000"}, "udf_n": 5},
    }
    assert fields.changes(fields.nested(values), values) == {}


@pytest.mark.parametrize("odd", [{}, {"fields": []}, {"fields": {}}, {"metainfo": None}])
def test_metadata_of_another_shape_counts_as_not_told(odd: dict[str, Any]) -> None:
    assert AccountFields.from_metainfo(odd).faults(["anything"]) == {}


def test_empty_values_say_nothing() -> None:
    assert flatten({"a": None, "b": "", "c": 0, "udf_fields": {"d": None, "e": "x"}}) == {
        "c": 0,
        "udf_fields.e": "x",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Ngā Puna Health Trust", "nga-puna-health-trust"), ("日本", "c-1"), ("--", "c-1")],
)
def test_slugs_are_safe_in_an_address(name: str, expected: str) -> None:
    assert slug(name, "c 1") == expected


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("login_url_template", "{nope}.example.com"),
        ("login_url_template", "{name.__class__}"),
        ("login_url_template", "{name!r}"),
        ("login_url_template", "{slug"),
        ("login_url_field", "a.b.c"),
        ("write_link_to", "udf fields"),
        ("match_names", "fuzzy"),
        ("unmatched_contacts", "yes"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"Setting {setting}: .* Example: {setting}: "):
        AccountPolicy.from_config({setting: value})


def test_every_setting_has_a_title_a_description_and_an_example() -> None:
    for setting in DIRECTORY:
        told = next(iter(setting.to_dict().values()))
        assert told["title"]
        assert "Example: `" in told["description"]
        assert told["description"].endswith(".")
