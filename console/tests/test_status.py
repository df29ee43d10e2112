"""``msp-xero status``."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msp_xero.ledger.models import BillingConnection, Invoice, PushBatch, Worklog
from msp_xero.ledger.runs import finish_run, start_run
from msp_xero_console.words import NOTHING
from sqlalchemy import select, update


def test_the_places_add_up_to_what_was_delivered(cli) -> None:
    worklogs = cli.data("status")["worklogs"]
    places = [worklogs[state] for state in ("invoiced", "planned", "open", "held", "excluded")]
    for figure in ("count", "minutes", "money", "unpriced"):
        assert sum(place[figure] for place in places) == worklogs["delivered"][figure]
    assert worklogs["delivered"] == {
        "count": 11,
        "minutes": 930,
        "money": Decimal("1100.00"),
        "unpriced": 3,
    }


def test_reasons_come_with_a_sentence_and_somebody_who_can_act(cli) -> None:
    reasons = {row["code"]: row for row in cli.data("status")["worklogs"]["reasons"]}
    assert reasons["ACCOUNT_UNMAPPED"] == {
        "state": "held",
        "code": "ACCOUNT_UNMAPPED",
        "sentence": "The account is not linked to a Xero contact.",
        "who": "Billing person",
        "how": "Link it: `msp-xero accounts link CONTACT ACCOUNT`. `msp-xero accounts list --accounts` shows "
        "all such accounts, `msp-xero accounts list --unmapped` the contacts that are free.",
        "count": 2,
        "minutes": 180,
        "money": 0,
        "unpriced": 2,
    }
    assert reasons["EXCLUDED_BY_RULE"]["state"] == "excluded"


def test_the_screen(cli) -> None:
    text = cli.says("status")
    for line in (
        "Xero              Demo MSP Limited (NZD)",
        "ServiceDesk Plus  https://sdp.example.com",
        "Connection        default, from meltano.yml, environment demo",
        "1 worklog changed after billing, which is never sent again: see `msp-xero worklogs list --changed`.",
        "created         1  NZD 200.00  NZD 30.00  NZD 230.00",
    ):
        assert line in text
    table = [" ".join(one.split()) for one in text.splitlines()]
    for line in (
        "Invoiced 2 2:00 NZD 200.00",
        "Held 3 4:30 no price yet",
        "Excluded 1 1:30 NZD 150.00",
        "Delivered 11 15:30 NZD 1,100.00 and 3 without a price",
    ):
        assert line in table
    assert "3 worklogs without a price yet, whose money is in none of these sums." in text
    assert "4,870 left, as seen 2026-11-22" in text
    assert "SDP-00002 is unknown: Xero's answer was lost. The next run looks the number up" in text
    assert "worklog-types  never" in text
    assert "1 invoice, 2 worklogs, 2 held, 2:00 hours, NZD 230.00" in text
    assert "Xero: the access token is not accepted (GET /Contacts)." in text


def test_what_has_no_price_is_told_beside_the_money_of_its_reason(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(update(Worklog).where(Worklog.worklog_id == "105").values(money=Decimal("31.50")))
    (row,) = [line for line in cli.says("status").splitlines() if line.startswith("ACCOUNT_UNMAPPED")]
    assert " ".join(row.split()).startswith("ACCOUNT_UNMAPPED 2 3:00 NZD 31.50 and 1 without a price The")


def test_check_ends_with_3_when_something_needs_a_person(cli) -> None:
    assert cli("status").exit_code == 0
    assert cli.data("status", "--check", code=3)["needs_person"] is True


def test_nothing_has_run_yet(empty) -> None:
    text = empty.says("status", "--check", code=3)
    assert "Xero              not seen yet" in text
    assert "ServiceDesk Plus  https://sdp.example.com" in text
    place = f"sqlite:///{empty.folder}/.msp-xero/ledger.db"
    assert f"there is no ledger yet at {place}; the first run makes it: `meltano run accounts`." in text
    assert ["accounts", "never", NOTHING, NOTHING, "meltano", "run", "accounts"] in [
        line.split() for line in text.splitlines()
    ]
    assert "No worklogs yet. Run `meltano run worklogs`." in text
    assert "No invoices yet." in text
    data = empty.data("status")
    assert data["worklogs"]["delivered"]["count"] == 0
    assert data["runs"] == []
    assert data["no_ledger"] == f"there is no ledger yet at {place}"
    assert data["needs_person"] is True
    assert not (empty.folder / ".msp-xero").exists()


MISTYPED = {
    "file": ("sqlite:///{}/typo/typo.db", "there is no ledger yet at sqlite:///"),
    "connection": ("sqlite:///{}/.msp-xero/ledger.db", "has no connection acme yet"),
}


@pytest.mark.parametrize(("url", "seen"), MISTYPED.values(), ids=MISTYPED)
def test_a_mistyped_ledger_is_not_all_well(cli, monkeypatch, url, seen) -> None:
    path = cli.folder / "meltano.yml"
    path.write_text(path.read_text().replace("account_code:", "connection: acme, account_code:"))
    monkeypatch.setenv("MSP_XERO_LEDGER_URL", url.format(cli.folder))
    text = " ".join(cli.says("status", "--check", code=3).split())
    assert seen in text
    assert "(MSP_XERO_LEDGER_URL)" in text
    assert "If jobs have run, correct MSP_XERO_LEDGER_URL" in text
    assert not (cli.folder / "typo").exists()


def test_a_folder_is_no_ledger(cli, monkeypatch) -> None:
    monkeypatch.setenv("MSP_XERO_LEDGER_URL", f"sqlite:///{cli.folder}")
    assert f"Setting ledger_url: {cli.folder} is there, and is no file" in cli.refuses("status", "--check")


def test_jobs_that_never_ran_are_not_all_well_and_a_ledger_is_told_only_where_there_is_none(empty) -> None:
    with empty.ledger() as ledger:
        assert "Ledger  " not in empty.says("status", "--check", code=3)
        push = start_run(ledger, "push")
        finish_run(ledger, push, "done")
        empty.says("status", "--check", code=3)
        finish_run(ledger, start_run(ledger, "worklogs"), "done")
    data = empty.data("status", "--check")
    assert (data["needs_person"], data["no_ledger"]) == (False, None)


def test_a_push_by_hand_does_not_hide_the_night_that_failed(empty) -> None:
    with empty.ledger() as ledger:
        finish_run(ledger, start_run(ledger, "worklogs"), "failed", error="ServiceDesk Plus MSP: no answer.")
        finish_run(ledger, start_run(ledger, "push"), "done", counts={"invoices": 1})
    text = empty.says("status", "--check", code=3)
    assert "ServiceDesk Plus MSP: no answer." in text
    assert line_of(text, "push").split()[-2:] == ["1", "invoice"]
    with empty.ledger() as ledger:
        finish_run(ledger, start_run(ledger, "worklogs"), "done")
        finish_run(ledger, start_run(ledger, "push"), "failed", error="Xero: no answer.")
    assert "Xero: no answer." in empty.says("status", "--check")


SENT = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
UNANSWERED = "It could not be looked up: Xero: answered 500 (GET https://api.xero.com/api.xro/2.0/Invoices)."


def stick(cli, state, reason_code=None, reason=None) -> None:
    """Give the second invoice a history: sent three times, and in this state since."""
    with cli.ledger() as ledger, ledger.write() as session:
        connection = session.scalar(select(BillingConnection))
        batch = PushBatch(
            connection_id=connection.id,
            idempotency_key="key",
            body=b"",
            body_digest="",
            state="unknown",
            attempts=3,
            created_at=SENT,
            sent_at=SENT,
        )
        session.add(batch)
        session.flush()
        values = {"state": state, "reason_code": reason_code, "reason": reason, "batch_id": batch.id}
        session.execute(update(Invoice).where(Invoice.number == "SDP-00002").values(values))
        # What else needs a person is not at issue here.
        session.execute(update(Worklog).values(changed=None, state="invoiced"))


@pytest.mark.parametrize("command", [("status",), ("invoices", "list")])
def test_a_stuck_invoice_says_since_when_why_and_what_comes_next(cli, command) -> None:
    stick(cli, "unknown", reason=UNANSWERED)
    text = cli.says(*command)
    assert "SDP-00002 is unknown since 2026-11-2" in text
    assert "sent 3 times: Xero's answer was lost. The next run looks the number up" in text
    assert "answered 500" in text


@pytest.mark.parametrize("command", [("status",), ("invoices", "list"), ("invoices", "show", "SDP-00002")])
def test_a_conflict_says_what_a_person_can_do(cli, command) -> None:
    stick(cli, "conflict", "NUMBER_CONFLICT", "Xero's invoice SDP-00002 was made by msp-xero.")
    text = " ".join(cli.says(*command).split())
    assert "restore the newest one" in text
    assert "put our mark [ab12] back into its reference and run again" in text
    assert "renumber the other invoice in Xero" in text
    assert "ours goes out under SDP-00002. Other accounts are billed meanwhile." in text


@pytest.mark.parametrize(
    ("state", "reason", "person"),
    [
        ("unknown", None, False),
        ("unknown", UNANSWERED, True),
        ("conflict", "x", True),
        ("rejected", "x", False),
    ],
)
def test_which_stuck_invoices_need_a_person(cli, state, reason, person) -> None:
    """One that was refused is history: its worklogs are held as long as they need somebody."""
    stick(cli, state, reason=reason)
    with cli.ledger() as ledger, ledger.write() as session:
        session.connection().exec_driver_sql("UPDATE sync_run SET outcome = 'done'")
    assert cli.data("status")["needs_person"] is person


def test_what_waits_for_the_next_day_says_so(cli) -> None:
    stick(cli, "planned", "DAY_LIMIT", "Xero: the daily call limit is reached until 2026-11-23 05:24 UTC.")
    text = cli.says("status")
    assert "SDP-00002 and all that are planned: the next run sends it. Xero: the daily call limit" in text
    assert cli.data("status")["unsent"]["next"].endswith("until 2026-11-23 05:24 UTC.")


def in_another_currency(cli):
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(update(Invoice).values(currency="USD"))


def line_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


def test_money_is_named_in_the_currency_that_it_is_billed_in(cli) -> None:
    in_another_currency(cli)
    text = cli.says("status")
    assert "USD 200.00" in line_of(text, "Invoiced")
    assert "NZD 600.00" in line_of(text, "Waiting for the next run")
    assert "several currencies" in line_of(text, "Delivered")
    assert "USD 150.00" in cli.says("worklogs", "show", "101")
    assert "together 2:00 hours, USD 200.00" in cli.says("worklogs", "list", "--state", "invoiced")
    everything = cli.says("worklogs", "list")
    assert "several currencies" in everything
    assert "USD 150.00" in line_of(everything, "101")
    assert "NZD 150.00" in line_of(everything, "104")
    assert next(row["currency"] for row in cli.data("worklogs", "list")) == "USD"


def test_what_waits_is_named_in_the_currency_that_is_set(cli) -> None:
    in_another_currency(cli)
    path = cli.folder / "meltano.yml"
    path.write_text(
        path.read_text().replace('account_code: "200"', 'account_code: "200", currency_code: USD')
    )
    text = cli.says("status")
    assert "USD 600.00" in line_of(text, "Waiting for the next run")
    assert "NZD" not in text[text.index("Worklogs\n") :]
    assert "USD 150.00" in cli.says("worklogs", "show", "104")
    excluded = cli("worklogs", "exclude", "--account", "kōwhai dental", "--reason", "x", "--yes")
    assert "NZD" not in excluded.output


def test_the_database_of_another_program_is_called_so(cli, monkeypatch) -> None:
    with sqlite3.connect(cli.folder / "shared.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('13e8639c6d2b')")
    monkeypatch.setenv("MSP_XERO_LEDGER_URL", f"sqlite:///{cli.folder}/shared.db")
    assert "is another program's; give the ledger a database of its own" in cli.refuses("status")


def test_what_the_days_limit_keeps_is_no_open_question(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        kept = {"state": "planned", "reason_code": "DAY_LIMIT", "reason": "Used up."}
        session.execute(update(Invoice).where(Invoice.number == "SDP-00002").values(**kept))
    assert cli.data("status")["unsettled"] == []
