from __future__ import annotations

import logging
import socket
import threading

import pytest
from msp_xero.errors import AccessRefused, Missing, Rejected, Unavailable
from msp_xero.sdp import SdpClient, SdpSettings

from .conftest import OK, Listing, Reply, failed


def numbered(count):
    return [{"id": str(i)} for i in range(1, count + 1)]


def ids(rows):
    return [row["id"] for row in rows]


def created(key, **row):
    return Reply({key: row, "response_status": OK})


def then_fine(first, listing):
    replies = list(first)
    return lambda seen: replies.pop(0) if replies else listing(seen)


def test_a_write_is_a_form_with_input_data(server, connect):
    server.answer = lambda _: created("account", id="7", name="Zylker & Söhne")
    client = connect()
    assert client.create_account({"name": "Zylker & Söhne"})["id"] == "7"
    assert client.update_account("7", {"city": "Leeds"})["id"] == "7"
    post, put = server.seen
    assert (post.method, post.path) == ("POST", "/api/v3/accounts")
    assert post.headers["content-type"] == "application/x-www-form-urlencoded"
    assert post.input_data == {"account": {"name": "Zylker & Söhne"}}
    assert (put.method, put.path, put.input_data) == (
        "PUT",
        "/api/v3/accounts/7",
        {"account": {"city": "Leeds"}},
    )
    assert client.calls == {"POST accounts": 1, "PUT accounts/{id}": 1}


def test_worklog_types_are_read_with_the_inactive_ones_and_written(server, connect):
    server.answer = Listing("worklog_types", numbered(1))
    client = connect()
    assert len(list(client.worklog_types())) == 1
    assert server.seen[-1].input_data["include_inactive_value"] is True
    list(client.worklog_types(include_inactive=False))
    assert "include_inactive_value" not in server.seen[-1].input_data
    server.answer = lambda _: created("worklog_type", id="3")
    assert client.create_worklog_type({"name": "Remote"})["id"] == "3"
    assert client.update_worklog_type("3", {"name": "Remote support"})["id"] == "3"
    assert server.seen[-1].input_data == {"worklog_type": {"name": "Remote support"}}


def test_a_missing_path_names_the_setting(server, connect):
    server.answer = lambda _: failed(4007, 404)
    with pytest.raises(Missing, match="set worklog_types_path"):
        list(connect().worklog_types())


@pytest.mark.parametrize(
    "broken",
    [Reply(then="reset"), Reply({"account": {"id": "1"}}, then="cut"), Reply(b"", 502), failed(4004, 500)],
)
def test_a_write_with_an_unknown_outcome_is_not_repeated(server, connect, broken):
    server.answer = lambda _: broken
    with pytest.raises(Unavailable) as caught:
        connect().create_account({"name": "A"})
    assert caught.value.sent
    assert len(server.seen) == 1


def test_a_write_that_was_throttled_is_repeated(server, clock, connect):
    replies = [Reply(b"", 429, {"Retry-After": "5"}), created("account", id="1")]
    server.answer = lambda _: replies.pop(0)
    assert connect().create_account({"name": "A"})["id"] == "1"
    assert clock.seconds == 5


def test_nobody_listens(clock):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        client = SdpClient(SdpSettings.from_config({"base_url": url, "auth_token": "K"}), clock=clock)
        with pytest.raises(Unavailable, match="no connection") as caught:
            client.create_account({"name": "A"})
    client.close()
    assert not caught.value.sent
    assert clock.seconds > 4


def test_a_duplicate_name_is_told_with_its_code(server, connect):
    server.answer = lambda _: failed(4008, field="name")
    with pytest.raises(Rejected) as caught:
        connect().create_account({"name": "A"})
    assert (caught.value.codes, caught.value.fields) == ([4008], ["name"])


def test_nothing_secret_and_no_customer_text_is_logged(server, connect, caplog):
    caplog.set_level(logging.DEBUG, "msp_xero")
    fine = Reply({"worklogs": [{"id": "1", "description": "Zylker"}], "response_status": [OK]})
    server.answer = then_fine([Reply(b"<html>Zylker</html>", 503)], lambda _: fine)
    list(
        connect().list_rows("requests/1/worklogs", "worklogs", criteria={"field": "name", "value": "Zylker"})
    )
    assert caplog.records
    assert "Zylker" not in caplog.text
    assert "KEY-1" not in caplog.text


def test_an_unchecked_certificate_is_told_once(server, connect, caplog):
    server.answer = Listing("accounts", [])
    client = connect(verify_tls=False)
    list(client.accounts())
    assert [r.levelname for r in caplog.records if "verify_tls" in r.message] == ["WARNING"]


# --------------------------------------------------------------------- cloud

CLOUD = {
    "edition": "cloud",
    "auth_token": None,
    "oauth_client_id": "1000.X",
    "oauth_client_secret": "S",
    "oauth_refresh_token": "R",
}


def cloud(server, connect, tokens, **config):
    """A cloud portal whose token endpoint hands out ``tokens`` one by one."""
    listing = Listing("customers", numbered(1))

    def answer(seen):
        if seen.path == "/oauth/v2/token":
            token = tokens.pop(0)
            return Reply(token if isinstance(token, dict) else {"access_token": token, "expires_in": 3600})
        if seen.headers.get("authorization") == "Zoho-oauthtoken dead":
            return failed(4022, 401)
        return listing(seen)

    server.answer = answer
    return connect(**{**CLOUD, "base_url": f"{server.url}/app/it", "oauth_url": server.url, **config})


def test_cloud_reads_customers_below_the_portal_with_one_token(server, clock, connect):
    client = cloud(server, connect, ["T1", "T2"])
    for _ in range(3):
        assert ids(client.accounts()) == ["1"]
    token, *calls = server.seen
    assert token.form == {
        "grant_type": "refresh_token",
        "client_id": "1000.X",
        "client_secret": "S",
        "refresh_token": "R",
    }
    assert {c.path for c in calls} == {"/app/it/api/v3/customers"}
    assert {c.headers["authorization"] for c in calls} == {"Zoho-oauthtoken T1"}
    clock.seconds += 3550
    list(client.accounts())
    assert server.seen[-1].headers["authorization"] == "Zoho-oauthtoken T2"


def test_cloud_asks_for_one_token_for_all_workers(server, connect):
    client = cloud(server, connect, ["T1"])
    threads = [threading.Thread(target=lambda: list(client.accounts())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seen.path == "/oauth/v2/token" for seen in server.seen) == 1


def test_cloud_renews_a_token_that_ended_early_once(server, connect):
    assert ids(cloud(server, connect, ["dead", "T2"]).accounts()) == ["1"]
    with pytest.raises(AccessRefused):
        list(cloud(server, connect, ["dead", "dead"]).accounts())


@pytest.mark.parametrize("reason", ["invalid_code", "invalid_client"])
def test_cloud_errors_with_http_200_are_errors(server, connect, reason):
    with pytest.raises(AccessRefused, match=reason):
        list(cloud(server, connect, [{"error": reason}]).accounts())


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "invalid client_secret=PLANTED-SECRET&refresh_token=1000.PLANTED"},
        {"error": {"sent": "PLANTED-SECRET"}},
        {"error": "PLANTED-SECRET"},
        {"message": "PLANTED-SECRET"},
    ],
)
def test_the_token_endpoint_cannot_repeat_what_it_was_sent(server, connect, caplog, answer):
    secrets = {"oauth_client_secret": "PLANTED-SECRET", "oauth_refresh_token": "1000.PLANTED"}
    with pytest.raises(AccessRefused, match="no reason given") as caught:
        list(cloud(server, connect, [answer], **secrets).accounts())
    assert "PLANTED" not in str(caught.value) + caplog.text


def test_cloud_waits_when_too_many_tokens_were_asked_for(server, clock, connect):
    text = "You have made too many requests continuously. Please try again after some time."
    client = cloud(server, connect, [{"error": "Access Denied", "error_description": text}, "T1"])
    assert ids(client.accounts()) == ["1"]
    assert clock.seconds == 60


@pytest.mark.parametrize(("field", "code"), [("type", 4007), ("worklog_type", 4007), ("type", 4002)])
def test_types_that_nobody_lists_are_read_as_values_of_a_worklog(server, connect, caplog, field, code):
    lists = {
        "/api/v3/requests": Listing("requests", [{"id": "45"}]),
        f"/api/v3/requests/45/worklogs/{field}": Listing(field, numbered(3)),
    }
    missing = failed(4007, status=404)

    def answer(seen):
        if seen.path.endswith("worklog_types"):
            return failed(code, status={4007: 404, 4002: 403}[code])
        return lists[seen.path](seen) if seen.path in lists else missing

    server.answer = answer
    with caplog.at_level(logging.WARNING):
        assert ids(connect().worklog_types()) == ["1", "2", "3"]
    assert server.seen[-1].input_data["include_inactive_value"] is True
    assert "cannot be written" in caplog.text


def test_a_key_that_is_not_valid_is_not_tried_elsewhere(server, connect):
    server.answer = lambda _: failed(4022, status=401)
    with pytest.raises(AccessRefused, match="key is not valid"):
        list(connect().worklog_types())
    assert len(server.seen) == 1
