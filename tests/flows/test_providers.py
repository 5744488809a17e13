"""Every kind of provider through the whole gateway: how it is called, what comes back, and what becomes of tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sekimori.control.arguments import Path as KeyPath
from sekimori.control.arguments import Put
from sekimori.control.owner import Failed
from sekimori.ledger import entry
from sekimori.sandbox.provider import Provider as Sandbox
from tests.flows.clouds import AWS_ID, CONTRACTS, MAIL, PATHS, SECRETS, cloudy, message
from tests.flows.place import Place

AGENT = "acme/cloudy"
TOOL = {
    "openai": {
        "type": "function",
        "function": {"name": "look", "parameters": {"properties": {"n": {"type": "integer"}}}},
    },
    "anthropic": {"name": "look", "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}
SPOKEN = [(name, dialect) for name, contract in CONTRACTS.items() for dialect in contract[4]]


async def call(
    here: Place, name: str, dialect: str, model: str = "sandbox-echo", **more: Any
) -> tuple[int, dict[str, str], bytes]:
    return await here.post(AGENT, message(dialect, f"{name}/{model}", **more), PATHS[dialect])


def last(sandbox: Sandbox) -> dict[str, Any]:
    return next(reversed(sandbox.last.values()))


async def test_each_provider_answers_in_each_of_its_dialects(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        for name, dialect in SPOKEN:
            status, headers, body = await call(here, name, dialect)
            assert status == 200, (name, dialect, body)
            assert headers["x-sekimori-key"] == f"clients/acme/{name}"
            assert b"the last words of the user were: hello there" in body, (name, dialect)
            assert not {"x-ratelimit-remaining-requests", "openai-organization", "set-cookie"} & set(headers)

            status, headers, body = await call(here, name, dialect, stream=True)
            assert (status, headers["content-type"]) == (200, "text/event-stream"), (name, dialect, body)
            assert body.rstrip().endswith(b"[DONE]" if dialect == "openai" else b'{"type":"message_stop"}'), (
                name,
                body,
            )
            assert b"hello" in body

            status, _, body = await call(here, name, dialect, tools=[TOOL[dialect]])
            assert status == 200
            assert b'"look"' in body

            status, headers, body = await call(here, name, dialect, "sandbox-rate-limited")
            assert status == 429, (name, dialect, body)
            assert headers["retry-after"] == "7"
            assert b"org-sandbox-owner" not in body

            status, _, body = await call(here, name, dialect, "sandbox-unauthorized")
            assert status == 502, (name, dialect, body)
            assert b"upstream_unauthorized" in body or b"does not accept the key" in body

            status, _, body = await call(here, name, dialect, "sandbox-bad-request")
            assert status == 400
            assert b"maximum context length" in body, (name, dialect, body)
        settled = await here.of_kind("acme", entry.SETTLED)
        answered = [one for one in settled if one.status == 200]
        assert len(answered) == 3 * len(SPOKEN)
        told = [one for one in answered if one.usage is not None and one.usage.input > 0 and not one.usage.estimated]
        assert told == answered
        # One for each of the two keys that buy tokens, and one more for each 401 that a held one met.
        assert sandbox.clouds.bought == 2 + 2 * 2


async def test_real_clients_call_each_cloud(tmp_path: Path) -> None:
    """The openai and anthropic SDKs, unmodified, whatever lies behind the gateway."""
    async with cloudy(tmp_path) as (here, _):
        url, key = f"http://127.0.0.1:{here.running.gateway_port}", here.keys[AGENT]
        options: dict[str, Any] = {"api_key": key, "max_retries": 0, "timeout": 30.0}
        said: list[dict[str, Any]] = [{"role": "user", "content": "hello there"}]
        async with (
            openai.AsyncOpenAI(base_url=f"{url}/v1", http_client=httpx2.AsyncClient(trust_env=False), **options) as one,
            anthropic.AsyncAnthropic(base_url=url, http_client=httpx2.AsyncClient(trust_env=False), **options) as two,
        ):
            for name, dialect in SPOKEN:
                model = f"{name}/sandbox-echo"
                if dialect == "openai":
                    reply = await one.chat.completions.create(model=model, messages=said, tools=[TOOL["openai"]])
                    assert reply.choices[0].message.tool_calls[0].function.name == "look"
                    stream = await one.chat.completions.create(model=model, messages=said, stream=True)
                    text = "".join([part.choices[0].delta.content or "" async for part in stream if part.choices])
                    with pytest.raises(openai.RateLimitError):
                        await one.chat.completions.create(model=f"{name}/sandbox-rate-limited", messages=said)
                else:
                    answer = await two.messages.create(
                        model=model, messages=said, max_tokens=64, tools=[TOOL["anthropic"]]
                    )
                    assert answer.content[0].name == "look"
                    async with two.messages.stream(model=model, messages=said, max_tokens=64) as events:
                        text = await events.get_final_text()
                    with pytest.raises(anthropic.RateLimitError):
                        await two.messages.create(model=f"{name}/sandbox-rate-limited", messages=said, max_tokens=64)
                assert "hello there" in text, (name, dialect)


async def test_mistral_is_not_asked_for_its_usage_and_tells_it_all_the_same(tmp_path: Path) -> None:
    """It refuses `stream_options` (422), and its last chunk holds the reason to finish and the usage."""
    async with cloudy(tmp_path) as (here, sandbox):
        for options in ({}, {"stream_options": {"include_usage": True}}, {"stream_options": {"include_usage": False}}):
            status, _, body = await call(here, "mi", "openai", stream=True, **options)
            assert status == 200, body
            assert "stream_options" not in json.loads(base64.b64decode(last(sandbox)["body"]))
            chunks = [json.loads(line[6:]) for line in body.split(b"\n\n") if line.startswith(b"data: {")]
            assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
            settled = (await here.of_kind("acme", entry.SETTLED))[-1]
            assert not settled.usage.estimated
            assert settled.usage.output == chunks[-1]["usage"]["completion_tokens"] > 0
            assert settled.usage.input == chunks[-1]["usage"]["prompt_tokens"] > 0


async def test_what_is_sent_is_what_each_cloud_wants(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        betas = (b"anthropic-beta", b"token-efficient-tools-2025-02-19")

        async def sent(
            name: str, dialect: str, model: str = "sandbox-echo", **more: Any
        ) -> tuple[str, dict[str, str], Any]:
            sandbox.last.clear()
            headers = [betas] if dialect == "anthropic" else []
            status, _, body = await here.post(
                AGENT, message(dialect, f"{name}/{model}", **more), PATHS[dialect], *headers
            )
            assert status == 200, (name, body)
            told = last(sandbox)
            return told["target"], dict(told["headers"]), json.loads(base64.b64decode(told["body"]))

        target, headers, body = await sent("azd", "openai", "gpt-renamed")
        assert target == "/openai/deployments/sandbox-echo/chat/completions?api-version=2024-10-21"
        assert "api-key" in headers
        assert "authorization" not in headers
        target, headers, body = await sent("az", "openai", "gpt-renamed")
        assert (target, body["model"]) == ("/openai/v1/chat/completions", "sandbox-echo")
        target, headers, body = await sent("aze", "openai")
        assert "authorization" in headers
        assert "api-key" not in headers
        target, headers, body = await sent("vx", "anthropic", stream=True)
        assert target == (
            "/v1/projects/my-project/locations/europe-west4/publishers/anthropic/models/sandbox-echo:streamRawPredict"
        )
        assert "model" not in body
        assert body["stream"] is True
        assert body["anthropic_version"] == "vertex-2023-10-16"
        assert headers["anthropic-beta"] == betas[1].decode()
        assert "anthropic-version" not in headers
        target, headers, body = await sent("br", "anthropic", stream=True)
        assert target == "/model/sandbox-echo/invoke-with-response-stream"
        assert not {"model", "stream"} & body.keys()
        assert body["anthropic_beta"] == [betas[1].decode()]
        assert body["anthropic_version"] == "bedrock-2023-05-31"
        assert not {"anthropic-beta", "anthropic-version"} & headers.keys()
        assert next(iter(sandbox.last)) != ""
        target, headers, body = await sent("oa", "openai")
        assert (headers["openai-organization"], headers["openai-project"]) == ("org-mine", "proj_mine")
        for name, dialect in SPOKEN:
            if name != "oa":
                _, headers, _ = await sent(name, dialect)
                assert not {"openai-organization", "openai-project"} & headers.keys()


async def test_a_token_is_bought_once_and_anew_when_it_ends_or_is_refused(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        clouds = sandbox.clouds
        replies = await asyncio.gather(*(call(here, "aze", "openai") for _ in range(8)))
        assert [status for status, _, _ in replies] == [200] * 8
        assert clouds.bought == 1, "of many calls at once, one asks"

        clouds.tokens.clear()  # ended before its time
        assert (await call(here, "aze", "openai"))[0] == 200
        assert clouds.bought == 2, "refused once, bought anew once"
        assert sandbox.totals

        clouds.tokens.clear()
        clouds.expires_in = -1  # the new one is good for nothing either
        status, _, body = await call(here, "aze", "openai")
        assert status in (502, 503), body
        assert clouds.bought == 3, "and not a second time in one call"

        clouds.expires_in = 60  # used up within the minute that is kept free: for one call each
        await here.verb("key rotate", Put(path="clients/acme/aze", secret=SECRETS["entra"]))
        for number in (4, 5):
            assert (await call(here, "aze", "anthropic"))[0] == 200
            assert clouds.bought == number


async def test_a_token_goes_with_its_key(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        clouds = sandbox.clouds
        assert (await call(here, "vx", "openai"))[0] == 200
        assert clouds.bought == 1
        await here.verb("key freeze", KeyPath(path="clients/acme/vx"))
        status, _, body = await call(here, "vx", "openai")
        assert status == 503
        assert b"frozen" in body
        await here.verb("key unfreeze", KeyPath(path="clients/acme/vx"))
        assert (await call(here, "vx", "openai"))[0] == 200
        assert clouds.bought == 2, "the token of before the freeze is not used after it"
        await here.verb("key rotate", Put(path="clients/acme/vx", secret=SECRETS["google_service_account"]))
        assert (await call(here, "vx", "anthropic"))[0] == 200
        assert clouds.bought == 3


async def test_a_freeze_while_a_token_is_bought_bites(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        asked, go = asyncio.Event(), asyncio.Event()
        answer = sandbox.clouds.token

        async def slow(request: Any, reply: Any) -> bool:
            asked.set()
            async with asyncio.timeout(15):
                await go.wait()
            return await answer(request, reply)

        sandbox.clouds.token = slow  # type: ignore[method-assign]
        waiting = asyncio.create_task(call(here, "aze", "openai"))
        async with asyncio.timeout(15):
            await asked.wait()
        await here.verb("key freeze", KeyPath(path="clients/acme/aze"))
        go.set()
        status, _, body = await waiting
        assert (status, sandbox.totals) == (503, {}), body
        leases = here.running.home.keys.leases
        assert leases is not None
        assert not leases._held


FAULTS = [
    ((400, b'{"error":"invalid_grant"}'), 502, b"gives no token"),
    ((500, b"oops"), 503, b"did not answer with a token"),
    ((200, b"oops"), 503, b"did not answer with a token"),
    ((200, b'{"access_token":"a b","expires_in":3600,"token_type":"Bearer"}'), 503, b"did not answer"),
    ((200, b'{"access_token":"ab","expires_in":3600,"token_type":"mac"}'), 503, b"did not answer"),
    ((200, b'{"access_token":"ab","expires_in":-5,"token_type":"Bearer"}'), 503, b"did not answer"),
    ((302, b""), 503, b"did not answer"),
]


async def test_a_token_endpoint_that_fails(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        for number, (fault, expected, said) in enumerate(FAULTS, 1):
            sandbox.clouds.fault = fault
            for _ in range(2):
                status, _, body = await call(here, "vx", "anthropic")
                assert (status, said in body) == (expected, True), body
            assert sandbox.clouds.bought == number, "what was refused is not asked again at once"
            # A new secret is tried at once.
            await here.verb("key rotate", Put(path="clients/acme/vx", secret=SECRETS["google_service_account"]))
        settled = await here.of_kind("acme", entry.SETTLED)
        assert {one.outcome for one in settled} == {"not_sent"}
        assert sandbox.totals == {}


async def test_who_the_clouds_do_not_know(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        clouds = sandbox.clouds
        clouds.clients.clear()
        clouds.accounts[MAIL] = rsa.generate_private_key(65537, 2048).public_key()
        clouds.access_keys[AWS_ID] = ("another", None)
        for name in ("aze", "vx", "br", "mt"):
            status, _, body = await call(here, name, "anthropic")
            assert status == 502, (name, body)
            assert b"key" in body


@pytest.mark.parametrize("ahead_s", [-3600, -400, 400, 3600])
@pytest.mark.parametrize("name", ["br", "mt", "vx"])
async def test_a_clock_that_is_wrong_is_told_to_the_caller_and_to_the_operator(
    tmp_path: Path, name: str, ahead_s: int
) -> None:
    """A signature of AWS's, an assertion of Google's: by the provider's clock, which its replies are dated by."""
    async with cloudy(tmp_path) as (here, sandbox):
        sandbox.clouds.ahead_s = ahead_s
        if name == "vx" and ahead_s == 400:
            assert (await call(here, name, "openai"))[0] == 200, "an assertion is good for an hour"
            return
        status, _, body = await call(here, name, "openai")
        assert status == 502, body
        said = re.search(rb"clock is (\d+) seconds (ahead of|behind) the provider's", body)
        assert said is not None, body
        assert abs(int(said[1]) - abs(ahead_s)) <= 5
        assert said[2] == (b"behind" if ahead_s > 0 else b"ahead of")
        async with asyncio.timeout(15):
            while b'"clock.wrong"' not in here.log.getvalue():
                await asyncio.sleep(0.01)


async def test_a_clock_that_is_right_is_not_blamed(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        sandbox.clouds.access_keys[AWS_ID] = ("another", None)
        sandbox.clouds.accounts.clear()
        sandbox.clouds.clients.clear()
        for name, ahead_s in (("br", 20), ("vx", 20), ("aze", 7200)):  # a client's secret holds no time
            sandbox.clouds.ahead_s = ahead_s
            status, _, body = await call(here, name, "openai")
            assert status == 502
            assert b"clock" not in body, body
        async with asyncio.timeout(15):
            while here.log.getvalue().count(b'"event":"call"') < 3:
                await asyncio.sleep(0.01)
        assert b'"clock.wrong"' not in here.log.getvalue(), "lines come in order: it would stand before its call's"


async def test_an_exception_in_the_middle_of_a_framed_stream(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, _):
        status, _, body = await call(here, "br", "anthropic", "sandbox-error-first-rate-limited", stream=True)
        assert status == 429, body
        status, _, body = await call(here, "br", "anthropic", "sandbox-error-first", stream=True)
        assert status == 529, body
        status, _, body = await call(here, "br", "anthropic", "sandbox-error-later", stream=True)
        assert status == 200
        assert b"event: error" in body
        assert b"sandbox-owner" not in body
        for scenario in ("truncated", "cut", "malformed-later", "wrong-type", "huge"):
            status, _, body = await call(here, "br", "anthropic", f"sandbox-{scenario}", stream=True)
            assert status in (200, 502), (scenario, body)
            assert status == 502 or b"event: error" in body, scenario
            assert b"message_stop" not in body


async def test_a_secret_of_another_form_is_refused_and_not_repeated(tmp_path: Path) -> None:
    account = SECRETS["google_service_account"]
    async with cloudy(tmp_path) as (here, _):
        for name, secret in (
            ("aze", b'{"tenant_id":"t","client_id":"a"}'),
            ("vx", account.replace(b"oauth2.googleapis.com", b"evil.example")),
            ("br", b'{"access_key_id":"short","secret_access_key":"zq-marker"}'),
            ("gq", SECRETS["aws"].replace(b" ", b"")),
        ):
            with pytest.raises(Failed, match="wrong_use") as caught:
                await here.verb("key rotate", Put(path=f"clients/acme/{name}", secret=secret))
            assert "marker" not in str(caught.value)
            assert "evil" not in str(caught.value)


async def test_a_secret_is_never_used_as_something_else(tmp_path: Path) -> None:
    """A Key document whose `credential` changes after the secret was put."""
    async with cloudy(tmp_path) as (here, sandbox):
        await here.apply("kind: Key\npath: clients/acme/br\nprovider: br\ncredential: api_key")
        await here.apply("kind: Key\npath: clients/acme/az\nprovider: az\ncredential: entra")
        for name in ("br", "az"):
            status, _, body = await call(here, name, "openai")
            assert status == 503, body
            assert b"not what its Key document says" in body
        assert sandbox.totals == {}
        assert sandbox.clouds.bought == 0
