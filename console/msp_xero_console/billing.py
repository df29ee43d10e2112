"""What the console asks of billing: what the next push would create, and to push."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from msp_xero.billing.plan import HeldSum
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import preview as preview_settle
from msp_xero.billing.settle import settle
from msp_xero.errors import MspXeroError
from msp_xero.ledger import Ledger, views
from msp_xero.ledger.runs import finish_run, start_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from msp_xero.billing.plan import Plan
    from msp_xero.billing.settle import Settled

    from msp_xero_console.project import Project

TARGET = "target-xero-invoices"
JOB = "worklogs"


def is_enabled(project: Project) -> bool:
    """Tell whether the worklogs job is switched on."""
    return project.config(TARGET).get("worklogs_enabled", True) is not False


def preview(project: Project) -> Plan:
    """Return what the next push would create and hold. Calls no write, neither in Xero nor in the ledger.

    Planning looks at what the transform steps found billable; what they hold is added here, so that
    the list of holds is whole.

    Raises:
        MspXeroError: a setting is wrong, or Xero cannot be read.
    """
    settings = BillingSettings.from_config(project.config(TARGET))
    with project.reading() as ledger:
        plan = preview_settle(ledger, project.xero(TARGET), settings)
        for row in views.worklog_totals(ledger, decision="hold"):
            if row.state == "held":
                held = plan.held.setdefault(row.reason_code or "", HeldSum())
                held.lines += row.total.count
                held.minutes += row.total.minutes
                held.money += row.total.money
    return plan


def push(project: Project, *, progress: Callable[[str], None] = lambda _: None) -> Settled:
    """Settle everything that the ledger holds, as the target does at the end of a run.

    It pushes also where the setting ``push`` is off: that one keeps runs from pushing by themselves,
    and this is the person who does it.

    Args:
        project: whose settings and ledger.
        progress: told one line about long work.

    Raises:
        MspXeroError: a setting is wrong, another settle is running, or Xero cannot be reached.
    """
    config = project.config(TARGET)
    settings = dataclasses.replace(BillingSettings.from_config(config), push=True)
    client = project.xero(TARGET)
    with Ledger.open(project.ledger_url, connection=project.connection) as ledger:
        run_id = start_run(ledger, JOB)
        try:
            settled = settle(ledger, client, settings, run_id=run_id, progress=progress)
        except MspXeroError as error:
            finish_run(ledger, run_id, "failed", calls=client.calls, error=str(error))
            raise
        finish_run(ledger, run_id, settled.outcome, counts=settled.counts(), calls=settled.calls)
        return settled
