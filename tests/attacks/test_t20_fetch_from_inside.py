"""T20: a caller has the provider fetch from where nobody outside should reach, or carry things out in a URL.

Not a byte of such a fetch passes through us, so it is decided before the ask leaves: each URL, wherever it stands, must
be on the list that an Egress document keeps for the agent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sekimori.errors import REASONS
from sekimori.ledger import entry
from tests.attacks.attacker import CHAT, MESSAGES, VERSION, code_of
from tests.flows.place import Place, place
from tests.policy.test_egress import INSIDE, in_anthropic, in_openai

GRANTED = """
kind: Agent
tenant: acme
name: x
models: [tiny]
capabilities: [images_by_url, remote_mcp, web_fetch]
"""
LISTED = "---\n{kind: Egress, tenant: acme, allow: [{host: images.example.com}]}\n"
SECRET = "token=c2VjcmV0LW9mLWFjbWU"


async def send(here: Place, more: dict[str, Any], path: str) -> tuple[int, bytes]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], **more}
    if path == MESSAGES:
        body["max_tokens"] = 9
    status, _, answer = await here.post("acme/x", body, path, *([VERSION] if path == MESSAGES else []))
    return status, answer


def everywhere(url: str) -> list[tuple[str, dict[str, Any]]]:
    return [*((CHAT, more) for more in in_openai(url)), *((MESSAGES, more) for more in in_anthropic(url))]


@pytest.mark.parametrize("url", INSIDE)
async def test_nothing_inside_is_fetched_from_any_place(tmp_path: Path, url: str) -> None:
    async with place(tmp_path, documents=GRANTED + LISTED) as here:
        for path, more in everywhere(url):
            status, body = await send(here, more, path)
            assert status == 403, (path, more, body)
        assert not here.provider.seen, "nothing of it reached the provider"
        reasons = {one.reason for one in await here.of_kind("acme", entry.REFUSED)}
        assert reasons == {REASONS["url_forbidden"][0]}


@pytest.mark.parametrize("url", INSIDE)
async def test_nothing_inside_is_fetched_by_way_of_the_further_operations(tmp_path: Path, url: str) -> None:
    parts = [[{"type": "image_url", "image_url": image}] for image in (url, {"url": url})]
    asked: list[tuple[str, dict[str, Any], str]] = [
        *(("/v1/moderations", {"input": part}, "url_forbidden") for part in parts),
        ("/v1/completions", {"prompt": "x", "guided_json": {"$ref": url}}, "url_forbidden"),
        ("/v1/completions", {"prompt": [{"image_url": url}]}, "bad_request"),
        ("/v1/rerank", {"query": "q", "documents": [{"image": url}]}, "unknown_field"),
        ("/v1/rerank", {"query": {"image": url}, "documents": ["a"]}, "bad_request"),
        ("/v1/images/generations", {"prompt": "x", "image": url}, "unknown_field"),
    ]
    async with place(tmp_path, documents=GRANTED + LISTED) as here:
        for path, more, reason in asked:
            status, _, body = await here.post("acme/x", {"model": "tiny", **more}, path)
            assert (status, code_of(body)) == (403 if reason == "url_forbidden" else 400, reason), (path, more)
        assert not here.provider.seen, "nothing of it reached the provider"


async def test_a_host_that_is_not_listed_carries_nothing_out(tmp_path: Path) -> None:
    async with place(tmp_path, documents=GRANTED + LISTED) as here:
        for path, more in everywhere(f"https://collector.example.net/x?{SECRET}"):
            status, body = await send(here, more, path)
            assert status == 403
            assert SECRET.encode() not in body
        assert not here.provider.seen
        for one in await here.entries("acme"):
            assert SECRET not in str(one.payload), "the record holds the host and the place, never the query"
        assert SECRET.encode() not in here.log.getvalue()
        [first, *_] = await here.of_kind("acme", entry.REFUSED)
        assert "`messages[0].content[0].image_url.url`" in first.text
        assert "collector.example.net" in first.text


async def test_one_good_url_does_not_vouch_for_the_next(tmp_path: Path) -> None:
    good, bad = "https://images.example.com/x.png", "https://10.0.0.1/x.png"
    async with place(tmp_path, documents=GRANTED + LISTED) as here:
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in (good, bad)]
        status, body = await send(here, {"messages": [{"role": "user", "content": parts}]}, CHAT)
        assert (status, code_of(body)) == (403, "url_forbidden")
        assert "messages[0].content[1]" in json.loads(body)["error"]["message"]
        assert not here.provider.seen
        status, _ = await send(here, {"messages": [{"role": "user", "content": parts[:1]}]}, CHAT)
        assert status == 200


async def test_the_grant_without_a_document_opens_nothing_and_says_which_to_write(tmp_path: Path) -> None:
    async with place(tmp_path, documents=GRANTED) as here:
        for path, more in everywhere("https://images.example.com/x.png"):
            status, body = await send(here, more, path)
            assert status == 403
            assert b"Egress document" in body
        assert not here.provider.seen


async def test_a_list_that_is_taken_back_binds_the_next_call(tmp_path: Path) -> None:
    more = in_openai("https://images.example.com/x.png")[0]
    async with place(tmp_path, documents=GRANTED + LISTED) as here:
        assert (await send(here, more, CHAT))[0] == 200
        await here.apply("{kind: Egress, tenant: acme, allow: []}")
        status, body = await send(here, more, CHAT)
        assert (status, code_of(body)) == (403, "url_forbidden")
        assert len(here.provider.seen) == 1
