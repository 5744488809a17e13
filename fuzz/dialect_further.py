"""Asks and replies of the OpenAI dialect's further operations: completions, moderations, rerank, images; and of its
stored responses what is asked for and what comes back."""

from __future__ import annotations

import contextlib
from typing import get_args
from urllib.parse import parse_qsl

from fuzz._asks import check, worded
from sekimori.dialects import completions, images, moderations, rerank, stored
from sekimori.dialects.fields_responses import RESPONSES_QUERY
from sekimori.errors import Refused, Upstream
from sekimori.terms import NO_PLACEMENT, Named, Operation, Origin, Provider
from sekimori.upstream.catalog import target as target_of

SEEDS = [
    b'{"model":"m","prompt":["a",[1,2]],"n":2,"best_of":3,"max_tokens":5,"stream":true}',
    b'{"model":"m","prompt":[1,2,3],"guided_json":{"$ref":"http://h/"},"stream_options":{"include_usage":false}}',
    b'{"model":"m","input":["a",{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"http://h/"}}]}',
    b'{"model":"m","query":"q","documents":["a",{"text":"b"},{"image":"http://h/"}],"top_n":1}',
    b'{"model":"m","prompt":"a cat","n":2,"response_format":"url","stream":false,"partial_images":0}',
    b'{"choices":[{"text":"a"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}',
    b'{"results":[],"usage":{"total_tokens":1},"meta":{"tokens":{"input_tokens":2}}}',
    b'{"data":[{"b64_json":"AA=="}],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}',
    b'{"id":"resp_1","status":"in_progress","output":[],"store":true,"deleted":true}',
    b"resp_1\ninclude[]=reasoning.encrypted_content&limit=5&order=asc&after=msg_1",
    b"..\nstream=false&include_obfuscation=true",
    b"a%2Fb\nstream=true&starting_after=3",
]
STORED = sorted(RESPONSES_QUERY)
PROVIDER = Provider(
    "p", "operator", "operator", "openai", Origin("https", "h", 443), "/v1", frozenset({"openai"}), ("*",), False,
    NO_PLACEMENT,
)  # fmt: skip


def target(data: bytes) -> None:
    check(completions, "completions", data, [])
    check(moderations, "moderations", data, [])
    check(rerank, "rerank", data, [])
    check(images, "images", data, [])
    id, _, query = data.decode("latin-1").partition("\n")
    for operation in get_args(Operation):
        if operation in STORED:
            _stored(operation, id, query)
            with contextlib.suppress(Upstream):
                stored.read_reply(data, operation)


def _stored(operation: Operation, id: str, query: str) -> None:
    try:
        ask = stored.read_ask(operation, b"", [], Named(object=id, query=query))
    except Refused as refused:
        worded(stored, refused)
        return
    path = target_of(PROVIDER, "openai", operation, "m", object=ask.object, query=ask.query)
    steps, _, behind = path.partition("?")
    assert steps.split("/")[:4] == ["", "v1", "responses", id], "an id is one step, as it stands"
    assert len(steps.split("/")) == (5 if operation in ("response_cancel", "response_items") else 4)
    assert behind.isascii()
    assert behind.isprintable()
    names = {name.removesuffix("[]") for name, _ in parse_qsl(behind, keep_blank_values=True)}
    assert names <= RESPONSES_QUERY[operation].keys()
