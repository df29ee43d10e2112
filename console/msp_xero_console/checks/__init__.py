"""What ``msp-xero doctor`` looks at. Each check reads, judges, and says what to do; none changes anything."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from msp_xero.errors import MspXeroError

from msp_xero_console.checks.books import fallbacks, lock_dates, time_zone
from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding, failure
from msp_xero_console.checks.ledger import bookmarks, default_type, ledger, runs
from msp_xero_console.checks.machine import disk
from msp_xero_console.checks.mapper import mappings
from msp_xero_console.checks.scene import Scene
from msp_xero_console.checks.sdp import sdp
from msp_xero_console.checks.settings import agreement, settings, settings_of, switches
from msp_xero_console.checks.xero import xero
from msp_xero_console.xero_token_check import xero_logins, xero_scopes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from msp_xero.edges.watching import Watch

    from msp_xero_console.project import Project

log: Final = logging.getLogger(__name__)

# Cheap ones first. Each takes the scene; what it finds out for the others stands there.
CHECKS: Final[tuple[tuple[str, Callable[[Scene], Iterable[Finding]]], ...]] = (
    ("settings", settings),
    ("agreement of the plugins", lambda scene: agreement(scene.project)),
    ("jobs", lambda scene: switches(scene.project)),
    ("ledger", ledger),
    ("default worklog type", default_type),
    ("disk", disk),
    ("last runs", runs),
    ("bookmarks", bookmarks),
    ("mappings", mappings),
    ("ServiceDesk Plus", sdp),
    # Before anything renews it, and after.
    ("Xero login", lambda scene: (Finding(*line) for line in xero_logins(scene.project))),
    ("Xero", xero),
    ("Xero scopes", lambda scene: (Finding(*line) for line in xero_scopes(scene.project, scene.store))),
)


def examine(
    project: Project, *, tell: Callable[[str], None] = lambda _: None, watch: Watch | None = None
) -> Iterator[Finding]:
    """Yield the findings of all checks; one that fails hides none of those after it.

    Args:
        project: what is examined.
        tell: called with what is looked at next, to show progress.
        watch: shown every call and answer, to record them.
    """
    scene = Scene(project, tell, watch)
    try:
        for subject, check in CHECKS:
            tell(subject)
            try:
                yield from check(scene)
            except MspXeroError as error:
                yield failure(subject, error)
            except Exception as error:
                log.debug("the check of %s failed", subject, exc_info=True)
                seen = (
                    f"this check failed itself ({type(error).__name__}); the others are not touched by that"
                )
                yield Finding(subject, FAILED, seen, "Please report it, with what --live-checklist writes.")
    finally:
        scene.close()


__all__ = [
    "FAILED",
    "OK",
    "WARNING",
    "Finding",
    "agreement",
    "examine",
    "fallbacks",
    "lock_dates",
    "settings_of",
    "switches",
    "time_zone",
]
