"""What is generated from the code is what the code would generate now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msp_xero.reasons import REASONS

from docs.generate import PLUGINS, documents, settings_of

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "name", ["docs/settings.md", "docs/reasons.md", "docs/live-checklist.md", "meltano.yml"]
)
def test_generated_documents_are_current(name):
    assert (ROOT / name).read_text() == documents()[name], f"run `make docs` to write {name} again"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_every_setting_says_what_it_is(plugin):
    for name, schema in settings_of(plugin).items():
        assert schema.get("title"), name
        assert str(schema.get("description", "")).rstrip().endswith("."), name
        if re.search(r"secret|token$|password", name) and name != "token_store":
            assert schema.get("secret"), f"{name} looks like a secret and is not marked as one"


def test_every_reason_code_that_the_code_uses_is_explained():
    used = set()
    for path in ROOT.glob("*/**/*.py"):
        if ".venv" in path.parts or ".meltano" in path.parts or "tests" in path.parts:
            continue
        used |= set(re.findall(r'Hold\(\s*"([A-Z_]+)"|reason_code="([A-Z_]+)"', path.read_text()))
    codes = {code for pair in used for code in pair if code}
    assert len(codes) > 8
    assert codes <= REASONS.keys()


@pytest.mark.parametrize("page", ["connect-sdp.md"])
def test_guides_name_settings_that_there_are(page):
    text = (ROOT / "docs" / page).read_text()
    known = {
        f"{plugin}_{name}".upper().replace("-", "_")
        for plugin in ("tap-msp-sdp", "target-msp-sdp")
        for name in settings_of(plugin)
    }
    named = set(re.findall(r"\b(?:TAP|TARGET)_MSP_SDP_[A-Z][A-Z_]+[A-Z]\b", text))
    assert len(named) > 8
    assert named <= known
    for name in ("base_url", "portal_id", "ca_bundle", "verify_tls", "worklog_types_path", "auth_header"):
        assert f"`{name}" in text, name
    assert f"({page})" in (ROOT / "docs" / "README.md").read_text()
