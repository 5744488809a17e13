"""The real openai and anthropic SDKs, unmodified: a base URL and a key, nothing else.

Against the sandbox provider and against a real language model, plain and streamed; tool calls and every refusal that
an SDK turns into an exception of its own against the sandbox.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import openai
import pytest

from sekimori.control.arguments import Put
from sekimori.demo.model import ModelUnavailable, model_server
from sekimori.ledger import entry
from sekimori.sandbox.app import serve_sandbox
from tests.flows.place import Place, place

DOCUMENTS = """
kind: Operator
allowPrivate:
  - {{host: 127.0.0.1, port: {port}}}
  - {{host: 127.0.0.1, port: {own}}}
---
kind: Provider
name: practice
catalog: {catalog}
baseUrl: {url}
dialects: [openai, anthropic]
models: ["{models}"]
---
{{kind: Key, path: operator/practice, provider: practice}}
---
kind: Agent
tenant: acme
name: x
models: [tiny, small, acme-only, "{models}"]
---
{{kind: Route, tenant: acme, provider: practice, key: operator/practice}}
"""
TOOL = {
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture(scope="module")
def model_url(tmp_path_factory: pytest.TempPathFactory) -> object:
    try:
        with model_server(tmp_path_factory.mktemp("model") / "model.log") as url:
            yield url
    except ModelUnavailable as error:
        pytest.skip(f"NOT RUN: {error}")


async def offer(here: Place, url: str, catalog: str, models: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    await here.apply(DOCUMENTS.format(port=port, own=here.provider_port, catalog=catalog, url=url, models=models))
    await here.verb("key put", Put(path="operator/practice", secret=b"sk-practice-7a41e0c35b9d"))


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Place]:
    server, port = await serve_sandbox()
    async with place(tmp_path) as here:
        await offer(here, f"http://127.0.0.1:{port}", "sandbox", "sandbox*")
        yield here
    await server.drain(0.0)


@pytest.fixture
async def real(tmp_path: Path, model_url: str) -> AsyncIterator[Place]:
    async with place(tmp_path) as here:
        await offer(here, model_url, "compatible", "smollm2")
        yield here


def openai_of(here: Place, agent: str = "acme/x") -> openai.AsyncOpenAI:
    url = f"http://127.0.0.1:{here.running.gateway_port}/v1"
    return openai.AsyncOpenAI(base_url=url, api_key=here.keys[agent], max_retries=0, timeout=60)


def anthropic_of(here: Place, agent: str = "acme/x") -> anthropic.AsyncAnthropic:
    url = f"http://127.0.0.1:{here.running.gateway_port}"
    return anthropic.AsyncAnthropic(base_url=url, api_key=here.keys[agent], max_retries=0, timeout=60)


async def through_openai(here: Place, model: str) -> None:
    async with openai_of(here) as client:
        asked = {"model": model, "max_tokens": 12, "messages": [{"role": "user", "content": "Say hello."}]}
        plain = await client.chat.completions.with_raw_response.create(**asked)  # type: ignore[call-overload]
        reply = plain.parse()
        assert reply.choices[0].message.content
        assert reply.usage.completion_tokens > 0
        assert plain.headers["x-sekimori-key"] == "operator"
        words, figures = "", None
        stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})  # type: ignore[call-overload]
        async for event in stream:
            figures = event.usage or figures
            words += "".join(choice.delta.content or "" for choice in event.choices)
        assert words
        assert figures is not None
        listed = [one.id async for one in client.models.list()]
        assert "tiny" in listed
        settled = await here.of_kind("acme", entry.SETTLED)
        assert [one.outcome for one in settled] == ["answered", "answered"]
        assert settled[0].usage.output == reply.usage.completion_tokens
        assert settled[1].usage.output == figures.completion_tokens
        assert settled[1].usage.input == figures.prompt_tokens


async def through_anthropic(here: Place, model: str) -> None:
    async with anthropic_of(here) as client:
        message = {"role": "user", "content": "Say hello."}
        reply = await client.messages.create(model=model, max_tokens=12, messages=[message])
        assert reply.content[0].text
        async with client.messages.stream(model=model, max_tokens=12, messages=[message]) as stream:
            words = "".join([word async for word in stream.text_stream])
            final = await stream.get_final_message()
        assert words
        counted = await client.messages.count_tokens(model=model, messages=[message])
        assert counted.input_tokens > 0
        assert [one.id async for one in await client.models.list()]
        settled = await here.of_kind("acme", entry.SETTLED)
        assert [one.outcome for one in settled] == ["answered"] * 3
        assert settled[0].usage.output == reply.usage.output_tokens
        assert settled[1].usage.output == final.usage.output_tokens


async def test_openai_against_the_sandbox(sandbox: Place) -> None:
    await through_openai(sandbox, "sandbox-echo")


async def test_anthropic_against_the_sandbox(sandbox: Place) -> None:
    await through_anthropic(sandbox, "sandbox-echo")


@pytest.mark.model
async def test_openai_against_a_real_model(real: Place) -> None:
    await through_openai(real, "smollm2")


@pytest.mark.model
async def test_anthropic_against_a_real_model(real: Place) -> None:
    await through_anthropic(real, "smollm2")


async def test_tool_calls_in_the_openai_dialect(sandbox: Place) -> None:
    async with openai_of(sandbox) as client:
        tools = [{"type": "function", "function": TOOL}]
        asked = [{"role": "user", "content": "The weather in Kyoto?"}]
        reply = await client.chat.completions.create(model="sandbox-echo", messages=asked, tools=tools)  # type: ignore[arg-type]
        [call] = reply.choices[0].message.tool_calls or []
        assert call.function.name == "weather"  # type: ignore[union-attr]
        more = [
            *asked,
            reply.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ]
        answer = await client.chat.completions.create(model="sandbox-echo", messages=more, tools=tools)  # type: ignore[arg-type]
        assert answer.choices[0].message.content
        streamed = await client.chat.completions.create(
            model="sandbox-echo",
            messages=asked,
            tools=tools,
            stream=True,  # type: ignore[arg-type]
        )
        names = [
            one.function.name
            async for event in streamed
            for choice in event.choices
            for one in choice.delta.tool_calls or []
            if one.function is not None and one.function.name
        ]
        assert names == ["weather"]


async def test_tool_calls_in_the_anthropic_dialect(sandbox: Place) -> None:
    async with anthropic_of(sandbox) as client:
        tools = [{"name": "weather", "description": "x", "input_schema": TOOL["parameters"]}]
        asked = [{"role": "user", "content": "The weather in Kyoto?"}]
        reply = await client.messages.create(model="sandbox-echo", max_tokens=50, messages=asked, tools=tools)  # type: ignore[arg-type]
        [use] = [block for block in reply.content if block.type == "tool_use"]
        assert use.name == "weather"
        more = [
            *asked,
            {"role": "assistant", "content": [block.model_dump() for block in reply.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "rain"}]},
        ]
        answer = await client.messages.create(model="sandbox-echo", max_tokens=50, messages=more, tools=tools)  # type: ignore[arg-type]
        assert any(block.type == "text" for block in answer.content)


REFUSALS = [
    ("sandbox-rate-limited", openai.RateLimitError, anthropic.RateLimitError),
    ("sandbox-overloaded", openai.InternalServerError, anthropic.APIStatusError),
    ("sandbox-server-error", openai.InternalServerError, anthropic.InternalServerError),
    ("sandbox-bad-request", openai.BadRequestError, anthropic.BadRequestError),
    ("sandbox-unauthorized", openai.InternalServerError, anthropic.InternalServerError),
    ("nobody-has-this", openai.NotFoundError, anthropic.NotFoundError),
    ("globex-only", openai.NotFoundError, anthropic.NotFoundError),
]


@pytest.mark.parametrize(("model", "of_openai", "of_anthropic"), REFUSALS)
async def test_refusals_are_the_sdks_own_exceptions(
    sandbox: Place, model: str, of_openai: type[Exception], of_anthropic: type[Exception]
) -> None:
    async with openai_of(sandbox) as one, anthropic_of(sandbox) as other:
        messages = [{"role": "user", "content": "x"}]
        with pytest.raises(of_openai) as refused:
            await one.chat.completions.create(model=model, messages=messages)  # type: ignore[arg-type]
        assert refused.value.response.headers["x-request-id"]  # type: ignore[attr-defined]
        assert refused.value.response.headers["x-sekimori-record"]  # type: ignore[attr-defined]
        with pytest.raises(of_anthropic):
            await other.messages.create(model=model, max_tokens=5, messages=messages)  # type: ignore[arg-type]


async def test_wrong_keys_are_the_sdks_own_exceptions(sandbox: Place) -> None:
    sandbox.keys["wrong/key"] = "sk-sek_" + "a" * 36
    async with openai_of(sandbox, "wrong/key") as one, anthropic_of(sandbox, "wrong/key") as other:
        with pytest.raises(openai.AuthenticationError):
            await one.models.list()
        with pytest.raises(anthropic.AuthenticationError):
            await other.messages.create(model="tiny", max_tokens=5, messages=[{"role": "user", "content": "x"}])


@pytest.mark.parametrize("model", ["sandbox-error-later", "sandbox-truncated", "sandbox-cut"])
async def test_a_stream_that_breaks_off_raises(sandbox: Place, model: str) -> None:
    """At once where nothing was released yet, in the middle otherwise; never a short answer that looks whole."""
    async with openai_of(sandbox) as client:
        messages = [{"role": "user", "content": "x"}]
        with pytest.raises(openai.APIError):
            async for _ in await client.chat.completions.create(model=model, messages=messages, stream=True):  # type: ignore[call-overload]
                pass
