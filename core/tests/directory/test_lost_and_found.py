"""Answers that are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import Unavailable
from msp_xero.ledger.links import (
    ignore_contact,
    link_account,
    request_create,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import World

FIELD = "udf_fields.udf_sline_101"


def lost_answer(world: World) -> Callable[[str, Any], None]:
    """The write is done, and its answer does not arrive."""

    def cut(_kind: str, _row: Any) -> None:
        world.sdp.after_write = lambda _kind, _row: None
        raise Unavailable("no answer in time", system="SDP", address="POST x")

    return cut


def created_without_answer(world: World, name: str, **settings: Any) -> None:
    world.settle()
    world.clock.sleep(7200)
    world.deliver(world.contact("c1", name, updated_time=world.clock.now()))
    world.sdp.after_write = lost_answer(world)
    with pytest.raises(Unavailable):
        world.settle(**settings)
    assert world.link("c1").creating_name == name


# ---------------------------------------------------------------- lost answers


@pytest.mark.parametrize("carries_id", [False, True])
def test_a_contact_renamed_after_a_lost_answer_gets_no_second_account(world: World, carries_id: bool) -> None:
    settings = {"write_link_to": FIELD} if carries_id else {}
    created_without_answer(world, "Akme Plumbing", **settings)
    world.deliver(world.contact("c1", "Acme Plumbing", updated_time=world.clock.now()))
    summary = world.settle(**settings)
    assert (summary.new, summary.created, summary.updated) == (1, 0, 1)
    assert [row["name"] for row in world.sdp.rows.values()] == ["Acme Plumbing"]
    row = world.link("c1")
    assert (row.account_id, row.how, row.creating_name) == ("1000", "created", None)


def test_a_contact_that_a_person_wants_an_account_for_gets_one_only_when_the_answer_is_lost(
    world: World,
) -> None:
    world.deliver(world.contact("c1", "Akme"))
    world.settle()
    request_create(world.ledger, "c1")
    world.sdp.after_write = lost_answer(world)
    with pytest.raises(Unavailable):
        world.settle(write_link_to=FIELD)
    world.deliver(world.contact("c1", "Acme"))
    assert world.settle(write_link_to=FIELD).outcome == "done"
    assert [row["name"] for row in world.sdp.rows.values()] == ["Acme"]
    assert world.links() == {"c1": "1000"}


def test_what_was_being_created_is_not_linked_when_another_contact_is_called_so(world: World) -> None:
    created_without_answer(world, "Akme")
    world.deliver(world.contact("c1", "Acme"), world.contact("c2", "Akme"))
    assert world.settle().ambiguous == 2
    assert world.links() == {"c1": None, "c2": None}
    link_account(world.ledger, "c1", "1000")
    assert world.link("c1").creating_name is None


def test_an_account_that_was_not_made_after_all_is_created_under_the_present_name(world: World) -> None:
    created_without_answer(world, "Akme")
    world.sdp.rows.clear()
    world.deliver(world.contact("c1", "Acme", updated_time=world.clock.now()))
    assert world.settle().created == 1
    assert [row["name"] for row in world.sdp.rows.values()] == ["Acme"]


def test_a_name_that_was_refused_is_not_looked_for_later(world: World) -> None:
    """Else the account of that name that somebody makes for another customer would be taken for ours."""
    world.deliver(world.contact("c1", "Akme"))

    def refuse(_kind: str, _values: Any) -> None:
        raise world.rejected(4021, "name has the wrong form", ["name"])

    world.sdp.before_write = refuse
    for _ in range(2):
        world.settle(unmatched_contacts="create")
        assert world.link("c1").creating_name is None
    assert len(world.events("failed")) == 1
    world.sdp.account("301", "Akme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    assert world.links() == {"c1": None}


def test_a_contact_that_is_ignored_after_a_lost_answer_keeps_what_was_being_created(world: World) -> None:
    created_without_answer(world, "Akme")
    ignore_contact(world.ledger, "c1")
    world.settle()
    assert world.links() == {"c1": None}
    request_create(world.ledger, "c1")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    assert world.links() == {"c1": "1000"}
    assert len(world.sdp.rows) == 1


def test_an_item_renamed_after_a_lost_answer_gets_no_second_type(world: World) -> None:
    world.deliver_items(world.item("i1", "Remot support"))
    world.sdp.after_write = lost_answer(world)
    with pytest.raises(Unavailable):
        world.settle_types()
    world.deliver_items(world.item("i1", "Remote support"))
    summary = world.settle_types()
    assert (summary.new, summary.updated) == (1, 1)
    assert [row["name"] for row in world.sdp.types.values()] == ["Remote support"]
    assert (world.type_link("i1").how, world.type_link("i1").creating_name) == ("created", None)
