"""``msp-xero worklogs``: list, show, exclude, include."""

from __future__ import annotations

import pytest
from msp_xero.ledger.models import AccountLink, Invoice, SdpEntry, Worklog, WorklogTypeLink
from msp_xero.ledger.planning import move_worklogs
from msp_xero.ledger.staging import stage_lines
from sqlalchemy import delete, select, update

from console.tests.conftest import NOW, plan_the_second


def ids(rows) -> list[str]:
    return [
        f"{row['worklog_id']}#{row['ordinal'] + 1}" if row["ordinal"] else row["worklog_id"] for row in rows
    ]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), ["101", "102", "103", "104", "105", "106", "107", "108", "109", "110", "110#2"]),
        (("--state", "held"), ["105", "106", "107"]),
        (("--state", "held", "--state", "planned"), ["103", "105", "106", "107"]),
        (("--reason", "TYPE_MISSING"), ["106"]),
        (("--reason", "type_missing"), ["106"]),
        (("--account", "8"), ["103", "105", "107"]),
        (("--account", "rimu & co [ltd]"), ["103", "105", "107"]),
        (("--account", "RIMU  &  CO [Ltd]", "--state", "planned"), ["103"]),
        (("--account", "KŌWHAI dental", "--state", "invoiced"), ["101", "102"]),
        (("--since", "2026-11-03", "--state", "invoiced"), ["101", "102"]),
        (("--since", "2026-11-04"), []),
        (("--changed",), ["102"]),
        (("--limit", "2"), ["101", "102"]),
        (("--limit", "2", "--after", "2"), ["103", "104"]),
    ],
    ids=str,
)
def test_filters(cli, filters, expected) -> None:
    assert ids(cli.data("worklogs", "list", *filters)) == expected


def test_the_list_says_where_each_is_and_why(cli) -> None:
    text = cli.says("worklogs", "list")
    assert "101      2026-11-03  Kōwhai Dental    1:30  150.00  invoiced SDP-00001\n" in text
    assert "held ACCOUNT_UNMAPPED: Account Rimu has no Xero contact.\n" in text
    assert "110#2" in text
    assert text.endswith("11 of 11 worklogs; together 15:30 hours, NZD 1,100.00 and 3 without a price.\n")


def test_a_full_page_says_how_to_go_on(cli) -> None:
    text = cli.says("worklogs", "list", "--limit", "2")
    assert "2 of 11 worklogs" in text
    assert "For more: --after 2, or a greater --limit." in text


def test_the_changed_list_says_what_changed(cli) -> None:
    assert "SDP-00001: minutes" in cli.says("worklogs", "list", "--changed")


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [((), "No worklogs yet. Run `meltano run worklogs`."), (("--changed",), "No worklogs yet.")],
)
def test_empty(empty, filters, sentence) -> None:
    assert sentence in empty.says("worklogs", "list", *filters)
    assert empty.data("worklogs", "list", *filters) == []


def test_nothing_fits(cli) -> None:
    filters = ("--account", "7", "--state", "planned")
    assert cli.says("worklogs", "list", *filters) == "No worklog fits this filter.\n"


@pytest.mark.parametrize("command", [("list",), ("export", "x.csv")])
@pytest.mark.parametrize("name", ["nobody", "Rimu", ""])
def test_an_account_that_there_is_not_is_no_empty_list(cli, line, command, name) -> None:
    with cli.ledger() as ledger:
        stage_lines(ledger, [line("301", account_id="31", account_name=None)], settle_reasons=frozenset())
    error = cli.refuses("worklogs", *command, "--account", name)
    assert f"there is no account with worklogs '{name}'; `msp-xero worklogs list` shows them" in error


def test_an_account_is_found_by_each_name_that_is_shown(cli, line) -> None:
    lines = [
        line("301", account_id="31", account_name="O'Connor  Plumbing"),
        line("302", account_id="32", account_name="Old Name"),
        line("303", account_id="32", account_name="New Name"),
        line("304", account_id="33", account_name="Same"),
        line("305", account_id="34", account_name="Same"),
        line("306", account_id="35", account_name="Another Old"),
        line("307", account_id="36", account_name="Another Old"),
    ]
    with cli.ledger() as ledger:
        stage_lines(ledger, lines, settle_reasons=frozenset())
        with ledger.write() as session:
            for account_id, name in (("35", "Another New"), ("36", "Another Old")):
                values = {"kind": "account", "sdp_id": account_id, "name": name, "seen_at": NOW}
                session.add(SdpEntry(connection_id=ledger.connection_id, **values))
    assert "O'Connor Plumbing" in cli.says("worklogs", "list", "--account", "31")
    found = {
        "O'Connor Plumbing": ["301"],
        "Old Name": ["302", "303"],
        "new NAME": ["302", "303"],
        "Another New": ["306"],
        "Another Old": ["307"],
    }
    for name, expected in found.items():
        assert ids(cli.data("worklogs", "list", "--account", name)) == expected
        assert cli.says("worklogs", "export", "x.json", "--account", name).startswith(
            f"Wrote {len(expected)} "
        )
    error = cli.refuses("worklogs", "list", "--account", "Same")
    assert "2 accounts with worklogs are called 'Same'; give the id: 33, 34" in error


def test_money_that_is_not_known_is_not_told_as_none(cli) -> None:
    held = cli.says("worklogs", "list", "--state", "held", "--reason", "TYPE_MISSING")
    assert held.endswith("1 of 1 worklog; together 1:30 hours, no price yet.\n")
    assert "Money             no price yet" in cli.says("worklogs", "show", "106")
    cli.says("worklogs", "exclude", "105", "--reason", "goodwill")
    assert "Money             no price yet" in cli.says("worklogs", "show", "105")


def test_show_says_everything(cli) -> None:
    text = cli.says("worklogs", "show", "102")
    for part in (
        "Where             invoiced SDP-00001",
        "Belongs to        request 1045: Printer on fire",
        "Time              0:30 at NZD 100.00",
        "Text on the invoice\nRequest 1045: Printer on fire\nReplaced the fuser.",
        "minutes  30         45",
        "SDP-00001     2    0.5  100.00   50.00  7.50  created",
        "  delivered    1",
    ):
        assert part in text
    (data,) = cli.data("worklogs", "show", "102")
    assert data["worklog"]["changed"] == {"minutes": [30, 45]}
    assert data["lines"][0]["item_code"] == "REMOTE"
    assert data["history"][0]["action"] == "delivered"


def test_show_says_why_and_who_can_do_what(cli) -> None:
    text = cli.says("worklogs", "show", "105")
    assert "Why               ACCOUNT_UNMAPPED: Account Rimu has no Xero contact." in text
    assert "Who and how       Billing person: Link it: `msp-xero accounts link CONTACT" in text
    assert "  delivered, held: TYPE_MISSING" in cli.says("worklogs", "show", "106")


def test_two_worklogs_that_share_an_id_are_both_shown_and_told_apart(cli) -> None:
    assert "to mean one, write 110#1, 110#2." in cli.says("worklogs", "show", "110")
    assert "task 1045" in cli.says("worklogs", "show", "110#1")
    assert "request 1046" in cli.says("worklogs", "show", "110#2")
    assert "no worklog 110#3" in cli.refuses("worklogs", "show", "110#3")
    error = cli.refuses("worklogs", "exclude", "110", "--reason", "twice")
    assert "say which: 110#1 (task 1045); 110#2 (request 1046)" in error
    cli.says("worklogs", "exclude", "110#2", "--reason", "twice")
    assert ids(cli.data("worklogs", "list", "--reason", "EXCLUDED_BY_PERSON")) == ["110#2"]


def test_exclude_and_include(cli) -> None:
    text = cli.says("worklogs", "exclude", "104", "--reason", " goodwill ")
    assert text.startswith("Excluded worklog 104 (1:30, NZD 150.00), decided by person:")
    shown = cli.says("worklogs", "show", "104")
    assert "Why               EXCLUDED_BY_PERSON: goodwill" in shown
    assert "Excluded by       person:" in shown
    assert "excluded: EXCLUDED_BY_PERSON: goodwill" in shown
    assert (
        cli.says("worklogs", "include", "104")
        == "Included worklog 104: the next run bills it if nothing else keeps it.\n"
    )
    assert "included again" in cli.says("worklogs", "show", "104")


def test_each_reason_of_an_exclusion_stays_in_the_history(cli) -> None:
    first = ("worklogs", "exclude", "104", "--reason", "first\x1b[2J\nline")
    assert "excluded already" not in cli.says(*first)
    again = cli.says("worklogs", "exclude", "104", "--reason", "second")
    assert "It was excluded already: first\N{REPLACEMENT CHARACTER}[2J line. The history keeps that" in again
    assert cli.data("worklogs", "exclude", "104", "--reason", "third")["replaced_reason"] == "second"
    cli.says("worklogs", "include", "104")
    cli.says("worklogs", "exclude", "--account", "7", "--reason", "all of them", "--yes")
    shown = cli.says("worklogs", "show", "104")
    for reason in ("first\N{REPLACEMENT CHARACTER}[2J line", "second", "third", "all of them"):
        assert f"excluded: EXCLUDED_BY_PERSON: {reason} " in shown
    (data,) = cli.data("worklogs", "show", "104")
    assert data["history"][-1]["data"]["reason"] == "all of them"


def test_what_a_rule_has_excluded_replaces_no_reason_of_a_person(cli) -> None:
    assert "excluded already" not in cli.says("worklogs", "exclude", "108", "--reason", "goodwill")


def test_the_history_names_the_invoice(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        invoice = session.scalars(select(Invoice).where(Invoice.number == "SDP-00001")).one()
        invoice.state, invoice.xero_status = "voided", "VOIDED"
        move_worklogs(session, ledger, [invoice.id], "planned", run_id=None)
        move_worklogs(session, ledger, [invoice.id], "invoiced", run_id=None)
    cli.says("invoices", "release", "SDP-00001")
    shown = cli.says("worklogs", "show", "101")
    for what in ("put on an invoice", "invoiced", "released from its invoice"):
        assert f"  {what}: SDP-00001 " in shown
    (data,) = cli.data("worklogs", "show", "101")
    assert [one["invoice_number"] for one in data["history"]] == [None, *["SDP-00001"] * 3]


def test_what_is_linked_since_is_not_said_to_need_a_link(cli) -> None:
    assert "Link it" in cli.says("worklogs", "show", "105")
    cli.says("accounts", "link", "c-8", "8")
    shown = cli.says("worklogs", "show", "105")
    assert "The account is linked to contact Rimu and Co now; the next run bills it if nothing" in shown
    assert "Link it" not in shown


@pytest.mark.parametrize("values", [{"contact_status": "ARCHIVED"}, {"state": "ignored"}])
def test_a_link_that_bills_nothing_is_not_said_to_be_enough(cli, values) -> None:
    cli.says("accounts", "link", "c-8", "8")
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(update(AccountLink).where(AccountLink.contact_id == "c-8").values(**values))
    assert "Since then" not in cli.says("worklogs", "show", "105")


def test_a_type_that_is_linked_since_is_said_so(cli, line) -> None:
    reason = {"reason_code": "TYPE_NOT_SYNCED", "reason": "Travel has no item."}
    waits = line("301", decision="hold", type_id="22", type_name="Travel", **reason)
    typeless = line("302", decision="hold", type_id=None, type_name="Travel", **reason)
    with cli.ledger() as ledger:
        stage_lines(ledger, [waits, typeless], settle_reasons=frozenset())
    for worklog in ("301", "302"):
        assert "Since then" not in cli.says("worklogs", "show", worklog)
    cli.says("types", "link", "ONSITE", "22")
    assert "The worklog type is linked to item On-site visit now" in cli.says("worklogs", "show", "301")
    assert "Since then" not in cli.says("worklogs", "show", "302")
    for values in ({"is_sold": False}, {"is_sold": True, "gone_at": NOW}):
        with cli.ledger() as ledger, ledger.write() as session:
            session.execute(update(WorklogTypeLink).values(**values))
        assert "Since then" not in cli.says("worklogs", "show", "301")


def of_another_tap(line, worklog_id, **more):
    nameless = {"account_name": None, "type_name": None}
    return line(worklog_id, module="timer", source={"minutes": 90}, **nameless, **more)


def test_a_line_of_another_tap_is_shown_by_the_names_that_the_links_know(cli, line) -> None:
    with cli.ledger() as ledger:
        stage_lines(ledger, [of_another_tap(line, "T-1")], settle_reasons=frozenset())
    shown = cli.says("worklogs", "show", "T-1")
    assert "Account           Kōwhai Dental (7)" in shown
    assert "Type              Remote support" in shown
    assert "ServiceDesk Plus" not in shown
    (row,) = cli.data("worklogs", "list", "--account", "Kōwhai Dental", "--after", "11")
    assert (row["account_name"], row["type_name"]) == ("Kōwhai Dental", "Remote support")
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(delete(SdpEntry))
    shown = cli.says("worklogs", "show", "T-1")
    assert "Account           Kōwhai Dental (7)" in shown
    assert "Type              Remote support" in shown


def test_what_is_wrong_with_a_line_of_another_tap_is_not_sent_to_the_service_desk(cli, line) -> None:
    wrong = {"decision": "hold", "reason_code": "INVALID_RECORD", "reason": "minutes is no number"}
    with cli.ledger() as ledger:
        stage_lines(ledger, [of_another_tap(line, "T-2", **wrong)], settle_reasons=frozenset())
        stage_lines(ledger, [line("301", **wrong)], settle_reasons=frozenset())
    shown = cli.says("worklogs", "show", "T-2")
    assert "Integrator: Have it corrected where the time was entered" in shown
    assert "ServiceDesk Plus" not in shown
    assert "Technician or service desk: See what is wrong" in cli.says("worklogs", "show", "301")
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(update(Worklog).where(Worklog.worklog_id == "301").values(rebuilt=True, source={}))
    assert "Technician or service desk: See what is wrong" in cli.says("worklogs", "show", "301")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("exclude", "101", "--reason", "x"), "worklog 101 is on an invoice and can no longer be excluded"),
        (("exclude", "103", "--reason", "x"), "on an invoice that is about to be sent"),
        (("exclude", "104", "--reason", " "), "say why the worklog is not to be billed"),
        (("exclude", "999", "--reason", "x"), "no worklog 999 was delivered yet"),
        (("include", "101"), "can no longer be included"),
        (("include", "104"), "the worklog is not excluded; it is open"),
        (("include", "108"), "a rule of the configuration excludes the worklog"),
    ],
)
def test_refusals_are_clear_and_change_nothing(cli, arguments, error) -> None:
    before = cli.data("worklogs", "list")
    assert error in cli.refuses("worklogs", *arguments)
    assert cli.data("worklogs", "list") == before


def test_deciding_without_a_ledger(empty) -> None:
    assert "there is no ledger yet" in empty.refuses("worklogs", "include", "1")


@pytest.mark.parametrize("label", ["110#3", "110#0", "110#x", "110#99999999999999999999", "110#²"])
def test_there_is_no_such_worklog_of_that_id(cli, label) -> None:
    assert "no worklog 110#" in cli.refuses("worklogs", "show", label)


def test_a_planned_worklog_is_excluded_and_its_invoice_taken_back(cli, sandbox) -> None:
    sandbox.connect(cli)
    plan_the_second(cli)
    assert cli.refuses("worklogs", "exclude", "103", "--reason", " ").endswith("whoever asks later\n")
    assert cli.data("invoices", "show", "SDP-00002")["invoice"]["state"] == "planned"
    said = cli.says("worklogs", "exclude", "103", "--reason", "goodwill")
    assert "Invoice SDP-00002 is taken back; the next run plans the rest of it anew." in said
    assert "a person has excluded a worklog" in cli.says("invoices", "show", "SDP-00002")
    taken_back = "taken back: its invoice was planned, and is not in Xero: SDP-00002 "
    assert taken_back in cli.says("worklogs", "show", "103")
    row = next(row for row in cli.data("worklogs", "list") if row["worklog_id"] == "103")
    assert (row["state"], row["reason"]) == ("excluded", "goodwill")


def test_what_is_said_to_take_an_exclusion_back_does_so(cli) -> None:
    said = cli.says("worklogs", "exclude", "110#1", "--reason", "goodwill")
    assert "To take it back: `msp-xero worklogs include 110#1`." in said
    cli.says("worklogs", "include", "110#1")
