"""What the sandbox is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.wire import decode_json

if TYPE_CHECKING:
    from pathlib import Path

SYSTEMS = ("xero", "sdp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a start of the sandbox can choose; the defaults are those of the command line."""

    host: str = "127.0.0.1"
    xero_port: int = 9101
    sdp_port: int = 9102
    seed: int = 1
    scale: str | int = "small"
    latency_seconds: tuple[float, float] = (0.0, 0.0)
    data: Path | None = None
    switches: tuple[tuple[str, str], ...] = field(default=())

    def switches_of(self, system: str) -> list[tuple[str, str]]:
        """Return the switches of one system, without its name in front."""
        prefix = f"{system}."
        return [
            (name.removeprefix(prefix), value) for name, value in self.switches if name.startswith(prefix)
        ]


def parse_scale(text: str) -> str | int:
    """Read a scale: a size by name, or a number of worklogs."""
    if text in {"small", "medium", "large"}:
        return text
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ValueError(f"scale is small, medium, large or a positive number, not {text!r}")


def parse_latency(text: str) -> tuple[float, float]:
    """Read ``A`` or ``A,B`` in milliseconds as a range in seconds."""
    low, _, high = text.partition(",")
    try:
        bounds = (float(low) / 1000, float(high or low) / 1000)
    except ValueError:
        raise ValueError(f"latency is milliseconds, A or A,B, not {text!r}") from None
    if not 0 <= bounds[0] <= bounds[1]:
        raise ValueError(f"latency is A or A,B with 0 <= A <= B, not {text!r}")
    return bounds


def parse_switch(text: str) -> tuple[str, str]:
    """Read ``system.name=value``."""
    name, equals, value = text.partition("=")
    if not equals or name.partition(".")[0] not in SYSTEMS:
        raise ValueError(f"a switch is set as xero.NAME=VALUE or sdp.NAME=VALUE, not {text!r}")
    return name, value


def read_rows(path: Path) -> dict[str, Any]:
    """Read a data file: ``{"xero": {kind: [row]}, "sdp": {kind: [row]}}``, either may be missing."""
    data = decode_json(path.read_bytes())
    if not isinstance(data, dict) or not data.keys() <= set(SYSTEMS):
        raise ValueError(f"{path} must hold an object with xero and sdp, each rows by kind")
    return data
