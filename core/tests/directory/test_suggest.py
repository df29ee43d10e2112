from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msp_xero.directory.clues import account_clues, contact_clues
from msp_xero.directory.suggest import CLEAR, LOWEST, Party, Suggestion, read_suggestions, suggest
from msp_xero.ledger.links import link_account

if TYPE_CHECKING:
    import random

    from conftest import World

WORDS = ["Acme", "acme", "ACME Ltd", "Acme Limited", "Acme Pty Ltd", "Acme Print", "Print Acme", "Böß 12", ""]
CLUES = ["domain:a.test", "domain:b.test", "phone:42345678", "tax:123456789"]
PARTIES = st.lists(
    st.tuples(st.sampled_from(WORDS), st.frozensets(st.sampled_from(CLUES), max_size=2)), max_size=6
)


def party(one: str, name: str, *clues: str, inactive: bool = False) -> Party:
    return Party(one, name, frozenset(clues), inactive)


def parties(prefix: str, rows: list[tuple[str, frozenset[str]]]) -> list[Party]:
    return [Party(f"{prefix}{number}", *row) for number, row in enumerate(rows)]


def best(contact: str, *accounts: str) -> Suggestion | None:
    found = suggest([party("c", contact)], [party(str(n), name) for n, name in enumerate(accounts)])
    return next(iter(found.by_contact.get("c", ())), None)


@given(PARTIES, PARTIES, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(left: Any, right: Any, rng: random.Random) -> None:
    contacts, accounts = parties("c", left), parties("a", right)
    shuffled = [*contacts, *contacts], [*accounts, *accounts]
    for side in shuffled:
        rng.shuffle(side)
    assert suggest(*shuffled) == suggest(contacts, accounts)


@given(PARTIES, PARTIES)
def test_no_account_is_clear_for_two_contacts(left: Any, right: Any) -> None:
    found = suggest(parties("c", left), parties("a", right), most=9)
    given_away = [one.account_id for one in found.clear.values()]
    assert len(given_away) == len(set(given_away))
    for contact_id, clear in found.clear.items():
        others = [
            one.score
            for contact, ranked in found.by_contact.items()
            for one in ranked
            if (contact == contact_id) != (one.account_id == clear.account_id)
        ]
        assert all(clear.score - score >= CLEAR for score in others)


@given(PARTIES, PARTIES)
@settings(max_examples=50)
def test_accepting_all_that_is_clear_leaves_nothing_that_was_clear_before(left: Any, right: Any) -> None:
    contacts, accounts = parties("c", left), parties("a", right)
    found = suggest(contacts, accounts)
    taken = {one.account_id for one in found.clear.values()}
    again = suggest(
        [one for one in contacts if one.id not in found.clear],
        [one for one in accounts if one.id not in taken],
    )
    assert not taken & {one.account_id for one in again.clear.values()}


@pytest.mark.parametrize(
    ("contact", "account", "score", "reason"),
    [
        ("Acme", "Acme", 96, "same name"),
        (
            "O'Connor Plumbing",
            "O\u2019CONNOR  plumbing",
            95,
            "same name but for case, spaces and punctuation",
        ),
        ("Acme Limited", "Acme Ltd.", 93, "same name but for the company suffix"),
        ("Acme Pty Ltd", "The Acme", 93, "same name but for the company suffix"),
        ("Rimu and Co", "Rimu & Co", 93, "same name but for the company suffix"),
        ("B.H.P. Limited", "BHP", 93, "same name but for the company suffix"),
        ("Acme GmbH", "Acme AG", 80, "same name with another kind of company suffix"),
        ("Plumbing Kauri", "Kauri Plumbing Ltd", 88, "same words in another order"),
        ("Orlena Greenville", "Orlena Grenville", 87, "names 96 % alike"),
        ("Tahi Plumbing", "Tahi Plumbing & Gas Fitters Limited", 70, "one name is part of the other"),
    ],
)
def test_names_give_a_score_and_a_reason(contact: str, account: str, score: int, reason: str) -> None:
    found = best(contact, account, "Fox Street")
    assert found is not None
    assert (found.account_id, found.score, found.reason) == ("0", score, reason)


@pytest.mark.parametrize(
    ("contact", "account"),
    [
        ("Acme 12", "Acme 13"),
        ("Nothing", "Alike"),
        ("A1", "A2"),
        ("Ltd", "Limited Services"),
        ("Ab", "Ab Cd"),
    ],
)
def test_what_is_not_alike_is_not_suggested(contact: str, account: str) -> None:
    assert best(contact, account) is None


def test_other_evidence_adds_to_a_name_and_stands_alone() -> None:
    contact = party("c", "Acme Holdings", "domain:acme.test", "phone:42345678", "tax:123456789")
    accounts = [
        party("1", "Something Else", "tax:123456789"),
        party("2", "Whatever", "phone:42345678"),
        party("3", "Acme Holding", "domain:acme.test"),
    ]
    found = suggest([contact], accounts).by_contact["c"]
    assert [(one.account_id, one.score, one.reason) for one in found] == [
        ("3", 95, "names 96 % alike, same e-mail or web domain"),
        ("1", 90, "same tax number"),
        ("2", 60, "same telephone number"),
    ]


def test_what_many_share_tells_little() -> None:
    accounts = [party(str(n), name, "domain:msp.test") for n, name in enumerate(("Fox", "Kea", "Weka"))]
    assert suggest([party("c", "Acme", "domain:msp.test")], accounts).by_contact == {}
    beside = ([], accounts[1:])
    assert suggest([party("c", "Acme", "domain:msp.test")], accounts[:1], beside=beside).by_contact == {}


def test_two_that_come_near_each_other_are_not_clear() -> None:
    contact = party("c", "Acme Ltd")
    assert suggest([contact], [party("1", "ACME LTD"), party("2", "Acme Limited")]).clear == {}
    rivals = [contact, party("d", "Acme Limited")]
    assert suggest(rivals, [party("1", "Acme")]).clear == {}
    assert suggest([contact], [party("1", "Acme"), party("2", "Akme Ltd")]).clear["c"].account_id == "1"


def test_an_inactive_account_comes_after() -> None:
    found = suggest([party("c", "Acme")], [party("1", "Acme", inactive=True), party("2", "Acme Ltd")])
    assert [(one.account_id, one.score) for one in found.by_contact["c"]] == [("2", 93), ("1", 86)]
    assert "inactive" in found.by_contact["c"][1].reason


@pytest.mark.parametrize(
    ("contact", "account"),
    [
        ({"emails": ["ap@Acme.test"]}, {"emailid": "office@acme.test"}),
        ({"websites": ["https://www.acme.test/about"]}, {"emailid": "office@acme.test"}),
        ({"phones": ["+64 4 234 5678"]}, {"landline": "(04) 234-5678"}),
        ({"phones": ["+44 (0)20 7946 0000"]}, {"fax": "020 7946 0000"}),
        ({"tax_numbers": ["GB 123 4567 89"]}, {"udf_fields": {"udf_sline_102": "123-456-789"}}),
    ],
)
def test_both_sides_write_the_same_clue_alike(contact: dict[str, Any], account: dict[str, Any]) -> None:
    assert contact_clues(contact) == account_clues(account)
    assert contact_clues(contact)


@pytest.mark.parametrize(
    "told",
    [
        {"emails": ["a@gmail.com", "b@Outlook.com", "c@xtra.co.nz", "nonsense", "@x.test", None, 7]},
        {"websites": ["https://www.facebook.com/acme", "none"]},
        {"phones": ["0000000000", "123", ""]},
        {"tax_numbers": ["12345", "n/a", "see the notes of 2019-01-01 please"]},
        {"emails": "x", "phones": {"a": 1}},
        {},
    ],
)
def test_what_tells_nothing_is_no_clue(told: dict[str, Any]) -> None:
    assert contact_clues(told) == []


def test_suggestions_come_from_what_the_settle_stored(world: World) -> None:
    world.sdp.account("301", "Acme Ltd", emailid="office@acme.test")
    world.sdp.account("302", "Whoever", udf_fields={"udf_sline_101": "123-456-789"})
    world.sdp.account("303", "Us", is_msp=True)
    world.deliver(
        world.contact("c1", "Acme Limited", clues=contact_clues({"emails": ["ap@acme.test"]})),
        world.contact("c2", "Somebody", clues=contact_clues({"tax_numbers": ["123456789"]})),
        world.contact("c3", "us"),
        world.contact("c4", "Archived", status="ARCHIVED", clues=["tax:123456789"]),
    )
    world.settle()
    found = read_suggestions(world.ledger)
    assert {one: (best.account_id, best.score) for one, best in found.clear.items()} == {"c1": ("301", 97)}
    assert found.by_contact["c1"][0].reason == (
        "same name but for the company suffix, same e-mail or web domain"
    )
    assert "c3" not in found.by_contact
    link_account(world.ledger, "c1", "301")
    assert "c1" not in read_suggestions(world.ledger).by_contact


@dataclass
class Crowd:
    contacts: list[Party]
    accounts: list[Party]


def crowd(count: int) -> Crowd:
    first = ["Kauri", "Rimu", "Totara", "Matai", "Kowhai", "Rata", "Tawa", "Miro", "Puriri", "Nikau"]
    second = [
        "Print",
        "Plumbing",
        "Dental",
        "Motors",
        "Systems",
        "Foods",
        "Travel",
        "Legal",
        "Homes",
        "Media",
    ]
    names = [
        f"{first[n % 10]} {second[n // 10 % 10]} {chr(97 + n // 100 % 26)}{chr(97 + n // 2600)}"
        + "st" * (n % 3)
        for n in range(count)
    ]
    return Crowd(
        [party(f"c{n}", f"{name} Limited", f"domain:d{n}.test") for n, name in enumerate(names)],
        [party(f"a{n}", f"{name} Ltd", f"domain:d{n}.test") for n, name in enumerate(names)],
    )


def test_each_of_two_thousand_finds_its_own_among_two_thousand() -> None:
    """How long ten thousand take is measured by ``make bench``."""
    both = crowd(2_000)
    found = suggest(both.contacts, both.accounts)
    assert len(found.by_contact) == 2_000
    assert all(ranked[0].account_id == f"a{one[1:]}" for one, ranked in found.by_contact.items())
    assert all(ranked[0].score >= LOWEST for ranked in found.by_contact.values())
