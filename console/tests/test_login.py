"""``msp-xero login``: what it needs of the settings before it asks anybody for anything."""

from __future__ import annotations

import json
import socket

import pytest


def test_plugins_that_disagree_are_named_without_their_values(empty):
    path = empty.folder / "meltano.yml"
    path.write_text(path.read_text().replace("client_secret: xero-secret", "client_secret: other-secret", 1))
    said = empty.refuses("login")
    assert "Setting client_secret: differs between tap-xero-lite and target-xero-invoices" in said
    assert "-secret" not in said


def test_a_project_without_xero_has_nothing_to_log_in(empty):
    (empty.folder / "meltano.yml").write_text("project_id: none\n")
    assert "neither of tap-xero-lite and target-xero-invoices" in empty.refuses("login")


def test_a_store_that_cannot_be_written_fails_before_a_browser_opens(empty, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda _: pytest.fail("a person was asked for nothing"))
    (empty.folder / ".msp-xero").write_text("a file where a folder has to be")
    assert "Setting token_store:" in empty.refuses("login")


def test_a_missing_client_id_is_named(empty):
    config = empty.folder / "config.json"
    config.write_text(json.dumps({"client_secret": "s"}))
    assert "Setting client_id:" in empty.refuses("login", "--config", str(config))


def test_without_a_browser_the_address_is_still_printed(empty, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = empty("login", "--timeout", "1", "--port", str(port))
    assert result.exit_code == 1
    assert (
        "https://login.xero.com/identity/connect/authorize?response_type=code&client_id=client"
        in result.stdout
    )
    assert result.stdout.startswith("tap-xero-lite and target-xero-invoices: with grant client_credentials")
    assert "no run uses this one until grant: authorization_code is set" in result.stdout
    assert "No browser could be opened" in result.stdout
    assert result.stderr.startswith("msp-xero: error: no answer came within 1 seconds")


def test_where_the_login_will_be_used_nothing_is_said_of_the_other_grant(empty, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    path = empty.folder / "meltano.yml"
    login = "grant: authorization_code, client_id: client"
    path.write_text(path.read_text().replace("client_id: client", login))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "client_credentials" not in empty("login", "--timeout", "1", "--port", str(port)).output
