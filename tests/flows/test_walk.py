"""The walk, call by call: what is answered, what is recorded, in which order."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sekimori.errors import Fault
from sekimori.http.client import Deadlines
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from sekimori.terms import Origin
from tests.flows.place import (
    DONE,
    EVENTS,
    JSON,
    SECRETS,
    USAGE_EVENT,
    answer_well,
    chat,
    chunk,
    completion,
    place,
    serving,
    status,
)

MESSAGE = {
    "id": "m-1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "hi"}],
    "model": "tiny",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 4, "output_tokens": 2, "cache_read_input_tokens": 6},
}


async def test_a_plain_call_is_answered_metered_and_recorded(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        code, headers, body = await here.post("acme/x", chat(text="what"))
        assert code == 200
        assert body == completion()
        assert headers["x-sekimori-key"] == "clients/acme/own"
        assert here.provider.keys() == [SECRETS["clients/acme/own"]]
        [(path, sent, seen)] = here.provider.seen
        assert path == "/v1/chat/completions"
        assert seen == chat(text="what")
        assert here.keys["acme/x"].encode() not in str(sent).encode()

        shown = await here.shown(headers["x-sekimori-record"])
        assert shown[0]["kind"] == "Decided"
        [decided] = await here.of_kind("acme", entry.DECIDED)
        [settled] = await here.of_kind("acme", entry.SETTLED)
        [used] = await here.of_kind("acme", entry.KEY_USED)
        assert (decided.provider, decided.key, decided.position) == ("house", "clients/acme/own", "primary")
        assert decided.credential == here.key_ids["acme/x"]
        assert {(check.status, check.passed, check.reason) for check in decided.verdict.checks} == {
            ("skipped", None, "off")
        }
        assert (settled.outcome, settled.status, settled.reason) == ("answered", 200, None)
        assert (settled.usage.input, settled.usage.output, settled.usage.estimated) == (7, 3, False)
        assert settled.released_bytes == len(body)
        assert settled.cost_nano is None  # a compatible server has no price, and the record does not invent one
        assert (used.key, used.key_version, used.usage) == ("clients/acme/own", 1, settled.usage)


async def test_a_stream_is_handed_on_byte_for_byte_without_the_usage_event_that_we_asked_for(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        code, headers, body = await here.post("acme/x", chat(stream=True))
        assert code == 200
        assert headers["content-type"] == "text/event-stream"
        assert body == chunk("one ") + chunk("two ") + chunk("three") + DONE
        assert here.provider.seen[0][2]["stream_options"] == {"include_usage": True}
        code, _, body = await here.post("acme/x", chat(stream=True, stream_options={"include_usage": True}))
        assert body == chunk("one ") + chunk("two ") + chunk("three") + USAGE_EVENT + DONE
        settled = await here.of_kind("acme", entry.SETTLED)
        assert [one.usage.input for one in settled] == [7, 7]
        assert [one.usage.estimated for one in settled] == [False, False]


async def test_the_anthropic_dialect_plain_and_counting(tmp_path: Path) -> None:
    async def message(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(200, [JSON], json.dumps(MESSAGE).encode())

    async def count(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(200, [JSON], b'{"input_tokens":11}')

    async with place(tmp_path) as here:
        here.provider.script = [message, count]
        body = {"model": "tiny", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
        version = (b"anthropic-version", b"2023-06-01")
        code, _headers, reply = await here.post("acme/x", body, "/v1/messages", version)
        assert (code, json.loads(reply)) == (200, MESSAGE)
        del body["max_tokens"]
        code, _, reply = await here.post("acme/x", body, "/v1/messages/count_tokens", version)
        assert (code, json.loads(reply)) == (200, {"input_tokens": 11})
        assert [path for path, _, _ in here.provider.seen] == ["/v1/messages", "/v1/messages/count_tokens"]
        first, second = await here.of_kind("acme", entry.SETTLED)
        assert (first.usage.input, first.usage.cached, first.usage.output) == (10, 6, 2)
        assert second.outcome == "answered"


async def test_nothing_leaves_before_decided_and_the_last_byte_waits_for_settled(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        ledger = here.running.home.ledger
        acme = here.running.home.snapshot.uid("tenant/acme")
        open_at_arrival: list[int] = []

        async def look(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            before = await here.entries("acme")
            open_at_arrival.append(sum(one.leaf.kind == entry.DECIDED for one in before))
            assert all(one.leaf.kind != entry.SETTLED for one in before)
            await answer_well(request, reply, body)

        here.provider.script = [look]
        write, held, go = ledger.write, asyncio.Event(), asyncio.Event()

        async def slow(*drafts: Any) -> list[str]:
            if any(draft.kind == entry.SETTLED for draft in drafts):
                held.set()
                await go.wait()
            return await write(*drafts)

        ledger.write = slow  # type: ignore[method-assign]
        origin = Origin("http", "127.0.0.1", here.running.gateway_port)
        fields = [(b"authorization", b"Bearer " + here.keys["acme/x"].encode()), JSON]
        data = json.dumps(chat(stream=True)).encode()
        response = await here._pool.request(origin, "t", "POST", "/v1/chat/completions", fields, data, Deadlines())
        await asyncio.wait_for(held.wait(), 10)
        got = b""
        while DONE not in got and len(got) < len(chunk("one ") + chunk("two ") + chunk("three")):
            got += await asyncio.wait_for(response.read(), 10)
        assert DONE not in got, "the last event was released before Settled was durable"
        go.set()
        got += await asyncio.wait_for(response.read_all(10_000), 10)
        assert got.endswith(DONE)
        ledger.write = write  # type: ignore[method-assign]
        assert open_at_arrival == [1]
        assert acme is not None


async def test_fallback_takes_the_second_key_and_says_so(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        here.provider.script = [status(429, "slow down", (b"retry-after", b"7"))]
        code, headers, _ = await here.post("acme/x", chat())
        assert code == 200
        assert headers["x-sekimori-key"] == "operator"
        assert here.provider.keys() == [SECRETS["clients/acme/own"], SECRETS["operator/house"]]
        decided = await here.of_kind("acme", entry.DECIDED)
        settled = await here.of_kind("acme", entry.SETTLED)
        used = await here.of_kind("acme", entry.KEY_USED)
        assert [one.position for one in decided] == ["primary", "fallback"]
        assert [(one.outcome, one.status) for one in settled] == [("yielded", 429), ("answered", 200)]
        assert [one.key for one in used] == ["clients/acme/own", "operator/house"]


async def test_an_error_as_first_event_yields_too(tmp_path: Path) -> None:
    async def overloaded(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.start(200, [EVENTS])
        await reply.finish(b'data: {"error":{"message":"busy","type":"overloaded_error","code":"529"}}\n\n')

    async with place(tmp_path) as here:
        here.provider.script = [overloaded]
        code, headers, body = await here.post("acme/x", chat(stream=True))
        assert (code, headers["x-sekimori-key"]) == (200, "operator")
        assert body.endswith(DONE)


async def test_without_a_fallback_the_providers_limit_is_the_answer(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        here.provider.script = [status(429, f"limit of {SECRETS['clients/acme/own']}", (b"retry-after", b"7"))]
        code, headers, body = await here.post("acme/y", chat())
        assert code == 429
        assert headers["retry-after"] == "7"
        assert json.loads(body)["error"]["code"] == "upstream_rate_limited"
        assert len(here.provider.seen) == 1
        [settled] = await here.of_kind("acme", entry.SETTLED)
        assert (settled.outcome, settled.status) == ("answered", 429)


@pytest.mark.parametrize("code", [500, 502, 400, 401, 403, 404, 302])
async def test_what_policy_does_not_name_never_moves_a_call_on(tmp_path: Path, code: int) -> None:
    async with place(tmp_path) as here:
        here.provider.script = [
            status(code, f"no: key {SECRETS['clients/acme/own']} of org-1234567", (b"location", b"http://127.0.0.1/"))
        ]
        answered, headers, body = await here.post("acme/x", chat())
        assert answered >= 400
        assert len(here.provider.seen) == 1, "the call went on to another key, or followed a redirect"
        assert "location" not in headers
        assert b"org-1234567" not in body


async def test_after_the_first_byte_there_is_no_second_key(tmp_path: Path) -> None:
    released = asyncio.Event()

    async def breaks(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.start(200, [EVENTS])
        await reply.write(chunk("one "))
        await released.wait()
        await reply.write(b'data: {"error":{"message":"overloaded","type":"overloaded_error"}}\n\n')
        await reply.finish()

    async with place(tmp_path) as here:
        here.provider.script = [breaks]
        origin = Origin("http", "127.0.0.1", here.running.gateway_port)
        fields = [(b"authorization", b"Bearer " + here.keys["acme/x"].encode()), JSON]
        data = json.dumps(chat(stream=True)).encode()
        response = await here._pool.request(origin, "t", "POST", "/v1/chat/completions", fields, data, Deadlines())
        body = await asyncio.wait_for(response.read(), 10)
        assert (response.status, body) == (200, chunk("one "))
        released.set()
        body += await asyncio.wait_for(response.read_all(10_000), 10)
        last = json.loads(body.split(b"data: ")[-1])
        assert last["error"]["code"] == "upstream_overloaded"
        assert DONE not in body
        assert len(here.provider.seen) == 1
        [settled] = await here.of_kind("acme", entry.SETTLED)
        assert settled.outcome == "interrupted"
        assert settled.usage.estimated


async def test_a_truncated_stream_ends_with_an_error_event_and_estimated_usage(tmp_path: Path) -> None:
    async def truncated(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.start(200, [EVENTS])
        await reply.write(chunk("one "))
        await asyncio.sleep(0.05)
        reply.abort()

    async with place(tmp_path) as here:
        here.provider.script = [truncated]
        _, _, body = await here.post("acme/x", chat(stream=True))
        assert json.loads(body.split(b"data: ")[-1])["error"]["code"] == "upstream_truncated"
        [settled] = await here.of_kind("acme", entry.SETTLED)
        assert settled.outcome == "interrupted"
        assert settled.usage.estimated
        assert settled.usage.output > 0


async def test_a_caller_that_leaves_cancels_the_provider_and_is_settled(tmp_path: Path) -> None:
    async def endless(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.start(200, [EVENTS])
        while True:
            await reply.write(chunk("word "))
            await asyncio.sleep(0.01)

    async with place(tmp_path) as here:
        here.provider.script = [endless]
        origin = Origin("http", "127.0.0.1", here.running.gateway_port)
        fields = [(b"authorization", b"Bearer " + here.keys["acme/x"].encode()), JSON]
        data = json.dumps(chat(stream=True)).encode()
        response = await here._pool.request(origin, "t", "POST", "/v1/chat/completions", fields, data, Deadlines())
        assert await asyncio.wait_for(response.read(), 10)
        response.abort()
        await asyncio.wait_for(here.provider.left.wait(), 10)
        await here.settled()
        [settled] = await here.of_kind("acme", entry.SETTLED)
        assert settled.outcome == "aborted"
        assert settled.usage.estimated
        assert len(await here.of_kind("acme", entry.KEY_USED)) == 1


async def test_a_caller_that_leaves_before_the_answer_is_settled_too(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def silent(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        arrived.set()
        await asyncio.sleep(60)

    async with place(tmp_path) as here:
        here.provider.script = [silent]
        call = asyncio.create_task(here.post("acme/x", chat()))
        await asyncio.wait_for(arrived.wait(), 10)
        call.cancel()
        await asyncio.wait_for(here.provider.left.wait(), 10)
        await here.settled()
        [settled] = await here.of_kind("acme", entry.SETTLED)
        assert (settled.outcome, settled.status) == ("aborted", None)


async def test_the_loan_of_a_key_ends_when_the_request_is_sent(tmp_path: Path) -> None:
    loans: list[Any] = []
    held: list[bool] = []

    async def looks(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        held.append(loans[-1]._held is not None)
        await answer_well(request, reply, body)

    async with place(tmp_path) as here:
        keys = here.running.home.keys
        lend = keys.lend

        def watched(*arguments: Any) -> Any:
            loans.append(lend(*arguments))
            return loans[-1]

        keys.lend = watched  # type: ignore[method-assign]
        here.provider.script = [looks]
        assert (await here.post("acme/x", chat()))[0] == 200
        keys.lend = lend  # type: ignore[method-assign]
        assert held == [False], "the key was still on loan while the provider was thinking"


async def test_a_call_that_cannot_be_recorded_never_leaves(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        ledger = here.running.home.ledger
        write = ledger.write

        async def full(*drafts: Any) -> list[str]:
            raise Fault("ledger_unavailable", "The disk is full.", advice="Free space.")

        ledger.write = full  # type: ignore[method-assign]
        code, _, body = await here.post("acme/x", chat())
        refused, _, said = await here.post("acme/x", chat("nope"))
        ledger.write = write  # type: ignore[method-assign]
        assert code == refused == 503
        assert json.loads(body)["error"]["code"] == json.loads(said)["error"]["code"] == "ledger_unavailable"
        assert here.provider.seen == []


async def test_a_reply_whose_settlement_cannot_be_written_is_not_released(tmp_path: Path) -> None:
    async with place(tmp_path, check=False) as here:
        ledger = here.running.home.ledger
        write = ledger.write

        async def breaks(*drafts: Any) -> list[str]:
            if any(draft.kind == entry.SETTLED for draft in drafts):
                raise Fault("ledger_unavailable", "The disk is full.")
            return await write(*drafts)

        ledger.write = breaks  # type: ignore[method-assign]
        code, _, body = await here.post("acme/x", chat())
        assert (code, json.loads(body)["error"]["code"]) == (503, "ledger_unavailable")
        with pytest.raises(Exception, match="upstream_truncated"):
            await here.post("acme/x", chat(stream=True))
        ledger.write = write  # type: ignore[method-assign]
    async with serving(here):
        outcomes = [one.outcome for one in await here.of_kind("acme", entry.SETTLED)]
        assert outcomes == ["interrupted", "interrupted"]
        await here.check_invariants()


async def test_a_revoked_key_does_not_live_for_one_more_request(tmp_path: Path) -> None:
    from sekimori.control.arguments import Revoke

    async with place(tmp_path) as here:
        assert (await here.post("acme/x", chat()))[0] == 200
        await here.verb("apikey revoke", Revoke(id=here.key_ids["acme/x"]))
        code, headers, _body = await here.post("acme/x", chat())
        assert code == 401
        assert headers["x-should-retry"] == "false"
        assert len(here.provider.seen) == 1
        refused = await here.of_kind("operator", entry.REFUSED)
        assert [one.status for one in refused] == [401]


async def test_limits_bite_exactly_and_say_when_to_come_back(tmp_path: Path) -> None:
    limit = "kind: Limit\ntenant: acme\nagent: x\nrequestsPerMinute: 3\n"
    async with place(tmp_path, documents=limit) as here:
        replies = await asyncio.gather(*(here.post("acme/x", chat()) for _ in range(12)))
        assert sorted(code for code, _, _ in replies) == [200] * 3 + [429] * 9
        assert len(here.provider.seen) == 3
        refused = next(headers for code, headers, _ in replies if code == 429)
        assert 0 < int(refused["retry-after"]) <= 61
        assert refused["x-ratelimit-limit-requests"] == "3"
        assert refused["x-ratelimit-remaining-requests"] == "0"
        records = {headers["x-sekimori-record"] for code, headers, _ in replies if code == 429}
        assert len(records) == 1, "repeats carry the id of the first"
        assert (await here.post("acme/y", chat()))[0] == 200
        anthropic = {"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        code, headers, _ = await here.post("acme/x", anthropic, "/v1/messages", (b"anthropic-version", b"2023-06-01"))
        assert code == 429
        assert headers["anthropic-ratelimit-requests-limit"] == "3"
    async with serving(here):
        assert (await here.post("acme/x", chat()))[0] == 429, "a restart opened the window anew"
        counts = sorted(one.count for one in await here.of_kind("acme", entry.REFUSED))
        assert counts == [1, 1, 9]


async def test_a_new_generation_takes_effect_without_dropping_a_call(tmp_path: Path) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def waits(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        arrived.set()
        await go.wait()
        await answer_well(request, reply, body)

    async with place(tmp_path) as here:
        here.provider.script = [waits]
        call = asyncio.create_task(here.post("acme/x", chat()))
        await asyncio.wait_for(arrived.wait(), 10)
        await here.apply("kind: Agent\ntenant: acme\nname: x\nmodels: [small]\n")
        code, _, body = await here.post("acme/x", chat())
        assert (code, json.loads(body)["error"]["code"]) == (403, "model_not_allowed")
        assert (await here.post("acme/x", chat("small")))[0] == 200
        go.set()
        assert (await asyncio.wait_for(call, 10))[0] == 200


async def test_a_fallback_does_not_outlive_its_permission(tmp_path: Path) -> None:
    async with place(tmp_path) as here:

        async def limited(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await here.apply("kind: Route\ntenant: acme\nprovider: house\nkey: clients/acme/own\n")
            await status(429)(request, reply, body)

        here.provider.script = [limited]
        code, _, _ = await here.post("acme/x", chat())
        assert code == 429
        assert here.provider.keys() == [SECRETS["clients/acme/own"]]


async def test_what_another_tenant_has_is_answered_like_what_nobody_has(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        codes = set()
        texts = set()
        for model in ("globex-only", "nobody-has1"):
            code, _headers, body = await here.post("acme/x", chat(model))
            codes.add(code)
            texts.add(body.replace(model.encode(), b"MODEL"))
            listed = await here.send(
                "GET", f"/v1/models/{model}", [(b"authorization", b"Bearer " + here.keys["acme/x"].encode())], b""
            )
            codes.add(listed[0])
        assert codes == {404}
        assert len(texts) == 1
        assert here.provider.seen == []


async def test_a_restart_goes_on_with_the_same_logs(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        assert (await here.post("acme/x", chat()))[0] == 200
    async with serving(here):
        code, _, _ = await here.post("acme/x", chat("nobody-has1"))
        assert code == 404
        await here.check_invariants()
        assert len(await here.of_kind("acme", entry.RUN_OPENED)) == 2
        assert len(await here.of_kind("acme", entry.RUN_CLOSED)) == 1
