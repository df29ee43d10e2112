"""An invoice that is answered 404 is set aside, and stops neither the others nor what else is to be told."""

from __future__ import annotations

import pytest
from msp_xero.billing.recover import take_back
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.errors import LedgerError, Missing
from msp_xero.ledger import pushing, views
from msp_xero.ledger.models import Worklog
from msp_xero.ledger.rows import WorklogFilter
from msp_xero.xero.errors import Blocked, FormRefused
from sqlalchemy import select

from core.tests.billing.test_strangers import PUT

DAY = 86_400
ONE_BY_ONE = {"batch_size": 1, "concurrency": 1}


def no_such_row(contains, times=10_000):
    return {
        "kind": "status",
        "status": 404,
        "body": "",
        "match": {**PUT, "contains": contains},
        "times": times,
    }


@pytest.mark.parametrize("bad", [(0, 1), (1, 2), (4, 5), (0,), (5,)])
def test_contacts_that_are_always_answered_so_stop_no_other_account(sqlite_world, bad):
    world = sqlite_world
    world.link_accounts_from(3, 6)
    world.fail(*(no_such_row(world.contacts[number]["ContactID"]) for number in bad))
    days, good = 5, 6 - len(bad)
    for day in range(days):
        world.deliver(*(world.line(n, account=n % 6) for n in range(6 + 6 * day)))
        try:
            world.settle()
        except Missing as error:
            assert "`msp-xero invoices show SDP-" in str(error)  # noqa: PT017 - only when it is the last one of a run
        world.clock.advance(DAY)
    assert world.states()["invoiced"] == good * days
    assert "REJECTED_BY_XERO" in set(world.reasons().values())


def test_a_404_that_is_over_when_it_is_tried_again_refuses_nobody(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail(no_such_row("SDP-00002", times=1))
    settled = world.settle(**ONE_BY_ONE)
    assert (settled.worklogs, settled.rejected) == (9, 0)
    world.assert_exactly_once(9)


def test_an_address_that_leads_nowhere_is_not_asked_for_ever(sqlite_world):
    world = sqlite_world
    world.link_accounts_from(3, 12)
    world.deliver(*(world.line(n, account=n) for n in range(12)))
    world.fail(no_such_row(""))
    with pytest.raises(Missing):
        world.settle(**ONE_BY_ONE)
    assert world.writes() == 6
    world.recover()
    world.settle()
    world.assert_exactly_once(12)


def test_a_number_that_another_ledger_has_taken_is_told_all_the_same(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail(no_such_row("SDP-00002", times=1))
    client = world.client()
    send = client.put_invoices

    def send_what_the_other_has_sent(body, *, idempotency_key):
        if b"SDP-00003" in body:
            send(body, idempotency_key=f"other-{idempotency_key}")
        return send(body, idempotency_key=idempotency_key)

    client.put_invoices = send_what_the_other_has_sent
    with pytest.raises(LedgerError, match="Xero already has SDP-00003"):
        settle(world.ledger, client, BillingSettings(**ONE_BY_ONE))


def test_a_stop_signal_ends_the_push_as_a_stop(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail(no_such_row("SDP-00002", times=1))
    ended = settle(
        world.ledger,
        world.client(),
        BillingSettings(**ONE_BY_ONE),
        stop_requested=lambda: world.writes() == 2,
    )
    assert (ended.interrupted, ended.invoices, ended.unsent) == (True, 1, 2)


def test_lost_answers_are_looked_up_all_the_same(sqlite_world):
    world = sqlite_world
    world.link_accounts_from(3, 8)
    world.deliver(*(world.line(n, account=n) for n in range(8)))
    lost = {"kind": "reset_after_commit", "times": 1}
    world.fail(
        no_such_row("SDP-00002"),
        {**lost, "match": {**PUT, "contains": "SDP-00003"}},
        {**lost, "match": {**PUT, "contains": "SDP-00004"}},
    )
    settled = world.settle(**ONE_BY_ONE)
    assert (settled.worklogs, settled.rejected) == (7, 1)


def test_a_crash_leaves_it_as_what_was_never_sent(sqlite_world, monkeypatch):
    world = sqlite_world
    world.deliver(*(world.line(n, account=n % 2) for n in range(4)))
    world.fail(no_such_row("SDP-00001"))
    send_next, calls = pushing.mark_sending, []

    def die_at_the_second(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise RuntimeError("killed")
        return send_next(*arguments)

    monkeypatch.setattr(pushing, "mark_sending", die_at_the_second)
    with pytest.raises(RuntimeError):
        world.settle(**ONE_BY_ONE)
    monkeypatch.undo()
    with world.ledger.read() as session:
        row = session.scalars(select(Worklog.id).where(Worklog.state == "planned")).first()
    assert take_back(world.ledger, world.client(), row, number_prefix="SDP-")


def blocked(contains, times=10_000, status=403, body="<html>Access Denied</html>"):
    return {**no_such_row(contains, times), "status": status, "body": body}


def test_one_text_that_a_firewall_refuses_stops_no_other_account(world):
    world.deliver(world.line(0, account=0, description="ran cmd.exe /c dir ../../windows"))
    world.fail(blocked("cmd.exe"))
    for day in range(3):
        world.deliver(*(world.line(n, account=n % 3) for n in range(1, 6 + 3 * day)))
        world.settle(**ONE_BY_ONE)
        world.clock.advance(DAY)
    assert world.states()["invoiced"] >= 8
    [words] = {row.reason for row in views.list_worklogs(world.ledger, WorklogFilter(states=("held",)))}
    assert "between here and Xero, such as a proxy or a firewall, answered twice with 403" in words
    world.deliver(world.line(0, account=0, description="listed a folder"))
    world.recover()
    world.settle()
    world.assert_exactly_once(12)


def test_a_firewall_that_refuses_every_call_refuses_no_invoice(sqlite_world):
    world = sqlite_world
    world.link_accounts_from(3, 12)
    world.deliver(*(world.line(n, account=n) for n in range(12)))
    world.fail(blocked(""))
    with pytest.raises(Blocked, match="between here and Xero refuses this call: its 403 is not Xero's own"):
        world.settle(**ONE_BY_ONE)
    assert world.writes() == 6
    world.recover()
    world.settle()
    world.assert_exactly_once(12)


@pytest.mark.parametrize("status", [405, 412, 415])
def test_calls_that_are_refused_whatever_they_say_refuse_no_invoice(world, status):
    world.deliver(*(world.line(n) for n in range(9)))
    world.fail(blocked("", status=status))
    with pytest.raises(FormRefused, match=f"was refused with {status}, whatever it says: look at what is"):
        world.settle()
    assert (world.writes(), world.states()) == (1, {"planned": 9})
    world.recover()
    world.settle()
    world.assert_exactly_once(9)
