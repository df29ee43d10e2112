"""The steps: each turns one record and the rules into a record, and knows nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_transforms.steps.contract import read_worklog
from msp_xero_transforms.steps.default_type import default_type
from msp_xero_transforms.steps.describe import describe
from msp_xero_transforms.steps.duration import duration
from msp_xero_transforms.steps.eligibility import eligibility
from msp_xero_transforms.steps.rate import rate
from msp_xero_transforms.steps.select import select
from msp_xero_transforms.steps.work_date import work_date

if TYPE_CHECKING:
    from msp_xero_transforms.rules import Rules
    from msp_xero_transforms.steps.line import Line, Origin

_PRICING = (default_type, eligibility, work_date, duration, rate, describe)


def invoice_line(
    record: dict[str, Any], rules: Rules, *, key: tuple[str, str], origin: Origin = "tap"
) -> Line:
    """Take one worklog through all steps.

    A line that is held or excluded goes on: the money at stake is worth knowing. One that broke
    the contract does not, because nothing that is computed from it could be trusted.
    """
    line = select(read_worklog(record, key=key, origin=origin), rules)
    if line.violated:
        return line
    for step in _PRICING:
        line = step(line, rules)
    return line
