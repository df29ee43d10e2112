"""Tokens, clients and consents: what the identity server remembers (xero-api §1)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msp_xero_sandbox.wire import encode_json

if TYPE_CHECKING:
    from msp_xero_sandbox.xero.rows import Ids

_ACCOUNTING = (
    "accounting.invoices accounting.contacts accounting.contacts.read "
    "accounting.settings accounting.settings.read"
)
# What a web or PKCE app may ask its user for; broad scopes still work until September 2027.
_ANY = (
    f"offline_access openid profile email {_ACCOUNTING} accounting.invoices.read accounting.transactions "
    "accounting.transactions.read accounting.payments accounting.payments.read accounting.attachments "
    "accounting.attachments.read accounting.reports.read accounting.journals.read"
)
REFRESH_LIFE = timedelta(days=60)
CODE_LIFE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An app as registered with Xero."""

    client_id: str
    secret: str | None
    name: str
    grants: frozenset[str]
    scopes: frozenset[str]

    @property
    def is_custom_connection(self) -> bool:
        """Tell whether the app is bound to one organisation and needs no tenant header."""
        return "client_credentials" in self.grants


CLIENTS = (
    Client(
        client_id="sandbox-client",
        secret="sandbox-secret",  # noqa: S106 - the sandbox's documented credentials
        name="MSP Xero Sandbox",
        grants=frozenset({"client_credentials"}),
        scopes=frozenset(_ACCOUNTING.split()),
    ),
    Client(
        client_id="sandbox-web",
        secret="sandbox-web-secret",  # noqa: S106 - the sandbox's documented credentials
        name="MSP Xero Sandbox Web",
        grants=frozenset({"authorization_code", "refresh_token"}),
        scopes=frozenset(_ANY.split()),
    ),
    Client(
        client_id="sandbox-pkce",
        secret=None,
        name="MSP Xero Sandbox PKCE",
        grants=frozenset({"authorization_code", "refresh_token"}),
        scopes=frozenset(_ANY.split()),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What a bearer token stands for."""

    text: str
    client: Client
    scopes: frozenset[str]
    expires: datetime
    event_id: str


@dataclass(slots=True, kw_only=True)
class RefreshToken:
    """A refresh token, its place in the chain of rotations, and when it was replaced."""

    text: str
    client: Client
    scopes: tuple[str, ...]
    expires: datetime
    event_id: str
    parent: str | None = None
    replaced: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorization code on its way from the consent page to the token endpoint."""

    client: Client
    redirect_uri: str
    scopes: tuple[str, ...]
    challenge: str | None
    expires: datetime
    tenant_id: str | None = None


@dataclass(slots=True)
class Vault:
    """Everything that was issued and still counts."""

    ids: Ids
    clients: dict[str, Client] = field(default_factory=lambda: {each.client_id: each for each in CLIENTS})
    access: dict[str, AccessToken] = field(default_factory=dict)
    refresh: dict[str, RefreshToken] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)

    def issue_access(
        self, client: Client, scopes: tuple[str, ...], now: datetime, seconds: int, event_id: str
    ) -> AccessToken:
        """Issue a bearer token, shaped as the JWT that Xero issues."""
        expires = now + timedelta(seconds=seconds)
        claims = {
            "nbf": int(now.timestamp()),
            "exp": int(expires.timestamp()),
            "iss": "https://identity.xero.com",
            "aud": "https://identity.xero.com/resources",
            "client_id": client.client_id,
            "xero_userid": "00000000-0000-4000-a000-00000000cafe",
            "authentication_event_id": event_id,
            "jti": self.ids.new().replace("-", ""),
            "scope": list(scopes),
        }
        text = f"{_part({'alg': 'RS256', 'kid': 'SANDBOX', 'typ': 'JWT'})}.{_part(claims)}.{self.ids.new()}"
        token = AccessToken(
            text=text, client=client, scopes=frozenset(scopes), expires=expires, event_id=event_id
        )
        self.access[text] = token
        return token

    def issue_id_token(self, client: Client, now: datetime) -> str:
        """Issue the five-minute token that names the user."""
        claims = {
            "exp": int((now + CODE_LIFE).timestamp()),
            "aud": client.client_id,
            "email": "billing@example.com",
            "xero_userid": "00000000-0000-4000-a000-00000000cafe",
        }
        return f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}.{self.ids.new()}"

    def issue_refresh(
        self, client: Client, scopes: tuple[str, ...], now: datetime, event_id: str, parent: str | None
    ) -> RefreshToken:
        """Issue a refresh token."""
        token = RefreshToken(
            text=self.ids.new().replace("-", "") + self.ids.new().replace("-", ""),
            client=client,
            scopes=scopes,
            expires=now + REFRESH_LIFE,
            event_id=event_id,
            parent=parent,
        )
        self.refresh[token.text] = token
        return token

    def expire(self, text: str, now: datetime) -> None:
        """Make a bearer token expire at once."""
        if token := self.access.get(text):
            self.access[text] = replace(token, expires=min(token.expires, now))

    def revoke(self, client: Client) -> None:
        """Forget everything that was issued to an app for its user."""
        self.refresh = {text: token for text, token in self.refresh.items() if token.client != client}


def _part(claims: object) -> str:
    return base64.urlsafe_b64encode(encode_json(claims)).rstrip(b"=").decode()
