"""T19: a caller names an object that the provider keeps for somebody else.

The provider tells accounts apart and nothing finer. So whether an id may be named is decided here: by who made it
through us, for which tenant and with which key. All else is refused like what does not exist.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sekimori.errors import REASONS
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from sekimori.upstream.objects import MOST_LOOKING
from tests.attacks.attacker import code_of
from tests.flows.place import EVENTS, JSON, Answer, Place, place
from tests.flows.test_hedging import HEDGED, hedging
from tests.flows.test_objects import DOCUMENTS, FRESH, MESSAGES, VERSION, ask, asked, kept, make, prepare
from tests.flows.test_routing import OWN

RESPONSES = "/v1/responses"
GRANTED = DOCUMENTS.replace("images_by_url]", "images_by_url, file_search, background]")


def response(id: str, container: str) -> dict[str, Any]:
    call = {
        "type": "code_interpreter_call",
        "id": f"ci_{id}",
        "container_id": container,
        "code": "",
        "status": "completed",
    }
    text = {"type": "output_text", "text": "hi", "annotations": []}
    said = {"type": "message", "id": f"msg_{id}", "role": "assistant", "status": "completed", "content": [text]}
    return {
        "id": id,
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "store": True,
        "model": "tiny",
        "output": [call, said],
        "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
    }


def answering(id: str, container: str) -> Answer:
    async def answer(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        whole = response(id, container)
        if not body.get("stream"):
            await reply.send(200, [JSON], json.dumps(whole).encode())
            return
        await reply.start(200, [EVENTS])
        for kind, said in (
            ("response.created", {**whole, "status": "in_progress", "output": []}),
            ("response.completed", whole),
        ):
            event = {"type": kind, "sequence_number": 0, "response": said}
            await reply.write(f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode())
        await reply.finish(b"")

    return answer


def named(id: str, container: str) -> list[dict[str, Any]]:
    """An ask for each place of the OpenAI dialect in which an id can stand that a reply can have minted."""
    return [
        {"previous_response_id": id},
        {"input": [{"type": "item_reference", "id": f"msg_{id}"}]},
        {"tools": [{"type": "code_interpreter", "container": container}]},
    ]


def never(name: str) -> list[dict[str, Any]]:
    """An ask for each place whose ids no call makes: they are made elsewhere, so none exists here."""
    return [
        {"conversation": name},
        {"conversation": {"id": name}},
        {"tools": [{"type": "file_search", "vector_store_ids": [name]}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": name}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": name}]}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [name]}}]},
    ]


async def respond(here: Place, agent: str, more: dict[str, Any], *, stream: bool = False) -> tuple[int, bytes]:
    body = {"model": "tiny", "input": "hello", "stream": stream, **more}
    status, _, answer = await here.post(agent, body, RESPONSES)
    return status, answer


async def test_a_policy_that_hedges_asks_no_second_key_for_an_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capable = "kind: Agent\ntenant: acme\nname: x\nmodels: [tiny]\ncapabilities: {}\n"
    capable = capable.format("[stored_state, files_by_id, code_interpreter]")
    async with hedging(tmp_path, monkeypatch, HEDGED, capable) as (here, hand, hedges, _):
        ids = await make(here, "acme/x", "one")
        hand.draw = 0.9  # by its weight the other key would be asked first
        for more in ({"container": ids[1]}, asked({"type": "document", "source": {"type": "file", "file_id": ids[2]}})):
            here.provider.script.append(kept("msg_more", "container_more", "file_more"))
            code, body = await ask(here, "acme/x", more)
            assert code == 200, body
        assert here.provider.keys() == [OWN] * 3
        assert hedges.calls == 0, "nobody so much as looked at the clock"


@pytest.mark.parametrize("stream", [False, True])
async def test_another_tenants_response_does_not_exist(tmp_path: Path, stream: bool) -> None:
    async with place(tmp_path, documents=GRANTED) as here:
        await prepare(here)
        here.provider.script.append(answering("resp_one", "cntr_one"))
        status, body = await respond(here, "acme/x", {"store": True}, stream=stream)
        assert status == 200, body
        calls = len(here.provider.seen)
        theirs, nobodys = named("resp_one", "cntr_one"), named("resp_two", "cntr_two")
        for more, unknown in zip(theirs, nobodys, strict=True):
            for agent in ("globex/z", "acme/y"):
                refused = await respond(here, agent, more, stream=stream)
                other = await respond(here, agent, unknown, stream=stream)
                assert refused[0] == other[0]
                assert refused[0] in (400, 404)
                assert refused[1].replace(b"_one", b"_two") == other[1]
        for more in never("file-stolen"):
            assert (await respond(here, "acme/x", more, stream=stream))[0] == 404
        assert len(here.provider.seen) == calls, "nothing of it reached the provider"
        for more in theirs:
            here.provider.script.append(answering("resp_one", "cntr_one"))
            status, body = await respond(here, "acme/x", more, stream=stream)
            assert status == 200, (more, body)
        [first, *_] = await here.of_kind("globex", entry.REFUSED)
        assert first.reason == REASONS["object_not_found"][0]
        assert here.provider.keys()[calls:] == [here.provider.keys()[0]] * len(theirs)


async def test_the_refusal_is_the_providers_own(tmp_path: Path) -> None:
    async with place(tmp_path, documents=GRANTED) as here:
        await prepare(here)
        status, body = await respond(here, "globex/z", {"previous_response_id": "resp_one"})
        assert (status, json.loads(body)) == (
            400,
            {
                "error": {
                    "message": "Previous response with id 'resp_one' not found.",
                    "type": "invalid_request_error",
                    "param": "previous_response_id",
                    "code": "previous_response_not_found",
                }
            },
        )


async def test_other_spellings_of_the_place_name_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, documents=GRANTED) as here:
        await prepare(here)
        here.provider.script.append(answering("resp_one", "cntr_one"))
        assert (await respond(here, "acme/x", {"store": True}))[0] == 200
        calls = len(here.provider.seen)
        for more in (
            {"Previous_Response_Id": "resp_one"},
            {"previous_response_id": ["resp_one"]},
            {"previous_response_id": {"id": "resp_one"}},
            {"previous_response_id": " resp_one"},
            {"previous_response_id": "resp_one\u0000"},
            {"previous_response_id": "RESP_ONE"},
            {"previous_response_id": "resp_one/../resp_one"},
            {"conversation": {"Id": "resp_one", "id": None}},
            {"tools": [{"type": "code_interpreter", "Container": "cntr_one", "container": {"type": "auto"}}]},
        ):
            status, body = await respond(here, "globex/z", more)
            assert status in (400, 403, 404), (more, body)
        assert len(here.provider.seen) == calls


async def test_a_provider_of_ones_own_cannot_mint_what_another_has(tmp_path: Path) -> None:
    """A tenant may have its provider say any id. It then exists for that tenant and that key, and goes nowhere else."""
    async with place(tmp_path, documents=GRANTED) as here:
        await prepare(here)
        ids = await make(here, "acme/x", "one")
        here.provider.script += [kept(*ids), kept(*ids), kept(*ids)]
        assert (await ask(here, "globex/z", FRESH))[0] == 200
        assert (await ask(here, "globex/z", {"container": ids[1]}))[0] == 200
        assert (await ask(here, "acme/x", {"container": ids[1]}))[0] == 200
        first, *_, third, fourth = here.provider.keys()
        assert (fourth == first, third == first) == (True, False)


async def test_a_flood_of_made_up_ids_fills_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, documents=GRANTED) as here:
        await prepare(here)
        for number in range(40):
            blocks = [{"type": "container_upload", "file_id": f"file_{number}_{one}"} for one in range(256)]
            body = {"model": "tiny", "max_tokens": 9, "messages": [{"role": "user", "content": blocks}]}
            status, _, _ = await here.post("globex/z", body, MESSAGES, VERSION)
            assert status == 404
        objects = here.running.home.objects
        assert (len(objects._cached), len(objects._fresh)) == (0, 0)
        blocks = [{"type": "container_upload", "file_id": f"file_{one}"} for one in range(257)]
        body = {"model": "tiny", "max_tokens": 9, "messages": [{"role": "user", "content": blocks}]}
        status, _, answer = await here.post("globex/z", body, MESSAGES, VERSION)
        assert (status, b"one too many" in answer) == (400, True)


async def test_without_the_grant_an_id_is_not_even_looked_up(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        status, body = await respond(here, "acme/x", {"previous_response_id": "resp_one"})
        assert (status, code_of(body)) == (403, "capability_missing")


# Doors whose path names the object.

STORED = [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")]
ROUTED = (
    GRANTED
    + """---
{kind: Agent, tenant: acme, name: w, models: [small], capabilities: [stored_state]}
---
{kind: Agent, tenant: acme, name: v, models: [tiny], capabilities: []}
---
{kind: Agent, tenant: acme, name: u, models: [tiny], capabilities: [stored_state]}
---
{kind: Route, tenant: acme, agent: u, provider: house, key: operator/house}
"""
)


async def about(here: Place, agent: str, method: str, rest: str, id: str, query: str = "") -> tuple[int, bytes]:
    target = f"{RESPONSES}/{id}{rest}{query}"
    headers = [(b"authorization", b"Bearer " + here.keys[agent].encode())]
    status, _, body = await here.send(method, target, headers, b"", agent=agent)
    return status, body


async def stored(here: Place, id: str = "resp_one") -> None:
    """Have agent x make a response that is kept."""
    await prepare(here)
    for name in ("w", "v", "u"):
        await here.issue("acme", name)
    here.provider.script.append(answering(id, "cntr_one"))
    assert (await respond(here, "acme/x", {"store": True}))[0] == 200


@pytest.mark.parametrize(("method", "rest"), STORED)
async def test_a_stored_response_of_others_is_none_at_any_door(tmp_path: Path, method: str, rest: str) -> None:
    """Another tenant, another key of the tenant, an agent that may not call its model, and a key that tenants share:
    all are told what they are told of an id that nobody ever had."""
    async with place(tmp_path, documents=ROUTED) as here:
        await stored(here)
        calls = len(here.provider.seen)
        for agent in ("globex/z", "acme/y", "acme/w", "acme/u"):
            refused = await about(here, agent, method, rest, "resp_one")
            other = await about(here, agent, method, rest, "resp_two")
            assert refused[0] == other[0] == 404, (agent, refused)
            assert refused[1].replace(b"_one", b"_two") == other[1]
            error = json.loads(refused[1])["error"]
            assert (error["type"], error["message"]) == (
                "invalid_request_error",
                "Response with id 'resp_one' not found.",
            )
        status, body = await about(here, "acme/v", method, rest, "resp_one")
        assert (status, code_of(body)) == (403, "capability_missing"), "and who may not ask is not even told that"
        assert len(here.provider.seen) == calls, "nothing of it reached the provider"
        [refusal, *_] = await here.of_kind("globex", entry.REFUSED)
        assert refusal.reason == REASONS["object_not_found"][0]
        for minted in ("msg_resp_one", "cntr_one"):  # they exist, and are no responses: the provider says so
            assert (await about(here, "globex/z", method, rest, minted))[0] == 404
        assert await here.of_kind("globex", entry.DECIDED) == []


@pytest.mark.parametrize(("method", "rest"), STORED)
async def test_a_stored_response_goes_out_with_the_key_that_made_it(tmp_path: Path, method: str, rest: str) -> None:
    async def told(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        assert (request.method, request.target) == (method, f"/v1/responses/resp_one{rest}")
        whole = {**response("resp_one", "cntr_one"), "data": [], "deleted": True}
        await reply.send(200, [JSON], json.dumps(whole).encode())

    also = "also: [{key: clients/acme/second, weight: 1000}, {key: operator/house, weight: 1000}]"
    async with place(tmp_path, documents=ROUTED) as here:
        await stored(here)
        await here.apply(f"{{kind: Route, tenant: acme, agent: x, provider: house, key: clients/acme/own, {also}}}")
        here.provider.script.append(told)
        status, body = await about(here, "acme/x", method, rest, "resp_one")
        assert status == 200, body
        first, second = here.provider.keys()
        assert first == second
        assert here.provider.raw[-1] == b""


async def test_a_response_that_was_deleted_is_nobodys(tmp_path: Path) -> None:
    async def deleted(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(200, [JSON], b'{"id":"resp_one","object":"response","deleted":true}')

    async def refused(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(500, [JSON], b'{"error":{"message":"no"}}')

    async with place(tmp_path, documents=ROUTED) as here:
        await stored(here)
        here.provider.script += [refused, deleted]
        assert (await about(here, "acme/x", "DELETE", "", "resp_one"))[0] >= 500
        assert (await about(here, "acme/x", "DELETE", "", "resp_one"))[0] == 200
        calls = len(here.provider.seen)
        for _ in range(2):
            for method, rest in STORED:
                gone = await about(here, "acme/x", method, rest, "resp_one")
                never_was = await about(here, "acme/x", method, rest, "resp_two")
                assert gone[0] == 404
                assert gone[1].replace(b"_one", b"_two") == never_was[1]
            assert (await respond(here, "acme/x", {"previous_response_id": "resp_one"}))[0] == 400
            await here.entries("acme")  # once as it is in memory, once as the rows have it
        assert len(here.provider.seen) == calls


async def test_no_spelling_of_a_path_leads_elsewhere(tmp_path: Path) -> None:
    """An id that a provider made up is one step of a path, here and at the provider, or no id at all."""
    for id in ("resp/../files/one", "..", "resp_one?x=1", "resp_one%2Fcancel", "resp one"):
        (tmp_path / str(abs(hash(id)))).mkdir()
        async with place(tmp_path / str(abs(hash(id))), documents=ROUTED) as here:
            await stored(here, id)
            calls = len(here.provider.seen)
            for spelled in (id, id.replace("/", "%2F"), id.replace("%", "%25"), id.replace("?", "%3F")):
                for method, rest in STORED:
                    try:
                        status, _ = await about(here, "acme/x", method, rest, spelled)
                    except ValueError:
                        continue  # the client itself cannot send it
                    assert status in (400, 404, 405), (spelled, status)
            assert len(here.provider.seen) == calls


async def test_a_flood_of_ids_in_paths_fills_nothing_and_reaches_nobody(tmp_path: Path) -> None:
    async with place(tmp_path, documents=ROUTED) as here:
        await stored(here)
        calls = len(here.provider.seen)
        found = await asyncio.gather(
            *(about(here, "globex/z", "GET", "", f"resp_{number}") for number in range(MOST_LOOKING + 60))
        )
        assert {status for status, _ in found} <= {404, 503}
        objects = here.running.home.objects
        assert not objects._looking
        assert all(tenant != here.running.home.snapshot.uid("tenant/globex") for tenant, _ in objects._cached)
        assert len(here.provider.seen) == calls
        refusals = await here.of_kind("globex", entry.REFUSED)
        assert len(refusals) <= 4, "one entry stands for many"
