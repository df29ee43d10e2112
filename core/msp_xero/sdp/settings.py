"""The settings that connect to one ServiceDesk Plus MSP installation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from singer_sdk import typing as th

from msp_xero.edges.address import http_address, is_readable
from msp_xero.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

EDITIONS: Final = ("onprem", "cloud")
AUTH_HEADERS: Final = ("authtoken", "TECHNICIAN_KEY")

SDP_CONNECTION: Final[tuple[th.Property[Any], ...]] = (
    th.Property(
        "base_url",
        th.StringType,
        required=True,
        title="Base URL",
        description="Address of ServiceDesk Plus MSP, http or https, with port and context path if any. "
        "Cloud edition: with the portal. Example: https://sdp.example.com:8443 or "
        "https://sdp.example.com/app/itdesk.",
    ),
    th.Property(
        "edition",
        th.StringType,
        default="onprem",
        allowed_values=list(EDITIONS),
        title="Edition",
        description="onprem for the installed product, cloud for SDP MSP Cloud. Example: onprem.",
    ),
    th.Property(
        "auth_token",
        th.StringType,
        secret=True,
        title="API key",
        description="On-premises key of a technician (Admin > Technicians > API key details). It sees what "
        "that technician sees. Example: 00000000-AAAA-BBBB-CCCC-000000000000.",
    ),
    th.Property(
        "auth_header",
        th.StringType,
        default="authtoken",
        allowed_values=list(AUTH_HEADERS),
        title="Key header",
        description="Name of the header that carries the on-premises key; TECHNICIAN_KEY for old builds.",
    ),
    th.Property(
        "oauth_client_id",
        th.StringType,
        title="OAuth client ID",
        description="Cloud: client ID from the Zoho API console. Example: 1000.ABCDEF.",
    ),
    th.Property(
        "oauth_client_secret",
        th.StringType,
        secret=True,
        title="OAuth client secret",
        description="Cloud: client secret from the Zoho API console.",
    ),
    th.Property(
        "oauth_refresh_token",
        th.StringType,
        secret=True,
        title="OAuth refresh token",
        description="Cloud: refresh token that was granted to the client (access_type=offline).",
    ),
    th.Property(
        "oauth_url",
        th.StringType,
        title="OAuth address",
        description="Cloud: Zoho accounts server of the data centre, https. Example: "
        "https://accounts.zoho.eu.",
    ),
    th.Property(
        "portal_id",
        th.StringType,
        title="Portal ID",
        description="Sent as the header PORTALID when set; some installations ask for it. Example: 1.",
    ),
    th.Property(
        "verify_tls",
        th.BooleanType,
        default=True,
        title="Verify TLS",
        description="false accepts any certificate of the server at base_url; that at oauth_url is always "
        "verified. For a private authority set ca_bundle instead.",
    ),
    th.Property(
        "ca_bundle",
        th.StringType,
        title="CA bundle",
        description="PEM file with the authorities to trust instead of the public ones. "
        "Example: /etc/ssl/private-ca.pem.",
    ),
    th.Property(
        "timeout_seconds",
        th.NumberType,
        default=60,
        title="Timeout",
        description="Seconds to wait for an answer of one request. Example: 60.",
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=32),
        default=4,
        title="Concurrency",
        description="Requests side by side. Example: 4.",
    ),
    th.Property(
        "requests_per_minute",
        th.IntegerType(minimum=1),
        title="Requests per minute",
        description="Most requests to start in one minute, evenly spread; no limit if not set. Example: 60.",
    ),
    th.Property(
        "accounts_path",
        th.StringType,
        title="Accounts path",
        description="Path of accounts below /api/v3, for installations that differ. "
        "Default: accounts (onprem) or customers (cloud).",
    ),
    th.Property(
        "worklog_types_path",
        th.StringType,
        title="Worklog types path",
        description="Path of worklog types below /api/v3, for installations that differ. "
        "Default: worklog_types.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SdpSettings:
    """Checked settings of one connection; see :data:`SDP_CONNECTION` for their meaning."""

    base_url: str
    edition: str = "onprem"
    auth_token: str | None = field(default=None, repr=False)
    auth_header: str = "authtoken"
    oauth_client_id: str | None = None
    oauth_client_secret: str | None = field(default=None, repr=False)
    oauth_refresh_token: str | None = field(default=None, repr=False)
    oauth_url: str | None = None
    portal_id: str | None = None
    verify_tls: bool = True
    ca_bundle: str | None = None
    timeout_seconds: float = 60.0
    concurrency: int = 4
    requests_per_minute: int | None = None
    accounts_path: str = "accounts"
    worklog_types_path: str = "worklog_types"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Check a plugin's configuration and keep what concerns the connection.

        Args:
            config: the whole configuration; other settings are ignored, None counts as not set.

        Raises:
            SettingError: a setting is missing or wrong; it names the setting and gives an example.
        """
        given = {name: value for name in cls.__slots__ if (value := config.get(name)) not in (None, "")}
        given["base_url"] = _address("base_url", given.get("base_url"), "https://sdp.example.com:8443")
        edition = given.get("edition", "onprem")
        _one_of("edition", edition, EDITIONS)
        _one_of("auth_header", given.get("auth_header", "authtoken"), AUTH_HEADERS)
        if edition == "onprem":
            _credential("auth_token", given.get("auth_token"), "00000000-AAAA-BBBB-CCCC-000000000000")
        else:
            _credential("oauth_client_id", given.get("oauth_client_id"), "1000.ABCDEF")
            _credential(
                "oauth_client_secret", given.get("oauth_client_secret"), "(from the Zoho API console)"
            )
            _credential("oauth_refresh_token", given.get("oauth_refresh_token"), "1000.(token)")
            given["oauth_url"] = _token_address(given.get("oauth_url"))
            given.setdefault("accounts_path", "customers")
        if "portal_id" in given:
            given["portal_id"] = _credential("portal_id", str(given["portal_id"]), "1")
        for name, lowest in (("timeout_seconds", 0.1), ("concurrency", 1), ("requests_per_minute", 1)):
            _at_least(name, given.get(name, lowest), lowest, whole=name != "timeout_seconds")
        for name in ("accounts_path", "worklog_types_path"):
            if name in given:
                given[name] = _path(name, given[name])
        return cls(**given)

    @property
    def api_url(self) -> str:
        """Address that paths are appended to, with its slash."""
        return f"{self.base_url}/api/v3/"


def _address(name: str, value: object, example: str) -> str:
    if not isinstance(value, str):
        raise SettingError(name, "is missing", example)
    return http_address(name, value, example).removesuffix("/api/v3")


def _token_address(value: object) -> str:
    example = "https://accounts.zoho.eu"
    address = _address("oauth_url", value, example)
    if is_readable(address):
        raise SettingError("oauth_url", "secrets would cross the network readable over http", example)
    return address if urlsplit(address).path.strip("/") else f"{address}/oauth/v2/token"


def _credential(name: str, value: object, example: str) -> str:
    if not isinstance(value, str) or not value:
        raise SettingError(name, "is missing", example)
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise SettingError(
            name, "has characters that cannot be sent in a header (spaces or line ends?)", example
        )
    return value


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingError(name, f"must be one of {', '.join(allowed)}", allowed[0])


def _at_least(name: str, value: object, lowest: float, *, whole: bool) -> None:
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or value < lowest:
        raise SettingError(name, f"must be a {'whole ' if whole else ''}number of at least {lowest}", "60")


def _path(name: str, value: object) -> str:
    path = value.strip().strip("/") if isinstance(value, str) else ""
    if not path or any(character in path for character in "?#\\ "):
        raise SettingError(name, "must be a path below /api/v3", name.removesuffix("_path"))
    return path
