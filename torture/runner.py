"""Playing many scripts on all processors, each process with a workshop of its own."""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Final

from torture.borders import injected
from torture.simulate import Tally, simulate
from torture.world import Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torture.script import Script

CHUNK: Final = 20
_SELDOM: Final = (100_000, 20, 10)
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder in memory, where there is one


@contextlib.contextmanager
def workshop() -> Iterator[Workshop]:
    """A workshop in memory where the system has a place for that, with all borders injected."""
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
    root = logging.getLogger()
    with injected():
        made = Workshop(folder)
        root.addHandler(made.ears)
        level, root.level = root.level, logging.INFO
        try:
            yield made
        finally:
            root.level = level
            root.removeHandler(made.ears)
            made.close()


class _Worker:
    """What a worker process keeps between chunks."""

    workshop: Workshop


def _begin() -> None:
    stack = contextlib.ExitStack()
    _Worker.workshop = stack.enter_context(workshop())
    # What is there by now stays; the rubbish of some months is collected at once, a tenth faster.
    gc.freeze()
    gc.set_threshold(*_SELDOM)
    atexit.register(stack.close)
    multiprocessing.util.Finalize(None, stack.close, exitpriority=10)


def _play(make: Callable[[int], Script], numbers: Sequence[int]) -> Tally:
    total = Tally()
    for number in numbers:
        total.add(simulate(_Worker.workshop, make(number)))
    return total


def play_all(  # noqa: PLR0913 - when to stop, and whom to tell
    make: Callable[[int], Script],
    numbers: Iterable[int],
    *,
    jobs: int,
    seconds: float | None = None,
    until_broken: bool = False,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Play the scripts of many numbers.

    Args:
        make: turns a number into its script; has to be importable.
        numbers: the seeds, or the numbers of cases.
        jobs: processes side by side.
        seconds: stop handing out work after that long; what was begun is finished.
        until_broken: stop handing out work when the first promise is broken.
        progress: told the sum after each chunk.
    """
    total, waiting = Tally(), list(numbers)
    chunks = [waiting[start : start + CHUNK] for start in range(0, len(waiting), CHUNK)]
    deadline = None if seconds is None else time.monotonic() + seconds
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin) as pool:
        futures = [pool.submit(_play, make, chunk) for chunk in chunks]
        for done in as_completed(futures):
            if not done.cancelled():
                total.add(done.result())
                progress(total)
            is_over = deadline is not None and time.monotonic() >= deadline
            if is_over or (until_broken and total.first_broken()):
                for future in futures:
                    future.cancel()
    return total
