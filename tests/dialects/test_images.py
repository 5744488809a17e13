"""Reading and writing image generations: what an ask may hold, what travels, what a reply says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sekimori.dialects import images
from sekimori.errors import Refused, Upstream
from sekimori.terms import Ask


def read(**members: Any) -> Ask:
    return images.read_ask("images", json.dumps({"model": "m", "prompt": "a cat", **members}).encode(), [])


def test_reads_a_prompt() -> None:
    ask = read(n=3, size="1024x1024", response_format="url", stream=False)
    assert (ask.dialect, ask.operation, ask.model, ask.stream) == ("openai", "images", "m", False)
    assert (ask.needs, ask.fetches, ask.objects, ask.answers) == (frozenset(), (), (), 3)
    body = json.loads(images.upstream_body(ask, "m2"))
    assert body == {
        "model": "m2", "prompt": "a cat", "n": 3, "size": "1024x1024", "response_format": "url", "stream": False,
    }  # fmt: skip


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": None}, "bad_request", "`prompt`"),
    ({"prompt": ["a"]}, "bad_request", "`prompt`"),
    ({"n": 0}, "bad_request", "`n`"),
    ({"stream": True}, "unsupported_operation", "not streamed"),
    ({"stream": "true"}, "bad_request", "`stream`"),
    ({"partial_images": 2}, "unsupported_operation", "not streamed"),
    ({"svg": {"model": "another"}}, "unknown_field", "another model"),
    ({"model": None}, "bad_request", "`model`"),
    ({"Prompt": "x"}, "unknown_field", "`Prompt`"),
    ({"models": ["a"]}, "unknown_field", "`models` is not carried"),
]


@pytest.mark.parametrize(("members", "reason", "says"), REFUSED)
def test_refuses_naming_the_place(members: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**members)
    assert (refused.value.reason, refused.value.status) == (reason, 400)
    assert says in refused.value.text


def test_what_may_name_something_outside_needs_a_grant() -> None:
    for name in ("image", "mask", "images", "reference_image_url"):
        assert read(**{name: "http://h/a.png"}).needs == {"unknown_fields"}


def test_replies() -> None:
    usage = b'"usage":{"input_tokens":5,"output_tokens":100,"total_tokens":105}'
    facts = images.read_reply(b'{"created":1,"data":[{"b64_json":"AA=="}],' + usage + b"}")
    assert facts.usage is not None
    assert (facts.usage.input, facts.usage.output) == (5, 100)
    assert images.read_reply(b'{"data":[]}').usage is None
    for body in (b"[]", b"{}", b'{"data":{}}', b'{"error":{"message":"x"}}', b""):
        with pytest.raises(Upstream):
            images.read_reply(body)
