"""Links that accounts tell by the ContactID they carry: stronger than names, and never guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.directory.account_plan import plan_accounts
from msp_xero.directory.match import Named
from msp_xero.directory.settings import AccountPolicy
from msp_xero.directory.suggest import read_suggestions
from msp_xero.errors import LedgerError
from msp_xero.ledger.links import ignore_contact, link_account, request_create, unlink_account
from msp_xero.ledger.models import AccountLink

if TYPE_CHECKING:
    from conftest import World

FIELD = "udf_fields.udf_sline_101"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=[FIELD, "weburl"])
def field(request) -> str:
    """A custom field, or one that every account has."""
    return request.param


def account(world: World, one: str, name: str, carries: str | None, field: str = FIELD) -> None:
    if field == FIELD:
        world.sdp.account(one, name, udf_fields={"udf_sline_101": carries})
    else:
        world.sdp.account(one, name, **{field: carries})


def test_an_account_is_linked_by_the_id_it_carries_whatever_was_renamed(world: World, field: str) -> None:
    account(world, "301", "Acme as SDP calls it", "c1", field)
    account(world, "302", "Same name", "C2 ", field)
    world.deliver(world.contact("c1", "Acme as Xero calls it"), world.contact("c2", "Same name"))
    world.settle(write_link_to=field)
    assert world.links() == {"c1": "301", "c2": "302"}
    assert [world.link(one).how for one in ("c1", "c2")] == ["contact_id", "exact"]
    assert world.sdp.rows["301"]["name"] == "Acme as SDP calls it", "nobody knows which name is newer"


def test_the_id_beats_the_name(world: World) -> None:
    """Two accounts swapped their names in SDP since they were linked."""
    account(world, "301", "Beta", "c1")
    account(world, "302", "Alpha", "c2")
    world.deliver(world.contact("c1", "Alpha"), world.contact("c2", "Beta"))
    world.settle(write_link_to=FIELD)
    assert world.links() == {"c1": "301", "c2": "302"}


def test_two_accounts_with_one_id_are_listed_and_neither_is_linked_nor_another_created(world: World) -> None:
    account(world, "301", "Acme", "c1")
    account(world, "302", "Acme (copy)", "c1")
    world.deliver(world.contact("c1", "Acme"))
    summary = world.settle(write_link_to=FIELD, unmatched_contacts="create")
    assert world.links() == {"c1": None}
    assert (summary.ambiguous, summary.created) == (1, 0)
    link = world.link("c1")
    assert link.candidates == ["301", "302"]
    assert "more than one account carries its ContactID" in str(link.problem)
    link_account(world.ledger, "c1", "301")
    assert world.settle(write_link_to=FIELD).failed == 0
    assert world.links() == {"c1": "301"}


def test_a_copy_of_a_linked_account_is_not_given_to_a_contact_of_its_name(world: World) -> None:
    account(world, "301", "Acme", "c1")
    world.deliver(world.contact("c1", "Acme"))
    world.settle(write_link_to=FIELD)
    account(world, "302", "Branch", "c1")
    world.deliver(world.contact("c2", "Branch"))
    world.settle(write_link_to=FIELD, unmatched_contacts="create")
    assert world.links() == {"c1": "301", "c2": None}
    assert world.link("c2").candidates == ["302"]
    assert "carries the ContactID of another contact" in str(world.link("c2").problem)


def test_an_account_that_carries_the_id_but_is_linked_to_another_contact_is_listed(world: World) -> None:
    account(world, "301", "Acme", "c1")
    world.deliver(world.contact("c2", "Elsewhere"))
    world.settle(unmatched_contacts="list")
    link_account(world.ledger, "c2", "301")
    world.deliver(world.contact("c1", "New name"))
    summary = world.settle(write_link_to=FIELD, unmatched_contacts="create")
    assert (summary.ambiguous, summary.created) == (1, 0)
    assert "is linked to another contact" in str(world.link("c1").problem)
    assert world.sdp.rows["301"]["udf_fields"]["udf_sline_101"] == "c2", "the link is the truth"
    world.settle(write_link_to=FIELD, unmatched_contacts="list")
    assert world.link("c1").problem is None


def test_ids_of_another_organisation_say_nothing_and_are_overwritten(world: World) -> None:
    account(world, "301", "Acme", "old-organisation-1")
    world.deliver(world.contact("c1", "Acme"))
    world.settle(write_link_to=FIELD)
    assert world.links() == {"c1": "301"}
    assert world.sdp.rows["301"]["udf_fields"]["udf_sline_101"] == "c1"


def test_a_link_follows_a_merge_that_happened_while_the_ledger_was_lost(world: World) -> None:
    account(world, "301", "Acme", "loser")
    world.deliver(
        world.contact("loser", "Acme", status="ARCHIVED", merged_to_contact_id="winner"),
        world.contact("winner", "Acme"),
    )
    world.settle(write_link_to=FIELD)
    assert world.links() == {"loser": None, "winner": "301"}
    assert world.sdp.rows["301"]["udf_fields"]["udf_sline_101"] == "winner"


def test_of_merged_contacts_with_an_account_each_both_keep_theirs(world: World) -> None:
    account(world, "301", "Acme", "loser")
    account(world, "302", "Acme Holdings", "winner")
    world.deliver(
        world.contact("loser", "Acme", status="ARCHIVED", merged_to_contact_id="winner"),
        world.contact("winner", "Acme"),
    )
    summary = world.settle(write_link_to=FIELD)
    assert world.links() == {"loser": "301", "winner": "302"}
    assert (summary.failed, world.link("loser").problem) == (0, None)


def test_what_a_person_unlinked_or_ignored_is_not_linked_again_by_its_id(world: World) -> None:
    account(world, "301", "Acme", "c1")
    account(world, "302", "Beta", "c2")
    world.deliver(world.contact("c1", "Acme"), world.contact("c2", "Beta"))
    world.settle(write_link_to=FIELD)
    unlink_account(world.ledger, "c1")
    with pytest.raises(LedgerError, match="linked to account 302 already; unlink it first"):
        ignore_contact(world.ledger, "c2")
    unlink_account(world.ledger, "c2")
    ignore_contact(world.ledger, "c2")
    world.settle(write_link_to=FIELD)
    assert world.links() == {"c1": None, "c2": None}


def test_a_person_who_wants_a_new_account_does_not_get_the_one_that_was_linked_by_mistake(
    world: World,
) -> None:
    account(world, "301", "Acme", None)
    world.deliver(world.contact("c9", "Quite another"))
    world.settle(write_link_to=FIELD)
    link_account(world.ledger, "c9", "301")
    world.settle(write_link_to=FIELD)
    unlink_account(world.ledger, "c9")
    request_create(world.ledger, "c9")
    assert world.settle(write_link_to=FIELD).outcome == "needs_person"
    link = world.link("c9")
    assert (link.account_id, link.candidates) == (None, ["301"])
    assert "empty that field in ServiceDesk Plus MSP, and the next run creates one" in str(link.problem)
    world.sdp.rows["301"]["udf_fields"]["udf_sline_101"] = None
    assert world.settle(write_link_to=FIELD).created == 1
    assert world.links()["c9"] not in (None, "301")


def test_an_account_that_was_created_just_before_a_crash_is_linked_by_the_next_run(world: World) -> None:
    world.deliver(world.contact("c1", "Acme"))
    request_create(world.ledger, "c1")
    account(world, "301", "Acme", "c1")
    assert world.settle(write_link_to=FIELD).created == 0
    assert world.links() == {"c1": "301"}


def test_an_id_that_a_person_took_away_before_the_ledger_was_lost_does_not_beat_a_name(world: World) -> None:
    account(world, "301", "Acme", "c9")
    world.deliver(world.contact("c9", "Quite another"), world.contact("c1", "Acme"))
    summary = world.settle(write_link_to=FIELD, unmatched_contacts="create")
    assert world.links() == {"c9": None, "c1": None}
    assert (summary.ambiguous, summary.created) == (2, 0)
    assert "has exactly the name of another contact" in str(world.link("c9").problem)
    assert "carries the ContactID of another contact" in str(world.link("c1").problem)
    assert world.link("c9").candidates == world.link("c1").candidates == ["301"]
    link_account(world.ledger, "c1", "301")
    world.settle(write_link_to=FIELD, unmatched_contacts="list")
    assert world.sdp.rows["301"]["udf_fields"]["udf_sline_101"] == "c1"


def test_the_name_of_a_survivor_does_not_keep_a_merge_from_being_followed(world: World) -> None:
    account(world, "301", "Acme Holdings", "loser")
    world.deliver(
        world.contact("loser", "Acme", status="ARCHIVED", merged_to_contact_id="winner"),
        world.contact("winner", "Acme Holdings"),
    )
    world.settle(write_link_to=FIELD)
    assert world.links() == {"loser": None, "winner": "301"}


def test_a_new_account_whose_name_is_taken_gets_no_account_that_others_claim(world: World) -> None:
    account(world, "301", "Acme", "c1")
    account(world, "1", "We", "", "weburl")
    world.sdp.rows["1"]["is_msp"] = True
    world.deliver(world.contact("c1", "Elsewhere"), world.contact("c2", "Acme"), world.contact("c3", "We"))
    unlink_account(world.ledger, "c1")
    for one in ("c2", "c3"):
        request_create(world.ledger, one)
    world.settle(write_link_to=FIELD)
    assert world.links() == {"c1": None, "c2": None, "c3": None}
    assert "carries the ContactID of another contact" in str(world.link("c2").problem)
    assert world.link("c2").candidates == ["301"]
    assert "is the service provider itself" in str(world.link("c3").problem)
    assert world.link("c3").candidates is None


def test_the_own_account_of_the_msp_is_left_alone(world: World) -> None:
    world.sdp.account("1", "We", udf_fields={"udf_sline_101": "c1"}, is_msp=True)
    world.deliver(world.contact("c1", "Us"))
    world.settle(write_link_to=FIELD)
    assert world.links() == {"c1": None}


IDS = st.sampled_from(["c1", "c2", "c3", "c4"])
NAMES = st.sampled_from(["Acme", "Beta", "Acme Ltd"])


def row(contact_id: str, name: str, number: int) -> AccountLink:
    return AccountLink(
        id=number, contact_id=contact_id, contact_name=name, contact_status="ACTIVE", wanted={},
        state="unmapped", first_seen_at=NOW,
    )  # fmt: skip


@given(
    contacts=st.dictionaries(IDS, NAMES),
    accounts=st.dictionaries(
        st.sampled_from(["1", "2", "3", "4", "5"]), st.tuples(NAMES, st.none() | IDS | st.just("unknown"))
    ),
    turn=st.randoms(use_true_random=False),
)
def test_matching_does_not_depend_on_order_and_links_nothing_twice(contacts, accounts, turn) -> None:
    def decide(names, listed) -> dict[str, str]:
        rows = [row(one, name, number) for number, (one, name) in enumerate(names, 1)]
        plan = plan_accounts(
            rows,
            [Named(one, name) for one, (name, _) in listed],
            AccountPolicy(unmatched_contacts="list"),
            first_synced_at=None,
            carried={one: carried for one, (_, carried) in listed},
        )
        made = [(link.row.contact_id, link.account.id) for link in plan.links]
        assert len({contact for contact, _ in made}) == len({one for _, one in made}) == len(made)
        listed_ids = [one.row.contact_id for one in plan.listed]
        assert sorted(listed_ids + [contact for contact, _ in made]) == sorted(contacts)
        return dict(made)

    names, listed = list(contacts.items()), list(accounts.items())
    links = decide(names, listed)
    turn.shuffle(names)
    turn.shuffle(listed)
    assert decide(names, listed) == links
    for contact_id, account_id in links.items():
        carried = accounts[account_id][1]
        assert carried in (contact_id, None, "unknown") or carried not in contacts
    for contact_id in contacts:
        carriers = [one for one, (_, carried) in accounts.items() if carried == contact_id]
        if len(carriers) == 1:
            name = accounts[carriers[0]][0]
            claimants = {carried for _, carried in accounts.values()}
            rivals = [one for one in contacts if contacts[one] == name and one not in claimants]
            is_doubtful = rivals and contacts[contact_id] != name
            assert links.get(contact_id) == (None if is_doubtful else carriers[0])
        if len(carriers) > 1:
            assert contact_id not in links


def test_an_account_that_carries_the_id_of_a_contact_is_suggested_to_that_one_alone(world: World) -> None:
    account(world, "301", "Acme Limited", "c1")
    world.deliver(world.contact("c1", "Quite another"), world.contact("c2", "Acme"))
    world.settle(write_link_to=FIELD)
    unlink_account(world.ledger, "c1")
    found = read_suggestions(world.ledger)
    assert "c2" not in found.by_contact
    [only] = found.by_contact["c1"]
    assert (only.account_id, only.reason) == ("301", "the account carries its ContactID")
    assert only.score > 90
    # The id of a contact that is not in use any more keeps nobody away.
    world.deliver(world.contact("c1", "Quite another", "ARCHIVED"))
    world.settle(write_link_to=FIELD)
    assert [one.account_id for one in read_suggestions(world.ledger).by_contact["c2"]] == ["301"]
    # Nor does one that no contact here has, as after a move to other books.
    account(world, "302", "Rimu Ltd", "from-other-books")
    world.deliver(world.contact("c3", "Rimu"))
    world.settle(write_link_to=FIELD)
    assert [one.account_id for one in read_suggestions(world.ledger).by_contact["c3"]] == ["302"]
