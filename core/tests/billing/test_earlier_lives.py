"""Invoices of an earlier life, voided or deleted in Xero, with the very number and marker of ours."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from msp_xero.errors import LedgerError

from core.tests.billing.test_another_organisation import open_another_organisation, reinitialise
from core.tests.billing.test_strangers import PUT, settle_later


def test_voided_trial_invoices_swallow_no_hours(begun_anew):
    world = begun_anew("AUTHORISED", "void")
    world.settle()
    assert set(world.reasons().values()) <= {"NUMBER_CONFLICT"}
    world.clock.advance(86_400)
    world.settle()
    world.assert_exactly_once(6)


def test_a_deleted_trial_invoice_is_not_taken_for_the_answer_that_was_lost(begun_anew):
    world = begun_anew("DRAFT", "delete")
    world.fail({"kind": "reset_before", "match": PUT})
    assert world.settle().invoices == 0
    world.recover()
    assert world.settle().worklogs == 6
    world.assert_exactly_once(6)
    # A deleted draft has no number (xero-api §4.2): ours go out under those that they were planned with.
    assert sorted(row["InvoiceNumber"] for row in world.ours()) == ["SDP-00001", "SDP-00002", "SDP-00003"]


def test_a_deleted_holder_of_the_number_spares_no_second_look(sqlite_world):
    world = sqlite_world
    trial = world.write_by_hand("SDP-00001")
    world.person("invoice", "delete", trial["InvoiceID"])
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0))
    # Xero commits four seconds after our patience ends.
    world.fail({"kind": "slow", "seconds": 104, "commit": "after", "match": PUT, "nth": 1})
    assert world.settle().worklogs == 1
    world.assert_exactly_once(1)


def test_under_the_number_of_a_deleted_draft_ours_may_still_arrive(sqlite_world, lose_the_ledger):
    world = sqlite_world
    world.deliver(world.line(0))
    world.settle()
    world.person("invoice", "delete", world.ours()[0]["InvoiceID"])
    lose_the_ledger(world)  # within the minute
    world.deliver(world.line(0), world.line(3))
    # Xero commits when the look-up has long been made, and is slow to say that the number is taken, too.
    world.fail({"kind": "slow", "seconds": 400, "commit": "after", "match": PUT, "times": 3})
    assert world.settle().rejected == 0
    world.recover()
    world.settle()
    world.assert_exactly_once(2)


def copy(source, target):
    """Copy a ledger over another one, as a backup that is made or put back."""
    with (
        contextlib.closing(sqlite3.connect(source)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def test_what_a_person_voided_is_not_billed_again_by_an_old_backup(sqlite_world, tmp_path):
    world = sqlite_world
    world.deliver(*(world.line(n, account=0) for n in range(3)))
    path, backup = world.ledger.engine.url.database, tmp_path / "backup.db"
    copy(path, backup)
    world.settle(invoice_status="AUTHORISED")
    [sent] = world.ours()
    world.clock.advance(3600)
    world.person("invoice", "void", sent["InvoiceID"])
    world.settle(invoice_status="AUTHORISED")
    world.clock.advance(86_400)
    copy(backup, path)
    with pytest.raises(LedgerError, match="Xero already has SDP-00001"):
        world.settle(invoice_status="AUTHORISED")
    world.clock.advance(90_000)
    world.settle(invoice_status="AUTHORISED")
    assert (world.ours(), world.states()) == ([], {"invoiced": 3})


@pytest.fixture
def rehearsed(sqlite_world, tmp_path):
    """A function: a move to another organisation is tried with a copy of the ledger, and then done."""
    world = sqlite_world

    def move():
        reinitialise(world)
        world.link_accounts()
        world.link_types()

    def rehearsed(status, action):
        world.deliver(world.line(0, account=0))
        world.settle()
        world.deliver(world.line(3, account=0))
        world.clock.advance(3600)
        path, real = world.ledger.engine.url.database, tmp_path / "real.db"
        copy(path, real)
        open_another_organisation(world)
        move()
        world.settle(invoice_status=status)
        [trial] = world.ours()
        world.clock.advance(3600)
        world.person("invoice", action, trial["InvoiceID"])
        world.clock.advance(3600)
        copy(real, path)
        world.ledger = world.open_ledger()
        move()
        return world

    return rehearsed


def test_a_voided_rehearsal_of_a_move_swallows_no_hours(rehearsed):
    world = rehearsed("AUTHORISED", "void")
    settle_later(world)
    settle_later(world, hours=24)
    assert [row["InvoiceNumber"] for row in world.ours()] == ["SDP-00003"]
    assert world.states() == {"invoiced": 2}


def test_a_deleted_rehearsal_of_a_move_is_not_taken_for_the_answer_that_was_lost(rehearsed):
    world = rehearsed("DRAFT", "delete")
    world.fail({"kind": "reset_before", "match": PUT})
    assert world.settle().invoices == 0
    world.recover()
    assert world.settle().worklogs == 1
    assert [row["InvoiceNumber"] for row in world.ours()] == ["SDP-00002"]
    assert world.states() == {"invoiced": 2}


def test_what_was_voided_after_a_move_is_not_billed_again_by_an_old_backup(rehearsed, tmp_path):
    world = rehearsed("DRAFT", "delete")
    path, backup = world.ledger.engine.url.database, tmp_path / "backup.db"
    copy(path, backup)
    world.settle(invoice_status="AUTHORISED")
    [sent] = world.ours()
    world.clock.advance(3600)
    world.person("invoice", "void", sent["InvoiceID"])
    copy(backup, path)
    with pytest.raises(LedgerError, match="Xero already has SDP-00002"):
        world.settle(invoice_status="AUTHORISED")
    settle_later(world)
    assert (world.ours(), world.states()) == ([], {"invoiced": 2})
