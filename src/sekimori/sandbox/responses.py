"""What the practice provider says in the OpenAI dialect's responses, and what it keeps of them.

The figures are those of `replies`. A response is kept unless its ask says `store: false`, per key, until the sandbox
ends, it is deleted or MOST others came; `previous_response_id` goes on from it, and one that is not there is refused as
OpenAI does. Work in the background is done by being looked at: `queued` when it was asked for, `in_progress` at the
first look, and at the second it has ended.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from sekimori.errors import Refused
from sekimori.sandbox.replies import CREATED, Heard, Said, _list, _texts, _tool, fingerprint, pieces
from sekimori.sandbox.replies import say as say_chat
from sekimori.terms import Dialect, Usage

MOST: Final = 1000
_ECHOED: Final = (
    "instructions", "max_output_tokens", "metadata", "previous_response_id", "reasoning", "service_tier",
    "temperature", "text", "top_p", "truncation", "user",
)  # fmt: skip

_encode: Final = msgspec.json.Encoder().encode


class _One(Struct):
    """A response that is kept."""

    items: list[Any]
    """What was put in."""
    heard: Heard
    said: Said
    status: str

    @property
    def background(self) -> bool:
        return self.heard.asked.get("background") is True

    def shown(self) -> dict[str, Any]:
        """As it is now; the tokens are told once nothing more is done."""
        output, usage = [], None
        if self.status in ("completed", "incomplete"):
            output, usage = _output(self.said, self.heard.asked), figures("openai", self.said.usage)
        elif self.status == "cancelled":
            usage = figures("openai", Usage(input=self.said.usage.input))
        return _response(self.heard, self.said, self.status, output, usage)

    def step(self) -> None:
        """It was looked at."""
        if self.status == "queued":
            self.status = "in_progress"
        elif self.status == "in_progress":
            self.status = _status(self.said)


class Kept:
    """The responses that the sandbox keeps."""

    def __init__(self) -> None:
        self._items: OrderedDict[tuple[str, str], _One] = OrderedDict()

    def before(self, value: dict[str, Any], key: str) -> dict[str, Any]:
        """The ask with what came before it put in front of its input. Raises Refused where that is not kept."""
        items = _items(value)
        earlier = value.get("previous_response_id")
        if earlier is not None:
            kept = self._items.get((fingerprint(key), str(earlier)))
            if kept is None:
                text = f"Previous response with id '{str(earlier)[:100]}' not found."
                raise Refused("bad_request", text)
            items = [*kept.items, *_output(kept.said, kept.heard.asked), *items]
        for item in items:
            if isinstance(item, dict) and item.get("type") == "item_reference":
                raise Refused("bad_request", f"Item with id '{str(item.get('id'))[:100]}' not found.")
        return {**value, "input": items}

    def keep(self, heard: Heard, key: str, said: Said) -> None:
        """Keep what was asked and answered, unless the ask says not to."""
        asked = heard.asked
        if asked.get("store") is not False:
            status = "queued" if works_on(heard) else _status(said)
            self._items[fingerprint(key), said.id] = _One(list(asked["input"]), heard, said, status)
            if len(self._items) > MOST:
                self._items.popitem(last=False)

    def answer(self, method: str, path: str, query: str, key: str) -> dict[str, Any]:
        """What a call about one that is kept is told; `path` is what stands behind `/v1/responses/`. Raises Refused."""
        id, _, rest = path.partition("/")
        at = fingerprint(key), id
        one = self._items.get(at)
        if one is None:
            raise Refused("object_not_found", f"Response with id '{id[:100]}' not found.")
        if (method, rest) == ("GET", ""):
            one.step()
            return one.shown()
        if (method, rest) == ("DELETE", ""):
            del self._items[at]
            return {"id": id, "object": "response", "deleted": True}
        if (method, rest) == ("POST", "cancel"):
            if not one.background:
                raise Refused("bad_request", "Cannot cancel a synchronous response.")
            if one.status in ("queued", "in_progress"):
                one.status = "cancelled"
            return one.shown()
        if (method, rest) == ("GET", "input_items"):
            return _page(one, dict(parse_qsl(query)))
        raise Refused("method_not_allowed", "The sandbox takes no such call about a response.")


def works_on(heard: Heard) -> bool:
    """Whether the answer is worked on after the call."""
    return heard.asked.get("background") is True and not heard.stream


def _page(one: _One, query: dict[str, str]) -> dict[str, Any]:
    """A page of what was put in, newest first unless asked otherwise."""
    tail = one.said.id[-16:]
    items = [
        {"id": f"in_sandbox_{tail}_{number}", "type": "message", "status": "completed", **item}
        for number, item in enumerate(one.items)
        if isinstance(item, dict)
    ]
    if query.get("order") != "asc":
        items.reverse()
    names = [str(item["id"]) for item in items]
    start = names.index(query["after"]) + 1 if query.get("after") in names else 0
    page = items[start : start + int(query.get("limit", "20"))]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return {"object": "list", "data": page, "has_more": start + len(page) < len(items), **ends}


def _items(value: dict[str, Any]) -> list[Any]:
    given = value.get("input")
    return [{"role": "user", "content": given}] if isinstance(given, str) else _list(given)


def hear(dialect: Dialect, value: dict[str, Any], key: str) -> Heard:
    """Read an ask, leniently: judging asks is not a provider's double's business."""
    items = [one for one in _items(value) if isinstance(one, dict)]
    texts = [text for one in items for text in _texts(one.get("content"))]
    texts += _texts(value.get("instructions"))
    users = [" ".join(_texts(one.get("content"))) for one in items if one.get("role") == "user"]
    told = bool(items) and str(items[-1].get("type")).endswith("_call_output")
    cap = value.get("max_output_tokens")
    return Heard(
        dialect=dialect,
        model=str(value.get("model")),
        key=fingerprint(key),
        messages=len(items),
        last=users[-1] if users else "",
        words=max(1, sum(len(text.split()) for text in texts)),
        stream=value.get("stream") is True,
        wants_usage=True,
        tool=None if told else _tool(value),
        cap=cap if isinstance(cap, int) else None,
        cached="prompt_cache_key" in value,
        reasons=value.get("reasoning") is not None,
        operation="responses",
        asked=value,
    )


def say(heard: Heard, body: bytes) -> Said:
    """The answer, under an id of this operation's form."""
    said = say_chat(heard, body)
    return msgspec.structs.replace(said, id=f"resp_sandbox_{hashlib.sha256(body).hexdigest()[:16]}")


def figures(dialect: Dialect, usage: Usage) -> dict[str, Any]:
    """Usage as the operation writes it."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def plain(heard: Heard, said: Said, usage: Any) -> bytes:
    """A whole reply; `usage` as `figures` gives it, or what a scenario puts in its place (None leaves it out)."""
    if works_on(heard):
        return _encode(_response(heard, said, "queued", [], None))
    return _encode(_response(heard, said, _status(said), _output(said, heard.asked), usage))


def failed(code: str) -> bytes:
    """A plain reply that failed in spite of its 200."""
    return _encode({"id": "resp_sandbox_failed", "object": "response", "output": [], **_failure(code)})


def _failure(code: str) -> dict[str, Any]:
    return {"status": "failed", "error": {"code": code, "message": "as asked: org-sandbox-owner"}}


def error_event(code: str) -> bytes:
    """The event of an error that comes before any other."""
    error = {"code": code, "message": "as asked: org-sandbox-owner", "param": None, "sequence_number": 0}
    return b"event: error\ndata: " + _encode({"type": "error", **error}) + b"\n\n"


def failed_event(heard: Heard, said: Said) -> bytes:
    """The event of a response that fails in its middle."""
    response = {**_response(heard, said, "failed", [], None), **_failure("server_error")}
    event = {"type": "response.failed", "sequence_number": 9, "response": response}
    return b"event: response.failed\ndata: " + _encode(event) + b"\n\n"


def events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    """A stream, an event for each word, its last event included."""
    number = 0

    def event(kind: str, **rest: Any) -> bytes:
        nonlocal number
        data = _encode({"type": kind, "sequence_number": number, **rest})
        number += 1
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

    begun = _response(heard, said, "in_progress", [], None)
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    output = _output(said, heard.asked)
    for index, item in enumerate(output):
        at = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "function_call":
            empty = {**item, "status": "in_progress", "arguments": ""}
            yield event("response.output_item.added", output_index=index, item=empty)
            for piece in pieces(item["arguments"]):
                yield event("response.function_call_arguments.delta", **at, delta=piece)
            yield event("response.function_call_arguments.done", **at, arguments=item["arguments"])
        elif item["type"] == "message":
            [part] = item["content"]
            empty = {**item, "status": "in_progress", "content": []}
            yield event("response.output_item.added", output_index=index, item=empty)
            yield event("response.content_part.added", **at, content_index=0, part={**part, "text": ""})
            for piece in pieces(part["text"]):
                yield event("response.output_text.delta", **at, content_index=0, delta=piece, logprobs=[])
            yield event("response.output_text.done", **at, content_index=0, text=part["text"], logprobs=[])
            yield event("response.content_part.done", **at, content_index=0, part=part)
        else:
            yield event("response.output_item.added", output_index=index, item=item)
        yield event("response.output_item.done", output_index=index, item=item)
    status = _status(said)
    yield event(f"response.{status}", response=_response(heard, said, status, output, usage))


def _status(said: Said) -> str:
    return "incomplete" if said.capped else "completed"


def _output(said: Said, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    tail = said.id[-16:]
    output: list[dict[str, Any]] = []
    if asked.get("reasoning") is not None:
        reasoning: dict[str, Any] = {"id": f"rs_sandbox_{tail}", "type": "reasoning", "summary": []}
        if "reasoning.encrypted_content" in _list(asked.get("include")):
            reasoning["encrypted_content"] = "c2FuZGJveA=="
        output.append(reasoning)
    if said.tool is not None:
        name, arguments = said.tool
        call = {"call_id": f"call_{tail}", "name": name, "arguments": arguments, "status": "completed"}
        return [*output, {"id": f"fc_sandbox_{tail}", "type": "function_call", **call}]
    part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
    status = _status(said)
    message = {"id": f"msg_sandbox_{tail}", "type": "message", "status": status, "role": "assistant"}
    return [*output, {**message, "content": [part]}]


def _response(heard: Heard, said: Said, status: str, output: list[Any], usage: Any) -> dict[str, Any]:
    asked = heard.asked
    conversation = asked.get("conversation")
    return {
        "id": said.id,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": asked.get("background") is True,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        **{name: asked.get(name) for name in _ECHOED},
        "model": heard.model,
        "output": output,
        "parallel_tool_calls": True,
        "store": asked.get("store") is not False,
        "tool_choice": asked.get("tool_choice") or "auto",
        "tools": _list(asked.get("tools")),
        **({} if conversation is None else {"conversation": {"id": str(conversation)}}),
        "usage": usage,
    }
