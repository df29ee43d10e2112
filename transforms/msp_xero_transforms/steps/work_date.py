"""Work date: the calendar day on which the work began, where the organisation is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msp_xero_transforms.rules import Rules
    from msp_xero_transforms.steps.line import Line


def work_date(line: Line, rules: Rules) -> Line:
    """Date the line by its start, else by its entry, else by its end."""
    worklog = line.worklog
    instant = worklog["start_time"] or worklog["created_time"] or worklog["end_time"]
    if instant is None:
        return line.hold(
            "INVALID_RECORD", "The worklog has no start, creation or end time, so its date is not known."
        )
    return line.having(work_date=instant.astimezone(rules.time_zone).date())
