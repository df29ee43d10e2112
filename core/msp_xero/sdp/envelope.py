"""What an answer means: the status envelope, HTTP statuses and pages that are no API answers.

Everything here is a function of plain values, so that the whole table can be tested without a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from msp_xero.edges.mending import mended
from msp_xero.errors import (
    AccessRefused,
    Missing,
    NoAddress,
    NotLicensed,
    Rejected,
    RemoteError,
    Throttled,
    Unavailable,
)

if TYPE_CHECKING:
    from datetime import datetime

SYSTEM: Final = "ServiceDesk Plus MSP"

# sdp-msp-api §7
INTERNAL_ERROR: Final = 4004
UNKNOWN_VALUE: Final = 4001
NOT_LICENSED: Final = 7001
DUPLICATE: Final = 4008
_REFUSED: Final = {
    4002: "the key may not do this",
    4022: "the key is not valid",
    NOT_LICENSED: "the licence does not allow this",
}
_MEANINGS: Final = {
    4001: "an id or name does not exist",
    4005: "it is referenced elsewhere",
    4008: "it is not unique",
    4009: "a field cannot be edited",
    4012: "a mandatory field is missing",
    4014: "a field is read-only",
    4016: "start and end do not fit",
    4021: "a value has the wrong type",
}
_LOGIN_MARKS: Final = (b"j_security_check", b"j_username", b'type="password"', b"type='password'", b"login")

_NO_ADDRESS: Final = "the address does not exist"
_ADVICE: Final = "Check base_url: it must be the address of ServiceDesk Plus MSP itself"

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer as plain values; ``headers`` is looked up with lower-case names."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def read_answer(answer: Answer, *, address: str, now: datetime) -> dict[str, Any]:
    """Return the payload of a successful answer.

    Args:
        answer: what came.
        address: method and URL without query, for messages.
        now: for a Retry-After that is a date.

    Raises:
        RemoteError: the class of the ladder that names what to do.
    """
    payload = _payload(answer.body)
    if payload is None:
        raise _no_json(answer, address=address, now=now)
    if not isinstance(payload, dict):
        raise Unavailable(
            "the answer is not an API answer", system=SYSTEM, address=address, status=answer.status
        )
    error = classify(answer, payload, address=address, now=now)
    if error is not None:
        raise error
    return payload


def is_by_sdp(answer: Answer | None) -> bool:
    """Tell whether SDP itself has answered, and not a web server in front of it: its status is there."""
    payload = _payload(answer.body) if answer else None
    return isinstance(payload, dict) and bool(_statuses(payload))


def _payload(body: bytes) -> Any:
    """Return what a body holds, None where it is no JSON; one badly encoded text makes no list unreadable."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        strict = mended(body)
        return None if strict is None else _decode(strict)


def classify(  # noqa: PLR0911 - one return a row of the table
    answer: Answer, payload: Mapping[str, Any], *, address: str, now: datetime
) -> RemoteError | None:
    """Return the error that an answer stands for, or None when it is a success (sdp-msp-api §7).

    The specific code stands in ``messages`` or outside, the status is an object or an array, and
    a failure can come with HTTP 200: all three are looked at.
    """
    statuses = _statuses(payload)
    failures = [status for status in statuses if _failed(status)]
    if not failures and answer.status < 300:
        return None
    codes, texts, fields = _violations(failures)
    where: dict[str, Any] = {"system": SYSTEM, "address": address, "status": answer.status}
    if answer.status == 429 or 4015 in codes:
        return Throttled(
            "too many requests",
            system=SYSTEM,
            address=address,
            retry_after=_retry_after(answer, now),
            limit="api",
        )
    for code, meaning in _REFUSED.items():
        if code in codes:
            refusal = NotLicensed if code == NOT_LICENSED else AccessRefused
            return refusal(meaning, **where, advice=_access_advice(code))
    if answer.status in {401, 403}:
        return AccessRefused(
            _REFUSED[4022 if answer.status == 401 else 4002], **where, advice=_access_advice(4022)
        )
    if answer.status == 404 and not statuses:
        return NoAddress(_NO_ADDRESS, **where, advice=_ADVICE)
    if answer.status == 404 or 4007 in codes:
        return Missing("there is no such row or path", **where)
    if answer.status >= 500 or INTERNAL_ERROR in codes:
        return Unavailable("internal error", **where)
    if 300 <= answer.status < 400:
        return _redirected(answer, address)
    return Rejected(**where, messages=texts, codes=codes, fields=fields)


def _statuses(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = payload.get("response_status")
    candidates = status if isinstance(status, list) else [status]
    return [one for one in candidates if isinstance(one, Mapping)]


def _failed(status: Mapping[str, Any]) -> bool:
    code = _code(status.get("status_code"))
    if code is not None and code >= 4000:
        return True
    return str(status.get("status", "success")).lower() in {"failed", "failure", "error"}


def _code(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return None


def _violations(failures: list[Mapping[str, Any]]) -> tuple[list[int], list[str], list[str]]:
    """Collect codes (inner before outer), one text a violation, and the fields that are named."""
    codes: list[int] = []
    texts: list[str] = []
    fields: list[str] = []
    outer: list[int] = []
    for failure in failures:
        outer += [code for code in (_code(failure.get("status_code")),) if code is not None]
        messages = failure.get("messages")
        for message in messages if isinstance(messages, list) else []:
            if not isinstance(message, Mapping) or str(message.get("type", "failed")) != "failed":
                continue
            code = _code(message.get("status_code"))
            named = [str(name) for name in (message.get("fields") or []) if name] or [
                str(name) for name in (message.get("field"),) if name
            ]
            text = str(message.get("message") or _MEANINGS.get(code or 0) or "refused")[:300]
            codes += [code] if code is not None else []
            fields += named
            missing = [name for name in named if name not in text]
            texts.append(f"{text} ({', '.join(missing)})" if missing else text)
    codes += [code for code in outer if code not in codes and (code != 4000 or not codes)]
    if not texts:
        texts = [_MEANINGS[code] for code in codes if code in _MEANINGS]
    return codes, texts, fields


def _access_advice(code: int) -> str:
    if code == 4002:
        return "Give the key's technician a role and scope that reach it"
    if code == NOT_LICENSED:
        return "Leave the module out, or extend the licence"
    return "Check the key (auth_token) and that its technician may log in"


def _no_json(  # noqa: PLR0911 - one return a row of the table
    answer: Answer, *, address: str, now: datetime
) -> RemoteError:
    """Name what came instead of JSON: a login page, another web page, a cut answer or nothing."""
    where: dict[str, Any] = {"system": SYSTEM, "address": address, "status": answer.status}
    if answer.status == 429:
        return Throttled(
            "too many requests",
            system=SYSTEM,
            address=address,
            retry_after=_retry_after(answer, now),
            limit="api",
        )
    if answer.status in {401, 403}:
        return AccessRefused(
            f"access is refused (HTTP {answer.status})", **where, advice=_access_advice(4022)
        )
    if 300 <= answer.status < 400:
        return _redirected(answer, address)
    start = answer.body[:65536].lower()
    page = b"<html" in start or b"<!doctype html" in start
    if answer.status == 404:
        return NoAddress(_NO_ADDRESS, **where, advice=_ADVICE)
    if page and answer.status < 400 and any(mark in start for mark in _LOGIN_MARKS):
        return AccessRefused(
            "a login page came instead of an API answer",
            **where,
            advice="Check base_url and the key (auth_token)",
        )
    if page:
        return Unavailable("a web page came instead of an API answer", **where, advice=_ADVICE)
    if answer.status >= 500:
        return Unavailable(f"HTTP {answer.status}", **where)
    return Unavailable(
        "the answer is empty" if not answer.body.strip() else "the answer is cut or not JSON", **where
    )


def _redirected(answer: Answer, address: str) -> AccessRefused:
    return AccessRefused(
        f"the call is redirected to {_server_in(answer.headers.get('location', ''))}",
        system=SYSTEM,
        address=address,
        status=answer.status,
        advice="Check base_url (http or https, port) and the key: a login page may stand there",
    )


def _server_in(location: str) -> str:
    """Return scheme and host of an address: what stands behind them may repeat the key."""
    try:
        parts = urlsplit(location)
        host = (parts.hostname or "")[:200]
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "another address"
    if not host or parts.scheme not in {"http", "https"}:
        return "another address"
    return f"{parts.scheme}://{host}{port}"


def _retry_after(answer: Answer, now: datetime) -> float | None:
    """Return the seconds that the server asks to wait; it may say them as a number or as a date."""
    value = answer.headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError):
        return None
