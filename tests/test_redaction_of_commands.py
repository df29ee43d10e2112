"""What a login, doctor and its reports, and plugins at debug level say while both systems repeat credentials.

The kinds of connections that ``test_redaction.py`` has no room for: a web app with a stored login, the
cloud edition of ServiceDesk Plus, and a ledger with a password.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests

from tests.leaks import check_places
from tests.project import Project
from tests.systems import BIN
from tests.test_login import WEB, LoggingIn, consent_address
from tests.test_redaction import MAIL, TEXT, TITLE, TOKEN_BEGINS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import StartSandbox

ZOHO: Final = {
    "oauth_client_id": "sandbox-client",
    "oauth_client_secret": "PLANTED-ZOHO-SECRET-41",
    "oauth_refresh_token": "PLANTED-ZOHO-REFRESH-42",
}
ZOHO_TOKENS: Final = [hashlib.sha256(f"sandbox-token-{n}".encode()).hexdigest()[:32] for n in range(1, 60)]
"""What the sandbox makes its access tokens of."""
LEDGER: Final = "postgresql+psycopg://books:PLANTED-LEDGER-1@127.0.0.1:1/books?sslpassword=PLANTED-LEDGER-2"
NOT_ESCAPED: Final = "postgresql+psycopg://books:PLANTED-LEDGER-1/PLANTED-LEDGER-2@127.0.0.1:1x/books"
PRIVATE: Final = ("PLANTED", MAIL, "QQ4711QQ", "J. Doe")


class Planted:
    """A project whose every connection has a secret to look for."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.login = LoggingIn(project, folder)
        self.said: list[str] = []
        sdp = {"edition": "cloud", "base_url": f"{project.sandbox.sdp}/app/itdesk", **ZOHO}
        self.sdp = sdp | {"oauth_url": f"{project.sandbox.sdp}/oauth/v2/token"}
        self.xero = {**WEB, "grant": "authorization_code", "token_store": str(self.login.store)}
        self.xero |= {
            "api_url": f"{project.sandbox.xero}/api.xro/2.0",
            "identity_url": project.sandbox.xero,
        }
        settings = dict.fromkeys(("TAP_MSP_SDP", "TARGET_MSP_SDP", "TARGET_MSP_SDP_TYPES"), self.sdp)
        settings |= dict.fromkeys(("TAP_XERO_LITE", "TARGET_XERO_INVOICES"), self.xero)
        project.environment |= {
            f"{plugin}_{name.upper()}": value
            for plugin, values in settings.items()
            for name, value in values.items()
        }
        self._plant_texts()

    def _plant_texts(self) -> None:
        sandbox = self.project.sandbox
        sandbox.change("sdp", "request", "edit", sandbox.rows("sdp", "requests")[0]["id"], title=TITLE)
        for row in sandbox.rows("sdp", "worklogs"):
            sandbox.change("sdp", "worklog", "edit", row["id"], description=f"<p>{TEXT}</p>")
        for row in sandbox.rows("xero", "contacts")[:5]:
            sandbox.change("xero", "contact", "edit", row["ContactID"], EmailAddress=MAIL)

    def secrets(self) -> tuple[str, ...]:
        """Everything that opens a door, as it is now."""
        (token,) = json.loads(self.login.store.read_text())["tokens"].values()
        of_login = [token[name] for name in ("access_token", "refresh_token", "previous_refresh_token")]
        own = [*ZOHO.values(), WEB["client_secret"], "PLANTED-LEDGER"]
        found = [*own, *of_login, *ZOHO_TOKENS, TOKEN_BEGINS]
        return tuple(secret for secret in found if secret not in {None, "sandbox-client"})

    def log_in(self) -> None:
        """Log in by hand: what is said there is kept without the address, which a person has to see."""
        self.login.use(WEB)
        with self.login.by_hand() as process:
            assert process.stdout is not None
            address = consent_address(process.stdout)
            back = requests.get(address, allow_redirects=False, timeout=30).headers["Location"]
            said, errors = process.communicate(f"{back}\n", timeout=60)
        assert process.returncode == 0, errors
        assert re.findall(r"code=(\w+)", back)[0] not in said + errors
        self.said += [said, errors]

    def tell(self, *arguments: str, **variables: str) -> str:
        """Run a command of ours, and keep what it says."""
        self.said.append(self.project.command([BIN / "msp-xero", *arguments], expect=None, **variables))
        return self.said[-1]

    def extract(self, plugin: str, settings: dict[str, Any]) -> str:
        """Run a plugin at debug level, and return what it says and writes; records hold texts by right.

        Its traces are switched on as well: an error has the texts of its causes with it.
        """
        config = self.project.folder.parent / f"{plugin}.json"
        config.write_text(json.dumps(settings))
        at_debug = {f"{plugin.replace('-', '_').upper()}_LOGLEVEL": "DEBUG", "MSP_XERO_DEBUG": "1"}
        done = subprocess.run(
            [BIN / plugin, "--config", config],
            env=self.project.environment | at_debug,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "DEBUG" in done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def echoing(self, *statuses: int) -> Iterator[None]:
        """Let every third call from the second on, and renewals of tokens, get what they sent.

        Args:
            statuses: of the answers, one after the other.
        """
        sandbox = self.project.sandbox
        for system, api, tokens, renewal in (
            ("sdp", "/app/itdesk/api/v3/", "/oauth/v2/token", 2),
            ("xero", "/api.xro/2.0/", "/connect/token", 1),
        ):
            for number, status in enumerate(statuses):
                sandbox.break_(system, "echo", "GET", api, status=status, nth=2 + 3 * number)
            sandbox.break_(system, "echo", "POST", tokens, status=400, nth=renewal)
        yield
        faults = [fault for system in ("sdp", "xero") for fault in sandbox.control("GET", system, "faults")]
        assert any(fault["applied"] for fault in faults), "nothing was echoed"
        sandbox.mend()


@pytest.fixture
def planted(tmp_path: Path, start_sandbox: StartSandbox) -> Planted:
    switches = {
        "sdp.client_secret": ZOHO["oauth_client_secret"],
        "sdp.refresh_token": ZOHO["oauth_refresh_token"],
        "sdp.tokens_per_minute": "1000",
    }
    options = [part for name, value in switches.items() for part in ("--set", f"{name}={value}")]
    sandbox = start_sandbox("--scale", "40", *options)
    return Planted(Project.create(tmp_path / "project", sandbox), tmp_path)


def test_no_command_tells_a_secret_of_any_kind_of_connection(planted: Planted) -> None:
    planted.log_in()
    secrets = set(planted.secrets())
    said = planted.tell("doctor", "--live-checklist", "report.md", "--record", "recorded")
    assert "calls recorded in recorded" in said
    with planted.echoing(403, 400, 401):
        planted.tell("doctor", "--live-checklist", "echoed.md", "--record", "recorded-echoes")
    with planted.echoing(403, 400, 401):
        planted.tell("doctor")
    for url, command in ((LEDGER, "doctor"), (LEDGER, "status"), (NOT_ESCAPED, "status")):
        assert "ledger" in planted.tell(command, MSP_XERO_LEDGER_URL=url)
    secrets |= set(planted.secrets())
    check_places(planted.project, planted.said, (*secrets, *PRIVATE))


def test_no_plugin_tells_a_secret_of_any_kind_of_connection(planted: Planted) -> None:
    planted.log_in()
    secrets = set(planted.secrets())
    said = []
    for plugin, settings in (("tap-xero-lite", planted.xero), ("tap-msp-sdp", planted.sdp)):
        for statuses in ((403, 400), (401,)):
            with planted.echoing(*statuses):
                said.append(planted.extract(plugin, settings))
    said.append(planted.extract("target-xero-invoices", planted.xero | {"ledger_url": LEDGER}))
    assert "Connection refused" in said[-1]
    secrets |= set(planted.secrets())
    check_places(planted.project, said, tuple(secrets))
