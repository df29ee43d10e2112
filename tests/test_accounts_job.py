"""The job ``accounts`` as the administrator knows it: real ``meltano run``, then the command line.

The tests are one story on one project, told in the order of the file; what one leaves, the next finds.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.ledger.models import Event
from sqlalchemy import select

from tests.project import Project
from tests.systems import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Contacts of the story that no account is called like.
UNMAPPED = {
    "Orlena Greenville Limited",
    "Marine Systems",
    "O'Connor Plumbing",
    "Fox Street Fitness",
    "Pāua Jewellery",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, ports: tuple[int, int]) -> Iterator[Project]:
    """A project after its first sync of accounts, which was looked at before, as docs/go-live.md says."""
    sandbox = Sandbox(ports, "--scale", "small")
    try:
        project = Project.create(tmp_path_factory.mktemp("accounts") / "project", sandbox)
        project.set_loader("target-msp-sdp", dry_run=True)
        project.run("accounts")
        assert accounts_created(project) == []
        project.set_loader("target-msp-sdp", dry_run=False)
        project.run("accounts")
        yield project
    finally:
        sandbox.stop()


def contacts(project: Project, *options: str) -> dict[str, dict[str, Any]]:
    return {row["contact_name"]: row for row in project.listed("accounts", "list", *options)}


def account(project: Project, name: str) -> dict[str, Any]:
    return next(row for row in project.sandbox.rows("sdp", "accounts") if row["name"] == name)


def in_xero(project: Project, name: str) -> str:
    return next(row["ContactID"] for row in project.sandbox.rows("xero", "contacts") if row["Name"] == name)


def accounts_created(project: Project) -> list[str]:
    return [call["path"] for call in project.sandbox.writes("sdp") if call["method"] == "POST"]


def test_the_first_sync_links_exactly_equal_names_and_lists_the_rest(desk: Project) -> None:
    assert desk.summary("accounts").startswith("7 linked (7 new), 0 created")
    assert accounts_created(desk) == []
    assert contacts(desk, "--unmapped").keys() == UNMAPPED
    for row in contacts(desk).values():
        if row["how"] == "exact":
            assert row["contact_name"] == row["account_name"]
    text = desk.msp_xero("status")
    assert "Contacts and accounts" in text
    assert "5 unmapped (3 with candidates): see `msp-xero accounts list --unmapped`" in text


def test_an_archived_contact_keeps_its_link_and_a_merged_one_hands_it_on_and_both_are_shown(
    desk: Project,
) -> None:
    rows = contacts(desk)
    archived, merged = rows["Harbour Print"], rows["Tahi Plumbing"]
    assert archived["account_id"] == account(desk, "Harbour Print")["id"]
    assert "contact is archived in Xero" in archived["note"]
    assert merged["account_id"] is None
    assert merged["merged_to_contact_name"] == "Tahi Plumbing & Gas Limited"
    survivor = rows["Tahi Plumbing & Gas Limited"]
    assert (survivor["account_name"], survivor["how"]) == ("Tahi Plumbing", "merged")
    text = desk.msp_xero("accounts", "list")
    assert f"merged in Xero into Tahi Plumbing & Gas Limited ({survivor['contact_id']})" in text
    assert "(1 archived in Xero, whose worklogs are held)" in desk.msp_xero("status")


def test_suggestions_have_a_score_and_a_reason_and_are_accepted_above_a_score(desk: Project) -> None:
    found = {row["contact_name"]: row for row in desk.listed("accounts", "suggest")}
    best = {name: row["accounts"][0] for name, row in found.items() if row["accounts"]}
    assert best["Marine Systems"]["account_name"] == "MARINE SYSTEMS"
    assert best["Marine Systems"]["score"] >= 95
    assert "same name but for case, spaces and punctuation" in best["Marine Systems"]["reasons"]
    assert "same name but for the company suffix" in best["Orlena Greenville Limited"]["reasons"]
    assert "Fox Street Fitness" not in best
    text = desk.msp_xero("accounts", "suggest", "--accept-above", "94")
    assert "2 contacts linked" in text
    assert contacts(desk)["Marine Systems"]["account_name"] == "MARINE SYSTEMS"
    text = desk.msp_xero("accounts", "suggest", "--accept", "Orlena Greenville Limited")
    assert "1 contact linked" in text


def test_a_linked_account_leaves_the_pick_list(desk: Project) -> None:
    taken = account(desk, "MARINE SYSTEMS")["id"]
    assert taken not in desk.msp_xero("accounts", "suggest")
    refusal = desk.msp_xero("accounts", "link", "Fox Street Fitness", taken, expect=1)
    assert f"account {taken} is already linked to contact" in refusal


def test_a_hundred_are_decided_in_a_spreadsheet_and_the_next_run_carries_it_out(desk: Project) -> None:
    path = desk.folder / "contacts.csv"
    desk.msp_xero("accounts", "export", str(path))
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["contact_name"] for row in rows} == {"Fox Street Fitness", "Pāua Jewellery"}
    decided = {"Fox Street Fitness": "ignore", "Pāua Jewellery": "create"}
    for row in rows:
        row["decision"] = decided[row["contact_name"]]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    assert "2 decisions would be carried out" in desk.msp_xero("accounts", "import", str(path), "--dry-run")
    assert contacts(desk, "--unmapped")
    assert "1 to be created, 1 ignored" in desk.msp_xero("accounts", "import", str(path))
    # What people do in both systems before the next run, for the tests below.
    _change_both_sides(desk)
    desk.run("accounts")
    created = account(desk, "Pāua Jewellery")
    assert created["login_url"] == "https://help.kowhai.example/paua-jewellery"
    assert contacts(desk)["Pāua Jewellery"]["account_id"] == created["id"]
    assert contacts(desk)["Fox Street Fitness"]["state"] == "ignored"
    assert "2 were so already" in desk.msp_xero("accounts", "import", str(path))


def _change_both_sides(desk: Project) -> None:
    sandbox = desk.sandbox
    ridgeway = account(desk, "Ridgeway University")
    sandbox.change("sdp", "account", "edit", ridgeway["id"], city="Written by another integration")
    sandbox.change("xero", "contact", "edit", "Ridgeway University", Name="Ridgeway University of Wellington")
    sandbox.change("xero", "contact", "add", Name="Weka Cafe Limited", EmailAddress="ap@weka.example")
    sandbox.change("xero", "contact", "add", Name="Blackwood forestry")
    for name in ("Kea Tours", "Kea Tours"):
        sandbox.change("xero", "contact", "add", Name=name)
    sandbox.change("sdp", "account", "add", name="Kea Tours")
    sandbox.change("xero", "contact", "merge", "Bayside Club", into="O'Connor Plumbing")


def test_new_contacts_become_accounts_after_the_first_sync(desk: Project) -> None:
    made = account(desk, "Weka Cafe Limited")
    assert made["emailid"] == "ap@weka.example"
    assert contacts(desk)["Weka Cafe Limited"]["account_id"] == made["id"]


def test_names_in_doubt_are_never_guessed_but_listed_with_their_candidates(desk: Project) -> None:
    waiting = desk.listed("accounts", "list", "--unmapped")
    kea, blackwood = account(desk, "Kea Tours"), account(desk, "Blackwood Forestry")
    wanted = {
        "Kea Tours": [{"account_id": kea["id"], "account_name": "Kea Tours"}],
        "Blackwood forestry": [{"account_id": blackwood["id"], "account_name": "Blackwood Forestry"}],
    }
    assert sorted(row["contact_name"] for row in waiting) == ["Blackwood forestry", "Kea Tours", "Kea Tours"]
    for row in waiting:
        assert row["candidates"] == wanted[row["contact_name"]]
    text = desk.msp_xero("accounts", "list", "--unmapped")
    assert f"may be Kea Tours ({kea['id']})" in text
    assert "more than one contact is called so" in text
    # Whom of the two it is, nobody but a person knows.
    desk.msp_xero("accounts", "suggest", "--accept-above", "60")
    assert [row["contact_name"] for row in desk.listed("accounts", "list", "--unmapped")] == ["Kea Tours"] * 2


def test_a_link_survives_a_rename_and_what_was_overwritten_is_in_the_audit_log(desk: Project) -> None:
    row = contacts(desk)["Ridgeway University of Wellington"]
    renamed = account(desk, "Ridgeway University of Wellington")
    assert row["account_id"] == renamed["id"]
    assert renamed["city"] == "Wellington"  # the last writer wins
    with desk.reading() as session:
        events = session.scalars(select(Event).where(Event.action == "updated")).all()
    overwrote = [event.data["overwrote"] for event in events if event.data["sdp_id"] == renamed["id"]]
    assert overwrote[-1]["city"] == "Written by another integration"
    assert overwrote[-1]["name"] == "Ridgeway University"


def test_only_changed_fields_are_written(desk: Project) -> None:
    rename = [
        call
        for call in desk.sandbox.calls("sdp", "PUT")
        if call["path"].endswith(f"/{account(desk, 'Ridgeway University of Wellington')['id']}")
    ]
    assert len(rename) <= 2
    before = desk.sandbox.count("sdp")
    desk.run("accounts")
    after = desk.sandbox.calls("sdp", since=before)
    assert {call["method"] for call in after} == {"GET"}
    assert len(after) == 2  # the fields, and one page of accounts


def test_a_merge_into_a_contact_with_an_account_of_its_own_leaves_both_to_that_contact(desk: Project) -> None:
    row = contacts(desk)["Bayside Club"]
    assert "its account is billed to that one; merge the accounts in ServiceDesk Plus" in row["note"]
    assert (row["problem"], row["account_id"]) == (None, account(desk, "Bayside Club")["id"])


def test_a_wrong_field_map_ends_the_run_at_start_with_one_error(desk: Project) -> None:
    good = (desk.folder / "meltano.yml").read_text()
    writes = len(desk.sandbox.writes("sdp"))
    ledger, bookmarks = desk.ledger_path.read_bytes(), desk.bookmarks()
    fields = {
        "emailadress": "EmailAddress",
        "udf_fields.udf_double_104": "Name",
        "udf_fields.udf_sline_106": "Name",
    }
    desk.set_mapping("contacts-to-accounts", account_fields=fields)
    desk.run("accounts", expect=1)
    (desk.folder / "meltano.yml").write_text(good)
    (error,) = [line for line in desk.errors() if "target-msp-sdp" in line]
    assert (
        "Setting account_fields: the account field emailadress does not exist, udf_fields.udf_double_104 "
        "takes numbers, not texts, udf_fields.udf_sline_106 is read-only in ServiceDesk Plus MSP."
    ) in error
    assert len(desk.sandbox.writes("sdp")) == writes
    assert (desk.ledger_path.read_bytes(), desk.bookmarks()) == (ledger, bookmarks)


def test_fields_are_mapped_by_path_with_phones_and_addresses_by_type_and_joined_parts(desk: Project) -> None:
    desk.set_mapping(
        "contacts-to-accounts",
        account_fields={
            "landline": "Phones.DEFAULT",
            "fax": "Phones.FAX.PhoneNumber",
            "city": "Addresses.POBOX.City",
            "description": "{FirstName} {LastName}, {EmailAddress}",
            "udf_fields.udf_sline_102": "ContactID",
        },
    )
    desk.run("accounts", "--full-refresh")
    name = "Ngā Puna Health Trust"
    contact = next(one for one in desk.sandbox.rows("xero", "contacts") if one["Name"] == name)
    made = account(desk, name)
    phone = next(one for one in contact["Phones"] if one["PhoneType"] == "DEFAULT")
    assert made["landline"] == f"+64 04 {phone['PhoneNumber']}"
    assert made["description"].startswith(f"{contact['FirstName']} {contact['LastName']}")
    assert made["udf_fields"]["udf_sline_102"] == contact["ContactID"]


def test_worklogs_of_an_archived_contact_are_held_with_the_reason(desk: Project) -> None:
    desk.run("worklog-types", "worklogs")
    alone = desk.listed("accounts", "list", "--accounts")
    assert sum(row["worklogs"] for row in alone) == desk.reasons()["ACCOUNT_UNMAPPED"]
    text = desk.msp_xero("accounts", "list", "--accounts")
    assert f"{len(alone)} accounts without a contact, 1 worklog (" in text
    assert "hours) waits for one.\nLink one with `msp-xero accounts link CONTACT ACCOUNT`." in text
    assert desk.reasons()["CONTACT_ARCHIVED"] >= 1
    row = contacts(desk)["Harbour Print"]
    assert row["held_worklogs"] == desk.reasons()["CONTACT_ARCHIVED"]
    assert "held: CONTACT_ARCHIVED" in row["note"]
    assert "CONTACT_ARCHIVED" in desk.msp_xero("status")
    # Of two accounts whose contacts were merged both are billed to the one that survived.
    merged = contacts(desk)["Bayside Club"]
    billed = {one.contact_id for one in desk.invoices() if one.account_id == merged["account_id"]}
    assert billed == {merged["merged_to_contact_id"]}


def test_the_cloud_edition_links_customers_and_leaves_the_provider_out(desk: Project, tmp_path: Path) -> None:
    sandbox = desk.sandbox
    own = next(row for row in sandbox.rows("sdp", "accounts") if row["is_msp"])
    sandbox.change("xero", "contact", "add", Name=own["name"])
    project = Project.create(tmp_path / "cloud", sandbox)
    portal = {
        "base_url": f"{sandbox.sdp}/app/itdesk",
        "edition": "cloud",
        "oauth_url": sandbox.sdp,
        "oauth_client_id": "sandbox-client",
        "oauth_client_secret": "sandbox-secret",
        "oauth_refresh_token": "sandbox-refresh",
    }
    before = sandbox.count("sdp")
    project.run(
        "accounts",
        **{f"TARGET_MSP_SDP_{name.upper()}": value for name, value in portal.items()},
        TARGET_MSP_SDP_LOGIN_URL_TEMPLATE="{slug}.desk.example",
    )
    called = {call["path"] for call in sandbox.calls("sdp", since=before)}
    assert any(path.startswith("/app/itdesk/api/v3/customers") for path in called)
    assert not any("/accounts" in path for path in called)
    rows = contacts(project)
    assert rows["Harbour Print"]["account_id"]
    assert rows[own["name"]]["account_id"] is None
    assert own["id"] not in project.msp_xero("accounts", "suggest")
    refusal = project.msp_xero("accounts", "link", rows[own["name"]]["contact_id"], own["id"], expect=1)
    assert "account" in refusal
