"""Tenants take turns in the inference pool, and nobody's queue grows without end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sekimori.errors import Refused
from sekimori.guard.pool import MOST_CALLS, MOST_SIZE, InferencePool


async def test_tenants_take_turns() -> None:
    pool, gate, order = InferencePool(1), threading.Event(), list[str]()
    first = asyncio.create_task(pool.run("a", 1, gate.wait))
    await asyncio.sleep(0)
    others = [
        asyncio.create_task(pool.run(tenant, 1, lambda tenant=tenant: order.append(tenant)))  # type: ignore[misc]
        for tenant in ("a", "a", "a", "a", "b", "c", "b")
    ]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)
    assert order == ["a", "b", "c", "a", "b", "a", "a"]
    pool.close()


async def test_what_a_tenant_may_have_waiting_is_bounded_and_others_are_not_refused() -> None:
    pool, gate = InferencePool(1), threading.Event()
    running = asyncio.create_task(pool.run("a", 1, gate.wait))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(pool.run("a", 1, lambda: 1)) for _ in range(MOST_CALLS)]
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="guard_busy"):
        await pool.run("a", 1, lambda: 1)
    other = asyncio.create_task(pool.run("b", MOST_SIZE * 2, lambda: 2))
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="guard_busy"):
        await pool.run("b", 1, lambda: 2)
    gate.set()
    assert await asyncio.gather(running, other, *waiting) == [True, 2, *[1] * MOST_CALLS]
    assert await pool.run("a", 1, lambda: 3) == 3
    pool.close()


async def test_who_left_before_his_turn_costs_nothing_and_a_failure_is_his_own() -> None:
    pool, gate, ran = InferencePool(1), threading.Event(), list[int]()
    running = asyncio.create_task(pool.run("a", 1, gate.wait))
    await asyncio.sleep(0)
    leaving = asyncio.create_task(pool.run("a", 1, lambda: ran.append(1)))
    failing = asyncio.create_task(pool.run("a", 1, lambda: 1 // 0))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.set()
    await running
    with pytest.raises(ZeroDivisionError):
        await failing
    assert (ran, await pool.run("a", 1, lambda: 4)) == ([], 4)
    pool.close()
