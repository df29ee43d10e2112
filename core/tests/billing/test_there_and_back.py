"""A connection that moves on or comes home: nothing is billed beside what stands where it was before."""

from __future__ import annotations

from datetime import date

import pytest
from msp_xero.billing.rebuild import rebuild
from msp_xero.errors import BilledElsewhere
from msp_xero.ledger import views
from msp_xero.ledger.decisions import Refusal, Released, exclude_worklog, include_worklog, release_invoice
from msp_xero.ledger.survey import survey

from core.tests.billing.conftest import worklogs_of
from core.tests.billing.test_another_organisation import (
    check_history,
    link_again,
    met,
    open_another_organisation,
    reinitialise,
    start_over_with,
)
from core.tests.billing.test_copies import delete_and_release, row_of
from core.tests.billing.test_strangers import sent_without_an_answer, settle_later

LONG_AGO = date(2026, 1, 1)
THIRD_ID = "0c000000-0000-4000-a000-000000000003"
OF_AN_ORGANISATION = ("xero", "rows", "faulty", "adapter", "contacts")


@pytest.fixture
def lose_it(databases, tmp_path_factory):
    """A function that lets a world go on with an empty ledger of the same kind."""
    return lambda world: world.begin_anew(databases.fresh(tmp_path_factory.mktemp("empty")))


def place(world):
    """What the credentials lead to now."""
    return {name: getattr(world, name) for name in OF_AN_ORGANISATION}


def lead_to(world, there):
    for name, value in there.items():
        setattr(world, name, value)
    (world.folder / "token.json").unlink(missing_ok=True)


def move(world, rebill_from=None, **organisation):
    """Start over with an organisation that is new to the connection."""
    open_another_organisation(world, **organisation)
    reinitialise(world, rebill_from)
    world.link_accounts()
    world.link_types()


def come_home(world, home):
    lead_to(world, home)
    start_over_with(world, met(world))
    link_again(world, home["rows"])


def rebuilt(world):
    return rebuild(world.ledger, world.client(), number_prefix="SDP-")


def rebuild_in_order(world, first, second):
    """Rebuild a lost ledger as docs/another-organisation.md says; return what the second rebuild found."""
    lead_to(world, first)
    rebuilt(world)
    lead_to(world, second)
    reinitialise(world)
    found = rebuilt(world)
    world.link_accounts()
    world.link_types()
    return found


def deleted(world, number, there=None):
    """Let a person delete a draft, where the credentials lead to or elsewhere."""
    [xero_id] = [one.xero_id for one in world.ledger_invoices() if one.number == number]
    xero = there["xero"] if there else world.xero
    xero.change_row({"kind": "invoice", "action": "edit", "id": xero_id, "values": {"Status": "DELETED"}})


def standing(*places):
    """Ids of the worklogs on invoices of ours that stand in these organisations."""
    rows = [row for there in places for row in there["xero"].dump(["invoices"])["invoices"]]
    live = [row for row in rows if row["Status"] not in {"VOIDED", "DELETED"}]
    return sorted(worklog_id for row in live for _, worklog_id in worklogs_of(row))


# What stands in an organisation that was billed in between


@pytest.fixture
def rebuilt_in_two(world, lose_it):
    """Deleted in the first organisation and billed in the second; then the ledger was lost and rebuilt."""
    world.deliver(world.line(0, account=0))
    world.settle()
    world.first = place(world)
    delete_and_release(world)
    move(world)
    settle_later(world)
    world.second = place(world)
    assert standing(world.first, world.second) == ["1000"]
    lose_it(world)
    world.found = rebuild_in_order(world, world.first, world.second)
    return world


@pytest.mark.parametrize("goes", ["home", "on to a third"])
def test_what_stands_in_an_organisation_between_is_not_billed_beside_once_the_gone_one_is_released(
    rebuilt_in_two, goes
):
    world = rebuilt_in_two
    if goes == "home":
        come_home(world, world.first)
    else:
        move(world, name="Tui Trust", organisation_id=THIRD_ID)
    world.deliver(world.line(0, account=0))
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00001") == Released(free=0, still_billed=1)
    world.deliver(world.line(0, account=0))
    settle_later(world)
    assert standing(world.first, world.second, place(world)) == ["1000"]
    check_history(world)
    # Nobody is stuck: deleted there too, it is billed once more.
    deleted(world, "SDP-00002", world.second)
    assert release_invoice(world.ledger, "SDP-00002", voided_there=True) == Released(free=1, still_billed=0)
    world.deliver(world.line(0, account=0))
    assert settle_later(world).invoices == 1


def test_a_worklog_on_one_that_is_gone_and_on_one_that_stands_is_not_told_as_on_two_live_ones(rebuilt_in_two):
    assert rebuilt_in_two.found.twice.count == 0


def test_the_one_that_does_not_count_names_the_one_that_does(rebuilt_in_two):
    world = rebuilt_in_two
    deleted(world, "SDP-00002")
    settle_later(world)
    with pytest.raises(Refusal, match=r"by invoice SDP-00002; what .* is on SDP-00001\. Where one"):
        release_invoice(world.ledger, "SDP-00002")
    assert release_invoice(world.ledger, "SDP-00001") == Released(free=1, still_billed=0)


def test_what_was_sent_between_and_left_to_be_billed_again_keeps_nothing_on_its_invoice(world):
    """Of those that it left with --rebill-from a person was told to void them there."""
    world.deliver(world.line(0, account=0))
    world.settle()
    home = place(world)
    move(world, LONG_AGO)
    settle_later(world)
    move(world, LONG_AGO, name="Tui Trust", organisation_id=THIRD_ID)
    come_home(world, home)
    assert world.states() == {"invoiced": 1}
    deleted(world, "SDP-00001")
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00001") == Released(free=1, still_billed=0)


def test_what_a_rebuild_found_before_and_was_left_to_be_billed_again_keeps_nothing_either(world, lose_it):
    world.deliver(world.line(0, account=0))
    world.settle()
    home = place(world)
    move(world, LONG_AGO)
    settle_later(world)
    there = place(world)
    lose_it(world)
    lead_to(world, home)
    rebuilt(world)
    world.deliver(world.line(0, account=0))
    lead_to(world, there)
    reinitialise(world, LONG_AGO)
    rebuilt(world)
    deleted(world, "SDP-00002")
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00002") == Released(free=1, still_billed=0)


# What a person has excluded


@pytest.fixture
def home_again(world):
    """Two worklogs were billed, left to be billed again elsewhere, one excluded there; now it comes home."""
    world.deliver(world.line(0, account=0), world.line(3, account=0))
    world.settle()
    home = place(world)
    move(world, LONG_AGO)
    exclude_worklog(world.ledger, row_of(world, "1003"), "a favour")
    lead_to(world, home)
    found = survey(world.ledger, going_to=met(world).organisation_id)
    assert (found.back.count, found.excluded.count, found.waiting.count) == (1, 1, 0)
    come_home(world, home)
    assert world.states() == {"invoiced": 1, "excluded": 1}
    return world


def test_what_a_person_excluded_stays_so_at_home_when_its_old_invoice_is_released(home_again):
    world = home_again
    deleted(world, "SDP-00001")
    settle_later(world)
    assert release_invoice(world.ledger, "SDP-00001") == Released(free=1, still_billed=0)
    world.deliver(world.line(0, account=0), world.line(3, account=0))
    settle_later(world)
    assert standing(place(world)) == ["1000"]
    assert world.reasons() == {"1000": None, "1003": "EXCLUDED_BY_PERSON"}
    check_history(world)


@pytest.mark.parametrize("when", ["before the first look", "after it", "after a rebuild"])
def test_what_is_included_again_at_home_is_found_on_its_old_invoice_that_stands(home_again, when):
    world = home_again
    if when == "after it":
        settle_later(world)
    if when == "after a rebuild":
        world.clock.advance(3600)  # longer than a look reaches back
        rebuilt(world)
    include_worklog(world.ledger, row_of(world, "1003"))
    world.deliver(world.line(3, account=0, description="Told otherwise", minutes=60))
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match=r"before this connection started over \(SDP-00001\)"):
            settle_later(world)
    assert standing(place(world)) == ["1000", "1003"]
    # Once that invoice is gone it is billed, and only it: nobody has released the other one.
    deleted(world, "SDP-00001")
    settle_later(world)
    assert standing(place(world)) == ["1003"]


def test_what_was_excluded_before_a_rebuild_stays_so_where_only_a_gone_invoice_bills_it(world, lose_it):
    world.deliver(world.line(0, account=0), world.line(3, account=0))
    world.settle()
    deleted(world, "SDP-00001")
    lose_it(world)
    world.deliver(world.line(0, account=0), world.line(3, account=0))
    exclude_worklog(world.ledger, row_of(world, "1003"), "a favour")
    found = rebuilt(world)
    assert (found.worklogs, found.on_gone) == (1, 1)
    assert release_invoice(world.ledger, "SDP-00001") == Released(free=1, still_billed=0)
    world.deliver(world.line(0, account=0), world.line(3, account=0))
    settle_later(world)
    assert world.reasons() == {"1000": None, "1003": "EXCLUDED_BY_PERSON"}
    assert standing(place(world)) == ["1000"]
    check_history(world)
    include_worklog(world.ledger, row_of(world, "1003"))
    settle_later(world)
    assert standing(place(world)) == ["1000", "1003"]


def test_what_was_excluded_before_a_rebuild_counts_as_billed_by_an_invoice_that_stands(world, lose_it):
    world.deliver(world.line(0, account=0))
    world.settle()
    lose_it(world)
    world.deliver(world.line(0, account=0))
    exclude_worklog(world.ledger, row_of(world), "a favour")
    assert rebuilt(world).recognised == 1
    assert world.states() == {"invoiced": 1}
    check_history(world)


# A rebuild at home


def test_a_rebuild_at_home_passes_over_what_is_on_record(world):
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    world.settle()
    home = place(world)
    move(world)
    deleted(world, "SDP-00002", home)
    world.clock.advance(3600)  # longer than a look reaches back
    come_home(world, home)
    before = [(one.id, one.number) for one in world.ledger_invoices()]
    found = rebuilt(world)
    assert (found.on_record, found.invoices, found.worklogs, found.next_number) == (2, 0, 0, 3)
    assert not found.needs_person
    assert found.missing.count == 0
    assert [(one.id, one.number) for one in world.ledger_invoices()] == before
    # What became of them meanwhile is for the next look to learn.
    settle_later(world)
    assert [one.state for one in world.ledger_invoices()] == ["created", "deleted"]
    assert views.count_on_gone_invoices(world.ledger) == 1


def test_a_lost_ledger_rebuilt_once_more_at_home_has_each_invoice_once(rebuilt_in_two):
    world = rebuilt_in_two
    come_home(world, world.first)
    assert (rebuilt(world).on_record, len(world.ledger_invoices())) == (1, 2)


def test_a_rebuild_at_home_takes_over_what_an_older_copy_has_not_on_record(world, databases, tmp_path):
    """A copy from the moment of coming home is put back: it knows nothing that was billed there since."""
    world.deliver(world.line(0, account=0))
    world.settle()
    home = place(world)
    move(world)
    come_home(world, home)
    world.deliver(world.line(1, account=1))
    world.ledger.close()
    older = databases.copy(world.url, tmp_path)
    world.ledger = world.open_ledger()
    settle_later(world)
    assert standing(home) == ["1000", "1001"]
    world.ledger.close()
    world.url = older
    world.ledger = world.open_ledger()
    with pytest.raises(BilledElsewhere, match="SDP-00002"):
        settle_later(world)
    found = rebuilt(world)
    assert (found.on_record, found.invoices, found.recognised) == (1, 1, 1)
    assert settle_later(world).invoices == 0
    assert standing(home) == ["1000", "1001"]
    assert world.states() == {"invoiced": 2}


def test_a_rebuild_at_home_knows_an_invoice_that_counts_as_billed_on_a_persons_word(world):
    sent_without_an_answer(world)
    home = place(world)
    open_another_organisation(world)
    reinitialise(world, count_as_billed=["SDP-00001"], not_compared=True)
    come_home(world, home)
    found = rebuilt(world)
    assert (found.on_record, found.invoices, found.twice.count) == (1, 0, 0)
