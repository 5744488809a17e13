"""Processes that do not outlive the one that started them, however it ends: kill -9 included.

The kernel kills them (PR_SET_PDEATHSIG, prctl(2), Linux; elsewhere nothing is promised). A process asks for that itself
and then becomes the command: nothing of ours runs between fork and exec in a parent that has threads, and the process
id is the command's own. Run as a script, `python tied.py PARENT COMMAND…`, by an interpreter that loads nothing else.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""<linux/prctl.h>. It holds across execve, unless the program is set-uid or has capabilities of its own."""


def tied(command: list[str]) -> list[str]:
    """A command that runs `command` until that ends or the calling thread does.

    The kernel means the thread, not the process: start it from one that stays, such as the main thread.
    """
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def become(parent: int, command: list[str]) -> None:
    """Tie this process to its parent and run the command in its place. Returns never; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(1)  # it ended before it was asked for
    os.execvp(command[0], command)  # noqa: S606 - our own interpreter and modules


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
