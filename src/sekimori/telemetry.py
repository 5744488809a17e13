"""What the process says of itself: structured log lines and Prometheus figures. Neither ever holds a secret.

**Log.** One JSON object a line on standard error. The caller's thread only appends; a thread of ours encodes and
writes, so a reader that stalls never stalls a call: past a bound, lines are dropped and their number is logged. The
log is for operators in a hurry; the record of what happened is the ledger, and nothing is decided by the log.

**Metrics.** Plain integers that the event loop alone changes: no label look-up and no lock on the path of a call. The
Prometheus library is imported by the first scrape, so a process without a control listener never loads it.
Labels are slugs of configured tenants and agents and words of closed registries, so a caller cannot make a series.
"""

from __future__ import annotations

import re
import sys
import threading
import time
import traceback
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

import msgspec
from msgspec import Struct

from sekimori.errors import REASONS
from sekimori.terms import Usage

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

REDACTED: Final = "[secret]"
QUEUE_LINES: Final = 20_000
"""Lines waiting to be written; more are dropped and counted."""
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

# What looks like a credential, whoever issued it. Too much is cut rather than too little: this is a log.
_SECRET: Final = re.compile(
    r"""
      \b(?:sk|rk|pk|gsk|xai|pplx|r8|hf|glpat|nvapi|dop_v1|whsec)[-_][A-Za-z0-9_\-]{8,}
    | \bgh[pousr]_[A-Za-z0-9]{16,} | \bgithub_pat_\w{16,} | \bxox[a-z]-[A-Za-z0-9\-]{8,}
    | \bAIza[A-Za-z0-9_\-]{16,} | \b(?:AKIA|ASIA)[A-Z0-9]{12,} | \bya29\.[\w.\-]{8,}
    | \bey[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*)?
    | -----BEGIN[^-]*PRIVATE\ KEY-----(?:.*?-----END[^-]*-----|.*)
    | (?i:\b(?:bearer|basic|digest|negotiate)\s+)[^\s"',;]{6,}
    | (?i:\b(?:authorization|x-api-key|api[-_]?key|x-goog-api-key|password|passwd|secret|token|cookie)["']?\s*[:=])
      \s*["']?(?:(?i:bearer|basic|digest|negotiate)\s+)?[^\s"',;&]{4,}
    | (?<=://)[^/\s@:]*:[^/\s@]+(?=@)
    """,
    re.VERBOSE | re.DOTALL,
)
# Terminals act on C1 controls and DEL, log readers split at U+2028/9; JSON escapes only what is below U+0020.
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def redact(text: str) -> str:
    """`text` with whatever looks like a credential replaced by `[secret]`, and no character a terminal obeys."""
    return _UNPRINTABLE.sub("\ufffd", _SECRET.sub(REDACTED, text))


class CallLine(Struct, omit_defaults=True, gc=False, tag_field="event", tag="call"):
    """One call, for the log. Holds registry words, slugs, ids and figures; of what the caller wrote only the model."""

    time_ms: int
    level: str = "info"
    call: str = ""
    record: str = ""
    tenant: str = ""
    agent: str = ""
    dialect: str = ""
    operation: str = ""
    model: str = ""
    provider: str = ""
    key: str = ""
    status: int = 0
    reason: str = ""
    outcome: str = ""
    input: int = 0
    output: int = 0
    ms: float = 0.0


def stamp(time_ms: int) -> bytes:
    """`2026-01-02T03:04:05.678Z`."""
    seconds, rest = divmod(time_ms, 1000)
    return b"%b.%03dZ" % (_second(seconds), rest)


@lru_cache(maxsize=16)
def _second(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()


class Log:
    """JSON lines on `out`, written by one thread of its own. `close` writes what waits."""

    def __init__(
        self,
        out: BinaryIO | None = None,
        *,
        level: str = "info",
        calls: bool = True,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._out = out if out is not None else sys.stderr.buffer
        self._threshold = LEVELS[level]
        self._calls = calls and self._threshold <= LEVELS["info"]
        self._now_ms = now_ms
        self._waiting: deque[CallLine | dict[str, Any]] = deque()
        self._dropped = 0
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._encoder = msgspec.json.Encoder(enc_hook=str)

    def call(self, line: CallLine) -> None:
        """One line for one call. Costs the caller an append; the line must not be changed afterwards."""
        if self._calls:
            self._put(line)

    def debug(self, event: str, **fields: object) -> None:
        self._event("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._event("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._event("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._event("error", event, fields)

    def exception(self, event: str, error: BaseException, **fields: object) -> None:
        """An error nobody expected: its type, its redacted words and where it came from, without any values."""
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename.rsplit('/sekimori/')[-1]}:{frame.lineno} {frame.name}" for frame in frames[-12:]]
        self._event("error", event, {**fields, "error": type(error).__name__, "text": str(error), "where": where})

    def close(self) -> None:
        """Write what waits and end the thread. Waits at most five seconds for a reader that stalls."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _event(self, level: str, event: str, fields: dict[str, object]) -> None:
        if LEVELS[level] >= self._threshold:
            line = {"time_ms": self._now_ms(), "level": level, "event": event}
            self._put({**line, **{name: _clean(value) for name, value in fields.items() if name not in line}})

    def _put(self, line: CallLine | dict[str, Any]) -> None:
        if len(self._waiting) >= QUEUE_LINES:
            self._dropped += 1
            return
        self._waiting.append(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="log", daemon=True)
            self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def _write(self) -> None:
        while True:
            self._wake.wait()
            if not self._closed:
                time.sleep(0.05)  # gather: one write for what came within 50 ms
            self._wake.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(512, len(self._waiting)))]
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    line = {"time_ms": self._now_ms(), "level": "warning", "event": "log.dropped", "lines": dropped}
                    batch.append(line)
                if not self._send(b"".join(map(self._line, batch))):
                    return
            if self._closed and not self._waiting:
                return

    def _line(self, line: CallLine | dict[str, Any]) -> bytes:
        if isinstance(line, CallLine):
            line.model = _model(line.model)
            time_ms = line.time_ms
        else:
            time_ms = line["time_ms"]
        return b'{"at":"%b",%b\n' % (stamp(time_ms), self._encoder.encode(line)[1:])

    def _send(self, data: bytes) -> bool:
        try:
            self._out.write(data)
            self._out.flush()
        except (OSError, ValueError):
            # Nobody reads the log any more (closed pipe, full disk). Calls go on: the ledger is what they wait for.
            return not self._out.closed
        return True


_model = lru_cache(maxsize=1024)(redact)


def _clean(value: object) -> object:
    """A field as it may be logged: text redacted, structure kept to what JSON has, the rest by its redacted `str`."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, dict):
        return {redact(str(name)): _clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner) for inner in value]
    return redact(str(value))


SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Histogram:
    """Counts by upper bound, in seconds."""

    __slots__ = ("counts", "total")
    bounds: Final = SECONDS

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds


class Timed(Protocol):
    """What others count by upper bound, in seconds; one count more than there are bounds."""

    @property
    def bounds(self) -> Sequence[float]: ...
    @property
    def counts(self) -> list[int]: ...
    @property
    def total(self) -> float: ...


class AgentMeter:
    """Figures of one agent. Held by the caller for the length of a call: no look-up per figure."""

    __slots__ = ("agent", "cached", "duration", "first_byte", "input", "outcomes", "output", "refused", "tenant")

    def __init__(self, tenant: str, agent: str) -> None:
        self.tenant = tenant
        self.agent = agent
        self.outcomes: dict[str, int] = {}
        """Settled hops by outcome (closed list of the ledger)."""
        self.refused: dict[str, int] = {}
        """Refused calls by reason (closed registry)."""
        self.input = 0
        self.output = 0
        self.cached = 0
        self.duration = Histogram()
        self.first_byte = Histogram()

    def settled(
        self, outcome: str, seconds: float, usage: Usage | None = None, first_byte: float | None = None
    ) -> None:
        """One hop ended. `outcome` is one of the ledger's own words."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.duration.observe(seconds)
        if first_byte is not None:
            self.first_byte.observe(first_byte)
        if usage is not None:
            self.input += usage.input
            self.output += usage.output
            self.cached += usage.cached

    def refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1


class Metrics:
    """All figures of the process. `agent` never makes a series that the configuration did not name."""

    def __init__(self) -> None:
        self._agents: dict[str, AgentMeter] = {}
        self._other = AgentMeter("other", "other")
        self.strangers: dict[str, int] = {}
        """Refused calls without a principal, by reason."""
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._counters: dict[str, tuple[str, Callable[[], float]]] = {}
        self._histograms: dict[str, tuple[str, Callable[[], Timed]]] = {}

    def configure(self, agents: Iterable[tuple[str, str, str]]) -> None:
        """The agents of the current generation: (uid, tenant, agent), slugs. Figures of those that stay are kept."""
        self._agents = {
            uid: kept if (kept := self._agents.get(uid)) is not None else AgentMeter(tenant, agent)
            for uid, tenant, agent in agents
        }

    def agent(self, uid: str) -> AgentMeter:
        return self._agents.get(uid, self._other)

    def stranger(self, reason: str) -> None:
        assert reason in REASONS
        self.strangers[reason] = self.strangers.get(reason, 0) + 1

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure read at each scrape, e.g. open connections. `name` without the `sekimori_` prefix."""
        self._gauges[name] = (text, value)

    def counter(self, name: str, text: str, value: Callable[[], float]) -> None:
        """What somebody else counts up, read at each scrape. `name` as for `gauge`, without the `_total`."""
        self._counters[name] = (text, value)

    def histogram(self, name: str, text: str, value: Callable[[], Timed]) -> None:
        """Seconds that somebody else counts, read at each scrape. `name` as for `gauge`."""
        self._histograms[name] = (text, value)

    def render(self) -> tuple[str, bytes]:
        """(content type, body) of a scrape in Prometheus' text format."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.process_collector import ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        return CONTENT_TYPE_LATEST, generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        """Prometheus' collector protocol."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        who = ("tenant", "agent")
        hops = CounterMetricFamily("sekimori_hops", "Settled hops by outcome.", labels=(*who, "outcome"))
        refused = CounterMetricFamily("sekimori_refusals", "Refused calls by reason.", labels=(*who, "reason"))
        tokens = CounterMetricFamily("sekimori_tokens", "Tokens as the provider counted.", labels=(*who, "kind"))
        seconds = HistogramMetricFamily("sekimori_hop_seconds", "From sent to settled.", labels=who)
        first = HistogramMetricFamily("sekimori_first_byte_seconds", "From sent to first byte.", labels=who)
        for meter in (*self._agents.values(), self._other):
            names = (meter.tenant, meter.agent)
            for outcome, count in list(meter.outcomes.items()):
                hops.add_metric((*names, outcome), count)
            for reason, count in list(meter.refused.items()):
                refused.add_metric((*names, reason), count)
            if meter.outcomes:
                for kind, count in (("input", meter.input), ("output", meter.output), ("cached", meter.cached)):
                    tokens.add_metric((*names, kind), count)
                seconds.add_metric(names, *_buckets(meter.duration))
                first.add_metric(names, *_buckets(meter.first_byte))
        strangers = CounterMetricFamily("sekimori_strangers", "Calls without a valid credential.", labels=("reason",))
        for reason, count in list(self.strangers.items()):
            strangers.add_metric((reason,), count)
        yield from (hops, refused, tokens, seconds, first, strangers)
        for name, (text, value) in self._gauges.items():
            gauge = GaugeMetricFamily(f"sekimori_{name}", text)
            gauge.add_metric((), value())
            yield gauge
        for name, (text, value) in self._counters.items():
            counter = CounterMetricFamily(f"sekimori_{name}", text)
            counter.add_metric((), value())
            yield counter
        for name, (text, timed) in self._histograms.items():
            histogram = HistogramMetricFamily(f"sekimori_{name}", text)
            histogram.add_metric((), *_buckets(timed()))
            yield histogram


def _buckets(histogram: Timed) -> tuple[list[tuple[str, float]], float]:
    total = 0
    cumulative: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        total += count
        cumulative.append((bound, total))
    return cumulative, histogram.total
