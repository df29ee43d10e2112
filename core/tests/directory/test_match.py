from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.directory.match import MODES, Named, exact_key, match_names, normalised_key

if TYPE_CHECKING:
    import random

NAMES = st.lists(st.sampled_from(["Acme", "ACME", "acme!", "A-cme", "Böß", "BÖSS", "Zed", ""]), max_size=8)
MODE = st.sampled_from(MODES)


def named(prefix: str, names: list[str]) -> list[Named]:
    return [Named(f"{prefix}{number}", name) for number, name in enumerate(names)]


@given(NAMES, NAMES, MODE, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(
    left: list[str], right: list[str], mode: str, rng: random.Random
) -> None:
    contacts, accounts = named("c", left), named("a", right)
    shuffled = [*contacts, *contacts], [*accounts, *accounts]
    for side in shuffled:
        rng.shuffle(side)
    assert match_names(*shuffled, mode) == match_names(contacts, accounts, mode)


@given(NAMES, NAMES, MODE)
def test_no_side_is_linked_twice(left: list[str], right: list[str], mode: str) -> None:
    found = match_names(named("c", left), named("a", right), mode)
    assert len(set(found.links.values())) == len(found.links)
    assert not found.links.keys() & found.ambiguous.keys()
    assert not set(found.links.values()) & {one for ids in found.ambiguous.values() for one in ids}


@given(NAMES, NAMES, MODE)
def test_a_second_run_over_what_is_left_finds_nothing(left: list[str], right: list[str], mode: str) -> None:
    contacts, accounts = named("c", left), named("a", right)
    found = match_names(contacts, accounts, mode)
    taken = set(found.links.values())
    again = match_names(
        [one for one in contacts if one.id not in found.links],
        [one for one in accounts if one.id not in taken],
        mode,
    )
    assert not again.links
    assert again.ambiguous == found.ambiguous


@given(NAMES, NAMES)
def test_exact_links_exact_names_only(left: list[str], right: list[str]) -> None:
    contacts, accounts = dict(named("c", left)), dict(named("a", right))
    for one, other in match_names(named("c", left), named("a", right)).links.items():
        assert contacts[one] == accounts[other]


def test_two_contacts_that_want_one_account_are_listed_with_it() -> None:
    found = match_names(named("c", ["Acme", "Acme"]), named("a", ["Acme"]))
    assert not found.links
    assert found.ambiguous == {"c0": ("a0",), "c1": ("a0",)}


def test_a_name_on_two_accounts_is_listed_with_both() -> None:
    found = match_names(named("c", ["acme"]), named("a", ["ACME", "Acme."]), "normalised")
    assert found.ambiguous == {"c0": ("a0", "a1")}


def test_an_exact_name_wins_over_a_normalised_one() -> None:
    found = match_names(named("c", ["Acme"]), named("a", ["ACME", "Acme"]), "normalised")
    assert found.links == {"c0": "a1"}
    assert found.how == {"c0": "exact"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("O'Connor Plumbing", "O\u2019Connor  plumbing"), ("MARINE SYSTEMS", "Marine Systems"), ("Böß", "BÖSS")],
)
def test_case_spaces_and_punctuation_are_normalised(one: str, other: str) -> None:
    assert normalised_key(one) == normalised_key(other)


@pytest.mark.parametrize(("one", "other"), [("C++ Ltd", "C Ltd"), ("Ngā Puna", "Nga Puna"), ("A1", "A2")])
def test_what_tells_names_apart_is_kept(one: str, other: str) -> None:
    assert normalised_key(one) != normalised_key(other)


def test_composed_and_decomposed_letters_are_the_same_name() -> None:
    assert exact_key("Ngā") == exact_key("Nga\u0304")


def test_names_of_punctuation_only_do_not_all_mean_the_same() -> None:
    assert normalised_key("!!!") != normalised_key("???")


def test_ten_thousand_by_ten_thousand_are_matched_at_once() -> None:
    names = [f"Company {number}" for number in range(10_000)]
    found = match_names(named("c", names), named("a", names[::-1]), "normalised")
    assert len(found.links) == 10_000
