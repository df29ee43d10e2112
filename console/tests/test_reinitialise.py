"""``msp-xero reinitialise``: what it shows, when it refuses, and what it leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msp_xero.billing import reference
from msp_xero.ledger import foreign
from msp_xero.ledger.foreign import Told
from msp_xero.ledger.models import BillingConnection, Invoice, Worklog, WorklogTypeChoice
from msp_xero_console import reinitialise
from sqlalchemy import update

OLD = "22222222-0000-4000-a000-000000000000"


@pytest.fixture
def swapped(cli, sandbox):
    """The project billed Demo MSP Limited; its credentials lead to the local Xero now."""
    sandbox.connect(cli)
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(
            update(BillingConnection).values(organisation_id=OLD, invoices_refreshed_at=datetime.now(UTC))
        )
        session.execute(
            update(Invoice).where(Invoice.state == "unknown").values(state="created", xero_id="x")
        )
        session.execute(update(Worklog).where(Worklog.state == "planned").values(state="invoiced"))
    return cli


def test_it_shows_what_will_happen_and_does_nothing_unasked(swapped) -> None:
    assert "nobody is here to be asked, so nothing was done; add --yes" in swapped("reinitialise").stderr
    shown = swapped("reinitialise").stdout
    assert f"Billed so far       Demo MSP Limited ({OLD})" in shown
    assert "Billed from now on  " in shown
    assert "stay billed, on invoices of Demo MSP Limited" in shown
    assert "wait, and go to the new organisation" in shown
    assert "Numbers go on at 3" in shown
    assert "linked (" in shown
    data = swapped.data("reinitialise", code=3)
    assert (data["done"], data["before"]["generation"]) == (False, 1)
    assert data["before"]["billed"]["count"] == 3
    assert swapped.data("status")["connection"]["generation"] == 1


def test_nothing_is_started_over_by_a_clock_that_disagrees_with_xeros(swapped, monkeypatch) -> None:
    """By a wrong clock a look of long ago would count as one of today."""
    monkeypatch.setattr(reference, "MOST_CLOCK_ERROR", timedelta(seconds=-1))
    assert "the clock of this machine is 0 minutes" in swapped.refuses("reinitialise", "--yes")
    assert swapped.data("status")["connection"]["generation"] == 1


def test_after_it_history_names_the_organisation_and_the_steps_are_told(swapped, sandbox) -> None:
    text = swapped.says("reinitialise", "--connection", "default", "--yes")
    assert "Done: connection default bills " in text
    assert "meltano run --full-refresh accounts worklog-types" in text
    assert sandbox.writes() == []
    connection = swapped.data("status")["connection"]
    assert (connection["generation"], connection["organisation_id"] == OLD) == (2, False)
    assert "Demo MSP Limited" in swapped.says("invoices", "list")
    assert "Billed by  Demo MSP Limited" in swapped.says("invoices", "show", "SDP-00001")
    assert "Demo MSP Limited" in swapped.says("worklogs", "show", "101")
    assert swapped.data("invoices", "show", "SDP-00001")["invoice"]["organisation"] == "Demo MSP Limited"
    assert swapped.data("accounts", "list") == []
    assert {row["job"] for row in swapped.data("status")["runs"]} >= {"reinitialise"}
    assert "already: there is nothing to start over" in swapped.refuses("reinitialise", "--yes")


def test_billing_again_shows_count_time_and_money_first(swapped) -> None:
    shown = swapped("reinitialise", "--rebill-from", "2026-11-01").stdout
    assert "of these are billed again: work from 2026-11-01 on         3" in shown
    assert "void there what is billed again, or customers get it twice" in shown
    done = swapped.data("reinitialise", "--rebill-from", "2026-11-04", "--yes")
    assert (done["done"], done["before"]["again"]["count"]) == (True, 0)


def test_it_refuses_while_an_outcome_is_unknown(cli, sandbox) -> None:
    sandbox.connect(cli)
    error = cli.refuses("reinitialise", "--yes")
    assert "SDP-00002 is under way: it is not certain yet whether Demo MSP Limited has them" in error
    assert "`msp-xero reconcile`" in error


def test_there_is_nothing_to_start_over_before_the_first_run(empty) -> None:
    assert "there is no ledger of connection default yet" in empty.refuses("reinitialise", "--yes")
    assert "so they cannot tell to which organisation other goes" in empty.refuses(
        "reinitialise", "--connection", "other"
    )


def test_doctor_and_push_name_the_command(swapped) -> None:
    assert "run `msp-xero reinitialise`" in swapped.refuses("invoices", "push")
    assert "msp-xero reinitialise" in swapped.refuses("invoices", "preview")
    assert "`msp-xero reinitialise`" in swapped("doctor").stdout


def test_it_names_what_a_person_has_to_know(swapped) -> None:
    with swapped.ledger() as ledger, ledger.write() as session:
        session.add(
            WorklogTypeChoice(
                connection_id=ledger.connection_id,
                type_id="77",
                type_name="Internal meeting",
                ignored=True,
                decided_at=ledger.clock.now(),
            )
        )
        session.execute(update(Worklog).where(Worklog.worklog_id == "102").values(work_date=None))
    shown = " ".join(swapped("reinitialise", "--rebill-from", "2026-11-01").stdout.split())
    assert "Last compared with Demo MSP Limited, 20" in shown
    assert "Only some lines of 1 invoice are billed again: SDP-00001. Credit those lines there" in shown
    assert "Worklog types that people ignored stay ignored: Internal meeting." in shown
    with swapped.ledger() as ledger, ledger.write() as session:
        session.execute(update(Invoice).where(Invoice.number == "SDP-00001").values(state="voided"))
    shown = " ".join(swapped("reinitialise", "--rebill-from", "2026-11-01").stdout.split())
    assert "of these stay unbilled, on invoices voided or deleted there 2" in shown
    assert "only where a person releases them: `msp-xero invoices release NUMBER`" in shown


def test_an_old_look_at_the_organisation_needs_a_persons_word(swapped) -> None:
    with swapped.ledger() as ledger, ledger.write() as session:
        session.execute(
            update(BillingConnection).values(invoices_refreshed_at=datetime(2026, 1, 1, tzinfo=UTC))
        )
    error = swapped("reinitialise", "--yes").stderr
    assert "has not been compared with Demo MSP Limited since 2026-01-01 00:00 UTC" in error
    assert "add --not-compared" in error
    assert swapped.data("reinitialise", code=3)["done"] is False
    assert swapped.data("reinitialise", "--yes", "--not-compared")["done"] is True


def tell_of_an_unknown_invoice(cli) -> None:
    with cli.ledger() as ledger, ledger.settling() as fence:
        theirs = Told("theirs", "INV-9", "c1", "request", "105", "0" * 64, is_ours=False)
        foreign.retell(ledger, fence, {"theirs"}, [theirs])


def test_what_a_run_finds_while_a_person_reads_is_not_passed_over(swapped, monkeypatch) -> None:
    monkeypatch.setattr(reinitialise, "_draw", lambda *_: tell_of_an_unknown_invoice(swapped))
    assert "may bill worklogs that wait here (105)" in swapped.refuses("reinitialise", "--yes")
    with swapped.ledger() as ledger:
        assert ledger.generation == 1


def test_it_refuses_while_an_unknown_invoice_may_bill_what_waits(swapped) -> None:
    tell_of_an_unknown_invoice(swapped)
    error = swapped.refuses("reinitialise", "--yes", "--not-compared")
    assert "does not know (INV-9) and that may bill worklogs that wait here (105)" in error
    swapped.says("rebuild", "--another", "105")
    assert swapped.data("reinitialise", "--yes")["done"] is True


def test_it_shows_a_look_that_stopped_and_refuses_after_it(swapped) -> None:
    with swapped.ledger() as ledger, ledger.write() as session:
        session.execute(update(BillingConnection).values(look_stopped_at=datetime(2026, 11, 3, tzinfo=UTC)))
    refused = swapped("reinitialise", "--yes")
    assert "the look of 2026-11-03 00:00 UTC stopped" in " ".join(refused.stdout.split())
    assert "stopped, so what waits may be billed there already" in refused.stderr
    assert swapped.data("reinitialise", "--yes", "--not-compared")["done"] is True


def test_what_nobody_can_ask_counts_as_billed_and_is_released_on_a_persons_word(cli, sandbox) -> None:
    sandbox.connect(cli)
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(
            update(BillingConnection).values(organisation_id=OLD, invoices_refreshed_at=datetime.now(UTC))
        )
    options = ("--count-as-billed", "SDP-00002", "--yes")
    assert "--count-as-billed SDP-00002" in cli.refuses("reinitialise", "--yes")
    assert "count as billed by Demo MSP Limited, on your word" in cli.says("reinitialise", *options)
    assert "counted_as_billed" in str(cli.data("invoices", "show", "SDP-00002")["history"])
    assert "--voided-there" in cli.refuses("invoices", "release", "SDP-00002")
    assert cli.data("invoices", "release", "SDP-00002", "--voided-there")["released"] == 1
