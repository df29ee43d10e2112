"""Worlds for trouble: one sandbox for all tests of a worker, taken back to its start after each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.systems import Sandbox
from tests.trouble.nursery import Nursery
from tests.trouble.works import Works, discover, link, sqlite_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Works:
    """An installation whose accounts and types are linked; the rows of its sandbox lie beside its ledger."""
    folder = tmp_path_factory.mktemp("start")
    sandbox = Sandbox((0, 0), "--scale", "small")
    try:
        catalogs = discover(nursery, folder, sandbox)
        works = Works(folder, sandbox, nursery, sqlite_in(folder), catalogs)
        link(works)
        sandbox.dump_to(folder / "rows.json")
    finally:
        sandbox.stop()
    return works


@pytest.fixture(scope="session")
def one_sandbox(start: Works) -> Iterator[Sandbox]:
    sandbox = Sandbox((0, 0), "--data", str(start.folder / "rows.json"))
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(one_sandbox: Sandbox, nursery: Nursery) -> Iterator[Sandbox]:
    """The sandbox as it was at the start."""
    yield one_sandbox
    nursery.clear()
    one_sandbox.reset()


@pytest.fixture
def works(start: Works, sandbox: Sandbox, tmp_path: Path) -> Works:
    """An installation before the first worklog comes."""
    folder = tmp_path / "works"
    folder.mkdir()
    start.image(folder)
    return Works(folder, sandbox, start.nursery, sqlite_in(folder), start.catalogs)


@pytest.fixture(scope="session")
def staged_ledger(start: Works, one_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ledger whose worklogs have come and wait for a push; made once."""
    folder = tmp_path_factory.mktemp("staged")
    start.image(folder)
    works = Works(folder, one_sandbox, start.nursery, sqlite_in(folder), start.catalogs, {"push": False})
    works.run()
    one_sandbox.reset()
    return folder


@pytest.fixture
def staged(works: Works, staged_ledger: Path) -> Works:
    """An installation whose worklogs have come and wait for a push."""
    for path in staged_ledger.glob("ledger.db*"):
        shutil.copy(path, works.folder / path.name)
    shutil.copy(staged_ledger / "bookmark.json", works.folder)
    return works


@pytest.fixture
def another_sandbox() -> Iterator[Callable[[Path], Sandbox]]:
    """Start sandboxes that hold what is in a file."""
    started: list[Sandbox] = []

    def begin(rows: Path) -> Sandbox:
        started.append(Sandbox((0, 0), "--data", str(rows)))
        return started[-1]

    yield begin
    for sandbox in started:
        sandbox.stop()
