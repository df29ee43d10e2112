"""The settings of a Meltano project, read without Meltano.

Meltano lives in an environment of its own and takes seconds to start. What the commands need of it
is the value that a setting would have in ``meltano run``, so its order of precedence is followed
here: shell, ``.env``, the environment's configuration, the plugin's, the parent's (``inherit_from``),
the default. Settings stored in Meltano's own database are the one layer that is not read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from msp_xero.errors import MspXeroError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_VARIABLE = re.compile(r"(?P<escape>\\)?\$(?:\{(?P<curly>\w+)\}|(?P<plain>[A-Z][A-Z0-9_]*))")
_TRUE = {"y", "yes", "t", "true", "on", "1"}


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed ``meltano.yml`` and the variables around it.

    Attributes:
        content: the file, with the files of ``include_paths`` merged in.
        environment: name of the environment in use, None for none.
        shell: the variables of the process.
        dotenv: the variables of the project's ``.env``.
        builtin: variables that Meltano itself provides, ``MELTANO_PROJECT_ROOT`` above all.
    """

    content: Mapping[str, Any]
    environment: str | None = None
    shell: Mapping[str, str] = field(default_factory=dict, repr=False)
    dotenv: Mapping[str, str] = field(default_factory=dict, repr=False)
    builtin: Mapping[str, str] = field(default_factory=dict)

    def has_plugin(self, name: str) -> bool:
        """Tell whether the project has a plugin of this name."""
        return _plugin(self.content, name) is not None

    def plugin_config(self, name: str) -> dict[str, Any]:
        """Return the settings that a plugin would be given; empty when there is no such plugin.

        Raises:
            SettingError: a value cannot be read as what the setting is declared to be.
        """
        plugin = _plugin(self.content, name)
        if plugin is None:
            return {}
        chain = _Chain(self, plugin)
        values = {setting: chain.value(setting) for setting in sorted(chain.names())}
        return {setting: value for setting, value in values.items() if value is not None}

    def declared(self, name: str) -> list[str]:
        """Return the settings that ``meltano.yml`` declares for a plugin or its parents."""
        plugin = _plugin(self.content, name)
        return [] if plugin is None else list(_Chain(self, plugin).declared())

    def executable(self, name: str) -> str:
        """Return the executable that is named for a plugin or its parents; else the plugin's name."""
        plugin = _plugin(self.content, name)
        layers = _ancestry(self.content, plugin) if plugin else ()
        return next((str(layer["executable"]) for layer in layers if layer.get("executable")), name)

    def heirs(self, names: Collection[str]) -> dict[str, str]:
        """Return the plugins that inherit from one of these and that a job starts, each with that one."""
        started = _started(self.content)
        found = {}
        for plugins in (self.content.get("plugins") or {}).values():
            for plugin in plugins or []:
                _, *parents = (layer["name"] for layer in _ancestry(self.content, plugin))
                parent = next((parent for parent in parents if parent in names), None)
                if parent and plugin["name"] not in names and plugin["name"] in started:
                    found[plugin["name"]] = parent
        return found

    def mappings(self) -> dict[str, str]:
        """Return the mappings of all mappers, each with its mapper."""
        return {
            mapping["name"]: plugin["name"]
            for plugin in (self.content.get("plugins") or {}).get("mappers") or []
            for mapping in plugin.get("mappings") or []
        }

    def mapping_config(self, mapping: str) -> dict[str, Any]:
        """Return the settings of one mapping of a mapper: the plugin's, and the mapping's own above them."""
        for plugin in (self.content.get("plugins") or {}).get("mappers") or []:
            for candidate in plugin.get("mappings") or []:
                if candidate.get("name") == mapping:
                    own = expand(candidate.get("config") or {}, _Chain(self, plugin).variables)
                    return {**self.plugin_config(plugin["name"]), **own}
        return {}


def check_shape(content: Mapping[str, Any], file: str) -> None:
    """Do nothing where a project file is built as its readers expect; what nobody here reads may be anything.

    Raises:
        MspXeroError: a list, a map or a name is missing where one has to be.
    """
    _has_list(content, "include_paths", file)
    _check_plugins(content.get("plugins"), "plugins", file)
    for environment in _named(content.get("environments"), "environments", "environments", file):
        where = f"of the environment {environment['name']}"
        config = _map(environment.get("config"), f"config {where}", file)
        _check_plugins(config.get("plugins"), f"config.plugins {where}", file)
        _map(environment.get("env"), f"env {where}", file)
    _map(content.get("env"), "env", file)
    for job in _named(content.get("jobs"), "jobs", "jobs", file):
        _has_list(job, "tasks", f"{file}: job {job['name']}")


def _check_plugins(plugins: Any, where: str, file: str) -> None:
    for kind, members in _map(plugins, where, file).items():
        for plugin in _named(members, f"{where}.{kind}", "plugins", file):
            name = plugin["name"]
            _map(plugin.get("config"), f"config of {name}", file)
            _map(plugin.get("env"), f"env of {name}", file)
            _named(plugin.get("settings"), f"settings of {name}", "settings", file)
            for mapping in _named(plugin.get("mappings"), f"mappings of {name}", "mappings", file):
                _map(mapping.get("config"), f"config of the mapping {mapping['name']}", file)


def _map(value: Any, where: str, file: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MspXeroError(f"{file}: {where} has to be a map")
    return value


def _named(value: Any, where: str, what: str, file: str) -> list[Mapping[str, Any]]:
    members = [] if value is None else value
    named = (isinstance(one, dict) and isinstance(one.get("name"), str) for one in members or [])
    if not isinstance(members, list) or not all(named):
        raise MspXeroError(f"{file}: {where} has to be a list of {what}, each with a name")
    return members


def _has_list(holder: Mapping[str, Any], name: str, file: str) -> None:
    if not isinstance(holder.get(name) or [], list):
        raise MspXeroError(f"{file}: {name} has to be a list")


def environment_names(content: Mapping[str, Any]) -> list[str]:
    """Return the names of the environments that a project has."""
    return [str(environment["name"]) for environment in content.get("environments") or []]


def variable_name(plugin: str, setting: str) -> str:
    """Return the environment variable of a plugin's setting, e.g. ``TAP_MSP_SDP_BASE_URL``."""
    return re.sub(r"\W", "_", f"{plugin}_{setting}").upper()


def expand(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace ``${NAME}`` and ``$NAME`` in texts, however deep; an unknown variable is the empty text."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _replacement(match, variables), value)
    if isinstance(value, dict):
        return {key: expand(member, variables) for key, member in value.items()}
    if isinstance(value, list):
        return [expand(member, variables) for member in value]
    return value


def _replacement(match: re.Match[str], variables: Mapping[str, str]) -> str:
    return match[0][1:] if match["escape"] else variables.get(match["curly"] or match["plain"], "")


class _Chain:
    """A plugin and the plugins it inherits from, the child first."""

    def __init__(self, document: Document, plugin: Mapping[str, Any]) -> None:
        self._document = document
        self._plugins = list(_ancestry(document.content, plugin))
        environment = _environment(document)
        self._overrides = [_environment_plugin(environment, layer["name"]) for layer in self._plugins]
        self._definitions: dict[str, Mapping[str, Any]] = {}
        for layer in self._plugins:
            for definition in layer.get("settings") or []:
                self._definitions.setdefault(definition["name"], definition)
        self._around = {**document.dotenv, **document.shell, **document.builtin}
        self._blocks = self._env_blocks(environment)
        self.variables = {**self._around, **self._blocks}

    def names(self) -> set[str]:
        """Return the settings that are declared or configured in the chain.

        What an environment alone says of a parent does not reach the child, unless it is declared
        (verified with Meltano 4.4).
        """
        layers = (*self._plugins, self._overrides[0])
        return {name for layer in layers for name in layer.get("config") or {}} | set(self._definitions)

    def declared(self) -> set[str]:
        """Return the settings that are declared in the chain."""
        return set(self._definitions)

    def value(self, setting: str) -> Any:
        """Return the value of a setting by the order of precedence, None when it has none."""
        definition = self._definitions.get(setting, {})
        kind = definition.get("kind")
        for plugin, override in zip(self._plugins, self._overrides, strict=True):
            variable = self._from_variables(plugin, setting, definition)
            if variable is not None:
                # Taken as it is: a secret may well hold a dollar sign.
                return _cast(setting, variable, kind)
            configured = _merged(override, plugin, setting)
            if configured is not None:
                return _cast(setting, expand(configured, self.variables), kind)
        return _cast(setting, expand(definition.get("value"), self.variables), kind)

    def _from_variables(
        self, plugin: Mapping[str, Any], setting: str, definition: Mapping[str, Any]
    ) -> str | None:
        """Return what the shell or an ``env:`` block says; else what ``.env`` says."""
        names = [
            variable_name(prefix, name)
            for prefix in (plugin["name"], plugin.get("namespace") or plugin["name"])
            for name in (setting, *(definition.get("aliases") or []))
        ]
        for source in (self._blocks, self._document.shell, self._document.dotenv):
            for name in names:
                if name in source:
                    return source[name]
        return None

    def _env_blocks(self, environment: Mapping[str, Any]) -> dict[str, str]:
        """Return the variables that ``env:`` blocks set.

        Meltano expands variables in the environment's block only (verified with 4.4); in the others
        ``${NAME}`` stays as it is written, and so it must here.
        """
        found: dict[str, str] = {}
        for block in (
            self._document.content,
            *reversed(self._plugins),
            environment,
            *reversed(self._overrides),
        ):
            given = block.get("env") or {}
            if block is environment:
                given = expand(given, {**self._around, **found})
            found |= {name: str(value) for name, value in given.items() if value is not None}
        return found


def _plugin(content: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    for plugins in (content.get("plugins") or {}).values():
        for plugin in plugins or []:
            if plugin.get("name") == name:
                found: Mapping[str, Any] = plugin
                return found
    return None


def _started(content: Mapping[str, Any]) -> set[str]:
    """Return all words of the tasks of jobs; a task is a text, or a list of texts."""
    tasks = [task for job in content.get("jobs") or [] for task in job.get("tasks") or []]
    blocks = [block for task in tasks for block in (task if isinstance(task, list) else [task])]
    return {word for block in blocks for word in str(block).split()}


def _ancestry(content: Mapping[str, Any], plugin: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    seen = set()
    layer: Mapping[str, Any] | None = plugin
    while layer is not None and layer["name"] not in seen:
        yield layer
        seen.add(layer["name"])
        parent = layer.get("inherit_from")
        layer = _plugin(content, parent) if parent else None


def _environment(document: Document) -> Mapping[str, Any]:
    for environment in document.content.get("environments") or []:
        if environment.get("name") == document.environment:
            found: Mapping[str, Any] = environment
            return found
    return {}


def _environment_plugin(environment: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    plugins = (environment.get("config") or {}).get("plugins") or {}
    return _plugin({"plugins": plugins}, name) or {}


def _merged(override: Mapping[str, Any], plugin: Mapping[str, Any], setting: str) -> Any:
    """Return the environment's value above the plugin's; of two objects, member by member."""
    above, below = ((layer.get("config") or {}).get(setting) for layer in (override, plugin))
    if isinstance(above, dict) and isinstance(below, dict):
        return {**below, **above}
    return below if above is None else above


def _cast(setting: str, value: Any, kind: str | None) -> Any:
    """Read a text as what the setting is declared to be; an empty one is no value."""
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    try:
        return _READ.get(kind or "", str)(value) if value else None
    except ValueError as error:
        raise SettingError(setting, f"its value is not of kind {kind}") from error


def _truth(text: str) -> bool:
    return text.lower() in _TRUE


_READ: dict[str, Callable[[str], Any]] = {
    "boolean": _truth,
    "integer": int,
    "decimal": float,
    "array": json.loads,
    "object": json.loads,
}
