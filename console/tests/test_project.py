"""Which project the commands find, and what they open with its settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msp_xero.errors import MspXeroError, SettingError
from msp_xero_console.project import Project

if TYPE_CHECKING:
    from pathlib import Path


def find(shell: dict[str, str] | None = None, **options: object) -> Project:
    return Project.find(**{"environment": None, "config": None, **options}, shell=shell or {})  # type: ignore[arg-type]


def test_the_project_is_found_from_a_folder_below_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = project / "some" / "where"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    found = find()
    assert found.folder == project
    assert found.ledger_url == f"sqlite:///{project}/.msp-xero/ledger.db"
    assert found.config("target-xero-invoices")["token_store"] == f"{project}/.msp-xero/xero-token.json"


def test_meltano_project_root_names_the_project(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert find({"MELTANO_PROJECT_ROOT": str(project)}).folder == project


@pytest.mark.parametrize(
    ("given", "shell", "expected"),
    [
        (None, {}, "demo"),
        (None, {"MELTANO_ENVIRONMENT": "prod"}, "prod"),
        ("demo", {"MELTANO_ENVIRONMENT": "prod"}, "demo"),
    ],
)
def test_the_environment(project: Path, given: str | None, shell: dict[str, str], expected: str) -> None:
    found = find(shell, environment=given)
    assert found.environment == expected
    assert found.environment_given is (given is not None)


def test_an_unknown_environment_is_named(project: Path) -> None:
    with pytest.raises(SettingError, match=r"has no environment staging\. Example: environment: demo, prod"):
        find(environment="staging")


def test_without_a_project_it_says_where_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MspXeroError, match="change to the folder of the Meltano project"):
        find()


def test_a_ledger_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = find({"MSP_XERO_LEDGER_URL": "sqlite:///other.db"})
    assert found.ledger_url == f"sqlite:///{tmp_path}/other.db"
    assert found.connection == "default"


def test_the_variable_beats_the_projects_ledger(project: Path) -> None:
    url = "postgresql+psycopg://somebody@db/msp_xero"
    assert find({"MSP_XERO_LEDGER_URL": url}).ledger_url == url


def test_a_settings_file_by_plugin_and_flat(project: Path) -> None:
    content = {"ledger_url": "sqlite:////var/ledger.db", "target-msp-sdp": {"connection": "acme"}}
    (project / "settings.json").write_text(json.dumps(content))
    found = find(config=project / "settings.json")
    assert found.ledger_url == "sqlite:////var/ledger.db"
    assert found.connection == "acme"
    assert not found.is_meltano


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_bad_settings_file_is_named(project: Path, content: str) -> None:
    (project / "settings.json").write_text(content)
    with pytest.raises(MspXeroError, match=r"settings\.json"):
        find(config=project / "settings.json")


@pytest.mark.parametrize(
    ("content", "problem"), [("a: [", "as YAML, line 1"), ("- a", "not a Meltano project file")]
)
def test_a_bad_project_file_is_named(project: Path, content: str, problem: str) -> None:
    (project / "meltano.yml").write_text(content)
    with pytest.raises(MspXeroError, match=problem):
        find()


EACH = "each with a name"
SHAPES = {
    "plugins: 5": "meltano.yml: plugins has to be a map",
    "plugins:\n  loaders: {a: b}": f"meltano.yml: plugins.loaders has to be a list of plugins, {EACH}",
    "plugins:\n  loaders:\n  - target-xero-invoices": f"plugins.loaders has to be a list of plugins, {EACH}",
    "plugins: {loaders: [{config: {a: b}}]}": f"plugins.loaders has to be a list of plugins, {EACH}",
    "plugins: {loaders: [{name: x, config: 5}]}": "meltano.yml: config of x has to be a map",
    "plugins: {loaders: [{name: x, settings: [a]}]}": f"settings of x has to be a list of settings, {EACH}",
    "plugins: {mappers: [{name: x, mappings: {a: b}}]}": "mappings of x has to be a list of mappings, each",
    "plugins: {mappers: [{name: x, mappings: [{name: y, config: a}]}]}": "of the mapping y has to be a map",
    "environments: demo": f"meltano.yml: environments has to be a list of environments, {EACH}",
    "environments: [{name: demo, config: {plugins: [a]}}]": "config.plugins of the environment demo has",
    "include_paths: more": "meltano.yml: include_paths has to be a list",
    "env: 5": "meltano.yml: env has to be a map",
    "jobs: [worklogs]": f"meltano.yml: jobs has to be a list of jobs, {EACH}",
    "jobs: [{name: worklogs, tasks: a}]": "meltano.yml: job worklogs: tasks has to be a list",
}


@pytest.mark.parametrize(("content", "problem"), SHAPES.items(), ids=SHAPES)
def test_a_project_file_of_another_shape_says_what_has_to_be_where(
    project: Path, content: str, problem: str
) -> None:
    (project / "meltano.yml").write_text(content)
    with pytest.raises(MspXeroError) as refused:
        find()
    assert problem in str(refused.value)


def test_an_included_file_of_another_shape_is_named(project: Path) -> None:
    (project / "meltano.yml").write_text("include_paths: [more.yml]")
    (project / "more.yml").write_text("plugins: {loaders: {a: b}}")
    with pytest.raises(MspXeroError, match=r"^more\.yml: plugins\.loaders has to be a list"):
        find()


def test_dotenv_and_included_files_are_read(project: Path) -> None:
    declared = "{name: target-msp-sdp, settings: [{name: base_url}]}"
    (project / "meltano.yml").write_text(f"include_paths: [more/*.yml]\nplugins: {{loaders: [{declared}]}}\n")
    (project / "more").mkdir()
    included = "{name: target-xero-invoices, config: {client_id: c}}"
    (project / "more" / "a.yml").write_text(
        f"environments: [{{name: prod}}]\nplugins: {{loaders: [{included}]}}\n"
    )
    (project / ".env").write_text("TARGET_MSP_SDP_BASE_URL='http://sdp'\n")
    found = find(environment="prod")
    assert found.config("target-msp-sdp") == {"base_url": "http://sdp"}
    assert found.config("target-xero-invoices")["client_id"] == "c"


def test_nothing_secret_is_in_a_projects_text(project: Path) -> None:
    assert "xero-secret" not in repr(find())
    assert "sdp-secret" not in repr(find())
