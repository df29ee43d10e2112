"""A Meltano project like ours in a temporary folder, on its own ledger and bookmarks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from msp_xero.ledger import Ledger
from msp_xero.ledger.models import Invoice, InvoiceLine, Worklog
from msp_xero_console.main import app as msp_xero
from sqlalchemy import func, select
from typer.testing import CliRunner

from tests.systems import BIN, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.orm import Session

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("core", "tap-msp-sdp", "tap-xero-lite", "transforms", "target-msp-sdp", "target-xero-invoices")
JOBS = ("accounts", "worklog-types", "worklogs")
DEMO = {"xero": "http://127.0.0.1:9101", "sdp": "http://127.0.0.1:9102"}
SYSTEMS = Path(".meltano") / "systems.json"
NAMES_OF_OURS = ("TAP_", "TARGET_", "MSP_XERO_", "MELTANO_")


class Books:
    """What the ledger says, as the tests read it."""

    sandbox: Sandbox

    @property
    def ledger_url(self) -> str:
        raise NotImplementedError

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read the ledger."""
        ledger = Ledger.open_existing(self.ledger_url)
        assert ledger is not None, "there is no ledger yet"
        with ledger, ledger.read() as session:
            yield session

    def worklogs(self, state: str | None = None) -> list[Worklog]:
        """Return the worklogs of the ledger."""
        with self.reading() as session:
            rows = session.scalars(select(Worklog).order_by(Worklog.id)).all()
        return [row for row in rows if state in {None, row.state}]

    def worklog(self, worklog_id: str) -> Worklog:
        return next(row for row in self.worklogs() if row.worklog_id == worklog_id)

    def invoices(self) -> list[Invoice]:
        with self.reading() as session:
            return list(session.scalars(select(Invoice).order_by(Invoice.id)).all())

    def live_lines(self) -> dict[int, InvoiceLine]:
        """Return the live invoice lines by the row of their worklog."""
        with self.reading() as session:
            lines = session.scalars(select(InvoiceLine).where(InvoiceLine.live)).all()
        return {line.worklog_row: line for line in lines}

    def states(self) -> dict[str, int]:
        with self.reading() as session:
            rows = session.execute(select(Worklog.state, func.count()).group_by(Worklog.state))
            return dict(rows.all())  # type: ignore[arg-type]

    def reasons(self) -> dict[str, int]:
        """Return how many worklogs are held, by reason."""
        found: dict[str, int] = {}
        for row in self.worklogs("held"):
            found[str(row.reason_code)] = found.get(str(row.reason_code), 0) + 1
        return found


class Project(Books):
    """The project; its plugins are those that ``make setup`` installed."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.output = ""
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(NAMES_OF_OURS)},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }

    @classmethod
    def create(cls, folder: Path, sandbox: Sandbox) -> Project:
        """Make a project: our ``meltano.yml``, pointed at the sandbox."""
        folder.mkdir(parents=True)
        shutil.copyfile(ROOT / "meltano.yml", folder / "meltano.yml")
        for name in (*LINKED, "constraints.txt"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".meltano").mkdir()
        for kind in ("extractors", "loaders", "mappers"):
            (folder / ".meltano" / kind).symlink_to(ROOT / ".meltano" / kind)
        (folder / SYSTEMS).write_text(json.dumps(DEMO))
        project = cls(folder, sandbox)
        project.meet(sandbox)
        return project

    def meet(self, sandbox: Sandbox) -> None:
        """Let ``meltano.yml`` lead to this sandbox instead of the one that it led to before."""
        path, remembered = self.folder / "meltano.yml", self.folder / SYSTEMS
        now = {"xero": sandbox.xero, "sdp": sandbox.sdp}
        text = path.read_text()
        for system, address in json.loads(remembered.read_text()).items():
            text = text.replace(address, f"<{system}>")
        for system, address in now.items():
            text = text.replace(f"<{system}>", address)
        path.write_text(text)
        remembered.write_text(json.dumps(now))

    def copy(self, folder: Path) -> Project:
        """Return a copy of the whole project on the same sandbox: ledger, bookmarks, all but tokens."""
        left_out = shutil.ignore_patterns("xero-token*", "run")
        shutil.copytree(self.folder, folder, symlinks=True, ignore=left_out)
        return Project(folder, self.sandbox)

    # Running things

    def run(self, *blocks: str, expect: int | None = 0, **variables: str) -> str:
        """Run ``meltano run`` and return what it printed."""
        return self.command([BIN / "meltano", "run", "--no-install", *blocks], expect=expect, **variables)

    def meltano(self, *arguments: str, expect: int | None = 0) -> str:
        return self.command([BIN / "meltano", *arguments], expect=expect)

    def msp_xero(self, *arguments: str, expect: int | None = 0) -> str:
        """Run our command line; 3 means that it is done and something needs a person."""
        return self.command([BIN / "msp-xero", *arguments], expect=expect)

    def listed(self, *arguments: str) -> Any:
        """Return what a command of ours prints as JSON; asked in this process, which is quicker."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in os.environ.keys() - self.environment.keys():
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(msp_xero, [*arguments, "--json"])
        assert done.exit_code in {0, 3}, done.output
        return json.loads(done.stdout, parse_float=Decimal)

    def command(self, command: Sequence[Any], *, expect: int | None = 0, **variables: str) -> str:
        done = self._call(command, **variables)
        self.output = done.stdout + done.stderr
        assert expect is None or done.returncode == expect, self.output[-6000:]
        assert "Traceback" not in self.output, self.output[-6000:]
        return self.output

    def _call(self, command: Sequence[Any], **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def running(self, *blocks: str) -> AbstractContextManager[subprocess.Popen[str]]:
        """Run ``meltano run`` beside the test, to interrupt it."""
        return self._beside([BIN / "meltano", "run", "--no-install", *blocks])

    def pushing(self) -> AbstractContextManager[subprocess.Popen[str]]:
        """Run ``msp-xero invoices push`` beside the test, to interrupt it."""
        return self._beside([BIN / "msp-xero", "invoices", "push"])

    @contextmanager
    def _beside(self, command: Sequence[Any]) -> Iterator[subprocess.Popen[str]]:
        with (self.folder / "beside.log").open("w+") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                process.wait(60)
                log.seek(0)
                self.output = log.read()

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change ``meltano.yml`` as an integrator would."""
        path = self.folder / "meltano.yml"
        document = yaml.safe_load(path.read_text())
        change(document)
        path.write_text(yaml.safe_dump(document, sort_keys=False))

    def set_mapping(self, mapping: str, **config: Any) -> None:
        def change(document: dict[str, Any]) -> None:
            mappings = document["plugins"]["mappers"][0]["mappings"]
            next(one for one in mappings if one["name"] == mapping)["config"].update(config)

        self.edit(change)

    def set_loader(self, loader: str, **config: Any) -> None:
        def change(document: dict[str, Any]) -> None:
            loaders = document["plugins"]["loaders"]
            next(one for one in loaders if one["name"] == loader).setdefault("config", {}).update(config)

        self.edit(change)

    # What came of it

    def summary(self, job: str = "worklogs") -> str:
        """Return the one summary line that a job ends with."""
        said = re.findall(rf"\btarget-[\w-]+ +{job}: (.*)", self.output)
        assert len(said) == 1, self.output[-4000:]
        return str(said[0])

    def errors(self) -> list[str]:
        """Return the error lines of the last run, one for a plugin that failed."""
        return [line for line in self.output.splitlines() if ": error: " in line]

    def bookmarks(self) -> dict[str, Any]:
        """Return Meltano's bookmarks by state id."""
        done = self._call([BIN / "meltano", "state", "export"])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def ledger_path(self) -> Path:
        return self.folder / ".msp-xero" / "demo" / "ledger.db"

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.ledger_path}"
