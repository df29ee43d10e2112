"""One MSP: both systems, the ledgers and bookmarks of its environments, and the program that runs on them."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from msp_xero.errors import MspXeroError
from msp_xero.ledger import Ledger
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.sdp.app import SdpApp
from msp_xero_transforms.mapper import MspXeroTransforms
from tap_msp_sdp.tap import TapMspSdp
from tap_xero_lite.tap import TapXeroLite
from target_msp_sdp.target import TargetMspSdp
from target_xero_invoices.target import TargetXeroInvoices

from torture import office
from torture.borders import Borders, Killed, Process, Strike, within
from torture.parts import Ears, Ended, Environment, Organisation, OwnClock, Pipe, Plans, Row, System

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from msp_xero_sandbox.xero.app import XeroApp


SDP_KEY: Final = "sandbox-authtoken"
XERO_SECRET: Final = "sandbox-secret"  # noqa: S105 - the secret of a simulated system
_SDP: Final = {"base_url": "http://sdp.test", "auth_token": SDP_KEY, "concurrency": 1}
_XERO: Final = {
    "client_id": "sandbox-client",
    "client_secret": XERO_SECRET,
    "api_url": "http://xero.test/api.xro/2.0",
    "identity_url": "http://xero.test",
}
_STREAMS: Final = {
    "accounts": ["contacts"],
    "worklog-types": ["items"],
    "worklogs": ["worklogs", "extraction"],
}
JOBS: Final = tuple(_STREAMS)
_NUMBER_PREFIX: Final = "SDP-"
"""What our invoice numbers begin with unless it is set otherwise."""
_BESIDE: Final = "worklogs-beside"


class Surprise(AssertionError):
    """The program did something that it never may; ``what`` is the broken promise."""

    def __init__(self, what: str, detail: str) -> None:
        self.what = what
        super().__init__(f"{what}: {detail}")


class Workshop:
    """What all worlds of one operating-system process share: a folder, and a ledger with its links made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ears = Ears()
        self.empty_ledger = folder / "empty.db"
        self.linked_ledger = folder / "linked.db"
        world = World(self, {}, ledger=None)
        with within(world.borders):
            Ledger.open(world.here.url).close()
            world.here.copy_ledger(self.empty_ledger)
            for job in ("accounts", "worklog-types"):
                ended = world.run_job(world.here, job)
                assert ended.how == "done", ended
        world.here.copy_ledger(self.linked_ledger)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class World:
    """Both systems on one virtual clock."""

    def __init__(self, workshop: Workshop, settings: Mapping[str, Any], *, ledger: Path | None) -> None:
        self.workshop = workshop
        self.started = office.START
        self.clock = Clock(office.START, running=False)
        self.time = OwnClock(self.clock)
        self.xero = Organisation(0, self.clock)
        self.organisations = [self.xero]
        self.billed_one_after_the_other = [0]
        """Numbers of the organisations that the connection billed, the present one last."""
        self.sdp_app = SdpApp(office.sdp_rows(), self.clock, {})
        self.sdp = System(self.sdp_app, self.clock)
        self.borders = Borders(
            self.time, {"http://xero.test": self.xero.adapter, "http://sdp.test": self.sdp.adapter}
        )
        self.settings = dict(settings)
        self.environments: dict[str, Environment] = {}
        self._ledger = ledger
        self.here = self.environment("prod")
        self.errors: list[str] = []
        self.is_crowded = False
        """Whether the program was misled about Xero's limits: by a machine beside it, or by a fault."""
        self.is_disturbed = False
        """Whether another ledger has run too, or this one was put back or lost."""
        self.crossed: dict[str, int] = {}
        self._read: list[bytes] = []

    def environment(self, name: str) -> Environment:
        """Return an environment; a new one has a ledger with links and no bookmark."""
        if name not in self.environments:
            folder = self.workshop.folder / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            made = self.environments[name] = Environment(name, folder)
            if self._ledger is not None:
                made.put_ledger(self._ledger)
        return self.environments[name]

    @property
    def xero_app(self) -> XeroApp:
        """The organisation that the credentials lead to."""
        return self.xero.app

    def lead_to(self, number: int, switches: Mapping[str, str]) -> None:
        """Let the credentials lead to another organisation; one that is met first behaves by ``switches``."""
        if number == len(self.organisations):
            self.organisations.append(Organisation(number, self.clock))
            for name, value in switches.items():
                self.organisations[number].app.set_switch(name, value)
        self.xero = self.organisations[number]
        self.borders.lead("http://xero.test", self.xero.adapter)
        for store in self.here.folder.glob("token.json*"):
            store.unlink()

    @property
    def number_prefix(self) -> str:
        """What the numbers of our next invoices begin with."""
        return str(self.settings.get("target", {}).get("number_prefix", _NUMBER_PREFIX))

    def configure(self, plugin: str, values: Mapping[str, Any]) -> None:
        """Set something else for the runs from now on, in ``target`` or ``mapper``."""
        self.settings[plugin] = {**self.settings.get(plugin, {}), **values}

    # ------------------------------------------------------------------ programs

    def run_job(
        self,
        at: Environment,
        job: str,
        plans: Plans | None = None,
        *,
        full_refresh: bool = False,
        deliver_only: bool = False,
    ) -> Ended:
        """Run one job as ``meltano run`` does: tap, mapper, target; the target reads what the tap wrote.

        ``deliver_only``: with the target's ``push`` off.
        """
        plans = plans or Plans()
        state = None if full_refresh else at.bookmarks.get(job)
        self.crossed = {}
        lines, tap_ended = self._extract(job, state, plans.tap)
        mapped, mapper_ended = self._map(at, job, lines)
        config = self.target_config(at, job) | ({"push": False} if deliver_only else {})
        target_ended = self._load(at, job, mapped, plans.target, config)
        ends = (tap_ended, mapper_ended, target_ended)
        return next((ended for ended in ends if ended.how != "done"), target_ended)

    def read_beside(self, at: Environment) -> Ended:
        """Let the tap and the mapper of a second worklogs job run; what they wrote waits for its target."""
        lines, tap_ended = self._extract("worklogs", at.bookmarks.get(_BESIDE), [])
        self._read, mapper_ended = self._map(at, "worklogs", lines)
        return tap_ended if tap_ended.how != "done" else mapper_ended

    def deliver_beside(self, at: Environment, strikes: Sequence[Strike] = ()) -> Ended:
        """Let the target of the second worklogs job store what waits for it; it has ``push`` off."""
        config = self.target_config(at, "worklogs") | {"push": False}
        lines, self._read = self._read, []
        return self._load(at, "worklogs", lines, list(strikes), config, bookmark=_BESIDE)

    @contextlib.contextmanager
    def at_the_console(self) -> Iterator[Ledger]:
        """Open the ledger as a person at the console does, beside whatever runs."""
        with self.borders.running(Process()), Ledger.open(self.here.url, actor="person:torture") as ledger:
            yield ledger

    # ------------------------------------------------------------------ people

    @property
    def xero_contacts(self) -> tuple[str, ...]:
        """Ids of the contacts that an organisation begins with."""
        return self.xero.contacts

    def xero_change(self, kind: str, action: str, row: str = "", **values: Any) -> Row:
        """Do what a person does in Xero's own pages."""
        return self.xero_app.change_row({"kind": kind, "action": action, "id": row, "values": values})

    def sdp_change(self, kind: str, action: str, row: str = "", **values: Any) -> Row:
        """Do what a person does in ServiceDesk Plus."""
        return self.sdp_app.change_row({"kind": kind, "action": action, "id": row, "values": values})

    def _extract(self, job: str, state: Row | None, strikes: list[Strike]) -> tuple[list[bytes], Ended]:
        pipe = Pipe()

        def work() -> None:
            if job == "worklogs":
                config = {**_SDP, "modules": list(office.MODULES), **self.settings.get("tap", {})}
                tap: Any = TapMspSdp(config=config, state=copy.deepcopy(state))
            else:
                tap = TapXeroLite(
                    config=_XERO | {"token_store": self._token_store(self.here)}, state=copy.deepcopy(state)
                )
            for name, stream in tap.streams.items():
                stream.selected = name in _STREAMS[job]
            tap.sync_all()

        process = Process(strikes)
        with contextlib.redirect_stdout(pipe):
            ended = self.run(process, work)
        self.crossed["tap_call"] = process.crossed["call"]
        return pipe.lines, ended

    def _map(self, at: Environment, job: str, lines: list[bytes]) -> tuple[list[bytes], Ended]:
        pipe = Pipe()
        config: Row = {"ledger_url": at.url, "time_zone": "Pacific/Auckland"} if job == "worklogs" else {}

        def work() -> None:
            MspXeroTransforms(config=config | self.settings.get("mapper", {})).listen(iter(lines))  # type: ignore[arg-type]

        with contextlib.redirect_stdout(pipe):
            ended = self.run(Process(), work)
        return pipe.lines, ended

    def _load(  # noqa: PLR0913 - a target, and where it stands
        self,
        at: Environment,
        job: str,
        lines: list[bytes],
        strikes: list[Strike],
        config: Row,
        *,
        bookmark: str | None = None,
    ) -> Ended:
        process = Process(strikes)
        states = list(_states(lines)) if job == "worklogs" else []

        def on_state(line: bytes) -> None:
            state = json.loads(line)
            if job == "worklogs":
                self._check_covered(at, states, state)
            at.bookmarks[bookmark or job] = state

        def work() -> None:
            target = (TargetXeroInvoices if job == "worklogs" else TargetMspSdp)(config=config)
            process.on_signal = lambda number: target._handle_termination(number, None)  # noqa: SLF001 - as the system calls it
            target.listen(self._fed(process, lines))  # type: ignore[arg-type]

        with contextlib.redirect_stdout(Pipe(on_state)):
            ended = self.run(process, work)
        self.crossed |= process.crossed
        return ended

    def _fed(self, process: Process, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            with process.crossing("line"):
                pass
            yield line

    def target_config(self, at: Environment, job: str) -> Row:
        """Return the configuration of a job's target."""
        if job != "worklogs":
            return {**_SDP, "ledger_url": at.url, **self.settings.get("directory", {})}
        return {
            **_XERO,
            "ledger_url": at.url,
            "token_store": self._token_store(at),
            "require_trailer": True,
            "concurrency": 1,
            **self.settings.get("target", {}),
        }

    @staticmethod
    def _token_store(at: Environment) -> str:
        return str(at.folder / "token.json")

    def run(self, process: Process, work: Callable[[], None]) -> Ended:
        """Run a program to whatever end it comes to."""
        with self.borders.running(process):
            try:
                work()
            except Killed:
                return Ended("killed")
            except SystemExit as left:
                return Ended("stopped", f"exit {left.code}")
            except MspXeroError as error:
                self.errors.append(str(error))
                return Ended("failed", str(error))
        return Ended()

    # ------------------------------------------------------------------ what may never be

    def _check_covered(self, at: Environment, states: list[tuple[Row, set[str]]], state: Row) -> None:
        """Everything before this STATE in the input has to be committed at this moment."""
        wanted = next((worklogs for given, worklogs in states if given == state), None)
        if wanted is None:
            raise Surprise("state", "the target emitted a STATE that it was never given")
        with contextlib.closing(sqlite3.connect(at.ledger_path)) as connection:
            stored = {row[0] for row in connection.execute("SELECT worklog_id FROM worklog")}
        if missing := wanted - stored:
            raise Surprise("state", f"STATE passed before worklogs {sorted(missing)[:3]} were stored")
        at.delivered |= wanted


def _states(lines: Iterable[bytes]) -> Iterator[tuple[Row, set[str]]]:
    """Yield every STATE of a target's input with the ids of all worklogs delivered before it."""
    delivered: set[str] = set()
    for line in lines:
        if b'"STATE"' in line[:40]:
            yield json.loads(line)["value"], set(delivered)
        elif b'"RECORD"' in line[:60] and b'"invoice_lines"' in line[:120]:
            record = json.loads(line)["record"]
            if record.get("origin") != "ledger":
                delivered.add(record["worklog_id"])
