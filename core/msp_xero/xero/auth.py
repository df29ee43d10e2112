"""One good access token for one connection, kept in the store that all processes share."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from msp_xero.errors import AccessRefused, SettingError, Unavailable
from msp_xero.xero.grants import GrantRefused, TokenService
from msp_xero.xero.tokens import GRACE, Token, TokenStore

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from msp_xero.edges.clock import Clock
    from msp_xero.xero.settings import XeroSettings

log = logging.getLogger(__name__)

_LOGIN = "Connect again with msp-xero login"


class Auth(Protocol):
    """Gives calls their access token; :class:`XeroAuth` is the one that lasts."""

    def access_token(self, *, refused: str | None = None) -> str:
        """Return an access token other than the one that was refused."""

    def chosen_tenant(self) -> str | None:
        """Return the organisation that was chosen at the login, None when none was."""


class XeroAuth:
    """Keeps one good access token for one connection; safe for threads and processes.

    Args:
        settings: the connection.
        session: HTTP session without retries.
        clock: tells when a token is stale, and does the waiting between attempts.
        count: called with ``POST /connect/token`` for every call made.
        store: where tokens are kept; None for the file of the settings.
        patience: seconds that may be spent on waiting for a token; None for as long as a run does.
    """

    def __init__(  # noqa: PLR0913 - what a token depends on
        self,
        settings: XeroSettings,
        *,
        session: requests.Session,
        clock: Clock,
        count: Callable[[str], None] = lambda _: None,
        store: TokenStore | None = None,
        patience: float | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._service = TokenService(settings, session=session, clock=clock, count=count, patience=patience)
        self._store = store or TokenStore(settings.token_store)
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
        return self._good_token(refused).access_token

    def chosen_tenant(self) -> str | None:
        """Return the organisation that was chosen at the login; raises as :meth:`access_token` does."""
        return self._good_token(None).tenant_id

    def _good_token(self, refused: str | None) -> Token:
        with self._lock:
            token = self._token
            if token is None or not self._is_good(token, refused):
                token = self._token = self._shared_token(refused)
            return token

    def _is_good(self, token: Token, refused: str | None) -> bool:
        return token.access_token != refused and not token.is_stale(self._clock.now())

    def _shared_token(self, refused: str | None) -> Token:
        """Take a token that another process has put into the store, or renew it there."""
        try:
            if (login := self._login_without_lock(refused)) is not None:
                return login
            with self._store.locked():
                stored = self._load()
                if stored is not None and self._is_good(stored, refused):
                    return stored
                token = self._renewed(stored)
                # Written before it is used: the old refresh token is dead now (xero-api §1.3).
                self._store.save(self._name, token)
                return token
        except SettingError as error:
            if self._settings.grant != "client_credentials":
                raise
            # Sharing only saves a call; a new client_credentials token can always be had.
            log.warning("%s The token is not shared with other processes.", error)
            return self._by_credentials()

    def _login_without_lock(self, refused: str | None) -> Token | None:
        """Return a stored login that is good: the file is replaced in one step, and can be read any time.

        Where there is no login nothing is made: neither folder nor lock.
        """
        if self._settings.grant == "client_credentials":
            return None
        stored = self._store.load(self._name)
        if stored is None:
            raise self._no_login()
        return stored if self._is_good(stored, refused) else None

    def _load(self) -> Token | None:
        try:
            return self._store.load(self._name)
        except SettingError:
            if self._settings.grant != "client_credentials":
                raise
            return None

    def _renewed(self, stored: Token | None) -> Token:
        if self._settings.grant == "client_credentials":
            return self._by_credentials()
        return self._by_login(stored)

    def _by_credentials(self) -> Token:
        try:
            return self._service.by_credentials()
        except GrantRefused as error:
            raise self._service.refusal(
                "the custom connection is not authorised", "Connect it again in Xero's developer portal"
            ) from error

    def _by_login(self, stored: Token | None) -> Token:
        if stored is None:
            raise self._no_login()
        if stored.refresh_token is None:
            raise self._service.refusal("the stored login had no offline_access and has ended", _LOGIN)
        if stored.was_just_refused(self._clock.now()):
            raise self._ended(stored)
        self._store.prove_writable()
        try:
            for candidate in stored.refresh_tokens(self._clock.now()):
                try:
                    return self._service.by_refresh(stored, candidate)
                except GrantRefused:
                    continue
        except Unavailable as error:
            raise _kept_in_mind(error) from None
        # Kept for other processes, which need not ask too, and for status, which says it without asking.
        with contextlib.suppress(SettingError):
            self._store.save(self._name, replace(stored, refused_at=self._clock.now()))
        raise self._ended(stored)

    def _no_login(self) -> AccessRefused:
        if self._store.has_logins():
            return self._service.refusal(
                f"{self._store.path} has the login of another app, none of this client_id",
                "Correct client_id, or connect with msp-xero login",
            )
        return self._service.refusal(
            f"there is no stored login in {self._store.path}", "Connect with msp-xero login"
        )

    def _ended(self, stored: Token) -> AccessRefused:
        ends_at = stored.ends_at
        if ends_at is not None and ends_at <= self._clock.now():
            return self._service.refusal(
                f"the stored login ended on {ends_at:%Y-%m-%d}, because it was not used for 60 days", _LOGIN
            )
        return self._service.refusal("the stored login was revoked in Xero, or was used elsewhere", _LOGIN)


def _kept_in_mind(error: Unavailable) -> Unavailable:
    """Say what a refresh without an answer may cost: Xero may have replaced the refresh token by now."""
    if not error.sent or error.status is not None:
        return error
    minutes = GRACE.total_seconds() / 60
    return Unavailable(
        error.problem,
        system=error.system,
        address=error.address,
        advice=f"Run again within {minutes:.0f} minutes, msp-xero doctor is enough: the login may have been "
        "renewed without our knowing it, and then the old one ends",
    )


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
