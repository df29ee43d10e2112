"""What happens in one simulated month, as plain values: shown as JSON, and shrunk.

Steps name rows by ``pick``, a number that chooses among the rows there are when the step comes; a
step that finds none does nothing. So a script stays playable whatever is taken out of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

Step = dict[str, Any]

_LATE: Final = (65, 104, 400)

XERO_FAULTS: Final[tuple[Step, ...]] = (
    {"kind": "reset_before"},
    {"kind": "reset_after_commit"},
    {"kind": "timeout_after_commit"},
    {"kind": "status", "status": 500, "commit": False},
    {"kind": "status", "status": 500, "commit": True},
    {"kind": "status", "status": 502, "body": "<html>Bad gateway</html>", "commit": True},
    {"kind": "status", "status": 503, "body": "The Organisation is offline", "commit": False},
    {"kind": "status", "status": 503, "body": "The Organisation is offline", "commit": True},
    {"kind": "status", "status": 504, "body": "", "commit": True},
    {"kind": "status", "status": 400, "body": "<html>Bad request</html>", "commit": True},
    {"kind": "status", "status": 403, "commit": False},
    {"kind": "status", "status": 404, "body": "", "commit": False},
    {"kind": "truncate", "keep": 0.9},
    {"kind": "truncate", "keep": 0.1},
    {"kind": "html", "commit": True},
    {"kind": "html", "commit": False},
    *({"kind": "slow", "seconds": seconds, "commit": "after"} for seconds in _LATE),
    {"kind": "slow", "seconds": 30},
    {"kind": "rate_minute", "retry_after": 26},
    {"kind": "rate_minute"},
    {"kind": "rate_minute", "retry_after": 4000},
    {"kind": "rate_concurrent"},
    {"kind": "rate_day", "retry_after": 1800},
    {"kind": "rate_day", "retry_after": 73451},
    {"kind": "token_expired"},
    {"kind": "revoked"},
    {"kind": "hide_fresh", "seconds": 600},
    {"kind": "duplicate_delivery"},
)
"""Every way in which a call to Xero goes wrong; ``commit`` says whether Xero did it all the same."""

SDP_FAULTS: Final[tuple[Step, ...]] = (
    {"kind": "reset_before"},
    {"kind": "reset_after_commit"},
    {"kind": "timeout_after_commit"},
    {"kind": "status", "status": 500, "commit": True},
    {"kind": "status", "status": 502, "body": "<html>Bad gateway</html>"},
    {"kind": "status", "status": 503, "body": "maintenance"},
    {"kind": "status", "status": 404, "body": ""},
    {"kind": "status", "status": 403, "body": ""},
    {"kind": "truncate", "keep": 0.5},
    {"kind": "html"},
    {"kind": "slow", "seconds": 65, "commit": "after"},
    {"kind": "rate_minute", "retry_after": 26},
    {"kind": "rate_minute"},
    {"kind": "token_expired"},
    {"kind": "revoked"},
    {"kind": "hide_fresh", "seconds": 600},
    {"kind": "duplicate_delivery"},
)
"""Every way in which a call to ServiceDesk Plus goes wrong."""


@dataclass(slots=True)
class Script:
    """A whole month: how everything is set, and what happens, in order."""

    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    switches: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return asdict(self)
