"""Every check notices what it is there for: each promise is broken by hand, without the program."""

from __future__ import annotations

import itertools
import logging
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from torture.borders import within
from torture.invariants import Books, check_always, check_at_rest
from torture.world import Surprise

RUN = {"do": "run"}
SAME_ID = (
    "UPDATE worklog SET ordinal = 1, worklog_id = (SELECT worklog_id FROM worklog WHERE id = 2) WHERE id = 1"
)


@pytest.fixture
def billed(month):
    """A month at rest, with four worklogs on three invoices."""
    played = month(RUN)
    played.play()
    check_at_rest(played.world, played.people)
    return played


@contextmanager
def noticed(promise):
    with pytest.raises(Surprise) as broken:
        yield
    assert broken.value.what == promise, broken.value


def change_ledger(played, statement) -> None:
    with closing(sqlite3.connect(played.world.here.ledger_path)) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def an_invoice(played):
    return played.people.our_invoices()[0]


def replaced(played, **changes) -> None:
    invoice = an_invoice(played)
    played.world.xero_app.rows.put_invoice(replace(invoice, **changes))


def test_a_worklog_on_two_live_invoices(billed):
    invoice = an_invoice(billed)
    billed.world.xero_app.rows.put_invoice(replace(invoice, invoice_id="another", number="SDP-00099"))
    with noticed("never twice"):
        check_always(billed.world, billed.people)


def test_a_voided_copy_is_no_second_invoice(billed):
    invoice = an_invoice(billed)
    billed.world.xero_app.rows.put_invoice(
        replace(invoice, invoice_id="another", number="SDP-00099", status="VOIDED")
    )
    check_always(billed.world, billed.people)


@pytest.mark.parametrize(
    "changes", [{"reference": "x"}, {"status": "AUTHORISED"}, {"number": "INV-1"}, {"lines": []}]
)
def test_an_invoice_that_the_program_changed(billed, changes):
    books = Books(billed.world)
    replaced(billed, **changes)
    with noticed("untouched"):
        books.check()


def test_a_call_over_the_limit(billed):
    billed.world.xero_app.set_switch("minute_limit", "0")
    ask_xero(billed)
    with noticed("budget"):
        check_always(billed.world, billed.people)


def test_a_call_that_xero_counted_twice_is_not_held_against_the_program(billed):
    billed.world.clock.advance(120)
    billed.world.xero_app.set_switch("minute_limit", "2")
    billed.world.xero.faulty.add_faults([{"kind": "duplicate_delivery", "match": {}, "nth": 1}])
    ask_xero(billed)
    ask_xero(billed)
    assert billed.world.xero.log.since()[-1]["status"] == 429
    check_always(billed.world, billed.people)


def ask_xero(played) -> None:
    borders = played.world.borders
    with within(borders), borders.running(type(borders.process)()):
        borders.session.get(
            "http://xero.test/api.xro/2.0/Organisation",
            headers={"Authorization": f"Bearer {a_token(played)}", "Accept": "application/json"},
            timeout=5,
        )


def a_token(played) -> str:
    text = (played.world.here.folder / "token.json").read_text()
    return text.split('"access_token":"')[1].split('"')[0]


@pytest.mark.parametrize("text", ["key sandbox-authtoken", "Bearer eyJhbGciOi", "said: Confidential note 1"])
def test_a_secret_or_a_customers_text_in_the_log(billed, text):
    logging.getLogger("anything").warning(text)
    with noticed("secrets"):
        check_always(billed.world, billed.people)


def test_a_secret_in_an_error_line(billed):
    billed.world.errors.append("refused with secret sandbox-secret")
    with noticed("secrets"):
        check_always(billed.world, billed.people)


@pytest.mark.parametrize(
    ("statement", "promise"),
    [
        ("UPDATE worklog SET worklog_id = 'gone' WHERE id = 1", "never lost"),
        (SAME_ID, "never lost"),
        ("UPDATE worklog SET state = 'open' WHERE id = 1", "never stuck"),
        ("UPDATE worklog SET state = 'planned' WHERE id = 1", "never stuck"),
        ("UPDATE worklog SET state = 'held', reason_code = NULL WHERE id = 1", "never silent"),
        ("UPDATE worklog SET state = 'held', reason_code = 'TOO_LONG' WHERE id = 1", "never lost"),
        ("UPDATE invoice_line SET live = 0 WHERE id = 1", "never lost"),
        ("UPDATE invoice SET state = 'unknown' WHERE id = 1", "never stuck"),
        ("UPDATE invoice SET state = 'voided' WHERE id = 1", "agreement"),
        ("UPDATE invoice SET xero_id = 'nowhere' WHERE id = 1", "agreement"),
        ("UPDATE invoice SET total = total + 100 WHERE id = 1", "never wrong by a cent"),
        ("UPDATE invoice SET xero_total = total + 100 WHERE id = 1", "never wrong by a cent"),
        ("UPDATE invoice_line SET amount = amount + 100 WHERE id = 1", "never wrong by a cent"),
        ("UPDATE invoice_line SET tax = tax - 100 WHERE id = 1", "never wrong by a cent"),
        ("DELETE FROM event WHERE entity = 'worklog' AND action = 'invoiced'", "audit"),
        ("UPDATE event SET entity_id = entity_id + 50 WHERE entity = 'invoice'", "audit"),
    ],
)  # fmt: skip
def test_a_ledger_that_is_not_true(billed, statement, promise):
    change_ledger(billed, statement)
    with noticed(promise):
        check_at_rest(billed.world, billed.people)


@pytest.mark.parametrize("job", ["accounts", "worklog-types"])
def test_a_first_sync_that_is_never_over(month, job):
    played = month({"do": "run", "job": job})
    played.play()
    assert job in played.jobs
    change_ledger(played, f"UPDATE connection SET {job.replace('-', '_')}_synced_at = NULL")
    with noticed("never stuck"):
        check_at_rest(played.world, played.people, jobs=played.jobs)


def test_an_invoice_in_xero_that_the_ledger_does_not_know(billed):
    invoice = an_invoice(billed)
    billed.world.xero_app.rows.put_invoice(
        replace(invoice, invoice_id="another", number="SDP-00099", lines=[])
    )
    with noticed("agreement"):
        check_at_rest(billed.world, billed.people)


def test_an_invoice_of_another_ledger_for_a_worklog_that_was_deleted_before_it_came_here(billed):
    """Without a number of ours nothing can tell of it, and nothing of it can be billed again."""
    invoice = an_invoice(billed)
    line = {**invoice.lines[0], "Description": "Work\n(SDP request worklog 99999)"}
    billed.world.xero_app.rows.put_invoice(
        replace(invoice, invoice_id="another", number="INV-9001", lines=[line])
    )
    with noticed("agreement"):
        check_at_rest(billed.world, billed.people)
    billed.world.is_disturbed = True
    check_at_rest(billed.world, billed.people)
    billed.world.xero_app.rows.put_invoice(
        replace(invoice, invoice_id="another", number="SDP-00077", lines=[line])
    )
    with noticed("agreement"):
        check_at_rest(billed.world, billed.people)


def test_a_worklog_that_was_moved_and_billed_again(billed):
    invoice = an_invoice(billed)
    text = str(invoice.lines[0]["Description"]).replace("(SDP request ", "(SDP project ")
    assert "SDP project" in text
    again = replace(invoice, invoice_id="another", lines=[{**invoice.lines[0], "Description": text}])
    billed.world.xero_app.rows.put_invoice(again)
    with noticed("never twice"):
        check_always(billed.world, billed.people)


def test_a_cent_more_in_xero(billed):
    invoice = an_invoice(billed)
    line = {**invoice.lines[0], "LineAmount": invoice.lines[0]["LineAmount"] + Decimal("0.01")}
    replaced(billed, lines=[line, *invoice.lines[1:]])
    with noticed("never wrong by a cent"):
        check_at_rest(billed.world, billed.people)


def test_a_worklog_that_never_arrived(billed):
    billed.world.sdp_change("worklog", "add", parent="requests/1001", minutes=5, type_id="1")
    with noticed("never lost"):
        check_at_rest(billed.world, billed.people)


def test_an_account_that_was_made_twice(billed):
    billed.world.sdp_change("account", "add", name="Smith & Sons")
    with noticed("never twice"):
        check_at_rest(billed.world, billed.people)


def test_a_state_that_covers_what_is_not_stored(month):
    played = month(RUN)
    load = played.world._load

    def forgetful(at, *given):
        change = "DELETE FROM worklog WHERE worklog_id = (SELECT min(worklog_id) FROM worklog)"
        check = played.world._check_covered

        def after_a_loss(*arguments):
            with closing(sqlite3.connect(at.ledger_path)) as connection:
                connection.execute("PRAGMA foreign_keys=OFF")
                connection.execute(change)
                connection.commit()
            check(*arguments)

        played.world._check_covered = after_a_loss
        return load(at, *given)

    played.world._load = forgetful
    with noticed("state"):
        played.play()


def test_a_program_that_never_comes_to_rest(month, monkeypatch):
    played = month(RUN)
    moved = itertools.count()
    monkeypatch.setattr("torture.rest._moved", lambda _: next(moved))
    with noticed("never stuck"):
        played.play()
