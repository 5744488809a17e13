"""What the disk below a home does by itself: an append of 4 KB and its fdatasync, and which file system it is."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from msgspec import Struct


class Disk(Struct, frozen=True):
    """4 KB appended and made durable, in µs."""

    filesystem: str
    p50_us: float
    p99_us: float


def probe(directory: Path, *, times: int = 400) -> Disk:
    """Append and sync in `directory`, as the journal does but without it."""
    taken = []
    data = os.urandom(4096)
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter_ns()
            file.write(data)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter_ns() - began) / 1000)
    taken.sort()
    return Disk(filesystem(directory), taken[times // 2], taken[int(times * 0.99)])


def filesystem(directory: Path) -> str:
    """The type of the file system that holds `directory`, as the kernel names it."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return "unknown"
