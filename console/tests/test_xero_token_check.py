"""What ``doctor`` and ``status`` tell of logins and scopes from the token store alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msp_xero.ledger.runs import finish_run, start_run
from msp_xero.xero import XeroSettings
from msp_xero.xero.auth import connection_name
from msp_xero.xero.scopes import WANTED
from msp_xero.xero.tokens import Token, TokenStore
from msp_xero_console.project import Project
from msp_xero_console.xero_token_check import login_standing, xero_logins, xero_scopes

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LOGIN = "grant: authorization_code, client_id: client, client_secret: xero-secret"


@pytest.fixture
def with_login(empty):
    path = empty.folder / "meltano.yml"
    path.write_text(path.read_text().replace("client_id: client, client_secret: xero-secret", LOGIN))
    return empty


def found():
    return Project.find(environment=None, config=None)


def keep(*, age=timedelta(), plugin="target-xero-invoices", **more):
    settings = XeroSettings.from_config(found().config(plugin))
    issued = NOW - age
    values = {"refresh_token": "r", "refresh_issued_at": issued, "scope": f"offline_access {WANTED}", **more}
    token = Token(access_token="a", issued_at=issued, expires_at=issued + timedelta(minutes=30), **values)
    store = TokenStore(settings.token_store)
    with store.locked():
        store.save(connection_name(settings), token)
    return settings.token_store


@pytest.mark.parametrize(
    ("age", "result", "words"),
    [
        (0, "ok", "ends on 2027-01-21"),
        (54, "warning", "in 6 days"),
        (59, "warning", "in 24 hours"),
        (60, "failed", "ended on 2026-11-22"),
    ],
)
def test_doctor_tells_the_end_of_a_login_once_for_all_who_share_it(with_login, age, result, words):
    keep(age=timedelta(days=age), tenant_name="Ours")
    ((subject, status, seen, _advice),) = xero_logins(found(), NOW)
    assert subject == "Xero login of tap-xero-lite and target-xero-invoices"
    assert status == result
    assert seen.startswith("Ours: ")
    assert words in seen


def test_a_custom_connection_has_no_login_to_end(empty):
    keep(refresh_token=None)
    assert list(xero_logins(found(), NOW)) == []
    assert login_standing(found(), NOW) is None


def test_a_token_file_that_others_can_read_is_told(with_login):
    path = keep()
    path.chmod(0o640)
    _, (subject, status, seen, advice) = xero_logins(found(), NOW)
    assert (subject, status, advice) == ("Xero token store", "warning", f"chmod 600 {path}")
    assert "0640" in seen


def test_a_setting_that_disagrees_with_the_login_is_told(with_login):
    path = with_login.folder / "meltano.yml"
    tenant = "70784a63-d24b-46a9-a4db-0e70a274b056"
    path.write_text(path.read_text().replace(LOGIN, f"{LOGIN}, tenant_id: {tenant}"))
    keep(tenant_id="another", tenant_name="Other")
    _, (subject, status, seen, _) = xero_logins(found(), NOW)
    assert (subject, status) == ("Xero organisation", "warning")
    assert tenant in seen
    assert "Other (another) was chosen" in seen
    keep(tenant_id=tenant.upper(), tenant_name="Same")
    assert len(list(xero_logins(found(), NOW))) == 1


@pytest.mark.parametrize(
    ("granted", "status"),
    [
        (WANTED, "ok"),
        ("accounting.transactions accounting.contacts accounting.settings", "ok"),
        ("accounting.contacts.read accounting.settings.read", "failed"),
    ],
)
@pytest.mark.parametrize(("grant", "where"), [("login", "msp-xero login"), ("machine", "Custom Connection")])
def test_scopes_that_are_missing_are_named_with_what_they_are_for(request, grant, where, granted, status):
    request.getfixturevalue("with_login" if grant == "login" else "empty")
    keep(scope=granted)
    ((_, result, seen, advice),) = xero_scopes(found())
    assert result == status
    assert seen == f"all that are needed; granted: {granted}" or status == "failed"
    assert ("accounting.invoices is missing, to create and read invoices" in seen) is (status == "failed")
    assert (where in advice) is (status == "failed")


def test_a_tap_alone_needs_no_invoices(with_login):
    path = with_login.folder / "meltano.yml"
    path.write_text(path.read_text().replace("client_id: client", "client_id: other", 1))
    keep(scope="accounting.contacts.read accounting.settings.read", plugin="tap-xero-lite")
    ((subject, result, _, _),) = xero_scopes(found())
    assert (subject, result) == ("Xero scopes of tap-xero-lite", "ok")


def test_status_shows_the_login_and_counts_one_that_is_over(with_login):
    with with_login.ledger() as ledger:
        finish_run(ledger, start_run(ledger, "worklogs"), "done")
    assert "no login is stored" in with_login.says("status", "--check", code=3)
    now = datetime.now(UTC)
    keep(age=NOW - now, tenant_name="Ours")
    seen = with_login.data("status", "--check")["xero_login"]
    assert (seen["state"], seen["needs_person"], seen["organisation"]) == ("good", False, "Ours")
    keep(age=NOW - now + timedelta(days=54))
    assert "in 5 days" in with_login.says("status", "--check")
    keep(age=NOW - now + timedelta(days=59))
    assert "Any run renews it" in with_login.says("status", "--check", code=3)


def test_status_of_a_custom_connection_has_no_login(empty):
    assert empty.data("status")["xero_login"] is None
    assert "Xero login" not in empty.says("status")
