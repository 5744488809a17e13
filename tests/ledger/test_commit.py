"""Group commit: who shares a frame, who fails with whom, and that nobody is left waiting."""

from __future__ import annotations

import asyncio
import errno
import threading
from itertools import pairwise

import pytest

from sekimori.errors import Fault
from sekimori.ledger.commit import Group, GroupCommit, Times


class Book:
    """Stands for the journal: records frames, fails when told to, waits at a gate."""

    largest = 10_000

    def __init__(self) -> None:
        self.frames: list[list[bytes]] = []
        self.fail: list[BaseException] = []
        self.gate = threading.Event()
        self.gate.set()

    def commit(self, entries: list[bytes]) -> int:
        assert self.gate.wait(30)
        if self.fail:
            raise self.fail.pop(0)
        self.frames.append(list(entries))
        return len(self.frames)


class Bench:
    def __init__(self) -> None:
        self.book = Book()
        self.durable: list[bytes] = []
        self.failed: list[bytes] = []
        self.commit = GroupCommit(
            self.book,  # type: ignore[arg-type]
            durable=lambda groups, segment: self.durable.extend(entry for group in groups for entry in group.entries),
            failed=lambda groups: self.failed.extend(entry for group in groups for entry in group.entries),
        )

    async def write(self, *entries: bytes) -> None:
        group = Group(list(entries), sum(map(len, entries)), (), asyncio.get_running_loop().create_future())
        self.commit.put(group)
        await group.future


async def test_all_who_wait_share_the_next_frame() -> None:
    bench = Bench()
    await asyncio.gather(*(bench.write(b"%d" % number) for number in range(50)))
    assert [len(frame) for frame in bench.book.frames] == [50]
    bench.book.gate.clear()
    first = asyncio.create_task(bench.write(b"first"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(bench.write(b"rest")) for _ in range(10)]
    await asyncio.sleep(0)
    bench.book.gate.set()
    await asyncio.gather(first, *rest)
    assert [len(frame) for frame in bench.book.frames] == [50, 1, 10]
    await bench.commit.close()


async def test_what_the_resumed_write_at_once_is_one_frame() -> None:
    bench = Bench()

    async def pair(number: int) -> None:
        await bench.write(b"decided")
        await bench.write(b"settled", b"used")

    await asyncio.gather(*(pair(number) for number in range(64)))
    assert [len(frame) for frame in bench.book.frames] == [64, 128]
    await bench.commit.close()


async def test_a_frame_has_its_bound_and_groups_stay_whole() -> None:
    bench = Bench()
    await asyncio.gather(*(bench.write(b"x" * 1500, b"y" * 1500) for _ in range(10)))
    assert [len(frame) for frame in bench.book.frames] == [6, 6, 6, 2]
    await asyncio.gather(bench.write(b"z" * 10_000), bench.write(b"small"))
    assert [len(frame) for frame in bench.book.frames[4:]] == [1, 1]
    with pytest.raises(ValueError):
        await bench.write(b"x" * 10_001)
    await bench.commit.close()


async def test_a_failure_takes_all_that_is_queued_behind_it_and_no_more() -> None:
    bench = Bench()
    await bench.write(b"before")
    bench.book.gate.clear()
    bench.book.fail = [OSError(errno.ENOSPC, "full")]
    first = asyncio.create_task(bench.write(b"1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(bench.write(b"2"))
    await asyncio.sleep(0)
    bench.book.gate.set()
    for task in (first, second):
        with pytest.raises(Fault) as raised:
            await task
        assert raised.value.reason == "ledger_unavailable"
        assert "full" in raised.value.text
        assert isinstance(raised.value.__cause__, OSError)
    assert bench.failed == [b"1", b"2"]
    assert bench.commit.trouble is not None
    await bench.write(b"after")
    assert bench.durable == [b"before", b"after"]
    assert bench.commit.trouble is None
    await bench.commit.close()


async def test_a_cancelled_writer_is_written_and_strands_nobody() -> None:
    bench = Bench()
    bench.book.gate.clear()
    tasks = [asyncio.create_task(bench.write(b"%d" % number)) for number in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks[2].cancel()
    bench.book.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[2], asyncio.CancelledError)
    assert bench.durable == [b"0", b"1", b"2", b"3", b"4"]
    await bench.commit.close()


@pytest.mark.parametrize("which", ["durable", "failed", "commit"])
async def test_a_defect_of_ours_is_a_fault_of_everyone_who_waits(which: str) -> None:
    """Never an acknowledgement, never a writer that waits for ever."""
    bench = Bench()

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    if which == "durable":
        bench.commit._durable = broken
    else:
        bench.book.fail = [OSError(errno.EIO, "io") if which == "failed" else MemoryError()]
        if which == "failed":
            bench.commit._failed = broken
    results = await asyncio.wait_for(
        asyncio.gather(*(bench.write(b"x") for _ in range(3)), return_exceptions=True), timeout=30
    )
    assert [type(result) for result in results] == [Fault, Fault, Fault]
    await bench.commit.close()


async def test_too_much_waiting_is_refused() -> None:
    bench = Bench()
    bench.book.largest = 1 << 30
    bench.book.gate.clear()
    big = bytes(32 << 20)
    tasks = [asyncio.create_task(bench.write(big))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(bench.write(big)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Fault, match="Too much waits"):
        await bench.write(b"x")
    bench.book.gate.set()
    await asyncio.gather(*tasks)
    await bench.write(b"x")
    await bench.commit.close()


async def test_closing_waits_for_what_is_queued() -> None:
    bench = Bench()
    bench.book.gate.clear()
    tasks = [asyncio.create_task(bench.write(b"x"))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(bench.write(b"y")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(bench.commit.close())
    await asyncio.sleep(0)
    with pytest.raises(Fault):
        await bench.write(b"late")
    bench.book.gate.set()
    await asyncio.gather(*tasks, closing)
    assert bench.durable == [b"x", b"y"]
    assert not bench.commit._thread.is_alive()


async def test_times_count_the_commits_that_succeeded() -> None:
    bench = Bench()
    await bench.write(b"first")
    await bench.write(b"second")
    bench.book.fail = [OSError(errno.EIO, "broken")]
    with pytest.raises(Fault):
        await bench.write(b"third")
    times = bench.commit.times
    assert sum(times.counts) == 2
    assert len(times.counts) == len(times.bounds) + 1
    assert times.total > 0


def test_times_fall_into_the_bucket_below_their_bound() -> None:
    times = Times()
    times.add(times.bounds[0])
    times.add(times.bounds[7])
    times.add(times.bounds[7] * 1.01)
    times.add(3600.0)
    assert (times.counts[0], times.counts[7], times.counts[8], times.counts[-1]) == (1, 1, 1, 1)
    assert times.bounds[0] == 20e-6
    assert times.bounds[-1] > 1.0
    assert all(later / earlier == pytest.approx(1.25, rel=0.01) for earlier, later in pairwise(times.bounds))
