"""``msp-xero doctor`` only looks: what it leaves behind in the project's folder, and how long it waits."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import requests
from filelock import FileLock
from msp_xero.xero import XeroSettings
from msp_xero.xero.auth import connection_name
from msp_xero.xero.callback import Callback
from msp_xero.xero.login import Login
from msp_xero.xero.tokens import Token, TokenStore
from msp_xero_console.checks import scene
from msp_xero_console.project import Project

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = ".msp-xero/xero-token.json"
OURS = "Xero for target-xero-invoices"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything in a folder, None for a folder."""
    return {
        str(one.relative_to(folder)): one.read_bytes() if one.is_file() else None for one in folder.rglob("*")
    }


def looks(cli) -> dict[str, dict[str, str]]:
    return {row["subject"]: row for row in cli.data("doctor", code=cli.code)}


@pytest.fixture
def connected(sandbox, empty):
    """A project that nothing has run in."""
    sandbox.connect(empty)
    empty.code = 0
    return empty


@pytest.fixture
def with_login(connected):
    """The same with a web app instead of a Custom Connection."""
    path = connected.folder / "meltano.yml"
    app = "client_id: sandbox-web, grant: authorization_code"
    text = path.read_text().replace("client_id: sandbox-client", app)
    path.write_text(text.replace("sandbox-secret", "sandbox-web-secret"))
    return connected


def settings_of() -> XeroSettings:
    config = Project.find(environment=None, config=None).config("target-xero-invoices")
    return XeroSettings.from_config(
        config | {"login_url": f"{config['identity_url']}/identity/connect/authorize"}
    )


def log_in() -> tuple[TokenStore, str, Token]:
    """Log in as a person does; return the store, the name of the login in it, and the login."""
    settings = settings_of()
    flow = Login(settings)
    with Callback(0) as callback:
        consent = flow.consent(callback.port)
        callback.start(consent.code_in)
        requests.get(consent.address, timeout=30)
        token = flow.redeem(consent, callback.wait(30))
    flow.choose(token, *next(iter(flow.organisations(token).items())))
    store, name = TokenStore(settings.token_store), connection_name(settings)
    login = store.load(name)
    assert login is not None
    store.path.with_name(f"{store.path.name}.lock").unlink(missing_ok=True)
    return store, name, login


def make_stale(store: TokenStore, name: str, login: Token) -> None:
    with store.locked():
        store.save(name, replace(login, expires_at=login.issued_at - timedelta(hours=1)))
    store.path.with_name(f"{store.path.name}.lock").unlink(missing_ok=True)


@pytest.mark.parametrize("arguments", [(), ("--live-checklist",)])
def test_a_custom_connection_leaves_a_fresh_folder_as_it_is(connected, arguments) -> None:
    before = tree(connected.folder)
    connected.says("doctor", *arguments)
    assert tree(connected.folder) == before
    assert ".msp-xero" not in before


def test_one_token_of_a_custom_connection_serves_the_whole_look(sandbox, connected) -> None:
    rows = looks(connected)
    assert rows["Xero scopes of tap-xero-lite and target-xero-invoices"]["status"] == "ok"
    assert len(sandbox.calls_to("/connect/token")) == 1


def test_a_login_that_is_not_there_leaves_a_fresh_folder_as_it_is(with_login) -> None:
    before = tree(with_login.folder)
    with_login.code = 1
    assert "there is no stored login" in looks(with_login)[OURS]["seen"]
    assert tree(with_login.folder) == before


def test_a_login_that_is_good_is_used_as_it_is(with_login) -> None:
    log_in()
    before = tree(with_login.folder)
    assert looks(with_login)[OURS]["status"] == "ok"
    assert tree(with_login.folder) == before


def test_a_login_that_had_to_be_renewed_is_all_that_is_written(with_login) -> None:
    store, name, login = log_in()
    make_stale(store, name, login)
    before = tree(with_login.folder)
    assert looks(with_login)[OURS]["status"] == "ok"
    after = tree(with_login.folder)
    assert {one for one in after if after[one] != before.get(one)} - {f"{TOKEN}.lock"} == {TOKEN}
    assert store.load(name).refresh_token not in {None, login.refresh_token}


def test_the_ledger_gets_no_neighbours(sandbox, cli) -> None:
    sandbox.connect(cli)
    before = tree(cli.folder)
    cli.code = 3
    looks(cli)
    assert tree(cli.folder) == before


def test_a_process_that_keeps_the_login_to_itself_holds_up_one_line(with_login, monkeypatch) -> None:
    monkeypatch.setattr(scene, "PATIENCE", 0.5)
    make_stale(*log_in())
    started = time.monotonic()
    with_login.code = 1
    with FileLock(f"{with_login.folder / TOKEN}.lock"):
        rows = looks(with_login)
    assert time.monotonic() - started < 20
    assert f"another process has held {with_login.folder / TOKEN}.lock for 0.5 seconds" in rows[OURS]["seen"]
    assert rows["ServiceDesk Plus for tap-msp-sdp"]["status"] == rows["disk"]["status"] == "ok"
