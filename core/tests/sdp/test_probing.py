from __future__ import annotations

import pytest
from msp_xero.errors import AccessRefused, Missing, Throttled, Unavailable
from msp_xero.sdp import SdpClient, SdpSettings

from .conftest import OK, Listing, Reply, failed

LOGIN = b"<html><form action='j_security_check'></form></html>"


def test_a_redirect_to_a_login_page_is_called_so_and_asked_once(server, connect):
    server.answer = lambda _: Reply(status=302, headers={"Location": f"{server.url}/login?token=secret"})
    with pytest.raises(AccessRefused, match=rf"the call is redirected to {server.url} ") as caught:
        list(connect().accounts())
    assert "secret" not in str(caught.value)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        (Reply({"accounts": [], "response_status": [OK]}), 200, type(None)),
        (failed(4007, 404), 404, Missing),
        (failed(4022, 401), 401, AccessRefused),
        (failed(4015, 429), 429, Throttled),
        (Reply(LOGIN), 200, AccessRefused),
        (Reply(b""), 200, Unavailable),
        (Reply(status=302, headers={"Location": "/login"}), 302, AccessRefused),
    ],
)
def test_a_probe_returns_whatever_came_and_repeats_nothing(server, connect, clock, reply, status, error):
    server.answer = lambda _: reply
    probed = connect().probe("accounts", {"list_info": {"row_count": 1}})
    assert (probed.status, type(probed.error)) == (status, error)
    assert len(server.seen) == 1
    assert clock.slept == []


def test_a_probe_without_an_answer_says_so_and_repeats_nothing(server, connect, clock):
    server.answer = lambda _: Reply(then="reset")
    probed = connect().probe("accounts")
    assert probed.answer is None
    assert isinstance(probed.error, Unavailable)
    assert (len(server.seen), clock.slept) == (1, [])


def test_a_probe_can_leave_out_and_replace_headers(server, connect):
    client = connect(portal_id="7")
    client.probe("accounts", headers={"authtoken": None, "PORTALID": "8", "Accept": "application/json"})
    seen = server.seen[0].headers
    assert "authtoken" not in seen
    assert (seen["portalid"], seen["accept"]) == ("8", "application/json")
    client.probe("accounts")
    assert server.seen[1].headers["authtoken"] == "KEY-1"


def test_whoever_watches_sees_each_exchange_and_the_client_its_answer(server, clock):
    server.answer = Listing("accounts", [{"id": "1"}])
    seen = []
    settings = SdpSettings.from_config({"base_url": server.url, "auth_token": "KEY-1"})
    client = SdpClient(settings, clock=clock, watch=seen.append)
    assert [row["id"] for row in client.accounts()] == ["1"]
    server.answer = lambda _: Reply(then="reset")
    client.probe("accounts")
    client.close()
    first, broken = seen
    assert (first.method, first.status, first.error) == ("GET", 200, "")
    assert first.url.startswith(f"{server.url}/api/v3/accounts?input_data=")
    assert first.body.startswith(b'{"accounts"')
    assert first.request_headers["authtoken"] == "KEY-1"
    assert "KEY-1" not in repr(first)
    assert broken.status is None
    assert broken.error == "ConnectionError"


@pytest.mark.parametrize("probed", [True, False])
def test_a_pause_that_is_asked_for_is_told_to_a_look_and_kept_without_waiting(server, clock, probed):
    server.answer = lambda _: Reply(b"", 429, {"Retry-After": "40"})
    client = SdpClient(SdpSettings(base_url=server.url, auth_token="k"), clock=clock, patience=10.0)
    if probed:
        assert isinstance(client.probe("accounts").error, Throttled)
    else:
        with pytest.raises(
            Throttled, match=r"too many requests .*ServiceDesk Plus MSP asks to wait 40 seconds"
        ):
            list(client.accounts())
    with pytest.raises(Throttled, match=r"no call is made for now .*asks to wait 40 seconds"):
        list(client.accounts())
    error = client.probe("requests").error
    assert isinstance(error, Throttled)
    assert len(server.seen) == 1
    assert clock.slept == []
    server.answer = Listing("accounts", [{"id": "1"}])
    clock.sleep(41)
    assert [row["id"] for row in client.accounts()] == ["1"]
    client.close()


def test_a_look_keeps_the_pace_that_the_settings_name(server, clock):
    settings = SdpSettings(base_url=server.url, auth_token="k", requests_per_minute=2)
    client = SdpClient(settings, clock=clock, patience=10.0)
    for _ in range(3):
        assert client.probe("requests").error is None
    assert sum(clock.slept) == 60
    client.close()
