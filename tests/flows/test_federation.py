"""Workload identity federation through the whole gateway: a subject token is exchanged, and no key is kept at all."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai
from google.auth import exceptions, identity_pool
from google.auth.transport import requests as transport
from google.genai import types

from sekimori.control.arguments import Put
from sekimori.ledger import entry
from tests.flows.clouds import AUDIENCE, MAIL, cloudy, external, subject_token
from tests.flows.place import Place

AGENT = "acme/cloudy"
DOCUMENTS = """
kind: Provider
tenant: acme
name: fed
catalog: vertex
baseUrl: http://127.0.0.1:{port}
models: ["sandbox-*"]
project: my-project
location: europe-west4
---
kind: Key
path: clients/acme/fed
provider: fed
credential: google_external_account
---
kind: Route
tenant: acme
provider: fed
key: clients/acme/fed
"""


async def federate(here: Place, folder: Path, secret: bytes | None = None, **more: Any) -> Path:
    """Put a key of acme's whose subject token lies where acme's may lie; returns that file."""
    [port] = [one.port for one in here.running.home.snapshot.operator.allow_private if one.port != here.provider_port]
    await here.apply(DOCUMENTS.format(port=port))
    own = folder / "tokens" / "clients" / "acme"
    own.mkdir(parents=True)
    file = own / "token"
    file.write_text(subject_token())
    await here.verb("key put", Put(path="clients/acme/fed", secret=secret or external(str(file), **more)))
    return file


async def call(here: Place) -> tuple[int, bytes]:
    body = {"contents": [{"parts": [{"text": "hello there"}]}]}
    status, _, answer = await here.post(AGENT, body, "/v1beta/models/fed/sandbox-echo:generateContent")
    return status, answer


@pytest.mark.parametrize("acts", [True, False], ids=["as-an-account", "as-itself"])
async def test_a_subject_token_is_exchanged_for_calls_of_the_sdk(tmp_path: Path, acts: bool) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        await federate(here, tmp_path, acts=acts)
        url = f"http://127.0.0.1:{here.running.gateway_port}"
        client = genai.Client(api_key=here.keys[AGENT], http_options=types.HttpOptions(base_url=url))
        for _ in range(2):
            reply = await client.aio.models.generate_content(model="fed/sandbox-echo", contents="hello there")
            assert (reply.text or "").endswith("hello there")
        assert sandbox.clouds.bought == (2 if acts else 1), "one exchange, and one more to act as the account"
        assert [one.outcome for one in await here.of_kind("acme", entry.SETTLED)] == ["answered", "answered"]


async def test_the_subject_token_is_read_anew_for_each_exchange(tmp_path: Path) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        file = await federate(here, tmp_path)
        assert (await call(here))[0] == 200
        sandbox.clouds.tokens.clear()
        file.write_text(subject_token("system:serviceaccount:another:one"))
        status, body = await call(here)
        assert (status, b"gives no token" in body) == (502, True), body
        file.unlink()
        await here.verb("key rotate", Put(path="clients/acme/fed", secret=external(str(file))))
        asked = sandbox.clouds.bought
        status, body = await call(here)
        assert (status, b"subject token" in body) == (503, True), body
        assert sandbox.clouds.bought == asked, "without a subject token nobody is asked"
        file.write_text(subject_token())
        await here.verb("key rotate", Put(path="clients/acme/fed", secret=external(str(file))))
        assert (await call(here))[0] == 200


async def test_what_google_would_not_take_is_refused_in_plain_words(tmp_path: Path) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    async with cloudy(tmp_path) as (here, sandbox):
        file = await federate(here, tmp_path)
        for wrong in (
            subject_token(key=stranger),
            subject_token(aud="https://another.example"),
            subject_token(iss="https://another.example"),
            subject_token(iat=1_000_000_000, exp=1_000_000_600),
            subject_token().rpartition(".")[0] + ".AAAA",
            "not-a-token",
        ):
            file.write_text(wrong)
            await here.verb("key rotate", Put(path="clients/acme/fed", secret=external(str(file))))
            status, body = await call(here)
            assert (status, b"gives no token" in body) == (502, True), body
            assert b"clock" not in body
        file.write_text(subject_token())
        await here.verb(
            "key rotate", Put(path="clients/acme/fed", secret=external(str(file), audience=AUDIENCE + "-of-another"))
        )
        assert (await call(here))[0] == 502
        sandbox.clouds.ahead_s = 7200  # the subject token has ended, as the provider sees it
        await here.verb("key rotate", Put(path="clients/acme/fed", secret=external(str(file))))
        status, body = await call(here)
        assert (status, b"clock is 7" in body) == (502, True), body


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, b"{}"),
        (200, b'{"accessToken":"a b","expireTime":"2100-01-01T00:00:00Z"}'),
        (200, b'{"accessToken":"ab","expireTime":"soon"}'),
        (200, b'{"accessToken":"ab","expireTime":"2100-01-01T00:00:00"}'),
        (500, b"oops"),
        (302, b""),
    ],
)
async def test_an_account_endpoint_that_fails(tmp_path: Path, status: int, answer: bytes) -> None:
    async with cloudy(tmp_path) as (here, sandbox):
        await federate(here, tmp_path)
        token = sandbox.clouds.token

        async def failing(request: Any, reply: Any) -> bool:
            if request.path.endswith(":generateAccessToken"):
                await reply.send(status, [], answer)
                return True
            return await token(request, reply)

        sandbox.clouds.token = failing  # type: ignore[method-assign]
        got, body = await call(here)
        assert (got, b"did not answer with a token" in body) == (503, True), body
        assert sandbox.totals == {}


async def test_googles_own_library_takes_the_practice_providers_exchange(tmp_path: Path) -> None:
    """The other half of the proof: what plays Google here is played well enough for Google's client."""
    async with cloudy(tmp_path) as (here, sandbox):
        [port] = [
            one.port for one in here.running.home.snapshot.operator.allow_private if one.port != here.provider_port
        ]
        url = f"http://127.0.0.1:{port}"
        file = tmp_path / "subject"

        def bought(**more: Any) -> str:
            info = {**json.loads(external(str(file))), "token_url": f"{url}/v1/token", **more}
            acts = f"{url}/v1/projects/-/serviceAccounts/{MAIL}:generateAccessToken"
            info["service_account_impersonation_url"] = acts
            scopes = ["https://www.googleapis.com/auth/cloud-platform"]
            credentials = identity_pool.Credentials.from_info(info, scopes=scopes)
            credentials.refresh(transport.Request())
            return str(credentials.token)

        file.write_text(subject_token())
        token = await asyncio.to_thread(bought)
        assert token in sandbox.clouds.tokens
        assert token not in sandbox.clouds.federated, "the account's, not the one in between"
        file.write_text(subject_token("system:serviceaccount:another:one"))
        with pytest.raises(exceptions.RefreshError, match="getAccessToken"):
            await asyncio.to_thread(bought)
        file.write_text(subject_token(aud="https://another.example"))
        with pytest.raises(exceptions.OAuthError, match="invalid_grant"):
            await asyncio.to_thread(bought)
        with pytest.raises(exceptions.OAuthError, match="invalid_target"):
            await asyncio.to_thread(bought, audience=AUDIENCE + "-of-another")
