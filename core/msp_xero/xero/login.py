"""A person's login: from Xero's consent page to a refresh token in the store (xero-api §1.3)."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from authlib.common.security import generate_token  # type: ignore[import-untyped]

from msp_xero.edges.clock import SystemClock
from msp_xero.edges.transport import http_session
from msp_xero.errors import MspXeroError, Unavailable
from msp_xero.xero import scopes
from msp_xero.xero.auth import connection_name
from msp_xero.xero.calls import organisations_of
from msp_xero.xero.client import XeroClient
from msp_xero.xero.grants import GrantRefused, TokenService
from msp_xero.xero.tokens import Token, TokenStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import requests

    from msp_xero.edges.clock import Clock
    from msp_xero.xero.settings import XeroSettings

PORT = 8765
CALLBACK_PATH = "/callback"

_VERIFIER_LENGTH = 64  # xero-api §1.3: 43 to 128
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
_CODE = re.compile(r"[\x21-\x7e]+")  # RFC 6749 §A.11, without the space
# What the consent page sends back instead of a code.
_REFUSALS = {
    "access_denied": "the consent page was cancelled, and Xero was not connected",
    "unauthorized_client": "this app cannot log in; a Custom Connection needs no login, set grant to "
    "client_credentials",
}


class LoginFailed(MspXeroError):
    """The login did not come to its end; nothing was stored."""


class ForeignAnswer(LoginFailed):
    """An answer whose state is not ours: it belongs to another login, or to nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What a browser is sent to the consent page with, and what its answer is held against.

    Attributes:
        address: of the consent page.
        redirect_uri: the address that the answer comes to.
        scope: the scopes that are asked for, separated by spaces.
        state: has to come back unchanged.
        verifier: the secret behind the challenge in the address; None for an app with a client secret.
    """

    address: str = field(repr=False)
    redirect_uri: str
    scope: str
    state: str = field(repr=False)
    verifier: str | None = field(default=None, repr=False)

    def code_in(self, address: str) -> str:
        """Return the code in the address that a browser was sent to.

        Any web page can send a browser here, so nothing counts without our state, no refusal either.

        Raises:
            ForeignAnswer: our state is not in it.
            LoginFailed: Xero refused, or there is no code in it.
        """
        values = _values_in(address)
        state = values.get("state", "").encode("utf-8", "replace")  # a terminal may hand on broken letters
        if not hmac.compare_digest(state, self.state.encode()):
            raise ForeignAnswer("that answer belongs to another login; use the newest consent page")
        if "error" in values:
            raise LoginFailed(self._refused(values["error"]))
        return self._checked(values.get("code", ""))

    def code_pasted(self, answer: str) -> str:
        """Return the code in what a person pasted: the address that the browser ended at, or the bare code.

        A bare code has no state. It is taken where the verifier says the same: that the code is an answer
        to this consent.

        Raises:
            ForeignAnswer: the answer belongs to another login.
            LoginFailed: Xero refused, there is no code in it, or the code alone proves too little.
        """
        answer = "".join(answer.split())
        if "=" in answer:
            return self.code_in(answer)
        code = self._checked("" if "/" in answer else answer)
        if self.verifier is None:
            raise LoginFailed(
                "a code alone does not show that it belongs to this login; copy the whole address that "
                f"begins with {self.redirect_uri}"
            )
        return code

    def _checked(self, code: str) -> str:
        if _CODE.fullmatch(code) is None:
            raise LoginFailed(
                f"that holds no code; copy the whole address that begins with {self.redirect_uri}"
            )
        return code

    def _refused(self, error: str) -> str:
        if error == "invalid_scope":
            return (
                f"Xero does not allow this app one of the scopes {self.scope}; set scopes to those that the "
                "app has, and run msp-xero login again"
            )
        code = error if _ERROR_CODE.fullmatch(error) else "an unknown error"
        return _REFUSALS.get(error, f"Xero's consent page answered {code}; run msp-xero login again")


def _values_in(address: str) -> dict[str, str]:
    """Return the parameters of an address, or of the query alone; none where it cannot be read."""
    try:
        found = parse_qs(urlsplit(address).query or address)
    except ValueError:  # half an IPv6 address, letters that no host has
        return {}
    return {name: values[0] for name, values in found.items()}


class Login:
    """One login of one app: consent, code, token, organisation.

    Args:
        settings: the connection; its grant is taken to be authorization_code.
        session: HTTP session without retries; one is made when None.
        clock: dates the tokens, and does the waiting between attempts.
    """

    def __init__(
        self, settings: XeroSettings, *, session: requests.Session | None = None, clock: Clock | None = None
    ) -> None:
        # Which organisations there are is asked without naming one.
        self._settings = replace(settings, grant="authorization_code", tenant_id=None)
        self._session = session or http_session()
        self._clock = clock or SystemClock()
        self._service = TokenService(self._settings, session=self._session, clock=self._clock)
        self._store = TokenStore(settings.token_store)
        self._name = connection_name(self._settings)

    def prepare_store(self) -> Path | None:
        """Make sure that a token can be stored before a person is asked for anything.

        Returns:
            Where a damaged store was put aside; None when there was nothing to mend.

        Raises:
            SettingError: the store cannot be written.
        """
        with self._store.locked():
            self._store.prove_writable()
            return self._store.set_aside()

    def consent(self, port: int) -> Consent:
        """Return what to open in a browser.

        An app without a client secret proves with PKCE that it is the one that asked.

        Args:
            port: of the address on this machine that the answer comes to.
        """
        # By name: Xero refuses http://127.0.0.1 (xero-api §1.1).
        redirect_uri = f"http://localhost:{port}{CALLBACK_PATH}"
        scope = scopes.to_ask_for(self._settings.scopes)
        verifier = None if self._settings.client_secret else generate_token(_VERIFIER_LENGTH)
        address, state = self._service.consent_address(
            redirect_uri=redirect_uri, scope=scope, verifier=verifier
        )
        return Consent(
            address=address, redirect_uri=redirect_uri, scope=scope, state=state, verifier=verifier
        )

    def redeem(self, consent: Consent, code: str) -> Token:
        """Exchange the code for a token, which is stored by :meth:`choose` only.

        Raises:
            LoginFailed: the code is not good, or no lasting login came of it.
            AccessRefused: the app is not accepted.
            Unavailable: the token service cannot be reached, or its answer was lost.
        """
        try:
            token = self._service.by_code(code, redirect_uri=consent.redirect_uri, verifier=consent.verifier)
        except GrantRefused:
            raise LoginFailed(
                "Xero did not accept the code; it is good for five minutes and only once. Run msp-xero login "
                "again"
            ) from None
        except Unavailable as error:
            raise Unavailable(
                error.problem,
                system=error.system,
                address=error.address,
                status=error.status,
                advice="Run msp-xero login again: a code is good only once",
            ) from None
        if token.refresh_token is None:
            raise LoginFailed(
                "Xero gave no refresh token, so that the login would end in half an hour; allow "
                f"{scopes.OFFLINE} for the app"
            )
        return replace(token, scope=token.scope or consent.scope)

    def organisations(self, token: Token) -> dict[str, str]:
        """Return the organisations that a token reaches, name by tenant id.

        Raises:
            LoginFailed: there are none, or the token is not accepted.
            RemoteError: Xero cannot be asked.
        """
        client = XeroClient(
            self._settings, session=self._session, clock=self._clock, auth=_NotStored(token.access_token)
        )
        reached = organisations_of(client.connections())
        if not reached:
            raise LoginFailed(
                "the login reaches no organisation; choose one on the consent page. Run msp-xero login again"
            )
        return reached

    def choose(self, token: Token, tenant_id: str, name: str) -> Token:
        """Store the login with the organisation that is worked on, and return it so.

        Only here does it take the place of the one before: a login that fails on the way costs nothing that
        is stored.

        Raises:
            SettingError: the store cannot be written; it is as it was.
        """
        chosen = replace(token, tenant_id=tenant_id, tenant_name=name)
        with self._store.locked():
            self._store.save(self._name, chosen)
        return chosen


@dataclass(frozen=True, slots=True)
class _NotStored:
    """The access token of a login that is in no store yet: never another one's, and not renewed."""

    token: str = field(repr=False)

    def access_token(self, *, refused: str | None = None) -> str:
        if refused == self.token:
            raise LoginFailed(
                "Xero does not accept the token that it has just given; run msp-xero login again"
            )
        return self.token

    def chosen_tenant(self) -> str | None:
        return None


def pick(organisations: Mapping[str, str], wanted: str) -> str:
    """Return the tenant id that a person means by an id or a name, case and spaces around it aside.

    Raises:
        LoginFailed: none or several are meant; the organisations are listed.
    """
    wanted = wanted.strip()
    meant = [
        tenant
        for tenant, name in organisations.items()
        if wanted.casefold() in {tenant.casefold(), name.strip().casefold()}
    ]
    if len(meant) == 1:
        return meant[0]
    problem = "several organisations are" if meant else "the login reaches no organisation that is"
    raise LoginFailed(f"{problem} called {wanted!r}; it reaches {listed(organisations)}")


def listed(organisations: Mapping[str, str]) -> str:
    """Write organisations as ``name (tenant id)``, by name."""
    rows = sorted(organisations.items(), key=lambda row: row[1].casefold())
    return ", ".join(f"{name} ({tenant})" for tenant, name in rows)
