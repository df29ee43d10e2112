"""``msp-xero accounts suggest --accept``, ``export`` and ``import``."""

from __future__ import annotations

import csv

import pytest
from msp_xero.ledger.link_staging import ACCOUNT, DeliveredContact, Entry, stage_accounts, store_listing
from msp_xero.ledger.models import Event
from sqlalchemy import select

HEADER = "contact_id,decision,account_id"


@pytest.fixture
def desk(cli):
    """The usual project with more contacts and accounts to decide about."""
    contacts = [
        ("c-20", "Hīnau Web Studio Ltd"),
        ("c-21", "=Totara"),
        ("c-22", "Tōtara"),
        ("c-23", "Twofold"),
    ]
    accounts = [("7", "Kōwhai Dental"), ("8", "Rimu & Co [Ltd]"), ("9", "Totara"), ("20", "HĪNAU web studio")]
    accounts += [("145684000000179500", "Twofold Ltd"), ("22", "TWOFOLD")]
    with cli.ledger() as ledger:
        stage_accounts(
            ledger, [DeliveredContact(contact_id=one, contact_name=name, wanted={}) for one, name in contacts]
        )
        with ledger.write() as session:
            store_listing(session, ledger, ACCOUNT, [Entry(*one) for one in accounts])
    return cli


def links(cli) -> dict[str, str | None]:
    return {row["contact_id"]: row["account_id"] for row in cli.data("accounts", "list") if row["account_id"]}


def rows(path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["contact_id"]: row for row in csv.DictReader(file)}


def sheet(path, *lines: str, header: str = HEADER, encoding: str = "utf-8") -> str:
    path.write_bytes("\r\n".join([header, *lines, ""]).encode(encoding))
    return str(path)


# ------------------------------------------------------------------- accepting


def test_all_above_a_score_are_linked_and_what_is_close_is_left(desk) -> None:
    dry = desk.says("accounts", "suggest", "--accept-above", "90", "--dry-run")
    assert "would be linked" in dry
    assert links(desk) == {"c-7": "7"}
    text = desk.says("accounts", "suggest", "--accept-above", "90")
    assert links(desk) == {"c-7": "7", "c-8": "8", "c-20": "20"}
    assert "left to you, because another account or another contact comes within 5 points" in text
    assert "0 contacts linked" in desk.says("accounts", "suggest", "--accept-above", "90")


def test_one_contact_is_accepted_by_name(desk) -> None:
    made = desk.data("accounts", "suggest", "--accept", "Hīnau Web Studio Ltd")
    assert [(one["contact_id"], one["account_id"], one["score"]) for one in made["linked"]] == [
        ("c-20", "20", 93)
    ]
    assert links(desk)["c-20"] == "20"
    with desk.ledger() as ledger, ledger.read() as session:
        event = session.scalars(select(Event).where(Event.action == "linked")).one()
    assert event.data["score"] == 93
    assert event.data["reason"] == "same name but for the company suffix"


@pytest.mark.parametrize(
    ("contact", "error"),
    [
        ("c-23", "is not clear: TWOFOLD (22, 95) or Twofold Ltd (145684000000179500, 93)"),
        ("c-9", "there is no suggestion for contact 'Twin' (c-9)"),
        ("c-7", "is linked to account 7 already"),
        ("nobody", "there is no contact 'nobody'"),
    ],
)
def test_what_is_not_clear_is_not_accepted(desk, contact, error) -> None:
    assert error in desk.refuses("accounts", "suggest", "--accept", contact)
    assert links(desk) == {"c-7": "7"}


# ---------------------------------------------------------------------- export


def test_export_writes_who_waits_with_the_suggestion(desk, tmp_path) -> None:
    path = tmp_path / "accounts.csv"
    assert "7 contacts written" in desk.says("accounts", "export", str(path))
    assert path.read_bytes().startswith(b"\xef\xbb\xbfcontact_id,contact_name,state,note,")
    found = rows(path)
    assert found["c-20"] == {
        "contact_id": "c-20",
        "contact_name": "Hīnau Web Studio Ltd",
        "state": "unmapped",
        "note": "",
        "suggested_account_id": "20",
        "suggested_account_name": "HĪNAU web studio",
        "score": "93",
        "reason": "same name but for the company suffix",
        "other_suggestions": "",
        "decision": "",
        "account_id": "",
    }
    assert found["c-21"]["contact_name"] == "'=Totara"
    assert found["c-23"]["other_suggestions"] == "Twofold Ltd (145684000000179500, 93)"
    desk.says("accounts", "export", str(path), "--all")
    assert rows(path)["c-7"]["account_id"] == "7"


def test_long_ids_survive_a_spreadsheet(desk, tmp_path) -> None:
    desk.says("accounts", "link", "c-21", "22")
    path = tmp_path / "accounts.csv"
    desk.says("accounts", "export", str(path))
    assert rows(path)["c-23"]["suggested_account_id"] == "'145684000000179500"
    sheet(path, "c-23,link,'145684000000179500")
    desk.says("accounts", "import", str(path))
    assert links(desk)["c-23"] == "145684000000179500"


def test_an_export_can_be_filled_in_and_read_back(desk, tmp_path) -> None:
    path = tmp_path / "accounts.csv"
    desk.says("accounts", "export", str(path))
    filled = rows(path)
    filled["c-20"]["decision"] = "Link"
    filled["c-9"]["decision"] = "ignore"
    filled["c-10"]["decision"] = "create"
    filled["c-8"] |= {"decision": " link ", "account_id": " 9 "}
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(filled["c-8"]), delimiter=";")
        writer.writeheader()
        writer.writerows(filled.values())
    checked = desk.says("accounts", "import", str(path), "--dry-run")
    assert checked == "4 decisions would be carried out: 2 linked, 1 to be created, 1 ignored.\n"
    assert links(desk) == {"c-7": "7"}
    text = desk.says("accounts", "import", str(path))
    assert text.startswith("4 decisions: 2 linked, 1 to be created, 1 ignored.\n")
    assert links(desk) == {"c-7": "7", "c-8": "9", "c-20": "20"}
    assert "4 were so already" in desk.says("accounts", "import", str(path))


# ---------------------------------------------------------------------- import


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_spreadsheets_make_of_it_is_read(desk, tmp_path, encoding, separator) -> None:
    header = separator.join((" Contact ID ", "contact_name", "DECISION", "account_id"))
    path = sheet(
        tmp_path / "a.csv",
        separator.join((" c-20 ", '"Café;\n, Zürich"', "LINK", "20")),
        separator.join(("", "", "", "")),
        separator.join(("c-9", "", "ignore", "")),
        header=header,
        encoding=encoding,
    )
    assert desk.says("accounts", "import", path).startswith("2 decisions: 1 linked, 1 ignored.")
    assert links(desk)["c-20"] == "20"


def test_a_line_that_names_the_separator_is_passed_over(desk, tmp_path) -> None:
    path = sheet(tmp_path / "a.csv", "contact_id;decision", "c-9;ignore", "c-x;ignore", header="sep=;")
    assert "line 4: there is no contact c-x" in desk.refuses("accounts", "import", path)


def test_all_wrong_rows_are_named_at_once_and_nothing_is_changed(desk, tmp_path) -> None:
    path = sheet(
        tmp_path / "a.csv",
        "c-20,link,20",
        'c-8,"per\nhaps",',
        ",ignore,",
        "c-21,link,1.45684E+17",
        "c-22,link,77",
        "c-9,link,7",
    )
    error = desk.refuses("accounts", "import", path)
    assert error.startswith(
        f"msp-xero: error: 5 rows of {path} cannot be carried out, so nothing was changed:\n"
    )
    assert [line.strip() for line in error.splitlines()[1:]] == [
        "line 3: the decision is link, create, ignore, unlink or empty, not 'per\\nhaps'",
        "line 5: contact_id is empty",
        (
            "line 6: the spreadsheet has shortened the account id to 1.45684E+17; "
            "format the column as text and enter it again"
        ),
        "line 7: ServiceDesk Plus MSP listed no account 77 at the last run",
        "line 8: account 7 is linked to contact c-7; unlink that one first",
    ]
    assert links(desk) == {"c-7": "7"}
    found = desk.data("accounts", "import", path, code=1)
    assert (len(found["problems"]), found["changed"]) == (5, {})


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"name,id\nx,y\n", "has no column contact_id and no column decision"),
        (b"", "has no column contact_id"),
        (b"contact_id,decision,decision\n", "has the column decision more than once"),
        (b'contact_id,decision\nc-9,"ignore\0"\n', "is no CSV file"),
        (b"PK\x03\x04\x00\x00", "is no CSV file"),
    ],
)
def test_what_is_no_such_sheet_is_refused(desk, tmp_path, content, error) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert error in desk.refuses("accounts", "import", str(path))


def test_empty_and_missing_files(desk, empty, tmp_path) -> None:
    path = sheet(tmp_path / "a.csv", "c-20,,")
    assert "holds no decision" in desk.says("accounts", "import", path)
    assert "No such file" in desk.refuses("accounts", "import", str(tmp_path / "none.csv"))
    assert "does not end in .csv" in desk("accounts", "export", "x.xlsx").stderr


def test_status_counts_the_contacts(desk) -> None:
    desk.says("accounts", "ignore", "c-9")
    text = desk.says("status")
    assert "1 of 8 contacts linked; 6 unmapped: see `msp-xero accounts list --unmapped`; 1 ignored." in text
    assert desk.data("status")["accounts"]["unmapped"] == 6
