"""What an answer looks like, without what it says: names of members, types and formats, counts.

Whatever is written here may be pasted into a public issue. So nothing of a value gets through: no text,
no number, no id. Names of members do, where they are names that the systems gave themselves.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from msp_xero_console.vocabulary import HEADERS, is_member

if TYPE_CHECKING:
    from collections.abc import Iterable

_HIDDEN: Final = "(a name that is not shown)"
_FORMATS: Final = (
    (re.compile(r"\d{13}"), "epoch milliseconds as text"),
    (re.compile(r"\d+"), "digits as text"),
    (re.compile(r"-?\d+\.\d+"), "decimal as text"),
    (re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), "UUID"),
    (re.compile(r"/Date\(-?\d+([+-]\d{4})?\)/"), "/Date(…)/"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-][\d:]+)?"), "ISO time"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "date"),
    (re.compile(r"true|false", re.IGNORECASE), "true/false as text"),
    (re.compile(r"\d+:\d\d(:\d\d)?"), "h:mm"),
)
_DEEPEST: Final = 4


def shape(value: Any, depth: int = 0) -> str:
    """Return the shape of a value: ``{id: digits as text, account: {id: …, name: text}, type: null}``."""
    if isinstance(value, dict):
        if depth >= _DEEPEST:
            return "{…}" if value else "{}"
        members = (f"{name(key)}: {shape(member, depth + 1)}" for key, member in sorted(value.items()))
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        if not value:
            return "[]"
        kinds = list(dict.fromkeys(shape(one, depth + 1) for one in value[:20]))
        return f"[{len(value)} of {' | '.join(kinds[:3])}]"
    return _scalar(value)


def merged(rows: list[dict[str, Any]]) -> str:
    """Return the shape of several rows as one: each member with all the shapes that it had."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for key, value in row.items():
            kinds = found.setdefault(name(key), [])
            if (kind := shape(value, 1)) not in kinds:
                kinds.append(kind)
    shown = [{name(key) for key in row} for row in rows]
    absent = {key for key in found if any(key not in each for each in shown)}
    members = (
        f"{key}{'?' if key in absent else ''}: {' | '.join(kinds[:4])}"
        for key, kinds in sorted(found.items())
    )
    return f"{{{', '.join(members)}}}"


def name(key: object) -> str:
    """Return the name of a member, if it is a system's own; another may be a customer's."""
    text = str(key)
    return text if is_member(text) else _HIDDEN


def names(keys: object) -> str:
    """Return names of members, sorted; of those that are not shown, how many there are."""
    every = {str(key) for key in keys} if isinstance(keys, (dict, list, tuple, set, frozenset)) else set()
    return shown(every, {key for key in every if is_member(key)})


def headers(every: Iterable[str]) -> str:
    """Return names of headers, as :func:`names` does."""
    found = {one.lower() for one in every}
    return shown(found, found & HEADERS)


def shown(every: set[str], known: set[str]) -> str:
    """Return the known ones of some names, sorted, and how many others there are."""
    hidden = len(every - known)
    return ", ".join([*sorted(known), *([f"{hidden} not shown"] if hidden else [])]) or "none"


def page_kind(body: bytes) -> str:
    """Return what a body is that is no JSON."""
    start = body[:65536].lower()
    if not body.strip():
        return "an empty body"
    if b"<html" in start or b"<!doctype html" in start:
        marks = (b"j_security_check", b"j_username", b'type="password"', b"type='password'")
        return "an HTML login page" if any(mark in start for mark in marks) else "an HTML page"
    return "XML" if start.lstrip().startswith(b"<") else "text that is no JSON"


def _scalar(value: Any) -> str:  # noqa: PLR0911 - one return a kind
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, (int, float, Decimal)):
        return "number"
    if not isinstance(value, str):
        return type(value).__name__
    if not value:
        return "empty text"
    for pattern, kind in _FORMATS:
        if pattern.fullmatch(value):
            return kind
    if "<" in value and ">" in value:
        return "HTML"
    return "text"
