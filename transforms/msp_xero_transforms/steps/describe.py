"""Describe: the text that the customer reads on the invoice line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msp_xero.errors import SettingError

from msp_xero_transforms.plain_text import from_html, shorten, tidy
from msp_xero_transforms.steps.contract import CHECKS, read_worklog
from msp_xero_transforms.steps.duration import hours

if TYPE_CHECKING:
    from collections.abc import Callable

    from msp_xero_transforms.rules import Rules
    from msp_xero_transforms.steps.line import Line

MAX_DESCRIPTION = 4_000
"""What Xero takes, in UTF-16 code units."""
RESERVED = 80
"""What is left free for the marker that target-xero-invoices adds."""

_SETTING = "description_template"
_EXAMPLE = "'{{ work_date }} {{ technician_name }}: {{ text }}'"


@dataclass(frozen=True, slots=True)
class DescriptionTemplate:
    """A compiled template and the names it reads."""

    template: Template
    names: frozenset[str]


def describe(line: Line, rules: Rules) -> Line:
    """Render the description; a template that fails on a worklog holds it and loses nothing."""
    template = rules.description_template
    try:
        context = {name: _value(name, line, rules) for name in template.names}
        text = tidy(template.template.render(context))
    except Exception as error:  # noqa: BLE001 - a template of the user's can raise whatever it likes
        return line.hold("INVALID_RECORD", f"The description template fails on this worklog: {error}")
    return line.having(
        description=shorten(text or _fallback(line), MAX_DESCRIPTION - RESERVED),
    )


def _value(name: str, line: Line, rules: Rules) -> Any:
    if name in _DERIVED:
        return _DERIVED[name](line)
    value = line.worklog[name]
    return value.astimezone(rules.time_zone) if isinstance(value, datetime) else value


def _parent(line: Line) -> str:
    """Name the ticket as people do: ``Request 45``."""
    worklog = line.worklog
    kind = (worklog["parent_module"] or line.module).capitalize()
    return f"{kind} {worklog['parent_display_id'] or worklog['parent_id'] or ''}".rstrip()


def _text(line: Line) -> str:
    # More than a line holds is never shown, and templates need not chew on megabytes.
    return shorten(from_html(line.worklog["description"] or ""), MAX_DESCRIPTION)


def _duration(line: Line) -> str:
    whole, rest = divmod(line.minutes, 60)
    return (
        " ".join(part for part in (f"{whole} h" if whole else "", f"{rest} min" if rest else "") if part)
        or "0 min"
    )


def _fallback(line: Line) -> str:
    """Xero refuses an empty description."""
    return line.worklog_type_name or f"Worklog {line.worklog_id}"


_DERIVED: dict[str, Callable[[Line], Any]] = {
    "worklog_id": lambda line: line.worklog_id,
    "module": lambda line: line.module,
    "parent": _parent,
    "text": _text,
    "work_date": lambda line: line.work_date,
    "duration": _duration,
    "hours": lambda line: f"{hours(line.minutes).normalize():f}",
    "quantity": lambda line: line.quantity,
    "unit_price": lambda line: line.unit_price,
    "amount": lambda line: line.amount,
    "lump_sum": lambda line: line.lump_sum,
    "worklog_type_name": lambda line: line.worklog_type_name,
}

NAMES = frozenset(_DERIVED) | (frozenset(CHECKS) - {"description"})
"""What a template can read. The description itself is HTML; ``text`` is it as plain text."""


def compile_template(source: str) -> DescriptionTemplate:
    """Compile a template and try it on a made-up worklog.

    Raises:
        SettingError: if it is no Jinja2, reads a name that does not exist, or cannot be rendered.
    """
    # Autoescape is for HTML pages; this text goes into JSON.
    environment = ImmutableSandboxedEnvironment(
        autoescape=False,
        undefined=StrictUndefined,
        finalize=lambda value: "" if value is None else value,
    )
    try:
        template = environment.from_string(source)
        names = frozenset(meta.find_undeclared_variables(environment.parse(source))) - set(
            environment.globals
        )
    except TemplateError as error:
        raise SettingError(_SETTING, f"is not a valid Jinja2 template ({error})", _EXAMPLE) from None
    for unknown in sorted(names - NAMES):
        raise SettingError(_SETTING, f"reads {unknown}, which does not exist;{_hint(unknown)}", _EXAMPLE)
    # Custom fields have types that cannot be known here, so such a template is first tried in earnest.
    if not names & {"udf_fields", "extra"}:
        _try_out(template, names)
    return DescriptionTemplate(template, names)


def _hint(unknown: str) -> str:
    close = (
        "text" if unknown == "description" else next(iter(difflib.get_close_matches(unknown, NAMES, 1)), None)
    )
    return f" did you mean {close}?" if close else f" it can read {', '.join(sorted(NAMES))}"


def _try_out(template: Template, names: frozenset[str]) -> None:
    now = datetime(2026, 3, 31, 9, 30, tzinfo=UTC)
    record = dict.fromkeys(CHECKS, "1") | {
        "minutes": 90,
        "is_billable": True,
        "udf_fields": {},
        "extra": {},
        **dict.fromkeys(("start_time", "end_time", "created_time", "parent_updated_time"), now.isoformat()),
    }
    line = read_worklog(record, key=("request", "1"), origin="tap").having(
        work_date=now.date(),
        quantity=hours(90),
        unit_price=Decimal(1),
        amount=Decimal(1),
        worklog_type_name="1",
    )
    context = {name: _DERIVED[name](line) if name in _DERIVED else line.worklog[name] for name in names}
    try:
        template.render(context)
    except Exception as error:  # noqa: BLE001 - a template of the user's can raise whatever it likes
        raise SettingError(_SETTING, f"cannot be rendered ({error})", _EXAMPLE) from None
