"""Any end of the main job can be swapped, and bookmarks are files like any other."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.project import Project
from tests.reconciliation import delivered, lines_in_xero, reconcile

OTHER_TAP = Path(__file__).parent / "fixtures" / "other_tap.singer"
OTHERS = {"T-1", "T-2", "T-3", "T-4", "T-5", "T-6"}
WORKLOGS_BOOKMARK = "demo:tap-msp-sdp-to-target-xero-invoices"


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_worklogs_and_lines_can_be_looked_at_without_touching_the_real_job(linked: Project) -> None:
    source = delivered(linked.sandbox)
    output = linked.folder / "output"
    linked.run("tap-msp-sdp", "target-jsonl")
    worklogs = read_jsonl(output / "worklogs.jsonl")
    assert {row["worklog_id"]: row["minutes"] for row in worklogs} == {
        row["id"]: row["minutes"] for row in source.values()
    }
    (extraction,) = read_jsonl(output / "extraction.jsonl")
    assert sum(extraction["worklogs"].values()) == len(source)

    # The bookmark is the pair's: a suffix gives the second look one of its own, and it sees everything.
    linked.run("--state-id-suffix=lines", "tap-msp-sdp", "worklogs-to-lines", "target-jsonl")
    lines = read_jsonl(output / "invoice_lines.jsonl")
    assert {row["worklog_id"] for row in lines} == source.keys()
    assert {row["decision"] for row in lines} == {"bill", "hold", "exclude"}
    assert linked.worklogs() == []
    assert WORKLOGS_BOOKMARK not in linked.bookmarks()
    assert linked.sandbox.count("xero") == 0

    linked.run("worklogs")
    assert linked.states()["invoiced"] == 63
    reconcile(linked)


def other_tap(project: Project) -> None:
    """Add a tap that somebody else wrote: it knows nothing but the stream ``invoice_lines``."""
    script = project.folder / "tap-other"
    script.write_text(f"#!/bin/sh\nexec cat '{OTHER_TAP}'\n")
    script.chmod(0o755)
    plugin = {"name": "tap-other", "namespace": "tap_other", "executable": "./tap-other", "capabilities": []}
    project.edit(lambda document: document["plugins"]["extractors"].append(plugin))


def test_lines_of_another_tap_are_billed_by_the_same_target(linked: Project) -> None:
    other_tap(linked)
    linked.run("tap-other", "target-xero-invoices-open")
    assert linked.summary().startswith("2 worklogs invoiced on 1 invoice")
    places = {row.worklog_id: (row.state, row.reason_code) for row in linked.worklogs()}
    assert places == {
        "T-1": ("invoiced", None),
        "T-2": ("invoiced", None),
        "T-3": ("held", "INVALID_RECORD"),
        "T-4": ("held", "INVALID_RECORD"),
        "T-5": ("held", "ACCOUNT_UNRESOLVED"),
        "T-6": ("held", "TYPE_MISSING"),
    }
    assert "quantity" in str(linked.worklog("T-3").reason)
    assert "work_date" in str(linked.worklog("T-4").reason)
    priced = {key: (line["Quantity"], line["UnitAmount"]) for key, line, _ in lines_in_xero(linked.sandbox)}
    assert priced == {
        "T-1": (Decimal("1.25"), Decimal("128.195")),
        "T-2": (Decimal("0.3333"), Decimal("99.5")),
    }
    bookmark = linked.bookmarks()["demo:tap-other-to-target-xero-invoices-open"]
    assert "timesheets" in json.dumps(bookmark)
    reconcile(linked, complete=False, others=OTHERS)

    # The same file again, without any tap at all.
    books = linked.sandbox.raw("xero", "invoices")
    linked.meltano("invoke", "target-xero-invoices-open", "--input", str(OTHER_TAP))
    assert "worklogs: nothing new to bill; 4 held" in linked.output
    assert linked.sandbox.raw("xero", "invoices") == books
    reconcile(linked, complete=False, others=OTHERS)


def test_bookmarks_are_small_readable_files_and_carry_a_fresh_project_on(
    billed: Project, tmp_path: Path, first_run: Path
) -> None:
    folder = tmp_path / "bookmarks"
    billed.msp_xero("bookmarks", "export", str(folder))
    files = sorted(folder.iterdir())
    assert len(files) == 3
    for path in files:
        text = path.read_text()
        assert len(text) < 4000
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    fresh = Project.create(tmp_path / "fresh", billed.sandbox)
    shutil.copytree(billed.folder / ".msp-xero", fresh.folder / ".msp-xero")
    assert "3 changed" in fresh.msp_xero("bookmarks", "import", str(folder))
    assert "0 changed" in fresh.msp_xero("bookmarks", "export", str(folder))
    fresh.run("worklogs")
    assert fresh.summary().startswith("nothing new to bill")
    first_time = json.loads((first_run / "billed" / "calls.json").read_text())["sdp"]
    staging = [call for call in first_time if call["path"].endswith("/worklogs")]
    again = [call for call in fresh.sandbox.calls("sdp") if call["path"].endswith("/worklogs")]
    assert len(again) < len(staging) / 4
    reconcile(fresh)


def test_environments_have_ledgers_of_their_own(billed: Project) -> None:
    ledger, bookmarks = billed.ledger_path.read_bytes(), billed.bookmarks()
    sandbox = billed.sandbox
    xero = {
        "CLIENT_ID": "sandbox-client",
        "CLIENT_SECRET": "sandbox-secret",
        "API_URL": f"{sandbox.xero}/api.xro/2.0",
        "IDENTITY_URL": sandbox.xero,
    }
    variables = {
        "MELTANO_ENVIRONMENT": "prod",
        "TAP_MSP_SDP_BASE_URL": sandbox.sdp,
        "TAP_MSP_SDP_AUTH_TOKEN": "sandbox-authtoken",
        "TARGET_XERO_INVOICES_NUMBER_PREFIX": "PROD-",
        **{f"TARGET_XERO_INVOICES_{name}": value for name, value in xero.items()},
    }
    billed.run("worklogs", expect=1, **variables)
    # What waits there is on invoices already: the other prefix does not hide that, their lines tell.
    [error] = billed.errors()
    assert "invoice(s) made by msp-xero that this ledger does not know (SDP-00001" in error
    home = billed.folder / ".msp-xero"
    assert {path.name for path in home.iterdir()} == {"demo", "prod"}
    assert (home / "prod" / "ledger.db").stat().st_ino != (home / "demo" / "ledger.db").stat().st_ino
    assert billed.ledger_path.read_bytes() == ledger
    after = billed.bookmarks()
    assert {key: after[key] for key in bookmarks} == bookmarks
    assert after.keys() - bookmarks.keys() == {"prod:tap-msp-sdp-to-target-xero-invoices"}
    reconcile(billed)
