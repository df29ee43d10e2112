"""The MSP's books move to another Xero organisation, or the ledger is lost: as the administrator sees it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.project import JOBS
from tests.reconciliation import lines_in_xero

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartSandbox
    from tests.project import Project

NEW = "Rata Managed IT Limited"
NEW_ID = "0b000000-0000-4000-a000-000000000002"
FIELD = "udf_fields.udf_sline_101"


# A dozen real runs, each of several processes: a busy machine needs its time.
pytestmark = pytest.mark.timeout(900)


def move_to_another_organisation(project: Project, start_sandbox: StartSandbox, folder: Path) -> str:
    """Put in credentials of another organisation: the same customers and items, under other ids; no invoice.

    Returns:
        The name of the old organisation.
    """
    path = folder / "moved.json"
    project.sandbox.dump_to(path)
    project.sandbox.stop()
    rows = json.loads(path.read_text())
    xero = rows["xero"]
    old = str(xero["organisation"][0]["Name"])
    xero["invoices"] = []
    ids = {row[key] for kind, key in (("contacts", "ContactID"), ("items", "ItemID")) for row in xero[kind]}
    text = json.dumps(rows)
    for one in ids:
        text = text.replace(one, f"ffffffff{one[8:]}")
    rows = json.loads(text)
    rows["xero"]["organisation"][0] |= {"OrganisationID": NEW_ID, "Name": NEW, "ShortCode": "!rata"}
    path.write_text(json.dumps(rows))
    project.sandbox = start_sandbox("--data", str(path))
    return old


def test_an_msp_moves_to_another_organisation_and_no_hour_is_billed_twice_or_lost(
    billed: Project, start_sandbox: StartSandbox, tmp_path: Path
) -> None:
    invoiced, held = billed.states()["invoiced"], billed.states()["held"]
    old = move_to_another_organisation(billed, start_sandbox, tmp_path)
    sandbox = billed.sandbox
    links = billed.listed("accounts", "list")

    # Nothing runs by mistake.
    for job in JOBS:
        billed.run(job, expect=1)
        [error] = [line for line in billed.errors() if "target-" in line]
        assert (
            f"these credentials lead to the Xero organisation {NEW}, but connection default bills {old}. "
            f"Correct the credentials or the tenant_id; to bill {NEW} from now on, run `msp-xero"
        ) in error, job
    assert sandbox.writes("sdp") == sandbox.writes("xero") == []
    assert billed.listed("accounts", "list") == links

    # What would happen, and then it happens.
    billed.msp_xero("reinitialise", expect=1)
    assert f"stay billed, on invoices of {old}" in billed.output
    assert "add --yes" in billed.output
    before = billed.listed("reinitialise")["before"]
    assert (before["billed"]["count"], before["waiting"]["count"]) == (invoiced, held)
    assert f"bills {NEW} from now on" in billed.msp_xero("reinitialise", "--yes")

    # The bookmark of the old organisation hides no contact of the new one.
    billed.run("accounts", expect=1)
    assert "the bookmark of contacts is ahead of this ledger" in billed.output
    assert "Run once with meltano run --full-refresh accounts" in billed.output
    billed.run("--full-refresh", "accounts", "worklog-types")
    assert billed.summary("accounts").startswith("7 linked (7 new), 0 created")

    # What waits is billed there, once; what was billed stays billed.
    near = next(row for row in billed.worklogs("invoiced") if row.module == "request")
    added = sandbox.change(
        "sdp", "worklog", "add", parent=f"requests/{near.parent_id}", type_id=near.type_id, minutes=25
    )
    billed.run("accounts", "worklogs")
    assert billed.summary("worklogs").startswith("1 worklog invoiced on 1 invoice")
    assert [worklog_id for worklog_id, _, _ in lines_in_xero(sandbox)] == [added["id"]]
    assert list(sandbox.our_invoices()) == ["SDP-00006"]
    assert billed.states() == {**billed.states(), "invoiced": invoiced + 1, "held": held}
    places = {row["number"]: row["organisation"] for row in billed.listed("invoices", "list")}
    assert places == dict.fromkeys([f"SDP-0000{n}" for n in range(1, 6)], old) | {"SDP-00006": NEW}
    assert old in billed.msp_xero("invoices", "show", "SDP-00001")
    assert old in billed.msp_xero("worklogs", "show", near.worklog_id)


def test_after_the_ledger_is_lost_accounts_tell_their_contacts_whatever_was_renamed(billed: Project) -> None:
    sandbox = billed.sandbox
    billed.set_loader("target-msp-sdp", write_link_to=FIELD)
    billed.run("accounts")
    linked = {row["contact_id"]: row["account_id"] for row in billed.listed("accounts", "list")}
    known = {one: other for one, other in linked.items() if other}
    assert len(known) == 7
    renamed, also = sorted(known)[:2]
    sandbox.change("xero", "contact", "edit", renamed, Name="Called otherwise in Xero")
    sandbox.change("sdp", "account", "edit", known[also], name="Called otherwise in SDP")
    books = sandbox.raw("xero", "invoices")

    shutil.rmtree(billed.ledger_path.parent)
    billed.msp_xero("rebuild", expect=None)
    assert "63 worklogs on 5 invoices count as billed" in billed.output
    billed.run("accounts", expect=1)
    assert "meltano run --full-refresh accounts" in billed.output
    billed.run("--full-refresh", "accounts", "worklog-types")
    after = {row["contact_id"]: row["account_id"] for row in billed.listed("accounts", "list")}
    assert {one: other for one, other in after.items() if other} == known
    billed.run("--full-refresh", "worklogs")
    assert "nothing new to bill" in billed.summary()
    assert sandbox.raw("xero", "invoices") == books
