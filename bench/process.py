"""Processes that the benchmark starts: watched while they are waited for, stopped by pid, weighed through /proc."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from bench.load import Outcome, Task

ROOT: Final = Path(__file__).resolve().parent.parent
_TICK: Final = os.sysconf("SC_CLK_TCK")
_LIBC: Final = ctypes.CDLL(None)
_PR_SET_PDEATHSIG: Final = 1
T = TypeVar("T")


class Broken(Exception):
    """The benchmark cannot go on: a process ended, did not answer in time, or answered wrongly."""


def _die_with_parent() -> None:
    """Runs between fork and exec: if the benchmark is killed, what it started gets SIGTERM."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One process with its standard error in a file; as a context manager it is gone at the end."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        *,
        environ: Mapping[str, str] | None = None,
        stop_s: float = 15.0,
    ) -> None:
        self.name = name
        self.log = log
        self.stop_s = stop_s
        with log.open("ab") as errors:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=None if environ is None else dict(environ),
                preexec_fn=_die_with_parent,
            )
        self.pending = b""

    @property
    def pid(self) -> int:
        return self.popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raises `Broken` with the end of its log when the process has ended."""
        if self.popen.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:].strip()
            raise Broken(f"{self.name} ended with status {self.popen.returncode}:\n{tail}")

    def stop(self) -> None:
        """SIGTERM, time to drain, then SIGKILL; returns when the process is reaped."""
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(self.stop_s)
            except subprocess.TimeoutExpired:
                print(f"{self.name} (pid {self.pid}) did not end in {self.stop_s:g} s and was killed", file=sys.stderr)
                self.popen.kill()
                self.popen.wait()

    def line(self, deadline_s: float, *, watching: Callable[[], None] = lambda: None) -> bytes:
        """The next line of its standard output. Raises `Broken` when it, or what is watched, ended, or time is up."""
        assert self.popen.stdout is not None
        descriptor = self.popen.stdout.fileno()
        end = time.monotonic() + deadline_s
        while b"\n" not in self.pending:
            if time.monotonic() > end:
                raise Broken(f"{self.name} said nothing for {deadline_s:g} s")
            if select.select([descriptor], [], [], 0.2)[0]:
                data = os.read(descriptor, 1 << 16)
                self.pending += data
                if not data:
                    self.popen.wait(5)
                    self.check()
            else:
                self.check()
                watching()
        line, _, self.pending = self.pending.partition(b"\n")
        return line


class Upstream(Child):
    """The fixed upstream in its own process."""

    def __init__(self, scratch: Path) -> None:
        super().__init__("the upstream", [sys.executable, "-m", "bench.upstream"], scratch / "upstream.log")
        try:
            self.port = int(self.line(20))
        except BaseException:
            self.stop()
            raise


class Load(Child):
    """The load generator in its own process."""

    def __init__(self, scratch: Path) -> None:
        super().__init__("the load generator", [sys.executable, "-m", "bench.load"], scratch / "load.log")

    def run(self, task: Task, *, watching: Callable[[], None]) -> Outcome:
        """One round. Raises `Broken` when a reply was wrong or missing."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(msgspec.json.encode(task) + b"\n")
        self.popen.stdin.flush()
        outcome = msgspec.json.decode(self.line(task.deadline_s + 10, watching=watching), type=Outcome)
        if outcome.failure is not None:
            watching()
            raise Broken(
                f"{outcome.failures} of {task.requests + task.warm} calls failed; the first: {outcome.failure}"
            )
        return outcome


def wait_for(ready: Callable[[], T | None], what: str, deadline_s: float, *, watching: Callable[[], None]) -> T:
    """Poll until `ready` answers. Raises `Broken` when time is up or a watched process has ended."""
    end = time.monotonic() + deadline_s
    while (answer := ready()) is None:
        watching()
        if time.monotonic() > end:
            raise Broken(f"{what} was not ready after {deadline_s:g} s")
        time.sleep(0.02)
    return answer


def accepts(port: int) -> bool | None:
    """True when 127.0.0.1:port takes a connection."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return None
    return True


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; another process may take one before it is used, which then fails loudly."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, from `state` on; None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_us(root: int) -> float:
    """User and system time of a process tree so far, in µs.

    The live ones through their process clocks (what /proc/PID/stat shows, without its rounding to ticks); children
    that ended and were waited for through their parent's /proc/PID/stat.
    """
    total = 0.0
    for pid in tree(root):
        fields = _stat(pid)
        if fields is not None:
            with contextlib.suppress(OSError):  # it ended in between; its parent counts it from now on
                total += time.clock_gettime_ns((~pid << 3) | 2) / 1000  # CPUCLOCK_SCHED of that process, proc(5)
                total += (int(fields[13]) + int(fields[14])) * 1e6 / _TICK
    return total


def resident_mb(root: int) -> float:
    """Resident memory of a process tree in MB (10^6 bytes): the sum of VmRSS, so shared pages count each time."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
    return total * 1024 / 1e6


def threads_us(root: int) -> dict[int, float]:
    """Time on the CPU of each live thread of one process so far, in µs, by its number; the main one is `root`."""
    found = {}
    for task in Path(f"/proc/{root}/task").iterdir():
        with contextlib.suppress(OSError):
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1000
    return found
