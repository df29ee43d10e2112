"""The identity server: authorize, token, revocation and connections (xero-api §1.2-1.4)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from msp_xero_sandbox.wire import Answer, encode_json
from msp_xero_sandbox.xero.tokens import CODE_LIFE, Client, Code, RefreshToken, Vault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from msp_xero_sandbox.wire import Call
    from msp_xero_sandbox.xero.rows import Ids
    from msp_xero_sandbox.xero.switches import Switches

_JSON = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}


class OAuthError(Exception):
    """A refusal of the token endpoint."""

    def __init__(self, error: str, description: str | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


@dataclass(slots=True)
class Connection:
    """One organisation that an app's user has connected."""

    connection_id: str
    client_id: str
    tenant_id: str
    tenant_name: str
    event_id: str
    created: datetime

    def shown(self) -> dict[str, Any]:
        """Return the row of ``GET /connections``."""
        stamp = self.created.strftime("%Y-%m-%dT%H:%M:%S.%f0")
        return {
            "id": self.connection_id,
            "authEventId": self.event_id,
            "tenantId": self.tenant_id,
            "tenantType": "ORGANISATION",
            "tenantName": self.tenant_name,
            "createdDateUtc": stamp,
            "updatedDateUtc": stamp,
        }


class Identity:
    """Issues tokens and knows which organisations they reach."""

    def __init__(self, organisation: Mapping[str, Any], switches: Switches, ids: Ids, now: datetime) -> None:
        self.vault = Vault(ids)
        self._organisation = organisation
        self._switches = switches
        self._ids = ids
        self.connections: list[Connection] = []
        for client in self.vault.clients.values():
            if client.is_custom_connection:
                self._connect(client, ids.new(), now)

    def _tenants(self, client: Client) -> list[tuple[str, str]]:
        """Return id and name of the organisations that an app's user has."""
        own = (self._organisation["OrganisationID"], self._organisation["Name"])
        if client.is_custom_connection:
            return [own]
        # Other books of the same user: a client that takes the first tenant writes to the wrong ones.
        others = range(1, self._switches.extra_tenants + 1)
        return [
            *(
                (f"{number:08x}-0000-4000-a000-000000000000", f"Other Organisation {number}")
                for number in others
            ),
            own,
        ]

    def _connect(self, client: Client, event_id: str, now: datetime, only: str | None = None) -> None:
        known = {(each.client_id, each.tenant_id) for each in self.connections}
        self.connections += [
            Connection(self._ids.new(), client.client_id, tenant, name, event_id, now)
            for tenant, name in self._tenants(client)
            if (client.client_id, tenant) not in known and only in {None, tenant}
        ]

    def reaches(self, client: Client, tenant_id: str) -> bool:
        """Tell whether the app is connected to the organisation."""
        return any(
            each.client_id == client.client_id and each.tenant_id == tenant_id for each in self.connections
        )

    # The consent page

    def authorize(self, call: Call, now: datetime) -> Answer:
        """Redirect at once, as if the user had consented (or denied, by a switch), or show the page."""
        query = call.query
        client = self.vault.clients.get(query.get("client_id", ""))
        redirect_uri = query.get("redirect_uri", "")
        if client is None or "authorization_code" not in client.grants:
            return _page("unauthorized_client")
        if not self._is_allowed(redirect_uri):
            return _page("Invalid redirect_uri")
        scopes = tuple(query.get("scope", "").split())
        back: dict[str, str] = {"state": query["state"]} if "state" in query else {}
        refused = _unacceptable(client, scopes, query)
        if refused and self._switches.consent_refusals == "page":
            return _page(refused)
        decision = query.get("decision") if self._switches.consent == "ask" else self._switches.consent
        if not refused and decision is None:
            return _question(client, scopes, query, self._tenants(client))
        if refused or decision == "denied":
            back["error"] = refused or "access_denied"
        else:
            code = self._ids.new().replace("-", "")
            self.vault.codes[code] = Code(
                client=client,
                redirect_uri=redirect_uri,
                scopes=scopes,
                challenge=query.get("code_challenge"),
                expires=now + CODE_LIFE,
                tenant_id=query.get("tenant") if self._switches.consent == "ask" else None,
            )
            back = {"code": code, "scope": " ".join(scopes), **back}
        joint = "&" if urlsplit(redirect_uri).query else "?"
        return Answer(status=302, headers={"location": f"{redirect_uri}{joint}{urlencode(back)}"})

    def _is_allowed(self, redirect_uri: str) -> bool:
        if registered := self._switches.redirect_addresses.split():
            return redirect_uri in registered
        parts = urlsplit(redirect_uri)
        if parts.hostname == "127.0.0.1":
            return self._switches.loopback_ip_redirect == "accept"
        return parts.scheme == "https" or parts.hostname == "localhost"

    # The token endpoint

    def token(self, call: Call, now: datetime) -> Answer:
        """Exchange credentials, a code or a refresh token for tokens."""
        form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        try:
            issued = self._issued(self._authenticated(call, form), form, now)
        except OAuthError as error:
            return self._refused(error)
        return Answer(headers=_JSON, body=encode_json(issued))

    def _issued(self, client: Client, form: Mapping[str, str], now: datetime) -> dict[str, Any]:
        grant = form.get("grant_type", "")
        issue = {
            "client_credentials": self._by_credentials,
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh,
        }.get(grant)
        if issue is None:
            raise OAuthError("unsupported_grant_type")
        if grant not in client.grants:
            raise OAuthError("unauthorized_client")
        return issue(client, form, now)

    def revocation(self, call: Call) -> Answer:
        """Revoke a refresh token, which disconnects everything of its user."""
        form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        try:
            client = self._authenticated(call, form)
        except OAuthError as error:
            return self._refused(error)
        token = self.vault.refresh.get(form.get("token", ""))
        if token is not None and token.client == client:
            self.vault.revoke(client)
            self.connections = [each for each in self.connections if each.client_id != client.client_id]
        return Answer()

    def _refused(self, error: OAuthError) -> Answer:
        status = int(self._switches.invalid_client_status) if error.error == "invalid_client" else 400
        body = {"error": error.error}
        if error.description:
            body["error_description"] = error.description
        return Answer(status=status, headers=_JSON, body=encode_json(body))

    def _authenticated(self, call: Call, form: Mapping[str, str]) -> Client:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, given = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise OAuthError("invalid_client") from None
        if not client_id:
            raise OAuthError("unauthorized_client")
        client = self.vault.clients.get(client_id)
        if client is None or (client.secret or "") != secret:
            raise OAuthError("invalid_client")
        return client

    def _by_credentials(self, client: Client, form: Mapping[str, str], now: datetime) -> dict[str, Any]:
        granted = tuple(self._switches.granted_scopes.split()) or tuple(sorted(client.scopes))
        # Without a scope every granted one is given; one that was not granted fails the whole request.
        wanted = tuple(form.get("scope", "").split()) or granted
        if not form.get("scope") and self._switches.scope_left_out == "refuse":
            raise OAuthError("invalid_scope")
        if not set(wanted) <= set(granted):
            raise OAuthError("invalid_scope", "Client credentials scope validation failed")
        event_id = next(
            (each.event_id for each in self.connections if each.client_id == client.client_id), None
        )
        if event_id is None:
            raise OAuthError("invalid_grant")
        return self._tokens(client, wanted, now, event_id)

    def _by_code(self, client: Client, form: Mapping[str, str], now: datetime) -> dict[str, Any]:
        code = self.vault.codes.pop(form.get("code", ""), None)
        if code is None or code.client != client or now >= code.expires:
            raise OAuthError("invalid_grant")
        if code.redirect_uri != form.get("redirect_uri"):
            raise OAuthError("invalid_grant")
        if code.challenge is not None and not _proves(form.get("code_verifier", ""), code.challenge):
            raise OAuthError("invalid_grant")
        event_id = self._ids.new()
        self._connect(client, event_id, now, code.tenant_id)
        shown = self._tokens(client, code.scopes, now, event_id)
        if "openid" in code.scopes:
            shown["id_token"] = self.vault.issue_id_token(client, now)
        if "offline_access" in code.scopes:
            refresh = self.vault.issue_refresh(client, code.scopes, now, event_id, None)
            shown["refresh_token"] = refresh.text
        return shown

    def _by_refresh(self, client: Client, form: Mapping[str, str], now: datetime) -> dict[str, Any]:
        token = self.vault.refresh.get(form.get("refresh_token", ""))
        if token is None or token.client != client or not self._still_good(token, now):
            raise OAuthError("invalid_grant")
        token.replaced = token.replaced or now
        # Whoever shows a token has received it: what it replaced is not needed for a retry any more.
        self.vault.refresh.pop(token.parent or "", None)
        renewed = self.vault.issue_refresh(client, token.scopes, now, token.event_id, token.text)
        shown = self._tokens(client, token.scopes, now, token.event_id)
        shown["refresh_token"] = renewed.text
        return shown

    def _still_good(self, token: RefreshToken, now: datetime) -> bool:
        grace = timedelta(seconds=self._switches.refresh_grace_seconds)
        return now < token.expires and (token.replaced is None or now <= token.replaced + grace)

    def _tokens(
        self, client: Client, scopes: tuple[str, ...], now: datetime, event_id: str
    ) -> dict[str, Any]:
        seconds = self._switches.token_seconds
        access = self.vault.issue_access(client, scopes, now, seconds, event_id)
        return {
            "access_token": access.text,
            "expires_in": seconds,
            "token_type": "Bearer",
            "scope": " ".join(scopes),
        }


def _proves(verifier: str, challenge: str) -> bool:
    if not 43 <= len(verifier) <= 128:
        return False
    digest = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return digest == challenge


def _unacceptable(client: Client, scopes: tuple[str, ...], query: Mapping[str, str]) -> str | None:
    if not set(scopes) <= client.scopes:
        return "invalid_scope"
    if query.get("response_type") != "code":
        return "unsupported_response_type"
    if client.secret is None and query.get("code_challenge_method") != "S256":
        return "invalid_request"
    return None


def _question(
    client: Client, scopes: tuple[str, ...], query: Mapping[str, str], tenants: list[tuple[str, str]]
) -> Answer:
    """Return the consent page: which organisation, and whether at all."""
    kept = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in query.items()
        if name not in {"decision", "tenant"}
    )
    choices = "".join(f'<option value="{tenant}">{escape(name)}</option>' for tenant, name in tenants)
    wanted = "".join(f"<li>{escape(scope)}</li>" for scope in scopes)
    body = (
        "<html><head><title>Sandbox: connect to Xero</title></head><body>"
        f'<h1>{escape(client.name)} wants access</h1><ul>{wanted}</ul><form method="get">{kept}'
        f'<p><label>Organisation <select name="tenant">{choices}</select></label></p>'
        '<button name="decision" value="given">Allow access</button> '
        '<button name="decision" value="denied">Cancel</button></form></body></html>'
    )
    return Answer(headers={"content-type": "text/html; charset=utf-8"}, body=body.encode())


def _page(problem: str) -> Answer:
    body = f"<html><head><title>Error</title></head><body><h1>Sorry</h1><p>Error: {problem}</p></body></html>"
    return Answer(status=400, headers={"content-type": "text/html; charset=utf-8"}, body=body.encode())
