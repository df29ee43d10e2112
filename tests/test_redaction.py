"""Secrets and customers' texts stay where they belong, at debug level and while everything goes wrong."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.leaks import check_places
from tests.project import JOBS, Project
from tests.systems import BIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartSandbox

AT_DEBUG: Final = {
    f"{plugin}_LOGLEVEL": "DEBUG"
    for plugin in (
        "TAP_MSP_SDP", "TAP_XERO_LITE", "MSP_XERO_TRANSFORMS", "TARGET_MSP_SDP", "TARGET_XERO_INVOICES"
    )
}  # fmt: skip
SECRETS: Final = {
    "TAP_MSP_SDP_AUTH_TOKEN": "PLANTED-SDP-KEY-7C1B",
    "TARGET_MSP_SDP_AUTH_TOKEN": "PLANTED-SDP-KEY-7C1B",
    "TARGET_MSP_SDP_TYPES_AUTH_TOKEN": "PLANTED-SDP-KEY-7C1B",
    "TAP_MSP_SDP_OAUTH_CLIENT_SECRET": "PLANTED-ZOHO-SECRET-41",
    "TAP_MSP_SDP_OAUTH_REFRESH_TOKEN": "PLANTED-ZOHO-REFRESH-42",
}
"""Those that can be chosen freely; Xero's client secret is the sandbox's own."""
XERO_SECRET: Final = "sandbox-secret"
TOKEN_BEGINS: Final = "eyJ"
"""Every access token of Xero is a JWT, and every JWT begins so."""
TEXT: Final = "PLANTED-TEXT: my wife is ill, the safe's code is QQ4711QQ"
TITLE: Final = "PLANTED-TITLE dismissal of J. Doe"
MAIL: Final = "planted.person@customer.example"
PRIVATE: Final = ("PLANTED", "QQ4711QQ", "J. Doe", MAIL)
ECHOES: Final = {
    "sdp": json.dumps({"Message": f"{TEXT} {SECRETS['TAP_MSP_SDP_AUTH_TOKEN']}", "Detail": MAIL}),
    "xero": json.dumps({"Message": f"the client's secret is {XERO_SECRET}"}),
}
"""What a proxy or a system in trouble answers: it repeats what it was sent."""

HOLDS_TEXT: Final = {
    "worklog": {"source", "description", "parent_title", "terms", "billed"},
    "invoice_line": {"description"},
    "push_batch": {"body"},
    "account_link": {"wanted"},
}
"""Columns of the ledger that hold what people wrote, because invoices and accounts are made of it."""


def _plant(project: Project) -> None:
    sandbox = project.sandbox
    project.environment |= SECRETS

    def change_environment(document: dict[str, Any]) -> None:
        for plugins in document["environments"][0]["config"]["plugins"].values():
            for plugin in plugins:
                plugin["config"].pop("auth_token", None)  # the environment's variable counts

    project.edit(change_environment)
    request = sandbox.rows("sdp", "requests")[0]
    sandbox.change("sdp", "request", "edit", request["id"], title=TITLE)
    worklogs = [row for row in sandbox.rows("sdp", "worklogs") if row["parent_kind"] == "request"]
    for row in worklogs[:40]:
        sandbox.change("sdp", "worklog", "edit", row["id"], description=f"<p>{TEXT}</p>")
    for row in sandbox.rows("xero", "contacts")[:5]:
        sandbox.change("xero", "contact", "edit", row["ContactID"], EmailAddress=MAIL)


def _start_with_planted_key(start_sandbox: StartSandbox, tmp_path: Path) -> Project:
    key = SECRETS["TAP_MSP_SDP_AUTH_TOKEN"]
    project = Project.create(
        tmp_path / "project", start_sandbox("--scale", "small", "--set", f"sdp.authtoken={key}")
    )
    _plant(project)
    return project


def _trouble(project: Project) -> None:
    """Let both systems fail in every way that shows texts: echoes, HTML, cut bodies, refusals."""
    sandbox = project.sandbox
    for system, path in (("sdp", "/api/v3/"), ("xero", "/api.xro/2.0/")):
        echo = ECHOES[system]
        sandbox.break_(system, "status", "GET", path, nth=2, status=500, body=echo)
        sandbox.break_(system, "html", "GET", path, nth=4, body=f"<html><body>{echo}</body></html>")
        sandbox.break_(system, "truncate", "GET", path, nth=6, keep=0.5)
        sandbox.break_(system, "reset_before", "GET", path, nth=8)
    sandbox.break_("xero", "status", "PUT", "/api.xro/2.0/Invoices", nth=1, status=400, body=ECHOES["xero"])
    sandbox.break_("xero", "timeout_after_commit", "PUT", "/api.xro/2.0/Invoices", nth=2, seconds=0.2)


@pytest.mark.timeout(900)
def test_no_secret_and_no_text_of_a_customer_leaks(tmp_path: Path, start_sandbox: StartSandbox) -> None:
    project = _start_with_planted_key(start_sandbox, tmp_path)
    project.environment |= AT_DEBUG
    said = []
    for job in JOBS:
        _trouble(project)
        said.append(project.run(job, expect=None))
        project.sandbox.mend()
    said.append(project.run(*JOBS))
    assert project.states()["invoiced"] > 40, "the run was a whole one"
    texts = {row.worklog_id for row in project.worklogs() if TEXT in str(row.source)}
    assert len(texts) > 30, "the planted texts came as far as the ledger"

    # A key that is refused, a secret that is wrong: error reports are made of settings.
    said.append(project.run("worklogs", expect=1, TAP_MSP_SDP_AUTH_TOKEN="PLANTED-WRONG-KEY"))
    wrong = {"TARGET_XERO_INVOICES_CLIENT_SECRET": "PLANTED-WRONG-SECRET"}
    said.append(project.run("worklogs", expect=1, **wrong))
    commands = (("status",), ("doctor",), ("reconcile",), ("bookmarks", "export", "bookmarks"))
    said += [project.msp_xero(*arguments, expect=None) for arguments in commands]
    check_places(project, said, (*_secrets(), *PRIVATE))
    _check_ledger(project)

    # Meltano's own debug level shows the records that pass between two plugins, but never a secret.
    at_meltanos_debug = [BIN / "meltano", "--log-level=debug", "run", "--no-install", "worklogs"]
    told = project.command(at_meltanos_debug)
    assert '"type":"RECORD"' in told, "this is why docs/operations.md warns of it"
    check_places(project, [told], _secrets())


def _secrets() -> tuple[str, ...]:
    return (*SECRETS.values(), XERO_SECRET, TOKEN_BEGINS)


def _check_ledger(project: Project) -> None:
    """The ledger holds no secret anywhere, and people's texts only where bills are made of them."""
    with closing(sqlite3.connect(project.ledger_path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert HOLDS_TEXT.keys() <= set(tables)
        for table in tables:
            cursor = connection.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in cursor.description]
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
                    assert not any(secret in text for secret in _secrets()), (
                        f"a secret is in {table}.{column}"
                    )
                    if column not in HOLDS_TEXT.get(table, set()):
                        assert not any(word in text for word in PRIVATE), (
                            f"a text is in {table}.{column}: {text[:200]}"
                        )
