"""Making a failing script small: leave out whatever is not needed for the same promise to break."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torture.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torture.script import Script
    from torture.world import Workshop


def shrink(workshop: Workshop, script: Script) -> Script:
    """Return the smallest script found that breaks the same promise.

    Raises:
        ValueError: the script breaks no promise.
    """
    broken = _broken(workshop, script)
    if broken is None:
        raise ValueError(f"seed {script.seed} breaks no promise")
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(script):
            if _broken(workshop, candidate) == broken:
                script, smaller = candidate, True
                break
    return script


def _broken(workshop: Workshop, script: Script) -> str | None:
    violations = simulate(workshop, script).violations
    return violations[0][1] if violations else None


def _smaller(script: Script) -> Iterator[Script]:
    """Yield scripts with one thing less: halves first, then single steps, then what is in a step."""
    size = len(script.steps)
    length = size // 2
    while length:
        for start in range(0, size, length):
            candidate = copy.deepcopy(script)
            del candidate.steps[start : start + length]
            yield candidate
        length //= 2
    for index, step in enumerate(script.steps):
        for name in ("faults", "strikes", "meanwhile"):
            for position in range(len(step.get(name, ()))):
                candidate = copy.deepcopy(script)
                del candidate.steps[index][name][position]
                yield candidate
    for kind in ("settings", "switches"):
        for name, value in getattr(script, kind).items():
            if value:
                candidate = copy.deepcopy(script)
                getattr(candidate, kind).pop(name)
                yield candidate
