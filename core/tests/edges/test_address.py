from __future__ import annotations

import traceback

import pytest
from msp_xero.edges.address import http_address, is_readable
from msp_xero.errors import SettingError
from msp_xero.sdp import SdpSettings
from msp_xero.xero import XeroSettings

BAD = [
    "https://:PLANTED@host",
    "https://me:PLANTED/1@host",
    "https://me:1/PLANTED@host",
    "https://me:PLANTED?1@host",
    "https://@host",
    "http://[::1",
    "http://[PLANTED]",
    "http://host:99999",
]
SAFE = [
    "https://accounts.zoho.eu",
    "http://localhost:8080",
    "http://xero.localhost",
    "http://127.0.0.1:1",
    "http://127.9.9.9",
    "http://[::1]:8080",
    "http://xero.test",
]
READABLE = [
    "http://accounts.zoho.eu",
    "http://10.0.0.7",
    "http://0.0.0.0:80",
    "http://test",
    "http://xero.test.example.com",
    "http://127.0.0.1.example.com",
    "HTTP://IDENTITY.XERO.COM",
    "http://[2001:db8::1]",
]
CLOUD = {
    "edition": "cloud",
    "base_url": "https://sdp.example.com/app/itdesk",
    "oauth_client_id": "1000.X",
    "oauth_client_secret": "S",
    "oauth_refresh_token": "R",
}


@pytest.mark.parametrize("address", BAD)
def test_an_address_with_credentials_or_none_at_all_is_refused_and_not_quoted(address):
    with pytest.raises(SettingError, match=r"base_url: .*without a query or credentials") as caught:
        http_address("base_url", address, "https://sdp.example.com")
    assert "PLANTED" not in "".join(traceback.format_exception(caught.value))


def test_an_address_loses_its_last_slash_and_the_blanks_around_it():
    assert http_address("base_url", " https://host/path/ ", "https://x") == "https://host/path"


@pytest.mark.parametrize("address", SAFE)
def test_what_cannot_be_read_on_the_way(address):
    assert not is_readable(address)
    settings = XeroSettings.from_config({"client_id": "c", "client_secret": "s", "identity_url": address})
    assert settings.identity_url == address
    assert SdpSettings.from_config({**CLOUD, "oauth_url": address}).oauth_url == f"{address}/oauth/v2/token"


@pytest.mark.parametrize("address", READABLE)
def test_no_secret_is_sent_where_anybody_can_read_it(address):
    assert is_readable(address)
    with pytest.raises(
        SettingError, match=r"identity_url: .*readable over http.* https://identity\.xero\.com"
    ):
        XeroSettings.from_config({"client_id": "c", "client_secret": "s", "identity_url": address})
    with pytest.raises(SettingError, match=r"oauth_url: .*readable over http.* https://accounts.zoho\.eu"):
        SdpSettings.from_config({**CLOUD, "oauth_url": address})


def test_http_inside_of_a_company_is_a_matter_of_taste():
    """An installation in the house often has no certificate: doctor warns, and the settings take it."""
    assert SdpSettings.from_config({"base_url": "http://sdp:8080", "auth_token": "k"}).base_url
