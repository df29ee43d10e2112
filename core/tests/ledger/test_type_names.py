"""A worklog type that is known by its name only: one item, or nobody guesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.ledger import Ledger
from msp_xero.ledger.link_staging import Entry, mark_gone, store_listing
from msp_xero.ledger.links import DeliveredItem, ignore_item, ignore_type, link_type, stage_worklog_types
from msp_xero.ledger.planning import type_links
from msp_xero.ledger.type_names import TypeNames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    item_code: str
    name: str
    type_id: str | None = None
    type_name: str | None = None
    gone_at: object = None


def codes(name: str, *rows: Row) -> list[str]:
    return [row.item_code for row in TypeNames(rows).find(name)]  # type: ignore[arg-type]


def test_the_linked_type_counts_first_then_the_items_name_then_its_code() -> None:
    by_hand = Row("A", "Advisory", "1", "Consulting")
    namesake, code = Row("B", "Consulting"), Row("Consulting", "Other")
    assert codes("Consulting", code, namesake, by_hand) == ["A"]
    assert codes("Consulting", code, namesake) == ["B"]
    assert codes("Consulting", code) == ["Consulting"]
    assert codes("consulting", code, namesake, by_hand) == []


def test_several_are_never_chosen_from_and_what_is_gone_does_not_count() -> None:
    assert codes("Labour", Row("A", "Labour"), Row("B", "Labour")) == ["A", "B"]
    assert codes("Labour", Row("A", "Labour", gone_at=1), Row("B", "Labour")) == ["B"]
    assert codes("Labour", Row("A", "Labour", gone_at=1)) == ["A"]


names = st.sampled_from(["a", "b", "c"])
rows = st.lists(st.builds(Row, names, names, st.none() | names, st.none() | names, st.none() | st.just(1)))


@given(rows, names, st.randoms())
def test_what_a_name_means_does_not_depend_on_the_order(rows: list[Row], name: str, random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert sorted(codes(name, *rows)) == sorted(codes(name, *shuffled))
    assert (name in TypeNames(rows)) == bool(codes(name, *rows))  # type: ignore[arg-type,operator]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", actor="test") as ledger:
        yield ledger


def item(code: str, name: str) -> DeliveredItem:
    return DeliveredItem(item_id=f"i-{code}", item_code=code, name=name)


def synced(ledger: Ledger) -> None:
    types = {"1": "Remote", "2": "Fax", "3": "Meeting", "4": "Lunch", "5": "Training"}
    items = {"REM": "Remote", "FAX": "Fax", "L1": "Labour", "L2": "Labour"}
    items |= {"NEW": "Refused", "TRA": "Training", "OUT": "Left out"}
    stage_worklog_types(ledger, [item(code, name) for code, name in items.items()])
    for code, one in (("REM", "1"), ("FAX", "2"), ("TRA", "5")):
        link_type(ledger, f"i-{code}", one)
    with ledger.write() as session:
        listed = [Entry(one, name, inactive=name == "Fax") for one, name in types.items()]
        store_listing(session, ledger, "worklog_type", listed)
        ledger.connection(session).worklog_types_synced_at = ledger.clock.now()
        for row in type_links(session, ledger):
            row.type_name = types.get(row.type_id or "")
    ignore_type(ledger, "4")
    ignore_item(ledger, "i-OUT")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Remote", None),
        ("REM", None),
        ("Remoet", "there is no worklog type Remoet. Linked are: Remote, Training"),
        ("Left out", "there is no worklog type Left out. Linked are: Remote, Training"),
        ("Fax", "the worklog type Fax is switched off in ServiceDesk Plus MSP. Linked are: Remote, Training"),
        ("Labour", "the name Labour fits several Xero items (L1, L2); name a worklog type that fits one"),
        (
            "Meeting",
            "the worklog type Meeting is linked to no Xero item; link one with `msp-xero types link ITEM 3`",
        ),
        (
            "Lunch",
            "the worklog type Lunch is set to be ignored, because no Xero item is wanted for it",
        ),
        (
            "Refused",
            (
                "the Xero item NEW (Refused) is linked to no worklog type; "
                "`msp-xero types list` says what keeps it"
            ),
        ),
    ],
)
def test_a_default_type_that_cannot_be_billed_is_told(ledger: Ledger, name: str, problem: str | None) -> None:
    assert ledger.default_type_problem(name) is None  # nothing is known before the first sync
    synced(ledger)
    assert ledger.default_type_problem(name) == problem


def test_a_deleted_item_is_a_matter_of_the_books_and_not_of_the_setting(ledger: Ledger) -> None:
    synced(ledger)
    mark_gone(ledger, {"i-REM"})
    assert ledger.default_type_problem("Training") is None
