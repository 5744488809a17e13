"""A run's results as data: what the JSON file holds and what the tables are made from."""

from __future__ import annotations

from statistics import median
from typing import Any

from msgspec import Struct

from bench.disk import Disk
from bench.measures import Measure
from bench.rounds import Sample
from bench.statistics import ROUNDS_FOR_A_VERDICT, Interval, Verdict, bootstrap, judge


class Side(Struct, frozen=True):
    """One target at one measure: medians over the rounds."""

    cpu_us: float
    p50_us: float
    p99_us: float
    per_second: float


class Row(Struct, frozen=True):
    """One measure with its verdict. `verdict` is None where there were too few rounds for one."""

    measure: Measure
    rounds: int
    value: Interval
    verdict: Verdict | None
    moonshot: Verdict | None
    base: Side | None = None
    ours: Side | None = None
    commit_us: float | None = None
    values: list[float] = []


class Section(Struct):
    """The rows measured with the home in one place."""

    place: str
    disk: Disk
    rows: list[Row]
    peers: list[Row] = []
    """Other gateways beside ours: `base` is the peer's side."""
    not_run: list[str] = []
    """Measures that could not be taken, each with the reason."""


class Step(Struct, frozen=True):
    """What one step of the walk costs: its share of the samples, and of the CPU per request."""

    name: str
    share: float
    us: float


class Profile(Struct, frozen=True):
    """Where the time of one measure went."""

    measure: str
    cpu_us: float
    """Per request, with the sampler on."""
    samples: int
    main_us: float
    """Of it the main thread's; the steps and functions below share it."""
    threads: dict[str, float]
    """CPU per request of the other threads, in µs."""
    steps: list[Step]
    hot: list[Step]
    """Functions by their own time."""


class Run(Struct):
    """Everything one run of the benchmark showed."""

    began: str
    """ISO 8601, UTC."""
    machine: dict[str, str]
    base: str
    ours: str
    sections: list[Section]
    profiles: list[Profile] = []
    quick: bool = False


def side(samples: list[Sample]) -> Side:
    """The medians of a target's rounds."""
    names = ("cpu_us", "p50_us", "p99_us", "per_second")
    return Side(*(median(getattr(sample, name) for sample in samples) for name in names))


def row(measure: Measure, base: list[Sample], ours: list[Sample]) -> Row:
    """The verdict on paired rounds: a ratio of CPU, or a difference of medians less two commits."""
    commit_us = None
    if measure.unit == "µs":
        commits = [sample.commit_us or 0.0 for sample in ours]
        commit_us = median(commits)
        values = [
            own.p50_us - other.p50_us - 2 * commit for own, other, commit in zip(ours, base, commits, strict=True)
        ]
    else:
        values = [own.cpu_us / other.cpu_us for own, other in zip(ours, base, strict=True)]
    return judged(measure, values, base=side(base), ours=side(ours), commit_us=commit_us)


def judged(measure: Measure, values: list[float], **more: Any) -> Row:
    value = bootstrap(values)
    enough = len(values) >= ROUNDS_FOR_A_VERDICT
    verdict, moonshot = (
        judge(value, bound, at_least=measure.at_least) if enough and bound is not None else None
        for bound in (measure.gate, measure.moonshot)
    )
    return Row(measure, len(values), value, verdict, moonshot, values=values, **more)


def peer_row(measure: Measure, peer: list[Sample], ours: list[Sample]) -> Row:
    """How many times more a peer's call costs than ours, round by round."""
    values = [other.cpu_us / own.cpu_us for own, other in zip(ours, peer, strict=True)]
    return judged(measure, values, base=side(peer), ours=side(ours))
