"""What people do at the command line of the program, beside its jobs; each returns how it ended."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from msp_xero.billing import rebuild as rebuilding
from msp_xero.billing import recover
from msp_xero.billing.memory import refuse_to_leave
from msp_xero.billing.reference import meet_organisation
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.errors import LedgerError, MspXeroError
from msp_xero.ledger import Ledger, survey
from msp_xero.ledger.decisions import exclude_worklog
from msp_xero.ledger.generations import start_over
from msp_xero.ledger.runs import finish_run, start_run
from msp_xero.xero.client import XeroClient
from msp_xero.xero.settings import XeroSettings

from torture.borders import Process, Strike

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torture.parts import Ended, Environment
    from torture.world import World


def push(world: World, at: Environment, strikes: Sequence[Strike] = (), *, machine: str = "") -> Ended:
    """Do what ``msp-xero invoices push`` does; another ``machine`` has a token store of its own."""
    config = world.target_config(at, "worklogs")
    config["token_store"] += machine

    def work(ledger: Ledger) -> None:
        run_id = start_run(ledger, "push")
        client = XeroClient(XeroSettings.from_config(config))
        try:
            settled = settle(ledger, client, BillingSettings.from_config(config), run_id=run_id)
        except MspXeroError as error:
            finish_run(ledger, run_id, "failed", error=str(error))
            raise
        finish_run(ledger, run_id, settled.outcome, counts=settled.counts(), calls=settled.calls)

    return _run(world, at, work, strikes)


def rebuild(
    world: World, at: Environment, strikes: Sequence[Strike] = (), *, only_prefix: bool = False
) -> Ended:
    """Do what ``msp-xero rebuild`` does."""

    def work(ledger: Ledger) -> None:
        rebuilding.rebuild(
            ledger, _client(world, at), number_prefix=world.number_prefix, only_prefix=only_prefix
        )

    return _run(world, at, work, strikes)


def reconcile(world: World, at: Environment) -> Ended:
    """Do what ``msp-xero reconcile`` does."""

    def work(ledger: Ledger) -> None:
        recover.reconcile(ledger, _client(world, at), number_prefix=world.number_prefix)

    return _run(world, at, work)


def reinitialise(world: World, at: Environment, strikes: Sequence[Strike] = ()) -> Ended:
    """Do what ``msp-xero reinitialise --yes`` does."""

    def work(ledger: Ledger) -> None:
        read = meet_organisation(_client(world, at))
        names = ("organisation_id", "name", "short_code", "base_currency")
        organisation = survey.Organisation(**{name: getattr(read, name) for name in names})
        found = survey.survey(ledger, going_to=organisation.organisation_id)
        with ledger.settling() as fence:
            refuse_to_leave(ledger, fence)
            run_id = start_run(ledger, "reinitialise")
            start_over(ledger, fence, organisation, expected=found, run_id=run_id)
            finish_run(ledger, run_id, "done")

    return _run(world, at, work, strikes)


def exclude(world: World, at: Environment, row: int, strikes: Sequence[Strike] = ()) -> Ended:
    """Do what ``msp-xero worklogs exclude`` does with a worklog that is planned."""

    def work(ledger: Ledger) -> None:
        with contextlib.suppress(LedgerError):
            recover.take_back(ledger, _client(world, at), row, number_prefix=world.number_prefix)
        exclude_worklog(ledger, row, "a mistake")

    return _run(world, at, work, strikes)


def _client(world: World, at: Environment) -> XeroClient:
    return XeroClient(XeroSettings.from_config(world.target_config(at, "worklogs")))


def _run(
    world: World, at: Environment, work: Callable[[Ledger], None], strikes: Sequence[Strike] = ()
) -> Ended:
    def opened() -> None:
        with Ledger.open(at.url, actor="person:torture") as ledger:
            work(ledger)

    return world.run(Process(list(strikes)), opened)
