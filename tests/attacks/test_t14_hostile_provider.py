"""T14: a hostile provider: malformed, endless, redirecting, silent. Each is answered, recorded and survived."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from sekimori.control.arguments import Usage
from sekimori.ledger import entry
from sekimori.upstream import call as call_module
from tests.attacks.attacker import (
    MESSAGES,
    VERSION,
    Script,
    code_of,
    hostile,
    lead_house_to,
    question,
    received,
)
from tests.egress.certificates import Authority
from tests.flows.place import chat, chunk, completion, place
from tests.http.wire import Wire, happens

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
EMPTY = b"content-length: 0\r\n\r\n"
GOOD = completion()


def whole(body: bytes) -> bytes:
    return OK + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def says(data: bytes, *, stay: bool = False) -> Script:
    async def script(end: Wire) -> None:
        await received(end)
        end.send(data)
        await end.writer.drain()
        if stay:
            await end.rest()

    return script


PLAIN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "upstream_unreachable"),
    "half a status line": (b"HTTP/1.1 20", "upstream_truncated"),
    "no status line": (b"hello\r\n\r\n", "upstream_malformed"),
    "HTTP/0.9": (GOOD, "upstream_malformed"),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", "upstream_malformed"),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", "upstream_malformed"),
    "a status beyond": (b"HTTP/1.1 999999 OK\r\n\r\n", "upstream_malformed"),
    "SSH": (b"SSH-2.0-OpenSSH_9.0\r\n", "upstream_malformed"),
    "Redis": (b"-ERR wrong number of arguments for 'get' command\r\n", "upstream_malformed"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 20_000, "upstream_malformed"),
    "one header without end": (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000, "upstream_malformed"),
    "interim replies for ever": (b"HTTP/1.1 100 Continue\r\n\r\n" * 500, "upstream_malformed"),
    "another protocol": (b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\n\r\n", "upstream_malformed"),
    "a folded header": (b"HTTP/1.1 200 OK\r\nx: y\r\n content-length: 5\r\n\r\nhello", "upstream_malformed"),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}", "upstream_truncated"),
    "a NUL in a header": (b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 2\r\n\r\n{}", "upstream_malformed"),
    "two lengths": (OK + b"content-length: 2\r\ncontent-length: 200\r\n\r\n{}", "upstream_malformed"),
    "a length and chunks": (OK + b"content-length: 2\r\n" + CHUNKED + b"0\r\n\r\n", "upstream_malformed"),
    "a negative length": (OK + b"content-length: -1\r\n\r\n", "upstream_malformed"),
    "a length beyond 64 bits": (OK + b"content-length: 99999999999999999999\r\n\r\n", "upstream_malformed"),
    "a coding nobody asked for": (OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "upstream_malformed"),
    "a bad chunk size": (OK + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", "upstream_malformed"),
    "a chunk beyond its size": (OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}{}\r\n0\r\n\r\n", "upstream_malformed"),
    "chunks that stop": (OK + b"transfer-encoding: chunked\r\n\r\n" + piece(GOOD), "upstream_truncated"),
    "too short": (OK + b"content-length: 5000\r\n\r\n" + GOOD, "upstream_truncated"),
    "too long": (OK + b"content-length: 10\r\n\r\n" + GOOD, "upstream_malformed"),
    "gzip": (
        OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(gzip.compress(GOOD)) + gzip.compress(GOOD),
        "upstream_malformed",
    ),
    "plain text that says it is gzip": (
        OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(GOOD) + GOOD,
        "upstream_malformed",
    ),
    "gzip that does not say so": (whole(gzip.compress(GOOD)), "upstream_malformed"),
    "an empty 200": (whole(b""), "upstream_malformed"),
    "a 204": (b"HTTP/1.1 204 No Content\r\n\r\n", "upstream_error"),
    "a 206": (b"HTTP/1.1 206 Partial\r\ncontent-length: 2\r\n\r\n{}", "upstream_error"),
    "HTML": (whole(b"<html><script>alert(1)</script></html>"), "upstream_malformed"),
    "an array": (whole(b"[" + GOOD + b"]"), "upstream_malformed"),
    "deep nesting": (whole(b"[" * 200_000), "upstream_malformed"),
    "deep nesting in an object": (whole(b'{"choices":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "upstream_malformed"),
    "two documents": (whole(GOOD + GOOD), "upstream_malformed"),
    "an event stream nobody asked for": (STREAM + piece(b"data: [DONE]\n\n") + b"0\r\n\r\n", "upstream_malformed"),
    "a redirect": (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n" + EMPTY, "upstream_error"),
    "a challenge": (b"HTTP/1.1 401 no\r\nwww-authenticate: Negotiate\r\n" + EMPTY, "upstream_unauthorized"),
    "a proxy's challenge": (b"HTTP/1.1 407 no\r\nproxy-authenticate: NTLM\r\n" + EMPTY, "upstream_unauthorized"),
}  # fmt: skip


async def test_no_reply_however_malformed_gets_through_or_spoils_the_next(tmp_path: Path) -> None:
    current: list[bytes] = []

    async def provider(end: Wire) -> None:
        while True:
            asked = await received(end)
            if b"harmless" in asked:
                end.send(whole(GOOD))
                continue
            end.send(current[-1])
            await end.writer.drain()
            return

    async with hostile(provider) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        for what, (data, reason) in PLAIN.items():
            current.append(data)
            code, headers, body = await here.post("acme/y", chat())
            assert code in (502, 504), what
            assert code_of(body) == reason, what
            assert "location" not in headers
            assert b"<script>" not in body
            code, _, body = await here.post("acme/y", chat(text="harmless"))
            assert (code, body) == (200, GOOD), f"after: {what}"
        settled = await here.of_kind("acme", entry.SETTLED)
        assert len(settled) == 2 * len(PLAIN)
        bad = [one for one in settled if one.reason is not None]
        assert len(bad) == len(PLAIN)
        assert all(one.usage is None or one.usage.estimated for one in bad)


STREAMS: dict[str, tuple[list[bytes], str]] = {
    "it ends before its end": ([chunk("one "), b""], "upstream_truncated"),
    "it breaks off in an event": ([chunk("one "), b'data: {"choices":[{"de'], "upstream_truncated"),
    "an event without end": ([chunk("one "), *[b"data: " + b"a" * 1_000_000] * 10], "upstream_too_large"),
    "it goes on after its end": (
        [chunk("one "), b"data: [DONE]\n\n" + b": x\n\n" * 200_000],
        "upstream_malformed",
    ),
    "a second answer after its end": ([chunk("one "), b"data: [DONE]\n\n" * 2], ""),
    "an error event": ([chunk("one "), b'data: {"error":{"message":"sk-house secret words"}}\n\n'], "upstream_error"),
    "comments without end before the first event": ([b": keep\n\n" * 200_000], "upstream_malformed"),
    "a first event that is none": ([b"data: <html>\n\n"], "upstream_malformed"),
    "a chunk that lies": ([], "upstream_malformed"),
}


async def test_streams_that_lie_end_in_an_error_the_caller_can_see(tmp_path: Path) -> None:
    current: list[list[bytes]] = []

    async def provider(end: Wire) -> None:
        await received(end)
        end.send(STREAM)
        for data in current[-1]:
            end.send(piece(data) if data else b"")
            await end.writer.drain()
            await asyncio.sleep(0)
        end.send(b"0\r\n\r\n" if current[-1] else b"zz\r\n")
        await end.writer.drain()

    async with hostile(provider) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        for what, (pieces, reason) in STREAMS.items():
            current.append(pieces)
            code, _, body = await here.post("acme/y", chat(stream=True))
            if not reason:
                assert code == 200
                assert body.count(b"one ") == 1
                continue
            if code == 200:
                last = json.loads(body.rstrip().split(b"data: ")[-1])
                assert last["error"]["code"] == reason, what
                assert not body.rstrip().endswith(b"[DONE]"), f"{what}: a broken stream ends like a whole one"
            else:
                assert code_of(body) == reason, what
            assert b"secret words" not in body
        settled = await here.of_kind("acme", entry.SETTLED)
        assert [one.reason is None for one in settled] == [not reason for _, reason in STREAMS.values()]
        assert all(one.usage is None or one.usage.estimated for one in settled)


async def test_an_endless_reply_is_cut_at_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "REPLY_LIMIT", 1 << 20)
    monkeypatch.setattr(call_module, "ERROR_LIMIT", 1 << 16)
    sent = 0

    def endless(head: bytes) -> Script:
        async def script(end: Wire) -> None:
            nonlocal sent
            sent = 0
            await received(end)
            end.send(head + b"transfer-encoding: chunked\r\n\r\n")
            while True:
                end.send(piece(b" " * 65536))
                sent += 65536
                await end.writer.drain()

        return script

    heads = {
        OK: "upstream_too_large",
        b"HTTP/1.1 400 no\r\n": "upstream_refused",
        b"HTTP/1.1 500 no\r\n": "upstream_error",
    }
    async with place(tmp_path) as here:
        for head, reason in heads.items():
            async with hostile(endless(head)) as port:
                await lead_house_to(here, port)
                code, _, body = await here.post("acme/y", chat())
            assert code_of(body) == reason
            assert code >= 400
            assert sent < 60_000_000, "it was read far beyond its bound"
            assert not here.running.pool.idle


async def test_silence_at_any_point_ends_in_time(tmp_path: Path) -> None:
    """Deadlines by the pool's own clock, moved by hand: to the first byte, between pieces, and in all."""
    silent: dict[str, tuple[bytes, bool]] = {
        "no answer at all": (b"", False),
        "half a head": (b"HTTP/1.1 200 OK\r\ncontent-ty", False),
        "a head and nothing more": (OK + b"content-length: 9\r\n\r\n", False),
        "half a body": (OK + b"content-length: 9\r\n\r\n{", False),
        "a stream that stops": (STREAM + piece(chunk("one ")), True),
        "a stream without an event": (STREAM, True),
    }
    waiting: set[str] = set()

    async def provider(end: Wire) -> None:
        asked = await received(end)
        what = json.loads(asked.partition(b"\r\n\r\n")[2])["messages"][0]["content"]
        end.send(silent[what][0])
        await end.writer.drain()
        waiting.add(what)
        await end.rest()

    async with hostile(provider) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        pool = here.running.pool
        calls = {
            what: asyncio.create_task(here.post("acme/y", chat(text=what, stream=stream)))
            for what, (_, stream) in silent.items()
        }
        await happens(lambda: len(waiting) == len(silent))
        for _ in range(50):
            await asyncio.sleep(0)  # what was sent arrives: loopback, and one loop
        assert not any(call.done() for call in calls.values())
        clock: Callable[[], float] = pool.clock
        pool.clock = lambda: clock() + 130.0
        for what, call in calls.items():
            code, _, body = await asyncio.wait_for(call, 20)
            said = code_of(body) if code != 200 else json.loads(body.rstrip().split(b"data: ")[-1])["error"]["code"]
            assert said == "upstream_timeout", what
        assert not pool.open


async def test_a_drip_is_not_progress_for_ever(tmp_path: Path) -> None:
    """A byte now and then: each piece is in time, the whole is not."""
    ended = asyncio.Event()

    async def provider(end: Wire) -> None:
        await received(end)
        end.send(STREAM + piece(chunk("one ")))
        try:
            while True:
                end.send(piece(b": drip\n\n"))
                await end.writer.drain()
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async with hostile(provider) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        pool = here.running.pool
        call = asyncio.create_task(here.post("acme/y", chat(stream=True)))
        clock: Callable[[], float] = pool.clock
        passed = 0.0
        pool.clock = lambda: clock() + passed
        async with asyncio.timeout(30):
            while not call.done():
                await asyncio.sleep(0.02)
                passed += 20.0
        code, _, body = call.result()
        assert (code, json.loads(body.rstrip().split(b"data: ")[-1])["error"]["code"]) == (200, "upstream_timeout")
        await asyncio.wait_for(ended.wait(), 10)
        assert passed > 800.0


async def test_certificates_that_are_not_the_providers_get_no_key(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def listens(end: Wire) -> None:
        heard.append(await end.reader.read(65536))

    async def plain(end: Wire) -> None:
        end.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        heard.append(await end.reader.read(65536))

    trusted, unknown = tmp_path / "trusted", tmp_path / "unknown"
    trusted.mkdir()
    unknown.mkdir()
    ours, theirs = Authority(trusted), Authority(unknown)
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(ours.certificate.public_bytes(serialization.Encoding.PEM))
    settings = f'[upstream]\nca_bundle = "{bundle}"\n'
    wrong = {
        "of an authority we do not know": theirs.server("127.0.0.1"),
        "of another name": ours.server("llm.example"),
        "of another address": ours.server("127.0.0.2"),
        "that expired": ours.server("127.0.0.1", days=-1),
    }
    async with place(tmp_path, settings=settings) as here:
        for what, context in wrong.items():
            async with hostile(listens, context) as port:
                await lead_house_to(here, port, scheme="https")
                code, _, body = await here.post("acme/y", chat())
                assert (code, code_of(body)) == (502, "upstream_unreachable"), what
                assert (await here.of_kind("acme", entry.SETTLED))[-1].outcome == "not_sent"
        async with hostile(plain) as port:  # speaks no TLS at all
            await lead_house_to(here, port, scheme="https")
            assert code_of((await here.post("acme/y", chat()))[2]) == "upstream_unreachable"
        assert not [data for data in heard if b"sk-" in data or b"POST" in data]
        async with hostile(says(whole(GOOD)), ours.server("127.0.0.1")) as port:
            await lead_house_to(here, port, scheme="https")
            assert (await here.post("acme/y", chat()))[0] == 200


async def test_figures_that_cannot_be_true_are_not_believed(tmp_path: Path) -> None:
    lies: list[Any] = [
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": 10**18, "completion_tokens": 3},
        {"prompt_tokens": "7", "completion_tokens": 3},
        {"prompt_tokens": 7.5, "completion_tokens": 3},
        {"prompt_tokens": True, "completion_tokens": 3},
        {"prompt_tokens": None, "completion_tokens": None},
        [7, 3], "7", 7, {}, None,
    ]  # fmt: skip
    current: list[Any] = []

    async def provider(end: Wire) -> None:
        while True:
            await received(end)
            body = {"id": "c", "choices": [{"index": 0, "message": {"content": "hi"}}], "usage": current[-1]}
            end.send(whole(json.dumps(body).encode()))

    async with hostile(provider) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        for lie in lies:
            current.append(lie)
            assert (await here.post("acme/y", chat()))[0] == 200
        for one in await here.of_kind("acme", entry.SETTLED):
            assert one.usage.estimated
            assert 0 < one.usage.input < 1000
        current.append({"input_tokens": 4, "output_tokens": 2})
        await here.post("acme/y", question(), MESSAGES, VERSION)
        report = await here.verb("usage", Usage(by=("agent",)))
        assert all(0 <= line["input"] < 10_000 for line in report)


async def test_a_provider_that_floods_is_cut_off_when_its_caller_leaves(tmp_path: Path) -> None:
    """A caller that leaves, and a provider that would go on writing: it is cut off."""
    cut = asyncio.Event()

    async def provider(end: Wire) -> None:
        await received(end)
        end.send(STREAM)
        try:
            while True:
                end.send(piece(chunk("w" * 5000)))
                await end.writer.drain()
        finally:
            cut.set()

    async with hostile(provider) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        call = asyncio.create_task(here.post("acme/y", chat(stream=True)))
        async with asyncio.timeout(10):
            while not here.running.pool.open:
                await asyncio.sleep(0.005)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.wait_for(cut.wait(), 10)
        await here.settled()
        [settled] = await here.of_kind("acme", entry.SETTLED)
        assert settled.outcome == "aborted"
