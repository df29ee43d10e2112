"""Playing a script: steps, then repairs and quiet runs, with the promises checked after each."""

from __future__ import annotations

import contextlib
import functools
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from torture import commands
from torture.borders import (
    AFTER,
    BEFORE,
    Strike,
    disk_full,
    locked,
    read_only,
    seldom_stored,
    short_pages,
    within,
)
from torture.invariants import Books, check_always
from torture.parts import Plans
from torture.people import People
from torture.rest import come_to_rest
from torture.world import JOBS, Surprise, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from torture.parts import Ended, Environment
    from torture.script import Script, Step
    from torture.world import Workshop

UNEXPECTED: Final = "unexpected"
"""What is said of a program that ended with an error that is none of its own."""
_SIGNALS: Final = {"sigterm": 15, "sigint": 2}


@dataclass(slots=True)
class Tally:
    """What one simulation went through; ``quiet_runs`` are those after the last trouble."""

    seeds: int = 0
    runs: int = 0
    quiet_runs: int = 0
    faults: int = 0
    crashes: int = 0
    refusals: int = 0
    rebuilds: int = 0
    calls: int = 0
    worklogs: int = 0
    invoices: int = 0
    days: float = 0.0
    violations: list[tuple[int, str, str]] = field(default_factory=list)

    def first_broken(self) -> tuple[int, str, str] | None:
        """Return the first broken promise; that the program ended in an unexpected way is none."""
        return next((broken for broken in self.violations if broken[1] != UNEXPECTED), None)

    def add(self, other: Tally) -> None:
        """Add what another simulation went through."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def simulate(workshop: Workshop, script: Script) -> Tally:
    """Play one script to its end.

    Returns:
        What it went through; ``violations`` has at most one entry: the first broken promise.
    """
    month = Month(workshop, script)
    try:
        month.play()
    except Surprise as broken:
        month.tally.violations.append((script.seed, broken.what, str(broken)))
    except Exception as error:  # noqa: BLE001 - whatever the program lets out is a finding
        month.tally.violations.append((script.seed, UNEXPECTED, f"{type(error).__name__}: {error}"))
    month.close()
    return month.tally


class Month:
    """One world and what happens to it."""

    def __init__(self, workshop: Workshop, script: Script) -> None:
        random.seed(script.seed)  # pauses between attempts are drawn at random
        workshop.ears.heard.clear()
        self.script = script
        self.world = World(workshop, script.settings, ledger=workshop.linked_ledger)
        for name, value in script.switches.items():
            self.world.xero_app.set_switch(name, value)
        self.people = People(self.world)
        self.books = Books(self.world)
        self.tally = Tally(seeds=1)
        self.story: list[str] = []
        self.counted: dict[str, dict[str, int]] = {}
        self._running, self._next_number = self.world.here, 1
        ran = {step.get("job", "worklogs") for step in script.steps if step["do"] == "run"}
        self._to_the_end = contextlib.ExitStack()
        self._acts: dict[str, Callable[[Step], None]] = {
            "pass": lambda step: self.let_pass(step["hours"]),
            "skew": self._skew,
            "backup": self._backup,
            "restore": self._restore,
            "lose": self._lose,
            "rebuild": self.rebuild,
            "start_over": self._start_over,
            "run": self._run,
            "push": self._run,
            "other_push": self._other_push,
            "exclude_planned": self._exclude_planned,
            "read_early": self._read_early,
            "deliver_late": self._deliver_late,
            "set": self._set,
            "short_pages": self._shorten_pages,
        }
        self.jobs = [job for job in JOBS if job in ran | {"worklogs"}]

    def play(self) -> None:
        """Play all steps, then let everything come to rest and check that it is right."""
        with within(self.world.borders), self._to_the_end:
            for step in self.script.steps:
                self._do(step)
            with seldom_stored():
                come_to_rest(self)

    def close(self) -> None:
        """Take over the counts of the world."""
        world = self.world
        self.tally.calls = sum(len(one.log) for one in (*world.organisations, world.sdp))
        self.tally.worklogs = len(world.sdp_app.store["worklogs"].rows)
        self.tally.invoices = len(self.people.ours_everywhere())
        self.tally.days = (world.clock.now() - world.started).total_seconds() / 86_400

    # ------------------------------------------------------------------ steps

    def _do(self, step: Step) -> None:
        if act := self._acts.get(step["do"]):
            act(step)
            return
        self.books.check()
        self.people.do(step)
        self.books.look()
        self.story.append(step["do"])

    def _skew(self, step: Step) -> None:
        self.world.time.skew = timedelta(hours=step["hours"])

    def _shorten_pages(self, step: Step) -> None:
        if "day_limit" in self.script.switches:
            return  # a day's few calls are not enough for a rebuild that reads two rows with each
        self._to_the_end.enter_context(short_pages(step["rows"]))

    def let_pass(self, hours: float) -> None:
        """Let time pass; what the systems commit late is committed in its own moment."""
        clock, systems = self.world.clock, (*self.world.organisations, self.world.sdp)
        until = clock.now() + timedelta(hours=hours)
        while due := min(
            (at for one in systems if (at := one.adapter.next_due()) and at <= until), default=None
        ):
            clock.advance(max(0.0, (due - clock.now()).total_seconds()))
            for one in systems:
                one.adapter.commit_late_calls()
        clock.advance((until - clock.now()).total_seconds())

    def _run(self, step: Step) -> None:
        at = self.world.environment(step.get("at", "prod"))
        if (self._is_under_way() and self._has_another_history(at)) or self._does_not_know_of_a_move(at):
            return
        if self.world.borders.is_busy:
            self.world.is_crowded = True
        else:
            self._running, self._next_number = at, at.next_number()
            self.let_pass(2 / 60)  # nobody starts two runs in one minute
        self.world.is_disturbed |= at is not self.world.here
        plans = self._plans(step)
        if step["do"] == "push":
            self.has_ended("push", commands.push(self.world, at, plans.target))
            return
        job = step.get("job", "worklogs")
        before = {"xero": len(self.world.xero.log), "sdp": len(self.world.sdp.log)}
        options = {name: step.get(name, False) for name in ("full_refresh", "deliver_only")}
        ended = self.world.run_job(at, job, plans, **options)
        after = {"xero": len(self.world.xero.log), "sdp": len(self.world.sdp.log)}
        self.counted[job] = self.world.crossed | {system: after[system] - before[system] for system in after}
        self.has_ended(job, ended)

    def _is_under_way(self) -> bool:
        """Tell whether a program runs just now, or Xero has yet to carry out what one sent."""
        return self.world.borders.is_busy or self.world.xero.adapter.next_due() is not None

    def _has_another_history(self, at: Environment) -> bool:
        """Tell whether another ledger than this one ran last or runs just now, with numbers that differ.

        That is a limit in docs/guarantees.md: two ledgers at the same moment, with different histories.
        """
        if at is self._running or at.next_number() == self._next_number:
            return False
        self.story.append("another environment has another history: not at the same moment")
        return True

    def _does_not_know_of_a_move(self, at: Environment) -> bool:
        """Tell whether another organisation was billed between, of which only another ledger knows.

        That is a limit in docs/guarantees.md: nothing in the present organisation tells it.
        """
        history = self.world.billed_one_after_the_other
        if at is self.world.here or history[-1] not in history[:-1]:
            return False
        self.story.append("another environment does not know what another organisation was billed")
        return True

    def has_ended(self, what: str, ended: Ended) -> None:
        """Count how a program ended, and check what has to be true at any moment."""
        self.tally.quiet_runs += what.startswith("quiet")
        self.tally.runs += not what.startswith("quiet")
        self.tally.crashes += ended.how in {"killed", "stopped"}
        self.tally.refusals += ended.how == "failed"
        if not self.world.borders.is_busy:
            for system in (self.world.xero, self.world.sdp):
                self.tally.faults += sum(fault["applied"] for fault in system.faulty.shown_faults())
                system.faulty.clear_faults()
        self.story.append(f"{what}: {ended.how}{f', {ended.error}' if ended.error else ''}")
        self.books.check()
        check_always(self.world, self.people)

    def _plans(self, step: Step) -> Plans:
        """Return what strikes the programs of a step, and let both systems fail as it says."""
        plans = Plans()
        for fault in step.get("faults", ()):
            system = self.world.xero if fault["system"] == "xero" else self.world.sdp
            entry = {name: value for name, value in fault.items() if name != "system"}
            system.faulty.add_faults([{"match": {}, **entry}])
        for strike in step.get("strikes", ()):
            plan = plans.tap if strike["program"] == "tap" else plans.target
            act = self._act(strike["act"])
            plan.append(Strike(strike["border"], strike["nth"], strike["moment"], act))
        for event in step.get("meanwhile", ()):
            happens = functools.partial(self._do, event["step"])
            border = next(name for name in ("put", "commit", "call") if name in event)
            moment = BEFORE if border == "call" else AFTER
            plans.target.append(Strike(border, event[border], moment, happens))
        return plans

    def _act(self, name: str) -> Callable[[], None]:
        def kill() -> None:
            self.world.borders.process.kill()

        def signal() -> None:
            self.world.borders.process.signal(_SIGNALS[name])

        failures = {"disk_full": disk_full, "locked": locked, "read_only": read_only}
        return failures.get(name) or (kill if name == "kill" else signal)

    def _other_push(self, step: Step) -> None:
        """Another machine pushes on the same ledger; with the lock lost it does not even wait."""
        if self._has_another_history(self.world.here):
            return
        self.world.is_crowded = True
        if step["lock_lost"]:
            for lock in self.world.here.folder.glob("*.lock"):
                if "settle" in lock.name:
                    lock.unlink()
        ended = commands.push(self.world, self.world.here, machine="-other")
        self.story.append(f"other push: {ended.how} {ended.error or ''}")

    # ------------------------------------------------------------------ corrections

    def _exclude_planned(self, step: Step) -> None:
        """A person takes a worklog out that is planned, as `msp-xero worklogs exclude` does."""
        row = self.people.a_planned_row(step)
        if row is None:
            return
        self.let_pass(2 / 60)
        plans = self._plans(step)
        self.has_ended("exclude planned", commands.exclude(self.world, self.world.here, row, plans.target))

    def _set(self, step: Step) -> None:
        self.world.configure(step["of"], step["values"])
        self.story.append(f"set {step['values']}")

    def _read_early(self, _step: Step) -> None:
        """Another job of the same ledger reads ServiceDesk Plus; its target is slow."""
        ended = self.world.read_beside(self.world.here)
        self.has_ended("read early", ended)

    def _deliver_late(self, step: Step) -> None:
        """What another job has read comes to the ledger only now; it plans and sends nothing."""
        self.let_pass(2 / 60)
        plans = self._plans(step)
        self.has_ended("deliver late", self.world.deliver_beside(self.world.here, plans.target))

    # ------------------------------------------------------------------ back in time

    def _backup(self, _step: Step) -> None:
        backup = self.world.here.folder / "backup.db"
        self.world.here.copy_ledger(backup)
        self.world.here.backup = (backup, dict(self.world.here.bookmarks))
        self.story.append("backup")

    def _restore(self, step: Step) -> None:
        what = step["what"]
        if self.world.here.backup is None:
            return
        self.world.is_disturbed = True
        backup, bookmarks = self.world.here.backup
        was = self.world.here.generation()
        if what != "bookmark":
            self.world.here.put_ledger(backup)
        if what != "ledger":
            self.world.here.bookmarks = dict(bookmarks)
        self.story.append(f"restore {what}")
        history, now = self.world.billed_one_after_the_other, self.world.here.generation()
        if now < was and history[now - was - 1] == history[-1]:
            # The copy knows the organisation and not that another one was billed between: nothing can tell.
            self.rebuild({})

    def _lose(self, step: Step) -> None:
        what = step["what"]
        self.world.is_disturbed = True
        if what != "ledger":
            self.world.here.bookmarks = {}
        self.story.append(f"lose {what}")
        if what != "bookmark":
            self.world.here.put_ledger(self.world.workshop.linked_ledger)
            if len(self.world.billed_one_after_the_other) > 1:
                # The present organisation does not know what others were billed.
                self.rebuild({})

    def rebuild(self, step: Step) -> None:
        """Start with an empty ledger and fill it from Xero: what a person does who has lost the right one.

        A rebuild that fails is done again; it has changed nothing. Of several organisations that were billed
        each is rebuilt, one after the other, as docs/another-organisation.md says.
        """
        here, world = self.world.here, self.world
        world.is_disturbed = True
        self.let_pass(2 / 60)  # it takes a person some minutes
        here.put_ledger(world.workshop.linked_ledger)
        first, *later = world.billed_one_after_the_other
        world.lead_to(first, self.script.switches)
        if step.get("deliver_first") and not later:
            self.has_ended("deliver", world.run_job(here, "worklogs", full_refresh=True, deliver_only=True))
        self._rebuild_from_here(step if not later else {})
        rebuilt = {first}
        for number in later:
            world.lead_to(number, self.script.switches)
            self.has_ended("reinitialise", commands.reinitialise(self.world, here))
            self._link_anew()
            if number not in rebuilt:
                self._rebuild_from_here({**step, "only_prefix": False})
            rebuilt.add(number)
        self.tally.rebuilds += 1

    def _rebuild_from_here(self, step: Step) -> None:
        here, only_prefix = self.world.here, step.get("only_prefix", False)
        plans = self._plans(step)
        self.has_ended(
            "rebuild", ended := commands.rebuild(self.world, here, plans.target, only_prefix=only_prefix)
        )
        if ended.how != "done":
            self.let_pass(2 / 60)
            self.has_ended("rebuild", commands.rebuild(self.world, here, only_prefix=only_prefix))

    # ------------------------------------------------------------------ another organisation

    def _start_over(self, step: Step) -> None:
        """The connection bills another organisation from now on; where the ledger refuses that, it stays."""
        world, here, history = self.world, self.world.here, self.world.billed_one_after_the_other
        was, generation, looks = history[-1], here.generation(), here.looks()
        self.let_pass(2 / 60)  # a person takes time between two commands
        self.has_ended("compare", commands.reconcile(self.world, here))
        if here.looks() == looks:
            self.story.append("nobody could look: it stays")
            return
        self.let_pass(2 / 60)
        world.lead_to(1 - was, self.script.switches)
        plans = self._plans(step)
        self.has_ended("reinitialise", ended := commands.reinitialise(self.world, here, plans.target))
        if ended.how != "done":
            self.has_ended("reinitialise", commands.reinitialise(self.world, here))
        if here.generation() == generation:
            world.lead_to(was, self.script.switches)
        else:
            history.append(1 - was)
            self.jobs = list(JOBS)  # what could not be linked at once is linked by a later run
            self._link_anew()

    def _link_anew(self) -> None:
        for job in ("accounts", "worklog-types"):
            self.let_pass(2 / 60)
            self.has_ended(job, self.world.run_job(self.world.here, job, full_refresh=True))
