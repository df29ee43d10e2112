"""Who we are to ServiceDesk Plus MSP: an API key on-premises, Zoho OAuth 2.0 in the cloud."""

from __future__ import annotations

import re
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import requests

from msp_xero.errors import AccessRefused, Throttled, Unavailable
from msp_xero.sdp.envelope import SYSTEM

if TYPE_CHECKING:
    from msp_xero.edges.clock import Clock
    from msp_xero.sdp.settings import SdpSettings

LEEWAY_SECONDS: Final = 60.0
TOKEN_PAUSE_SECONDS: Final = 60.0
_ERROR_NAME: Final = re.compile(r"[a-z_]{1,40}")


class Auth(Protocol):
    """What the client asks before each call."""

    def headers(self) -> dict[str, str]:
        """Return the headers that say who we are."""
        ...

    def renew(self, refused: dict[str, str]) -> bool:
        """Tell whether the headers differ now from those that were ``refused``."""
        ...


class KeyAuth:
    """The on-premises key (sdp-msp-api §1.1)."""

    def __init__(self, settings: SdpSettings) -> None:
        self._headers = {settings.auth_header: settings.auth_token or ""}

    def headers(self) -> dict[str, str]:
        """Return the key's header."""
        return self._headers

    def renew(self, refused: dict[str, str]) -> bool:  # noqa: ARG002 - a refused key stays refused
        """A key cannot be renewed."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token and the monotonic second at which it ends."""

    headers: dict[str, str]
    ends_at: float

    def is_stale(self, now: float) -> bool:
        """Tell whether it may end before a call that starts now is answered."""
        return now + LEEWAY_SECONDS >= self.ends_at


class ZohoAuth:
    """The cloud's OAuth 2.0: one cached access token, one refresh at a time (sdp-msp-api §1.2).

    Errors of the token endpoint come with HTTP 200, so only an ``access_token`` counts as success.
    Only a few tokens a minute are granted, hence one for all workers.
    """

    def __init__(self, settings: SdpSettings, session: requests.Session, clock: Clock) -> None:
        self._settings = settings
        self._session = session
        self._clock = clock
        self._lock = Lock()
        self._token: Token | None = None

    def headers(self) -> dict[str, str]:
        """Return the Authorization header, after a refresh where it is due.

        Raises:
            AccessRefused: Zoho does not accept client or refresh token.
            Throttled: too many tokens were asked for.
            Unavailable: the token endpoint gave no usable answer.
        """
        with self._lock:
            if self._token is None or self._token.is_stale(self._clock.monotonic()):
                self._token = self._refresh()
            return self._token.headers

    def renew(self, refused: dict[str, str]) -> bool:
        """Drop the refused token unless another worker has replaced it already."""
        with self._lock:
            if self._token is not None and self._token.headers == refused:
                self._token = None
        return True

    def _refresh(self) -> Token:
        url = self._settings.oauth_url or ""
        address = f"POST {url}"
        form = {
            "grant_type": "refresh_token",
            "client_id": self._settings.oauth_client_id,
            "client_secret": self._settings.oauth_client_secret,
            "refresh_token": self._settings.oauth_refresh_token,
        }
        try:
            # Verified whatever verify_tls says: that is about the server of base_url, and this one, which is
            # another, is sent the secret of the client.
            response = self._session.post(
                url,
                data=form,
                timeout=self._settings.timeout_seconds,
                allow_redirects=False,
                verify=self._settings.ca_bundle or True,
            )
            answer = msgspec.json.decode(response.content, type=dict)
        except requests.exceptions.SSLError:
            raise AccessRefused(
                "the certificate of the token endpoint is not trusted",
                system=SYSTEM,
                address=address,
                advice="Check oauth_url; where a proxy of yours signs it, set ca_bundle. verify_tls does not "
                "switch this off",
            ) from None
        except requests.RequestException as error:
            raise Unavailable(
                f"no answer from the token endpoint ({type(error).__name__})",
                system=SYSTEM,
                address=address,
                sent=False,
            ) from None
        except msgspec.DecodeError:
            raise Unavailable(
                "the token endpoint does not answer with JSON",
                system=SYSTEM,
                address=address,
                status=response.status_code,
                advice="Check oauth_url",
                sent=False,
            ) from None
        token = answer.get("access_token")
        if isinstance(token, str) and token:
            lifetime = float(answer.get("expires_in") or 3600)
            return Token(
                headers={"Authorization": f"Zoho-oauthtoken {token}"},
                ends_at=self._clock.monotonic() + lifetime,
            )
        if "too many" in str(answer.get("error_description", "")).lower() or response.status_code == 429:
            raise Throttled(
                "too many access tokens were asked for",
                system=SYSTEM,
                address=address,
                retry_after=TOKEN_PAUSE_SECONDS,
            )
        if response.status_code >= 500:
            raise Unavailable(
                "the token endpoint failed",
                system=SYSTEM,
                address=address,
                status=response.status_code,
                sent=False,
            )
        told = answer.get("error")
        # Anything else than a name may quote what was sent, and that is all secret.
        reason = told if isinstance(told, str) and _ERROR_NAME.fullmatch(told) else "no reason given"
        raise AccessRefused(
            f"no access token was granted: {reason}",
            system=SYSTEM,
            address=address,
            status=response.status_code,
            advice="Check the four oauth settings; oauth_url must be that of your data centre",
        )
