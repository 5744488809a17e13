"""Objects kept at the provider: whoever did not make one through us, with the key in use, cannot name it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sekimori.control.arguments import Adopt, Nothing, Put
from sekimori.control.owner import Failed
from sekimori.errors import REASONS
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from tests.attacks.attacker import back_up
from tests.flows.place import EVENTS, JSON, Answer, Place, place, serving

MESSAGES = "/v1/messages"
VERSION = (b"anthropic-version", b"2023-06-01")
STATEFUL = "[stored_state, files_by_id, code_interpreter, images_by_url]"
SECRETS = {"clients/globex/house": "sk-globexhouse-19ab44c0d2", "clients/acme/second": "sk-acmesecond-77f0c1be20"}

DOCUMENTS = f"""
{{kind: Key, path: clients/globex/house, provider: house}}
---
{{kind: Key, path: clients/acme/second, provider: house}}
---
{{kind: Route, tenant: globex, provider: house, key: clients/globex/house}}
---
{{kind: Route, tenant: acme, agent: y, provider: house, key: clients/acme/second}}
---
{{kind: Agent, tenant: acme, name: x, models: [tiny], capabilities: {STATEFUL}}}
---
{{kind: Agent, tenant: acme, name: y, models: [tiny], capabilities: {STATEFUL}}}
---
{{kind: Agent, tenant: globex, name: z, models: [tiny], capabilities: {STATEFUL}}}
"""


FRESH: dict[str, Any] = {"container": {"skills": [{"type": "anthropic", "skill_id": "pdf"}]}}


def question(**more: Any) -> dict[str, Any]:
    return {"model": "tiny", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}], **more}


def asked(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def message(id: str, container: str, file: str) -> dict[str, Any]:
    output = {"type": "bash_code_execution_output", "file_id": file}
    result = {"type": "bash_code_execution_result", "stdout": "", "content": [output]}
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": "tiny",
        "content": [
            {"type": "bash_code_execution_tool_result", "tool_use_id": "s", "content": result},
            {
                "type": "tool_use",
                "id": "t",
                "name": "n",
                "input": {"file_id": "file_said", "container": {"id": "c_said"}},
            },
        ],
        "container": {"id": container, "expires_at": "2027-01-01T00:00:00Z"},
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }


def kept(id: str, container: str, file: str) -> Answer:
    """A reply, plain or streamed, that leaves a message, a container and a file at the provider."""

    async def answer(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        whole = message(id, container, file)
        if not body.get("stream"):
            await reply.send(200, [JSON], json.dumps(whole).encode())
            return
        start = {**whole, "content": [], "container": None, "stop_reason": None}
        events = [{"type": "message_start", "message": start}]
        for index, block in enumerate(whole["content"]):
            events.append({"type": "content_block_start", "index": index, "content_block": block})
            events.append({"type": "content_block_stop", "index": index})
        delta = {"stop_reason": "end_turn", "container": whole["container"]}
        events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 3}})
        events.append({"type": "message_stop"})
        await reply.start(200, [EVENTS])
        for event in events:
            await reply.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        await reply.finish(b"")

    return answer


def places(message: str, container: str, file: str) -> list[dict[str, Any]]:
    """An ask for every place in which an id can stand."""
    output = {"type": "code_execution_output", "file_id": file}
    result = {"type": "code_execution_result", "content": [output], "stdout": "", "stderr": "", "return_code": 0}
    image = {"type": "image", "source": {"type": "file", "file_id": file}}
    return [
        {"container": container},
        {"container": {"id": container, "skills": []}},
        {"thread": {"type": "continue", "previous_message_id": message}},
        {"diagnostics": {"previous_message_id": message}},
        asked(image),
        asked({"type": "document", "source": {"type": "file", "file_id": file}}),
        asked({"type": "document", "source": {"type": "content", "content": [image]}}),
        asked({"type": "container_upload", "file_id": file}),
        asked({"type": "tool_result", "tool_use_id": "t", "content": [image]}),
        asked({"type": "code_execution_tool_result", "tool_use_id": "t", "content": result}),
        {"system": [image]},
    ]


async def ask(here: Place, agent: str, more: dict[str, Any], *, stream: bool = False) -> tuple[int, bytes]:
    status, _, body = await here.post(agent, question(**more, stream=stream), MESSAGES, VERSION)
    return status, body


async def make(here: Place, agent: str, suffix: str, *, stream: bool = False) -> tuple[str, str, str]:
    """Have an agent make a message, a container and a file; their ids."""
    ids = (f"msg_{suffix}", f"container_{suffix}", f"file_{suffix}")
    here.provider.script.append(kept(*ids))
    status, body = await ask(
        here, agent, {"container": {"skills": [{"type": "anthropic", "skill_id": "pdf"}]}}, stream=stream
    )
    assert status == 200, body
    return ids


def spoken(body: bytes, id: str, other: str) -> dict[str, Any]:
    """What a refusal says, with one id for another and without what names this very call."""
    said = json.loads(body.replace(id.encode(), other.encode()))
    said.pop("request_id", None)
    return said  # type: ignore[no-any-return]


async def prepare(here: Place) -> None:
    for path, secret in SECRETS.items():
        await here.verb("key put", Put(path=path, secret=secret.encode()))


@pytest.mark.parametrize("stream", [False, True])
async def test_who_made_an_object_may_name_it_everywhere(tmp_path: Path, stream: bool) -> None:
    async with place(tmp_path, documents=DOCUMENTS) as here:
        await prepare(here)
        ids = await make(here, "acme/x", "one", stream=stream)
        for number, more in enumerate(places(*ids)):
            here.provider.script.append(kept(f"msg_{number}", ids[1], f"file_{number}"))
            status, body = await ask(here, "acme/x", more, stream=stream)
            assert status == 200, (more, body)
        settled = [one for one in await here.of_kind("acme", entry.SETTLED) if one.minted]
        assert sorted(settled[0].minted) == sorted(ids)


@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_else_may_and_nothing_tells_them_why(tmp_path: Path, stream: bool) -> None:
    async with place(tmp_path, documents=DOCUMENTS) as here:
        await prepare(here)
        ids = await make(here, "acme/x", "one", stream=stream)
        never = ("msg_two", "container_two", "file_two")
        calls = len(here.provider.seen)
        for more, unknown in zip(places(*ids), places(*never), strict=True):
            for agent in ("globex/z", "acme/y"):  # another tenant; another key of the same tenant
                status, body = await ask(here, agent, more, stream=stream)
                nobodys = await ask(here, agent, unknown, stream=stream)
                assert status == nobodys[0] == 404
                said = json.loads(body)
                assert said["error"]["type"] == "not_found_error"
                for id, other in zip(ids, never, strict=True):
                    if id.encode() in body:
                        assert spoken(body, id, other) == spoken(nobodys[1], other, other)
        assert len(here.provider.seen) == calls, "nothing of it reached the provider"
        for tenant in ("globex", "acme"):
            refused = await here.of_kind(tenant, entry.REFUSED)
            assert {one.reason for one in refused} == {REASONS["object_not_found"][0]}


async def test_what_the_agent_had_the_model_say_is_not_made(tmp_path: Path) -> None:
    async with place(tmp_path, documents=DOCUMENTS) as here:
        await prepare(here)
        await make(here, "acme/x", "one")
        for more in ({"container": "c_said"}, asked({"type": "container_upload", "file_id": "file_said"})):
            assert (await ask(here, "acme/x", more))[0] == 404


async def test_ids_outlive_a_restart_and_a_rotation(tmp_path: Path) -> None:
    async with place(tmp_path, documents=DOCUMENTS, check=False) as here:
        await prepare(here)
        ids = await make(here, "acme/x", "one")
    async with back_up(here), serving(here):
        await here.verb("key rotate", Put(path="clients/acme/own", secret=b"sk-acmeown-rotated-5510aa"))
        for more in places(*ids):
            here.provider.script.append(kept(*ids))
            assert (await ask(here, "acme/x", more))[0] == 200
            assert (await ask(here, "globex/z", more))[0] == 404
        assert here.provider.keys()[-1] == "sk-acmeown-rotated-5510aa"


async def test_a_key_that_is_made_anew_has_no_objects(tmp_path: Path) -> None:
    async with place(tmp_path, documents=DOCUMENTS) as here:
        await prepare(here)
        ids = await make(here, "acme/x", "one")
        exported = (await here.verb("export", Nothing()))["text"]
        parts = exported.split("---\n")
        gone = [part for part in parts if "clients/acme/own" not in part]
        await here.apply("---\n".join(gone), prune=True)
        await here.apply("---\n".join(parts))
        await here.verb("key put", Put(path="clients/acme/own", secret=b"sk-acmeown-anew-90b1c2"))
        for more in places(*ids):
            assert (await ask(here, "acme/x", more))[0] == 404


async def test_an_object_made_with_one_key_is_never_sent_with_the_fallback(tmp_path: Path) -> None:
    async with place(tmp_path, documents=DOCUMENTS) as here:
        await prepare(here)
        ids = await make(here, "acme/x", "one")

        async def limited(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await reply.send(429, [JSON], b'{"type":"error","error":{"type":"rate_limit_error","message":"no"}}')

        before = len(here.provider.seen)
        for more in places(*ids):
            here.provider.script.append(limited)
            assert (await ask(here, "acme/x", more))[0] == 429
        assert set(here.provider.keys()[before:]) == {here.provider.keys()[before - 1]}


async def test_of_several_keys_the_one_that_made_an_object_serves_it(tmp_path: Path) -> None:
    also = "also: [{key: clients/acme/second, weight: 1000}, {key: operator/house, weight: 1000}]"
    async with place(tmp_path, documents=DOCUMENTS) as here:
        await prepare(here)
        await make(here, "acme/y", "one")  # with the second key, which is the first of agent y
        await here.apply(f"{{kind: Route, tenant: acme, agent: x, provider: house, key: clients/acme/own, {also}}}")
        before = len(here.provider.seen)
        for number in range(6):
            here.provider.script.append(kept(f"msg_{number}", "container_one", f"file_{number}"))
            assert (await ask(here, "acme/x", {"container": "container_one"}))[0] == 200
            assert (await ask(here, "acme/x", {"container": "container_two"}))[0] == 404
        assert set(here.provider.keys()[before:]) == {SECRETS["clients/acme/second"]}


async def test_many_make_and_name_at_once(tmp_path: Path) -> None:
    async with place(tmp_path, documents=DOCUMENTS) as here:
        await prepare(here)

        async def one(agent: str, number: int) -> tuple[str, str]:
            container = f"container_{agent.replace('/', '_')}_{number}"
            body = question(
                container={"skills": [{"type": "anthropic", "skill_id": "pdf"}]}, metadata={"user_id": container}
            )
            status, _, _ = await here.post(agent, body, MESSAGES, VERSION)
            assert status == 200
            status, _, _ = await here.post(
                agent, question(container=container, metadata={"user_id": container}), MESSAGES, VERSION
            )
            assert status == 200
            return agent, container

        async def echoed(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            name = body["metadata"]["user_id"]
            await kept(f"msg_{name}", name, f"file_{name}")(request, reply, body)

        here.provider.script = [echoed] * 60
        made = await asyncio.gather(*(one(agent, number) for number in range(15) for agent in ("acme/x", "globex/z")))
        others = {"acme/x": "globex/z", "globex/z": "acme/x"}
        found = await asyncio.gather(*(ask(here, others[agent], {"container": name}) for agent, name in made))
        assert {status for status, _ in found} == {404}


async def test_what_was_made_elsewhere_exists_once_it_is_adopted(tmp_path: Path) -> None:
    async with place(tmp_path, documents=DOCUMENTS, check=False) as here:
        await prepare(here)
        upload = asked({"type": "container_upload", "file_id": "file_elsewhere"})
        assert (await ask(here, "acme/x", upload))[0] == 404
        await here.verb("object adopt", Adopt(path="clients/acme/own", ids=("file_elsewhere",)))
        for path, ids in (
            ("operator/house", ("file_x",)),
            ("clients/acme/nothing", ("file_x",)),
            ("clients/acme/own", ()),
            ("clients/acme/own", ("two words",)),
        ):
            with pytest.raises(Failed):
                await here.verb("object adopt", Adopt(path=path, ids=ids))
        here.provider.script.append(kept("msg_one", "container_one", "file_one"))
        assert (await ask(here, "acme/x", upload))[0] == 200
        for log in ("acme", "operator"):
            [adopted] = await here.of_kind(log, entry.OBJECTS_ADOPTED)
            assert (adopted.key, adopted.ids) == ("clients/acme/own", ["file_elsewhere"])
        assert not here.running.home.objects._fresh
    async with back_up(here), serving(here):
        here.provider.script.append(kept("msg_one", "container_one", "file_one"))
        assert (await ask(here, "acme/x", upload))[0] == 200
        for agent in ("acme/y", "globex/z"):
            assert (await ask(here, agent, upload))[0] == 404


async def test_an_agent_that_was_granted_nothing_leaves_nothing(tmp_path: Path) -> None:
    """A plain call pays for none of this, and its ids are not remembered."""
    plain = "{kind: Agent, tenant: acme, name: x, models: [tiny]}"
    async with place(tmp_path, documents=plain) as here:
        here.provider.script.append(kept("msg_one", "container_one", "file_one"))
        assert (await ask(here, "acme/x", {}))[0] == 200
        assert [one.minted for one in await here.of_kind("acme", entry.SETTLED)] == [[]]


async def test_on_a_key_that_tenants_share_nothing_is_kept_or_named(tmp_path: Path) -> None:
    async with place(tmp_path, documents=DOCUMENTS) as here:
        await prepare(here)
        await here.apply("{kind: Route, tenant: acme, agent: y, provider: house, key: operator/house}")
        here.provider.script.append(kept("msg_one", "container_one", "file_one"))
        assert (await ask(here, "acme/y", {}))[0] == 200
        for more in places("msg_one", "container_one", "file_one"):
            status, body = await ask(here, "acme/y", more)
            assert (status, b"tenants share" in body) == (403, True)
        assert all(not one.minted for one in await here.of_kind("acme", entry.SETTLED))


async def test_rows_that_cannot_be_read_refuse_the_call(tmp_path: Path) -> None:
    async with place(tmp_path, documents=DOCUMENTS, check=False) as here:
        await prepare(here)
        await make(here, "acme/x", "one")
        objects = here.running.home.objects
        objects._cached.clear()  # as after a restart
        await here.entries("acme")
        uid = here.running.home.snapshot.uid("tenant/acme")
        file = here.home / "tenants" / f"{uid}.sqlite"
        store = here.running.home.database.tenant(str(uid))
        await store._files._files.pop(file).close(store._files._pool)
        file.chmod(0o644)  # what others can read is not believed
        status, body = await ask(here, "acme/x", {"container": "container_nobodys"})
        file.chmod(0o600)
        assert status == 503, body
