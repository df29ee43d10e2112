"""The settings of a Xero connection: declared once for tap, target and console."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_sdk import typing as th

from msp_xero.edges.address import http_address, is_readable
from msp_xero.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

API_URL = "https://api.xero.com/api.xro/2.0"
IDENTITY_URL = "https://identity.xero.com"
LOGIN_URL = "https://login.xero.com/identity/connect/authorize"
TOKEN_STORE = ".msp-xero/xero-token.json"  # noqa: S105 - a path
GRANTS = ("client_credentials", "authorization_code")

XERO_CONNECTION: tuple[th.Property[Any], ...] = (
    th.Property(
        "client_id",
        th.StringType,
        required=True,
        title="Client ID",
        description="Client id of the app in Xero's developer portal, for example "
        "5A7B0C9D2E3F41568A9B0C1D2E3F4A5B.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        secret=True,
        title="Client secret",
        description="Client secret of the app. Leave it out only for a PKCE app, which has none.",
    ),
    th.Property(
        "grant",
        th.StringType,
        default="client_credentials",
        allowed_values=list(GRANTS),
        title="Grant",
        description="How access is obtained: client_credentials for a Custom Connection, authorization_code "
        "for a web or PKCE app that was connected with `msp-xero login`.",
    ),
    th.Property(
        "tenant_id",
        th.StringType,
        title="Tenant ID",
        description="Organisation to work on, for example 70784a63-d24b-46a9-a4db-0e70a274b056. With it a "
        "run refuses any other. Left out, it is the one chosen at `msp-xero login`, or the one that a Custom "
        "Connection is bound to.",
    ),
    th.Property(
        "scopes",
        th.StringType,
        title="Scopes",
        description="OAuth scopes separated by spaces, for example accounting.invoices "
        "accounting.contacts.read accounting.settings.read. Left out, all scopes that were granted are "
        "used, and `msp-xero login` asks for these three.",
    ),
    th.Property(
        "token_store",
        th.StringType,
        default=TOKEN_STORE,
        title="Token store",
        description=f"File that keeps the current tokens, readable by its owner only, for example "
        f"{TOKEN_STORE}. Tap, target and console that share a connection share the file.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        default=API_URL,
        title="API URL",
        description=f"Base address of the Accounting API, for example {API_URL}; change it for tests.",
    ),
    th.Property(
        "identity_url",
        th.StringType,
        default=IDENTITY_URL,
        title="Identity URL",
        description=f"Base address of the token service, for example {IDENTITY_URL}; change it for tests. "
        "http is taken on this machine only.",
    ),
    th.Property(
        "login_url",
        th.StringType,
        default=LOGIN_URL,
        title="Login URL",
        description=f"Address of the consent page that `msp-xero login` opens, for example {LOGIN_URL}; "
        "change it for tests.",
    ),
    th.Property(
        "timeout_seconds",
        th.NumberType(exclusive_minimum=0),
        default=100,
        title="Timeout",
        description="Seconds to wait for an answer to one call, for example 100.",
    ),
)

XERO_BUDGET: tuple[th.Property[Any], ...] = (
    th.Property(
        "max_calls_per_minute",
        th.IntegerType(minimum=1, maximum=60),
        default=60,
        title="Calls per minute",
        description="Most calls to one organisation in any 60 seconds, for example 60, Xero's own limit.",
    ),
    th.Property(
        "day_call_reserve",
        th.IntegerType(minimum=0),
        default=100,
        title="Day call reserve",
        description="Calls of the day's limit that are left to other users of the app, for example 100. "
        "At the reserve the run stops and the next one goes on.",
    ),
)

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CLIENT_ID = re.compile(
    r"[\x21-\x39\x3b-\x7e]+"
)  # visible ASCII without the colon, which ends it in Basic auth


@dataclass(frozen=True, slots=True, kw_only=True)
class XeroSettings:
    """A checked Xero connection.

    Attributes:
        client_id: of the app.
        client_secret: None for a PKCE app.
        grant: one of ``GRANTS``.
        tenant_id: the organisation, None for the one chosen at the login or the only one.
        scopes: separated by spaces, None for all that were granted.
        token_store: file of the current tokens.
        api_url: base address without a slash at its end.
        identity_url: base address without a slash at its end.
        login_url: the consent page.
        timeout_seconds: for one call.
        max_calls_per_minute: 1 to 60.
        day_call_reserve: calls left to others.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    grant: str = "client_credentials"
    tenant_id: str | None = None
    scopes: str | None = None
    token_store: Path = Path(TOKEN_STORE)
    api_url: str = API_URL
    identity_url: str = IDENTITY_URL
    login_url: str = LOGIN_URL
    timeout_seconds: float = 100.0
    max_calls_per_minute: int = 60
    day_call_reserve: int = 100

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> XeroSettings:
        """Check the settings of a plugin or of the console.

        Raises:
            SettingError: names the first setting that is missing or wrong.
        """
        client_id = _text(config, "client_id")
        if client_id is None:
            raise SettingError("client_id", "it is required", "5A7B0C9D2E3F41568A9B0C1D2E3F4A5B")
        if _CLIENT_ID.fullmatch(client_id) is None:
            raise SettingError("client_id", "it has a character that no client id has", "5A7B0C9D2E3F4156")
        grant = _text(config, "grant") or GRANTS[0]
        if grant not in GRANTS:
            raise SettingError("grant", f"must be one of {', '.join(GRANTS)}", GRANTS[0])
        secret = _text(config, "client_secret")
        if secret is None and grant == "client_credentials":
            raise SettingError("client_secret", "it is required with grant client_credentials")
        if secret is not None and not (secret.isascii() and secret.isprintable()):
            raise SettingError("client_secret", "it has a character that no client secret has")
        tenant_id = _text(config, "tenant_id")
        if tenant_id is not None and _UUID.fullmatch(tenant_id) is None:
            raise SettingError(
                "tenant_id", "is not the id of an organisation", "70784a63-d24b-46a9-a4db-0e70a274b056"
            )
        scopes = _text(config, "scopes")
        return cls(
            client_id=client_id,
            client_secret=secret,
            grant=grant,
            tenant_id=tenant_id,
            scopes=None if scopes is None else " ".join(scopes.split()),
            token_store=Path(_text(config, "token_store") or TOKEN_STORE).expanduser(),
            api_url=_address(config, "api_url", API_URL),
            identity_url=_token_address(config, "identity_url", IDENTITY_URL),
            login_url=_address(config, "login_url", LOGIN_URL),
            timeout_seconds=_number(config, "timeout_seconds", 100.0, least=0.001, most=3600.0),
            max_calls_per_minute=int(_number(config, "max_calls_per_minute", 60, least=1, most=60)),
            day_call_reserve=int(_number(config, "day_call_reserve", 100, least=0, most=1_000_000)),
        )

    @property
    def connections_url(self) -> str:
        """Address of the list of organisations, beside the Accounting API (xero-api §1.4)."""
        return f"{self.api_url.partition('/api.xro')[0]}/connections"

    @property
    def token_url(self) -> str:
        """Address where tokens are issued (xero-api §1.2)."""
        return f"{self.identity_url}/connect/token"


def _text(config: Mapping[str, Any], name: str) -> str | None:
    value = config.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise SettingError(name, "must be text")
    return value.strip() or None


def _number(config: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    value = config.get(name)
    if value is None:
        return default
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = None
    # Written so that NaN, which compares false with everything, is refused.
    if number is None or not least <= number <= most:
        raise SettingError(name, f"must be a number from {least:g} to {most:g}", f"{default:g}")
    if isinstance(default, int) and not number.is_integer():
        raise SettingError(name, "must be a whole number", f"{default:g}")
    return number


def _token_address(config: Mapping[str, Any], name: str, default: str) -> str:
    address = _address(config, name, default)
    if is_readable(address):
        raise SettingError(name, "secrets would cross the network readable over http", default)
    return address


def _address(config: Mapping[str, Any], name: str, default: str) -> str:
    return http_address(name, _text(config, name) or default, default)
