"""Which addresses a secret may be sent to without TLS."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


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
