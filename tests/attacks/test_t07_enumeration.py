"""T07: an agent finds out what other tenants have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.attacks.attacker import CHAT, COUNT, MESSAGES, VERSION, bearer, control, get, question
from tests.flows.place import JSON, Place, chat, place

OWN = ("x-request-id", "request-id", "x-sekimori-record", "date")
TALES = ("globex", "z", "operator/house", "clients/globex")

MORE = """
kind: Tenant
name: initech
mode: agency
suspended: true
---
kind: Provider
name: initech-llm
tenant: initech
catalog: compatible
baseUrl: https://llm.initech.example/v1
models: ["initech-*", "claude-secret-project"]
---
kind: Provider
name: reserve
catalog: compatible
baseUrl: https://reserve.example/v1
models: [reserved-model]
---
kind: Key
path: operator/reserve
provider: reserve
---
kind: Route
tenant: globex
provider: reserve
key: operator/reserve
"""
"""A suspended tenant, and a provider of the operator's that only globex may use."""


async def seen(here: Place, method: str, path: str, name: str, body: Any = None) -> tuple[int, Any, bytes]:
    """A whole reply with its own ids and the name that was asked for taken out."""
    headers = [bearer(here.keys["acme/x"]), JSON, VERSION]
    data = b"" if body is None else json.dumps(body).encode()
    code, fields, reply = await here.send(method, path, headers, data, agent="acme/x")
    kept = {field: value for field, value in fields.items() if field not in OWN}
    blank = reply.replace(name.encode(), b"NAME")
    for own in (fields.get("x-request-id", ""), fields.get("x-sekimori-record", "")):
        blank = blank.replace(own.encode(), b"ID") if own else blank
    return code, kept, blank


PAIRS = [
    # (what somebody else has, what nobody has), of one length
    ("globex-only", "nobody-only"),
    ("globex-llm/globex-only", "nobody-llm/nobody-only"),
    ("globex-llm/tiny", "nobody-llm/tiny"),
    ("initech-anything", "nobodys-anything"),
    ("initech-llm/initech-1", "nobodys-llm/nobodys-1"),
    ("claude-secret-project", "claude-nobody-project"),
    ("reserve/reserved-model", "nobodys/nobodyse-model"),
    ("reserved-model", "nobodyse-model"),
]


async def test_a_foreign_model_is_answered_like_one_that_nobody_has_byte_for_byte(tmp_path: Path) -> None:
    async with place(tmp_path, documents=MORE) as here:
        for foreign, absent in PAIRS:
            assert len(foreign) == len(absent), "the test compares content-length too"
            for make in (
                lambda name: ("POST", CHAT, name, chat(name)),
                lambda name: ("POST", CHAT, name, chat(name, stream=True)),
                lambda name: ("POST", CHAT, name, chat(name, store=True)),  # needs a capability as well
                lambda name: ("POST", MESSAGES, name, question(name)),
                lambda name: ("POST", COUNT, name, {"model": name, "messages": []}),
                lambda name: ("GET", f"/v1/models/{name}", name),
            ):
                theirs, nobodys = await seen(here, *make(foreign)), await seen(here, *make(absent))
                assert theirs == nobodys, foreign
                assert theirs[0] == 404
        assert here.provider.seen == []


async def test_lists_hold_what_the_agent_may_use_and_nothing_else(tmp_path: Path) -> None:
    async with place(tmp_path, documents=MORE) as here:
        for agent, mine in (("acme/x", {"tiny", "small", "acme-only"}), ("globex/z", {"globex-only", "tiny"})):
            code, body = await get(here, "/v1/models", agent=agent)
            assert code == 200
            assert {one["id"] for one in json.loads(body)["data"]} == mine
            code, body = await get(here, "/v1/models", VERSION, agent=agent)
            assert {one["id"] for one in json.loads(body)["data"]} == mine - {"globex-only"}  # in the other dialect
        for query in ("?tenant=globex", "?limit=1000", "?after_id=globex-only", "?all=true", "?owner=operator"):
            code, body = await get(here, f"/v1/models{query}", agent="acme/x")
            assert b"globex" not in body


async def test_no_refusal_names_what_belongs_to_others(tmp_path: Path) -> None:
    """Every way to be refused that an agent has, and in none of them a foreign name, uid or number."""
    async with place(tmp_path, documents=MORE + "---\nkind: Limit\ntenant: acme\nrequestsPerMinute: 1\n") as here:
        uids = [here.running.home.snapshot.uid(f"tenant/{name}") or "" for name in ("globex", "initech")]
        uids += [here.running.home.snapshot.uid("agent/globex/z") or ""]
        assert all(uids)
        bodies: list[tuple[str, Any]] = [
            (CHAT, chat("nobody-has-it")), (CHAT, chat("small/tiny")), (CHAT, chat("")), (CHAT, chat("house/")),
            (CHAT, {"model": 1}), (CHAT, {}), (CHAT, []), (CHAT, chat(nope=1)), (CHAT, chat(store=True)),
            (CHAT, chat("acme-only", previous_response_id="resp_globex")), (MESSAGES, question("acme-only")),
            (MESSAGES, {"model": "tiny"}), (COUNT, question("nobody")), (CHAT, chat()), (CHAT, chat()),
        ]  # fmt: skip
        for path, body in bodies:
            code, headers, reply = await here.post("acme/x", body, path, VERSION)
            text = json.dumps(headers).encode() + reply
            for tale in ("globex", "initech", "clients/globex", "operator/", *uids):
                assert tale.encode() not in text.replace(b"resp_globex", b""), (path, body)
            assert code == 200 or code >= 400
        assert len(here.provider.seen) == 1


async def test_keys_of_others_that_end_or_are_suspended_look_alike_from_outside(tmp_path: Path) -> None:
    """Who holds no key of a tenant learns nothing of whether the tenant, its agents or its providers exist."""
    async with place(tmp_path, documents=MORE) as here:
        replies = set()
        for headers in ([], [(b"x-tenant", b"globex")], [(b"x-tenant", b"nobody")], [(b"x-agent", b"globex/z")]):
            for path in (CHAT, "/v1/models", "/v1/models/globex-only", "/v1/models/nobody-only"):
                method = "POST" if path == CHAT else "GET"
                code, _, body = await here.send(method, path, headers, b"{}" if method == "POST" else b"")
                replies.add((code, body))
        assert len(replies) == 1
        doors = {
            (await get(here, path))[0] for path in ("/globex", "/nobody", "/globex/v1/models", "/t/globex/v1/models")
        }
        assert doors == {404}


async def test_a_tenants_own_record_and_reply_headers_hold_no_foreign_name(tmp_path: Path) -> None:
    async with place(tmp_path, documents=MORE) as here:
        for _ in range(3):
            await here.post("globex/z", chat("globex-only"))
            code, headers, _ = await here.post("acme/x", chat())
            assert code == 200
            assert "globex" not in json.dumps(headers)
        _, headers, _ = await here.post("globex/z", chat("tiny"))
        assert headers["x-sekimori-key"] == "operator", "the names of the operator's keys are his own affair"
        for log, foreign in (("acme", ("globex", "initech")), ("globex", ("acme", "initech"))):
            for one in await here.entries(log):
                for name in foreign:
                    assert name not in repr(one.payload), f"{log}'s log names {name}"
        assert {one.leaf.tenant for one in await here.entries("acme")} == {
            here.running.home.snapshot.uid("tenant/acme")
        }


async def test_figures_are_for_the_operators_listener_alone(tmp_path: Path) -> None:
    async with place(tmp_path, documents=MORE) as here:
        await here.post("globex/z", chat("globex-only"))
        for path in (
            "/metrics",
            "/v1/usage",
            "/v1/organization/usage",
            "/stats",
            "/debug/pprof",
            "/config",
            "/openapi.json",
        ):
            code, body = await get(here, path, agent="acme/x")
            assert code == 404
            assert b"globex" not in body
        for path in ("/healthz", "/readyz"):
            code, body = await get(here, path)
            assert (code, body) == (200, b'{"status":"ok"}')
        assert b"globex" in (await control(here, "/metrics"))[1]
