"""Real processes without their long start: forked from one that has everything imported already.

Run as a program it is the nursery: it reads an order at a time from its standard input, a socket, and
forks a process that becomes what the order names. Each has an identity, signals, limits and files of its
own, like one that was started by a shell; only two seconds of imports are saved.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PROGRAMS = {
    "tap-msp-sdp": "tap_msp_sdp.tap:TapMspSdp.cli",
    "tap-xero-lite": "tap_xero_lite.tap:TapXeroLite.cli",
    "msp-xero-transforms": "msp_xero_transforms.mapper:MspXeroTransforms.cli",
    "target-msp-sdp": "target_msp_sdp.target:TargetMspSdp.cli",
    "target-xero-invoices": "target_xero_invoices.target:TargetXeroInvoices.cli",
    "msp-xero": "msp_xero_console.main:main",
}
ALSO_NEEDED = (
    "msp_xero.ledger.migrations",
    "msp_xero_console.invoices",
    "msp_xero_console.worklogs",
    "psycopg",
    "typer._adapters",
)
_LONGEST_ORDER = 60_000
_MOST_ERRORS = 1 << 20


class Process:
    """A process of the nursery, as the test holds it."""

    code: int | None = None

    def __init__(self, name: str, status: int, errors: int) -> None:
        self.name = name
        self._status = status
        self._said = ""
        self._errors = errors
        self._written = b""
        self.pid = int(self._next_line(60))

    def _next_line(self, seconds: float) -> str:
        """Return the next line of the one that minds the process; empty when it does not come in time."""
        deadline = time.monotonic() + seconds
        while "\n" not in self._said:
            if not select.select([self._status], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return ""
            read = os.read(self._status, 100).decode()
            assert read, f"nobody minds {self.name}"
            self._said += read
        line, _, self._said = self._said.partition("\n")
        return line

    def poll(self) -> int | None:
        """Return how it ended, -9 when it was killed; None while it runs."""
        return self.wait(0)

    def wait(self, seconds: float = 60) -> int | None:
        """Wait for its end; return how it ended, None when the time is over before."""
        if self.code is None and (line := self._next_line(seconds)):
            self.code = int(line)
            os.close(self._status)
        return self.code

    def ended(self) -> int:
        """Wait for its end; return how it ended."""
        code = self.wait()
        assert code is not None, f"{self.name} does not end:\n{self.errors()}"
        assert "Traceback" not in self.errors(), self.errors()
        return code

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def handles(self, number: int) -> bool:
        """Tell whether it answers a signal by itself by now; where the system does not tell, that it does."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        except FileNotFoundError:
            return True
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)

    def strike(self, number: int) -> None:
        """Send a signal if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(number)

    def kill(self) -> None:
        """Kill it, as a dying machine does: no handler gets to act. One that has ended stays ended."""
        self.strike(signal.SIGKILL)
        self.ended()

    def errors(self) -> str:
        """Return all that it wrote to its standard error so far."""
        with contextlib.suppress(BlockingIOError):
            while self._errors >= 0:
                read = os.read(self._errors, 65536)
                self._written += read
                if not read:
                    os.close(self._errors)
                    self._errors = -1
        return self._written.decode("utf-8", "replace")

    def error_lines(self) -> list[str]:
        return [line for line in self.errors().splitlines() if f"{self.name}: error: " in line]

    def is_stopped(self) -> bool:
        """Tell whether it stands still after SIGSTOP, or for good."""
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return True

    def is_napping(self) -> bool:
        """Tell whether one of its threads sleeps for a set time, as one does that waits for a lock."""
        tasks = Path(f"/proc/{self.pid}/task")
        with contextlib.suppress(OSError):
            return any("nanosleep" in (task / "wchan").read_text() for task in tasks.iterdir())
        return False


class Nursery:
    """The nursery as the test calls it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders = ours
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, str(Path(__file__)), "serve"], stdin=theirs, start_new_session=True
            )
        self._alive: list[Process] = []

    def start(
        self,
        name: str,
        *arguments: str,
        folder: Path,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        limits: Mapping[str, int] | None = None,
        group: int | None = None,
        user: int | None = None,
        **variables: str,
    ) -> Process:
        """Start a program.

        Args:
            name: one of :data:`PROGRAMS`.
            arguments: its arguments.
            folder: where it works.
            stdin: what it reads; nothing by default.
            stdout: where it writes to; nowhere by default.
            limits: resource limits by the end of their name, such as ``FSIZE``.
            group: the process group to join, 0 for one of its own.
            user: the identity of the user to become, if not the same as ours.
            variables: environment variables beside those of a bare shell.
        """
        order = {
            "name": name,
            "arguments": arguments,
            "folder": str(folder),
            "limits": dict(limits or {}),
            "group": group,
            "user": user,
            "environment": {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **variables},
        }
        status, minder = os.pipe()
        # A pipe, because a limit to the size of files would hit a file too.
        errors, speaker = os.pipe()
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(speaker, fcntl.F_SETPIPE_SZ, _MOST_ERRORS)
        os.set_blocking(errors, False)
        with Path(os.devnull).open("r+b") as nothing:
            streams = [nothing if one == subprocess.DEVNULL else one for one in (stdin, stdout)]
            files = [one if isinstance(one, int) else one.fileno() for one in streams]
            socket.send_fds(self._orders, [json.dumps(order).encode()], [*files, speaker, minder])
        os.close(minder)
        os.close(speaker)
        self._alive.append(Process(name, status, errors))
        return self._alive[-1]

    def clear(self) -> None:
        """End every process that still runs."""
        for process in self._alive:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.signal(signal.SIGKILL)
                process.wait()
            process.errors()
        self._alive.clear()

    def close(self) -> None:
        self.clear()
        self._orders.close()
        self._server.wait(20)


def _program(name: str) -> Callable[[], Any]:
    module, _, attributes = PROGRAMS[name].partition(":")
    found: Any = importlib.import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found  # type: ignore[no-any-return]


def _become(order: dict[str, Any], files: Sequence[int]) -> Callable[[], Any]:
    """Turn this process into the one that was ordered, up to its first step."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = [order["name"], *order["arguments"]]
    for name, value in order["limits"].items():
        limit = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
    if order["user"] is not None:
        os.setgroups([])
        os.setgid(order["user"])
        os.setuid(order["user"])
    return _program(order["name"])


def _leave_after(program: Callable[[], Any]) -> None:
    """Run a program to its end, and leave without taking everything apart that was imported."""
    try:
        program()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)


def _mind(pid: int, group: int | None, status: int) -> None:
    """Tell the identity of a process, and later how it ended."""
    if group is not None:
        os.setpgid(pid, group)
    os.write(status, f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, f"{code}\n".encode())
    os._exit(0)


def serve() -> None:
    """Fork what is ordered, until nobody orders any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the minders need no burial
    orders = socket.socket(fileno=os.dup(0))
    for module in (*ALSO_NEEDED, *(program.partition(":")[0] for program in PROGRAMS.values())):
        importlib.import_module(module)
    gc.freeze()
    while True:
        text, files, _, _ = socket.recv_fds(orders, _LONGEST_ORDER, 4)
        if not text:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            orders.close()
            *streams, status = files
            order = json.loads(text)
            if pid := os.fork():
                # The other ends must see when the process closes its own.
                null = os.open(os.devnull, os.O_RDWR)
                for file in streams:
                    os.dup2(null, file)
                os.dup2(null, 0)
                _mind(pid, order["group"], status)
            os.close(status)
            program = _become(order, streams)
            for file in streams:
                os.close(file)
            _leave_after(program)
            return
        for file in files:
            os.close(file)


if __name__ == "__main__":
    serve()
