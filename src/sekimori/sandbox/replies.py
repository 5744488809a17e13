"""What the practice provider says, as bytes of either dialect. Pure: the same ask gets the same bytes.

Tokens are words: the input is the number of words in all texts, the output the number of words said (of a tool's
arguments, too). Where the ask names a prompt cache, half of the input came from it; where it asks for reasoning,
three more tokens of output were that. So every figure can be checked by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from sekimori.terms import Dialect, Operation, Usage

NOTICE: Final = "This is Sekimori's sandbox provider, not a language model."
CREATED: Final = 1_767_225_600
"""2026-01-01T00:00:00Z: the moment of every answer, for they are to be alike."""
REASONING: Final = 3

_encode: Final = msgspec.json.Encoder().encode


class Heard(Struct, frozen=True):
    """What arrived."""

    dialect: Dialect
    model: str
    key: str
    """Fingerprint, never the key."""
    messages: int
    last: str
    """The last text of the user."""
    words: int
    """In all texts."""
    stream: bool
    wants_usage: bool
    tool: tuple[str, dict[str, Any]] | None
    """The tool to call and with what; None where none is offered, or its result was told."""
    cap: int | None
    cached: bool
    reasons: bool
    operation: Operation = "chat"
    asked: Mapping[str, Any] = {}
    """The ask itself, where the reply repeats some of it."""
    usage_at_finish: bool = False
    """A stream tells its usage unasked, in the chunk with the reason to finish (Mistral)."""


class Said(Struct, frozen=True):
    """What is answered."""

    id: str
    text: str
    tool: tuple[str, str] | None
    """Name and arguments as JSON."""
    capped: bool
    usage: Usage


def fingerprint(key: str) -> str:
    """A key's name in replies and totals, without the key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def hear(dialect: Dialect, value: dict[str, Any], key: str) -> Heard:
    """Read an ask, leniently: judging asks is not a provider's double's business."""
    messages = [one for one in _list(value.get("messages")) if isinstance(one, dict)]
    texts = [text for one in messages for text in _texts(one.get("content"))]
    texts += _texts(value.get("system"))
    users = [" ".join(_texts(one.get("content"))) for one in messages if one.get("role") == "user"]
    options = value.get("stream_options")
    cap = value.get("max_completion_tokens", value.get("max_tokens"))
    return Heard(
        dialect=dialect,
        model=str(value.get("model")),
        key=fingerprint(key),
        messages=len(messages),
        last=users[-1] if users else "",
        words=max(1, sum(len(text.split()) for text in texts)),
        stream=value.get("stream") is True,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        tool=None if _told(messages) else _tool(value),
        cap=cap if isinstance(cap, int) else None,
        cached="prompt_cache_key" in value or b'"cache_control"' in _encode(value),
        reasons=any(name in value for name in ("reasoning_effort", "thinking")),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    found: list[str] = []
    for part in _list(content):
        if isinstance(part, dict):
            text = part.get("text")
            found += [text] if isinstance(text, str) else _texts(part.get("content"))
    return found


def _told(messages: list[dict[str, Any]]) -> bool:
    """Whether the last message tells a tool's result."""
    if not messages:
        return False
    last = messages[-1]
    kinds = [part.get("type") for part in _list(last.get("content")) if isinstance(part, dict)]
    return last.get("role") == "tool" or "tool_result" in kinds


def _tool(value: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    choice = value.get("tool_choice")
    if choice == "none" or (isinstance(choice, dict) and choice.get("type") == "none"):
        return None
    for tool in _list(value.get("tools")):
        if not isinstance(tool, dict):
            continue
        inner = tool.get("function") or tool.get("custom") or tool
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return inner["name"], arguments(inner.get("parameters") or inner.get("input_schema"))
    return None


def arguments(schema: Any) -> dict[str, Any]:
    """Arguments of the right types for every property of a schema."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    examples = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}, "null": None}
    given: dict[str, Any] = {}
    for name, one in (properties if isinstance(properties, dict) else {}).items():
        kind = one.get("type") if isinstance(one, dict) else None
        given[name] = examples.get(kind, "sandbox") if isinstance(kind, str) else "sandbox"
    return given


_IDS: Final[dict[Dialect, str]] = {"openai": "chatcmpl-sandbox-", "anthropic": "msg_sandbox_", "gemini": "sandbox-"}


def say(heard: Heard, body: bytes) -> Said:
    """The answer."""
    name = _IDS[heard.dialect]
    text = (
        f"{NOTICE} It received model {heard.model}, key {heard.key} and {heard.messages} messages;"
        f" the last words of the user were: {heard.last}"
    )
    tool = None
    if heard.tool is not None:
        tool = (heard.tool[0], _encode(heard.tool[1]).decode())
        text = ""
    words = (tool[1] if tool else text).split()
    capped = heard.cap is not None and len(words) > heard.cap and tool is None
    if capped:
        words = words[: heard.cap]
        text = " ".join(words)
    reasoning = REASONING if heard.reasons else 0
    usage = Usage(
        input=heard.words,
        output=len(words) + reasoning,
        cached=heard.words // 2 if heard.cached else 0,
        reasoning=reasoning,
    )
    return Said(name + hashlib.sha256(body).hexdigest()[:16], text, tool, capped, usage)


def figures(dialect: Dialect, usage: Usage) -> dict[str, Any]:
    """Usage as the dialect writes it."""
    if dialect == "openai":
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        }
    return {
        "input_tokens": usage.input - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def plain(heard: Heard, said: Said, usage: Any) -> bytes:
    """A whole reply; `usage` as `figures` gives it, or what a scenario puts in its place (None leaves it out)."""
    told = {} if usage is None else {"usage": usage}
    if heard.dialect == "openai":
        message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
        if said.tool is not None:
            message["content"] = None
            message["tool_calls"] = [_call(said)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(said)}
        return _encode({**_head(heard, said, "chat.completion"), "choices": [choice], **told})
    content: list[dict[str, Any]] = [{"type": "text", "text": said.text}]
    if said.tool is not None:
        given = msgspec.json.decode(said.tool[1])
        content = [{"type": "tool_use", "id": _call_id(said), "name": said.tool[0], "input": given}]
    return _encode({**_message(heard, said, content), "stop_reason": _stop(said), "stop_sequence": None, **told})


def events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    """A stream, an event for each word, its last event included."""
    return _openai_events(heard, said, usage) if heard.dialect == "openai" else _anthropic_events(heard, said, usage)


def _openai_events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    head = _head(heard, said, "chat.completion.chunk")
    # As OpenAI does it: asked for usage, every chunk has the member, null until the last.
    none: dict[str, Any] = {"usage": None} if heard.wants_usage else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + _encode({**head, "choices": [choice], **none}) + b"\n\n"

    yield chunk({"role": "assistant", "content": "" if said.tool is None else None})
    if said.tool is not None:
        call = _call(said)
        yield chunk({"tool_calls": [{"index": 0, **call, "function": {"name": said.tool[0], "arguments": ""}}]})
        for piece in pieces(said.tool[1]):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    else:
        for piece in pieces(said.text):
            yield chunk({"content": piece})
    if heard.usage_at_finish and usage is not None:
        none = {"usage": usage}
    yield chunk({}, _finish(said))
    if heard.wants_usage and usage is not None:
        yield b"data: " + _encode({**head, "choices": [], "usage": usage}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _anthropic_events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    def event(kind: str, **rest: Any) -> bytes:
        return b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **rest}) + b"\n\n"

    opening = {**usage, "output_tokens": 1} if isinstance(usage, dict) else usage
    started = {**_message(heard, said, []), "stop_reason": None, "stop_sequence": None}
    yield event("message_start", message=started if opening is None else {**started, "usage": opening})
    yield event("ping")
    if said.tool is not None:
        block: dict[str, Any] = {"type": "tool_use", "id": _call_id(said), "name": said.tool[0], "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(said.tool[1])]
    else:
        block = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(said.text)]
    yield event("content_block_start", index=0, content_block=block)
    for delta in deltas:
        yield event("content_block_delta", index=0, delta=delta)
    yield event("content_block_stop", index=0)
    closing = {"delta": {"stop_reason": _stop(said), "stop_sequence": None}}
    yield event("message_delta", **closing, **({} if usage is None else {"usage": usage}))
    yield event("message_stop")


def pieces(text: str) -> Iterator[str]:
    """The words, each with the space before it."""
    for number, word in enumerate(text.split(" ")):
        yield word if number == 0 else f" {word}"


def _head(heard: Heard, said: Said, kind: str) -> dict[str, Any]:
    return {"id": said.id, "object": kind, "created": CREATED, "model": heard.model, "system_fingerprint": "sandbox"}


def _message(heard: Heard, said: Said, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": said.id, "type": "message", "role": "assistant", "model": heard.model, "content": content}


def _call_id(said: Said) -> str:
    return ("call_" if said.id.startswith("chatcmpl") else "toolu_") + said.id[-16:]


def _call(said: Said) -> dict[str, Any]:
    assert said.tool is not None
    return {
        "id": _call_id(said),
        "type": "function",
        "function": {"name": said.tool[0], "arguments": said.tool[1]},
    }


def _finish(said: Said) -> str:
    return "tool_calls" if said.tool is not None else "length" if said.capped else "stop"


def _stop(said: Said) -> str:
    return "tool_use" if said.tool is not None else "max_tokens" if said.capped else "end_turn"
