"""The local ServiceDesk Plus MSP: from a call to an answer, without input or output of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from msp_xero_sandbox.sdp import errors
from msp_xero_sandbox.sdp.api import Api
from msp_xero_sandbox.sdp.auth import Caller, Gate
from msp_xero_sandbox.sdp.errors import Refusal
from msp_xero_sandbox.sdp.forms import multipart_fields
from msp_xero_sandbox.sdp.people import People
from msp_xero_sandbox.sdp.reading import CLOUD, LEGACY, NEW, Reader
from msp_xero_sandbox.sdp.store import TABLES, Store
from msp_xero_sandbox.sdp.switches import Switches
from msp_xero_sandbox.wire import Answer, decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msp_xero_sandbox.clock import Clock
    from msp_xero_sandbox.sdp.store import Row
    from msp_xero_sandbox.settings import Settings
    from msp_xero_sandbox.wire import Call

_TOKEN_PATH = "/oauth/v2/token"  # noqa: S105 - a path
_NEW_FORMATS = ("application/vnd.manageengine.sdp.v3+json", "v3+json")


class SdpApp:
    """A :class:`~msp_xero_sandbox.wire.App`; ``switches`` has what it leaves open, ``store`` its rows."""

    name = "sdp"

    def __init__(
        self, rows: Mapping[str, Iterable[Row]], clock: Clock, settings: Mapping[str, str] | Settings
    ) -> None:
        self._rows = {kind: list(kind_rows) for kind, kind_rows in rows.items()}
        self._clock = clock
        self._initial = dict(settings if isinstance(settings, Mapping) else settings.switches_of(self.name))
        self._switches = Switches(self._initial)
        self._gate = Gate(clock, self._switches)
        self._hidden_seconds = 0.0
        self._load()

    @property
    def store(self) -> Store:
        """The rows as they are, for a simulation in the same process; to be read, not changed."""
        return self._store

    # -- the App protocol

    def handle(self, call: Call) -> Answer:
        """Answer one call, committing what it writes."""
        try:
            return self._serve(call)
        except Refusal as refusal:
            return self._failure(refusal)

    def reset(self) -> None:
        """Return to the rows and switches of the start."""
        self._switches = Switches(self._initial)
        self._gate = Gate(self._clock, self._switches)
        self._hidden_seconds = 0.0
        self._load()

    def dump(self, kinds: Iterable[str] | None = None) -> dict[str, Any]:
        """Return rows by kind; worklogs with the module and account that they belong to; and the switches."""
        wanted = TABLES if kinds is None else [kind for kind in kinds if kind in TABLES]
        rows: dict[str, Any] = dict(self._store.dump(wanted))
        if kinds is None or "switches" in kinds:
            rows["switches"] = self._switches.as_dict()
        return rows

    def change_row(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a person would do in the product; see ``people``."""
        return People(self._store, self._switches, self._clock.epoch_ms()).change(change)

    def set_switch(self, name: str, value: str) -> None:
        """Set one uncertain behaviour; ``ids`` also returns to the rows of the start, numbered that way."""
        before = self._switches["ids"]
        self._switches.set(name, value)
        if self._switches["ids"] != before:
            self._load()

    # -- asked by the fault machinery

    def fault_answer(self, kind: str, fault: Mapping[str, Any]) -> Answer:
        """Return how this system words a fault: a limit that is reached, a token that is no good."""
        call: Call | None = fault.get("call")
        match kind:
            case "rate_minute" | "rate_day" | "rate_concurrent":
                wait = fault.get("retry_after")
                return self._failure(Refusal(4015), {} if wait is None else {"retry-after": str(wait)})
            case "revoked" if call is not None and call.path.endswith(_TOKEN_PATH):
                return errors.plain_json({"error": "invalid_code"})
            case "token_expired" | "revoked":
                is_cloud = call is not None and self._is_cloud(call)
                return self._failure(Refusal(4022, text="Invalid OAuth token." if is_cloud else ""))
        raise ValueError(f"sdp has no words for the fault {kind!r}")

    def hide_fresh(self, seconds: float) -> None:
        """Let lists leave out what was added in the last seconds; 0 = they show everything."""
        self._hidden_seconds = seconds

    # -- from call to answer

    def _load(self) -> None:
        self._store = Store(self._rows, ids_per_module=self._switches["ids"] == "per_module")

    def _serve(self, call: Call) -> Answer:
        path = self._within_context(call.path)
        if path is None:
            return errors.not_found_page()
        if path == _TOKEN_PATH and self._switches["dialect"] in {"auto", "cloud"}:
            return self._gate.issue_token(call)
        segments = self._below_api(path)
        if segments is None:
            return errors.not_found_page()
        caller: Caller | None
        if self._is_cloud(call):
            dialect, caller = CLOUD, self._gate.admit_cloud(call)
        else:
            dialect, caller = self._onprem_dialect(call), self._gate.admit_onprem(call)
        if caller is None:
            return errors.login_page()
        wait = self._gate.seconds_until_next()
        if wait:
            return self._failure(
                Refusal(4015), {"retry-after": str(wait)} if self._switches.is_on("retry_after") else {}
            )
        now = self._clock.epoch_ms()
        hidden_since = now - int(self._hidden_seconds * 1000) if self._hidden_seconds else None
        reader = Reader(self._store, self._switches, dialect, limited=caller.limited)
        return Api(reader, now, hidden_since).serve(call.method, segments, _input_data(call))

    def _within_context(self, path: str) -> str | None:
        context = self._switches["context_path"].rstrip("/")
        if not context:
            return path
        return path.removeprefix(context) if path.startswith(f"{context}/") else None

    def _below_api(self, path: str) -> list[str] | None:
        parts = path.strip("/").split("/")
        if parts[0] == "app" and self._switches["dialect"] in {"auto", "cloud"}:
            parts = parts[2:]
        return parts[2:] if parts[:2] == ["api", "v3"] else None

    def _is_cloud(self, call: Call) -> bool:
        dialect = self._switches["dialect"]
        if dialect != "auto":
            return dialect == CLOUD
        path = self._within_context(call.path) or ""
        return path.startswith("/app/") or call.headers.get("authorization", "").lower().startswith(
            "zoho-oauthtoken"
        )

    def _onprem_dialect(self, call: Call) -> str:
        dialect = self._switches["dialect"]
        if dialect != "auto":
            return dialect
        accepted = (
            part.partition(";")[0].strip() for part in call.headers.get("accept", "").lower().split(",")
        )
        return NEW if any(part in _NEW_FORMATS for part in accepted) else LEGACY

    def _failure(self, refusal: Refusal, headers: Mapping[str, str] | None = None) -> Answer:
        answer = errors.failure(
            refusal, code_at=self._switches["error_code_at"], http_status=self._switches["http_status"]
        )
        if not headers:
            return answer
        return Answer(status=answer.status, headers={**answer.headers, **headers}, body=answer.body)


def _input_data(call: Call) -> dict[str, Any]:
    """Return the structured argument: in the query of a GET, in the form of a write (sdp-msp-api §2)."""
    if call.method in {"GET", "DELETE"}:
        raw = call.query.get("input_data", "")
    else:
        raw = _form(call).get("input_data", "")
        if not raw:
            raise Refusal(4001, field="input_data", text="input_data is missing; it is a form field.")
    if not raw:
        return {}
    try:
        asked = decode_json(raw.encode())
    except ValueError:
        raise Refusal(4001, field="input_data", text="input_data is not JSON.") from None
    if not isinstance(asked, dict):
        raise Refusal(4001, field="input_data", text="input_data is not an object.")
    return asked


def _form(call: Call) -> dict[str, str]:
    content_type = call.headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        return multipart_fields(content_type, call.body)
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(call.body.decode("utf-8", "replace")))
    return {}
