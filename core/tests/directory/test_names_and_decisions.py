"""What a person decided stands beside what names say; names in Xero and ServiceDesk Plus stay together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.directory.suggest import read_suggestions
from msp_xero.ledger.account_decisions import Decision, decide
from msp_xero.ledger.links import (
    consider_item,
    link_account,
    link_type,
    request_create,
    request_create_type,
    unlink_account,
    unlink_type,
)
from msp_xero.ledger.survey import Links, survey

if TYPE_CHECKING:
    from conftest import World


# ------------------------------------------------------------ taken away by hand


@pytest.mark.parametrize("way", ["command", "spreadsheet"])
def test_a_contact_that_is_to_get_a_new_account_is_not_given_the_one_that_a_person_took_away(
    world: World, way: str
) -> None:
    """301 is another customer of the same name."""
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    if way == "command":
        unlink_account(world.ledger, "c1")
        request_create(world.ledger, "c1")
    else:
        for action in ("unlink", "create"):
            decide(world.ledger, [Decision(place="line 2", contact_id="c1", action=action)])
    summary = world.settle()
    assert (summary.ambiguous, summary.created, summary.outcome) == (1, 0, "needs_person")
    row = world.link("c1")
    assert (row.account_id, row.candidates) == (None, ["301"])
    assert "was taken from it by hand" in (row.problem or "")
    world.deliver(world.contact("c1", "Acme North"))
    assert world.settle().created == 1
    assert world.sdp.rows["301"]["name"] == "Acme"


def test_an_account_that_was_taken_away_is_not_found_by_its_name_after_a_refusal_either(
    world: World,
) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    unlink_account(world.ledger, "c1")
    request_create(world.ledger, "c1")
    row = world.sdp.rows.pop("301")

    def appear(_kind: str, _values: Any) -> None:
        world.sdp.rows["301"] = row

    world.sdp.before_write = appear
    assert world.settle().failed == 1
    assert world.links() == {"c1": None}
    assert world.link("c1").candidates == ["301"]


def test_an_account_that_was_taken_away_and_carries_the_id_still_is_not_linked_by_create(
    world: World,
) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    field = {"write_link_to": "udf_fields.udf_sline_101"}
    world.settle(**field)
    world.settle(**field)
    unlink_account(world.ledger, "c1")
    request_create(world.ledger, "c1")
    world.settle(**field)
    assert world.links() == {"c1": None}
    assert "carries its ContactID already" in (world.link("c1").problem or "")


def test_all_accounts_that_were_taken_away_are_remembered_until_one_is_linked_again(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Zed")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    unlink_account(world.ledger, "c1")
    link_account(world.ledger, "c1", "302")
    unlink_account(world.ledger, "c1")
    assert world.link("c1").unlinked == ["301", "302"]
    link_account(world.ledger, "c1", "301")
    assert world.link("c1").unlinked == ["302"]


def test_an_item_that_is_to_get_a_new_type_is_not_given_the_one_that_a_person_took_away(
    world: World,
) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    unlink_type(world.ledger, "i1")
    request_create_type(world.ledger, "i1")
    assert world.settle_types().ambiguous == 1
    assert world.type_link("i1").candidates == ["1"]
    assert "was taken from it by hand" in (world.type_link("i1").problem or "")
    consider_item(world.ledger, "i1")  # judge it like a new one
    world.settle_types()
    assert world.type_links() == {"i1": "1"}


def test_a_type_that_was_taken_away_is_not_found_by_its_name_after_a_refusal_either(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    unlink_type(world.ledger, "i1")
    request_create_type(world.ledger, "i1")
    row = world.sdp.types.pop("1")

    def appear(_kind: str, _values: Any) -> None:
        world.sdp.types["1"] = row

    world.sdp.before_write = appear
    assert world.settle_types().failed == 1
    assert world.type_links() == {"i1": None}


def test_what_a_person_unlinked_is_not_accepted_with_all_that_is_clear(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    unlink_account(world.ledger, "c1")
    found = read_suggestions(world.ledger)
    assert found.clear == {}
    assert found.by_contact["c1"][0].account_id == "301"  # shown it is


# ------------------------------------------------------------- names that change


@pytest.mark.parametrize("way", ["command", "spreadsheet"])
def test_two_equal_names_that_a_person_linked_stay_equal(world: World, way: str) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    if way == "command":
        link_account(world.ledger, "c1", "302")
    else:
        decision = Decision(place="line 2", contact_id="c1", action="link", account_id="302")
        decide(world.ledger, [decision])
    assert world.events("linked")[-1].data == {"sdp_id": "302", "how": "person"}
    assert survey(world.ledger).accounts == Links(linked=1, by_person=1, ignored=0)
    world.settle()
    world.deliver(world.contact("c1", "Acme Holdings"))
    world.settle()
    assert world.sdp.rows["302"]["name"] == "Acme Holdings"


def test_two_equal_names_of_item_and_type_that_a_person_linked_stay_equal(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.sdp.worklog_type("2", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    link_type(world.ledger, "i1", "2")
    world.deliver_items(world.item("i1", "Remote support"))
    world.settle_types()
    assert world.sdp.types["2"]["name"] == "Remote support"


def test_names_of_accounts_that_move_on_in_a_row_are_followed_in_one_run(world: World) -> None:
    for n, name in enumerate("ABC"):
        world.sdp.account(f"30{n}", name)
    world.deliver(*(world.contact(f"c{n}", name) for n, name in enumerate("ABC")))
    world.settle()
    world.deliver(world.contact("c0", "B"), world.contact("c1", "C"), world.contact("c2", "D"))
    summary = world.settle()
    assert (summary.updated, summary.failed) == (3, 0)
    assert [row["name"] for row in world.sdp.rows.values()] == ["B", "C", "D"]


def test_two_accounts_that_change_names_are_renamed_once_a_person_gives_one_a_third_name(
    world: World,
) -> None:
    world.sdp.account("301", "A")
    world.sdp.account("302", "B")
    world.deliver(world.contact("c1", "A"), world.contact("c2", "B"))
    world.settle()
    world.deliver(world.contact("c1", "B"), world.contact("c2", "A"))
    summary = world.settle()
    assert (summary.updated, summary.failed, summary.outcome) == (0, 2, "needs_person")
    assert "give one of them a third name" in (world.link("c1").problem or "")
    world.sdp.rows["302"]["name"] = "B for now"
    assert world.settle().outcome == "done"
    assert (world.sdp.rows["301"]["name"], world.sdp.rows["302"]["name"]) == ("B", "A")


# --------------------------------------------------------------- items made anew


def linked_by_hand(world: World) -> None:
    """The item Onsite has the type Vor Ort, and the type that was created for it is nobody's."""
    world.sdp.worklog_type("1", "Vor Ort")
    world.deliver_items(world.item("i1", "Onsite"))
    world.settle_types()
    unlink_type(world.ledger, "i1")
    link_type(world.ledger, "i1", "1")
    world.settle_types()


@pytest.mark.parametrize("also_free", [True, False])
def test_an_item_made_anew_takes_over_the_type_that_a_person_linked(world: World, also_free: bool) -> None:
    linked_by_hand(world)
    if not also_free:
        del world.sdp.types["1001"]
    types = set(world.sdp.types)
    world.deliver_items(world.item("i2", "Onsite", code="i1"))
    assert world.settle_types(present={"i2"}).outcome == "done"
    assert world.type_links() == {"i1": None, "i2": "1"}
    assert set(world.sdp.types) == types
    assert world.sdp.types["1"]["name"] == "Vor Ort"
    # And once more.
    world.deliver_items(world.item("i3", "Onsite", code="i1"))
    world.settle_types(present={"i3"})
    assert world.type_links() == {"i1": None, "i2": None, "i3": "1"}


def test_an_item_made_anew_that_is_to_get_a_type_of_its_own_takes_none_over(world: World) -> None:
    linked_by_hand(world)
    del world.sdp.types["1001"]
    world.deliver_items(world.item("i2", "Onsite"))
    request_create_type(world.ledger, "i2")
    assert world.settle_types(present={"i2"}).created == 1
    assert world.type_links()["i1"] == "1"


def test_a_type_is_not_taken_over_where_another_item_is_called_like_it(world: World) -> None:
    linked_by_hand(world)
    world.deliver_items(world.item("i2", "Onsite"), world.item("i3", "Vor Ort"))
    world.settle_types(present={"i2", "i3"})
    assert world.type_links()["i2"] is None
    assert "was deleted in Xero" in (world.type_link("i2").problem or "")
    assert world.type_link("i2").candidates == ["1", "1001"]


def test_of_several_deleted_items_of_a_name_none_is_guessed(world: World) -> None:
    for one in ("1", "2"):
        world.sdp.worklog_type(one, f"Type {one}")
        world.deliver_items(world.item(f"i{one}", "Onsite"))
        link_type(world.ledger, f"i{one}", one)
    world.settle_types(present=set())
    world.deliver_items(world.item("i3", "Onsite"))
    assert world.settle_types(present={"i3"}).ambiguous == 1
    assert world.type_link("i3").candidates == ["1", "2"]
    link_type(world.ledger, "i3", "2")
    assert world.type_links() == {"i1": "1", "i2": None, "i3": "2"}


def test_a_type_of_the_name_beside_a_renamed_one_of_a_deleted_item_is_left_to_a_person(world: World) -> None:
    world.sdp.worklog_type("1", "Onsite")
    world.deliver_items(world.item("i1", "Onsite"))
    world.settle_types()
    world.settle_types(present=set())
    world.sdp.types["1"]["name"] = "Vor Ort"
    world.sdp.worklog_type("2", "Onsite")
    world.deliver_items(world.item("i2", "Onsite"))
    world.settle_types(present={"i2"})
    assert world.type_link("i2").candidates == ["1", "2"]
    assert world.type_links()["i2"] is None


def test_an_account_that_a_person_took_away_is_not_linked_to_an_archived_contact_of_the_same_name(
    world: World,
) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c0", "Acme", "ARCHIVED"), world.contact("c1", "Acme"))
    world.deliver(world.contact("c5", "Acme Wellington"))
    world.settle()
    assert world.links() == {"c0": None, "c1": "301", "c5": None}
    unlink_account(world.ledger, "c1")
    world.settle()
    link_account(world.ledger, "c5", "301")  # the customer that it is
    assert world.links() == {"c0": None, "c1": None, "c5": "301"}
