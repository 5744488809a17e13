"""What is measured, how large a round is, and what it may cost (docs/benchmarks.md says why)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from bench.traffic import Kind


class Measure(Struct, frozen=True):
    """One row of the result."""

    name: str
    title: str
    kind: Kind
    connections: int
    requests: int
    """Timed requests of a round."""
    gate: float
    moonshot: float | None
    unit: str = "×"
    """`×`: CPU per request over nginx's. `µs`: median latency over nginx's, less the commits. `MB`: resident."""


SPEED: Final = (
    Measure("plain", "plain call, 64 connections", "plain", 64, 10_000, 6.0, 4.0),
    Measure("paced", "paced stream, 64 connections", "paced", 64, 384, 3.5, 2.5),
    Measure("burst", "burst stream, 64 connections", "burst", 64, 2_500, 4.5, 3.0),
    Measure("durable", "plain call, 4 connections", "plain", 4, 4_000, 16.0, 8.0),
    Measure("added", "added p50, 1 connection", "plain", 1, 1_500, 250.0, 120.0, "µs"),
)
MEMORY: Final = (
    Measure("memory", "resident memory, both planes", "plain", 64, 10_000, 120.0, None, "MB"),
    Measure("memory-gateway", "resident memory, gateway alone", "plain", 64, 10_000, 120.0, 60.0, "MB"),
)
NAMES: Final = [measure.name for measure in (*SPEED, *MEMORY)]


class Peer(Struct, frozen=True):
    """Another gateway, measured once on another day by the same kind of load; not run by this benchmark."""

    name: str
    plain_us: float
    """CPU per plain call at 64 connections, the cheapest figure seen."""
    nginx_us: float
    """nginx's, measured beside it."""
    gate: float
    """How many times less a call should cost here."""
    moonshot: float


PEERS: Final = (
    Peer("Portkey 1.15.2", 1_100, 14, 12, 20),
    Peer("LiteLLM 1.106.2", 16_000, 14, 60, 200),
)
