"""What is wrong with a plugin's settings, in our own sentences: the SDK's would show the values."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from singer_sdk import Tap, Target

from msp_xero.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KINDS = {
    "string": ("a text", '"some text"'),
    "boolean": ("true or false", "true"),
    "integer": ("a whole number", "10"),
    "number": ("a number", "10"),
    "array": ("a list", "[]"),
    "object": ("a map", "{}"),
}
# How the descriptions of our settings name an example: in backquotes, or as one run of characters.
_EXAMPLE = re.compile(r"\b[Ee]xample:? (?:`(?P<quoted>[^`]+)`|(?P<plain>[^\s`]+?)(?=[.,;]?(?:\s|$)))")


def wrong_settings(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[SettingError]:
    """Return what is wrong with a configuration; None stands for "not set". No sentence holds a value."""
    given = {name: value for name, value in config.items() if value is not None}
    known: Mapping[str, dict[str, Any]] = schema["properties"]
    missing = [
        SettingError(name, "is missing", _example(known[name]))
        for name in schema.get("required", ())
        if name not in given
    ]
    wrong = [
        SettingError(name, f"must be {_wanted(setting)}", _example(setting))
        for name, setting in known.items()
        if name in given and not Draft202012Validator(setting).is_valid(given[name])
    ]
    return [*unknown_settings(given, known), *missing, *wrong]


def unknown_settings(names: Iterable[str], known: Iterable[str]) -> list[SettingError]:
    """Return an error for each name that is no setting, such as one with a typing error.

    Settings of the SDK are let pass, whether a plugin honours them or not, and so are names that
    begin with an underscore, which are Meltano's own.
    """
    known = list(known)
    builtin = _settings_of_the_sdk()
    wrong = []
    for name in names:
        if name not in known and name not in builtin and not name.startswith("_"):
            close = difflib.get_close_matches(name, known, 1)
            wrong.append(SettingError(name, f"is not known{f'; did you mean {close[0]}?' if close else ''}"))
    return wrong


def check_settings(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Do nothing when all settings are right.

    Raises:
        SettingError: about the first setting that is wrong, with all others in ``others``.
    """
    if wrong := wrong_settings(config, schema):
        wrong[0].others = tuple(wrong[1:])
        raise wrong[0]


def _settings_of_the_sdk() -> set[str]:
    schema: dict[str, Any] = {"properties": {}}
    for kind in (Tap, Target):
        kind.append_builtin_config(schema)
    return set(schema["properties"])


def _kind(setting: Mapping[str, Any]) -> str:
    kinds = setting.get("type", "object")
    return next(kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")


def _choices(setting: Mapping[str, Any]) -> list[str]:
    return [str(choice) for choice in setting.get("enum", ()) if choice is not None]


def _wanted(setting: Mapping[str, Any]) -> str:
    """Say what a setting takes: its kind and its range, or its choices."""
    if choices := _choices(setting):
        return f"one of {', '.join(choices)}"
    kind = _kind(setting)
    if kind == "array" and (choices := _choices(setting.get("items", {}))):
        return f"a list of {', '.join(choices)}"
    if kind == "object" and _is_text(setting.get("additionalProperties")):
        return "a map of texts"
    return _KINDS[kind][0] + _range(setting)


def _range(setting: Mapping[str, Any]) -> str:
    least, most, above = (setting.get(name) for name in ("minimum", "maximum", "exclusiveMinimum"))
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f", {least} or more"
    if most is not None:
        return f", at most {most}"
    return "" if above is None else f" above {above}"


def _is_text(schema: object) -> bool:
    return isinstance(schema, dict) and "type" in schema and _kind(schema) == "string"


def _example(setting: Mapping[str, Any]) -> str:
    """Return a value that works, as it stands in ``meltano.yml``."""
    kind = _kind(setting)
    found = _EXAMPLE.search(setting.get("description", ""))
    if (default := setting.get("default")) is not None and kind != "object" and "\n" not in str(default):
        text = default if isinstance(default, str) else json.dumps(default)
    elif choices := _choices(setting):
        text = choices[0]
    elif found:
        text = found["quoted"] or found["plain"]
    else:
        return _KINDS[kind][1]
    # A text that looks like a number, or that begins like a map, has to stand in quotes.
    return json.dumps(text) if kind == "string" and re.match(r"[\d.]+$|[{\[]", text) else text
