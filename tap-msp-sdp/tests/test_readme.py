"""The settings table of the README is the one that the code has."""

from __future__ import annotations

from pathlib import Path

from msp_xero.sdp import SDP_CONNECTION
from singer_sdk import typing as th
from tap_msp_sdp.settings import EXTRACTION

README = Path(__file__).parents[1] / "README.md"
SCHEMA = th.PropertiesList(*SDP_CONNECTION, *EXTRACTION).to_dict()


def table() -> str:
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, entry in SCHEMA["properties"].items():
        secret = " (secret)" if entry.get("secret") else ""
        given = str(entry.get("default", "")).replace("'", "").replace("True", "true")
        default = "required" if name in SCHEMA["required"] else f"`{given}`" if given else ""
        lines.append(f"| `{name}`{secret} | {default} | {entry['description']} |")
    return "\n".join(lines)


def test_the_readme_lists_every_setting():
    shown = README.read_text("utf-8").split("<!-- settings -->")[1].split("<!-- /settings -->")[0].strip()
    assert shown == table(), "put this between the marks:\n" + table()


def test_every_setting_says_what_it_is():
    for name, entry in SCHEMA["properties"].items():
        assert entry["title"], name
        assert entry["description"].endswith("."), name
