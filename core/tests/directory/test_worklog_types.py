from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import LedgerError, Missing, Unavailable
from msp_xero.ledger.links import (
    consider_item,
    consider_type,
    ignore_item,
    ignore_type,
    link_type,
    request_create_type,
    unlink_type,
)
from msp_xero.ledger.runs import last_runs
from msp_xero.ledger.type_status import TypeStatus, count_by_status, type_status

if TYPE_CHECKING:
    from msp_xero.ledger.type_status import TypeStatus

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
    assert (summary.refused, summary.failed, summary.outcome) == (3, 0, "needs_person")
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


def line_of(world: World, item_id: str) -> TypeStatus:
    return next(line for line in type_status(world.ledger) if line.item_id == item_id)


def test_an_item_that_was_deleted_and_made_anew_takes_its_type_over(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote", code="REM"))
    world.settle_types()
    gone = world.settle_types(present=set())
    assert (gone.gone_linked, gone.outcome) == (1, "needs_person")
    assert gone.sentence().endswith("1 gone: a person is needed, see msp-xero types list")
    world.deliver_items(world.item("i9", "Remote", code="REM"))
    summary = world.settle_types(present={"i9"})
    assert world.type_links() == {"i1": None, "i9": "1"}
    assert (summary.new, summary.gone, summary.gone_linked, summary.outcome) == (1, 1, 0, "done")
    assert [event.data for event in world.events("unlinked")] == [{"sdp_id": "1", "instead": "i9"}]
    # The old one comes back: two items want one type, and nobody guesses.
    world.deliver_items(world.item("i1", "Remote", code="REM-OLD"))
    world.settle_types(present={"i1", "i9"})
    assert world.type_links() == {"i1": None, "i9": "1"}
    assert line_of(world, "i1").status == "ambiguous"
    assert "linked to item REM:" in str(line_of(world, "i1").problem)


def test_an_item_that_comes_back_has_its_link(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    world.settle_types(present=set())
    world.deliver_items(world.item("i1", "Remote"))
    assert world.settle_types(present={"i1"}).outcome == "done"
    assert (line_of(world, "i1").status, line_of(world, "i1").type_id) == ("linked", "1")


def test_a_type_is_linked_by_hand_to_another_item_when_its_own_is_gone(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"), world.item("i2", "Support"))
    world.settle_types()
    with pytest.raises(LedgerError, match="already linked to item i1"):
        link_type(world.ledger, "i2", "1")
    world.settle_types(present={"i2"})
    with pytest.raises(LedgerError, match="i2 is linked to worklog type 1001 already; unlink it first"):
        link_type(world.ledger, "i2", "1")
    unlink_type(world.ledger, "i2")
    link_type(world.ledger, "i2", "1")
    assert world.type_links() == {"i1": None, "i2": "1"}


def test_a_type_of_a_deleted_item_is_offered_when_only_the_case_of_its_name_differs(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    world.deliver_items(world.item("i2", "REMOTE"))
    assert world.settle_types(present={"i2"}).failed == 1
    line = line_of(world, "i2")
    assert [one.type_id for one in line.candidates] == ["1"]
    assert "a worklog type of this name exists: link it by hand" in str(line.problem)
    link_type(world.ledger, "i2", "1")
    assert world.type_links() == {"i1": None, "i2": "1"}


def test_a_type_that_gets_the_name_just_now_is_taken_over_from_a_deleted_item(world: World) -> None:
    """Renamed in ServiceDesk Plus between the list and the write: the second look finds it."""
    world.sdp.worklog_type("1", "Old name")
    # The item that takes over is known longer, so that a database that is written in that order would refuse.
    world.deliver_items(world.item("i2", "Remote", is_sold=False), world.item("i1", "Old name"))
    world.settle_types()
    world.deliver_items(world.item("i2", "Remote"))

    def rename(_kind: str, _values: Any) -> None:
        world.sdp.types["1"]["name"] = "Remote"

    world.sdp.before_write = rename
    world.settle_types(present={"i2"})
    assert world.type_links() == {"i1": None, "i2": "1"}


def test_nothing_is_linked_to_an_item_that_was_deleted_in_xero(world: World) -> None:
    world.sdp.worklog_type("1", "Travel")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    unlink_type(world.ledger, "i1")
    world.settle_types(present=set())
    with pytest.raises(LedgerError, match="item i1 was deleted in Xero, so nothing is billed by it"):
        link_type(world.ledger, "i1", "1")


def test_before_items_of_the_present_organisation_came_no_type_asks_for_one(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.settle_types()
    assert line_of_type(world, "1").needs_person
    with world.ledger.write() as session:
        world.ledger.connection(session).worklog_types_synced_at = None  # as after a reinitialise
    line = line_of_type(world, "1")
    assert (line.needs_person, line.next) == (
        False,
        "not compared with Xero yet: `meltano run worklog-types`",
    )


def line_of_type(world: World, type_id: str) -> TypeStatus:
    return next(one for one in type_status(world.ledger) if one.type_id == type_id)


def test_an_ignored_type_is_not_offered_to_an_item_of_the_same_name_in_another_case(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.settle_types()
    ignore_type(world.ledger, "1")
    world.deliver_items(world.item("i2", "REMOTE"))
    assert world.settle_types().failed == 1
    line = line_of(world, "i2")
    assert line.candidates == ()
    assert "it is not free to be linked" in str(line.problem)


def test_a_type_that_no_item_is_wanted_for_is_never_linked_by_itself(world: World) -> None:
    world.sdp.worklog_type("1", "Internal meeting")
    world.settle_types()
    (before,) = type_status(world.ledger)
    assert (before.status, before.needs_person) == ("sdp_only", True)
    ignore_type(world.ledger, "1")
    ignore_type(world.ledger, "1")
    (ignored,) = type_status(world.ledger)
    assert (ignored.status, ignored.needs_person, ignored.type_name) == ("ignored", False, "Internal meeting")
    assert len(world.events("ignored")) == 1

    world.deliver_items(world.item("i1", "Internal meeting"))
    assert world.settle_types().ambiguous == 1
    assert world.sdp.writes == []
    line = line_of(world, "i1")
    assert (line.status, line.candidates) == ("ambiguous", (("1", "Internal meeting"),))
    assert "set to be ignored" in str(line.problem)

    consider_type(world.ledger, "1")
    with pytest.raises(LedgerError, match="worklog type 1 is not ignored"):
        consider_type(world.ledger, "1")
    assert world.settle_types().new == 1
    with pytest.raises(LedgerError, match="already linked to item i1"):
        ignore_type(world.ledger, "1")
    with pytest.raises(LedgerError, match="there is no worklog type 77"):
        ignore_type(world.ledger, "77")


def test_linking_by_hand_takes_an_ignored_type_back(world: World) -> None:
    world.sdp.worklog_type("1", "Internal meeting")
    world.deliver_items(world.item("i1", "Consulting", is_sold=False))
    world.settle_types()
    ignore_type(world.ledger, "1")
    world.deliver_items(world.item("i1", "Consulting"))
    link_type(world.ledger, "i1", "1")
    unlink_type(world.ledger, "i1")
    assert [line.status for line in type_status(world.ledger)] == ["xero_only", "sdp_only"]


def test_ignoring_the_type_of_a_deleted_item_ends_the_matter(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    world.settle_types(present=set())
    assert line_of(world, "i1").needs_person
    ignore_type(world.ledger, "1")
    assert world.settle_types(present=set()).outcome == "done"
    assert not any(line.needs_person for line in type_status(world.ledger))


def test_an_ignored_item_is_considered_again(world: World) -> None:
    world.sdp.worklog_type("1", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    ignore_item(world.ledger, "i1")
    world.settle_types()
    assert line_of(world, "i1").status == "ignored"
    consider_item(world.ledger, "i1")
    assert world.settle_types().new == 1
    with pytest.raises(LedgerError, match="linked to worklog type 1 already"):
        consider_item(world.ledger, "i1")


def test_names_that_move_on_in_a_row_are_followed_in_one_run(world: World) -> None:
    world.deliver_items(*(world.item(f"i{n}", name) for n, name in enumerate("ABC")))
    world.settle_types()
    world.deliver_items(world.item("i0", "B"), world.item("i1", "C"), world.item("i2", "D"))
    # Each but the last wants a name that another type has until a moment later.
    summary = world.settle_types()
    assert (summary.updated, summary.failed) == (3, 0)
    assert [row["name"] for row in world.sdp.types.values()] == ["B", "C", "D"]
    # Two that change places stop each other: a person has to give one of them a third name first.
    world.deliver_items(world.item("i0", "C"), world.item("i1", "B"))
    summary = world.settle_types()
    assert (summary.updated, summary.failed, summary.outcome) == (0, 2, "needs_person")
    assert (line_of(world, "i0").status, line_of(world, "i0").needs_person) == ("renamed", True)


def test_every_line_says_what_to_do(world: World) -> None:
    for one, name in (("1", "Linked"), ("2", "Lost"), ("3", "Off"), ("4", "Two"), ("5", "Two")):
        world.sdp.worklog_type(one, name, inactive=name == "Off")
    items = [world.item(name, name) for name in ("Linked", "Lost", "Two", "Bad", "Twin", "Stock")]
    world.deliver_items(*items, world.item("Twin 2", "Twin"), world.item("Hand", "By hand"))
    world.deliver_items(world.item("Stock", "Stock", is_sold=False))

    def refuse(_kind: str, values: Any) -> None:
        if values["name"] == "Bad":
            raise world.refused()

    world.sdp.before_write = refuse
    world.settle_types()
    del world.sdp.types["2"]
    world.settle_types()
    found = {line.item_id or f"type {line.type_id}": line for line in type_status(world.ledger)}
    assert {name: (line.status, line.needs_person) for name, line in found.items()} == {
        "Linked": ("linked", False),
        "Lost": ("lost", True),
        "type 3": ("sdp_only", False),
        "type 4": ("sdp_only", True),
        "type 5": ("sdp_only", True),
        "Two": ("ambiguous", True),
        "Bad": ("refused", True),
        "Hand": ("refused", True),
        "Twin": ("ambiguous", True),
        "Twin 2": ("ambiguous", True),
        "Stock": ("not_sold", False),
    }
    assert found["Two"].candidates == (("4", "Two"), ("5", "Two"))
    assert "Twin and Twin 2" in str(found["Twin"].problem)
    assert "of exactly this name" in found["Bad"].next
    assert all(line.next for line in found.values())
    assert sum(count_by_status(type_status(world.ledger)).values()) == len(type_status(world.ledger))


def test_a_type_that_is_a_stranger_now_does_not_make_an_invalid_item_valid(world: World) -> None:
    world.sdp.worklog_type("5", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    del world.sdp.types["5"]
    world.deliver_items(world.item("i1", "Remote", invalid="name is too long"))
    world.settle_types()
    world.sdp.worklog_type("5", "Travel")
    assert world.settle_types().failed == 1
    assert world.type_links() == {"i1": None}
    assert "name is too long" in (world.type_link("i1").problem or "")
