"""``msp-xero accounts`` and ``msp-xero types``."""

from __future__ import annotations

import re

import pytest
from msp_xero.ledger.models import AccountLink, SdpEntry, WorklogTypeLink
from sqlalchemy import delete, update


def linked(cli) -> dict[str, str | None]:
    return {row["contact_id"]: row["account_id"] for row in cli.data("accounts", "list")}


def test_accounts_list(cli) -> None:
    text = cli.says("accounts", "list")
    assert "Kōwhai Dental  c-7         linked    Kōwhai Dental  7           linked by same name" in text
    assert "4 contacts.\nLink one with `msp-xero accounts link CONTACT ACCOUNT`" in text
    assert [row["contact_id"] for row in cli.data("accounts", "list", "--unmapped")] == ["c-8", "c-9", "c-10"]


@pytest.mark.parametrize(
    ("contact", "account"),
    [("c-8", "8"), ("Rimu and Co", "Rimu & Co [Ltd]"), ("rimu AND co", "rimu & co [ltd]")],
)
def test_link_by_id_or_name(cli, contact, account) -> None:
    text = cli.says("accounts", "link", contact, account)
    assert text == (
        "Linked contact Rimu and Co (c-8) to account Rimu & Co [Ltd] (8). "
        "The next run bills what waited for it.\n"
    )
    assert linked(cli)["c-8"] == "8"


def test_a_link_of_equal_names_that_a_person_made_is_told_as_theirs(cli) -> None:
    cli.says("accounts", "unlink", "c-7")
    assert "unlinked by hand" in cli.says("accounts", "list")
    cli.says("accounts", "link", "c-7", "7")
    (row,) = [row for row in cli.data("accounts", "list") if row["contact_id"] == "c-7"]
    assert (row["how"], row["note"]) == ("exact", "linked by person")


def test_what_a_settle_took_away_is_not_told_as_a_persons_doing(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(
            update(AccountLink)
            .where(AccountLink.contact_id == "c-8")
            .values(choice="list", problem="its id was given out anew")
        )
    (row,) = [row for row in cli.data("accounts", "list") if row["contact_id"] == "c-8"]
    assert row["note"] == "its id was given out anew"


def test_unlink_create_ignore(cli) -> None:
    cli.says("accounts", "unlink", "c-7")
    assert linked(cli)["c-7"] is None
    assert "creates an account for contact Rimu and Co (c-8)" in cli.says("accounts", "create", "c-8")
    assert "to be created" in cli.says("accounts", "list")
    cli.says("accounts", "ignore", "c-9")
    cli.says("accounts", "ignore", "c-10")
    # What is to be created waits for nobody.
    assert {row["contact_id"] for row in cli.data("accounts", "list", "--unmapped")} == {"c-7"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("link", "nobody", "8"), "there is no contact 'nobody'; `msp-xero accounts list` shows them"),
        (("link", "Twin", "8"), "2 contacts are called 'Twin'; give the id: c-10, c-9"),
        (
            ("link", "c-8", "Nothing"),
            "there is no account 'Nothing'; `msp-xero accounts list --accounts` shows them",
        ),
        (("link", "c-8", "Kōwhai Dental"), "account 7 is already linked to contact c-7"),
        (("create", "c-7"), "c-7 is linked to account 7 already; unlink it first"),
    ],
)
def test_accounts_refusals(cli, arguments, error) -> None:
    assert error in cli.refuses("accounts", *arguments)


def test_suggest(cli) -> None:
    text = cli.says("accounts", "suggest")
    assert re.search(
        r"Rimu and Co +Rimu & Co \[Ltd\] +93 +same name but for the company suffix +"
        r"msp-xero accounts link c-8 8",
        text,
    )
    assert "2 contacts without an account of a similar name" in text
    rows = {row["contact_id"]: row for row in cli.data("accounts", "suggest")}
    assert rows["c-8"]["clear"] is True
    assert rows["c-8"]["accounts"] == [
        {
            "account_id": "8",
            "account_name": "Rimu & Co [Ltd]",
            "score": 93,
            "reasons": ["same name but for the company suffix"],
        }
    ]
    assert (rows["c-9"]["clear"], rows["c-9"]["accounts"]) == (False, [])


def test_accounts_empty(empty, cli) -> None:
    for contact in ("c-8", "c-9", "c-10"):
        cli.says("accounts", "ignore", contact)
    assert cli.says("accounts", "list", "--unmapped") == "Every contact is linked or decided about.\n"
    assert cli.says("accounts", "suggest") == "Every contact is linked or decided about.\n"


def test_nothing_delivered(empty) -> None:
    assert empty.says("accounts", "list") == "No contacts yet. Run `meltano run accounts`.\n"
    assert empty.says("types", "list") == "No items and worklog types yet. Run `meltano run worklog-types`.\n"
    assert empty.data("accounts", "list") == empty.data("types", "list") == []


def types(cli) -> dict[str, str]:
    return {row["item_code"] or row["type_name"]: row["status"] for row in cli.data("types", "list")}


def test_types_list_shows_both_sides(cli) -> None:
    assert types(cli) == {"ONSITE": "xero_only", "REMOTE": "linked", "Travel": "sdp_only"}
    text = cli.says("types", "list")
    assert "in Xero only; the next run creates the type" in text
    assert "in ServiceDesk Plus only; create an item of this name, or link one" in text
    assert "1 type linked, 2 not." in text


@pytest.mark.parametrize("item", ["i-ONSITE", "ONSITE", "On-site visit"])
@pytest.mark.parametrize("type_", ["22", "Travel"])
def test_link_a_type(cli, item, type_) -> None:
    cli.says("types", "link", item, type_)
    assert types(cli) == {"ONSITE": "renamed", "REMOTE": "linked"}


def test_types_unlink_create_ignore(cli) -> None:
    cli.says("types", "unlink", "REMOTE")
    assert types(cli)["REMOTE"] == "xero_only"
    assert "creates a worklog type for item On-site visit (ONSITE)" in cli.says("types", "create", "ONSITE")
    cli.says("types", "ignore", "ONSITE")
    assert types(cli)["ONSITE"] == "ignored"
    assert "there is no worklog type 'Nothing'" in cli.refuses("types", "link", "ONSITE", "Nothing")
    assert "already linked" not in cli.refuses("types", "link", "NOPE", "22")


def line(cli, name) -> dict:
    rows = cli.data("types", "list")
    return next(row for row in rows if name in (row["item_code"], row["type_name"]))


def test_types_are_filtered_counted_and_said_what_to_do(cli) -> None:
    assert [row["type_name"] for row in cli.data("types", "list", "--status", "sdp_only")] == ["Travel"]
    both = cli.data("types", "list", "--status", "linked", "--status", "xero_only")
    assert [row["item_code"] for row in both] == ["ONSITE", "REMOTE"]
    text = cli.says("types", "list", "--todo")
    assert "REMOTE" not in text
    assert "1 shown of 1 linked, 1 xero_only, 1 sdp_only." in text
    assert "1 line needs a person.\n" in text
    assert "1 line needs a person: `msp-xero types list --todo`." in cli.says("types", "list")
    assert "No line is like this. 1 type linked, 2 not." in cli.says("types", "list", "--status", "gone")
    assert cli("types", "list", "--check").exit_code == 3
    cli.says("types", "ignore", "Travel")
    assert cli("types", "list", "--check").exit_code == 0


def test_a_type_without_an_item_is_ignored_and_taken_back(cli) -> None:
    said = cli.says("types", "ignore", "Travel")
    assert "No item is wanted for worklog type Travel" in said
    assert "are held as TYPE_IGNORED from the next run on" in said
    assert (line(cli, "Travel")["status"], line(cli, "Travel")["needs_person"]) == ("ignored", False)
    assert "22 is not left out any more" in cli.says("types", "unignore", "22")
    assert line(cli, "Travel")["status"] == "sdp_only"
    assert "worklog type 22 is not ignored" in cli.refuses("types", "unignore", "Travel")
    assert "already linked to item i-REMOTE" in cli.refuses("types", "ignore", "--type", "Remote support")
    assert "there is no item 'Nothing'" in cli.refuses("types", "ignore", "Nothing")


def test_an_ignored_item_is_taken_back(cli) -> None:
    cli.says("types", "ignore", "ONSITE")
    cli.says("types", "unignore", "ONSITE")
    assert line(cli, "ONSITE")["status"] == "xero_only"


def test_an_item_and_a_type_of_one_name_are_told_apart(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(
            update(WorklogTypeLink)
            .where(WorklogTypeLink.item_code == "ONSITE")
            .values(name="Travel", candidates=["22"], problem="its name fits more than one")
        )
    text = cli.says("types", "list")
    assert "the name fits more than one: its name fits more than one (Travel 22); link it by hand" in text
    assert line(cli, "ONSITE")["candidates"] == [{"type_id": "22", "type_name": "Travel"}]
    refused = cli.refuses("types", "ignore", "Travel")
    assert (
        "an item and a worklog type are called 'Travel'; give the item's id (i-ONSITE), or say --type"
        in refused
    )
    cli.says("types", "ignore", "--type", "Travel")
    cli.says("types", "ignore", "i-ONSITE")
    assert types(cli) == {"ONSITE": "ignored", "REMOTE": "linked", "Travel": "ignored"}


def test_status_tells_of_worklog_types(cli) -> None:
    assert "1 linked, 1 xero_only, 1 sdp_only. 1 to decide about" in cli.says("status")
    assert cli.data("status")["worklog_types"] == {
        "linked": 1,
        "xero_only": 1,
        "sdp_only": 1,
        "need_a_person": 1,
    }


def test_accounts_without_a_contact_are_listed_with_what_they_hold_up(cli) -> None:
    text = cli.says("accounts", "list", "--accounts")
    assert re.search(r"Rimu & Co \[Ltd\] +8 +\d+ +\d", text)
    assert re.search(r"\d+ accounts? without a contact, \d+ worklogs? \([\d.:]+ hours\) waits? for", text)
    rows = {row["account_id"]: row for row in cli.data("accounts", "list", "--accounts")}
    held = [
        row
        for row in cli.data("worklogs", "list", "--reason", "ACCOUNT_UNMAPPED")
        if row["account_id"] == "8"
    ]
    assert (rows["8"]["worklogs"], rows["8"]["minutes"]) == (len(held), sum(row["minutes"] for row in held))
    assert held
    assert "7" not in rows
    cli.says("accounts", "link", "c-8", "8")
    assert "8" not in {row["account_id"] for row in cli.data("accounts", "list", "--accounts")}


def test_contacts_and_accounts_are_not_listed_at_once(cli) -> None:
    error = cli.refuses("accounts", "list", "--unmapped", "--accounts", code=2)
    assert "give one of them" in error


def test_an_account_that_nobody_can_link_says_why_and_is_not_said_to_be_linked(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(update(SdpEntry).where(SdpEntry.sdp_id == "8").values(own=True))
        session.execute(
            delete(SdpEntry).where(SdpEntry.kind == "account", SdpEntry.sdp_id.not_in(("7", "8")))
        )
    text = cli.says("accounts", "list", "--accounts")
    assert "the service provider itself, nobody's customer" in text
    assert "Link one with" not in text
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(delete(SdpEntry).where(SdpEntry.sdp_id == "8"))
    assert "did not list it at the last run of accounts" in cli.says("accounts", "list", "--accounts")


def test_a_name_with_two_blanks_is_found_as_a_table_shows_it(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(
            update(AccountLink).where(AccountLink.contact_id == "c-8").values(contact_name="Rimu  and   Co")
        )
    cli.says("accounts", "ignore", "rimu and Co")
    assert linked(cli)["c-8"] is None


def test_an_item_that_is_not_sold_gets_no_type_and_a_link_says_so(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(
            update(WorklogTypeLink).where(WorklogTypeLink.item_code == "ONSITE").values(is_sold=False)
        )
    error = cli.refuses("types", "create", "ONSITE")
    assert "is not sold in Xero, so no worklog type is created for it" in error
    assert "The item is not sold in Xero, so its worklogs are held" in cli.says(
        "types", "link", "ONSITE", "Travel"
    )


def test_an_archived_contact_gets_no_account_and_a_link_says_so(cli) -> None:
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(
            update(AccountLink).where(AccountLink.contact_id == "c-8").values(contact_status="ARCHIVED")
        )
    assert "contact c-8 is archived in Xero, so no account is created for it" in cli.refuses(
        "accounts", "create", "c-8"
    )
    said = cli.says("accounts", "unlink", "c-8")
    assert "was not linked. It is archived in Xero, so it waits for nobody." in said
    said = cli.says("accounts", "link", "c-8", "8")
    assert "The contact is archived in Xero, so its worklogs are held." in said


def test_a_link_is_not_dropped_without_a_word(cli) -> None:
    for arguments in (("link", "c-7", "8"), ("ignore", "c-7")):
        error = cli.refuses("accounts", *arguments)
        assert "contact c-7 is linked to account 7 already; unlink it first" in error
    assert linked(cli)["c-7"] == "7"
    assert "is not linked any more; it waits on" in cli.says("accounts", "unlink", "c-7")


def test_before_the_first_run_suggest_and_export_say_so(empty, tmp_path) -> None:
    nothing = "No contacts yet. Run `meltano run accounts`."
    assert empty.says("accounts", "suggest") == f"{nothing}\n"
    assert nothing in empty.says("accounts", "export", str(tmp_path / "contacts.csv"))
    assert empty.says("accounts", "list", "--accounts") == "No accounts yet. Run `meltano run accounts`.\n"
