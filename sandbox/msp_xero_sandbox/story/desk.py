"""The service desk being filled: adds rows of every kind and keeps them consistent.

Row shapes are the sandbox's own (see ``sdp.store``): ids are strings, times epoch milliseconds,
money Decimal. A row names others by id, never by content.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.story.calendar import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from random import Random

    from msp_xero_sandbox.story.calendar import Calendar

Row = dict[str, Any]

_FIRST_IDS = {
    "accounts": 301,
    "sites": 601,
    "requesters": 901,
    "technicians": 5,
    "worklog_types": 1,
    "contracts": 41,
    "requests": 1001,
    "problems": 101,
    "changes": 201,
    "projects": 51,
    "milestones": 71,
    "tasks": 2001,
    "worklogs": 5001,
    "awkward": 1,
}
# Parents and worklogs are numbered when all are known, so that ids rise with the time of creation.
_NUMBERED_AT_THE_END = ("requests", "problems", "changes", "projects", "worklogs")
_CENT = Decimal("0.01")
CLOSED_STATUSES = frozenset({"Closed", "Resolved", "Cancelled", "Completed"})


class Desk:
    """Builds ``Story.sdp``; every ``add_*`` returns the row, whose id may only be final after ``finish``."""

    def __init__(self, rng: Random, calendar: Calendar) -> None:
        self.rng = rng
        self.calendar = calendar
        self.rows: dict[str, list[Row]] = {kind: [] for kind in _FIRST_IDS}
        self._counts: dict[str, int] = defaultdict(int)
        self._cost_cache: dict[tuple[str, int], Decimal] = {}
        self._rates: dict[str, Decimal] = {}
        self._labels: list[tuple[str, str, Row]] = []

    def add(self, kind: str, **members: Any) -> Row:
        """Add a row with the next id of its kind."""
        row = {"id": str(_FIRST_IDS[kind] + self._counts[kind]), **members}
        self._counts[kind] += 1
        self.rows[kind].append(row)
        return row

    def label(self, label: str, kind: str, row: Row) -> Row:
        """Remember an awkward row under a name that tests and people can look up."""
        self._labels.append((label, kind, row))
        return row

    def add_technician(self, name: str, rate: str) -> Row:
        """Add a technician; their rate fixes the cost of worklogs."""
        first = name.split(maxsplit=1)[0].casefold()
        row = self.add(
            "technicians", name=name, email_id=f"{first}@kowhai.example", cost_per_hour=Decimal(rate)
        )
        self._rates[row["id"]] = row["cost_per_hour"]
        return row

    def add_parent(self, kind: str, title: str, account: Row | None, created: int, **members: Any) -> Row:
        """Add a request, problem, change or project of an account, its site and one of its requesters."""
        site_id = members.pop("site_id", account and account["default_site_id"])
        requester_id = members.pop("requester_id", account and self._requester_of(account))
        status = members.pop("status", "Open")
        return self.add(
            kind,
            title=title,
            description=members.pop("description", None),
            account_id=account and account["id"],
            site_id=site_id,
            requester_id=requester_id,
            technician_id=self.rows["technicians"][self._counts[kind] % len(self.rows["technicians"])]["id"],
            status=status,
            priority=("Low", "Normal", "High")[self._counts[kind] % 3],
            created_time=created,
            last_updated_time=created,
            due_by_time=created + 3 * DAY,
            completed_time=created if status in CLOSED_STATUSES else None,
            **members,
        )

    def add_task(self, parent_kind: str, parent: Row | None, title: str, created: int, **members: Any) -> Row:
        """Add a task of a request, problem, change, project or milestone, or a general one."""
        return self.add(
            "tasks",
            parent_kind=parent_kind,
            parent=parent,
            title=title,
            account_id=members.pop("account_id", None),
            site_id=None,
            owner_id=self.rows["technicians"][0]["id"],
            status=members.pop("status", "Open"),
            created_time=created,
            last_updated_time=created,
            scheduled_end_time=created + 5 * DAY,
        )

    def add_worklog(  # noqa: PLR0913 - the columns of a worklog
        self,
        parent_kind: str,
        parent: Row,
        *,
        minutes: int,
        start: int | None,
        type_id: str | None,
        owner_id: str,
        description: str | None = None,
        created: int | None = None,
        **members: Any,
    ) -> Row:
        """Book time on a request, problem, change or task, and move its parents' change time."""
        end = None if start is None else start + minutes * MINUTE
        if created is None:
            # Nobody saves on the full minute.
            odd = self._counts["worklogs"] * 7919 % MINUTE
            created = min((end or parent["created_time"] + HOUR) + MINUTE, self.calendar.now_ms - HOUR) + odd
        owner_cost = self._owner_cost(owner_id, minutes)
        other_cost = members.pop("other_cost", _NO_COST)
        row = self.add(
            "worklogs",
            parent_kind=parent_kind,
            parent=parent,
            owner_id=owner_id,
            type_id=type_id,
            description=description,
            minutes=minutes,
            start_time=start,
            end_time=members.pop("end_time", end),
            created_time=created,
            created_by_id=members.pop("created_by_id", owner_id),
            owner_cost=owner_cost,
            other_cost=other_cost,
            total_cost=owner_cost + other_cost if other_cost else owner_cost,
            is_billable=members.pop("is_billable", True),
            **members,
        )
        self._touch(parent, created)
        return row

    def finish(self) -> dict[str, list[Row]]:
        """Number parents and worklogs by time, put ids in the place of rows, and return everything."""
        for kind in _NUMBERED_AT_THE_END:
            rows = self.rows[kind]
            rows.sort(key=_by_creation)
            for number, row in enumerate(rows, _FIRST_IDS[kind]):
                row["id"] = str(number)
        for row in self.rows["requests"]:
            # Requests that came from another help desk kept their old number on display.
            row["display_id"] = str(int(row["id"]) + 50_000) if row.pop("imported", False) else row["id"]
        for row in self.rows["accounts"]:
            del row["people"]
        for row in self.rows["projects"]:
            row["code"] = f"PRJ-{row['id']}"
        for kind in ("milestones", "tasks", "worklogs"):
            for row in self.rows[kind]:
                parent = row.pop("parent")
                row["parent_id"] = parent["id"] if parent else None
        self.rows["awkward"] = [
            {"label": label, "kind": kind, "id": row["id"]} for label, kind, row in self._labels
        ]
        return self.rows

    def _owner_cost(self, owner_id: str, minutes: int) -> Decimal:
        key = (owner_id, minutes)
        cost = self._cost_cache.get(key)
        if cost is None:
            rate = self._rates.get(owner_id, Decimal(0))  # a requester may own project time, at no cost
            cost = (rate * minutes / 60).quantize(_CENT, ROUND_HALF_UP)
            self._cost_cache[key] = cost
        return cost

    def _requester_of(self, account: Row) -> str:
        people: list[str] = account["people"]
        return people[int(self.rng.random() * len(people))]

    def _touch(self, parent: Row | None, moment: int) -> None:
        while parent is not None and "last_updated_time" in parent:
            parent["last_updated_time"] = max(parent["last_updated_time"], moment)
            if parent.get("completed_time") is not None:
                parent["completed_time"] = max(parent["completed_time"], moment)
            parent = parent.get("parent")


_NO_COST = Decimal("0.00")


def _by_creation(row: Row) -> int:
    created: int = row["created_time"]
    return created
