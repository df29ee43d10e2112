"""One call to Xero: the budget's permission, a token, the socket, the verdict, and again if that is safe."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests

from msp_xero.edges.redaction import headers_without_secrets, without_secrets
from msp_xero.errors import DayLimitReached, RemoteError, SettingError, Throttled, Unavailable
from msp_xero.xero.attempts import broken, repeating
from msp_xero.xero.auth import XeroAuth
from msp_xero.xero.errors import Answer, TokenRefused, advised, classify

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from msp_xero.edges.clock import Clock
    from msp_xero.xero.auth import Auth
    from msp_xero.xero.budget import CallBudget
    from msp_xero.xero.settings import XeroSettings
    from msp_xero.xero.tokens import TokenStore

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call as it is to be made; ``label`` is how it is counted and logged."""

    method: str
    url: str
    label: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    budget: CallBudget | None = None

    @property
    def address(self) -> str:
        return f"{self.method} {self.url}"


class XeroCalls:
    """Makes calls for :class:`~msp_xero.xero.client.XeroClient`; safe for threads.

    Args:
        settings: the connection.
        session: HTTP session without retries and redirects.
        clock: measures and waits.
        budget: limits the calls to the organisation.
        auth: gives the access tokens; the stored ones are used when None.
        store: where tokens are kept; None for the file of the settings.
        patience: seconds after which a call that fails is not made again; None for as long as a run does.
    """

    def __init__(  # noqa: PLR0913 - what a call depends on
        self,
        settings: XeroSettings,
        *,
        session: requests.Session,
        clock: Clock,
        budget: CallBudget,
        auth: Auth | None = None,
        store: TokenStore | None = None,
        patience: float | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._session = session
        self._clock = clock
        self._budget = budget
        self._patience = patience
        self._auth = auth or XeroAuth(
            settings, session=session, clock=clock, count=self._count, store=store, patience=patience
        )
        self._lock = threading.Lock()
        self._tenant_lock = threading.Lock()
        self._tenant_id = settings.tenant_id

    @property
    def tenant_id(self) -> str | None:
        """The organisation that calls are made to; None while only the credentials say it."""
        return self._tenant_id

    def read(self, path: str, *, params: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Make a GET on the organisation, repeated while Xero is down or limits calls.

        Raises:
            RemoteError: any rung of the ladder, after at most five attempts.
        """
        return self._repeat("GET", path, params=params, headers=headers, body=None)

    def write(
        self, path: str, *, params: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Make a PUT on the organisation.

        It is repeated only when it was certainly not processed: no connection was made, a call limit refused
        it, or the token had expired. In every other failure the outcome is unknown to us.

        Raises:
            RemoteError: any rung of the ladder; ``Unavailable`` means that it may have been done.
        """
        headers = {"Content-Type": "application/json; charset=utf-8", **headers}
        return self._repeat("PUT", path, params=params, headers=headers, body=body)

    def probe(self, path: str, *, params: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Make a GET on the organisation once, and return its answer whatever it says.

        Raises:
            RemoteError: no answer came, no token was granted, or the budget has no call left.
        """
        call = _Call(
            method="GET",
            url=f"{self._settings.api_url}/{path}",
            label=f"GET /{path.partition('/')[0]}",
            params=params,
            headers={**headers, **self._ready()},
            budget=self._budget,
        )
        with self._budget.call(call.address):
            answer = self._send(call, self._auth.access_token())
        _tell(self._budget, answer, classify(answer, now=self._clock.now()))
        return answer

    def connections(self) -> list[dict[str, Any]]:
        """Return the organisations that the login reaches (``GET /connections``, xero-api §1.4)."""
        # Not a call to an organisation: no tenant header, and no part of its budget.
        call = _Call(method="GET", url=self._settings.connections_url, label="GET /connections")
        for attempt in repeating(self._clock, writes=False, patience=self._patience):
            with attempt:
                return [row for row in self._with_token(call).json_list() if isinstance(row, dict)]
        raise AssertionError

    def _repeat(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        call = _Call(
            method=method,
            url=f"{self._settings.api_url}/{path}",
            label=f"{method} /{path.partition('/')[0]}",
            params=params,
            headers={**headers, **self._ready()},
            body=body,
            budget=self._budget,
        )
        for attempt in repeating(self._clock, writes=body is not None, patience=self._patience):
            with attempt:
                answer = self._with_token(call)
                if body is None and answer.status != 304:
                    answer.json()  # a cut body of a read is asked for again
                return answer
        raise AssertionError

    def _with_token(self, call: _Call) -> Answer:
        """Call with the current token, and once more with a fresh one if that is refused as expired.

        The check of the token comes before all processing (xero-api §8, 401), so this is safe for writes.
        """
        token = self._auth.access_token()
        try:
            return self._once(call, token)
        except TokenRefused:
            log.debug("%s: the access token is not accepted any more; getting a new one", call.label)
        return self._once(call, self._auth.access_token(refused=token))

    def _once(self, call: _Call, token: str) -> Answer:
        with call.budget.call(call.address) if call.budget else contextlib.nullcontext():
            answer = self._send(call, token)
        error = classify(answer, now=self._clock.now())
        if call.budget is not None:
            _tell(call.budget, answer, error)
        if error is not None:
            # Not its text: Xero's words can quote a customer's name.
            log.info("%s: %s, %s", call.label, answer.status, type(error).__name__)
            settings = self._settings
            raise advised(error, grant=settings.grant, scopes_are_set=settings.scopes is not None)
        return answer

    def _send(self, call: _Call, token: str) -> Answer:
        self._count(call.label)
        started = self._clock.monotonic()
        timeout = self._settings.timeout_seconds
        try:
            response = self._session.request(
                call.method,
                call.url,
                params=call.params,
                # Without Accept the answer is XML (xero-api §4.1).
                headers={"Accept": "application/json", "Authorization": f"Bearer {token}", **call.headers},
                data=call.body,
                timeout=(min(_CONNECT_SECONDS, timeout), timeout),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # The cause is cut off: its text holds the query, which may name customers.
            raise broken(error, address=call.address, timeout=timeout) from None
        secrets = (token, self._settings.client_secret)
        answer = Answer(
            method=call.method,
            url=call.url,
            status=response.status_code,
            headers=headers_without_secrets(response.headers, secrets),
            body=without_secrets(response.content, secrets),
        )
        log.debug(
            "%s: %s in %.3f s, correlation %s",
            call.label,
            answer.status,
            self._clock.monotonic() - started,
            answer.headers.get("Xero-Correlation-Id", "none"),
        )
        return answer

    def _ready(self) -> dict[str, str]:
        """Make sure of a token and a tenant before the first attempt; return the tenant's header."""
        try:
            self._auth.access_token()
            return self._tenant_header()
        except Unavailable as error:
            error.sent = False  # the call itself was not made, so a write has a known outcome: not done
            raise

    def _tenant_header(self) -> dict[str, str]:
        """Return the header that names the organisation; a Custom Connection needs none (xero-api §1.2)."""
        if self._tenant_id is None and self._settings.grant == "authorization_code":
            with self._tenant_lock:
                if self._tenant_id is None:
                    # What a person chose at the login counts; the setting, which goes before it, is for ever.
                    self._tenant_id = self._auth.chosen_tenant() or self._only_tenant()
        return {} if self._tenant_id is None else {"xero-tenant-id": self._tenant_id}

    def _only_tenant(self) -> str:
        tenants = organisations_of(self.connections())
        if len(tenants) == 1:
            return next(iter(tenants))
        if not tenants:
            raise SettingError(
                "tenant_id", "the login reaches no organisation; connect one with msp-xero login"
            )
        names = ", ".join(
            f"{name} ({tenant})" for tenant, name in sorted(tenants.items(), key=lambda t: t[1])
        )
        raise SettingError(
            "tenant_id",
            f"the login reaches {len(tenants)} organisations, choose one: {names}",
            next(iter(tenants)),
        )

    def _count(self, label: str) -> None:
        with self._lock:
            self.counts[label] += 1


def organisations_of(connections: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return name by tenant id for the rows of ``GET /connections`` that are organisations."""
    return {
        str(row["tenantId"]): str(row.get("tenantName") or "?")
        for row in connections
        if row.get("tenantId") and row.get("tenantType", "ORGANISATION") == "ORGANISATION"
    }


def _tell(budget: CallBudget, answer: Answer, error: RemoteError | None) -> None:
    """Let the budget learn from an answer; a named pause is exacter than the headers beside it."""
    if isinstance(error, DayLimitReached):
        budget.stop_for_the_day(error)
    elif isinstance(error, Throttled):
        if error.retry_after is not None:
            budget.pause(error.retry_after)
    else:
        budget.learn(answer.headers)
