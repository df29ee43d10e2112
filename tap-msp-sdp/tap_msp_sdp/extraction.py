"""The walk over all parents: which ones, in which order, with what standing in the bookmarks."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from msp_xero.errors import InputError, Missing, NoAddress
from msp_xero.sdp import CannotWalk
from msp_xero.sdp.dialects import iso_utc

from tap_msp_sdp.lately_open import LatelyOpen
from tap_msp_sdp.modules import LICENSED, MODULES
from tap_msp_sdp.parents import NoList, Parent, ParentLists
from tap_msp_sdp.reading import Reader
from tap_msp_sdp.settings import to_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from msp_xero.errors import RemoteError
    from msp_xero.sdp import SdpClient

    from tap_msp_sdp.bookmarks import Bookmarks
    from tap_msp_sdp.settings import ExtractionSettings
    from tap_msp_sdp.tally import Tally

logger: Final = logging.getLogger("tap_msp_sdp")

Record = dict[str, Any]
PARENTS_AHEAD: Final = 100
PARENTS_A_CHECKPOINT: Final = 100


@dataclass(frozen=True, slots=True)
class Walk:
    """One pass over the parents of a kind, and the modules whose worklogs it finds."""

    name: str
    modules: tuple[str, ...]


def plan_walks(settings: ExtractionSettings) -> list[Walk]:
    """Return the walks that the selected modules need; one listing serves all of them.

    Requests, problems and changes are walked for their own worklogs and for those of their tasks
    (module ``tasks``) at once. With global discovery the task list serves tasks and projects.
    """
    from_parents = settings.task_discovery == "parents"
    serves: dict[str, tuple[str, ...]] = {
        name: (name, "tasks") if from_parents else (name,) for name in ("requests", "problems", "changes")
    }
    serves["projects"] = ("projects",) if from_parents else ()
    serves["tasks"] = ("tasks",) if from_parents else ("projects", "tasks")
    walks = [
        Walk(name, tuple(module for module in modules if module in settings.modules))
        for name, modules in serves.items()
    ]
    return [walk for walk in walks if walk.modules]


def walks_by_module(walks: Iterable[Walk]) -> dict[str, list[str]]:
    """Return the names of the walks that each module needs."""
    needed: dict[str, list[str]] = {}
    for walk in walks:
        for module in walk.modules:
            needed.setdefault(module, []).append(walk.name)
    return needed


class Extraction:
    """Walks everything once. ``checkpoint`` is called when the bookmarks may be sent on."""

    def __init__(
        self,
        client: SdpClient,
        settings: ExtractionSettings,
        bookmarks: Bookmarks,
        tally: Tally,
        checkpoint: Callable[[], None],
    ) -> None:
        self._client = client
        self._settings = settings
        self._bookmarks = bookmarks
        self._tally = tally
        self._checkpoint = checkpoint
        self._started_ms = round(tally.started_at.timestamp() * 1000)
        self._reader = Reader(
            client,
            started_at=iso_utc(self._started_ms),
            tasks_from_parents=settings.task_discovery == "parents",
        )
        self._unsaved = 0
        # id -> time of change, and for which modules it was read, of the walk that runs
        self._walked: dict[str, tuple[int | None, tuple[str, ...]]] = {}

    def records(self) -> Iterator[Record]:
        """Yield every worklog once, in the order of the parents.

        A bookmark moves only after the consumer has taken all records that it covers. The state goes
        out before the first record, too: it tells where this run starts.

        Raises:
            RemoteError: something could not be read; what was yielded is covered by the bookmarks.
        """
        walks = plan_walks(self._settings)
        since = {
            module: {walk: self._bookmarks.get(module, walk) for walk in names}
            for module, names in walks_by_module(walks).items()
        }
        if "tasks" in self._settings.modules:
            self._reader.paths.have_answered(self._bookmarks.paths_that_answered())
        self._tally.begin([MODULES[name].singular for name in self._settings.modules], since)
        self._checkpoint()
        pool = ThreadPoolExecutor(self._client.settings.concurrency, thread_name_prefix="sdp")
        try:
            for walk in walks:
                self._walked = {}
                try:
                    yield from self._walk(walk, pool)
                except NoList as absent:
                    self._without_list(walk, absent.reason)
                self._save()
            self._tally.complete()
        except BaseException as error:
            if isinstance(error, Exception):
                self._save()
            self._client.close()  # also after a signal: no worker sits out a long wait
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _without_list(self, walk: Walk, error: RemoteError) -> None:
        """Go on without a list that need not exist; not without others.

        The list of general tasks is not confirmed to exist. Problems and changes are not in every
        licence, and who left them out of ``modules`` wants tasks only of what there is.
        """
        if walk.name == "tasks" and self._settings.task_discovery == "parents" and isinstance(error, Missing):
            logger.warning("GET tasks does not exist on this installation: general tasks are not read")
        elif (
            walk.name in LICENSED
            and walk.name not in self._settings.modules
            and not isinstance(error, NoAddress)  # a web server's word for what SDP would have to say
        ):
            logger.warning(
                "This installation has no %s (%s): tasks of %s are not read",
                walk.name,
                error.problem,
                walk.name,
            )
        elif isinstance(error, Missing):
            raise Missing(
                error.problem,
                system=error.system,
                address=error.address,
                status=error.status,
                advice=error.advice or f"If this installation has no {walk.name}, leave them out of modules",
            ) from error
        else:
            raise error

    def _walk(self, walk: Walk, pool: ThreadPoolExecutor) -> Iterator[Record]:
        parents = ParentLists(self._client, walk.name)
        self._reader.paths.begin_walk()
        since = {module: self._since(module, walk.name) for module in walk.modules}
        # Asked before the walk by time of change moves the bookmarks, which may break off at a later page.
        window_start = self._window_start(walk, since)
        reached: dict[str, str] = {}
        try:
            yield from self._read_changed(walk, parents, since, pool, reached)
        except CannotWalk as reason:
            logger.info("%s cannot be asked by time of change (%s)", walk.name, reason)
            lately_open = self._lately_open(walk)
            yield from self._read_within(walk, parents, window_start, pool, lately_open)
            self._has_read_within(walk, lately_open)
            return
        if self._settings.sweep_ms:
            start = max(self._started_ms - self._settings.sweep_ms, self._settings.start_ms or 0)
            yield from self._read_within(walk, parents, start, pool, LatelyOpen([]))
        for module in walk.modules:
            # Walks by time of change see nothing of what is open.
            self._bookmarks.forget_open(module, walk.name)
        self._advance(walk, reached, self._read_to_the_end(walk))

    def _has_read_within(self, walk: Walk, lately_open: LatelyOpen) -> None:
        """Move the bookmarks of a walk that is over to its start, and keep what was open."""
        today, first_day = self._days_of_window()
        done = self._read_to_the_end(walk)
        for module in walk.modules:
            if module in done:
                self._bookmarks.advance(module, walk.name, iso_utc(self._started_ms), by_own_clock=True)
                seen = lately_open.to_remember(today, first_day)
                self._bookmarks.remember_open(module, walk.name, seen, self._settings.task_discovery)
            else:
                # What is refused may be closed for long when it is asked again: nothing is dropped.
                self._bookmarks.add_open(module, walk.name, lately_open.to_remember(today))

    def _read_to_the_end(self, walk: Walk) -> tuple[str, ...]:
        """Return the modules of a walk that is over which lack nothing: their bookmarks may move."""
        in_doubt = self._reader.paths.is_in_doubt()
        return tuple(name for name in walk.modules if not (in_doubt and name == "tasks"))

    def _bookmark_ms(self, module: str, walk: str) -> int | None:
        """Return where a walk stands, None where it begins anew.

        A time by this machine's clock that is still to come was written by a clock that was wrong, and tells
        nothing.
        """
        bookmark = self._bookmarks.get(module, walk)
        if bookmark is None:
            return None
        try:
            at = to_ms(bookmark)
        except ValueError:
            raise InputError(
                f"The bookmark of {module} in the state is not a time: {bookmark[:40]}"
            ) from None
        is_wrong = at > self._started_ms and self._bookmarks.is_by_own_clock(module, walk)
        return None if is_wrong else at

    def _since(self, module: str, walk: str) -> int | None:
        """Return from when parents are read for a module, None for all."""
        at = self._bookmark_ms(module, walk)
        return self._settings.start_ms if at is None else max(at - self._settings.overlap_ms, 0)

    def _changed_from(self, module: str, walk: Walk, since: int | None) -> int:
        """Return the time of change from which parents are read for a module, by the clock of SDP.

        A bookmark by another clock is no such time: what was changed before it may never have been read.
        """
        if since is None:
            return 0
        if not self._bookmarks.is_by_own_clock(module, walk.name):
            return since
        return max(since - self._settings.window_ms, min(since, self._settings.start_ms or 0))

    def _window_start(self, walk: Walk, since: dict[str, int | None]) -> int | None:
        """Return from when closed parents are read where time of change is no help, None for all.

        A first run reads from ``start_date``; later ones reach back over the window, and further
        when the last run is longer ago.
        """
        if any(self._bookmark_ms(module, walk.name) is None for module in walk.modules):
            times = list(since.values())
            return None if None in times else min(at for at in times if at is not None)
        window = max(self._settings.window_ms, self._settings.sweep_ms)
        reached_back = max(self._started_ms - window, self._settings.start_ms or 0)
        return min(reached_back, *(at for at in since.values() if at is not None))

    def _lately_open(self, walk: Walk) -> LatelyOpen:
        """Return what was open lately as far as any module knows that a walk serves."""
        discovery = self._settings.task_discovery
        remembered = [
            told for module in walk.modules for told in self._bookmarks.lately_open(module, walk.name).items()
        ]
        if all(self._bookmarks.knows_open(module, walk.name, discovery) for module in walk.modules):
            return LatelyOpen(remembered)
        return LatelyOpen(remembered, self._settings.start_ms or 0)

    def _days_of_window(self) -> tuple[str, str]:
        """Return the day of this run, and the first one of the window before it."""
        window = max(self._settings.window_ms, self._settings.sweep_ms)
        return iso_utc(self._started_ms)[:10], iso_utc(max(self._started_ms - window, 0))[:10]

    def _read_changed(
        self,
        walk: Walk,
        parents: ParentLists,
        since: dict[str, int | None],
        pool: ThreadPoolExecutor,
        reached: dict[str, str],
    ) -> Iterator[Record]:
        """Read parents in the order of their change; ``reached`` is told how far, by module."""
        starts = {module: self._changed_from(module, walk, at) for module, at in since.items()}

        def wanted(parent: Parent) -> tuple[str, ...]:
            at = parent.updated_ms
            return tuple(name for name in walk.modules if at is None or at >= starts[name])

        changed = parents.changed_since(min(starts.values()))
        for parent, modules, records in self._side_by_side(pool, changed, wanted):
            yield from self._emit(parent, records)
            self._walked[parent.id] = (parent.updated_ms, modules)
            if parent.updated_ms is not None and parent.updated_ms <= self._started_ms:
                # A date in the future must not hide what comes until then; nor must the time of this machine
                # stand for one of SDP.
                reached |= dict.fromkeys(modules, iso_utc(parent.updated_ms))
            waits = self._reader.paths.has_left_out
            self._advance(walk, reached, [name for name in modules if not (waits and name == "tasks")])
            self._unsaved += 1
            if self._unsaved >= PARENTS_A_CHECKPOINT:
                self._save()

    def _advance(self, walk: Walk, reached: dict[str, str], modules: Iterable[str]) -> None:
        """Move the bookmarks of some modules to where a walk stands."""
        for module in modules:
            if module in reached:
                self._bookmarks.advance(module, walk.name, reached[module])

    def _read_within(
        self,
        walk: Walk,
        parents: ParentLists,
        start: int | None,
        pool: ThreadPoolExecutor,
        lately_open: LatelyOpen,
    ) -> Iterator[Record]:
        """Read parents that are open or moved since ``start``, but for what was just read of them."""

        def wanted(parent: Parent) -> tuple[str, ...]:
            if not (parent.belongs_to and self._settings.task_discovery == "parents"):
                lately_open.see(parent)  # other tasks are passed over here
            updated, modules = self._walked.get(parent.id, (None, ()))
            read = modules if updated == parent.updated_ms else ()
            return tuple(name for name in walk.modules if name not in read)

        for parent, _, records in self._side_by_side(pool, parents.within(start, lately_open), wanted):
            yield from self._emit(parent, records)

    def _emit(self, parent: Parent, records: list[Record]) -> Iterator[Record]:
        for record in records:
            if parent.is_of_unknown_parents and self._tally.has_lost_its_account(record):
                continue  # it came below its parent already, which nothing here names
            if self._tally.is_new(record):
                yield record
                self._tally.count(record)

    def _side_by_side(
        self,
        pool: ThreadPoolExecutor,
        parents: Iterable[Parent],
        wanted: Callable[[Parent], tuple[str, ...]],
    ) -> Iterator[tuple[Parent, tuple[str, ...], list[Record]]]:
        """Read parents with several workers and hand them out in their order, about a page at a time."""
        ahead: deque[tuple[Parent, tuple[str, ...], Future[list[Record]]]] = deque()
        for parent in parents:
            modules = wanted(parent)
            if modules:
                ahead.append((parent, modules, pool.submit(self._reader.read, parent, modules)))
            while len(ahead) >= PARENTS_AHEAD or (ahead and ahead[0][2].done()):
                first, served, future = ahead.popleft()
                yield first, served, future.result()
        while ahead:
            first, served, future = ahead.popleft()
            yield first, served, future.result()

    def _save(self) -> None:
        self._unsaved = 0
        self._bookmarks.remember_answered(self._reader.paths.that_answered())
        self._checkpoint()
