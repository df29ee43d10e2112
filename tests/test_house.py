"""The rules of the house as tests: who may know whom, and what is called what (see the architecture)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CORE = ROOT / "core" / "msp_xero"
SANDBOX = "msp_xero_sandbox"
CONSOLE = "msp_xero_console"
# Folder of each plugin, and the package in it.
PLUGINS = {
    "tap-msp-sdp": "tap_msp_sdp",
    "tap-xero-lite": "tap_xero_lite",
    "transforms": "msp_xero_transforms",
    "target-msp-sdp": "target_msp_sdp",
    "target-xero-invoices": "target_xero_invoices",
}
# Which rooms of core a room may look into, beside itself and what stands at the foot of the stairs.
FOOT = {"edges", "errors", "lots", "reasons"}
MAY_SEE = {
    "edges": set(),
    "ledger": set(),
    "sdp": set(),
    "xero": set(),
    "singer": set(),
    "billing": {"ledger", "xero", "sdp"},
    "directory": {"ledger", "xero", "sdp"},
}


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def tops(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file of a folder with the first part of each module that it imports."""
    for path in sorted(folder.rglob("*.py")):
        yield from ((path, name.partition(".")[0]) for name in imported(path))


def test_the_sandbox_and_the_product_know_nothing_of_each_other() -> None:
    product = {"msp_xero", CONSOLE, *PLUGINS.values()}
    for path, top in tops(ROOT / "sandbox"):
        assert top not in product, f"{path} imports {top}"
    for folder in (CORE, ROOT / "console" / CONSOLE, *(ROOT / name / PLUGINS[name] for name in PLUGINS)):
        for path, top in tops(folder):
            assert top != SANDBOX, f"{path} imports the sandbox"


@pytest.mark.parametrize("room", MAY_SEE)
def test_rooms_of_core_look_only_downstairs(room: str) -> None:
    allowed = MAY_SEE[room] | FOOT | {room}
    for path in sorted((CORE / room).rglob("*.py")):
        for name in imported(path):
            if name.startswith("msp_xero."):
                assert name.split(".")[1] in allowed, f"{path} imports {name}"


def test_every_room_of_core_has_its_rule() -> None:
    rooms = {path.name for path in CORE.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert rooms == set(MAY_SEE)


def test_core_knows_neither_plugins_nor_console() -> None:
    above = {CONSOLE, *PLUGINS.values()}
    for path, top in tops(CORE):
        assert top not in above, f"{path} imports {top}"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_plugins_know_no_other_plugin(plugin: str) -> None:
    others = {CONSOLE, *PLUGINS.values()} - {PLUGINS[plugin]}
    for path, top in tops(ROOT / plugin / PLUGINS[plugin]):
        assert top not in others, f"{path} imports {top}"


def test_the_console_knows_no_plugin() -> None:
    for path, top in tops(ROOT / "console" / CONSOLE):
        assert top not in set(PLUGINS.values()), f"{path} imports {top}"


PACKAGES = {"core": "msp_xero", **PLUGINS, "console": CONSOLE, "sandbox": SANDBOX}
# What is needed without an import: a database driver, the zones of zoneinfo, the parser of uvicorn.
UNSEEN = {"psycopg", "tzdata", "httptools"}


def declared(folder: Path) -> set[str]:
    """Return the names of what a package says it depends on."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    names = (re.match(r"[\w.-]+", dependency) for dependency in project["dependencies"])
    return {_distribution_name(name[0]) for name in names if name}


def _distribution_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("folder", PACKAGES)
def test_dependencies_are_what_is_imported(folder: str) -> None:
    distributions = packages_distributions()
    distributions["msp_xero"] = ["msp-xero-core"]  # installed to be edited, which leaves no list of files
    needed = {
        _distribution_name(distributions.get(top, [f"nothing that is installed has {top}"])[0])
        for _, top in tops(ROOT / folder / PACKAGES[folder])
        if top not in sys.stdlib_module_names and top != PACKAGES[folder]
    }
    assert declared(ROOT / folder) - UNSEEN == needed


def test_the_same_things_have_the_same_names_in_every_plugin() -> None:
    for plugin, package in PLUGINS.items():
        beside = {path.name for path in (ROOT / plugin).iterdir()}
        assert beside >= {"README.md", "pyproject.toml", "tests", package}, plugin
        inside = {path.name for path in (ROOT / plugin / package).iterdir()}
        assert inside >= {"__init__.py", "__main__.py", "py.typed"}, plugin
        kind = {"tap": {"tap.py", "streams.py", "schemas", "client.py"}, "target": {"target.py", "sinks.py"}}
        expected = kind.get(plugin.partition("-")[0], {"mapper.py", "steps", "schemas"})
        assert inside >= expected, plugin


def tracked() -> list[Path]:
    """Return the files of the repository, those that are not committed yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_file_is_named_after_nothing() -> None:
    for path in tracked():
        assert not re.fullmatch(r"_?(utils?|helpers?|common|misc|shared)(\.\w+)?", path.name), path
        for part in path.relative_to(ROOT).parts[:-1]:
            assert part not in {"utils", "helpers", "common", "misc"}, path


_OF_A_MACHINE = re.compile(r"(?<![\w.$}/-])/(?:work|root|home/\w+|Users/[a-z]\w+)/|[A-Z]:\\\\?Users")
_REGISTRY = re.compile(
    "|".join(("index[-_]" + "url", "files." + "pythonhosted", "py" + "pi.org/simple", "npm" + "js.org"))
)


def test_no_file_names_a_machine_or_a_registry() -> None:
    wrong = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if _OF_A_MACHINE.search(line) or _REGISTRY.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def meltano() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "meltano.yml").read_text())


def test_meltano_has_the_plugins_that_the_documents_name(meltano: dict[str, Any]) -> None:
    names = {
        kind: {plugin["name"]: plugin.get("inherit_from") for plugin in plugins}
        for kind, plugins in meltano["plugins"].items()
    }
    assert names == {
        "extractors": {
            "tap-msp-sdp": None,
            "tap-xero-lite": None,
            "tap-xero-contacts": "tap-xero-lite",
            "tap-xero-items": "tap-xero-lite",
        },
        "mappers": {"msp-xero-transforms": None},
        "loaders": {
            "target-msp-sdp": None,
            "target-msp-sdp-types": "target-msp-sdp",
            "target-xero-invoices": None,
            "target-xero-invoices-open": "target-xero-invoices",
            "target-jsonl": None,
        },
    }
    mappings = meltano["plugins"]["mappers"][0]["mappings"]
    assert [mapping["name"] for mapping in mappings] == [
        "contacts-to-accounts",
        "items-to-worklog-types",
        "worklogs-to-lines",
    ]


def test_no_two_jobs_share_a_bookmark(meltano: dict[str, Any]) -> None:
    """Meltano names a bookmark after the tap and the target; the mapping between them is not in it."""
    jobs = {job["name"]: job["tasks"] for job in meltano["jobs"]}
    assert jobs == {
        "accounts": ["tap-xero-contacts contacts-to-accounts target-msp-sdp"],
        "worklog-types": ["tap-xero-items items-to-worklog-types target-msp-sdp-types"],
        "worklogs": ["tap-msp-sdp worklogs-to-lines target-xero-invoices"],
    }
    pairs = [(task.split()[0], task.split()[-1]) for (task,) in jobs.values()]
    assert len(set(pairs)) == len(pairs)


def test_schedules_are_outside_business_hours_and_in_the_order_of_need(meltano: dict[str, Any]) -> None:
    at = {}
    for schedule in meltano["schedules"]:
        minute, hour, *rest = schedule["interval"].split()
        assert rest == ["*", "*", "*"]
        at[schedule["job"]] = int(hour) * 60 + int(minute)
    assert at.keys() == {"accounts", "worklog-types", "worklogs"}
    assert at["accounts"] < at["worklog-types"] < at["worklogs"] < 6 * 60


def test_environments_are_two_and_no_secret_is_in_the_file(meltano: dict[str, Any]) -> None:
    demo, prod = meltano["environments"]
    assert (demo["name"], prod) == ("demo", {"name": "prod"})
    assert meltano["default_environment"] == "demo"
    for plugins in demo["config"]["plugins"].values():
        for plugin in plugins:
            for name, value in plugin["config"].items():
                assert "secret" not in name or value.startswith("sandbox-"), name
                assert "token" not in name or value.startswith("sandbox-"), name
                if name.endswith("url"):
                    assert value.startswith("http://127.0.0.1:"), name
    for plugins in meltano["plugins"].values():
        for plugin in plugins:
            assert not re.search(r"secret|auth_token|refresh_token", " ".join(plugin.get("config", {})))


def test_every_environment_keeps_a_ledger_of_its_own(meltano: dict[str, Any]) -> None:
    own = "sqlite:///${MELTANO_PROJECT_ROOT}/.msp-xero/${MELTANO_ENVIRONMENT}/ledger.db"
    configured = [
        holder.get("config", {}).get("ledger_url")
        for plugins in meltano["plugins"].values()
        for plugin in plugins
        for holder in (plugin, *plugin.get("mappings", []))
    ]
    urls = [url for url in configured if url]
    assert len(urls) == 3
    assert set(urls) == {own}
    assert meltano["send_anonymous_usage_stats"] is False
