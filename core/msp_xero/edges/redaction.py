"""Our credentials in what comes back: an answer that repeats them goes no further than the border.

A proxy, a debugging page or an error text may quote the request, its headers included. Words of the other
system are stored with refusals and shown to people, so what is secret is taken out where answers arrive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK: Final = b"[secret]"
_SHORTEST: Final = 8
"""Characters; a shorter text is no secret worth its name, and would be found in the middle of words."""


def without_secrets(body: bytes, secrets: Iterable[str | None]) -> bytes:
    """Return an answer's body with every occurrence of our secrets masked.

    Args:
        body: as it came.
        secrets: keys, tokens and passwords; None and texts below eight characters are passed over.
    """
    for secret in secrets:
        if secret is not None and len(secret) >= _SHORTEST and (plain := secret.encode()) in body:
            body = body.replace(plain, MASK)
    return body
