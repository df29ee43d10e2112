from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from msp_xero.errors import DayLimitReached, Throttled
from msp_xero.xero import CallBudget

HERE = "GET https://api.xero.com/api.xro/2.0/Items"


@pytest.fixture
def budget(clock):
    return CallBudget(clock)


def spend(budget, times=1):
    for _ in range(times):
        with budget.call(HERE):
            pass


def test_sixty_calls_pass_at_once_and_the_next_waits_for_the_window(budget, clock):
    spend(budget, 60)
    assert clock.slept == []
    spend(budget)
    assert sum(clock.slept) == pytest.approx(60, abs=0.1)


def test_no_sixty_seconds_ever_hold_more_than_the_limit(clock):
    budget = CallBudget(clock, max_calls_per_minute=7)
    moments = []
    for index in range(100):
        with budget.call(HERE):
            moments.append(clock.monotonic())
        clock.advance(seconds=(index * 37 % 11) / 3)
    assert all(later - earlier > 60 for earlier, later in zip(moments, moments[7:], strict=False))


def test_calls_of_others_are_seen_in_the_headers(budget, clock):
    spend(budget, 10)
    budget.learn({"X-MinLimit-Remaining": "3"})
    spend(budget, 3)
    assert clock.slept == []
    spend(budget)
    assert sum(clock.slept) > 50


def test_headers_that_allow_more_than_we_do_change_nothing(clock):
    budget = CallBudget(clock, max_calls_per_minute=2)
    budget.learn({"X-MinLimit-Remaining": "59", "X-DayLimit-Remaining": "4000"})
    spend(budget, 2)
    assert clock.slept == []
    spend(budget)
    assert clock.slept


@pytest.mark.parametrize("text", ["", "many", "-1", "٣"])
def test_unreadable_headers_are_ignored(budget, clock, text):
    budget.learn({"X-MinLimit-Remaining": text, "X-DayLimit-Remaining": text})
    spend(budget, 60)
    assert clock.slept == []
    assert budget.day_left is None


def test_retry_after_pauses_all_calls_and_then_a_full_minute_begins(budget, clock):
    spend(budget, 60)
    budget.pause(26)
    spend(budget, 60)
    assert clock.slept == [26]


def test_a_pause_that_is_too_long_is_an_error_not_a_sleep(budget, clock):
    budget.pause(71)
    with pytest.raises(Throttled) as caught:
        spend(budget)
    assert caught.value.retry_after == 71
    assert clock.slept == []


def test_the_last_calls_of_the_day_are_left_to_others(budget):
    budget.learn({"X-DayLimit-Remaining": "101"})
    spend(budget)
    budget.learn({"X-DayLimit-Remaining": "100"})
    with pytest.raises(DayLimitReached, match="day_call_reserve keeps the last 100 calls"):
        spend(budget)
    assert budget.day_left == 100


def test_a_reserve_of_zero_uses_every_call(clock):
    budget = CallBudget(clock, day_call_reserve=0)
    budget.learn({"X-DayLimit-Remaining": "1"})
    spend(budget)
    budget.learn({"X-DayLimit-Remaining": "0"})
    with pytest.raises(DayLimitReached):
        spend(budget)


def test_a_day_that_is_over_stays_over_until_the_named_time(budget, clock):
    resume_at = clock.now() + timedelta(hours=20)
    budget.stop_for_the_day(DayLimitReached(system="Xero", address=HERE, resume_at=resume_at))
    for _ in range(2):
        with pytest.raises(DayLimitReached) as caught:
            spend(budget)
        assert caught.value.resume_at == resume_at
        clock.advance(hours=19)
    clock.advance(hours=2)
    spend(budget)


def test_old_news_of_the_reserve_is_checked_again(budget, clock):
    budget.learn({"X-DayLimit-Remaining": "5"})
    clock.advance(minutes=59)
    with pytest.raises(DayLimitReached):
        spend(budget)
    clock.advance(minutes=2)
    spend(budget)


def test_five_calls_run_at_once_and_never_six(budget):
    five = threading.Barrier(5)
    lock = threading.Lock()
    inside, most = 0, 0

    def call(_):
        nonlocal inside, most
        with budget.call(HERE):
            with lock:
                inside += 1
                most = max(most, inside)
            five.wait(20)  # passes only in groups of five
            with lock:
                inside -= 1
            five.wait(20)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(call, range(20)))
    assert most == 5


def test_a_failed_call_gives_its_place_back(budget):
    for _ in range(20):
        with pytest.raises(RuntimeError), budget.call(HERE):
            raise RuntimeError
    spend(budget)


def test_calls_are_counted_between_two_answers_too(budget):
    budget.learn({"X-DayLimit-Remaining": "103"})
    spend(budget, 3)
    assert budget.day_left == 100
    with pytest.raises(DayLimitReached):
        spend(budget)


@pytest.mark.parametrize(
    ("told", "left"), [("102", 100), ("99", 99), ("105", 100), ("106", 106), ("5000", 5000)]
)
def test_a_higher_count_is_believed_only_when_calls_under_way_cannot_explain_it(budget, told, left):
    budget.learn({"X-DayLimit-Remaining": "103"})
    spend(budget, 3)
    budget.learn({"X-DayLimit-Remaining": told})
    assert budget.day_left == left
