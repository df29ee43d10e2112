"""The worlds that tests start in: a sandbox on real sockets, and a project like ours beside it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests import contract
from tests.project import Project
from tests.systems import Sandbox, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    StartSandbox = Callable[..., Sandbox]


def _judge_and_stop(sandbox: Sandbox) -> list[str]:
    """Compare every call of a sandbox with Xero's OpenAPI file, then stop it."""
    xero = contract.load()
    try:
        return xero.problems(sandbox.calls("xero")) if xero and sandbox.running else []
    finally:
        sandbox.stop()


@pytest.fixture(scope="session")
def ports() -> tuple[int, int]:
    """One pair of ports for all sandboxes of a worker, so that a copied project finds its systems again."""
    xero, sdp = free_ports(2)
    return xero, sdp


@pytest.fixture(autouse=True)
def start_sandbox(ports: tuple[int, int]) -> Iterator[StartSandbox]:
    """Start sandboxes; at the end of each test all their calls are held against Xero's OpenAPI file."""
    started: list[Sandbox] = []

    def start(*options: str) -> Sandbox:
        assert not any(sandbox.running for sandbox in started), "one sandbox at a time"
        started.append(Sandbox(ports, *options))
        return started[-1]

    yield start
    problems = [problem for sandbox in started for problem in _judge_and_stop(sandbox)]
    assert not problems, "\n".join(problems)


@pytest.fixture
def project(tmp_path: Path, start_sandbox: StartSandbox) -> Project:
    """A project before its first run."""
    return Project.create(tmp_path / "project", start_sandbox("--scale", "small"))


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str, ports: tuple[int, int]) -> Path:
    """A project in three moments of its first run, with the rows of both systems then; made once.

    The workers share it. ``linked``: accounts and worklog types are linked, no worklog has come yet.
    ``staged``: the worklogs are in the ledger, and pushing is off. ``billed``: after all three jobs, with
    pushing on.
    """
    mine = tmp_path_factory.getbasetemp()
    folder = (mine if worker_id == "master" else mine.parent) / "first-run"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a worker left that failed in the middle of it
            _run_for_the_first_time(folder, ports)
            (folder / "whole").touch()
    return folder


def _run_for_the_first_time(folder: Path, ports: tuple[int, int]) -> None:
    sandbox = Sandbox(ports, "--scale", "small")
    linked = Project.create(folder / "linked" / "project", sandbox)
    try:
        linked.run("accounts", "worklog-types")
        _keep(linked)
        staged = linked.copy(folder / "staged" / "project")
        staged.run("worklogs", TARGET_XERO_INVOICES_PUSH="false")
        _keep(staged)
        billed = linked.copy(folder / "billed" / "project")
        billed.run("worklogs")
        _keep(billed)
    finally:
        problems = _judge_and_stop(sandbox)
    assert not problems, "\n".join(problems)


def _keep(project: Project) -> None:
    """Write what the sandbox holds now, and what was said and called, beside the project."""
    project.sandbox.dump_to(project.folder.parent / "rows.json")
    (project.folder.parent / "output").write_text(project.output)
    calls = {system: project.sandbox.calls(system) for system in ("xero", "sdp")}
    (project.folder.parent / "calls.json").write_text(json.dumps(calls))


@pytest.fixture
def linked(tmp_path: Path, first_run: Path, start_sandbox: StartSandbox) -> Project:
    """A project whose accounts and worklog types are linked, before the first worklog."""
    return _continued(first_run / "linked", tmp_path, start_sandbox)


@pytest.fixture
def staged(tmp_path: Path, first_run: Path, start_sandbox: StartSandbox) -> Project:
    """A project whose worklogs have come and wait for a push."""
    return _continued(first_run / "staged", tmp_path, start_sandbox)


@pytest.fixture
def billed(tmp_path: Path, first_run: Path, start_sandbox: StartSandbox) -> Project:
    """A project after its first run of all three jobs."""
    return _continued(first_run / "billed", tmp_path, start_sandbox)


def _continued(moment: Path, tmp_path: Path, start_sandbox: StartSandbox) -> Project:
    """Copy the project, and start a sandbox that holds what it held then."""
    sandbox = start_sandbox("--data", str(moment / "rows.json"))
    project = Project(moment / "project", sandbox).copy(tmp_path / "project")
    project.meet(sandbox)
    project.output = (moment / "output").read_text()
    return project
