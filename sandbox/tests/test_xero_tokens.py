from __future__ import annotations

import base64
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import pytest
from msp_xero_sandbox.wire import decode_json, make_call

WEB = "sandbox-web:sandbox-web-secret"
BACK = "http://localhost:8123/callback"
VERIFIER = "v" * 43


def token(xero, client="sandbox-client:sandbox-secret", **form):
    return xero.form("/connect/token", client, **form)


def consent(
    xero, client_id="sandbox-web", scope="offline_access accounting.invoices accounting.settings.read", **more
):
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": BACK,
        "scope": scope,
        "state": "s1",
        **more,
    }
    target = "/identity/connect/authorize?" + "&".join(
        f"{name}={value.replace(' ', '%20')}" for name, value in query.items()
    )
    answer = xero.app.handle(make_call("GET", target, {}))
    assert answer.status == 302, answer.body
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def web_tokens(xero, **more):
    code = consent(xero, **more)["code"]
    return token(xero, WEB, grant_type="authorization_code", code=code, redirect_uri=BACK).json


def refresh(xero, text):
    return token(xero, WEB, grant_type="refresh_token", refresh_token=text)


def test_client_credentials_by_basic_and_by_body(xero):
    basic = token(xero, grant_type="client_credentials", scope="accounting.invoices")
    body = token(
        xero, "", grant_type="client_credentials", client_id="sandbox-client", client_secret="sandbox-secret"
    )
    assert basic.json["expires_in"] == 1800
    assert basic.json["scope"] == "accounting.invoices"
    assert "accounting.contacts.read" in body.json["scope"].split()
    assert "refresh_token" not in basic.json


def test_access_token_reads_like_a_jwt(xero):
    payload = xero.token.split(".")[1]
    claims = decode_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["client_id"] == "sandbox-client"
    assert claims["exp"] - claims["nbf"] == 1800
    assert "accounting.invoices" in claims["scope"]


@pytest.mark.parametrize(
    ("client", "form", "error"),
    [
        ("sandbox-client:wrong", {"grant_type": "client_credentials"}, "invalid_client"),
        ("nobody:at-all", {"grant_type": "client_credentials"}, "invalid_client"),
        ("", {"grant_type": "client_credentials"}, "unauthorized_client"),
        (WEB, {"grant_type": "client_credentials"}, "unauthorized_client"),
        (WEB, {"grant_type": "refresh_token", "refresh_token": "unknown"}, "invalid_grant"),
        (WEB, {"grant_type": "authorization_code", "code": "unknown"}, "invalid_grant"),
        (
            "sandbox-client:sandbox-secret",
            {"grant_type": "client_credentials", "scope": "accounting.invoices files"},
            "invalid_scope",
        ),
        ("sandbox-client:sandbox-secret", {"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_token_errors(xero, client, form, error):
    refused = token(xero, client, **form)
    assert (refused.status, refused.json["error"]) == (400, error)


def test_status_of_invalid_client_is_a_switch(xero):
    xero.switch(invalid_client_status="401")
    assert token(xero, "sandbox-client:wrong", grant_type="client_credentials").status == 401


def test_access_token_expires_after_half_an_hour(xero):
    xero.clock.advance(1799)
    assert xero.get("/Organisation").status == 200
    xero.clock.advance(1)
    expired = xero.get("/Organisation")
    assert expired.status == 401
    assert expired.json["Detail"].startswith("TokenExpired: token expired at 11/22/2026 09:30:00")


def test_a_code_is_good_once_and_for_its_redirect_address_only(xero):
    code = consent(xero)["code"]
    assert token(xero, WEB, grant_type="authorization_code", code=code, redirect_uri=BACK).status == 200
    assert token(xero, WEB, grant_type="authorization_code", code=code, redirect_uri=BACK).status == 400
    code = consent(xero)["code"]
    other = token(
        xero, WEB, grant_type="authorization_code", code=code, redirect_uri="http://localhost/other"
    )
    assert other.json == {"error": "invalid_grant"}


def test_a_code_lives_five_minutes(xero):
    code = consent(xero)["code"]
    xero.clock.advance(300)
    assert token(xero, WEB, grant_type="authorization_code", code=code, redirect_uri=BACK).status == 400


def test_pkce_wants_the_verifier_of_its_challenge(xero):
    challenge = base64.urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    more = {"code_challenge": challenge, "code_challenge_method": "S256"}
    for verifier, status in ((VERIFIER, 200), ("w" * 43, 400), ("short", 400)):
        code = consent(xero, "sandbox-pkce", **more)["code"]
        form = {"code": code, "redirect_uri": BACK, "client_id": "sandbox-pkce", "code_verifier": verifier}
        assert token(xero, "", grant_type="authorization_code", **form).status == status


def test_pkce_without_challenge_and_a_denial_come_back_as_errors(xero):
    assert consent(xero, "sandbox-pkce")["error"] == "invalid_request"
    xero.switch(consent="denied")
    assert consent(xero) == {"state": "s1", "error": "access_denied"}


def test_ip_address_as_redirect_is_refused(xero):
    target = "/identity/connect/authorize?response_type=code&client_id=sandbox-web&redirect_uri=http://127.0.0.1:1/x"
    assert xero.app.handle(make_call("GET", target, {})).status == 400
    xero.switch(loopback_ip_redirect="accept")
    assert xero.app.handle(make_call("GET", target, {})).status == 302


def test_refresh_rotates_and_the_previous_token_may_be_retried_for_half_an_hour(xero):
    first = web_tokens(xero)["refresh_token"]
    second = refresh(xero, first).json["refresh_token"]
    assert second != first
    xero.clock.advance(1800)
    third = refresh(xero, first)
    assert third.status == 200, "the answer to the first refresh may have been lost"
    xero.clock.advance(1)
    assert refresh(xero, first).json == {"error": "invalid_grant"}
    assert refresh(xero, third.json["refresh_token"]).status == 200


def test_using_the_new_refresh_token_ends_the_old_one(xero):
    first = web_tokens(xero)["refresh_token"]
    second = refresh(xero, first).json["refresh_token"]
    assert refresh(xero, second).status == 200
    assert refresh(xero, first).status == 400


def test_refresh_tokens_live_sixty_days_and_need_offline_access(xero):
    assert "refresh_token" not in web_tokens(xero, scope="accounting.invoices")
    text = web_tokens(xero)["refresh_token"]
    xero.clock.advance(60 * 86400)
    assert refresh(xero, text).status == 400


def test_revocation_ends_every_connection_of_the_user(xero):
    tokens = web_tokens(xero)
    xero.token = tokens["access_token"]
    tenant = xero.get("/connections").json[0]["tenantId"]
    assert xero.get("/Organisation", xero_tenant_id=tenant).status == 200
    revoked = xero.form("/connect/revocation", WEB, token=tokens["refresh_token"])
    assert (revoked.status, revoked.body) == (200, b"")
    assert refresh(xero, tokens["refresh_token"]).status == 400
    assert xero.get("/Organisation", xero_tenant_id=tenant).status == 403
    assert xero.get("/connections").json == []


def test_custom_connection_needs_no_tenant_and_takes_the_right_one(xero, books):
    for tenant, status in ((None, 200), ("", 200), (books.guid(1), 200), (books.guid(99), 403)):
        headers = {} if tenant is None else {"xero_tenant_id": tenant}
        assert xero.get("/Organisation", **headers).status == status


def test_web_tokens_need_a_connected_tenant(xero):
    xero.token = web_tokens(xero)["access_token"]
    assert xero.get("/Organisation").status == 403
    connection = xero.get("/connections").json[0]
    assert xero.get("/Organisation", xero_tenant_id=connection["tenantId"]).status == 200
    assert xero.get("/Organisation", xero_tenant_id=connection["id"]).status == 403
    assert xero.call("DELETE", f"/connections/{connection['id']}").status == 204
    assert xero.call("DELETE", f"/connections/{connection['id']}").status == 404
    refused = xero.get("/Organisation", xero_tenant_id=connection["tenantId"])
    assert (refused.status, refused.json["Detail"]) == (403, "AuthenticationUnsuccessful")


def test_the_first_of_several_tenants_can_be_other_books(xero, books):
    xero.switch(extra_tenants="1")
    xero.token = web_tokens(xero)["access_token"]
    first, second = (each["tenantId"] for each in xero.get("/connections").json)
    assert xero.get("/Organisation", xero_tenant_id=first).json["Organisations"][0]["OrganisationID"] == first
    assert second == books.guid(1)


def test_missing_scope_is_401_with_a_challenge(xero, books):
    xero.sign_in(scope="accounting.settings.read")
    refused = xero.put(books.invoice())
    assert (refused.status, refused.json["Detail"]) == (401, "AuthorizationUnsuccessful")
    assert "insufficient_scope" in refused.headers["www-authenticate"]
    assert xero.get("/Items").status == 200
    assert xero.call("PUT", "/Items", {"Code": "X"}).status == 401


def test_unknown_token_is_401(xero):
    assert (
        xero.get("/Organisation", Authorization="Bearer nonsense").json["Detail"]
        == "AuthenticationUnsuccessful"
    )
    assert xero.app.handle(make_call("GET", "/api.xro/2.0/Organisation", {})).status == 401


def page_of(xero, **more):
    query = {"response_type": "code", "client_id": "sandbox-web", "redirect_uri": BACK, "scope": "openid"}
    target = "/identity/connect/authorize?" + "&".join(
        f"{name}={value}" for name, value in (query | more).items()
    )
    return xero.app.handle(make_call("GET", target, {}))


def test_the_consent_page_asks_for_an_organisation_and_connects_only_that(xero, books):
    xero.switch(consent="ask", extra_tenants="1")
    page = page_of(xero, state='"><script>')
    assert page.status == 200
    assert b"Allow access" in page.body
    assert b"Other Organisation 1" in page.body
    assert b'"><script>' not in page.body
    code = consent(xero, decision="given", tenant=books.guid(1))["code"]
    tokens = token(xero, WEB, grant_type="authorization_code", code=code, redirect_uri=BACK).json
    xero.token = tokens["access_token"]
    (connection,) = xero.get("/connections").json
    assert connection["tenantId"] == books.guid(1)
    assert xero.get(f"/connections?authEventId={connection['authEventId']}").json == [connection]
    assert xero.get("/connections?authEventId=another").json == []
    assert consent(xero, decision="denied") == {"state": "s1", "error": "access_denied"}


def test_registered_redirect_addresses_are_compared_letter_for_letter(xero):
    xero.switch(redirect_addresses=f"{BACK} https://app.example/back")
    assert "code" in consent(xero)
    for other in (f"{BACK}/", "http://localhost:8124/callback", "https://localhost:8123/callback"):
        assert page_of(xero, redirect_uri=other).status == 400


@pytest.mark.parametrize("shown", ["redirect", "page"])
def test_a_scope_that_the_app_lacks_is_refused_there_or_here(xero, shown):
    xero.switch(consent_refusals=shown)
    answer = page_of(xero, scope="payroll.employees")
    if shown == "page":
        assert (answer.status, b"invalid_scope" in answer.body) == (400, True)
    else:
        assert "error=invalid_scope" in answer.headers["location"]


def test_a_scope_left_out_is_a_switch(xero):
    xero.switch(scope_left_out="refuse")
    assert token(xero, grant_type="client_credentials").json == {"error": "invalid_scope"}
    assert token(xero, grant_type="client_credentials", scope="accounting.invoices").status == 200
