from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import Missing, Unavailable
from msp_xero.ledger.links import ignore_item, link_type, request_create_type, type_status, unlink_type
from msp_xero.ledger.runs import last_runs

if TYPE_CHECKING:
    from conftest import World


def statuses(world: World) -> dict[str, str]:
    return {line.item_id or f"type {line.type_id}": line.status for line in type_status(world.ledger)}


def test_items_are_linked_by_name_and_created_at_every_sync(world: World) -> None:
    world.sdp.worklog_type("1", "Remote support")
    world.sdp.worklog_type("2", "Fax repair", inactive=True)
    world.sdp.worklog_type("3", "Internal meeting")
    world.deliver_items(
        world.item("i1", "Remote support"), world.item("i2", "Fax repair"), world.item("i3", "Training")
    )
    summary = world.settle_types()
    assert world.type_links() == {"i1": "1", "i2": "2", "i3": "1003"}
    assert (summary.linked, summary.new, summary.created, summary.unmapped) == (3, 2, 1, 0)
    assert statuses(world) == {"i1": "linked", "i2": "linked", "i3": "linked", "type 3": "sdp_only"}
    assert next(line for line in type_status(world.ledger) if line.item_id == "i2").type_inactive
    assert summary.sentence() == "worklog-types: 3 linked (2 new), 1 created, 0 updated"
    assert world.settle_types().unchanged == 3


def test_a_renamed_item_renames_its_type_whatever_its_code(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    world.deliver_items(world.item("i1", "Remote support", code="NEW-1"))
    assert statuses(world) == {"i1": "renamed"}
    assert world.settle_types().updated == 1
    assert world.sdp.writes == [("worklog_types", "1", {"name": "Remote support"})]
    assert world.type_link("i1").type_name == "Remote support"
    assert world.type_link("i1").item_code == "NEW-1"
    assert statuses(world) == {"i1": "linked"}


def test_descriptions_are_written_to_types_that_we_created_only(world: World) -> None:
    world.sdp.worklog_type("1", "Remote", description="Ours")
    world.deliver_items(
        world.item("i1", "Remote", description="Theirs"), world.item("i2", "New", description="D")
    )
    world.settle_types()
    assert world.sdp.types["1"]["description"] == "Ours"
    assert world.sdp.writes == [("worklog_types", None, {"name": "New", "description": "D"})]


def test_without_a_description_attribute_none_is_sent(world: World) -> None:
    world.deliver_items(world.item("i1", "New", description="D"))
    world.settle_types()
    assert world.sdp.writes == [("worklog_types", None, {"name": "New"})]


def test_items_that_are_not_sold_get_no_type_and_keep_their_link(world: World) -> None:
    world.sdp.worklog_type("1", "Cable")
    world.deliver_items(world.item("i1", "Cable"))
    world.settle_types()
    world.deliver_items(world.item("i1", "Cable 2", is_sold=False), world.item("i2", "Stock", is_sold=False))
    summary = world.settle_types()
    assert world.type_links() == {"i1": "1", "i2": None}
    assert world.sdp.writes == []
    assert (summary.linked, summary.unmapped, world.type_link("i1").is_sold) == (1, 0, False)


def test_two_items_of_one_name_are_listed_and_not_created(world: World) -> None:
    world.deliver_items(world.item("i1", "Labour"), world.item("i2", "Labour"))
    summary = world.settle_types()
    assert (summary.ambiguous, summary.outcome, world.sdp.writes) == (2, "needs_person", [])
    world.deliver_items(world.item("i2", "Labour, night"))
    assert world.settle_types().created == 2
    world.deliver_items(world.item("i3", "Labour"))
    assert world.settle_types().ambiguous == 1


def test_items_that_are_gone_are_marked_and_their_types_stay(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"), world.item("i2", "Training"))
    world.settle_types()
    summary = world.settle_types(present={"i2"})
    assert (summary.gone, len(world.sdp.types)) == (1, 2)
    assert statuses(world)["i1"] == "gone"
    world.deliver_items(world.item("i1", "Remote"))
    assert world.settle_types(present={"i1", "i2"}).gone == 0


@pytest.mark.parametrize("kind", ["role", "path"])
def test_types_that_may_not_be_written_are_listed_and_the_run_ends_well(world: World, kind: str) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(*(world.item(f"i{n}", f"Type {n}") for n in range(3)), world.item("r", "Remote"))

    def refuse(_kind: str, _values: Any) -> None:
        if kind == "path":
            raise Missing("there is no such row or path", system="SDP", address="POST x", status=404)
        raise world.refused()

    world.sdp.before_write = refuse
    summary = world.settle_types()
    assert (summary.refused, summary.failed, summary.outcome) == (3, 0, "done")
    assert world.sdp.calls["POST worklog_types"] == 1
    assert statuses(world) == {"i0": "refused", "i1": "refused", "i2": "refused", "r": "linked"}
    world.sdp.worklog_type("7", "Type 0")  # the administrator creates one by hand
    assert world.settle_types().new == 1
    assert (world.type_link("i0").state, world.type_link("i0").problem) == ("linked", None)


def test_one_refused_type_does_not_stop_the_others(world: World) -> None:
    world.deliver_items(world.item("i1", "Bad"), world.item("i2", "Good"))

    def refuse(_kind: str, values: Any) -> None:
        if values["name"] == "Bad":
            raise world.rejected(4021, "too long", ["name"])

    world.sdp.before_write = refuse
    summary = world.settle_types()
    assert (summary.created, summary.failed, summary.outcome) == (1, 1, "needs_person")


def test_a_name_that_differs_in_case_only_is_left_to_a_person(world: World) -> None:
    world.sdp.worklog_type("1", "REMOTE")
    world.deliver_items(world.item("i1", "Remote"))
    assert world.settle_types().failed == 1
    assert world.type_link("i1").candidates == ["1"]
    assert statuses(world)["i1"] == "ambiguous"
    assert world.settle_types(match_names="normalised").new == 1
    assert world.sdp.types["1"]["name"] == "REMOTE"


def test_a_crash_between_create_and_commit_makes_no_duplicate(world: World) -> None:
    world.deliver_items(world.item("i1", "New"))

    def die(_kind: str, _row: Any) -> None:
        raise world.killed

    world.sdp.after_write = die
    with pytest.raises(world.killed):
        world.settle_types()
    world.sdp.after_write = lambda _kind, _row: None
    assert world.settle_types().new == 1
    assert len(world.sdp.types) == 1


def test_an_unknown_outcome_fails_the_run_and_the_next_finds_what_was_made(world: World) -> None:
    world.deliver_items(world.item("i1", "New"))

    def cut(_kind: str, _row: Any) -> None:
        raise Unavailable("the connection broke", system="SDP", address="POST x")

    world.sdp.after_write = cut
    with pytest.raises(Unavailable):
        world.settle_types()
    assert last_runs(world.ledger)["worklog-types"].outcome == "failed"
    world.sdp.after_write = lambda _kind, _row: None
    assert world.settle_types().new == 1


def test_choices_of_people_are_carried_out(world: World) -> None:
    world.sdp.worklog_type("1", "On-site")
    world.sdp.worklog_type("2", "Travel")
    world.deliver_items(world.item("i1", "Visit"), world.item("i2", "Petty"), world.item("i3", "Travel"))
    link_type(world.ledger, "i1", "1")
    ignore_item(world.ledger, "i2")
    unlink_type(world.ledger, "i3")
    summary = world.settle_types()
    assert (summary.created, summary.unmapped, world.sdp.writes) == (0, 1, [])
    assert statuses(world) == {"i1": "renamed", "i2": "ignored", "i3": "xero_only", "type 2": "sdp_only"}
    request_create_type(world.ledger, "i3")
    assert world.settle_types().new == 1  # it is there already under this very name


def test_a_linked_type_that_is_not_listed_any_more_is_reported(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    del world.sdp.types["1"]
    summary = world.settle_types()
    assert (summary.failed, summary.created) == (1, 0)
    assert "does not list the linked worklog type" in (world.type_link("i1").problem or "")


def test_a_dry_run_changes_nothing(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"), world.item("i2", "New"))
    summary = world.settle_types(dry_run=True)
    assert (summary.new, summary.created) == (1, 1)
    assert world.sdp.writes == []
    assert set(world.type_links().values()) == {None}
    run = last_runs(world.ledger)["worklog-types"]
    assert run.counts is not None
    assert run.counts["dry_run"] is True
    assert run.counts["planned"][0] == {"id": "i1", "action": "link", "sdp_id": "1"}
