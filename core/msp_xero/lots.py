"""Cutting many values into lots: a statement and a call take only so many at once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AT_ONCE: Final = 500
"""Values in one statement: SQLite takes 32,766 parameters as it is usually built, PostgreSQL 65,535."""
_T = TypeVar("_T")


def lots(values: Iterable[_T], size: int = AT_ONCE) -> Iterator[list[_T]]:
    """Yield the values in lists of ``size``, the last one shorter; none of no values.

    The values are read as the lists are asked for, as ``itertools.batched`` of Python 3.12 does.
    """
    left = iter(values)
    while lot := list(itertools.islice(left, size)):
        yield lot
