from __future__ import annotations

import json

import pytest
from msp_xero_sandbox.wire import make_call


def keyed(xero, books, number="SDP-1", key="key-1", query="unitdp=4"):
    return xero.put(books.invoice(number), query=query, idempotency_key=key)


def test_same_key_and_request_replays_the_answer(xero, books):
    first, second = keyed(xero, books), keyed(xero, books)
    assert second.status == 200
    assert second.body == first.body
    assert len(xero.app.dump(["invoices"])["invoices"]) == 2


def test_without_a_key_the_number_is_the_guard(xero, books):
    xero.created("SDP-1")
    assert books.messages(xero.put(books.invoice("SDP-1")).json) == ["Invoice # must be unique."]


def test_a_key_lives_six_minutes_from_its_first_call(xero, books):
    keyed(xero, books)
    xero.clock.advance(359)
    assert keyed(xero, books).status == 200
    xero.clock.advance(1)
    assert books.messages(keyed(xero, books).json) == ["Invoice # must be unique."]


@pytest.mark.parametrize("changes", [{"number": "SDP-2"}, {"query": "unitdp=2"}])
def test_another_request_under_the_key_is_refused(xero, books, changes):
    keyed(xero, books)
    reply = keyed(xero, books, **changes)
    assert reply.status == 400
    assert reply.json["Message"] == "Idempotency Key: key-1 is used with a different request."


def test_the_conflict_can_stand_in_the_elements(xero, books):
    xero.switch(key_conflict_shape="elements")
    keyed(xero, books)
    reply = keyed(xero, books, "SDP-2")
    assert reply.json["Elements"][0]["ValidationErrors"][0]["Message"].endswith(
        "is used with a different request."
    )


@pytest.mark.parametrize(("caches", "status"), [("on", 400), ("off", 200)])
def test_rejections_are_replayed_unless_switched_off(xero, books, caches, status):
    xero.switch(key_caches_rejections=caches)
    element = books.invoice("SDP-1", Contact={"ContactID": books.OLD})
    assert xero.put(element, idempotency_key="k").status == 400
    xero.app.change_row(
        {"kind": "contact", "action": "edit", "id": books.OLD, "values": {"ContactStatus": "ACTIVE"}}
    )
    assert xero.put(element, idempotency_key="k").status == status


def test_internal_errors_are_replayed(xero, books):
    body = {"Invoices": [books.invoice("SDP-1")]}
    call = {"Idempotency-Key": "k"}
    first = xero.call("PUT", "/Invoices", body, call)
    assert first.status == 200
    xero.app.keep_answer(_call(xero, body), xero.app.error_answer(500))
    assert xero.call("PUT", "/Invoices", body, call).status == 500


def _call(xero, body):
    headers = {"Authorization": f"Bearer {xero.token}", "Idempotency-Key": "k"}
    return make_call("PUT", "/api.xro/2.0/Invoices", headers, json.dumps(body).encode())


def test_long_keys_are_refused_by_name_and_length(xero, books):
    reply = keyed(xero, books, key="k" * 129)
    assert reply.status == 400
    assert "129" in reply.json["Message"]
    assert keyed(xero, books, key="k" * 128).status == 200


def test_a_store_that_is_down_processes_nothing(xero, books):
    xero.switch(key_store="down")
    assert keyed(xero, books).status == 500
    assert xero.put(books.invoice("SDP-1")).status == 200, "calls without a key do not need it"


def test_keys_are_ignored_on_get(xero):
    assert xero.get("/Organisation", idempotency_key="k").status == 200
    assert xero.get("/Items", idempotency_key="k").status == 200


@pytest.mark.parametrize(("scope", "status"), [("app", 200), ("token", 400)])
def test_whether_a_key_survives_a_new_token_is_a_switch(xero, books, scope, status):
    xero.switch(key_scope=scope)
    keyed(xero, books)
    xero.sign_in()
    assert keyed(xero, books).status == status
