"""``msp-xero invoices``: list, show, preview, push; the last two against the local Xero."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msp_xero.ledger.models import ForeignLine, Invoice, Worklog
from msp_xero.ledger.withdrawing import withdraw_billed
from msp_xero_console import billing
from sqlalchemy import select, update

from console.tests.conftest import invoice, invoice_line, plan_the_second


def test_list(cli) -> None:
    assert [row["number"] for row in cli.data("invoices", "list")] == ["SDP-00002", "SDP-00001"]
    text = cli.says("invoices", "list")
    assert "SDP-00001  2026-11-22  Kōwhai Dental        2  2:00  NZD 230.00  created  DRAFT\n" in text
    assert "2 of 2 invoices: 1 created NZD 230.00; 1 unknown NZD 172.50." in text


def test_list_by_state_and_page(cli) -> None:
    assert [row["number"] for row in cli.data("invoices", "list", "--state", "created")] == ["SDP-00001"]
    assert "For more: --before 2" in cli.says("invoices", "list", "--limit", "1")
    assert [row["number"] for row in cli.data("invoices", "list", "--before", "2")] == ["SDP-00001"]
    assert cli.says("invoices", "list", "--state", "paid") == "No invoice is in this state.\n"


def test_empty(empty) -> None:
    assert "No invoices yet. `msp-xero invoices preview`" in empty.says("invoices", "list")
    assert empty.data("invoices", "list") == []


def test_show_leads_from_the_invoice_to_its_worklogs(cli) -> None:
    text = cli.says("invoices", "show", "sdp-00001")
    link = (
        "https://go.xero.com/organisationlogin/default.aspx?shortcode=!Qj35V"
        "&redirecturl=/AccountsReceivable/Edit.aspx?InvoiceID=0f8e1a52-7a50-4ee7-9d5c-4d2f2c5a1b11"
    )
    for part in (
        "State      created (DRAFT): it is in Xero.",
        "Subtotal   NZD 200.00",
        "Tax        NZD 30.00",
        "Total      NZD 230.00",
        f"Open in Xero: {link}\n",
        "   1  101      2026-11-03  Ana Pérez   REMOTE    1.5  100.00  150.00  22.50",
        "   2  102      2026-11-03  Ana Pérez   REMOTE    0.5  100.00   50.00   7.50",
    ):
        assert part in text
    data = cli.data("invoices", "show", "SDP-00001")
    assert [line["worklog_id"] for line in data["lines"]] == ["101", "102"]
    assert data["link"] == link


def test_show_of_an_unsettled_one_says_what_happens_next(cli) -> None:
    text = cli.says("invoices", "show", "SDP-00002")
    assert "State      unknown: Xero's answer was lost. The next run looks the number up" in text
    assert "Open in Xero" not in text


@pytest.fixture
def billable(cli, sandbox):
    """The filled project, connected to the local Xero, with one account that can be billed there."""
    return sandbox.connect(cli)


def test_preview_shows_what_would_come_and_writes_nothing(billable, sandbox) -> None:
    before = billable.data("status")
    text = billable.says("invoices", "preview")
    assert "The next push would create\n" in text
    assert "1 invoice" in text
    assert "Numbers are given when they are pushed" in text
    assert "ACCOUNT_UNMAPPED" in text
    assert "TYPE_MISSING" in text
    data = billable.data("invoices", "preview")
    (one,) = data["invoices"]
    assert (one["lines"], one["minutes"], one["subtotal"]) == (4, 360, Decimal("600.00"))
    assert {row["code"]: row["lines"] for row in data["held"]} == {"ACCOUNT_UNMAPPED": 2, "TYPE_MISSING": 1}
    assert billable.data("status") == before
    assert sandbox.writes() == []


def test_push_creates_the_invoices_and_says_what_waits(billable, sandbox) -> None:
    result = billable("invoices", "push")
    assert result.exit_code == 3, result.output
    assert "4 worklogs invoiced on 1 invoice (NZD 690.00)" in result.stdout
    assert "ACCOUNT_UNMAPPED" in result.stdout
    assert len(sandbox.writes()) == 1
    listed = billable.data("worklogs", "list", "--state", "invoiced")
    assert {row["worklog_id"] for row in listed} >= {"104", "109"}
    again = billable.data("invoices", "push", code=3)
    assert again["invoices"] == 0
    assert len(sandbox.writes()) == 1
    runs = {run["job"]: run for run in billable.data("status")["runs"]}
    assert runs["push"]["outcome"] == "needs_person"
    assert runs["push"]["actor"].startswith("person:")
    assert runs["worklogs"]["actor"] == "target-xero-invoices"


def test_one_account_first(billable, sandbox) -> None:
    """A first push that cannot hurt: one account, and nothing of the others."""
    other = "Rimu & Co [Ltd]"
    assert billable.data("invoices", "preview", "--account", other)["invoices"] == []
    told = billable.data("invoices", "push", "--account", other, code=3)
    assert told["held"] == {"ACCOUNT_UNMAPPED": 3}
    assert sandbox.writes() == []
    push = next(run for run in billable.data("status")["runs"] if run["job"] == "push")
    assert push["counts"]["held"] == {"ACCOUNT_UNMAPPED": 3, "TYPE_MISSING": 1}
    (one,) = billable.data("invoices", "preview", "--account", "7")["invoices"]
    assert one["lines"] == 4
    said = billable.says("invoices", "push", "--account", "kōwhai dental", code=3)
    assert "4 worklogs invoiced on 1 invoice" in said
    error = billable.refuses("invoices", "push", "--account", "Nobody")
    assert "there is no account with worklogs 'Nobody'; `msp-xero worklogs list` shows them" in error


@pytest.mark.parametrize("account", [(), ("--account", "7")])
@pytest.mark.parametrize("command", [("invoices", "push"), ("invoices", "preview"), ("reconcile",)])
def test_where_there_is_no_ledger_nothing_is_billed_and_none_is_made(empty, command, account) -> None:
    account = account if command[0] == "invoices" else ()
    assert "msp-xero: error: there is no ledger yet at sqlite:///" in empty.refuses(*command, *account)
    assert not (empty.folder / ".msp-xero").exists()


def test_push_when_the_job_is_switched_off(billable, sandbox) -> None:
    path = billable.folder / "meltano.yml"
    path.write_text(path.read_text().replace("account_code:", "worklogs_enabled: false, account_code:"))
    assert "switched off (worklogs_enabled: false)" in billable.says("invoices", "push")
    assert billable.data("invoices", "push") == {"outcome": "disabled"}
    assert "No run creates them until it is switched on" in billable.says("invoices", "preview")
    assert "switched off by worklogs_enabled" in billable.says("status")
    assert billable.data("status")["switched_off"] == {"worklogs": "worklogs_enabled"}
    assert sandbox.writes() == []


def test_a_wrong_secret_is_one_line_and_a_failed_run(billable) -> None:
    path = billable.folder / "meltano.yml"
    path.write_text(path.read_text().replace("sandbox-secret", "wrong"))
    assert "msp-xero: error: Xero: " in billable.refuses("invoices", "preview")
    assert "msp-xero: error: Xero: " in billable.refuses("invoices", "push")
    runs = {run["job"]: run for run in billable.data("status")["runs"]}
    assert runs["push"]["outcome"] == "failed"
    assert runs["worklogs"]["outcome"] == "needs_person"


def test_what_another_invoice_bills_stays_billed_when_one_is_released(cli) -> None:
    """A rebuild can find a worklog on two invoices; one of them counts."""
    with cli.ledger() as ledger, ledger.write() as session:
        first = session.scalar(select(Invoice).where(Invoice.number == "SDP-00001"))
        first.state, first.xero_status = "deleted", "DELETED"
        rows = session.scalars(select(Worklog).where(Worklog.worklog_id == "101")).all()
        second = invoice(ledger, "INV-0100", "created", rows)
        second.minutes = 0
        session.add(second)
        session.flush()
        double = invoice_line(second, rows[0], 1)
        double.live = False
        session.add(double)
        minutes = rows[0].minutes
    said = cli.says("invoices", "release", "SDP-00001")
    assert "1 worklog of invoice SDP-00001 can be billed again." in said
    assert "Still billed, by another invoice that stands: 1 worklog." in said
    assert "INV-0100" in cli.says("worklogs", "show", "101")
    with cli.ledger() as ledger, ledger.read() as session:
        assert session.scalar(select(Invoice.minutes).where(Invoice.number == "INV-0100")) == minutes


def test_what_a_person_put_on_another_invoice_stays_billed_by_that_one_which_is_named(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        first = session.scalar(select(Invoice).where(Invoice.number == "SDP-00001"))
        first.state, first.xero_status = "deleted", "DELETED"
        other = session.scalars(select(Worklog).where(Worklog.worklog_id == "102")).all()
        second = invoice(ledger, "SDP-00100", "created", other)
        second.xero_id = "i-100"
        session.add(second)
        told = {"number": second.number, "contact_id": None, "module": "request", "worklog_id": "101"}
        common = {"connection_id": ledger.connection_id, "generation": ledger.generation}
        session.add(
            ForeignLine(**common, **told, invoice_id=second.xero_id, digest="another text", is_ours=True)
        )
    assert "stays billed by that one" in cli.says("status")
    said = cli.says("invoices", "release", "SDP-00001")
    assert "1 worklog of invoice SDP-00001 can be billed again." in said
    assert "Still billed, by another invoice that stands: 1 worklog." in said
    assert "A person has put lines of it on SDP-00100 in Xero." in said
    assert "SDP-00100" in cli.says("worklogs", "show", "101")


def test_what_xero_does_not_have_cannot_be_released_and_says_so(cli) -> None:
    assert "the next run finds out whether Xero has it" in cli.refuses("invoices", "release", "SDP-00002")
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(update(Invoice).where(Invoice.number == "SDP-00002").values(state="rejected"))
    error = cli.refuses("invoices", "release", "SDP-00002")
    assert "SDP-00002 is not in Xero, so there is nothing to release" in error


def test_what_was_taken_back_was_not_refused_by_xero(cli) -> None:
    plan_the_second(cli)
    with cli.ledger() as ledger, ledger.settling() as fence:
        withdraw_billed(ledger, fence, [("request", "103")])
    shown = cli.says("invoices", "show", "SDP-00002")
    assert "rejected: it is not in Xero; its worklogs wait for another invoice" in shown
    assert "another invoice there bills some of its worklogs" in shown
    worklog = cli.says("worklogs", "show", "103")
    assert "open: the next run bills it" in worklog
    assert "taken back: its invoice was planned, and is not in Xero" in worklog


def test_a_conflict_is_not_hidden_behind_what_is_planned(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        taken = {"state": "conflict", "reason_code": "NUMBER_CONFLICT", "reason": "It is taken."}
        session.execute(update(Invoice).where(Invoice.number == "SDP-00002").values(**taken))
        row = session.scalars(select(Worklog).limit(1)).one()
        session.add_all(invoice(ledger, f"SDP-{n:05}", "planned", [row]) for n in range(3, 1010))
    assert "SDP-00002 is conflict" in cli.says("status")


def test_the_preview_tells_of_what_is_planned_already(cli, sandbox) -> None:
    sandbox.connect(cli)
    with cli.ledger() as ledger, ledger.write() as session:
        first = update(Invoice).where(Invoice.number == "SDP-00001")
        session.execute(first.values(state="planned"))
    text = cli.says("invoices", "preview")
    assert "Planned already: 1 invoice over NZD 230.00. The next push sends them" in text
    assert "On their way: 1 invoice over NZD 172.50, unknown. The next push looks them up first." in text
    way = {total["state"]: total["total"] for total in cli.data("invoices", "preview")["on_their_way"]}
    assert way == {"planned": Decimal("230.00"), "unknown": Decimal("172.50")}


def test_a_push_that_dies_of_something_unexpected_has_failed(cli, sandbox, monkeypatch) -> None:
    sandbox.connect(cli)

    def broken(*_arguments, **_options):
        raise PermissionError(13, "Permission denied", "xero-token.json")

    monkeypatch.setattr(billing, "settle", broken)
    assert cli("invoices", "push").exit_code == 1
    run = next(run for run in cli.data("status")["runs"] if run["job"] == "push")
    assert run["outcome"] == "failed"
    assert run["error"].startswith("unexpected PermissionError at broken")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("line_amount_types", "inclusive"),
        ("invoice_status", "authorised"),
        ("due_days", "-400"),
        ("concurrency", "0"),
        ("push", '"false"'),
        ("number_prefix", "5"),
    ],
)
@pytest.mark.parametrize("command", ["push", "preview"])
def test_a_setting_that_a_run_refuses_is_refused_by_hand_too(cli, command, name, value) -> None:
    path = cli.folder / "meltano.yml"
    path.write_text(path.read_text().replace("account_code:", f"{name}: {value}, account_code:"))
    assert f"target-xero-invoices: Setting {name}: " in cli.refuses("invoices", command)


@pytest.mark.parametrize(
    "command", [("invoices", "preview"), ("invoices", "push"), ("reconcile",), ("rebuild",)]
)
def test_a_setting_that_is_missing_is_named_with_its_plugin_and_its_variable(cli, command) -> None:
    path = cli.folder / "meltano.yml"
    path.write_text(path.read_text().replace("client_id: client, ", ""))
    said = cli.refuses(*command)
    assert said.startswith(
        "msp-xero: error: target-xero-invoices: Setting client_id: it is required. Example: "
    )
    assert said.endswith("Set it in meltano.yml, or TARGET_XERO_INVOICES_CLIENT_ID in .env.\n")
