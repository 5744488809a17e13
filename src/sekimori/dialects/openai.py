"""The OpenAI dialect: chat completions and models, as bytes in and facts out.

Reference: the types of the SDK named in `fields.SOURCES`. Edits made to a call on its way up, all of them: `model`
(to the provider's own name for it) and `stream_options.include_usage` (so that the call can be metered; the extra
event is hidden from a caller who did not ask). All else travels as the caller's own bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from sekimori.dialects import fields
from sekimori.dialects.absent import Absent
from sekimori.dialects.found import Found, Path, count_of, flag_of, list_of, read_references, text_of, wrong
from sekimori.dialects.glance import ABSENT, empty, first, glance, small
from sekimori.dialects.outside import read_conversation, read_file_id, read_media_url, read_tool_outside
from sekimori.dialects.sse import fields as event_fields
from sekimori.dialects.stream import ERROR, FINAL, HIDE, RELEASE, EventStream
from sekimori.dialects.strict import read_object
from sekimori.dialects.words import ErrorEvent, condition_of, error_of, failure, of_status, reply_headers, words
from sekimori.errors import Refusal, Refused, Upstream
from sekimori.meter.usage import of_openai
from sekimori.terms import NOTHING_NAMED, Ask, Dialect, Headers, Named, Operation, Usage

NAME: Final[Dialect] = "openai"

_encode: Final = msgspec.json.Encoder().encode
_TRUE: Final = Raw(b"true")
_ONLY_USAGE: Final = Raw(b'{"include_usage":true}')
_options: Final = msgspec.json.Decoder(dict[str, Raw]).decode

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Listed(Struct):
    """A plain reply of this dialect, as far as it is looked at; a subclass names the list that it holds."""

    usage: Raw = ABSENT
    error: Raw = ABSENT
    model: Raw = ABSENT


class _Reply(Listed):
    choices: Raw = ABSENT
    service_tier: Raw = ABSENT


_REPLY: Final = msgspec.json.Decoder(_Reply)
Whole = TypeVar("Whole", bound=Listed)


class ReplyFacts(Struct, frozen=True):
    """What a plain reply says of itself."""

    usage: Usage | None
    """None where the provider told none that can be believed."""
    finish: str = ""
    """Why the (first) answer ended; empty where that is not told in few words."""
    model: str = ""
    """The model that answered, by the provider's name."""
    minted: tuple[str, ...] = ()
    """Ids of the objects that the provider keeps from now on."""


def read_ask(operation: Operation, body: bytes, headers: Headers, named: Named = NOTHING_NAMED) -> Ask:
    """The ask that a body holds. `headers` are not looked at: none of a caller's travel in this dialect.

    Raises Refused `malformed_json`, `bad_request` or `unknown_field` naming the place, `unsupported_operation`.
    """
    if operation != "chat":
        raise Refused("unsupported_operation", f"The OpenAI dialect has no operation `{operation}`.")
    value, members = read_object(body)
    found = Found()
    found.members(value, fields.OPENAI_CHAT)
    if value.get("messages") is None:
        wrong(("messages",), "an array of messages")
    for index, message in enumerate(list_of(value, "messages")):
        _read_message(found, message, index)
    for index, tool in enumerate(list_of(value, "tools")):
        _read_tool(found, tool, ("tools", index))
    _read_choice(found, value.get("tool_choice"))
    read_references(found, body, value, fields.OPENAI_SCHEMAS)
    if value.get("prediction") is not None:
        prediction = value["prediction"]
        if type(prediction) is not dict:
            wrong(("prediction",), "an object")
        _read_content(found, prediction.get("content"), ("prediction", "content"))
    _read_kept(found, value)
    stream = flag_of(value, "stream")
    return Ask(
        dialect=NAME,
        operation=operation,
        model=named.model or text_of(value, "model"),
        stream=stream,
        members=members,
        needs=frozenset(found.places),
        places=tuple(found.places.items()),
        output_cap=_output_cap(value),
        wants_usage_event=wants_usage(value),
        size=len(body),
        objects=found.objects,
        fetches=found.fetches,
    )


def _read_kept(found: Found, value: dict[str, Any]) -> None:
    """Top-level members that name something kept at the provider: a voice, a conversation to go on from."""
    voice = value["audio"].get("voice") if type(value.get("audio")) is dict else None
    if type(voice) is dict:
        found.need("stored_state", ("audio", "voice"))
        found.names(voice.get("id"), ("audio", "voice", "id"))
    if value.get("previous_response_id") is not None:
        found.names(value["previous_response_id"], ("previous_response_id",))
    if value.get("conversation") is not None:
        read_conversation(found, value["conversation"])


def _read_message(found: Found, message: Any, index: int) -> None:
    if type(message) is not dict:
        wrong(("messages", index), "an object")
    if not message.keys() <= fields.OPENAI_MESSAGE:
        found.unknown(message.keys() - fields.OPENAI_MESSAGE, fields.OPENAI_MESSAGE, ("messages", index))
    if type(message.get("role")) is not str:
        wrong(("messages", index, "role"), "a string")
    content = message.get("content")
    if type(content) is not str:
        _read_content(found, content, ("messages", index, "content"))
    audio = message.get("audio")
    if audio is not None:
        found.need("stored_state", ("messages", index, "audio"))  # sound kept at the provider, named by its id
        found.names(audio.get("id") if type(audio) is dict else audio, ("messages", index, "audio", "id"))


def _read_content(found: Found, content: Any, path: Path) -> None:
    if content is None or type(content) is str:
        return
    if type(content) is not list:
        wrong(path, "a string or an array of parts")
    for number, part in enumerate(content):
        if type(part) is not dict:
            wrong((*path, number), "an object")
        kind = part.get("type")
        if type(kind) is not str:
            # Some servers guess a part without a type by its members; what is guessed was never judged.
            wrong((*path, number, "type"), "a string")
        known = fields.OPENAI_PARTS.get(kind)
        if known is None:
            found.unknown_kind("unknown_fields", kind, fields.OPENAI_PARTS.keys(), (*path, number, "type"))
            continue
        if not part.keys() <= known.members:
            found.unknown(part.keys() - known.members, known.members, (*path, number))
        if known.url:
            _read_media(found, part.get(known.url), (*path, number, known.url))


def _read_media(found: Found, media: Any, path: Path) -> None:
    """What a part shows: inline, by URL or by id. Servers of this dialect take URLs in all of these members."""
    if type(media) is str:
        media = {"url": media}
    if type(media) is not dict:
        wrong(path, "an object")
    if not media.keys() <= fields.OPENAI_MEDIA:
        found.unknown(media.keys() - fields.OPENAI_MEDIA, fields.OPENAI_MEDIA, path)
    if media.get("file_id") is not None:
        read_file_id(found, media["file_id"], (*path, "file_id"))
    for name in ("url", "data", "file_data"):
        if media.get(name) is not None:
            read_media_url(found, media[name], (*path, name), encoded=name != "url")


def _read_tool(found: Found, tool: Any, path: Path) -> None:
    if type(tool) is not dict:
        wrong(path, "an object")
    found.spelled(tool.keys(), fields.OPENAI_TOOL_MEMBERS, path)
    rule = _read_tool_kind(found, tool.get("type"), (*path, "type"))
    if rule is not None and not rule.inert:
        read_tool_outside(found, fields.undated(tool["type"]), tool, path)
    elif rule is not None and not tool.keys() <= fields.OPENAI_TOOL:
        found.unknown(tool.keys() - fields.OPENAI_TOOL, fields.OPENAI_TOOL, path)


def _read_tool_kind(found: Found, kind: Any, path: Path) -> fields.Rule | None:
    if type(kind) is not str:
        wrong(path, "a string")
    rule = fields.OPENAI_TOOLS.get(kind)
    if rule is None:
        rule = fields.OPENAI_TOOLS.get(fields.undated(kind))
        if rule is None or rule.inert:  # a dated `function` is nothing that we know
            found.unknown_kind("unknown_tools", kind, fields.OPENAI_TOOLS.keys(), path)
            return None
    found.apply(rule, None, path)
    return rule


def _read_choice(found: Found, choice: Any) -> None:
    """A choice names a tool; one of the provider's own needs what the tool needs."""
    if type(choice) is not dict:
        return
    found.spelled(choice.keys(), fields.OPENAI_TOOL_MEMBERS, ("tool_choice",))
    if choice.get("type") != "allowed_tools":
        _read_tool_kind(found, choice.get("type"), ("tool_choice", "type"))
        return
    allowed = choice.get("allowed_tools")
    if type(allowed) is not dict:
        wrong(("tool_choice", "allowed_tools"), "an object")
    for index, tool in enumerate(list_of(allowed, "tools")):
        kind = None
        if type(tool) is dict:
            found.spelled(tool.keys(), fields.OPENAI_TOOL_MEMBERS, ("tool_choice", "allowed_tools", "tools", index))
            kind = tool.get("type")
        _read_tool_kind(found, kind, ("tool_choice", "allowed_tools", "tools", index, "type"))


def _output_cap(value: dict[str, Any]) -> int | None:
    """The most tokens that the answers can have by the caller's own bound, all `n` of them together."""
    caps = [cap for cap in (count_of(value, "max_completion_tokens"), count_of(value, "max_tokens")) if cap is not None]
    answers = count_of(value, "n", 1)
    return None if not caps else max(caps) * (answers or 1)


def wants_usage(value: dict[str, Any]) -> bool:
    """Whether the caller asked for the extra usage event of a stream."""
    options = value.get("stream_options")
    if options is None:
        return False
    if type(options) is not dict:
        wrong(("stream_options",), "an object")
    return flag_of(options, "include_usage")


def upstream_body(ask: Ask, model: str, *, include_usage: bool = True, stores: bool = False) -> bytes:
    """The body for the provider: the caller's own bytes of every member but `model`, the provider's name for it.

    `include_usage`: of a stream whose caller did not ask, ask for the usage event. Where it is not set the provider
    refuses to be asked and tells its usage all the same: then `stream_options` does not travel. `stores` changes
    nothing: a chat completion is kept only where its ask says so, which is judged before.
    """
    members = dict(ask.members)
    members["model"] = Raw(_encode(model))
    if not include_usage:
        members.pop("stream_options", None)
    elif ask.stream and not ask.wants_usage_event:
        given = members.get("stream_options")
        options = None if given is None or bytes(given) == b"null" else _options(given)
        members["stream_options"] = _ONLY_USAGE if not options else Raw(_encode({**options, "include_usage": _TRUE}))
    return _encode(members)


def read_reply(body: bytes, operation: Operation = "chat") -> ReplyFacts:
    """What a plain reply says of itself. Raises Upstream: malformed, or an error in spite of its 200."""
    reply = read_listed(_REPLY, "choices", body)
    choices = small(reply.choices)
    choice = choices[0] if choices else None
    finish = choice.get("finish_reason") if type(choice) is dict else None
    return ReplyFacts(
        of_openai(small(reply.usage), small(reply.service_tier)),
        finish if type(finish) is str else "",
        model_of(reply),
    )


def read_listed(decoder: msgspec.json.Decoder[Whole], name: str, body: bytes) -> Whole:
    """A plain reply that has a list of this name. Raises Upstream: malformed, or an error in spite of its 200."""
    reply = glance(decoder, body)
    if reply is None:
        raise Upstream("upstream_malformed", "The provider's reply is not a JSON object.")
    if first(getattr(reply, name)) != b"[":
        if not empty(reply.error):
            raise failure("server_error")
        raise Upstream("upstream_malformed", f"The provider's reply has no `{name}`.")
    return reply


def model_of(reply: Listed) -> str:
    """The model that it says answered; empty where it says none."""
    model = small(reply.model)
    return model if type(model) is str else ""


def read_error(status: int, body: bytes) -> Upstream:
    """The refusal that stands for a provider's error reply; its words are safe to show."""
    return of_status(status, body)


def refusal(refused: Refusal, request_id: str | None = None) -> tuple[int, Headers, bytes]:
    """Status, headers and body of a refusal, so that the SDK raises its own exception. 529 is not of this dialect."""
    status = 503 if refused.status == 529 else refused.status
    return status, reply_headers(refused, request_id), _encode({"error": error_object(refused, status)})


def stream_error(refused: Refusal) -> bytes:
    """The event that ends a stream which cannot go on: SDKs raise APIError on it."""
    return b"data: " + _encode({"error": error_object(refused, refused.status)}) + b"\n\n"


def error_object(refused: Refusal, status: int) -> dict[str, Any]:
    """A refusal as the dialect's error object."""
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    if isinstance(refused, Absent):
        return {
            "message": words(refused),
            "type": "invalid_request_error",
            "param": refused.param,
            "code": refused.code,
        }
    return {"message": words(refused), "type": kind, "param": None, "code": refused.reason}


def models_page(names: Iterable[str]) -> bytes:
    """`GET /v1/models`: all names on one page, for this dialect has no second one."""
    return _encode({"object": "list", "data": [_model(name) for name in names]})


def model_page(name: str) -> bytes:
    """`GET /v1/models/{model}`."""
    return _encode(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "sekimori"}


_USAGE: Final = re.compile(rb'"usage"\s*:\s*(?!null|\s)')
_ERROR: Final = re.compile(rb'"error"\s*:\s*(?!null|\s)')
_MARKS: Final = ((b'"usage"', _USAGE), (b'"error"', _ERROR))
_DONE: Final = b"[DONE]"


class Stream(EventStream):
    """A stream of chat completion chunks, ended by `data: [DONE]`."""

    __slots__ = ()

    def _mark(self, data: bytes) -> int:
        mark = data.find(_DONE)
        for word, pattern in _MARKS:
            at = data.find(word)
            if at >= 0 and (found := pattern.search(data, at)) is not None and not 0 <= mark < found.start():
                mark = found.start()
        return mark

    def _judge(self, event: bytes) -> int:
        _, data = event_fields(event)
        if data is None:
            return RELEASE
        if data.startswith(_DONE):
            return FINAL  # the SDKs stop reading here
        chunk = glance(_REPLY, data)
        if chunk is None:
            return self._strange()
        if not empty(chunk.error):
            self.error = _read_error_event(data)
            return ERROR
        self.started = True
        if chunk.usage is ABSENT or (empty(chunk.usage) and first(chunk.usage) == b"n"):
            return RELEASE
        self.usage = of_openai(small(chunk.usage), small(chunk.service_tier))
        return HIDE if self.hide_usage and empty(chunk.choices) else RELEASE

    def _ends(self, tail: bytearray) -> bool:
        return tail.startswith((b"data: [DONE]", b"data:[DONE]"))


def _read_error_event(data: bytes) -> ErrorEvent:
    """An error chunk. Providers write the status into `code`, or a word into `type`."""
    condition = condition_of(error_of(data) or {})
    return ErrorEvent(condition, failure(condition))
