from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import LedgerError, SettingError, Unavailable
from msp_xero.ledger.link_views import account_totals
from msp_xero.ledger.links import (
    account_links,
    ignore_contact,
    link_account,
    pick_list,
    request_create,
    unlink_account,
)
from msp_xero.ledger.runs import last_runs

if TYPE_CHECKING:
    from conftest import World


def synced(world: World) -> None:
    """The first sync lies behind."""
    world.settle()
    world.clock.sleep(3600)


# ------------------------------------------------------------------ the first sync


def test_the_first_sync_links_equal_names_and_lists_the_rest(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Zylker Ltd")
    world.deliver(world.contact("c1", "Acme"), world.contact("c2", "Zylker"), world.contact("c3", "New"))
    summary = world.settle()
    assert world.links() == {"c1": "301", "c2": None, "c3": None}
    assert world.sdp.writes == []
    assert (summary.linked, summary.new, summary.unmapped, summary.outcome) == (1, 1, 2, "done")
    assert summary.sentence() == (
        "accounts: 1 linked (1 new), 0 created, 0 updated, 2 unmapped: see msp-xero accounts list --unmapped"
    )
    assert [entry.sdp_id for entry in pick_list(world.ledger, "account")] == ["302"]


def test_a_contact_that_is_new_after_the_first_sync_becomes_an_account(world: World) -> None:
    world.deliver(world.contact("c1", "Waits"))
    synced(world)
    world.deliver(world.contact("c2", "Comes later", wanted={"city": "Leeds"}))
    summary = world.settle()
    assert summary.created == 1
    assert world.sdp.writes == [("accounts", None, {"name": "Comes later", "city": "Leeds"})]
    assert world.links() == {"c1": None, "c2": "1000"}
    assert world.events("created")[0].data == {"sdp_id": "1000", "how": "created"}
    assert world.settle().sentence().startswith("accounts: 1 linked, 0 created, 0 updated, 1 unmapped")


def test_a_contact_that_was_there_before_the_first_sync_but_came_late_is_listed(world: World) -> None:
    """A first run that broke half-way must not turn the other half into new accounts."""
    synced(world)
    world.deliver(world.contact("c1", "Old", updated_time=datetime(2020, 1, 1, tzinfo=UTC)))
    world.deliver(world.contact("c2", "Fresh", updated_time=world.clock.now()))
    world.settle()
    assert world.links() == {"c1": None, "c2": "1000"}


@pytest.mark.parametrize("name", ["ACME ltd.", "Acme  Ltd"])
def test_a_near_duplicate_is_not_created_but_listed(world: World, name: str) -> None:
    world.sdp.account("301", "Acme Ltd")
    synced(world)
    world.deliver(world.contact("c1", name))
    assert world.settle().created == 0
    assert world.link("c1").candidates == ["301"]
    request_create(world.ledger, "c1")
    assert world.settle().created == 1


@pytest.mark.parametrize(("policy", "created"), [("list", 0), ("create", 1)])
def test_unmatched_contacts_follow_the_policy(world: World, policy: str, created: int) -> None:
    world.deliver(world.contact("c1", "New"))
    assert world.settle(unmatched_contacts=policy).created == created


def test_a_first_sync_that_fails_is_still_to_come(world: World) -> None:
    world.deliver(world.contact("c1", "New"))

    def down(_kind: str, _values: Any) -> None:
        raise Unavailable("no answer in time", system="SDP", address="POST x")

    world.sdp.before_write = down
    with pytest.raises(Unavailable):
        world.settle(unmatched_contacts="create")
    run = last_runs(world.ledger)["accounts"]
    assert (run.outcome, run.error) == ("failed", "SDP: no answer in time (POST x).")
    with world.ledger.read() as session:
        assert world.ledger.connection(session).accounts_synced_at is None


# ----------------------------------------------------------------- doubt is listed


def test_an_ambiguous_name_is_listed_with_its_candidates(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    summary = world.settle()
    assert (summary.ambiguous, summary.outcome) == (1, "needs_person")
    assert world.link("c1").candidates == ["301", "302"]
    link_account(world.ledger, "c1", "302")
    summary = world.settle()
    assert (summary.linked, summary.ambiguous, summary.outcome) == (1, 0, "done")
    assert world.link("c1").problem is None


def test_the_msp_itself_is_never_linked_by_name(world: World) -> None:
    world.sdp.account("1", "Us", is_msp=True)
    world.deliver(world.contact("c1", "Us"))
    world.settle()
    assert world.links() == {"c1": None}


def test_the_msp_itself_is_not_linked_by_hand_either(world: World) -> None:
    world.sdp.account("1", "Us", is_msp=True)
    world.sdp.account("2", "Acme")
    world.deliver(world.contact("c1", "Us"))
    world.settle(edition="cloud")
    assert world.sdp.asked[-1][-1] == "is_msp"
    assert [entry.sdp_id for entry in pick_list(world.ledger, "account")] == ["2"]
    with pytest.raises(LedgerError, match="account 1 is the service provider itself"):
        link_account(world.ledger, "c1", "1")


def test_two_contacts_called_nearly_the_same_are_not_created(world: World) -> None:
    world.deliver(world.contact("c1", "Acme Ltd"), world.contact("c2", "Acme, Ltd."))
    assert world.settle(unmatched_contacts="create").created == 0
    assert "another contact is called nearly the same (c1)" in (world.link("c2").problem or "")


def test_no_account_is_created_beside_a_free_one_that_differs_in_the_company_suffix_only(
    world: World,
) -> None:
    world.sdp.account("301", "Kea Kindergarten")
    world.sdp.account("302", "Rimu Limited")
    world.deliver(world.contact("c2", "Rimu Limited"))
    world.settle()
    world.clock.sleep(7200)
    fresh = {"updated_time": world.clock.now()}
    world.deliver(
        world.contact("c1", "Kea Kindergarten Ltd.", **fresh), world.contact("c3", "Rimu Pty", **fresh)
    )
    summary = world.settle()
    # The account of Rimu Limited is taken: Rimu Pty is somebody else.
    assert (summary.created, summary.unmapped) == (1, 1)
    assert world.link("c1").candidates == ["301"]
    assert "the same but for the company suffix" in (world.link("c1").problem or "")
    request_create(world.ledger, "c1")
    assert world.settle().created == 1


# ------------------------------------------------------------- what people decide


def test_an_account_that_is_given_away_in_the_same_run_is_no_doubt_for_another_contact(world: World) -> None:
    """Else it would be listed now, and created by itself by the next run."""
    world.settle()
    world.sdp.account("301", "Acme Ltd")
    world.sdp.account("1", "Us Ltd", is_msp=True)
    world.clock.sleep(7200)
    fresh = {"updated_time": world.clock.now()}
    world.deliver(*(world.contact(name, name, **fresh) for name in ("Acme Ltd", "Acme LLC", "Us")))
    summary = world.settle()
    # The provider's own account is nobody's either, so it is no candidate.
    assert (summary.new, summary.created, summary.unmapped) == (1, 2, 0)
    assert world.links()["Acme Ltd"] == "301"


def test_a_decision_to_create_that_is_in_doubt_waits_for_a_person_in_every_count(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Acme")
    world.deliver(world.contact("c1", "Acme"), world.contact("c2", "Other"))
    request_create(world.ledger, "c1")
    request_create(world.ledger, "c2")
    before = account_totals(world.ledger)
    assert (before.unmapped, before.to_create) == (0, 2)
    assert account_links(world.ledger, unmapped_only=True) == []
    world.settle()
    after = account_totals(world.ledger)
    assert (after.unmapped, after.ambiguous, after.to_create) == (1, 1, 0)
    assert [row.contact_id for row in account_links(world.ledger, unmapped_only=True)] == ["c1"]


def test_choices_of_people_are_carried_out(world: World) -> None:
    world.sdp.account("301", "Acme Limited", emailid="old@acme.test")
    wanted = {"emailid": "new@acme.test"}
    world.deliver(
        world.contact("c1", "Acme Ltd", wanted=wanted), world.contact("c2", "B"), world.contact("c3", "C")
    )
    world.settle()
    link_account(world.ledger, "c1", "301")
    ignore_contact(world.ledger, "c2")
    request_create(world.ledger, "c3")
    summary = world.settle()
    assert world.links() == {"c1": "301", "c2": None, "c3": "1001"}
    assert world.sdp.rows["301"]["name"] == "Acme Limited"  # joined by hand: both names stay
    assert world.sdp.rows["301"]["emailid"] == "new@acme.test"
    assert (summary.created, summary.updated, summary.unmapped) == (1, 1, 0)


def test_an_unlinked_contact_is_not_linked_again_by_itself(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    unlink_account(world.ledger, "c1")
    assert world.settle().unmapped == 1
    assert world.links() == {"c1": None}


def test_a_linked_account_is_not_offered_again(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Other"))
    world.settle()
    link_account(world.ledger, "c1", "301")
    world.deliver(world.contact("c2", "Acme"))
    world.settle()
    assert world.links() == {"c1": "301", "c2": None}
    assert "another contact" in (world.link("c2").problem or "")
    assert pick_list(world.ledger, "account") == []


# ------------------------------------------------------------------------ updating


def test_an_update_writes_only_the_changed_members(world: World) -> None:
    world.sdp.account("301", "Acme", city="Leeds", street="Old 1", udf_fields={"udf_sline_101": "x"})
    wanted = {"city": "Leeds", "street": "New 2", "landline": None, "udf_fields": {"udf_sline_101": "y"}}
    world.deliver(world.contact("c1", "Acme", wanted=wanted))
    assert world.settle().updated == 1
    assert world.sdp.writes == [
        ("accounts", "301", {"street": "New 2", "udf_fields": {"udf_sline_101": "y"}})
    ]
    assert world.events("updated")[0].data == {
        "sdp_id": "301",
        "overwrote": {"street": "Old 1", "udf_fields.udf_sline_101": "x"},
    }
    assert world.settle().unchanged == 1
    assert world.sdp.calls["PUT accounts"] == 1


def test_the_last_writer_wins(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme", wanted={"city": "Leeds"}))
    world.settle()
    for _ in range(2):
        world.sdp.rows["301"]["city"] = "York"
        assert world.settle().updated == 1
        assert world.sdp.rows["301"]["city"] == "Leeds"


def test_an_empty_value_overwrites_nothing(world: World) -> None:
    world.sdp.account("301", "Acme", city="Leeds")
    world.deliver(world.contact("c1", "Acme", wanted={"city": "", "street": None}))
    assert world.settle().unchanged == 1


def test_a_value_that_sdp_keeps_in_its_own_form_is_written_once(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.stored_as = lambda name, value: value.upper() if name == "city" else value
    world.deliver(world.contact("c1", "Acme", wanted={"city": "Leeds"}))
    assert [world.settle().updated for _ in range(3)] == [1, 0, 0]
    world.sdp.rows["301"]["city"] = "York"
    assert world.settle().updated == 1


def test_a_rename_in_xero_is_followed(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    world.deliver(world.contact("c1", "Acme 2"))
    assert world.settle().updated == 1
    assert world.link("c1").account_name == "Acme 2"


def test_write_link_to_receives_the_contact_id(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle(write_link_to="udf_fields.udf_sline_101")
    assert world.sdp.rows["301"]["udf_fields"]["udf_sline_101"] == "c1"


def test_the_container_of_custom_fields_comes_from_the_metadata(world: World) -> None:
    assert world.sdp.metainfo
    world.sdp.metainfo["fields"]["accountudf_fields"] = world.sdp.metainfo["fields"].pop("udf_fields")
    world.sdp.account("301", "Acme", accountudf_fields={"udf_sline_101": None})
    world.deliver(world.contact("c1", "Acme", wanted={"udf_fields": {"udf_sline_101": "7"}}))
    world.settle()
    assert world.sdp.writes == [("accounts", "301", {"accountudf_fields": {"udf_sline_101": "7"}})]
    # Beside what is mapped, what suggestions go by; nothing else.
    assert world.sdp.asked == [
        ["id", "name", "accountudf_fields", "emailid", "inactive", "landline", "weburl"]
    ]


def test_an_account_that_is_not_listed_any_more_is_kept_and_reported(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    del world.sdp.rows["301"]
    summary = world.settle()
    assert (summary.failed, summary.created, summary.outcome) == (1, 0, "needs_person")
    assert world.links() == {"c1": "301"}


# --------------------------------------------------------- archived and merged contacts


def test_an_archived_contact_keeps_its_link_and_is_not_written(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    world.settle()
    world.deliver(world.contact("c1", "Acme", "ARCHIVED", wanted={"city": "Leeds"}))
    summary = world.settle()
    assert (summary.archived, summary.updated, world.links()) == (1, 0, {"c1": "301"})
    assert world.link("c1").contact_status == "ARCHIVED"


def test_an_archived_contact_is_never_created(world: World) -> None:
    world.deliver(world.contact("c1", "Acme", "ARCHIVED"), world.contact("c2", "Gone", "GDPRREQUEST"))
    summary = world.settle(unmatched_contacts="create")
    assert (summary.created, summary.unmapped, summary.archived) == (0, 0, 2)


def test_an_active_contact_comes_before_an_archived_one_of_the_same_name(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme", "ARCHIVED"), world.contact("c2", "Acme"))
    world.settle()
    assert world.links() == {"c1": None, "c2": "301"}


@pytest.mark.parametrize("linked_before", [True, False])
def test_a_link_follows_a_merge(world: World, linked_before: bool) -> None:
    world.sdp.account("301", "Acme", city="Leeds")
    loser = world.contact("c2", "Acme", "ARCHIVED", merged_to_contact_id="c1")
    if linked_before:
        world.deliver(world.contact("c2", "Acme"))
        world.settle()
    world.deliver(world.contact("c1", "Acme & Sons"), loser)
    world.settle()
    assert world.links() == {"c1": "301", "c2": None}
    assert world.link("c1").how == "merged"
    assert world.sdp.rows["301"]["name"] == "Acme"
    assert world.settle().failed == 0


def test_a_chain_of_merges_is_followed_and_a_circle_is_not(world: World) -> None:
    world.sdp.account("301", "A")
    world.sdp.account("302", "X")
    world.deliver(
        world.contact("c1", "A", "ARCHIVED", merged_to_contact_id="c2"),
        world.contact("c2", "B", "ARCHIVED", merged_to_contact_id="c3"),
        world.contact("c3", "C"),
        world.contact("c4", "X", "ARCHIVED", merged_to_contact_id="c5"),
        world.contact("c5", "Y", "ARCHIVED", merged_to_contact_id="c4"),
    )
    summary = world.settle()
    assert world.links() == {"c1": None, "c2": None, "c3": "301", "c4": "302", "c5": None}
    assert summary.outcome == "needs_person"


def test_a_merge_into_a_contact_with_another_account_leaves_both_billed_to_that_contact(
    world: World,
) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Zed")
    world.deliver(
        world.contact("c1", "Acme", "ARCHIVED", merged_to_contact_id="c2"), world.contact("c2", "Zed")
    )
    summary = world.settle()
    assert world.links() == {"c1": "301", "c2": "302"}
    # Billing follows the merge, so nothing waits for a person.
    assert (summary.failed, summary.archived, summary.outcome) == (0, 0, "done")
    assert world.link("c1").problem is None


def test_of_two_merged_contacts_only_one_link_follows(world: World) -> None:
    world.sdp.account("301", "A")
    world.sdp.account("302", "B")
    world.deliver(
        world.contact("c1", "A", "ARCHIVED", merged_to_contact_id="c3"),
        world.contact("c2", "B", "ARCHIVED", merged_to_contact_id="c3"),
        world.contact("c3", "C"),
    )
    assert world.settle().failed == 0
    assert world.links() == {"c1": None, "c2": "302", "c3": "301"}


# ------------------------------------------------------------------ refusals and crashes


def test_a_merge_into_a_contact_that_was_archived_since_needs_a_person(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Zed")
    world.deliver(
        world.contact("c1", "Acme", "ARCHIVED", merged_to_contact_id="c2"),
        world.contact("c2", "Zed", "ARCHIVED"),
    )
    summary = world.settle()
    assert world.links() == {"c1": "301", "c2": "302"}
    assert (summary.failed, summary.outcome) == (1, "needs_person")
    assert "a contact that cannot be used" in (world.link("c1").problem or "")


def test_one_refused_record_does_not_stop_the_others(world: World) -> None:
    world.deliver(*(world.contact(f"c{n}", f"Name {n}") for n in range(3)))

    def refuse(_kind: str, values: Any) -> None:
        if values["name"] == "Name 1":
            raise world.rejected(4021, "city has the wrong type", ["city"])

    world.sdp.before_write = refuse
    summary = world.settle(unmatched_contacts="create")
    assert (summary.created, summary.failed, summary.outcome) == (2, 1, "needs_person")
    assert world.link("c1").problem == "ServiceDesk Plus MSP: city has the wrong type."
    assert world.events("failed")[0].data == {"codes": [4021], "fields": ["city"]}


def test_a_mandatory_field_is_named_once_and_not_asked_for_again(world: World) -> None:
    world.sdp.mandatory = ("login_url",)
    world.deliver(*(world.contact(f"c{n}", f"Name {n}") for n in range(50)))
    summary = world.settle(unmatched_contacts="create")
    assert (summary.failed, world.sdp.calls["POST accounts"]) == (50, 1)
    assert "Set login_url_template" in (world.link("c49").problem or "")
    template = {"login_url_template": "{slug}.{contact_id}.example.com"}
    assert world.settle(unmatched_contacts="create", **template).created == 50
    assert world.sdp.rows["1000"]["login_url"] == "name-0.c0.example.com"
    assert world.link("c49").problem is None


def test_a_key_that_may_not_create_is_asked_once(world: World) -> None:
    world.deliver(*(world.contact(f"c{n}", f"Name {n}") for n in range(5)))

    def refuse(_kind: str, _values: Any) -> None:
        raise world.refused()

    world.sdp.before_write = refuse
    assert world.settle(unmatched_contacts="create").failed == 5
    assert world.sdp.calls["POST accounts"] == 1


def test_a_crash_between_create_and_commit_makes_no_duplicate(world: World) -> None:
    world.deliver(world.contact("c1", "New"), world.contact("c2", "Newer"))

    def die(_kind: str, _row: Any) -> None:
        raise world.killed

    world.sdp.after_write = die
    with pytest.raises(world.killed):
        world.settle(unmatched_contacts="create")
    world.sdp.after_write = lambda _kind, _row: None
    summary = world.settle(unmatched_contacts="create")
    assert (summary.new, summary.created) == (1, 1)
    assert sorted(row["name"] for row in world.sdp.rows.values()) == ["New", "Newer"]
    assert world.links() == {"c1": "1000", "c2": "1001"}


def test_a_duplicate_that_appeared_meanwhile_is_linked(world: World) -> None:
    world.deliver(world.contact("c1", "New"))

    def somebody_else(_kind: str, _values: Any) -> None:
        world.sdp.before_write = lambda _kind, _values: None
        world.sdp.account("900", "New")

    world.sdp.before_write = somebody_else
    summary = world.settle(unmatched_contacts="create")
    assert (summary.created, summary.new, world.links()) == (0, 1, {"c1": "900"})


def test_a_duplicate_that_the_key_may_not_see_is_reported(world: World) -> None:
    world.deliver(world.contact("c1", "New"))

    def hidden(_kind: str, _values: Any) -> None:
        raise world.rejected(4008, "The value is not unique.", ["name"])

    world.sdp.before_write = hidden
    assert world.settle(unmatched_contacts="create").failed == 1
    assert "does not show it to this key" in (world.link("c1").problem or "")


def test_a_signal_ends_the_settle_between_two_writes(world: World) -> None:
    world.deliver(world.contact("c1", "A"), world.contact("c2", "B"))
    summary = world.settle(unmatched_contacts="create", should_stop=lambda: len(world.sdp.writes) == 1)
    assert (summary.created, summary.outcome) == (1, "stopped")
    assert world.settle(unmatched_contacts="create").created == 1


def test_a_choice_made_during_the_settle_is_kept(world: World) -> None:
    world.deliver(world.contact("c1", "New"))

    def person(_kind: str, _row: Any) -> None:
        ignore_contact(world.ledger, "c1")

    world.sdp.after_write = person
    world.settle(unmatched_contacts="create")
    assert (world.link("c1").state, world.link("c1").account_id) == ("ignored", None)


# ----------------------------------------------------------------- dry run, fields, cost


def test_a_dry_run_changes_nothing(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.sdp.account("302", "Lost")
    world.deliver(
        world.contact("c1", "Acme", wanted={"city": "Leeds"}),
        world.contact("c2", "New"),
        world.contact("c3", "Lost", "ARCHIVED", merged_to_contact_id="c4"),
        world.contact("c4", "Winner"),
    )
    summary = world.settle(dry_run=True, unmatched_contacts="create")
    assert (summary.new, summary.created, summary.updated) == (2, 1, 1)
    assert summary.planned[-1] == {"id": "c1", "action": "update", "fields": ["city"]}
    assert world.sdp.writes == []
    assert set(world.links().values()) == {None}
    assert pick_list(world.ledger, "account") == []
    with world.ledger.read() as session:
        assert world.ledger.connection(session).accounts_synced_at is None
    assert summary.sentence().startswith("accounts (dry run): 2 linked (2 new), 1 would be created")


def test_a_link_field_that_does_not_exist_is_a_wrong_setting(world: World) -> None:
    with pytest.raises(SettingError, match=r"Setting write_link_to: the account field nope does not exist"):
        world.settle(write_link_to="nope")


def test_fields_of_an_earlier_map_are_left_out_and_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.sdp.account("301", "Acme")
    wanted = {"nope": "1", "city": "Leeds", "udf_fields": {"udf_sline_106": "2"}}
    world.deliver(world.contact("c1", "Acme", wanted=wanted))
    world.settle()
    assert world.sdp.writes == [("accounts", "301", {"city": "Leeds"})]
    assert "nope does not exist, udf_fields.udf_sline_106 is read-only" in caplog.text


def test_without_metadata_fields_are_not_checked(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.sdp.metainfo = None
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme", wanted={"anything": "1"}))
    assert world.settle().updated == 1
    assert "account fields are not checked" in caplog.text


def test_a_value_that_is_too_long_is_the_records_problem(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme", wanted={"city": "x" * 61}))
    assert world.settle().failed == 1
    assert world.link("c1").problem == (
        "city has 61 characters, ServiceDesk Plus MSP takes 60: "
        "shorten it in Xero, or choose another field in account_fields"
    )


def test_the_ledger_of_one_installation_is_not_used_with_another(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Acme"))
    with world.ledger.write() as session:
        world.ledger.connection(session).sdp_base_url = "https://old.test"
    world.settle()
    from msp_xero.directory import AccountPolicy, run_accounts  # noqa: PLC0415 - only here with an address

    run_accounts(world.ledger, world.sdp, AccountPolicy(), base_url="https://moved.test")
    world.sdp.rows["301"]["name"] = "Stranger"
    with pytest.raises(LedgerError, match="another installation"):
        run_accounts(world.ledger, world.sdp, AccountPolicy(), base_url="https://other.test")
    assert world.sdp.rows["301"]["name"] == "Stranger"


def test_the_list_is_read_once(world: World) -> None:
    for number in range(300):
        world.sdp.account(str(number), f"Name {number}")
    world.deliver(*(world.contact(f"c{n}", f"Name {n}") for n in range(300)))
    world.settle()
    assert world.sdp.calls == {"GET accounts": 1, "GET accounts/_metainfo": 1}
    assert last_runs(world.ledger)["accounts"].calls == {"GET accounts": 1, "GET accounts/_metainfo": 1}


def test_a_thousand_contacts_are_linked_at_once_and_then_left_alone(world: World) -> None:
    """How long ten thousand take is measured by ``make bench``."""
    for number in range(1_000):
        world.sdp.account(str(number), f"Name {number}", city="Leeds")
    wanted = {"city": "Leeds"}
    world.deliver(*(world.contact(f"c{n}", f"Name {n}", wanted=wanted) for n in range(1_000)))
    assert world.settle().new == 1_000
    assert world.settle().unchanged == 1_000
    assert world.sdp.writes == []
