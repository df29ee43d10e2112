"""Several machines may share a ledger, and one may store later what it read earlier."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import World


def test_an_older_copy_of_a_contact_or_item_replaces_no_newer_one(world: World) -> None:
    early = world.clock.now()
    world.clock.sleep(600)
    late = world.clock.now()
    for name, when in (("Acme", early), ("Acme Holdings", late), ("Acme", early)):
        world.deliver(world.contact("c1", name, updated_time=when))
        world.deliver_items(world.item("i1", name, updated_time=when))
    assert world.link("c1").contact_name == "Acme Holdings"
    assert world.type_link("i1").name == "Acme Holdings"
    world.deliver(world.contact("c1", "As another map makes it", updated_time=late))
    assert world.link("c1").contact_name == "As another map makes it"


def test_a_time_of_change_that_lies_in_the_future_is_no_time_to_go_by(world: World) -> None:
    now = world.clock.now()
    world.clock.sleep(86_400)
    ahead = world.clock.now()
    world.clock.time = now
    world.deliver(world.contact("c1", "Acme", updated_time=ahead))
    world.deliver(world.contact("c1", "Acme Holdings", updated_time=now))
    assert world.link("c1").contact_name == "Acme Holdings"


def test_an_older_copy_of_an_item_says_still_that_it_is_there(world: World) -> None:
    early = world.clock.now()
    world.clock.sleep(600)
    world.deliver_items(world.item("i1", "New", updated_time=world.clock.now()))
    world.settle_types(present=set())
    world.deliver_items(world.item("i1", "Old", updated_time=early))
    assert (world.type_link("i1").gone_at, world.type_link("i1").name) == (None, "New")


def test_an_older_copy_replaces_no_newer_one_of_the_same_batch(world: World) -> None:
    early = world.clock.now()
    world.clock.sleep(600)
    late = world.clock.now()
    world.deliver(
        *(world.contact("c1", name, updated_time=at) for name, at in (("New", late), ("Old", early)))
    )
    world.deliver_items(
        *(world.item("i1", name, updated_time=at) for name, at in (("New", late), ("Old", early)))
    )
    assert (world.link("c1").contact_name, world.type_link("i1").name) == ("New", "New")
