"""Reading and writing moderations: what an ask may hold, what travels, what a reply says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sekimori.dialects import moderations
from sekimori.errors import Refused, Upstream
from sekimori.terms import Ask, Usage


def read(**members: Any) -> Ask:
    return moderations.read_ask("moderations", json.dumps({"model": "m", "input": "x", **members}).encode(), [])


def image(url: Any) -> list[Any]:
    return [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": url}]


@pytest.mark.parametrize(
    "given", ["hello", ["a", "b"], [], [{"type": "text", "text": "a"}], image({"url": "data:image/png;base64,AA=="})]
)
def test_reads_texts_and_inline_images(given: Any) -> None:
    ask = read(input=given)
    assert (ask.dialect, ask.operation, ask.model, ask.stream) == ("openai", "moderations", "m", False)
    assert (ask.needs, ask.fetches, ask.objects) == (frozenset(), (), ())
    assert json.loads(bytes(ask.members["input"])) == given


@pytest.mark.parametrize(
    "url", ["https://h/a.png", "http://169.254.169.254/", " data:,x", "file:///etc/passwd", "//h/a"]
)
@pytest.mark.parametrize("plain", [False, True])
def test_an_image_by_url_is_egress(url: str, plain: bool) -> None:
    ask = read(input=image(url if plain else {"url": url}))
    assert ask.needs == {"images_by_url"}
    assert ask.fetches == ((url, "input[1].image_url" + ("" if plain else ".url")),)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"input": None}, "bad_request", "`input`"),
    ({"input": 5}, "bad_request", "`input`"),
    ({"input": {"type": "text", "text": "x"}}, "bad_request", "`input`"),
    ({"input": [5]}, "bad_request", "`input[0]`"),
    ({"input": [{"text": "x"}]}, "bad_request", "`input[0].type`"),
    ({"input": [{"type": "text", "text": ["x"]}]}, "bad_request", "`input[0].text`"),
    ({"input": image(None)}, "bad_request", "`input[1].image_url`"),
    ({"input": image({})}, "bad_request", "`input[1].image_url.url`"),
    ({"input": image({"URL": "http://x/", "url": "data:,"})}, "unknown_field", "`input[1].image_url.URL`"),
    ({"input": [{"type": "Image_url", "image_url": "http://x/"}]}, "unknown_field", "`input[0].type`"),
    ({"model": None}, "bad_request", "`model`"),
    ({"Model": "x"}, "unknown_field", "`Model`"),
    ({"models": ["a"]}, "unknown_field", "`models` is not carried"),
]


@pytest.mark.parametrize(("members", "reason", "says"), REFUSED)
def test_refuses_naming_the_place(members: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**members)
    assert refused.value.reason == reason
    assert says in refused.value.text


def test_what_is_not_listed_needs_a_grant() -> None:
    for more in ({"threshold": 1}, {"input": [{"type": "video_url"}]}, {"input": image({"url": "data:,", "id": "f"})}):
        assert read(**more).needs == {"unknown_fields"}


def test_only_the_model_is_edited() -> None:
    body = moderations.upstream_body(read(model="house/m", input=["a", 1.50][:1], extra=None), "m2")
    assert json.loads(body) == {"model": "m2", "input": ["a"], "extra": None}


def test_replies() -> None:
    facts = moderations.read_reply(b'{"id":"modr-1","model":"m","results":[{"flagged":false}]}')
    assert (facts.usage, facts.model, facts.minted) == (None, "m", ())
    told = moderations.read_reply(b'{"results":[],"usage":{"prompt_tokens":4,"total_tokens":4}}')
    assert told.usage == Usage(input=4)
    for body in (b"[]", b"{}", b'{"results":{}}', b'{"error":{"message":"x"}}', b""):
        with pytest.raises(Upstream):
            moderations.read_reply(body)
