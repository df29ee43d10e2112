"""Where the settings come from: the Meltano project around the current folder, or a file."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from dotenv import dotenv_values
from msp_xero.errors import MspXeroError, SettingError
from msp_xero.ledger import Ledger, views
from msp_xero.ledger.address import shown
from msp_xero.ledger.defaults import DEFAULT_CONNECTION, DEFAULT_LEDGER_URL

from msp_xero_console.meltano import Document, check_shape, environment_names, variable_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from msp_xero.edges.watching import Watch
    from msp_xero.sdp import SdpClient
    from msp_xero.xero import XeroClient

SDP_PLUGINS = ("tap-msp-sdp", "target-msp-sdp")
XERO_PLUGINS = ("tap-xero-lite", "target-xero-invoices")
PLUGINS = (*SDP_PLUGINS, *XERO_PLUGINS)
WORKLOG_MAPPING = "worklogs-to-lines"
MAPPER = "msp-xero-transforms"
TYPES_TARGET = "target-msp-sdp-types"
SWITCHES = {
    "accounts": ("target-msp-sdp", "accounts_enabled"),
    "worklog-types": ("target-msp-sdp", "worklog_types_enabled"),
    "worklogs": ("target-xero-invoices", "worklogs_enabled"),
}
"""The setting that switches each job, and the plugin that has it."""
ACCOUNT_MAPPING = "contacts-to-accounts"
_MAPPINGS = (WORKLOG_MAPPING, ACCOUNT_MAPPING)

LEDGER_VARIABLE = "MSP_XERO_LEDGER_URL"
_FILE = "meltano.yml"
# A path in one of these is meant from the project's folder, where Meltano starts the plugins.
_PATHS = ("token_store", "ca_bundle")


@dataclass(frozen=True, slots=True)
class Heir:
    """A plugin that a job starts and that inherits from one of ours.

    Attributes:
        parent: the plugin of ours.
        config: its settings; empty where they cannot be read.
        problem: why they cannot be read.
    """

    parent: str
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    problem: SettingError | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping of the mapper, with what the mapper would be started with.

    Attributes:
        executable: the mapper's own, as Meltano starts it.
        config: the mapping's settings above the mapper's.
    """

    executable: str
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)


class StandIn(Ledger):
    """An empty ledger in memory, to be looked at where there is none yet."""


@dataclass(frozen=True, slots=True)
class Project:
    """The settings of every plugin, and what is opened with them.

    Attributes:
        folder: what relative paths start from.
        source: where the settings were read, in words.
        environment: Meltano's environment, None without one.
        configs: the settings by plugin; a plugin that the project lacks is not in it.
        mapping: the settings of ``worklogs-to-lines``.
        ledger_override: a ledger URL that beats the settings'.
        problems: settings that could not be read, by plugin.
        declared: the names of the settings that a plugin has, by plugin; empty where nobody says.
        types_target: the settings of the target that the job ``worklog-types`` has to itself, if it has one.
        is_meltano: whether the settings are from a Meltano project.
        environment_given: whether the environment was named, rather than the project's default.
        account_fields: the map of account fields of ``contacts-to-accounts``; None for the default map.
        heirs: plugins that inherit from ours, by name.
        mappings: the mappings of our mapper, by name.
    """

    folder: Path
    source: str
    environment: str | None = None
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    mapping: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ledger_override: str | None = field(default=None, repr=False)
    problems: Mapping[str, SettingError] = field(default_factory=dict)
    declared: Mapping[str, list[str]] = field(default_factory=dict)
    types_target: Mapping[str, Any] | None = field(default=None, repr=False)
    is_meltano: bool = False
    environment_given: bool = False
    account_fields: Mapping[str, Any] | None = None
    heirs: Mapping[str, Heir] = field(default_factory=dict)
    mappings: Mapping[str, Mapped] = field(default_factory=dict)

    @classmethod
    def find(
        cls, *, environment: str | None, config: Path | None, shell: Mapping[str, str] | None = None
    ) -> Self:
        """Read the settings.

        Args:
            environment: Meltano environment; None takes ``MELTANO_ENVIRONMENT`` or the project's default.
            config: a JSON file with settings instead of a Meltano project.
            shell: the variables of the process.

        Raises:
            MspXeroError: there is no project, or a file cannot be read.
            SettingError: the project has no such environment.
        """
        shell = os.environ if shell is None else shell
        override = shell.get(LEDGER_VARIABLE)
        if config is not None:
            return cls._from_file(config, override)
        folder = _project_folder(shell)
        if folder is not None:
            return cls._from_meltano(folder, environment, shell, override)
        if override:
            return cls(Path.cwd(), f"the variable {LEDGER_VARIABLE}", ledger_override=override)
        raise MspXeroError(
            f"there is no {_FILE} in this folder or above it; change to the folder of the Meltano project, "
            "or name a file of settings with --config"
        )

    @classmethod
    def _from_meltano(
        cls, folder: Path, environment: str | None, shell: Mapping[str, str], override: str | None
    ) -> Self:
        content = _read_meltano(folder)
        name = environment or shell.get("MELTANO_ENVIRONMENT") or content.get("default_environment")
        known = environment_names(content)
        if name and name not in known:
            raise SettingError("environment", f"{_FILE} has no environment {name}", ", ".join(known) or None)
        values = dotenv_values(folder / ".env")
        document = Document(
            content,
            name,
            shell=shell,
            dotenv={key: value for key, value in values.items() if value is not None},
            builtin={"MELTANO_PROJECT_ROOT": str(folder), "MELTANO_ENVIRONMENT": name or ""},
        )
        configs: dict[str, Mapping[str, Any]] = {}
        problems: dict[str, SettingError] = {}
        for plugin in PLUGINS:
            if document.has_plugin(plugin):
                try:
                    configs[plugin] = document.plugin_config(plugin)
                except SettingError as error:
                    configs[plugin], problems[plugin] = {}, error
        types_target = None
        with contextlib.suppress(SettingError):  # a wrong value is told where the settings are checked
            types_target = document.plugin_config(TYPES_TARGET) if document.has_plugin(TYPES_TARGET) else None
        where = f"{_FILE}, environment {name}" if name else _FILE
        return cls(
            folder,
            where,
            name,
            configs,
            document.mapping_config(WORKLOG_MAPPING),
            override,
            problems,
            {plugin: document.declared(plugin) for plugin in configs},
            types_target,
            is_meltano=True,
            environment_given=environment is not None,
            account_fields=_object(document.mapping_config(ACCOUNT_MAPPING).get("account_fields")),
            heirs={name: _heir(document, name, parent) for name, parent in document.heirs(PLUGINS).items()},
            mappings=_mappings_of(document, folder),
        )

    @classmethod
    def _from_file(cls, path: Path, override: str | None) -> Self:
        """Read a file of settings: by plugin, or one flat object that all plugins take theirs from."""
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise MspXeroError(f"{path} cannot be read as a JSON file of settings: {error}") from error
        if not isinstance(content, dict):
            raise MspXeroError(f"{path} has to hold a JSON object of settings")
        shared = {name: value for name, value in content.items() if name not in (*PLUGINS, *_MAPPINGS)}
        configs = {plugin: {**shared, **content.get(plugin, {})} for plugin in PLUGINS}
        mapping = {**shared, **content.get(WORKLOG_MAPPING, {})}
        fields = {**shared, **content.get(ACCOUNT_MAPPING, {})}.get("account_fields")
        return cls(Path.cwd(), str(path), None, configs, mapping, override, account_fields=_object(fields))

    def config(self, plugin: str) -> dict[str, Any]:
        """Return the settings of a plugin, its paths made absolute.

        Raises:
            SettingError: one of them cannot be read.
        """
        heir = self.heirs.get(plugin)
        problem = heir.problem if heir else self.problems.get(plugin)
        if problem:
            raise problem
        config = dict(heir.config if heir else self.configs.get(plugin, {}))
        for name in _PATHS:
            value = config.get(name)
            if isinstance(value, str) and value:
                config[name] = str(self.folder / Path(value).expanduser())
        if (heir.parent if heir else plugin) in XERO_PLUGINS and "token_store" not in config:
            config["token_store"] = str(self.folder / ".msp-xero" / "xero-token.json")
        return config

    @property
    def switched_off(self) -> dict[str, str]:
        """Return the setting that switches a job off, by job; jobs that are on are not in it."""
        configs = {job: self.configs.get(plugin, {}) for job, (plugin, _) in SWITCHES.items()}
        if self.types_target is not None:
            configs["worklog-types"] = self.types_target
        return {job: name for job, (_, name) in SWITCHES.items() if configs[job].get(name) is False}

    def ledger_urls(self) -> dict[str, str]:
        """Return the ledger that each part is set to use, by the part's name."""
        parts = {name: self.configs[name] for name in reversed(PLUGINS) if name in self.configs}
        used = {name: config for name, config in parts.items() if name.startswith("target-")}
        if self.mapping.get("ledger_url"):
            used[WORKLOG_MAPPING] = self.mapping
        return {name: self._anchored(config.get("ledger_url")) for name, config in used.items()}

    @property
    def ledger_url(self) -> str:
        """The ledger's URL, relative SQLite paths made absolute."""
        if self.ledger_override:
            return self._anchored(self.ledger_override)
        return next(iter(self.ledger_urls().values()), self._anchored(None))

    @property
    def connection(self) -> str:
        """Name of the SDP-Xero pair in the ledger."""
        names = [
            config.get("connection") for name, config in self.configs.items() if name.startswith("target-")
        ]
        return next((str(name) for name in reversed(names) if name), DEFAULT_CONNECTION)

    def waiting_currency(self, ledger: Ledger) -> str | None:
        """Return the currency that worklogs on no invoice will be billed in, as far as it is known."""
        wanted = self.configs.get("target-xero-invoices", {}).get("currency_code")
        return str(wanted) if wanted else views.connection_view(ledger).base_currency

    @contextlib.contextmanager
    def reading(self) -> Iterator[Ledger]:
        """Open the ledger to look at it; where there is none yet, an empty :class:`StandIn` is looked at."""
        found = Ledger.open_existing(self.ledger_url, connection=self.connection)
        with found or StandIn.open("sqlite://", connection=self.connection) as ledger:
            yield ledger

    @contextlib.contextmanager
    def deciding(self) -> Iterator[Ledger]:
        """Open the ledger to act on what is in it; none is made.

        Raises:
            MspXeroError: there is none yet, so there is nothing to decide about.
        """
        found = Ledger.open_existing(self.ledger_url, connection=self.connection)
        if found is None:
            raise MspXeroError(f"{self.absence()}; {self.remedy}")
        with found as ledger:
            yield ledger

    def absence(self) -> str:
        """Say what is not there: the ledger, or this connection in it."""
        # Few commands meet no ledger, and the others need not pay for what looks at one.
        from msp_xero.ledger.looking import look_at  # noqa: PLC0415

        with look_at(self.ledger_url, connection=self.connection) as look:
            revision = look.revision
        place = shown(self.ledger_url) + (f" ({LEDGER_VARIABLE})" if self.ledger_override else "")
        if revision is None:
            return f"there is no ledger yet at {place}"
        return f"the ledger {place} has no connection {self.connection} yet"

    @property
    def remedy(self) -> str:
        """Say what to do where there is no ledger."""
        wrong = LEDGER_VARIABLE if self.ledger_override else "ledger_url and connection"
        return f"the first run makes it: `meltano run accounts`. If jobs have run, correct {wrong}"

    def sdp(
        self, plugin: str = "target-msp-sdp", *, watch: Watch | None = None, patience: float | None = None
    ) -> SdpClient:
        """Return a client of ServiceDesk Plus MSP with a plugin's settings; ``watch`` is shown its calls."""
        # The clients and what they pull in are slow to import, and few commands need them.
        from msp_xero.sdp import SdpClient, SdpSettings  # noqa: PLC0415

        with self.naming(plugin):
            settings = SdpSettings.from_config(self.config(plugin))
        return SdpClient(settings, watch=watch, patience=patience)

    def xero(self, plugin: str = "target-xero-invoices", **options: Any) -> XeroClient:
        """Return a client of Xero with a plugin's settings; ``options`` are those of the client."""
        from msp_xero.xero import XeroClient, XeroSettings  # noqa: PLC0415 - as above

        with self.naming(plugin):
            settings = XeroSettings.from_config(self.config(plugin))
        return XeroClient(settings, **options)

    @contextlib.contextmanager
    def naming(self, plugin: str) -> Iterator[None]:
        """Let an error about a setting say whose setting it is, and where it is set.

        Raises:
            MspXeroError: a setting is wrong.
        """
        try:
            yield
        except SettingError as error:
            wrong = " ".join(str(one) for one in (error, *error.others)).rstrip(".")
            place = f"{_FILE}, or {variable_name(plugin, error.setting)} in .env"
            raise MspXeroError(
                f"{plugin}: {wrong}. Set it in {place if self.is_meltano else self.source}."
            ) from error

    def _anchored(self, url: object) -> str:
        text = str(url or DEFAULT_LEDGER_URL)
        scheme, relative = "sqlite:///", text.removeprefix("sqlite:///")
        if text == relative or relative.startswith(("/", ":memory:")):
            return text
        return f"{scheme}{self.folder / relative}"


def _heir(document: Document, name: str, parent: str) -> Heir:
    try:
        return Heir(parent, document.plugin_config(name))
    except SettingError as error:
        return Heir(parent, problem=error)


def _mappings_of(document: Document, folder: Path) -> dict[str, Mapped]:
    """Return the mappings of our mapper; a project may have others."""
    found = {}
    for mapping, mapper in document.mappings().items():
        executable = document.executable(mapper)
        if Path(executable).name == MAPPER:
            installed = folder / ".meltano" / "mappers" / mapper / "venv" / "bin" / executable
            place = str(installed) if installed.is_file() else executable
            found[mapping] = Mapped(place, document.mapping_config(mapping))
    return found


def _object(value: object) -> Mapping[str, Any] | None:
    """Return a setting that is an object; Meltano takes one as JSON text from the environment."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def _project_folder(shell: Mapping[str, str]) -> Path | None:
    given = shell.get("MELTANO_PROJECT_ROOT")
    start = Path(given) if given else Path.cwd()
    for folder in (start, *start.resolve().parents):
        if (folder / _FILE).is_file():
            return folder.resolve()
    return None


def _read_meltano(folder: Path) -> dict[str, Any]:
    """Return the project file, with the plugins and environments of its ``include_paths`` added."""
    content = _read_yaml(folder / _FILE)
    included = {path for pattern in content.get("include_paths") or [] for path in folder.glob(str(pattern))}
    for path in sorted(included - {folder / _FILE}):
        more = _read_yaml(path)
        content["environments"] = [*(content.get("environments") or []), *(more.get("environments") or [])]
        plugins = content.setdefault("plugins", {})
        for kind, members in (more.get("plugins") or {}).items():
            plugins[kind] = [*(plugins.get(kind) or []), *(members or [])]
    return content


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise MspXeroError(f"{path.name} cannot be read as YAML{line}") from error
    if not isinstance(content, dict):
        raise MspXeroError(f"{path.name} is not a Meltano project file")
    check_shape(content, path.name)
    return content
