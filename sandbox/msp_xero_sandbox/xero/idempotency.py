"""Idempotency keys: replay what was answered, for six minutes from the first call (xero-api §3)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from msp_xero_sandbox.xero.answers import ApiError, refusal_of, validation

if TYPE_CHECKING:
    from datetime import datetime

    from msp_xero_sandbox.wire import Answer, Call
    from msp_xero_sandbox.xero.switches import Switches

_METHODS = frozenset({"POST", "PUT", "PATCH"})
_LONGEST = 128


@dataclass(slots=True)
class _Remembered:
    first_call: float
    digest: bytes
    answer: Answer


class Keys:
    """The answers that keys stand for."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._remembered: dict[tuple[str, str], _Remembered] = {}

    def replay(self, owner: str, call: Call, now: datetime) -> Answer | None:
        """Return the answer to repeat, or None when the call must be processed.

        Raises:
            ApiError: The key is too long, belongs to another request, or cannot be looked up.
        """
        key = _key(call)
        if key is None:
            return None
        if len(key) > _LONGEST:
            text = f"Idempotency Key: {key} is too long: {len(key)} characters, the maximum is {_LONGEST}."
            raise validation(message=text)
        if self._switches.key_store == "down":
            raise ApiError(
                500, {"Title": "An error occurred", "Detail": "Idempotency is unavailable", "Status": 500}
            )
        found = self._remembered.get((owner, key))
        if found is None or now.timestamp() >= found.first_call + self._switches.key_seconds:
            return None
        if found.digest != _digest(call):
            text = f"Idempotency Key: {key} is used with a different request."
            raise (
                refusal_of(text)
                if self._switches.key_conflict_shape == "elements"
                else validation(message=text)
            )
        return found.answer

    def keep(self, owner: str, call: Call, answer: Answer, now: datetime) -> None:
        """Remember the answer to a keyed call; internal errors are remembered like anything else."""
        key = _key(call)
        if key is None or len(key) > _LONGEST or self._switches.key_store == "down":
            return
        if 400 <= answer.status < 500 and not self._switches.key_caches_rejections:
            return
        moment, digest = now.timestamp(), _digest(call)
        self._forget(moment)
        found = self._remembered.get((owner, key))
        if found is None:
            self._remembered[owner, key] = _Remembered(moment, digest, answer)
        elif found.digest == digest:
            # A fault can turn the answer into another one, but the key's life began with the first call.
            found.answer = answer

    def _forget(self, moment: float) -> None:
        # Keys are added in order of time, so the oldest stand first.
        for name in list(self._remembered):
            if moment < self._remembered[name].first_call + self._switches.key_seconds:
                break
            del self._remembered[name]


def _key(call: Call) -> str | None:
    return call.headers.get("idempotency-key") if call.method in _METHODS else None


def _digest(call: Call) -> bytes:
    head = f"{call.method}\n{call.path}\n{call.raw_query}\n".encode()
    return sha256(head + call.body).digest()
