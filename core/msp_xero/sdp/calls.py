"""One call after the other: pace, credentials, sending, repeating what may be repeated."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
import requests
import tenacity
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import NewConnectionError

from msp_xero.edges.deadline import is_unfinished
from msp_xero.edges.redaction import headers_without_secrets, without_secrets
from msp_xero.errors import AccessRefused, NoAddress, RemoteError, Throttled, Unavailable
from msp_xero.sdp.envelope import SYSTEM, Answer, is_by_sdp, read_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from msp_xero.edges.clock import Clock
    from msp_xero.sdp.auth import Auth
    from msp_xero.sdp.settings import SdpSettings

logger: Final = logging.getLogger("msp_xero.sdp")

ACCEPT: Final = "application/vnd.manageengine.sdp.v3+json"
ATTEMPTS: Final = 5
LONGEST_WAIT_SECONDS: Final = 900.0
THROTTLED_SECONDS: Final = 15.0
CONNECT_SECONDS: Final = 15.0
STEP_SECONDS: Final = 1.0


class Pace:
    """When the next call may start, for all workers together."""

    def __init__(
        self,
        clock: Clock,
        per_minute: int | None,
        sleep: Callable[[float], None],
        patience: float | None = None,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._held_until = 0.0
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = Lock()

    def wait(self, address: str) -> None:
        """Wait for this call's turn.

        Args:
            address: the call, for the error.

        Raises:
            Throttled: calls are held for longer than there is patience.
        """
        with self._lock:
            now = self._clock.monotonic()
            held = self._held_until - now
            if self._patience is not None and held > self._patience:
                raise Throttled("no call is made for now", system=SYSTEM, address=address, retry_after=held)
            turn = max(now, self._next)
            self._next = turn + self._interval if self._interval else self._next
        if turn > now:
            self._sleep(turn - now)

    def hold(self, seconds: float) -> None:
        """Start no call for some seconds: what throttled one worker would throttle the others too."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock.monotonic() + seconds)
            self._next = max(self._next, self._held_until)


@dataclass(frozen=True, slots=True)
class Probed:
    """What one probing call brought: an answer or none, its payload, and the error that it means if any."""

    answer: Answer | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    error: RemoteError | None = None

    @property
    def status(self) -> int | None:
        """The HTTP status, None without an answer."""
        return self.answer.status if self.answer else None


class Caller:
    """Sends calls and returns payloads. Thread-safe.

    Reads are repeated while there is no usable answer; writes only when it is certain that nothing
    was processed (throttled, connection refused).
    """

    def __init__(
        self,
        settings: SdpSettings,
        session: requests.Session,
        clock: Clock,
        auth: Auth,
        *,
        patience: float | None = None,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self._settings = settings
        self._session = session
        self._clock = clock
        self._auth = auth
        self._patience = patience
        self._pace = Pace(clock, settings.requests_per_minute, self._sleep, patience)
        self._lock = Lock()
        self._closed = False
        timeout = settings.timeout_seconds
        # Proxies and certificate settings of the environment are looked up once, not per call. The
        # session's verify is handed in because REQUESTS_CA_BUNDLE would win over it otherwise.
        self._send_options: dict[str, Any] = {
            **session.merge_environment_settings(settings.api_url, {}, None, session.verify, None),
            "timeout": (min(timeout, CONNECT_SECONDS), timeout),
            "allow_redirects": False,
        }
        self._headers = CaseInsensitiveDict[str](session.headers)  # type: ignore[arg-type]
        self._headers["Accept"] = ACCEPT
        if settings.portal_id:
            self._headers["PORTALID"] = settings.portal_id
        self._no_addresses: set[str] = set()
        self._reading = self._repeater(_read_may_repeat)
        self._reading_nowhere = self._repeater(_read_of_no_address_may_repeat)
        self._writing = self._repeater(_write_may_repeat)

    def read(self, path: str, input_data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """GET a path below ``/api/v3/`` with its input_data on the query.

        Raises:
            NoAddress: this installation has no such address.
            RemoteError: as :func:`~msp_xero.sdp.envelope.classify` says, or no answer at all.
        """
        query = f"?input_data={quote(msgspec.json.encode(input_data), safe='')}" if input_data else ""
        name = endpoint("GET", path)
        repeating = self._reading_nowhere if name in self._no_addresses else self._reading
        try:
            return repeating(self._send, "GET", path, query, None)
        except NoAddress as error:
            self._check_that_sdp_answers(error)
            self._no_addresses.add(name)
            # SDP answers at this base_url: who knows what is missing has better advice.
            raise NoAddress(
                error.problem, system=SYSTEM, address=error.address, status=error.status
            ) from error

    def _check_that_sdp_answers(self, error: NoAddress) -> None:
        """Keep the web server's word for every address, while SDP starts, from being taken for SDP's own."""
        if not is_by_sdp(self.probe("requests", {"list_info": {"row_count": 1}}).answer):
            raise error.as_no_answer() from error

    def write(self, method: str, path: str, input_data: Mapping[str, Any]) -> dict[str, Any]:
        """POST or PUT input_data as a form field.

        Raises:
            Unavailable: the outcome is unknown, unless its ``sent`` is False.
            RemoteError: it was not done.
        """
        body = f"input_data={quote(_encode(input_data), safe='')}".encode()
        return self._writing(self._send, method, path, "", body)

    def probe(
        self,
        path: str,
        input_data: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str | None] | None = None,
    ) -> Probed:
        """GET a path once and return whatever came, an error included: to find out what a server does.

        Args:
            path: below ``/api/v3/``.
            input_data: for the query.
            headers: headers that differ for this call; None leaves one out.
        """
        query = f"?input_data={quote(msgspec.json.encode(input_data), safe='')}" if input_data else ""
        address = f"GET {self._settings.api_url}{path}"
        try:
            answer = self._answer("GET", path, query, None, self._auth.headers(), headers or {})
        except RemoteError as error:
            return Probed(error=error)
        try:
            payload = read_answer(answer, address=address, now=self._clock.now())
        except RemoteError as error:
            if isinstance(error, Throttled):
                self._pace.hold(error.retry_after or THROTTLED_SECONDS)
            return Probed(answer, error=error)
        return Probed(answer, payload)

    def close(self) -> None:
        """Wait no longer and repeat nothing: the run ends."""
        self._closed = True
        self._session.close()

    def _sleep(self, seconds: float) -> None:
        """Wait in small steps, so that a run that is stopped does not sit out a long throttle."""
        until = self._clock.monotonic() + seconds
        while not self._closed and (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, STEP_SECONDS))

    def _send(self, method: str, path: str, query: str, body: bytes | None) -> dict[str, Any]:
        who = self._auth.headers()
        try:
            return self._once(method, path, query, body, who)
        except AccessRefused as error:
            # The cloud's access token may have ended early; nothing was processed, so that a write
            # can go again too. Once: a second refusal is meant.
            if error.status != 401 or not self._auth.renew(who):
                raise
        return self._once(method, path, query, body, self._auth.headers())

    def _once(
        self, method: str, path: str, query: str, body: bytes | None, who: dict[str, str]
    ) -> dict[str, Any]:
        answer = self._answer(method, path, query, body, who)
        return read_answer(answer, address=f"{method} {self._settings.api_url}{path}", now=self._clock.now())

    def _answer(  # noqa: PLR0913, PLR0917 - the parts of a request
        self,
        method: str,
        path: str,
        query: str,
        body: bytes | None,
        who: dict[str, str],
        differing: Mapping[str, str | None] | None = None,
    ) -> Answer:
        url = self._settings.api_url + path
        request = requests.PreparedRequest()
        request.method = method
        request.url = url + query
        request.headers = self._headers.copy()
        request.headers.update(who)
        for name, value in (differing or {}).items():
            request.headers.pop(name, None)
            if value is not None:
                request.headers[name] = value
        request.hooks = {"response": []}
        request.body = body
        if body is not None:
            request.headers["Content-Type"] = "application/x-www-form-urlencoded"
            request.headers["Content-Length"] = str(len(body))
        self._pace.wait(f"{method} {url}")
        with self._lock:
            self.calls[endpoint(method, path)] += 1
        try:
            response = self._session.send(request, **self._send_options)
        except requests.RequestException as error:
            raise _no_answer(error, f"{method} {url}") from None
        # What says who we are stands behind a word: "Zoho-oauthtoken 1000.…"; a key stands alone.
        secrets = [value.rpartition(" ")[2] for value in who.values()]
        secrets += [self._settings.oauth_client_secret or "", self._settings.oauth_refresh_token or ""]
        content = without_secrets(response.content, secrets)
        headers = headers_without_secrets(response.headers, secrets)
        return Answer(status=response.status_code, body=content, headers=headers)

    def _repeater(self, may_repeat: Callable[[BaseException], bool]) -> tenacity.Retrying:
        return tenacity.Retrying(
            sleep=self._sleep,
            stop=tenacity.stop_after_attempt(ATTEMPTS)
            | (tenacity.stop_never if self._patience is None else tenacity.stop_before_delay(self._patience)),
            wait=self._pause,
            retry=tenacity.retry_if_exception(lambda error: not self._closed and may_repeat(error)),
            before_sleep=_tell,
            reraise=True,
        )

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Return the seconds before the next attempt; a wait that the server asked for holds all workers."""
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, Throttled):
            return _backing_off(state)
        if error.retry_after is None:
            seconds = THROTTLED_SECONDS * 2.0 ** (state.attempt_number - 1)
        else:
            seconds = error.retry_after
        self._pace.hold(seconds)
        return seconds


_backing_off: Final = tenacity.wait_exponential_jitter(initial=1, max=30)


def endpoint(method: str, path: str) -> str:
    """Return method and path with ids replaced: ``GET requests/{id}/worklogs``."""
    return f"{method} {'/'.join('{id}' if part.isdigit() else part for part in path.split('/'))}"


def _encode(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(value)


def _read_may_repeat(error: BaseException) -> bool:
    return isinstance(error, NoAddress) or _read_of_no_address_may_repeat(error)


def _read_of_no_address_may_repeat(error: BaseException) -> bool:
    return isinstance(error, Unavailable) or _throttled_briefly(error)


def _write_may_repeat(error: BaseException) -> bool:
    return (isinstance(error, Unavailable) and not error.sent) or _throttled_briefly(error)


def _throttled_briefly(error: BaseException) -> bool:
    return isinstance(error, Throttled) and (error.retry_after or 0) <= LONGEST_WAIT_SECONDS


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0.0
    logger.warning(
        "%s; asking again in %.0f s (%d of %d)",
        str(error).rstrip("."),
        pause,
        state.attempt_number + 1,
        ATTEMPTS,
    )


def _no_answer(  # noqa: PLR0911 - one return a failure
    error: requests.RequestException, address: str
) -> AccessRefused | Unavailable:
    """Name a failure of the connection; the library's text stays out, it holds the whole query."""
    if isinstance(error, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return AccessRefused(
                "its certificate is not trusted",
                system=SYSTEM,
                address=address,
                advice="Set ca_bundle to the PEM file of the authority that signed it",
            )
        return Unavailable("no TLS connection", system=SYSTEM, address=address, sent=False)
    if isinstance(error, (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError)) or isinstance(
        getattr(error.args[0] if error.args else None, "reason", None), NewConnectionError
    ):
        return Unavailable(
            "no connection",
            system=SYSTEM,
            address=address,
            advice="Check base_url and that it is running",
            sent=False,
        )
    if isinstance(error, requests.Timeout):
        return Unavailable(
            "no answer in time", system=SYSTEM, address=address, advice="timeout_seconds sets the limit"
        )
    if is_unfinished(error):
        return Unavailable("the answer did not come to its end in time", system=SYSTEM, address=address)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return Unavailable("the answer was cut off", system=SYSTEM, address=address)
    return Unavailable("the connection broke", system=SYSTEM, address=address)
