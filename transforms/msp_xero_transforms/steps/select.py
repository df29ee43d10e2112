"""Select: which contacts become accounts, and which worklogs must not be billed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_transforms.settings import MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msp_xero_transforms.rules import Rules
    from msp_xero_transforms.steps.line import Line


def wants_contact(contact: Mapping[str, Any], rules: Rules) -> bool:
    """Say whether a contact is passed on.

    Only active contacts are ever left out: a link must learn that its contact was archived or
    merged, whatever the contact is used for.
    """
    if contact.get("ContactStatus") not in {None, "", "ACTIVE"}:
        return True
    if rules.contacts == "customers":
        return contact.get("IsCustomer") is True
    return contact.get("IsCustomer") is True or contact.get("IsSupplier") is not True


def select(line: Line, rules: Rules) -> Line:
    """Exclude worklogs of modules that are switched off, and non-billable ones when asked to."""
    if line.module not in rules.modules and line.module in MODULES.values():
        return line.exclude(f"Worklogs of the module {line.module} are not selected for billing.")
    if rules.exclude_non_billable and line.is_billable is False:
        return line.exclude("The worklog is marked as not billable.")
    return line
