"""The three jobs with real ``meltano run`` over real sockets; every scenario ends reconciled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.project import JOBS
from tests.reconciliation import delivered, lines_in_xero, reconcile

if TYPE_CHECKING:
    from tests.project import Project

# Where each awkward worklog of the story belongs after the first run; all others are invoiced.
HELD = {
    "type_missing": "TYPE_MISSING",
    "type_unknown_to_xero": "TYPE_NOT_SYNCED",
    "type_nearly_an_item": "TYPE_NOT_SYNCED",
    "type_inactive": "TYPE_NOT_SYNCED",
    "type_item_not_sold": "TYPE_NOT_SYNCED",
    "type_item_without_price": "ITEM_WITHOUT_PRICE",
    "type_item_without_account": "ACCOUNT_CODE_INVALID",
    "type_item_account_archived": "ACCOUNT_CODE_INVALID",
    "account_unresolved": "ACCOUNT_UNRESOLVED",
    "general_task_without_account": "ACCOUNT_UNRESOLVED",
    "worklog_account_nearly": "ACCOUNT_UNMAPPED",
    "worklog_account_without_contact": "ACCOUNT_UNMAPPED",
    "worklog_own_account": "ACCOUNT_UNMAPPED",
    "worklog_contact_archived": "CONTACT_ARCHIVED",
}
EXCLUDED = {"zero_minutes": "EXCLUDED_BY_RULE"}
NEVER_DELIVERED = {"request_trashed", "request_archived"}


def invoiced_request(project: Project) -> dict[str, str]:
    """Return a worklog on a request that is billed, as the source has it."""
    invoiced = {row.worklog_id for row in project.worklogs("invoiced")}
    return next(
        row
        for row in delivered(project.sandbox).values()
        if row["id"] in invoiced and row["parent_kind"] == "request" and row["minutes"] == 30
    )


def test_first_run_links_and_bills_each_account_once(billed: Project) -> None:
    sandbox = billed.sandbox
    totals = sum(row["Total"] for row in sandbox.our_invoices().values())
    summary = billed.summary("worklogs")
    count = billed.states()["invoiced"]
    assert summary.startswith(f"{count} worklogs invoiced on 5 invoices (NZD {totals:,.2f}); 19 held")

    by_label = {
        row["label"]: row["id"] for row in sandbox.rows("sdp", "awkward") if row["kind"] == "worklogs"
    }
    placed = {row.worklog_id: (row.state, row.reason_code) for row in billed.worklogs()}
    for label, worklog_id in by_label.items():
        if label in NEVER_DELIVERED:
            assert worklog_id not in placed, label
        elif label in HELD:
            assert placed[worklog_id] == ("held", HELD[label]), label
        elif label in EXCLUDED:
            assert placed[worklog_id] == ("excluded", EXCLUDED[label]), label
        else:
            assert placed[worklog_id] == ("invoiced", None), label

    contacts = [row["Contact"]["ContactID"] for row in sandbox.our_invoices().values()]
    assert len(contacts) == len(set(contacts)) == 5
    reconcile(billed)


def test_first_run_adopts_what_both_sides_know_and_adds_the_rest(linked: Project) -> None:
    assert re.match(r"7 linked \(7 new\), 0 created, \d+ updated", linked.summary("accounts"))
    assert re.match(r"18 linked \(16 new\), 2 created", linked.summary("worklog-types"))
    sandbox = linked.sandbox
    names = {row["Name"] for row in sandbox.rows("xero", "items") if row["IsSold"]}
    assert names <= {row["name"] for row in sandbox.rows("sdp", "worklog_types")}
    contacts = {row["Name"] for row in sandbox.rows("xero", "contacts")}
    # The first sync links accounts of the same name and creates none: the rest waits for a person.
    assert len(sandbox.rows("sdp", "accounts")) == 12
    unmapped = linked.listed("accounts", "list", "--unmapped")
    assert contacts >= {row["contact_name"] for row in unmapped}
    assert len(unmapped) == 5


def test_a_second_run_bills_nothing_and_needs_few_calls(billed: Project) -> None:
    sandbox = billed.sandbox
    before = sandbox.raw("xero", "invoices")
    billed.run(*JOBS)
    assert billed.summary("worklogs").startswith("nothing new to bill; 19 held")
    assert billed.summary("accounts").startswith("7 linked, 0 created, 0 updated")
    assert billed.summary("worklog-types").startswith("18 linked, 0 created, 0 updated")
    assert sandbox.raw("xero", "invoices") == before
    assert sandbox.writes("xero") == []
    assert sandbox.writes("sdp") == []
    assert sandbox.count("xero") < 20
    reconcile(billed)


def test_only_new_worklogs_are_billed_by_the_next_run_and_a_malformed_one_stops_none(
    billed: Project,
) -> None:
    sandbox = billed.sandbox
    before = sandbox.our_invoices()
    near = invoiced_request(billed)
    added, malformed = (
        sandbox.change(
            "sdp",
            "worklog",
            "add",
            parent=f"requests/{near['parent_id']}",
            owner_id=near["owner_id"],
            type_id=near["type_id"],
            minutes=minutes,
            description="Came later",
        )
        for minutes in (95, 1_200_000)
    )
    billed.run("worklogs")
    held = billed.worklog(malformed["id"])
    assert (held.state, held.reason_code) == ("held", "INVALID_RECORD")
    assert "minutes must be a whole number" in str(held.reason)
    assert billed.summary().startswith("1 worklog invoiced on 1 invoice")
    after = sandbox.our_invoices()
    (number,) = after.keys() - before.keys()
    assert {key: after[key] for key in before} == before
    assert [
        worklog_id for worklog_id, _, row in lines_in_xero(sandbox) if row["InvoiceNumber"] == number
    ] == [added["id"]]
    reconcile(billed)


def test_a_new_default_worklog_type_lets_the_held_ones_go(billed: Project) -> None:
    held = billed.sandbox.worklog("type_missing")
    assert billed.worklog(held["id"]).reason_code == "TYPE_MISSING"
    billed.set_mapping("worklogs-to-lines", default_worklog_type="Consulting")
    billed.run("worklogs")
    assert billed.summary().startswith("1 worklog invoiced on 1 invoice")
    assert billed.worklog(held["id"]).state == "invoiced"
    line = next(line for worklog_id, line, _ in lines_in_xero(billed.sandbox) if worklog_id == held["id"])
    assert line["ItemCode"] == "CON-1"
    assert "TYPE_MISSING" not in billed.reasons()
    reconcile(billed)


def test_worklogs_before_types_are_held_and_go_out_once_types_are_synced(project: Project) -> None:
    project.run("accounts", "worklogs")
    assert project.sandbox.our_invoices() == {}
    assert project.reasons()["TYPE_NOT_SYNCED"] > 60
    assert project.states().keys() == {"held", "excluded"}
    reconcile(project)
    project.run("worklog-types", "worklogs")
    assert project.states()["invoiced"] == 63
    reconcile(project)


def test_a_broken_extraction_makes_no_half_invoices(linked: Project) -> None:
    project, sandbox = linked, linked.sandbox
    # Requests and problems have come when the key is taken away.
    sandbox.break_("sdp", "revoked", "GET", "/api/v3/changes")
    project.run("worklogs", expect=1)
    assert sorted(line.partition(": error: ")[0].split()[-1] for line in project.errors()) == [
        "tap-msp-sdp",
        "target-xero-invoices",
    ]
    assert sandbox.our_invoices() == {}
    assert sandbox.writes("xero") == []
    assert 0 < len(project.worklogs()) < len(delivered(sandbox))
    reconcile(project, complete=False)

    sandbox.mend()
    project.run("worklogs")
    assert project.states()["invoiced"] == 63
    reconcile(project)


def test_without_push_nothing_is_sent_until_a_person_pushes(staged: Project) -> None:
    sandbox = staged.sandbox
    assert staged.summary().startswith("push is off: 5 invoices over NZD ")
    assert sandbox.our_invoices() == {}

    preview = staged.listed("invoices", "preview")
    assert len(preview["invoices"]) == 5
    assert sandbox.writes("xero") == []
    assert sum(one["lines"] for one in preview["invoices"]) == staged.states()["open"] == 63

    pushed = staged.listed("invoices", "push")
    assert (pushed["invoices"], pushed["worklogs"]) == (5, 63)
    made = sandbox.our_invoices()
    assert {one["number"]: one["total"] for one in preview["invoices"]} == {
        number: row["Total"] for number, row in made.items()
    }
    reconcile(staged)
    assert "nothing new to bill" in staged.msp_xero("invoices", "push", expect=3)
    reconcile(staged)
