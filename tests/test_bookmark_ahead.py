"""An older ledger is restored, and Meltano's bookmark is ahead of it: noticed, mended, nothing lost."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.reconciliation import lines_in_xero, reconcile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.project import Project

# The sandbox is changed within seconds: minutes of overlap would bring back what hours lose.
EXACTLY = {"TAP_MSP_SDP_OVERLAP_MINUTES": "0"}


def log_time(project: Project) -> list[str]:
    """Log time on two requests, one after the other, and return the ids of the worklogs."""
    near = [row for row in project.worklogs("invoiced") if row.module == "request"]
    parents = list(dict.fromkeys(row.parent_id for row in near))[:2]
    types = {row.parent_id: row.type_id for row in near}
    assert len(parents) == 2
    return [
        project.sandbox.change(
            "sdp", "worklog", "add", parent=f"requests/{parent}", type_id=types[parent], minutes=15
        )["id"]
        for parent in parents
    ]


def refused(project: Project) -> None:
    project.run("worklogs", expect=1, **EXACTLY)
    (error,) = project.errors()
    assert "target-xero-invoices: error: the bookmark is ahead of this ledger: the run went on from" in error
    assert "meltano run --full-refresh worklogs" in error


def test_a_bookmark_ahead_of_the_ledger_is_noticed_and_a_full_refresh_bills_all_exactly_once(
    billed: Project, tmp_path: Path
) -> None:
    sandbox = billed.sandbox
    backup = shutil.copytree(billed.ledger_path.parent, tmp_path / "backup")
    between = log_time(billed)
    billed.run("worklogs", TARGET_XERO_INVOICES_PUSH="false", **EXACTLY)
    assert {billed.worklog(one).state for one in between} == {"open"}
    books = sandbox.raw("xero", "invoices")

    shutil.rmtree(billed.ledger_path.parent)
    shutil.copytree(backup, billed.ledger_path.parent)
    after = log_time(billed)
    for _ in range(2):  # it is not forgotten by the run that it stops
        refused(billed)
        assert sandbox.raw("xero", "invoices") == books
        known = {row.worklog_id: row.state for row in billed.worklogs()}
        assert {known[one] for one in after} == {"open"}, "what came is stored"
    reconcile(billed, complete=False)

    billed.run("--full-refresh", "worklogs")
    assert billed.summary().startswith("4 worklogs invoiced on ")
    on_lines = [worklog_id for worklog_id, _, _ in lines_in_xero(sandbox)]
    assert [on_lines.count(one) for one in (*between, *after)] == [1, 1, 1, 1]
    reconcile(billed)
    billed.run("worklogs", **EXACTLY)
    assert "nothing new to bill" in billed.summary()
    reconcile(billed)


def test_a_lost_ledger_is_noticed_by_the_bookmark_that_is_left(staged: Project) -> None:
    """Nothing is in Xero yet that could tell of it."""
    sandbox = staged.sandbox
    shutil.rmtree(staged.ledger_path.parent)
    staged.run("--full-refresh", "accounts", "worklog-types")
    for _ in range(2):  # the ledger is not empty any more, and has nothing all the same
        refused(staged)
        assert "this ledger has nothing of that time" in staged.output
    assert sandbox.our_invoices() == {}
    staged.run("--full-refresh", "worklogs")
    assert staged.summary().startswith("63 worklogs invoiced on 5 invoices")
    reconcile(staged)
