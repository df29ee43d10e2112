"""The works: a sandbox, a ledger, and the plugins piped together as Meltano pipes them, each a process."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy
from typing_extensions import override

from tests.project import Books
from tests.reconciliation import lines_in_xero, reconcile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.systems import Sandbox
    from tests.trouble.nursery import Nursery, Process

INVOICES = "/api.xro/2.0/Invoices"
BILLED, PLACED = 63, 83
"""Worklogs of the small story that get onto invoices, and that there are."""

_SELECTED = {"tap-msp-sdp": {"worklogs", "extraction"}, "tap-xero-lite": {"contacts", "items"}}
_NUMBERS = itertools.count(1)
_MAPPING = {
    "contacts": "all",
    "type_name_from": "name",
    "rate_source": "item_price",
    "time_zone": "Pacific/Auckland",
}


@dataclass(slots=True)
class Run:
    """One run of the job: three processes, and where their words went."""

    tap: Process
    mapper: Process
    target: Process
    output: Path

    @property
    def processes(self) -> dict[str, Process]:
        return {"tap": self.tap, "mapper": self.mapper, "target": self.target}

    @property
    def running(self) -> bool:
        return self.target.poll() is None

    def states(self) -> list[dict[str, Any]]:
        """Return the STATEs that the target let out; a line that it died in is none."""
        return whole_states(self.output)

    def ended(self) -> int:
        """Wait for the end of all three; return how the target ended."""
        for process in self.processes.values():
            process.ended()
        return self.target.ended()


def whole_states(output: Path) -> list[dict[str, Any]]:
    """Return the STATEs in what a target wrote; a line that it died in is none."""
    return [
        json.loads(line) for line in output.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
    ]


@dataclass(slots=True)
class Works(Books):
    """One installation: its settings, its ledger, its bookmark. Several can share a sandbox."""

    folder: Path
    sandbox: Sandbox
    nursery: Nursery
    url: str
    catalogs: Mapping[str, Path]
    settings: dict[str, Any] = field(default_factory=dict)
    _runs: int = 0

    @property
    @override
    def ledger_url(self) -> str:
        return self.url

    @property
    def ledger_path(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def token_store(self) -> Path:
        return self.folder / "token" / "store.json"

    @property
    def bookmark(self) -> Path:
        """Where the last STATE is kept between runs, as Meltano does."""
        return self.folder / "bookmark.json"

    def beside(self, name: str, sandbox: Sandbox | None = None) -> Works:
        """Return another installation, with a copy of this one's ledger and bookmark."""
        folder = self.folder.parent / f"{self.folder.name}-{name}"
        folder.mkdir()
        self.image(folder)
        if self.bookmark.exists():
            shutil.copy(self.bookmark, folder)
        settings = dict(self.settings)
        return Works(
            folder, sandbox or self.sandbox, self.nursery, sqlite_in(folder), self.catalogs, settings
        )

    def machine(self, name: str, url: str) -> Works:
        """Return another installation with a copy of this one's bookmark, on a ledger of a server."""
        folder = self.folder.parent / f"{self.folder.name}-{name}-{next(_NUMBERS)}"
        folder.mkdir()
        if self.bookmark.exists():
            shutil.copy(self.bookmark, folder)
        return Works(folder, self.sandbox, self.nursery, url, self.catalogs)

    def image(self, folder: Path) -> None:
        """Copy the ledger's files as they lie on the disk."""
        for path in self.folder.glob("ledger.db*"):
            shutil.copy(path, folder / path.name)

    # Settings

    def _xero(self) -> dict[str, Any]:
        return {
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
            "api_url": f"{self.sandbox.xero}/api.xro/2.0",
            "identity_url": self.sandbox.xero,
            "token_store": str(self.token_store),
        }

    def _config(self, name: str) -> str:
        desk = {"base_url": self.sandbox.sdp, "auth_token": "sandbox-authtoken"}
        ledger = {"ledger_url": self.ledger_url}
        content = {
            "tap-msp-sdp": desk,
            "tap-xero-lite": self._xero(),
            "msp-xero-transforms": ledger | _MAPPING,
            "target-msp-sdp": desk | ledger | {"login_url_template": "https://help.kowhai.example/{slug}"},
            "target-xero-invoices": self._xero() | ledger | {"require_trailer": True} | self.settings,
        }
        content["msp-xero"] = content["target-xero-invoices"]
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(content[name]))
        return str(path)

    # Running things

    def start(self, name: str, *arguments: str, **options: Any) -> Process:
        """Start one program with this installation's settings."""
        return self.nursery.start(
            name, *arguments, "--config", self._config(name), folder=self.folder, **options
        )

    def start_run(
        self, tap: str = "tap-msp-sdp", target: str = "target-xero-invoices", **options: Any
    ) -> Run:
        """Start a job: tap, mapper and target, each reading what the one before writes.

        Args:
            tap: the tap.
            target: the target.
            options: for the target's process; with ``stdout`` its STATEs are not kept.
        """
        self._runs += 1
        output = self.folder / f"states-{self._runs}"
        catalog = ["--catalog", str(self.catalogs[tap])]
        if tap == "tap-msp-sdp" and self.bookmark.exists():
            catalog += ["--state", str(self.bookmark)]
        group = {"group": options.pop("group")} if "group" in options else {}
        first, second = os.pipe(), os.pipe()
        with output.open("wb") as states:
            reader = self.start(tap, *catalog, stdout=first[1], **group)
            joins = {"group": reader.pid} if group else {}
            mapper = self.start("msp-xero-transforms", stdin=first[0], stdout=second[1], **joins)
            writer = self.start(target, stdin=second[0], **{"stdout": states} | joins | options)
        for end in (*first, *second):
            os.close(end)
        return Run(reader, mapper, writer, output)

    def finish(self, run: Run) -> int:
        """Wait for the end of a run and keep its bookmark; return how the target ended."""
        code = run.ended()
        if states := run.states():
            self.bookmark.write_text(json.dumps(states[-1]))
        return code

    def run(self, expect: int | None = 0, **options: Any) -> Run:
        """Run the job to its end."""
        run = self.start_run(**options)
        code = self.finish(run)
        assert expect in {None, code}, "".join(one.errors() for one in run.processes.values())
        return run

    def start_push(self, **options: Any) -> Process:
        return self.start("msp-xero", "invoices", "push", **options)

    def push(self, expect: int | None = 3, **options: Any) -> Process:
        """Push to the end; 3 says that something is held, as always in this story."""
        push = self.start_push(**options)
        code = push.ended()
        assert expect in {None, code}, push.errors()
        return push

    # Looking, and looking after

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the ledger, without the product; nothing where there is no ledger yet."""
        if self.url.startswith("sqlite") and not self.ledger_path.exists():
            return []
        engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool)
        try:
            with closing(engine.connect()) as connection:
                return [tuple(row) for row in connection.execute(sqlalchemy.text(query))]
        except sqlalchemy.exc.OperationalError:
            return []

    def invoice_states(self) -> list[str]:
        return [state for (state,) in self.ask("SELECT state FROM invoice ORDER BY id")]

    def staged(self) -> int:
        """Return how many worklogs are in the ledger."""
        return len(self.ask("SELECT id FROM worklog"))

    def puts(self) -> list[dict[str, Any]]:
        return self.sandbox.calls("xero", "PUT")

    def is_billed_once(self) -> None:
        """Nothing is on two live invoices, whatever else may be wrong at the moment."""
        ids = [worklog_id for worklog_id, _, _ in lines_in_xero(self.sandbox)]
        assert len(ids) == len(set(ids)), "a worklog is on two live invoices"

    def comes_to_rest(self, billed: int | None = BILLED) -> None:
        """The next run goes on and completes what was begun; the one after it has nothing to do."""
        self.is_billed_once()
        self.sandbox.mend()
        self.run()
        reconcile(self)
        if billed is not None:
            assert self.states()["invoiced"] == billed
        self.stays_at_rest()

    def stays_at_rest(self) -> None:
        """One more settle writes nothing anywhere."""
        writes, books = len(self.sandbox.writes()), self.sandbox.raw("xero", "invoices")
        ledger = self._lasting()
        self.push()
        assert len(self.sandbox.writes()) == writes
        assert self.sandbox.raw("xero", "invoices") == books
        assert self._lasting() == ledger
        reconcile(self)

    def _lasting(self) -> list[list[tuple[Any, ...]]]:
        tables = ("worklog", "invoice", "invoice_line", "push_batch", "event")
        return [self.ask(f"SELECT * FROM {table} ORDER BY id") for table in tables]


def sqlite_in(folder: Path) -> str:
    """Return the address of the ledger in a folder."""
    return f"sqlite:///{folder / 'ledger.db'}"


def link(works: Works) -> None:
    """Run the two other jobs, so that accounts and worklog types are linked."""
    assert works.start_run("tap-xero-lite", "target-msp-sdp").ended() == 0


def discover(nursery: Nursery, folder: Path, sandbox: Sandbox) -> dict[str, Path]:
    """Return the catalogs of the taps with the streams of our jobs selected, as Meltano writes them."""
    works = Works(folder, sandbox, nursery, sqlite_in(folder), {})
    catalogs = {}
    for tap, streams in _SELECTED.items():
        path = folder / f"{tap}.catalog"
        with path.open("wb") as file:
            assert works.start(tap, "--discover", stdout=file).ended() == 0
        catalog = json.loads(path.read_text())
        for stream in catalog["streams"]:
            for entry in stream["metadata"]:
                if not entry["breadcrumb"]:
                    entry["metadata"]["selected"] = stream["stream"] in streams
        path.write_text(json.dumps(catalog))
        catalogs[tap] = path
    return catalogs
