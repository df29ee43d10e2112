"""JSON that is not strict: half characters, other encodings, NaN.

One badly encoded text must not keep all other worklogs from being billed.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final

import msgspec

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


def mended(raw: bytes) -> bytes | None:
    """Return lax JSON as strict JSON, or None if it is no JSON at all.

    Half characters and bytes that are no UTF-8 become U+FFFD, NaN and infinity their names.
    """
    try:
        value = json.loads(raw.decode("utf-8", "replace"), parse_float=Decimal, parse_constant=str)
        return _encode(_without_surrogates(value))
    except (ValueError, RecursionError):
        return None


def _without_surrogates(value: Any) -> Any:
    """Replace half characters, which no UTF-8 can carry."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(element) for name, element in value.items()}
    return value
