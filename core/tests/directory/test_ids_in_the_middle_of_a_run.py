"""Ids of lost accounts and types that come back as something else while a run is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import LedgerError
from msp_xero.ledger.account_decisions import Decision, decide
from msp_xero.ledger.links import ignore_contact, link_account, link_type, unlink_account, unlink_type
from msp_xero.ledger.type_status import type_status

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


def test_an_account_that_is_created_under_the_id_of_a_lost_one_is_linked(world: World) -> None:
    """SDP was put back from a backup: it gives the id of the lost account to the next one, which is ours."""
    world.settle()
    later(world)
    world.deliver(world.contact("c1", "Acme", updated_time=world.clock.now()))
    world.settle()
    assert world.links() == {"c1": "1000"}
    world.sdp.rows.clear()  # put back from a backup of before
    later(world)
    now = world.clock.now()
    world.deliver(
        world.contact("c2", "Gamma", updated_time=now), world.contact("c3", "Delta", updated_time=now)
    )
    world.settle()
    assert [row["name"] for row in world.sdp.rows.values()] == ["Gamma", "Delta"]
    assert world.links() == {"c1": None, "c2": "1000", "c3": "1001"}


def test_a_type_that_is_created_under_the_id_of_a_lost_one_is_linked(world: World) -> None:
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    assert world.type_links() == {"i1": "1000"}
    world.sdp.types.clear()
    world.deliver_items(world.item("i2", "Travel"), world.item("i3", "Onsite"))
    world.settle_types()
    assert [row["name"] for row in world.sdp.types.values()] == ["Travel", "Onsite"]
    assert world.type_links() == {"i1": None, "i2": "1000", "i3": "1001"}


def test_an_account_that_is_created_under_an_id_that_was_not_missed_yet_waits_for_the_next_run(
    world: World,
) -> None:
    """SDP is put back from a backup after the list was read."""
    world.settle()
    later(world)
    world.deliver(world.contact("c1", "Acme", updated_time=world.clock.now()))
    world.settle()
    later(world)
    world.deliver(world.contact("c2", "Gamma", updated_time=world.clock.now()))

    def put_back(_kind: str, _values: Any) -> None:
        world.sdp.before_write = lambda _kind, _values: None
        world.sdp.rows.clear()

    world.sdp.before_write = put_back
    summary = world.settle()
    assert summary.failed == 2
    assert world.links() == {"c1": "1000", "c2": None}
    assert (world.link("c2").problem or "").startswith("ServiceDesk Plus MSP gave it account 1000")
    assert (world.link("c1").problem or "").startswith(
        "account 1000, which it is linked to, came back or was"
    )
    world.settle()
    assert [row["name"] for row in world.sdp.rows.values()] == ["Gamma"]
    assert world.links() == {"c1": None, "c2": "1000"}


def test_a_type_that_is_created_under_an_id_that_was_not_missed_yet_waits_for_the_next_run(
    world: World,
) -> None:
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    world.deliver_items(world.item("i2", "Travel"))

    def put_back(_kind: str, _values: Any) -> None:
        world.sdp.before_write = lambda _kind, _values: None
        world.sdp.types.clear()

    world.sdp.before_write = put_back
    world.settle_types()
    assert world.type_links() == {"i1": "1000", "i2": None}
    told = "worklog type 1000, which it is linked to, came back or was given out anew"
    assert (world.type_link("i1").problem or "").startswith(told)
    [line] = [one for one in type_status(world.ledger) if one.item_id == "i1"]
    assert (line.needs_person, "finds out whose type it is" in line.next) == (False, True)
    world.settle_types()
    assert [row["name"] for row in world.sdp.types.values()] == ["Travel"]
    assert world.type_links() == {"i1": None, "i2": "1000"}


def test_what_is_taken_from_a_lost_link_in_the_middle_of_a_run_is_told(world: World) -> None:
    world.settle()
    later(world)
    world.deliver(world.contact("c1", "Acme", updated_time=world.clock.now()))
    world.settle()
    world.sdp.rows.clear()
    later(world)
    world.deliver(world.contact("c2", "Gamma", updated_time=world.clock.now()))
    summary = world.settle()
    assert (summary.linked, summary.created, summary.updated) == (1, 1, 0)
    row = world.link("c1")
    assert (row.choice, row.candidates, row.lost_at) == ("list", ["1000"], None)
    assert "not listed by ServiceDesk Plus MSP for a while" in (row.problem or "")
    assert [event.data for event in world.events("unlinked")] == [{"sdp_id": "1000", "how": "lost"}]


def test_the_id_of_a_lost_account_is_not_its_contacts_any_more_when_a_person_decides_during_the_create(
    world: World,
) -> None:
    world.sdp.account("1000", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    world.sdp.rows.clear()
    later(world)
    world.deliver(world.contact("c2", "Gamma", updated_time=world.clock.now()))
    world.sdp.before_write = lambda _kind, _values: ignore_contact(world.ledger, "c2")
    world.settle()
    assert [row["name"] for row in world.sdp.rows.values()] == ["Gamma"]
    assert world.links() == {"c1": None, "c2": None}


def test_an_account_that_may_be_another_one_is_not_linked_by_hand_before_the_next_run(world: World) -> None:
    """A person's link is believed: it would hide from that run that the id was given out anew."""
    world.settle()
    later(world)
    world.deliver(world.contact("c1", "Acme", updated_time=world.clock.now()))
    world.settle()
    later(world)
    world.deliver(world.contact("c2", "Gamma", updated_time=world.clock.now()))

    def put_back(_kind: str, _values: Any) -> None:
        world.sdp.before_write = lambda _kind, _values: None
        world.sdp.rows.clear()

    world.sdp.before_write = put_back
    world.settle()
    with pytest.raises(LedgerError, match="may have given account 1000 to another one"):
        link_account(world.ledger, "c1", "1000")
    decision = Decision(place="line 2", contact_id="c1", action="link", account_id="1000")
    assert decide(world.ledger, [decision]).unchanged == 1  # a file that is read again tells nothing new
    assert world.link("c1").lost_at is not None
    unlink_account(world.ledger, "c1")
    for one in ("c1", "c2"):
        decision = Decision(place="line 2", contact_id=one, action="link", account_id="1000")
        [problem] = decide(world.ledger, [decision]).problems
        assert "may have given account 1000 to another one" in problem
        with pytest.raises(LedgerError, match="may have given account 1000 to another one"):
            link_account(world.ledger, one, "1000")
    world.settle()
    assert world.links() == {"c1": None, "c2": "1000"}


def test_a_type_that_may_be_another_one_is_not_linked_by_hand_before_the_next_run(world: World) -> None:
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    world.deliver_items(world.item("i2", "Travel"))

    def put_back(_kind: str, _values: Any) -> None:
        world.sdp.before_write = lambda _kind, _values: None
        world.sdp.types.clear()

    world.sdp.before_write = put_back
    world.settle_types()
    unlink_type(world.ledger, "i1")
    with pytest.raises(LedgerError, match="may have given worklog type 1000 to another one"):
        link_type(world.ledger, "i2", "1000")
    world.settle_types()
    assert world.type_links() == {"i1": None, "i2": "1000"}


@pytest.mark.parametrize("invalid", [None, "x"])
def test_what_is_taken_from_a_lost_link_in_the_middle_of_a_run_is_counted(
    world: World, invalid: str | None
) -> None:
    world.settle()
    later(world)
    now = world.clock.now()
    world.deliver(world.contact("c1", "Acme", updated_time=now))
    world.deliver_items(world.item("i1", "Remote"))
    world.settle()
    world.settle_types()
    world.sdp.rows.clear()
    world.sdp.types.clear()
    later(world)
    now = world.clock.now()
    world.deliver(
        world.contact("c1", "Acme", invalid=invalid, updated_time=now),
        world.contact("c2", "Gamma", updated_time=now),
    )
    world.deliver_items(world.item("i1", "Remote", invalid=invalid), world.item("i2", "Travel"))
    for summary in (world.settle(), world.settle_types()):
        assert (summary.linked, summary.created, summary.failed) == (1, 1, 1)
        assert summary.unmapped == (0 if invalid else 1)  # as the next run counts them
    for summary in (world.settle(), world.settle_types()):
        assert summary.unmapped == (0 if invalid else 1)
