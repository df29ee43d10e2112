"""The ``where`` filter: the subset that Xero calls optimised, and a QueryParseException for the rest."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msp_xero_sandbox.xero.answers import query_parse
from msp_xero_sandbox.xero.rows import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_TERM = re.compile(
    r"""\s*(?P<name>[A-Za-z][\w.]*)\s*(?P<op>==|!=|>=|<=|=|>|<)\s*
    (?: "(?P<string>(?:[^"\\]|\\.)*)"
      | (?P<kind>DateTime|guid)\s*\(\s*(?P<inside>[^)]*)\)
      | DateTime\.Parse\s*\(\s*"(?P<parsed>[^"]*)"\s*\)
      | (?P<number>-?\d+(?:\.\d+)?)[mMdD]?
      | (?P<word>true|false|null) ) \s*""",
    re.VERBOSE | re.IGNORECASE,
)
_AND = re.compile(r"&&|AND\b", re.IGNORECASE)
_TYPES = {"string": "String", "guid": "Guid", "time": "DateTime", "number": "Decimal", "bool": "Boolean"}


@dataclass(frozen=True, slots=True)
class Field(Generic[T]):
    """A member that can be filtered and ordered by, and its type: string, guid, time, number or bool."""

    type: str
    get: Callable[[T], Any]

    def read(self, row: T) -> Any:
        """Return the member in the form in which values are compared."""
        value = self.get(row)
        if value is None:
            return None
        if self.type == "string":
            return fold(value)
        if self.type == "time":
            return _as_time(value)
        return value.lower() if self.type == "guid" else value


def _as_time(value: date | datetime) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - filters know no zones


@dataclass(frozen=True, slots=True)
class _Term(Generic[T]):
    name: str
    field: Field[T]
    compare: Callable[[Any, Any], bool]
    value: Any
    guarded: bool

    def matches(self, row: T) -> bool:
        value = self.field.read(row)
        if self.value is None:
            return self.compare(value, None)
        if value is None:
            if self.guarded:
                raise query_parse(f"The value of '{self.name}' can be null and needs a check for it")
            return self.compare is operator.ne
        return self.compare(value, self.value)


def compile_where(
    text: str, fields: Mapping[str, Field[T]], *, null_guard: bool = False
) -> Callable[[T], bool]:
    """Read a filter into a test of one row.

    Args:
        text: Terms joined by ``AND`` or ``&&``.
        fields: What can be named, by lower-case path.
        null_guard: Refuse to compare a null that no ``!= null`` term excludes.

    Returns:
        The test.

    Raises:
        ApiError: The filter cannot be understood.
    """
    terms: list[_Term[T]] = []
    non_null: set[str] = set()
    position = 0
    while True:
        match = _TERM.match(text, position)
        if match is None:
            raise query_parse(f"Syntax error at position {position} in '{text}'")
        term = _term(match, fields, null_guard=null_guard and match["name"].lower() not in non_null)
        if term.value is None and term.compare is operator.ne:
            non_null.add(match["name"].lower())
        terms.append(term)
        position = match.end()
        if position == len(text):
            return lambda row: all(term.matches(row) for term in terms)
        joined = _AND.match(text, position)
        if joined is None:
            raise query_parse(f"Syntax error at position {position} in '{text}'")
        position = joined.end()


def _term(match: re.Match[str], fields: Mapping[str, Field[T]], *, null_guard: bool) -> _Term[T]:
    name, symbol = match["name"], match["op"]
    wanted = fields.get(name.lower())
    if wanted is None:
        raise query_parse(f"No property or field '{name}' exists")
    kind, value = _literal(match)
    if value is None and symbol not in {"==", "=", "!="}:
        raise query_parse(f"Operator '{symbol}' cannot be applied to null")
    if value is not None and (kind != wanted.type or (kind == "bool" and symbol not in {"==", "=", "!="})):
        types = f"'{_TYPES[wanted.type]}' and '{_TYPES[kind]}'"
        raise query_parse(f"Operator '{symbol}' incompatible with operand types {types}")
    return _Term(name, wanted, _OPERATORS[symbol], value, null_guard)


def _literal(match: re.Match[str]) -> tuple[str, Any]:
    if match["string"] is not None:
        return "string", fold(re.sub(r"\\(.)", r"\1", match["string"]))
    if match["number"] is not None:
        return "number", Decimal(match["number"])
    if match["word"] is not None:
        return "bool", {"true": True, "false": False, "null": None}[match["word"].lower()]
    try:
        if match["parsed"] is not None:
            return "time", _as_time(datetime.fromisoformat(match["parsed"]))
        if match["kind"].lower() == "guid":
            return "guid", match["inside"].strip().strip('"').lower()
        return "time", datetime(*[int(part) for part in match["inside"].split(",")])  # type: ignore[arg-type]  # noqa: DTZ001
    except (ValueError, TypeError) as error:
        raise query_parse(f"Bad literal in '{match[0].strip()}': {error}") from error
