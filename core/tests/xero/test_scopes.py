from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msp_xero.errors import AccessRefused
from msp_xero.xero import XeroSettings
from msp_xero.xero.auth import connection_name
from msp_xero.xero.scopes import READING, WANTED, missing, needed_by, to_ask_for
from msp_xero.xero.standing import standing
from msp_xero.xero.tokens import Token, TokenStore

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
BROAD = "accounting.transactions accounting.contacts accounting.settings"


@pytest.mark.parametrize(
    ("granted", "lacking"),
    [
        (WANTED, []),
        (BROAD, []),
        ("accounting.transactions accounting.contacts.read accounting.settings.read", []),
        ("accounting.invoices accounting.settings", ["accounting.contacts.read"]),
        (
            "accounting.invoices.read accounting.transactions.read accounting.contacts.read",
            ["accounting.invoices", "accounting.settings.read"],
        ),
        ("", ["accounting.invoices", "accounting.contacts.read", "accounting.settings.read"]),
    ],
)
def test_granular_and_broad_scopes_are_understood(granted, lacking):
    assert [need.scope for need in missing(granted)] == lacking


def test_reading_needs_no_invoices():
    assert missing("accounting.contacts.read accounting.settings.read", READING) == []


def test_a_login_asks_for_what_is_needed_and_to_last():
    assert to_ask_for(None) == f"offline_access {WANTED}"
    assert to_ask_for("a offline_access") == "offline_access a"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("PUT", "/api.xro/2.0/Invoices", "accounting.invoices"),
        ("GET", "/api.xro/2.0/Invoices", "accounting.invoices.read"),
        ("GET", "/api.xro/2.0/Contacts", "accounting.contacts.read"),
        ("GET", "/api.xro/2.0/Organisation", "accounting.settings.read"),
        ("PUT", "/api.xro/2.0/Items", "accounting.settings"),
    ],
)
def test_each_call_has_its_scope(method, path, scope):
    assert needed_by(method, path) == scope


@pytest.mark.parametrize(
    ("grant", "scopes", "words"),
    [
        ("client_credentials", None, r"Tick it for the Custom Connection in Xero's developer portal; "),
        ("client_credentials", WANTED, "developer portal and add it to the setting scopes; "),
        ("authorization_code", None, "then run msp-xero login, which asks for it"),
        ("authorization_code", WANTED, "add it to the setting scopes, then run msp-xero login"),
    ],
)
def test_a_missing_scope_says_which_what_for_and_where_to_grant_it(
    connect, config, xero, reply, grant, scopes, words
):
    settings = XeroSettings.from_config({**config, "grant": grant})
    store(settings, refresh_token="r", tenant_id="t", issued=datetime.now(UTC) + timedelta(days=9999))
    xero.on("GET Contacts", reply({"Detail": "AuthorizationUnsuccessful"}, 401))
    client = connect(grant=grant, scopes=scopes)
    with pytest.raises(
        AccessRefused, match=rf"the scope accounting\.contacts\.read .*GET .*Contacts.*{words}"
    ):
        next(client.contacts(), None)


@pytest.mark.parametrize(
    ("grant", "words"),
    [("client_credentials", "the developer portal shows it"), ("authorization_code", "msp-xero login")],
)
def test_an_organisation_that_is_refused_says_how_to_connect_it(connect, config, xero, reply, grant, words):
    settings = XeroSettings.from_config({**config, "grant": grant})
    store(settings, refresh_token="r", tenant_id="t", issued=datetime.now(UTC) + timedelta(days=9999))
    xero.on("GET Items", reply({"Title": "Forbidden"}, 403))
    with pytest.raises(AccessRefused, match=words):
        connect(grant=grant).items()


# ------------------------------------------------------------ how it stands


def store(settings, *, issued=NOW, **more):
    token = Token(access_token="a", issued_at=issued, expires_at=issued + timedelta(minutes=30), **more)
    keeper = TokenStore(settings.token_store)
    with keeper.locked():
        keeper.save(connection_name(settings), token)


@pytest.fixture
def settings(config):
    return XeroSettings.from_config({**config, "grant": "authorization_code"})


@pytest.mark.parametrize(
    ("age", "state", "needs_person", "words"),
    [
        ({"days": 0}, "good", False, "ends on 2027-01-21 if nothing uses it"),
        ({"days": 52, "hours": 23}, "good", False, ""),
        ({"days": 53}, "ends_soon", False, "in 7 days"),
        ({"days": 57, "hours": 23}, "ends_soon", False, "in 2 days"),
        ({"days": 58}, "ends_very_soon", True, "in 48 hours"),
        ({"days": 59, "hours": 23}, "ends_very_soon", True, "in an hour"),
        ({"days": 60}, "ended", True, "ended on 2027-01-21"),
    ],
)
def test_the_end_of_a_login_is_seen_7_and_2_days_ahead(settings, age, state, needs_person, words):
    store(settings, refresh_token="r", refresh_issued_at=NOW, tenant_name="Ours", scope=WANTED)
    found = standing(settings, NOW + timedelta(**age))
    assert (found.state, found.needs_person) == (state, needs_person)
    assert words in found.seen
    assert bool(found.advice) is (state != "good")
    assert (found.organisation, found.missing_scopes) == ("Ours", [])


def test_a_refused_login_is_revoked_until_it_is_mended(settings):
    store(settings, refresh_token="r", refused_at=NOW)
    found = standing(settings, NOW)
    assert (found.state, found.needs_person) == ("revoked", True)
    assert "msp-xero login" in found.advice


def test_no_login_a_damaged_store_and_no_need_of_one(settings, config):
    found = standing(settings, NOW)
    assert (found.state, found.needs_person) == ("absent", True)
    settings.token_store.parent.mkdir()
    settings.token_store.write_text("{")
    found = standing(settings, NOW)
    assert (found.state, found.needs_person) == ("unusable", True)
    assert standing(XeroSettings.from_config(config), NOW) is None
