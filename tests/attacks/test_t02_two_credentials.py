"""T02: two credentials in one request confuse who is calling."""

from __future__ import annotations

import json
from pathlib import Path

from sekimori.ledger import entry
from sekimori.terms import Headers
from tests.attacks.attacker import CHAT, COUNT, MESSAGES, VERSION, bearer, code_of, question, wire
from tests.flows.place import JSON, SECRETS, Place, chat, place

NAMES = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")


def field(name: bytes, key: str) -> tuple[bytes, bytes]:
    return bearer(key) if name == b"authorization" else (name, key.encode())


async def ask(here: Place, headers: Headers, path: str = CHAT) -> tuple[int, bytes]:
    body = json.dumps(chat() if path.startswith(CHAT) else question()).encode()
    code, _, reply = await here.send("POST", path, [JSON, *headers], body)
    return code, reply


async def test_two_keys_in_any_two_places_are_nobody(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        mine, other = here.keys["acme/x"], here.keys["globex/z"]
        for first in NAMES:
            for second in NAMES:
                if first == second:
                    continue
                code, body = await ask(here, [field(first, mine), field(second, other)])
                assert (code, code_of(body)) == (401, "credential_ambiguous"), (first, second)
                assert mine.encode() not in body
                assert other.encode() not in body
        for path in (MESSAGES, COUNT):
            code, _ = await ask(here, [VERSION, field(b"x-api-key", mine), field(b"authorization", other)], path)
            assert code == 401
        for path in ("/v1/models", "/v1/models/tiny"):
            code, _, _ = await here.send("GET", path, [field(b"x-api-key", mine), field(b"api-key", other)], b"")
            assert code == 401
        assert here.provider.seen == []
        for log in ("acme", "globex"):
            assert await here.of_kind(log, entry.REFUSED) == [], "the refusal was laid at one tenant's door"


async def test_a_good_key_beside_anything_else_is_nobody(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"]
        beside: list[Headers] = [
            [(b"x-api-key", b"")],
            [(b"x-api-key", b"sk-some-provider-key-0123456789")],
            [(b"x-api-key", key.encode() + b"x")],
            [(b"x-api-key", key.encode() + b"," + key.encode())],
            [(b"x-api-key", b"Bearer " + key.encode())],
            [(b"api-key", b"null")],
            [(b"x-goog-api-key", key.lower().encode())],
            [(b"x-api-key", key.encode()), (b"api-key", here.keys["acme/y"].encode())],
        ]
        for headers in beside:
            for order in ([bearer(key), *headers], [*headers, bearer(key)]):
                code, body = await ask(here, order)
                assert code == 401, order
                assert code_of(body) in ("credential_ambiguous", "credential_malformed")
        assert here.provider.seen == []


async def test_one_name_twice_is_nobody_though_the_value_is_the_same(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"]
        for name in NAMES:
            code, body = await ask(here, [field(name, key), field(name, key)])
            assert (code, code_of(body)) == (401, "credential_ambiguous"), name
        # As two spellings of the name, which the pool of this test would not send.
        data = json.dumps(chat()).encode()
        async with wire(here.running.gateway_port) as end:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-API-KEY: %b\r\nx-Api-Key: %b\r\n"
            end.send(head % (key.encode(), here.keys["acme/y"].encode()) + b"Content-Length: %d\r\n\r\n" % len(data))
            end.send(data)
            assert (await end.reply())[0] == 401
        assert here.provider.seen == []


async def test_other_schemes_and_shapes_of_authorization_are_no_key(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"].encode()
        shapes = [
            b"Basic " + key,
            b"Digest " + key,
            b"Bearer " + key + b" " + here.keys["globex/z"].encode(),
            b"Bearer " + key + b", Bearer " + here.keys["globex/z"].encode(),
            b"Bearer\t" + key,
            b"Bearer" + key,
            b"Bearer",
            b"Bearer Bearer " + key,
            b"Token " + key,
            key,
            b"",
        ]
        for shape in shapes:
            code, body = await ask(here, [(b"authorization", shape)])
            assert code == 401, shape
            assert code_of(body).startswith("credential_")
            code, _ = await ask(here, [(b"authorization", shape), (b"x-api-key", key)])
            assert code == 401, "a good key made up for what stands beside it"
        elsewhere: list[Headers] = [
            [(b"proxy-authorization", b"Bearer " + key)],
            [(b"cookie", b"authorization=Bearer " + key)],
            [(b"x_api_key", key)],
            [(b"x-authorization", b"Bearer " + key)],
            [(b"x-forwarded-authorization", b"Bearer " + key)],
        ]
        for headers in elsewhere:
            assert (await ask(here, headers))[0] == 401, headers
        assert here.provider.seen == []


async def test_a_key_in_the_query_is_refused_and_never_spoils_who_calls(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        mine, other = here.keys["acme/x"], here.keys["globex/z"]
        queries = ["key", "api_key", "api-key", "apiKey", "API_KEY", "%6bey", "token", "access_token", "authorization"]
        for name in queries:
            for headers in ([], [bearer(mine)]):
                code, body = await ask(here, headers, f"{CHAT}?{name}={other}")
                assert (code, code_of(body)) == (401, "credential_malformed"), name
                assert other.encode() not in body
        for query in (f"beta=true;key={other}", f"a={other}", "x=sk%2Dsek_" + other[7:], f"key=&key={other}"):
            assert (await ask(here, [bearer(mine)], f"{CHAT}?{query}"))[0] == 401, query
        assert here.provider.seen == []
        assert (await ask(here, [bearer(mine), VERSION], f"{MESSAGES}?beta=true"))[0] != 401  # what an SDK sends
        for needle in (mine, other):
            assert needle.encode() not in here.log.getvalue()


async def test_one_key_under_several_names_is_one_caller_and_none_of_it_travels_on(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"]
        code, _ = await ask(here, [field(name, key) for name in NAMES] + [(b"cookie", b"a=b")])
        assert code == 200
        [(_, sent, _)] = here.provider.seen
        assert key.encode() not in b"".join(value for _, value in sent)
        assert {name for name, _ in sent} & {*NAMES, b"cookie"} == {b"authorization"}
        assert here.provider.keys() == [SECRETS["clients/acme/own"]]
        [decided] = await here.of_kind("acme", entry.DECIDED)
        assert decided.credential == here.key_ids["acme/x"]
