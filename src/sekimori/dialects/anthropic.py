"""The Anthropic dialect: messages, count_tokens and models, as bytes in and facts out.

Reference: the types of the SDK named in `fields.SOURCES`. The one edit made to a call on its way up: `model` (to the
provider's own name for it). All else travels as the caller's own bytes, and of the headers `anthropic-version` and
those of `anthropic-beta` that the registry knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sekimori.dialects import fields
from sekimori.dialects.found import Found, Path, count_of, flag_of, list_of, read_references, text_of, wrong
from sekimori.dialects.glance import ABSENT, first, glance, small
from sekimori.dialects.openai import ReplyFacts
from sekimori.dialects.sse import fields as event_fields
from sekimori.dialects.stream import ERROR, FINAL, MOST_MINTED, RELEASE, EventStream, kept_id
from sekimori.dialects.strict import read_object
from sekimori.dialects.words import ErrorEvent, error_of, failure, of_status, reply_headers, words
from sekimori.errors import Refusal, Refused, Upstream
from sekimori.meter.usage import of_anthropic
from sekimori.terms import NOTHING_NAMED, Ask, Dialect, Headers, Named, Operation, Usage

NAME: Final[Dialect] = "anthropic"

_encode: Final = msgspec.json.Encoder().encode
_VERSIONS: Final = frozenset(version.encode() for version in fields.ANTHROPIC_VERSIONS)


class _Reply(Struct):
    """Members that matter of a reply, of `message_start`'s message, and of any event."""

    type: Raw = ABSENT
    content: Raw = ABSENT
    usage: Raw = ABSENT
    message: Raw = ABSENT
    input_tokens: Raw = ABSENT
    stop_reason: Raw = ABSENT
    model: Raw = ABSENT
    id: Raw = ABSENT
    container: Raw = ABSENT
    delta: Raw = ABSENT
    content_block: Raw = ABSENT


class _Block(Struct):
    """Members that matter of a content block of a reply, and of what its tool brought back."""

    type: Raw = ABSENT
    content: Raw = ABSENT
    file_id: Raw = ABSENT


_REPLY: Final = msgspec.json.Decoder(_Reply)
_BLOCK: Final = msgspec.json.Decoder(_Block)
_BLOCKS: Final = msgspec.json.Decoder(list[_Block])
_FILE: Final = b'"file_id"'
_MOST_CONTENT: Final = 1024 * 1024
"""Bytes of a reply's content in which files are looked for; those of a longer one are not known here."""
_FIGURES: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "service_tier",
    "speed",
    "output_tokens_details",
    "iterations",
)

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def read_ask(operation: Operation, body: bytes, headers: Headers, named: Named = NOTHING_NAMED) -> Ask:
    """The ask that a body and its headers hold.

    Raises Refused `malformed_json`, `bad_request` or `unknown_field` naming the place.
    """
    value, members = read_object(body)
    found = Found()
    found.members(value, fields.ANTHROPIC_MESSAGES)
    if value.get("messages") is None:
        wrong(("messages",), "an array of messages")
    for index, message in enumerate(list_of(value, "messages")):
        _read_message(found, message, index)
    system = value.get("system")
    if type(system) is not str:
        _read_blocks(found, system, ("system",))
    for index, tool in enumerate(list_of(value, "tools")):
        _read_tool(found, tool, ("tools", index))
    choice = value.get("tool_choice")
    if type(choice) is dict:
        found.spelled(choice.keys(), fields.ANTHROPIC_TOOL_MEMBERS, ("tool_choice",))
    read_references(found, body, value, fields.ANTHROPIC_SCHEMAS)
    for index, server in enumerate(list_of(value, "mcp_servers")):
        _read_server(found, server, ("mcp_servers", index))
    _read_container(found, value.get("container"))
    for name, known in (("thread", fields.ANTHROPIC_THREAD), ("diagnostics", fields.ANTHROPIC_DIAGNOSTICS)):
        _read_earlier(found, value.get(name), known, name)
    kept = _read_headers(found, headers)
    return Ask(
        dialect=NAME,
        operation=operation,
        model=text_of(value, "model"),
        # count_tokens answers at once whatever stands there, as the provider's own does.
        stream=flag_of(value, "stream") and operation == "chat",
        members=members,
        needs=frozenset(found.places),
        places=tuple(found.places.items()),
        output_cap=count_of(value, "max_tokens"),
        headers=kept,
        size=len(body),
        objects=found.objects,
        fetches=found.fetches,
    )


def _read_message(found: Found, message: Any, index: int) -> None:
    if type(message) is not dict:
        wrong(("messages", index), "an object")
    if not message.keys() <= fields.ANTHROPIC_MESSAGE:
        found.unknown(message.keys() - fields.ANTHROPIC_MESSAGE, fields.ANTHROPIC_MESSAGE, ("messages", index))
    if type(message.get("role")) is not str:
        wrong(("messages", index, "role"), "a string")
    content = message.get("content")
    if type(content) is not str:
        _read_blocks(found, content, ("messages", index, "content"))


def _read_blocks(found: Found, blocks: Any, path: Path) -> None:
    """Content blocks, and those inside of them. The depth of the JSON bounds the recursion."""
    if blocks is None or type(blocks) is str:
        return
    if type(blocks) is not list:
        wrong(path, "a string or an array of blocks")
    open_fetches: dict[Any, tuple[Any, Path]] = {}
    for number, block in enumerate(blocks):
        if type(block) is not dict:
            wrong((*path, number), "an object")
        kind = block.get("type")
        if type(kind) is not str:
            wrong((*path, number, "type"), "a string")
        known = fields.ANTHROPIC_BLOCKS.get(kind)
        if known is None:
            found.unknown_kind("unknown_fields", kind, fields.ANTHROPIC_BLOCKS.keys(), (*path, number, "type"))
            continue
        if not block.keys() <= known.members:
            found.unknown(block.keys() - known.members, known.members, (*path, number))
        if not known.rule.inert:
            found.apply(known.rule, None, (*path, number))
        if kind == "server_tool_use" and block.get("name") == "web_fetch":
            wanted = block.get("input")
            url = wanted.get("url") if type(wanted) is dict else None
            if url is not None:
                open_fetches[spelled_id(block.get("id"))] = url, (*path, number, "input", "url")
        elif kind == "web_fetch_tool_result":
            open_fetches.pop(spelled_id(block.get("tool_use_id")), None)
        if kind != "text":
            _read_inside(found, kind, block, (*path, number))
    # A use without its result is carried out when the conversation goes on: the URL is then the agent's word.
    for url, place in open_fetches.values():
        found.fetch(url, place)


def spelled_id(id: Any) -> str:
    """What tells a use of a tool from others; what is no text is none, and never meets its result."""
    return id if type(id) is str else ""


def _read_inside(found: Found, kind: str, block: dict[str, Any], path: Path) -> None:
    """What a block holds that may name a URL, an id, a tool or further blocks."""
    if kind in ("image", "document"):
        _read_source(found, block.get("source"), (*path, "source"))
    elif kind in ("tool_result", "search_result", "mcp_tool_result"):
        _read_blocks(found, block.get("content"), (*path, "content"))
    elif kind == "container_upload":
        found.need("files_by_id", (*path, "file_id"))
        found.names(block.get("file_id"), (*path, "file_id"))
    elif kind in _RESULTS:
        _read_result(found, block.get("content"), (*path, "content"))
    elif kind == "server_tool_use":
        name = block.get("name")
        rule = fields.ANTHROPIC_SERVER_TOOLS.get(name) if type(name) is str else None
        if rule is None:
            found.need("unknown_tools", (*path, "name"))
        else:
            found.apply(rule, None, (*path, "name"))
    elif kind in ("tool_addition", "tool_removal"):
        _read_tool_change(found, block.get("tool"), (*path, "tool"))
    elif kind == "compaction":
        _read_blocks(found, block.get("tool_changes"), (*path, "tool_changes"))


_RESULTS: Final = frozenset(
    {
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "web_fetch_tool_result",
        "web_search_tool_result",
    }
)


def _read_result(found: Found, value: Any, path: Path) -> None:
    """What a tool of the provider brought back, as the agent tells it: files by id, and documents with their sources.

    The depth of the JSON bounds the recursion."""
    if type(value) is list:
        for index, one in enumerate(value):
            _read_result(found, one, (*path, index))
    elif type(value) is dict:
        if value.get("type") in ("document", "image"):
            _read_blocks(found, [value], path)
            return
        if value.get("file_id") is not None:
            found.names(value["file_id"], (*path, "file_id"))
        for name, inner in value.items():
            if type(inner) is dict or type(inner) is list:
                _read_result(found, inner, (*path, name))


def _read_source(found: Found, source: Any, path: Path) -> None:
    if type(source) is not dict:
        wrong(path, "an object")
    kind = source.get("type")
    if type(kind) is not str:
        wrong((*path, "type"), "a string")
    known = fields.ANTHROPIC_SOURCES.get(kind)
    if known is None:
        found.unknown_kind("unknown_fields", kind, fields.ANTHROPIC_SOURCES.keys(), (*path, "type"))
        return
    if not source.keys() <= known.members:
        found.unknown(source.keys() - known.members, known.members, path)
    found.apply(known.rule, None, path)
    if kind == "content":
        _read_blocks(found, source.get("content"), (*path, "content"))
    elif kind == "url":
        found.fetch(source.get("url"), (*path, "url"))
    elif kind == "file":
        found.names(source.get("file_id"), (*path, "file_id"))


def _read_tool_change(found: Found, tool: Any, path: Path) -> None:
    """A tool named or defined in the midst of the messages."""
    kind = tool.get("type") if type(tool) is dict else None
    if kind == "tool_definition":
        _read_tool(found, tool.get("definition"), (*path, "definition"))
    elif kind in ("mcp_tool_reference", "mcp_toolset_reference"):
        found.need("remote_mcp", path)
    elif kind != "tool_reference":
        found.need("unknown_tools", path)


def _read_tool(found: Found, tool: Any, path: Path) -> None:
    if type(tool) is not dict:
        wrong(path, "an object")
    found.spelled(tool.keys(), fields.ANTHROPIC_TOOL_MEMBERS, path)
    kind = tool.get("type")
    if kind is None:
        kind = "custom"
    if type(kind) is not str:
        wrong((*path, "type"), "a string")
    rule = fields.ANTHROPIC_TOOLS.get(kind if kind == "custom" else fields.undated(kind))
    if rule is None or (rule is fields.ANTHROPIC_TOOLS["custom"] and kind != "custom"):
        found.unknown_kind("unknown_tools", kind, fields.ANTHROPIC_TOOLS.keys(), (*path, "type"))
        return
    found.apply(rule, None, (*path, "type"))
    if kind == "custom" and not tool.keys() <= fields.ANTHROPIC_TOOL:
        found.unknown(tool.keys() - fields.ANTHROPIC_TOOL, fields.ANTHROPIC_TOOL, path)


def _read_server(found: Found, server: Any, path: Path) -> None:
    """A remote MCP server, which the provider calls."""
    if type(server) is not dict:
        wrong(path, "an object")
    if not server.keys() <= fields.ANTHROPIC_MCP_SERVER:
        found.unknown(server.keys() - fields.ANTHROPIC_MCP_SERVER, fields.ANTHROPIC_MCP_SERVER, path)
    found.fetch(server.get("url"), (*path, "url"))


def _read_container(found: Found, container: Any) -> None:
    """A container that is named goes on from what it holds; a skill of one's own is kept at the provider."""
    if container is None:
        return
    id = container
    if type(container) is dict:
        if not container.keys() <= fields.ANTHROPIC_CONTAINER:
            found.unknown(container.keys() - fields.ANTHROPIC_CONTAINER, fields.ANTHROPIC_CONTAINER, ("container",))
        id = container.get("id")
    if id is not None:
        found.need("stored_state", ("container",))
        found.names(id, ("container", "id") if type(container) is dict else ("container",))
    for index, skill in enumerate(list_of(container, "skills") if type(container) is dict else ()):
        path: Path = ("container", "skills", index)
        if type(skill) is not dict:
            wrong(path, "an object")
        if not skill.keys() <= fields.ANTHROPIC_SKILL:
            found.unknown(skill.keys() - fields.ANTHROPIC_SKILL, fields.ANTHROPIC_SKILL, path)
        if skill.get("type") != "anthropic":
            found.need("stored_state", path)
            found.names(skill.get("skill_id"), (*path, "skill_id"))


def _read_earlier(found: Found, value: Any, known: frozenset[str], name: str) -> None:
    """What may name an earlier message that the provider keeps."""
    if value is None:
        return
    if type(value) is not dict:
        wrong((name,), "an object")
    if not value.keys() <= known:
        found.unknown(value.keys() - known, known, (name,))
    if value.get("previous_message_id") is not None:
        found.names(value["previous_message_id"], (name, "previous_message_id"))


def _read_headers(found: Found, headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that travel."""
    betas: list[bytes] = []
    version = None
    for name, value in headers:
        if name == b"anthropic-beta":
            betas += [beta for part in value.split(b",") if (beta := part.strip())]
        elif name == b"anthropic-version":
            if value not in _VERSIONS or version is not None:
                raise Refused(
                    "bad_request",
                    "The header `anthropic-version` must be given once, and be one that this gateway reads.",
                    advice=f"Send {' or '.join(fields.ANTHROPIC_VERSIONS)}.",
                )
            version = value
    kept: list[tuple[bytes, bytes]] = []
    if version is not None:
        kept.append((b"anthropic-version", version))
    for beta in betas:
        text = beta.decode("latin-1")
        rule = fields.ANTHROPIC_BETAS.get(text)
        if rule is None:
            if len(beta) > 80 or not beta.isascii() or not text.isprintable() or " " in text:
                raise Refused("bad_request", "The header `anthropic-beta` must list names, separated by commas.")
            found.need("unknown_betas", ("anthropic-beta", text))
        else:
            found.apply(rule, None, ("anthropic-beta", text))
    if betas:
        kept.append((b"anthropic-beta", b",".join(dict.fromkeys(betas))))
    return tuple(kept)


def upstream_body(ask: Ask, model: str, *, include_usage: bool = False, stores: bool = False) -> bytes:
    """The body for the provider: the caller's own bytes of every member but `model`, the provider's name for it."""
    members = dict(ask.members)
    members["model"] = Raw(_encode(model))
    return _encode(members)


def read_reply(body: bytes, operation: Operation = "chat") -> ReplyFacts:
    """What a plain reply says of itself. Raises Upstream: malformed, or an error in spite of its 200."""
    reply = glance(_REPLY, body)
    if reply is None:
        raise Upstream("upstream_malformed", "The provider's reply is not a JSON object.")
    if operation == "count_tokens":
        if type(small(reply.input_tokens)) is not int:
            raise Upstream("upstream_malformed", "The provider's reply has no `input_tokens`.")
        return ReplyFacts(Usage())  # counting spends nothing
    if first(reply.content) != b"[":
        if small(reply.type) == "error":
            raise failure("server_error")
        raise Upstream("upstream_malformed", "The provider's reply has no `content`.")
    finish, model = small(reply.stop_reason), small(reply.model)
    return ReplyFacts(
        of_anthropic(small(reply.usage)),
        finish if type(finish) is str else "",
        model if type(model) is str else "",
        _kept(reply, _files(reply.content)),
    )


def _kept(reply: _Reply, files: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Ids in a message of what the provider may keep: the message, its container, files made in it."""
    container = small(reply.container)
    ids = (small(reply.id), container.get("id") if type(container) is dict else None, *files)
    return tuple(dict.fromkeys(id for id in ids if kept_id(id)))[:MOST_MINTED]


def _files(content: Raw) -> tuple[str, ...]:
    """Ids of files that tools of the provider made, from an array of content blocks.

    Only where the provider itself writes: what a model puts into the input of a tool is the agent's word in the end.
    """
    view = memoryview(content)
    if view.nbytes > _MOST_CONTENT or _FILE not in bytes(content):
        return ()
    blocks = glance(_BLOCKS, bytes(content))
    return tuple(id for block in blocks or () for id in _files_of(block))


def _files_of(block: _Block) -> tuple[str, ...]:
    kind = small(block.type)
    if kind == "container_upload":
        return _ids(block)
    if type(kind) is not str or not kind.endswith("code_execution_tool_result") or kind not in _RESULTS:
        return ()
    result = glance(_BLOCK, bytes(block.content))
    outputs = None if result is None or first(result.content) != b"[" else glance(_BLOCKS, bytes(result.content))
    return tuple(id for output in outputs or () for id in _ids(output))


def _ids(block: _Block) -> tuple[str, ...]:
    id = small(block.file_id)
    return (id,) if kept_id(id) else ()


def read_error(status: int, body: bytes) -> Upstream:
    """The refusal that stands for a provider's error reply; its words are safe to show."""
    return of_status(status, body)


def refusal(refused: Refusal, request_id: str | None = None) -> tuple[int, Headers, bytes]:
    """Status, headers and body of a refusal, so that the SDK raises its own exception."""
    headers = reply_headers(refused, request_id)
    if request_id is not None:
        headers.append((b"request-id", request_id.encode()))  # where this dialect's SDK looks for it
    return refused.status, headers, _encode({**_error(refused), "request_id": request_id})


def stream_error(refused: Refusal) -> bytes:
    """The event that ends a stream which cannot go on."""
    return b"event: error\ndata: " + _encode(_error(refused)) + b"\n\n"


def _error(refused: Refusal) -> dict[str, Any]:
    kind = _TYPES.get(refused.status) or ("api_error" if refused.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": words(refused)}}


def models_page(names: Iterable[str]) -> bytes:
    """`GET /v1/models`: all names on one page."""
    data = [_model(name) for name in names]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return _encode({"data": data, "has_more": False, "first_id": first, "last_id": last})


def model_page(name: str) -> bytes:
    """`GET /v1/models/{model}`."""
    return _encode(_model(name))


def _model(name: str) -> dict[str, Any]:
    # The epoch is what the reference prescribes where the day of release is not known.
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }


_MARKS: Final = (b"error", _FILE)


class Stream(EventStream):
    """A stream of message events, ended by `message_stop`.

    Usage is known in full with `message_delta`: `message_start` tells the input, the last `message_delta` the output.
    """

    __slots__ = ("_figures",)

    def __init__(self, hide_usage: bool = False) -> None:
        super().__init__(hide_usage)
        self._figures: dict[str, Any] = {}

    def _mark(self, data: bytes) -> int:
        mark = data.find(b"message_")
        for word in _MARKS:
            at = data.find(word)
            if at >= 0 and not 0 <= mark < at:
                mark = at
        return mark

    def _judge(self, event: bytes) -> int:
        name, data = event_fields(event)
        if data is None:
            return RELEASE
        value = glance(_REPLY, data)
        if value is None:
            return self._strange()
        named = small(value.type)
        kind = named if type(named) is str else name.decode("utf-8", "replace")
        if kind == "error" or name == b"error":
            self.error = _read_error_event(data)
            return ERROR
        if kind == "ping":
            return RELEASE
        if not kind:
            return self._strange()
        if kind == "message_stop":
            return FINAL
        self.started = True
        if kind == "message_start":
            message = glance(_REPLY, bytes(value.message))
            if message is not None:
                self._note(small(message.usage))
                self.mint(*_kept(message))
        elif kind == "content_block_start":
            block = glance(_BLOCK, bytes(value.content_block))
            if block is not None:
                self.mint(*_files_of(block))
        elif kind == "message_delta":
            delta = glance(_REPLY, bytes(value.delta))
            if delta is not None:
                self.mint(*_kept(delta))
            self._note(small(value.usage))
            self.usage = of_anthropic(self._figures)
        return RELEASE

    def _note(self, figures: Any) -> None:
        """Figures are cumulative: a later one replaces an earlier."""
        if type(figures) is dict:
            self._figures.update((name, figures[name]) for name in _FIGURES if figures.get(name) is not None)


def _read_error_event(data: bytes) -> ErrorEvent:
    kind = (error_of(data) or {}).get("type")
    if kind == "rate_limit_error":
        return ErrorEvent("rate_limited", failure("rate_limited"))
    if kind == "overloaded_error":
        return ErrorEvent("overloaded", failure("overloaded"))
    return ErrorEvent("server_error", failure("server_error"))
