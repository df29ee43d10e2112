"""``msp-xero login`` as a process: from the consent page to billed worklogs, and all that goes wrong."""

from __future__ import annotations

import json
import re
import stat
import sys
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.project import Project
from tests.systems import BIN, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import StartSandbox

WEB = {"client_id": "sandbox-web", "client_secret": "sandbox-web-secret"}
PKCE = {"client_id": "sandbox-pkce", "client_secret": None}
# A browser that agrees to everything: it opens the consent page and goes where that sends it.
BROWSER = """
import html, re, sys
import requests
session = requests.Session()
page = session.get(sys.argv[1], timeout=30)
if "Allow access" in page.text:
    hidden = re.findall(r'name="(\\w+)" value="([^"]*)"', page.text)
    form = {name: html.unescape(value) for name, value in hidden}
    form |= {"decision": "given", "tenant": re.findall(r'option value="([^"]+)"', page.text)[-1]}
    page = session.get(sys.argv[1].partition("?")[0], params=form, timeout=30)
print(page.text, file=open(sys.argv[2], "w"))
"""


class LoggingIn:
    """The project, and the one command."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.page = folder / "page.html"
        self.script = folder / "browser.py"
        self.script.write_text(BROWSER)
        self.port = str(free_ports(1)[0])

    def use(self, app: dict[str, Any], **more: Any) -> None:
        """Set an app in the environment of the sandbox, as an integrator would."""
        login_url = f"{self.project.sandbox.xero}/identity/connect/authorize"

        def change(document: dict[str, Any]) -> None:
            for plugins in document["environments"][0]["config"]["plugins"].values():
                for plugin in plugins:
                    if "xero" in plugin["name"]:
                        plugin["config"] |= app | more | {"login_url": login_url}
                        if app["client_secret"] is None:
                            del plugin["config"]["client_secret"]

        self.project.edit(change)

    def __call__(self, *options: str, expect: int = 0) -> str:
        """Log in through the browser; return what was said."""
        browser = f"{sys.executable} {self.script} %s {self.page}"
        return self.project.command(
            [BIN / "msp-xero", "login", "--port", self.port, "--timeout", "30", *options],
            expect=expect,
            BROWSER=browser,
        )

    @contextmanager
    def by_hand(self, *options: str) -> Iterator[Popen[str]]:
        """Log in without a browser."""
        with Popen(
            [BIN / "msp-xero", "login", "--no-browser", *options],
            cwd=self.project.folder,
            env=self.project.environment,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    @property
    def store(self) -> Path:
        return self.project.folder / ".msp-xero" / "demo" / "xero-token.json"


@pytest.fixture
def login(tmp_path: Path, start_sandbox: StartSandbox) -> LoggingIn:
    return LoggingIn(Project.create(tmp_path / "project", start_sandbox("--scale", "40")), tmp_path)


def consent_address(lines: Any) -> str:
    return next(line.strip() for line in lines if line.startswith("http"))


def test_from_nothing_to_billed_worklogs_with_a_login(login: LoggingIn) -> None:
    project, sandbox = login.project, login.project.sandbox
    login.use(PKCE, grant="authorization_code")
    assert "there is no ledger yet" in project.msp_xero("reconcile", expect=1)
    assert "there is no stored login" in project.run("accounts", expect=1)
    sandbox.control("POST", "xero", "set", {"consent": "ask", "extra_tenants": "1"})
    said = login()
    assert "Connected to Kōwhai Managed IT." in said
    tenant = str(sandbox.rows("xero", "organisation")[0]["OrganisationID"])
    assert f"Set tenant_id: {tenant} for tap-xero-lite and target-xero-invoices" in said
    assert "Set grant" not in said
    assert "Xero has answered" in login.page.read_text()
    assert stat.S_IMODE(login.store.stat().st_mode) == 0o600
    project.run("accounts", "worklog-types", "worklogs")
    assert project.states()["invoiced"] > 0
    assert sandbox.our_invoices()
    calls = [call for call in sandbox.calls("xero", path="/api.xro/2.0/") if call["status"] < 400]
    assert {call["headers"]["xero-tenant-id"] for call in calls} == {tenant}
    secrets = json.loads(login.store.read_text())["tokens"].values()
    for secret in [token[name] for token in secrets for name in ("access_token", "refresh_token")]:
        assert secret not in project.output

    findings = {one["subject"]: one for one in project.listed("doctor")}
    assert findings["Xero login of tap-xero-lite and target-xero-invoices"]["status"] == "ok"
    assert findings["Xero scopes of tap-xero-lite and target-xero-invoices"]["status"] == "ok"

    # Revoked in Xero: what needs Xero says which command mends it, status too, and the command does.
    (token,) = json.loads(login.store.read_text())["tokens"].values()
    form = {"token": token["refresh_token"], "client_id": "sandbox-pkce"}
    requests.post(f"{sandbox.xero}/connect/revocation", data=form, timeout=30)
    sandbox.break_("xero", "token_expired", "GET", "/api.xro/2.0/", nth=1)
    assert "revoked in Xero" in project.msp_xero("reconcile", expect=1)
    assert "msp-xero login" in project.output
    assert re.search("Xero login .*msp-xero login", project.msp_xero("status", "--check", expect=3))
    login()
    project.msp_xero("reconcile")


def test_a_login_by_hand_and_a_choice_of_organisations(login: LoggingIn) -> None:
    sandbox = login.project.sandbox
    sandbox.control("POST", "xero", "set", {"extra_tenants": "1"})
    login.use(WEB)
    with login.by_hand() as process:
        assert process.stdout is not None
        address = consent_address(process.stdout)
        assert "code_challenge" not in address
        back = requests.get(address, allow_redirects=False, timeout=30).headers["Location"]
        foreign, bare = back.replace("state=", "state=x"), re.findall(r"code=(\w+)", back)[0]
        said, errors = process.communicate(f"{foreign}\n{bare}\n{back}\n1\n", timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "that answer belongs to another login" in said
    assert "a code alone does not show that it belongs to this login; copy the whole address" in said
    assert re.search(r"1  Kōwhai Managed IT .*\n.*2  Other Organisation 1 ", said)
    assert "Connected to Kōwhai Managed IT." in said
    assert "Set grant: authorization_code for tap-xero-lite and target-xero-invoices" in said

    # The bare code of a PKCE app, the organisation by name, JSON for a script.
    login.use(PKCE)
    with login.by_hand("--json", "--organisation", "kōwhai managed it") as process:
        assert process.stderr is not None
        address = consent_address(process.stderr)
        back = requests.get(address, allow_redirects=False, timeout=30).headers["Location"]
        code = re.findall(r"code=(\w+)", back)[0]
        said, _ = process.communicate(f"{code}\n", timeout=60)
    answer = json.loads(said)
    assert answer["organisation"] == "Kōwhai Managed IT"
    assert answer["settings_to_set"] == {"grant": "authorization_code", "tenant_id": answer["tenant_id"]}
    assert answer["missing_scopes"] == []

    # Nobody to choose: the organisations are listed, and the login before stays as it was.
    before = login.store.read_bytes()
    said = login(expect=1)
    assert "error: no organisation was chosen" in said
    assert "Nothing was stored. A login from before is as it was" in said
    assert login.store.read_bytes() == before
    assert "Other Organisation 1 (00000001-0000-4000-a000-000000000000)" in said


def test_what_goes_wrong_is_one_sentence(login: LoggingIn) -> None:
    sandbox, project = login.project.sandbox, login.project
    login.use(WEB)
    sandbox.control("POST", "xero", "set", {"consent": "denied"})
    assert "error: the consent page was cancelled" in login(expect=1)
    assert "Not connected" in login.page.read_text()
    sandbox.control("POST", "xero", "set", {"consent": "given", "redirect_addresses": "https://other/back"})
    assert "a redirect address of the app, letter for letter?" in login("--timeout", "1", expect=1)
    sandbox.control("POST", "xero", "set", {"redirect_addresses": f"http://localhost:{login.port}/callback"})
    narrow = {"grant": "authorization_code", "scopes": "accounting.contacts.read accounting.settings.read"}
    login.use(WEB, **narrow)
    said = login(expect=3)
    assert "cannot create and read invoices: the scope accounting.invoices is missing" in said
    assert "accounting.invoices is missing" in project.msp_xero("doctor", expect=1)
    before = login.store.read_bytes()
    login.use(WEB, tenant_id="70784a63-d24b-46a9-a4db-0e70a274b056")
    assert "tenant_id: the login does not reach 70784a63" in login(expect=1)
    assert login.store.read_bytes() == before, "the login before is left alone"
    login.use({"client_id": "sandbox-client", "client_secret": "sandbox-secret"})
    assert "is it a web or a PKCE app" in login("--timeout", "1", expect=1).replace("Is it", "is it")
