"""Tokens of a text, the bound of a reply in every dialect, and an ask that is made to fit."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from sekimori.guard.length import cap_of, estimated, shortened, tokens, vocabulary_of
from sekimori.terms import Dialect, Operation


def raws(value: dict[str, Any]) -> dict[str, Raw]:
    return msgspec.json.decode(json.dumps(value).encode(), type=dict[str, Raw])


def plain(members: dict[str, Raw]) -> dict[str, Any]:
    return {name: json.loads(bytes(raw)) for name, raw in members.items()}


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("openai/gpt-5.1", "o200k_base"),
        ("o3", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("gpt-oss-20b", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("ft:gpt-4o:acme::x", "o200k_base"),
        ("claude-sonnet-4-5", None),
        ("gemini-2.5-pro", None),
        ("llama-3", None),
        ("olmo", None),
    ],
)
def test_a_model_is_counted_by_its_own_vocabulary_where_it_is_known(model: str, vocabulary: str | None) -> None:
    assert vocabulary_of(model) == vocabulary


def test_tokens_are_those_of_the_vocabulary() -> None:
    assert tokens("", "gpt-4o") == 0
    assert tokens("hello world", "gpt-4o") == 2
    assert tokens("今天天气很好", "gpt-4o") < tokens("今天天气很好", "gpt-4")
    assert tokens("half a pair \ud800", "gpt-4o") > 0


@pytest.mark.parametrize(
    "text",
    [
        "The weather is very fine today, so let us go for a walk in the park and talk about it.",
        "Das Wetter ist heute sehr schön, also gehen wir im Park spazieren und reden darüber.",
        "Сегодня очень хорошая погода, пойдём гулять в парк и поговорим об этом.",
        "今天的天气非常好，我们一起去公园散步，然后谈谈这件事吧。",
        "今日はとても天気がいいので、公園へ散歩に行きましょう。",
        "오늘은 날씨가 아주 좋으니 공원에 산책하러 갑시다.",
        "आज मौसम बहुत अच्छा है, चलो पार्क में टहलने चलते हैं।",
        "الطقس جميل جدا اليوم فلنذهب إلى الحديقة ونتحدث عن ذلك.",
        "วันนี้อากาศดีมาก เราไปเดินเล่นที่สวนสาธารณะกันเถอะ",
        "for (int i = 0; i < n; i++) { x[i] += y[i] * 2; }",
    ],
)
def test_the_estimate_counts_rather_too_much(text: str) -> None:
    assert tokens(text, "gpt-4o") <= estimated(text) <= 8 * tokens(text, "gpt-4o")


CAPS: list[tuple[Dialect, Operation, dict[str, Any], dict[str, Any]]] = [
    ("openai", "chat", {}, {"max_completion_tokens": 100}),
    ("openai", "chat", {"max_tokens": 500}, {"max_tokens": 100}),
    ("openai", "chat", {"max_tokens": 50}, {}),
    ("openai", "chat", {"max_tokens": None}, {"max_completion_tokens": 100}),
    ("openai", "chat", {"max_completion_tokens": 101}, {"max_completion_tokens": 100}),
    ("openai", "chat", {"max_completion_tokens": 100}, {}),
    ("openai", "chat", {"max_completion_tokens": 10, "max_tokens": 900}, {"max_tokens": 100}),
    ("openai", "chat", {"n": 4}, {"max_completion_tokens": 25}),
    ("openai", "responses", {}, {"max_output_tokens": 100}),
    ("openai", "responses", {"max_output_tokens": 99}, {}),
    ("anthropic", "chat", {"max_tokens": 4096}, {"max_tokens": 100}),
    ("anthropic", "chat", {"max_tokens": 12}, {}),
    ("gemini", "chat", {}, {"generationConfig": {"maxOutputTokens": 100}}),
    (
        "gemini",
        "chat",
        {"generationConfig": {"temperature": 0.5, "maxOutputTokens": 800}},
        {"generationConfig": {"temperature": 0.5, "maxOutputTokens": 100}},
    ),
    (
        "gemini",
        "chat",
        {"generation_config": {"max_output_tokens": 800, "candidate_count": 2}},
        {"generation_config": {"max_output_tokens": 50, "candidate_count": 2}},
    ),
    ("gemini", "chat", {"generationConfig": {"maxOutputTokens": 7}}, {}),
    ("openai", "embeddings", {}, {}),
    ("anthropic", "count_tokens", {}, {}),
]


@pytest.mark.parametrize(("dialect", "operation", "members", "edit"), CAPS)
def test_the_provider_is_asked_for_no_more(
    dialect: Dialect, operation: Operation, members: dict[str, Any], edit: dict[str, Any]
) -> None:
    assert plain(cap_of(dialect, operation, raws(members), 100)) == edit


def words(text: str) -> int:
    return len(text.split())


def short(
    name: str, items: Any, most: int, dialect: Dialect = "openai", operation: Operation = "chat", **others: Any
) -> tuple[Any, int] | None:
    told = shortened(raws({"model": "m", **others, name: items}), dialect, operation, most, words)
    return None if told is None else (plain(told[0])[name], told[1])


SYSTEM = {"role": "system", "content": "s s"}


def said(role: str, size: int, mark: str = "w") -> dict[str, Any]:
    return {"role": role, "content": " ".join([mark] * size)}


def call(name: str) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": "c",
        "tool_calls": [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


def result(name: str, size: int = 5) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": name, "content": " ".join(["r"] * size)}


def test_what_fits_stays_as_it_is() -> None:
    messages = [SYSTEM, said("user", 3), said("assistant", 3), said("user", 2)]
    assert short("messages", messages, 10) == (messages, 0)


def test_the_oldest_turns_go_and_the_system_message_and_the_last_of_the_user_stay() -> None:
    messages = [SYSTEM, said("user", 3), said("assistant", 3), said("user", 2), said("assistant", 2), said("user", 1)]
    assert short("messages", messages, 7) == ([SYSTEM, *messages[3:]], 2)
    assert short("messages", messages, 3) == ([SYSTEM, messages[5]], 4)
    assert short("messages", messages, 2) is None


def test_a_call_of_a_tool_goes_with_its_results() -> None:
    turn = [said("user", 1), call("a"), call("b"), result("a"), result("b"), said("assistant", 1)]
    messages = [*turn, said("user", 1)]
    assert short("messages", messages, 5) == ([messages[-1]], 6)


def test_behind_the_last_message_of_the_user_the_oldest_calls_go() -> None:
    ask = said("user", 2)
    messages = [SYSTEM, ask, call("a"), result("a"), call("b"), result("b"), call("c"), result("c", 2)]
    told = short("messages", messages, 22)
    assert told == ([SYSTEM, ask, *messages[4:]], 2)
    told = short("messages", messages, 12)
    assert told == ([SYSTEM, ask, *messages[6:]], 4)
    assert short("messages", messages, 5) is None, "the last result is what the model is asked about"


def test_items_of_the_responses_dialect() -> None:
    items = [
        {"role": "user", "content": "a a a"},
        {"type": "reasoning", "id": "x", "summary": []},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "r r r"},
        {"type": "message", "role": "assistant", "content": "ok"},
        {"role": "user", "content": "b b"},
    ]
    assert short("input", items, 4, operation="responses") == ([items[5]], 5)
    assert short("input", "a b c", 2, operation="responses") is None
    assert short("input", "a b c", 3, operation="responses") == ("a b c", 0)


def test_anthropic_blocks() -> None:
    messages = [
        {"role": "user", "content": "a a"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "r r r r"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "done"}]},
        {"role": "user", "content": [{"type": "text", "text": "b b"}]},
    ]
    assert short("messages", messages, 4, "anthropic", system="s s") == ([messages[4]], 4)
    assert short("messages", messages, 3, "anthropic", system="s s") is None


def test_gemini_contents() -> None:
    contents = [
        {"role": "user", "parts": [{"text": "a a a"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"x": "r r r"}}}]},
        {"role": "model", "parts": [{"text": "done"}]},
        {"role": "user", "parts": [{"text": "b"}]},
    ]
    assert short("contents", contents, 2, "gemini") == ([contents[4]], 4)


KINDS = st.lists(st.sampled_from(["user", "assistant", "call", "system"]), min_size=1, max_size=10)


@settings(max_examples=300, deadline=None)
@given(KINDS, st.integers(0, 40))
def test_whatever_goes_the_rest_fits_and_no_call_loses_its_result(kinds: list[str], most: int) -> None:
    messages: list[dict[str, Any]] = []
    for number, kind in enumerate(kinds):
        if kind == "call":
            messages += [call(str(number)), result(str(number), 3)]
        else:
            messages.append(said(kind, 2, str(number)))
    told = short("messages", messages, most)
    if told is None:
        return
    kept, gone = told
    assert len(kept) == len(messages) - gone
    assert [one for one in messages if one["role"] == "system"] == [one for one in kept if one["role"] == "system"]
    users = [one for one in messages if one["role"] == "user"]
    assert not users or users[-1] in kept
    calls = [one["tool_calls"][0]["id"] for one in kept if "tool_calls" in one]
    assert calls == [one["tool_call_id"] for one in kept if one["role"] == "tool"]
    if gone and users:
        others = [one for one in kept if one["role"] != "system"]
        assert others[0]["role"] == "user"
    count = shortened(raws({"messages": kept}), "openai", "chat", most, words)
    assert count is not None
    assert count[1] == 0
