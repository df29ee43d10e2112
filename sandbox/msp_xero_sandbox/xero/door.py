"""Who may come in: bearer tokens, tenants, scopes and limits, before anything is looked at.

Source: xero-api §1.4-1.5, §2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.wire import Answer, encode_json
from msp_xero_sandbox.xero.answers import problem
from msp_xero_sandbox.xero.dates import bare_wire_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from msp_xero_sandbox.wire import Call
    from msp_xero_sandbox.xero.identity import Identity
    from msp_xero_sandbox.xero.limits import Limits
    from msp_xero_sandbox.xero.rows import Ids
    from msp_xero_sandbox.xero.switches import Switches
    from msp_xero_sandbox.xero.tokens import AccessToken, Client

_SETTINGS = frozenset({"accounting.settings", "accounting.settings.read"})
_INVOICES = frozenset({"accounting.invoices", "accounting.transactions"})
# Scopes of which one is enough, to read and to write (xero-api §1.5).
_SCOPES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "invoices": (_INVOICES | {"accounting.invoices.read", "accounting.transactions.read"}, _INVOICES),
    "contacts": (
        frozenset({"accounting.contacts", "accounting.contacts.read"}),
        frozenset({"accounting.contacts"}),
    ),
    "items": (
        _SETTINGS | _INVOICES | {"accounting.invoices.read", "accounting.transactions.read"},
        frozenset({"accounting.settings"}),
    ),
}
_READ = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """A caller that was recognised, and the organisation that is called."""

    client: Client
    token: AccessToken
    tenant_id: str


class Door:
    """Lets calls in, or answers them."""

    def __init__(
        self,
        identity: Identity,
        limits: Limits,
        switches: Switches,
        ids: Ids,
        organisation: Mapping[str, Any],
    ) -> None:
        self._identity = identity
        self._limits = limits
        self._switches = switches
        self._ids = ids
        self._organisation = organisation

    def visitor(self, call: Call) -> Visitor | None:
        """Recognise the caller by its token, whether that still counts or not."""
        token = self._identity.vault.access.get(_bearer(call))
        if token is None:
            return None
        tenant = call.headers.get("xero-tenant-id", "").strip().lower()
        if not tenant and token.client.is_custom_connection:
            # A custom connection reaches exactly one organisation and need not name it (xero-api §1.2).
            tenant = self._organisation["OrganisationID"]
        return Visitor(token.client, token, tenant)

    def enter(self, call: Call, path: tuple[str, ...], now: datetime) -> Visitor | Answer:
        """Check a call of the API; an Answer turns it away."""
        visitor = self.visitor(call)
        refusal = self._refusal(visitor, call, path, now)
        if refusal is not None:
            return refusal
        assert visitor is not None, "an unknown caller was refused"
        if len(call.body) > self._switches.max_request_bytes:
            return Answer(status=413, headers={"content-type": "text/html"})
        limited = self._limits.pass_or_refuse(
            visitor.client.client_id, visitor.tenant_id, now, call.in_flight
        )
        if limited is not None:
            return limited
        if visitor.tenant_id != self._organisation["OrganisationID"]:
            return self._other_books(visitor, path, now)
        return visitor

    def _refusal(
        self, visitor: Visitor | None, call: Call, path: tuple[str, ...], now: datetime
    ) -> Answer | None:
        if visitor is None:
            return self._unauthorized("AuthenticationUnsuccessful")
        if now >= visitor.token.expires:
            return self._expired(visitor.token)
        if not self._identity.reaches(visitor.client, visitor.tenant_id):
            return self.forbidden()
        if not self._wanted(call.method, path) & visitor.token.scopes:
            challenge = f'Bearer error="{self._switches.insufficient_scope}"'
            return self._unauthorized("AuthorizationUnsuccessful", {"www-authenticate": challenge})
        return None

    def _wanted(self, method: str, path: tuple[str, ...]) -> frozenset[str]:
        resource = path[0].lower() if path else ""
        read, write = _SCOPES.get(resource, (_SETTINGS, frozenset({"accounting.settings"})))
        if resource == "items" and self._switches.items_write_scope == "invoices":
            write |= _INVOICES
        return read if method in _READ else write

    def _other_books(self, visitor: Visitor, path: tuple[str, ...], now: datetime) -> Answer:
        """Answer for another organisation of the same user: it has a name, and nothing for us."""
        if path != ("Organisation",):
            return self.forbidden()
        other = {**self._organisation, "OrganisationID": visitor.tenant_id, "Name": "Other Organisation"}
        kept = ("OrganisationID", "Name", "BaseCurrency", "CountryCode", "Timezone")
        body = {
            "Id": self._ids.new(),
            "Status": "OK",
            "ProviderName": visitor.client.name,
            "DateTimeUTC": bare_wire_time(now),
            "Organisations": [{**{name: other.get(name) for name in kept}, "ShortCode": "!other"}],
        }
        headers = {"content-type": "application/json; charset=utf-8"}
        headers |= self._limits.headers(visitor.client.client_id, visitor.tenant_id, now)
        return Answer(headers=headers, body=encode_json(body))

    def connections(self, call: Call, now: datetime) -> Answer:
        """Serve ``GET /connections`` and ``DELETE /connections/{id}``; they need a token and no tenant."""
        token = self._identity.vault.access.get(_bearer(call))
        if token is None:
            return self._unauthorized("AuthenticationUnsuccessful")
        if now >= token.expires:
            return self._expired(token)
        mine = [each for each in self._identity.connections if each.client_id == token.client.client_id]
        key = call.path.removeprefix("/connections").strip("/")
        if call.method == "GET" and not key:
            if token.client.is_custom_connection and not self._switches.custom_connections_listed:
                mine = []
            if event_id := call.query.get("authEventId"):
                mine = [each for each in mine if each.event_id == event_id]
            headers = {"content-type": "application/json; charset=utf-8"}
            return Answer(headers=headers, body=encode_json([each.shown() for each in mine]))
        found = next((each for each in mine if each.connection_id == key), None)
        if call.method != "DELETE" or found is None:
            return Answer(status=404, headers={"content-type": "text/html"})
        self._identity.connections.remove(found)
        return Answer(status=204)

    def expire(self, call: Call, now: datetime) -> Answer:
        """Expire the token of a call at once, and answer as if it had been so before."""
        self._identity.vault.expire(_bearer(call), now)
        token = self._identity.vault.access.get(_bearer(call))
        return self._expired(token) if token else self._unauthorized("TokenExpired")

    def forbidden(self) -> Answer:
        """Answer that the organisation is not, or no longer, connected."""
        return problem(403, "Forbidden", "AuthenticationUnsuccessful", self._ids.new())

    def _expired(self, token: AccessToken) -> Answer:
        return self._unauthorized(f"TokenExpired: token expired at {token.expires:%m/%d/%Y %H:%M:%S}")

    def _unauthorized(self, detail: str, headers: Mapping[str, str] | None = None) -> Answer:
        return problem(401, "Unauthorized", detail, self._ids.new(), headers)


def _bearer(call: Call) -> str:
    scheme, _, text = call.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""
