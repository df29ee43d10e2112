"""``msp-xero worklogs exclude`` for many at once: what another integration has billed already."""

from __future__ import annotations

import csv
import json
from datetime import date

import pytest
from msp_xero.ledger import views
from msp_xero.ledger.decisions import Refusal, include_worklog
from msp_xero.ledger.exclusions import exclude_worklogs, preview_exclusion
from msp_xero.ledger.rows import WorklogFilter
from msp_xero.ledger.staging import stage_lines

HOLD = {"decision": "hold", "reason_code": "TYPE_MISSING", "reason": "No type here."}
EXCLUDE = {"decision": "exclude", "reason_code": "EXCLUDED_BY_RULE", "reason": "The rule."}
FROM_NOVEMBER = WorklogFilter(before=date(2026, 11, 1))


@pytest.fixture
def ledger(empty, line):
    """Two worklogs of October, one of them held, one excluded by a rule, and one of November."""
    lines = [
        line("1", work_date=date(2026, 10, 30), minutes=60),
        line("2", work_date=date(2026, 10, 31), minutes=30, **HOLD),
        line("3", work_date=date(2026, 10, 31), minutes=15, **EXCLUDE),
        line("4", work_date=date(2026, 11, 1), minutes=45),
    ]
    with empty.ledger() as ledger:
        stage_lines(ledger, lines, settle_reasons=frozenset())
        yield ledger


def states(ledger):
    rows = views.list_worklogs(ledger, WorklogFilter(), limit=1000)
    return {row.worklog_id: (row.state, row.reason_code) for row in rows}


def test_all_work_before_a_day_is_excluded_and_nothing_else(ledger) -> None:
    foreseen = preview_exclusion(ledger, FROM_NOVEMBER)
    assert states(ledger)["1"] == ("open", None)
    done = exclude_worklogs(ledger, FROM_NOVEMBER, "billed by the old integration")
    assert done == foreseen
    assert (done.count, done.minutes, done.billed) == (3, 105, 0)
    assert states(ledger) == {
        "1": ("excluded", "EXCLUDED_BY_PERSON"),
        "2": ("excluded", "EXCLUDED_BY_PERSON"),
        "3": ("excluded", "EXCLUDED_BY_PERSON"),
        "4": ("open", None),
    }
    assert exclude_worklogs(ledger, FROM_NOVEMBER, "again").count == 0


def test_what_a_rule_excluded_stays_out_when_the_rule_changes(ledger, line) -> None:
    exclude_worklogs(ledger, FROM_NOVEMBER, "billed by the old integration")
    billable_now = line("3", work_date=date(2026, 10, 31), minutes=15)
    stage_lines(ledger, [billable_now], settle_reasons=frozenset())
    assert states(ledger)["3"] == ("excluded", "EXCLUDED_BY_PERSON")
    (row,) = views.find_worklogs(ledger, "3")
    assert include_worklog(ledger, row.row) == "open"


def test_what_came_while_the_person_was_asked_is_not_excluded_with_it(ledger, line) -> None:
    shown = preview_exclusion(ledger, FROM_NOVEMBER)
    late = line("5", work_date=date(2026, 10, 1))
    stage_lines(ledger, [late], settle_reasons=frozenset())
    with pytest.raises(Refusal, match="came or went while you were asked; nothing was excluded"):
        exclude_worklogs(ledger, FROM_NOVEMBER, "billed", expected=shown)
    assert states(ledger)["1"] == ("open", None)


def test_each_can_be_included_again_and_is_then_what_it_was(ledger) -> None:
    exclude_worklogs(ledger, FROM_NOVEMBER, "billed")
    (held,) = views.find_worklogs(ledger, "2")
    assert include_worklog(ledger, held.row) == "held"
    assert states(ledger)["2"] == ("held", "TYPE_MISSING")


def test_ids_that_were_never_delivered_are_named(ledger) -> None:
    many = [str(number) for number in range(5000, 6200)]
    done = exclude_worklogs(ledger, WorklogFilter(), "billed", ["4", *many, "1", "4"])
    assert done.count == 2
    assert list(done.unknown) == many
    assert states(ledger)["2"][0] == "held"


def test_the_person_is_shown_what_is_meant_and_asked(cli) -> None:
    asked = cli("worklogs", "exclude", "--before", "2027-01-01", "--reason", "billed")
    assert asked.exit_code == 1
    assert "would be excluded. " in asked.output
    assert "stay: they are on an invoice, or about to be" in asked.output
    before = cli.data("status")
    said = cli.says("worklogs", "exclude", "--before", "2027-01-01", "--reason", "billed", "--yes")
    assert said.startswith("Excluded ")
    after = cli.data("status")
    assert before != after
    assert "No worklog that could be billed fits this" in cli.says(
        "worklogs", "exclude", "--before", "2027-01-01", "--reason", "billed", "--yes"
    )


def test_json_says_what_was_done(cli) -> None:
    arguments = ("worklogs", "exclude", "--account", "kōwhai dental", "--before", "2000-01-01")
    data = cli.data(*arguments, "--reason", "billed", "--yes")
    assert data == {"excluded": 0, "minutes": 0, "money": 0, "unpriced": 0, "billed": 0, "unknown": []}
    error = cli.refuses("worklogs", "exclude", "--account", "nobody", "--reason", "billed", "--yes")
    assert "there is no account with worklogs 'nobody'" in error


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_a_file_of_ids_in_another_encoding(cli, tmp_path, encoding) -> None:
    path = tmp_path / "billed.csv"
    path.write_text("Techniker für,worklog_id\nAnna,104\n", encoding=encoding)
    data = cli.data("worklogs", "exclude", "--ids", str(path), "--reason", "billed", "--yes")
    assert data["excluded"] == 1


def test_a_file_that_is_no_text_is_one_plain_error(cli, tmp_path) -> None:
    path = tmp_path / "billed.xlsx"
    path.write_bytes(b"PK\x03\x04\x00\x00")
    error = cli.refuses("worklogs", "exclude", "--ids", str(path), "--reason", "billed", "--yes")
    assert "billed.xlsx is no CSV file; save the sheet as CSV UTF-8" in error


def test_without_anybody_to_answer_nothing_is_excluded_and_the_way_out_is_named(cli) -> None:
    result = cli("worklogs", "exclude", "--account", "kōwhai dental", "--reason", "billed elsewhere")
    assert result.exit_code == 1
    assert "nobody answered, so nothing was excluded; say --yes to exclude without asking" in result.stderr


def test_an_empty_reason_is_refused_before_anything_is_asked(cli) -> None:
    error = cli.refuses("worklogs", "exclude", "--account", "kōwhai dental", "--reason", " ")
    assert "say why the worklogs are not to be billed" in error
    assert "would be excluded" not in error


@pytest.mark.parametrize(
    "content",
    [
        "104\n",
        "\ufeff104\r\n\r\n",
        "id\n104\n",
        "Request;Worklog ID;Hours\n12;104;1.5\n",
        'Subject,worklog_id\n"Printer, again", 104 \n',
    ],
)
def test_a_file_of_ids_as_people_have_it(cli, tmp_path, content) -> None:
    path = tmp_path / "billed.csv"
    path.write_text(content, encoding="utf-8")
    data = cli.data("worklogs", "exclude", "--ids", str(path), "--reason", "billed", "--yes")
    assert (data["excluded"], data["unknown"]) == (1, [])


def test_unknown_ids_end_with_3(cli, tmp_path) -> None:
    path = tmp_path / "billed.txt"
    path.write_text("104\n" + "".join(f"{number}\n" for number in range(9000, 9007)))
    result = cli("worklogs", "exclude", "--ids", str(path), "--reason", "billed", "--yes")
    assert result.exit_code == 3
    assert "7 ids of the file were never delivered: 9000, 9001, 9002, 9003, 9004 and 2 more" in result.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "has no worklog ids"),
        ("id\n\n", "has no worklog ids"),
        ("Request,Hours\n12,1.5\n", "has no column called worklog_id; its columns are Request, Hours"),
        ("worklog_id\nabc\n", "'abc' where a worklog id was expected"),
    ],
)
def test_a_file_without_ids_excludes_nothing(cli, tmp_path, content, why) -> None:
    path = tmp_path / "billed.csv"
    path.write_text(content)
    error = cli.refuses("worklogs", "exclude", "--ids", str(path), "--reason", "billed", "--yes")
    assert why in error


@pytest.mark.parametrize("arguments", [(), ("104", "--before", "2027-01-01")])
def test_one_or_many_but_not_both(cli, arguments) -> None:
    assert "give the ID of one worklog, or" in cli.refuses(
        "worklogs", "exclude", *arguments, "--reason", "x", code=2
    )


def test_many_need_a_reason_too(cli) -> None:
    error = cli.refuses("worklogs", "exclude", "--before", "2027-01-01", "--reason", " ", "--yes")
    assert "say why the worklogs are not to be billed" in error


def test_what_stays_on_our_invoices_is_told_without_a_question_too(cli, tmp_path) -> None:
    path = tmp_path / "billed.txt"
    path.write_text("101\n104\n")
    result = cli("worklogs", "exclude", "--ids", str(path), "--reason", "billed before", "--yes")
    assert result.exit_code == 3
    assert result.stdout.startswith("Excluded 1 worklog ")
    assert "1 other stays: it is on an invoice, or about to be." in result.stderr


def test_an_export_of_ours_can_be_given_back(cli) -> None:
    cli.says("worklogs", "export", "--state", "open", "--state", "held", "waiting.csv")
    waiting = {row["worklog_id"] for row in cli.data("worklogs", "list") if row["state"] in ("open", "held")}
    data = cli.data("worklogs", "exclude", "--ids", "waiting.csv", "--reason", "billed before", "--yes")
    assert (data["excluded"], data["billed"], data["unknown"]) == (len(waiting) + 1, 0, [])


def test_a_row_of_an_export_means_no_other_worklog_of_its_id(cli) -> None:
    cli.says("worklogs", "export", "--state", "open", "open.csv")
    with (cli.folder / "open.csv").open(encoding="utf-8-sig", newline="") as file:
        heading, *rows = csv.reader(file)
    assert [row[0] for row in rows] == ["104", "109", "110#1", "110#2"]
    with (cli.folder / "one.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([heading, rows[2]])
    cli.says("worklogs", "exclude", "--ids", "one.csv", "--reason", "billed before", "--yes")
    shown = [one["worklog"] for one in cli.data("worklogs", "show", "110")]
    assert [row["state"] for row in shown] == ["excluded", "open"]


def test_one_of_two_worklogs_that_share_an_id(cli, tmp_path) -> None:
    path = tmp_path / "billed.txt"
    path.write_text("110#2\n110#3\n110#99999999999999999999\n")
    result = cli("worklogs", "exclude", "--ids", str(path), "--reason", "billed before", "--yes", "--json")
    data = json.loads(result.stdout)
    assert (data["excluded"], data["unknown"]) == (1, ["110#3", "110#99999999999999999999"])
    shown = [one["worklog"] for one in cli.data("worklogs", "show", "110")]
    states = [(row["ordinal"], row["state"]) for row in shown]
    assert states == [(0, "open"), (1, "excluded")]


@pytest.mark.parametrize("end", ["\u2028", "\u0085", "\v", "\f", "\n"])
def test_a_title_that_holds_the_end_of_a_line_excludes_no_other_worklog(cli, line, end) -> None:
    with cli.ledger() as ledger:
        stage_lines(ledger, [line("301", parent_title=f"Printer{end}104")], settle_reasons=frozenset())
    cli.says("worklogs", "export", "--state", "open", "open.csv")
    with (cli.folder / "open.csv").open(encoding="utf-8-sig", newline="") as file:
        heading, *rows = csv.reader(file)
    with (cli.folder / "one.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([heading, *(row for row in rows if row[0] == "301")])
    cli.says("worklogs", "exclude", "--ids", "one.csv", "--reason", "billed before", "--yes")
    states = {row["worklog_id"]: row["state"] for row in cli.data("worklogs", "list")}
    assert (states["301"], states["104"]) == ("excluded", "open")


def test_an_account_that_is_named_like_the_id_of_another_stays(cli, line) -> None:
    lines = [
        line("201", account_id="3", account_name="Totara"),
        line("202", account_id="44", account_name="3"),
    ]
    with cli.ledger() as ledger:
        stage_lines(ledger, lines, settle_reasons=frozenset())
    cli.says("worklogs", "exclude", "--account", "3", "--reason", "billed before", "--yes")
    states = {row["worklog_id"]: row["state"] for row in cli.data("worklogs", "list")}
    assert (states["201"], states["202"]) == ("excluded", "open")
