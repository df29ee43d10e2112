"""Account fields: what SDP knows of them, and which of the wanted values differ from what it has.

Fields are named by path, ``city`` or ``udf_fields.udf_sline_101``. The container of custom fields is
called differently on some builds; paths here always say ``udf_fields``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

CUSTOM: Final = "udf_fields"
_CUSTOM_CONTAINERS: Final = (CUSTOM, "accountudf_fields")
_TEXT_TYPES: Final = frozenset({"string", "text", "html", "email", "url", "phone"})
_TIME_TYPES: Final = frozenset({"datetime", "date", "datestamp"})
_NUMBER_TYPES: Final = frozenset({"integer", "long", "double", "decimal", "float", "number", "currency"})
_LOOKUP: Final = "lookup"
_BOOLEAN: Final = "boolean"
TEXT, NUMBER, FLAG, TIME = "text", "number", "true or false", "time"
"""Kinds of values, as the mapper announces them for each field."""
_LENGTHS: Final = ("max_length", "maxlength", "length")

_PLURALS: Final = {TEXT: "texts", NUMBER: "numbers", FLAG: "true or false", TIME: "times"}

Values = dict[str, Any]
"""Values by path."""


@dataclass(frozen=True, slots=True)
class Field:
    """What the installation tells about one field."""

    kind: str = ""
    read_only: bool = False
    longest: int | None = None
    label: str = ""
    mandatory: bool = False

    @property
    def takes(self) -> str | None:
        """The only kind of value that the field takes; None when it takes any, or nobody tells."""
        if self.kind in _NUMBER_TYPES:
            return NUMBER
        if self.kind in _TIME_TYPES:
            return TIME
        return {_BOOLEAN: FLAG, _LOOKUP: TEXT}.get(self.kind)


@dataclass(frozen=True, slots=True)
class AccountFields:
    """The fields of accounts on one installation; ``known`` is None when it does not tell."""

    known: Mapping[str, Field] | None = None
    container: str = CUSTOM

    @classmethod
    def from_metainfo(cls, metainfo: Mapping[str, Any]) -> Self:
        """Read the answer of ``accounts/_metainfo``; what has another shape counts as "not told"."""
        inner = metainfo.get("metainfo")
        members = (inner if isinstance(inner, dict) else metainfo).get("fields")
        if not isinstance(members, dict) or not members:
            return cls()
        container = next((name for name in _CUSTOM_CONTAINERS if name in members), CUSTOM)
        known = {
            name: _field(told)
            for name, told in members.items()
            if name != container and isinstance(told, dict)
        }
        custom = members.get(container)
        inside = custom.get("fields") if isinstance(custom, dict) else None
        for name, told in (inside if isinstance(inside, dict) else {}).items():
            known[f"{CUSTOM}.{name}"] = _field(told if isinstance(told, dict) else {})
        return cls(known, container)

    def faults(self, paths: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
        """Return what is wrong with each field that cannot be written.

        Args:
            paths: the fields; as a mapping with the kind of value that each is to receive, "" if any.
        """
        if self.known is None:
            return {}
        kinds = paths if isinstance(paths, Mapping) else {}
        faults = {}
        for path in paths:
            field, kind = self.known.get(path), kinds.get(path, "")
            if field is None:
                faults[path] = "does not exist"
            elif field.read_only:
                faults[path] = "is read-only"
            elif kind and field.takes not in (None, kind):
                faults[path] = f"takes {_PLURALS[str(field.takes)]}, not {_PLURALS[kind]}"
        return faults

    def mandatory(self) -> list[str]:
        """Return the fields that a new account must have, as far as the installation tells."""
        return [path for path, field in (self.known or {}).items() if field.mandatory and not field.read_only]

    def called(self, path: str) -> str:
        """Return a field's path with the name that its administrator knows it by."""
        label = (self.known or {}).get(path, Field()).label
        return f"{path} ({label})" if label and label != path else path

    def too_long(self, values: Values) -> list[str]:
        """Say of each text that is longer than its field how long it may be."""
        sayings = []
        for path, value in values.items():
            longest = (self.known or {}).get(path, Field()).longest
            if longest is not None and isinstance(value, str) and len(value) > longest:
                sayings.append(
                    f"{self.called(path)} has {len(value)} characters, ServiceDesk Plus MSP takes {longest}"
                )
        return sayings

    def columns(self, paths: Iterable[str]) -> list[str]:
        """Return the columns to ask a list for."""
        tops = {self.container if path.startswith(f"{CUSTOM}.") else path for path in paths}
        return sorted(tops)

    def as_sent(self, path: str, value: Any) -> Any:
        """Return a value in the form that its field takes."""
        kind = (self.known or {}).get(path, Field()).kind
        if kind in _TEXT_TYPES and not isinstance(value, str | dict | list):
            return _plain(value)
        if kind in _TIME_TYPES and isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                return value
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return {"value": str(int(moment.timestamp() * 1000))}
        if kind == _LOOKUP and isinstance(value, str):
            return {"name": value}
        return value

    def current(self, row: Mapping[str, Any], path: str) -> Any:
        """Return the value that an account has."""
        if path.startswith(f"{CUSTOM}."):
            inside = row.get(self.container)
            return inside.get(path.removeprefix(f"{CUSTOM}.")) if isinstance(inside, dict) else None
        return row.get(path)

    def delivers(self, row: Mapping[str, Any], path: str) -> bool:
        """Whether a row tells the value of a field at all."""
        if path.startswith(f"{CUSTOM}."):
            inside = row.get(self.container)
            return isinstance(inside, dict) and path.removeprefix(f"{CUSTOM}.") in inside
        return path in row

    def nested(self, values: Values) -> dict[str, Any]:
        """Return values by path as the members that the API takes."""
        members: dict[str, Any] = {}
        for path, value in values.items():
            sent = self.as_sent(path, value)
            if path.startswith(f"{CUSTOM}."):
                members.setdefault(self.container, {})[path.removeprefix(f"{CUSTOM}.")] = sent
            else:
                members[path] = sent
        return members

    def changes(self, row: Mapping[str, Any], wanted: Values) -> Values:
        """Return the wanted values that differ from what the account has."""
        return {
            path: value
            for path, value in wanted.items()
            if not same(self.as_sent(path, value), self.current(row, path))
        }


def canonical(path: str) -> str:
    """Return a field's path with the name that containers of custom fields have here."""
    container, dot, name = path.rpartition(".")
    return f"{CUSTOM}.{name}" if dot and container in _CUSTOM_CONTAINERS else path


def flatten(fields: Mapping[str, Any]) -> Values:
    """Return the wanted values by path. A value of None or "" says nothing, so it overwrites nothing."""
    flat = {name: value for name, value in fields.items() if name not in _CUSTOM_CONTAINERS}
    for container in _CUSTOM_CONTAINERS:
        inside = fields.get(container)
        for name, value in (inside if isinstance(inside, dict) else {}).items():
            flat[f"{CUSTOM}.{name}"] = value
    return {path: value for path, value in flat.items() if value not in (None, "")}


def field_paths(fields: Mapping[str, Any]) -> set[str]:
    """Return the paths of all mapped fields, those without a value too."""
    paths = {name for name in fields if name not in _CUSTOM_CONTAINERS}
    for container in _CUSTOM_CONTAINERS:
        inside = fields.get(container)
        paths |= {f"{CUSTOM}.{name}" for name in (inside if isinstance(inside, dict) else {})}
    return paths


def announced_kinds(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the mapped fields with their kinds of value, as the SCHEMA of the stream ``accounts`` tells.

    A SCHEMA that tells nothing of them announces none; the records then show which fields there are.
    """
    fields = _properties(_properties(schema).get("fields"))
    kinds = {name: _kind(told) for name, told in fields.items() if name not in _CUSTOM_CONTAINERS}
    for container in _CUSTOM_CONTAINERS:
        inside = _properties(fields.get(container))
        kinds |= {f"{CUSTOM}.{name}": _kind(told) for name, told in inside.items()}
    return kinds


def _properties(schema: Any) -> dict[str, Any]:
    found = schema.get("properties") if isinstance(schema, dict) else None
    return found if isinstance(found, dict) else {}


def _kind(told: Any) -> str:
    if not isinstance(told, dict):
        return ""
    types = told.get("type")
    names = set(types if isinstance(types, list) else [types]) - {"null"}
    if names == {"string"}:
        return TIME if told.get("format") == "date-time" else TEXT
    return (
        {"number": NUMBER, "integer": NUMBER, "boolean": FLAG}.get(names.pop(), "") if len(names) == 1 else ""
    )


def same(wanted: Any, current: Any) -> bool:
    """Whether a wanted value is what SDP has: it gives nearly everything back as text."""
    if isinstance(current, dict):
        if isinstance(wanted, dict):
            return all(same(value, current.get(name)) for name, value in wanted.items())
        return any(same(wanted, current.get(name)) for name in ("value", "name", "id") if name in current)
    if isinstance(wanted, dict):
        return current is not None and same(wanted.get("value", wanted.get("name")), current)
    if isinstance(wanted, int | float | Decimal) and not isinstance(wanted, bool):
        try:
            return Decimal(str(wanted)) == Decimal(str(current))
        except InvalidOperation:
            return False
    return _plain(wanted) == _plain(current)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("\r\n", "\n").strip()


def _field(told: Mapping[str, Any]) -> Field:
    limits = told.get("constraints")
    sources = (limits if isinstance(limits, dict) else {}, told)
    longest = next(
        (number for source in sources for name in _LENGTHS if (number := _whole(source.get(name)))), None
    )
    # A default of the installation's own fills a mandatory field.
    needed = told.get("mandatory") in (True, "true") and told.get("default_value") in (None, "")
    return Field(
        kind=str(told.get("type") or ""),
        read_only=told.get("read_only") in (True, "true"),
        longest=longest,
        label=str(told.get("display_name") or ""),
        mandatory=needed,
    )


def _whole(value: Any) -> int | None:
    try:
        return int(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError):
        return None
