"""Tokens: bought once, held as long as they may be, and never where they must not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sekimori.errors import Fault, Refused, Upstream
from sekimori.http.client import Pool
from sekimori.http.server import Reply, Request, Server
from sekimori.sandbox.clouds import Clouds
from sekimori.terms import Origin
from sekimori.vault.credentials import Aws, Entra, ServiceAccount
from sekimori.vault.leases import EARLY_S, LONGEST_S, Leases

ENTRA = Entra("contoso.example", "app", "s3cret")
KEY = rsa.generate_private_key(65537, 2048)
ACCOUNT = ServiceAccount(
    "a@b.example", KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), "k1"
)
SCOPE = "https://cloud.example/.default"
CLOUD = "https://www.googleapis.com/auth/cloud-platform"


class Scene:
    """Token endpoints, and who buys there; the clock is the test's."""

    def __init__(self) -> None:
        self.clouds = Clouds()
        self.clouds.clients["contoso.example", "app"] = "s3cret"
        self.clouds.accounts["a@b.example"] = KEY.public_key()
        self.now = 1000.0
        self.asked: list[dict[str, list[str]]] = []
        self.credentials: list[object] = []
        self.leases: Leases
        self.gate: asyncio.Event | None = None

    async def __call__(self, request: Request, reply: Reply) -> None:
        self.asked.append(parse_qs((await request.body()).decode()))
        if self.gate is not None:
            async with asyncio.timeout(15):
                await self.gate.wait()
        assert await self.clouds.token(request, reply)

    async def buy(self, version: int = 1, owner: str = "acme") -> tuple[str, bool]:
        token, bought = await self.leases.token(owner, "key", version, ENTRA, SCOPE)
        return token.secret.reveal().decode(), bought


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    server = Server(made, refuse=lambda refusal, target: (refusal.status, [], b""))
    port = await server.start("127.0.0.1", 0)

    async def connect(
        origin: Origin, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        return await asyncio.get_running_loop().create_connection(factory, origin.host, origin.port)

    pool = Pool(connect)
    url = f"http://127.0.0.1:{port}"
    made.clouds.audience = f"{url}/token"
    made.leases = Leases(pool, entra_authority=url, google_token_url=f"{url}/token", clock=lambda: made.now)
    try:
        yield made
    finally:
        made.leases.close()
        await pool.aclose()
        await server.drain(0.0)


async def test_a_token_is_held_until_a_minute_before_it_ends() -> None:
    async with scene() as at:
        first = await at.buy()
        assert first[1]
        at.now += 3600 - EARLY_S - 1
        assert await at.buy() == (first[0], False)
        at.now += 1
        again = await at.buy()
        assert again[1]
        assert again[0] != first[0]
        assert at.asked[0] == {
            "grant_type": ["client_credentials"],
            "client_id": ["app"],
            "client_secret": ["s3cret"],
            "scope": [SCOPE],
        }


async def test_a_token_that_would_last_for_ever_is_held_for_a_day() -> None:
    async with scene() as at:
        at.clouds.expires_in = 10**9
        await at.buy()
        at.now += LONGEST_S - EARLY_S
        assert (await at.buy())[1]


async def test_of_many_that_need_one_at_once_one_asks_and_who_leaves_takes_nothing_along() -> None:
    async with scene() as at:
        at.gate = asyncio.Event()
        waiting = [asyncio.create_task(at.buy()) for _ in range(6)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        at.gate.set()
        got = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(got[0], asyncio.CancelledError)
        assert len(set(got[1:])) == 1
        assert at.clouds.bought == 1


async def test_what_changes_its_key_ends_a_token_also_one_under_way() -> None:
    async with scene() as at:
        first, _ = await at.buy()
        other, _ = await at.buy(owner="globex")
        at.leases.forget("acme", "key")
        assert (await at.buy())[0] != first
        assert await at.buy(owner="globex") == (other, False)
        at.leases.forget("acme", None)
        at.gate = asyncio.Event()
        waiting = asyncio.create_task(at.buy())
        async with asyncio.timeout(15):
            while len(at.asked) < 4:
                await asyncio.sleep(0.001)
        at.leases.forget("acme", "key")
        at.gate.set()
        late, _ = await waiting
        assert (await at.buy())[0] != late, "a token of before the change is not held after it"
        assert await at.buy(owner="globex") == (other, False)
        assert (await at.buy(version=2))[1], "each version of a key has its own"


async def test_a_token_that_was_refused_is_dropped_once() -> None:
    async with scene() as at:
        token, _ = await at.leases.token("acme", "key", 1, ENTRA, SCOPE)
        at.leases.refused("acme", "key", token.number + 1)
        assert not (await at.buy())[1]
        at.leases.refused("acme", "key", token.number)
        assert (await at.buy())[1]
        at.leases.refused("acme", "key", token.number)
        assert not (await at.buy())[1], "the refusal of an old token does not drop the new one"


async def test_a_refusal_is_repeated_for_a_while_without_asking() -> None:
    async with scene() as at:
        at.clouds.clients.clear()
        for _ in range(3):
            with pytest.raises(Upstream, match="upstream_unauthorized") as caught:
                await at.buy()
            assert "s3cret" not in str(caught.value)
        assert at.clouds.bought == 1
        at.clouds.clients["contoso.example", "app"] = "s3cret"
        assert (await at.buy(version=2))[1], "a new version is asked for at once"
        at.leases.forget("acme", "key")
        assert (await at.buy())[1]


async def test_an_assertion_is_what_google_checks() -> None:
    async with scene() as at:
        token, bought = await at.leases.token("acme", "key", 1, ACCOUNT, CLOUD)
        assert bought
        assert token.secret.reveal().decode() in at.clouds.tokens
        for field, value in (("audience", "https://another.example/token"), ("ahead_s", 7200)):
            good = getattr(at.clouds, field)
            setattr(at.clouds, field, value)
            at.leases.forget("acme", "key")
            with pytest.raises(Upstream, match="upstream_unauthorized"):
                await at.leases.token("acme", "key", 1, ACCOUNT, CLOUD)
            setattr(at.clouds, field, good)


async def test_an_access_key_buys_nothing() -> None:
    async with scene() as at:
        with pytest.raises(Fault, match="internal"):
            await at.leases.token("acme", "key", 1, Aws("EXAMPLEACCESSKEY0001", "s"), "")
        assert not at.asked


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"[" * 50_000,
        b'{"access_token":"","expires_in":10,"token_type":"Bearer"}',
        b'{"access_token":"a\\r\\nx: y","expires_in":10,"token_type":"Bearer"}',
        b'{"access_token":"a","expires_in":"soon","token_type":"Bearer"}',
        b'{"access_token":"a","expires_in":1e400,"token_type":"Bearer"}',
        b'{"access_token":"a","expires_in":0,"token_type":"Bearer"}',
        b'{"access_token":"a","token_type":"Bearer"}',
        json.dumps({"access_token": "a" * 100_000, "expires_in": 10, "token_type": "Bearer"}).encode(),
        b"x" * 1_000_000,
    ],
)
async def test_what_is_no_token_is_none(answer: bytes) -> None:
    async with scene() as at:
        at.clouds.fault = (200, answer)
        with pytest.raises(Fault, match="key_unavailable"):
            await at.buy()
        assert not at.leases._held


@pytest.mark.parametrize(
    "url", ["", "login.example", "ftp://h/", "https://", "https://h/?x=y", "https://u@h/", "https://h:x"]
)
def test_a_setting_that_is_no_url(url: str) -> None:
    good = dict.fromkeys(
        ("entra_authority", "google_token_url", "google_sts_url", "google_iam_url"), "https://h.example"
    )
    Leases(Pool(None), **good)  # type: ignore[arg-type]
    for setting in good:
        with pytest.raises(Refused, match=f"upstream.{setting}"):
            Leases(Pool(None), **{**good, setting: url})  # type: ignore[arg-type]
