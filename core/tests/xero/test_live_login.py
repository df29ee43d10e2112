"""A login against the sandbox's Xero over real sockets: real processes, kills, lost answers, revocation."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from datetime import timedelta

import pytest
import requests
from msp_xero.edges.clock import SystemClock
from msp_xero.edges.transport import http_session
from msp_xero.errors import AccessRefused, SettingError, Unavailable
from msp_xero.xero import XeroClient, XeroSettings
from msp_xero.xero.auth import XeroAuth, connection_name
from msp_xero.xero.callback import Callback
from msp_xero.xero.login import Login, LoginFailed
from msp_xero.xero.tokens import TokenStore

READY = re.compile(r"ready xero=(\S+) sdp=\S+")
APPS = {
    "web": {"client_id": "sandbox-web", "client_secret": "sandbox-web-secret"},
    "pkce": {"client_id": "sandbox-pkce", "client_secret": None},
}
TOKEN = {"method": "POST", "path": "/connect/token"}


@pytest.fixture(scope="module")
def url():
    process = subprocess.Popen(
        [sys.executable, "-m", "msp_xero_sandbox.cli", "--xero-port", "0", "--sdp-port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    found = next(filter(None, map(READY.search, process.stdout)))
    yield found[1]
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def control(url):
    def call(method, path, body=None):
        answer = requests.request(method, f"{url}/_sandbox/{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    call("POST", "reset")
    return call


@pytest.fixture
def config(url, control, tmp_path):
    return {
        **APPS["pkce"],
        "grant": "authorization_code",
        "api_url": f"{url}/api.xro/2.0",
        "identity_url": url,
        "login_url": f"{url}/identity/connect/authorize",
        "token_store": str(tmp_path / "store" / "token.json"),
        "timeout_seconds": 20,
    }


def settings_of(config, **more):
    return XeroSettings.from_config({**config, **more})


def log_in(settings):
    """Do what a person does: open the consent page, which sends the browser back to us."""
    session = http_session()
    flow = Login(settings, session=session)
    with Callback(0) as callback:
        consent = flow.consent(callback.port)
        callback.start(consent.code_in)
        requests.get(consent.address, timeout=30)
        token = flow.redeem(consent, callback.wait(30))
    tenant, name = list(flow.organisations(token).items())[-1]
    flow.choose(token, tenant, name)
    session.close()
    return token


def stored(settings):
    return TokenStore(settings.token_store).load(connection_name(settings))


def keeper(settings, clock=None):
    return XeroAuth(settings, session=http_session(), clock=clock or SystemClock())


def refreshes(control):
    """Return the answers to all calls for tokens but the first, which redeemed the code."""
    return [call["status"] for call in control("GET", "calls") if call["path"] == "/connect/token"][1:]


@pytest.mark.parametrize("app", APPS)
def test_both_kinds_of_apps_log_in_and_reach_the_chosen_organisation(config, control, app):
    control("POST", "set", {"extra_tenants": "1"})
    settings = settings_of({**config, **APPS[app]})
    log_in(settings)
    client = XeroClient(settings)
    assert client.organisation()["Name"] == stored(settings).tenant_name != "Other Organisation 1"
    client.close()
    assert stat.S_IMODE(settings.token_store.stat().st_mode) == 0o600


def test_broad_scopes_do_as_well(config):
    settings = settings_of(config, scopes="accounting.transactions accounting.contacts accounting.settings")
    log_in(settings)
    client = XeroClient(settings)
    assert client.items()
    assert list(client.invoices(page_size=1000))
    client.close()


def test_a_scope_the_app_does_not_have_is_refused_by_the_consent_page(config):
    with pytest.raises(LoginFailed, match=r"one of the scopes offline_access payroll\.employees"):
        log_in(settings_of(config, scopes="payroll.employees"))


@pytest.mark.parametrize("refusals", ["redirect", "page"])
def test_a_scope_that_is_missing_later_is_named(config, control, refusals):
    control("POST", "set", {"consent_refusals": refusals})
    settings = settings_of(config, scopes="accounting.settings.read")
    log_in(settings)
    client = XeroClient(settings)
    with pytest.raises(
        AccessRefused, match=r"accounting\.contacts\.read .*add it to the setting scopes.*login"
    ):
        next(client.contacts(), None)
    client.close()


def test_a_custom_connection_that_has_to_name_its_scopes_says_so(config, control):
    control("POST", "set", {"scope_left_out": "refuse"})
    machine = {
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "grant": "client_credentials",
    }
    with pytest.raises(AccessRefused, match="Set scopes to those that were granted"):
        keeper(settings_of({**config, **machine})).access_token()
    named = settings_of({**config, **machine}, scopes="accounting.invoices accounting.settings.read")
    assert keeper(named).access_token()


def test_a_pkce_code_is_worth_nothing_without_its_verifier(config):
    flow = Login(settings_of(config))
    consent, other = flow.consent(8765), flow.consent(8765)
    back = requests.get(consent.address, allow_redirects=False, timeout=30).headers["Location"]
    with pytest.raises(LoginFailed, match="did not accept the code"):
        flow.redeem(other, consent.code_in(back))
    with pytest.raises(LoginFailed, match="another login"):
        other.code_in(back)


PROCESS = """
import json, sys
from msp_xero.edges.clock import SystemClock
from msp_xero.edges.transport import http_session
from msp_xero.xero.auth import XeroAuth
from msp_xero.xero.settings import XeroSettings
from msp_xero.xero.tokens import TokenStore
if sys.argv[2] == "die":
    import os, signal
    TokenStore.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
settings = XeroSettings.from_config(json.loads(sys.argv[1]))
auth = XeroAuth(settings, session=http_session(), clock=SystemClock())
print("ready", flush=True)
refused = sys.stdin.readline().strip()
print(auth.access_token(refused=refused), flush=True)
"""


def start(config, how="live"):
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, json.dumps(config), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_all_find_the_token_refused_refresh_it_once(config, control):
    settings = settings_of(config)
    log_in(settings)
    dead = stored(settings).access_token
    racers = [start(config) for _ in range(5)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write(f"{dead}\n")
        racer.stdin.flush()
    tokens = {racer.communicate(timeout=60)[0].strip() for racer in racers}
    assert len(tokens) == 1
    assert tokens != {dead}
    assert refreshes(control) == [200]


def test_a_process_killed_between_receiving_and_storing_costs_nothing_within_the_grace(config, control):
    settings = settings_of(config)
    first = log_in(settings)
    victim = start(config, "die")
    assert victim.stdout.readline() == "ready\n"
    victim.communicate(f"{first.access_token}\n", timeout=60)
    assert victim.returncode == -signal.SIGKILL
    assert stored(settings).refresh_token == first.refresh_token, "Xero's answer is lost for ever"
    control("POST", "clock", {"advance_seconds": 29 * 60})
    assert keeper(settings).access_token(refused=first.access_token)
    assert refreshes(control) == [200, 200]
    assert stored(settings).refresh_token != first.refresh_token


def test_after_the_grace_the_one_command_is_named_and_mends_it(config, control):
    settings = settings_of(config)
    first = log_in(settings)
    victim = start(config, "die")
    victim.communicate(f"{first.access_token}\n", timeout=60)
    control("POST", "clock", {"advance_seconds": 31 * 60})
    for _ in range(3):
        with pytest.raises(AccessRefused, match="msp-xero login"):
            keeper(settings).access_token(refused=first.access_token)
    assert refreshes(control) == [200, 400]
    log_in(settings)
    assert keeper(settings).access_token()


def test_lost_answers_are_asked_for_again_with_the_same_token(config, control):
    settings = settings_of(config)
    first = log_in(settings)
    control("POST", "faults", [{"kind": "reset_after_commit", "match": TOKEN, "nth": 1, "times": 3}])
    clock = Impatient()
    assert keeper(settings, clock).access_token(refused=first.access_token)
    assert len(refreshes(control)) == 4


class Impatient(SystemClock):
    """A clock that does not really wait."""

    def sleep(self, seconds):
        pass


def test_an_outage_ends_with_what_is_at_stake_and_the_next_run_goes_on(config, control):
    settings = settings_of(config)
    first = log_in(settings)
    control("POST", "faults", [{"kind": "reset_after_commit", "match": TOKEN}])
    with pytest.raises(Unavailable, match="within 30 minutes"):
        keeper(settings, Impatient()).access_token(refused=first.access_token)
    control("DELETE", "faults")
    assert keeper(settings).access_token(refused=first.access_token)


def test_revoked_by_the_user_is_explained(config, control, url):
    settings = settings_of(config)
    token = log_in(settings)
    revoked = {"token": token.refresh_token, "client_id": settings.client_id}
    assert requests.post(f"{url}/connect/revocation", data=revoked, timeout=30).status_code == 200
    client = XeroClient(settings)
    with pytest.raises(AccessRefused, match="msp-xero login connects it again"):
        client.organisation()
    client.close()
    with pytest.raises(AccessRefused, match=r"was revoked in Xero.*msp-xero login"):
        keeper(settings).access_token(refused=token.access_token)
    assert stored(settings).refused_at is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_found_before_the_refresh_token_is_spent(config, control):
    settings = settings_of(config)
    first = log_in(settings)
    folder = settings.token_store.parent
    folder.chmod(0o500)
    try:
        with pytest.raises(SettingError, match="token_store"):
            keeper(settings).access_token(refused=first.access_token)
    finally:
        folder.chmod(0o700)
    assert refreshes(control) == []


def test_a_damaged_store_spends_nothing_and_is_mended_by_a_login(config, control):
    settings = settings_of(config)
    log_in(settings)
    settings.token_store.write_text('{"tokens": "cut')
    with pytest.raises(SettingError, match="msp-xero login begins a new one"):
        keeper(settings).access_token()
    assert refreshes(control) == []
    assert Login(settings).prepare_store()
    log_in(settings)
    assert keeper(settings).access_token()


def test_a_store_of_another_app_or_organisation_is_told(config, control):
    control("POST", "set", {"extra_tenants": "1"})
    log_in(settings_of(config))
    with pytest.raises(AccessRefused, match="login of another app"):
        keeper(settings_of({**config, **APPS["web"]})).access_token()
    client = XeroClient(settings_of(config, tenant_id="70784a63-d24b-46a9-a4db-0e70a274b056"))
    with pytest.raises(AccessRefused, match="Check tenant_id"):
        client.organisation()
    client.close()


def test_two_environments_keep_two_logins(config, control, tmp_path):
    one, other = (
        settings_of(config, token_store=str(tmp_path / name / "t.json")) for name in ("demo", "prod")
    )
    first, second = log_in(one), log_in(other)
    assert first.refresh_token != second.refresh_token
    for settings, token in ((one, first), (other, second), (one, first)):
        assert keeper(settings).access_token(refused=token.access_token)
    assert refreshes(control) == [200, 200, 200]


def test_a_run_every_59_days_keeps_a_login_for_ever(config, control):
    settings = settings_of(config)
    log_in(settings)
    clock = Later()
    for _ in range(3):
        control("POST", "clock", {"advance_seconds": 59 * 86400})
        clock.later += timedelta(days=59)
        assert keeper(settings, clock).access_token()
    control("POST", "clock", {"advance_seconds": 60 * 86400})
    clock.later += timedelta(days=60)
    with pytest.raises(AccessRefused, match="not used for 60 days"):
        keeper(settings, clock).access_token()


class Later(SystemClock):
    """A clock that can be set ahead."""

    later = timedelta()

    def now(self):
        return super().now() + self.later
