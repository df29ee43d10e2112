"""The parts of a login: the consent address, what comes back, the callback, the code, the choice."""

from __future__ import annotations

import base64
import socket
import threading
from dataclasses import replace
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.errors import AccessRefused, SettingError, Unavailable
from msp_xero.xero import XeroSettings
from msp_xero.xero.auth import XeroAuth, connection_name
from msp_xero.xero.callback import Callback
from msp_xero.xero.login import Consent, ForeignAnswer, Login, LoginFailed, pick
from msp_xero.xero.tokens import TokenStore

BACK = "http://localhost:8765/callback"
CONSENT = Consent(
    address="https://login/",
    redirect_uri=BACK,
    scope="offline_access a",
    state="the-state",
    verifier="v" * 43,
)
SCOPES = "offline_access accounting.invoices accounting.contacts.read accounting.settings.read"


@pytest.fixture
def login(config, session, clock):
    def make(**more):
        settings = XeroSettings.from_config({**config, "grant": "authorization_code", **more})
        return Login(settings, session=session, clock=clock)

    return make


@pytest.fixture
def stored(config):
    settings = XeroSettings.from_config({**config, "grant": "authorization_code"})
    return lambda: TokenStore(settings.token_store).load(connection_name(settings))


def asked(consent):
    return {name: values[0] for name, values in parse_qs(urlsplit(consent.address).query).items()}


def test_a_web_app_asks_with_state_and_without_pkce(login):
    consent = login().consent(8765)
    assert consent.address.startswith("https://login.xero.com/identity/connect/authorize?")
    assert asked(consent) == {
        "response_type": "code",
        "client_id": "THE-CLIENT",
        "redirect_uri": BACK,
        "scope": SCOPES,
        "state": consent.state,
    }
    assert len(consent.state) >= 30
    assert login().consent(8765).state != consent.state


def test_a_pkce_app_asks_with_the_challenge_of_a_secret(login):
    consent = login(client_secret=None).consent(8765)
    question = asked(consent)
    assert question["code_challenge_method"] == "S256"
    assert 43 <= len(consent.verifier) <= 128
    digest = sha256(consent.verifier.encode()).digest()
    assert question["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert consent.verifier not in consent.address


def test_the_scopes_of_the_setting_are_asked_for_and_a_lasting_login(login):
    consent = login(scopes="accounting.transactions accounting.contacts.read").consent(8765)
    assert consent.scope == "offline_access accounting.transactions accounting.contacts.read"


def test_secrets_are_not_in_the_repr():
    assert "the-state" not in repr(CONSENT)
    assert "vvv" not in repr(CONSENT)


@pytest.mark.parametrize(
    "answer",
    [
        f"{BACK}?code=the-code&state=the-state&scope=a",
        f"  {BACK}?state=the-state&\n  code=the-code ",
        "/callback?code=the-code&state=the-state",
        "code=the-code&state=the-state",
        "the-code",
        " the-code\n",
    ],
)
def test_a_code_is_found_in_what_a_person_pastes(answer):
    assert CONSENT.code_pasted(answer) == "the-code"


def test_a_bare_code_is_taken_only_where_a_verifier_protects_it():
    web = replace(CONSENT, verifier=None)
    assert web.code_pasted(f"{BACK}?code=the-code&state=the-state") == "the-code"
    with pytest.raises(LoginFailed, match=rf"copy the whole address that begins with {BACK}"):
        web.code_pasted("the-code")


@pytest.mark.parametrize(
    "answer",
    [
        f"{BACK}?code=the-code&state=another",
        f"{BACK}?code=the-code",
        f"{BACK}?code=the-code&state=",
        f"{BACK}?error=access_denied&state=another",
        f"{BACK}?error=access_denied",
        BACK,
        f"{BACK}?code",
        f"{BACK}?code=the-code&state=the-state\udcff",
        "http://[::1?code=the-code&state=the-state",
        "http://\u2100/callback?code=the-code&state=the-state",
        "the-code",
        "",
    ],
)
def test_an_answer_without_our_state_is_not_ours(answer):
    with pytest.raises(ForeignAnswer, match="another login"):
        CONSENT.code_in(answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("error=access_denied&state=the-state", "cancelled"),
        ("error=invalid_scope&state=the-state", "one of the scopes offline_access a"),
        ("error=unauthorized_client&state=the-state", "Custom Connection needs no login"),
        ("error=server_error&state=the-state", "answered server_error"),
        ("error=%1B%5B31m&state=the-state", "an unknown error"),
        ("state=the-state", "holds no code"),
        ("code=the-c%C3%B6de&state=the-state", "holds no code"),
    ],
)
def test_a_refusal_is_explained(answer, words):
    with pytest.raises(LoginFailed, match=words) as caught:
        CONSENT.code_in(f"{BACK}?{answer}")
    assert not isinstance(caught.value, ForeignAnswer)


@pytest.mark.parametrize(
    "answer", ["", "  ", BACK, "http://localhost:8765/", "https://login.xero.com/a", "http://[::1", "\udcff"]
)
@pytest.mark.parametrize("verifier", [None, "v" * 43])
def test_a_paste_without_a_code_is_refused(answer, verifier):
    with pytest.raises(LoginFailed, match="holds no code"):
        replace(CONSENT, verifier=verifier).code_pasted(answer)


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["", BACK, f"{BACK}?state=the-state&"]))
def test_no_paste_breaks_it(answer, before):
    try:
        code = CONSENT.code_pasted(before + answer)
    except LoginFailed:
        return
    assert code
    assert code.isascii()
    assert not any(letter.isspace() for letter in code)


# ------------------------------------------------------------------ callback


@pytest.fixture
def callback():
    with Callback(0) as listening:
        listening.start(replace(CONSENT).code_in)
        yield listening


def visit(callback, query="", path="/callback", **more):
    return requests.get(f"http://localhost:{callback.port}{path}{query}", timeout=20, **more)


def test_the_browser_is_answered_and_the_code_comes_out(callback, capfd):
    page = visit(callback, "?code=the-code&state=the-state")
    assert (page.status_code, callback.wait(20)) == (200, "the-code")
    assert "the-code" not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "Xero has answered" in page.text
    assert capfd.readouterr() == ("", ""), "the address of a call holds the code"


def test_a_refusal_ends_the_waiting(callback):
    assert "Not connected" in visit(callback, "?error=access_denied&state=the-state").text
    with pytest.raises(LoginFailed, match="cancelled"):
        callback.wait(20)


def test_answers_of_others_do_not_end_the_waiting(callback):
    assert visit(callback, "?code=evil&state=guessed").status_code == 400
    assert visit(callback, "?code=evil").status_code == 400
    assert visit(callback).status_code == 400
    # Any web page can send the browser here; a refusal that does not know our state is not Xero's.
    assert visit(callback, "?error=access_denied").status_code == 400
    assert visit(callback, "?error=access_denied&state=guessed").status_code == 400
    assert visit(callback, path="/favicon.ico").status_code == 404
    assert requests.post(f"http://localhost:{callback.port}/callback", timeout=20).status_code == 501
    with pytest.raises(LoginFailed, match="redirect address of the app"):
        callback.wait(0)
    visit(callback, "?code=good&state=the-state")
    assert callback.wait(20) == "good"


def test_a_browser_that_keeps_silent_blocks_nobody(callback):
    with socket.create_connection(("127.0.0.1", callback.port)):
        visit(callback, "?code=good&state=the-state")
        assert callback.wait(20) == "good"


def test_only_this_machine_is_listened_to(callback):
    hosts = {server.server_address[0] for server in callback._servers}
    assert hosts <= {"127.0.0.1", "::1"}
    assert "127.0.0.1" in hosts


def test_a_taken_port_is_named(callback):
    with pytest.raises(LoginFailed, match=rf"port {callback.port} .*--port"):
        Callback(callback.port)


def test_nothing_is_left_behind():
    before = threading.active_count()
    with Callback(0) as listening:
        listening.start(CONSENT.code_in)
        port = listening.port
    assert threading.active_count() == before
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


# ------------------------------------------------------------------ the code


def test_the_code_is_redeemed_with_what_the_consent_was_asked_with(login, xero, stored, clock):
    xero.on("POST token", lambda _: xero.issue(refresh_token="refresh-1", scope=SCOPES))
    flow = login(client_secret=None)
    consent = flow.consent(8765)
    token = flow.redeem(consent, "the-code")
    (call,) = xero.seen
    assert call.form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": BACK,
        "code_verifier": consent.verifier,
        "client_id": "THE-CLIENT",
    }
    assert (token.refresh_token, token.scope, token.logged_in_at) == ("refresh-1", SCOPES, clock.now())
    assert stored() is None, "nothing is stored before the organisation is known"
    chosen = flow.choose(token, "id-1", "Ours")
    assert stored() == chosen == replace(token, tenant_id="id-1", tenant_name="Ours")


def test_a_web_app_redeems_with_its_secret(login, xero):
    xero.on("POST token", lambda _: xero.issue(refresh_token="refresh-1"))
    flow = login()
    token = flow.redeem(flow.consent(8765), "the-code")
    assert xero.seen[0].basic == "THE-CLIENT:the-secret"
    assert "code_verifier" not in xero.seen[0].form
    assert token.scope == SCOPES, "scopes that Xero does not repeat are those that were asked for"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"error": "invalid_grant"}, LoginFailed, "did not accept the code"),
        ({"error": "invalid_client"}, AccessRefused, "client_id or client_secret"),
        ({"error": "unauthorized_client"}, AccessRefused, "client_credentials for a Custom Connection"),
    ],
)
def test_a_refused_code_is_explained_and_stores_nothing(login, xero, reply, stored, answer, kind, words):
    xero.on("POST token", reply(answer, 400))
    flow = login()
    with pytest.raises(kind, match=words):
        flow.redeem(flow.consent(8765), "the-code")
    assert stored() is None
    assert len(xero.seen) == 1


def test_a_code_is_never_sent_twice(login, xero, raw, stored):
    xero.on("POST token", raw(how="reset"), lambda _: xero.issue(refresh_token="refresh-1"))
    flow = login()
    with pytest.raises(Unavailable, match="msp-xero login again"):
        flow.redeem(flow.consent(8765), "the-code")
    assert len(xero.seen) == 1
    assert stored() is None


def test_a_login_that_would_not_last_is_refused(login, xero, stored):
    flow = login()
    with pytest.raises(LoginFailed, match="offline_access"):
        flow.redeem(flow.consent(8765), "the-code")
    assert stored() is None


def test_no_secret_of_a_login_reaches_the_log(login, xero, caplog):
    caplog.set_level("DEBUG")
    xero.on("POST token", lambda _: xero.issue(refresh_token="refresh-1"))
    flow = login(client_secret=None)
    consent = flow.consent(8765)
    flow.redeem(consent, "the-code")
    for secret in ("the-code", consent.verifier, consent.state, "refresh-1", "access-1"):
        assert secret not in caplog.text


# -------------------------------------------------------------- organisation


def row(number, name, kind="ORGANISATION"):
    return {"tenantId": f"{number:08d}-0000-4000-a000-000000000000", "tenantName": name, "tenantType": kind}


def test_the_chosen_organisation_is_used_by_all_who_share_the_login(login, xero, reply, connect):
    xero.on("POST token", lambda _: xero.issue(refresh_token="refresh-1"))
    xero.on("GET connections", reply([row(1, "Other"), row(2, "Ours"), row(3, "Practice", "PRACTICE")]))
    flow = login()
    token = flow.redeem(flow.consent(8765), "the-code")
    reached = flow.organisations(token)
    assert set(reached.values()) == {"Other", "Ours"}
    flow.choose(token, pick(reached, "ours"), "Ours")
    ours = row(2, "Ours")["tenantId"]
    xero.on("GET Organisation", reply({"Organisations": [{"OrganisationID": ours, "Name": "Ours"}]}))
    client = connect(grant="authorization_code")
    assert client.organisation()["Name"] == "Ours"
    assert xero.calls("GET", "Organisation")[0].headers["xero-tenant-id"] == ours
    assert len(xero.calls("GET", "connections")) == 1
    xero.on("GET Organisation", reply({"Organisations": [{"OrganisationID": "x", "Name": "Other"}]}))
    with pytest.raises(SettingError, match="reaches Other instead"):
        client.organisation()


@pytest.fixture
def logged_in(login, xero, reply):
    """Log in as a person does; return the token that is stored."""

    def run(flow=None):
        xero.on("POST token", lambda _: xero.issue(refresh_token=f"refresh-{xero.tokens}"))
        xero.on("GET connections", reply([row(1, "Ours")]))
        flow = flow or login()
        token = flow.redeem(flow.consent(8765), "the-code")
        return flow.choose(token, *next(iter(flow.organisations(token).items())))

    return run


@pytest.mark.parametrize(
    ("status", "answer", "kind", "words"),
    [
        (200, [], LoginFailed, "reaches no organisation"),
        (401, {"Detail": "TokenExpired"}, LoginFailed, "does not accept the token that it has just given"),
        (403, {}, AccessRefused, "organisation is refused"),
        (500, {}, Unavailable, "answered 500"),
    ],
)
def test_a_login_that_fails_on_the_way_leaves_the_one_before(
    login, logged_in, xero, reply, stored, status, answer, kind, words
):
    before = logged_in()
    xero.on("GET connections", reply(answer, status))
    flow = login()
    token = flow.redeem(flow.consent(8765), "the-code")
    with pytest.raises(kind, match=words):
        flow.organisations(token)
    assert stored() == before
    assert {call.headers["authorization"] for call in xero.calls("GET", "connections")[1:]} == {
        f"Bearer {token.access_token}"
    }, "the login before is not even asked with, and so not renewed"
    assert len(xero.calls("POST", "token")) == 2


def test_a_store_that_became_read_only_leaves_the_login_before(login, logged_in, stored, monkeypatch):
    before, flow = logged_in(), login()
    token = flow.redeem(flow.consent(8765), "the-code")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("msp_xero.xero.tokens.os.replace", full)
    with pytest.raises(SettingError, match="No space left"):
        flow.choose(token, "id-2", "Another")
    assert stored() == before


def test_an_organisation_is_meant_by_id_or_name():
    reached = {"id-1": "Demo", "id-2": "Twin", "id-3": "Twin"}
    assert pick(reached, "ID-2") == "id-2"
    assert pick(reached, " demo ") == "id-1"
    with pytest.raises(LoginFailed, match=r"several organisations are .*Demo \(id-1\), Twin \(id-2\)"):
        pick(reached, "Twin")
    with pytest.raises(LoginFailed, match=r"no organisation that is called 'Acme'.*Demo \(id-1\)"):
        pick(reached, "Acme")


# --------------------------------------------------------------------- store


def test_a_damaged_store_is_put_aside_before_a_person_is_asked(login, config, tmp_path):
    path = tmp_path / "store" / "token.json"
    assert login().prepare_store() is None
    path.write_text("{")
    aside = login().prepare_store()
    assert aside.read_text() == "{"
    assert not path.exists()
    assert login().prepare_store() is None


def test_a_store_that_cannot_be_written_fails_before_a_person_is_asked(login, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="token_store"):
        login(token_store=str(tmp_path / "file" / "token.json")).prepare_store()


def test_a_login_mends_a_revoked_one(logged_in, xero, reply, config, session, clock):
    settings = XeroSettings.from_config({**config, "grant": "authorization_code"})
    auth = XeroAuth(settings, session=session, clock=clock)
    logged_in()
    clock.advance(hours=1)
    xero.on("POST token", reply({"error": "invalid_grant"}, 400))
    with pytest.raises(AccessRefused, match="msp-xero login"):
        auth.access_token()
    logged_in()
    assert auth.access_token() == f"access-{xero.tokens}"
