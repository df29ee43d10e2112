"""What the console asks of billing: to preview, to push, and to find out what is true in Xero."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol, TypeVar

from msp_xero.billing.plan import HeldSum
from msp_xero.billing.rebuild import rebuild as rebuild_ledger
from msp_xero.billing.recover import reconcile as reconcile_ledger
from msp_xero.billing.recover import take_back as take_back_planned
from msp_xero.billing.settings import BILLING, BillingSettings
from msp_xero.billing.settle import preview as preview_settle
from msp_xero.billing.settle import settle
from msp_xero.errors import DayLimitReached, MspXeroError
from msp_xero.ledger import Ledger, views
from msp_xero.ledger.rebuilding import refuse_filled
from msp_xero.ledger.runs import finish_run, start_run
from msp_xero.singer.cli import describe_unexpected
from msp_xero.singer.settings import check_settings
from singer_sdk import typing as th

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from msp_xero.billing.plan import Plan
    from msp_xero.billing.rebuild import Rebuilt
    from msp_xero.billing.recover import Reconciled
    from msp_xero.billing.settle import Settled
    from msp_xero.xero.client import XeroClient

    from msp_xero_console.project import Project

TARGET = "target-xero-invoices"
JOB = "worklogs"
PUSH = "push"
"""What a push by hand is recorded as."""


def is_enabled(project: Project) -> bool:
    """Tell whether the worklogs job is switched on."""
    return JOB not in project.switched_off


def _settings(project: Project) -> BillingSettings:
    """Return how to bill, checked as the target checks it at the start of a run.

    Raises:
        MspXeroError: about the settings that are wrong.
    """
    with project.naming(TARGET):
        config, schema = project.config(TARGET), th.PropertiesList(*BILLING).to_dict()
        check_settings({name: config[name] for name in schema["properties"] if name in config}, schema)
        return BillingSettings.from_config(config)


def preview(project: Project, *, accounts: AbstractSet[str] | None = None) -> Plan:
    """Return what the next push would create and hold. Calls no write, neither in Xero nor in the ledger.

    Planning looks at what the transform steps found billable; what they hold is added here, so that
    the list of holds is whole. ``accounts``: for these SDP accounts only; None is all.

    Raises:
        MspXeroError: a setting is wrong, there is no ledger, or Xero cannot be read.
    """
    settings = _settings(project)
    with project.deciding() as ledger:
        plan = preview_settle(ledger, project.xero(TARGET), settings, accounts=accounts)
        for row in views.worklog_totals(ledger, decision="hold", accounts=accounts):
            if row.state == "held":
                held = plan.held.setdefault(row.reason_code or "", HeldSum())
                held.lines += row.total.count
                held.minutes += row.total.minutes
                held.money += row.total.money
                held.unpriced += row.total.unpriced
    return plan


def push(
    project: Project,
    *,
    accounts: AbstractSet[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Settled:
    """Settle everything that the ledger holds, as the target does at the end of a run; recorded as a push.

    It pushes also where the setting ``push`` is off: that one keeps runs from pushing by themselves,
    and this is the person who does it. What Xero refused is tried again at once.

    Args:
        project: whose settings and ledger.
        accounts: plan for these SDP accounts only; None is all.
        progress: told one line about long work.
        stop_requested: asked between calls; True ends the push cleanly.

    Raises:
        MspXeroError: a setting is wrong, there is no ledger, another settle is running, or Xero cannot be
            reached.
    """
    settings = dataclasses.replace(_settings(project), push=True)
    client = project.xero(TARGET)

    def work(ledger: Ledger, run_id: int) -> Settled:
        return settle(
            ledger,
            client,
            settings,
            run_id=run_id,
            retry_refused=True,
            accounts=accounts,
            stop_requested=stop_requested,
            progress=progress,
        )

    with project.deciding() as ledger:
        # Not as the job: how its last run ended, and that it came at all, no push by hand may hide.
        return _recorded(ledger, client, PUSH, work)


def reconcile(project: Project) -> Reconciled:
    """Refresh the states of our invoices and settle unknown outcomes; send nothing.

    Raises:
        MspXeroError: a setting is wrong, there is no ledger, another settle is running, or Xero cannot be
            reached.
    """
    settings = _settings(project)
    client = project.xero(TARGET)

    def work(ledger: Ledger, run_id: int) -> Reconciled:
        return reconcile_ledger(ledger, client, number_prefix=settings.number_prefix, run_id=run_id)

    with project.deciding() as ledger:
        return _recorded(ledger, client, "reconcile", work)


def take_back(project: Project, ledger: Ledger, row: int) -> bool:
    """Take back the planned invoice that a worklog is on, if it was never sent; Xero is asked first.

    Raises:
        MspXeroError: a setting is wrong, another settle is running, or Xero cannot be reached.
    """
    prefix = _settings(project).number_prefix
    return take_back_planned(ledger, project.xero(TARGET), row, number_prefix=prefix)


def rebuild(
    project: Project, *, only_prefix: bool = False, progress: Callable[[str], None] = lambda _: None
) -> Rebuilt:
    """Fill an empty ledger from Xero.

    Args:
        project: whose settings and ledger.
        only_prefix: leave out invoices with our marks and without our prefix.
        progress: told one line about long work.

    Raises:
        MspXeroError: the ledger is not empty, a setting is wrong, another settle is running, or Xero
            cannot be reached.
    """
    settings = _settings(project)
    client = project.xero(TARGET)

    def work(ledger: Ledger, run_id: int) -> Rebuilt:
        return rebuild_ledger(
            ledger,
            client,
            number_prefix=settings.number_prefix,
            only_prefix=only_prefix,
            run_id=run_id,
            progress=progress,
        )

    with Ledger.open(project.ledger_url, connection=project.connection) as ledger:
        # A ledger that needs no rebuilding keeps no record of a failed one.
        with ledger.read() as session:
            refuse_filled(session, ledger)
        return _recorded(ledger, client, "rebuild", work)


class _Result(Protocol):
    """What a run comes to, as the record of runs keeps it."""

    @property
    def outcome(self) -> str: ...
    @property
    def calls(self) -> Mapping[str, int]: ...
    def counts(self) -> Mapping[str, int]: ...


_R = TypeVar("_R", bound=_Result)


def _recorded(ledger: Ledger, client: XeroClient, job: str, work: Callable[[Ledger, int], _R]) -> _R:
    """Do some work as a run that is recorded, however it ends."""
    run_id = start_run(ledger, job)
    try:
        result = work(ledger, run_id)
    except Exception as error:
        outcome = "stopped" if isinstance(error, DayLimitReached) else "failed"
        told = str(error) if isinstance(error, MspXeroError) else describe_unexpected(error)
        finish_run(ledger, run_id, outcome, calls=client.calls, error=told)
        raise
    finish_run(ledger, run_id, result.outcome, counts=result.counts(), calls=result.calls)
    return result
