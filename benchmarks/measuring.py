"""What the benchmarks share: processes measured from outside, and the sandbox's own count of calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Figure:
    """One measured part: seconds by the wall clock and of processor time, peak memory of a process in MB."""

    seconds: float
    processor: float
    megabytes: float


def in_own_process(look: Callable[[str], Any], address: str) -> Any:
    """Look at a sandbox's rows in a process of its own.

    A measured process starts with the peak memory of the one that started it, so this one stays small.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(look, address).result()


def write_catalog(plugin: str, config: Path, folder: Path, streams: set[str]) -> Path:
    """Write a catalog in which only some streams are selected."""
    found = subprocess.run(
        [BIN / plugin, "--config", config, "--discover"], capture_output=True, check=True
    ).stdout
    catalog = json.loads(found)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in streams
    path = folder / f"{plugin}-{'-'.join(sorted(streams))}.json"
    path.write_text(json.dumps(catalog))
    return path


def finish(processes: list[subprocess.Popen[bytes]], started: float, log: Path) -> Figure:
    """Wait for processes that stand side by side; memory is that of the largest."""
    peak = processor = 0.0
    for process in processes:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = max(peak, usage.ru_maxrss / 1024)
        processor += usage.ru_utime + usage.ru_stime
        if process.returncode:
            sys.exit(f"{process.args!r} failed:\n{log.read_text(errors='replace')[-2000:]}")
    return Figure(time.monotonic() - started, processor, peak)


def calls(address: str) -> int:
    """Return how many calls a system of the sandbox has answered."""
    summary = requests.get(f"{address}/_sandbox/calls?summary=1", timeout=60).json()
    return int(sum(_numbers(summary)))


def _numbers(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [number for member in value.values() for number in _numbers(member)]
    if isinstance(value, list):
        return [number for member in value for number in _numbers(member)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []
