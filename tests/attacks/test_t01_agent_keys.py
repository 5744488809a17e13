"""T01: an agent's key is guessed, mistyped, stolen, or kept after it was revoked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from sekimori.control.arguments import Nothing, Revoke
from sekimori.http.server import Reply, Request
from sekimori.identity import apikey
from sekimori.ledger import entry
from tests.attacks.attacker import CHAT, MESSAGES, VERSION, Clock, bearer, call_bytes, control, get, wire
from tests.flows.place import EVENTS, JSON, USAGE_EVENT, Place, chat, chunk, place, serving
from tests.http.wire import happens

NAMED = ("x-request-id", "x-sekimori-record", "date")


async def tried(here: Place, key: str, path: str = CHAT) -> tuple[int, dict[str, str], bytes]:
    """One call with a key as it is; what differs in every reply is taken out."""
    headers = [bearer(key), JSON, *([VERSION] if path == MESSAGES else [])]
    code, fields, body = await here.send("POST", path, headers, json.dumps(chat()).encode())
    own = {name: value for name, value in fields.items() if name not in NAMED and name != "request-id"}
    return code, own, body.replace(fields["x-request-id"].encode(), b"")


async def test_what_was_never_issued_opens_nothing_and_is_recorded_without_its_text(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        good = here.keys["acme/x"]
        guesses = [
            apikey.mint(os.urandom(32)),  # well formed, checksum right, never issued
            good[:-1] + ("A" if good[-1] != "A" else "B"),
            good[:-1],
            good + "x",
            good.swapcase(),
            good[::-1],
            "sk-sek_" + "0" * 36,
            "' OR '1'='1",
            "admin'--",
            "null",
            "undefined",
            "*",
            "%",
            here.key_ids["acme/x"],  # the public id is no key
            hashlib.sha256(good.encode()).hexdigest(),
        ]
        for guess in guesses:
            for path in (CHAT, MESSAGES):
                code, _, body = await tried(here, guess, path)
                assert code == 401, guess
                assert len(guess) < 10 or guess.encode() not in body, "a key is repeated to whoever sent it"
        for model in ("", "/tiny"):
            assert (await get(here, f"/v1/models{model}", bearer(guesses[0])))[0] == 401
        assert here.provider.seen == []
        refused = [one for one in await here.entries("operator") if one.leaf.kind == entry.REFUSED]
        assert {one.payload.status for one in refused} == {401}
        assert {one.leaf.class_ for one in refused} == {entry.LOGIN}
        assert {one.leaf.actor for one in refused} == {"stranger"}
        told = json.dumps([repr(one.payload) for one in refused]).encode() + here.log.getvalue()
        told += (await control(here, "/metrics"))[1]
        for guess in guesses:
            if len(guess) > 9:
                assert guess.encode() not in told
        assert await here.of_kind("acme", entry.REFUSED) == [], "a stranger wrote into a tenant's log"


async def test_a_thief_cannot_tell_a_revoked_key_from_one_that_never_was(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.verb("apikey revoke", Revoke(id=here.key_ids["acme/x"]))
        for path in (CHAT, MESSAGES):
            revoked = await tried(here, here.keys["acme/x"], path)
            unknown = await tried(here, apikey.mint(os.urandom(32)), path)
            assert revoked == unknown
        reasons = {one.reason for one in await here.of_kind("operator", entry.REFUSED)}
        assert len(reasons) == 2, "the record is exact where the reply is not"


async def test_a_key_ends_in_the_millisecond_it_was_issued_to_and_clock_steps_do_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    async with place(tmp_path) as here:
        await here.issue("acme", "y", expires_in="30m")
        assert (await here.post("acme/y", chat()))[0] == 200
        for ahead in (1801.0, 86_400.0 * 3650):
            clock.ahead_s = ahead
            code, _, body = await here.post("acme/y", chat())
            assert code == 401, ahead
            assert b"expired" in body
        clock.ahead_s = -86_400.0
        assert (await here.post("acme/x", chat()))[0] == 200, "a clock that went back locks nobody out"
        clock.ahead_s = 0.0
        assert len(here.provider.seen) == 2


async def test_revocation_bites_on_the_next_request_whatever_connection_it_comes_by(tmp_path: Path) -> None:
    released = asyncio.Event()

    async def slow(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.start(200, [EVENTS])
        await reply.write(chunk("one "))
        await released.wait()
        await reply.write(USAGE_EVENT)
        await reply.finish(b"data: [DONE]\n\n")

    async with place(tmp_path) as here:
        key = here.keys["acme/x"]
        async with wire(here.running.gateway_port) as kept, wire(here.running.gateway_port) as busy:
            kept.send(call_bytes(key))
            assert (await kept.reply())[0] == 200
            # A stream under way, and behind it, sent before the revocation, the next request.
            here.provider.script = [slow]
            data = json.dumps(chat(stream=True)).encode()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\ncontent-length: %d"
            busy.send(head % (key.encode(), len(data)) + b"\r\n\r\n" + data + call_bytes(key))
            await busy.until(b"one ")
            await here.verb("apikey revoke", Revoke(id=here.key_ids["acme/x"]))
            kept.send(call_bytes(key))
            assert (await kept.reply())[0] == 401, "what a connection was once allowed was remembered"
            released.set()
            await busy.until(b"[DONE]")
            await busy.until(b"0\r\n\r\n")
            assert (await busy.reply())[0] == 401, "a pipelined request was judged when it came, not when it began"
        assert len(here.provider.seen) == 2
    async with serving(here):
        assert (await tried(here, key))[0] == 401, "a restart forgot a revocation"


async def test_a_call_begun_before_a_revocation_and_ended_after_it_is_not_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thief who expects to be found out sends the heads of many calls and keeps their bodies back."""
    clock = Clock(monkeypatch)
    async with place(tmp_path) as here:
        await here.issue("acme", "y", expires_in="30m")
        async with wire(here.running.gateway_port) as revoked, wire(here.running.gateway_port) as expired:
            for agent, end in (("acme/x", revoked), ("acme/y", expired)):
                whole = call_bytes(here.keys[agent])
                end.send(whole[:-5])
            await happens(lambda: here.running.gateway.requests_in_flight == 2)
            await here.verb("apikey revoke", Revoke(id=here.key_ids["acme/x"]))
            clock.ahead_s = 1801.0
            for agent, end in (("acme/x", revoked), ("acme/y", expired)):
                end.send(call_bytes(here.keys[agent])[-5:])
                assert (await end.reply())[0] == 401, agent
        assert here.provider.seen == []


async def test_an_agent_that_is_made_again_does_not_bring_its_old_keys_back(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        text = (await here.verb("export", Nothing()))["text"]
        documents = text.split("---\n")
        without = "---\n".join(one for one in documents if "name: y\n" not in one and "agent: y\n" not in one)
        assert without != text
        await here.apply(without, prune=True)
        assert (await tried(here, here.keys["acme/y"]))[0] == 401
        await here.apply(text, prune=True)
        assert (await tried(here, here.keys["acme/y"]))[0] == 401, "a key outlived its agent"
        assert (await here.post("acme/x", chat()))[0] == 200


async def test_a_key_does_what_its_scopes_say_and_no_more(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.issue("acme", "y", scopes=("read",))
        code, _, body = await here.post("acme/y", chat())
        assert (code, json.loads(body)["error"]["code"]) == (403, "scope_missing")
        assert (await get(here, "/v1/models", agent="acme/y"))[0] == 200
        await here.issue("acme", "x", scopes=("write",))
        assert (await here.post("acme/x", chat()))[0] == 200
        with pytest.raises(Exception, match="wrong_use"):
            await here.issue("globex", "z", scopes=("admin",))
        assert len(here.provider.seen) == 1


async def test_what_is_stored_of_a_key_lets_nobody_in(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"]
    plain = key.encode()
    useless = [plain, plain[7:], hashlib.sha256(plain).digest(), hashlib.sha256(plain).hexdigest().encode()]
    useless += [hashlib.sha1(plain).digest(), hashlib.md5(plain).digest(), hashlib.sha512(plain).digest()]
    for path in here.home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for needle in useless:
                assert needle not in data, f"{path.name} holds a key, or what anyone could compute of it"


async def test_a_flood_of_guesses_costs_an_entry_and_keeps_nobody_out(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        guesses = [apikey.mint(os.urandom(32)) for _ in range(150)]
        replies = await asyncio.gather(
            *(tried(here, guess) for guess in guesses), *(here.post("acme/x", chat()) for _ in range(10))
        )
        assert [code for code, _, _ in replies] == [401] * 150 + [200] * 10
        refused = await here.of_kind("operator", entry.REFUSED)
        assert len(refused) <= 2
        figures = (await control(here, "/metrics"))[1].decode()
        assert 'sekimori_strangers_total{reason="credential_unknown"} 150.0' in figures


async def test_one_who_leaves_takes_nobodys_answer_along(tmp_path: Path) -> None:
    """Refusals of one reason share an entry; whoever made the first of them may be gone before it is written."""
    async with place(tmp_path) as here:
        ledger = here.running.home.ledger
        write, begun, go = ledger.write, asyncio.Event(), asyncio.Event()

        async def slow(*drafts: Any) -> list[str]:
            begun.set()
            await go.wait()
            return await write(*drafts)

        ledger.write = slow  # type: ignore[method-assign]
        guess = apikey.mint(os.urandom(32))
        async with wire(here.running.gateway_port) as first:
            first.send(call_bytes(guess))
            await asyncio.wait_for(begun.wait(), 10)
            others = [asyncio.create_task(tried(here, guess)) for _ in range(8)]
            await happens(lambda: here.running.gateway.requests_in_flight == 9)
        await happens(lambda: here.running.gateway.requests_in_flight == 8)
        go.set()
        assert [code for code, _, _ in await asyncio.gather(*others)] == [401] * 8
        ledger.write = write  # type: ignore[method-assign]
        assert len(await here.of_kind("operator", entry.REFUSED)) == 1


async def test_a_store_that_is_gone_lets_nobody_in(tmp_path: Path) -> None:
    async with place(tmp_path, check=False) as here:
        for path in (here.home / "deployment.sqlite", here.home / "vault" / "vault.json"):
            path.rename(path.with_suffix(".away"))
        assert (await tried(here, apikey.mint(os.urandom(32))))[0] == 401
        assert here.provider.seen == []
        for path in (here.home / "deployment.sqlite", here.home / "vault" / "vault.json"):
            path.with_suffix(".away").rename(path)
