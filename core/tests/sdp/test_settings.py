from __future__ import annotations

import traceback

import pytest
from msp_xero.errors import SettingError
from msp_xero.sdp import SDP_CONNECTION, SdpSettings
from singer_sdk import typing as th

ONPREM = {"base_url": "http://sdp.example.test:8080", "auth_token": "KEY"}
CLOUD = {
    "base_url": "https://sdp.example.test/app/it",
    "edition": "cloud",
    "oauth_client_id": "1000.X",
    "oauth_client_secret": "S",
    "oauth_refresh_token": "R",
    "oauth_url": "https://accounts.zoho.eu",
}
NAMED_IN_INTERFACES = {
    *("base_url", "edition", "auth_token", "oauth_client_id", "oauth_client_secret", "oauth_refresh_token"),
    *("oauth_url", "portal_id", "verify_tls", "ca_bundle", "timeout_seconds", "concurrency"),
    *("requests_per_minute", "accounts_path", "worklog_types_path"),
}
SCHEMA = th.PropertiesList(*SDP_CONNECTION).to_dict()


def test_every_setting_is_documented_and_has_a_field():
    names = {p.name for p in SDP_CONNECTION}
    assert names >= NAMED_IN_INTERFACES
    assert names == set(SdpSettings.__slots__)
    for name, property_ in SCHEMA["properties"].items():
        assert property_["title"], name
        assert property_["description"].endswith("."), name


def test_secrets_are_marked_and_never_shown():
    secret = {name for name, p in SCHEMA["properties"].items() if p.get("secret")}
    assert secret == {"auth_token", "oauth_client_secret", "oauth_refresh_token"}
    assert "KEY" not in repr(SdpSettings.from_config(ONPREM))


def test_defaults_in_schema_and_class_agree():
    settings = SdpSettings.from_config(ONPREM)
    for name, property_ in SCHEMA["properties"].items():
        if "default" in property_:
            assert getattr(settings, name) == property_["default"], name


@pytest.mark.parametrize(
    ("given", "api"),
    [
        ("http://h:8080", "http://h:8080/api/v3/"),
        ("https://h/sdp/", "https://h/sdp/api/v3/"),
        ("https://h/api/v3", "https://h/api/v3/"),
        (" https://h/app/it ", "https://h/app/it/api/v3/"),
    ],
)
def test_api_address(given, api):
    assert SdpSettings.from_config({**ONPREM, "base_url": given}).api_url == api


def test_cloud_has_customers_and_a_token_address():
    settings = SdpSettings.from_config(CLOUD)
    assert settings.accounts_path == "customers"
    assert settings.oauth_url == "https://accounts.zoho.eu/oauth/v2/token"
    assert SdpSettings.from_config({**CLOUD, "oauth_url": "https://a/x"}).oauth_url == "https://a/x"


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"base_url": None}, "base_url"),
        ({"base_url": "sdp.example.test"}, "base_url"),
        ({"base_url": "ftp://h"}, "base_url"),
        ({"base_url": "https://"}, "base_url"),
        ({"base_url": "https://me:pw@h"}, "base_url"),
        ({"base_url": 5}, "base_url"),
        ({"base_url": "https://me:PLANTED/1@host"}, "base_url"),
        ({**CLOUD, "oauth_url": "https://me:PLANTED/1@host"}, "oauth_url"),
        ({"edition": "saas"}, "edition"),
        ({"auth_token": None}, "auth_token"),
        ({"auth_token": "KEY\n"}, "auth_token"),
        ({"auth_header": "X-Key"}, "auth_header"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": "60"}, "timeout_seconds"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"requests_per_minute": True}, "requests_per_minute"),
        ({"accounts_path": "a?b"}, "accounts_path"),
        ({"worklog_types_path": "/"}, "worklog_types_path"),
        ({**CLOUD, "oauth_client_id": None}, "oauth_client_id"),
        ({**CLOUD, "oauth_client_secret": ""}, "oauth_client_secret"),
        ({**CLOUD, "oauth_refresh_token": None}, "oauth_refresh_token"),
        ({**CLOUD, "oauth_url": None}, "oauth_url"),
    ],
)
def test_a_wrong_setting_is_named_with_an_example(change, setting):
    with pytest.raises(SettingError) as caught:
        SdpSettings.from_config({**ONPREM, **change})
    assert caught.value.setting == setting
    assert "Example:" in str(caught.value)
    assert "pw@" not in str(caught.value)
    assert "PLANTED" not in "".join(traceback.format_exception(caught.value))


def test_a_ca_bundle_that_does_not_exist_is_named(connect):
    with pytest.raises(SettingError, match="ca_bundle"):
        connect(ca_bundle="/nowhere/ca.pem")
