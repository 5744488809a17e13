"""What bounds the edge. Every number has a default that is safe on the open network; seconds are floats."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of a listener."""

    head_bytes: int = 32 * 1024
    """Request line and header section together; beyond: 431."""
    target_bytes: int = 8 * 1024
    """Request target; beyond: 414."""
    headers: int = 100
    """Header fields of one request; beyond: 431."""
    body_bytes: int = 32 * 1024 * 1024
    """Content of one request, after chunk decoding; beyond: 413."""
    bodies_bytes: int = 512 * 1024 * 1024
    """Content held of all requests that came in more than one piece; beyond: 503."""
    early_body_bytes: int = 64 * 1024
    """Content taken in before the handler asks for the body, so a stranger costs little memory."""
    pipelined_bytes: int = 64 * 1024
    """Bytes of following requests held while a reply is outstanding; above it the connection is not read."""
    connections: int = 4096
    """Open connections, handshakes included; one more is answered 503 (closed at once under TLS)."""
    high_water_bytes: int = 64 * 1024
    """Unsent reply bytes at which `Reply.write` waits; it goes on below a quarter of this."""
    handshake_s: float = 10.0
    """TLS handshake."""
    head_s: float = 10.0
    """From the connection or the first byte of a head to its end; beyond: 408."""
    body_idle_s: float = 20.0
    """Between two pieces of a body the handler waits for; beyond: 408."""
    body_s: float = 300.0
    """From the handler's asking for the body to its end; beyond: 408."""
    idle_s: float = 75.0
    """A kept connection without a request."""
    idle_crowded_s: float = 5.0
    """The same while more than three quarters of `connections` are taken."""
    write_stall_s: float = 30.0
    """A caller that does not take what is sent; beyond: the connection is cut."""
    linger_s: float = 2.0
    """Reading on after a last reply, so that unread request bytes do not reset the reply away."""
    linger_bytes: int = 1024 * 1024
    """Bytes thrown away meanwhile."""
    cut_s: float = 5.0
    """How long a drain waits for cancelled handlers to come to their end."""
    sweep_s: float = 0.5
    """Period of the one timer that enforces the deadlines: each may be late by this much."""


class ClientLimits(Struct, frozen=True, kw_only=True):
    """Bounds of a pool of connections to providers."""

    head_bytes: int = 64 * 1024
    """Status line and header section of one response, or of one interim response."""
    headers: int = 200
    interim: int = 8
    """1xx responses skipped before the final one."""
    buffered_bytes: int = 256 * 1024
    """Received content not read yet, above which the connection is not read."""
    connections: int = 4096
    """Open connections of the pool, busy and idle; one more raises Fault('overloaded')."""
    idle_per_key: int = 64
    """Idle connections kept for one (origin, credential)."""
    idle: int = 1024
    """Idle connections kept in all; one more is closed instead of kept."""
    idle_s: float = 50.0
    """How long an idle connection is kept: less than providers' own 60 to 75 s, so that we close first."""
    probe_s: float = 0.5
    """An idle connection older than this is looked at for a pending close before it is used again."""
    sweep_s: float = 0.25
    """Period of the one timer that enforces the deadlines: each may be late by this much."""
