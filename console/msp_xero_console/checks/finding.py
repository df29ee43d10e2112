"""What a check says: one line of the report."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, FAILED = "ok", "warning", "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was looked at, how it is, what was seen, what to do."""

    subject: str
    status: str
    seen: str
    advice: str = ""
