"""T21: a value that a guard looks for does not get past it by how it is cut, written, placed or pretended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sekimori.guard import load
from sekimori.guard.examine import output_spans
from sekimori.guard.mask import Masks
from sekimori.guard.stream import StreamScreen
from sekimori.http.server import Reply, Request
from sekimori.policy.guards import GuardOutput, OutputPii
from tests.flows.place import DONE, EVENTS, JSON, USAGE_EVENT, chat, completion, place

KEY = "sk-proj-" + "a8Kd92jSl3Mx0Qw7Zr5TyUi4Op6N1bVc"
MARK = KEY[8:24].encode()


def chunk(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def arguments(text: str) -> bytes:
    return chunk(tool_calls=[{"index": 0, "function": {"arguments": text}}])


WAYS: dict[str, list[bytes]] = {
    "a character at a time": [chunk(content=one) for one in f"it is {KEY} ok"],
    "in the reasoning": [chunk(reasoning_content=f"it is {KEY[:20]}"), chunk(reasoning_content=f"{KEY[20:]} ok")],
    "in the arguments of a tool": [arguments('{"k":"' + KEY[:12]), arguments(KEY[12:] + '"}')],
    "escaped in the arguments": [arguments('{"k":"' + "".join(f"\\u{ord(one):04x}" for one in KEY) + '"}')],
    "in a refusal": [chunk(refusal=f"no {KEY} ok")],
    "in a field that nobody knows": [chunk(novel={"deep": [f"it is {KEY} ok"]})],
    "in a comment": [b": " + KEY.encode() + b"\n\n"],
    "in the name of an event": [b"event: " + KEY.encode() + b"\n" + chunk(content="hi ")],
    "in data that is no JSON": [b"data: " + KEY.encode() + b"\n\n"],
    "in two lines of data": [
        b'data: {"choices":[{"index":0,"delta":\ndata: {"content":"' + KEY.encode() + b' ok"}}]}\n\n'
    ],
    "in the last event without an end": [chunk(content=f"it is {KEY}")[:-2]],
}


@pytest.mark.parametrize("way", WAYS)
def test_no_byte_of_a_key_leaves_in_a_stream(way: str) -> None:
    spans = output_spans(load.load_tools(), GuardOutput(pii_detection=OutputPii(mode="mask")), Masks(b"k" * 32))
    screen = StreamScreen("openai", "chat", spans)
    *events, last = WAYS[way]
    out = b"".join(screen.feed(event) for event in events) + screen.end(last)
    assert MARK not in out
    assert spans.found


async def test_a_mask_that_the_caller_made_up_stands_for_nothing(tmp_path: Path) -> None:
    """Masks are known only to the call that made them: not by guessing, not from another call, not from a tenant."""
    policy = "kind: Guard\ntenant: {}\ninput: {{piiDetection: {{mode: mask}}}}\n"
    documents = "---\n".join(policy.format(tenant) for tenant in ("acme", "globex"))
    async with place(tmp_path, guarded=True, documents=documents) as here:

        async def echo(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await reply.send(200, [JSON], completion(body["messages"][-1]["content"]))

        here.provider.script = [echo] * 4
        await here.post("acme/x", chat(text="mail boss@acme.example"))
        mask = here.provider.seen[0][2]["messages"][0]["content"].split()[-1]
        for agent in ("acme/x", "acme/y", "globex/z"):
            _, _, body = await here.post(agent, chat(text=f"who is {mask}"))
            assert b"boss@acme.example" not in body


async def test_a_detector_that_is_broken_lets_nothing_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find(self, text: str, at: int, ended: bool) -> Any:
            raise MemoryError

    broken = Broken()

    async def key(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        if body.get("stream"):
            await reply.start(200, [EVENTS])
            await reply.write(chunk(content=f"it is {KEY} ok"))
            await reply.finish(USAGE_EVENT + DONE)
        else:
            await reply.send(200, [JSON], completion(f"it is {KEY} ok"))

    tools = load.load_tools()
    monkeypatch.setattr("sekimori.serve.load_tools", lambda: type(tools)(**{**_fields(tools), "secrets": (broken,)}))
    async with place(tmp_path, guarded=True) as here:
        here.provider.script = [key, key]
        for stream in (False, True):
            code, _, body = await here.post("acme/x", chat(stream=stream))
            assert code == 400
            assert MARK not in body
            assert b"secrets_failed_closed" in body


def _fields(tools: Any) -> dict[str, Any]:
    return {name: getattr(tools, name) for name in tools.__struct_fields__}
