"""A seed is a whole month, always the same one; what it says of faults and crashes is true."""

from __future__ import annotations

import json

import pytest

from torture import sweep
from torture.figures import with_tables
from torture.runner import play_all
from torture.script import Script
from torture.shrink import shrink
from torture.simulate import Month, Tally, simulate
from torture.story import script_of
from torture.tests.conftest import WORK
from torture.world import JOBS, Surprise

RUN = {"do": "run"}
ONCE_BROKEN = (
    30,
    108,
    118,
    1367,
    1706,
    3129,
    5518,
    10965,
    12658,
    32273,
    33712,
    33721,
    33761,
    35637,
    36296,
    42382,
    45548,
    70517,
    73691,
    120571,
    145116,
    148103,
    156667,
    168766,
    169891,
    172863,
    174102,
    179009,
    184782,
    189399,
    198018,
    200754,
    201696,
    204786,
    216408,
    216637,
    227671,
    231826,
    501837,
)
"""Seeds that broke a promise, and led to a mend."""


def told(workshop, script):
    played = Month(workshop, script)
    played.play()
    calls = [
        (call["time"], call["method"], call["path"], call["fault"]) for call in played.world.xero.log.since()
    ]
    return played.story, calls


@pytest.mark.parametrize("seed", [3, 11, 42])
def test_a_seed_tells_the_same_story_again(workshop, seed):
    assert told(workshop, script_of(seed)) == told(workshop, script_of(seed))
    assert told(workshop, Script(**json.loads(json.dumps(script_of(seed).as_data())))) == told(
        workshop, script_of(seed)
    )


def test_seeds_differ_and_cover_everything(workshop):
    steps = [step for seed in range(400) for step in script_of(seed).steps]
    done = {step["do"] for step in steps}
    assert {
        "run",
        "push",
        "backup",
        "restore",
        "lose",
        "rebuild",
        "skew",
        "void_or_delete",
        "exclude",
        "exclude_planned",
        "set",
        "relink",
        "read_early",
        "deliver_late",
        "short_pages",
    } <= done
    rebuilds = [step for step in steps if step["do"] == "rebuild"]
    assert (
        {step["only_prefix"] for step in rebuilds}
        == {step["deliver_first"] for step in rebuilds}
        == {True, False}
    )
    assert any("strikes" in step for step in rebuilds)
    assert any("faults" in step for step in rebuilds)
    acts = {strike["act"] for step in steps for strike in step.get("strikes", ())}
    assert acts == {"kill", "sigterm", "sigint", "disk_full", "locked", "read_only"}


@pytest.mark.parametrize("seed", [*range(1, 13), *ONCE_BROKEN])
def test_a_few_months_keep_every_promise(workshop, seed):
    assert simulate(workshop, script_of(seed)).violations == []


def test_two_ledgers_with_different_histories_do_not_bill_at_the_same_moment(month):
    """A limit in docs/guarantees.md; two machines on one ledger are no such case."""
    push = {"do": "other_push", "lock_lost": False}
    apart = month(RUN, {**RUN, "at": "dev", "meanwhile": [{"call": 2, "step": push}]})
    apart.play()
    assert "another environment has another history: not at the same moment" in apart.story
    assert not [told for told in apart.story if told.startswith("other push")]
    together = month({**RUN, "meanwhile": [{"put": 1, "step": push}]})
    together.play()
    assert [told for told in together.story if told.startswith("other push")]


def test_a_second_environment_does_not_bill_after_the_connection_came_back(month):
    """A limit in docs/guarantees.md; while another organisation is billed, the program itself refuses."""
    elsewhere = {**RUN, "at": "dev"}
    away = month(RUN, {"do": "start_over"}, elsewhere)
    away.play()
    assert any("failed" in told and "organisation" in told for told in away.story)
    back = month(RUN, {"do": "start_over"}, {"do": "start_over"}, elsewhere)
    back.play()
    assert "another environment does not know what another organisation was billed" in back.story


def test_faults_and_crashes_are_counted_where_they_really_happen(month):
    calm = month(RUN)
    calm.play()
    assert (calm.tally.faults, calm.tally.crashes) == (0, 0)
    fault = {"system": "xero", "kind": "reset_after_commit", "match": {"method": "PUT"}, "nth": 1}
    strike = {"program": "target", "border": "commit", "nth": 3, "moment": "after", "act": "kill"}
    wild = month({**RUN, "faults": [fault]}, {**RUN, "strikes": [strike]})
    wild.play()
    assert (wild.tally.faults, wild.tally.crashes) == (1, 1)


@pytest.mark.parametrize("border", ["call", "commit", "line"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_process_does_nothing_more(month, border, moment):
    strike = {"program": "target", "border": border, "nth": 2, "moment": moment, "act": "kill"}
    played = month({**RUN, "strikes": [strike]})
    played.play()
    assert any(line.endswith("killed") for line in played.story)


def test_the_machine_s_clock_can_be_wrong_and_its_owner_is_told(month):
    played = month({"do": "skew", "hours": 48}, RUN, {"do": "skew", "hours": 0}, RUN)
    played.play()
    assert any("clock of this machine" in line for line in played.story)


def test_a_rebuild_that_dies_is_done_again_and_what_it_left_out_is_found(month):
    """The renumbered invoice lost its mark too: left out with --only-prefix, it may not be billed again."""
    strike = {"program": "target", "border": "commit", "nth": 1, "moment": "before", "act": "kill"}
    rebuild = {"do": "rebuild", "only_prefix": True, "deliver_first": True, "strikes": [strike]}
    hidden = [{"do": "renumber", "pick": 0, "value": 1}, {"do": "unmark", "pick": 0, "value": 1}]
    deliver = {**RUN, "deliver_only": True, "full_refresh": True}
    played = month(RUN, *hidden, {"do": "pass", "hours": 26}, rebuild, deliver, RUN)
    played.play()
    [delivered] = [told for told in played.story if told.startswith("deliver")]
    assert "SDP-00002, SDP-00003, INV-9001" in delivered
    assert [told for told in played.story if told.startswith("rebuild")][:2] == [
        "rebuild: killed",
        "rebuild: done",
    ]
    assert any("worklogs: failed" in told and "(INV-9001)" in told for told in played.story)
    assert played.tally.rebuilds == 2


def test_a_connection_moves_there_and_back_and_loses_its_ledger_between(month):
    over, book = {"do": "start_over"}, WORK[0]
    played = month(RUN, over, book, RUN, {"do": "lose", "what": "both"}, over, book, RUN)
    played.play()
    assert [one.app.rows.organisation["Name"] for one in played.world.organisations] == [
        "Kōwhai Managed IT",
        "Rata Holdings",
    ]
    assert [len(one.app.rows.invoices) for one in played.world.organisations] == [2 + 4, 2 + 1]
    assert played.story.count("reinitialise: done") == 3
    assert played.story.count("rebuild: done") == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_starting_over_that_dies_has_happened_or_not(month, moment):
    strikes = [
        {"program": "target", "border": "commit", "nth": number, "moment": moment, "act": "kill"}
        for number in range(1, 6)
    ]
    for strike in strikes:
        played = month(RUN, {"do": "start_over", "strikes": [strike]}, WORK[0], RUN)
        played.play()
        assert played.world.here.generation() == 2
        assert len(played.world.organisations[1].app.rows.invoices) == 2 + 1


def test_an_old_ledger_from_before_a_move_is_refused_and_rebuilt(month):
    over, restore = {"do": "start_over"}, {"do": "restore", "what": "ledger"}
    played = month(RUN, {"do": "backup"}, over, WORK[0], RUN, restore, RUN)
    played.play()
    assert any("run `msp-xero reinitialise`" in told for told in played.story)
    assert len(played.world.organisations[1].app.rows.invoices) == 2 + 1


STOPPED = {"program": "target", "border": "commit", "nth": 10, "moment": "before", "act": "kill"}
DELIVER = {**RUN, "deliver_only": True}


def test_what_a_stopped_push_has_planned_is_corrected_by_a_person(month):
    stopped = {"do": "push", "strikes": [STOPPED]}
    corrected = month(
        *(RUN, WORK[0], DELIVER, stopped, {"do": "exclude_planned", "pick": 0}, WORK[1], DELIVER, stopped),
        {
            "do": "set",
            "of": "target",
            "values": {"invoice_status": "AUTHORISED", "number_prefix": "MSP-"},
        },
        RUN,
        target={"batch_size": 1},
    )
    corrected.play()
    assert "exclude planned: done" in corrected.story
    assert [(one.number[:4], one.status) for one in corrected.people.our_invoices()] == [
        *[("SDP-", "DRAFT")] * 3,
        ("MSP-", "AUTHORISED"),
    ]


def test_a_second_job_delivers_late_what_it_read_early(month):
    edit = {"do": "edit_worklog", "pick": 0, "value": 10}
    late = month({"do": "read_early"}, edit, DELIVER, {"do": "deliver_late"}, RUN)
    late.play()
    assert [told for told in late.story if told.startswith(("read", "deliver"))] == [
        "read early: done",
        "deliver late: done",
    ]


def test_lists_come_in_short_pages_until_the_end_of_the_month(month):
    def calls(*steps) -> tuple[int, int]:
        played = month(*steps)
        played.play()
        return len(played.world.sdp.log), len(played.world.xero.log)

    whole, short = calls(RUN), calls({"do": "short_pages", "rows": 1}, RUN)
    assert short[0] > whole[0] + 5
    assert short[1] > whole[1] + 5


def test_a_lost_ledger_is_rebuilt_by_the_person_who_reads_the_refusal(month):
    played = month(RUN, {"do": "lose", "what": "both"}, RUN)
    played.play()
    assert played.tally.rebuilds == 1
    assert len(played.people.our_invoices()) == 3


def test_two_environments_on_one_connection_bill_once(month):
    played = month(RUN, {"do": "run", "at": "dev"}, {"do": "run", "at": "dev"})
    played.play()
    assert len(played.people.our_invoices()) == 3


def test_the_sweep_has_every_fault_at_every_call_of_all_three_jobs():
    cases = sweep.all_cases()
    assert len(cases) > 1500
    for job in JOBS:
        mine = [case for case in cases if case.job == job]
        faults = [case.step["faults"][0] for case in mine if "faults" in case.step]
        by_kind = {}
        for fault in faults:
            by_kind.setdefault((fault["system"], fault["kind"]), set()).add(fault["nth"])
        assert len({system for system, _ in by_kind}) == 2
        assert all(nths == set(range(1, max(nths) + 1)) for nths in by_kind.values())
        assert {strike["act"] for case in mine for strike in case.step.get("strikes", ())} >= {
            "kill",
            "disk_full",
        }


def test_a_few_cases_of_the_sweep_really_go_wrong_and_keep_every_promise(workshop):
    cases = sweep.all_cases()
    for number in range(0, len(cases), 97):
        tally = simulate(workshop, sweep.case_script(number))
        assert tally.violations == []
        assert tally.faults + tally.crashes + tally.refusals > 0, cases[number]


def test_a_broken_promise_is_shrunk_to_what_breaks_it(workshop, monkeypatch):
    def touchy(month) -> None:
        if "void_or_delete" in month.story:
            raise Surprise("never twice", "as arranged")

    monkeypatch.setattr("torture.simulate.come_to_rest", touchy)
    seed = next(n for n in range(100) if "void_or_delete" in [s["do"] for s in script_of(n).steps])
    small = shrink(workshop, script_of(seed))
    assert [step["do"] for step in small.steps] == ["void_or_delete"]
    with pytest.raises(ValueError, match="breaks no promise"):
        shrink(workshop, Script(1))


def test_many_processes_come_to_the_same_sum(workshop):
    alone = Tally()
    for seed in range(1, 5):
        alone.add(simulate(workshop, script_of(seed)))
    assert play_all(script_of, range(1, 5), jobs=2) == alone


def test_the_tables_are_made_from_the_record():
    sums = dict.fromkeys(
        (
            "seeds",
            "days",
            "runs",
            "quiet_runs",
            "faults",
            "crashes",
            "refusals",
            "calls",
            "worklogs",
            "invoices",
        ),
        1500,
    )
    row = {**sums, "violations": 0, "seconds": 9, "version": "abc"}
    mutant = {"name": "no lock", "caught_by": "never twice", "after": "3 months"}
    record = {"months": [{"first": 1, **row}, {"first": 9, **row}], "sweep": row, "mutants": [mutant]}
    tables = ("<!-- torture months -->", "old", "<!-- end of months -->", "and")
    page = "\n".join((*tables, "<!-- torture mutants -->", "<!-- end of mutants -->", "the rest"))
    made = with_tables(page, record)
    assert "| months from seeds, program abc | 3,000 | 3,000 |" in made
    assert "| no lock | never twice | 3 months |" in made
    assert "old" not in made
    assert with_tables(made, record) == made
