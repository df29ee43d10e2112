"""Ignored worklog types that are listed no more, and whose id another type gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msp_xero.ledger.links import ignore_type
from msp_xero.ledger.type_status import type_status

if TYPE_CHECKING:
    from conftest import World


def test_a_type_that_has_the_id_of_an_ignored_one_that_was_lost_is_not_ignored(world: World) -> None:
    world.sdp.worklog_type("7", "Internal")
    world.settle_types()
    ignore_type(world.ledger, "7")
    del world.sdp.types["7"]
    world.settle_types()
    world.sdp.worklog_type("7", "Travel")  # the id is given out anew
    world.settle_types()
    [line] = [one for one in type_status(world.ledger) if one.type_id == "7"]
    assert (line.type_name, line.status, line.needs_person) == ("Travel", "sdp_only", True)


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_item_of_the_name_of_such_a_type_is_linked_to_it(world: World, dry_run: bool) -> None:
    world.sdp.worklog_type("7", "Internal")
    world.settle_types()
    ignore_type(world.ledger, "7")
    del world.sdp.types["7"]
    world.settle_types()
    world.sdp.worklog_type("7", "Travel")
    world.deliver_items(world.item("i1", "Travel"))
    summary = world.settle_types(dry_run=dry_run)
    assert (summary.new, summary.created) == (1, 0)
    assert world.type_links() == {"i1": None if dry_run else "7"}


def test_a_type_that_is_created_under_the_id_of_an_ignored_one_that_was_lost_is_not_ignored(
    world: World,
) -> None:
    world.sdp.worklog_type("1000", "Internal")
    world.settle_types()
    ignore_type(world.ledger, "1000")
    world.sdp.types.clear()
    world.deliver_items(world.item("i1", "Travel"))
    world.settle_types()
    assert [(one.type_id, one.status) for one in type_status(world.ledger)] == [("1000", "linked")]
    assert [event.data for event in world.events("considered")] == [{"sdp_id": "1000"}]


def test_an_ignored_type_that_was_not_listed_for_a_while_is_ignored_still(world: World) -> None:
    world.sdp.worklog_type("7", "Internal")
    world.settle_types()
    ignore_type(world.ledger, "7")
    listed = world.sdp.types.pop("7")
    world.settle_types()
    world.sdp.types["7"] = listed
    world.settle_types()
    assert [one.status for one in type_status(world.ledger)] == ["ignored"]
