"""What the ledger says of itself, and of the runs before; it is looked at, never changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msp_xero.errors import MspXeroError
from msp_xero.ledger import views
from msp_xero.ledger.address import shown
from msp_xero.ledger.bookmarks import known_positions
from msp_xero.ledger.looking import look_at
from msp_xero.ledger.runs import last_runs
from msp_xero.ledger.store import HEAD_REVISION
from msp_xero.ledger.type_names import default_type_problem
from sqlalchemy.exc import SQLAlchemyError

from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding
from msp_xero_console.project import WORKLOG_MAPPING
from msp_xero_console.words import moment, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msp_xero.ledger import Ledger

    from msp_xero_console.checks.scene import Scene

JOBS = ("accounts", "worklog-types", "worklogs")
OLD = timedelta(days=2)
"""Jobs are meant to run every night: one that has not come for two was forgotten or fails."""


def ledger(scene: Scene) -> Iterator[Finding]:
    """Check that the ledger can be read, and what it says of itself; it stays open for the other checks."""
    url = scene.project.ledger_url
    where = shown(url)
    try:
        look = scene.enter(look_at(url, connection=scene.project.connection))
    except MspXeroError as error:
        yield Finding("ledger", FAILED, str(error), "A backup may be put in its place: docs/operations.md.")
        return
    except SQLAlchemyError as error:
        yield Finding("ledger", FAILED, f"{where} cannot be used ({type(error).__name__}). Is it a ledger?")
        return
    if look.revision is None:
        yield Finding("ledger", OK, f"{where} is not there yet; the first run makes it")
        return
    if look.is_older:
        seen = f"{where}, version {look.revision}; this program brings version {HEAD_REVISION}"
        yield Finding("ledger", WARNING, seen, "Make a backup: the next run upgrades it.")
        return
    name = scene.project.connection
    if look.ledger is None:
        yield Finding("ledger", OK, f"{where}, version {look.revision}; connection {name} begins with a run")
        return
    scene.ledger = look.ledger
    yield Finding("ledger", OK, f"{where}, version {look.revision}, connection {name}")
    if shared := views.count_shared_ids(look.ledger):
        yield Finding(
            "worklog ids",
            WARNING,
            f"{plural(shared, 'worklog')} with the id of another, different one",
            "Both are billed. Compare them once: `msp-xero worklogs show ID` shows both.",
        )


def default_type(scene: Scene) -> Iterator[Finding]:
    """Check that the default worklog type can be billed; `meltano run worklogs` refuses one that cannot."""
    setting = "default_worklog_type"
    name = str(scene.project.mapping.get(setting) or "").strip()
    if not name or scene.ledger is None:
        return
    if problem := default_type_problem(scene.ledger, name):
        yield Finding(setting, FAILED, problem, f"Set it for the mapping {WORKLOG_MAPPING}.")
    else:
        yield Finding(setting, OK, name)


def runs(scene: Scene) -> Iterator[Finding]:
    """Say how the last run of each job ended, and how long ago."""
    if scene.ledger is None:
        return
    now = scene.clock.now()
    found = last_runs(scene.ledger)
    for job in JOBS:
        run = found.get(job)
        if run is None:
            continue
        at = run.finished_at or run.started_at
        if run.outcome == "failed":
            seen = f"failed {moment(at)}: {run.error or 'no reason was kept'}"
            yield Finding(f"last run of {job}", WARNING, seen, "See `msp-xero status`, then run it again.")
        elif now - at > OLD:
            seen = f"the last one was {_ago(now - at)}, {moment(at)}"
            yield Finding(f"last run of {job}", WARNING, seen, "Is its schedule still there?")
        else:
            yield Finding(
                f"last run of {job}", OK, f"{(run.outcome or 'begun').replace('_', ' ')} {moment(at)}"
            )


def bookmarks(scene: Scene) -> Iterator[Finding]:
    """Say up to when worklogs have come; an old bookmark means a module that is not read any more."""
    if scene.ledger is None:
        return
    yield from bookmarks_of(scene.ledger, scene.clock.now())


def bookmarks_of(ledger: Ledger, now: datetime) -> Iterator[Finding]:
    """Judge the age of the bookmark of each module."""
    newest: dict[str, datetime] = {}
    for (module, _), at in known_positions(ledger).items():
        newest[module] = max(at, newest.get(module, datetime.min.replace(tzinfo=UTC)))
    if not newest:
        return
    reached = ", ".join(f"{module} {at:%Y-%m-%d}" for module, at in sorted(newest.items()))
    last = max(newest.values())
    if last > now + timedelta(minutes=10):
        yield Finding(
            "bookmarks",
            WARNING,
            f"they are ahead of this machine's clock: {reached}",
            "Compare the clocks of this machine and of ServiceDesk Plus.",
        )
    elif now - last > OLD:
        yield Finding(
            "bookmarks",
            WARNING,
            f"nothing has come since {last:%Y-%m-%d}, {_ago(now - last)}: {reached}",
            "Run `meltano run worklogs`, or look why its schedule does not.",
        )
    else:
        yield Finding("bookmarks", OK, f"read up to: {reached}")


def _ago(span: timedelta) -> str:
    return f"{plural(span.days, 'day')} ago"
