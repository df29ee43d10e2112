from __future__ import annotations

import threading
from decimal import Decimal

import pytest
from msp_xero.errors import AccessRefused, Missing, NoAddress, Rejected, Throttled, Unavailable
from msp_xero.sdp import CannotWalk

from .conftest import OK, Listing, Reply, failed


def numbered(count, **members):
    return [{"id": str(i), **{k: v(i) for k, v in members.items()}} for i in range(1, count + 1)]


def ids(rows):
    return [row["id"] for row in rows]


def created(key, **row):
    return Reply({key: row, "response_status": OK})


def test_a_read_sends_key_accept_and_input_data_on_the_query(server, connect):
    server.answer = Listing("accounts", numbered(1))
    client = connect(portal_id="1")
    assert ids(client.accounts()) == ["1"]
    seen = server.seen[0]
    assert (seen.method, seen.path) == ("GET", "/api/v3/accounts")
    assert seen.headers["authtoken"] == "KEY-1"
    assert seen.headers["portalid"] == "1"
    assert seen.headers["accept"] == "application/vnd.manageengine.sdp.v3+json"
    assert seen.input_data["list_info"] == {
        "row_count": 100,
        "start_index": 1,
        "sort_field": "id",
        "sort_order": "asc",
        "get_total_count": True,
    }


def test_the_old_header_can_carry_the_key(server, connect):
    server.answer = Listing("accounts", [])
    list(connect(auth_header="TECHNICIAN_KEY").accounts())
    assert server.seen[0].headers["technician_key"] == "KEY-1"
    assert "authtoken" not in server.seen[0].headers


def test_three_pages_and_calls_are_counted_by_endpoint(server, connect):
    server.answer = Listing("worklogs", numbered(250))
    client = connect()
    assert ids(client.worklogs("requests/45")) == [str(i) for i in range(1, 251)]
    assert client.calls == {"GET requests/{id}/worklogs": 3}


def test_worklogs_are_read_again_when_the_total_does_not_agree(server, connect):
    listing = server.answer = Listing("worklogs", numbered(150))

    def delete_one(page):
        if page == 1:
            del listing.rows[0]

    listing.before_page = delete_one
    assert set(ids(connect().worklogs("requests/1"))) == set(map(str, range(1, 151)))
    assert listing.pages == 4


def test_a_list_that_cannot_be_sorted_by_id_is_read_unsorted(server, connect):
    listing = Listing("worklogs", numbered(3))
    server.answer = lambda seen: (
        failed(4021) if "sort_field" in seen.input_data["list_info"] else listing(seen)
    )
    client = connect()
    assert len(client.worklogs("requests/1")) == 3
    assert len(client.worklogs("requests/2")) == 3
    assert client.calls == {"GET requests/{id}/worklogs": 3}


def times(start=1000):
    return lambda i: {"value": str(start + i)}


def test_a_walk_by_value_of_three_pages_survives_rows_that_move(server, connect):
    listing = server.answer = Listing("requests", numbered(250, last_updated_time=times()))

    def touch(page):
        if page == 1:
            listing.rows[3]["last_updated_time"] = {"value": "9000"}

    listing.before_page = touch
    rows = ids(connect().walk_by_value("requests", "requests", sort_field="last_updated_time", since=0))
    assert rows == [*map(str, range(1, 251)), "4"]


def test_a_walk_starts_at_a_time_and_asks_for_its_columns(server, connect):
    server.answer = Listing("requests", numbered(9, last_updated_time=times(), subject=str))
    walk = connect().walk_by_value(
        "requests", "requests", sort_field="last_updated_time", since=1008, fields=["subject"]
    )
    assert ids(walk) == ["8", "9"]
    assert server.seen[0].input_data["list_info"]["fields_required"] == ["id", "subject", "last_updated_time"]


def test_a_refused_sort_field_cannot_be_walked_and_walk_falls_back_to_the_whole_list(server, connect):
    listing = Listing("problems", numbered(120))

    def answer(seen):
        info = seen.input_data["list_info"]
        return failed(4021, field="last_updated_time") if "search_criteria" in info else listing(seen)

    server.answer = answer
    client = connect()
    with pytest.raises(CannotWalk):
        list(client.walk_by_value("problems", "problems", sort_field="last_updated_time", since=0))
    assert len(list(client.walk("problems", "problems", sort_field="last_updated_time"))) == 120


def test_a_refused_column_is_left_out_for_good(server, connect):
    listing = Listing("problems", numbered(150, title=str))

    server.answer = lambda seen: (
        failed(4021, field="site")
        if "site" in seen.input_data["list_info"]["fields_required"]
        else listing(seen)
    )
    client = connect()
    assert len(list(client.list_rows("problems", "problems", fields=["id", "title", "site"]))) == 150
    assert client.calls == {"GET problems": 3}


def test_columns_that_do_not_come_are_asked_for_beside_list_info_too(server, connect):
    rows = numbered(2, account=lambda i: {"id": str(i)})

    def answer(seen):
        wide = "account" in seen.input_data.get("fields_required", ())
        return Listing("requests", rows if wide else [{"id": r["id"]} for r in rows])(seen)

    server.answer = answer
    client = connect()
    for _ in range(2):
        assert [
            r["account"]["id"] for r in client.list_rows("requests", "requests", fields=["id", "account"])
        ] == [
            "1",
            "2",
        ]
    assert client.calls == {"GET requests": 3}


def test_a_column_that_never_comes_costs_one_extra_call_in_all(server, connect):
    server.answer = Listing("requests", numbered(250))
    client = connect()
    assert len(list(client.list_rows("requests", "requests", fields=["id", "account"]))) == 250
    assert client.calls == {"GET requests": 4}


def test_a_column_that_is_named_only_in_words_is_left_out_too(server, connect):
    listing = Listing("changes", numbered(2))
    refusal = failed(4001, field="fields_required", message="There is no field site.")
    server.answer = lambda seen: (
        refusal if "site" in seen.input_data["list_info"]["fields_required"] else listing(seen)
    )
    assert len(list(connect().list_rows("changes", "changes", fields=["id", "site"]))) == 2


def test_a_row_that_does_not_exist_is_missing_with_either_code(server, connect):
    for reply in (failed(4007, 404), failed(4001, 400)):
        server.answer = lambda _, reply=reply: reply
        with pytest.raises(Missing):
            connect().read_row("requests/1", "request")


def test_a_refused_parent_does_not_spoil_the_sort_order_of_others(server, connect):
    listing = Listing("worklogs", numbered(1))
    server.answer = lambda seen: failed(4001) if "/9/" in seen.path else listing(seen)
    client = connect()
    with pytest.raises(Rejected):
        client.worklogs("requests/9")
    client.worklogs("requests/1")
    assert server.seen[-1].input_data["list_info"]["sort_field"] == "id"


def test_a_closed_client_waits_no_longer(server, clock, connect):
    client = connect()

    def answer(_):
        client.close()
        return Reply(b"", 502)

    server.answer = answer
    with pytest.raises(Unavailable):
        client.worklogs("requests/1")
    assert len(server.seen) == 1
    assert clock.seconds == 0


def test_numbers_with_a_fraction_are_exact(server, connect):
    server.answer = lambda _: Reply(b'{"worklogs": [{"id": 1, "total_cost": 0.1}], "response_status": []}')
    assert connect().worklogs("requests/1")[0]["total_cost"] == Decimal("0.1")


# ------------------------------------------------------------------- repeats


def then_fine(first, listing=None):
    replies = list(first)
    listing = listing or Listing("worklogs", numbered(1))
    return lambda seen: replies.pop(0) if replies else listing(seen)


@pytest.mark.parametrize(
    "broken",
    [
        Reply(then="reset"),
        Reply({"worklogs": [{"id": "1"}]}, then="cut"),
        Reply(b"", 502),
        Reply(b"<html>restarting</html>", 503),
        failed(4004, 500),
    ],
    ids=["reset", "cut", "502", "html", "4004"],
)
def test_a_read_is_repeated_when_there_is_no_usable_answer(server, clock, connect, broken):
    server.answer = then_fine([broken, broken])
    assert ids(connect().worklogs("requests/1")) == ["1"]
    assert len(server.seen) == 3
    assert 2 <= clock.seconds <= 6


NOT_FOUND = Reply(b"<html>HTTP Status 404</html>", 404)


def test_a_page_of_the_web_server_says_nothing_of_a_row(server, clock, connect):
    """Tomcat answers so to every address until SDP is up; only SDP says that a row is gone."""
    server.answer = then_fine([NOT_FOUND, NOT_FOUND])
    assert ids(connect().worklogs("requests/1")) == ["1"]
    assert len(server.seen) == 3
    server.answer = lambda _: NOT_FOUND
    with pytest.raises(Unavailable, match=r"the address does not exist .* Check base_url"):
        connect().read_row("requests/1", "request")
    assert clock.seconds > 15


def test_an_address_that_only_sdp_itself_stands_beside_does_not_exist_here(server, clock, connect):
    def answer(seen):
        return NOT_FOUND if seen.path.endswith("/tasks") else Reply({"requests": [], "response_status": OK})

    server.answer, client = answer, connect()
    for number in (1, 2):
        with pytest.raises(NoAddress, match="the address does not exist") as caught:
            client.tasks(f"problems/{number}")
        assert "base_url" not in str(caught.value)
    asked = [seen.path.removeprefix("/api/v3/") for seen in server.seen]
    at_length, at_once = ["problems/1/tasks"] * 5 + ["requests"], ["problems/2/tasks", "requests"]
    assert asked == at_length + at_once
    assert clock.seconds > 15


def test_a_read_is_repeated_after_a_timeout(server, connect):
    server.answer = then_fine([Reply(then="hang")])
    assert ids(connect(timeout_seconds=0.1).worklogs("requests/1")) == ["1"]


def test_repeats_are_bounded_and_the_last_error_is_raised(server, clock, connect):
    server.answer = lambda _: Reply(b"", 502)
    with pytest.raises(
        Unavailable, match=r"HTTP 502 \(GET http://127.0.0.1:\d+/api/v3/requests/1/worklogs\)"
    ):
        connect().worklogs("requests/1")
    assert len(server.seen) == 5
    assert sum(clock.slept) < 60


@pytest.mark.parametrize(
    "reply", [failed(4022, 401), failed(4002, 403), failed(7001), failed(4007, 404), failed(4021)]
)
def test_what_does_not_get_better_is_not_repeated(server, clock, connect, reply):
    server.answer = lambda _: reply
    with pytest.raises((AccessRefused, Missing, Rejected)):
        connect().read_row("requests/1", "request")
    assert len(server.seen) == 1
    assert clock.slept == []


def test_the_wait_that_the_server_asks_for_is_kept(server, clock, connect):
    server.answer = then_fine([Reply(b"", 429, {"Retry-After": "37"}), failed(4015, 429)])
    assert ids(connect().worklogs("requests/1")) == ["1"]
    assert clock.seconds == 37 + 30


def test_a_wait_beyond_reason_ends_the_call(server, clock, connect):
    server.answer = lambda _: Reply(b"", 429, {"Retry-After": "86400"})
    with pytest.raises(Throttled):
        connect().worklogs("requests/1")
    assert clock.slept == []


def test_no_more_requests_a_minute_than_allowed(server, clock, connect):
    server.answer = Listing("worklogs", numbered(1))
    client = connect(requests_per_minute=30)
    for _ in range(10):
        client.worklogs("requests/1")
    assert clock.seconds == pytest.approx(18)


def test_workers_share_one_session(server, connect):
    server.answer = Listing("worklogs", numbered(150))
    client = connect(concurrency=4)
    out = []
    threads = [
        threading.Thread(target=lambda: out.append(len(client.worklogs("requests/1")))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert out == [150] * 8
    assert client.calls == {"GET requests/{id}/worklogs": 16}
