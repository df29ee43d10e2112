from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from msp_xero.errors import SettingError
from msp_xero.xero import XERO_BUDGET, XERO_CONNECTION, XeroSettings
from singer_sdk import typing as th

LEAST = {"client_id": "id", "client_secret": "s3cret"}


def test_defaults_are_xeros():
    settings = XeroSettings.from_config(LEAST)
    assert settings.api_url == "https://api.xero.com/api.xro/2.0"
    assert settings.token_url == "https://identity.xero.com/connect/token"
    assert settings.connections_url == "https://api.xero.com/connections"
    assert settings.token_store == Path(".msp-xero/xero-token.json")
    assert settings == XeroSettings(client_id="id", client_secret="s3cret")


def test_declared_defaults_are_the_ones_that_are_used():
    schema = th.PropertiesList(*XERO_CONNECTION, *XERO_BUDGET).to_dict()["properties"]
    declared = {name: value["default"] for name, value in schema.items() if "default" in value}
    assert XeroSettings.from_config({**LEAST, **declared}) == XeroSettings.from_config(LEAST)


def test_every_setting_has_title_and_description():
    for declared in (*XERO_CONNECTION, *XERO_BUDGET):
        schema = next(iter(declared.to_dict().values()))
        assert schema["title"], declared.name
        assert schema["description"].endswith("."), declared.name
        assert declared.secret is (declared.name == "client_secret")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", None),
        ("client_id", " "),
        ("client_id", "a:b"),
        ("client_id", "ä"),
        ("client_id", 7),
        ("client_secret", None),
        ("client_secret", "new\nline"),
        ("grant", "password"),
        ("tenant_id", "Demo Company"),
        ("api_url", "api.xero.com"),
        ("api_url", "ftp://api.xero.com"),
        ("api_url", "https://user:pass@api.xero.com"),
        ("api_url", "https://api.xero.com/?a=b"),
        ("identity_url", "https://"),
        ("identity_url", "https://host:port"),
        *((name, "https://me:PLANTED/1@host") for name in ("api_url", "identity_url", "login_url")),
        ("timeout_seconds", 0),
        ("timeout_seconds", "soon"),
        ("timeout_seconds", float("nan")),
        ("timeout_seconds", True),
        ("max_calls_per_minute", 61),
        ("max_calls_per_minute", 1.5),
        ("day_call_reserve", -1),
        ("scopes", ["a"]),
    ],
)
def test_a_wrong_setting_is_named(name, value):
    with pytest.raises(SettingError) as caught:
        XeroSettings.from_config({**LEAST, name: value})
    assert caught.value.setting == name
    assert "pass@" not in str(caught.value)
    assert "PLANTED" not in "".join(traceback.format_exception(caught.value))


def test_pkce_needs_no_secret():
    assert XeroSettings.from_config({"client_id": "id", "grant": "authorization_code"}).client_secret is None


def test_addresses_lose_their_last_slash_and_connections_stay_beside_the_api():
    settings = XeroSettings.from_config({**LEAST, "api_url": "http://127.0.0.1:9101/api.xro/2.0/"})
    assert settings.api_url == "http://127.0.0.1:9101/api.xro/2.0"
    assert settings.connections_url == "http://127.0.0.1:9101/connections"


def test_the_secret_is_not_in_the_repr():
    assert "s3cret" not in repr(XeroSettings.from_config(LEAST))
