"""A wrong, mixed-up or truncated reply fails the round; a right one is read at any chunking."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import traffic
from bench.load import Outcome, ReplyReader, Task, Wrong, run
from bench.upstream import Upstream

NUMBER = traffic.nonce(42)
PLAIN = traffic.reply("plain", NUMBER)
BURST = traffic.reply("burst", NUMBER)
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PLAIN) + PLAIN
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(traffic.chunks("burst", NUMBER))
CHUNKED += b"0\r\n\r\n"


def read(wire: bytes, cuts: list[int], limit: int) -> bytes | None:
    reader = ReplyReader(limit)
    whole = False
    edges = [0, *sorted({cut % len(wire) for cut in cuts} - {0}), len(wire)]
    for start, end in itertools.pairwise(edges):
        assert not whole, "said to be whole before its end"
        whole = reader.feed(wire[start:end])
    return b"".join(reader.body) if whole else None


@given(st.lists(st.integers(min_value=0), max_size=40))
def test_any_chunking_reads_the_same(cuts: list[int]) -> None:
    assert read(SIZED, cuts, len(PLAIN)) == PLAIN
    assert read(CHUNKED, cuts, len(BURST)) == BURST


@given(st.integers(min_value=1, max_value=len(CHUNKED) - 1))
def test_a_truncated_reply_is_never_whole(end: int) -> None:
    assert read(CHUNKED[:end], [], len(BURST)) is None
    assert read(SIZED[: min(end, len(SIZED) - 1)], [], len(PLAIN)) is None


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokay",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffff\r\n" + b"x" * 2000,
    ],
)
def test_wrong_framing_is_wrong(wire: bytes) -> None:
    with pytest.raises(Wrong):
        ReplyReader(1000).feed(wire)


def test_replies_of_different_calls_differ() -> None:
    for kind in traffic.KINDS:
        assert traffic.reply(kind, traffic.nonce(1)) != traffic.reply(kind, traffic.nonce(2))
        assert len(traffic.reply(kind, traffic.nonce(1))) == len(traffic.reply(kind, traffic.nonce(999_999)))
    assert len(PLAIN) == traffic.REPLY_BYTES


async def against(protocol: Callable[[], asyncio.Protocol], kind: traffic.Kind, **changes: object) -> Outcome:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        settings: dict[str, object] = {"authorization": traffic.PROVIDER_KEY, "deadline_s": 20.0, **changes}
        return await run(Task(kind, port, connections=3, requests=12, warm=3, first=500, **settings))  # type: ignore[arg-type]
    finally:
        server.close()


@pytest.mark.parametrize("kind", traffic.KINDS)
async def test_a_round_straight_at_the_upstream(kind: traffic.Kind) -> None:
    outcome = await against(Upstream, kind)
    assert outcome.failure is None
    assert (outcome.requests, outcome.failures) == (15, 0)
    assert 0 < outcome.p50_us <= outcome.p99_us


async def test_the_upstream_refuses_a_key_that_is_not_the_providers() -> None:
    outcome = await against(Upstream, "plain", authorization="sk-sek_the-callers-own")
    assert outcome.failures
    assert "401" in str(outcome.failure)


class Swaps(Upstream):
    """Answers a call with the words of another."""

    def answer(self, head: bytes, body: bytes) -> None:
        reply = traffic.reply("plain", traffic.nonce(1))
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(reply) + reply)


class HangsUp(Upstream):
    """Leaves in the middle of a reply."""

    def answer(self, head: bytes, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 564\r\n\r\n{")
        self.transport.close()


class Silent(Upstream):
    """Never answers."""

    def answer(self, head: bytes, body: bytes) -> None:
        return


@pytest.mark.parametrize(
    ("upstream", "words"), [(Swaps, "differs"), (HangsUp, "closed in mid-call"), (Silent, "unanswered")]
)
async def test_a_wrong_answer_fails_the_round(upstream: type[Upstream], words: str) -> None:
    outcome = await against(upstream, "plain", deadline_s=2.0)
    assert outcome.failures
    assert words in str(outcome.failure)
