from __future__ import annotations

import json
from decimal import Decimal

import pytest
from msp_xero.errors import SettingError
from msp_xero_transforms.steps.account_fields import account_record, compile_fields, fields_schema
from msp_xero_transforms.steps.select import wants_contact


@pytest.fixture
def contacts(load_fixture):
    messages = [json.loads(line) for line in load_fixture("contacts.singer")]
    return {m["record"]["ContactID"]: m["record"] for m in messages if m["type"] == "RECORD"}


def read(path, contact):
    (field,) = compile_fields({"city": path})
    return field.read(contact)


def test_all_contacts_but_suppliers_and_always_the_archived(run_mapper, load_fixture):
    mapped = run_mapper(load_fixture("contacts.singer"))
    assert [r["xero_contact_id"] for r in mapped.records("accounts")] == ["c1", "c3", "c4", "c5", "c6"]


def test_only_customers_and_always_the_archived(run_mapper, load_fixture):
    mapped = run_mapper(load_fixture("contacts.singer"), {"contacts": "customers"})
    assert [r["xero_contact_id"] for r in mapped.records("accounts")] == ["c1", "c4", "c5", "c6"]


def test_a_contact_without_a_status_counts_as_active(rules):
    assert not wants_contact({"IsSupplier": True}, rules())


def test_an_account_with_the_default_fields(contacts, rules):
    assert account_record(contacts["c1"], rules()) == {
        "xero_contact_id": "c1",
        "name": "Zylker Ltd",
        "contact_status": "ACTIVE",
        "merged_to_contact_id": None,
        "is_customer": True,
        "fields": {
            "emailid": "ap@zylker.test",
            "landline": "+44 20 7946 0000",
            "fax": "555",
            "weburl": "https://zylker.test",
            "street": "12 High St, Unit 4",
            "city": "Leeds",
            "state": None,
            "postalcode": "LS1 1AA",
            "country": "United Kingdom",
            "udf_fields": {},
        },
        "clues": {
            "emails": ["ap@zylker.test"],
            "websites": ["https://zylker.test"],
            "phones": ["555", "+44 20 7946 0000"],
            "tax_numbers": ["GB 123"],
        },
        "updated_time": "2026-03-01T00:00:00.000000Z",
        "invalid_reason": None,
    }


def test_empty_slots_give_null(contacts, rules):
    fields = account_record(contacts["c3"], rules())["fields"]
    assert {name: value for name, value in fields.items() if name != "udf_fields"} == dict.fromkeys(
        ("emailid", "landline", "fax", "weburl", "street", "city", "state", "postalcode", "country")
    )


def test_without_a_street_the_postal_address_stands_in_as_a_whole(contacts, rules):
    fields = account_record(contacts["c4"], rules())["fields"]
    assert (fields["street"], fields["city"]) == ("PO Box 9", "Hastings")
    # Nothing is taken from the postal address where there is a street.
    assert account_record(contacts["c1"], rules())["fields"]["state"] is None


def test_a_merged_contact_names_its_heir(contacts, rules):
    record = account_record(contacts["c5"], rules())
    assert (record["contact_status"], record["merged_to_contact_id"]) == ("ARCHIVED", "c1")


def test_custom_fields_in_both_spellings(contacts, rules):
    dotted = rules(account_fields={"udf_fields.udf_sline_101": "TaxNumber"})
    nested = rules(account_fields={"udf_fields": {"udf_sline_101": "TaxNumber"}})
    expected = {"udf_fields": {"udf_sline_101": "GB 123"}}
    assert account_record(contacts["c1"], dotted)["fields"] == expected
    assert account_record(contacts["c1"], nested)["fields"] == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Phones.DEFAULT.PhoneNumber", "7946 0000"),
        ("Phones.MOBILE", None),
        ("Addresses.POBOX.City", "Nowhere"),
        ("{Name} ({TaxNumber})", "Zylker Ltd (GB 123)"),
        ("{FirstName}, {LastName}", None),
        (
            "{Addresses.STREET.Region}, {Addresses.STREET.City},{Addresses.STREET.Country}",
            "Leeds, United Kingdom",
        ),
        ("IsCustomer", True),
        ("{IsCustomer}", "True"),
        ("BrandingTheme.Name", None),
        ("PaymentTerms.Sales.Day", 20),
        ("Balances.AccountsReceivable.Outstanding", Decimal("10.50")),
    ],
)
def test_paths(contacts, path, expected):
    contact = contacts["c1"] | {
        "PaymentTerms": {"Sales": {"Day": 20}},
        "Balances": {"AccountsReceivable": {"Outstanding": Decimal("10.50")}},
        "BrandingTheme": "not an object",
    }
    assert read(path, contact) == expected


def test_a_country_code_alone_is_no_phone_number():
    assert read("Phones.DEFAULT", {"Phones": [{"PhoneType": "DEFAULT", "PhoneCountryCode": "44"}]}) is None


def test_a_country_code_with_a_plus_keeps_it():
    phone = {"PhoneType": "DEFAULT", "PhoneNumber": "1", "PhoneCountryCode": "+44"}
    assert read("Phones.DEFAULT", {"Phones": [phone]}) == "+44 1"


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"Name": None}, "Name must be a text that is not empty"),
        ({"Name": "  "}, "Name must be a text that is not empty"),
        ({"Phones": "none"}, "Phones must be a list of objects"),
        ({"Addresses": ["x"]}, "Addresses must be a list of objects"),
        ({"IsCustomer": "yes"}, "IsCustomer must be true or false"),
        ({"MergedToContactID": 5}, "MergedToContactID must be a text"),
    ],
)
def test_a_malformed_contact_leaves_with_the_reason_and_without_values(contacts, rules, members, problem):
    record = account_record(contacts["c1"] | members, rules())
    assert problem in record["invalid_reason"]
    assert record["fields"] == {"udf_fields": {}}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        (
            {"emailid": "EmailAdress"},
            "unknown Xero field for emailid: 'EmailAdress'; did you mean EmailAddress?",
        ),
        ({"city": "Addresses.STREET"}, "unknown Xero field for city: 'Addresses.STREET'"),
        ({"city": "Addresses.HOME.City"}, "unknown Xero field"),
        ({"fax": "Phones.PAGER"}, "unknown Xero field"),
        ({"fax": "Phones.FAX.Colour"}, "unknown Xero field"),
        ({"street": "{Name} {"}, "a brace without its partner in street"),
        ({"street": "{}"}, "unknown Xero field"),
        ({"name": "Name"}, "an account is always called like its contact"),
        ({"udf.x": "Name"}, "custom fields are udf_fields.NAME"),
        ({"udf_fields.": "Name"}, "custom fields are udf_fields.NAME"),
        ({"emailid": ""}, "no path for emailid"),
        ({"emailid": 5}, "no path for emailid"),
    ],
)
def test_wrong_account_fields_fail_at_start(rules, fields, part):
    with pytest.raises(SettingError) as caught:
        rules(account_fields=fields)
    assert caught.value.setting == "account_fields"
    assert part in str(caught.value)
    assert "Example: " in str(caught.value)


def test_the_schema_announces_each_mapped_field_with_its_kind(rules):
    fields = {
        "city": "Addresses.STREET.City",
        "landmark": "IsCustomer",
        "udf_fields.udf_double_104": "Discount",
        "udf_fields.udf_date_105": "UpdatedDateUTC",
        "description": "{IsCustomer} {Discount}",
    }
    assert fields_schema(rules(account_fields=fields).account_fields) == {
        "city": {"type": ["string", "null"]},
        "landmark": {"type": ["boolean", "null"]},
        "description": {"type": ["string", "null"]},
        "udf_fields": {
            "type": "object",
            "properties": {
                "udf_double_104": {"type": ["number", "null"]},
                "udf_date_105": {"type": ["string", "null"], "format": "date-time"},
            },
            "additionalProperties": True,
        },
    }
