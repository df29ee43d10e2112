"""The control total: an extraction that broke off makes no half invoices."""

from __future__ import annotations

import pytest


def trailer(worklogs=None, minutes=None, **more):
    return {
        "run_id": "r1",
        "started_at": "2026-11-22T08:00:00Z",
        "finished_at": "2026-11-22T09:00:00Z",
        "worklogs": worklogs,
        "minutes": minutes,
    } | more


def run(world, messages, lines, *trailers, **config):
    return world.run(
        messages.schema(),
        *(messages.record(line) for line in lines),
        *([messages.schema("extraction")] if trailers else []),
        *(messages.record(each, "extraction") for each in trailers),
        messages.state(1),
        **({"require_trailer": True} | config),
    )


def three(world):
    return [world.line(0), world.line(1), world.line(2, module="problem")]


AGREES = {"worklogs": {"request": 2, "problem": 1}, "minutes": {"request": 90, "problem": 45}}


def test_a_complete_extraction_whose_total_agrees_is_billed(world, messages):
    done = run(world, messages, three(world), trailer(**AGREES))
    assert (done.code, len(world.invoices())) == (0, 3)
    assert world.runs()[-1].extraction["run_id"] == "r1"


def test_modules_without_worklogs_do_not_matter(world, messages):
    worklogs = AGREES["worklogs"] | {"task": 0}
    assert run(world, messages, three(world), trailer(worklogs, AGREES["minutes"])).code == 0


@pytest.mark.parametrize(
    ("trailers", "words"),
    [
        ([], "its control total never arrived"),
        ([trailer({"request": 3, "problem": 1}, AGREES["minutes"])], "does not agree: the tap sent worklogs"),
        ([trailer({"request": 3}, AGREES["minutes"])], "does not agree: the tap sent worklogs"),
        (
            [trailer(AGREES["worklogs"], {"request": 90, "problem": 46})],
            "does not agree: the tap sent minutes",
        ),
        ([trailer({}, {})], "does not agree: the tap sent worklogs none"),
        ([trailer()], "does not agree"),
        ([trailer(["request"], {})], "no usable worklogs"),
        ([trailer({"request": "2", "problem": 1}, AGREES["minutes"])], "no usable worklogs"),
        ([trailer(AGREES["worklogs"], 135)], "no usable minutes"),
    ],
)
def test_without_a_total_that_agrees_everything_is_stored_and_nothing_billed(
    world, messages, trailers, words
):
    done = run(world, messages, three(world), *trailers)
    assert (done.code, done.states, world.writes()) == (1, [{"up_to": 1}], 0)
    assert words in done.errors
    assert "unexpected" not in done.errors
    assert {state for state, _ in world.states().values()} == {"open"}
    assert world.runs()[-1].outcome == "failed"
    # The next complete run bills it all.
    assert run(world, messages, [], trailer({}, {})).code == 0
    assert {state for state, _ in world.states().values()} == {"invoiced"}


def test_lines_that_the_mapper_took_from_the_ledger_are_not_counted(world, messages):
    world.bill(*(world.line(n) for n in range(7, 9)), push=False)
    again = [world.line(n, origin="ledger") for n in range(7, 9)]
    done = run(world, messages, [*again, *three(world)], trailer(**AGREES))
    assert (done.code, len(world.worklogs())) == (0, 5)
    assert "judged 2 waiting ones anew" in done.log


def bookmark(day):
    place = {"context": {"module": "requests"}, "replication_key_value": f"2026-11-{day}T00:00:00.000Z"}
    return {"type": "STATE", "value": {"bookmarks": {"worklogs": {"partitions": [place]}}}}


def test_what_was_lost_on_its_way_stops_the_next_run_too_until_one_begins_anew(world, messages):
    def night(before, after, lines, sent):
        since = before and before["value"]["bookmarks"]["worklogs"]["partitions"][0]["replication_key_value"]
        told = trailer({"request": sent}, {"request": 45 * sent}, since={"requests": {"requests": since}})
        return world.run(
            before or {"type": "STATE", "value": {"bookmarks": {}}},
            messages.schema(),
            *map(messages.record, lines),
            after,
            messages.schema("extraction"),
            messages.record(told, "extraction"),
            after,
            require_trailer=True,
        )

    one, two, three = (bookmark(day) for day in (20, 21, 22))
    first = night(None, one, [world.line(0), world.line(1)], sent=3)
    assert (first.code, first.states[-1], world.writes()) == (1, one["value"], 0)
    assert "records were lost on their way. Run again with --full-refresh" in first.errors
    second = night(one, two, [world.line(5)], sent=1)
    assert (second.code, world.writes()) == (1, 0)
    assert "a run before lost records on their way" in second.errors
    anew = night(None, three, [world.line(n) for n in (0, 1, 2, 5)], sent=4)
    assert anew.code == 0, anew.errors
    assert {state for state, _ in world.states().values()} == {"invoiced"}


@pytest.mark.parametrize(
    ("delivered", "cleaned", "counted"),
    [(1_200_000, 0, 1_200_000), (1_200_000, 1_200_000, 1_200_000), (-5, 0, -5), (None, 0, 0)],
)
def test_minutes_that_cannot_be_billed_hold_their_worklog_and_stop_no_other(
    world, messages, delivered, cleaned, counted
):
    """The tap counts what it reads; the mapper puts 0 in the place of what breaks the contract."""
    source = {"worklog_id": "1003", "module": "request", "minutes": delivered}
    held = {"decision": "hold", "reason_code": "INVALID_RECORD", "reason": "minutes"}
    bad = world.line(3, minutes=cleaned, source=source, **(held if cleaned == 0 else {}))
    done = run(
        world,
        messages,
        [*three(world), bad],
        trailer({"request": 3, "problem": 1}, {"request": 90 + counted, "problem": 45}),
    )
    assert done.code == 0, done.errors
    assert world.states() == {
        **dict.fromkeys(["1000", "1001", "1002"], ("invoiced", None)),
        "1003": ("held", "INVALID_RECORD"),
    }


def test_minutes_of_a_line_without_a_worklog_record_are_counted(world, messages):
    lines = [world.line(n, minutes=30, source={}) for n in range(2)]
    assert run(world, messages, lines, trailer({"request": 2}, {"request": 60})).code == 0


def test_without_the_setting_no_total_is_needed_and_a_wrong_one_does_not_matter(world, messages):
    assert run(world, messages, three(world), trailer({}, {}), require_trailer=False).code == 0
    assert len(world.invoices()) == 3
