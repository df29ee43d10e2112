"""The token service of Xero: what it is asked, and what its refusals mean. Authlib speaks OAuth 2.0."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import requests
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.requests_client.oauth2_session import OAuth2ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.client import OAuth2Client  # type: ignore[import-untyped]

from msp_xero.errors import AccessRefused, Throttled, Unavailable
from msp_xero.xero import scopes
from msp_xero.xero.attempts import ATTEMPTS, broken, repeating
from msp_xero.xero.budget import LONGEST_WAIT
from msp_xero.xero.errors import SYSTEM, Answer, classify
from msp_xero.xero.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from msp_xero.edges.clock import Clock
    from msp_xero.xero.settings import XeroSettings

_TOKEN_TIMEOUT = 30.0  # seconds; a token is issued at once or not at all

# A refresh whose answer stays lost costs the login when the grace is over, so it is asked for longer.
_PATIENT_ATTEMPTS = 10

# OAuth error codes (xero-api §1.3): what happened, what to do.
_REFUSALS = {
    "invalid_client": (
        "client_id or client_secret is not accepted",
        "Compare both with the app in Xero's developer portal",
    ),
    "unauthorized_client": (
        "this app may not use this grant",
        "Set grant to client_credentials for a Custom Connection, to authorization_code for other apps",
    ),
}


class GrantRefused(Exception):
    """The token service answered invalid_grant: the code, the login or the connection counts no more."""


class _Grants(OAuth2Client):  # type: ignore[misc]  # authlib has no types
    """Authlib's grants over the session that we are given, which has our certificates and timeouts."""

    client_auth_class = OAuth2ClientAuth
    oauth_error_class = OAuthError
    SESSION_REQUEST_PARAMS: ClassVar[tuple[str, ...]] = ("timeout", "allow_redirects")


class TokenService:
    """Asks for tokens; every method raises the ladder of :mod:`msp_xero.errors`, or GrantRefused.

    Args:
        settings: the connection.
        session: HTTP session without retries.
        clock: dates the tokens, and does the waiting between attempts.
        count: called with ``POST /connect/token`` for every call made.
        patience: seconds that may be spent on waiting for a token; None for as long as a run does.
    """

    def __init__(
        self,
        settings: XeroSettings,
        *,
        session: requests.Session,
        clock: Clock,
        count: Callable[[str], None] = lambda _: None,
        patience: float | None = None,
    ) -> None:
        self._settings = settings
        self._patience = patience
        self._session = session
        self._clock = clock
        self._count = count

    def by_credentials(self) -> Token:
        """Return a token of a Custom Connection."""
        return self._ask(lambda grants: grants.fetch_token, grant_type="client_credentials")

    def by_refresh(self, old: Token, refresh_token: str) -> Token:
        """Return the token that follows ``old``.

        Args:
            old: the login so far; its organisation and its previous refresh token are kept.
            refresh_token: the one to use; sent again after a lost answer on purpose, because it stays good
                for 30 minutes.
        """
        return self._ask(
            lambda grants: grants.refresh_token,
            attempts=_PATIENT_ATTEMPTS,
            old=old,
            refresh_token=refresh_token,
        )

    def by_code(self, code: str, *, redirect_uri: str, verifier: str | None) -> Token:
        """Return the first token of a login.

        A code is good once: after a lost answer there is nothing to send again.

        Args:
            code: what came back from Xero's consent page.
            redirect_uri: the address that it came back to.
            verifier: the secret behind the challenge that the consent page was shown; None without one.
        """
        return self._ask(
            lambda grants: grants.fetch_token,
            writes=True,
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=verifier or "",  # an empty one is not sent
        )

    def consent_address(self, *, redirect_uri: str, scope: str, verifier: str | None) -> tuple[str, str]:
        """Return the address of the consent page, and the state that has to come back from it."""
        grants = _Grants(
            self._session,
            client_id=self._settings.client_id,
            redirect_uri=redirect_uri,
            scope=scope,
            code_challenge_method="S256",
        )
        address, state = grants.create_authorization_url(self._settings.login_url, code_verifier=verifier)
        return str(address), str(state)

    def refusal(self, problem: str, advice: str) -> AccessRefused:
        """Return the error for access that is refused at the token service."""
        return AccessRefused(problem, system=SYSTEM, address=self._address, advice=advice)

    def _ask(
        self,
        verb: Callable[[_Grants], Callable[..., dict[str, Any]]],
        *,
        attempts: int = ATTEMPTS,
        writes: bool = False,
        old: Token | None = None,
        **parameters: str,
    ) -> Token:
        """Get a token from the token service, trying again when that is down."""
        for attempt in repeating(self._clock, writes=writes, attempts=attempts, patience=self._patience):
            with attempt:
                return self._ask_once(verb, old, parameters)
        raise AssertionError

    def _ask_once(
        self,
        verb: Callable[[_Grants], Callable[..., dict[str, Any]]],
        old: Token | None,
        parameters: dict[str, str],
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
            return self._token_from(reply, old, parameters.get("refresh_token"))
        except OAuthError as error:
            if error.error == "invalid_grant":
                raise GrantRefused from None
            raise self._refused(str(error.error)) from None
        except requests.RequestException as error:
            raise broken(error, address=self._address, timeout=timeout) from None
        except (ValueError, TypeError, KeyError):
            raise Unavailable(
                "answered with something that is no token", system=SYSTEM, address=self._address
            ) from None

    def _refused(self, code: str) -> AccessRefused:
        if code == "invalid_scope":
            return self.refusal(*self._scope_refusal())
        fallback = ("the token service refused access", "Check the connection's settings")
        return self.refusal(*_REFUSALS.get(code, fallback))

    def _scope_refusal(self) -> tuple[str, str]:
        """One scope too many fails the whole request, and Xero does not say which (xero-api §1.2)."""
        asked = self._settings.scopes
        if asked is None:
            problem = "the token service wants the scopes to be named"
            return problem, f"Set scopes to those that were granted, for example {scopes.WANTED}"
        problem = f"not every scope in the setting scopes was granted to this connection ({asked})"
        advice = (
            "Compare them with the app in Xero's developer portal, and remove or grant what differs; or "
            "leave scopes out to use all that were granted"
        )
        return problem, advice

    def _checked(self, response: requests.Response) -> requests.Response:
        """Sort out answers that are not OAuth's, before Authlib reads them.

        Only the status and the headers of those are judged: a body may quote the request, which holds the
        client secret and the refresh token, so none of its words goes any further.
        """
        answer = Answer(
            method="POST",
            url=self._settings.token_url,
            status=response.status_code,
            headers=response.headers,
        )
        # 400 and 401 carry an OAuth error (xero-api §1.3: either is seen).
        if answer.status in {400, 401}:
            if _is_oauth_error(response.content):
                return response
            raise answer.unavailable(f"answered {answer.status} with a body that is not its own")
        error = classify(answer, now=self._clock.now())
        if (
            isinstance(error, Throttled)
            and error.retry_after is not None
            and error.retry_after <= (LONGEST_WAIT if self._patience is None else self._patience)
        ):
            self._clock.sleep(error.retry_after)  # the budget of an organisation does not cover this service
        if error is not None:
            raise error
        return response

    def _token_from(self, reply: dict[str, Any], old: Token | None, used: str | None) -> Token:
        now = self._clock.now()
        access_token, scope = reply["access_token"], reply.get("scope")
        refresh_token = reply["refresh_token"] if used else reply.get("refresh_token")
        if not isinstance(access_token, str) or not access_token:
            raise TypeError
        if refresh_token is not None and (not isinstance(refresh_token, str) or not refresh_token):
            raise TypeError
        return Token(
            access_token=access_token,
            issued_at=now,
            expires_at=now + timedelta(seconds=int(reply.get("expires_in", 1800))),
            refresh_token=refresh_token,
            refresh_issued_at=_begin(refresh_token, old, now),
            previous_refresh_token=used if used != refresh_token else None,
            scope=scope if isinstance(scope, str) else (old.scope if old else ""),
            logged_in_at=old.logged_in_at if old else now,
            tenant_id=old.tenant_id if old else None,
            tenant_name=old.tenant_name if old else "",
        )

    @property
    def _address(self) -> str:
        return f"POST {self._settings.token_url}"


def _is_oauth_error(body: bytes) -> bool:
    """Tell an error of OAuth 2.0 from a body that somebody else wrote (RFC 6749 §5.2)."""
    try:
        return isinstance(json.loads(body)["error"], str)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _begin(refresh_token: str | None, old: Token | None, now: datetime) -> datetime | None:
    """Return when the 60 days of a refresh token began: a service that does not rotate does not renew."""
    if refresh_token is None:
        return None
    if old is not None and refresh_token == old.refresh_token:
        return old.refresh_issued_at or old.issued_at
    return now
