from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msp_xero.ledger import Ledger
from msp_xero.ledger.account_decisions import ACTIONS, Decision, decide
from msp_xero.ledger.link_staging import ACCOUNT, DeliveredContact, Entry, stage_accounts, store_listing
from msp_xero.ledger.link_views import AccountTotals, account_totals
from msp_xero.ledger.links import account_links, link_account, pick_list
from msp_xero.ledger.models import Event
from sqlalchemy import select

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", actor="test") as ledger:
        fill(ledger)
        yield ledger


def fill(ledger: Ledger) -> None:
    contacts = [
        DeliveredContact(contact_id=f"c{n}", contact_name=f"Contact {n}", wanted={}) for n in range(4)
    ]
    gone = DeliveredContact(contact_id="old", contact_name="Old", contact_status="ARCHIVED", wanted={})
    stage_accounts(ledger, [*contacts, gone])
    with ledger.write() as session:
        entries = [Entry(str(n), f"Account {n}") for n in range(4)]
        store_listing(session, ledger, ACCOUNT, [*entries, Entry("own", "Us", own=True)])


def decision(line: int, contact: str, action: str, account: str | None = None) -> Decision:
    return Decision(place=f"line {line}", contact_id=contact, action=action, account_id=account)


def states(ledger: Ledger) -> dict[str, tuple[str, str | None, str | None]]:
    return {row.contact_id: (row.state, row.choice, row.account_id) for row in account_links(ledger)}


def events(ledger: Ledger) -> list[str]:
    with ledger.read() as session:
        return [one for one in session.scalars(select(Event.action).order_by(Event.id)) if one != "delivered"]


def test_decisions_are_applied_together_and_again_without_effect(ledger: Ledger) -> None:
    link_account(ledger, "c3", "3")
    decisions = [
        decision(2, "c0", "link", "3"),
        decision(3, "c1", "create"),
        decision(4, "c2", "ignore"),
        decision(5, "c3", "unlink"),
    ]
    assert decide(ledger, decisions, dry_run=True).done == {"link": 1, "create": 1, "ignore": 1, "unlink": 1}
    assert states(ledger)["c3"] == ("linked", "link", "3")
    applied = decide(ledger, decisions)
    assert (applied.done.total(), applied.unchanged, applied.problems) == (4, 0, [])
    assert states(ledger) == {
        "c0": ("linked", "link", "3"),
        "c1": ("unmapped", "create", None),
        "c2": ("ignored", "ignore", None),
        "c3": ("unmapped", "list", None),
        "old": ("unmapped", None, None),
    }
    assert next(row.account_name for row in account_links(ledger)) == "Account 3"
    assert [entry.sdp_id for entry in pick_list(ledger, ACCOUNT)] == ["0", "1", "2"]
    assert events(ledger) == ["linked", "create_requested", "ignored", "unlinked", "linked"]
    again = decide(ledger, decisions)
    assert (again.done.total(), again.unchanged) == (0, 4)
    assert len(events(ledger)) == 5


def test_one_wrong_row_leaves_everything_as_it_was_and_all_wrong_ones_are_named(ledger: Ledger) -> None:
    link_account(ledger, "c3", "3")
    before = states(ledger)
    applied = decide(
        ledger,
        [
            decision(2, "c0", "link", "0"),
            decision(3, "nobody", "ignore"),
            decision(4, "c1", "link"),
            decision(5, "c1", "ignore"),
            decision(6, "c2", "link", "0"),
            decision(7, "c3", "create"),
            decision(8, "old", "create"),
            decision(9, "old", "link", "3"),
        ],
    )
    assert applied.problems == [
        "line 3: there is no contact nobody",
        "line 4: link needs the id of an account",
        "line 5: contact c1 is decided about in line 4 already",
        "line 6: account 0 is taken in line 2 already",
        "line 7: contact c3 is linked to account 3; unlink it first",
        "line 8: contact old is archived in Xero, so no account is created",
        "line 9: contact old is decided about in line 8 already",
    ]
    assert states(ledger) == before


@pytest.mark.parametrize(
    ("contact", "account", "problem"),
    [
        ("c0", "3", "account 3 is linked to contact c3; unlink that one first"),
        ("c3", "1", "contact c3 is linked to account 3; unlink it first"),
        ("c0", "77", "ServiceDesk Plus MSP listed no account 77 at the last run"),
        ("c0", "own", "account own is the service provider itself"),
    ],
)
def test_a_link_that_cannot_be(ledger: Ledger, contact: str, account: str, problem: str) -> None:
    link_account(ledger, "c3", "3")
    (found,) = decide(ledger, [decision(2, contact, "link", account)]).problems
    assert found.startswith(f"line 2: {problem}")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["c0", "c1", "c2", "c3", "old", "x"]),
            st.sampled_from(ACTIONS),
            st.sampled_from(["0", "1", "2", "own", "x", None]),
        ),
        max_size=5,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_decisions_link_no_account_twice_and_their_order_does_not_matter(rows, rng) -> None:
    def outcome(order: list[int]) -> tuple[bool, dict[str, tuple[str, str | None, str | None]]]:
        with Ledger.open("sqlite://", actor="test") as ledger:
            fill(ledger)
            link_account(ledger, "c3", "2")
            decisions = [decision(n, *rows[n]) for n in order]
            applied = decide(ledger, decisions)
            assert decide(ledger, decisions).done.total() == 0
            return bool(applied.problems), states(ledger)

    order = list(range(len(rows)))
    refused, after = outcome(order)
    rng.shuffle(order)
    assert outcome(order) == (refused, after)
    linked = [account for _, _, account in after.values() if account]
    assert len(linked) == len(set(linked))
    if refused:
        assert linked == ["2"]


def test_contacts_are_counted_by_what_became_of_them(ledger: Ledger) -> None:
    link_account(ledger, "old", "0")
    decide(ledger, [decision(1, "c0", "link", "1"), decision(2, "c1", "create"), decision(3, "c2", "ignore")])
    assert account_totals(ledger) == AccountTotals(
        contacts=5, linked=2, unmapped=1, to_create=1, ignored=1, archived=1
    )
