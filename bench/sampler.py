"""Runs `sekimori` with a sampling profiler inside: `python -m bench.sampler OUT ARGUMENTS…`.

A timer of the process's own CPU time (each 4 ms at most, the kernel's tick) interrupts, and the Python stack of the
main thread is counted; that costs well under 1 %, where a tracing profiler would multiply the price of small calls.
Time in C functions counts for the Python function that called them; time in the event loop and the kernel between two
callbacks shows where the next callback begins, and is marked as such. Counting starts and stops with SIGUSR1, which
writes the counts so far to OUT: one line per stack, `count<TAB>innermost;…;outermost`, and before them one per live
thread, `thread<TAB>kernel's number<TAB>name`.
"""

from __future__ import annotations

import dis
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

INTERVAL_S: Final = 0.002
DEPTH: Final = 80
BETWEEN: Final = "loop:between callbacks"
"""Stands innermost where a function called by the event loop had not begun yet."""
_RESUME: Final = dis.opmap["RESUME"]


def _begins(frame: FrameType) -> bool:
    """Whether the frame stands at its first instruction, called from outside of the package."""
    caller = frame.f_back
    outside = caller is None or _package(caller) != _package(frame)
    return outside and frame.f_code.co_code[frame.f_lasti] == _RESUME


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?")).partition(".")[0]


class Sampler:
    """Counts of stacks; each a tuple of `module:function`, innermost first."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.on = False

    def sample(self, _signal: int, frame: FrameType | None) -> None:
        stack = [BETWEEN] if frame is not None and _begins(frame) else []
        while frame is not None and len(stack) < DEPTH:
            stack.append(f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}")
            frame = frame.f_back
        self.counts[tuple(stack)] += 1

    def toggle(self, _signal: int, _frame: FrameType | None) -> None:
        self.on = not self.on
        signal.setitimer(signal.ITIMER_PROF, *((INTERVAL_S, INTERVAL_S) if self.on else (0.0, 0.0)))
        if self.on:
            self.counts.clear()
            return
        lines = [f"thread\t{one.native_id}\t{one.name}\n" for one in threading.enumerate()]
        lines += [f"{count}\t{';'.join(stack)}\n" for stack, count in self.counts.most_common()]
        unfinished = self.out.with_suffix(".part")
        unfinished.write_text("".join(lines))
        unfinished.replace(self.out)


def main() -> None:
    sampler = Sampler(Path(sys.argv[1]))
    signal.signal(signal.SIGPROF, sampler.sample)
    signal.signal(signal.SIGUSR1, sampler.toggle)
    from sekimori.cli import main as sekimori

    sys.argv = ["sekimori", *sys.argv[2:]]
    sekimori()


if __name__ == "__main__":
    main()
