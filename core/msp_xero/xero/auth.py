"""OAuth 2.0 against Xero: Authlib speaks it, the token store remembers."""

from __future__ import annotations

import hashlib
import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import requests
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.requests_client.oauth2_session import OAuth2ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.client import OAuth2Client  # type: ignore[import-untyped]

from msp_xero.errors import AccessRefused, SettingError, Throttled, Unavailable
from msp_xero.xero.attempts import broken, repeating
from msp_xero.xero.budget import LONGEST_WAIT
from msp_xero.xero.errors import SYSTEM, Answer, classify
from msp_xero.xero.tokens import Token, TokenStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from msp_xero.edges.clock import Clock
    from msp_xero.xero.settings import XeroSettings

log = logging.getLogger(__name__)

_TOKEN_TIMEOUT = 30.0  # seconds; a token is issued at once or not at all

# OAuth error codes (xero-api §1.3): what happened, what to do.
_REFUSALS = {
    "invalid_client": (
        "client_id or client_secret is not accepted",
        "Compare both with the app in Xero's developer portal",
    ),
    "invalid_grant": (
        "the stored login has expired, was used elsewhere or was revoked",
        "Connect again with msp-xero login",
    ),
    "unauthorized_client": (
        "this app may not use this grant",
        "Set grant to client_credentials for a Custom Connection, to authorization_code for other apps",
    ),
    "invalid_scope": (
        "a scope in the setting scopes was not granted to this connection",
        "Remove it, or leave scopes out to use all that were granted",
    ),
}


class _Grants(OAuth2Client):  # type: ignore[misc]  # authlib has no types
    """Authlib's grants over the session that we are given, which has our certificates and timeouts."""

    client_auth_class = OAuth2ClientAuth
    oauth_error_class = OAuthError
    SESSION_REQUEST_PARAMS: ClassVar[tuple[str, ...]] = ("timeout", "allow_redirects")


class XeroAuth:
    """Keeps one good access token for one connection; safe for threads and processes.

    Args:
        settings: the connection.
        session: HTTP session without retries.
        clock: tells when a token is stale, and does the waiting between attempts.
        count: called with ``POST /connect/token`` for every call made.
    """

    def __init__(
        self,
        settings: XeroSettings,
        *,
        session: requests.Session,
        clock: Clock,
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._session = session
        self._clock = clock
        self._count = count
        self._store = TokenStore(settings.token_store)
        self._name = connection_name(settings)
        self._token: Token | None = None
        self._lock = threading.Lock()

    def access_token(self, *, refused: str | None = None) -> str:
        """Return an access token that is good for the next call.

        Args:
            refused: a token that Xero has just refused, so that it is not returned again.

        Raises:
            AccessRefused: the credentials, the login, the grant or a scope is not accepted.
            Unavailable: the token service cannot be reached.
            SettingError: the token store cannot be used.
        """
        with self._lock:
            if not self._is_good(self._token, refused):
                self._token = self._shared_token(refused)
            assert self._token is not None
            return self._token.access_token

    def _is_good(self, token: Token | None, refused: str | None) -> bool:
        return token is not None and token.access_token != refused and not token.is_stale(self._clock.now())

    def _shared_token(self, refused: str | None) -> Token:
        """Take a token that another process has put into the store, or renew it there."""
        try:
            with self._store.locked():
                stored = self._load()
                if stored is not None and self._is_good(stored, refused):
                    return stored
                token = self._renew(stored)
                # Written before it is used: the old refresh token is dead now (xero-api §1.3).
                self._store.save(self._name, token)
                return token
        except SettingError as error:
            if self._settings.grant != "client_credentials":
                raise
            # Sharing only saves a call; a new client_credentials token can always be had.
            log.warning("%s The token is not shared with other processes.", error)
            return self._renew(None)

    def _load(self) -> Token | None:
        try:
            return self._store.load(self._name)
        except SettingError:
            if self._settings.grant != "client_credentials":
                raise
            return None

    def _renew(self, stored: Token | None) -> Token:
        if self._settings.grant == "client_credentials":
            try:
                return self._request(lambda grants: grants.fetch_token, grant_type="client_credentials")
            except _GrantRefused as error:
                raise self._refusal(
                    "the custom connection is not authorised", "Connect it again in Xero's developer portal"
                ) from error
        candidates = stored.refresh_tokens(self._clock.now()) if stored else []
        if not candidates:
            raise self._refusal("there is no stored login", "Connect with msp-xero login")
        for position, candidate in enumerate(candidates, start=1):
            try:
                # Sent again after a lost answer on purpose: the old token stays good for 30 minutes.
                return self._request(lambda grants: grants.refresh_token, refresh_token=candidate)
            except _GrantRefused as error:
                if position == len(candidates):
                    raise self._refusal(*_REFUSALS["invalid_grant"]) from error
        raise AssertionError

    def _request(self, verb: Callable[[_Grants], Callable[..., dict[str, Any]]], **parameters: str) -> Token:
        """Get a token from the token service, trying again when that is down."""
        for attempt in repeating(self._clock, writes=False):
            with attempt:
                return self._request_once(verb, parameters)
        raise AssertionError

    def _request_once(
        self, verb: Callable[[_Grants], Callable[..., dict[str, Any]]], parameters: dict[str, str]
    ) -> Token:
        grants = _Grants(
            self._session,
            client_id=self._settings.client_id,
            client_secret=self._settings.client_secret,
            scope=self._settings.scopes if self._settings.grant == "client_credentials" else None,
        )
        for hook in ("access_token_response", "refresh_token_response"):
            grants.register_compliance_hook(hook, self._checked)
        timeout = min(_TOKEN_TIMEOUT, self._settings.timeout_seconds)
        self._count("POST /connect/token")
        try:
            reply = verb(grants)(
                self._settings.token_url, timeout=timeout, allow_redirects=False, **parameters
            )
            return self._token_from(reply, parameters.get("refresh_token"))
        except OAuthError as error:
            if error.error == "invalid_grant":
                raise _GrantRefused from None
            problem, advice = _REFUSALS.get(
                error.error, ("the token service refused access", "Check the connection's settings")
            )
            raise self._refusal(problem, advice) from None
        except requests.RequestException as error:
            raise broken(error, address=self._address, timeout=timeout) from None
        except (ValueError, TypeError, KeyError):
            raise Unavailable(
                "answered with something that is no token", system=SYSTEM, address=self._address
            ) from None

    def _checked(self, response: requests.Response) -> requests.Response:
        """Sort out answers that are not OAuth's, before Authlib reads them."""
        answer = Answer(
            method="POST",
            url=self._settings.token_url,
            status=response.status_code,
            headers=response.headers,
            body=response.content,
        )
        error = classify(answer, now=self._clock.now())
        if (
            isinstance(error, Throttled)
            and error.retry_after is not None
            and error.retry_after <= LONGEST_WAIT
        ):
            self._clock.sleep(error.retry_after)  # the budget of an organisation does not cover this service
        # 400 and 401 carry an OAuth error (xero-api §1.3: either is seen); the others are not OAuth's.
        if error is not None and not (answer.status in {400, 401} and b'"error"' in answer.body):
            raise error
        return response

    def _token_from(self, reply: dict[str, Any], used: str | None) -> Token:
        now = self._clock.now()
        access_token, scope = reply["access_token"], reply.get("scope")
        if not isinstance(access_token, str) or not access_token:
            raise TypeError
        return Token(
            access_token=access_token,
            issued_at=now,
            expires_at=now + timedelta(seconds=int(reply.get("expires_in", 1800))),
            refresh_token=reply["refresh_token"] if used else None,
            previous_refresh_token=used,
            scope=scope if isinstance(scope, str) else "",
        )

    @property
    def _address(self) -> str:
        return f"POST {self._settings.token_url}"

    def _refusal(self, problem: str, advice: str) -> AccessRefused:
        return AccessRefused(problem, system=SYSTEM, address=self._address, advice=advice)


class _GrantRefused(Exception):
    """The token service answered invalid_grant."""


def connection_name(settings: XeroSettings) -> str:
    """Return the name under which a connection's token is stored.

    A login belongs to the app, so it outlives a new secret. A client_credentials token is found again only
    with the very same secret and scopes: a wrong secret must fail at once, not when the cached token ends.
    """
    parts = [settings.identity_url, settings.client_id]
    if settings.grant == "client_credentials":
        parts += [settings.client_secret or "", settings.scopes or ""]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"{settings.grant}:{digest[:24]}"
