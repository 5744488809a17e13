"""Tenants take turns in the inference pool, and nobody's queue grows without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from sekimori.errors import Refused
from sekimori.guard.pool import MOST_CALLS, MOST_SIZE, InferencePool


class Gated:
    """A pool whose threads can be held up."""

    def __init__(self, threads: int) -> None:
        self.pool = InferencePool(threads)
        self.gate = threading.Event()
        self.order: list[str] = []

    def put(self, tenant: str, work: Callable[[], object] | None = None, size: int = 1) -> asyncio.Task[object]:
        """A call of the tenant's; without work of its own it notes when it ran."""
        return asyncio.create_task(self.pool.run(tenant, size, work or partial(self.order.append, tenant)))

    async def hold(self, tenant: str) -> asyncio.Task[object]:
        """A call that has begun, and runs until the gate opens."""
        begun = threading.Event()

        def wait() -> bool:
            begun.set()
            return self.gate.wait()

        call = self.put(tenant, wait)
        async with asyncio.timeout(10):
            while not begun.is_set():
                await asyncio.sleep(0)
        return call


@contextmanager
def gated(threads: int) -> Iterator[Gated]:
    """However a test ends, no thread waits on: the interpreter would wait for it."""
    here = Gated(threads)
    try:
        yield here
    finally:
        here.gate.set()
        here.pool.close()


async def test_tenants_take_turns() -> None:
    with gated(1) as here:
        calls = [await here.hold("a")]
        calls += [here.put(tenant) for tenant in "aaaabcb"]
        await asyncio.sleep(0)
        here.gate.set()
        await asyncio.gather(*calls)
        assert "".join(here.order) == "abcabaa"


async def test_one_with_a_hundred_times_the_work_holds_another_up_by_one_text() -> None:
    with gated(1) as here:
        calls = [await here.hold("busy")]
        calls += [here.put("busy") for _ in range(60)]
        await asyncio.sleep(0)
        calls += [here.put("quiet") for _ in range(3)]
        await asyncio.sleep(0)
        here.gate.set()
        await asyncio.gather(*calls)
        assert [place for place, tenant in enumerate(here.order) if tenant == "quiet"] == [1, 3, 5]


async def test_long_texts_of_one_tenant_never_take_every_thread() -> None:
    with gated(2) as here:
        held = await here.hold("busy")
        waiting = [here.put("busy") for _ in range(3)]
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await here.put("quiet")
        assert here.order == ["quiet"], "the gate is still closed: the second thread was free for another tenant"
        here.gate.set()
        await asyncio.gather(held, *waiting)
        assert here.order == ["quiet", "busy", "busy", "busy"]


async def test_what_a_tenant_may_have_waiting_is_bounded_and_others_are_not_refused() -> None:
    with gated(1) as here:
        running = await here.hold("a")
        waiting = [here.put("a", lambda: 1) for _ in range(MOST_CALLS)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="guard_busy"):
            await here.pool.run("a", 1, lambda: 1)
        other = here.put("b", lambda: 2, size=MOST_SIZE * 2)
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="guard_busy"):
            await here.pool.run("b", 1, lambda: 2)
        here.gate.set()
        assert await asyncio.gather(running, other, *waiting) == [True, 2, *[1] * MOST_CALLS]
        assert await here.pool.run("a", MOST_SIZE, lambda: 3) == 3, "what ran waits no more"


async def test_who_left_before_his_turn_costs_nothing_and_a_failure_is_his_own() -> None:
    with gated(1) as here:
        running = await here.hold("a")
        leaving = here.put("b", lambda: here.order.append("left"))
        failing = here.put("b", lambda: 1 // 0)
        other = here.put("c")
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        here.gate.set()
        await asyncio.gather(running, other)
        with pytest.raises(ZeroDivisionError):
            await failing
        assert (here.order, await here.pool.run("a", 1, lambda: 4)) == (["c"], 4)


async def test_who_leaves_while_his_text_is_judged_leaves_the_thread_to_the_next() -> None:
    with gated(1) as here:
        running = await here.hold("a")
        running.cancel()
        await asyncio.sleep(0)
        following = here.put("a")
        await asyncio.sleep(0)
        assert here.order == []
        here.gate.set()
        await following
        assert here.order == ["a"]
