"""The proof of the proof: the program broken on purpose, once for each rule it lives by, and what notices.

A mutant is a change of source text in a private copy of the program. It is caught when the months
break a promise. Where a second rule holds behind the broken one, or the moment is too rare, no month
breaks: then the tests of the broken room have to notice. One that survives both means that nothing proves
its rule.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from torture import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_COPIED: Final = (
    "core",
    "tap-msp-sdp",
    "tap-xero-lite",
    "transforms",
    "target-msp-sdp",
    "target-xero-invoices",
    "sandbox",
    "torture",
    "conftest.py",
    "pyproject.toml",
)
_SEEDS: Final = 600
_NOTHING: Final = "**nothing**"
_FIRST: Final = re.compile(r"after (\d+) months: ([^:]+): ")
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+?::[\w]+)", re.MULTILINE)
_TESTS_OF_ALL: Final = ("core/tests/billing", "tap-msp-sdp/tests", "target-xero-invoices/tests")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule that the program does without: in the file ``path``, ``old`` text becomes ``new`` text."""

    name: str
    path: str
    old: str
    new: str


_BILLING: Final = "core/msp_xero/billing"
_LEDGER: Final = "core/msp_xero/ledger"
_SINGER: Final = "core/msp_xero/singer/target.py"

MUTANTS: Final = (
    Mutant(
        "what stays unknown is sent again without a look-up",
        f"{_BILLING}/reconcile.py",
        "    found = look_up(client, [invoice.number for invoice in invoices])\n"
        "    # What is gone is no answer either: ours may be under way, or in the list a little later.\n"
        "    if missing := [",
        "    found = {}\n    if False and [",
    ),
    Mutant(
        "an invoice that a person renumbered counts as missing",
        f"{_BILLING}/reconcile.py",
        "renumbered = _look_for_renumbered(ledger, client, lost) if lost else {}",
        "renumbered = {}",
    ),
    Mutant(
        "POST instead of PUT",
        "core/msp_xero/xero/calls.py",
        'return self._repeat("PUT", path',
        'return self._repeat("POST", path',
    ),
    Mutant(
        "a lost answer to a write is sent again at once",
        "core/msp_xero/xero/calls.py",
        "repeating(self._clock, writes=body is not None,",
        "repeating(self._clock, writes=False,",
    ),
    Mutant(
        "the ledger does not look for invoices of strangers",
        f"{_BILLING}/refresh.py",
        "            raise unknown_to_us(strangers)\n",
        "            pass\n",
    ),
    Mutant(
        "lines that a person put on another invoice of ours are not looked at",
        f"{_BILLING}/refresh.py",
        "if (line.invoice_id, (line.module, line.worklog_id)) not in own]\n",
        "if not own]\n",
    ),
    Mutant(
        "an older copy sends again what was sent since",
        f"{_BILLING}/refresh.py",
        "            pushing.mark_doubtful(self.ledger, self.fence, found.planned)\n",
        "",
    ),
    Mutant(
        "the first invoice is not sent alone, and a taken number stops nothing",
        f"{_BILLING}/settle.py",
        "        if not not_by_us:\n            return\n",
        "        return\n",
    ),
    Mutant(
        "what never left goes out as it was planned, whatever was corrected",
        f"{_BILLING}/outdated.py",
        "if one.id in changed or not now.would_plan(one):",
        "if False:",
    ),
    Mutant(
        "no fence: a holder of the lock that wakes up late writes on",
        f"{_LEDGER}/store.py",
        "        if held.rowcount != 1:",
        "        if False and held.rowcount != 1:",
    ),
    Mutant(
        "no lock: two settle at once",
        f"{_LEDGER}/lock.py",
        "        _wait_for(try_file, wait_seconds, clock, taken)\n",
        "        try_file()\n",
    ),
    Mutant(
        "STATE is passed on before what it covers is stored",
        _SINGER,
        '            self.state_arrived(message_dict["value"])\n',
        '            self.state_arrived(message_dict["value"])\n'
        '            self._write_state_message(message_dict["value"])\n',
    ),
    Mutant(
        "a signal is answered in the middle of a batch",
        _SINGER,
        "        self._signal = signum\n        if not self._busy:\n",
        "        self._signal = signum\n        if True:\n",
    ),
    Mutant(
        "the tap's bookmark moves before its records have left",
        "tap-msp-sdp/tap_msp_sdp/extraction.py",
        "            yield from self._emit(parent, records)\n            self._walked[parent.id]",
        "            for module in modules:\n"
        "                self._bookmarks.advance(module, walk.name, iso_utc(self._started_ms))\n"
        "            self._save()\n"
        "            yield from self._emit(parent, records)\n            self._walked[parent.id]",
    ),
    Mutant(
        "a bookmark that is ahead of the ledger is not noticed",
        f"{_LEDGER}/bookmarks.py",
        "        if late:\n",
        "        if False and late:\n",
    ),
    Mutant(
        "a worklog that was moved is taken for a new one",
        f"{_LEDGER}/staging.py",
        "        row = same_worklog(same_id, delivered)\n",
        "        row = next((one for one in same_id if one.module == delivered.module), None)\n",
    ),
    Mutant(
        "a worklog that was changed after billing is billed again",
        f"{_LEDGER}/staging.py",
        "        elif row.state in SETTLED:\n            _compare_with_billed(",
        "        elif False:\n            _compare_with_billed(",
    ),
    Mutant(
        "a worklog that was moved before the ledger was rebuilt is taken for a new one",
        f"{_LEDGER}/identity.py",
        '    return replace(line, decision="hold", reason_code=_IN_DOUBT,',
        '    return line if line else replace(line, decision="hold", reason_code=_IN_DOUBT,',
    ),
    Mutant(
        "a rebuild that leaves invoices out counts as a look at all of them",
        f"{_BILLING}/rebuild.py",
        "looked_at if is_whole else None",
        "looked_at",
    ),
    Mutant(
        "a rebuild gives a worklog to no invoice that was voided or deleted",
        f"{_BILLING}/rebuild.py",
        "        if is_marked:\n            spool.add(",
        "        if is_marked and not _is_gone(row):\n            spool.add(",
    ),
    Mutant(
        "a connection leaves an organisation that it was never compared with",
        f"{_LEDGER}/survey.py",
        "    if since is not None and timedelta(0)",
        "    if since is None or timedelta(0)",
    ),
    Mutant(
        "a connection leaves an organisation whose unknown invoices may bill what waits",
        f"{_BILLING}/memory.py",
        "    if not numbers:\n        return\n",
        "    if numbers or not numbers:\n        return\n",
    ),
    Mutant(
        "what unknown invoices billed where it left is forgotten",
        f"{_LEDGER}/foreign.py",
        "    if ledger.generation == 1:\n        return []\n",
        "    if ledger.generation >= 1:\n        return []\n",
    ),
    Mutant(
        "a connection leaves an organisation while an outcome is unknown",
        f"{_LEDGER}/survey.py",
        "    if not left:\n        return\n",
        "    if left or not left:\n        return\n",
    ),
    Mutant(
        "held lines are dropped",
        f"{_LEDGER}/staging.py",
        "    for line in lines:\n        key =",
        '    for line in lines:\n        if line.decision == "hold":\n            continue\n        key =',
    ),
    Mutant(
        "float money",
        f"{_BILLING}/arithmetic.py",
        "    return value.quantize(CENT, rounding=ROUND_HALF_UP)\n",
        "    return Decimal(repr(round(float(value), 2))).quantize(CENT)\n",
    ),
    Mutant(
        "unit prices of two decimals",
        f"{_BILLING}/document.py",
        '"UnitAmount": _shortest(line.terms.unit_price),',
        '"UnitAmount": round(line.terms.unit_price, 2),',
    ),
    Mutant(
        "a refusal is not written into the history",
        f"{_LEDGER}/outcomes.py",
        'Change("invoice", refused.invoice_id, "rejected", {"reason_code": refused.code})',
        'Change("invoice", refused.invoice_id, "refused", {"reason_code": refused.code})',
    ),
    Mutant(
        "no call budget",
        "core/msp_xero/xero/budget.py",
        "            while (wait := self._take_turn(address)) > 0:\n",
        "            while False and (wait := self._take_turn(address)) > 0:\n",
    ),
    Mutant(
        "a wrong clock is believed",
        f"{_BILLING}/reference.py",
        "    if error is not None and abs(error) > MOST_CLOCK_ERROR:\n",
        "    if False and error is not None and abs(error) > MOST_CLOCK_ERROR:\n",
    ),
    Mutant(
        "a customer's text is logged",
        "target-xero-invoices/target_xero_invoices/sinks.py",
        "            lines = [line_from_record(record) for record in group]\n",
        "            lines = [line_from_record(record) for record in group]\n"
        '            target.logger.info("storing %s", lines)\n',
    ),
)


def run(names: Sequence[str], *, record: bool) -> int:
    """Let every mutant run until it is noticed; return 1 if one is not.

    The same months are first played with the program as it is: what it breaks itself proves nothing.
    """
    wanted = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    with _copy_of_the_program() as folder:
        if found := _broken_promise(folder):
            print(f"the program itself breaks a promise: {found[0]} ({found[1]}). Mend that first")
            return 1
    missed = 0
    for mutant in wanted:
        caught_by, after = _hunt(mutant)
        missed += caught_by == _NOTHING
        print(f"{mutant.name}: {caught_by} ({after})", flush=True)
        if record:
            row = {"name": mutant.name, "caught_by": caught_by, "after": after}
            figures.record_mutant(row, [one.name for one in MUTANTS])
    return int(missed > 0)


def _hunt(mutant: Mutant) -> tuple[str, str]:
    """Return what noticed a mutant, and after how many months."""
    with _copy_of_the_program() as folder:
        _break(folder / mutant.path, mutant)
        if found := _broken_promise(folder):
            return found
        return _failed_test(folder, mutant) or _NOTHING, f"{_SEEDS} months"


@contextlib.contextmanager
def _copy_of_the_program() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        for part in _COPIED:
            source = figures.ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, folder / part)
        yield folder


def _broken_promise(folder: Path) -> tuple[str, str] | None:
    """Play the months; return the promise that was seen to be broken, and after how many."""
    command = ["-m", "torture", "months", "--until-broken", "--seeds", str(_SEEDS)]
    told = _run(folder, command)
    if found := _FIRST.search(told):
        return found[2], f"{found[1]} months"
    if "violations:" not in told:
        raise RuntimeError(told[-2000:])
    return None


def _failed_test(folder: Path, mutant: Mutant) -> str | None:
    """Run the tests of the mutant's room, then those of the whole way; return the first that fails."""
    for tests in dict.fromkeys((room_tests(mutant.path), *_TESTS_OF_ALL)):
        told = _run(folder, ["-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", tests])
        if found := _FAILED.search(told):
            return f"`{found[1]}`"
    return None


def room_tests(path: str) -> str:
    """Return where the tests of a source file are: each plugin's, and each room's of core, beside it."""
    part, _, room, *_ = path.split("/")
    return f"core/tests/{room}" if part == "core" else f"{part}/tests"


def _run(folder: Path, arguments: Sequence[str]) -> str:
    """Run Python on a copy of the program; return all it printed."""
    parts = [str(folder), *(str(folder / part) for part in _COPIED)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(parts), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def _break(source: Path, mutant: Mutant) -> None:
    text = source.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.path} has the text to break {text.count(mutant.old)} times: {mutant.old!r}"
        )
    source.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
