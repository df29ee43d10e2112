"""Write what the code already knows: settings, reason codes, open questions, the settings in meltano.yml.

``python -m docs.generate`` writes ``docs/settings.md``, ``docs/reasons.md``, ``docs/live-checklist.md`` and
the ``settings`` of each plugin in ``meltano.yml``; a test fails when they are not what this would write.
"""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

from msp_xero.reasons import markdown as reasons_markdown
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from singer_sdk.helpers.capabilities import FLATTENING_CONFIG, STREAM_MAPS_CONFIG

from docs.live_checklist import live_checklist_markdown

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = {
    "tap-msp-sdp": "tap_msp_sdp.tap:TapMspSdp",
    "tap-xero-lite": "tap_xero_lite.tap:TapXeroLite",
    "msp-xero-transforms": "msp_xero_transforms.mapper:MspXeroTransforms",
    "target-msp-sdp": "target_msp_sdp.target:TargetMspSdp",
    "target-xero-invoices": "target_xero_invoices.target:TargetXeroInvoices",
}
INTRODUCTION = (
    "Generated from the code by `make docs`. Set them in `meltano.yml` under the plugin's `config`, or in "
    "the environment as `<PLUGIN>_<SETTING>`, for example `TAP_MSP_SDP_BASE_URL`. Settings of the mapper "
    "stand under its mappings. Secrets belong into the environment or `.env`."
)
HEADINGS = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
# The SDK adds its own settings to a plugin's schema as soon as one is started in the same process.
OF_THE_SDK = STREAM_MAPS_CONFIG["properties"].keys() | FLATTENING_CONFIG["properties"].keys()
_KINDS = {
    "integer": "integer",
    "number": "decimal",
    "boolean": "boolean",
    "object": "object",
    "array": "array",
    "string": "string",
}


def main() -> None:
    """Write all generated documents."""
    for name, text in documents().items():
        (ROOT / name).write_text(text)


def documents() -> dict[str, str]:
    """Return the text of every generated document by its path in the repository."""
    return {
        "docs/settings.md": settings_markdown(),
        "docs/reasons.md": reasons_markdown(),
        "docs/live-checklist.md": live_checklist_markdown(),
        "meltano.yml": meltano_yml((ROOT / "meltano.yml").read_text()),
    }


def settings_of(plugin: str) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each setting of a plugin; the code is the truth."""
    module, _, name = PLUGINS[plugin].partition(":")
    schema: dict[str, Any] = getattr(importlib.import_module(module), name).config_jsonschema
    required = set(schema.get("required", ()))
    return {
        name: {**values, "required": name in required}
        for name, values in schema["properties"].items()
        if name not in OF_THE_SDK
    }


def settings_markdown() -> str:
    """Return ``docs/settings.md``."""
    parts = ["# Settings", "", INTRODUCTION]
    for plugin in PLUGINS:
        parts += ["", f"## {plugin}", "", *HEADINGS]
        parts += [_row(name, schema) for name, schema in settings_of(plugin).items()]
    return "\n".join(parts) + "\n"


def _row(name: str, schema: dict[str, Any]) -> str:
    default = "required" if schema["required"] else _code(schema["default"]) if "default" in schema else ""
    marks = " (secret)" if schema.get("secret") else ""
    kind = _kind(schema)
    if choices := schema.get("enum"):
        kind = " \\| ".join(f"`{choice}`" for choice in choices if choice is not None)
    text = " ".join(str(schema.get("description", "")).split()).replace("|", "\\|")
    return f"| `{name}`{marks} | {kind} | {default} | {text} |"


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`".replace("|", "\\|").replace("\n", "⏎")


def _kind(schema: dict[str, Any]) -> str:
    kinds = schema.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return _KINDS[next(kind for kind in kinds if kind != "null")]


def meltano_yml(text: str) -> str:
    """Return ``meltano.yml`` with the settings of each plugin as its code has them."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=2, offset=0)
    project = yaml.load(text)
    for kind in ("extractors", "mappers", "loaders"):
        for plugin in project["plugins"][kind]:
            if plugin["name"] in PLUGINS:
                plugin["settings"] = _meltano_settings(plugin["name"])
    out = io.StringIO()
    yaml.dump(project, out)
    return out.getvalue()


def _meltano_settings(plugin: str) -> CommentedSeq:
    rows = CommentedSeq()
    for name, schema in settings_of(plugin).items():
        row = CommentedMap(name=name)
        kind = _kind(schema)
        if kind != "string":
            row["kind"] = kind
        if schema.get("secret"):
            row["sensitive"] = True
        row.fa.set_flow_style()
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
