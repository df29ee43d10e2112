"""Exhaustive: every single fault at every call, and every kill point, of a full run of all three jobs.

A case is a script like any other: the job with the one fault and worklogs right after it, then repairs and
quiet runs. The jobs before it have no trouble: the ledger that every story begins with is what they leave.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from torture.borders import AFTER, BEFORE
from torture.script import SDP_FAULTS, XERO_FAULTS, Script
from torture.simulate import Month
from torture.world import JOBS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torture.script import Step
    from torture.world import Workshop

_ENDS: Final = ("kill", "sigterm", "sigint", "disk_full", "locked", "read_only")
_DIRECTORY: Final = {"unmatched_contacts": "create", "login_url_template": "{slug}.example"}
_WORK: Final[tuple[Step, ...]] = tuple(
    {"do": "book", "account": n % 3, "kind": n % 3, "minutes": 20 + n, "on": on, "billable": True}
    for n, on in enumerate(("request", "request", "new", "task", "general"))
)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that goes wrong in one of the three jobs."""

    job: str
    trouble: str
    step: dict[str, Any]

    def script(self, number: int) -> Script:
        """Return the case as a script: new rows on both sides, the job in trouble, worklogs right after."""
        script = Script(number, {"target": {"batch_size": 1}, "directory": _DIRECTORY})
        script.steps = [*_WORK, {"do": "new_contact", "pick": 0}, {"do": "new_item", "pick": 0}]
        script.steps.append({"do": "run", "job": self.job, **self.step})
        if self.job != "worklogs":
            script.steps.append({"do": "run", "job": "worklogs"})
        return script


def _counted(workshop: Workshop, job: str) -> dict[str, int]:
    month = Month(workshop, Case(job, "", {}).script(0))
    month.play()
    return month.counted[job]


def _cases(job: str, counts: dict[str, int]) -> Iterator[Case]:
    for system, faults in (("xero", XERO_FAULTS), ("sdp", SDP_FAULTS)):
        for fault in faults:
            for nth in range(1, counts[system] + 1):
                step = {"faults": [{"system": system, "nth": nth, **fault}]}
                yield Case(job, f"{fault['kind']} at call {nth} to {system}", step)
    for border in ("call", "commit", "line"):
        for nth in range(1, counts[border] + 1):
            for moment in (BEFORE, AFTER):
                for act in _ENDS if (border, moment) == ("commit", BEFORE) else _ENDS[:3]:
                    strike = {
                        "program": "target",
                        "border": border,
                        "nth": nth,
                        "moment": moment,
                        "act": act,
                    }
                    yield Case(job, f"{act} {moment} {border} {nth}", {"strikes": [strike]})
    for nth in range(1, counts["tap_call"] + 1):
        strike = {"program": "tap", "border": "call", "nth": nth, "moment": BEFORE, "act": "kill"}
        yield Case(job, f"tap killed before call {nth}", {"strikes": [strike]})


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Return all cases, found by counting what each job does without trouble; once a process."""
    from torture.runner import workshop  # noqa: PLC0415 - the runner plays what is made here

    with workshop() as made:
        return tuple(case for job in JOBS for case in _cases(job, _counted(made, job)))


def case_script(number: int) -> Script:
    """Return the script of one case by its number."""
    return all_cases()[number].script(number)
