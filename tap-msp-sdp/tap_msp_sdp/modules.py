"""The five kinds of parents that worklogs hang on (sdp-msp-api §4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CHANGED: Final = "last_updated_time"
CREATED: Final = "created_time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """How one kind of parent is listed and read.

    Attributes:
        name: list path and key, and what the setting ``modules`` calls it.
        singular: key of one row, and what records call it.
        title: member that holds the title.
        people: members whose account can stand in for a missing one, the first that is set wins.
        closed: times that say since when it is closed.
        ended: times that say that it is over, but not since when: a person types them, often afterwards.
        own_worklogs: False where time is booked on tasks only.
    """

    name: str
    singular: str
    title: str
    people: tuple[str, ...]
    closed: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    own_worklogs: bool = True

    def columns(self, account: str) -> tuple[str, ...]:
        """Return the columns to ask lists for; without asking, account, site and times are left out.

        Args:
            account: ``account`` on-premises, ``customer`` in the cloud.
        """
        return (
            *("id", "display_id", self.title, account, "site", "status", CREATED, CHANGED),
            *self.people,
            *self.closed,
            *self.ended,
            *self.extra,
        )


LICENSED: Final = frozenset({"problems", "changes"})
"""Modules that are not in every licence, and may have tasks (sdp-msp-api §7, code 7001)."""

CONTAINERS: Final = ("project", "request", "problem", "change")
"""What tasks belong to, the first that is told wins; a milestone is one of a project."""

PARENTS_OF_TASKS: Final = ("request", "problem", "change", "project", "milestone")

MODULES: Final = {
    module.name: module
    for module in (
        Module(
            name="requests",
            singular="request",
            title="subject",
            people=("requester",),
            closed=("completed_time",),
        ),
        Module(
            name="problems",
            singular="problem",
            title="title",
            people=("reported_by",),
            closed=("closed_time",),
            extra=("reported_time",),
        ),
        Module(
            name="changes",
            singular="change",
            title="title",
            people=("change_requester",),
            closed=("completed_time",),
        ),
        Module(
            name="projects",
            singular="project",
            title="title",
            people=("requester", "requested_by"),
            ended=("actual_end_time",),
            own_worklogs=False,
        ),
        Module(
            name="tasks",
            singular="task",
            title="title",
            people=(),
            ended=("actual_end_time",),
            extra=("created_date", *PARENTS_OF_TASKS),  # its name in the legacy format
        ),
    )
}
