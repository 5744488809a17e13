"""What makes two calls one conversation."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from sekimori.terms import Ask, Tags
from sekimori.upstream.conversation import conversation
from tests.policy.worlds import ask, principal

ME = principal("acme", "x")


def said(tags: Tags | None = None, model: str = "fast", **members: Any) -> Ask:
    raw = {name: Raw(msgspec.json.encode(value)) for name, value in members.items()}
    return replace(ask(model), members=raw, tags=tags or Tags())


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


SYSTEM, FIRST, ANSWER, SECOND = turn("system", "s"), turn("user", "one"), turn("assistant", "a"), turn("user", "two")


def test_a_conversation_is_known_by_how_it_opens() -> None:
    start = conversation(ME, said(messages=[SYSTEM, FIRST]))
    assert start
    assert conversation(ME, said(messages=[SYSTEM, FIRST, ANSWER, SECOND], temperature=1)) == start
    assert conversation(ME, said(messages=[SYSTEM, SECOND])) != start
    assert conversation(ME, said(messages=[turn("system", "other"), FIRST])) != start
    assert conversation(ME, said(messages=[FIRST, ANSWER], system="s")) == conversation(
        ME, said(messages=[FIRST], system="s")
    )
    assert conversation(ME, said(messages=[FIRST], system="s")) != conversation(ME, said(messages=[FIRST]))
    gemini = {"role": "user", "parts": [{"text": "x"}]}
    assert conversation(ME, said(contents=[gemini, ANSWER])) == conversation(ME, said(contents=[gemini]))
    assert conversation(ME, said(input="all of it")) == conversation(ME, said(input="all of it"))


def test_what_the_caller_names_comes_first() -> None:
    session = Tags(session="s-1")
    one = conversation(ME, said(session, messages=[FIRST], prompt_cache_key="k"))
    assert one == conversation(ME, said(session, messages=[SECOND], prompt_cache_key="l"))
    assert one != conversation(ME, said(Tags(session="s-2"), messages=[FIRST]))
    key = conversation(ME, said(messages=[FIRST], prompt_cache_key="k"))
    assert key == conversation(ME, said(messages=[SECOND], prompt_cache_key="k"))
    assert key != one


def test_tenant_agent_and_model_are_part_of_it() -> None:
    of = said(Tags(session="s"))
    found = {
        conversation(ME, of),
        conversation(principal("globex", "z"), of),
        conversation(principal("acme", "y"), of),
        conversation(ME, replace(of, model="slow")),
    }
    assert len(found) == 4


def test_an_ask_that_shows_none_has_none() -> None:
    assert conversation(ME, said(temperature=1)) == b""


@given(st.binary(max_size=200))
def test_no_turns_are_too_odd(turns: bytes) -> None:
    found = conversation(ME, replace(ask("m"), members={"messages": Raw(turns)}))
    assert found == conversation(ME, replace(ask("m"), members={"messages": Raw(turns)}))
    assert len(found) == 16
