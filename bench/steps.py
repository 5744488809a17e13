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


def read(text: str) -> tuple[Counter[str], Counter[str]]:
    """Samples by step, and by the innermost function."""
    steps: Counter[str] = Counter()
    hot: Counter[str] = Counter()
    for line in text.splitlines():
        count, _, frames = line.partition("\t")
        stack = frames.split(";")
        steps[step_of(stack)] += int(count)
        hot[stack[0]] += int(count)
    return steps, hot


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
    threads = {
        name: (spent - threads_before.get(name, 0.0)) / count
        for name, spent in threads_us(pid).items()
        if spent - threads_before.get(name, 0.0) > 0.005 * total_us * count
    }
    main_us = threads[min(threads, key=lambda name: int(name.rpartition("/")[2]))]
    steps, hot = read(text)
    samples = sum(steps.values())

    def listed(counts: Counter[str], limit: int) -> list[Step]:
        return [Step(name, number / samples, main_us * number / samples) for name, number in counts.most_common(limit)]

    return Profile(measure.name, total_us, samples, threads, listed(steps, 30), listed(hot, 20))
