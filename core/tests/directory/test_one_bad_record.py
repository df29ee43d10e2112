"""What is wrong with one record holds up no other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import Missing, Unavailable
from msp_xero.ledger.links import request_create, unlink_account, unlink_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import World


def no_answer(*names: str, status: int | None = 500, sent: bool = True) -> Callable[[str, Any], None]:
    """ServiceDesk Plus cannot digest records of these names (or cities), whatever else it can."""

    def digest(_kind: str, values: Any) -> None:
        if not names or not {values.get("name"), values.get("city")}.isdisjoint(names):
            raise Unavailable("internal error", system="SDP", address="POST x", status=status, sent=sent)

    return digest


def slowly(world: World, digest: Callable[[str, Any], None]) -> Callable[[str, Any], None]:
    def wait(kind: str, values: Any) -> None:
        world.clock.sleep(1)
        digest(kind, values)

    return wait


@pytest.mark.parametrize("linked", [False, True])
def test_an_account_that_gets_no_answer_is_listed_and_the_run_fails_after_all_others(
    world: World, linked: bool
) -> None:
    if linked:
        world.sdp.account("301", "Bad")
        world.sdp.account("302", "Good")
        world.deliver(world.contact("c1", "Bad"), world.contact("c2", "Good"))
    world.settle()
    world.clock.sleep(7200)
    now = {"updated_time": world.clock.now()}
    world.deliver(
        world.contact("c1", "Bad", wanted={"city": "?"}, **now),
        world.contact("c2", "Good", wanted={"city": "York"}, **now),
    )
    world.sdp.before_write = no_answer("?")
    for tries in (1, 2):
        with pytest.raises(Unavailable, match="internal error"):
            world.settle()
        assert [row["city"] for row in world.sdp.rows.values() if row["name"] == "Good"] == ["York"]
        assert "internal error" in (world.link("c1").problem or "")
        assert len(world.events("failed")) == 1
        assert world.sdp.calls["PUT accounts" if linked else "POST accounts"] == tries + 1
    world.sdp.before_write = lambda _kind, _values: None
    assert world.settle().outcome == "done"
    assert (world.link("c1").problem, world.link("c1").unanswered_at) == (None, None)


def test_several_writes_without_an_answer_end_the_run_and_the_next_one_begins_with_the_others(
    world: World,
) -> None:
    world.settle()
    world.clock.sleep(7200)
    now = {"updated_time": world.clock.now()}
    world.deliver(*(world.contact(f"c{n}", f"Name {n}", **now) for n in range(8)))
    world.sdp.before_write = slowly(world, no_answer(*(f"Name {n}" for n in range(5))))
    with pytest.raises(Unavailable):
        world.settle()
    assert world.sdp.calls["POST accounts"] == 3
    with pytest.raises(Unavailable):
        world.settle()
    assert sorted(row["name"] for row in world.sdp.rows.values()) == ["Name 5", "Name 6", "Name 7"]
    # Each has its turn: what got no answer the longest time ago is tried first.
    world.sdp.before_write = slowly(world, no_answer("Name 0", "Name 1", "Name 2"))
    with pytest.raises(Unavailable):
        world.settle()
    assert {"Name 3", "Name 4"} <= {row["name"] for row in world.sdp.rows.values()}


@pytest.mark.parametrize("refused", [False, True])
def test_writes_without_an_answer_between_others_end_no_run_early(world: World, refused: bool) -> None:
    world.deliver(*(world.contact(f"c{n}", f"Name {n}") for n in range(8)))
    bad = no_answer("Name 0", "Name 2", "Name 4", "Name 6")

    def every_second(kind: str, values: Any) -> None:
        bad(kind, values)
        if refused:
            raise world.rejected(4021, "the name has the wrong form", ["name"])

    world.sdp.before_write = every_second
    with pytest.raises(Unavailable):
        world.settle(unmatched_contacts="create")
    assert world.sdp.calls["POST accounts"] == 8


def test_where_a_write_cannot_leave_the_run_ends_at_once(world: World) -> None:
    world.deliver(*(world.contact(f"c{n}", f"Name {n}") for n in range(3)))
    world.sdp.before_write = no_answer(status=None, sent=False)
    with pytest.raises(Unavailable):
        world.settle(unmatched_contacts="create")
    assert world.sdp.calls["POST accounts"] == 1
    assert world.link("c0").problem is None
    world.deliver_items(*(world.item(f"i{n}", f"Name {n}") for n in range(3)))
    with pytest.raises(Unavailable):
        world.settle_types()
    assert world.sdp.calls["POST worklog_types"] == 1


def test_a_record_that_never_gets_an_answer_does_not_keep_the_first_sync_from_being_the_first(
    world: World,
) -> None:
    world.sdp.account("301", "Bad")
    world.deliver(world.contact("c1", "Bad", wanted={"city": "?"}))
    world.sdp.before_write = no_answer("?")
    for synced in (False, True):
        with pytest.raises(Unavailable):
            world.settle()
        with world.ledger.read() as session:
            assert (world.ledger.connection(session).accounts_synced_at is not None) == synced


def settle_without_answers(world: World, times: int, **settings: Any) -> None:
    for _ in range(times):
        with pytest.raises(Unavailable):
            world.settle(**settings)


def test_three_records_that_never_get_an_answer_keep_neither_the_first_sync_nor_new_contacts_waiting(
    world: World,
) -> None:
    for n in range(3):
        world.sdp.account(f"30{n}", f"Bad {n}")
        world.deliver(world.contact(f"c{n}", f"Bad {n}", wanted={"city": f"?{n}"}))
    world.sdp.before_write = slowly(world, no_answer("?0", "?1", "?2"))
    for synced in (False, True):
        settle_without_answers(world, 1)
        with world.ledger.read() as session:
            assert (world.ledger.connection(session).accounts_synced_at is not None) == synced
    world.clock.sleep(7200)
    world.deliver(world.contact("new", "Newcomer", updated_time=world.clock.now()))
    settle_without_answers(world, 1)
    assert world.links()["new"] is not None


def test_three_creates_that_never_get_an_answer_do_not_keep_updates_from_being_made(world: World) -> None:
    world.sdp.account("301", "Good", city="Leeds")
    world.deliver(world.contact("c0", "Good", wanted={"city": "York"}))
    for n in range(3):
        world.deliver(world.contact(f"c{n + 1}", f"Name {n}"))
    world.sdp.before_write = slowly(world, no_answer("Name 0", "Name 1", "Name 2"))
    settle_without_answers(world, 2, unmatched_contacts="create")
    assert world.sdp.rows["301"]["city"] == "York"
    # And each of them has its turn still.
    world.sdp.before_write = slowly(world, no_answer("Name 0", "Name 1"))
    settle_without_answers(world, 1, unmatched_contacts="create")
    assert world.links()["c3"] is not None


def test_three_types_that_never_get_created_do_not_keep_renames_from_being_made(world: World) -> None:
    world.sdp.worklog_type("1", "Old")
    world.deliver_items(world.item("i0", "Old"))
    world.settle_types()
    world.deliver_items(world.item("i0", "New"), *(world.item(f"i{n + 1}", f"Name {n}") for n in range(3)))
    world.sdp.before_write = slowly(world, no_answer("Name 0", "Name 1", "Name 2"))
    for _ in range(2):
        with pytest.raises(Unavailable):
            world.settle_types()
    assert world.sdp.types["1"]["name"] == "New"


@pytest.mark.parametrize("is_late", [False, True])
def test_names_that_move_on_are_followed_beside_three_updates_that_never_get_an_answer(
    world: World, is_late: bool
) -> None:
    for n, name in enumerate("ABC"):
        world.sdp.account(f"30{n}", name)
        world.deliver(world.contact(f"c{n}", name))
    for n in range(3):
        world.sdp.account(f"40{n}", f"Bad {n}")
        world.deliver(world.contact(f"d{n}", f"Bad {n}"))
    world.settle()
    world.deliver(*(world.contact(f"d{n}", f"Bad {n}", wanted={"city": f"?{n}"}) for n in range(3)))
    world.sdp.before_write = slowly(world, no_answer("?0", "?1", "?2"))
    if is_late:
        settle_without_answers(world, 1)
    world.deliver(world.contact("c0", "B"), world.contact("c1", "C"), world.contact("c2", "D"))
    settle_without_answers(world, 1 if is_late else 2)
    assert [world.sdp.rows[f"30{n}"]["name"] for n in range(3)] == ["B", "C", "D"]


def test_a_name_that_an_account_without_an_answer_lets_go_of_is_given_in_the_same_run(world: World) -> None:
    world.sdp.account("301", "A")
    world.sdp.account("302", "B")
    world.deliver(world.contact("c1", "A"), world.contact("c2", "B"))
    world.settle()
    world.deliver(world.contact("c2", "C"))
    world.sdp.before_write = no_answer("C")
    settle_without_answers(world, 1)
    world.sdp.before_write = lambda _kind, _values: None
    world.deliver(world.contact("c1", "B"))
    assert world.settle().outcome == "done"
    assert [row["name"] for row in world.sdp.rows.values()] == ["B", "C"]
    assert world.events("failed")[1:] == []


def test_a_worklog_type_that_gets_no_answer_does_not_hold_up_the_others(world: World) -> None:
    world.sdp.worklog_type("1", "Old")
    world.deliver_items(world.item("i1", "Old"))
    world.settle_types()
    world.deliver_items(world.item("i1", "Bad"), world.item("i2", "Worse"), world.item("i3", "Good"))
    world.sdp.before_write = no_answer("Bad", "Worse")
    for _ in range(2):
        with pytest.raises(Unavailable):
            world.settle_types()
        assert [row["name"] for row in world.sdp.types.values()] == ["Old", "Good"]
        assert "internal error" in (world.type_link("i1").problem or "")
        assert world.type_link("i2").state == "unmapped"
    world.sdp.before_write = lambda _kind, _values: None
    assert world.settle_types().outcome == "done"
    assert {row["name"] for row in world.sdp.types.values()} == {"Bad", "Worse", "Good"}


def test_types_that_got_no_answer_are_tried_last(world: World) -> None:
    bad = [f"Bad {n}" for n in range(3)]
    world.sdp.before_write = no_answer(*bad)
    world.deliver_items(*(world.item(name, name) for name in bad), world.item("good", "Good"))
    for _ in range(2):
        with pytest.raises(Unavailable):
            world.settle_types()
    assert "Good" in {row["name"] for row in world.sdp.types.values()}


def test_an_account_that_lacks_a_mandatory_field_does_not_keep_the_others_from_updates(world: World) -> None:
    world.sdp.account("301", "Acme")  # made before the field became mandatory
    world.sdp.account("302", "Beta", login_url="beta.test")
    world.sdp.mandatory = ("login_url",)
    world.deliver(
        world.contact("c1", "Acme", wanted={"city": "Leeds"}),
        world.contact("c2", "Beta", wanted={"city": "York"}),
    )
    summary = world.settle()
    assert (summary.updated, summary.failed) == (1, 1)
    assert world.sdp.rows["302"]["city"] == "York"
    assert "mandatory" in (world.link("c1").problem or "")


def test_a_type_that_cannot_be_created_does_not_keep_others_from_their_names(world: World) -> None:
    world.sdp.worklog_type("1", "Old", colour="red")
    world.deliver_items(world.item("i1", "Old"))
    world.settle_types()
    world.sdp.mandatory = ("colour",)
    world.deliver_items(world.item("i1", "New name"), world.item("i2", "Another"))
    world.settle_types()
    assert world.sdp.types["1"]["name"] == "New name"
    assert "mandatory" in (world.type_link("i2").problem or "")


def test_one_type_that_vanished_during_the_run_keeps_no_other_from_its_name(world: World) -> None:
    for n in range(3):
        world.sdp.worklog_type(str(n), f"Old {n}")
    world.deliver_items(*(world.item(f"i{n}", f"Old {n}") for n in range(3)))
    world.settle_types()
    world.deliver_items(*(world.item(f"i{n}", f"New {n}") for n in range(3)))

    def vanish(_kind: str, values: Any) -> None:
        if values["name"] == "New 0":
            raise Missing("there is no such row or path", system="SDP", address="PUT x", status=404)

    world.sdp.before_write = vanish
    world.settle_types()
    assert [world.sdp.types[str(n)]["name"] for n in range(3)] == ["Old 0", "New 1", "New 2"]


def test_types_that_may_not_be_renamed_are_asked_for_a_few_times_only(world: World) -> None:
    for n in range(9):
        world.sdp.worklog_type(str(n), f"Old {n}")
    world.deliver_items(*(world.item(f"i{n}", f"Old {n}") for n in range(9)))
    world.settle_types()
    world.deliver_items(*(world.item(f"i{n}", f"New {n}") for n in range(9)))

    def refuse(_kind: str, _values: Any) -> None:
        raise world.refused()

    world.sdp.before_write = refuse
    assert world.settle_types().refused == 9
    assert world.sdp.calls["PUT worklog_types"] == 3


def test_a_link_that_a_person_takes_away_during_the_settle_writes_no_account(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Beta", city="York")
    world.deliver(
        world.contact("c1", "Acme", wanted={"city": "Leeds"}),
        world.contact("c2", "Beta", wanted={"city": "London"}),
    )

    def person(_kind: str, _row: Any) -> None:
        world.sdp.after_write = lambda _kind, _row: None
        unlink_account(world.ledger, "c2")

    world.sdp.after_write = person
    world.settle()
    assert world.links() == {"c1": "301", "c2": None}
    assert world.sdp.rows["302"]["city"] == "York"


def test_a_link_that_a_person_takes_away_during_the_settle_renames_no_type(world: World) -> None:
    for n in range(2):
        world.sdp.worklog_type(str(n), f"Old {n}")
    world.deliver_items(*(world.item(f"i{n}", f"Old {n}") for n in range(2)))
    world.settle_types()
    world.deliver_items(*(world.item(f"i{n}", f"New {n}") for n in range(2)))

    def person(_kind: str, _row: Any) -> None:
        world.sdp.after_write = lambda _kind, _row: None
        unlink_type(world.ledger, "i1")

    world.sdp.after_write = person
    world.settle_types()
    assert [row["name"] for row in world.sdp.types.values()] == ["New 0", "Old 1"]


def test_what_a_person_decides_before_an_account_is_created_creates_none(world: World) -> None:
    world.deliver(*(world.contact(one, one) for one in ("First", "Second")))

    def person(_kind: str, _row: Any) -> None:
        world.sdp.after_write = lambda _kind, _row: None
        unlink_account(world.ledger, "Second")

    world.sdp.after_write = person
    assert world.settle(unmatched_contacts="create").created == 1
    assert [row["name"] for row in world.sdp.rows.values()] == ["First"]


def test_what_a_person_decides_before_a_type_is_created_creates_none(world: World) -> None:
    world.deliver_items(*(world.item(one, one) for one in ("First", "Second")))

    def person(_kind: str, _row: Any) -> None:
        world.sdp.after_write = lambda _kind, _row: None
        unlink_type(world.ledger, "Second")

    world.sdp.after_write = person
    assert world.settle_types().created == 1
    assert [row["name"] for row in world.sdp.types.values()] == ["First"]


def accounts_with_changes(world: World, count: int) -> None:
    """Accounts 0 and up, each of which is to get its number as its city."""
    names = [f"Name {n}" for n in range(count)]
    for n, name in enumerate(names):
        world.sdp.account(f"30{n}", name)
    world.deliver(*(world.contact(f"c{n}", name) for n, name in enumerate(names)))
    world.settle()
    world.deliver(*(world.contact(f"c{n}", name, wanted={"city": str(n)}) for n, name in enumerate(names)))


def test_refusals_that_are_not_in_a_row_do_not_end_updates(world: World) -> None:
    accounts_with_changes(world, 6)

    def answer(_kind: str, values: Any) -> None:
        if values["city"] in "024":
            raise world.refused()
        if values["city"] in "13":
            raise world.rejected(4021, "the city has the wrong form", ["city"])

    world.sdp.before_write = answer
    world.settle()
    assert world.sdp.rows["305"]["city"] == "5"


def test_refusals_of_types_that_are_not_in_a_row_do_not_end_renames(world: World) -> None:
    for n in range(6):
        world.sdp.worklog_type(str(n), f"Old {n}")
    world.deliver_items(*(world.item(f"i{n}", f"Old {n}") for n in range(6)))
    world.settle_types()
    world.deliver_items(*(world.item(f"i{n}", f"New {n}") for n in range(6)))

    def answer(_kind: str, values: Any) -> None:
        if values["name"][-1] in "024":
            raise world.refused()
        if values["name"][-1] in "13":
            raise world.rejected(4021, "the name has the wrong form", ["name"])

    world.sdp.before_write = answer
    world.settle_types()
    assert world.sdp.types["5"]["name"] == "New 5"


def test_accounts_that_the_key_may_not_write_come_after_the_others_in_the_next_run(world: World) -> None:
    accounts_with_changes(world, 4)

    def answer(_kind: str, values: Any) -> None:
        world.clock.sleep(1)
        if values["city"] in "012":
            raise world.refused()

    world.sdp.before_write = answer
    assert world.settle().failed == 4
    assert world.settle().updated == 1
    assert world.sdp.rows["303"]["city"] == "3"
    world.sdp.before_write = lambda _kind, _values: None
    assert (world.settle().updated, world.link("c0").unanswered_at) == (3, None)


def test_a_person_who_unlinks_while_the_answer_is_lost_is_not_told_of_an_error(world: World) -> None:
    world.deliver(world.contact("c1", "Acme"))
    world.deliver_items(world.item("i1", "Remote"))
    world.settle()
    request_create(world.ledger, "c1")

    def person(kind: str, _values: Any) -> None:
        if kind == "accounts":
            unlink_account(world.ledger, "c1")
        else:
            unlink_type(world.ledger, "i1")
        raise Unavailable("internal error", system="SDP", address="POST x", status=500)

    world.sdp.before_write = person
    for settle in (world.settle, world.settle_types):
        with pytest.raises(Unavailable):
            settle()
    assert (world.link("c1").problem, world.type_link("i1").problem) == (None, None)


def test_a_run_that_a_signal_ends_after_a_write_without_an_answer_is_a_stopped_one(world: World) -> None:
    world.settle()
    world.deliver(*(world.contact(f"c{n}", f"Name {n}") for n in range(3)))
    world.sdp.before_write = no_answer("Name 0")
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 1

    summary = world.settle(unmatched_contacts="create", should_stop=stop)
    assert (summary.outcome, summary.failed) == ("stopped", 1)
    assert "internal error" in (world.link("c0").problem or "")
    world.deliver_items(*(world.item(f"i{n}", f"Name {n}") for n in range(3)))
    asked.clear()
    assert world.settle_types(should_stop=stop).outcome == "stopped"


def test_names_that_a_signal_kept_from_being_tried_again_are_no_problem(world: World) -> None:
    for n, name in enumerate("AB"):
        world.sdp.account(f"30{n}", name)
        world.deliver(world.contact(f"c{n}", name))
        world.deliver_items(world.item(f"i{n}", name))
    world.settle()
    world.settle_types()
    for n, name in enumerate("BC"):
        world.deliver(world.contact(f"c{n}", name))
        world.deliver_items(world.item(f"i{n}", name))
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    for settle in (world.settle, world.settle_types):
        asked.clear()
        summary = settle(should_stop=stop)
        assert (summary.outcome, summary.updated, summary.failed) == ("stopped", 1, 0)


@pytest.mark.parametrize("step", [1, -1])
def test_a_long_chain_of_names_costs_two_writes_a_name_at_most(world: World, step: int) -> None:
    numbers = range(10, 30)
    for n in numbers:
        world.sdp.account(f"3{n}", f"N{n}")
    world.deliver(*(world.contact(f"c{n}", f"N{n}") for n in numbers))
    world.settle()
    world.deliver(*(world.contact(f"c{n}", f"N{n + step}") for n in numbers))
    world.settle()
    assert {row["id"]: row["name"] for row in world.sdp.rows.values()} == {
        f"3{n}": f"N{n + step}" for n in numbers
    }
    assert world.sdp.calls["PUT accounts"] <= 2 * len(numbers)
