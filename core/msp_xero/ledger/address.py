"""The ledger's URL: read with one clear error, and shown without what is secret in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from msp_xero.edges.redaction import without_secrets
from msp_xero.errors import SettingError
from msp_xero.ledger.defaults import DEFAULT_LEDGER_URL

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_DRIVERS: Final = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")
_PLACES: Final = frozenset({"host", "hostaddr", "port"})
"""Parameters of a query that say where a database is; any other may be a password."""


def ledger_address(url: str) -> URL:
    """Return a ledger's URL in its parts.

    Raises:
        SettingError: it is none, or names a database or a driver that is not supported. The URL is not
            quoted, and no other error is its cause: either may hold a part of a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingError("ledger_url", "it is not a database URL", DEFAULT_LEDGER_URL) from None
    except ValueError:  # a part of a password stands where the port belongs
        raise _not_escaped() from None
    if parsed.drivername not in _DRIVERS:
        raise SettingError(
            "ledger_url", "only SQLite and PostgreSQL (postgresql+psycopg) are supported", DEFAULT_LEDGER_URL
        )
    if not _is_whole(parsed):
        raise _not_escaped()
    return parsed


def shown(url: str | URL) -> str:
    """Return a ledger's URL as it may be shown: without its password, and without its query.

    A query can hold passwords too, under several names.
    """
    try:
        parsed = ledger_address(url) if isinstance(url, str) else url
    except SettingError:
        return "a URL that cannot be read"
    return parsed.set(query={}).render_as_string(hide_password=True)


def without_parameters(text: str, url: URL) -> str:
    """Return a driver's text without the password, and without the values of the query."""
    values = [parsed for name, value in url.query.items() if name not in _PLACES for parsed in _all(value)]
    return without_secrets(text.encode(), (url.password, *values)).decode()


def _is_whole(parsed: URL) -> bool:
    """Tell whether the parts are parts, and not the rest of a password with signs that end one."""
    if parsed.get_backend_name() == "sqlite":
        return not (parsed.username or parsed.password or parsed.host)
    return not any(sign in part for part in (parsed.host or "", parsed.database or "") for sign in "@/")


def _not_escaped() -> SettingError:
    return SettingError(
        "ledger_url",
        "it is not a database URL; in a user name or password write @ : / % as %40 %3A %2F %25",
        DEFAULT_LEDGER_URL,
    )


def _all(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
