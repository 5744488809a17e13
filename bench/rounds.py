"""Rounds of two targets in turn, and what each of them spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from bench.commits import commit_p50_us
from bench.load import Outcome, Task
from bench.measures import Measure
from bench.process import Load, Upstream, cpu_us
from bench.targets import Target

ROUND_DEADLINE_S: Final = 90.0
LAZY_S: Final = 5.5
"""Longer than the gateway's merge delay: what it does late for a measure is charged to that measure."""
SETTLE_S: Final = 60.0


class Sample(Struct):
    """One round of one target."""

    cpu_us: float
    """User and system time per request of the whole process tree, work done after the round included."""
    p50_us: float
    p99_us: float
    per_second: float
    commit_us: float | None = None
    """The median commit of the round by the target's own figures."""


class Runner:
    """The processes that every round needs, and the nonces."""

    def __init__(self, load: Load, upstream: Upstream, *, say: Callable[[str], None]) -> None:
        self.load = load
        self.upstream = upstream
        self.say = say
        self.next_nonce = 0

    def round(self, target: Target, measure: Measure, requests: int) -> tuple[Outcome, int]:
        """What one round showed, and how many requests it took in all, warm ones included."""

        def alive() -> None:
            target.check()
            self.upstream.check()

        warm = 2 * measure.connections
        task = Task(
            measure.kind,
            target.port(measure.kind),
            target.authorization,
            measure.connections,
            requests,
            warm,
            self.next_nonce,
            ROUND_DEADLINE_S,
            target.more,
            target.exact,
        )
        self.next_nonce += requests + warm
        return self.load.run(task, watching=alive), requests + warm

    def compare(
        self, measure: Measure, sizes: Sequence[tuple[Target, int]], *, rounds: int
    ) -> tuple[list[Sample], ...]:
        """Interleaved rounds of so many requests, the order turned around each time, after one of each that does not
        count. The samples of each target, in the order given.

        A target's time runs from the start of a round to the start of its next one, so that what it puts off
        (integration, checkpoints, usage) is in the figure.
        """
        for target, requests in sizes:
            self.round(target, measure, requests)
        spent = {target.name: Spending(target) for target, _ in sizes}
        for number in range(rounds):
            for target, requests in sizes if number % 2 == 0 else reversed(sizes):
                mine = spent[target.name]
                mine.next_round()
                before = target.metrics() if measure.unit == "µs" else None
                outcome, count = self.round(target, measure, requests)
                sample = Sample(0.0, outcome.p50_us, outcome.p99_us, requests / outcome.seconds)
                if before is not None:
                    sample.commit_us = commit_p50_us(before, target.metrics() or "")
                mine.add(sample, count)
            self.say(f"{measure.name}: round {number + 1} of {rounds}")
        self.settle(*(target for target, _ in sizes))
        for mine in spent.values():
            mine.next_round()
        return tuple(spent[target.name].samples for target, _ in sizes)

    def settle(self, *targets: Target) -> None:
        """Wait until put-off work is done: the merge delay, then until half a second passes nearly idle."""
        time.sleep(LAZY_S)
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            before = [cpu_us(target.child.pid) for target in targets]
            time.sleep(0.5)
            for target in targets:
                target.check()
            after = [cpu_us(target.child.pid) for target in targets]
            if all(late - early < 25_000 for early, late in zip(before, after, strict=True)):
                return
        self.say(f"a target was still busy {SETTLE_S:g} s after its last round; that work is in its figures")


class Spending:
    """Charges a target's time to its rounds."""

    def __init__(self, target: Target) -> None:
        self.pid = target.child.pid
        self.samples: list[Sample] = []
        self.count = 0
        self.mark_us = 0.0

    def next_round(self) -> None:
        """Close the running round, if there is one, and start a new one."""
        now_us = cpu_us(self.pid)
        if self.count:
            self.samples[-1].cpu_us = (now_us - self.mark_us) / self.count
        self.mark_us, self.count = now_us, 0

    def add(self, sample: Sample, count: int) -> None:
        self.samples.append(sample)
        self.count = count
