"""Asks, replies and streams of the OpenAI dialect's responses; asks and replies of its embeddings."""

from __future__ import annotations

import contextlib

from fuzz._asks import check
from sekimori.dialects import embeddings, responses
from sekimori.errors import Upstream

SEEDS = [
    b'{"model":"m","input":"hi","stream":true,"max_output_tokens":5,"store":true,"include":["reasoning.encrypted_content"]}',
    b'{ "model" : "p/m", "input" : [ {"role":"user","content":[{"type":"input_text","text":"a\\u00e4"},{"type":'
    b'"input_image","image_url":"data:image/png;base64,AA"},{"type":"input_file","file_id":"f"}]},{"type":"reasoning",'
    b'"id":"rs","summary":[]},{"id":"msg"},{"type":"function_call_output","call_id":"c","output":"x"}],"store": null }',
    b'{"model":"m","input":[],"tools":[{"type":"function","name":"f"},{"type":"mcp","server_label":"s","server_url":'
    b'"http://x"},{"type":"code_interpreter","container":{"type":"auto","file_ids":["f"]}},{"type":"namespace",'
    b'"tools":[{"type":"web_search_2025_08_26"}]}],"previous_response_id":"r","prompt":{"id":"p"},"Model":"x"}',
    b'{"id":"r","status":"completed","store":true,"output":[{"id":"m","content":[{"annotations":[{"type":"file_path",'
    b'"file_id":"f"}]}]}],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}',
    b'{"status":"failed","error":{"code":"invalid_prompt","message":"sk-abc***xyz"}}',
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"r","store":true}}\n\n'
    b'data: {"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":2}}}\n\n'
    b"data: [DONE]\n\n",
    b'{"status":"failed","error":{"code":"rate_limit_exceeded"}}',
    b'{"model":"e","input":["a",[1,2]],"dimensions":8}',
    b'{"object":"list","data":[],"usage":{"prompt_tokens":1,"total_tokens":1}}',
]


def target(data: bytes) -> None:
    check(responses, "responses", data, [])
    check(embeddings, "embeddings", data, [])
    stream = responses.Stream()
    with contextlib.suppress(Upstream):
        assert data.startswith(stream.feed(data))
    assert stream.error is None or str(stream.error.refusal).isprintable()
    assert all(name.isprintable() and len(name) <= 256 for name in stream.minted)
