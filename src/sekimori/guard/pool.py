"""Where long texts are judged: a few threads, in which tenants take turns.

Who brings the most work waits for himself: of the tenants with work waiting, the one whose last turn is longest ago is
next, and what a tenant may have waiting is bounded. Of several threads one tenant never has all: another's text waits
at most for a text of somebody else's, not for a row of long ones. The event loop never runs a model, and no queue grows
without end.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
        self._most = max(1, threads - 1)
        """Threads that one tenant may have at once."""
        self._running: Counter[str] = Counter()
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
        while self._free:
            tenant = next((name for name in self._waiting if self._running[name] < self._most), None)
            if tenant is None:
                return
            jobs = self._waiting.pop(tenant)
            size, work, future = jobs.popleft()
            if jobs:
                self._waiting[tenant] = jobs  # behind all others: its next turn comes after theirs
                self._sizes[tenant] -= size
            else:
                del self._sizes[tenant]
            if future.done():
                if jobs:
                    self._waiting.move_to_end(tenant, last=False)  # its caller left, and that was no turn
                continue
            self._free -= 1
            self._running[tenant] += 1
            done = future.get_loop().run_in_executor(self._threads, work)
            done.add_done_callback(partial(self._ended, tenant, future))

    def _ended(self, tenant: str, future: asyncio.Future[Any], ended: asyncio.Future[Any]) -> None:
        self._free += 1
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        error = None if ended.cancelled() else ended.exception()
        if not future.done():
            if ended.cancelled():
                future.cancel()
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(ended.result())
        self._start()
