"""What is checked of either system before it is asked: can it be reached, is it who it says it is?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msp_xero.billing.reference import MOST_CLOCK_ERROR
from msp_xero.edges.address import is_here

from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding
from msp_xero_console.words import plural

if TYPE_CHECKING:
    from datetime import datetime

    from msp_xero.edges.certificates import Handshake

SOON = timedelta(days=30)
_NOTICEABLE = timedelta(minutes=2)


def certificate(  # noqa: PLR0911, PLR0913 - one return a judgement
    system: str,
    address: str,
    hands: Handshake,
    *,
    verify_tls: bool = True,
    ca_bundle: str | None = None,
    is_public: bool = False,
    now: datetime,
) -> Finding | None:
    """Judge how the way to a system is secured; None when nobody answers there.

    ``is_public``: everybody's authorities have signed it, so there is no setting for another one.
    """
    subject = f"TLS of {system}"
    if not hands.is_tls:
        if is_here(urlsplit(address).hostname or ""):
            return Finding(subject, OK, "http on this machine itself")
        seen = "http: the credentials and all data cross the network readable"
        return Finding(subject, WARNING, seen, "Switch HTTPS on there, and set its https address.")
    if not hands.reached:
        return None
    if hands.behind_proxy:
        return Finding(subject, OK, "behind a proxy, so that the certificate was not looked at")
    if not verify_tls:
        worth = (
            "it would be trusted as it is: set verify_tls to true."
            if hands.trusted
            else "set ca_bundle to the PEM file of your authority, and verify_tls to true."
        )
        seen = (
            f"VERIFICATION IS OFF: whoever answers there is believed ({hands.problem or 'certificate good'})"
        )
        return Finding(subject, WARNING, seen, worth[0].upper() + worth[1:])
    if not hands.trusted:
        cure = _cure(hands, ca_bundle, is_public=is_public)
        return Finding(subject, FAILED, f"the certificate is not trusted: {hands.problem}", cure)
    by = f"by {hands.issuer or 'an authority without a name'}{', of ca_bundle' if ca_bundle else ''}"
    if hands.ends_at is None:
        return Finding(subject, OK, f"trusted, signed {by}")
    left = hands.ends_at - now
    seen = f"trusted, signed {by}, good until {hands.ends_at:%Y-%m-%d}"
    if left < SOON:
        return Finding(
            subject, WARNING, f"{seen}, {plural(max(left.days, 0), 'day')} left", "Renew it there."
        )
    return Finding(subject, OK, seen)


def same_server(one: str, other: str) -> bool:
    """Tell whether two addresses lead to the same door."""
    parts, others = urlsplit(one), urlsplit(other)
    return (parts.scheme, parts.netloc.lower()) == (others.scheme, others.netloc.lower())


def _cure(hands: Handshake, ca_bundle: str | None, *, is_public: bool) -> str:
    if "expired" in hands.problem:
        return "Renew the certificate on that server."
    if "not yet valid" in hands.problem:
        return "Set the clock of this machine, or wait."
    if "mismatch" in hands.problem or "doesn't match" in hands.problem or "not valid for" in hands.problem:
        return "Use the host name that the certificate is for, or have it issued for this one."
    if is_public:
        return (
            "Something between signs it anew, a proxy or a firewall: let this address pass, or name the PEM "
            "file of its authority in the environment variable REQUESTS_CA_BUNDLE."
        )
    if ca_bundle:
        return "ca_bundle holds another authority: put the PEM of the one that signed it into that file."
    return "Set ca_bundle to the PEM file of the authority that signed it. Do not switch verify_tls off."


def clock(system: str, ahead: timedelta | None) -> Finding | None:
    """Judge how far our clock is from a system's; None when it did not tell its time."""
    subject = f"clock and {system}"
    if ahead is None:
        return None
    size = abs(ahead)
    if size <= _NOTICEABLE:
        return Finding(subject, OK, "they agree")
    seen = f"this machine is {_span(size)} {'ahead of' if ahead > timedelta() else 'behind'} it"
    advice = "Switch time synchronisation (NTP) on, on both machines."
    if system == "Xero" and size > MOST_CLOCK_ERROR:
        return Finding(subject, FAILED, f"{seen}; with more than 8 minutes nothing is billed", advice)
    return Finding(subject, WARNING, seen, advice)


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return plural(minutes, "minute")
    return plural(minutes // 60, "hour") if minutes < 48 * 60 else plural(minutes // 1440, "day")
