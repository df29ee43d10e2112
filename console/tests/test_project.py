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
