"""``msp-xero status``."""

from __future__ import annotations

from decimal import Decimal

from msp_xero_console.words import NOTHING


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
        "how": "Link it: `msp-xero accounts list --unmapped`, then `msp-xero accounts link CONTACT ACCOUNT`.",
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
        "Invoiced                         2   2:00    NZD 200.00",
        "Delivered                       11  15:30  NZD 1,100.00",
        "1 worklog changed after billing, which is never sent again: see `msp-xero worklogs list --changed`.",
        "created         1  NZD 200.00  NZD 30.00  NZD 230.00",
    ):
        assert line in text
    assert "4,870 left, as seen 2026-11-22" in text
    assert "SDP-00002 is unknown: Xero's answer was lost. The next run looks the number up" in text
    assert "worklog-types  never" in text
    assert "1 invoice, 2 worklogs, 2 held, 2:00 hours, NZD 230.00" in text
    assert "Xero: the access token is not accepted (GET /Contacts)." in text


def test_check_ends_with_3_when_something_needs_a_person(cli) -> None:
    assert cli("status").exit_code == 0
    assert cli.data("status", "--check", code=3)["needs_person"] is True


def test_nothing_has_run_yet(empty) -> None:
    text = empty.says("status", "--check")
    assert "Xero              not seen yet" in text
    assert "ServiceDesk Plus  https://sdp.example.com" in text
    assert ["accounts", "never", NOTHING, NOTHING, "meltano", "run", "accounts"] in [
        line.split() for line in text.splitlines()
    ]
    assert "No worklogs yet. Run `meltano run worklogs`." in text
    assert "No invoices yet." in text
    data = empty.data("status")
    assert data["worklogs"]["delivered"]["count"] == 0
    assert data["runs"] == []
    assert not list(empty.folder.glob("**/*.db"))
