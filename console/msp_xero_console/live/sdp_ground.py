"""What the probes of ServiceDesk Plus stand on: a client, and a few rows to ask about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msp_xero.sdp.dialects import whole

from msp_xero_console.checks.sdp_worklogs import some_worklogs
from msp_xero_console.live.shapes import merged, name, names, page_kind

if TYPE_CHECKING:
    from msp_xero.sdp import SdpClient
    from msp_xero.sdp.calls import Probed

Row = dict[str, Any]
MODULES: Final = ("requests", "problems", "changes", "projects", "tasks")
FEW: Final = 10
_CODES_END: Final = 100_000


@dataclass(slots=True)
class SdpGround:
    """The client, and rows that were read by the way."""

    client: SdpClient
    headers_seen: set[str] = field(default_factory=set)
    _rows: dict[str, list[Row]] = field(default_factory=dict)
    _worklogs: list[tuple[str, Row]] | None = None

    def get(
        self, path: str, input_data: Row | None = None, *, headers: dict[str, str | None] | None = None
    ) -> Probed:
        """Ask, and remember which headers came."""
        probed = self.client.probe(path, input_data, headers=headers)
        if probed.answer is not None:
            self.headers_seen |= {header.lower() for header in probed.answer.headers}
        return probed

    def rows(self, path: str) -> list[Row]:
        """Return a few rows of a list, the newest first where it can be sorted; asked once."""
        if path not in self._rows:
            newest = {"row_count": FEW, "start_index": 1, "sort_field": "id", "sort_order": "desc"}
            probed = self.get(path, {"list_info": newest})
            if probed.error is not None:
                probed = self.get(path, listed(row_count=FEW))
            self._rows[path] = rows_in(probed)
        return self._rows[path]

    def worklogs(self) -> list[tuple[str, Row]]:
        """Return a few worklogs with the paths of their parents."""
        if self._worklogs is None:
            self._worklogs = some_worklogs(self.client)
        return self._worklogs


def listed(**info: Any) -> Row:
    """Return input_data with a ``list_info``."""
    return {"list_info": {"row_count": FEW, "start_index": 1, **info}}


def rows_in(probed: Probed) -> list[Row]:
    """Return the rows of a list's answer, whatever its key is."""
    for key, value in probed.payload.items():
        if key != "response_status" and isinstance(value, list):
            return [row for row in value if isinstance(row, dict)]
    return []


def identity(row: Row) -> str | None:
    """Return a row's id for a path; None where it has none."""
    number = whole(row.get("id"))
    return None if number is None else str(number)


def outcome(label: str, probed: Probed) -> str:
    """Say of one call which status, codes, keys and number of rows came back."""
    parts = [f"HTTP {probed.status}" if probed.status else "no answer"]
    if probed.error is not None:
        parts.append(type(probed.error).__name__)
        parts += codes_of(probed)
    if probed.answer is not None and not probed.payload and not _raw(probed):
        parts.append(page_kind(probed.answer.body))
    if probed.payload:
        parts.append(f"keys {names(probed.payload.keys() - {'response_status'})}")
        if rows := rows_in(probed):
            parts.append(f"{len(rows)} rows")
    return f"{label}: {', '.join(parts)}"


def codes_of(probed: Probed) -> list[str]:
    """Say where the codes of a failure stand."""
    raw = _raw(probed)
    status = raw.get("response_status")
    kind = "array" if isinstance(status, list) else "object"
    said = []
    for one in status if isinstance(status, list) else [status]:
        if not isinstance(one, dict):
            continue
        messages = one.get("messages")
        inner = [m for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
        codes = ", ".join(_code(m) for m in inner) or "none"
        fields = sorted({name(m["field"]) for m in inner if m.get("field")})
        fields += sorted({name(each) for m in inner for each in m.get("fields") or []})
        said.append(f"status {kind}, code outside {_code(one)}, in messages {codes}")
        if fields:
            said.append(f"fields {', '.join(fields)}")
    return said


def _code(told: Row) -> str:
    """Return a code; a longer number is none, and may be somebody's."""
    number = whole(told.get("status_code"))
    return str(number) if number is not None and 0 < number < _CODES_END else "none"


def rows_shape(label: str, rows: list[Row]) -> str:
    """Say of rows which members they have and of which types."""
    return f"{label}: {merged(rows)}" if rows else f"{label}: no rows"


def _raw(probed: Probed) -> Row:
    """Return the JSON object of an answer, of a failed one too."""
    if probed.payload:
        return probed.payload
    try:
        value = msgspec.json.decode(probed.answer.body) if probed.answer else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
