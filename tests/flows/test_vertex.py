"""Vertex AI behind the Gemini door: Google's own SDK, a token that was bought, and a project in the path."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from sekimori.ledger import entry
from sekimori.sandbox.replies import NOTICE
from tests.flows.clouds import cloudy
from tests.flows.place import Place

AGENT = "acme/cloudy"
ROOT = "/v1/projects/my-project/locations/europe-west4/publishers/google/models/sandbox-echo"


def client_of(here: Place, **more: Any) -> genai.Client:
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{here.running.gateway_port}")
    client = genai.Client(api_key=here.keys[AGENT], http_options=options, **more)
    _KEPT.append(client)
    return client


_KEPT: list[genai.Client] = []
"""The SDK closes a client that nobody holds, calls under way included."""


def told(sandbox: Any) -> tuple[str, dict[str, str]]:
    last = next(reversed(sandbox.last.values()))
    return last["target"], dict(last["headers"])


@pytest.mark.parametrize("mode", [False, True], ids=["gemini-api-mode", "vertex-mode"])
async def test_the_sdk_reaches_vertex_with_a_bought_token_plain_and_streamed(tmp_path: Path, mode: bool) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        client = client_of(here, vertexai=mode)
        # The SDK's Vertex mode reads `a/b` as a model of the publisher `a`.
        model = "publishers/google/models/vx/sandbox-echo" if mode else "vx/sandbox-echo"
        reply = await client.aio.models.generate_content(model=model, contents="hello there")
        assert (reply.text or "").startswith(NOTICE)
        assert (reply.text or "").endswith("hello there")
        target, headers = told(sandbox)
        assert target == ROOT + ":generateContent"
        assert "authorization" in headers
        assert "x-goog-api-key" not in headers

        chunks = []
        async for chunk in await client.aio.models.generate_content_stream(model=model, contents="one two"):
            chunks.append(chunk)
        assert "".join(chunk.text or "" for chunk in chunks).endswith("one two")
        assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
        assert told(sandbox)[0] == ROOT + ":streamGenerateContent?alt=sse"

        counted = await client.aio.models.count_tokens(model=model, contents="one two three")
        assert counted.total_tokens == 3
        assert told(sandbox)[0] == ROOT + ":countTokens"

        assert sandbox.clouds.bought == 1, "one token serves them all"
        settled = await here.of_kind("acme", entry.SETTLED)
        assert [(one.outcome, one.usage.estimated) for one in settled] == 3 * [("answered", False)]
        assert settled[1].usage.input == chunks[-1].usage_metadata.prompt_token_count


async def test_one_embedding_is_carried_and_several_are_refused_with_the_reason(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        one = {"content": {"parts": [{"text": "one two"}]}, "outputDimensionality": 8}
        path = "/v1beta/models/vx/sandbox-echo:"
        status, _, body = await here.post(AGENT, one, path + "embedContent")
        assert (status, b'"values":' in body) == (200, True), body
        assert told(sandbox)[0] == ROOT + ":embedContent"
        assert [settled.usage.input for settled in await here.of_kind("acme", entry.SETTLED)] == [2]

        # The one SDK embeds by batchEmbedContents outside of its Vertex mode, and there by predict for older models.
        requests = sum(total.requests for total in sandbox.totals.values())
        with pytest.raises(errors.ClientError, match="embeddings of several texts in one call is not offered"):
            await client_of(here).aio.models.embed_content(model="vx/sandbox-echo", contents=["one", "two"])
        with pytest.raises(errors.ClientError, match="`:predict` is no door here"):
            await client_of(here, vertexai=True).aio.models.embed_content(model="text-embedding-x", contents="one")
        assert sum(total.requests for total in sandbox.totals.values()) == requests
        # One question answered must not answer the other.
        status, _, _ = await here.post(AGENT, one, path + "embedContent")
        assert status == 200


async def test_a_token_that_ended_early_is_bought_anew_in_the_same_call(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        client = client_of(here)
        await client.aio.models.generate_content(model="vx/sandbox-echo", contents="hello")
        sandbox.clouds.tokens.clear()
        await client.aio.models.generate_content(model="vx/sandbox-echo", contents="hello")
        assert sandbox.clouds.bought == 2


async def test_what_became_of_the_first_try_says_nothing_of_the_second(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        ask: dict[str, Any] = {"contents": [{"parts": [{"text": "hello there"}]}]}
        path = "/v1beta/models/vx/sandbox-{}:generateContent"
        assert (await here.post(AGENT, ask, path.format("echo")))[0] == 200
        sandbox.clouds.tokens.clear()
        assert (await here.post(AGENT, ask, path.format("disconnect")))[0] == 502
        assert sandbox.clouds.bought == 2
        lost = (await here.of_kind("acme", entry.SETTLED))[-1]
        assert lost.status is None, "the 401 was the answer to nothing done; this one went out and was not answered"
        assert lost.usage is not None
        assert lost.usage.estimated


async def test_every_failure_is_the_sdks_own_exception(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        client = client_of(here)
        for scenario, code, status in (
            ("rate-limited", 429, "RESOURCE_EXHAUSTED"),
            ("unauthorized", 502, "UNAVAILABLE"),
            ("bad-request", 400, "INVALID_ARGUMENT"),
            ("server-error", 502, "UNAVAILABLE"),
        ):
            with pytest.raises(errors.APIError) as refused:
                await client.aio.models.generate_content(model=f"vx/sandbox-{scenario}", contents="x")
            assert (refused.value.code, refused.value.status) == (code, status), scenario
            assert "org-sandbox-owner" not in str(refused.value)
        sandbox.clouds.accounts.clear()
        sandbox.clouds.tokens.clear()
        with pytest.raises(errors.ServerError, match="gives no token"):
            await client.aio.models.generate_content(model="vx/sandbox-echo", contents="x")


async def test_labels_say_whom_a_call_is_for_and_travel(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        client = client_of(here, vertexai=True)
        config = types.GenerateContentConfig(labels={"user": "u-1", "session": "s-1", "team": "research"})
        model = "publishers/google/models/vx/sandbox-echo"
        await client.aio.models.generate_content(model=model, contents="hello", config=config)
        body = base64.b64decode(next(reversed(sandbox.last.values()))["body"])
        assert json.loads(body)["labels"] == {"user": "u-1", "session": "s-1", "team": "research"}
        [decided] = await here.of_kind("acme", entry.DECIDED)
        assert (decided.tags.end_user, decided.tags.session, decided.tags.tags) == ("u-1", "s-1", ())
        with pytest.raises(errors.ClientError, match="`sekimori-tags` must hold one tag"):
            config = types.GenerateContentConfig(labels={"sekimori-tags": "Not A Tag"})
            await client.aio.models.generate_content(model=model, contents="hello", config=config)
