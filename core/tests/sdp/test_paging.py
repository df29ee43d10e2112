from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msp_xero.errors import Unavailable
from msp_xero.sdp.paging import CannotWalk, OffsetCursor, Page, ValueCursor, list_input, read_page


def row(identity, value):
    return {"id": str(identity), "t": {"value": str(value)}}


def serve(rows, cursor, size=3):
    """Answer as a server does: filtered, sorted, cut."""
    found = sorted(
        (r for r in rows if int(r["t"]["value"]) >= cursor.value), key=lambda r: int(r["t"]["value"])
    )
    page = found[cursor.offset : cursor.offset + size]
    return Page(rows=page, more=cursor.offset + size < len(found), total=None)


def drain(rows, since=0, size=3, between=lambda _: None):
    cursor, out = ValueCursor("t", since), []
    for turn in range(1000):
        if cursor.finished:
            return out
        out += cursor.accept(serve(rows, cursor, size))
        between(turn)
    raise AssertionError("the walk does not end")


def ids(rows):
    return [r["id"] for r in rows]


def test_a_value_walk_of_many_pages_gives_each_row_once_in_order():
    rows = [row(i, 100 + i // 2) for i in range(25)]
    assert ids(drain(rows)) == [str(i) for i in range(25)]
    assert ids(drain(rows, since=105)) == [str(i) for i in range(10, 25)]
    assert drain([]) == []


def test_more_equal_values_than_a_page():
    rows = [row(i, 5 if 2 <= i < 20 else i + 1 + 100 * (i >= 20)) for i in range(25)]
    assert sorted(map(int, ids(drain(rows)))) == list(range(25))


def test_a_row_that_moves_between_pages_hides_no_other_and_comes_again():
    rows = [row(i, 100 + i) for i in range(12)]

    def touch(turn):
        if turn == 1:
            rows[0]["t"] = {"value": "900"}

    assert ids(drain(rows, between=touch)) == [*map(str, range(12)), "0"]


def test_a_row_that_leaves_a_group_of_equal_values_hides_no_other():
    rows = [row(i, 7) for i in range(12)]

    def touch(turn):
        if turn == 0:
            rows[1]["t"] = {"value": "8"}

    assert set(ids(drain(rows, between=touch))) == set(map(str, range(12)))


@settings(max_examples=300)
@given(
    st.lists(st.integers(1, 12), max_size=30),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 29), st.integers(1, 4)), max_size=10),
    st.integers(1, 4),
)
def test_no_row_is_ever_lost_whatever_moves(values, moves, size):
    rows = [row(i, value) for i, value in enumerate(values)]

    def touch(turn):
        for when, which, ahead in moves:
            if when == turn and which < len(rows):
                newest = max(int(r["t"]["value"]) for r in rows)
                rows[which]["t"] = {"value": str(newest + ahead)}

    out = drain(rows, size=size, between=touch)
    assert set(ids(out)) == set(map(str, range(len(rows))))
    assert [r["t"]["value"] for r in rows] == [
        {r["id"]: r["t"]["value"] for r in out}[str(i)] for i in range(len(rows))
    ], "the last copy of each row is its newest"


@pytest.mark.parametrize(
    "rows",
    [
        [row(1, 50)],
        [row(1, 300), row(2, 200)],
        [{"id": "1", "t": None}],
        [{"id": "1"}],
        [row(1, "x")],
    ],
)
def test_a_server_that_ignores_criterion_or_order_or_column_is_noticed(rows):
    with pytest.raises(CannotWalk):
        ValueCursor("t", 100).accept(Page(rows=rows, more=False, total=None))


def test_a_server_that_ignores_the_offset_is_noticed():
    page = Page(rows=[row(i, 7) for i in range(100)], more=True, total=None)
    for cursor in (ValueCursor("t", 7), OffsetCursor()):
        cursor.accept(page)
        cursor.accept(page)
        with pytest.raises(CannotWalk):
            cursor.accept(page)


def offsets(pages):
    cursor, out = OffsetCursor(), []
    for page in pages:
        assert not cursor.finished
        out += cursor.accept(page)
    assert cursor.finished
    return cursor, ids(out)


def some(*identities, more, total=None):
    return Page(rows=[{"id": i} for i in identities], more=more, total=total)


def test_offsets_over_three_pages_that_begin_with_the_last_row_of_the_one_before():
    pages = [some("1", "2", "3", more=True), some("3", "4", "5", more=True), some("5", "6", more=False)]
    cursor, found = offsets(pages)
    assert (found, cursor.offset) == (["1", "2", "3", "4", "5", "6"], 4)


def test_pages_of_one_row_cannot_begin_with_the_last_one():
    assert offsets([some("1", more=True), some("2", more=True), some("3", more=False)])[1] == ["1", "2", "3"]


def test_a_total_that_changes_on_the_way_means_another_pass():
    _, found = offsets(
        [
            some("1", "2", "3", more=True, total=4),
            some("3", "5", more=False, total=5),  # 4 was deleted, 5 and 6 are new
            some("1", "2", "3", more=True, total=5),
            some("3", "5", "6", more=False, total=5),
        ]
    )
    assert found == ["1", "2", "3", "5", "6"]


def by_offset(rows, between=lambda turn, rows: None, *, most=1000, told=True):
    """Walk a list of ids as a server serves it, a hundred a page; ``told``: with the number of all."""
    cursor, out = OffsetCursor(), []
    for turn in range(most):
        if cursor.finished:
            return out, turn
        page = rows[cursor.offset : cursor.offset + 100]
        is_more = cursor.offset + 100 < len(rows)
        out += ids(cursor.accept(some(*page, more=is_more, total=len(rows) if told else None)))
        between(turn, rows)
    raise AssertionError("the walk does not end")


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("many", [1, 2, 60])
@pytest.mark.parametrize("told", [True, False], ids=["with a total", "without one"])
def test_rows_that_are_deleted_and_as_many_that_are_made_meanwhile_hide_no_other(turn, many, told):
    def change(now, rows):
        if now == turn:
            del rows[7 : 7 + many]
            rows.extend(str(n) for n in range(251, 251 + many))

    found, calls = by_offset([str(n) for n in range(1, 251)], change, told=told)
    assert sorted(map(int, found)) == list(range(1, 251 + many))
    assert len(found) == len(set(found))
    assert calls < 10


@given(
    st.integers(0, 350),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 150), st.booleans()), max_size=12),
    st.booleans(),
)
@settings(deadline=None)
def test_whatever_is_deleted_and_made_during_the_first_pass_no_row_that_stays_is_hidden(count, changes, told):
    rows = [str(n) for n in range(count)]
    stays = set(rows)

    def change(turn, rows):
        for when, which, is_new in changes:
            if when == turn and is_new:
                rows.append(f"new-{turn}-{which}-{len(rows)}")
            elif when == turn and str(which) in rows:
                rows.remove(str(which))
                stays.discard(str(which))

    found, calls = by_offset(rows, change, told=told)
    assert stays <= set(found)
    assert len(found) == len(set(found))
    assert calls <= 15


def test_a_server_whose_order_never_holds_is_read_as_far_as_it_goes_and_what_it_says_is_told():
    cursor, turn = OffsetCursor(), 0
    while not cursor.finished:
        names = [f"{turn}-{n}" for n in range(100)]
        cursor.accept(some(*names, more=cursor.offset < 300, total=450))
        turn += 1
    assert turn == 3 * 5
    assert cursor.disagrees == (500, 450)


def test_a_total_that_never_agrees_is_accepted_and_told():
    cursor, found = offsets([some("1", "2", more=False, total=3)] * 2)
    assert found == ["1", "2"]
    assert cursor.disagrees == (2, 3)


def test_an_empty_list():
    assert offsets([some(more=False, total=0)])[1] == []
    assert offsets([some(more=True, total=0)])[1] == []


@pytest.mark.parametrize(
    ("cursor", "before"),
    [
        (ValueCursor("t", 100), []),
        (ValueCursor("t", 100), [Page(rows=[row(1, 101)], more=True, total=None)]),
        (ValueCursor("t", 7), [Page(rows=[row(i, 7) for i in range(100)], more=True, total=None)]),
        (OffsetCursor(), []),
        (OffsetCursor(), [some("1", "2", more=True, total=3)]),
    ],
)
def test_an_empty_page_that_says_that_more_rows_follow_is_no_end(cursor, before):
    for page in before:
        cursor.accept(page)
    with pytest.raises(CannotWalk, match="empty page"):
        cursor.accept(Page(rows=[], more=True, total=None))
    assert not cursor.finished


def test_an_empty_page_ends_a_list_whose_total_agrees_whatever_else_it_says():
    cursor, found = offsets([some("1", more=True, total=1), some(more=True, total=1)])
    assert found == ["1"]
    assert cursor.disagrees is None


def page_of(payload):
    return read_page(payload, "worklogs", address="GET x")


def test_list_info_is_read_tolerantly():
    page = page_of({"worklogs": [{"id": 1}], "list_info": {"has_more_rows": "true", "total_count": "7"}})
    assert (page.more, page.total) == (True, 7)
    assert page_of({"worklogs": [{}] * 100}).more
    assert not page_of({"worklogs": [{}] * 99}).more
    assert page_of({"time_entries": [{"id": 1}], "response_status": [{}]}).rows == [{"id": 1}]
    assert page_of({"list_info": {"row_count": 0}}).rows == []


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"worklogs": {}},
        {"list_info": {"row_count": 3}},
        {"list_info": {"has_more_rows": True}},
        {"worklogs": "x"},
        {"messages": [], "response_status": [{"status_code": 2000}]},
        {"messages": ["well done"]},
        {"messages": [{"id": None}]},
    ],
)
def test_rows_that_are_not_where_they_should_be_are_no_empty_list(payload):
    with pytest.raises(Unavailable, match="no list named worklogs"):
        page_of(payload)


@pytest.mark.parametrize("odd", [None, "301", 301, []])
def test_a_row_that_is_no_object_is_not_passed_over(odd):
    with pytest.raises(Unavailable, match="not all worklogs are rows"):
        page_of({"worklogs": [{"id": "1"}, odd], "list_info": {"row_count": 2}})


def test_input_data():
    assert list_input(start=101, sort_field="id", fields=["id", "name"], total=True, fields_twice=True) == {
        "list_info": {
            "row_count": 100,
            "start_index": 101,
            "sort_field": "id",
            "sort_order": "asc",
            "get_total_count": True,
            "fields_required": ["id", "name"],
        },
        "fields_required": ["id", "name"],
    }
