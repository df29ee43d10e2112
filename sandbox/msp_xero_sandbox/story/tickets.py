"""Months of ordinary work: requests, problems, changes, projects and tasks with the time booked on them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.story import names
from msp_xero_sandbox.story.calendar import DAY, HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msp_xero_sandbox.story.desk import Desk

Row = dict[str, Any]

_PARENTS = (
    *("request",) * 11, "request_task", "request_task", "problem", "change", "change", "change_task",
    "project", "project", "general", "problem_task",
)  # fmt: skip
_MINUTES = (5, 10, 15, 15, 15, 20, 30, 30, 30, 45, 45, 60, 60, 60, 75, 90, 100, 120, 150, 180, 240)
_STATUSES = {
    "requests": ("Open", "Closed", "Closed", "Resolved", "On hold", "Closed", "In progress", "Cancelled"),
    "problems": ("Open", "Closed", "In progress"),
    "changes": ("Open", "Completed", "In progress", "Closed"),
    "projects": ("Open", "In progress", "Completed"),
}
_TITLES = {
    "requests": names.REQUEST_SUBJECTS,
    "problems": names.PROBLEM_TITLES,
    "changes": names.CHANGE_TITLES,
    "projects": names.PROJECT_TITLES,
}
_OTHER_COST = Decimal("25.00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How much work to write, and how tidy it is."""

    worklogs: int
    fewest_per_parent: int
    most_per_parent: int
    # Shares of worklogs that are not billable, or of a type that the books do not know.
    not_billable: float
    unknown_type: float
    # Accounts early in the list get more work.
    even: bool


class Worker:
    """Writes ordinary work for the accounts until the mix is used up."""

    def __init__(
        self, desk: Desk, accounts: Sequence[Row], mix: Mix, types: Sequence[str], unknown: Sequence[str]
    ) -> None:
        self._desk = desk
        self._rng = desk.rng
        self._accounts = accounts
        self._mix = mix
        self._types = types
        self._unknown = unknown
        self._owners = [row["id"] for row in desk.rows["technicians"]]
        self._left = mix.worklogs
        self._parents = 0

    def write(self) -> None:
        """Write parents with their worklogs until the wanted number of worklogs is reached."""
        while self._left > 0:
            self._parents += 1
            kind = _PARENTS[self._parents * 8 % len(_PARENTS)]
            account = self._next_account()
            span = self._mix.most_per_parent - self._mix.fewest_per_parent + 1
            wanted = self._mix.fewest_per_parent + int(self._rng.random() * span)
            count = min(wanted, self._left)
            self._left -= count
            for place, parent in self._open(kind, account, count):
                self._log(place, parent)

    def _next_account(self) -> Row:
        if self._mix.even:
            return self._accounts[self._parents % len(self._accounts)]
        return self._accounts[int(self._rng.random() ** 2 * len(self._accounts))]

    def _open(self, kind: str, account: Row, count: int) -> list[tuple[str, Row]]:
        """Open a parent of the kind and return where each of its worklogs goes."""
        moment = self._desk.calendar.office_moment(self._rng)
        if kind == "project":
            return self._open_project(account, moment, count)
        if kind == "general":
            title = names.GENERAL_TASK_TITLES[self._parents % len(names.GENERAL_TASK_TITLES)]
            task = self._desk.add_task("general", None, title, moment, account_id=account["id"])
            return [("task", task)] * count
        module, _, task_wanted = kind.partition("_")
        parent = self._parent(f"{module}s", account, moment)
        if not task_wanted:
            return [(module, parent)] * count
        tasks = [self._desk.add_task(module, parent, names.TASK_TITLES[n], moment + n * HOUR) for n in (2, 4)]
        places = [("task", tasks[0]), ("task", tasks[1]), (module, parent)]
        return [places[n % 3] for n in range(count)]

    def _open_project(self, account: Row, moment: int, count: int) -> list[tuple[str, Row]]:
        project = self._parent("projects", account, moment)
        tasks = [self._desk.add_task("project", project, names.TASK_TITLES[0], moment)]
        for number in range(2):
            milestone = self._desk.add(
                "milestones", parent=project, title=names.MILESTONE_TITLES[number], created_time=moment
            )
            title = names.TASK_TITLES[number + 2]
            tasks.append(self._desk.add_task("milestone", milestone, title, moment + number * DAY))
        return [("task", tasks[n % len(tasks)]) for n in range(count)]

    def _parent(self, kind: str, account: Row, moment: int) -> Row:
        titles, statuses = _TITLES[kind], _STATUSES[kind]
        members: Row = {"status": statuses[self._parents % len(statuses)]}
        if kind == "requests" and self._parents % 9 == 0:
            members["imported"] = True
        return self._desk.add_parent(kind, titles[self._parents % len(titles)], account, moment, **members)

    def _log(self, place: str, parent: Row) -> None:
        random = self._rng.random
        dice = random()
        types = self._unknown if dice < self._mix.unknown_type else self._types
        members: Row = {}
        if random() < self._mix.not_billable:
            members["is_billable"] = False
        if random() < 0.04:
            members["other_cost"] = _OTHER_COST
        self._desk.add_worklog(
            place,
            parent,
            minutes=_MINUTES[int(random() * len(_MINUTES))],
            start=self._desk.calendar.next_office_moment(parent["created_time"], self._rng),
            type_id=types[int(random() * len(types))],
            owner_id=self._owners[int(random() * len(self._owners))],
            description=names.NOTES[int(random() * len(names.NOTES))],
            **members,
        )
