from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.xero import wire
from msp_xero.xero.paging import Page, walk_by_change, walk_by_id

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Books:
    """A list in Xero that people change while it is read: ``between[n]`` is done after the n-th page."""

    def __init__(self, seconds, *, size, between=(), told=True):
        self.changed = {f"id-{index:04}": second for index, second in enumerate(seconds)}
        self.size, self.between, self.told = size, list(between), told
        self.pages = []

    def edit(self, name):
        self.changed[name] = max([*self.changed.values(), 10_000]) + 1

    def _page(self, rows, number):
        body = {
            "Rows": [
                {"ID": name, "UpdatedDateUTC": f"/Date({int((START.timestamp() + second) * 1000)}+0000)/"}
                for name, second in rows[(number - 1) * self.size : number * self.size]
            ]
        }
        if self.told:
            body["pagination"] = {"pageCount": -(-len(rows) // self.size), "itemCount": len(rows)}
        self.pages.append(number)
        if self.between:
            self.between.pop(0)(self)
        return Page.of(body, "Rows", number)

    def by_id(self, number):
        return self._page(sorted(self.changed.items()), number)

    def by_change(self, number, since):
        rows = [
            (name, second)
            for name, second in self.changed.items()
            if since is None or START + timedelta(seconds=second) >= since
        ]
        return self._page(sorted(rows, key=lambda row: (row[1], row[0])), number)


def ids(rows):
    return [row["ID"] for row in rows]


def insert(name):
    return lambda books: books.changed.__setitem__(name, 20_000)


def remove(name):
    return lambda books: books.changed.pop(name, None)


def edit(name):
    return lambda books: books.edit(name) if name in books.changed else None


def nothing(_):
    pass


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("rows", [0, 1, 4, 5, 6, 15, 17])
def test_all_pages_are_read_whether_their_number_is_told_or_not(rows, told):
    books = Books(range(rows), size=5, told=told)
    assert ids(walk_by_id(books.by_id, "ID")) == sorted(books.changed)
    assert ids(walk_by_change(books.by_change, "ID", since=None)) == sorted(books.changed)


def test_a_short_page_is_not_the_end():
    pages = [
        Page(rows=[{"ID": "a"}], number=1, page_count=3),
        Page(rows=[], number=2, page_count=3),
        Page(rows=[{"ID": "b"}], number=3, page_count=3),
    ]
    assert ids(walk_by_id(lambda number: pages[number - 1], "ID")) == ["a", "b"]


def test_an_answer_that_knows_no_pages_is_read_as_one():
    rows = [{"ID": name, "UpdatedDateUTC": "/Date(1)/"} for name in "ab"]
    assert ids(walk_by_id(lambda number: Page(rows=rows, number=number), "ID")) == ["a", "b"]
    assert ids(walk_by_change(lambda number, _: Page(rows=rows, number=number), "ID", since=None)) == [
        "a",
        "b",
    ]


def test_pages_with_missing_members_are_empty():
    assert Page.of({}, "Rows", 1) == Page(rows=[], number=1)
    odd = {"Rows": [None, {"ID": "a"}, 3], "pagination": {"pageCount": "3", "itemCount": True}}
    assert Page.of(odd, "Rows", 1) == Page(rows=[{"ID": "a"}], number=1)
    assert Page.of({"Rows": None, "pagination": 3}, "Rows", 1) == Page(rows=[], number=1)


def test_rows_without_an_id_are_not_taken_for_one():
    assert len(list(walk_by_id(lambda number: Page(rows=[{}, {}], number=number, page_count=1), "ID"))) == 2


def test_a_contact_that_is_added_on_a_page_already_read_is_found():
    books = Books(range(9), size=3, between=[insert("id-0000a")])
    found = ids(walk_by_id(books.by_id, "ID"))
    assert sorted(found) == sorted(books.changed)
    assert len(found) == len(set(found))
    assert len(books.pages) == 8  # four pages, twice


def test_a_wrong_item_count_does_not_read_for_ever():
    page = Page(rows=[{"ID": "a"}], number=1, page_count=1, item_count=7)
    calls = []
    assert ids(walk_by_id(lambda number: calls.append(number) or page, "ID")) == ["a"]
    assert len(calls) == 2


def test_a_list_that_never_stops_growing_is_left_with_a_warning(caplog):
    new = itertools.count()

    def fetch(number):
        return Page(rows=[{"ID": str(next(new))}], number=number, page_count=1, item_count=10**6)

    assert ids(walk_by_id(fetch, "ID")) == list("01234")
    assert "kept changing" in caplog.text


def test_an_edit_between_pages_loses_no_row():
    books = Books(range(9), size=3, between=[edit("id-0000")])
    found = ids(walk_by_change(books.by_change, "ID", since=None))
    assert sorted(found) == sorted(books.changed)
    assert len(found) == len(set(found))


def test_a_row_that_leaves_the_filter_between_pages_hides_no_other():
    books = Books(range(9), size=3, between=[remove("id-0001")])
    found = ids(walk_by_change(books.by_change, "ID", since=None))
    assert set(found) == set(books.changed) | {"id-0001"}


@pytest.mark.parametrize("change", [edit("id-0002"), remove("id-0002")])
def test_a_second_that_fills_pages_is_read_until_nothing_is_new(change):
    books = Books([0] + [5] * 20 + [9, 10, 11, 12], size=3, between=[nothing, nothing, nothing, change])
    found = ids(walk_by_change(books.by_change, "ID", since=None))
    assert set(found) >= set(books.changed)
    assert len(found) == len(set(found))


def test_rows_in_no_order_are_read_by_page_number():
    rows = [{"ID": str(n), "UpdatedDateUTC": wire.utc_text(START - timedelta(hours=n))} for n in range(6)]

    def fetch(number, since):
        assert since is None
        return Page(rows=rows[2 * number - 2 : 2 * number], number=number, page_count=3)

    assert ids(walk_by_change(fetch, "ID", since=None)) == list("012345")


def test_the_walk_starts_where_it_is_told():
    books = Books(range(10), size=4)
    found = ids(walk_by_change(books.by_change, "ID", since=START + timedelta(seconds=7)))
    assert found == ["id-0007", "id-0008", "id-0009"]


NAMES = st.sampled_from([f"id-{index:04}" for index in range(12)])
CHANGES = st.lists(st.one_of(st.builds(edit, NAMES), st.builds(remove, NAMES), st.just(nothing)), max_size=12)


@given(
    seconds=st.lists(st.integers(0, 40), max_size=12, unique=True), size=st.integers(3, 5), between=CHANGES
)
def test_whatever_people_do_no_row_that_stays_is_lost(seconds, size, between):
    books = Books(seconds, size=size, between=between)
    found = ids(walk_by_change(books.by_change, "ID", since=None))
    assert set(found) >= set(books.changed)
    assert len(found) == len(set(found))


INSERTS = st.lists(
    st.one_of(
        st.builds(insert, st.from_regex(r"id-00(0[0-9]|1[0-2])[a-z]", fullmatch=True)), st.just(nothing)
    ),
    max_size=4,
)


@given(rows=st.integers(0, 12), size=st.integers(1, 5), between=INSERTS)
def test_whatever_is_added_the_walk_by_id_ends_complete(rows, size, between):
    books = Books(range(rows), size=size, between=between)
    found = ids(walk_by_id(books.by_id, "ID"))
    assert set(found) >= {f"id-{index:04}" for index in range(rows)}
    assert len(found) == len(set(found))
    if not books.between and len(books.pages) > len(between) + 1:
        assert set(found) == set(books.changed)
