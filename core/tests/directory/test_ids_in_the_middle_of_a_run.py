"""Ids of lost accounts and types that come back as something else while a run is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import World


def later(world: World) -> None:
    """Time passes, so that what is delivered next is new."""
    world.clock.sleep(7200)


def test_a_stranger_that_appears_during_the_run_under_the_id_of_a_lost_account_is_not_written(
    world: World,
) -> None:
    """A technician adds the new customer in SDP while the run is about to; the id is that of the lost one."""
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme", wanted={"city": "Leeds"}))
    world.settle()
    del world.sdp.rows["301"]  # SDP was put back from a backup
    later(world)
    world.deliver(world.contact("c2", "Stranger", updated_time=world.clock.now()))

    def technician(_kind: str, _values: Any) -> None:
        world.sdp.before_write = lambda _kind, _values: None
        world.sdp.account("301", "Stranger", city="York")

    world.sdp.before_write = technician
    world.settle()
    world.settle()
    assert (world.sdp.rows["301"]["name"], world.sdp.rows["301"]["city"]) != ("Acme", "Leeds")
    assert world.links() == {"c1": None, "c2": "301"}


def test_a_stranger_that_appears_during_the_run_under_the_id_of_a_lost_type_is_not_renamed(
    world: World,
) -> None:
    world.sdp.worklog_type("5", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    del world.sdp.types["5"]
    world.deliver_items(world.item("i2", "Travel"))

    def technician(_kind: str, _values: Any) -> None:
        world.sdp.before_write = lambda _kind, _values: None
        world.sdp.worklog_type("5", "Travel")

    world.sdp.before_write = technician
    world.settle_types()
    world.settle_types()
    assert world.sdp.types["5"]["name"] == "Travel"
    assert world.type_links() == {"i1": None, "i2": "5"}
