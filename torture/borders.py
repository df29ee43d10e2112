"""The borders of the program under test: HTTP, time, workers, the database's commits.

Nothing of the program is changed above them. A :class:`Process` counts what crosses a border and
lets its plan strike there: a kill, a signal, a full disk, or something that happens meanwhile.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from unittest import mock

import msp_xero.sdp.client
import msp_xero.xero.client
import msp_xero_sandbox.sdp.listing
import msp_xero_sandbox.xero.listing
import requests
import tap_msp_sdp.extraction
from jinja2.sandbox import SandboxedEnvironment
from msp_xero.billing import push, settings
from msp_xero.edges.clock import SystemClock
from msp_xero.ledger import store
from msp_xero.singer import target
from msp_xero_transforms import rules
from msp_xero_transforms.steps.describe import compile_template
from requests.adapters import BaseAdapter
from singer_sdk.plugin_base import PluginBase
from tap_msp_sdp.streams import ControlTotal, Worklogs
from tap_msp_sdp.tap import TapMspSdp
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from msp_xero.edges.clock import Clock
    from sqlalchemy import Engine

BEFORE: Final = "before"
AFTER: Final = "after"
BORDERS: Final = ("call", "commit", "line", "put")
FEW_ROWS: Final = 2
"""Rows and parents between two checkpoints: few, so that every boundary is met in a short run."""


_CHECKPOINTS: Final = (
    (target, "CHECKPOINT_ROWS"),
    (target.StagingSink, "MAX_SIZE_DEFAULT"),
    (tap_msp_sdp.extraction, "PARENTS_A_CHECKPOINT"),
)
_AS_IT_IS: Final = {(place, name): getattr(place, name) for place, name in _CHECKPOINTS}


class Killed(BaseException):
    """The process is gone; nothing in the program may catch this."""


@dataclass(slots=True)
class Strike:
    """Something that happens when the n-th thing crosses a border.

    Attributes:
        border: ``call``, ``commit``, ``line`` (of a target's input) or ``put``, a write to Xero: what strikes
            after one comes also when its answer is lost.
        nth: which one, counted from 1 since the process began.
        moment: ``before`` or ``after`` it.
        act: what happens; it may raise.
    """

    border: str
    nth: int
    moment: str
    act: Callable[[], None]


@dataclass(slots=True)
class Process:
    """One process of the program: what crossed its borders so far, and what strikes it."""

    strikes: list[Strike] = field(default_factory=list)
    crossed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BORDERS, 0))
    struck: int = 0
    dead: bool = False
    on_signal: Callable[[int], None] | None = None

    def kill(self) -> None:
        """End the process at once: it can neither call nor commit from now on."""
        self.dead = True
        raise Killed

    def signal(self, number: int) -> None:
        """Send a signal; a program that does not listen yet ends at once."""
        if self.on_signal is None:
            self.kill()
        else:
            self.on_signal(number)

    @contextlib.contextmanager
    def crossing(self, border: str) -> Iterator[None]:
        """Let one thing cross a border."""
        if self.dead:
            raise Killed
        self.crossed[border] += 1
        number = self.crossed[border]
        self._strike(border, number, BEFORE)
        yield
        self._strike(border, number, AFTER)

    def _strike(self, border: str, number: int, moment: str) -> None:
        for strike in self.strikes:
            if (strike.border, strike.nth, strike.moment) == (border, number, moment):
                self.struck += 1
                strike.act()


class Borders:
    """The injected borders of one world; ``process`` is the one that runs now."""

    def __init__(self, clock: Clock, adapters: dict[str, BaseAdapter]) -> None:
        self.clock = clock
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.adapters.clear()
        for prefix, adapter in adapters.items():
            self.lead(prefix, adapter)
        self.process = Process()
        self._running = 0

    def lead(self, prefix: str, adapter: BaseAdapter) -> None:
        """Let all calls to URLs that begin so go there from now on."""
        self.session.mount(prefix, _Wire(self, adapter))

    @property
    def is_busy(self) -> bool:
        """Whether some process runs."""
        return self._running > 0

    @contextlib.contextmanager
    def running(self, process: Process) -> Iterator[Process]:
        """Run a process; another one may run in the middle of it, as on another machine."""
        outer, self.process = self.process, process
        self._running += 1
        try:
            yield process
        finally:
            self.process = outer
            self._running -= 1


class _Wire(BaseAdapter):
    """Counts the calls of the process that makes them."""

    def __init__(self, borders: Borders, inner: BaseAdapter) -> None:
        super().__init__()
        self._borders = borders
        self._inner = inner

    @override
    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        process = self._borders.process
        with process.crossing("call"):
            try:
                return self._inner.send(request, *arguments, **options)
            finally:
                if request.method == "PUT" and not process.dead:
                    with process.crossing("put"):
                        pass

    @override
    def close(self) -> None:
        """Nothing is held open."""


class Inline:
    """Workers that take turns: what is handed in is done at once, so that a seed can be replayed."""

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Future[Any]:
        """Do the work now; only an ordinary error waits for whoever asks."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **options))
        except Exception as error:  # noqa: BLE001 - handed on through the future, as a pool does
            future.set_exception(error)
        return future

    def shutdown(self, **_options: Any) -> None:
        """Nobody works in the background."""


class _Now:
    """The world whose program runs; the patched places ask it."""

    borders: Borders | None = None


def _here() -> Borders:
    assert _Now.borders is not None, "the program runs outside of any world"
    return _Now.borders


@contextlib.contextmanager
def within(borders: Borders) -> Iterator[None]:
    """Let the program meet these borders."""
    _Now.borders = borders
    try:
        yield
    finally:
        _Now.borders = None


@contextlib.contextmanager
def injected() -> Iterator[None]:
    """Put the borders in place, once for a whole simulation."""
    with contextlib.ExitStack() as stack:

        def put(place: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(place, name, value))

        put(SystemClock, "now", lambda _: _here().clock.now())
        put(SystemClock, "monotonic", lambda _: _here().clock.monotonic())
        put(SystemClock, "sleep", lambda _, seconds: _here().clock.sleep(seconds))
        for client in (msp_xero.xero.client, msp_xero.sdp.client):
            put(client, "http_session", lambda **_: _here().session)
        for module in (push, tap_msp_sdp.extraction):
            put(module, "ThreadPoolExecutor", Inline)
        put(store, "make_engine", engine_of)
        put(store, "_prepare_sqlite", _prepared(store._prepare_sqlite))  # noqa: SLF001 - only a test may
        put(PluginBase, "_setup_signal_handlers", lambda _: None)
        for place, name in _CHECKPOINTS:
            put(place, name, FEW_ROWS)
        # What comes out the same every time is made once.
        put(rules, "compile_template", functools.cache(compile_template))
        put(settings, "SandboxedEnvironment", functools.cache(_ReferenceTemplates))
        put(TapMspSdp, "discover_streams", lambda tap: [Worklogs(tap=tap), ControlTotal(tap=tap)])
        yield


@contextlib.contextmanager
def seldom_stored() -> Iterator[None]:
    """Let the program store as seldom as it does by itself: in quiet runs nothing strikes in between."""
    with contextlib.ExitStack() as stack:
        for (place, name), rows in _AS_IT_IS.items():
            stack.enter_context(mock.patch.object(place, name, rows))
        yield


@contextlib.contextmanager
def short_pages(rows: int) -> Iterator[None]:
    """Let lists of both systems come in pages of so many rows at most, whatever is asked for."""
    with (
        mock.patch.object(msp_xero_sandbox.xero.listing, "LARGEST", rows),
        mock.patch.object(msp_xero_sandbox.sdp.listing, "MOST_ROWS", rows),
    ):
        yield


class _ReferenceTemplates(SandboxedEnvironment):
    """Compiles each template once."""

    from_string = functools.cache(SandboxedEnvironment.from_string)  # type: ignore[assignment]


_make_engine = store.make_engine


@functools.cache
def engine_of(url: str) -> Engine:
    """Return the one engine of a URL, whose statements are compiled once, with commits that are counted."""
    engine = _make_engine(url)
    commit = engine.dialect.do_commit

    def counted(connection: Any) -> None:
        with _Now.borders.process.crossing("commit") if _Now.borders else contextlib.nullcontext():
            commit(connection)

    engine.dialect.do_commit = counted  # type: ignore[method-assign,assignment]
    engine.forget = engine.dispose  # type: ignore[attr-defined]
    engine.dispose = lambda **_: None  # type: ignore[method-assign]
    return engine


def _prepared(prepare: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def prepare_quickly(connection: sqlite3.Connection, record: Any) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA synchronous=OFF")  # nobody pulls the plug of this machine

    return prepare_quickly


def disk_full() -> None:
    """Fail as SQLite does when the disk is full."""
    raise sqlite3.OperationalError("database or disk is full")


def locked() -> None:
    """Fail as SQLite does when somebody else keeps the database locked."""
    raise sqlite3.OperationalError("database is locked")


def read_only() -> None:
    """Fail as SQLite does when its file may not be written."""
    raise sqlite3.OperationalError("attempt to write a readonly database")
