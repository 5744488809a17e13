"""Where long texts are judged: a few threads, in which tenants take turns.

Who brings the most work waits for himself: of the tenants with work waiting, the one whose last turn is longest ago is
next, and what a tenant may have waiting is bounded. The event loop never runs a model, and no queue grows without end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from sekimori.errors import Refused

THREADS: Final = 2
MOST_CALLS: Final = 64
"""Texts of one tenant that may wait."""
MOST_SIZE: Final = 16 * 1024 * 1024
"""Characters of one tenant that may wait."""
Result = TypeVar("Result")
_Job = tuple[int, Callable[[], Any], "asyncio.Future[Any]"]


class InferencePool:
    """Use from one event loop; `close` when no call is under way."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sekimori-guard")
        self._free = threads
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()
        """Tenants with work, the one whose turn it is first."""
        self._sizes: dict[str, int] = {}

    async def run(self, tenant: str, size: int, work: Callable[[], Result]) -> Result:
        """What `work` returns, run in a thread when it is the tenant's turn. `size` is in characters.

        Raises Refused `guard_busy` where too much of the tenant waits already, and what `work` raises.
        """
        jobs = self._waiting.get(tenant)
        waiting = self._sizes.get(tenant, 0)
        if jobs is not None and (len(jobs) >= MOST_CALLS or (waiting and waiting + size > MOST_SIZE)):
            raise Refused(
                "guard_busy",
                "Too many of this tenant's texts wait to be screened.",
                advice="Send less at once, or wait.",
                retry_after=1.0,
            )
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        if jobs is None:
            jobs = self._waiting[tenant] = deque()
        jobs.append((size, work, future))
        self._sizes[tenant] = waiting + size
        self._start()
        return await future

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        while self._free and self._waiting:
            tenant, jobs = self._waiting.popitem(last=False)
            size, work, future = jobs.popleft()
            if jobs:
                self._waiting[tenant] = jobs  # behind all others: its next turn comes after theirs
            left = self._sizes[tenant] - size
            if jobs:
                self._sizes[tenant] = left
            else:
                del self._sizes[tenant]
            if future.done():
                continue  # its caller left
            self._free -= 1
            loop = future.get_loop()
            done = loop.run_in_executor(self._threads, work)
            done.add_done_callback(lambda ended, future=future: self._ended(ended, future))  # type: ignore[misc]

    def _ended(self, ended: asyncio.Future[Any], future: asyncio.Future[Any]) -> None:
        self._free += 1
        error = None if ended.cancelled() else ended.exception()
        if not future.done():
            if ended.cancelled():
                future.cancel()
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(ended.result())
        self._start()
