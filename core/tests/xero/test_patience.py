"""Somebody who only looks: how long a client waits for Xero, and what it writes of its token."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msp_xero.errors import AccessRefused, Throttled, Unavailable
from msp_xero.xero import CallBudget, XeroClient, XeroSettings
from msp_xero.xero.auth import connection_name
from msp_xero.xero.tokens import Token, TokenStore, UnwrittenStore

MINUTE = {"Retry-After": "40", "X-Rate-Limit-Problem": "minute"}


def login(now):
    return Token(
        access_token="stored",
        issued_at=now,
        expires_at=now + timedelta(minutes=30),
        refresh_token="r",
        tenant_id="70784a63-d24b-46a9-a4db-0e70a274b056",
    )


@pytest.fixture
def hasty(config, session, clock):
    def make(**settings):
        chosen = XeroSettings.from_config({**config, **settings})
        return XeroClient(chosen, session=session, clock=clock, patience=10.0)

    return make


def test_a_pause_that_xero_asks_for_is_told_and_kept_without_waiting(hasty, xero, raw, reply, clock):
    xero.on("GET Items", raw(429, b"", MINUTE))
    xero.on("GET Accounts", reply({"Accounts": []}))
    client = hasty()
    with pytest.raises(Throttled, match="Xero asks to wait 40 seconds"):
        client.items()
    with pytest.raises(Throttled, match=r"no call is made for now .*Xero asks to wait 40 seconds"):
        client.accounts()
    assert clock.slept == []
    assert len(xero.calls("GET", "Items")) == 1
    assert xero.calls("GET", "Accounts") == []
    clock.advance(seconds=41)
    assert client.accounts() == []


def test_a_run_waits_for_the_same_pause(client, xero, raw, reply, clock):
    xero.on("GET Items", raw(429, b"", MINUTE), reply({"Items": []}))
    assert client.items() == []
    assert sum(clock.slept) == 40


def test_a_minute_that_others_have_used_up_is_told_and_our_own_pace_is_kept(clock):
    here = "GET https://api.xero.com/api.xro/2.0/Items"
    budget = CallBudget(clock, max_calls_per_minute=2, patience=10.0)
    for _ in range(3):
        with budget.call(here):
            pass
    assert sum(clock.slept) == pytest.approx(60, abs=1)
    budget.learn({"X-MinLimit-Remaining": "0"})
    with pytest.raises(Throttled, match="Xero asks to wait 60 seconds"), budget.call(here):
        pass


def test_a_xero_that_is_down_gets_fewer_attempts(hasty, xero, raw, clock):
    xero.on("GET Items", raw(503, b""))
    client = hasty()
    with pytest.raises(Unavailable):
        client.items()
    assert max(clock.slept) < 10.0


def test_a_throttled_token_service_is_not_waited_for(hasty, xero, raw, clock):
    xero.on("POST token", raw(429, b"", MINUTE))
    with pytest.raises(Throttled, match="Xero asks to wait 40 seconds"):
        hasty().items()
    assert clock.slept == []


def test_a_look_with_a_custom_connection_makes_no_file(config, session, clock, xero, reply, tmp_path):
    xero.on("GET Items", reply({"Items": []}))
    settings = XeroSettings.from_config(config)
    store = UnwrittenStore(settings.token_store)
    for _ in range(2):
        assert XeroClient(settings, session=session, clock=clock, store=store).items() == []
    assert xero.tokens == 1
    assert store.load(connection_name(settings)).access_token == "access-1"
    assert list(tmp_path.iterdir()) == []


def test_a_look_uses_the_token_that_a_run_has_stored(config, client, session, clock, xero, reply):
    xero.on("GET Items", reply({"Items": []}))
    client.items()
    settings = XeroSettings.from_config(config)
    before = settings.token_store.read_bytes()
    store = UnwrittenStore(settings.token_store)
    assert XeroClient(settings, session=session, clock=clock, store=store).items() == []
    clock.advance(hours=1)
    assert XeroClient(settings, session=session, clock=clock, store=store).items() == []
    assert xero.tokens == 2
    assert settings.token_store.read_bytes() == before


def test_a_login_that_is_not_there_makes_neither_folder_nor_lock(connect, tmp_path):
    with pytest.raises(AccessRefused, match="there is no stored login"):
        connect(grant="authorization_code").items()
    assert list(tmp_path.iterdir()) == []


def test_a_login_that_is_good_needs_no_lock(config, session, clock, xero, reply):
    xero.on("GET Items", reply({"Items": []}))
    settings = XeroSettings.from_config({**config, "grant": "authorization_code"})
    store = TokenStore(settings.token_store, lock_seconds=0.1)
    client = XeroClient(settings, session=session, clock=clock, store=store)
    with store.locked():
        store.save(connection_name(settings), login(clock.now()))
        assert client.items() == []
    assert xero.tokens == 0
