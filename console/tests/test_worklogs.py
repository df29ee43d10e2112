"""``msp-xero worklogs``: list, show, exclude, include."""

from __future__ import annotations

import pytest

from console.tests.conftest import plan_the_second


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
        (("--account", "rimu & co [ltd]"), ["103"]),
        (("--account", "Rimu"), []),
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
    assert text.endswith("11 of 11 worklogs; together 15:30 hours, NZD 1,100.00.\n")


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
    assert cli.says("worklogs", "list", "--account", "nobody") == "No worklog fits this filter.\n"


def test_show_says_everything(cli) -> None:
    text = cli.says("worklogs", "show", "102")
    for part in (
        "Where             invoiced SDP-00001",
        "Belongs to        request 1045: Printer on fire",
        "Time              0:30 at NZD 100.00",
        "Text on the invoice\nRequest 1045: Printer on fire\nReplaced the fuser.",
        "minutes  30         45",
        "SDP-00001     2    0.5  100.00   50.00  7.50  created",
        "delivered by ServiceDesk Plus    1",
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
    assert "delivered by ServiceDesk Plus, held: TYPE_MISSING" in cli.says("worklogs", "show", "106")


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
    assert "excluded: EXCLUDED_BY_PERSON" in shown
    assert (
        cli.says("worklogs", "include", "104")
        == "Included worklog 104: the next run bills it if nothing else keeps it.\n"
    )
    assert "included again" in cli.says("worklogs", "show", "104")


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
    row = next(row for row in cli.data("worklogs", "list") if row["worklog_id"] == "103")
    assert (row["state"], row["reason"]) == ("excluded", "goodwill")


def test_what_is_said_to_take_an_exclusion_back_does_so(cli) -> None:
    said = cli.says("worklogs", "exclude", "110#1", "--reason", "goodwill")
    assert "To take it back: `msp-xero worklogs include 110#1`." in said
    cli.says("worklogs", "include", "110#1")
