"""The address of a system: as a setting gives it, and whether a secret may be sent to it without TLS."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from msp_xero.errors import SettingError


def http_address(setting: str, given: str, example: str) -> str:
    """Return an http or https address, without the slash at its end.

    Args:
        setting: its name, for the error.
        given: the address as a person wrote it.
        example: a good one, for the error.

    Raises:
        SettingError: it is no such address, or holds a query or credentials. It is not quoted, and no other
            error is its cause: both might show a password.
    """
    address = given.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address; a password that is not escaped stands where the port belongs
        usable = False
    # An @ anywhere: behind the first / it ends a password that is not escaped.
    if not usable or parts.query or parts.fragment or "@" in address:
        raise SettingError(
            setting, "must be an http or https address without a query or credentials", example
        )
    return address


def is_readable(address: str) -> bool:
    """Tell whether what is sent to an address can be read on its way.

    It cannot over https, nor on this machine itself. Names below ``.test`` lead nowhere (RFC 6761): whoever
    uses one answers in this process, as a simulation does.

    Args:
        address: an http or https address with a host.
    """
    parts = urlsplit(address)
    host = (parts.hostname or "").rstrip(".")
    return parts.scheme == "http" and not is_here(host) and not host.endswith(".test")


def is_here(host: str) -> bool:
    """Tell whether a host's name or number is this machine itself: ``localhost`` or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
