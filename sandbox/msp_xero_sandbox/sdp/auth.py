"""Who may call, and how often: keys, cloud tokens, throttle (sdp-msp-api §1, §7)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from msp_xero_sandbox.sdp import errors
from msp_xero_sandbox.sdp.errors import Refusal

if TYPE_CHECKING:
    from msp_xero_sandbox.clock import Clock
    from msp_xero_sandbox.sdp.switches import Switches
    from msp_xero_sandbox.wire import Answer, Call

_MINUTE_MS = 60_000
_ZOHO = "zoho-oauthtoken "


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key or token a call carries."""

    limited: bool


class Gate:
    """Lets calls in, or says why not."""

    def __init__(self, clock: Clock, switches: Switches) -> None:
        self._clock = clock
        self._switches = switches
        self.reset()

    def reset(self) -> None:
        """Forget issued tokens and counted calls."""
        self._tokens: dict[str, int] = {}
        self._issued: list[int] = []
        self._issues = 0
        self._window = -1
        self._calls = 0

    def admit_onprem(self, call: Call) -> Caller | None:
        """Check the API key; None when there is no key at all and the product shows its login page."""
        key = call.headers.get("authtoken") or call.headers.get("technician_key")
        if not key and self._switches.is_on("login_page"):
            return None
        if key not in {self._switches["authtoken"], self._switches["limited_token"]}:
            raise Refusal(4022)
        portal = self._switches["portal_id"]
        if portal and call.headers.get("portalid") != portal:
            raise Refusal(4001, field="PORTALID", text="PORTALID is missing or there is no such portal.")
        return Caller(limited=key == self._switches["limited_token"])

    def admit_cloud(self, call: Call) -> Caller:
        """Check the access token, which lives as long as ``expires_in`` said."""
        header = call.headers.get("authorization", "")
        token = header[len(_ZOHO) :].strip() if header.lower().startswith(_ZOHO) else ""
        if self._tokens.get(token, 0) <= self._clock.epoch_ms():
            raise Refusal(4022, text="Invalid OAuth token.")
        return Caller(limited=False)

    def seconds_until_next(self) -> int:
        """Count a call; return 0, or the seconds to wait when there were too many this minute."""
        limit = self._switches.number("requests_per_minute")
        now = self._clock.epoch_ms()
        window = now // _MINUTE_MS
        if window != self._window:
            self._window, self._calls = window, 0
        if limit and self._calls >= limit:
            return int((window + 1) * _MINUTE_MS - now + 999) // 1000
        self._calls += 1
        return 0

    def issue_token(self, call: Call) -> Answer:
        """Answer the token endpoint: always HTTP 200, errors included (§1.2)."""
        form = dict(parse_qsl(call.body.decode("utf-8", "replace"))) | dict(call.query)
        now = self._clock.epoch_ms()
        self._issued = [moment for moment in self._issued if moment > now - _MINUTE_MS]
        limit = self._switches.number("tokens_per_minute")
        if call.method != "POST" or form.get("grant_type") != "refresh_token":
            return errors.plain_json({"error": "invalid_request"})
        if limit and len(self._issued) >= limit:
            text = "You have made too many requests continuously. Please try again after some time."
            return errors.plain_json({"error": "Access Denied", "error_description": text})
        if (form.get("client_id"), form.get("client_secret")) != (
            self._switches["client_id"],
            self._switches["client_secret"],
        ):
            return errors.plain_json({"error": "invalid_client"})
        if form.get("refresh_token") != self._switches["refresh_token"]:
            return errors.plain_json({"error": "invalid_code"})
        self._issued.append(now)
        self._issues += 1
        seconds = self._switches.number("token_seconds")
        digest = hashlib.sha256(f"sandbox-token-{self._issues}".encode()).hexdigest()
        token = f"1000.{digest[:32]}.{digest[32:]}"
        self._tokens[token] = now + seconds * 1000
        return errors.plain_json(
            {
                "access_token": token,
                "expires_in": seconds,
                "api_domain": "https://sandbox.example",
                "token_type": "Bearer",
            }
        )
