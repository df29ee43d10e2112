"""Eligibility: only work for a known account, of a known kind, can be billed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero_transforms.settings import MODULES

if TYPE_CHECKING:
    from msp_xero_transforms.rules import Rules
    from msp_xero_transforms.steps.line import Line


def eligibility(line: Line, rules: Rules) -> Line:  # noqa: ARG001 - all steps are called alike
    """Hold a worklog whose account is not known: it is never guessed."""
    if line.module not in MODULES.values():
        known = ", ".join(MODULES.values())
        return line.hold("INVALID_RECORD", f"The worklog's module is not one of {known}.")
    if line.account_id is None:
        return line.hold(
            "ACCOUNT_UNRESOLVED",
            f"The {line.worklog['parent_module'] or line.module} of this worklog has no account.",
        )
    return line
