"""The record of runs: what each did, what it cost in API calls, how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from msp_xero.ledger.models import SyncRun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msp_xero.ledger.store import Ledger


def start_run(ledger: Ledger, job: str, *, settings_digest: str | None = None) -> int:
    """Record that a run began; return its id.

    Args:
        ledger: the open ledger.
        job: ``accounts``, ``worklog-types`` or ``worklogs``; or what a person had done, such as ``push``.
        settings_digest: a digest of the settings without secrets, to see that a rule changed.
    """
    with ledger.write() as session:
        run = SyncRun(
            connection_id=ledger.connection_id,
            job=job,
            actor=ledger.actor,
            started_at=ledger.clock.now(),
            settings_digest=settings_digest,
        )
        session.add(run)
        session.flush()
        return run.id


def finish_run(  # noqa: PLR0913 - a run's record has these parts
    ledger: Ledger,
    run_id: int,
    outcome: str,
    *,
    counts: Mapping[str, Any] | None = None,
    calls: Mapping[str, int] | None = None,
    extraction: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Record how a run ended: ``done``, ``needs_person``, ``failed``, ``stopped`` or ``disabled``."""
    with ledger.write() as session:
        run = session.get_one(SyncRun, run_id)
        run.finished_at = ledger.clock.now()
        run.outcome = outcome
        run.counts = dict(counts or {})
        run.calls = dict(calls or {})
        run.extraction = dict(extraction) if extraction else None
        run.error = error


def last_runs(ledger: Ledger) -> dict[str, SyncRun]:
    """Return the latest run of each job, by job."""
    latest: dict[str, SyncRun] = {}
    with ledger.read() as session:
        for run in session.scalars(
            select(SyncRun).where(SyncRun.connection_id == ledger.connection_id).order_by(SyncRun.id)
        ):
            latest[run.job] = run
    return latest
