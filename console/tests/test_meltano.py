"""The settings that ``meltano run`` would hand to a plugin, by layer."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from msp_xero.errors import SettingError
from msp_xero_console.meltano import Document, variable_name

if TYPE_CHECKING:
    from pathlib import Path

TAP = {
    "name": "tap-x",
    "namespace": "tap_x",
    "settings": [{"name": "size"}, {"name": "flag", "kind": "boolean"}],
}


def resolve(plugin: dict[str, Any], **around: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"plugins": {"extractors": [{**TAP, **plugin}]}, **around.pop("content", {})}
    environment = {"name": "prod", **around.pop("environment", {})}
    content["environments"] = [environment, {"name": "dev"}]
    return Document(content, "prod", **around).plugin_config("tap-x")


def override(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"config": {"plugins": {"extractors": [{"name": "tap-x", "config": config}]}}, **more}


@pytest.mark.parametrize(
    ("plugin", "around", "expected"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"config": {"size": 3}}, {}, {"size": 3}, id="plugin"),
        pytest.param({"settings": [{"name": "size", "value": 9}]}, {}, {"size": 9}, id="default"),
        pytest.param(
            {"config": {"size": 3}, "settings": [{"name": "size", "value": 9}]},
            {},
            {"size": 3},
            id="plugin-default",
        ),
        pytest.param(
            {"config": {"size": 3}},
            {"environment": override({"size": 4})},
            {"size": 4},
            id="environment-plugin",
        ),
        pytest.param({}, {"environment": override({"other": 4})}, {"other": 4}, id="environment-only"),
        pytest.param(
            {"config": {"size": 3}}, {"dotenv": {"TAP_X_SIZE": "5"}}, {"size": "5"}, id="dotenv-plugin"
        ),
        pytest.param(
            {},
            {"dotenv": {"TAP_X_SIZE": "5"}, "shell": {"TAP_X_SIZE": "6"}},
            {"size": "6"},
            id="shell-dotenv",
        ),
        pytest.param(
            {},
            {"shell": {"TAP_X_SIZE": "6"}, "content": {"env": {"TAP_X_SIZE": "7"}}},
            {"size": "7"},
            id="block-shell",
        ),
        pytest.param({}, {"shell": {"TAP_X_UNDECLARED": "1"}}, {}, id="undeclared-is-unseen-by-meltano"),
        pytest.param({"config": {"size": 3}}, {"shell": {"TAP_X_SIZE": ""}}, {}, id="blank-variable-unsets"),
        pytest.param({}, {"shell": {"TAP_X_FLAG": "false"}}, {"flag": False}, id="false"),
        pytest.param({}, {"shell": {"TAP_X_FLAG": "yes"}}, {"flag": True}, id="yes"),
        pytest.param(
            {"settings": [{"name": "size", "kind": "integer"}]},
            {"shell": {"TAP_X_SIZE": "8"}},
            {"size": 8},
            id="int",
        ),
        pytest.param(
            {"settings": [{"name": "size", "kind": "array"}]},
            {"dotenv": {"TAP_X_SIZE": "[1]"}},
            {"size": [1]},
            id="list",
        ),
        pytest.param(
            {"settings": [{"name": "size", "aliases": ["width"]}]},
            {"shell": {"TAP_X_WIDTH": "8"}},
            {"size": "8"},
            id="alias",
        ),
        pytest.param(
            {"config": {"size": "${A}-$B"}}, {"shell": {"A": "a", "B": "b"}}, {"size": "a-b"}, id="expand"
        ),
        pytest.param({"config": {"size": "x${NOPE}"}}, {}, {"size": "x"}, id="unknown-variable-is-empty"),
        pytest.param({"config": {"size": "${NOPE}"}}, {}, {}, id="only-an-unknown-variable-is-no-value"),
        pytest.param({"config": {"size": "\\${A}"}}, {"shell": {"A": "a"}}, {"size": "${A}"}, id="escaped"),
        pytest.param(
            {"config": {"size": {"a": ["${A}"]}}}, {"shell": {"A": "a"}}, {"size": {"a": ["a"]}}, id="deep"
        ),
        pytest.param(
            {}, {"shell": {"TAP_X_SIZE": "pa$WORD"}}, {"size": "pa$WORD"}, id="secrets-keep-their-dollar"
        ),
        pytest.param(
            {"config": {"size": "${A}"}},
            {"content": {"env": {"A": "${B}"}}, "shell": {"B": "b"}},
            {"size": "${B}"},
            id="project-block-is-not-expanded",
        ),
        pytest.param(
            {"config": {"size": "${A}"}},
            {"environment": {"env": {"A": "${B}"}}, "shell": {"B": "b"}},
            {"size": "b"},
            id="environment-block-is-expanded",
        ),
        pytest.param(
            {"config": {"size": {"a": 1, "b": 2}}},
            {"environment": override({"size": {"b": 3}})},
            {"size": {"a": 1, "b": 3}},
            id="objects-merge",
        ),
    ],
)
def test_the_order_of_precedence(
    plugin: dict[str, Any], around: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert resolve(plugin, **around) == expected


INHERITED = """
environments: [{name: prod}]
plugins:
  loaders:
  - name: parent
    namespace: par_ent
    settings: [{name: url, value: default}, {name: size, kind: integer}]
    config: {url: parents, size: 1}
  - name: child
    inherit_from: parent
    config: {size: 2}
  - {name: grandchild, inherit_from: child}
  - {name: loop, inherit_from: loop, config: {url: own}}
"""


@pytest.mark.parametrize(
    ("name", "shell", "expected"),
    [
        ("child", {}, {"url": "parents", "size": 2}),
        ("grandchild", {}, {"url": "parents", "size": 2}),
        ("child", {"PARENT_URL": "a"}, {"url": "a", "size": 2}),
        ("child", {"PAR_ENT_URL": "a"}, {"url": "a", "size": 2}),
        ("child", {"PARENT_SIZE": "5"}, {"url": "parents", "size": 2}),
        ("child", {"CHILD_SIZE": "6", "PARENT_SIZE": "5"}, {"url": "parents", "size": 6}),
        ("loop", {}, {"url": "own"}),
        ("nobody", {}, {}),
    ],
)
def test_inherited_settings(name: str, shell: dict[str, str], expected: dict[str, Any]) -> None:
    assert Document(yaml.safe_load(INHERITED), "prod", shell=shell).plugin_config(name) == expected


def test_a_mapping_has_the_mappers_settings_below_its_own() -> None:
    mapper = {"name": "m", "config": {"a": 1, "b": 1}, "mappings": [{"name": "x", "config": {"b": "$V"}}]}
    document = Document({"plugins": {"mappers": [mapper]}}, shell={"V": "two"})
    assert document.mapping_config("x") == {"a": 1, "b": "two"}
    assert document.mapping_config("y") == {}


def test_a_value_of_the_wrong_kind_names_the_setting_and_not_the_value() -> None:
    with pytest.raises(SettingError, match="Setting size: its value is not of kind integer") as caught:
        resolve({"settings": [{"name": "size", "kind": "integer"}]}, shell={"TAP_X_SIZE": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_variables_are_named_as_meltano_names_them() -> None:
    assert variable_name("target-xero-invoices", "account_code") == "TARGET_XERO_INVOICES_ACCOUNT_CODE"


COMPARED = """
requires_meltano: ">=4.2,<5"
project_id: compared
send_anonymous_usage_stats: false
env: {RAW: "${MELTANO_PROJECT_ROOT}/raw", PLAIN: plain}
environments:
- name: demo
  env: {READY: "${MELTANO_PROJECT_ROOT}/${PLAIN}"}
  config: {plugins: {extractors: [{name: tap-x, config: {a: environment, orphan: 1}}]}}
plugins:
  extractors:
  - name: tap-x
    namespace: tap_x
    executable: cat
    settings: [{name: a}, {name: b, kind: boolean}, {name: c, kind: integer, value: 7}, {name: d}, {name: e}]
    config:
      a: plugin
      raw: ${RAW}
      ready: ${READY}
      root: ${MELTANO_PROJECT_ROOT}/${MELTANO_ENVIRONMENT}
  - name: tap-y
    inherit_from: tap-x
    config: {raw: own}
"""


@pytest.mark.parametrize("plugin", ["tap-x", "tap-y"])
def test_agrees_with_meltano_itself(meltano: str, plugin: str, tmp_path: Path) -> None:
    (tmp_path / "meltano.yml").write_text(COMPARED)
    (tmp_path / ".env").write_text("TAP_X_D=dotted\nTAP_Y_E=only-y\nTAP_X_C=9\n")
    shell = {**os.environ, "TAP_X_B": "yes", "TAP_X_D": "shell$HOME"}
    dumped = subprocess.run(
        [meltano, "--environment=demo", "invoke", "--dump=config", plugin],
        cwd=tmp_path,
        env=shell,
        capture_output=True,
        text=True,
        check=True,
    )
    document = Document(
        yaml.safe_load(COMPARED),
        "demo",
        shell=shell,
        dotenv={"TAP_X_D": "dotted", "TAP_Y_E": "only-y", "TAP_X_C": "9"},
        builtin={"MELTANO_PROJECT_ROOT": str(tmp_path), "MELTANO_ENVIRONMENT": "demo"},
    )
    assert document.plugin_config(plugin) == json.loads(dumped.stdout)
