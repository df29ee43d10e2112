"""Probes about requests, problems, changes, projects and tasks."""

from __future__ import annotations

from typing import Any, Final

from msp_xero.sdp.dialects import epoch_ms

from msp_xero_console.live.sdp_ground import (
    MODULES,
    SdpGround,
    identity,
    listed,
    outcome,
    rows_in,
    rows_shape,
)

_ACCOUNTS: Final = ("account", "customer")
_PEOPLE: Final = ("requester", "reported_by", "change_requester", "owner")
_PARENTS: Final = ("request", "problem", "change", "project", "milestone", "release")


def accounts_of(ground: SdpGround) -> list[str]:
    """Say for each module where its rows tell an account."""
    said = []
    columns = ["id", "site", "status", *_ACCOUNTS, *_PEOPLE]
    for module in MODULES:
        wanted = listed(fields_required=columns)
        rows = rows_in(ground.get(module, wanted | {"fields_required": columns}))
        single = [one for each in rows[:1] if (one := _single(ground, module, each))]
        where = {
            "the row": _count(rows, _has_account),
            "its site": _count(rows, lambda each: _has_account(each.get("site"))),
            "a person": _count(rows, lambda each: any(_has_account(each.get(name)) for name in _PEOPLE)),
            "the single row": _count(single, _has_account),
        }
        told = ", ".join(f"{place} {count}" for place, count in where.items())
        status = {type(each.get("status")).__name__ for each in rows}
        said.append(
            f"{module}: {len(rows)} rows; with an account in {told}; "
            f"status is {', '.join(sorted(status)) or 'none'}"
        )
    site = next(
        (each["site"] for each in ground.rows("requests") if isinstance(each.get("site"), dict)), None
    )
    if site and (number := identity(site)):
        said.append(outcome("GET sites/{id}", ground.get(f"sites/{number}")))
    return said


def last_updated(ground: SdpGround) -> list[str]:
    """Ask each module to show, sort by and filter by its time of change."""
    field = "last_updated_time"
    since = {"field": field, "condition": "greater or equal", "value": "1"}
    said = []
    for module in MODULES:
        shown = rows_in(ground.get(module, listed(fields_required=["id", field])))
        has = _count(shown, lambda each: each.get(field) is not None)
        sorted_ = ground.get(
            module, listed(sort_field=field, sort_order="asc", fields_required=["id", field])
        )
        filtered = ground.get(module, listed(search_criteria=since, fields_required=["id", field]))
        values = [_value(each.get(field)) for each in rows_in(sorted_)]
        order = "in order" if values == sorted(values) else "not in order"
        said += [
            f"{module}: {has} of {len(shown)} rows have it",
            outcome(f"{module} sorted by it ({order})", sorted_),
            outcome(f"{module} filtered by it", filtered),
        ]
    return said


def tasks_list(ground: SdpGround) -> list[str]:
    """Compare the global list of tasks with the tasks below a few parents."""
    columns = ["id", "title", *_PARENTS, *_ACCOUNTS]
    probed = ground.get("tasks", listed(row_count=100, get_total_count=True, fields_required=columns))
    rows = rows_in(probed)
    parents = {name: _count(rows, lambda each, name=name: bool(each.get(name))) for name in _PARENTS}
    said = [
        outcome("GET tasks", probed),
        f"parents named: {', '.join(f'{name} {count}' for name, count in parents.items())}",
        rows_shape("a row", rows[:5]),
    ]
    known = {identity(each) for each in rows}
    for module in MODULES[:-1]:
        below = [
            identity(task)
            for parent in ground.rows(module)[:5]
            if (number := identity(parent))
            for task in rows_in(ground.get(f"{module}/{number}/tasks", listed(row_count=100)))
        ]
        missing = sum(task not in known for task in below)
        said.append(
            f"tasks below a few {module}: {len(below)}, of these not in the first 100 of the list: {missing}"
        )
    return said


def project_tasks(ground: SdpGround) -> list[str]:
    """Compare the tasks of a project with those of its milestones; ask for its time sheet."""
    said = []
    for project in ground.rows("projects"):
        number = identity(project)
        milestones = rows_in(ground.get(f"projects/{number}/milestones", listed())) if number else []
        if not milestones:
            continue
        direct = {
            identity(each) for each in rows_in(ground.get(f"projects/{number}/tasks", listed(row_count=100)))
        }
        below = {
            identity(task)
            for milestone in milestones
            if (own := identity(milestone))
            for task in rows_in(
                ground.get(f"projects/{number}/milestones/{own}/tasks", listed(row_count=100))
            )
        }
        if not below:
            continue
        said.append(
            f"a project has {len(direct)} tasks in its list, its milestones have {len(below)}; "
            f"in both: {len(direct & below)}"
        )
        said.append(outcome("GET projects/{id}/_timesheet", ground.get(f"projects/{number}/_timesheet")))
        break
    return said or ["no project with tasks in milestones was found"]


def releases(ground: SdpGround) -> list[str]:
    """Ask for releases."""
    return [outcome("GET releases", ground.get("releases", listed(row_count=1)))]


def _single(ground: SdpGround, module: str, row: dict[str, Any]) -> dict[str, Any] | None:
    number = identity(row)
    payload = ground.get(f"{module}/{number}").payload if number else {}
    one = payload.get(module.removesuffix("s"))
    return one if isinstance(one, dict) else None


def _has_account(holder: object) -> bool:
    return isinstance(holder, dict) and any(isinstance(holder.get(name), dict) for name in _ACCOUNTS)


def _count(rows: list[dict[str, Any]], holds: Any) -> int:
    return sum(bool(holds(each)) for each in rows)


def _value(raw: Any) -> int:
    return epoch_ms(raw) or 0
