"""What is extracted, and how far back: the settings beside the connection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from msp_xero.errors import SettingError
from singer_sdk import typing as th

from tap_msp_sdp.modules import MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping

DISCOVERIES: Final = ("parents", "global")
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000

EXTRACTION: Final[tuple[th.Property[Any], ...]] = (
    th.Property(
        "modules",
        th.ArrayType(th.StringType(allowed_values=list(MODULES))),
        default=list(MODULES),
        title="Modules",
        description="Where worklogs are taken from. projects covers the tasks of projects and milestones, "
        "tasks covers general tasks and those of requests, problems and changes. "
        "Example: [requests, tasks].",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="The first run reads parents that were changed since then (and all that are open where a "
        "module cannot be asked by time of change); later runs follow the bookmark. UTC. "
        "Example: 2026-01-01T00:00:00Z.",
    ),
    th.Property(
        "overlap_minutes",
        th.IntegerType(minimum=0),
        default=10,
        title="Overlap",
        description="Minutes before the bookmark that are read again, against clocks and late commits. "
        "Example: 10.",
    ),
    th.Property(
        "sweep_days",
        th.IntegerType(minimum=0),
        default=0,
        title="Sweep",
        description="Days; read also all parents that are open or were changed or closed within them, as "
        "a worklog may not touch its parent's time of change. 0 is off. Where other runs go without, let "
        "their window_days be no shorter, or they forget what was closed within this time. Example: 30.",
    ),
    th.Property(
        "window_days",
        th.IntegerType(minimum=0),
        default=31,
        title="Window",
        description="Where a module cannot be asked by time of change: days that a closed parent is still "
        "read again, beside all open ones. Once it can be asked, the first run reaches back as far. "
        "Example: 31.",
    ),
    th.Property(
        "task_discovery",
        th.StringType,
        default="parents",
        allowed_values=list(DISCOVERIES),
        title="Task discovery",
        description="parents asks each request, problem, change and project for its tasks; global takes them "
        "from the one list of all tasks, which is cheaper but needs a list that is complete and names the "
        "parents, and a task's time follows its ticket to another account only when the task changes, too, "
        "or is swept. Example: parents.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionSettings:
    """Checked settings of the extraction. ``start_ms`` is epoch milliseconds or None."""

    modules: tuple[str, ...] = tuple(MODULES)
    start_ms: int | None = None
    overlap_ms: int = 10 * MINUTE_MS
    sweep_ms: int = 0
    window_ms: int = 31 * DAY_MS
    task_discovery: str = "parents"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Check a configuration; None counts as not set.

        Raises:
            SettingError: a setting is wrong; it names the setting and gives an example.
        """
        modules = config.get("modules")
        modules = list(MODULES) if modules is None else modules
        if not isinstance(modules, list) or not modules or not set(modules) <= set(MODULES):
            raise SettingError("modules", f"must be a list of {', '.join(MODULES)}", "[requests, tasks]")
        discovery = config.get("task_discovery") or "parents"
        if discovery not in DISCOVERIES:
            raise SettingError("task_discovery", "must be parents or global", "parents")
        return cls(
            modules=tuple(name for name in MODULES if name in modules),
            start_ms=_start(config.get("start_date")),
            overlap_ms=_whole(config, "overlap_minutes", 10) * MINUTE_MS,
            sweep_ms=_whole(config, "sweep_days", 0) * DAY_MS,
            window_ms=_whole(config, "window_days", 31) * DAY_MS,
            task_discovery=discovery,
        )


def to_ms(text: str) -> int:
    """Return epoch milliseconds of an ISO time; one without a zone is UTC.

    Raises:
        ValueError: it is no ISO time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _start(value: object) -> int | None:
    if value is None:
        return None
    try:
        return to_ms(str(value))
    except (ValueError, OverflowError):
        raise SettingError("start_date", "is not a date", "2026-01-01T00:00:00Z") from None


def _whole(config: Mapping[str, Any], name: str, default: int) -> int:
    value = config.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingError(name, "must be a whole number, 0 or more", str(default or 30))
    return value
