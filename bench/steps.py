"""From sampled stacks to what each step of the walk costs."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Final

from bench.measures import Measure
from bench.process import cpu_us, threads_us, wait_for
from bench.results import Profile, Step
from bench.rounds import Runner
from bench.sampler import BETWEEN
from bench.targets import Sekimori

OTHER: Final = "event loop, kernel between callbacks"
STEPS: Final[tuple[tuple[str, str], ...]] = (
    ("sekimori.cli", OTHER),
    ("sekimori.serve", OTHER),
    ("sekimori.dialects.openai:Stream", "release: events of the reply"),
    ("sekimori.dialects.openai:read_reply", "meter: usage of the reply"),
    ("sekimori.dialects.sse", "release: events of the reply"),
    ("sekimori.dialects", "door: read the ask"),
    ("sekimori.gateway.doors", "door: read the ask"),
    ("sekimori.identity", "authenticate"),
    ("sekimori.policy", "decide"),
    ("sekimori.meter.budget", "reserve"),
    ("sekimori.meter.usage", "meter: usage of the reply"),
    ("sekimori.meter.prices", "meter: usage of the reply"),
    ("sekimori.guard", "screen"),
    ("sekimori.upstream.route", "route"),
    ("sekimori.ledger", "record: entries, journal, logs"),
    ("sekimori.gateway.record", "record: entries, journal, logs"),
    ("sekimori.gateway.leg", "record: entries, journal, logs"),
    ("sekimori.vault", "lend the key"),
    ("sekimori.upstream.call", "call the upstream"),
    ("sekimori.http.client", "call the upstream"),
    ("sekimori.egress", "call the upstream"),
    ("sekimori.http", "HTTP server"),
    ("sekimori.telemetry", "telemetry"),
    ("sekimori.gateway", "the walk itself"),
    ("sekimori.db", "followers and rows"),
    ("sekimori.meter", "followers and rows"),
    ("sekimori", "other of ours"),
)
"""Prefix of `module:function` -> step; the first that fits counts, looked up from the innermost frame outwards."""


def step_of(stack: list[str]) -> str:
    """The step that a stack (innermost first) was working for."""
    for frame in stack if stack[0] != BETWEEN else ():
        if frame.startswith("sekimori"):
            return next(step for prefix, step in STEPS if frame.startswith(prefix))
    return OTHER


class Stacks:
    """What the sampler wrote."""

    def __init__(self, text: str) -> None:
        self.threads: dict[int, str] = {}
        """Name by the kernel's number."""
        self.steps: Counter[str] = Counter()
        self.hot: Counter[str] = Counter()
        """Samples by the innermost function."""
        for line in text.splitlines():
            first, second, *third = line.split("\t")
            if third:
                self.threads[int(second)] = third[0]
                continue
            stack = second.split(";")
            self.steps[step_of(stack)] += int(first)
            self.hot[stack[0]] += int(first)

    def priced(self, counts: Counter[str], limit: int, main_us: float) -> list[Step]:
        """The most frequent of `counts`, each with its share of the main thread's time per call."""
        samples = max(1, sum(self.steps.values()))
        return [Step(name, count / samples, main_us * count / samples) for name, count in counts.most_common(limit)]


def profile(runner: Runner, target: Sekimori, out: Path, measure: Measure, *, requests: int, rounds: int) -> Profile:
    """A few rounds under the sampler (the target was started with `bench.sampler`). Raises `Broken`."""
    runner.round(target, measure, requests)
    pid = target.child.pid
    out.unlink(missing_ok=True)
    before, threads_before = cpu_us(pid), threads_us(pid)
    target.child.popen.send_signal(signal.SIGUSR1)
    count = sum(runner.round(target, measure, requests)[1] for _ in range(rounds))
    target.child.popen.send_signal(signal.SIGUSR1)
    text = wait_for(lambda: out.read_text() if out.exists() else None, "the profile", 20, watching=target.check)
    total_us = (cpu_us(pid) - before) / count
    spent = {number: (now - threads_before.get(number, 0.0)) / count for number, now in threads_us(pid).items()}
    stacks = Stacks(text)
    main_us = spent.pop(pid)
    threads: dict[str, float] = {}
    for number, us in spent.items():
        name = stacks.threads.get(number, "without a name")
        threads[name] = threads.get(name, 0.0) + us
    return Profile(
        measure.name,
        total_us,
        sum(stacks.steps.values()),
        main_us,
        {name: us for name, us in threads.items() if us > 0.005 * total_us},
        stacks.priced(stacks.steps, 30, main_us),
        stacks.priced(stacks.hot, 20, main_us),
    )
