"""Writing a month from a seed: who works, who meddles, what fails, and when it is billed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from torture.script import SDP_FAULTS, XERO_FAULTS, Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from torture.script import Step

WEEKS: Final = 4
_MINUTES: Final = (5, 7, 10, 15, 20, 25, 45, 50, 60, 90, 125)


@dataclass(frozen=True, slots=True)
class Mood:
    """What a month is more about than others: chances in percent.

    Moments that need each other are too rare when each comes alone; a third of all months has a mood.
    """

    meanwhile: float = 25
    """Something happens in the middle of a run."""
    other_push: float = 35
    """If so: somebody else pushes, on another machine."""
    lock_lost: float = 50
    """If so: without waiting for the lock."""
    elsewhere: float = 4
    """A run is of another environment, with a ledger of its own."""
    elsewhere_meanwhile: float = 15
    """If something happens in the middle of a run: a run of another environment."""
    backup: float = 12
    restore: float = 15
    lose: float = 4
    skew: float = 4


_CROWDED: Final = Mood(meanwhile=80, other_push=75, lock_lost=80)
_TWO_OFFICES: Final = Mood(elsewhere=30, meanwhile=60, other_push=5, elsewhere_meanwhile=70)
_BACK_IN_TIME: Final = Mood(backup=70, restore=60, lose=8, meanwhile=15)
_WRONG_CLOCK: Final = Mood(skew=40)
_MOODS: Final = (_CROWDED, _TWO_OFFICES, _BACK_IN_TIME, _WRONG_CLOCK)


class Author:
    """Writes one month."""

    about = "msp-xero"
    """Each kind of author has dice of its own: what one comes to write changes no story of another."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(f"{self.about}/{seed}")
        self.mood = self.dice.choice(_MOODS) if self.chance(33) else Mood()

    def chance(self, percent: float) -> bool:
        """Tell whether something happens that does so in that many of a hundred cases."""
        return self.dice.random() * 100 < percent

    def pick(self) -> int:
        """Return a number that chooses one of some rows that are not known yet."""
        return self.dice.randrange(1000)

    def write(self) -> Script:
        """Return the month, without what follows it."""
        script = Script(self.seed, self._settings(), self._switches())
        if "max_calls_per_minute" in script.settings["target"]:
            script.switches["minute_limit"] = "8"
        billed = self.dice.sample(range(WEEKS), self.dice.choice((1, 2, 2, 2, 3, 4)))
        for week in range(WEEKS):
            script.steps += [self._work() for _ in range(self.dice.randint(1, 4))]
            script.steps += [self._life() for _ in range(self.dice.choice((0, 0, 1, 2)))]
            script.steps.append({"do": "pass", "hours": self.dice.choice((24, 96, 164))})
            if week in billed:
                script.steps += self._billing(week)
        if self.chance(12):
            script.steps += self._billed_again()
        if not any(step["do"] == "backup" for step in script.steps):
            script.steps = [step for step in script.steps if step["do"] != "restore"]
        return script

    def _billed_again(self) -> list[Step]:
        """An invoice is voided, its worklogs are released and billed again; or it is paid."""
        pick = self.pick()
        gone: list[Step] = [
            {"do": "void_or_delete", "pick": pick, "value": 0},
            {"do": "pass", "hours": 30},
            {"do": "run"},
        ]
        paid: list[Step] = [
            {"do": "approve", "pick": pick, "value": 0},
            {"do": "pay", "pick": pick, "value": 0},
        ]
        return [
            {"do": "run"},
            *self.dice.choice((paid, [*gone, {"do": "release", "pick": pick}])),
            self._run(),
        ]

    def _settings(self) -> dict[str, Any]:
        target: Step = {}
        if self.chance(15):
            target["max_calls_per_minute"] = 8
        if self.chance(50):
            target["batch_size"] = self.dice.choice((1, 2))
        if self.chance(20):
            target["max_lines_per_invoice"] = 2
        if self.chance(20):
            target["concurrency"] = 3
        if self.chance(15):
            target["invoice_status"] = "AUTHORISED"
        if self.chance(15):
            target["line_amount_types"] = self.dice.choice(("Inclusive", "NoTax"))
        mapper: Step = {"rate_source": "worklog_charge"} if self.chance(15) else {}
        return {"target": target, "mapper": mapper}

    def _switches(self) -> dict[str, str]:
        """Choose behaviours of Xero that its documentation leaves open."""
        choices = (
            ("key_scope", 20, "token"),
            ("key_caches_rejections", 20, "off"),
            ("key_conflict_shape", 20, "elements"),
            ("not_modified", 30, "304"),
            ("lists_lag_seconds", 15, "4"),
            ("line_errors_at", 30, "line"),
            ("elements_echo", 20, "all"),
            ("rate_window", 30, "rolling"),
            ("day_limit", 10, "125"),
        )
        return {name: value for name, percent, value in choices if self.chance(percent)}

    # ------------------------------------------------------------------ people

    def _work(self) -> Step:
        """A technician books time."""
        return {
            "do": "book",
            "account": self.dice.choice((0, 0, 1, 1, 2, 3)),
            "kind": self.dice.choice((0, 0, 0, 1, 1, 2, 3, None)),
            "minutes": self.dice.choice(_MINUTES),
            "on": self.dice.choice(("request", "request", "request", "new", "task", "general")),
            "billable": not self.chance(10),
        }

    def _life(self) -> Step:
        """Somebody changes something in one of the two systems, or decides at the console."""
        does: Callable[[], Step] = self.dice.choice(
            (self._at_the_desk, self._at_the_books, self._at_the_console)
        )
        return does()

    def _at_the_desk(self) -> Step:
        action = self.dice.choice(
            ("edit_worklog", "edit_worklog", "delete_worklog", "move_worklog", "move_ticket", "close_ticket")
        )
        return {"do": action, "pick": self.pick(), "value": self.pick()}

    def _at_the_books(self) -> Step:
        action = self.dice.choice(
            (
                "edit_lines", "unmark", "renumber", "void_or_delete", "void_or_delete", "approve", "pay",
                "copy", "take_number", "archive_contact", "merge_contact", "rename_item", "delete_item",
                "price_item", "unsell_item", "lock_period", "archive_account", "delete_tax_rate",
            )
        )  # fmt: skip
        return {"do": action, "pick": self.pick(), "value": self.pick()}

    def _at_an_invoice(self) -> Step:
        action = self.dice.choice(
            ("renumber", "renumber", "unmark", "edit_lines", "void_or_delete", "copy", "take_number")
        )
        return {"do": action, "pick": self.pick(), "value": self.pick()}

    def _at_the_console(self) -> Step:
        return {"do": self.dice.choice(("exclude", "exclude", "include", "release")), "pick": self.pick()}

    # ------------------------------------------------------------------ runs

    def _billing(self, week: int) -> list[Step]:
        steps: list[Step] = []
        if self.chance(self.mood.backup):
            steps.append({"do": "backup"})
        if week and self.chance(self.mood.restore):
            steps.append({"do": "restore", "what": self.dice.choice(("ledger", "bookmark", "both"))})
        if week and self.chance(self.mood.lose):
            steps.append({"do": "lose", "what": self.dice.choice(("bookmark", "ledger", "both"))})
        if self.chance(self.mood.skew):
            steps.append({"do": "skew", "hours": self.dice.choice((-48, -1, -0.1, 0.1, 1, 48))})
        steps.append(self._run())
        if steps[-2:-1] and steps[-2]["do"] == "skew":
            steps.append({"do": "skew", "hours": 0})
        if self.chance(35):
            # The moment that matters: after a lost answer, before the next run looks.
            steps.append(self._at_an_invoice())
        if self.chance(20):
            steps.append({"do": "pass", "hours": self.dice.choice((0, 1, 26))})
            steps.append(self._run())
        return steps

    def _run(self) -> Step:
        run: Step = {"do": "push" if self.chance(15) else "run"}
        if run["do"] == "run" and self.chance(5):
            run["full_refresh"] = True
        if self.chance(self.mood.elsewhere):
            run["at"] = "dev"
        if self.chance(70):
            of_push = run["do"] == "push"
            run["faults"] = [
                self._fault(of_push=of_push) for _ in range(self.dice.choice((1, 1, 1, 2, 2, 3)))
            ]
        if self.chance(45):
            run["strikes"] = [self._strike() for _ in range(self.dice.choice((1, 1, 2)))]
        if self.chance(self.mood.meanwhile):
            run["meanwhile"] = [self._meanwhile()]
        return run

    def _fault(self, *, of_push: bool = False) -> Step:
        if self.chance(25) and not of_push:
            return {"system": "sdp", "nth": self.dice.randint(1, 12), **self.dice.choice(SDP_FAULTS)}
        fault: Step = {"system": "xero", **self.dice.choice(XERO_FAULTS)}
        if self.chance(50):
            # Writes are what matters most, and then the looks that follow them.
            return fault | {"match": {"method": "PUT"}, "nth": self.dice.choice((1, 1, 1, 2, 3))}
        if self.chance(30):
            match = {"method": "GET", "path": "/api.xro/2.0/Invoices"}
            return fault | {"match": match, "nth": self.dice.choice((1, 2, 2, 3, 4))}
        return fault | {"nth": self._nth_xero_call()}

    def _nth_xero_call(self) -> int:
        return self.dice.randint(1, 9)

    def _strike(self) -> Step:
        act = self.dice.choice(
            ("kill", "kill", "kill", "sigterm", "sigint", "disk_full", "locked", "read_only")
        )
        if self.chance(15):
            return {
                "program": "tap",
                "border": "call",
                "nth": self.dice.randint(1, 12),
                "moment": "before",
                "act": "kill",
            }
        border = self.dice.choice(("call", "commit", "commit", "line", "put"))
        if act in {"disk_full", "locked", "read_only"}:
            return {
                "program": "target",
                "border": "commit",
                "nth": self.dice.randint(1, 16),
                "moment": "before",
                "act": act,
            }
        return {
            "program": "target",
            "border": border,
            "nth": self.dice.choice((1, 1, 2)) if border == "put" else self.dice.randint(1, 16),
            "moment": self.dice.choice(("before", "after")),
            "act": act,
        }

    def _meanwhile(self) -> Step:
        if self.chance(40):
            # Right after a write, answered or not: what follows is the look-up.
            return {"put": self.dice.choice((1, 1, 2)), "step": self._at_an_invoice()}
        step = self._life()
        if self.chance(self.mood.other_push):
            step = {"do": "other_push", "lock_lost": self.chance(self.mood.lock_lost)}
        elif self.chance(self.mood.elsewhere_meanwhile):
            step = {"do": "run", "at": "dev"}
        if self.chance(40):
            return {"commit": self.dice.randint(1, 14), "step": step}
        return {"call": self._nth_xero_call(), "step": step}
