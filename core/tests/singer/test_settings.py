"""A wrong setting ends a run with one line that names it and never shows its value."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from msp_xero.singer import plain_errors
from msp_xero.singer.settings import wrong_settings
from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.helpers.capabilities import PluginCapabilities

SECRET = "987654321"
PROPERTIES = (
    th.Property("base_url", th.StringType, required=True, description="Where. Example: https://a.example."),
    th.Property("client_secret", th.StringType, secret=True),
    th.Property("account_code", th.StringType, description="For example `200`."),
    th.Property("grant", th.StringType, default="one", allowed_values=["one", "two"]),
    th.Property("modules", th.ArrayType(th.StringType(allowed_values=["requests", "tasks"]))),
    th.Property("push", th.BooleanType, default=True),
    th.Property("days", th.IntegerType(minimum=0, maximum=31), default=30),
    th.Property("least", th.IntegerType(minimum=1)),
    th.Property("most", th.IntegerType(maximum=9)),
    th.Property("seconds", th.NumberType(exclusive_minimum=0)),
    th.Property("tracking", th.ObjectType(additional_properties=th.StringType)),
    th.Property("fields", th.ObjectType(additional_properties=True)),
)


def schema():
    return th.PropertiesList(*PROPERTIES).to_dict()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"base_url": None}, "Setting base_url: is missing. Example: base_url: https://a.example"),
        (
            {"client_secret": int(SECRET)},
            'Setting client_secret: must be a text. Example: client_secret: "some text"',
        ),
        ({"account_code": int(SECRET)}, 'Setting account_code: must be a text. Example: account_code: "200"'),
        ({"grant": SECRET}, "Setting grant: must be one of one, two. Example: grant: one"),
        ({"modules": [SECRET]}, "Setting modules: must be a list of requests, tasks. Example: modules: []"),
        ({"push": SECRET}, "Setting push: must be true or false. Example: push: true"),
        ({"days": 987654321}, "Setting days: must be a whole number from 0 to 31. Example: days: 30"),
        ({"least": -987654321}, "Setting least: must be a whole number, 1 or more. Example: least: 10"),
        ({"most": SECRET}, "Setting most: must be a whole number, at most 9. Example: most: 10"),
        ({"seconds": -987654321}, "Setting seconds: must be a number above 0. Example: seconds: 10"),
        ({"tracking": {"a": 987654321}}, "Setting tracking: must be a map of texts. Example: tracking: {}"),
        ({"fields": [SECRET]}, "Setting fields: must be a map. Example: fields: {}"),
        ({"pussh": SECRET}, "Setting pussh: is not known; did you mean push?"),
        ({"zzz": SECRET}, "Setting zzz: is not known."),
    ],
)
def test_what_is_wrong_is_said_without_the_value(config, sentence):
    (error,) = wrong_settings({"base_url": "https://a.example", **config}, schema())
    assert str(error) == sentence
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    "config",
    [
        dict.fromkeys(("client_secret", "grant", "push", "days")),
        {"stream_maps": {}, "flattening_enabled": True, "faker_config": {}, "batch_config": {}},
        {
            "add_record_metadata": True,
            "load_method": "upsert",
            "batch_size_rows": 5,
            "validate_records": False,
        },
        {"_select": ["*.*"], "push": False, "days": 0, "grant": "two"},
    ],
)
def test_what_is_right_and_what_meltano_and_the_sdk_add_is_let_pass(config):
    assert wrong_settings({"base_url": "https://a.example", **config}, schema()) == []


def command():
    @plain_errors
    class AnyTap(Tap):
        name = "tap-any"
        config_jsonschema = schema()
        capabilities = [PluginCapabilities.STREAM_MAPS, PluginCapabilities.FLATTENING]  # noqa: RUF012

        def discover_streams(self):
            return []

    return AnyTap.get_singer_command()


@pytest.fixture
def run(tmp_path, caplog):
    def run(*options, **config):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
        done = CliRunner().invoke(command(), ["--config", str(path), *options])
        assert SECRET not in done.output + caplog.text
        return done

    return run


@pytest.mark.parametrize("options", [(), ("--test",)])
def test_every_wrong_setting_has_one_line_and_the_end_is_1(run, options):
    done = run(*options, client_secret=int(SECRET), days=987654321, dayss=1, stream_maps=SECRET)
    assert done.exit_code == 1
    assert [line for line in done.stderr.splitlines() if "error" in line.lower()] == [
        "tap-any: error: Setting dayss: is not known; did you mean days?",
        "tap-any: error: Setting base_url: is missing. Example: base_url: https://a.example",
        'tap-any: error: Setting client_secret: must be a text. Example: client_secret: "some text"',
        "tap-any: error: Setting days: must be a whole number from 0 to 31. Example: days: 30",
        "tap-any: error: Setting stream_maps: must be a map. Example: stream_maps: {}",
    ]
    assert done.stdout == ""


def test_discovery_needs_no_settings(run):
    assert run("--discover", client_secret=int(SECRET)).exit_code == 0
