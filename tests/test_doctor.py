"""``msp-xero doctor`` over real sockets: does it see what would stop tonight's run, and change nothing?"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from msp_xero.errors import SettingError
from msp_xero.ledger import Ledger
from msp_xero_console.main import app
from msp_xero_transforms.rules import read_rules
from typer.testing import CliRunner

from tests.front import Front
from tests.project import NAMES_OF_OURS, Project
from tests.systems import Sandbox, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from msp_xero_console.project import Mapped

SDP = "ServiceDesk Plus for tap-msp-sdp"
SDP_TARGET = "ServiceDesk Plus for target-msp-sdp"
SDP_PLUGINS = ("TAP_MSP_SDP", "TARGET_MSP_SDP")
XERO_PLUGINS = ("TAP_XERO_LITE", "TARGET_XERO_INVOICES")
LOGIN = b"<html><form action='j_security_check'><input type='password'></form></html>"
Rows = dict[str, dict[str, str]]


class Doctor:
    """The command in this process, in a project's folder."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project = project
        self._monkeypatch = monkeypatch
        for name in [name for name in os.environ if name.startswith(NAMES_OF_OURS)]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(project.folder)

    def set_sdp(self, **settings: str) -> None:
        """Set something of the connection to ServiceDesk Plus for tap and target."""
        self._set(SDP_PLUGINS, settings)

    def set_xero(self, **settings: str) -> None:
        self._set(XERO_PLUGINS, settings)

    def set(self, plugin: str, **settings: str) -> None:
        self._set((plugin,), settings)

    def _set(self, plugins: tuple[str, ...], settings: dict[str, str]) -> None:
        for plugin in plugins:
            for name, value in settings.items():
                self._monkeypatch.setenv(f"{plugin}_{name.upper()}", value)

    def __call__(self, *arguments: str, code: int | None = None) -> str:
        done = CliRunner().invoke(app, ["doctor", *arguments])
        assert code is None or done.exit_code == code, done.output
        assert "Traceback" not in done.output
        return done.stdout

    def looks(self, code: int | None = None) -> Rows:
        return {row["subject"]: row for row in json.loads(self("--json", code=code))}

    def writes(self) -> list[str]:
        calls = [call for system in ("xero", "sdp") for call in self.project.sandbox.calls(system)]
        assert calls
        return [
            f"{call['method']} {call['path']}"
            for call in calls
            if call["method"] != "GET" and not call["path"].endswith(("/connect/token", "/oauth/v2/token"))
        ]

    def switch(self, system: str, **switches: str) -> None:
        self.project.sandbox.control("POST", system, "set", switches)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests here, which only look and turn its switches."""
    xero, sdp = free_ports(2)
    sandbox = Sandbox((xero, sdp), "--scale", "small")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def project(tmp_path: Path, sandbox: Sandbox) -> Project:
    """A project before its first run."""
    sandbox.reset()
    return Project.create(tmp_path / "project", sandbox)


@pytest.fixture(autouse=True)
def mapper_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapper takes seconds to start; here its reader is asked. The first test starts the real one."""

    def refused(mapping: Mapped, _folder: Path) -> list[str]:
        try:
            read_rules(mapping.config)
        except SettingError as error:
            return [str(one) for one in (error, *error.others)]
        return []

    monkeypatch.setattr("msp_xero_console.checks.mapper.refusals", refused)


@pytest.fixture
def doctor(project: Project, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    return Doctor(project, monkeypatch)


@pytest.fixture
def front() -> Iterator[Callable[..., Front]]:
    fronts: list[Front] = []

    def make(*arguments: Any, **options: Any) -> Front:
        fronts.append(Front(*arguments, **options))
        return fronts[-1]

    yield make
    for one in fronts:
        one.close()


def others_are_looked_at(rows: Rows) -> bool:
    """Whether a failure at SDP left what does not depend on it alone."""
    wanted = {
        "ledger",
        "disk",
        "Xero for target-xero-invoices",
        "lock dates",
        "items",
        "call limit of the day",
    }
    return all(rows.get(subject, {}).get("status") == "ok" for subject in wanted)


def test_before_the_first_run_all_is_well_and_nothing_is_written(project: Project) -> None:
    text = project.msp_xero("doctor", expect=0)
    assert "36 ok, 0 warnings, 0 failed. Tonight's run will work." in text
    assert not project.ledger_path.exists()
    calls = [call for system in ("xero", "sdp") for call in project.sandbox.calls(system)]
    assert {call["method"] for call in calls if not call["path"].endswith("/connect/token")} == {"GET"}


def test_a_key_that_sees_no_costs_stops_a_run_that_bills_them(doctor: Doctor) -> None:
    doctor.set_sdp(auth_token="sandbox-limited-token")
    assert doctor.looks(0)["costs of worklogs"]["status"] == "ok"
    doctor.project.set_mapping("worklogs-to-lines", rate_source="worklog_charge")
    row = doctor.looks(1)["costs of worklogs"]
    assert row["status"] == "failed"
    assert "view the cost per hour" in row["advice"]


# ------------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Kowhai Root")


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "private-ca.pem")
    return str(tmp_path / "private-ca.pem")


def test_a_private_authority_is_refused_until_ca_bundle_names_it(
    doctor: Doctor, front: Callable[..., Front], authority: trustme.CA, bundle: str
) -> None:
    doctor.set_sdp(base_url=front(doctor.project.sandbox.sdp, authority.issue_cert("localhost")).url)
    rows = doctor.looks(1)
    assert rows["TLS of ServiceDesk Plus"]["status"] == rows[SDP]["status"] == "failed"
    assert rows["TLS of ServiceDesk Plus"]["advice"].startswith(
        "Set ca_bundle to the PEM file of the authority"
    )
    assert others_are_looked_at(rows)
    doctor.set_sdp(ca_bundle=bundle)
    rows = doctor.looks(0)
    assert rows["TLS of ServiceDesk Plus"]["seen"].startswith(
        "trusted, signed by Kowhai Root, of ca_bundle, good until"
    )
    assert rows[SDP]["seen"].startswith("answers; first account: ")


def test_verification_that_is_off_is_a_loud_warning(
    doctor: Doctor, front: Callable[..., Front], authority: trustme.CA
) -> None:
    doctor.set_sdp(
        base_url=front(doctor.project.sandbox.sdp, authority.issue_cert("localhost")).url, verify_tls="false"
    )
    rows = doctor.looks(3)
    assert rows[SDP]["status"] == "ok"
    assert rows["TLS of ServiceDesk Plus"]["status"] == "warning"
    assert rows["TLS of ServiceDesk Plus"]["seen"].startswith("VERIFICATION IS OFF")
    assert rows["tap-msp-sdp"]["status"] == rows["target-msp-sdp"]["status"] == "warning"


@pytest.mark.parametrize(
    ("name", "days", "status", "seen", "advice"),
    [
        ("localhost", 10, "warning", "9 days left", "Renew"),
        ("localhost", -1, "failed", "expired", "Renew the certificate"),
        ("sdp.example.test", 90, "failed", "mismatch", "host name that the certificate is for"),
    ],
)
def test_certificates_that_end_or_are_for_another_host(
    doctor: Doctor,
    front: Callable[..., Front],
    authority: trustme.CA,
    bundle: str,
    name: str,
    days: int,
    status: str,
    seen: str,
    advice: str,
) -> None:
    now = datetime.now(UTC)
    certificate = authority.issue_cert(
        name, not_before=now - timedelta(days=60), not_after=now + timedelta(days=days)
    )
    doctor.set_sdp(base_url=front(doctor.project.sandbox.sdp, certificate).url, ca_bundle=bundle)
    row = doctor.looks(3 if status == "warning" else 1)["TLS of ServiceDesk Plus"]
    assert row["status"] == status
    assert seen in row["seen"]
    assert advice in row["advice"]


def test_tls_where_there_is_none_and_nobody_where_somebody_should_be(doctor: Doctor) -> None:
    doctor.set_sdp(base_url=doctor.project.sandbox.sdp.replace("http", "https"))
    rows = doctor.looks(1)
    assert "no TLS there" in rows[SDP]["seen"]
    (port,) = free_ports(1)
    doctor.set_sdp(base_url=f"http://127.0.0.1:{port}")
    rows = doctor.looks(1)
    assert "connection refused" in rows[SDP]["seen"]
    assert "Check base_url" in rows[SDP]["advice"]
    assert others_are_looked_at(rows)


def test_the_token_service_of_zoho_is_verified_whatever_verify_tls_says(
    doctor: Doctor,
    front: Callable[..., Front],
    authority: trustme.CA,
    bundle: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    behind = doctor.project.sandbox.sdp
    portal = front(behind, trustme.CA().issue_cert("localhost")).url
    doctor.set_sdp(
        edition="cloud",
        base_url=f"{portal}/app/itdesk",
        verify_tls="false",
        oauth_url=front(behind, authority.issue_cert("localhost")).url,
        oauth_client_id="sandbox-client",
        oauth_client_secret="sandbox-secret",
        oauth_refresh_token="sandbox-refresh",
    )
    rows = doctor.looks(1)
    assert rows["TLS of ServiceDesk Plus"]["status"] == "warning"
    assert rows["TLS of Zoho's token service"]["status"] == "failed"
    assert rows[SDP]["seen"] == "is not asked, because a certificate is not trusted"
    assert doctor.project.sandbox.calls("sdp") == []
    assert others_are_looked_at(rows)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    rows = doctor.looks(3)
    assert rows["TLS of Zoho's token service"]["seen"].startswith("trusted, signed by Kowhai Root")
    assert rows[SDP]["status"] == "ok"


def test_the_token_service_of_zoho_that_is_not_there_is_named(doctor: Doctor) -> None:
    (port,) = free_ports(1)
    doctor.set_sdp(
        edition="cloud",
        base_url=f"{doctor.project.sandbox.sdp}/app/itdesk",
        oauth_url=f"http://127.0.0.1:{port}",
        oauth_client_id="sandbox-client",
        oauth_client_secret="sandbox-secret",
        oauth_refresh_token="sandbox-refresh",
    )
    row = doctor.looks(1)[SDP]
    assert f"127.0.0.1:{port}: connection refused" in row["seen"]
    assert "Check oauth_url" in row["advice"]


def test_the_token_service_of_xero_is_looked_at_too(
    doctor: Doctor,
    front: Callable[..., Front],
    authority: trustme.CA,
    bundle: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = front(doctor.project.sandbox.xero, authority.issue_cert("localhost"))
    doctor.set_xero(identity_url=tokens.url)
    rows = doctor.looks(1)
    assert rows["TLS of Xero's token service"]["status"] == "failed"
    assert (
        rows["Xero for target-xero-invoices"]["seen"] == "is not asked, because a certificate is not trusted"
    )
    assert rows[SDP]["status"] == "ok"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    rows = doctor.looks(0)
    assert rows["TLS of Xero's token service"]["seen"].startswith("trusted, signed by Kowhai Root")
    assert rows["TLS of Xero"]["status"] == rows["Xero for target-xero-invoices"]["status"] == "ok"


# --------------------------------------------------------------------- clocks


def test_a_clock_of_service_desk_plus_that_is_off_is_seen_in_its_answers(
    doctor: Doctor, front: Callable[..., Front]
) -> None:
    late = format_datetime(datetime.now(UTC) - timedelta(minutes=30), usegmt=True)
    doctor.set_sdp(base_url=front(doctor.project.sandbox.sdp, headers={"Date": late}).url)
    row = doctor.looks(3)["clock and ServiceDesk Plus"]
    assert row["status"] == "warning"
    assert row["seen"].startswith(("this machine is 29 minutes ahead", "this machine is 30 minutes ahead"))


def test_a_clock_that_is_off_from_xeros_stops_the_run(doctor: Doctor, front: Callable[..., Front]) -> None:
    early = format_datetime(datetime.now(UTC) + timedelta(hours=3), usegmt=True)
    relay = front(doctor.project.sandbox.xero, headers={"Date": early})
    doctor.set_xero(api_url=f"{relay.url}/api.xro/2.0", identity_url=relay.url)
    row = doctor.looks(1)["clock and Xero"]
    assert row["status"] == "failed"
    assert "hours behind it; with more than 8 minutes nothing is billed" in row["seen"]


# --------------------------------------------------------- addresses and paths


def test_paths_that_differ_are_found_and_the_setting_is_named(doctor: Doctor) -> None:
    doctor.set_sdp(accounts_path="customers", worklog_types_path="admin/worklog_types")
    rows = doctor.looks(1)
    assert rows[SDP]["advice"] == "Set accounts_path: accounts."
    assert rows["worklog types"]["advice"] == "Set worklog_types_path: worklog_types."
    assert rows["modules"]["status"] == "ok"
    assert others_are_looked_at(rows)


def test_worklog_types_that_are_nowhere_do_not_hide_the_rest(doctor: Doctor) -> None:
    doctor.switch("sdp", worklog_types_path="off")
    rows = doctor.looks(
        3
    )  # the run ends well: it reads them as a technician sees them, and cannot write them
    assert rows["worklog types"]["seen"] == "there is nothing at worklog_types"
    assert "Set worklog_types_path" in rows["worklog types"]["advice"]
    assert rows["costs of worklogs"]["status"] == rows["account fields"]["status"] == "ok"


def test_a_context_path_a_portal_and_the_older_header(doctor: Doctor) -> None:
    doctor.switch("sdp", context_path="/sdp", portal_id="7")
    rows = doctor.looks(1)
    assert rows[SDP]["seen"] == "there is no API at this address"
    assert "/sdp" in rows[SDP]["advice"]
    doctor.set_sdp(base_url=f"{doctor.project.sandbox.sdp}/sdp", auth_header="TECHNICIAN_KEY")
    assert "PORTALID" in doctor.looks(1)[SDP]["seen"]
    doctor.set_sdp(portal_id="7")
    assert doctor.looks(0)[SDP]["status"] == "ok"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((200, {"Content-Type": "text/html"}, LOGIN), "a login page came instead of an API answer"),
        (
            (302, {"Location": "https://sso.example.test/login?token=secret"}, b""),
            "the call is redirected to ",
        ),
        ((200, {}, b""), "the answer is empty"),
        (
            (200, {"Content-Type": "text/html"}, b"<html>It works!</html>"),
            "a web page came instead of an API",
        ),
        ((200, {}, b'{"accounts": [{"id"'), "the answer is cut or not JSON"),
    ],
)
def test_what_is_no_api_answer_is_one_sentence(
    doctor: Doctor, front: Callable[..., Front], answer: tuple[int, dict[str, str], bytes], sentence: str
) -> None:
    doctor.set_sdp(base_url=front(doctor.project.sandbox.sdp, instead={"/api/v3/": answer}).url)
    rows = doctor.looks(1)
    assert sentence in rows[SDP]["seen"]
    assert "secret" not in json.dumps(rows)
    assert others_are_looked_at(rows)


def test_the_cloud_and_its_errors_with_http_200(doctor: Doctor) -> None:
    sdp = doctor.project.sandbox.sdp
    doctor.switch("sdp", http_status="always_200")
    doctor.set_sdp(
        edition="cloud",
        base_url=f"{sdp}/app/itdesk",
        oauth_client_id="sandbox-client",
        oauth_client_secret="wrong-secret",
        oauth_refresh_token="sandbox-refresh",
        oauth_url=sdp,
    )
    rows = doctor.looks(1)
    assert "no access token was granted: invalid_client" in rows[SDP]["seen"]
    assert "wrong-secret" not in json.dumps(rows)
    doctor.set_sdp(oauth_client_secret="sandbox-secret")
    rows = doctor.looks()
    assert rows[SDP]["seen"].startswith("answers; first account: ")
    assert rows["modules"]["status"] == rows["worklog types"]["status"] == "ok"
    assert doctor.writes() == []


def test_modules_and_fields_that_are_not_there_are_named(doctor: Doctor) -> None:
    doctor.set("TARGET_MSP_SDP", write_link_to="udf_fields.udf_sline_999")
    doctor.switch("sdp", udf_mandatory="on", tasks_list="off")
    rows = doctor.looks(1)
    assert rows["account fields"]["seen"] == "udf_fields.udf_sline_999 does not exist"
    assert "udf_fields.udf_sline_101" in rows["account fields"]["advice"]
    assert "udf_fields.udf_sline_102" in rows["new accounts"]["seen"]


# ----------------------------------------------------------------------- Xero


def test_a_missing_scope_fails_alone(doctor: Doctor) -> None:
    doctor.switch("xero", granted_scopes="accounting.contacts.read accounting.settings.read")
    rows = doctor.looks(1)
    assert {subject for subject, row in rows.items() if row["status"] == "failed"} == {
        "Xero invoices",
        "Xero scopes of tap-xero-lite and target-xero-invoices",
    }
    assert "accounting.invoices" in rows["Xero invoices"]["seen"]


def test_a_day_without_calls_is_foreseen(doctor: Doctor) -> None:
    doctor.switch("xero", day_limit="115")
    assert doctor.looks(3)["call limit of the day"]["status"] == "warning"
    doctor.set("TARGET_XERO_INVOICES", day_call_reserve="0")
    doctor.project.sandbox.control("POST", "xero", "reset")
    rows = doctor.looks(0)
    assert "; reserve 0; " in rows["call limit of the day"]["seen"]


LATER = "Run `msp-xero doctor` again then; a run waits by itself."
ASKS_TO_WAIT = (429, {"Retry-After": "40", "X-Rate-Limit-Problem": "minute"}, b"")


def test_a_xero_that_asks_to_wait_is_told_and_not_waited_for(
    doctor: Doctor, front: Callable[..., Front]
) -> None:
    relay = front(doctor.project.sandbox.xero, instead={"/api.xro/2.0/Items": ASKS_TO_WAIT})
    doctor.set_xero(api_url=f"{relay.url}/api.xro/2.0", identity_url=relay.url)
    started = time.monotonic()
    rows = doctor.looks(1)
    assert time.monotonic() - started < 40, "it waited as long as it was asked to"
    for subject in ("items", "Xero invoices", "Xero role"):  # those after it ask no more
        assert "Xero asks to wait" in rows[subject]["seen"]
        assert rows[subject]["advice"] == LATER
    for subject in (SDP, "modules", "ledger", "account_code", "call limit of the day"):
        assert rows[subject]["status"] == "ok", subject
    assert "could not be asked: Throttled, HTTP 429, it asks to wait 40 seconds" in doctor("--live-checklist")


def test_a_service_desk_plus_that_asks_to_wait_is_told_and_not_waited_for(
    doctor: Doctor, front: Callable[..., Front]
) -> None:
    relay = front(doctor.project.sandbox.sdp, instead={"/api/v3/worklog_types": ASKS_TO_WAIT})
    doctor.set_sdp(base_url=relay.url)
    started = time.monotonic()
    rows = doctor.looks(1)
    assert time.monotonic() - started < 40, "it waited as long as it was asked to"
    assert "ServiceDesk Plus MSP asks to wait" in rows["worklog types"]["seen"]
    assert rows["worklog types"]["advice"] == LATER
    assert "ServiceDesk Plus MSP asks to wait" in rows["module requests"]["seen"]
    assert others_are_looked_at(rows)


def test_the_calls_of_the_day_are_one_number_for_the_look_and_the_run(
    doctor: Doctor, front: Callable[..., Front]
) -> None:
    """Xero does not tell what is left; the ledger knows what the last run was told, and all calls count."""
    with Ledger.open(doctor.project.ledger_url) as ledger, ledger.write() as session:
        row = ledger.connection(session)
        row.day_calls_remaining, row.day_calls_seen_at = 4_321, datetime.now(UTC) - timedelta(minutes=5)
    relay = front(doctor.project.sandbox.xero, without={"x-daylimit-remaining"})
    doctor.set_xero(api_url=f"{relay.url}/api.xro/2.0", identity_url=relay.url)
    before = len(doctor.project.sandbox.calls("xero"))
    row = doctor.looks(0)["call limit of the day"]
    calls = doctor.project.sandbox.calls("xero")[before:]
    made = sum("/api.xro/" in call["path"] for call in calls)
    told_at = datetime.now(UTC) - timedelta(minutes=5)
    moments = {f"{told_at - timedelta(minutes=ago):%H:%M}" for ago in (0, 1)}
    assert row["seen"] in {
        f"{4_321 - made:,} calls left today, as last told {at} UTC; reserve 100; a run needs about 12"
        for at in moments
    }


def test_a_day_that_the_last_run_used_up_costs_no_call(doctor: Doctor) -> None:
    with Ledger.open(doctor.project.ledger_url) as ledger, ledger.write() as session:
        row = ledger.connection(session)
        row.day_calls_remaining, row.day_calls_seen_at = 100, datetime.now(UTC)
    rows = doctor.looks(1)
    assert rows["call limit of the day"]["status"] == "failed"
    assert rows["call limit of the day"]["seen"].startswith("100 calls left today, as last told ")
    assert "the daily call limit is reached" in rows["Xero for target-xero-invoices"]["seen"]
    assert not [call for call in doctor.project.sandbox.calls("xero") if "/api.xro/" in call["path"]]


def test_locked_books_and_settings_that_xero_does_not_have(doctor: Doctor) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    doctor.project.sandbox.change("xero", "organisation", "edit", PeriodLockDate=tomorrow)
    doctor.set("TARGET_XERO_INVOICES", account_code="999", tax_type="NOPE", branding_theme="Golden")
    rows = doctor.looks(1)
    assert rows["lock dates"]["status"] == "warning"
    for subject in ("account_code", "tax_type", "settings of invoices"):
        assert rows[subject]["status"] == "failed", subject
    assert "Golden" in rows["settings of invoices"]["seen"]
    assert rows["items"]["status"] == "ok"


def test_xero_that_cannot_be_reached_is_said_soon_and_hides_nothing_of_the_other(doctor: Doctor) -> None:
    (port,) = free_ports(1)
    nowhere = f"http://127.0.0.1:{port}"
    doctor.set_xero(api_url=f"{nowhere}/api.xro/2.0", identity_url=nowhere)
    rows = doctor.looks(1)
    assert "connection refused" in rows["Xero for target-xero-invoices"]["seen"]
    assert rows[SDP]["status"] == rows["modules"]["status"] == rows["account fields"]["status"] == "ok"


def test_a_file_without_the_option_that_writes_it_is_wrong_use(doctor: Doctor) -> None:
    assert doctor("report.md", code=2) == ""
