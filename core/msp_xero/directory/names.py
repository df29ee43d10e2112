"""Names of customers taken apart: what is alike but for the company suffix, and what tells branches apart."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from unicodedata import category

from msp_xero.directory.match import exact_key, normalised_key

_FORMS: Final = {
    **{
        form: form
        for form in [
            "llc",
            "llp",
            "lp",
            "plc",
            "ag",
            "kg",
            "bv",
            "nv",
            "sa",
            "sarl",
            "sas",
            "srl",
            "spa",
            "ab",
            "as",
            "oy",
            "pte",
            "gmbh",
            "ug",
        ]
    },
    "ltd": "ltd",
    "limited": "ltd",
    "inc": "inc",
    "incorporated": "inc",
    "corp": "corp",
    "corporation": "corp",
    "co": "co",
    "company": "co",
    "pty": "pty",
    "proprietary": "pty",
}
_FILLERS: Final = frozenset(("the", "and"))
_DOTTED: Final = re.compile(r"\b(?:\w\.)+\w\b\.?")
_DIGITS: Final = re.compile(r"\d+")


class NameRead(NamedTuple):
    """A name taken apart.

    Attributes:
        exact: what exactly equal names share.
        normalised: what names share that differ in case, spaces and punctuation only.
        essence: the telling words, without company suffixes and fillers.
        joined: the essence without its spaces.
        words: the telling words.
        forms: the company suffixes, one spelling each.
        digits: the numbers in it, which tell branches apart.
    """

    exact: str
    normalised: str
    essence: str
    joined: str
    words: frozenset[str]
    forms: frozenset[str]
    digits: tuple[str, ...]


def read_name(name: str) -> NameRead:
    """Take a name apart."""
    dotless = _DOTTED.sub(lambda found: found[0].replace(".", ""), name.casefold())
    # Symbols stay, as they do in the key: C++ is not C.
    words = "".join(" " if category(letter)[0] in "PZC" else letter for letter in dotless).split()
    telling = [normalised_key(word) for word in words if word not in _FORMS and word not in _FILLERS]
    telling = telling or [normalised_key(word) for word in words]
    return NameRead(
        exact_key(name),
        normalised_key(name),
        " ".join(telling),
        "".join(telling),
        frozenset(telling),
        frozenset(_FORMS[word] for word in words if word in _FORMS),
        tuple(sorted(_DIGITS.findall(name))),
    )
