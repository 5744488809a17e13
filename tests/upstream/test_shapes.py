"""What clouds want otherwise than the dialect."""

from __future__ import annotations

import json

import pytest

from sekimori.dialects import anthropic
from sekimori.terms import Headers
from sekimori.upstream.shapes import plain_error, shaped

BODY = (
    b'{"model":"m","max_tokens":8, "stream":true,"messages":[{"role":"user","content":"a \\u00e9 1.0"}],'
    b'"temperature":1.00}'
)
BETAS: Headers = [(b"anthropic-beta", b"token-efficient-tools-2025-02-19, output-128k-2025-02-19")]


def test_invoke_says_in_the_body_what_the_header_said() -> None:
    ask = anthropic.read_ask("chat", BODY, BETAS)
    made = shaped("invoke", ask, anthropic.upstream_body(ask, "m"))
    value = json.loads(made)
    assert value.pop("anthropic_version") == "bedrock-2023-05-31"
    betas = [beta for _, values in ask.headers for beta in values.decode().replace(" ", "").split(",")]
    assert value.pop("anthropic_beta", []) == betas
    assert value.keys() == {"max_tokens", "messages", "temperature"}
    assert b'"content":"a \\u00e9 1.0"' in made, "the caller's own bytes"
    assert b"1.00" in made


def test_raw_predict_leaves_the_stream_and_for_counting_the_model() -> None:
    ask = anthropic.read_ask("chat", BODY, [])
    value = json.loads(shaped("raw_predict", ask, anthropic.upstream_body(ask, "m")))
    assert value.pop("anthropic_version") == "vertex-2023-10-16"
    assert value.keys() == {"max_tokens", "messages", "temperature", "stream"}
    counting = anthropic.read_ask("count_tokens", b'{"model":"m","messages":[{"role":"user","content":"a"}]}', [])
    value = json.loads(shaped("raw_predict", counting, anthropic.upstream_body(counting, "m")))
    assert value["model"] == "m"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"message":"too long"}', b'{"error":{"message":"too long"}}'),
        (b'{"Message":"too long"}', b'{"error":{"message":"too long"}}'),
        (b'[{"error":{"code":400,"message":"x"}}]', b'{"error":{"code":400,"message":"x"}}'),
        (b'{"error":{"message":"x"}}', b'{"error":{"message":"x"}}'),
        (b'{"message":7}', b'{"message":7}'),
        (b"<html>", b"<html>"),
        (b"[]", b"[]"),
        (b"", b""),
        (b"[" * 100_000, b"[" * 100_000),
    ],
)
def test_an_error_has_its_message_where_the_dialects_look(body: bytes, expected: bytes) -> None:
    assert plain_error(body) == expected
