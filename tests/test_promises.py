"""The six promises of the product, each proven end to end. See docs/guarantees.md."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.reconciliation import delivered, lines_in_xero, reconcile
from tests.systems import wait_until

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen

    from tests.project import Project

INVOICES = "/api.xro/2.0/Invoices"
KEY_SECONDS = 360


def kill(process: Popen[str], plugin: str) -> None:
    """Kill one plugin of a run as a dying machine does: no signal handler gets to act."""
    for child in psutil.Process(process.pid).children(recursive=True):
        if any(part.endswith(f"bin/{plugin}") for part in child.cmdline()):
            os.kill(child.pid, signal.SIGKILL)
            return
    raise AssertionError(f"{plugin} is not running")


def test_never_twice(linked: Project) -> None:
    """The target is killed while Xero has the invoices and we do not know it; then everything is re-read."""
    sandbox = linked.sandbox
    # The first invoice goes alone; the call after it has all others.
    sandbox.break_("xero", "slow", "PUT", INVOICES, seconds=60, nth=2)
    with linked.running("worklogs") as run:
        wait_until(lambda: len(sandbox.calls("xero", "PUT")) == 2 or run.poll() is not None, "the push")
        assert run.poll() is None, linked.output
        kill(run, "target-xero-invoices")
        assert run.wait(60) != 0
    assert Counter(row.state for row in linked.invoices()) == {"created": 1, "sending": 4}
    under_way = linked.states()["planned"]
    assert 0 < under_way < 63
    books = sandbox.raw("xero", "invoices")
    assert len(sandbox.our_invoices()) == 5

    sandbox.mend()
    # Xero has forgotten the key by now: only looking the numbers up can prevent a second invoice.
    sandbox.control("POST", "xero", "clock", {"advance_seconds": KEY_SECONDS + 1})
    linked.run("--full-refresh", "worklogs")
    assert linked.summary().startswith(f"{under_way} worklogs invoiced on 4 invoices")
    assert sandbox.raw("xero", "invoices") == books
    assert len(sandbox.calls("xero", "PUT")) == 2
    reconcile(linked)


def test_never_twice_when_the_first_push_arrives_late(staged: Project) -> None:
    """The killed push is still under way while the next one looks, misses, and sends again."""
    sandbox = staged.sandbox
    sandbox.break_("xero", "slow", "PUT", INVOICES, seconds=150, commit="after", nth=1)
    with staged.pushing() as push:
        wait_until(lambda: sandbox.calls("xero", "PUT"), "the push")
        push.kill()
        push.wait(60)
    assert sandbox.our_invoices() == {}
    staged.msp_xero("invoices", "push", expect=3)
    sandbox.mend()
    first, *others = wait_until(
        lambda: (calls := sandbox.calls("xero", "PUT"))[0]["status"] and calls, "the late push"
    )
    keys = [call["headers"]["idempotency-key"] for call in (first, *others)]
    assert len(set(keys)) == len(keys)
    assert first["response_body"].count("must be unique") == 1
    reconcile(staged)


def test_never_twice_when_two_push_at_once(staged: Project) -> None:
    sandbox = staged.sandbox
    sandbox.break_("xero", "slow", "PUT", INVOICES, seconds=5)
    with staged.pushing() as first:
        wait_until(lambda: sandbox.calls("xero", "PUT"), "the first push")
        # The second waits until the first has ended, and then finds nothing left to do.
        said = staged.msp_xero("invoices", "push", expect=3)
        assert "nothing new to bill" in said
        assert first.wait(60) == 3
    assert len(sandbox.calls("xero", "PUT")) == 2
    reconcile(staged)


def test_never_twice_from_an_old_backup(staged: Project, tmp_path: Path) -> None:
    sandbox = staged.sandbox
    backup = shutil.copytree(staged.ledger_path.parent, tmp_path / "backup")
    staged.msp_xero("invoices", "push", expect=3)
    reconcile(staged)
    books = sandbox.raw("xero", "invoices")

    shutil.rmtree(staged.ledger_path.parent)
    shutil.copytree(backup, staged.ledger_path.parent)
    said = staged.msp_xero("invoices", "push", expect=1)
    assert "5 invoice(s) made by msp-xero that this ledger does not know" in said
    assert sandbox.raw("xero", "invoices") == books


def test_never_lost(linked: Project) -> None:
    """The extraction dies half-way; nothing is billed by halves, and the next run completes it."""
    sandbox = linked.sandbox
    sandbox.break_("sdp", "slow", "GET", "/api/v3/changes", seconds=60)
    with linked.running("worklogs") as run:
        wait_until(
            lambda: sandbox.calls("sdp", "GET", "/api/v3/changes") or run.poll() is not None, "the changes"
        )
        kill(run, "tap-msp-sdp")
        assert run.wait(60) != 0
    assert sandbox.writes("xero") == []
    reconcile(linked, complete=False)

    sandbox.mend()
    linked.run("worklogs")
    source = delivered(sandbox)
    places = linked.listed("status")["worklogs"]
    parts = [places[name] for name in ("invoiced", "planned", "open", "held", "excluded")]
    for number in ("count", "minutes", "money", "unpriced"):
        assert sum(part[number] for part in parts) == places["delivered"][number], number
    assert places["delivered"]["count"] == len(source)
    assert places["delivered"]["minutes"] == sum(row["minutes"] for row in source.values())
    assert places["invoiced"]["money"] == sum(line["LineAmount"] for _, line, _ in lines_in_xero(sandbox))
    reasons = [reason for reason in places["reasons"] if reason["state"] == "held"]
    assert sum(reason["count"] for reason in reasons) == places["held"]["count"]
    reconcile(linked)


# Prices on which binary floats, or rounding the price to two decimals, go wrong.
PRICES = ("128.1950", "0.0050", "33.3333", "1.0050", "66.6667", "999.9999", "0.0001", "217.4950")


def odd_prices(project: Project) -> None:
    items = [row for row in project.sandbox.rows("xero", "items") if row["SalesDetails"].get("UnitPrice")]
    for number, item in enumerate(items):
        price = {"UnitPrice": float(PRICES[number % len(PRICES)])}
        values = {"SalesDetails": {**item["SalesDetails"], **price}}
        project.sandbox.change("xero", "item", "edit", item["ItemID"], **values)


def test_never_wrong_by_a_cent(linked: Project) -> None:
    """Every minute from 1 to 60 and some beyond, at prices with four decimals, taxed and not."""
    sandbox = linked.sandbox
    odd_prices(linked)
    parent = sandbox.worklog("text_html")["parent_id"]
    types = ("Remote support", "Consulting", "Training", "Network engineering", "Travel", "Device setup")
    for minutes in (*range(1, 61), 599, 1439, 6007):
        values = {"minutes": minutes, "type": types[minutes % len(types)]}
        sandbox.change("sdp", "worklog", "add", parent=f"requests/{parent}", **values)
    linked.run("worklogs")
    assert linked.states()["invoiced"] == 63 + 63
    reconcile(linked)
    bodies = (call["request_body"] for call in sandbox.calls("xero", "PUT"))
    sent = [json.loads(body, parse_float=Decimal) for body in bodies]
    lines = [line for body in sent for invoice in body["Invoices"] for line in invoice["LineItems"]]
    assert {str(line["UnitAmount"]) for line in lines} >= {"128.195", "0.005", "33.3333", "999.9999"}


@pytest.mark.parametrize("line_amount_types", ["Inclusive", "NoTax"])
def test_never_wrong_by_a_cent_however_tax_is_counted(staged: Project, line_amount_types: str) -> None:
    odd_prices(staged)
    staged.set_loader("target-xero-invoices", line_amount_types=line_amount_types)
    staged.msp_xero("invoices", "push", expect=3)
    made = staged.sandbox.our_invoices().values()
    assert {row["LineAmountTypes"] for row in made} == {line_amount_types}
    reconcile(staged)


def test_never_silent(billed: Project) -> None:
    """What is not billed says why, who can act and how; a run that fails says so in one line a plugin."""
    held = billed.listed("worklogs", "list", "--state", "held")
    assert len(held) == billed.states()["held"] == 19
    reasons = {row["code"]: row for row in billed.listed("status")["worklogs"]["reasons"]}
    assert Counter(row["reason_code"] for row in held) == {
        code: row["count"] for code, row in reasons.items() if row["state"] == "held"
    }
    for row in held:
        known = reasons[row["reason_code"]]
        assert row["reason"].endswith(".")
        assert all(known[name].strip() for name in ("sentence", "who", "how")), row
    said = billed.msp_xero("worklogs", "show", held[0]["worklog_id"])
    assert held[0]["reason_code"] in said
    assert reasons[held[0]["reason_code"]]["who"] in said

    billed.run("worklogs", expect=1, TAP_MSP_SDP_AUTH_TOKEN="not-the-token-4711")
    plugins = Counter(line.partition(": error: ")[0].split()[-1] for line in billed.errors())
    assert plugins["tap-msp-sdp"] == 1
    assert set(plugins.values()) == {1}
    (line,) = (line for line in billed.errors() if "tap-msp-sdp: error: " in line)
    assert "ServiceDesk Plus" in line
    assert billed.sandbox.sdp in line
    assert "auth_token" in line
    for secret in ("not-the-token-4711", "sandbox-authtoken", "sandbox-secret"):
        assert secret not in billed.output
    reconcile(billed)


def test_a_run_tells_no_secrets_and_no_customer_texts(first_run: Path) -> None:
    texts = json.loads((first_run / "billed" / "rows.json").read_text())["sdp"]["worklogs"]
    words = {text for row in texts if len(text := row["description"] or "") > 20}
    for moment in ("linked", "staged", "billed"):
        said = (first_run / moment / "output").read_text()
        assert "sandbox-secret" not in said
        assert "sandbox-authtoken" not in said
        assert not [text for text in words if text in said]


def without(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def test_nothing_surprising_in_xero(first_run: Path, billed: Project) -> None:
    """We create drafts and touch nothing else, neither in the first run nor after people worked on them."""
    before, after = (
        json.loads((first_run / moment / "rows.json").read_text())["xero"] for moment in ("linked", "billed")
    )
    foreign = [row for row in after["invoices"] if not row["InvoiceNumber"].startswith("SDP-")]
    assert foreign == before["invoices"]
    ids = {row["InvoiceID"] for row in foreign}
    assert [note for note in after["history"] if note["InvoiceID"] in ids] == before["history"]
    # A first invoice makes a contact a customer: that is Xero's doing.
    assert without(after["contacts"], "IsCustomer") == without(before["contacts"], "IsCustomer")
    for kind in after.keys() - {"invoices", "history", "contacts"}:
        assert after[kind] == before[kind], kind
    ours = [row for row in after["invoices"] if row["InvoiceNumber"].startswith("SDP-")]
    assert {row["Status"] for row in ours} == {"DRAFT"}
    calls = json.loads((first_run / "billed" / "calls.json").read_text())["xero"]
    written = [(call["method"], call["path"]) for call in calls if call["method"] != "GET"]
    assert {call for call in written if not call[1].startswith("/connect/")} == {("PUT", INVOICES)}

    sandbox = billed.sandbox
    voided, deleted, edited, paid, _ = sorted(sandbox.our_invoices())
    for number in (voided, paid):
        sandbox.change("xero", "invoice", "edit", number, Status="AUTHORISED")
    sandbox.change("xero", "invoice", "void", voided)
    sandbox.change("xero", "invoice", "delete", deleted)
    sandbox.change("xero", "invoice", "pay", paid)
    sandbox.change("xero", "invoice", "edit", edited, Reference="Edited by a person", DueDate="2027-01-31")
    books = sandbox.raw("xero", "invoices")
    billed.run("worklogs")
    assert billed.summary().startswith("nothing new to bill")
    assert sandbox.raw("xero", "invoices") == books
    assert sandbox.writes("xero") == []
    states = {row.number: row.state for row in billed.invoices()}
    assert (states[voided], states[deleted], states[paid], states[edited]) == (
        "voided",
        "deleted",
        "paid",
        "created",
    )


def test_changed_later_means_reported_not_resent(billed: Project) -> None:
    sandbox = billed.sandbox
    books = sandbox.raw("xero", "invoices")
    edited, moved, retyped, removed = (
        sandbox.worklog(label) for label in ("text_html", "text_emoji", "text_macrons", "text_null")
    )
    other = next(
        row
        for row in sandbox.rows("sdp", "requests")
        if row["account_id"] and row["account_id"] != moved["account_id"] and not row.get("is_trashed")
    )
    sandbox.change("sdp", "worklog", "edit", edited["id"], minutes=90)
    sandbox.change("sdp", "worklog", "move", moved["id"], parent=f"requests/{other['id']}")
    sandbox.change("sdp", "worklog", "edit", retyped["id"], type="Consulting")
    sandbox.change("sdp", "worklog", "delete", removed["id"])
    billed.run("worklogs")
    assert "3 changed after billing" in billed.output
    assert billed.summary().startswith("nothing new to bill")
    assert sandbox.raw("xero", "invoices") == books
    assert sandbox.writes("xero") == []

    changed = {row["worklog_id"]: row for row in billed.listed("worklogs", "list", "--changed")}
    assert changed.keys() == {edited["id"], moved["id"], retyped["id"]}
    assert changed[edited["id"]]["changed"]["minutes"] == [30, 90]
    assert changed[moved["id"]]["changed"]["account_id"] == [moved["account_id"], other["account_id"]]
    assert changed[retyped["id"]]["changed"]["type_name"] == ["Remote support", "Consulting"]
    assert all(row["state"] == "invoiced" and row["invoice_number"] for row in changed.values())
    # What was deleted over there stays billed here: its invoice is the customer's already.
    assert billed.worklog(removed["id"]).state == "invoiced"
    billed.msp_xero("invoices", "push", expect=3)
    assert sandbox.raw("xero", "invoices") == books
