"""The Gemini dialect with the real google-genai SDK, unmodified: a base URL and a key, nothing else.

Plain, streamed, tools, embeddings, counting, models and every refusal, against the sandbox provider; Vertex AI mode
with a plain key; and what other clients send: the JSON array, snake case, one SDK for Gemini and OpenAI alike.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from google import genai
from google.genai import errors, types

from sekimori.control.arguments import Put
from sekimori.ledger import entry
from sekimori.sandbox.app import serve_sandbox
from sekimori.sandbox.replies import NOTICE
from tests.flows.place import EVENTS, JSON, Place, place

SECRET = "AIzaSy-practice-7a41e0c35b9d"
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
{{kind: Key, path: clients/acme/practice, provider: practice}}
---
kind: Agent
tenant: acme
name: x
models: [tiny, "sandbox*", practice/sandbox-echo]
capabilities: [web_search]
---
{{kind: Route, tenant: acme, provider: practice, key: clients/acme/practice}}
"""
VERTEX = """
kind: Provider
name: express
catalog: vertex
baseUrl: http://127.0.0.1:{port}
models: ["sandbox*"]
---
{{kind: Key, path: clients/acme/vertex, provider: express}}
---
{{kind: Route, tenant: acme, provider: express, key: clients/acme/vertex}}
"""
WEATHER = types.FunctionDeclaration(
    name="weather",
    description="The weather of a city.",
    parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    server, port = await serve_sandbox()
    async with place(tmp_path) as deployment:
        await deployment.apply(DOCUMENTS.format(port=port, own=deployment.provider_port))
        await deployment.verb("key put", Put(path="clients/acme/practice", secret=SECRET.encode()))
        yield deployment
    await server.drain(0.0)


def client_of(here: Place, agent: str = "acme/x", **more: Any) -> genai.Client:
    url = f"http://127.0.0.1:{here.running.gateway_port}"
    client = genai.Client(api_key=here.keys[agent], http_options=types.HttpOptions(base_url=url), **more)
    _KEPT.append(client)
    return client


_KEPT: list[genai.Client] = []
"""The SDK closes a client that nobody holds, calls under way included."""


async def test_plain(here: Place) -> None:
    client = client_of(here)
    reply = await client.aio.models.generate_content(
        model="sandbox-echo",
        contents="Say hello out there",
        config=types.GenerateContentConfig(system_instruction="be kind", temperature=0.5, max_output_tokens=50),
    )
    assert reply.text is not None
    assert reply.text.startswith(NOTICE)
    assert reply.text.endswith("Say hello out there")
    assert reply.usage_metadata is not None
    assert reply.candidates is not None
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    [settled] = await here.of_kind("acme", entry.SETTLED)
    assert (settled.outcome, settled.usage.input) == ("answered", reply.usage_metadata.prompt_token_count)
    assert settled.usage.output == reply.usage_metadata.candidates_token_count
    [decided] = await here.of_kind("acme", entry.DECIDED)
    assert (decided.dialect, decided.operation, decided.model) == ("gemini", "chat", "sandbox-echo")
    assert decided.max_output == 50


async def test_stream(here: Place) -> None:
    client = client_of(here)
    words, last = [], None
    stream = await client.aio.models.generate_content_stream(
        model="practice/sandbox-echo", contents=["one two three"], config={"thinking_config": {"thinking_budget": 9}}
    )
    async for chunk in stream:
        words.append(chunk.text or "")
        last = chunk
    assert len(words) > 5
    assert "".join(words).endswith("one two three")
    assert last is not None
    assert last.candidates is not None
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    [settled] = await here.of_kind("acme", entry.SETTLED)
    assert settled.outcome == "answered"
    assert settled.usage.reasoning == last.usage_metadata.thoughts_token_count
    assert settled.usage.output == last.usage_metadata.candidates_token_count + settled.usage.reasoning
    assert settled.usage.input == last.usage_metadata.prompt_token_count


async def test_tools_end_to_end(here: Place) -> None:
    client = client_of(here)
    chat = client.aio.chats.create(
        model="sandbox-echo", config=types.GenerateContentConfig(tools=[types.Tool(function_declarations=[WEATHER])])
    )
    reply = await chat.send_message("How is the weather in Paris?")
    assert reply.function_calls is not None
    [call] = reply.function_calls
    assert (call.name, call.args) == ("weather", {"city": "sandbox", "days": 1})
    answer = await chat.send_message(types.Part.from_function_response(name="weather", response={"is": "rain"}))
    assert (answer.text or "").startswith(NOTICE)
    names = []
    async for chunk in await client.aio.models.generate_content_stream(
        model="sandbox-echo",
        contents="again",
        config=types.GenerateContentConfig(tools=[types.Tool(function_declarations=[WEATHER])]),
    ):
        names += [called.name for called in chunk.function_calls or []]
    assert names == ["weather"]


async def test_embeddings_counting_and_models(here: Place) -> None:
    client = client_of(here)
    many = await client.aio.models.embed_content(
        model="practice/sandbox-echo", contents=["one two", "three"], config={"output_dimensionality": 8}
    )
    assert many.embeddings is not None
    assert [len(one.values or []) for one in many.embeddings] == [8, 8]
    assert many.embeddings[0].values != many.embeddings[1].values
    counted = await client.aio.models.count_tokens(model="sandbox-echo", contents="one two three")
    assert counted.total_tokens == 3
    settled = await here.of_kind("acme", entry.SETTLED)
    assert [(one.usage.input, one.usage.output) for one in settled] == [(3, 0), (0, 0)]
    listed = [model.name async for model in await client.aio.models.list()]
    assert "models/sandbox-echo" in listed
    assert "models/tiny" not in listed, "its provider does not speak this dialect"
    one = await client.aio.models.get(model="sandbox-echo")
    assert one.name == "models/sandbox-echo"
    with pytest.raises(errors.ClientError) as unknown:
        await client.aio.models.get(model="gemini-of-another")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")


async def test_vertex_mode_with_a_plain_key(here: Place) -> None:
    client = client_of(here, vertexai=True)
    reply = await client.aio.models.generate_content(model="sandbox-echo", contents="hello")
    assert (reply.text or "").endswith("hello")
    words = [
        chunk.text
        async for chunk in await client.aio.models.generate_content_stream(model="sandbox-echo", contents="x")
    ]
    assert len(words) > 5
    with pytest.raises(errors.ClientError, match="`:predict` is no door"):
        await client.aio.models.embed_content(model="text-embedding-x", contents="x")


async def test_a_model_at_vertex_ai_by_an_express_key(here: Place) -> None:
    [sandbox] = [one for one in here.running.home.snapshot.operator.allow_private if one.port != here.provider_port]
    await here.apply(VERTEX.format(port=sandbox.port))
    await here.verb("key put", Put(path="clients/acme/vertex", secret=SECRET.encode()))
    client = client_of(here)
    reply = await client.aio.models.generate_content(model="express/sandbox-echo", contents="hello")
    assert (reply.text or "").endswith("hello")
    stream = await client.aio.models.generate_content_stream(model="express/sandbox-echo", contents="x")
    assert len([chunk.text async for chunk in stream]) > 5
    counted = await client.aio.models.count_tokens(model="express/sandbox-echo", contents="one two three")
    assert counted.total_tokens == 3
    with pytest.raises(errors.ClientError, match="embeddings of several texts in one call is not offered"):
        await client.aio.models.embed_content(model="express/sandbox-echo", contents="x")


async def test_vertex_paths_that_name_a_project_are_refused(here: Place) -> None:
    path = "/v1/projects/p/locations/europe-west4/publishers/google/models/sandbox-echo:generateContent"
    status, _, body = await here.post("acme/x", {"contents": [{"parts": [{"text": "x"}]}]}, path)
    said = json.loads(body)["error"]
    assert (status, said["status"]) == (404, "NOT_FOUND")
    assert "neither project nor location" in said["message"]


FAILURES = {
    "gemini-of-another": (404, "NOT_FOUND"),
    "tiny": (400, "INVALID_ARGUMENT"),
    "sandbox-rate-limited": (429, "RESOURCE_EXHAUSTED"),
    "sandbox-overloaded": (503, "UNAVAILABLE"),
    "sandbox-unauthorized": (502, "UNAVAILABLE"),
    "sandbox-forbidden": (502, "UNAVAILABLE"),
    "sandbox-bad-request": (400, "INVALID_ARGUMENT"),
    "sandbox-not-found": (404, "NOT_FOUND"),
    "sandbox-server-error": (502, "UNAVAILABLE"),
    "sandbox-disconnect": (502, "UNAVAILABLE"),
    "sandbox-malformed": (502, "UNAVAILABLE"),
    "sandbox-wrong-type": (502, "UNAVAILABLE"),
    "sandbox-truncated": (502, "UNAVAILABLE"),
    "sandbox-cut": (502, "UNAVAILABLE"),
}
ONLY_STREAMED = {
    "sandbox-error-first": (503, "UNAVAILABLE"),
    "sandbox-error-first-rate-limited": (429, "RESOURCE_EXHAUSTED"),
    "sandbox-error-later": (502, "UNAVAILABLE"),
}


async def test_every_failure_is_the_sdks_own_exception(here: Place) -> None:
    """At once, or in the middle of a stream; never a short answer that looks whole."""
    client = client_of(here)
    for model, (code, status) in {**FAILURES, **ONLY_STREAMED}.items():
        kind = errors.ClientError if code < 500 else errors.ServerError
        if model in FAILURES:
            with pytest.raises(kind) as refused:
                await client.aio.models.generate_content(model=model, contents="x")
            assert (refused.value.code, refused.value.status) == (code, status), model
            assert refused.value.response.headers["x-sekimori-record"]
        with pytest.raises(kind) as broken:
            async for _ in await client.aio.models.generate_content_stream(model=model, contents="x"):
                pass
        assert (broken.value.code, broken.value.status) == (code, status), model
        assert "org-sandbox-owner" not in str(broken.value)


HOUSE = """
kind: Provider
name: house
catalog: compatible
baseUrl: http://127.0.0.1:{port}/v1beta
dialects: [openai, anthropic, gemini]
models: [tiny, small, "gpt-*"]
"""


def chunk(text: str, **more: Any) -> bytes:
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, **more}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 1, "totalTokenCount": 8}
    return b"data: " + json.dumps({"candidates": [candidate], "usageMetadata": usage}).encode() + b"\n\n"


@pytest.mark.parametrize("end", ["error", "end", "cut"])
async def test_a_stream_that_breaks_off_raises_and_is_settled(here: Place, end: str) -> None:
    await here.apply(HOUSE.format(port=here.provider_port))
    came = asyncio.Event()

    async def answer(request: Any, reply: Any, body: Any) -> None:
        await reply.start(200, [EVENTS])
        await reply.write(chunk("one ") + chunk("two "))
        async with asyncio.timeout(20):
            await came.wait()
        if end == "error":
            await reply.finish(b'data: {"error":{"code":503,"message":"of org-1234567","status":"UNAVAILABLE"}}\n\n')
        elif end == "end":
            await reply.finish(chunk("three"))
        else:
            await reply.write(chunk("three", finishReason="STOP"))
            reply.abort()

    here.provider.script = [answer]
    words: list[str] = []
    with pytest.raises(errors.ServerError) as broken:
        async for one in await client_of(here).aio.models.generate_content_stream(model="tiny", contents="x"):
            words.append(one.text or "")
            came.set()
    assert words[0] == "one "
    assert "three" not in words
    assert "org-1234567" not in str(broken.value)
    [settled] = await here.of_kind("acme", entry.SETTLED)
    assert (settled.outcome, settled.usage.estimated) == ("interrupted", True)


async def test_the_last_chunk_waits_for_the_record(here: Place) -> None:
    """What is released before the record is durable is never all of it, though no event says that it is the last."""
    await here.apply(HOUSE.format(port=here.provider_port))
    ledger = here.running.home.ledger
    write, released = ledger.write, list[int]()

    async def writing(*drafts: Any) -> Any:
        if any(draft.kind == entry.SETTLED for draft in drafts):
            released.append(len(words))
        return await write(*drafts)

    async def answer(request: Any, reply: Any, body: Any) -> None:
        await reply.start(200, [EVENTS])
        for word in ("one ", "two ", "three "):
            await reply.write(chunk(word, finishReason="STOP"))
        await reply.finish(chunk("four", finishReason="STOP"))

    here.provider.script = [answer]
    words: list[str] = []
    ledger.write = writing  # type: ignore[method-assign]
    async for one in await client_of(here).aio.models.generate_content_stream(model="tiny", contents="x"):
        words.append(one.text or "")
    assert words == ["one ", "two ", "three ", "four"]
    assert len(released) == 1
    assert released[0] < 4


async def test_who_is_asked_to_wait_is_told_how_long(here: Place) -> None:
    body = {"contents": [{"parts": [{"text": "x"}]}]}
    status, headers, answer = await here.post(
        "acme/x", body, "/v1beta/models/sandbox-rate-limited:generateContent", (b"x-goog-api-client", b"t")
    )
    assert (status, headers["retry-after"]) == (429, "7")
    details = json.loads(answer)["error"]["details"]
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"} in details


async def test_wrong_keys_and_lacking_capabilities(here: Place) -> None:
    here.keys["wrong/key"] = "sk-sek_" + "a" * 36
    with pytest.raises(errors.ClientError) as refused:
        await client_of(here, "wrong/key").aio.models.generate_content(model="sandbox-echo", contents="x")
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
    client = client_of(here)
    for tool in (types.Tool(code_execution=types.ToolCodeExecution()), types.Tool(url_context=types.UrlContext())):
        with pytest.raises(errors.ClientError) as lacking:
            await client.aio.models.generate_content(
                model="sandbox-echo", contents="x", config=types.GenerateContentConfig(tools=[tool])
            )
        assert (lacking.value.code, lacking.value.status) == (403, "PERMISSION_DENIED")
    granted = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])
    assert await client.aio.models.generate_content(model="sandbox-echo", contents="x", config=granted)


async def test_the_callers_bytes_reach_the_provider_and_no_header_but_the_key(here: Place) -> None:
    await here.apply(HOUSE.format(port=here.provider_port))
    sent = b'{"contents": [{"parts":[{"text":"hi\\u0021"}]}],"generation_config":{"topK" :3.0}}'
    here.provider.script = [answer_gemini]
    path = "/v1beta/models/house/tiny:generateContent"
    status, _, body = await here.post("acme/x", sent, path, (b"x-goog-user-project", b"theirs"))
    assert (status, json.loads(body)["modelVersion"]) == (200, "tiny-001")
    [(target, headers, _)] = here.provider.seen
    assert target == "/v1beta/models/tiny:generateContent"
    assert here.provider.raw[0] == b'{"contents":[{"parts":[{"text":"hi\\u0021"}]}],"generation_config":{"topK" :3.0}}'
    names = {name for name, _ in headers}
    assert names == {b"host", b"content-type", b"content-length", b"accept-encoding", b"x-goog-api-key"}


async def answer_gemini(request: Any, reply: Any, body: Any) -> None:
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}
    said = {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}], "usageMetadata": usage}
    await reply.send(200, [JSON], json.dumps({**said, "modelVersion": "tiny-001"}).encode())


async def test_the_json_array(here: Place) -> None:
    body = {"contents": {"parts": {"text": "one two"}}}
    path = "/v1beta/models/sandbox-echo:streamGenerateContent"
    status, headers, array = await here.post("acme/x", body, path)
    assert (status, headers["content-type"]) == (200, "application/json")
    chunks = json.loads(array)
    assert "".join(one["candidates"][0]["content"]["parts"][0]["text"] for one in chunks).endswith("one two")
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    status, _, events = await here.post("acme/x", body, path + "?alt=sse")
    assert array == b"[" + b"\n,\n".join(one[6:] for one in events.split(b"\r\n\r\n")[:-1]) + b"\n]"
    for model in ("sandbox-error-later", "sandbox-malformed-later", "sandbox-cut"):
        status, _, broken = await here.post("acme/x", body, f"/v1beta/models/{model}:streamGenerateContent")
        last = (json.loads(broken) if status == 200 else [json.loads(broken)])[-1]
        assert last["error"]["status"] == "UNAVAILABLE"


async def test_query_parameters_that_mean_nothing_here_are_refused(here: Place) -> None:
    body = {"contents": [{"parts": [{"text": "x"}]}]}
    for query, says in {
        "fields=candidates": "`fields`",
        "alt=media": "`alt`",
        "alt=sse&alt=json": "`alt`",
        "prettyPrint=false": "`prettyPrint`",
        "$alt=sse": "`$alt`",
        "access_token=x": "Credentials in the query",
        "key=AIza": "Credentials in the query",
    }.items():
        status, _, answer = await here.post(
            "acme/x", body, f"/v1beta/models/sandbox-echo:streamGenerateContent?{query}"
        )
        assert status in (400, 401), query
        assert says in json.loads(answer)["error"]["message"]


async def test_one_sdk_reaches_the_same_models_in_openais_dialect(here: Place) -> None:
    url = f"http://127.0.0.1:{here.running.gateway_port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=here.keys["acme/x"], max_retries=0) as client:
        reply = await client.chat.completions.create(
            model="sandbox-echo", messages=[{"role": "user", "content": "hello"}]
        )
        assert (reply.choices[0].message.content or "").startswith(NOTICE)
        listed = [model.id async for model in client.models.list()]
        assert "sandbox-echo" in listed
