"""From one HTTP answer of Xero to the name of a decision: the error catalogue of xero-api §8."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from msp_xero.errors import (
    AccessRefused,
    DayLimitReached,
    Missing,
    Rejected,
    RemoteError,
    Throttled,
    Unavailable,
)
from msp_xero.xero import wire
from msp_xero.xero.scopes import needed_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SYSTEM = "Xero"

# Without a problem name, a wait that long can only be the day's limit (73,451 s were seen, xero-api §2).
_LONGEST_MINUTE_WAIT = 300.0

_SCOPE_PROBLEM = re.compile(r"insuffici?ent_scope", re.IGNORECASE)
# The header is anybody's text on the way here; only a name of a limit is shown.
_LIMIT_NAME = re.compile(r"[a-z]{1,20}")
_KEY_PROBLEM = "is used with a different request"

# Not allowed, not acceptable, length, precondition, media type, header: nothing was done, whatever it says.
_REFUSED_FOR_ITS_FORM = frozenset({405, 406, 411, 412, 415, 431})
_REFUSED_FOR_ITS_SIZE = frozenset({413, 414})


class TokenRefused(AccessRefused):
    """The access token is expired or unknown; a fresh one may be accepted (xero-api §8, 401)."""


class ScopeMissing(AccessRefused):
    """The connection lacks a scope that this call needs; no new token cures it (xero-api §1.5)."""


class OrganisationRefused(AccessRefused):
    """The connection does not reach the organisation, or no longer (xero-api §8, 403)."""


class Blocked(AccessRefused):
    """A write was answered 403, and not by Xero, whose own 403 is JSON (xero-api §8).

    What stands between here and Xero, such as a proxy or a firewall, may refuse what this one document says.
    """


class FormRefused(Rejected):
    """Calls of this kind are refused (405, 412, 415, …), whatever they say; nothing was processed."""


class KeyConflict(Rejected):
    """The Idempotency-Key was used with another request: the outcome of that one is unknown (xero-api §3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer as plain values.

    Attributes:
        method: the HTTP method of the request.
        url: the address without its query.
        status: the HTTP status.
        headers: response headers; look-up must ignore case.
        body: the whole body, never shown to anyone.
    """

    method: str
    url: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def address(self) -> str:
        """Method and URL, as errors show them."""
        return f"{self.method} {self.url}"

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            Unavailable: the body is cut, is not JSON, or is not an object.
        """
        value = self.decoded()
        if isinstance(value, dict):
            return value
        raise self.unavailable(f"answered {self.status} with a body that is not complete JSON")

    def json_list(self) -> list[Any]:
        """Return the body as a JSON array; raises as :meth:`json` does."""
        value = self.decoded()
        if isinstance(value, list):
            return value
        raise self.unavailable(f"answered {self.status} with a body that is not complete JSON")

    def decoded(self) -> Any:
        """Return the body as JSON, None where it is none."""
        try:
            return wire.decode(self.body)
        except ValueError:
            return None

    def unavailable(self, problem: str, advice: str = "Try again later") -> Unavailable:
        """Return the error for an answer that cannot be used."""
        return Unavailable(problem, system=SYSTEM, address=self.address, status=self.status, advice=advice)


def classify(answer: Answer, *, now: datetime) -> RemoteError | None:
    """Return the error that ``answer`` means, or None for one that can be used (2xx and 304).

    Args:
        answer: what came back.
        now: aware UTC, to turn a wait in seconds into an instant.
    """
    status = answer.status
    if 200 <= status < 300 or status == 304:
        return None
    if status == 429:
        return _too_many(answer, now)
    if named := _BY_STATUS.get(status):
        return named(answer)
    if status < 400:
        return answer.unavailable(
            "answered with a redirect, which its API never does", "Check api_url and identity_url"
        )
    return answer.unavailable(_server_problem(answer)) if status >= 500 else _refused(answer)


def advised(error: RemoteError, *, grant: str, scopes_are_set: bool) -> RemoteError:
    """Return the error with what a person has to do, where that depends on the type of the app.

    Args:
        error: what :func:`classify` returned.
        grant: the setting of that name.
        scopes_are_set: whether the setting scopes has a value.
    """
    has_login = grant == "authorization_code"
    if isinstance(error, ScopeMissing):
        where = " and add it to the setting scopes" if scopes_are_set else ""
        advice = (
            f"Allow it for the app in Xero's developer portal if it has a list of scopes{where}, then run "
            "msp-xero login, which asks for it"
            if has_login
            else f"Tick it for the Custom Connection in Xero's developer portal{where}; the connection rests "
            "until its authorising user has agreed again"
        )
    elif isinstance(error, OrganisationRefused):
        again = "msp-xero login connects it again" if has_login else "the developer portal shows it"
        advice = (
            f"Check tenant_id, that the organisation is still connected ({again}), and the role of the user "
            "who connected it"
        )
    else:
        return error
    return type(error)(
        error.problem, system=error.system, address=error.address, status=error.status, advice=advice
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the wait in seconds that ``Retry-After`` asks for, None when it is absent or unreadable."""
    text = headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(int(text)))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def remaining(headers: Mapping[str, str], name: str) -> int | None:
    """Return the number in a ``X-…Limit-Remaining`` header, None when it is absent (xero-api §2)."""
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


def messages_in(value: Any) -> list[str]:
    """Collect Xero's own words from an error body or one of its elements, without repeats.

    They sit in ``ValidationErrors`` at any depth, under ``Message`` or ``Description`` (xero-api §4.6).
    """
    return list(dict.fromkeys(_walk(value)))


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for member in value:
            yield from _walk(member)
    elif isinstance(value, dict):
        for name, member in value.items():
            if name == "ValidationErrors" and isinstance(member, list):
                yield from (text for error in member if (text := _words(error)))
            elif isinstance(member, (dict, list)):
                yield from _walk(member)


def _words(error: Any) -> str:
    """Return the text of one validation error; docs show both names and plain strings."""
    if isinstance(error, dict):
        error = error.get("Message") or error.get("Description")
    return error.strip() if isinstance(error, str) else ""


def _bad_request(answer: Answer) -> RemoteError:
    """Sort out a 400: ErrorNumber 10 (rules), 14 (malformed), 16 (query), or a key conflict."""
    try:
        body = answer.json()
    except Unavailable:
        # A gateway's own 400 says nothing about the document, so a write has an unknown outcome.
        return answer.unavailable("answered 400 with a body that is not its own")
    messages = messages_in(body)
    top = [
        text for name in ("Message", "Detail", "Title") if isinstance(text := body.get(name), str) and text
    ]
    kind = KeyConflict if any(_KEY_PROBLEM in text for text in [*messages, *top]) else Rejected
    number = body.get("ErrorNumber")
    return kind(
        system=SYSTEM,
        address=answer.address,
        status=400,
        messages=messages or top[:1] or ["the request was refused without a reason"],
        codes=[number] if isinstance(number, int) else [],
    )


def _unauthorised(answer: Answer) -> AccessRefused:
    """Tell a missing scope, which no new token cures, from a token that is no longer good."""
    text = answer.body[:4000].decode("utf-8", "replace")
    if "AuthorizationUnsuccessful" in text or _SCOPE_PROBLEM.search(
        answer.headers.get("WWW-Authenticate", "") + text
    ):
        scope = needed_by(answer.method, answer.url)
        return ScopeMissing(
            f"the connection was not granted the scope {scope} that this call needs",
            system=SYSTEM,
            address=answer.address,
            status=401,
        )
    return TokenRefused(
        "the access token is not accepted",
        system=SYSTEM,
        address=answer.address,
        status=401,
        advice="Check client_id and client_secret, or run msp-xero login again",
    )


def _forbidden(answer: Answer) -> AccessRefused:
    """Tell Xero's own refusal from one of whatever stands before it, which may be about one document."""
    if answer.method == "PUT" and not isinstance(answer.decoded(), dict):
        return Blocked(
            "something between here and Xero refuses this call: its 403 is not Xero's own",
            system=SYSTEM,
            address=answer.address,
            status=answer.status,
            advice="Ask whoever runs the proxy or firewall",
        )
    return OrganisationRefused(
        "access to the organisation is refused", system=SYSTEM, address=answer.address, status=answer.status
    )


def _missing(answer: Answer) -> Missing:
    """The body is empty HTML and says nothing (xero-api §8, 404)."""
    return Missing("there is no such row", system=SYSTEM, address=answer.address, status=answer.status)


def _refused(answer: Answer) -> RemoteError:
    """Tell a request that was refused for its form or size from a gateway's answer, which proves nothing."""
    told = f"the request was refused with {answer.status}"
    where: dict[str, Any] = {"system": SYSTEM, "address": answer.address, "status": answer.status}
    if answer.status in _REFUSED_FOR_ITS_FORM:
        way = "whatever it says: look at what is between here and Xero, such as a proxy"
        return FormRefused(messages=[f"{told}, {way}"], **where)
    if answer.status in _REFUSED_FOR_ITS_SIZE:
        return Rejected(messages=[told], **where)
    return answer.unavailable(f"answered {answer.status}")


def _too_many(answer: Answer, now: datetime) -> RemoteError:
    """Tell the day's limit, which ends the run, from the limits that a pause cures (xero-api §2).

    The problem's spelling changed over the years (``Minute``, ``Daily``), so only its start counts.
    """
    problem = answer.headers.get("X-Rate-Limit-Problem", "").strip().lower()
    wait = retry_after(answer.headers, now)
    unnamed_day = not problem and (
        remaining(answer.headers, "X-DayLimit-Remaining") == 0 or (wait or 0.0) > _LONGEST_MINUTE_WAIT
    )
    if problem.startswith(("day", "daily")) or unnamed_day:
        resume_at = None if wait is None else now + timedelta(seconds=wait)
        return DayLimitReached(system=SYSTEM, address=answer.address, resume_at=resume_at)
    if wait is None and not problem.startswith("concurrent"):
        wait = 60.0  # the windows of the remaining limits are one minute long
    return Throttled(
        f"too many calls ({problem if _LIMIT_NAME.fullmatch(problem) else 'limit not named'})",
        system=SYSTEM,
        address=answer.address,
        retry_after=wait,
        limit=problem,
    )


def _server_problem(answer: Answer) -> str:
    if b"Organisation is offline" in answer.body[:2000]:
        return "the organisation is offline for the moment"
    if b"offline for maintenance" in answer.body[:2000]:
        return "is offline for maintenance"
    return f"answered {answer.status}"


_BY_STATUS: dict[int, Callable[[Answer], RemoteError]] = {
    400: _bad_request,
    401: _unauthorised,
    403: _forbidden,
    404: _missing,
}
