"""Probes about worklogs."""

from __future__ import annotations

from typing import Any, Final

from msp_xero_console.live.sdp_ground import (
    MODULES,
    SdpGround,
    identity,
    listed,
    outcome,
    rows_in,
    rows_shape,
)
from msp_xero_console.live.shapes import names

_DIALECTS: Final = (
    ("new", {"owner_cost", "total_cost", "created_time", "type"}),
    ("cloud", {"tech_charge", "total_charge", "recorded_time", "owner"}),
    ("legacy", {"technician", "total_time_spent", "inc_nonOperationalHours"}),
)
# Left out of the Accept header's place, an installation answers in its old format (section 3.2).
_PLAIN: Final[dict[str, str | None]] = {"Accept": "application/json"}


def global_list(ground: SdpGround) -> list[str]:
    """Ask for a list of all worklogs in the ways it might be spelt."""
    since = {"field": "created_time", "condition": "greater or equal", "value": "1"}
    said = []
    for path in ("worklogs", "worklog"):
        probed = ground.get(path, listed(row_count=1))
        said.append(outcome(f"GET {path}", probed))
        if rows := rows_in(probed):
            said.append(rows_shape(f"GET {path}", rows))
            searched = ground.get(path, listed(row_count=1, search_criteria=since))
            said.append(outcome(f"GET {path} by created_time", searched))
    return said


def row(ground: SdpGround) -> list[str]:
    """Show which members worklogs have."""
    rows = [each for _, each in ground.worklogs()]
    if not rows:
        return ["the newest requests have no worklog"]
    return [f"looks like the dialect: {_dialect(rows)}", rows_shape(f"{len(rows)} worklogs", rows)]


def legacy_row(ground: SdpGround) -> list[str]:
    """Show which members the same worklogs have without the vendor's Accept header."""
    for path, _ in ground.worklogs():
        probed = ground.get(f"{path}/worklogs", listed(), headers=_PLAIN)
        rows = rows_in(probed)
        said = [outcome("GET requests/{id}/worklogs", probed)]
        if rows:
            said.append(f"looks like the dialect: {_dialect(rows)}")
            said.append(rows_shape(f"{len(rows)} worklogs", rows))
        return said
    return ["the newest requests have no worklog"]


def search(ground: SdpGround) -> list[str]:
    """Search worklogs below one parent by each name that the creation stamp has."""
    said = []
    for path, _ in ground.worklogs()[:1]:
        for field in ("created_time", "recorded_time"):
            since = {"field": field, "condition": "greater or equal", "value": "1"}
            probed = ground.get(f"{path}/worklogs", listed(search_criteria=since))
            said.append(outcome(f"GET requests/{{id}}/worklogs by {field}", probed))
    return said or ["the newest requests have no worklog"]


def metainfo(ground: SdpGround) -> list[str]:
    """Name the fields of a worklog's metadata."""
    for path, _ in ground.worklogs():
        probed = ground.get(f"{path}/worklogs/_metainfo", {"for": "form"})
        said = [outcome("GET requests/{id}/worklogs/_metainfo", probed)]
        fields = _fields(probed.payload)
        must = [
            key for key, told in fields.items() if isinstance(told, dict) and told.get("mandatory") is True
        ]
        return [*said, f"fields: {names(fields)}", f"mandatory: {names(must)}"]
    return ["the newest requests have no worklog"]


def ids(ground: SdpGround) -> list[str]:
    """Compare a few ids of worklogs of each module."""
    found: dict[str, set[str]] = {}
    for module in MODULES:
        found[module] = set()
        for parent in ground.rows(module):
            if (number := identity(parent)) is None:
                continue
            probed = ground.get(f"{module}/{number}/worklogs", listed(row_count=100))
            found[module] |= {one for each in rows_in(probed) if (one := identity(each))}
    counts = ", ".join(f"{module} {len(seen)}" for module, seen in found.items())
    shared = sum(len(found[a] & found[b]) for i, a in enumerate(MODULES) for b in MODULES[i + 1 :])
    lengths = sorted({len(one) for seen in found.values() for one in seen})
    return [
        f"worklogs seen: {counts}",
        f"ids that two modules share: {shared}",
        f"digits of an id: {', '.join(map(str, lengths)) or 'none seen'}",
    ]


def of_tasks(ground: SdpGround) -> list[str]:
    """Ask tasks for their worklogs directly, one of each kind of parent."""
    said = []
    kinds: dict[str, str] = {}
    for task in ground.rows("tasks"):
        number = identity(task)
        if number is None:
            continue
        one = ground.get(f"tasks/{number}")
        member: Any = one.payload.get("task") or {}
        parents = [key for key in ("request", "problem", "change", "project", "milestone") if member.get(key)]
        kinds.setdefault(parents[0] if parents else "none", number)
    for kind, number in sorted(kinds.items()):
        probed = ground.get(f"tasks/{number}/worklogs", listed())
        said.append(outcome(f"GET tasks/{{id}}/worklogs of a task with parent {kind}", probed))
    return said or ["there are no tasks in the global list"]


def _dialect(rows: list[dict[str, Any]]) -> str:
    keys = {key for each in rows for key in each}
    best = max(_DIALECTS, key=lambda one: len(keys & one[1]))
    return best[0] if keys & best[1] else "none that is known"


def _fields(payload: dict[str, Any]) -> dict[str, Any]:
    inner = payload.get("metainfo")
    fields = inner.get("fields") if isinstance(inner, dict) else None
    return fields if isinstance(fields, dict) else {}
