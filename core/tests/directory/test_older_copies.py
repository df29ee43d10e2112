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


def test_an_older_copy_does_not_make_an_invalid_contact_or_item_valid(world: World) -> None:
    times = []
    for _ in range(3):
        world.clock.sleep(600)
        times.append(world.clock.now())
    copies = (("Acme", times[0], None), ("", times[2], "name is missing"), ("Acme Ltd", times[1], None))
    for name, when, invalid in copies:  # another machine read the last one earlier
        world.deliver(world.contact("c1", name, updated_time=when, invalid=invalid))
        world.deliver_items(world.item("i1", name, updated_time=when, invalid=invalid))
    assert (world.link("c1").problem or "").startswith("INVALID_RECORD")
    assert (world.type_link("i1").problem or "").startswith("INVALID_RECORD")
    assert (world.link("c1").contact_name, world.type_link("i1").name) == ("Acme", "Acme")
    world.deliver(world.contact("c1", "Acme Ltd", updated_time=times[2]))  # as another map makes it
    assert (world.link("c1").problem, world.link("c1").contact_name) == (None, "Acme Ltd")


def test_an_invalid_copy_without_a_time_leaves_the_time_that_is_known(world: World) -> None:
    known = world.clock.now()
    world.deliver(world.contact("c1", "Acme", updated_time=known))
    world.deliver(world.contact("c1", "", invalid="name is missing"))
    assert world.link("c1").updated_time == known
