"""The main job over real sockets with real ``meltano run``: every scenario ends reconciled."""

from __future__ import annotations

import json

import pytest

JOBS = ("accounts", "worklog-types", "worklogs")


@pytest.fixture
def billed(project):
    """A project after its first run of all three jobs."""
    project.run(*JOBS)
    return project


def test_first_run_bills_each_account_once_and_a_second_run_bills_nothing(billed, sandbox):
    first = {row["InvoiceNumber"]: row["Total"] for row in sandbox.our_invoices()}
    assert first
    assert billed.states()["invoiced"] > 0
    billed.reconcile()

    billed.run(*JOBS)
    assert "nothing new to bill" in billed.summary()
    assert {row["InvoiceNumber"]: row["Total"] for row in sandbox.our_invoices()} == first
    billed.reconcile()


def billable_row(sandbox, project):
    """A worklog that was billed, as the sandbox's SDP holds it."""
    with project.ledger() as ledger, ledger.read() as session:
        from msp_xero.ledger.models import Worklog
        from sqlalchemy import select

        row = session.scalar(
            select(Worklog).where(Worklog.state == "invoiced", Worklog.module == "request").limit(1)
        )
    return row


def test_new_worklogs_only_are_billed_by_the_next_run(billed, sandbox):
    before = len(sandbox.our_invoices())
    row = billable_row(sandbox, billed)
    sandbox.change(
        "sdp",
        kind="worklog",
        action="add",
        values={
            "parent": f"requests/{row.parent_id}",
            "owner_id": row.technician_id,
            "type_id": row.type_id,
            "minutes": 90,
            "description": "Came later",
        },
    )
    invoiced = billed.states()["invoiced"]
    billed.run("worklogs")
    assert billed.states()["invoiced"] == invoiced + 1
    assert len(sandbox.our_invoices()) == before + 1
    assert "1 worklogs invoiced on 1 invoices" in billed.summary()
    billed.reconcile()


def test_changed_later_means_reported_not_resent(billed, sandbox):
    row = billable_row(sandbox, billed)
    before = len(sandbox.our_invoices())
    sandbox.change(
        "sdp", kind="worklog", action="edit", id=row.worklog_id, values={"minutes": row.minutes + 60}
    )
    billed.run("worklogs")
    assert "1 changed after billing" in billed.output
    assert len(sandbox.our_invoices()) == before
    listed = json.loads(billed.msp_xero("worklogs", "list", "--changed", "--json", expect=None))
    assert row.worklog_id in json.dumps(listed)
    billed.reconcile()


def test_an_old_bookmark_bills_nothing_twice(billed, sandbox):
    before = len(sandbox.our_invoices())
    billed.run("--full-refresh", "worklogs")
    assert "nothing new to bill" in billed.summary()
    assert len(sandbox.our_invoices()) == before
    billed.reconcile()


def test_a_new_default_worklog_type_releases_the_held_ones(billed, sandbox):
    held = billed.reasons()
    assert held.get("TYPE_MISSING", 0) > 0
    path = billed.folder / "meltano.yml"
    text = path.read_text()
    path.write_text(
        text.replace(
            "rate_source: item_price", "rate_source: item_price\n        default_worklog_type: Remote support"
        )
    )
    billed.run("worklogs")
    assert billed.reasons().get("TYPE_MISSING", 0) == 0
    billed.reconcile()


def test_worklogs_before_types_are_held_and_go_out_once_types_are_synced(project, sandbox):
    project.run("accounts", "worklogs")
    assert project.reasons().get("TYPE_NOT_SYNCED", 0) > 0
    project.reconcile()
    held = project.reasons()["TYPE_NOT_SYNCED"]
    project.run("worklog-types", "worklogs")
    assert project.reasons().get("TYPE_NOT_SYNCED", 0) < held
    assert project.states()["invoiced"] > 0
    project.reconcile()


def test_a_broken_extraction_makes_no_half_invoices(project, sandbox):
    project.run("accounts", "worklog-types")
    fault = {"kind": "status", "status": 500, "match": {"method": "GET", "path": "/api/v3/changes"}}
    sandbox.control("POST", "sdp", "faults", [fault])
    project.run("worklogs", expect=1, TAP_MSP_SDP_TIMEOUT_SECONDS="2")
    assert sandbox.our_invoices() == []
    sandbox.control("DELETE", "sdp", "faults")
    project.run("worklogs")
    assert project.states()["invoiced"] > 0
    project.reconcile()
