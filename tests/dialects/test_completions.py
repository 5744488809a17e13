"""Reading and writing legacy completions: what an ask may hold, what travels, what replies say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sekimori.dialects import completions
from sekimori.errors import Refused
from sekimori.terms import Ask


def read(**members: Any) -> Ask:
    return completions.read_ask("completions", json.dumps({"model": "m", "prompt": "x", **members}).encode(), [])


PROMPTS: list[tuple[Any, int]] = [
    ("hello", 1), ("", 1), (None, 1), ([], 1), (["a"], 1), (["a", "b", "c"], 3), ([1, 2, 3], 1), ([[1, 2], [3]], 2),
    (["a", [1]], 2),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "answers"), PROMPTS)
def test_reads_texts_and_token_numbers(prompt: Any, answers: int) -> None:
    ask = read(prompt=prompt, max_tokens=10)
    assert (ask.dialect, ask.operation, ask.model, ask.stream) == ("openai", "completions", "m", False)
    assert (ask.needs, ask.fetches, ask.objects) == (frozenset(), (), ())
    assert (ask.answers, ask.output_cap) == (answers, 10 * answers)
    assert json.loads(bytes(ask.members["prompt"])) == prompt


def test_every_answer_that_is_made_is_bounded() -> None:
    assert read(prompt=["a", "b"], n=3, max_tokens=5).output_cap == 30
    assert read(prompt=["a", "b"], n=1, best_of=20, max_tokens=5).output_cap == 200
    assert (read(n=7).output_cap, read(n=7).answers) == (None, 7)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": 5}, "bad_request", "`prompt`"),
    ({"prompt": {"text": "x"}}, "bad_request", "`prompt`"),
    ({"prompt": [{"prompt_embeds": "gAAB"}]}, "bad_request", "`prompt[0]`"),
    ({"prompt": [True]}, "bad_request", "`prompt[0]`"),
    ({"prompt": [1, "a"]}, "bad_request", "`prompt`"),
    ({"prompt": [[1, "a"]]}, "bad_request", "`prompt[0][1]`"),
    ({"prompt": ["a"] * 4097}, "bad_request", "at most 4096"),
    ({"n": 0}, "bad_request", "`n`"),
    ({"best_of": "2"}, "bad_request", "`best_of`"),
    ({"max_tokens": -1}, "bad_request", "`max_tokens`"),
    ({"stream": 1}, "bad_request", "`stream`"),
    ({"stream_options": True}, "bad_request", "`stream_options`"),
    ({"model": None}, "bad_request", "`model`"),
    ({"Prompt": "x"}, "unknown_field", "`Prompt`"),
    ({"models": ["a"]}, "unknown_field", "`models` is not carried"),
    ({"data_sources": []}, "unknown_field", "`data_sources` is not carried"),
]


@pytest.mark.parametrize(("members", "reason", "says"), REFUSED)
def test_refuses_naming_the_place(members: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**members)
    assert refused.value.reason == reason
    assert says in refused.value.text


def test_many_token_numbers_are_one_prompt() -> None:
    assert read(prompt=list(range(5000))).answers == 1


def test_what_is_not_listed_needs_a_grant() -> None:
    for name in ("prompt_embeds", "id_slot", "messages", "tools"):
        assert read(**{name: "x"}).needs == {"unknown_fields"}
    ask = read(guided_json={"$ref": "http://h/schema"})
    assert (ask.needs, ask.fetches) == ({"images_by_url"}, (("http://h/schema", "guided_json.$ref"),))


def test_a_stream_is_asked_for_its_usage() -> None:
    ask = read(stream=True, prompt=["a"])
    body = json.loads(completions.upstream_body(ask, "m2", include_usage=True))
    assert body == {"model": "m2", "prompt": ["a"], "stream": True, "stream_options": {"include_usage": True}}
    assert not ask.wants_usage_event
    assert read(stream=True, stream_options={"include_usage": True}).wants_usage_event
    plain = json.loads(completions.upstream_body(read(model="house/m"), "m"))
    assert plain == {"model": "m", "prompt": "x"}


def test_a_stream_of_text_is_read_like_one_of_a_chat() -> None:
    stream = completions.Stream(hide_usage=True)
    text = b'data: {"object":"text_completion","choices":[{"text":"a","index":0}],"usage":null}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}\n\n'
    assert stream.feed(text + usage + b"data: [DONE]\n\n") == text
    assert stream.complete
    assert stream.usage is not None
    assert (stream.usage.input, stream.usage.output) == (3, 1)
