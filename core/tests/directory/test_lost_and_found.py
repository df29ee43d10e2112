"""Answers that are lost, ids that are given out anew, and addresses that lead elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.directory import AccountPolicy, TypePolicy, run_accounts, run_worklog_types
from msp_xero.errors import LedgerError, Throttled, Unavailable
from msp_xero.ledger.links import (
    account_links,
    ignore_contact,
    link_account,
    link_type,
    request_create,
    request_create_type,
    unlink_account,
)
from msp_xero.ledger.type_status import type_status

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


def test_an_account_that_was_not_made_after_all_is_no_obstacle_to_one_of_the_present_name(
    world: World,
) -> None:
    created_without_answer(world, "Akme")
    world.sdp.rows.clear()
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme", updated_time=world.clock.now()))
    world.settle()
    assert world.links() == {"c1": "301"}
    assert world.link("c1").how == "exact"


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


def announced_in_vain(world: World, error: Exception) -> None:
    """The contact c1 is to be created as Akme, and nothing is made."""
    world.settle()
    world.clock.sleep(7200)
    world.deliver(world.contact("c1", "Akme", updated_time=world.clock.now()))

    def fail(_kind: str, _values: Any) -> None:
        raise error

    world.sdp.before_write = fail
    with pytest.raises(type(error)):
        world.settle()
    world.sdp.before_write = lambda _kind, _values: None


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("no route", system="SDP", address="POST x", sent=False),
        Throttled("too many calls", system="SDP", address="POST x"),
    ],
)
def test_a_name_that_never_left_is_not_looked_for_later(world: World, error: Exception) -> None:
    announced_in_vain(world, error)
    world.sdp.account("301", "Akme", city="York")  # another customer's
    world.deliver(world.contact("c1", "Acme", wanted={"city": "Leeds"}, updated_time=world.clock.now()))
    world.settle()
    assert world.links() == {"c1": "1001"}
    assert world.sdp.rows["301"]["name"] == "Akme"


def test_a_name_that_was_looked_for_and_not_found_is_not_looked_for_again(world: World) -> None:
    announced_in_vain(world, Unavailable("internal error", system="SDP", address="POST x", status=500))
    world.sdp.account("300", "ACME")
    world.deliver(world.contact("c1", "Acme", updated_time=world.clock.now()))
    world.settle()  # listed: an account is called nearly the same
    world.sdp.account("301", "Akme", city="York")  # months later, another customer's
    world.settle()
    assert world.links() == {"c1": None}
    assert world.sdp.rows["301"]["name"] == "Akme"


def test_a_name_that_is_taken_is_not_looked_for_later_when_the_list_gets_no_answer(world: World) -> None:
    world.deliver(world.contact("c1", "Akme"))

    def broken(_fields: Any = None) -> Any:
        raise Unavailable("internal error", system="SDP", address="GET accounts", status=500)

    def taken(_kind: str, _values: Any) -> None:
        world.sdp.accounts = broken  # type: ignore[method-assign]
        raise world.rejected(4008, "not unique", ["name"])

    world.sdp.before_write = taken
    with pytest.raises(Unavailable):
        world.settle(unmatched_contacts="create")
    assert world.link("c1").creating_name is None


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


def test_an_account_whose_answer_was_lost_is_not_given_to_another_contact_of_its_name(world: World) -> None:
    world.deliver(
        world.contact("c1", "Acme", wanted={"city": "Leeds"}),
        world.contact("c2", "Acme", wanted={"city": "York"}),
    )
    world.settle()
    request_create(world.ledger, "c1")
    request_create(world.ledger, "c2")
    world.sdp.after_write = lost_answer(world)
    with pytest.raises(Unavailable):
        world.settle()
    assert world.links() == {"c1": None, "c2": None}
    assert world.link("c2").candidates == ["1000"]
    assert world.sdp.rows["1000"]["city"] == "Leeds"


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


def test_a_name_of_a_type_that_was_refused_is_not_looked_for_later(world: World) -> None:
    world.deliver_items(world.item("i1", "Remot support"))

    def refuse(_kind: str, _values: Any) -> None:
        raise world.rejected(4021, "name has the wrong form", ["name"])

    world.sdp.before_write = refuse
    for _ in range(2):
        world.settle_types()
        assert world.type_link("i1").creating_name is None
    assert len(world.events("failed")) == 1


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("no route", system="SDP", address="POST x", sent=False),
        Throttled("too many calls", system="SDP", address="POST x"),
        Unavailable("internal error", system="SDP", address="POST x", status=500),
    ],
)
def test_a_name_of_a_type_that_was_not_made_is_not_looked_for_for_ever(
    world: World, error: Exception
) -> None:
    world.deliver_items(world.item("i1", "Remot"))

    def fail(_kind: str, _values: Any) -> None:
        raise error

    world.sdp.before_write = fail
    with pytest.raises(type(error)):
        world.settle_types()
    world.sdp.before_write = lambda _kind, _values: None
    world.deliver_items(world.item("i1", "Remote", is_sold=False))
    world.settle_types()
    world.sdp.worklog_type("5", "Remot")  # somebody else's
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    assert [row["name"] for row in world.sdp.types.values()] == ["Remot", "Remote"]


# ------------------------------------------------------- ids that are given out anew


def test_an_account_id_that_was_lost_and_comes_back_under_another_name_is_another_account(
    world: World,
) -> None:
    """After ServiceDesk Plus was put back from a backup it gives the id out again."""
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme", wanted={"city": "Leeds"}))
    world.settle()
    del world.sdp.rows["301"]
    world.settle()
    assert "does not list the linked account" in (world.link("c1").problem or "")
    world.sdp.account("301", "Stranger Ltd", city="York")
    world.deliver(world.contact("c2", "Stranger Ltd"))
    world.sdp.writes.clear()
    summary = world.settle()
    assert world.sdp.writes == []
    assert world.links() == {"c1": None, "c2": "301"}
    assert (summary.failed, summary.outcome) == (1, "needs_person")
    assert world.events("unlinked")[-1].data == {"sdp_id": "301", "how": "lost"}
    world.settle()
    assert "account 301, which it was linked to, was not listed" in (world.link("c1").problem or "")
    assert [row.contact_id for row in account_links(world.ledger, unmapped_only=True)] == ["c1"]
    request_create(world.ledger, "c1")
    world.settle()
    assert world.sdp.rows[str(world.links()["c1"])]["name"] == "Acme"


@pytest.mark.parametrize("name", ["Acme", "Acme Holdings"])
def test_an_account_that_was_not_listed_for_a_while_is_the_same_one_under_its_name(
    world: World, name: str
) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    row = world.sdp.rows.pop("301")
    world.settle()
    world.deliver(world.contact("c1", "Acme Holdings"))
    world.settle()
    assert world.link("c1").lost_at is not None
    world.sdp.rows["301"] = row | {"name": name}
    assert world.settle().outcome == "done"
    assert world.links() == {"c1": "301"}
    assert (world.link("c1").lost_at, world.link("c1").problem) == (None, None)
    world.sdp.rows["301"]["name"] = "Renamed by a technician"  # it was listed all the time: it is the same
    world.settle()
    assert world.links() == {"c1": "301"}


def test_an_account_that_was_linked_by_hand_before_any_list_is_believed(world: World) -> None:
    world.deliver(world.contact("c1", "Acme"))
    link_account(world.ledger, "c1", "301")
    world.settle()
    world.sdp.account("301", "Whatever it is called")
    world.settle()
    assert world.links() == {"c1": "301"}


def test_that_an_account_was_lost_is_forgotten_with_another_link(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Zed")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    del world.sdp.rows["301"]
    world.settle()
    unlink_account(world.ledger, "c1")
    link_account(world.ledger, "c1", "302")
    world.sdp.rows["302"]["name"] = "Renamed by a technician"
    world.settle()
    assert world.links() == {"c1": "302"}


@pytest.mark.parametrize("kind", ["archived", "merged", "invalid", "refused"])
def test_an_account_that_was_renamed_while_it_was_listed_is_known_by_that_name(
    world: World, kind: str
) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Beta")
    world.deliver(world.contact("c1", "Acme"), world.contact("c2", "Beta"))
    world.settle()
    if kind == "archived":
        world.deliver(world.contact("c1", "Acme", "ARCHIVED"))
    elif kind == "merged":
        world.deliver(world.contact("c1", "Acme", "ARCHIVED", merged_to_contact_id="c2"))
    elif kind == "invalid":
        world.deliver(world.contact("c1", "Acme", invalid="x"))
    else:

        def refuse(_kind: str, _values: Any) -> None:
            raise world.refused()

        world.sdp.before_write = refuse
    world.sdp.rows["301"]["name"] = "Acme (old)"  # by a technician
    world.settle()
    row = world.sdp.rows.pop("301")  # one list lacks it
    world.settle()
    assert world.link("c1").lost_at is not None
    world.sdp.rows["301"] = row
    world.settle()
    assert world.links()["c1"] == "301"
    assert world.link("c1").lost_at is None


def test_an_account_that_carries_the_contact_id_is_no_stranger_whatever_it_is_called(world: World) -> None:
    settings = {"write_link_to": FIELD}
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle(**settings)
    row = world.sdp.rows.pop("301")  # the key did not see it for one run
    world.settle(**settings)
    world.sdp.rows["301"] = row | {"name": "Acme NZ"}
    world.settle(**settings)
    assert world.links() == {"c1": "301"}
    assert world.link("c1").lost_at is None


def test_a_dry_run_takes_no_link_away(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    del world.sdp.rows["301"]
    world.settle()
    world.sdp.account("301", "Stranger Ltd")
    assert world.settle(dry_run=True).failed == 1
    assert world.links() == {"c1": "301"}


def test_a_type_id_that_was_lost_and_comes_back_under_another_name_is_another_type(world: World) -> None:
    world.sdp.worklog_type("5", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    del world.sdp.types["5"]
    world.settle_types()
    assert "does not list the linked worklog type" in (world.type_link("i1").problem or "")
    world.sdp.worklog_type("5", "Travel")
    assert world.settle_types().outcome == "needs_person"
    assert world.sdp.types["5"]["name"] == "Travel"
    assert world.type_links() == {"i1": None}
    world.settle_types()
    (line, _) = type_status(world.ledger)
    assert "worklog type 5, which it was linked to, was not listed" in str(line.problem)
    assert line.next == "link it, or choose create or ignore"
    request_create_type(world.ledger, "i1")
    world.settle_types()
    assert world.sdp.types[str(world.type_links()["i1"])]["name"] == "Remote"


def test_a_type_that_was_not_listed_for_a_while_is_the_same_one_under_its_name(world: World) -> None:
    world.sdp.worklog_type("5", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    row = world.sdp.types.pop("5")
    world.settle_types()
    world.sdp.types["5"] = row
    assert world.settle_types().outcome == "done"
    assert (world.type_links(), world.type_link("i1").lost_at) == ({"i1": "5"}, None)


@pytest.mark.parametrize("kind", ["not sold", "gone", "refused"])
def test_a_type_that_was_renamed_while_it_was_listed_is_known_by_that_name(world: World, kind: str) -> None:
    world.sdp.worklog_type("5", "Remote")
    world.deliver_items(world.item("i1", "Remote"))
    world.settle_types()
    present: set[str] | None = None
    if kind == "not sold":
        world.deliver_items(world.item("i1", "Remote", is_sold=False))
    elif kind == "gone":
        present = set()
    else:

        def refuse(_kind: str, _values: Any) -> None:
            raise world.refused()

        world.sdp.before_write = refuse
    world.sdp.types["5"]["name"] = "Remote help"
    world.settle_types(present=present)
    row = world.sdp.types.pop("5")
    world.settle_types(present=present)
    world.sdp.types["5"] = row
    world.settle_types(present=present)
    assert world.type_links() == {"i1": "5"}
    assert world.type_link("i1").lost_at is None


# ---------------------------------------------------------- another installation


@pytest.mark.parametrize("has_linked_type", [False, True])
def test_the_job_of_types_takes_no_guard_away_from_the_accounts(world: World, has_linked_type: bool) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme", wanted={"city": "Leeds"}))
    run_accounts(world.ledger, world.sdp, AccountPolicy(), base_url="https://one.test")
    world.sdp.worklog_type("1", "Support")
    world.deliver_items(world.item("i1", "Support"))
    if has_linked_type:
        run_worklog_types(world.ledger, world.sdp, TypePolicy(), base_url="https://one.test")
    # The address now leads to another installation, where 301 is a stranger and the types are called alike.
    world.sdp.account("301", "Stranger Ltd", city="York")
    run_worklog_types(world.ledger, world.sdp, TypePolicy(), base_url="https://other.test")
    world.sdp.writes.clear()
    with pytest.raises(LedgerError, match="another installation"):
        run_accounts(world.ledger, world.sdp, AccountPolicy(), base_url="https://other.test")
    assert world.sdp.writes == []


def test_the_job_of_accounts_takes_no_guard_away_from_the_types(world: World) -> None:
    world.sdp.worklog_type("1", "Support")
    world.sdp.account("301", "Acme")
    world.deliver_items(world.item("i1", "Support"))
    world.deliver(world.contact("c1", "Acme"))
    run_worklog_types(world.ledger, world.sdp, TypePolicy(), base_url="https://one.test")
    link_type(world.ledger, "i1", "1")
    run_accounts(world.ledger, world.sdp, AccountPolicy(), base_url="https://one.test")
    world.sdp.types["1"]["name"] = "Travel"
    run_accounts(world.ledger, world.sdp, AccountPolicy(), base_url="https://other.test")
    with pytest.raises(LedgerError, match="another installation"):
        run_worklog_types(world.ledger, world.sdp, TypePolicy(), base_url="https://other.test")
    assert world.sdp.types["1"]["name"] == "Travel"


def test_a_stranger_does_not_make_an_invalid_contact_valid(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    del world.sdp.rows["301"]
    world.deliver(world.contact("c1", "Acme", invalid="name is too long"))
    world.settle()
    world.sdp.account("301", "Stranger")
    assert world.settle().failed == 1
    assert world.links() == {"c1": None}
    request_create(world.ledger, "c1")
    assert world.settle().created == 0
