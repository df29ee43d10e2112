"""Eligibility: only work for a known account can be billed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msp_xero_transforms.rules import Rules
    from msp_xero_transforms.steps.line import Line


def eligibility(line: Line, rules: Rules) -> Line:  # noqa: ARG001 - all steps are called alike
    """Hold a worklog whose account is not known: it is never guessed."""
    if line.account_id is None:
        parent = line.worklog["parent_module"] or line.module
        return line.hold("ACCOUNT_UNRESOLVED", f"The {parent} of this worklog has no account.")
    return line
