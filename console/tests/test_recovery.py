"""``msp-xero reconcile`` and ``msp-xero rebuild``, against the local Xero."""

from __future__ import annotations

import shutil

import pytest
from msp_xero.ledger import foreign, pushing
from msp_xero.ledger.foreign import Told
from msp_xero.ledger.models import BillingConnection, PastGeneration
from msp_xero.ledger.staging import stage_lines
from msp_xero_console.words import moment
from sqlalchemy import update

from console.tests.conftest import NOW


@pytest.fixture
def billed(cli, sandbox):
    """The filled project, connected to the local Xero, its billable worklogs pushed."""
    sandbox.connect(cli)
    assert cli("invoices", "push").exit_code == 3
    return cli


def lose_the_ledger(cli) -> None:
    for path in (cli.folder / ".msp-xero").glob("ledger*"):
        path.unlink()


def billed_ids(cli) -> list[str]:
    return sorted(row["worklog_id"] for row in cli.data("worklogs", "list", "--state", "invoiced"))


def runs(cli):
    return {run["job"]: run for run in cli.data("status")["runs"]}


def test_reconcile_sends_nothing_and_says_what_it_found(cli, sandbox) -> None:
    sandbox.connect(cli)
    # The ledger of the story says that SDP-00002 was sent, and has no bytes to send again.
    text = cli.says("reconcile", code=3)
    assert "rejected         1  Somebody else's invoice has the number; the next run" in text
    assert "Nothing was sent. " in text
    assert runs(cli)["reconcile"]["counts"]["rejected"] == 1
    data = cli.data("reconcile")
    assert (data["rejected"], data["adopted"], data["outcome"]) == (0, 0, "done")
    with cli.ledger() as ledger, ledger.write() as session:
        session.execute(update(BillingConnection).values(invoices_refreshed_at=NOW))
    said = cli.says("reconcile")
    since = f"Xero tells of no change of our invoices since {moment(NOW)}, and no outcome is unknown."
    assert said.startswith(since)
    assert sandbox.writes() == []


def test_a_reconcile_that_fails_is_one_line_and_a_failed_run(cli, sandbox) -> None:
    sandbox.connect(cli)
    path = cli.folder / "meltano.yml"
    path.write_text(path.read_text().replace("sandbox-secret", "wrong"))
    assert "msp-xero: error: Xero: " in cli.refuses("reconcile")
    assert runs(cli)["reconcile"]["outcome"] == "failed"


def test_rebuild_fills_an_empty_ledger_and_says_what_to_do_next(billed, sandbox) -> None:
    before = billed_ids(billed)
    writes = sandbox.writes()
    # What the ledger of the story says of SDP-00001 was never in this Xero.
    in_xero = [worklog for worklog in before if worklog not in ("101", "102")]
    lose_the_ledger(billed)
    text = billed.says("rebuild", code=0)
    assert f"The ledger is rebuilt: {len(in_xero)} worklogs on 1 invoice count as billed" in text
    for part in (
        "Before you bill again",
        "Gone for good, because Xero does not know them: the exclusions that people made",
        "`meltano run --full-refresh accounts worklog-types`",
        "meltano run --full-refresh worklogs",
        "`msp-xero invoices preview`",
    ):
        assert part in text
    assert billed_ids(billed) == in_xero
    assert sandbox.writes() == writes
    assert runs(billed)["rebuild"]["counts"]["worklogs"] == len(in_xero)
    assert "not empty" in billed.refuses("rebuild")
    assert runs(billed)["rebuild"]["outcome"] == "done"


def test_rebuild_says_what_it_passes_over_where_the_connection_came_back_to_an_organisation(billed) -> None:
    lose_the_ledger(billed)
    billed.says("rebuild", code=0)
    with billed.ledger() as ledger, ledger.write() as session:  # as going there and coming back leaves it
        row = ledger.connection(session)
        row.generation = 3
        session.add(
            PastGeneration(
                connection_id=row.id,
                generation=1,
                organisation_id=row.organisation_id,
                ended_at=ledger.clock.now(),
            )
        )
    text = billed.says("rebuild", code=0)
    assert "0 worklogs on 0 invoices count as billed" in text
    assert "from before the connection left this organisation and came back: 1 invoice." in text


def test_rebuild_as_json(billed) -> None:
    lose_the_ledger(billed)
    result = billed("rebuild", "--json")
    assert result.exit_code == 0, result.output
    data = billed.data("worklogs", "list", "--state", "invoiced")
    assert f'"worklogs": {len(data)}' in result.stdout
    assert '"unmarked": {' in result.stdout
    assert "meltano run --full-refresh accounts" in result.stdout


def test_rebuild_refuses_a_filled_ledger_and_leaves_no_failed_run(cli, sandbox) -> None:
    sandbox.connect(cli)
    assert "this ledger is not empty: it has 2 invoice(s) and 3 billed worklog(s)" in cli.refuses("rebuild")
    assert "rebuild" not in runs(cli)


def test_a_moved_worklog_is_held_until_a_person_tells_it_apart(billed, line) -> None:
    lose_the_ledger(billed)
    billed.says("rebuild")
    with billed.ledger() as ledger:
        stage_lines(ledger, [line("104", module="task")], settle_reasons=frozenset())
    [held] = billed.data("worklogs", "list", "--reason", "ID_ON_INVOICE")
    assert held["module"] == "task"
    assert "msp-xero rebuild --another ID" in billed.says("worklogs", "show", "104#2")
    assert "no worklog 109 that waits" in billed.refuses("rebuild", "--another", "109")
    assert "Worklog 104#2 is another one" in billed.says("rebuild", "--another", "104")
    assert billed.data("worklogs", "list", "--reason", "ID_ON_INVOICE") == []
    assert [row["worklog_id"] for row in billed.data("worklogs", "list", "--state", "open")] == ["104"]


def test_of_several_that_wait_under_one_id_a_person_says_which_is_told_apart(billed, line) -> None:
    with billed.ledger() as ledger:
        for module in ("task", "change"):
            again = line("104", module=module, created_time=None, source={"module": module})
            stage_lines(ledger, [again], settle_reasons=frozenset())
    refused = billed.refuses("rebuild", "--another", "104")
    assert "2 different worklogs share the id 104; say which: 104#2 (task" in refused
    assert "nothing to tell apart" in billed.refuses("rebuild", "--another", "104#3")


def test_rebuild_says_what_needs_a_person(billed, sandbox) -> None:
    lose_the_ledger(billed)
    path = billed.folder / "meltano.yml"
    path.write_text(path.read_text().replace("account_code:", 'number_prefix: "NEW-", account_code:'))
    text = billed.says("rebuild", code=3)
    assert "Look at these before you bill again" in text
    assert "1  invoices with our marks and another prefix." in text
    assert "SDP-0000" in text
    shutil.rmtree(billed.folder / ".msp-xero")
    assert "0 worklogs on 0 invoices count as billed" in billed.says("rebuild", "--only-prefix")


def test_a_worklog_that_waits_is_told_apart_from_what_a_stranger_bills(cli) -> None:
    assert "nothing else is known to be billed under the id 105" in cli.refuses("rebuild", "--another", "105")
    with cli.ledger() as ledger, ledger.settling() as fence:
        theirs = Told("x", "ABC-1", "c-7", "request", "105", "digest", is_ours=False)
        foreign.retell(ledger, fence, {"x"}, [theirs])
    assert cli.data("rebuild", "--another", "105") == {"worklog": "105", "state": "held"}
    with cli.ledger() as ledger:
        [one] = pushing.waiting_worklogs(ledger, ["105"])
        assert one.apart == {theirs.line}
