from __future__ import annotations

import pytest
from tap_msp_sdp.bookmarks import Bookmarks
from tap_msp_sdp.extraction import Walk, plan_walks, walks_by_module
from tap_msp_sdp.settings import ExtractionSettings

OLD, MID, NEW = (f"2026-01-0{day}T00:00:00.000Z" for day in (1, 2, 3))
WALKS = {"requests": ["requests"], "tasks": ["requests", "problems", "tasks"], "projects": ["projects"]}


class States(dict):
    def __missing__(self, module):
        self[module] = {}
        return self[module]


@pytest.fixture
def states():
    return States()


@pytest.fixture
def bookmarks(states):
    return Bookmarks(states.__getitem__, WALKS)


def test_a_module_with_one_walk_has_a_plain_bookmark(bookmarks, states):
    assert bookmarks.get("requests", "requests") is None
    bookmarks.advance("requests", "requests", MID)
    bookmarks.advance("requests", "requests", OLD)
    assert bookmarks.get("requests", "requests") == MID
    assert states["requests"] == {"replication_key": "parent_updated_time", "replication_key_value": MID}


def test_a_module_with_several_walks_is_as_far_as_the_last_of_them(bookmarks, states):
    bookmarks.advance("tasks", "requests", NEW)
    assert "replication_key_value" not in states["tasks"]
    assert bookmarks.get("tasks", "problems") is None
    bookmarks.advance("tasks", "problems", MID)
    bookmarks.advance("tasks", "tasks", OLD)
    assert states["tasks"]["replication_key_value"] == OLD
    assert [bookmarks.get("tasks", walk) for walk in WALKS["tasks"]] == [NEW, MID, OLD]


def test_setting_the_bookmark_back_by_hand_sets_all_walks_back(bookmarks, states):
    for walk, value in (("requests", NEW), ("problems", MID), ("tasks", MID)):
        bookmarks.advance("tasks", walk, value)
    states["tasks"]["replication_key_value"] = OLD
    assert {bookmarks.get("tasks", walk) for walk in WALKS["tasks"]} == {OLD}
    bookmarks.advance("tasks", "problems", NEW)
    assert bookmarks.get("tasks", "requests") == OLD


def test_another_way_to_find_tasks_starts_anew_and_then_moves(states):
    Bookmarks(states.__getitem__, WALKS).advance("projects", "projects", MID)
    listed = Bookmarks(states.__getitem__, {"projects": ["tasks"], "tasks": ["tasks"]})
    assert listed.get("projects", "tasks") is None
    listed.advance("projects", "tasks", OLD)
    assert listed.get("projects", "tasks") == OLD
    back = Bookmarks(states.__getitem__, WALKS)
    assert back.get("projects", "projects") is None
    back.advance("projects", "projects", NEW)
    assert back.get("projects", "projects") == NEW


def test_a_list_that_takes_over_from_several_walks_starts_anew_although_one_had_its_name(states):
    by_parents = Bookmarks(states.__getitem__, WALKS)
    for walk in WALKS["tasks"]:
        by_parents.advance("tasks", walk, MID)
    listed = Bookmarks(states.__getitem__, {"tasks": ["tasks"]})
    assert listed.get("tasks", "tasks") is None
    listed.advance("tasks", "tasks", OLD)
    assert listed.get("tasks", "tasks") == OLD


def walks(**settings):
    return plan_walks(ExtractionSettings(**settings))


def test_one_walk_serves_a_module_and_its_tasks():
    assert walks(modules=("requests", "tasks")) == [
        Walk("requests", ("requests", "tasks")),
        Walk("problems", ("tasks",)),
        Walk("changes", ("tasks",)),
        Walk("tasks", ("tasks",)),
    ]
    assert walks(modules=("requests",)) == [Walk("requests", ("requests",))]
    assert walks(modules=("projects",)) == [Walk("projects", ("projects",))]


def test_the_global_list_serves_tasks_and_projects():
    assert walks(modules=("requests", "projects", "tasks"), task_discovery="global") == [
        Walk("requests", ("requests",)),
        Walk("tasks", ("projects", "tasks")),
    ]
    assert walks_by_module(walks(modules=("projects", "tasks"), task_discovery="global")) == {
        "projects": ["tasks"],
        "tasks": ["tasks"],
    }


def test_a_place_by_another_clock_says_so_and_yields_to_any_time_of_sdp(bookmarks, states):
    bookmarks.advance("tasks", "problems", NEW, by_own_clock=True)
    bookmarks.advance("tasks", "requests", MID)
    assert [bookmarks.is_by_own_clock("tasks", walk) for walk in WALKS["tasks"]] == [False, True, False]
    bookmarks.advance("tasks", "problems", OLD)
    assert bookmarks.get("tasks", "problems") == OLD
    assert not bookmarks.is_by_own_clock("tasks", "problems")
    assert "by_own_clock" not in states["tasks"]
    bookmarks.advance("tasks", "problems", MID)
    bookmarks.advance("tasks", "problems", OLD)
    assert bookmarks.get("tasks", "problems") == MID


def test_a_place_by_another_clock_is_never_before_one_of_sdp_and_follows_that_clock_back(bookmarks):
    """A clock that was ahead once would otherwise keep the bookmark in the future."""
    bookmarks.advance("requests", "requests", MID)
    bookmarks.advance("requests", "requests", OLD, by_own_clock=True)
    assert (bookmarks.get("requests", "requests"), bookmarks.is_by_own_clock("requests", "requests")) == (
        MID,
        False,
    )
    for at in (NEW, MID):
        bookmarks.advance("requests", "requests", at, by_own_clock=True)
        assert bookmarks.get("requests", "requests") == at
        assert bookmarks.is_by_own_clock("requests", "requests")


def test_what_was_open_is_known_of_the_walk_that_goes_on_from_there(bookmarks, states):
    open_ones = {"open": ["7"]}
    bookmarks.advance("projects", "projects", MID)
    bookmarks.remember_open("projects", "projects", open_ones, "parents")
    assert bookmarks.lately_open("projects", "projects") == open_ones
    assert bookmarks.knows_open("projects", "projects", "parents")
    assert not bookmarks.knows_open("projects", "projects", "global")
    assert not bookmarks.knows_open("projects", "tasks", "parents")
    states["projects"]["lately_open"]["tasks"] = {"of": "another version"}
    assert bookmarks.lately_open("projects", "tasks") == {}
    assert not bookmarks.knows_open("projects", "tasks", "parents")
    states["projects"]["replication_key_value"] = OLD
    assert not bookmarks.knows_open("projects", "projects", "parents"), "set back by hand"
    assert bookmarks.lately_open("projects", "projects") == open_ones, "what was seen was seen"
    for walk in ("tasks", "projects"):
        bookmarks.forget_open("projects", walk)
    assert "lately_open" not in states["projects"]


def test_what_is_open_while_a_bookmark_waits_is_kept_and_is_all_only_if_it_was_before(bookmarks):
    bookmarks.add_open("projects", "projects", {"open": ["7"]})
    assert bookmarks.lately_open("projects", "projects") == {"open": ["7"]}
    assert not bookmarks.knows_open("projects", "projects", "parents")
    bookmarks.advance("projects", "projects", MID)
    assert not bookmarks.knows_open("projects", "projects", "parents")
    bookmarks.remember_open("projects", "projects", {"open": ["7"]}, "parents")
    bookmarks.add_open("projects", "projects", {"open": ["7", "8"]})
    assert bookmarks.lately_open("projects", "projects") == {"open": ["7", "8"]}
    assert bookmarks.knows_open("projects", "projects", "parents")
