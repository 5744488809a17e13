"""The OpenAI dialect's responses: `POST /v1/responses` as bytes in and facts out.

Reference: the types of the SDK named in `fields.SOURCES`. Edits made to a call on its way up, all of them: `model` (to
the provider's own name for it) and `store` (to false, unless the route may have state kept: OpenAI keeps a response
where its ask does not say). All else travels as the caller's own bytes; encrypted reasoning in particular, with which
an agent goes on from answers that nobody kept.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sekimori.dialects import fields_responses as registry
from sekimori.dialects.fields import OPENAI_TOOL_MEMBERS, undated
from sekimori.dialects.found import Found, Path, count_of, flag_of, list_of, read_references, text_of, wrong
from sekimori.dialects.glance import ABSENT, empty, first, glance, small
from sekimori.dialects.openai import NAME, ReplyFacts, error_object, read_error, refusal
from sekimori.dialects.outside import (
    read_conversation,
    read_environment,
    read_file_id,
    read_image,
    read_media_url,
    read_tool_outside,
)
from sekimori.dialects.sse import fields as event_fields
from sekimori.dialects.stream import ERROR, FINAL, RELEASE, EventStream
from sekimori.dialects.strict import read_object
from sekimori.dialects.words import ErrorEvent, condition_of, failure, safe
from sekimori.errors import Refusal, Upstream
from sekimori.meter.usage import of_openai_responses
from sekimori.terms import NOTHING_NAMED, Ask, Headers, Named, Operation

__all__ = ["NAME", "Stream", "read_ask", "read_error", "read_reply", "refusal", "stream_error", "upstream_body"]

MINTED_READ: Final = 512 * 1024
"""Bytes of a reply's `output` that are searched for the ids of what is kept; of longer ones only the reply's own id
and its conversation's are known, and what else it left there cannot be named later."""
MOST_MINTED: Final = 256
"""Ids of one reply."""

_encode: Final = msgspec.json.Encoder().encode
_FALSE: Final = Raw(b"false")
_ID: Final = re.compile(r"[!-~]{1,256}")

# Input.


def read_ask(operation: Operation, body: bytes, headers: Headers, named: Named = NOTHING_NAMED) -> Ask:
    """The ask that a body holds. `headers` are not looked at: none of a caller's travel in this dialect.

    Raises Refused `malformed_json`, `bad_request` or `unknown_field` naming the place.
    """
    value, members = read_object(body)
    found = Found()
    found.members(value, registry.RESPONSES)
    _read_input(found, value.get("input"))
    for index, tool in enumerate(list_of(value, "tools")):
        _read_tool(found, tool, ("tools", index))
    _read_choice(found, value.get("tool_choice"))
    _read_kept(found, value)
    for index, wanted in enumerate(list_of(value, "include")):
        if type(wanted) is not str:
            wrong(("include", index), "a string")
        if wanted not in registry.RESPONSES_INCLUDE:
            found.unknown_kind("unknown_fields", wanted, registry.RESPONSES_INCLUDE.keys(), ("include",))
    for index, entry in enumerate(list_of(value, "context_management")):
        if type(entry) is not dict or entry.get("type") != "compaction":
            found.need("unknown_fields", ("context_management", index))
    read_references(found, body, value, registry.RESPONSES_SCHEMAS)
    return Ask(
        dialect=NAME,
        operation=operation,
        model=named.model or text_of(value, "model"),
        stream=flag_of(value, "stream"),
        members=members,
        needs=frozenset(found.places),
        places=tuple(found.places.items()),
        output_cap=count_of(value, "max_output_tokens"),
        size=len(body),
        objects=found.objects,
        fetches=found.fetches,
    )


def _read_kept(found: Found, value: dict[str, Any]) -> None:
    """Top-level members that name something kept at the provider."""
    if value.get("previous_response_id") is not None:
        found.names(value["previous_response_id"], ("previous_response_id",))
    if value.get("conversation") is not None:
        read_conversation(found, value["conversation"])
    cache = value.get("prompt_cache_options")
    if type(cache) is dict:
        found.spelled(cache.keys(), {"comparison_response_id"}, ("prompt_cache_options",))
        if cache.get("comparison_response_id") is not None:
            found.need("stored_state", ("prompt_cache_options", "comparison_response_id"))
            found.names(cache["comparison_response_id"], ("prompt_cache_options", "comparison_response_id"))
    prompt = value.get("prompt")
    if prompt is None:
        return
    if type(prompt) is not dict:
        wrong(("prompt",), "an object")
    if not prompt.keys() <= {"id", "variables", "version"}:
        found.unknown(prompt.keys() - {"id", "variables", "version"}, {"id", "variables", "version"}, ("prompt",))
    found.names(prompt.get("id"), ("prompt", "id"))
    variables = prompt.get("variables")
    if variables is None:
        return
    if type(variables) is not dict:
        wrong(("prompt", "variables"), "an object")
    for name, variable in variables.items():
        if type(variable) is not str:
            _read_part(found, variable, ("prompt", "variables", name))


def _read_input(found: Found, input_: Any) -> None:
    if input_ is None or type(input_) is str:
        return  # a stored prompt or conversation may hold it all
    if type(input_) is not list:
        wrong(("input",), "a string or an array of items")
    for index, item in enumerate(input_):
        _read_item(found, item, ("input", index))


def _read_item(found: Found, item: Any, path: Path) -> None:
    if type(item) is not dict:
        wrong(path, "an object")
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference"
    if type(kind) is not str:
        wrong((*path, "type"), "a string")
    known = registry.RESPONSES_ITEMS.get(kind)
    if known is None:
        found.unknown_kind("unknown_fields", kind, registry.RESPONSES_ITEMS.keys(), (*path, "type"))
        return
    if not item.keys() <= known.members:
        found.unknown(item.keys() - known.members, known.members, path)
    if not known.rule.inert:
        found.apply(known.rule, None, path)
    if kind == "message":
        if type(item.get("role")) is not str:
            wrong((*path, "role"), "a string")
        _read_content(found, item.get("content"), (*path, "content"))
        return
    if kind == "item_reference":
        found.names(item.get("id"), (*path, "id"))
        return
    if known.own and item.get("id") is not None and not any(item.get(name) for name in known.own):
        found.need("stored_state", (*path, "id"))
        found.names(item["id"], (*path, "id"))
    _read_inside(found, kind, item, path)


def _read_inside(found: Found, kind: str, item: dict[str, Any], path: Path) -> None:
    """What an item holds that may name a URL, an id or a tool."""
    if kind in ("function_call_output", "custom_tool_call_output", "reasoning"):
        name = "content" if kind == "reasoning" else "output"
        if item.get(name) is not None:
            _read_content(found, item[name], (*path, name))
    elif kind in ("additional_tools", "tool_search_output"):
        for index, tool in enumerate(list_of(item, "tools")):
            _read_tool(found, tool, (*path, "tools", index))
    elif kind == "computer_call_output":
        output = item.get("output")
        if type(output) is not dict or output.get("type") != "computer_screenshot":
            wrong((*path, "output"), "a computer_screenshot")
        read_image(found, {name: shown for name, shown in output.items() if name != "type"}, (*path, "output"))
    elif kind == "code_interpreter_call":
        if item.get("container_id") is not None:
            found.names(item["container_id"], (*path, "container_id"))
        for index, output in enumerate(list_of(item, "outputs")):
            if type(output) is not dict:
                wrong((*path, "outputs", index), "an object")
            found.spelled(output.keys(), {"url"}, (*path, "outputs", index))
            if output.get("url") is not None:
                read_media_url(found, output["url"], (*path, "outputs", index, "url"))
    elif kind == "shell_call" and item.get("environment") is not None:
        read_environment(found, item["environment"], (*path, "environment"))


def _read_content(found: Found, content: Any, path: Path) -> None:
    if type(content) is str:
        return
    if type(content) is not list:
        wrong(path, "a string or an array of parts")
    for number, part in enumerate(content):
        _read_part(found, part, (*path, number))


def _read_part(found: Found, part: Any, path: Path) -> None:
    if type(part) is not dict:
        wrong(path, "an object")
    kind = part.get("type")
    if type(kind) is not str:
        wrong((*path, "type"), "a string")
    known = registry.RESPONSES_CONTENT.get(kind)
    if known is None:
        found.unknown_kind("unknown_fields", kind, registry.RESPONSES_CONTENT.keys(), (*path, "type"))
        return
    if not part.keys() <= known.members:
        found.unknown(part.keys() - known.members, known.members, path)
    for name in (*known.urls, *known.encoded):
        if part.get(name) is not None:
            read_media_url(found, part[name], (*path, name), encoded=name in known.encoded)
    if part.get("file_id") is not None:
        read_file_id(found, part["file_id"], (*path, "file_id"))
    if kind == "input_audio":
        sound = part.get("input_audio")
        if type(sound) is not dict:
            wrong((*path, "input_audio"), "an object")
        if not sound.keys() <= registry.RESPONSES_AUDIO:
            names = sound.keys() - registry.RESPONSES_AUDIO
            found.unknown(names, registry.RESPONSES_AUDIO, (*path, "input_audio"))
        if sound.get("data") is not None:
            read_media_url(found, sound["data"], (*path, "input_audio", "data"), encoded=True)


def _read_tool(found: Found, tool: Any, path: Path) -> None:
    if type(tool) is not dict:
        wrong(path, "an object")
    found.spelled(tool.keys(), OPENAI_TOOL_MEMBERS, path)
    known = _read_tool_kind(found, tool.get("type"), (*path, "type"))
    if known is None:
        return
    if not tool.keys() <= known.members:
        found.unknown(tool.keys() - known.members, known.members, path)
    if not known.rule.inert:
        read_tool_outside(found, undated(tool["type"]), tool, path)
    elif tool["type"] == "namespace":
        for index, inner in enumerate(list_of(tool, "tools")):
            _read_tool(found, inner, (*path, "tools", index))


def _read_tool_kind(found: Found, kind: Any, path: Path) -> registry.Tool | None:
    if type(kind) is not str:
        wrong(path, "a string")
    known = registry.RESPONSES_TOOLS.get(kind)
    if known is None:
        known = registry.RESPONSES_TOOLS.get(undated(kind))
        if known is None or known.rule.inert:  # a dated `function` is nothing that we know
            found.unknown_kind("unknown_tools", kind, registry.RESPONSES_TOOLS.keys(), path)
            return None
    found.apply(known.rule, None, path)
    return known


def _read_choice(found: Found, choice: Any) -> None:
    """A choice names a tool; one of the provider's own needs what the tool needs."""
    if type(choice) is not dict:
        return
    found.spelled(choice.keys(), {"type", "tools"}, ("tool_choice",))
    if choice.get("type") != "allowed_tools":
        _read_tool_kind(found, choice.get("type"), ("tool_choice", "type"))
        return
    for index, tool in enumerate(list_of(choice, "tools")):
        if type(tool) is not dict:
            wrong(("tool_choice", "tools", index), "an object")
        found.spelled(tool.keys(), {"type"}, ("tool_choice", "tools", index))
        _read_tool_kind(found, tool.get("type"), ("tool_choice", "tools", index, "type"))


def upstream_body(ask: Ask, model: str, *, include_usage: bool = True, stores: bool = False) -> bytes:
    """The body for the provider: the caller's own bytes of every member but `model`, and but `store` unless `stores`.

    `include_usage` changes nothing: a stream of responses always tells its usage.
    """
    members = dict(ask.members)
    members["model"] = Raw(_encode(model))
    if not stores:
        # Whatever stands there: absent and null mean true at OpenAI.
        members["store"] = _FALSE
    return _encode(members)


# Output.


class _Reply(Struct):
    """Members that matter of a response."""

    id: Raw = ABSENT
    status: Raw = ABSENT
    output: Raw = ABSENT
    service_tier: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT
    incomplete_details: Raw = ABSENT
    model: Raw = ABSENT
    store: Raw = ABSENT
    conversation: Raw = ABSENT


class _Event(Struct):
    """Members that matter of an event."""

    type: Raw = ABSENT
    response: Raw = ABSENT
    error: Raw = ABSENT
    code: Raw = ABSENT
    message: Raw = ABSENT


class _Citation(Struct):
    type: Raw = ABSENT
    container_id: Raw = ABSENT
    file_id: Raw = ABSENT


class _Said(Struct):
    annotations: list[_Citation] | None = None


class _Place(Struct):
    container_id: Raw = ABSENT


class _Output(Struct):
    """What an item of the output may name that the provider keeps."""

    id: Raw = ABSENT
    container_id: Raw = ABSENT
    content: list[_Said] | None = None
    environment: _Place | None = None


_REPLY: Final = msgspec.json.Decoder(_Reply)
_EVENT: Final = msgspec.json.Decoder(_Event)
_OUTPUT: Final = msgspec.json.Decoder(list[_Output])


def read_reply(body: bytes, operation: Operation = "responses") -> ReplyFacts:
    """What a plain reply says of itself. Raises Upstream: malformed, or failed in spite of its 200."""
    reply = glance(_REPLY, body)
    if reply is None:
        raise Upstream("upstream_malformed", "The provider's reply is not a JSON object.")
    status = small(reply.status)
    if status == "failed":
        raise _failed(reply.error).refusal
    if first(reply.output) != b"[":
        if not empty(reply.error):
            raise _failed(reply.error).refusal
        raise Upstream("upstream_malformed", "The provider's reply has no `output`.")
    details = small(reply.incomplete_details)
    reason = details.get("reason") if type(details) is dict else None
    return _facts(reply, status if type(reason) is not str else reason)


def read_stored(body: bytes) -> ReplyFacts:
    """What a response that was fetched says of itself; `finish` is its `status`.

    One that failed, or still works, is an answer like any other: it is what was asked for. Raises Upstream where it is
    no response.
    """
    reply = glance(_REPLY, body)
    status = None if reply is None else small(reply.status)
    if reply is None or type(status) is not str:
        raise Upstream("upstream_malformed", "The provider's reply is not a response.")
    return _facts(reply, status)


def _facts(reply: _Reply, finish: Any) -> ReplyFacts:
    model = small(reply.model)
    return ReplyFacts(
        of_openai_responses(small(reply.usage), small(reply.service_tier)),
        finish if type(finish) is str else "",
        model if type(model) is str else "",
        _minted(reply),
    )


def _minted(reply: _Reply) -> tuple[str, ...]:
    """Ids of what the provider keeps from now on, each once.

    A response and its items are kept where the reply says so; a conversation, a container and the files that were made
    in it are kept whatever it says. A cited file was there before, and is nothing that this call may hand out.
    """
    found: dict[str, None] = {}
    stored = small(reply.store) is True
    if stored:
        _add(found, small(reply.id))
    conversation = small(reply.conversation)
    _add(found, conversation.get("id") if type(conversation) is dict else conversation)
    for item in _outputs(reply.output, stored):
        if stored:
            _add(found, small(item.id))
        _add(found, small(item.container_id))
        if item.environment is not None:
            _add(found, small(item.environment.container_id))
        for said in item.content or ():
            for citation in said.annotations or ():
                if small(citation.type) in ("container_file_citation", "file_path"):
                    _add(found, small(citation.container_id))
                    _add(found, small(citation.file_id))
    return tuple(found)


def _outputs(output: Raw, stored: bool) -> list[_Output]:
    data = memoryview(output)
    if data.nbytes > MINTED_READ:
        return []
    raw = bytes(data)
    if not stored and b'"container_id"' not in raw and b'"file_path"' not in raw:
        return []
    try:
        return _OUTPUT.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []


def _add(found: dict[str, None], name: Any) -> None:
    if type(name) is str and _ID.fullmatch(name) and len(found) < MOST_MINTED:
        found[name] = None


_CALLERS: Final = frozenset(
    {
        "invalid_prompt", "data_residency_mismatch", "bio_policy", "misalignment_policy_violation", "invalid_image",
        "invalid_image_format", "invalid_base64_image", "invalid_image_url", "image_too_large", "image_too_small",
        "image_parse_error", "image_content_policy_violation", "invalid_image_mode", "image_file_too_large",
        "unsupported_image_media_type", "empty_image_file", "failed_to_download_image", "image_file_not_found",
    }
)  # fmt: skip
"""Codes of failures that only the caller can mend."""


def _failed(error: Raw) -> ErrorEvent:
    """A response that failed, by its `error`."""
    said = small(error)
    return _error_event(said if type(said) is dict else {})


def _error_event(error: dict[str, Any]) -> ErrorEvent:
    code, message = error.get("code"), error.get("message")
    if type(code) is str and code in _CALLERS:
        text = safe(message) if type(message) is str else code
        return ErrorEvent(None, Upstream("upstream_refused", f"The provider refused the request: {text}"))
    condition = condition_of(error)
    return ErrorEvent(condition, failure(condition))


def stream_error(refused: Refusal) -> bytes:
    """The event that ends a stream which cannot go on.

    `error` is what OpenAI's Python SDK raises APIError on; the members beside it are the event of the reference.
    """
    error = error_object(refused, refused.status)
    event = {"type": "error", "code": error["code"], "message": error["message"], "param": None}
    return b"event: error\ndata: " + _encode({**event, "sequence_number": 0, "error": error}) + b"\n\n"


_MARKS: Final = (b"response.completed", b"response.incomplete", b"response.failed", b"error", b"[DONE]")
_LAST: Final = frozenset({"response.completed", "response.incomplete"})


class Stream(EventStream):
    """A stream of response events, ended by `response.completed` or `response.incomplete`.

    What the provider keeps is known with `response.created`, and in full with the last event.
    """

    __slots__ = ()

    def _mark(self, data: bytes) -> int:
        found = -1
        for word in _MARKS:
            at = data.find(word)
            if at >= 0 and not 0 <= found < at:
                found = at
        return found

    def _judge(self, event: bytes) -> int:
        name, data = event_fields(event)
        if data is None:
            return RELEASE
        if data.startswith(b"[DONE]"):
            # The SDKs stop reading here; before the last event it would make half an answer look whole.
            text = "The provider ended the stream before its last event."
            self.error = ErrorEvent(None, Upstream("upstream_truncated", text))
            return ERROR
        value = glance(_EVENT, data)
        if value is None:
            return self._strange()
        named = small(value.type)
        kind = named if type(named) is str else name.decode("utf-8", "replace")
        if kind == "error" or name == b"error" or not empty(value.error):
            told = small(value.error)
            error = told if type(told) is dict else {"code": small(value.code), "message": small(value.message)}
            self.error = _error_event(error)
            return ERROR
        if kind in ("keepalive", "ping"):
            return RELEASE
        if not kind.startswith("response."):
            return self._strange()
        reply = glance(_REPLY, bytes(value.response)) or _Reply()
        self.minted = _minted(reply) or self.minted
        if kind == "response.failed" or small(reply.status) == "failed":
            self.usage = of_openai_responses(small(reply.usage), small(reply.service_tier))
            self.error = _failed(reply.error)
            return ERROR
        self.started = True
        if kind not in _LAST:
            return RELEASE
        self.usage = of_openai_responses(small(reply.usage), small(reply.service_tier))
        return FINAL
