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
    at_least: bool = False
    """The gate is a lower one: how many times more a peer's call costs than ours."""


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

PEERS: Final = (
    Measure("portkey", "Portkey 1.15.2", "plain", 64, 1_000, 12.0, 20.0, at_least=True),
    Measure("litellm", "LiteLLM 1.106.2", "plain", 64, 200, 60.0, 200.0, at_least=True),
)
"""Other gateways (bench/peers): a plain call of theirs over one of ours, in the rounds of the plain call. Their rounds
are smaller because a call takes so much longer."""
