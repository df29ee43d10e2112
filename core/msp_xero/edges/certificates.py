"""A look at a server before anything is said to it: does it listen, and would its certificate be trusted?"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import DEFAULT_CA_BUNDLE_PATH
from requests.utils import get_environ_proxies

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """What a server's door told.

    Attributes:
        reached: whether anybody listens there.
        problem: why nobody does, or why the certificate is not trusted; empty where all is well.
        is_tls: whether the address asks for TLS.
        trusted: whether the certificate is trusted with the authorities that were given.
        ends_at: aware UTC, when a trusted certificate expires.
        issuer: name of the authority that signed a trusted certificate.
        behind_proxy: True when the way leads through a proxy, so that the door was not tried.
    """

    reached: bool
    problem: str = ""
    is_tls: bool = False
    trusted: bool = False
    ends_at: datetime | None = None
    issuer: str = ""
    behind_proxy: bool = False


def shake_hands(address: str, *, ca_bundle: str | None = None, timeout: float = 10.0) -> Handshake:
    """Open a connection, do the TLS handshake with verification on, and close it again.

    Verification is on here whatever the settings say: without it nobody could tell what switching it off
    hides.

    Args:
        address: any address on the server.
        ca_bundle: PEM file with the authorities to trust instead of the public ones.
        timeout: seconds for each step.
    """
    parts = urlsplit(address)
    is_tls = parts.scheme == "https"
    if get_environ_proxies(address):
        return Handshake(reached=True, is_tls=is_tls, behind_proxy=True)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 443)
    try:
        with socket.create_connection((host, port), timeout=timeout) as plain:
            if not is_tls:
                return Handshake(reached=True)
            return _examine(plain, host, ca_bundle)
    except socket.gaierror:
        return Handshake(reached=False, is_tls=is_tls, problem=f"there is no host {host}")
    except TimeoutError:
        return Handshake(reached=False, is_tls=is_tls, problem=f"{host}:{port} does not answer")
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return Handshake(reached=False, is_tls=is_tls, problem=f"{host}:{port}: {reason}")


def _examine(plain: socket.socket, host: str, ca_bundle: str | None) -> Handshake:
    authorities = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    try:
        context = _trusting(authorities or DEFAULT_CA_BUNDLE_PATH)
        with context.wrap_socket(plain, server_hostname=host) as secured:
            told = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        problem = error.verify_message or "it cannot be verified"
        return Handshake(reached=True, is_tls=True, problem=problem.rstrip(".").lower())
    except ssl.SSLError as error:
        problem = f"no TLS there ({(error.reason or 'unknown').replace('_', ' ').lower()})"
        return Handshake(reached=False, is_tls=True, problem=problem)
    ends = told.get("notAfter")
    ends_at = None
    with contextlib.suppress(ValueError):
        ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(ends)), UTC) if ends else None
    return Handshake(
        reached=True, is_tls=True, trusted=True, ends_at=ends_at, issuer=_name_in(told.get("issuer"))
    )


def _trusting(authorities: str) -> ssl.SSLContext:
    """Trust the given authorities, a file or a folder, and no others, as the clients do."""
    if Path(authorities).is_dir():
        return ssl.create_default_context(capath=authorities)
    return ssl.create_default_context(cafile=authorities)


def _name_in(issuer: object) -> str:
    """Return the name of an authority: its common name, else its organisation."""
    found: dict[str, str] = {}
    for group in issuer if isinstance(issuer, tuple) else ():
        found |= dict(_pairs(group))
    return str(found.get("commonName") or found.get("organizationName") or "")


def _pairs(group: Any) -> Iterable[tuple[str, str]]:
    return [pair for pair in group if len(pair) == 2] if isinstance(group, tuple) else []
