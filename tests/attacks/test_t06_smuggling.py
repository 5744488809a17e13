"""T06: request smuggling, path tricks, a lying Host. Raw bytes against a whole deployment.

Each attack on framing carries a second call with its own good key and the word `smuggled`. If any reader on the way
framed the first one as the attacker hopes, the provider would see that word.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from sekimori.ledger import entry
from tests.attacks.attacker import CHAT, bearer, call_bytes, hostile, lead_house_to, received, wire
from tests.flows.place import JSON, SECRETS, chat, completion, place
from tests.http.wire import Wire

BODY = json.dumps(chat()).encode()
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LINE = b"POST /v1/chat/completions HTTP/1.1"


def attacks(key: str) -> dict[str, bytes]:
    """Calls that two readers could frame differently."""
    length = b"Content-Length: %d" % len(BODY)
    chunked = b"Transfer-Encoding: chunked"

    def call(*fields: bytes, body: bytes = BODY, line: bytes = LINE, host: bytes = b"Host: x") -> bytes:
        head = [line, host, b"Authorization: Bearer " + key.encode(), *fields]
        return b"\r\n".join(one for one in head if one) + b"\r\n\r\n" + body

    return {
        "CL.TE": call(length, chunked, body=b"0\r\n\r\n"),
        "TE.CL": call(chunked, b"Content-Length: 4", body=CHUNKS),
        "CL.CL that differ": call(b"Content-Length: 0", length),
        "CL.CL that agree": call(length, length),
        "CL in a list": call(b"Content-Length: %d, %d" % (len(BODY), len(BODY))),
        "CL with a plus": call(b"Content-Length: +%d" % len(BODY)),
        "CL with a zero in front": call(b"Content-Length: 0%d" % len(BODY)),
        "CL in hexadecimal": call(b"Content-Length: 0x%x" % len(BODY)),
        "CL negative": call(b"Content-Length: -1"),
        "TE.TE": call(chunked, b"Transfer-Encoding: identity", body=CHUNKS),
        "TE hidden by a coding": call(b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
        "TE hidden by white space": call(b"Transfer-Encoding: \x0bchunked", body=CHUNKS),
        "TE with a space before its colon": call(b"Transfer-Encoding : chunked", length, body=CHUNKS),
        "TE on a folded line": call(b"X: y", b" Transfer-Encoding: chunked", length),
        "TE behind a bare LF": call(b"X: y\nTransfer-Encoding: chunked", length),
        "TE behind a bare CR": call(b"X: y\rTransfer-Encoding: chunked", length),
        "TE from HTTP/1.0": call(chunked, body=CHUNKS, line=LINE.replace(b"1.1", b"1.0")),
        "TE in mixed case beside CL": call(b"Transfer-Encoding: chunKed", length, body=CHUNKS),
        "a chunk size with a prefix": call(chunked, body=b"0x" + CHUNKS),
        "a chunk size beyond 64 bits": call(chunked, body=b"f" * 17 + b"\r\n" + CHUNKS),
        "a chunk that is longer than it says": call(chunked, body=b"3\r\n%b\r\n0\r\n\r\n" % BODY),
        "a chunk line that ends in LF": call(chunked, body=CHUNKS.replace(b"\r\n", b"\n", 1)),
        "LF in a chunk extension": call(chunked, body=b"2;\nxx\r\n{}\r\n0\r\n\r\n"),
        "a trailer that is a request": call(chunked, body=CHUNKS[:-2] + b"GET /v1/models HTTP/1.1\r\n\r\n"),
        "NUL in a field": call(b"X: a\x00b", length),
        "no Host": call(length, host=b""),
        "two Hosts": call(b"Host: y", length),
        "a Host that is a path": call(length, host=b"Host: x/v1/../admin"),
        "a Host with credentials": call(length, host=b"Host: user@x"),
        "a Host that is two": call(length, host=b"Host: x, y"),
        "a Host with a space": call(length, host=b"Host: x y"),
        "an empty Host": call(length, host=b"Host:"),
        "an absolute target": call(length, line=b"POST http://x/v1/chat/completions HTTP/1.1"),
        "an absolute target elsewhere": call(length, line=b"POST http://169.254.169.254/v1/chat/completions HTTP/1.1"),
        "an authority as target": call(length, line=b"POST x:443 HTTP/1.1"),
        "CONNECT": call(length, line=b"CONNECT 127.0.0.1:22 HTTP/1.1"),
        "an asterisk": call(length, line=b"OPTIONS * HTTP/1.1"),
        "a body in gzip": call(b"Content-Encoding: gzip", length),
        "a body in two codings": call(b"Content-Encoding: identity", b"Content-Encoding: gzip", length),
        "a body in deflate": call(b"Content-Encoding: deflate, identity", length),
        "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    }  # fmt: skip


async def test_no_form_of_smuggling_gets_a_second_call_through(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"]

        async def play(what: str, attack: bytes) -> None:
            async with wire(here.running.gateway_port) as end:
                end.send(attack + call_bytes(here.keys["acme/y"], "smuggled"))
                got = await end.ended()
                assert got.startswith((b"HTTP/1.1 4", b"HTTP/1.1 50")), what
                assert got.count(b"HTTP/1.1 ") == 1, f"{what}: the connection was used after a doubtful request"

        await asyncio.gather(*(play(what, attack) for what, attack in attacks(key).items()))
        assert here.provider.seen == []
        for log in ("acme", "globex"):
            assert await here.of_kind(log, entry.DECIDED) == []
        # What is well formed, sent alike, gets through: the attacks failed for their framing and nothing else.
        async with wire(here.running.gateway_port) as end:
            end.send(b"\r\n".join((LINE, b"Host: x", b"Authorization: Bearer " + key.encode())))
            end.send(b"\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS + call_bytes(here.keys["acme/y"], "second"))
            assert (await end.reply())[0] == 200
            assert (await end.reply())[0] == 200
        assert [body["messages"][0]["content"] for _, _, body in here.provider.seen] == ["hello", "second"]


async def test_a_body_without_a_length_is_no_body_and_no_second_call(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        hidden = call_bytes(here.keys["acme/y"], "smuggled")
        for behind in (BODY, BODY + hidden, b"\r\n" + hidden, b" " + hidden, b"0\r\n\r\n" + hidden):
            async with wire(here.running.gateway_port) as end:
                end.send(call_bytes(here.keys["acme/x"], length=False).partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + behind)
                got = await end.ended()
                assert got.startswith(b"HTTP/1.1 4")
                assert b"HTTP/1.1 2" not in got
        assert here.provider.seen == []


async def test_a_path_has_one_spelling(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"]
        paths = [
            b"//v1/chat/completions", b"/v1//chat/completions", b"/v1/chat/completions/", b"/v1/chat/completions//",
            b"/V1/chat/completions", b"/v1/Chat/Completions", b"/v1/chat/./completions", b"/v1/x/../chat/completions",
            b"/./v1/chat/completions", b"/v1/chat/completions/.", b"/v1/chat/completions/..",
            b"/../v1/chat/completions", b"/v1/chat%2fcompletions", b"/v1/chat%2Fcompletions",
            b"/v1/%63hat/completions", b"/%76%31/chat/completions", b"/v1/%2e%2e/v1/chat/completions",
            b"/v1/%2E/chat/completions", b"/v1/chat%252fcompletions", b"/v1\\chat\\completions",
            b"/v1/chat/completions%00", b"/v1/chat/completions%20", b"/v1/chat/completions;x=y",
            b"/v1/chat/completions#x", b"/v1/chat/completions%3Fx", b"/v1/chat/completions\xc0\xaf",
            b"v1/chat/completions", b"/healthz/../v1/chat/completions", b"/healthz;/v1/chat/completions",
            b"/v1/chat/completions%0d%0aX:y", b"/v1/messages/../chat/completions", b"/openai//v1/chat/completions",
            b"/OpenAI/v1/chat/completions", b"/openai/v1/../v1/chat/completions", b"/metrics", b"/api/v1",
        ]  # fmt: skip
        for path in paths:
            async with wire(here.running.gateway_port) as end:
                end.send(call_bytes(key, line=b"POST %b HTTP/1.1" % path))
                assert (await end.reply())[0] in (400, 404), path
        for method in (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"post", b"HEAD"):
            async with wire(here.running.gateway_port) as end:
                end.send(call_bytes(key, line=b"%b /v1/chat/completions HTTP/1.1" % method))
                head = await end.until(b"\r\n\r\n")
                assert head.split(b" ")[1] in (b"400", b"405"), method
        assert here.provider.seen == []


async def test_a_host_that_lies_changes_nothing_and_travels_nowhere(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"]
        lies = (b"evil.example", b"127.0.0.1:1", b"localhost", b"[::1]", b"globex.internal", b"api.openai.com")
        for host in lies:
            async with wire(here.running.gateway_port) as end:
                end.send(
                    call_bytes(
                        key,
                        "hello",
                        b"X-Forwarded-Host: evil.example",
                        b"X-Forwarded-For: 127.0.0.1",
                        b"X-Forwarded-Proto: https",
                        b"Forwarded: for=127.0.0.1;host=evil.example;proto=https",
                        b"X-Real-IP: 127.0.0.1",
                        b"X-Original-URL: /v1/messages",
                        b"X-Rewrite-URL: /admin",
                        b"X-HTTP-Method-Override: DELETE",
                        host=b"Host: " + host,
                    )
                )
                assert (await end.reply())[0] == 200
        expected = f"127.0.0.1:{here.provider_port}".encode()
        for path, headers, _ in here.provider.seen:
            assert path == CHAT
            assert [value for name, value in headers if name == b"host"] == [expected]
            assert not [name for name, value in headers if b"evil" in value or name.startswith((b"x-", b"forwarded"))]
        assert here.provider.keys() == [SECRETS["clients/acme/own"]] * len(lies)


async def test_the_control_listener_frames_as_strictly_and_has_three_doors(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        port = here.running.control_port
        assert port is not None
        hidden = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        for attack in (
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            b"GET http://x/metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /healthz/../metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            async with wire(port) as end:
                end.send(attack + hidden)
                got = await end.ended()
                assert got.startswith(b"HTTP/1.1 4")
                assert b"sekimori_" not in got
        for path in ("/", "/v1/models", "/v1/chat/completions", "/api", "/verbs", "/metrics/x", "/owner.sock"):
            async with wire(port) as end:
                end.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert (await end.reply())[0] == 404, path


async def test_what_a_caller_sends_cannot_split_the_request_that_we_send(tmp_path: Path) -> None:
    """The caller's part in the outgoing request: the body, and of the headers two, by the letter."""
    async with place(tmp_path) as here:
        key = here.keys["acme/x"]
        for name in (b"anthropic-version", b"anthropic-beta"):
            for value in (b"x\r\nhost: evil", b"x\nx: y", b"x\ry", b"x\x00y", b"2023-06-01\r\n\r\nGET / HTTP/1.1"):
                async with wire(here.running.gateway_port) as end:
                    fields = name + b": " + value
                    end.send(call_bytes(key, "hello", fields, line=b"POST /v1/messages HTTP/1.1"))
                    assert (await end.reply())[0] == 400, value
            for value in (b"\xff\xfe", b"\xc3\xa9", b"a" * 3000, b'x, y; z="\\"'):
                code, _, _ = await here.send("POST", "/v1/messages", [bearer(key), JSON, (name, value)], b"{}")
                assert code in (400, 403), value
        assert here.provider.seen == []
        code, _, _ = await here.post("acme/x", chat("tiny\r\nx: y"))
        assert code in (400, 404)
        text = "0\r\n\r\nGET /evil HTTP/1.1\r\nhost: x\r\n\r\n"
        assert (await here.post("acme/x", chat(text=text)))[0] == 200
        assert [path for path, _, _ in here.provider.seen] == [CHAT]
        assert here.provider.seen[0][2]["messages"][0]["content"] == text


async def test_a_provider_that_answers_twice_poisons_no_later_call(tmp_path: Path) -> None:
    """Response smuggling: bytes behind a whole reply would be read as the answer to the next caller's question."""
    poison = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    evil = completion("poisoned")
    good = completion("good")
    tricks = [
        b"content-length: %d\r\n\r\n%b" % (len(good), good) + poison % (len(evil), evil),
        b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(good), good) + poison % (len(evil), evil),
        b"content-length: %d\r\ncontent-length: 0\r\n\r\n%b" % (len(good), good) + poison % (len(evil), evil),
        b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(good), good),
        b"content-length: 2\r\n\r\n%b" % good,
    ]
    played: list[bytes] = []

    async def provider(end: Wire) -> None:
        while True:
            asked = await received(end)
            if b"attack" in asked:
                end.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + tricks[len(played)])
                played.append(asked)
            else:
                end.send(poison % (len(good), good))

    async with hostile(provider) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        for number in range(len(tricks)):
            await here.post("globex/z", chat(text="attack"))
            for agent in ("globex/z", "acme/y"):
                code, _, body = await here.post(agent, chat(text="harmless"))
                assert (code, body) == (200, good), number
        assert len(played) == len(tricks)
        assert all(b"poisoned" not in reply for _, reply in here.replies)


async def test_pipelined_calls_of_two_agents_keep_their_own_keys_and_replies(tmp_path: Path) -> None:
    async with place(tmp_path) as here, wire(here.running.gateway_port) as end:
        agents = ["acme/x", "globex/z"] * 6
        end.send(b"".join(call_bytes(here.keys[agent], agent) for agent in agents))
        for _ in agents:
            assert (await end.reply())[0] == 200
        said = [body["messages"][0]["content"] for _, _, body in here.provider.seen]
        expected = {"acme/x": SECRETS["clients/acme/own"], "globex/z": SECRETS["operator/house"]}
        assert said == agents
        assert here.provider.keys() == [expected[agent] for agent in agents]
        assert len(await here.of_kind("acme", entry.DECIDED)) == len(await here.of_kind("globex", entry.DECIDED)) == 6
