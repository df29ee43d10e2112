"""One open question: how it is asked without writing, or what a person has to do to find the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from msp_xero.errors import MspXeroError, RemoteError, SettingError, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Ground = TypeVar("Ground")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Generic[Ground]):
    """A question to one of the two systems.

    Attributes:
        name: how it is referred to, e.g. ``sdp-row-count``.
        section: where the fact sheet leaves it open.
        question: in one sentence.
        run: asks it; None when it takes a person.
        steps: what a person does, where ``run`` is None or cannot tell everything.
    """

    name: str
    section: str
    question: str
    run: Callable[[Ground], Sequence[str]] | None = None
    steps: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a probe found out, in lines that hold no value of anybody."""

    name: str
    section: str
    question: str
    seen: tuple[str, ...] = ()
    steps: str = ""


def ask(probes: Sequence[Probe[Ground]], ground: Ground, tell: Callable[[str], None]) -> Iterator[Answered]:
    """Run the probes one after the other; one that fails says so, and hides no other."""
    for probe in probes:
        tell(probe.name)
        seen: Sequence[str] = ()
        if probe.run is not None:
            try:
                seen = probe.run(ground)
            except MspXeroError as error:
                seen = [f"could not be asked: {kind_of(error)}"]
            except Exception as error:  # noqa: BLE001 - an answer of a shape that nobody thought of is worth knowing
                seen = [f"the answer could not be read ({type(error).__name__})"]
        yield Answered(probe.name, probe.section, probe.question, tuple(seen), probe.steps)


def kind_of(error: MspXeroError) -> str:
    """Name an error without its text, which may quote what somebody wrote."""
    if isinstance(error, RemoteError):
        codes = getattr(error, "codes", None)
        told = f", codes {', '.join(str(code) for code in codes)}" if codes else ""
        if isinstance(error, Throttled) and error.retry_after is not None:
            told += f", it asks to wait {error.retry_after:.0f} seconds"
        return f"{type(error).__name__}, HTTP {error.status or 'without an answer'}{told}"
    if isinstance(error, SettingError):
        return f"the setting {error.setting}"
    return type(error).__name__
