"""What tells beside the name who a customer is: domains of e-mail and web, telephone and tax numbers.

A clue is a text such as ``domain:acme.example``, in one form on both sides, so that clues are compared
by being equal. Addresses at public mail services say nothing of their owner and are no clues.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DOMAIN: Final = "domain"
PHONE: Final = "phone"
TAX: Final = "tax"
CARRIED_ID: Final = "contact-id"
"""Kind of the clue that an account carries the ContactID of a contact, see ``write_link_to``."""

PUBLIC_MAIL: Final = frozenset(
    [
        "126.com",
        "163.com",
        "aol.com",
        "att.net",
        "bigpond.com",
        "bigpond.net.au",
        "bluewin.ch",
        "btinternet.com",
        "btopenworld.com",
        "clear.net.nz",
        "comcast.net",
        "cox.net",
        "duck.com",
        "earthlink.net",
        "fastmail.com",
        "free.fr",
        "freenet.de",
        "gmail.com",
        "gmx.at",
        "gmx.ch",
        "gmx.com",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hey.com",
        "hotmail.co.nz",
        "hotmail.co.uk",
        "hotmail.com",
        "hotmail.com.au",
        "hotmail.de",
        "hotmail.es",
        "hotmail.fr",
        "hotmail.it",
        "hushmail.com",
        "icloud.com",
        "iinet.net.au",
        "inbox.com",
        "kpnmail.nl",
        "laposte.net",
        "libero.it",
        "live.co.uk",
        "live.com",
        "live.com.au",
        "live.nl",
        "mac.com",
        "mail.com",
        "mail.ru",
        "me.com",
        "msn.com",
        "naver.com",
        "ntlworld.com",
        "optusnet.com.au",
        "orange.fr",
        "orcon.net.nz",
        "outlook.co.nz",
        "outlook.com",
        "outlook.com.au",
        "outlook.de",
        "outlook.fr",
        "paradise.net.nz",
        "pm.me",
        "proton.me",
        "protonmail.com",
        "qq.com",
        "rediffmail.com",
        "rocketmail.com",
        "rogers.com",
        "sbcglobal.net",
        "sfr.fr",
        "shaw.ca",
        "sky.com",
        "slingshot.co.nz",
        "sympatico.ca",
        "t-online.de",
        "talktalk.net",
        "telstra.com",
        "tiscali.co.uk",
        "tpg.com.au",
        "tutanota.com",
        "verizon.net",
        "virginmedia.com",
        "vodafone.co.nz",
        "wanadoo.fr",
        "web.de",
        "westnet.com.au",
        "xtra.co.nz",
        "yahoo.ca",
        "yahoo.co.in",
        "yahoo.co.nz",
        "yahoo.co.uk",
        "yahoo.com",
        "yahoo.com.au",
        "yahoo.de",
        "yahoo.es",
        "yahoo.fr",
        "yahoo.it",
        "yandex.ru",
        "ymail.com",
        "ziggo.nl",
        "zoho.com",
    ]
)
_SOCIAL: Final = frozenset(
    [
        "facebook.com",
        "instagram.com",
        "linkedin.com",
        "linktr.ee",
        "sites.google.com",
        "twitter.com",
        "wordpress.com",
        "x.com",
    ]
)
_DOMAIN: Final = re.compile(r"[^\s/?#:@]+\.[^\s/?#:@.]{2,}")
_TELLING_DIGITS: Final = 8  # what is left without country and trunk prefixes
_FEWEST_DIGITS: Final = 7
_FEWEST_TAX_DIGITS: Final = 7
_LONGEST_TAX: Final = 20
_MOST: Final = 40


def contact_clues(told: Mapping[str, Any]) -> list[str]:
    """Return the clues of a contact as the mapper delivers them.

    Args:
        told: lists of texts: ``emails``, ``websites``, ``phones``, ``tax_numbers``.
    """
    return _sorted(
        clue
        for name, read in (("emails", _mail), ("websites", _web), ("phones", _phone), ("tax_numbers", _tax))
        for text in _texts(told.get(name))
        if (clue := read(text))
    )


def account_clues(fields: Mapping[str, Any]) -> list[str]:
    """Return the clues of an account, or of a contact by the account fields that it wants."""
    readers = (("emailid", _mail), ("weburl", _web), ("landline", _phone), ("fax", _phone))
    found = [clue for name, read in readers for text in _texts(fields.get(name)) if (clue := read(text))]
    custom = [value for value in fields.values() if isinstance(value, dict)]
    # Where an installation keeps tax numbers only its administrator knows: any custom text may be one.
    found += [
        clue
        for members in custom
        for value in members.values()
        for text in _texts(value)
        if (clue := _tax(text))
    ]
    return _sorted(found)


def _sorted(clues: Iterable[str]) -> list[str]:
    return sorted(set(clues))[:_MOST]


def _texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and one.strip():
            yield one.strip()


def _mail(text: str) -> str | None:
    local, at, domain = text.rpartition("@")
    return _domain(domain) if at and local else None


def _web(text: str) -> str | None:
    return _domain(re.sub(r"^[a-z]+://", "", text.casefold()))


def _domain(text: str) -> str | None:
    found = _DOMAIN.match(text.casefold())
    if found is None:
        return None
    domain = found[0].strip(".").removeprefix("www.")
    return None if domain in PUBLIC_MAIL or domain in _SOCIAL else f"{DOMAIN}:{domain}"


def _phone(text: str) -> str | None:
    digits = re.sub(r"\D", "", text.replace("(0)", "")).lstrip("0")
    if len(digits) < _FEWEST_DIGITS or len(set(digits)) == 1:
        return None
    return f"{PHONE}:{digits[-_TELLING_DIGITS:]}"


def _tax(text: str) -> str | None:
    plain = re.sub(r"[\s./-]", "", text).upper()
    if not plain.isalnum() or not plain.isascii() or len(plain) > _LONGEST_TAX:
        return None
    number = plain[2:] if plain[:2].isalpha() else plain  # VAT numbers come with and without their country
    if sum(letter.isdigit() for letter in number) < _FEWEST_TAX_DIGITS or len(set(number)) == 1:
        return None
    return f"{TAX}:{number}"


def carried_clue(contact_id: object) -> list[str]:
    """Return the clue of a contact, or of an account that carries its id; none for an empty field."""
    text = str(contact_id or "").strip().casefold()
    return [f"{CARRIED_ID}:{text}"] if text else []
