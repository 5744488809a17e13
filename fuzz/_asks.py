"""What both dialects must hold for any body: a refusal, or one meaning that travels unchanged."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import msgspec

from sekimori.errors import Refusal, Refused, Upstream
from sekimori.terms import Ask, Headers, Operation

_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def check(dialect: ModuleType, operation: Operation, body: bytes, headers: Headers) -> None:
    try:
        ask: Ask = dialect.read_ask(operation, body, headers)
    except Refused as refused:
        worded(dialect, refused)
    else:
        _accepted(dialect, operation, body, headers, ask)
    for asked in ("chat", "count_tokens"):
        try:
            dialect.read_reply(body, asked)
        except Upstream as failed:
            worded(dialect, failed)
    for status in (400, 401, 429, 500):
        assert str(dialect.read_error(status, body)).isprintable()


def worded(dialect: ModuleType, refusal: Refusal) -> None:
    assert refusal.status in (400, 404, 429, 502, 529), refusal
    assert str(refusal).isprintable(), ascii(str(refusal))
    json.loads(dialect.refusal(refusal)[2])


def _accepted(dialect: ModuleType, operation: Operation, body: bytes, headers: Headers, ask: Ask) -> None:
    understood = json.loads(body, object_pairs_hook=unique)
    assert type(understood) is dict
    assert understood["model"] == ask.model
    assert list(understood) == list(ask.members)
    assert ask.needs == dict(ask.places).keys()
    sent: bytes = dialect.upstream_body(ask, "another", include_usage=True)
    travelled = json.loads(sent, object_pairs_hook=unique)
    assert travelled.pop("model") == "another"
    edited = {"model"}
    if operation == "responses":
        edited.add("store")
        assert travelled.pop("store") is False
    elif ask.stream and dialect.NAME == "openai":
        edited.add("stream_options")
        assert travelled.pop("stream_options")["include_usage"] is True
    for name in edited:
        understood.pop(name, None)
    assert repr(travelled) == repr(understood)
    came = _raw(body)
    for name, raw in _raw(sent).items():
        assert name in edited or bytes(raw) == bytes(came[name])
    # What travels needs what was asked: nothing is judged on other bytes than those that are sent.
    again: Ask = dialect.read_ask(operation, sent, headers)
    assert (again.stream, again.output_cap) == (ask.stream, ask.output_cap)
    assert (again.objects, again.fetches) == (ask.objects, ask.fetches)
    assert again.needs == ask.needs or ("store" in edited and again.needs == ask.needs - {"stored_state"})


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a name stood twice"
    return found
