from __future__ import annotations

import pytest
from msp_xero.errors import SettingError
from msp_xero_transforms.mapper import MspXeroTransforms
from msp_xero_transforms.rules import read_rules
from msp_xero_transforms.settings import CONFIG_JSONSCHEMA


@pytest.mark.parametrize(
    ("config", "setting", "part"),
    [
        ({"time_zone": "Pacific/Aukland"}, "time_zone", "is not the name of a time zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone", "is not the name of a time zone"),
        ({"time_zone": "Pacific"}, "time_zone", "is not the name of a time zone"),
        ({"time_zone": ""}, "time_zone", "is not the name of a time zone"),
        ({"rate_source": "charge"}, "rate_source", "must be one of item_price, worklog_charge"),
        ({"contacts": "some"}, "contacts", "must be one of all, customers"),
        ({"type_name_from": 5}, "type_name_from", "must be "),
        (
            {"modules": ["request"]},
            "modules",
            "must be a list of requests, problems, changes, projects, tasks",
        ),
        ({"modules": "requests"}, "modules", "must be a list"),
        ({"exclude_non_billable": "yes"}, "exclude_non_billable", "must be true or false"),
        ({"default_worklog_type": 7}, "default_worklog_type", "must be a text"),
        ({"account_fields": []}, "account_fields", "must be a map"),
        ({"include_additional_cost": True}, "include_additional_cost", "needs rate_source: worklog_charge"),
        (
            {"include_additional_cost": True, "rate_source": "worklog_charge"},
            "additional_cost_field",
            "is needed when include_additional_cost is true",
        ),
        (
            {
                "include_additional_cost": True,
                "rate_source": "worklog_charge",
                "additional_cost_field": "other_cost",
            },
            "additional_cost_field",
            "must be a path that starts with extra or udf_fields",
        ),
    ],
)
def test_a_wrong_setting_fails_at_start_with_its_name_and_what_is_wrong(config, setting, part):
    with pytest.raises(SettingError) as caught:
        MspXeroTransforms(config=config)
    assert caught.value.setting == setting
    assert str(caught.value).startswith(f"Setting {setting}: ")
    assert part in str(caught.value)


def test_null_means_not_set():
    given = read_rules(dict.fromkeys(CONFIG_JSONSCHEMA["properties"]))
    default = read_rules({})
    MspXeroTransforms(config=dict.fromkeys(CONFIG_JSONSCHEMA["properties"]))
    for name in ("contacts", "modules", "rate_source", "time_zone", "ledger_url", "connection"):
        assert getattr(given, name) == getattr(default, name)


@pytest.mark.parametrize("name", sorted(CONFIG_JSONSCHEMA["properties"]))
def test_every_setting_is_documented(name):
    setting = CONFIG_JSONSCHEMA["properties"][name]
    assert setting["type"]
    assert setting["title"]
    assert "Example: " in setting["description"]
    assert setting["description"].endswith(".")


def test_about_lists_nothing_that_is_not_honoured():
    assert "stream_maps" not in CONFIG_JSONSCHEMA["properties"]
    assert set(MspXeroTransforms._get_about_info().settings["properties"]) == set(
        CONFIG_JSONSCHEMA["properties"]
    )


def test_a_typing_error_in_a_name_fails_at_start_and_is_pointed_out():
    with pytest.raises(
        SettingError, match=r"rate_sourse: is not known; did you mean rate_source\?$"
    ) as caught:
        MspXeroTransforms(config={"rate_sourse": "item_price", "zzz": 1})
    assert [str(other) for other in caught.value.others] == ["Setting zzz: is not known."]
