"""Our credentials in what comes back: an answer that repeats them goes no further than the border.

A proxy, a debugging page or an error text may quote the request, its headers included. Words of the other
system are stored with refusals and shown to people, so what is secret is taken out where answers arrive.
"""

from __future__ import annotations

import base64
import html
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from requests.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MASK: Final = b"[secret]"
_SHORTEST: Final = 8
"""Characters; a shorter text is no secret worth its name, and would be found in the middle of words."""


def without_secrets(body: bytes, secrets: Iterable[str | None]) -> bytes:
    """Return an answer's body with every occurrence of our secrets masked, however it is written.

    Args:
        body: as it came.
        secrets: keys, tokens and passwords; None and texts below eight characters are passed over.
    """
    forms = {
        form
        for secret in secrets
        if secret is not None and len(secret) >= _SHORTEST
        for form in _written(secret)
    }
    # The longest first, so that none is left half masked by another that is a part of it.
    for form in sorted(forms, key=len, reverse=True):
        body = body.replace(form, MASK)
    return body


def headers_without_secrets(
    headers: Mapping[str, str], secrets: Iterable[str | None]
) -> CaseInsensitiveDict[str]:
    """Return an answer's headers with every occurrence of our secrets masked, as in a body."""
    secrets = tuple(secrets)
    return CaseInsensitiveDict(
        (name, without_secrets(value.encode("utf-8", "surrogatepass"), secrets).decode("utf-8", "replace"))
        for name, value in headers.items()
    )


@lru_cache(maxsize=64)
def _written(secret: str) -> frozenset[bytes]:
    """Return the ways in which an answer may write a secret: plain, or escaped for its surroundings."""
    raw = secret.encode("utf-8", "surrogatepass")
    in_json = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    in_json |= {text.replace("/", "\\/") for text in in_json}
    percent = {quote(raw, safe=""), quote(raw, safe="/"), quote_plus(raw)}
    percent |= {_lower_escapes(text) for text in percent}
    texts = {*in_json, *percent, html.escape(secret), html.escape(secret, quote=False)}
    return frozenset({raw, *(text.encode("utf-8", "surrogatepass") for text in texts), *_in_base64(raw)})


def _lower_escapes(text: str) -> str:
    """Write percent escapes with small letters, as some programs do."""
    first, *escaped = text.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in escaped)])


def _in_base64(raw: bytes) -> set[bytes]:
    """Return what base64 makes of a secret wherever it begins in a longer text, as in ``id:secret``.

    Three bytes become four characters, so there are three ways, and the characters at either end that
    depend on the neighbours are left out.
    """
    found = set()
    for before, first in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(bytes(before) + raw)
        sure = text[first : (before + len(raw)) * 8 // 6]
        found |= {sure, sure.translate(bytes.maketrans(b"+/", b"-_"))}
    return found
