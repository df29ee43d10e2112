"""``search_criteria``: all conditions and short forms, nested fields, arrays, children (sdp-msp-api §2)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp.columns import ABSENT
from msp_xero_sandbox.sdp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from msp_xero_sandbox.sdp.columns import Column
    from msp_xero_sandbox.sdp.reading import Reader
    from msp_xero_sandbox.sdp.store import Row

_SHORT = {
    "=": "is",
    "eq": "is",
    "!=": "is not",
    "neq": "is not",
    "gt": "greater than",
    "gte": "greater or equal",
    "lt": "lesser than",
    "lte": "lesser or equal",
}
_EMPTY = (None, "$(none)")


class Criteria:
    """Compiled criteria of one list call."""

    def __init__(self, reader: Reader, columns: Mapping[str, Column], raw: Any) -> None:
        self._reader = reader
        self._columns = columns
        entries = raw if isinstance(raw, list) else [raw]
        if not all(isinstance(entry, dict) for entry in entries):
            raise Refusal(4021, field="search_criteria")
        self._tests = [(_joined_by_or(entry), self._compile(entry)) for entry in entries]
        self._entries = entries

    def accepts(self, row: Row) -> bool:
        """Whether a row fulfils the criteria, read from left to right."""
        result = True
        for number, (is_or, test) in enumerate(self._tests):
            if number == 0:
                result = test(row)
            elif is_or:
                result = result or test(row)
            else:
                result = result and test(row)
        return result

    def bounds(self, field: str) -> tuple[int | None, int | None] | None:
        """Return the lowest and highest time that pass, when the criteria are only a range of one field.

        This lets a list in the order of that field start in the right place instead of reading all rows.
        """
        low: int | None = None
        high: int | None = None
        if not self._columns[field].is_time:
            return None
        for number, entry in enumerate(self._entries):
            if entry.get("field") != field or entry.get("children") or "values" in entry:
                return None
            if number and _joined_by_or(entry):
                return None
            value = int(_as_time(entry.get("value"), field))
            match _condition(entry):
                case "greater or equal":
                    low = value if low is None else max(low, value)
                case "greater than":
                    low = value + 1 if low is None else max(low, value + 1)
                case "lesser or equal":
                    high = value if high is None else min(high, value)
                case "lesser than":
                    high = value - 1 if high is None else min(high, value - 1)
                case _:
                    return None
        return low, high

    def _compile(self, entry: dict[str, Any]) -> Callable[[Row], bool]:
        children = entry.get("children") or []
        if not isinstance(children, list) or not all(isinstance(child, dict) for child in children):
            raise Refusal(4021, field="children")
        compiled = [(_joined_by_or(child), self._compile(child)) for child in children]
        if "field" in entry:
            compiled.insert(0, (False, self._compile_one(entry)))
        if not compiled:
            raise Refusal(4001, field="search_criteria", text="A criterion needs a field or children.")
        if len(compiled) == 1:
            return compiled[0][1]

        def test(row: Row) -> bool:
            result = compiled[0][1](row)
            for is_or, child in compiled[1:]:
                result = (result or child(row)) if is_or else (result and child(row))
            return result

        return test

    def _compile_one(self, entry: dict[str, Any]) -> Callable[[Row], bool]:
        path = entry["field"]
        name, *rest = str(path).split(".")
        column = self._columns.get(name)
        if column is None:
            raise Refusal(4001, field=str(path), text=f"The field {path} cannot be searched.")
        condition = _condition(entry)
        given = entry["values"] if "values" in entry else [entry.get("value")]
        if not isinstance(given, list) or not given:
            raise Refusal(4021, field=str(path))
        wanted = [None if value in _EMPTY else value for value in map(_unwrap, given)]
        if column.is_time:
            wanted = [None if value is None else _as_time(value, name) for value in wanted]
        if condition in {"between", "not between"} and len(wanted) != 2:
            raise Refusal(4021, field=str(path), text="between needs two values.")
        reader, read = self._reader, column.read

        def test(row: Row) -> bool:
            return _matches(condition, _follow(read(reader, row), rest), wanted)

        return test


def _condition(entry: Mapping[str, Any]) -> str:
    given = str(entry.get("condition", "")).strip()
    condition = _SHORT.get(given, given)
    if condition not in _CONDITIONS:
        raise Refusal(4001, field="condition", text=f"There is no condition {given!r}.")
    return condition


def _joined_by_or(entry: Mapping[str, Any]) -> bool:
    operator = str(entry.get("logical_operator", "AND")).upper()
    if operator not in {"AND", "OR"}:
        raise Refusal(4001, field="logical_operator")
    return operator == "OR"


def _unwrap(value: Any) -> Any:
    """Times and references may be given as objects."""
    if isinstance(value, dict):
        return value.get("value", value.get("id", value.get("name")))
    return value


def _as_time(value: Any, field: str) -> Decimal:
    number = _number(_unwrap(value))
    if number is None:
        raise Refusal(4021, field=field, text=f"{value!r} is not a time in milliseconds.")
    return number


def _follow(value: Any, rest: list[str]) -> Any:
    for name in rest:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    if value is ABSENT:
        return None
    if isinstance(value, dict) and not rest:
        # A reference without a member is compared by its name.
        return value.get("name", value.get("value"))
    return value


def _matches(condition: str, actual: Any, wanted: list[Any]) -> bool:
    if actual is None:
        # Only these say something about a value that is not there.
        return condition in _ON_NOTHING and _ON_NOTHING[condition](wanted)
    return _CONDITIONS[condition](actual, wanted)


def _between(actual: Any, wanted: list[Any]) -> bool:
    return _compare(actual, wanted[0]) >= 0 and _compare(actual, wanted[1]) <= 0


def _equal(actual: Any, value: Any) -> bool:
    if value is None:
        return False
    if isinstance(actual, bool):
        return str(actual).lower() == str(value).lower()
    return _compare(actual, value) == 0


def _compare(actual: Any, value: Any) -> int:
    """Compare as numbers when both are, else as text without regard to case, as databases do."""
    left, right = _number(actual), _number(value)
    if left is None or right is None:
        left_text, right_text = _fold(actual), _fold(value)
        return (left_text > right_text) - (left_text < right_text)
    return (left > right) - (left < right)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, Decimal):
        return value
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _fold(value: Any) -> str:
    return str(value).casefold()


_ON_NOTHING: dict[str, Callable[[list[Any]], bool]] = {
    "is": lambda wanted: None in wanted,
    "is not": lambda wanted: None not in wanted,
    "not contains": lambda _: True,
}
_CONDITIONS: dict[str, Callable[[Any, list[Any]], bool]] = {
    "is": lambda actual, wanted: any(_equal(actual, value) for value in wanted),
    "is not": lambda actual, wanted: not any(_equal(actual, value) for value in wanted),
    "greater than": lambda actual, wanted: _compare(actual, wanted[0]) > 0,
    "greater or equal": lambda actual, wanted: _compare(actual, wanted[0]) >= 0,
    "lesser than": lambda actual, wanted: _compare(actual, wanted[0]) < 0,
    "lesser or equal": lambda actual, wanted: _compare(actual, wanted[0]) <= 0,
    "between": _between,
    "not between": lambda actual, wanted: not _between(actual, wanted),
    "starts with": lambda actual, wanted: any(_fold(actual).startswith(_fold(value)) for value in wanted),
    "ends with": lambda actual, wanted: any(_fold(actual).endswith(_fold(value)) for value in wanted),
    "contains": lambda actual, wanted: any(_fold(value) in _fold(actual) for value in wanted),
    "not contains": lambda actual, wanted: not any(_fold(value) in _fold(actual) for value in wanted),
}
