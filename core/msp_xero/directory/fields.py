"""Account fields: what SDP knows of them, and which of the wanted values differ from what it has.

Fields are named by path, ``city`` or ``udf_fields.udf_sline_101``. The container of custom fields is
called differently on some builds; paths here always say ``udf_fields``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CUSTOM: Final = "udf_fields"
_CUSTOM_CONTAINERS: Final = (CUSTOM, "accountudf_fields")
_TEXT_TYPES: Final = frozenset({"string", "text", "html", "email", "url", "phone"})
_TIME_TYPES: Final = frozenset({"datetime", "date", "datestamp"})
_LENGTHS: Final = ("max_length", "maxlength", "length")

Values = dict[str, Any]
"""Values by path."""


@dataclass(frozen=True, slots=True)
class Field:
    """What the installation tells about one field."""

    kind: str = ""
    read_only: bool = False
    longest: int | None = None


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

    def faults(self, paths: Iterable[str]) -> dict[str, str]:
        """Return what is wrong with each field that cannot be written."""
        if self.known is None:
            return {}
        faults = {}
        for path in paths:
            field = self.known.get(path)
            if field is None:
                faults[path] = "does not exist"
            elif field.read_only:
                faults[path] = "is read-only"
        return faults

    def too_long(self, values: Values) -> list[str]:
        """Say of each text that is longer than its field how long it may be."""
        sayings = []
        for path, value in values.items():
            longest = (self.known or {}).get(path, Field()).longest
            if longest is not None and isinstance(value, str) and len(value) > longest:
                sayings.append(f"{path} has {len(value)} characters, ServiceDesk Plus MSP takes {longest}")
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
    read_only = told.get("read_only")
    return Field(str(told.get("type") or ""), read_only is True or read_only == "true", longest)


def _whole(value: Any) -> int | None:
    try:
        return int(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError):
        return None
