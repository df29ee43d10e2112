"""Prove the promises: simulated months, every single fault and kill point, mutants that must be caught."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from torture import figures, mutants, sweep
from torture.runner import play_all, workshop
from torture.shrink import shrink
from torture.simulate import Month
from torture.story import script_of
from torture.world import Surprise

if TYPE_CHECKING:
    from collections.abc import Callable

    from torture.script import Script
    from torture.simulate import Tally

_SHOWN = 10


def main() -> int:
    """Run one of the commands; return 1 when a promise was broken or a mutant survived."""
    options = _options()
    return int(options.command(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    commands = parser.add_subparsers(required=True)

    months = commands.add_parser("months", help="play simulated months from seeds")
    months.add_argument("--seeds", type=int, default=200, help="how many (default: 200)")
    months.add_argument("--first", type=int, default=1, help="the first seed (default: 1)")
    months.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="processes (default: one a processor)"
    )
    months.add_argument("--seconds", type=float, help="begin no more after this time")
    months.add_argument("--until-broken", action="store_true", help="stop at the first broken promise")
    months.add_argument("--record", action="store_true", help="add the figures to docs/guarantees.md")
    months.set_defaults(command=_months)

    every = commands.add_parser("sweep", help="play every single fault and every kill point of a full run")
    every.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="processes (default: one a processor)"
    )
    every.add_argument("--record", action="store_true", help="put the figures into docs/guarantees.md")
    every.set_defaults(command=_sweep)

    replay = commands.add_parser("replay", help="play one seed and tell its story")
    replay.add_argument("seed", type=int)
    replay.add_argument("--case", action="store_true", help="the number is one of the sweep's cases")
    replay.add_argument(
        "--shrink", action="store_true", help="leave out what is not needed to break the promise"
    )
    replay.set_defaults(command=_replay)

    wrong = commands.add_parser("mutants", help="break the program on purpose, and see what notices")
    wrong.add_argument("names", nargs="*", help="only these")
    wrong.add_argument("--record", action="store_true", help="put the list into docs/guarantees.md")
    wrong.set_defaults(command=lambda options: mutants.run(options.names, record=options.record))
    return parser.parse_args()


def _months(options: argparse.Namespace) -> int:
    last = options.first + options.seeds - 1
    print(f"Playing months of seeds {options.first:,} to {last:,} in {options.jobs} processes", flush=True)
    total, took = _play(script_of, range(options.first, last + 1), options)
    _tell(total, took, "month", "python -m torture replay {}")
    if options.record:
        figures.record_months(total, options.first, took)
    return bool(total.violations)


def _sweep(options: argparse.Namespace) -> int:
    cases = sweep.all_cases()
    print(f"Playing {len(cases):,} cases: every single fault at every call, every kill point", flush=True)
    options.seconds, options.until_broken = None, False
    total, took = _play(sweep.case_script, range(len(cases)), options)
    _tell(total, took, "case", "python -m torture replay --case {}")
    if options.record:
        figures.record_sweep(total, took)
    return bool(total.violations)


def _play(make: Callable[[int], Script], numbers: range, options: argparse.Namespace) -> tuple[Tally, float]:
    started = told = time.monotonic()

    def progress(total: Tally) -> None:
        nonlocal told
        if time.monotonic() - told > 15:
            told = time.monotonic()
            print(f"  {total.seeds:,} of {len(numbers):,}, {len(total.violations)} violations", flush=True)

    total = play_all(
        make,
        numbers,
        jobs=options.jobs,
        seconds=options.seconds,
        until_broken=options.until_broken,
        progress=progress,
    )
    return total, time.monotonic() - started


def _tell(total: Tally, took: float, noun: str, replay: str) -> None:
    print(
        f"{total.seeds:,} {noun}s in {took:,.0f} s: {total.days:,.0f} simulated days, "
        f"{total.runs:,} runs and {total.quiet_runs:,} quiet ones after them, "
        f"{total.faults:,} faults, {total.crashes:,} crashes and stops, {total.refusals:,} runs that failed, "
        f"{total.rebuilds:,} rebuilds, {total.calls:,} calls, "
        f"{total.worklogs:,} worklogs, {total.invoices:,} invoices"
    )
    print(f"violations: {len(total.violations)}")
    for number, _, what in sorted(total.violations)[:_SHOWN]:
        print(f"  {what}\n    {replay.format(number)}")
    if broken := total.first_broken():
        print(f"after {total.seeds} {noun}s: {broken[2]}")
    if len(total.violations) > _SHOWN:
        print(f"  and {len(total.violations) - _SHOWN} more")


def _replay(options: argparse.Namespace) -> int:
    script: Script = (sweep.case_script if options.case else script_of)(options.seed)
    with workshop() as made:
        if options.shrink:
            script = shrink(made, script)
        print(json.dumps(script.as_data(), indent=1))
        month = Month(made, script)
        try:
            month.play()
            verdict = "every promise was kept"
        except Surprise as broken:
            verdict = f"broken: {broken}"
    for line in month.story:
        print(line)
    print(verdict)
    return verdict.startswith("broken")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets would otherwise differ from process to process, and no seed could be replayed.
        os.execve(  # noqa: S606 - it starts itself
            sys.executable,
            [sys.executable, "-m", "torture", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
