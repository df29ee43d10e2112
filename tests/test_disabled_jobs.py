"""Each job can be switched off alone: it writes nothing, moves no bookmark, says so, and later carries on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.project import JOBS
from tests.reconciliation import reconcile
from tests.test_main_job import invoiced_request

if TYPE_CHECKING:
    from tests.project import Project

SWITCHES = {
    "accounts": ("target-msp-sdp", "accounts_enabled"),
    "worklog-types": ("target-msp-sdp-types", "worklog_types_enabled"),
    "worklogs": ("target-xero-invoices", "worklogs_enabled"),
}


def change_everything(project: Project) -> str:
    """Let people work in both systems; return the worklog that was booked."""
    sandbox = project.sandbox
    near = invoiced_request(project)
    sandbox.change("xero", "contact", "add", Name="New Customer Limited")
    details = {"UnitPrice": 50, "AccountCode": "200", "TaxType": "OUTPUT2"}
    sandbox.change("xero", "item", "add", Code="NEW-1", Name="New service", SalesDetails=details)
    parent = f"requests/{near['parent_id']}"
    return sandbox.change("sdp", "worklog", "add", parent=parent, type_id=near["type_id"], minutes=25)["id"]


def arrived(project: Project, worklog_id: str) -> set[str]:
    """Return the jobs whose news has arrived on the other side."""
    sandbox = project.sandbox
    found = {
        "accounts": any(row["name"] == "New Customer Limited" for row in sandbox.rows("sdp", "accounts")),
        "worklog-types": any(row["name"] == "New service" for row in sandbox.rows("sdp", "worklog_types")),
        "worklogs": any(row.worklog_id == worklog_id for row in project.worklogs("invoiced")),
    }
    return {job for job, is_there in found.items() if is_there}


def test_each_job_goes_on_alone_while_the_others_are_off(billed: Project) -> None:
    project, sandbox = billed, billed.sandbox
    worklog_id = change_everything(project)
    _switch(project, *JOBS)
    ledger, bookmarks = project.ledger_path.read_bytes(), project.bookmarks()

    project.run(*JOBS)  # all are off: they leave no trace
    for job in JOBS:
        assert project.summary(job).startswith(f"disabled by {SWITCHES[job][1]}; nothing was stored or "), job
    assert project.ledger_path.read_bytes() == ledger
    assert project.bookmarks() == bookmarks
    assert sandbox.writes("sdp") + sandbox.writes("xero") == []
    shown = project.msp_xero("status")
    for job, (_, setting) in SWITCHES.items():
        assert f"switched off by {setting}" in shown, job
    assert project.listed("status")["switched_off"] == {job: SWITCHES[job][1] for job in JOBS}

    # Each goes on alone, and those that are off do nothing.
    there: set[str] = set()
    for alone in ("worklog-types", "accounts", "worklogs"):
        off = [job for job in JOBS if job != alone]
        _switch(project, *off)
        project.run(*JOBS)
        there.add(alone)
        assert arrived(project, worklog_id) == there
        assert project.listed("status")["switched_off"] == {job: SWITCHES[job][1] for job in off}
    reconcile(project)


def _switch(project: Project, *off: str) -> None:
    for job, (plugin, setting) in SWITCHES.items():
        project.set_loader(plugin, **{setting: job not in off})


def test_a_first_run_with_every_job_off_leaves_neither_ledger_nor_bookmark(project: Project) -> None:
    for plugin, setting in SWITCHES.values():
        project.environment[f"{plugin}_{setting}".replace("-", "_").upper()] = "false"
    project.run(*JOBS)
    for job, (_, setting) in SWITCHES.items():
        assert f"disabled by {setting}" in project.summary(job)
    assert not project.ledger_path.exists()
    assert project.bookmarks() == {}
    assert project.sandbox.writes("sdp") + project.sandbox.writes("xero") == []
    assert "worklogs_enabled: false" in project.msp_xero("invoices", "push")
    assert project.listed("invoices", "push") == {"outcome": "disabled"}
