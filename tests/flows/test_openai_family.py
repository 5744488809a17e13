"""The rest of the OpenAI family through the real openai SDK, unmodified: responses, embeddings, Azure callers.

Against the sandbox provider, through a whole deployment.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from sekimori.control.arguments import Put
from sekimori.ledger import entry
from sekimori.sandbox.app import serve_sandbox
from sekimori.sandbox.provider import Provider
from sekimori.sandbox.replies import fingerprint
from tests.flows.place import Place, place

SECRET = "sk-practice-7a41e0c35b9d"
OWN = "sk-acmepractice-55d0c1aa"
DOCUMENTS = """
kind: Operator
allowPrivate:
  - {{host: 127.0.0.1, port: {port}}}
  - {{host: 127.0.0.1, port: {own}}}
---
kind: Provider
name: practice
catalog: sandbox
baseUrl: http://127.0.0.1:{port}
models: ["sandbox*"]
---
{{kind: Key, path: operator/practice, provider: practice}}
---
{{kind: Key, path: clients/acme/practice, provider: practice}}
---
kind: Agent
tenant: acme
name: x
models: [sandbox-echo, "sandbox*"]
---
kind: Agent
tenant: acme
name: y
models: ["sandbox*"]
capabilities: [stored_state, web_search]
---
{{kind: Route, tenant: acme, provider: practice, key: operator/practice}}
---
{{kind: Route, tenant: acme, agent: y, provider: practice, key: clients/acme/practice}}
"""
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
async def practice() -> AsyncIterator[tuple[Provider, int]]:
    provider = Provider()
    server, port = await serve_sandbox(provider=provider)
    yield provider, port
    await server.drain(0.0)


@pytest.fixture
async def here(tmp_path: Path, practice: tuple[Provider, int]) -> AsyncIterator[Place]:
    """Agent `x` is served by the operator's key and may do nothing beyond plain calls; `y` by its tenant's own key, and
    may have state kept."""
    async with place(tmp_path) as here:
        await here.apply(DOCUMENTS.format(port=practice[1], own=here.provider_port))
        for path, secret in (("operator/practice", SECRET), ("clients/acme/practice", OWN)):
            await here.verb("key put", Put(path=path, secret=secret.encode()))
        yield here


def client_of(here: Place, agent: str = "acme/x") -> openai.AsyncOpenAI:
    url = f"http://127.0.0.1:{here.running.gateway_port}/v1"
    return openai.AsyncOpenAI(base_url=url, api_key=here.keys[agent], max_retries=0, timeout=60)


def azure_of(here: Place, **options: Any) -> openai.AsyncAzureOpenAI:
    url = f"http://127.0.0.1:{here.running.gateway_port}"
    given = {"api_version": "2024-10-21", **options}
    return openai.AsyncAzureOpenAI(azure_endpoint=url, api_key=here.keys["acme/x"], max_retries=0, timeout=60, **given)


def sent(practice: tuple[Provider, int], secret: str = SECRET) -> dict[str, Any]:
    """The body that reached the provider last."""
    last = practice[0].last[fingerprint(secret)]
    body: dict[str, Any] = json.loads(base64.b64decode(last["body"]))
    return body


async def test_responses_plain_and_streamed(here: Place, practice: tuple[Provider, int]) -> None:
    async with client_of(here) as client:
        raw = await client.responses.with_raw_response.create(
            model="sandbox-echo", input="hello out there", instructions="be kind", max_output_tokens=100
        )
        reply = raw.parse()
        assert "hello out there" in reply.output_text
        assert reply.status == "completed"
        assert reply.usage is not None
        assert reply.usage.input_tokens == 5
        assert raw.headers["x-sekimori-key"] == "operator"
        assert sent(practice)["store"] is False, "an agent that may not have state kept has none kept"

        async with client.responses.stream(
            model="practice/sandbox-echo", input=[{"role": "user", "content": "a b"}]
        ) as stream:
            words = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
            final = await stream.get_final_response()
        assert words == final.output_text != ""
        assert final.usage is not None
    settled = await here.of_kind("acme", entry.SETTLED)
    assert [(one.outcome, one.usage.input, one.usage.output) for one in settled] == [
        ("answered", reply.usage.input_tokens, reply.usage.output_tokens),
        ("answered", final.usage.input_tokens, final.usage.output_tokens),
    ]
    assert not any(one.usage.estimated for one in settled)
    decided = await here.of_kind("acme", entry.DECIDED)
    assert [(one.operation, one.max_output) for one in decided] == [("responses", 100), ("responses", None)]


async def test_tools_of_responses_without_anything_kept(here: Place, practice: tuple[Provider, int]) -> None:
    """Encrypted reasoning goes with the call and comes back with the next one, so nothing needs to be kept."""
    async with client_of(here) as client:
        asked: list[Any] = [{"role": "user", "content": "The weather in Kyoto?"}]
        options: dict[str, Any] = {
            "model": "sandbox-echo", "tools": [TOOL], "store": False, "reasoning": {"effort": "low"},
            "include": ["reasoning.encrypted_content"],
        }  # fmt: skip
        reply = await client.responses.create(input=asked, **options)
        reasoning, call = reply.output
        assert (reasoning.type, call.type) == ("reasoning", "function_call")
        assert json.loads(call.arguments) == {"city": "sandbox"}  # type: ignore[union-attr]
        asked += [one.model_dump(exclude_none=True) for one in reply.output]
        asked.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})  # type: ignore[union-attr]
        answer = await client.responses.create(input=asked, **options)
        assert answer.output_text
        assert sent(practice)["input"] == asked
        events = [event async for event in await client.responses.create(input=asked[:1], stream=True, **options)]
        done = [event for event in events if event.type == "response.function_call_arguments.done"]
        assert [json.loads(event.arguments) for event in done] == [{"city": "sandbox"}]


async def test_state_is_kept_for_who_may_have_it_kept(here: Place, practice: tuple[Provider, int]) -> None:
    async with client_of(here, "acme/y") as may, client_of(here) as may_not:
        first = await may.responses.create(model="sandbox-echo", input="one")
        assert "store" not in sent(practice, OWN)
        second = await may.responses.create(model="sandbox-echo", input="two", previous_response_id=first.id)
        assert "3 messages" in second.output_text
        never = await may.responses.create(model="sandbox-echo", input="x", store=False)
        assert sent(practice, OWN)["store"] is False
        with pytest.raises(openai.APIStatusError):
            await may.responses.create(model="sandbox-echo", input="x", previous_response_id=never.id)
        for refused in ({"store": True}, {"previous_response_id": first.id}, {"conversation": "conv_1"}):
            with pytest.raises(openai.PermissionDeniedError, match="stored_state"):
                await may_not.responses.create(model="sandbox-echo", input="x", **refused)  # type: ignore[call-overload]
        with pytest.raises(openai.PermissionDeniedError, match="web_search"):
            await may_not.responses.create(model="sandbox-echo", input="x", tools=[{"type": "web_search"}])
        assert (await may.responses.create(model="sandbox-echo", input="x", tools=[{"type": "web_search"}])).output_text
        with pytest.raises(openai.BadRequestError, match="no_such_field"):
            await may_not.responses.create(model="sandbox-echo", input="x", extra_body={"no_such_field": 1})


async def test_embeddings(here: Place, practice: tuple[Provider, int]) -> None:
    async with client_of(here) as client:
        raw = await client.embeddings.with_raw_response.create(model="sandbox-echo", input=["one two", "three"])
        reply = raw.parse()
        assert [len(one.embedding) for one in reply.data] == [8, 8]
        assert reply.usage.prompt_tokens == 3
        tokens = await client.embeddings.create(model="sandbox-echo", input=[[1, 2, 3], [4]], encoding_format="float")
        assert tokens.usage.prompt_tokens == 4
        assert sent(practice)["input"] == [[1, 2, 3], [4]]
        with pytest.raises(openai.BadRequestError, match="unknown_field"):
            await client.embeddings.create(model="sandbox-echo", input="x", extra_body={"store": True})
    settled = await here.of_kind("acme", entry.SETTLED)
    assert [(one.outcome, one.usage.input, one.usage.output) for one in settled] == [
        ("answered", 3, 0),
        ("answered", 4, 0),
    ]


async def test_moderations(here: Place, practice: tuple[Provider, int]) -> None:
    inline: Any = [
        {"type": "text", "text": "some violence here"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]
    by_url: Any = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    async with client_of(here) as client:
        reply = await client.moderations.create(model="sandbox-echo", input=["calm words", "violence"])
        assert [one.flagged for one in reply.results] == [False, True]
        assert reply.results[1].categories.violence
        reply = await client.moderations.create(model="practice/sandbox-echo", input=inline)
        assert [one.flagged for one in reply.results] == [True]
        assert sent(practice) == {"model": "sandbox-echo", "input": inline}
        with pytest.raises(openai.PermissionDeniedError, match="images_by_url"):
            await client.moderations.create(model="sandbox-echo", input=by_url)
        with pytest.raises(openai.BadRequestError, match="model"):
            await client.moderations.create(input="x")
        with pytest.raises(openai.NotFoundError):
            await client.moderations.create(model="nobody-has-this", input="x")
    await here.apply("{kind: Agent, tenant: acme, name: x, models: ['sandbox*'], capabilities: [images_by_url]}")
    async with client_of(here) as client:
        with pytest.raises(openai.PermissionDeniedError, match=r"example\.com"):
            await client.moderations.create(model="sandbox-echo", input=by_url)
        await here.apply("{kind: Egress, tenant: acme, agent: x, allow: [{host: example.com}]}")
        await client.moderations.create(model="sandbox-echo", input=by_url)
    settled = await here.of_kind("acme", entry.SETTLED)
    assert [(one.outcome, one.usage.output, one.usage.estimated) for one in settled] == [("answered", 0, True)] * 3


async def test_legacy_completions(here: Place, practice: tuple[Provider, int]) -> None:
    async with client_of(here) as client:
        reply = await client.completions.create(model="sandbox-echo", prompt="once upon a time", max_tokens=50)
        assert "once upon a time" in reply.choices[0].text
        several = await client.completions.create(model="practice/sandbox-echo", prompt=["a b", "c"])
        assert len(several.choices) == 2
        assert sent(practice)["model"] == "sandbox-echo"
        tokens = await client.completions.create(model="sandbox-echo", prompt=[[1, 2, 3], [4]])
        assert tokens.usage is not None
        assert tokens.usage.prompt_tokens == 4
        text, usages = "", []
        stream = await client.completions.create(model="sandbox-echo", prompt="a b c", stream=True)
        async for event in stream:
            text += "".join(choice.text for choice in event.choices)
            usages.append(event.usage)
        assert "a b c" in text
        assert not any(usages), "the caller did not ask for it"
        stream = await client.completions.create(
            model="sandbox-echo", prompt="a b c", stream=True, stream_options={"include_usage": True}
        )
        final = [event.usage async for event in stream][-1]
        assert final is not None
        assert reply.usage is not None
        assert several.usage is not None
        with pytest.raises(openai.BadRequestError, match="prompt_embeds"):
            await client.completions.create(model="sandbox-echo", prompt="x", extra_body={"prompt_embeds": "x"})
    async with azure_of(here) as azure:
        assert (await azure.completions.create(model="sandbox-echo", prompt="x")).choices
    settled = await here.of_kind("acme", entry.SETTLED)
    told = [(one.prompt_tokens, one.completion_tokens) for one in (reply.usage, several.usage, tokens.usage)]
    told += [(final.prompt_tokens, final.completion_tokens)] * 2
    assert [(one.usage.input, one.usage.output) for one in settled[:5]] == told
    assert not any(one.usage.estimated for one in settled)


async def test_reranking(here: Place, practice: tuple[Provider, int]) -> None:
    asked: dict[str, Any] = {"model": "sandbox-echo", "query": "red fox", "documents": ["a dog", {"text": "red fox"}]}
    async with client_of(here) as client:
        reply: Any = await client.post("/rerank", body={**asked, "top_n": 1}, cast_to=object)
        assert [(one["index"], one["relevance_score"]) for one in reply["results"]] == [(1, 1.0)]
        assert sent(practice) == {**asked, "top_n": 1}
        with pytest.raises(openai.BadRequestError, match="image"):
            await client.post("/rerank", body={**asked, "documents": [{"image": "http://h/"}]}, cast_to=object)
    [settled] = await here.of_kind("acme", entry.SETTLED)
    assert (settled.usage.input, settled.usage.output, settled.usage.estimated) == (8, 0, False)


async def test_images(here: Place, practice: tuple[Provider, int]) -> None:
    async with client_of(here) as client:
        reply = await client.images.generate(model="practice/sandbox-echo", prompt="a red fox", n=2)
        assert reply.data is not None
        assert [base64.b64decode(one.b64_json or "")[1:4] for one in reply.data] == [b"PNG"] * 2
        assert sent(practice)["model"] == "sandbox-echo"
        by_url = await client.images.generate(model="sandbox-echo", prompt="x", response_format="url")
        assert by_url.data is not None
        assert (by_url.data[0].url or "").startswith("https://")
        with pytest.raises(openai.BadRequestError, match="not streamed"):
            await client.images.generate(model="sandbox-echo", prompt="x", stream=True)
    settled = await here.of_kind("acme", entry.SETTLED)
    assert [(one.usage.input, one.usage.output) for one in settled] == [(3, 200), (1, 100)]


FAILURES = [
    ("sandbox-rate-limited", openai.RateLimitError),
    ("sandbox-overloaded", openai.InternalServerError),
    ("sandbox-bad-request", openai.BadRequestError),
    ("sandbox-unauthorized", openai.InternalServerError),
    ("sandbox-malformed", openai.InternalServerError),
    ("sandbox-truncated", openai.APIError),
    ("sandbox-cut", openai.APIError),
    ("sandbox-error-first", openai.InternalServerError),
    ("sandbox-error-later", openai.APIError),
    ("nobody-has-this", openai.NotFoundError),
]


@pytest.mark.parametrize(("model", "expected"), FAILURES)
async def test_what_fails_raises_the_sdks_own_exception(here: Place, model: str, expected: type[Exception]) -> None:
    """Plain and streamed: never a short answer that looks whole."""
    async with client_of(here) as client:
        with pytest.raises(expected):
            await client.responses.create(model=model, input="x")
        with pytest.raises(expected) as raised:
            async for _ in await client.responses.create(model=model, input="x", stream=True):
                pass
        assert "org-sandbox-owner" not in str(raised.value)
        with pytest.raises(expected) as raised:
            async for _ in await client.completions.create(model=model, prompt="x", stream=True):
                pass
        assert "org-sandbox-owner" not in str(raised.value)
        if model != "sandbox-error-later":
            with pytest.raises(expected):
                await client.embeddings.create(model=model, input="x")
            with pytest.raises(expected):
                await client.moderations.create(model=model, input="x")
            with pytest.raises(expected):
                await client.images.generate(model=model, prompt="x")
            with pytest.raises(expected):
                await client.completions.create(model=model, prompt="x")


@pytest.mark.parametrize("own", ["sk-rate-limited-1", "sk-error-first-rate-limited-1"])
async def test_a_rate_limited_response_moves_to_the_next_key(
    tmp_path: Path, practice: tuple[Provider, int], own: str
) -> None:
    """The tenant's key is limited (its name says so to the sandbox), by its status or by its first event."""
    documents = DOCUMENTS.replace(
        "agent: y, provider: practice, key: clients/acme/practice",
        "agent: x, provider: practice, key: clients/acme/practice, "
        "fallback: {{key: operator/practice, when: [rate_limited]}}",
    )
    async with place(tmp_path) as here:
        await here.apply(documents.format(port=practice[1], own=here.provider_port))
        for path, secret in (("operator/practice", SECRET), ("clients/acme/practice", own)):
            await here.verb("key put", Put(path=path, secret=secret.encode()))
        async with client_of(here) as client:
            stream = await client.responses.create(model="sandbox-echo", input="x", stream=True)
            kinds = [event.type async for event in stream]
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        assert sent(practice)["store"] is False
        settled = await here.of_kind("acme", entry.SETTLED)
        assert [one.outcome for one in settled] == ["yielded", "answered"]


async def test_azure_callers(here: Place, practice: tuple[Provider, int]) -> None:
    message: Any = {"role": "user", "content": "hello"}
    async with azure_of(here) as client:
        reply = await client.chat.completions.create(model="sandbox-echo", messages=[message])
        assert "hello" in (reply.choices[0].message.content or "")
        stream = await client.chat.completions.create(model="sandbox-echo", messages=[message], stream=True)
        assert "".join([c.delta.content or "" async for event in stream for c in event.choices])
        assert (await client.responses.create(model="sandbox-echo", input="hello")).output_text
        assert (await client.embeddings.create(model="sandbox-echo", input="hello")).data
        assert [one.id async for one in client.models.list()] == ["sandbox-echo"]
    async with azure_of(here, azure_deployment="practice/sandbox-echo") as client:
        reply = await client.chat.completions.create(model="another-name", messages=[message])
        assert "model sandbox-echo" in (reply.choices[0].message.content or ""), "the deployment decides, as at Azure"
        assert sent(practice)["model"] == "sandbox-echo"
    async with azure_of(here, azure_deployment="nobody-has-this") as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="sandbox-echo", messages=[message])
    async with azure_of(here, api_version="soon") as client:
        with pytest.raises(openai.BadRequestError, match="api-version"):
            await client.chat.completions.create(model="sandbox-echo", messages=[message])
    url = f"http://127.0.0.1:{here.running.gateway_port}/openai/v1/"
    async with openai.AsyncOpenAI(base_url=url, api_key=here.keys["acme/x"], max_retries=0) as client:
        assert (await client.responses.create(model="sandbox-echo", input="hello")).output_text
    decided = await here.of_kind("acme", entry.DECIDED)
    assert {one.provider_model for one in decided} == {"sandbox-echo"}


async def test_doors_that_are_shut_say_what_to_do_instead(here: Place) -> None:
    async with client_of(here) as client:
        with pytest.raises(openai.NotFoundError, match="compacted"):
            await client.post("/responses/compact", cast_to=object)
        with pytest.raises(openai.NotFoundError, match="file_data"):
            await client.files.list()
        with pytest.raises(openai.NotFoundError, match="images/generations"):
            await client.images.edit(model="sandbox-echo", prompt="x", image=b"x")
    async with azure_of(here) as client:
        with pytest.raises(openai.NotFoundError, match="no guard reads"):
            await client.audio.speech.create(model="sandbox-echo", voice="alloy", input="x")
    async with httpx2.AsyncClient(trust_env=False) as raw:
        reply = await raw.get(f"http://127.0.0.1:{here.running.gateway_port}/openai/deployments?api-version=latest")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unsupported_operation")
