"""A bookmark that is ahead of the ledger stops the run before billing; what came stays stored."""

from __future__ import annotations

import shutil

import pytest
from msp_xero.ledger import Ledger
from msp_xero.singer import target as checkpointing
from target_xero_invoices.target import TargetXeroInvoices


def day(number):
    return f"2026-11-{number:02}T09:00:00.000Z"


def state(number=None):
    bookmark = {"context": {"module": "requests"}}
    if number:
        bookmark |= {"replication_key": "parent_updated_time", "replication_key_value": day(number)}
    return {"type": "STATE", "value": {"bookmarks": {"worklogs": {"partitions": [bookmark]}}}}


def trailer(lines, since):
    return {
        "run_id": "r1",
        "worklogs": {"request": len(lines)},
        "minutes": {"request": 45 * len(lines)},
        "since": {"requests": {"requests": day(since) if since else None}},
    }


@pytest.fixture
def extract(world, messages):
    """One run of the tap's messages, from a bookmark to another."""

    def extract(lines, since, until, *, complete=True, total=None, **config):
        total = total or trailer(lines, since)
        end = [messages.schema("extraction"), messages.record(total, "extraction"), state(until)]
        return world.run(
            state(since),
            messages.schema(),
            *(messages.record(line) for line in lines),
            state(until),
            *(end if complete else ()),
            **({"require_trailer": True} | config),
        )

    return extract


@pytest.fixture
def remembered(world):
    def remembered():
        with Ledger.open(world.url) as ledger, ledger.read() as session:
            return ledger.connection(session).bookmarks

    return remembered


def backup(world):
    shutil.copy(f"{world.folder}/ledger.db", f"{world.folder}/backup.db")


def restore(world):
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (world.folder / name).unlink(missing_ok=True)
    shutil.copy(f"{world.folder}/backup.db", f"{world.folder}/ledger.db")


def numbers(done):
    return [each["bookmarks"]["worklogs"]["partitions"][0]["replication_key_value"] for each in done.states]


def test_an_older_copy_is_noticed_and_a_full_refresh_bills_all_of_it_once(world, extract, remembered):
    lines = [world.line(n) for n in range(9)]
    assert extract(lines[:3], None, 3).code == 0
    backup(world)
    assert extract(lines[3:6], 3, 6, push=False).code == 0
    restore(world)
    for since in (6, 7):
        done = extract(lines[6:], since, since + 1)
        assert (done.code, len(world.invoices())) == (1, 3)
        [error] = [line for line in done.errors.splitlines() if "error:" in line]
        assert error.startswith(
            "target-xero-invoices: error: the bookmark is ahead of this ledger: the run went on from "
            f"2026-11-0{since} 09:00:00 UTC (requests), and this ledger has only up to 2026-11-03 09:00:00"
        )
        assert "meltano run --full-refresh worklogs" in error
        assert numbers(done) == [day(since + 1)]
        assert {world.states()[line["worklog_id"]] for line in lines[6:]} == {("open", None)}
        assert remembered() == {"requests": {"requests": day(3)}}
        assert world.runs()[-1].outcome == "failed"
    assert extract(lines, None, 8).code == 0
    assert len(world.states()) == 9
    assert {place for place, _ in world.states().values()} == {"invoiced"}
    assert sum(len(invoice["LineItems"]) for invoice in world.invoices()) == 9
    assert extract([], 8, 9).code == 0


def test_an_extraction_that_breaks_off_behind_a_gap_hides_it_no_more_than_a_complete_one(
    world, extract, remembered
):
    extract([world.line(0)], None, 3)
    assert "never arrived" in extract([world.line(1)], 5, 6, complete=False).errors
    assert remembered() == {"requests": {"requests": day(3)}}
    assert "the bookmark is ahead" in extract([world.line(2)], 6, 7).errors


def test_an_extraction_that_breaks_off_without_a_gap_is_gone_on_with(world, extract, remembered):
    extract([world.line(0)], None, 3)
    assert "never arrived" in extract([world.line(1)], 3, 6, complete=False).errors
    assert remembered() == {"requests": {"requests": day(6)}}
    assert extract([world.line(2)], 6, 7).code == 0
    assert {place for place, _ in world.states().values()} == {"invoiced"}


def test_an_empty_ledger_with_a_bookmark_is_refused_until_a_full_refresh(world, extract):
    for since in (5, 6):
        done = extract([world.line(since)], since, since + 1)
        assert done.code == 1
        assert "and this ledger has nothing of that time" in done.errors
    assert world.invoices() == []
    assert extract([world.line(n) for n in range(9)], None, 9).code == 0
    assert {place for place, _ in world.states().values()} == {"invoiced"}


def test_a_ledger_from_before_the_memory_raises_no_alarm(world, extract, remembered):
    extract([world.line(0)], None, 3)
    with Ledger.open(world.url) as ledger, ledger.write() as session:
        ledger.connection(session).bookmarks = None
    assert extract([world.line(1)], 5, 6).code == 0
    assert remembered() == {"requests": {"requests": day(6)}}


@pytest.mark.parametrize("total", [{"since": None}, {}])
def test_a_tap_that_does_not_tell_where_it_began_is_not_judged(world, extract, total):
    extract([world.line(0)], None, 3)
    told = trailer([world.line(1)], None)
    del told["since"]
    assert extract([world.line(1)], 5, 6, total=told | total).code == 0


def test_without_the_setting_nothing_is_judged_and_the_gap_is_not_forgotten(world, extract):
    extract([world.line(0)], None, 3)
    assert extract([world.line(1)], 5, 6, require_trailer=False).code == 0
    assert "the bookmark is ahead" in extract([world.line(2)], 6, 7).errors


@pytest.mark.parametrize(
    "since", [7, "soon", [day(1)], {"requests": day(1)}, {"requests": {"requests": "soon"}}]
)
def test_a_control_total_with_a_wrong_beginning_bills_nothing(world, extract, since):
    lines = [world.line(0)]
    done = extract(lines, None, 3, total=trailer(lines, None) | {"since": since})
    assert (done.code, numbers(done), world.writes()) == (1, [day(3)], 0)
    assert "the control total of the extraction has no usable since" in done.errors


def test_a_disabled_job_remembers_nothing(world, extract, remembered):
    assert extract([world.line(0)], None, 3, worklogs_enabled=False).code == 0
    assert remembered() is None


def test_what_is_passed_on_is_remembered_before_and_stored_before_that(
    world, extract, remembered, monkeypatch
):
    monkeypatch.setattr(checkpointing, "CHECKPOINT_ROWS", 0)
    seen = []
    encode = checkpointing._encode_state

    def watch(value):
        told = value["bookmarks"]["worklogs"]["partitions"][0].get("replication_key_value")
        seen.append((told, (remembered() or {}).get("requests", {}).get("requests"), len(world.worklogs())))
        return encode(value)

    monkeypatch.setattr(checkpointing, "_encode_state", watch)
    assert extract([world.line(n) for n in range(3)], None, 3).code == 0
    assert seen[0] == (None, None, 0)
    assert {each for each in seen if each[0]} == {(day(3), day(3), 3)}


def test_when_it_cannot_be_remembered_it_is_not_passed_on(world, extract, monkeypatch):
    monkeypatch.setattr(TargetXeroInvoices, "before_state_passes", lambda *_: 1 / 0)
    done = extract([world.line(0)], None, 3)
    assert (done.code, done.states, len(world.worklogs())) == (1, [], 1)
