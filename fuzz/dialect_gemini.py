"""Asks, replies, errors and streams of the Gemini dialect."""

from __future__ import annotations

import json
from typing import Any

from fuzz._asks import unique, worded
from sekimori.dialects import gemini
from sekimori.dialects.gemini_stream import Elements
from sekimori.errors import Refused, Upstream
from sekimori.terms import Named, Operation

SEEDS = [
    b'\x00{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":5}}',
    b'\x00{"contents":{"parts":{"file_data":{"file_uri":"gs://x"}}},"tools":[{"google_search":{}},{"mcpServers":[{}]}]}',
    b'\x00{"contents":[],"generation_config":{"responseModalities":["AUDIO"],"response_schema":{"$ref":"http://x"}}}',
    b'\x01{"generateContentRequest":{"model":"models/house/m","contents":[]}}',
    b'\x02{"requests":[{"model":"models/house/m","content":{"parts":[{"text":"a"}]}},{"model":"house/m"}]}',
    b'\x03{"model":"models/house/m","content":{"parts":[{"text":"a"}]},"taskType":"T"}',
    b'\x04data: {"candidates":[{"content":{},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,'
    b'"totalTokenCount":2}}\r\n\r\n: c\n\ndata: {"candidates":[]}\n\n',
    b'\x09data: {"candidates":[]}\n\ndata: {"error":{"code":429}}\n\n{"error":{"status":"UNAVAILABLE"}}',
    b'\x00{"error":{"code":400,"message":"org-1234567890","details":[{"reason":"API_KEY_INVALID"}]}}',
]
ASKED: list[tuple[Operation, bool]] = [
    ("chat", False),
    ("count_tokens", False),
    ("embeddings", True),
    ("embeddings", False),
]


def target(data: bytes) -> None:
    choice, body = (data[0] if data else 0), data[1:]
    for operation, batch in ASKED:
        _ask(operation, Named("house/m", batch=batch), body)
        try:
            gemini.read_reply(body, operation)
        except Upstream as failed:
            worded(gemini, failed)
    for status in (400, 401, 429, 500):
        assert str(gemini.read_error(status, body)).isprintable()
    _stream(body, 1 + choice, array=False)
    _stream(body, 1 + choice, array=True)


def _ask(operation: Operation, named: Named, body: bytes) -> None:
    try:
        ask = gemini.read_ask(operation, body, [], named)
    except Refused as refused:
        worded(gemini, refused)
        return
    understood = json.loads(body, object_pairs_hook=unique)
    assert list(understood) == list(ask.members)
    assert ask.needs == dict(ask.places).keys()
    same = json.loads(gemini.upstream_body(ask, "house/m"), object_pairs_hook=unique)
    assert repr(same) == repr(understood), "nothing is added, nothing lost"
    renamed = gemini.upstream_body(ask, "another")
    assert repr(_without_models(json.loads(renamed))) == repr(_without_models(understood))
    # What travels needs what was asked, and names no model but the provider's.
    again = gemini.read_ask(operation, renamed, [], Named("another", batch=named.batch))
    assert (again.needs, again.objects, again.fetches) == (ask.needs, ask.objects, ask.fetches)


def _without_models(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_models(inner) for name, inner in value.items() if name != "model"}
    return [_without_models(one) for one in value] if isinstance(value, list) else value


def _stream(stream: bytes, step: int, array: bool) -> None:
    results = []
    for pieces in ([stream], [stream[at : at + step] for at in range(0, len(stream), step)]):
        one, elements = gemini.Stream(), Elements()
        try:
            released = b"".join([one.feed(piece) for piece in pieces])
            one.end(delimited=True)
            if one.complete and array:
                released, one.final = elements.feed(released), elements.end(one.final)
        except Upstream as failed:
            results.append(failed.reason)
            continue
        if one.complete and array:
            # Whether a provider's texts are UTF-8 is not looked at; that they stay inside their strings is.
            assert isinstance(json.loads((released + one.final).decode("latin-1"), strict=False), list)
        elif one.complete:
            assert stream.startswith(released + one.final)
        results.append((one.complete, one.usage, one.error is None, None if one.error else released + one.final))
    assert results[0] == results[1]
