"""What a check says: one line of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msp_xero.errors import Throttled

if TYPE_CHECKING:
    from msp_xero.errors import MspXeroError

OK, WARNING, FAILED = "ok", "warning", "failed"
_LATER = "Run `msp-xero doctor` again then; a run waits by itself."


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was looked at, how it is, what was seen, what to do."""

    subject: str
    status: str
    seen: str
    advice: str = ""


def failure(subject: str, error: MspXeroError, more: str = "") -> Finding:
    """Return the line of a check that an error ended.

    Args:
        subject: what was looked at.
        error: what ended it; its sentence says what to do, but for a pause, which a look does not wait for.
        more: what was not looked at because of it.
    """
    advice = _LATER if isinstance(error, Throttled) else ""
    return Finding(subject, FAILED, f"{str(error).rstrip('.')}. {more}" if more else str(error), advice)
