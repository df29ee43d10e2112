"""Where a run comes from: of which organisation, from which bookmark on, and whether all contacts came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import LedgerError

if TYPE_CHECKING:
    from conftest import Bench, Sandbox


def of_organisation(one: str, name: str, since: str | None = None) -> dict[str, Any]:
    contacts = {"replication_key": "UpdatedDateUTC", "replication_key_value": since} if since else {}
    return {"bookmarks": {"contacts": contacts}, "organisation": {"OrganisationID": one, "Name": name}}


@pytest.mark.parametrize("came", [0, 1])
@pytest.mark.parametrize(
    ("named", "told", "over"),
    [
        (True, ["midst", "end"], True),
        (True, ["midst"], False),
        (True, [], False),
        (False, ["midst", "end"], True),
        (False, ["midst"], False),
        (False, [], True),  # another tap need not tell the end
    ],
)
def test_the_first_sync_is_the_one_to_which_all_contacts_came(
    bench: Bench, came: int, named: bool, told: list[str], over: bool
) -> None:
    """Xero failed before its end: what comes with the next run was there all along."""
    begun = of_organisation("org-1", "Kōwhai")
    if not named:
        del begun["organisation"]
    some = [bench.contact(f"early {n}", f"Early {n}") for n in range(came)]
    midst = begun | {"bookmarks": {"contacts": {"progress_markers": {"replication_key_value": "2026-11-20"}}}}
    bench.run(begun, ("accounts", some), *({"midst": midst, "end": begun}[one] for one in told))
    rest = [
        bench.contact("lost", "Tahi Plumbing", contact_status="ARCHIVED", merged_to_contact_id="left"),
        bench.contact("left", "Tahi Plumbing & Gas Limited"),
        bench.contact("edited", "Kea Tours", updated_time="2099-01-01T00:00:00Z"),
    ]
    bench.run(begun, ("accounts", rest), begun)
    links = bench.links()
    assert (links["left"].account_id is not None) == (not over)
    assert (links["left"].problem is not None) == over
    assert (links["edited"].account_id is not None) == over  # new since, or of the first sync


@pytest.mark.parametrize("tells", [True, False], ids=["tap-xero-lite", "another tap"])
def test_after_a_dry_run_the_next_run_is_the_first_sync(bench: Bench, sandbox: Sandbox, tells: bool) -> None:
    """A bookmark is there: tap-xero-lite ends with the STATE that it began with, another tap with none."""
    read = of_organisation("org-1", "Kōwhai", "2026-11-20T00:00:00Z")
    if not tells:
        del read["organisation"]
    newest = bench.contact("left", "Kea & Kiwi Tours Limited")
    every = [
        bench.contact("lost", "Kea Tours", contact_status="ARCHIVED", merged_to_contact_id="left"),
        newest,
    ]
    bench.run(of_organisation("org-1", "Kōwhai"), ("accounts", every), read, dry_run=True)
    bench.run(read, ("accounts", [newest]), *([read] if tells else []))
    sandbox.client().create_account({"name": "Kea Tours"})  # another customer's
    new = bench.contact("new", "Weka Cafe", updated_time="2099-01-01T00:00:00Z")
    bench.run(read, ("accounts", [newest, new]), *([read] if tells else []))
    links = bench.links()
    assert links["left"].account_id is None
    assert links["new"].account_id is not None


@pytest.mark.parametrize(
    "note", ["starting_replication_value", "replication_key_signpost", "progress_markers"]
)
def test_a_tap_that_was_stopped_before_the_first_contact_makes_no_first_sync(bench: Bench, note: str) -> None:
    """The SDK writes a STATE on a signal, with what it noted for the time of the run."""
    begun = of_organisation("org-1", "Kōwhai")
    bench.run(begun, ("accounts", []), begun | {"bookmarks": {"contacts": {note: None}}})
    late = bench.contact("lost", "Tahi Plumbing", contact_status="ARCHIVED", merged_to_contact_id="left")
    bench.run(begun, ("accounts", [late, bench.contact("left", "Tahi Plumbing & Gas Limited")]), begun)
    assert bench.links()["left"].account_id is not None


def test_contacts_of_another_organisation_are_refused_before_one_is_stored(bench: Bench) -> None:
    bench.run(of_organisation("org-1", "Kōwhai"), ("accounts", [bench.contact("c1", "One")]))
    for stream, record in (
        ("accounts", bench.contact("c2", "Two")),
        ("worklog_types", bench.item("i2", "Two")),
    ):
        with pytest.raises(LedgerError, match="organisation Rata, but connection default bills Kōwhai"):
            bench.run(of_organisation("org-2", "Rata"), (stream, [record]))
    assert bench.links().keys() == {"c1"}
    assert bench.types() == {}
    bench.run(("accounts", [bench.contact("c3", "Of another tap")]))
    assert bench.links().keys() == {"c1", "c3"}


def test_a_bookmark_that_is_ahead_of_the_ledger_is_refused_until_all_contacts_came(bench: Bench) -> None:
    later = of_organisation("org-1", "Kōwhai", "2026-11-20T00:00:00Z")
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"bookmark of contacts is ahead.*--full-refresh accounts"):
            bench.run(later, ("accounts", [bench.contact("c1", "One")]))
    assert bench.links() == {}
    bench.run(of_organisation("org-1", "Kōwhai"), ("accounts", [bench.contact("c1", "One")]), later)
    bench.run(later, ("accounts", []), later)


def test_a_disabled_job_checks_nothing_and_opens_no_ledger(bench: Bench) -> None:
    bench.run(of_organisation("org-1", "Kōwhai"), ("accounts", []), accounts_enabled=False)
    assert not bench.has_ledger()


def test_a_switched_off_job_takes_no_guard_from_the_other(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(of_organisation("org-1", "Kōwhai"), ("accounts", [bench.contact("c1", "One")]))
    capsys.readouterr()
    for stream, record, switch in (
        ("accounts", bench.contact("c2", "Two"), {"worklog_types_enabled": False}),
        ("worklog_types", bench.item("i2", "Two"), {"accounts_enabled": False}),
    ):
        with pytest.raises(LedgerError, match="organisation Rata, but connection default bills Kōwhai"):
            bench.run(of_organisation("org-2", "Rata"), (stream, [record]), **switch)
    later = of_organisation("org-1", "Kōwhai", "2026-11-20T00:00:00Z")
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"bookmark of contacts is ahead.*--full-refresh accounts"):
            bench.run(later, ("accounts", [bench.contact("c2", "Two")]), later, worklog_types_enabled=False)
    assert (bench.links().keys(), bench.types()) == ({"c1"}, {})
    assert capsys.readouterr().out == ""
    with bench.ledger() as ledger, ledger.read() as session:
        assert ledger.connection(session).contacts_read_to is None
