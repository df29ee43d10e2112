"""What was decided about a contact holds for those that were merged into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msp_xero.directory.suggest import read_suggestions
from msp_xero.ledger.link_views import account_totals
from msp_xero.ledger.links import (
    account_links,
    ignore_contact,
    link_account,
    request_create,
    unlink_account,
)

if TYPE_CHECKING:
    from conftest import World


def merged(world: World) -> None:
    """Acme was merged into Beta, and its account followed."""
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Beta"), world.contact("c2", "Acme"))
    world.settle()
    world.deliver(world.contact("c2", "Acme", "ARCHIVED", merged_to_contact_id="c1"))
    world.settle()
    assert world.links() == {"c1": "301", "c2": None}


@pytest.mark.parametrize("then", ["listed", "ignored", "linked to another", "created"])
def test_an_account_that_a_person_took_from_a_surviving_contact_is_not_given_back(
    world: World, then: str
) -> None:
    merged(world)
    world.sdp.account("302", "Beta Ltd")
    world.settle()
    unlink_account(world.ledger, "c1")  # the account is another customer's, says a person
    if then == "ignored":
        ignore_contact(world.ledger, "c1")
    elif then == "linked to another":
        link_account(world.ledger, "c1", "302")
    elif then == "created":
        request_create(world.ledger, "c1")
    for _ in range(2):
        world.settle()
    assert "301" not in world.links().values()
    assert world.link("c2").problem is None  # a person has decided, so nothing is asked of one


@pytest.mark.parametrize("survivor", ["listed", "ignored", "invalid"])
def test_an_account_is_not_linked_by_the_name_of_a_contact_whose_survivor_was_decided_about(
    world: World, survivor: str
) -> None:
    """As in ledgers of earlier versions, where a merge left nothing on the contact that was merged away."""
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Beta"))
    unlink_account(world.ledger, "c1")
    if survivor == "ignored":
        ignore_contact(world.ledger, "c1")
    elif survivor == "invalid":
        world.deliver(world.contact("c1", "Beta", invalid="name is missing"))
    world.deliver(world.contact("c2", "Acme", "ARCHIVED", merged_to_contact_id="c1"))
    summary = world.settle()
    assert world.links() == {"c1": None, "c2": None}
    assert "a person decided otherwise" in (world.link("c2").problem or "")
    assert summary.outcome == "needs_person"
    ignore_contact(world.ledger, "c2")
    assert world.settle().failed == (survivor == "invalid")
    assert world.link("c2").problem is None


def old_merge(world: World, survivors_account: str | None) -> None:
    """Acme was merged into Beta long ago, and had no account then."""
    world.sdp.account("302", survivors_account or "Somebody")
    world.deliver(
        world.contact("c1", "Beta"), world.contact("c2", "Acme", "ARCHIVED", merged_to_contact_id="c1")
    )
    world.settle()


def test_an_account_called_like_a_contact_merged_away_long_ago_is_listed_and_not_billed_to_the_survivor(
    world: World,
) -> None:
    old_merge(world, "Beta")
    world.sdp.account("301", "Acme")  # new in ServiceDesk Plus
    summary = world.settle()
    assert world.links() == {"c1": "302", "c2": None}
    assert "account 301 is called like it" in (world.link("c2").problem or "")
    assert (summary.failed, summary.outcome) == (1, "needs_person")
    del world.sdp.rows["301"]
    assert world.settle().outcome == "done"
    assert world.link("c2").problem is None
    world.sdp.account("301", "Acme")
    world.settle()
    link_account(world.ledger, "c2", "301")  # it is that customer, says a person
    assert world.settle().outcome == "done"
    assert world.links() == {"c1": "302", "c2": "301"}


def test_an_account_called_like_a_contact_merged_away_long_ago_is_offered_to_the_survivor(
    world: World,
) -> None:
    old_merge(world, None)
    world.sdp.account("301", "Acme")
    summary = world.settle(unmatched_contacts="create")
    assert (summary.ambiguous, summary.created) == (1, 0)
    assert world.links() == {"c1": None, "c2": None}
    assert [row.contact_id for row in account_links(world.ledger, unmapped_only=True)] == ["c1"]
    assert world.link("c1").candidates == ["301"]
    assert "called like a contact that was merged into it" in (world.link("c1").problem or "")
    link_account(world.ledger, "c1", "301")
    assert world.settle().outcome == "done"


def test_that_an_account_was_lost_is_remembered_when_its_link_follows_a_merge(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme", wanted={"city": "Leeds"}), world.contact("c2", "Beta"))
    world.settle()
    del world.sdp.rows["301"]  # ServiceDesk Plus was put back from a backup
    world.settle()
    assert world.link("c1").lost_at is not None
    world.deliver(
        world.contact("c1", "Acme", "ARCHIVED", merged_to_contact_id="c2"),
        world.contact("c2", "Beta", wanted={"city": "Leeds"}),
    )
    world.settle()
    assert world.links() == {"c1": None, "c2": "301"}
    world.sdp.account("301", "Stranger Ltd", city="York")  # the id is given out anew
    world.sdp.writes.clear()
    world.settle()
    assert world.sdp.writes == []
    assert world.links() == {"c1": None, "c2": None}


@pytest.mark.parametrize("merged_to", ["c2", None])
def test_a_link_that_was_taken_from_a_contact_not_in_use_is_told_until_a_person_decides(
    world: World, merged_to: str | None
) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Beta")
    world.deliver(world.contact("c1", "Acme"), world.contact("c2", "Beta"))
    world.settle()
    world.deliver(world.contact("c1", "Acme", "ARCHIVED", merged_to_contact_id=merged_to))
    world.settle()
    row = world.sdp.rows.pop("301")
    world.settle()
    world.sdp.rows["301"] = row | {"name": "Acme NZ"}
    assert world.settle().outcome == "needs_person"
    world.sdp.account("303", "ACME")
    for _ in range(2):
        assert world.settle().unmapped == 1
        assert account_totals(world.ledger).unmapped == 1
        assert [row.contact_id for row in account_links(world.ledger, unmapped_only=True)] == ["c1"]
    assert world.links() == {"c1": None, "c2": "302"}
    assert read_suggestions(world.ledger).by_contact == {}  # no name links what is not in use
    ignore_contact(world.ledger, "c1")
    assert world.settle().unmapped == 0
    assert account_links(world.ledger, unmapped_only=True) == []
    assert account_totals(world.ledger).unmapped == 0


def test_a_link_does_not_follow_to_a_contact_whose_own_was_taken_away_and_no_person_is_named(
    world: World,
) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("305", "Zed")
    world.deliver(world.contact("c1", "Acme"), world.contact("c2", "Zed"))
    world.settle()
    del world.sdp.rows["301"]
    world.settle()
    world.sdp.account("301", "Stranger")
    world.settle()
    world.deliver(world.contact("c2", "Zed", "ARCHIVED", merged_to_contact_id="c1"))
    world.settle()
    assert world.links() == {"c1": None, "c2": "305"}
    assert world.link("c2").problem == "it was merged in Xero into a contact that waits for a person"


def test_an_account_that_a_person_took_from_a_contact_is_not_linked_to_the_one_it_was_merged_into(
    world: World,
) -> None:
    """301 is another customer called Acme, says a person; two records of ours become one, called Acme."""
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme Limited"), world.contact("c2", "Acme"))
    world.settle()
    assert world.links() == {"c1": None, "c2": "301"}
    unlink_account(world.ledger, "c2")
    world.settle()
    world.deliver(
        world.contact("c1", "Acme"), world.contact("c2", "Acme", "ARCHIVED", merged_to_contact_id="c1")
    )
    world.settle()
    assert world.links() == {"c1": None, "c2": None}


def test_an_account_that_a_person_took_from_a_contact_is_not_found_by_a_create_for_the_one_it_was_merged_into(
    world: World,
) -> None:
    """The name exists, says SDP: it is what the person took away, and was not listed when the run began."""
    world.sdp.account("301", "Acme")
    world.deliver(
        world.contact("c1", "Acme Limited"), world.contact("c2", "Acme"), world.contact("c3", "Mid")
    )
    world.settle()
    unlink_account(world.ledger, "c2")
    world.settle()
    world.deliver(
        world.contact("c1", "Acme"),
        world.contact("c2", "Acme", "ARCHIVED", merged_to_contact_id="c3"),
        world.contact("c3", "Mid", "ARCHIVED", merged_to_contact_id="c1"),
    )
    hidden = world.sdp.rows.pop("301")
    request_create(world.ledger, "c1")

    def shown(_kind: str, _values: object) -> None:
        world.sdp.rows["301"] = hidden

    world.sdp.before_write = shown
    world.settle()
    assert (world.links()["c1"], world.link("c1").candidates) == (None, ["301"])


def test_an_account_that_a_person_took_from_a_contact_is_not_clear_for_the_one_it_was_merged_into(
    world: World,
) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme Limited"), world.contact("c2", "Acme"))
    world.settle()
    unlink_account(world.ledger, "c2")
    world.settle()
    world.deliver(world.contact("c2", "Long gone", "ARCHIVED", merged_to_contact_id="c1"))
    world.settle()
    found = read_suggestions(world.ledger)
    assert [one.account_id for one in found.by_contact["c1"]] == ["301"]
    assert found.clear == {}
