"""`serve`, with one place at which the process kills itself: `python -m tests.faults.server HOME SITE NTH`.

SITE is a key of SITES; the NTH time the process comes by there it sends itself SIGKILL, so nothing gets to tidy up.
The product itself has no such switch: what is wrapped here is wrapped from outside.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

When = Literal["before", "after", "torn"]

SITES: dict[str, tuple[str, str, When]] = {
    # name: (module, attribute path in it, before or after it ran)
    "authenticated": ("sekimori.gateway.walk", "authenticate", "after"),
    "decided-not-recorded": ("sekimori.gateway.record", "Recording.decided", "before"),
    "decided-durable": ("sekimori.gateway.record", "Recording.decided", "after"),
    "before-lend": ("sekimori.vault.keys", "Keys.lend", "before"),
    "before-sending": ("sekimori.http.client", "Pool.request", "before"),
    "answered-head": ("sekimori.http.client", "Pool.request", "after"),
    "hedge-allowed": ("sekimori.upstream.hedges", "Hedges.take", "after"),
    "hedge-not-cut": ("sekimori.gateway.hops", "Hops.lost", "before"),
    "answered": ("sekimori.gateway.record", "Recording.answered", "before"),
    "stream-begun": ("sekimori.gateway.record", "Recording.begin", "after"),
    "stream-piece": ("sekimori.gateway.record", "Recording.release", "after"),
    "before-settling": ("sekimori.gateway.record", "Recording._close_pairs", "before"),
    "settled-not-answered": ("sekimori.gateway.record", "Recording._close_pairs", "after"),
    "reply-sent": ("sekimori.gateway.record", "Recording._end", "after"),
    "refusal": ("sekimori.gateway.refusals", "Refusals.record", "after"),
    "journal-before": ("sekimori.ledger.disk", "Disk.write", "before"),
    "journal-torn": ("sekimori.ledger.disk", "Disk.write", "torn"),
    "journal-after": ("sekimori.ledger.disk", "Disk.write", "after"),
    "segment-made": ("sekimori.ledger.disk", "Disk.prewrite", "after"),
    "published": ("sekimori.ledger.disk", "Disk.publish", "after"),
    "renamed": ("sekimori.ledger.disk", "Disk.rename", "after"),
    "removed": ("sekimori.ledger.disk", "Disk.remove", "before"),
    "rows-before": ("sekimori.db", "Rows.put", "before"),
    "rows-after": ("sekimori.db", "Rows.put", "after"),
    "followed": ("sekimori.meter.usage_report", "UsageFollower.take", "after"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(site: str, nth: int) -> None:
    """Wrap the site so that the process dies there at its nth passage."""
    module_name, path, when = SITES[site]
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original: Callable[..., Any] = getattr(owner, name)
    passages = 0

    def due() -> bool:
        nonlocal passages
        passages += 1
        return passages == nth

    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def wrapped_async(*arguments: Any, **named: Any) -> Any:
            now = due()
            if now and when == "before":
                die()
            result = await original(*arguments, **named)
            if now:
                die()
            return result

        setattr(owner, name, wrapped_async)
        return

    @functools.wraps(original)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        now = due()
        if now and when == "before":
            die()
        if now and when == "torn":
            disk, descriptor, data, offset = arguments
            original(disk, descriptor, data[: len(data) // 2], offset)
            die()
        result = original(*arguments, **named)
        if now:
            die()
        return result

    setattr(owner, name, wrapped)


def main() -> None:
    home, site, nth = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    from sekimori.config import load
    from sekimori.serve import run

    if site != "none":
        arm(site, nth)
    sys.exit(asyncio.run(run(load(home))))


if __name__ == "__main__":
    main()
