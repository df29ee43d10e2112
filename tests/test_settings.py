"""Every plugin as a program: a wrong setting ends it with one line for each, and no value is shown."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.systems import BIN

if TYPE_CHECKING:
    from pathlib import Path

SECRET = 987654321
SDP = {"base_url": "http://127.0.0.1:1", "auth_token": SECRET}
XERO = {"client_id": "id", "client_secret": SECRET}


@pytest.mark.parametrize(
    ("plugin", "config", "wrong"),
    [
        ("tap-msp-sdp", {**SDP, "window_day": 1}, ["window_day: is not known; did you mean window_days?"]),
        ("tap-xero-lite", {**XERO, "page_size": 5000}, ["page_size: must be a whole number from 1 to 1000."]),
        ("msp-xero-transforms", {"ledger_url": SECRET, "rate_source": "x"}, ["rate_source: must be one of "]),
        ("target-msp-sdp", {"auth_token": SECRET}, ["base_url: is missing. Example: base_url: https://"]),
        (
            "target-xero-invoices",
            {**XERO, "pussh": False, "invoice_statuss": "DRAFT"},
            ["pussh: is not known; did you mean push?", "invoice_statuss: is not known; did you mean "],
        ),
    ],
)
def test_wrong_settings_end_the_plugin(
    tmp_path: Path, plugin: str, config: dict[str, object], wrong: list[str]
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    done = subprocess.run(
        [BIN / plugin, "--config", path], input="", capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == len(wrong) + 1, done.stderr
    for problem in (*wrong, ": must be a text. Example: "):
        assert any(line.startswith(f"{plugin}: error: Setting ") and problem in line for line in errors)
    assert str(SECRET) not in done.stderr
    assert "Traceback" not in done.stderr
