"""Default type: a worklog without a type takes the configured one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msp_xero_transforms.rules import Rules
    from msp_xero_transforms.steps.line import Line


def default_type(line: Line, rules: Rules) -> Line:
    """Name the default type where there is none; it is known by name only, so it has no id."""
    if line.worklog_type_id or line.worklog_type_name:
        return line
    if rules.default_worklog_type:
        return line.having(worklog_type_id=None, worklog_type_name=rules.default_worklog_type)
    return line.hold("TYPE_MISSING", "The worklog has no worklog type, and no default worklog type is set.")
