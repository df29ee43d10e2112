from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from msp_xero.edges.clock import SystemClock
from msp_xero.errors import AccessRefused, SettingError, Throttled, Unavailable
from msp_xero.xero import XeroSettings
from msp_xero.xero.auth import XeroAuth, connection_name
from msp_xero.xero.tokens import Token, TokenStore

CODE = "authorization_code"


class Rotation:
    """Refresh tokens as Xero issues them: each works once; the one before is forgiven if told so."""

    def __init__(self, xero, reply, *, forgiven=()):
        self.current = "refresh-0"
        self.forgiven = set(forgiven)
        self.used = []
        self._xero, self._reply = xero, reply
        xero.on("POST token", self.answer)

    def answer(self, seen):
        used = seen.form["refresh_token"]
        self.used.append(used)
        if used != self.current and used not in self.forgiven:
            return self._reply({"error": "invalid_grant"}, 400)
        self.current = f"refresh-{len(self.used)}"
        return self._xero.issue(refresh_token=self.current)


@pytest.fixture
def settings(config):
    return lambda **more: XeroSettings.from_config({**config, **more})


@pytest.fixture
def auth(settings, session, clock):
    return lambda **more: XeroAuth(settings(**more), session=session, clock=clock)


@pytest.fixture
def login(settings, clock):
    """Store a login as msp-xero login does, already stale."""

    def store(**tokens):
        chosen = settings(grant=CODE)
        token = Token(access_token="stale", issued_at=clock.now(), expires_at=clock.now(), **tokens)
        keeper = TokenStore(chosen.token_store)
        with keeper.locked():
            keeper.save(connection_name(chosen), token)
        return lambda: keeper.load(connection_name(chosen))

    return store


def test_client_credentials_use_basic_and_leave_scope_out(auth, xero):
    assert auth().access_token() == "access-1"
    (call,) = xero.seen
    assert call.path == "/connect/token"
    assert call.basic == "THE-CLIENT:the-secret"
    assert call.form == {"grant_type": "client_credentials"}


def test_scopes_are_sent_when_set(auth, xero):
    auth(scopes=" accounting.invoices   accounting.settings.read ").access_token()
    assert xero.seen[0].form["scope"] == "accounting.invoices accounting.settings.read"


def test_one_token_serves_until_it_is_stale(auth, xero, clock):
    keeper = auth()
    assert {keeper.access_token() for _ in range(5)} == {"access-1"}
    clock.advance(minutes=28)
    assert keeper.access_token() == "access-2"
    assert len(xero.seen) == 2


def test_tap_and_target_share_one_token(auth, xero):
    assert auth().access_token() == auth().access_token() == "access-1"
    assert len(xero.seen) == 1


def test_a_wrong_secret_is_not_hidden_by_a_shared_token(auth, xero, reply):
    auth().access_token()
    xero.on("POST token", reply({"error": "invalid_client"}, 400))
    with pytest.raises(AccessRefused, match="client_secret"):
        auth(client_secret="wrong").access_token()


def test_a_refused_token_is_renewed_once_for_all_processes(auth, xero):
    first, second = auth(), auth()
    old = first.access_token()
    second.access_token()
    assert first.access_token(refused=old) == "access-2"
    assert second.access_token(refused=old) == "access-2"
    assert len(xero.seen) == 2


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("invalid_client", "client_id or client_secret is not accepted"),
        ("unauthorized_client", "may not use this grant"),
        ("invalid_scope", "Set scopes to those that were granted"),
        ("invalid_grant", "custom connection is not authorised"),
        ("something_new", "refused access"),
    ],
)
def test_token_errors_say_what_to_do(auth, xero, reply, status, code, words):
    xero.on("POST token", reply({"error": code, "error_description": "secret-ish details"}, status))
    with pytest.raises(AccessRefused, match=words) as caught:
        auth().access_token()
    assert caught.value.address == f"POST {xero.url}/connect/token"
    assert len(xero.seen) == 1
    assert "secret-ish" not in str(caught.value)


def test_a_token_service_that_is_down_is_asked_again(auth, xero, clock, raw):
    xero.on(
        "POST token", raw(503, b"<html>"), raw(how="reset"), raw(200, b"<html>"), raw(200, b"{}"), xero.issue
    )
    assert auth().access_token() == "access-1"
    assert len(xero.seen) == 5
    assert len(clock.slept) == 4


def test_a_token_service_that_stays_down_is_an_error_without_secrets(auth, xero, raw):
    xero.on("POST token", raw(502, b"<html>"))
    with pytest.raises(Unavailable, match="answered 502"):
        auth().access_token()
    assert len(xero.seen) == 5


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("grant", ["client_credentials", CODE])
@pytest.mark.parametrize("shape", [{"Message": "{}"}, {"error": ["{}"]}, {"error": {"was": "{}"}}, "{}"])
def test_the_token_service_cannot_repeat_what_it_was_sent(
    auth, login, xero, reply, status, grant, shape, caplog
):
    caplog.set_level("DEBUG")
    login(refresh_token="PLANTED-REFRESH")

    def echo(seen):
        sent = f"{seen.headers.get('authorization')} {seen.form}"
        return reply(json.dumps(shape).replace("{}", sent.replace('"', "'")).encode(), status)

    xero.on("POST token", echo)
    with pytest.raises(Unavailable, match=f"answered {status} with a body that is not its own") as caught:
        auth(grant=grant, client_secret="PLANTED-SECRET").access_token()
    told = f"{caught.value} {caught.value!r} {caplog.text}"
    basic = xero.seen[-1].headers["authorization"].removeprefix("Basic ")
    assert not any(secret in told for secret in ("PLANTED", basic))


def test_a_success_that_holds_an_error_is_refused_without_its_words(auth, xero, reply):
    xero.on("POST token", reply({"error": {"sent": "the-secret"}}))
    with pytest.raises(AccessRefused, match="the token service refused access") as caught:
        auth().access_token()
    assert "the-secret" not in str(caught.value)


def test_a_throttled_token_service_is_waited_for(auth, xero, clock, raw):
    xero.on("POST token", raw(429, b"", {"Retry-After": "7"}), xero.issue)
    assert auth().access_token() == "access-1"
    assert clock.slept == [7, 0]


def test_a_token_service_that_asks_for_too_much_patience_ends_the_run(auth, xero, clock, raw):
    xero.on("POST token", raw(429, b"", {"Retry-After": "200"}))
    with pytest.raises(Throttled):
        auth().access_token()
    assert clock.slept == []


def test_refreshing_stores_the_new_tokens_before_they_are_used(auth, login, xero, reply):
    stored = login(refresh_token="refresh-0")
    Rotation(xero, reply)
    assert auth(grant=CODE).access_token() == "access-1"
    token = stored()
    assert (token.access_token, token.refresh_token, token.previous_refresh_token) == (
        "access-1",
        "refresh-1",
        "refresh-0",
    )
    assert xero.seen[0].form == {"grant_type": "refresh_token", "refresh_token": "refresh-0"}


def test_a_token_that_cannot_be_stored_is_not_used(auth, login, xero, reply, monkeypatch):
    login(refresh_token="refresh-0")
    Rotation(xero, reply)
    monkeypatch.setattr(
        TokenStore, "_replace", lambda *_: (_ for _ in ()).throw(SettingError("token_store", "full"))
    )
    with pytest.raises(SettingError, match="full"):
        auth(grant=CODE).access_token()


def test_pkce_sends_its_id_and_no_secret(auth, login, xero, reply):
    login(refresh_token="refresh-0")
    Rotation(xero, reply)
    auth(grant=CODE, client_secret=None).access_token()
    (call,) = xero.seen
    assert "authorization" not in call.headers
    assert call.form["client_id"] == "THE-CLIENT"


def test_a_lost_answer_is_repaired_within_the_time_of_grace(auth, login, xero, reply, raw):
    stored = login(refresh_token="refresh-0")
    rotation = Rotation(xero, reply, forgiven={"refresh-0"})
    xero.on("POST token", lambda seen: rotation.answer(seen) and raw(how="reset"), rotation.answer)
    assert auth(grant=CODE).access_token() == "access-2"
    assert rotation.used == ["refresh-0", "refresh-0"]
    assert stored().refresh_token == rotation.current


def test_the_previous_refresh_token_is_tried_in_the_time_of_grace(auth, login, xero, reply, clock):
    login(refresh_token="never-arrived", previous_refresh_token="refresh-0")
    rotation = Rotation(xero, reply)
    assert auth(grant=CODE).access_token() == "access-1"
    assert rotation.used == ["never-arrived", "refresh-0"]


def test_after_the_grace_a_person_has_to_log_in_again(auth, login, xero, reply, clock):
    stored = login(refresh_token="never-arrived", previous_refresh_token="refresh-0")
    rotation = Rotation(xero, reply)
    clock.advance(minutes=31)
    with pytest.raises(AccessRefused, match="msp-xero login"):
        auth(grant=CODE).access_token()
    assert rotation.used == ["never-arrived"]
    assert stored().refresh_token == "never-arrived"


def test_without_a_login_there_is_no_call(auth, xero):
    with pytest.raises(AccessRefused, match="there is no stored login"):
        auth(grant=CODE).access_token()
    assert xero.seen == []


def test_many_threads_refresh_once(auth, login, xero, reply):
    login(refresh_token="refresh-0")
    rotation = Rotation(xero, reply)
    keepers = [auth(grant=CODE) for _ in range(4)]
    start = threading.Barrier(16)

    def work(index):
        start.wait(20)
        return keepers[index % 4].access_token()

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(work, range(16))) == {"access-1"}
    assert rotation.used == ["refresh-0"]


PROCESS = """
import json, sys
from msp_xero.edges.clock import SystemClock
from msp_xero.edges.transport import http_session
from msp_xero.xero.auth import XeroAuth
from msp_xero.xero.settings import XeroSettings
settings = XeroSettings.from_config(json.loads(sys.argv[1]))
auth = XeroAuth(settings, session=http_session(), clock=SystemClock())
print("ready", flush=True)
sys.stdin.readline()
print(auth.access_token(), flush=True)
"""


def test_processes_that_race_on_one_store_refresh_once(config, settings, xero, reply):
    chosen = settings(grant=CODE)
    now = SystemClock().now()
    keeper = TokenStore(chosen.token_store)
    with keeper.locked():
        keeper.save(
            connection_name(chosen),
            Token(
                access_token="stale",
                issued_at=now - timedelta(hours=1),
                expires_at=now,
                refresh_token="refresh-0",
            ),
        )
    rotation = Rotation(xero, reply)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, json.dumps({**config, "grant": CODE})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert {racer.communicate(timeout=60)[0].strip() for racer in racers} == {"access-1"}
    assert rotation.used == ["refresh-0"]


def test_a_store_that_cannot_be_written_costs_only_the_sharing(auth, xero, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    keeper = auth(token_store=str(tmp_path / "file" / "token.json"))
    assert keeper.access_token() == "access-1"
    assert "not shared" in caplog.text
    with pytest.raises(SettingError):
        auth(grant=CODE, token_store=str(tmp_path / "file" / "token.json")).access_token()


def test_no_secret_reaches_the_log(auth, xero, raw, caplog):
    caplog.set_level("DEBUG", "msp_xero")
    xero.on("POST token", raw(500, b"the-secret"), raw(how="reset"), xero.issue)
    auth().access_token()
    assert "the-secret" not in caplog.text
    assert "access-1" not in caplog.text


def test_a_refused_login_is_not_asked_for_again_by_threads_or_processes(auth, login, xero, reply, clock):
    stored = login(refresh_token="refresh-0")
    xero.on("POST token", reply({"error": "invalid_grant"}, 400))
    keepers = [auth(grant=CODE) for _ in range(3)]
    for keeper in keepers * 4:
        with pytest.raises(AccessRefused, match=r"was revoked in Xero.*msp-xero login"):
            keeper.access_token()
    assert len(xero.seen) == 1
    assert stored().refused_at == clock.now()
    clock.advance(seconds=61)
    rotation = Rotation(xero, reply)
    assert auth(grant=CODE).access_token() == "access-1", "a refusal that was Xero's error does not last"
    assert rotation.used == ["refresh-0"]
    assert stored().refused_at is None


def test_a_refusal_is_told_even_if_it_cannot_be_stored(auth, login, xero, reply, monkeypatch):
    login(refresh_token="refresh-0")
    xero.on("POST token", reply({"error": "invalid_grant"}, 400))
    monkeypatch.setattr(
        TokenStore, "_replace", lambda *_: (_ for _ in ()).throw(SettingError("token_store", "full"))
    )
    with pytest.raises(AccessRefused, match="revoked"):
        auth(grant=CODE).access_token()


def test_a_login_that_was_not_used_for_60_days_is_told_from_a_revoked_one(auth, login, xero, reply, clock):
    login(refresh_token="refresh-0", refresh_issued_at=clock.now())
    xero.on("POST token", reply({"error": "invalid_grant"}, 400))
    clock.advance(days=60)
    with pytest.raises(AccessRefused, match="ended on 2027-01-21, because it was not used for 60 days"):
        auth(grant=CODE).access_token()


def test_the_60_days_begin_anew_with_each_refresh_and_what_the_person_chose_stays(
    auth, login, xero, reply, clock
):
    start = clock.now()
    chosen = {"tenant_id": "t", "tenant_name": "Ours", "logged_in_at": start, "scope": "a b"}
    stored = login(refresh_token="refresh-0", refresh_issued_at=start, **chosen)
    Rotation(xero, reply)
    clock.advance(days=50)
    auth(grant=CODE).access_token()
    token = stored()
    assert token.ends_at == start + timedelta(days=110)
    assert (token.tenant_id, token.tenant_name, token.logged_in_at, token.scope) == (
        "t",
        "Ours",
        start,
        "a b",
    )


def test_a_refresh_token_that_is_not_rotated_keeps_its_60_days(auth, login, xero, clock):
    start = clock.now()
    stored = login(refresh_token="refresh-0", refresh_issued_at=start)
    xero.on("POST token", lambda _: xero.issue())
    clock.advance(days=10)
    auth(grant=CODE).access_token()
    assert stored().ends_at == start + timedelta(days=60)
    assert stored().previous_refresh_token is None


def test_a_lost_answer_is_asked_for_longer_and_then_says_what_is_at_stake(auth, login, xero, raw):
    login(refresh_token="refresh-0")
    xero.on("POST token", raw(how="reset"))
    with pytest.raises(Unavailable, match="Run again within 30 minutes"):
        auth(grant=CODE).access_token()
    assert len(xero.seen) == 10


def test_a_login_of_another_app_is_told_from_none(auth, login, xero):
    login(refresh_token="refresh-0")
    with pytest.raises(AccessRefused, match="login of another app"):
        auth(grant=CODE, client_id="ANOTHER").access_token()
    assert xero.seen == []


def test_scopes_that_were_not_granted_are_listed(auth, xero, reply):
    xero.on("POST token", reply({"error": "invalid_scope"}, 400))
    with pytest.raises(
        AccessRefused, match=r"not every scope .*\(accounting\.invoices files\).*leave scopes out"
    ):
        auth(scopes="accounting.invoices files").access_token()


def test_a_place_that_became_read_only_or_full_spends_no_refresh_token(auth, login, xero, reply, monkeypatch):
    login(refresh_token="refresh-0")
    Rotation(xero, reply)
    monkeypatch.setattr(
        "msp_xero.xero.tokens.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(SettingError, match="No space left"):
        auth(grant=CODE).access_token()
    assert xero.seen == []
