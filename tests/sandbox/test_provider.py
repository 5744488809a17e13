"""The practice provider through the real SDKs, plain and streamed, with tools; its scenarios and its own count."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from sekimori.dialects import anthropic as anthropic_dialect
from sekimori.dialects import openai as openai_dialect
from sekimori.dialects import responses as responses_dialect
from sekimori.dialects.stream import EventStream
from sekimori.errors import Upstream
from sekimori.sandbox.replies import NOTICE, REASONING, fingerprint
from sekimori.sandbox.scenarios import SCENARIOS, Scenario, choose
from sekimori.terms import Usage
from tests.sandbox.conftest import KEY, Sandbox

ASKED: Any = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello out there"}]
ASKED_ANTHROPIC: Any = [{"role": "user", "content": [{"type": "text", "text": "hello out there"}]}]
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "all": {"type": "boolean"}},
}
GIVEN = {"city": "sandbox", "days": 1, "all": True}
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
TOOL_ANTHROPIC: Any = {"name": "weather", "input_schema": SCHEMA}


def said(model: str, messages: int) -> str:
    return (
        f"{NOTICE} It received model {model}, key {fingerprint(KEY)} and {messages} messages;"
        " the last words of the user were: hello out there"
    )


async def test_openai_plain(sandbox: Sandbox) -> None:
    async with sandbox.openai() as client:
        raw = await client.chat.completions.with_raw_response.create(model="sandbox-echo", messages=ASKED)
        again = await client.chat.completions.create(model="sandbox-echo", messages=ASKED)
    reply = raw.parse()
    assert raw.headers["x-sandbox"] == "sekimori"
    assert reply == again, "deterministic"
    assert reply.choices[0].message.content == said("sandbox-echo", 2)
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == 5
    assert reply.usage.completion_tokens == len(said("sandbox-echo", 2).split())


async def test_openai_stream(sandbox: Sandbox) -> None:
    async with sandbox.openai() as client:
        for asks in (True, False):
            options: Any = {"stream_options": {"include_usage": True}} if asks else {}
            stream = await client.chat.completions.create(model="sandbox-echo", messages=ASKED, stream=True, **options)
            chunks = [chunk async for chunk in stream]
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            assert text == said("sandbox-echo", 2)
            assert [chunk.usage.prompt_tokens for chunk in chunks if chunk.usage] == ([5] if asks else [])


async def test_openai_tools_end_to_end(sandbox: Sandbox) -> None:
    async with sandbox.openai() as client:
        talk: list[Any] = [*ASKED]
        first = await client.chat.completions.create(model="sandbox-echo", messages=talk, tools=[TOOL])
        assert first.choices[0].finish_reason == "tool_calls"
        message = first.choices[0].message
        assert message.tool_calls is not None
        call: Any = message.tool_calls[0]
        assert (call.function.name, json.loads(call.function.arguments)) == ("weather", GIVEN)
        talk += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
        second = await client.chat.completions.create(model="sandbox-echo", messages=talk, tools=[TOOL])
        assert second.choices[0].message.content == said("sandbox-echo", 4)
        none = await client.chat.completions.create(
            model="sandbox-echo", messages=ASKED, tools=[TOOL], tool_choice="none"
        )
        assert none.choices[0].finish_reason == "stop"

        stream = await client.chat.completions.create(model="sandbox-echo", messages=ASKED, tools=[TOOL], stream=True)
        name, arguments = "", ""
        async for chunk in stream:
            for delta in chunk.choices[0].delta.tool_calls or []:
                assert delta.function is not None
                name += delta.function.name or ""
                arguments += delta.function.arguments or ""
        assert (name, json.loads(arguments)) == ("weather", GIVEN)


async def test_anthropic_plain_and_counted(sandbox: Sandbox) -> None:
    async with sandbox.anthropic() as client:
        reply = await client.messages.create(
            model="sandbox-echo", max_tokens=100, system="be kind", messages=ASKED_ANTHROPIC
        )
        counted = await client.messages.count_tokens(model="sandbox-echo", system="be kind", messages=ASKED_ANTHROPIC)
        capped = await client.messages.create(model="sandbox-echo", max_tokens=3, messages=ASKED_ANTHROPIC)
    assert [block.text for block in reply.content if block.type == "text"] == [said("sandbox-echo", 1)]
    assert (reply.stop_reason, reply.usage.input_tokens) == ("end_turn", 5)
    assert counted.input_tokens == 5
    assert (capped.stop_reason, capped.usage.output_tokens) == ("max_tokens", 3)


async def test_anthropic_stream_and_tools(sandbox: Sandbox) -> None:
    async with sandbox.anthropic() as client:
        async with client.messages.stream(model="sandbox-echo", max_tokens=100, messages=ASKED_ANTHROPIC) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
        assert text == said("sandbox-echo", 1)
        assert (final.usage.input_tokens, final.usage.output_tokens) == (3, len(text.split()))

        talk: list[Any] = [*ASKED_ANTHROPIC]
        async with client.messages.stream(
            model="sandbox-echo", max_tokens=100, messages=talk, tools=[TOOL_ANTHROPIC]
        ) as stream:
            used = (await stream.get_final_message()).content[0]
        assert used.type == "tool_use"
        assert (used.name, used.input) == ("weather", GIVEN)
        talk.append({"role": "assistant", "content": [used.model_dump(exclude_none=True)]})
        told = {"type": "tool_result", "tool_use_id": used.id, "content": "rain"}
        talk.append({"role": "user", "content": [told]})
        reply = await client.messages.create(
            model="sandbox-echo", max_tokens=100, messages=talk, tools=[TOOL_ANTHROPIC]
        )
        assert reply.stop_reason == "end_turn"


async def test_cache_and_reasoning_are_told(sandbox: Sandbox) -> None:
    async with sandbox.openai() as client:
        reply = await client.chat.completions.create(
            model="sandbox-echo", messages=ASKED, prompt_cache_key="p", reasoning_effort="low"
        )
    assert reply.usage is not None
    facts = openai_dialect.read_reply(reply.model_dump_json().encode())
    assert facts.usage is not None
    assert (facts.usage.cached, facts.usage.reasoning) == (2, REASONING)
    async with sandbox.anthropic() as client:
        message = await client.messages.create(
            model="sandbox-echo", max_tokens=99, messages=ASKED_ANTHROPIC, cache_control={"type": "ephemeral"}
        )
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (2, 1)


async def test_models(sandbox: Sandbox) -> None:
    names = [f"sandbox-{name}" for name in SCENARIOS]
    async with sandbox.openai() as client:
        assert [model.id async for model in client.models.list()] == names
        assert (await client.models.retrieve("sandbox-echo")).id == "sandbox-echo"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("gpt-5")
    async with sandbox.anthropic() as other:
        assert [model.id async for model in other.models.list()] == names


# Scenarios.


@pytest.mark.parametrize(
    ("model", "key", "expected"),
    [
        ("sandbox-echo", "sk-x", Scenario("echo")),
        ("sandbox-rate-limited", "sk-x", Scenario("rate-limited")),
        ("sandbox-echo", "sk-rate-limited-x", Scenario("rate-limited")),
        ("sandbox-overloaded", "sk-rate-limited-x", Scenario("rate-limited")),
        ("sandbox-echo", "sk-error-first-rate-limited", Scenario("error-first-rate-limited")),
        ("sandbox-slow-stream", "k", Scenario("slow-stream", 0.2)),
        ("sandbox-slow-stream-50ms", "k", Scenario("slow-stream", 0.05)),
        ("sandbox-slow-first-byte-0ms", "k", Scenario("slow-first-byte", 0.0)),
        ("sandbox-nothing", "k", None),
        ("gpt-5", "sk-rate-limited", None),
        ("echo", "k", None),
    ],
)
def test_scenarios_are_chosen_by_model_or_key(model: str, key: str, expected: Scenario | None) -> None:
    assert choose(model, key) == expected


RAISES: list[tuple[str, str, str]] = [
    ("rate-limited", "RateLimitError", "RateLimitError"),
    ("overloaded", "InternalServerError", "OverloadedError"),
    ("unauthorized", "AuthenticationError", "AuthenticationError"),
    ("forbidden", "PermissionDeniedError", "PermissionDeniedError"),
    ("bad-request", "BadRequestError", "BadRequestError"),
    ("not-found", "NotFoundError", "NotFoundError"),
    ("server-error", "InternalServerError", "InternalServerError"),
    ("disconnect", "APIConnectionError", "APIConnectionError"),
]


@pytest.mark.parametrize(("name", "in_openai", "in_anthropic"), RAISES)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("by_key", [False, True])
async def test_failures_raise_in_the_sdks(
    sandbox: Sandbox, name: str, in_openai: str, in_anthropic: str, streamed: bool, by_key: bool
) -> None:
    model, key = ("sandbox-echo", f"sk-{name}-1") if by_key else (f"sandbox-{name}", KEY)
    async with sandbox.openai(key) as client:
        with pytest.raises(getattr(openai, in_openai)):
            await client.chat.completions.create(model=model, messages=ASKED, stream=streamed)
    async with sandbox.anthropic(key) as other:
        with pytest.raises(anthropic.APIError) as raised:
            await other.messages.create(model=model, max_tokens=9, messages=ASKED_ANTHROPIC, stream=streamed)
    assert type(raised.value).__name__ == in_anthropic
    if name == "rate-limited":
        assert isinstance(raised.value, anthropic.APIStatusError)
        assert raised.value.response.headers["retry-after"] == "7"
    totals = await sandbox.get("/sandbox/totals")
    assert totals["keys"][fingerprint(key)] == {
        "requests": 2, "answered": 0, "failed": 2, "input": 0, "output": 0, "cached": 0,
    }  # fmt: skip


async def ask(sandbox: Sandbox, name: str, dialect: str, stream: bool) -> httpx2.Response:
    path = "/v1/chat/completions" if dialect == "openai" else "/v1/messages"
    body = {"model": f"sandbox-{name}", "max_tokens": 99, "messages": ASKED[1:], "stream": stream}
    return await sandbox.raw.post(path, json=body, headers={"authorization": f"Bearer {KEY}"})


def kind(dialect: str) -> Any:
    return openai_dialect if dialect == "openai" else anthropic_dialect


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_every_scenario_is_read_as_what_it_is(sandbox: Sandbox, dialect: str) -> None:
    """What our own readers make of every broken reply, so that the walk meets each of them in its tests."""
    speech = kind(dialect)

    async def streamed(name: str) -> EventStream:
        reply = await ask(sandbox, name, dialect, True)
        assert reply.headers["content-type"] == "text/event-stream"
        stream: EventStream = speech.Stream(True)
        stream.feed(reply.content)
        return stream

    async def plain(name: str) -> bytes:
        reply = await ask(sandbox, name, dialect, False)
        assert reply.status_code == 200
        return reply.content

    whole = await streamed("echo")
    assert whole.complete
    assert not (await streamed("truncated")).complete
    assert (await streamed("malformed-later")).complete
    for name, condition in (
        ("error-first", "overloaded"),
        ("error-first-rate-limited", "rate_limited"),
        ("error-later", "server_error"),
    ):
        failed = await streamed(name)
        assert failed.error is not None
        assert failed.error.condition == condition
        assert failed.started == (name == "error-later")
        assert "org-sandbox-owner" not in str(failed.error.refusal)
    with pytest.raises(Upstream, match="upstream_malformed"):
        await streamed("malformed")
    with pytest.raises(Upstream, match="upstream_too_large"):
        await streamed("huge")
    for name in ("truncated", "malformed", "malformed-later", "error-first"):
        with pytest.raises(Upstream) as refused:
            speech.read_reply(await plain(name))
        assert refused.value.reason == ("upstream_error" if name == "error-first" else "upstream_malformed")
    for name in ("no-usage", "negative-usage", "absurd-usage", "wrong-usage"):
        assert speech.read_reply(await plain(name)).usage is None
        body = (await ask(sandbox, name, dialect, True)).content
        stream = speech.Stream(True)
        stream.feed(body)
        assert (stream.complete, stream.usage) == (True, None)


async def test_responses(sandbox: Sandbox) -> None:
    asked: Any = {"model": "sandbox-echo", "instructions": "be kind", "input": "hello out there"}
    async with sandbox.openai() as client:
        reply = await client.responses.create(**asked)
        assert reply == await client.responses.create(**asked), "deterministic"
        assert reply.output_text == said("sandbox-echo", 1)
        assert reply.usage is not None
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (5, len(reply.output_text.split()))
        capped = await client.responses.create(**asked, max_output_tokens=3)
        assert (capped.status, capped.incomplete_details.reason) == ("incomplete", "max_output_tokens")  # type: ignore[union-attr]
        async with client.responses.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        assert (final.output_text, final.usage) == (reply.output_text, reply.usage)


async def test_responses_are_kept_by_key_unless_told_not_to(sandbox: Sandbox) -> None:
    async with sandbox.openai() as client, sandbox.openai("sk-another-key") as other:
        kept = await client.responses.create(model="sandbox-echo", input="one")
        more = await client.responses.create(model="sandbox-echo", input="two", previous_response_id=kept.id)
        assert "3 messages" in more.output_text
        lost = await client.responses.create(model="sandbox-echo", input="three", store=False)
        for one, at in ((kept, other), (lost, client)):
            with pytest.raises(openai.BadRequestError, match="not found"):
                await at.responses.create(model="sandbox-echo", input="four", previous_response_id=one.id)
        reference: Any = [{"type": "item_reference", "id": "msg_1"}]
        with pytest.raises(openai.BadRequestError, match="not found"):
            await client.responses.create(model="sandbox-echo", input=reference)


async def test_embeddings(sandbox: Sandbox) -> None:
    async with sandbox.openai() as client:
        packed = await client.embeddings.create(model="sandbox-echo", input=["one two", "three"])
        plain = await client.embeddings.create(model="sandbox-echo", input=["one two"], encoding_format="float")
        assert packed.usage.prompt_tokens == 3
        assert packed.data[0].embedding == plain.data[0].embedding != packed.data[1].embedding
        assert (await client.embeddings.create(model="sandbox-echo", input=[1, 2])).usage.total_tokens == 2


async def test_every_scenario_of_responses_is_read_as_what_it_is(sandbox: Sandbox) -> None:
    async def ask(name: str, stream: bool) -> bytes:
        body = {"model": f"sandbox-{name}", "input": "hello", "stream": stream}
        reply = await sandbox.raw.post("/v1/responses", json=body, headers={"authorization": f"Bearer {KEY}"})
        assert reply.status_code == 200
        return reply.content

    async def streamed(name: str) -> EventStream:
        stream = responses_dialect.Stream()
        stream.feed(await ask(name, True))
        return stream

    assert (await streamed("echo")).complete
    assert not (await streamed("truncated")).complete
    assert (await streamed("malformed-later")).complete
    for name, condition in (
        ("error-first", "overloaded"),
        ("error-first-rate-limited", "rate_limited"),
        ("error-later", "server_error"),
    ):
        failed = await streamed(name)
        assert failed.error is not None
        assert failed.error.condition == condition
        assert failed.started == (name == "error-later")
        assert "org-sandbox-owner" not in str(failed.error.refusal)
    with pytest.raises(Upstream, match="upstream_malformed"):
        await streamed("malformed")
    with pytest.raises(Upstream, match="upstream_too_large"):
        await streamed("huge")
    for name in ("truncated", "malformed", "malformed-later", "error-first"):
        with pytest.raises(Upstream) as refused:
            responses_dialect.read_reply(await ask(name, False))
        assert refused.value.reason == ("upstream_error" if name == "error-first" else "upstream_malformed")
    for name in ("no-usage", "negative-usage", "absurd-usage", "wrong-usage"):
        assert responses_dialect.read_reply(await ask(name, False)).usage is None
        stream = await streamed(name)
        assert (stream.complete, stream.usage) == (True, None)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
async def test_scenarios_of_the_connection(sandbox: Sandbox, dialect: str, stream: bool) -> None:
    with pytest.raises(httpx2.TransportError):
        await ask(sandbox, "cut", dialect, stream)
    with pytest.raises(httpx2.TransportError):
        await ask(sandbox, "disconnect", dialect, stream)
    redirect = await ask(sandbox, "redirect", dialect, stream)
    assert (redirect.status_code, redirect.headers["location"]) == (302, "http://elsewhere.invalid/")
    wrong = await ask(sandbox, "wrong-type", dialect, stream)
    assert (wrong.headers["content-type"] == "text/event-stream") == (not stream)
    slow = await ask(sandbox, "slow-stream-1ms", dialect, stream)
    assert slow.content == (await ask(sandbox, "slow-stream-1ms", dialect, stream)).content
    assert (await ask(sandbox, "slow-first-byte-1ms", dialect, stream)).status_code == 200


async def test_a_compressed_reply(sandbox: Sandbox) -> None:
    headers = {"authorization": f"Bearer {KEY}", "accept-encoding": "identity"}
    body = {"model": "sandbox-compressed", "messages": ASKED}
    async with sandbox.raw.stream("POST", "/v1/chat/completions", json=body, headers=headers) as reply:
        assert reply.headers["content-encoding"] == "gzip"
        packed = b"".join([piece async for piece in reply.aiter_raw()])
    assert json.loads(gzip.decompress(packed))["object"] == "chat.completion"


async def test_a_huge_reply_is_longer_than_any_limit(sandbox: Sandbox) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    body = {"model": "sandbox-huge", "messages": ASKED}
    async with sandbox.raw.stream("POST", "/v1/chat/completions", json=body, headers=headers) as reply:
        assert int(reply.headers["content-length"]) == 80 << 20


# Its own account.


async def test_totals_equal_what_was_told(sandbox: Sandbox) -> None:
    usages: list[Usage] = []
    async with sandbox.openai() as client, sandbox.anthropic() as other:
        for _ in range(3):
            reply = await client.chat.completions.create(model="sandbox-echo", messages=ASKED)
            assert reply.usage is not None
            usages.append(Usage(reply.usage.prompt_tokens, reply.usage.completion_tokens))
            async with other.messages.stream(model="sandbox-echo", max_tokens=50, messages=ASKED_ANTHROPIC) as stream:
                used = (await stream.get_final_message()).usage
            usages.append(Usage(used.input_tokens, used.output_tokens))
    total = (await sandbox.get("/sandbox/totals"))["keys"][fingerprint(KEY)]
    assert total == {
        "requests": 6,
        "answered": 6,
        "failed": 0,
        "input": sum(usage.input for usage in usages),
        "output": sum(usage.output for usage in usages),
        "cached": 0,
    }


async def test_it_shows_the_last_request_and_never_the_key(sandbox: Sandbox) -> None:
    body = b'{"model" : "sandbox-echo", "messages":[ ] }'
    for header in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}):
        await sandbox.raw.post("/v1/chat/completions", content=body, headers=header)
        shown = await sandbox.get(f"/sandbox/last/{fingerprint(KEY)}")
        assert base64.b64decode(shown["body"]) == body
        assert (shown["method"], shown["target"]) == ("POST", "/v1/chat/completions")
        assert KEY not in json.dumps(shown)
        assert [fingerprint(KEY)] == [value for name, value in shown["headers"] if name in header]
    assert KEY not in json.dumps(await sandbox.get("/sandbox/totals"))


async def test_what_is_known_of_keys_is_bounded(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sekimori.sandbox.provider.KEYS_KEPT", 3)
    for number in range(5):
        await sandbox.raw.post("/v1/messages", json={}, headers={"x-api-key": f"key-{number}"})
    assert len(sandbox.provider.totals) == 3
    assert len(sandbox.provider.last) == 3


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "/v1/chat/completions", {}, b"{}", 401),
        ("POST", "/v1/messages", {"authorization": "Basic eA=="}, b"{}", 401),
        ("GET", "/v1/models", {}, b"", 401),
        ("GET", "/v1/chat/completions", {"x-api-key": KEY}, b"", 405),
        ("POST", "/v1/completions", {"x-api-key": KEY}, b"{}", 404),
        ("GET", "/sandbox/last/00000000", {}, b"", 404),
        ("GET", "/sandbox/", {}, b"", 404),
        ("POST", "/v1/chat/completions", {"x-api-key": KEY}, b"{", 400),
        ("POST", "/v1/chat/completions", {"x-api-key": KEY}, b'{"model":"gpt-5"}', 404),
        ("POST", "/v1/chat/completions", {"x-api-key": KEY}, b'{"model":["sandbox-echo"]}', 404),
        ("POST", "/v1/messages", {"x-api-key": KEY}, b'{"model":"sandbox-echo","messages":5}', 200),
        ("POST", "/v1/messages", {"x-api-key": KEY}, b'{"model":"sandbox-echo","messages":[5,{"content":[5]}]}', 200),
        ("POST", "/v1/messages", {"x-api-key": KEY}, b'{"model":"sandbox-echo","tools":[5,{"name":5}]}', 200),
    ],
)
async def test_odd_requests(
    sandbox: Sandbox, method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    reply = await sandbox.raw.request(method, path, headers=headers, content=body)
    assert reply.status_code == status, reply.text
    assert reply.headers["x-sandbox"] == "sekimori"
    assert "json" in reply.headers["content-type"]


async def test_scenarios_are_listed_and_documented(sandbox: Sandbox) -> None:
    from pathlib import Path

    listed = (await sandbox.get("/sandbox/scenarios"))["scenarios"]
    assert listed == dict(SCENARIOS)
    text = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    for name, what in SCENARIOS.items():
        assert f"| `{name}` | {what} |" in text, name
