"""The control API under ``/_sandbox/``: look into a system, change it, and break it on purpose.

Its calls are neither logged, nor limited, nor hit by faults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.wire import Answer, decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from msp_xero_sandbox.clock import Clock
    from msp_xero_sandbox.faults import Faulty
    from msp_xero_sandbox.wire import Call

PREFIX = "/_sandbox/"
_YES = frozenset({"1", "true", "on"})
_ON = {"on": True, "off": False}


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(
        status=status, headers={"content-type": "application/json; charset=utf-8"}, body=encode_json(value)
    )


class Control:
    """The control API of one system."""

    def __init__(self, faulty: Faulty, clock: Clock, switches: Sequence[tuple[str, str]] = ()) -> None:
        self._faulty = faulty
        self._clock = clock
        self._switches = tuple(switches)
        self._routes: dict[tuple[str, str], Callable[[Call], Any]] = {
            ("GET", ""): self._index,
            ("POST", "reset"): self._reset,
            ("GET", "dump"): self._dump,
            ("GET", "calls"): self._calls,
            ("GET", "faults"): self._shown_faults,
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("POST", "clock"): self._move_clock,
            ("POST", "rows"): self._change_rows,
            ("POST", "set"): self._set,
        }
        self._apply_switches()

    def handle(self, call: Call) -> Answer:
        """Answer one control call; what is wrong with it comes back as 400 with a sentence."""
        found = self._routes.get((call.method, call.path.removeprefix(PREFIX).rstrip("/")))
        if found is None:
            known = ", ".join(f"{method} {PREFIX}{name}" for method, name in self._routes)
            return _json({"error": f"there is no {call.method} {call.path}; there are {known}"}, 404)
        try:
            return _json(found(call))
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            # Whatever a test sends wrongly comes back to it; KeyError alone would only say a name.
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)

    def _index(self, _call: Call) -> Any:
        return {
            "system": self._faulty.app.name,
            "calls": [f"{method} {PREFIX}{name}" for method, name in self._routes],
        }

    def _reset(self, _call: Call) -> Any:
        self.reset()
        return {"reset": self._faulty.app.name}

    def reset(self) -> None:
        """Return to the start, with the switches that the sandbox was started with."""
        self._clock.reset()
        self._faulty.reset()
        self._faulty.log.record_bodies = False
        self._apply_switches()

    def _apply_switches(self) -> None:
        for name, value in self._switches:
            self.set(name, value)

    def _dump(self, call: Call) -> Any:
        kinds = call.query.get("kinds")
        return self._faulty.app.dump(kinds.split(",") if kinds else None)

    def _calls(self, call: Call) -> Any:
        if call.query.get("summary") in _YES:
            return self._faulty.log.summary()
        bodies = call.query.get("bodies") in _YES
        return self._faulty.log.since(int(call.query.get("since", 0)), bodies=bodies)

    def _shown_faults(self, _call: Call) -> Any:
        return self._faulty.shown_faults()

    def _add_faults(self, call: Call) -> Any:
        entries = decode_json(call.body)
        self._faulty.add_faults(entries if isinstance(entries, list) else [entries])
        return self._faulty.shown_faults()

    def _clear_faults(self, _call: Call) -> Any:
        self._faulty.clear_faults()
        return []

    def _move_clock(self, call: Call) -> Any:
        self._clock.advance(float(decode_json(call.body)["advance_seconds"]))
        return {"now": self._clock.now().isoformat()}

    def _change_rows(self, call: Call) -> Any:
        changes = decode_json(call.body)
        if isinstance(changes, list):
            return [self._faulty.app.change_row(change) for change in changes]
        return self._faulty.app.change_row(changes)

    def _set(self, call: Call) -> Any:
        wanted = decode_json(call.body)
        for name, value in wanted.items():
            # Booleans are natural in JSON; switches are spelt as on the command line.
            self.set(name, {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value))
        return wanted

    def set(self, name: str, value: str) -> None:
        """Set one switch, of the machinery or of the system; its name may carry the system's."""
        name = name.removeprefix(f"{self._faulty.app.name}.")
        if name == "record_bodies":
            if value not in _ON:
                raise ValueError(f"record_bodies is on or off, not {value!r}")
            self._faulty.log.record_bodies = _ON[value]
        else:
            self._faulty.app.set_switch(name, value)
