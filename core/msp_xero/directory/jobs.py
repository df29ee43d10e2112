"""The two jobs as a target or a person starts them: lock, record of the run, settle, how it ended."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from msp_xero.directory.accounts import read_fields, settle_accounts
from msp_xero.directory.summary import DirectorySummary
from msp_xero.directory.work import AccountWork, TypeWork
from msp_xero.directory.worklog_types import settle_worklog_types
from msp_xero.ledger.link_staging import mark_gone
from msp_xero.ledger.runs import finish_run, start_run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from msp_xero.directory.fields import AccountFields
    from msp_xero.directory.port import AccountSide, TypeSide
    from msp_xero.directory.settings import AccountPolicy, TypePolicy
    from msp_xero.ledger.store import Fence, Ledger

ACCOUNTS = "accounts"
WORKLOG_TYPES = "worklog-types"


def run_accounts(  # noqa: PLR0913 - everything a job works with is handed in
    ledger: Ledger,
    client: AccountSide,
    policy: AccountPolicy,
    *,
    base_url: str | None = None,
    fields: AccountFields | None = None,
    has_all_contacts: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    logger: logging.Logger | None = None,
) -> DirectorySummary:
    """Settle accounts: match, link, create or update what changed.

    Args:
        ledger: the open ledger.
        client: SDP.
        policy: the settings.
        base_url: SDP's address; the ledger remembers it, to refuse another installation.
        fields: what SDP tells about account fields, if it was read already.
        has_all_contacts: whether all came that were to be read; only then the first sync can be over.
        should_stop: asked before each write; True ends the run cleanly.
        logger: where notes go; the summary line is the caller's.

    Returns:
        What was done.

    Raises:
        MspXeroError: the run failed; what was done until then is recorded.
    """
    logger = logger or logging.getLogger(__name__)
    summary = DirectorySummary(job=ACCOUNTS, dry_run=policy.dry_run)
    with _run(ledger, client, summary) as (fence, run_id):
        work = AccountWork(
            ledger=ledger,
            client=client,
            policy=policy,
            fields=fields or read_fields(client, logger),
            fence=fence,
            run_id=run_id,
            summary=summary,
            should_stop=should_stop,
            logger=logger,
            base_url=base_url,
            has_all_contacts=has_all_contacts,
        )
        settle_accounts(work)
    return summary


def run_worklog_types(  # noqa: PLR0913 - everything a job works with is handed in
    ledger: Ledger,
    client: TypeSide,
    policy: TypePolicy,
    *,
    base_url: str | None = None,
    present: Collection[str] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    logger: logging.Logger | None = None,
) -> DirectorySummary:
    """Settle worklog types: match, link, create or rename.

    Args:
        ledger: the open ledger.
        client: SDP.
        policy: the settings.
        base_url: SDP's address; the ledger remembers it, to refuse another installation.
        present: ids of all items in Xero, only if the list is proven complete; others are marked gone.
        should_stop: asked before each write; True ends the run cleanly.
        logger: where notes go; the summary line is the caller's.

    Returns:
        What was done.

    Raises:
        MspXeroError: the run failed; what was done until then is recorded.
    """
    summary = DirectorySummary(job=WORKLOG_TYPES, dry_run=policy.dry_run)
    with _run(ledger, client, summary) as (fence, run_id):
        if present is not None:
            mark_gone(ledger, present, fence=fence, run_id=run_id)
        work = TypeWork(
            ledger=ledger,
            client=client,
            policy=policy,
            fence=fence,
            run_id=run_id,
            summary=summary,
            should_stop=should_stop,
            logger=logger or logging.getLogger(__name__),
            base_url=base_url,
        )
        settle_worklog_types(work)
    return summary


@contextlib.contextmanager
def _run(
    ledger: Ledger, client: AccountSide | TypeSide, summary: DirectorySummary
) -> Iterator[tuple[Fence, int]]:
    """Hold the settle lock and keep the record of the run, however it ends."""
    before = Counter(client.calls)
    with ledger.settling() as fence:
        run_id = start_run(ledger, summary.job)
        outcome, error = "failed", None
        try:
            yield fence, run_id
            outcome = summary.outcome
        except Exception as problem:
            error = str(problem)
            raise
        finally:
            calls: dict[str, Any] = dict(client.calls - before)
            finish_run(ledger, run_id, outcome, counts=summary.counts(), calls=calls, error=error)
